//! What a volume holds when it begins, where that is a snapshot: it begins on the host that keeps it.

use super::choice::logical_volume;
use crate::amounts::{bytes, words};
use crate::round::Round;
use crate::snapshots;
use crate::{Reason, Why};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{Name, ReplicaOriginal, Volume, VolumeState, VolumeStatus};

/// The host where a new volume has to begin, if its source says.
pub(super) fn beginning<'r>(
    round: &'r Round<'_>,
    volume: &Volume,
) -> Result<Option<&'r Name>, Why> {
    let source = volume.spec.source.as_ref();
    if let Some(of) = source.and_then(|source| source.volume.as_ref()) {
        // Made empty, it would be taken for what it should hold.
        let message = format!(
            "this release does not fill a volume from another one; take a VolumeSnapshot of {of}, and name that \
             (source.snapshot)"
        );
        return Err(Why {
            reason: Reason::NotSupported,
            message,
        });
    }
    let Some(name) = source.and_then(|source| source.snapshot.as_ref()) else {
        return Ok(None);
    };
    kept(round, name, volume).map(Some).map_err(|message| Why {
        reason: Reason::SourceWaits,
        message,
    })
}

/// The host that keeps the snapshot, of which the volume can be a copy.
fn kept<'r>(round: &'r Round<'_>, name: &Name, volume: &Volume) -> Result<&'r Name, String> {
    let Some(snapshot) = round.state.snapshots.get(name.as_str()) else {
        return Err(format!("snapshot {name} does not exist"));
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
    let (has, needs) = (bytes(&volume.spec.size), bytes(size));
    if has < needs {
        return Err(format!(
            "snapshot {name} is of a volume of {}: {} are too few for it",
            words(needs),
            words(has)
        ));
    }
    Ok(host)
}

/// What the replica on the host is copied from, where the volume begins with a snapshot; an error when that is not there.
pub(super) fn original(
    round: &Round<'_>,
    volume: &Volume,
    host: &Name,
) -> Result<Option<ReplicaOriginal>, Why> {
    let source = volume.spec.source.as_ref();
    let Some(name) = source.and_then(|source| source.snapshot.as_ref()) else {
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
pub(super) fn filling(volume: &Volume, host: &Name) -> Option<String> {
    let source = volume.spec.source.as_ref()?;
    let snapshot = source.snapshot.as_ref();
    let image = source.url.as_ref();
    snapshot
        .map(|name| format!("{host} copies snapshot {name} into it first"))
        .or_else(|| image.map(|url| format!("{host} writes image {url} into it first")))
}

/// A volume that is being filled from the snapshot, if there is one.
pub(crate) fn filled_from<'r>(round: &'r Round<'_>, name: &str) -> Option<&'r str> {
    let mut volumes = round.state.volumes.iter();
    let found = volumes.find(|(volume, spec)| {
        let source = spec.spec.source.as_ref();
        let from = source.and_then(|source| source.snapshot.as_ref());
        from.is_some_and(|from| from.as_str() == name)
            && spec.metadata.deletion_timestamp.is_none()
            && round.views.get(volume).is_some_and(begins)
    });
    found.map(|(volume, _)| volume)
}

/// It has its hosts, and holds nothing yet.
fn begins(status: &VolumeStatus) -> bool {
    !status.replicas.is_empty() && matches!(status.state, None | Some(VolumeState::Pending))
}
