//! What people are shown of a shared filesystem besides its locks: its space, and hosts on which it has shut itself down.

use crate::amounts::{bytes, words};
use crate::outcome::{Outcome, condition};
use crate::round::Round;
use crate::state::{Subject, SubjectKind};
use crate::{Reason, Why};
use quorate_crds::{MountState, Name, SharedFilesystemStatus, Size};
use std::collections::BTreeSet;

const WITHDRAWN: &str = "Withdrawn";
/// Of so many parts less than one is left: space is low.
const LOW: u64 = 16;

/// How large it is and how much is left, as those say that have it mounted.
pub(super) fn figures(
    round: &Round<'_>,
    outcome: &mut Outcome,
    name: &str,
    status: &mut SharedFilesystemStatus,
) {
    let largest = status.mounts.iter().filter_map(|it| it.capacity.clone());
    let Some(capacity) = largest.max_by_key(bytes) else {
        return;
    };
    let left = status.mounts.iter().filter_map(|it| it.free.clone());
    let free = left.min_by_key(bytes);
    if let Some(left) = free.as_ref().map(bytes) {
        let low = left < bytes(&capacity) / LOW;
        let (reason, message) = match low {
            true => (
                Reason::SpaceLow,
                format!(
                    "about {} of {} are left",
                    words(left),
                    words(bytes(&capacity))
                ),
            ),
            false => (Reason::SpaceLeft, "there is space left".to_owned()),
        };
        if low {
            outcome.why("SharedFilesystem", name, reason, &message);
        }
        let why = Why { reason, message };
        condition(&mut status.conditions, "SpaceLow", low, &why, round.now);
    }
    status.capacity = Some(whole(&capacity));
    status.free = free.as_ref().map(whole);
}

/// In whole MiB, as people read it in a list.
fn whole(size: &Size) -> Size {
    Size(format!("{}Mi", bytes(size) >> 20))
}

/// Hosts on which it has shut itself down.
pub(super) fn withdrawn(
    round: &Round<'_>,
    outcome: &mut Outcome,
    name: &str,
    status: &mut SharedFilesystemStatus,
) {
    let down = status.mounts.iter();
    let down = down.filter(|mount| mount.state == Some(MountState::Withdrawn));
    let hosts: Vec<&str> = down.map(|mount| mount.node.as_str()).collect();
    let known = status.conditions.iter().any(|one| one.type_ == WITHDRAWN);
    if hosts.is_empty() && !known {
        return;
    }
    let (so, why) = match hosts.as_slice() {
        [] => (
            false,
            Why {
                reason: Reason::Mounted,
                message: "it has shut itself down on no host".to_owned(),
            },
        ),
        hosts => (
            true,
            Why {
                reason: Reason::FilesystemWithdrawn,
                message: format!(
                    "it has shut itself down on {} after an error; the other hosts go on, and guests that use it there move off: \
                     then restart {0}",
                    hosts.join(" and ")
                ),
            },
        ),
    };
    let before = status.conditions.iter();
    let news = so
        && !before
            .clone()
            .any(|one| one.type_ == WITHDRAWN && one.message == why.message);
    if so {
        outcome.why("SharedFilesystem", name, why.reason, &why.message);
    }
    if news {
        let subject = Subject::new(SubjectKind::Filesystem, name);
        outcome.event(round.now, subject.reference(), &why);
    }
    condition(&mut status.conditions, WITHDRAWN, so, &why, round.now);
}

/// Where it is mounted although it is to be mounted nowhere, and whom it waits for.
pub(super) fn still_mounted(status: &SharedFilesystemStatus, users: &BTreeSet<String>) -> String {
    let members = status.lockspace.iter().flat_map(|it| &it.members);
    let hosts: Vec<&str> = members.map(Name::as_str).collect();
    let text = format!("it is still mounted on {}", hosts.join(" and "));
    let used: Vec<&str> = users.iter().map(String::as_str).collect();
    match used.is_empty() {
        true => text,
        false => format!("{text}; guests use it on {}: stop them", used.join(" and ")),
    }
}
