use std::collections::BTreeMap;

use bytes::Bytes;
use quorate_crds::{FenceOperation, Node, NodePlan, VirtualMachine, Volume, VolumeAccess};
use quorate_store::{Bucket, Change, Revision, View};
use serde::de::DeserializeOwned;

/// What the log says, as of its newest entry that any member has applied.
#[derive(Default)]
pub(crate) struct Committed {
    pub(crate) revision: Revision,
    pub(crate) nodes: BTreeMap<String, Node>,
    pub(crate) plans: BTreeMap<String, NodePlan>,
    pub(crate) volumes: BTreeMap<String, Volume>,
    pub(crate) operations: BTreeMap<String, FenceOperation>,
    pub(crate) guests: BTreeMap<String, VirtualMachine>,
}

/// What one change was about, with what was there before.
pub(crate) enum Changed {
    Node(String, Option<Box<Node>>),
    Plan(String, Option<Box<NodePlan>>),
    Operation(String, Option<Box<FenceOperation>>),
    Volume(String, Option<Box<Volume>>),
}

impl Committed {
    /// Everything in a view.
    pub(crate) fn of(view: &View) -> Self {
        let mut committed = Self {
            revision: view.revision(),
            ..Self::default()
        };
        for bucket in [
            "nodes",
            "nodeplans",
            "fenceoperations",
            "volumes",
            "virtualmachines",
        ] {
            for (key, stored) in view.list(&Bucket::new(bucket), None, usize::MAX) {
                committed.put(bucket, &key.name, Some(&stored.value));
            }
        }
        committed
    }

    /// Whether several hosts may write that volume at once.
    pub(crate) fn is_for_many(&self, volume: &str) -> bool {
        let volume = self.volumes.get(volume);
        volume.is_some_and(|volume| volume.spec.access == VolumeAccess::MultiWriter)
    }

    fn put(&mut self, bucket: &str, name: &str, value: Option<&Bytes>) -> Option<Changed> {
        let named = name.to_owned();
        match bucket {
            "nodes" => Some(Changed::Node(named, enter(&mut self.nodes, name, value))),
            "nodeplans" => Some(Changed::Plan(named, enter(&mut self.plans, name, value))),
            "fenceoperations" => {
                let before = enter(&mut self.operations, name, value);
                Some(Changed::Operation(named, before))
            }
            "volumes" => {
                let before = enter(&mut self.volumes, name, value);
                Some(Changed::Volume(named, before))
            }
            "virtualmachines" => {
                enter(&mut self.guests, name, value);
                None
            }
            _ => None,
        }
    }

    /// Takes over a change of the log.
    pub(crate) fn apply(&mut self, change: &Change) -> Option<Changed> {
        let bucket = change.key.bucket.as_str();
        self.put(bucket, &change.key.name, change.value.as_ref())
    }
}

fn enter<T: DeserializeOwned>(
    all: &mut BTreeMap<String, T>,
    name: &str,
    value: Option<&Bytes>,
) -> Option<Box<T>> {
    let now = value.and_then(|bytes| serde_json::from_slice(bytes).ok());
    let before = match now {
        Some(now) => all.insert(name.to_owned(), now),
        None => all.remove(name),
    };
    before.map(Box::new)
}
