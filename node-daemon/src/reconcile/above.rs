//! The replicated devices on which volume groups of ours lie: which can be read, and which were.
//!
//! One is read while it is open for writing here and its writes do not wait: whatever reads a frozen device waits as long as
//! it is frozen. What lies on one that is open and was not read is not known, and nothing is decided about it.

use super::seen::Seen;
use crate::plan::{Plan, Record};
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{Name, ReplicaRole};
use std::collections::{BTreeMap, BTreeSet};

#[derive(Debug, Default)]
pub(super) struct Above {
    /// By replicated volume: its device on this host.
    devices: BTreeMap<Name, AbsolutePath>,
    /// What the look that was begun last was to read.
    asked: Vec<AbsolutePath>,
    /// What the look that has ended last has read.
    read: BTreeSet<AbsolutePath>,
}

impl Above {
    pub(super) fn plan_changed(&mut self, plan: &Plan) {
        let records = plan.records().values();
        self.devices = records
            .filter_map(|record| {
                let device = record.assignment.storage.as_ref()?.device.clone()?;
                Some((below(record)?.clone(), device))
            })
            .collect();
    }

    /// A look begins: what it is to read.
    pub(super) fn begin(&mut self, seen: &Seen) -> Vec<AbsolutePath> {
        self.asked = self.readable(seen);
        self.asked.clone()
    }

    /// It has ended.
    pub(super) fn ended(&mut self, unread: &[AbsolutePath]) {
        let asked = self.asked.iter().cloned();
        self.read = asked.filter(|device| !unread.contains(device)).collect();
    }

    /// Whether others can be read by now.
    pub(super) fn have_changed(&self, seen: &Seen) -> bool {
        self.readable(seen) != self.asked
    }

    /// The replicated volume that the record's group lies on, while nobody knows what is on it though it is open here.
    pub(super) fn hidden<'r>(&self, record: &'r Record, seen: &Seen) -> Option<&'r Name> {
        record.assignment.storage.as_ref()?;
        let volume = below(record)?;
        let device = self.devices.get(volume)?;
        let open = seen.replica(volume)?.role == ReplicaRole::Primary;
        (open && !self.read.contains(device)).then_some(volume)
    }

    fn readable(&self, seen: &Seen) -> Vec<AbsolutePath> {
        let open = |volume: &Name| {
            let replica = seen.replica(volume);
            replica.is_some_and(|it| it.role == ReplicaRole::Primary && !it.frozen)
        };
        let devices = self.devices.iter().filter(|(volume, _)| open(volume));
        devices.map(|(_, device)| device.clone()).collect()
    }
}

fn below(record: &Record) -> Option<&Name> {
    let mut after = record.assignment.after.iter();
    let volume = after.find(|object| object.kind == "Volume")?;
    Some(&volume.name)
}
