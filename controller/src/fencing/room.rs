//! What the coordinator knows of the cluster: the stored objects that fencing is about, and the members that can run
//! agents.

use std::{collections::BTreeMap, time::Duration};

use jiff::Timestamp;
use quorate_crds::{
    Cluster, ClusterSpec, FenceDevice, FenceDeviceType, FenceOperation, FenceTarget, Node,
    OutletStatus, PowerState, scalar,
};
use quorate_store::{Bucket, Revision, View};
use serde::de::DeserializeOwned;
use tokio::time::Instant;

/// The buckets that [`Room`] follows.
pub(crate) const BUCKETS: [&str; 4] = ["clusters", "nodes", "fencedevices", "fenceoperations"];

/// One moment, on both clocks: monotonic for every decision, wall for what people read.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// For durations.
    pub monotonic: Instant,
    /// For statuses.
    pub wall: Timestamp,
}

/// An object and the revision that last changed it.
#[derive(Clone, Debug)]
pub(crate) struct Held<T> {
    pub(crate) object: T,
    pub(crate) revision: Revision,
}

/// A member of the store that can run agents.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentMember {
    /// Its name.
    pub name: String,
    /// Whether the leader hears it.
    pub reachable: bool,
    /// Whether it votes.
    pub voter: bool,
}

/// What the coordinator decides on.
#[derive(Clone, Debug, Default)]
pub struct Room {
    pub(crate) cluster: ClusterSpec,
    pub(crate) nodes: BTreeMap<String, Held<Node>>,
    pub(crate) devices: BTreeMap<String, Held<FenceDevice>>,
    pub(crate) operations: BTreeMap<String, Held<FenceOperation>>,
    /// The members, in the order in which they are asked to run agents.
    pub members: Vec<AgentMember>,
    /// One half of the voters acts alone, or is about to. No power returns before the other half is out of the membership.
    pub half_acts: bool,
}

impl Room {
    /// Everything in a view.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let mut room = Self::default();
        for bucket in BUCKETS {
            for (key, stored) in view.list(&Bucket::new(bucket), None, usize::MAX) {
                room.put(bucket, &key.name, &stored.value, stored.modified);
            }
        }
        room
    }

    /// Takes an object as it was stored at `revision`. What cannot be read is treated as absent, and said so in the
    /// log; an older revision than the one that is known changes nothing.
    pub fn put(&mut self, bucket: &str, name: &str, stored: &[u8], revision: Revision) {
        match bucket {
            "clusters" => {
                if let Some(cluster) = read::<Cluster>(bucket, name, stored) {
                    self.cluster = cluster.spec;
                }
            }
            "nodes" => hold(&mut self.nodes, bucket, name, stored, revision),
            "fencedevices" => hold(&mut self.devices, bucket, name, stored, revision),
            "fenceoperations" => hold(&mut self.operations, bucket, name, stored, revision),
            _ => {}
        }
    }

    /// Forgets an object.
    pub fn remove(&mut self, bucket: &str, name: &str) {
        match bucket {
            "clusters" => self.cluster = ClusterSpec::default(),
            "nodes" => drop(self.nodes.remove(name)),
            "fencedevices" => drop(self.devices.remove(name)),
            "fenceoperations" => drop(self.operations.remove(name)),
            _ => {}
        }
    }

    pub(crate) fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name).map(|held| &held.object)
    }

    pub(crate) fn device(&self, name: &str) -> Option<&FenceDevice> {
        self.devices.get(name).map(|held| &held.object)
    }

    pub(crate) fn operation(&self, name: &str) -> Option<&FenceOperation> {
        self.operations.get(name).map(|held| &held.object)
    }

    /// The host that is the same machine as a member.
    pub(crate) fn machine_of<'a>(&'a self, member: &'a str) -> &'a str {
        self.cluster
            .members
            .iter()
            .find(|declared| declared.name.as_str() == member)
            .and_then(|declared| declared.node.as_ref())
            .map_or(member, |node| node.as_str())
    }

    /// What a device last said of one of a host's outlets.
    pub(crate) fn outlet(&self, node: &str, target: &FenceTarget) -> Option<PowerState> {
        let status = self.device(target.device.as_str())?.status.as_ref()?;
        let of_host = |outlet: &&OutletStatus| {
            outlet.plug == target.plug && outlet.node.as_ref().is_some_and(|it| it.as_str() == node)
        };
        status.outlets.iter().find(of_host)?.power
    }

    /// Every place where a device is used: the host, the level, and the target.
    pub(crate) fn uses_of<'a>(
        &'a self,
        device: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str, &'a FenceTarget)> {
        self.nodes.iter().flat_map(move |(node, held)| {
            held.object
                .spec
                .fencing
                .levels
                .iter()
                .flat_map(move |level| {
                    level
                        .devices
                        .iter()
                        .filter(move |target| target.device.as_str() == device)
                        .map(move |target| (node.as_str(), level.name.as_str(), target))
                })
        })
    }
}

/// Whether a program drives devices of this type.
pub(crate) fn has_agent(type_: FenceDeviceType) -> bool {
    matches!(type_, FenceDeviceType::Agent | FenceDeviceType::Dummy)
}

/// The length of a duration that the schema has passed; one that cannot be held counts as none given.
pub(crate) fn length(text: &scalar::Duration, otherwise: Duration) -> Duration {
    text.parse().unwrap_or(otherwise)
}

fn hold<T: DeserializeOwned>(
    table: &mut BTreeMap<String, Held<T>>,
    bucket: &str,
    name: &str,
    stored: &[u8],
    revision: Revision,
) {
    if table
        .get(name)
        .is_some_and(|held| held.revision >= revision)
    {
        return;
    }
    match read(bucket, name, stored) {
        Some(object) => drop(table.insert(name.to_owned(), Held { object, revision })),
        None => drop(table.remove(name)),
    }
}

fn read<T: DeserializeOwned>(bucket: &str, name: &str, stored: &[u8]) -> Option<T> {
    serde_json::from_slice(stored)
        .map_err(|error| {
            tracing::warn!(%error, bucket, name, "an object cannot be read and is not fenced with; apply it anew");
        })
        .ok()
}
