//! Which half shoots first, so that two halves that are both well do not shoot each other.
//!
//! Both reckon from the state that was committed last. They may differ in what each has applied of it; then both shoot, or
//! both wait, which costs time and guests, never an entry.

use std::{collections::BTreeSet, time::Duration};

use quorate_crds::{FenceLevel, HeadStart, HeadStartBy, VirtualMachine};
use quorate_store::{Bucket, View};

use crate::fencing::Room;

/// A level that takes longer than this does not make the other half wait longer: it would wait for nothing most of the
/// time.
const LONGEST_WAIT: Duration = Duration::from_secs(120);
/// When a device has no usable time-out of its own.
const PATIENCE: Duration = Duration::from_secs(20);

/// The hosts of the half that asks, and of the other.
pub(super) struct Halves {
    pub(super) ours: BTreeSet<String>,
    pub(super) theirs: BTreeSet<String>,
}

impl Halves {
    /// How long this half lets the other shoot first, and why.
    pub(super) fn wait(&self, room: &Room, view: &View) -> (Duration, &'static str) {
        let head_start = &room.cluster.quorum.head_start;
        if self.shoots_first(head_start, view) {
            return (Duration::ZERO, "this half has the head start");
        }
        let head_start = HeadStartLength::of(room, self.ours.iter().map(String::as_str));
        (head_start.length, "the other half has the head start")
    }

    fn shoots_first(&self, head_start: &HeadStart, view: &View) -> bool {
        let preferred = head_start.preferred_node.as_ref();
        if let (HeadStartBy::PreferredNode, Some(preferred)) = (head_start.by, preferred) {
            if self.ours.contains(preferred.as_str()) {
                return true;
            }
            if self.theirs.contains(preferred.as_str()) {
                return false;
            }
        }
        let (ours, theirs) = self.weights(view);
        if ours != theirs {
            return ours > theirs;
        }
        self.ours.first() < self.theirs.first()
    }

    /// What the protected guests of each half weigh.
    fn weights(&self, view: &View) -> (u64, u64) {
        let (mut ours, mut theirs) = (0, 0);
        for (_, stored) in view.list(&Bucket::new("virtualmachines"), None, usize::MAX) {
            let Ok(guest) = serde_json::from_slice::<VirtualMachine>(&stored.value) else {
                continue;
            };
            let host = guest
                .status
                .as_ref()
                .and_then(|status| status.node.as_ref());
            let Some(host) = host.filter(|_| guest.spec.protected) else {
                continue;
            };
            // A guest of no priority is a guest all the same.
            let weight = u64::from(guest.spec.priority) + 1;
            if self.ours.contains(host.as_str()) {
                ours += weight;
            } else if self.theirs.contains(host.as_str()) {
                theirs += weight;
            }
        }
        (ours, theirs)
    }
}

/// How long the half of some hosts lets the other shoot first.
pub(super) struct HeadStartLength {
    pub(super) length: Duration,
    /// What the first fence level of these hosts may take.
    pub(super) level: Duration,
}

impl HeadStartLength {
    pub(super) fn of<'a>(room: &Room, hosts: impl Iterator<Item = &'a str>) -> Self {
        let level = hosts
            .filter_map(|host| room.node(host)?.spec.fencing.levels.first())
            .map(|level| longest(room, level))
            .max()
            .unwrap_or_default();
        let said = room.cluster.quorum.head_start.duration.as_ref();
        let said = said.and_then(|duration| duration.parse().ok());
        Self {
            length: said.unwrap_or(level.min(LONGEST_WAIT)),
            level,
        }
    }

    /// Whether a shot may take longer.
    pub(super) fn is_short(&self) -> bool {
        self.level > self.length
    }
}

/// How long a level may take: each device is told, given time, and asked.
fn longest(room: &Room, level: &FenceLevel) -> Duration {
    level
        .devices
        .iter()
        .filter_map(|target| room.device(target.device.as_str()))
        .map(|device| {
            let timeout = device.spec.timeout.parse().unwrap_or(PATIENCE);
            let pause = device.spec.power_wait.parse().unwrap_or_default();
            timeout * 2 + pause
        })
        .max()
        .unwrap_or_default()
}
