//! Everything that decisions rest on, parsed once and kept up to date object by object.

mod hashing;
mod record;
mod subject;
mod table;

pub(crate) use hashing::{Index, Marks};
pub(crate) use record::{Record, Word};
pub(crate) use subject::About;
pub use subject::{Subject, SubjectKind};
pub(crate) use table::{Hosted, Table};

use quorate_crds::{
    Cluster, ConnectionState, FailoverDomain, FenceDevice, FenceOperation, Network, Node, NodePlan,
    SharedFilesystem, StoragePool, SyncProgress, VirtualMachine, VirtualMachineMigration, Volume,
    VolumeSnapshot,
};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::Arc;
use table::Records;

/// An object that cannot be taken into account.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// It is not what its kind says. Trying again does not help: it must be written anew.
    #[error("{kind} {name:?} cannot be read: apply it again, or delete it")]
    Unreadable {
        /// The kind.
        kind: String,
        /// The name.
        name: String,
        /// What is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// It has no kind or no name.
    #[error("found an object without {field}; every object has kind and metadata.name")]
    Nameless {
        /// What is missing.
        field: &'static str,
    },
}

/// A snapshot of all objects. Cloning it is cheap enough for a trial: objects are shared.
#[derive(Clone, Debug, Default)]
pub struct ClusterState {
    pub(crate) cluster: Option<Arc<Cluster>>,
    pub(crate) nodes: Table<Node>,
    pub(crate) domains: Table<FailoverDomain>,
    pub(crate) networks: Table<Network>,
    pub(crate) pools: Table<StoragePool>,
    pub(crate) volumes: Table<Volume>,
    pub(crate) snapshots: Table<VolumeSnapshot>,
    pub(crate) filesystems: Table<SharedFilesystem>,
    pub(crate) guests: Table<VirtualMachine>,
    pub(crate) migrations: Table<VirtualMachineMigration>,
    pub(crate) operations: Table<FenceOperation>,
    pub(crate) devices: Table<FenceDevice>,
    pub(crate) heads: Table<Record>,
    pub(crate) records: Records,
    plans: Table<Record>,
    version: u64,
}

impl ClusterState {
    /// A state of these objects. Kinds that no decision rests on are passed over.
    ///
    /// # Errors
    /// When one of them is not what its kind says.
    pub fn of<'a>(objects: impl IntoIterator<Item = &'a Value>) -> Result<Self, StateError> {
        let mut state = Self::default();
        for object in objects {
            state.put(object)?;
        }
        Ok(state)
    }

    /// Takes an object in place of the one of the same name, and says whether anything that
    /// decisions rest on is different now. Figures that always move are not looked at.
    ///
    /// # Errors
    /// When it is not what its kind says; the former one stays.
    pub fn put(&mut self, object: &Value) -> Result<bool, StateError> {
        let kind = object["kind"]
            .as_str()
            .ok_or(StateError::Nameless { field: "kind" })?;
        let name = object["metadata"]["name"]
            .as_str()
            .ok_or(StateError::Nameless {
                field: "metadata.name",
            })?;
        let changed = match kind {
            "Cluster" => {
                let new = Arc::new(read(kind, name, object)?);
                let changed = self.cluster.as_ref() != Some(&new);
                self.cluster = Some(new);
                changed
            }
            "Node" => replace(
                &mut self.nodes,
                name,
                steady_node(read(kind, name, object)?),
            ),
            "FailoverDomain" => replace(&mut self.domains, name, read(kind, name, object)?),
            "Network" => replace(&mut self.networks, name, read(kind, name, object)?),
            "StoragePool" => replace(&mut self.pools, name, read(kind, name, object)?),
            "Volume" => replace(
                &mut self.volumes,
                name,
                steady_volume(read(kind, name, object)?),
            ),
            "VolumeSnapshot" => replace(&mut self.snapshots, name, read(kind, name, object)?),
            "SharedFilesystem" => replace(&mut self.filesystems, name, read(kind, name, object)?),
            "VirtualMachine" => replace(&mut self.guests, name, read(kind, name, object)?),
            "VirtualMachineMigration" => {
                replace(&mut self.migrations, name, read(kind, name, object)?)
            }
            "FenceOperation" => replace(&mut self.operations, name, read(kind, name, object)?),
            "FenceDevice" => replace(
                &mut self.devices,
                name,
                steady_device(read(kind, name, object)?),
            ),
            "NodePlan" => self.put_plan(name, steady_plan(read(kind, name, object)?)),
            _ => false,
        };
        self.version += u64::from(changed);
        Ok(changed)
    }

    /// Forgets an object, and says whether it was known.
    pub fn remove(&mut self, kind: &str, name: &str) -> bool {
        let known = match kind {
            "Cluster" => self.cluster.take().is_some(),
            "Node" => self.nodes.remove(name).is_some(),
            "FailoverDomain" => self.domains.remove(name).is_some(),
            "Network" => self.networks.remove(name).is_some(),
            "StoragePool" => self.pools.remove(name).is_some(),
            "Volume" => self.volumes.remove(name).is_some(),
            "VolumeSnapshot" => self.snapshots.remove(name).is_some(),
            "SharedFilesystem" => self.filesystems.remove(name).is_some(),
            "VirtualMachine" => self.guests.remove(name).is_some(),
            "VirtualMachineMigration" => self.migrations.remove(name).is_some(),
            "FenceOperation" => self.operations.remove(name).is_some(),
            "FenceDevice" => self.devices.remove(name).is_some(),
            "NodePlan" => self.remove_plan(name),
            _ => false,
        };
        self.version += u64::from(known);
        known
    }

    /// Rises whenever something changed that decisions rest on: as long as it stands still, and the
    /// last decisions' `wake_at` has not come, planning again gives nothing new.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All records of plans, heads included.
    pub fn plans(&self) -> impl Iterator<Item = &NodePlan> {
        self.plans.values().map(|record| record.plan())
    }

    /// The guests.
    pub fn guests(&self) -> impl Iterator<Item = &VirtualMachine> {
        self.guests.values().map(AsRef::as_ref)
    }

    /// The volumes.
    pub fn volumes(&self) -> impl Iterator<Item = &Volume> {
        self.volumes.values().map(AsRef::as_ref)
    }

    /// The hosts.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().map(AsRef::as_ref)
    }

    /// The networks.
    pub fn networks(&self) -> impl Iterator<Item = &Network> + Clone {
        self.networks.values().map(AsRef::as_ref)
    }

    /// The migrations.
    pub fn migrations(&self) -> impl Iterator<Item = &VirtualMachineMigration> {
        self.migrations.values().map(AsRef::as_ref)
    }

    /// The fence operations.
    pub fn operations(&self) -> impl Iterator<Item = &FenceOperation> {
        self.operations.values().map(AsRef::as_ref)
    }

    pub(crate) fn records_of<'s>(&self, about: impl Into<About<'s>>) -> Option<&Hosted> {
        self.records.get(about.into())
    }

    pub(crate) fn record<'s>(&self, about: impl Into<About<'s>>, host: &str) -> Option<&Record> {
        self.records.get(about.into())?.get(host)
    }

    pub(crate) fn put_plan(&mut self, name: &str, plan: NodePlan) -> bool {
        let known = self.plans.get(name);
        if known.is_some_and(|known| *known.plan() == plan) {
            return false;
        }
        self.remove_plan(name);
        let host = self.records.host(plan.spec.node.as_str());
        let plan = Arc::new(Record::of(plan, host));
        match plan.spec.assignment.as_ref().map(Subject::of) {
            Some(Some(subject)) => self.records.insert(subject, plan.clone()),
            Some(None) => {}
            None => self.heads.insert(plan.spec.node.as_str(), plan.clone()),
        }
        self.plans.insert(name, plan);
        true
    }

    fn remove_plan(&mut self, name: &str) -> bool {
        let Some(plan) = self.plans.remove(name) else {
            return false;
        };
        let host = plan.spec.node.as_str();
        match plan.spec.assignment.as_ref().map(Subject::of) {
            Some(None) => {}
            Some(Some(subject)) => self.records.remove(&subject, host),
            None => {
                self.heads.remove(host);
            }
        }
        true
    }
}

fn read<T: DeserializeOwned>(kind: &str, name: &str, object: &Value) -> Result<T, StateError> {
    T::deserialize(object).map_err(|source| StateError::Unreadable {
        kind: kind.to_owned(),
        name: name.to_owned(),
        source,
    })
}

fn replace<T: PartialEq>(table: &mut Table<T>, name: &str, new: T) -> bool {
    if table.get(name).is_some_and(|old| **old == new) {
        return false;
    }
    table.insert(name, Arc::new(new));
    true
}

fn steady_node(mut node: Node) -> Node {
    node.metadata.resource_version = None;
    node.metadata.managed_fields = None;
    if let Some(status) = &mut node.status {
        status.clock = None;
        status.nics.clear();
        for ring in &mut status.rings {
            ring.round_trip = None;
        }
    }
    node
}

/// Of a device only what people want of it counts here.
fn steady_device(mut device: FenceDevice) -> FenceDevice {
    device.metadata.resource_version = None;
    device.metadata.managed_fields = None;
    device.status = None;
    device
}

fn steady_volume(mut volume: Volume) -> Volume {
    volume.metadata.resource_version = None;
    volume.metadata.managed_fields = None;
    if let Some(status) = &mut volume.status {
        for replica in &mut status.replicas {
            replica.out_of_sync = None;
        }
    }
    volume
}

fn steady_plan(mut plan: NodePlan) -> NodePlan {
    plan.metadata.resource_version = None;
    plan.metadata.managed_fields = None;
    if let Some(status) = &mut plan.status {
        status.attempts = None;
        for link in &mut status.links {
            link.round_trip = None;
        }
        if let Some(replica) = &mut status.replica {
            // A host of another release may tell it finer.
            replica.sync = replica.sync.as_ref().map(SyncProgress::stored);
            // Of one that has split it is what it has written alone.
            let alone = Some(ConnectionState::StandAlone);
            if !replica.peers.iter().any(|peer| peer.connection == alone) {
                replica.out_of_sync = None;
            }
        }
        if let Some(pool) = &mut status.pool {
            pool.free = None;
        }
    }
    plan
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn catching_up(percent: u32) -> Value {
        json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": "NodePlan", "metadata": {"name": "an1.volume.web"},
            "spec": {"node": "an1", "planGeneration": 1, "incarnation": 1, "term": 1},
            "status": {"replica": {
                "node": "an1", "disk": "Inconsistent", "outOfSync": format!("{}Mi", 100 - percent),
                "sync": {"percent": percent, "rate": format!("{percent}Mi"), "remaining": format!("{percent}s")},
            }},
        })
    }

    #[test]
    fn figures_that_always_move_are_a_change_only_now_and_then() {
        let mut state = ClusterState::of([&catching_up(0)]).expect("a record");
        let changes = (1..=99).filter(|percent| {
            let further = catching_up(*percent);
            state
                .put(&further)
                .expect("the same record, a little further")
        });
        assert_eq!(changes.collect::<Vec<u32>>(), [20, 40, 60, 80]);
    }

    #[test]
    fn an_object_that_cannot_be_read_is_named() {
        let broken = json!({"kind": "Volume", "metadata": {"name": "web"}, "spec": {"size": 3}});
        let error = ClusterState::of([&broken]).expect_err("a size is text");
        assert_eq!(
            error.to_string(),
            "Volume \"web\" cannot be read: apply it again, or delete it"
        );
    }
}
