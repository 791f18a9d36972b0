//! Which fields name other objects.
//!
//! A schema cannot say that an object of that name must exist. Admission looks it up here, and so
//! does everything else that follows the ties between objects.

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
}

/// Kind, path of the field, kind that it names. `[]` steps through a list.
const FIELDS: [(&str, &str, &str); 39] = [
    ("Cluster", "spec.members[].node", "Node"),
    ("Cluster", "spec.quorum.headStart.preferredNode", "Node"),
    ("Cluster", "spec.replication.network", "Network"),
    ("Cluster", "spec.migration.network", "Network"),
    ("Cluster", "spec.apiNetworks[]", "Network"),
    (
        "Node",
        "spec.fencing.levels[].devices[].device",
        "FenceDevice",
    ),
    (
        "FenceDevice",
        "spec.secretParameters[].from.secret",
        "Secret",
    ),
    ("FenceOperation", "spec.node", "Node"),
    ("FenceOperation", "spec.device", "FenceDevice"),
    ("Network", "spec.parent", "Network"),
    ("Network", "spec.hosts[].node", "Node"),
    ("StoragePool", "spec.hosts[].node", "Node"),
    ("StoragePool", "spec.volume", "Volume"),
    ("Volume", "spec.pool", "StoragePool"),
    ("Volume", "spec.nodes[]", "Node"),
    ("Volume", "spec.replication.metadataPool", "StoragePool"),
    ("Volume", "spec.replication.network", "Network"),
    (
        "Volume",
        "spec.replication.authentication.secret.secret",
        "Secret",
    ),
    ("Volume", "spec.resync.after", "Volume"),
    ("Volume", "spec.resolve.discard", "Node"),
    ("Volume", "spec.source.snapshot", "VolumeSnapshot"),
    ("Volume", "spec.source.volume", "Volume"),
    ("VolumeSnapshot", "spec.volume", "Volume"),
    ("VolumeSnapshot", "spec.node", "Node"),
    ("SharedFilesystem", "spec.volume", "Volume"),
    ("SharedFilesystem", "spec.nodes[]", "Node"),
    ("FailoverDomain", "spec.nodes[].node", "Node"),
    ("VirtualMachine", "spec.disks[].volume", "Volume"),
    ("VirtualMachine", "spec.disks[].pool", "StoragePool"),
    (
        "VirtualMachine",
        "spec.disks[].file.filesystem",
        "SharedFilesystem",
    ),
    ("VirtualMachine", "spec.nics[].network", "Network"),
    ("VirtualMachine", "spec.display.password.secret", "Secret"),
    (
        "VirtualMachine",
        "spec.placement.failoverDomain",
        "FailoverDomain",
    ),
    (
        "VirtualMachine",
        "spec.placement.togetherWith[].guest",
        "VirtualMachine",
    ),
    (
        "VirtualMachine",
        "spec.placement.apartFrom[].guest",
        "VirtualMachine",
    ),
    (
        "VirtualMachine",
        "spec.start.after[].guest",
        "VirtualMachine",
    ),
    (
        "VirtualMachineMigration",
        "spec.virtualMachine",
        "VirtualMachine",
    ),
    ("VirtualMachineMigration", "spec.target", "Node"),
    ("RoleBinding", "spec.role", "Role"),
];

/// The fields of objects of `kind` that name other objects: the path, with `[]` for every step
/// through a list, and the kind named.
pub fn fields(kind: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    FIELDS
        .iter()
        .filter(move |(owner, _, _)| *owner == kind)
        .map(|(_, path, target)| (*path, *target))
}

/// Every object that the spec of `object`, of kind `kind`, names.
#[must_use]
pub fn of(kind: &str, object: &Value) -> Vec<Reference> {
    let mut found = Vec::new();
    for (path, target) in fields(kind) {
        let steps: Vec<&str> = path.split('.').collect();
        follow(object, &steps, String::new(), target, &mut found);
    }
    found
}

fn follow(
    value: &Value,
    steps: &[&str],
    path: String,
    kind: &'static str,
    found: &mut Vec<Reference>,
) {
    let Some((step, rest)) = steps.split_first() else {
        if let Some(name) = value.as_str() {
            found.push(Reference {
                path,
                kind,
                name: name.to_owned(),
            });
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
            follow(item, rest, format!("{path}[{index}]"), kind, found);
        }
    } else {
        follow(inner, rest, path, kind, found);
    }
}
