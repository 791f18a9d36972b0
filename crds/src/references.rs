//! Which fields name other objects.
//!
//! A schema cannot say that an object of that name must exist. Admission looks it up here, and so
//! does everything else that follows the ties between objects.

use Tie::{Mentions, Needs, Starts};
use serde_json::Value;

/// A field that names another object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// The field, as `spec.disks[1].volume`.
    pub path: String,
    /// The kind of the object that it names.
    pub kind: &'static str,
    /// The object's name.
    pub name: String,
    /// How strongly this object is tied to it.
    pub tie: Tie,
}

/// How strongly an object is tied to another one that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tie {
    /// It cannot do without: the other one must exist, and stays while this one names it.
    Needs,
    /// The other one must exist when this one is written, and may go later: a record of a fence
    /// operation outlives the host.
    Starts,
    /// Either may come and go: two guests that are kept apart name each other.
    Mentions,
}

/// Kind, path of the field, kind that it names, tie. `[]` steps through a list.
const FIELDS: [(&str, &str, &str, Tie); 39] = [
    ("Cluster", "spec.members[].node", "Node", Mentions),
    (
        "Cluster",
        "spec.quorum.headStart.preferredNode",
        "Node",
        Mentions,
    ),
    ("Cluster", "spec.replication.network", "Network", Mentions),
    ("Cluster", "spec.migration.network", "Network", Mentions),
    ("Cluster", "spec.apiNetworks[]", "Network", Mentions),
    (
        "Node",
        "spec.fencing.levels[].devices[].device",
        "FenceDevice",
        Needs,
    ),
    (
        "FenceDevice",
        "spec.secretParameters[].from.secret",
        "Secret",
        Needs,
    ),
    ("FenceOperation", "spec.node", "Node", Starts),
    ("FenceOperation", "spec.device", "FenceDevice", Starts),
    ("Network", "spec.parent", "Network", Needs),
    ("Network", "spec.hosts[].node", "Node", Needs),
    ("StoragePool", "spec.hosts[].node", "Node", Needs),
    ("StoragePool", "spec.volume", "Volume", Needs),
    ("Volume", "spec.pool", "StoragePool", Needs),
    ("Volume", "spec.nodes[]", "Node", Needs),
    (
        "Volume",
        "spec.replication.metadataPool",
        "StoragePool",
        Needs,
    ),
    ("Volume", "spec.replication.network", "Network", Needs),
    (
        "Volume",
        "spec.replication.authentication.secret.secret",
        "Secret",
        Needs,
    ),
    ("Volume", "spec.resync.after", "Volume", Starts),
    ("Volume", "spec.resolve.discard", "Node", Starts),
    ("Volume", "spec.source.snapshot", "VolumeSnapshot", Starts),
    ("Volume", "spec.source.volume", "Volume", Starts),
    ("VolumeSnapshot", "spec.volume", "Volume", Needs),
    ("VolumeSnapshot", "spec.node", "Node", Starts),
    ("SharedFilesystem", "spec.volume", "Volume", Needs),
    ("SharedFilesystem", "spec.nodes[]", "Node", Needs),
    ("FailoverDomain", "spec.nodes[].node", "Node", Needs),
    ("VirtualMachine", "spec.disks[].volume", "Volume", Needs),
    ("VirtualMachine", "spec.disks[].pool", "StoragePool", Needs),
    (
        "VirtualMachine",
        "spec.disks[].file.filesystem",
        "SharedFilesystem",
        Needs,
    ),
    ("VirtualMachine", "spec.nics[].network", "Network", Needs),
    (
        "VirtualMachine",
        "spec.display.password.secret",
        "Secret",
        Needs,
    ),
    (
        "VirtualMachine",
        "spec.placement.failoverDomain",
        "FailoverDomain",
        Needs,
    ),
    (
        "VirtualMachine",
        "spec.placement.togetherWith[].guest",
        "VirtualMachine",
        Mentions,
    ),
    (
        "VirtualMachine",
        "spec.placement.apartFrom[].guest",
        "VirtualMachine",
        Mentions,
    ),
    (
        "VirtualMachine",
        "spec.start.after[].guest",
        "VirtualMachine",
        Mentions,
    ),
    (
        "VirtualMachineMigration",
        "spec.virtualMachine",
        "VirtualMachine",
        Starts,
    ),
    ("VirtualMachineMigration", "spec.target", "Node", Starts),
    ("RoleBinding", "spec.role", "Role", Mentions),
];

/// The fields of objects of `kind` that name other objects: the path, with `[]` for every step
/// through a list, and the kind named.
pub fn fields(kind: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FIELDS
        .iter()
        .filter(move |(owner, ..)| *owner == kind)
        .map(|(_, path, target, _)| (*path, *target))
}

/// Every object that the spec of `object`, of kind `kind`, names.
#[must_use]
pub fn of(kind: &str, object: &Value) -> Vec<Reference> {
    let mut found = Vec::new();
    for (_, path, target, tie) in FIELDS.iter().filter(|(owner, ..)| *owner == kind) {
        let steps: Vec<&str> = path.split('.').collect();
        let mut names = Vec::new();
        follow(object, &steps, String::new(), &mut names);
        found.extend(names.into_iter().map(|(path, name)| Reference {
            path,
            kind: target,
            name,
            tie: *tie,
        }));
    }
    found
}

fn follow(value: &Value, steps: &[&str], path: String, names: &mut Vec<(String, String)>) {
    let Some((step, rest)) = steps.split_first() else {
        if let Some(name) = value.as_str() {
            names.push((path, name.to_owned()));
        }
        return;
    };
    let field = step.strip_suffix("[]").unwrap_or(step);
    let Some(inner) = value.get(field) else {
        return;
    };
    let dot = if path.is_empty() { "" } else { "." };
    let path = format!("{path}{dot}{field}");
    if step.ends_with("[]") {
        for (index, item) in inner.as_array().into_iter().flatten().enumerate() {
            follow(item, rest, format!("{path}[{index}]"), names);
        }
    } else {
        follow(inner, rest, path, names);
    }
}
