//! The order in which objects can be made: what is named comes before what names it.
//!
//! The server refuses a reference to nothing, so a directory is applied in this order and deleted in
//! the opposite one. Files may be split and named as people like.

use std::collections::HashMap;

use quorate_crds::references;
use serde_json::Value;

use crate::object;

/// Kinds as a platform is built; decides among objects that do not name each other.
const KINDS: [&str; 16] = [
    "Role",
    "RoleBinding",
    "Secret",
    "FenceDevice",
    "Node",
    "Network",
    "Cluster",
    "FailoverDomain",
    "StoragePool",
    "Volume",
    "VolumeSnapshot",
    "SharedFilesystem",
    "VirtualMachine",
    "VirtualMachineMigration",
    "FenceOperation",
    "NodePlan",
];

/// The place of a kind in the building of a platform.
pub(crate) fn rank(kind: &str) -> usize {
    KINDS
        .iter()
        .position(|known| *known == kind)
        .unwrap_or(KINDS.len())
}

/// Put items into the order in which their objects can be made.
pub(crate) fn for_creation<T>(mut items: Vec<T>, object: impl Fn(&T) -> &Value) -> Vec<T> {
    items.sort_by_key(|item| rank(object::kind(object(item))));
    let places: HashMap<(String, String), usize> = items
        .iter()
        .enumerate()
        .map(|(place, item)| {
            let object = object(item);
            (
                (
                    object::kind(object).to_owned(),
                    object::name(object).to_owned(),
                ),
                place,
            )
        })
        .collect();
    let named: Vec<Vec<usize>> = items
        .iter()
        .map(|item| {
            let object = object(item);
            let references = references::of(object::kind(object), object).into_iter();
            references
                .filter_map(|reference| {
                    places
                        .get(&(reference.kind.to_owned(), reference.name))
                        .copied()
                })
                .collect()
        })
        .collect();
    let mut order = Vec::with_capacity(items.len());
    let mut seen = vec![false; items.len()];
    for place in 0..items.len() {
        visit(place, &named, &mut seen, &mut order);
    }
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    order
        .into_iter()
        .filter_map(|place| items[place].take())
        .collect()
}

// Depth first, with a stack of our own: a chain of references may be as long as a manifest. Objects that
// name each other in a circle come in the order in which they are met.
fn visit(start: usize, named: &[Vec<usize>], seen: &mut [bool], order: &mut Vec<usize>) {
    if std::mem::replace(&mut seen[start], true) {
        return;
    }
    let mut stack = vec![(start, 0)];
    while let Some((place, next)) = stack.last_mut() {
        match named[*place].get(*next) {
            Some(&target) => {
                *next += 1;
                if !std::mem::replace(&mut seen[target], true) {
                    stack.push((target, 0));
                }
            }
            None => {
                order.push(*place);
                stack.pop();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ordered(objects: Vec<Value>) -> Vec<String> {
        for_creation(objects, |object| object)
            .iter()
            .map(object::reference)
            .collect()
    }

    fn volume(name: &str, after: Option<&str>) -> Value {
        json!({"kind": "Volume", "metadata": {"name": name}, "spec": {"pool": "fast", "resync": {"after": after}}})
    }

    #[test]
    fn what_is_named_comes_first_within_a_kind_and_across_kinds() {
        let nested =
            json!({"kind": "StoragePool", "metadata": {"name": "nested"}, "spec": {"volume": "b"}});
        let fast = json!({"kind": "StoragePool", "metadata": {"name": "fast"}, "spec": {}});
        let objects = vec![volume("a", Some("b")), nested, volume("b", None), fast];
        assert_eq!(
            ordered(objects),
            [
                "storagepool/fast",
                "volume/b",
                "storagepool/nested",
                "volume/a"
            ]
        );
    }

    #[test]
    fn objects_that_name_each_other_are_kept_all() {
        assert_eq!(
            ordered(vec![volume("a", Some("b")), volume("b", Some("a"))]),
            ["volume/b", "volume/a"]
        );
    }

    #[test]
    fn the_order_of_kinds_follows_their_references() {
        // A pool may lie on a volume and a volume may begin as a snapshot; there objects decide.
        const BOTH_WAYS: [(&str, &str); 2] =
            [("StoragePool", "Volume"), ("Volume", "VolumeSnapshot")];
        for kind in quorate_crds::kinds() {
            for (field, target) in references::fields(kind.kind) {
                let fits =
                    rank(target) <= rank(kind.kind) || BOTH_WAYS.contains(&(kind.kind, target));
                assert!(
                    fits,
                    "{}.{field} names a {target}, which comes later",
                    kind.kind
                );
            }
        }
    }
}
