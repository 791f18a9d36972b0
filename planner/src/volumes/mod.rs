//! Replicas of volumes: which hosts keep them, who may write, who is known to hold every write.

mod assignment;
mod choice;
mod inline;
mod lifetime;
mod making;
mod members;
mod roles;
mod room;
mod source;
mod verify;
mod view;
mod writing;

pub(crate) use inline::plan as plan_inline;
pub(crate) use roles::{carried, victims};
pub(crate) use room::Room;
pub(crate) use source::{filled_from, is_done_with};
pub(crate) use view::{Views, look};
pub(crate) use writing::{Asking, joined, obstacle, unwritable};

use crate::amounts::{bytes, words};
use crate::outcome::{Outcome, condition};
use crate::round::Round;
use crate::{Reason, Why, above};
use quorate_crds::{Disk, Name, ReplicaStatus, VirtualMachine, VolumeState, VolumeStatus};

/// The volume that a guest's disk is, if it is one.
pub(crate) fn of_disk(guest: &str, disk: &Disk) -> Option<String> {
    match (&disk.volume, &disk.size) {
        (Some(volume), _) => Some(volume.to_string()),
        (None, Some(_)) => Some(inline::name(guest, disk)),
        (None, None) => None,
    }
}

/// The volumes that a guest's disks are.
pub(crate) fn of<'a>(
    name: &'a str,
    guest: &'a VirtualMachine,
) -> impl Iterator<Item = String> + 'a {
    let disks = guest.spec.disks.iter();
    disks.filter_map(move |disk| of_disk(name, disk))
}

/// The hosts that keep a replica of the first of the guest's volumes; none when it has no volume, so
/// that its data keeps it nowhere. No other host can take the guest.
pub(crate) fn keepers<'a>(
    round: &Round<'a>,
    name: &str,
    guest: &VirtualMachine,
) -> Option<impl Iterator<Item = &'a str>> {
    let first = of(name, guest).next()?;
    let nodes = replicas(round, &first).iter();
    let hosts = nodes.filter_map(|one| round.hosts.get(one.node.as_str()));
    let names: Vec<&'a str> = hosts.map(|host| host.name).collect();
    Some(names.into_iter())
}

/// The replicas that hold the data of a volume: its own, or those of the volume below it.
pub(crate) fn replicas<'r>(round: &'r Round<'_>, name: &str) -> &'r [ReplicaStatus] {
    let known = round.state.volumes.get(name);
    let below = known.and_then(|known| above::place(round.state, known));
    let view = round.views.get(below.map_or(name, |below| below.base));
    view.map_or(&[], |view| &view.replicas)
}

/// The replicated device of a volume on that host.
pub(crate) fn device(round: &Round<'_>, name: &str, host: &str) -> String {
    let status = round.views.get(name);
    let said = status.and_then(|status| {
        let mut replicas = status.replicas.iter();
        replicas
            .find(|replica| replica.node.as_str() == host)?
            .device
            .clone()
    });
    said.unwrap_or_else(|| {
        let minor = status.and_then(|status| status.minor).unwrap_or(0);
        format!("/dev/drbd{minor}")
    })
}

pub(crate) fn plan(round: &Round<'_>, outcome: &mut Outcome) {
    let none = VolumeStatus::default();
    let mut choice = choice::Choice::of(round);
    let mut comparing = verify::Comparing::of(round);
    for (name, volume) in round.state.volumes.iter() {
        if above::place(round.state, volume).is_some() {
            continue;
        }
        let old = volume.status.as_ref().unwrap_or(&none);
        let mut status = round.views[name].clone();
        status.observed_generation = volume.metadata.generation;
        if lifetime::over(round, outcome, name, volume, &mut status) {
            continue;
        }
        if status.replicas.is_empty() {
            source::prepare(round, outcome, name, volume);
        }
        let settled = choice.settle(round, name, volume, &mut status);
        if let Err(why) = settled {
            outcome.why("Volume", name, why.reason, &why.message);
            condition(&mut status.conditions, "Ready", false, &why, round.now);
            outcome.status("Volume", name, old, &status);
            continue;
        }
        let growing = choice.grow(round, volume, &mut status);
        // Nobody asks for them after this.
        let users = outcome.users.remove(name).unwrap_or_default();
        let leaving = lifetime::leaving(round, volume, &status, &users);
        let one = verify::One {
            round,
            name,
            volume,
            changing: growing.is_some() || !leaving.is_empty(),
        };
        let compares = comparing.settle(outcome, &one, &mut status);
        roles::plan(
            round,
            outcome,
            (name, volume),
            &mut status,
            &users,
            &leaving,
            compares.as_ref(),
        );
        view::summarise(round, &mut status);
        let why = match status.state {
            Some(VolumeState::Pending) => making::why(round, (name, volume), &status),
            _ => describe(round, &status),
        };
        outcome.why("Volume", name, why.reason, &why.message);
        if let Some(lacking) = choice.lacking() {
            outcome.why("Volume", name, lacking.reason, &lacking.message);
        }
        let in_sync = why.reason == Reason::InSync;
        condition(&mut status.conditions, "InSync", in_sync, &why, round.now);
        if volume.spec.filesystem.is_some() {
            crate::filesystems::remember(round, name, &mut status.conditions);
        }
        let asked = status.replicas.iter().any(|it| !it.asks_about.is_empty());
        if let Some(at) = roles::missed_at(round, &status).filter(|at| asked && *at > round.now) {
            outcome.wake(at);
        }
        let ready = usable(&status);
        condition(&mut status.conditions, "Ready", ready, &why, round.now);
        match growing {
            Some(why) => {
                outcome.why("Volume", name, why.reason, &why.message);
                let at_work = why.reason == Reason::Growing;
                condition(&mut status.conditions, "Growing", at_work, &why, round.now);
            }
            None => status.conditions.retain(|one| one.type_ != "Growing"),
        }
        if old.state != status.state && old.state.is_some() {
            outcome.event(
                round.now,
                super::state::Subject::volume(name).reference(),
                &why,
            );
        }
        outcome.status("Volume", name, old, &status);
    }
}

pub(crate) fn usable(status: &VolumeStatus) -> bool {
    matches!(
        status.state,
        Some(VolumeState::Ready | VolumeState::Syncing | VolumeState::Degraded)
    )
}

/// What each side of a split has written alone, as far as it is known.
fn amounts(status: &VolumeStatus) -> String {
    let split = status.split_brain.iter();
    let sides = split.flat_map(|split| &split.sides);
    let known = sides.filter_map(|side| {
        let written = bytes(side.written.as_ref()?);
        Some(format!("{} about {}", side.node, words(written)))
    });
    let known: Vec<String> = known.collect();
    match known.is_empty() {
        true => String::new(),
        false => format!(" ({})", known.join(", ")),
    }
}

fn describe(round: &Round<'_>, status: &VolumeStatus) -> Why {
    let members = || {
        let members: Vec<&str> = status.in_sync.iter().map(Name::as_str).collect();
        members.join(" and ")
    };
    let (reason, message) = match status.state {
        Some(VolumeState::SplitBrain) => {
            let number = status
                .split_brain
                .as_ref()
                .and_then(|split| split.number)
                .unwrap_or(0);
            let text = format!(
                "both sides have written{}; choose the one whose data is given up: spec.resolve \
                 with splitBrain {number} and discard",
                amounts(status)
            );
            (Reason::SplitBrain, text)
        }
        Some(VolumeState::Frozen)
            if status
                .replicas
                .iter()
                .all(|replica| replica.asks_about.is_empty()) =>
        {
            let text = format!(
                "every write is held by {}; {} cannot know whether it has the last ones until \
                 the others are heard, or confirmed off",
                members(),
                view::in_doubt(&round.hosts, status).join(" and ")
            );
            (Reason::WaitingForPeer, text)
        }
        Some(VolumeState::Frozen) => (
            Reason::WritesFrozen,
            "writes wait until a replica that is not reached is outdated or its host is fenced"
                .to_owned(),
        ),
        Some(VolumeState::Lost) if round.stopping() => (
            Reason::TakenDown,
            "its replicas are taken down: the cluster is stopped".to_owned(),
        ),
        Some(VolumeState::Lost) => (
            Reason::DataNotReachable,
            format!(
                "every write is held by {}, and none of these is there",
                members()
            ),
        ),
        Some(VolumeState::Deleting) => (
            Reason::Deleting,
            "its replicas are being taken away".to_owned(),
        ),
        Some(VolumeState::Ready) => (Reason::InSync, "every replica holds every write".to_owned()),
        Some(VolumeState::Syncing) => (
            Reason::CatchingUp,
            format!(
                "every write is held by {}; the others are catching up",
                members()
            ),
        ),
        _ if status.in_sync.len() == status.replicas.len() => {
            let missing = view::missing(&round.hosts, status).join(" and ");
            let text = format!(
                "every write is held by {}, and {missing} is not there",
                members()
            );
            (Reason::Degraded, text)
        }
        _ => (
            Reason::Degraded,
            format!("every write is held by {} only", members()),
        ),
    };
    Why { reason, message }
}
