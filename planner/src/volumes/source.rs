//! What a volume holds when it begins, where that is a snapshot: it begins on the host that keeps it. Where it is another
//! volume, a snapshot is taken of that first, and goes when the volume is filled.

use super::choice::logical_volume;
use crate::amounts::{bytes, words};
use crate::outcome::Outcome;
use crate::round::Round;
use crate::snapshots;
use crate::{Reason, Why};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{
    Name, ReplicaOriginal, Size, Volume, VolumeSnapshot, VolumeState, VolumeStatus,
};
use serde_json::json;

/// What follows the name of a volume in that of the snapshot which is taken for it.
const TAKEN_FOR: &str = "-source";

/// The snapshot that the volume begins with, if it does.
fn snapshot_of(name: &str, volume: &Volume) -> Option<Name> {
    let source = volume.spec.source.as_ref()?;
    let of_volume = source.volume.as_ref();
    let taken = of_volume.map(|_| Name(format!("{name}{TAKEN_FOR}")));
    source.snapshot.clone().or(taken)
}

/// Whether the snapshot was taken for the volume, and for nothing else.
fn is_taken_for(snapshot: &VolumeSnapshot, (name, volume): (&str, &Volume)) -> bool {
    let uid = volume.metadata.uid.as_deref().unwrap_or_default();
    let mut owners = snapshot.metadata.owner_references.iter().flatten();
    owners.any(|owner| owner.kind == "Volume" && owner.name == name && owner.uid == uid)
}

/// Has a snapshot taken of the volume that a new one is a copy of.
pub(super) fn prepare(round: &Round<'_>, outcome: &mut Outcome, name: &str, volume: &Volume) {
    let source = volume.spec.source.as_ref();
    let of = source.and_then(|source| source.volume.as_ref());
    let Some((of, snapshot)) = of.zip(snapshot_of(name, volume)) else {
        return;
    };
    if round.state.snapshots.contains_key(snapshot.as_str()) {
        return;
    }
    let Ok(host) = taken_on(round, volume, of) else {
        return;
    };
    let owner = json!([{
        "apiVersion": "quorate.dev/v1alpha1", "kind": "Volume", "name": name,
        "uid": volume.metadata.uid.clone().unwrap_or_default(), "controller": true,
    }]);
    let mut spec = json!({"volume": of});
    if let Some(host) = host {
        spec["node"] = json!(host);
    }
    outcome.decisions.create.push(json!({
        "apiVersion": "quorate.dev/v1alpha1", "kind": "VolumeSnapshot",
        "metadata": {"name": snapshot, "ownerReferences": owner},
        "spec": spec,
    }));
}

/// The host on which a volume has to be copied from for a new one to begin there, if not any of its hosts will do.
fn taken_on<'r>(
    round: &'r Round<'_>,
    volume: &Volume,
    of: &Name,
) -> Result<Option<&'r Name>, String> {
    if !round.state.volumes.contains_key(of.as_str()) {
        return Err(format!("volume {of} does not exist"));
    }
    let view = round.views.get(of.as_str());
    if let Some(size) = view.and_then(|view| view.size.as_ref()) {
        holds(volume, size).map_err(|few| format!("volume {of} has {few}"))?;
    }
    let current = view.map_or(&[][..], |view| &view.in_sync);
    let pool = round.state.pools.get(volume.spec.pool.as_str());
    let may_begin = |host: &&Name| {
        let named = volume.spec.nodes.is_empty() || volume.spec.nodes.contains(host);
        named && pool.is_some_and(|pool| pool.spec.hosts.iter().any(|it| it.node == **host))
    };
    let first = current.iter().find(may_begin);
    match first {
        _ if current.is_empty() => Err(format!("volume {of} has no replica yet")),
        None => Err(format!(
            "this volume may be on no host that holds every write of volume {of} ({})",
            current
                .iter()
                .map(Name::as_str)
                .collect::<Vec<_>>()
                .join(" and ")
        )),
        Some(_) if current.iter().all(|host| may_begin(&host)) => Ok(None),
        first => Ok(first),
    }
}

/// Whether the snapshot was taken for a volume that is filled.
pub(crate) fn is_done_with(round: &Round<'_>, name: &str, snapshot: &VolumeSnapshot) -> bool {
    let of = name.strip_suffix(TAKEN_FOR);
    let Some((of, volume)) = of.and_then(|of| Some((of, round.state.volumes.get(of)?))) else {
        return false;
    };
    let of_volume = volume
        .spec
        .source
        .as_ref()
        .is_some_and(|it| it.volume.is_some());
    let view = round.views.get(of);
    // That of one that is deleted goes after it, when nothing copies any more.
    of_volume
        && volume.metadata.deletion_timestamp.is_none()
        && is_taken_for(snapshot, (of, volume))
        && view.is_some_and(|status| !is_pending(status))
}

/// The host where a new volume has to begin, if its source says.
pub(super) fn beginning<'r>(
    round: &'r Round<'_>,
    name: &str,
    volume: &Volume,
) -> Result<Option<&'r Name>, Why> {
    let Some(snapshot) = snapshot_of(name, volume) else {
        return Ok(None);
    };
    let host = kept(round, &snapshot, (name, volume));
    host.map(Some).map_err(|message| Why {
        reason: Reason::SourceWaits,
        message,
    })
}

/// The host that keeps the snapshot, of which the volume can be a copy.
fn kept<'r>(
    round: &'r Round<'_>,
    name: &Name,
    (of, volume): (&str, &Volume),
) -> Result<&'r Name, String> {
    let copied = volume
        .spec
        .source
        .as_ref()
        .and_then(|it| it.volume.as_ref());
    let found = round.state.snapshots.get(name.as_str());
    let snapshot = match (found, copied) {
        (Some(found), Some(_)) if !is_taken_for(found, (of, volume)) => {
            return Err(format!(
                "snapshot {name} is there already, and was not taken for this volume"
            ));
        }
        (Some(found), _) => found,
        (None, None) => return Err(format!("snapshot {name} does not exist")),
        (None, Some(copied)) => {
            taken_on(round, volume, copied)?;
            return Err(format!("a snapshot of volume {copied} is taken first"));
        }
    };
    if snapshots::is_over(snapshot, round.now) {
        return Err(format!("snapshot {name} is being deleted"));
    }
    let status = snapshot.status.as_ref();
    let ready = status.filter(|status| status.ready == Some(true));
    let Some((host, size)) =
        ready.and_then(|status| Some((status.node.as_ref()?, status.size.as_ref()?)))
    else {
        let said =
            status.and_then(|status| status.conditions.iter().find(|it| it.type_ == "Ready"));
        let said = said.map_or("it is not taken yet", |said| said.message.as_str());
        return Err(format!("snapshot {name} is not there: {said}"));
    };
    holds(volume, size).map_err(|few| format!("snapshot {name} is of a volume of {few}"))?;
    Ok(host)
}

/// Whether the volume is as large as what it begins with.
fn holds(volume: &Volume, source: &Size) -> Result<(), String> {
    let (has, needs) = (bytes(&volume.spec.size), bytes(source));
    match has < needs {
        true => Err(format!(
            "{}: {} are too few for it",
            words(needs),
            words(has)
        )),
        false => Ok(()),
    }
}

/// What the replica on the host is copied from, where the volume begins with a snapshot; an error when that is not there.
pub(super) fn original(
    round: &Round<'_>,
    (name, volume): (&str, &Volume),
    host: &Name,
) -> Result<Option<ReplicaOriginal>, Why> {
    let Some(name) = snapshot_of(name, volume) else {
        return Ok(None);
    };
    let found = round.state.snapshots.get(name.as_str());
    let size = found.and_then(|snapshot| snapshot.status.as_ref()?.size.clone());
    let kept = snapshots::kept_on(round.state, name.as_str(), host.as_str());
    match (kept, size) {
        (Some(storage), Some(size)) => Ok(Some(ReplicaOriginal {
            device: AbsolutePath(logical_volume(
                &storage.volume_group,
                storage.logical_volume.as_deref().unwrap_or(name.as_str()),
            )),
            size,
        })),
        _ => Err(Why {
            reason: Reason::SourceWaits,
            message: format!("{host} does not keep snapshot {name}, with which the volume begins"),
        }),
    }
}

/// What the host does before the volume begins there, if it has a source.
pub(super) fn filling(name: &str, volume: &Volume, host: &Name) -> Option<String> {
    if let Some(snapshot) = snapshot_of(name, volume) {
        return Some(format!("{host} copies snapshot {snapshot} into it first"));
    }
    let url = volume.spec.source.as_ref()?.url.as_ref()?;
    Some(format!("{host} writes image {url} into it first"))
}

/// A volume that is being filled from the snapshot, if there is one.
pub(crate) fn filled_from<'r>(round: &'r Round<'_>, name: &str) -> Option<&'r str> {
    let mut volumes = round.state.volumes.iter();
    let found = volumes.find(|(volume, spec)| {
        snapshot_of(volume, spec).is_some_and(|from| from.as_str() == name)
            && spec.metadata.deletion_timestamp.is_none()
            && (round.views.get(volume)).is_some_and(|it| !it.replicas.is_empty() && is_pending(it))
    });
    found.map(|(volume, _)| volume)
}

fn is_pending(status: &VolumeStatus) -> bool {
    matches!(status.state, None | Some(VolumeState::Pending))
}
