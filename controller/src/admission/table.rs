//! Which fields claim something for their object alone.
//!
//! One line per field, so that a new field of a kind needs no code here. A test checks that every path
//! exists in the schema of its kind.

use serde_json::Value;

use super::fields::{self, Field};

/// A field whose value belongs to one object only.
pub(super) struct Claim {
    /// The kind that has the field.
    kind: &'static str,
    /// The part of the object, or the list items in it, that have the field.
    within: &'static str,
    /// The field.
    field: &'static str,
    /// The field beside it in which the value is unique; everywhere when none.
    scope: Option<&'static str>,
    /// The boolean field beside it that says that the value may be shared with others who say so.
    shared: Option<&'static str>,
    /// Claims of one space exclude each other.
    pub(super) space: &'static str,
    /// What people call it.
    pub(super) what: &'static str,
    /// The object itself may name the value more than once.
    pub(super) repeats: bool,
}

const fn claim(
    kind: &'static str,
    within: &'static str,
    field: &'static str,
    space: &'static str,
    what: &'static str,
) -> Claim {
    Claim {
        kind,
        within,
        field,
        scope: None,
        shared: None,
        space,
        what,
        repeats: false,
    }
}

impl Claim {
    const fn unique_in(mut self, scope: &'static str) -> Self {
        self.scope = Some(scope);
        self
    }

    const fn shared_by(mut self, field: &'static str) -> Self {
        self.shared = Some(field);
        self
    }

    const fn repeatable(mut self) -> Self {
        self.repeats = true;
        self
    }
}

const CLAIMS: &[Claim] = &[
    claim("Cluster", "", "kind", "cluster", "the one Cluster"),
    claim("Node", "spec", "number", "node-number", "the number"),
    claim("Node", "spec.nics[]", "mac", "mac", "the MAC address"),
    claim(
        "VirtualMachine",
        "spec.nics[]",
        "mac",
        "mac",
        "the MAC address",
    ),
    claim(
        "Node",
        "spec.fencing.levels[].devices[]",
        "plug",
        "plug",
        "the outlet",
    )
    .unique_in("device")
    .repeatable(),
    claim(
        "Network",
        "spec.hosts[]",
        "address",
        "address",
        "the address",
    ),
    claim("Network", "spec.bridge", "name", "bridge", "the bridge"),
    claim("Network", "spec.bond", "name", "bond", "the bond"),
    claim("Network", "spec", "vlan", "vlan", "the VLAN").unique_in("parent"),
    claim(
        "StoragePool",
        "spec.hosts[]",
        "devices[]",
        "device",
        "the device",
    )
    .unique_in("node"),
    claim(
        "Volume",
        "spec",
        "logicalVolume",
        "lv",
        "the logical volume",
    )
    .unique_in("pool"),
    claim("StoragePool", "spec", "volume", "volume", "the volume"),
    claim("SharedFilesystem", "spec", "volume", "volume", "the volume"),
    claim(
        "VirtualMachine",
        "spec.disks[]",
        "volume",
        "volume",
        "the volume",
    )
    .shared_by("shareable"),
];

/// The fields of `kind` that claim something.
pub(super) fn claims_of(kind: &str) -> impl Iterator<Item = &'static Claim> {
    CLAIMS.iter().filter(move |entry| entry.kind == kind)
}

impl Claim {
    /// Whether the value is unique in a scope only.
    pub(super) fn is_scoped(&self) -> bool {
        self.scope.is_some()
    }

    /// Every value claimed in `object`, with its scope and whether it may be shared.
    pub(super) fn fields<'a>(&self, object: &'a Value) -> Vec<(Field<'a>, Option<&'a str>, bool)> {
        let owners = match self.within {
            "" => vec![fields::whole(object)],
            within => fields::find(object, within),
        };
        owners
            .into_iter()
            .flat_map(|owner| {
                let beside = |name: &str| owner.value.get(name);
                let scope = self.scope.and_then(beside).and_then(Value::as_str);
                let shared = self
                    .shared
                    .and_then(beside)
                    .and_then(Value::as_bool)
                    .unwrap_or(false);
                let prefix = owner.path.clone();
                fields::find(owner.value, self.field)
                    .into_iter()
                    .map(move |field| (field.below(&prefix), scope, shared))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_field_of_the_table_exists_in_its_kind() {
        for entry in CLAIMS {
            let kind = quorate_crds::find(entry.kind).expect("the kind exists");
            let beside = [Some(entry.field), entry.scope, entry.shared];
            for field in beside.into_iter().flatten() {
                let path = format!("{}.{field}", entry.within).replace("[]", "");
                let steps = path.split('.').filter(|step| !step.is_empty());
                assert!(
                    kind.schema.root().descend(steps).is_some(),
                    "{} has no {path}",
                    entry.kind
                );
            }
        }
    }
}
