//! Who owns whom. Pure: facts in, work out.

use std::collections::{BTreeMap, BTreeSet};

use quorate_store::{Key, Revision};
use serde_json::Value;

use crate::resource::object;

/// One reference to an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) uid: String,
    pub(super) blocks: bool,
}

/// What the collector knows of one object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) uid: String,
    /// When the object was last changed.
    pub(super) revision: Revision,
    pub(super) owners: Vec<Owner>,
    pub(super) deleting: bool,
    pub(super) foreground: bool,
    pub(super) orphan: bool,
}

/// What should be done next. It is right for the object as of `revision` only: somebody may give it another owner
/// before its turn comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// No owner is left.
    Delete {
        key: Key,
        revision: Revision,
        foreground: bool,
    },
    /// Some owners are gone, others are not: forget these.
    Forget {
        key: Key,
        revision: Revision,
        owners: Vec<String>,
    },
    /// Nothing holds the owner any more: take the finalizer off.
    Release {
        key: Key,
        revision: Revision,
        finalizer: &'static str,
    },
}

/// All objects, by where they are, by uid, and by whom they depend on.
#[derive(Default)]
pub(super) struct Graph {
    nodes: BTreeMap<Key, Node>,
    by_uid: BTreeMap<String, Key>,
    dependants: BTreeMap<String, BTreeSet<Key>>,
    dirty: BTreeSet<Key>,
}

impl Node {
    /// What an object says about its owners and its own end.
    pub(super) fn of(object: &Value, revision: Revision) -> Self {
        let owners = object
            .pointer("/metadata/ownerReferences")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(|reference| {
                Some(Owner {
                    uid: reference.get("uid")?.as_str()?.to_owned(),
                    blocks: reference.get("blockOwnerDeletion") == Some(&Value::Bool(true)),
                })
            })
            .collect();
        Self {
            uid: object::meta_str(object, "uid")
                .unwrap_or_default()
                .to_owned(),
            revision,
            owners,
            deleting: object::is_deleting(object),
            foreground: object::finalizers(object).any(|f| f == object::FOREGROUND),
            orphan: object::finalizers(object).any(|f| f == object::ORPHAN),
        }
    }
}

impl Graph {
    /// The object at `key` is now `node`, or gone.
    pub(super) fn set(&mut self, key: Key, node: Option<Node>) {
        if let Some(old) = self.nodes.remove(&key) {
            for owner in &old.owners {
                if let Some(dependants) = self.dependants.get_mut(&owner.uid) {
                    dependants.remove(&key);
                    if dependants.is_empty() {
                        self.dependants.remove(&owner.uid);
                    }
                }
                // Its owner may have waited for it.
                self.touch_uid(&owner.uid);
            }
            if node.as_ref().is_none_or(|node| node.uid != old.uid) {
                self.by_uid.remove(&old.uid);
                self.touch_dependants(&old.uid);
            }
        }
        let Some(node) = node else { return };
        for owner in &node.owners {
            self.dependants
                .entry(owner.uid.clone())
                .or_default()
                .insert(key.clone());
            self.touch_uid(&owner.uid);
        }
        self.by_uid.insert(node.uid.clone(), key.clone());
        if node.deleting {
            self.touch_dependants(&node.uid);
        }
        self.nodes.insert(key.clone(), node);
        self.dirty.insert(key);
    }

    /// Look at this object again, and at its owners: what was to be done to it may have been for their sake.
    pub(super) fn touch(&mut self, key: Key) {
        let owners = self
            .nodes
            .get(&key)
            .into_iter()
            .flat_map(|node| &node.owners);
        let keys = owners.filter_map(|owner| self.by_uid.get(&owner.uid));
        self.dirty.extend(keys.cloned());
        self.dirty.insert(key);
    }

    /// What the changes since the last call ask for.
    pub(super) fn work(&mut self) -> Vec<Work> {
        std::mem::take(&mut self.dirty)
            .into_iter()
            .flat_map(|key| self.judge(&key))
            .collect()
    }

    fn touch_uid(&mut self, uid: &str) {
        if let Some(key) = self.by_uid.get(uid) {
            self.dirty.insert(key.clone());
        }
    }

    fn touch_dependants(&mut self, uid: &str) {
        if let Some(dependants) = self.dependants.get(uid) {
            self.dirty.extend(dependants.iter().cloned());
        }
    }

    fn dependants_of(&self, uid: &str) -> impl Iterator<Item = (&Key, &Node)> {
        self.dependants
            .get(uid)
            .into_iter()
            .flatten()
            .filter_map(|key| Some((key, self.nodes.get(key)?)))
    }

    fn judge(&self, key: &Key) -> Vec<Work> {
        let Some(node) = self.nodes.get(key) else {
            return Vec::new();
        };
        if node.deleting {
            return self.judge_deleting(key, node);
        }
        if node.owners.is_empty() {
            return Vec::new();
        }
        let mut solid = 0;
        let mut waiting = Vec::new();
        let mut absent = Vec::new();
        for owner in &node.owners {
            match self
                .by_uid
                .get(&owner.uid)
                .and_then(|key| self.nodes.get(key))
            {
                None => absent.push(owner.uid.clone()),
                Some(found) if found.deleting && found.foreground => {
                    waiting.push(owner.uid.clone());
                }
                Some(_) => solid += 1,
            }
        }
        if absent.is_empty() && waiting.is_empty() {
            return Vec::new();
        }
        let revision = node.revision;
        if solid > 0 {
            absent.append(&mut waiting);
            return vec![Work::Forget {
                key: key.clone(),
                revision,
                owners: absent,
            }];
        }
        vec![Work::Delete {
            key: key.clone(),
            revision,
            foreground: !waiting.is_empty() && self.dependants_of(&node.uid).next().is_some(),
        }]
    }

    fn judge_deleting(&self, key: &Key, node: &Node) -> Vec<Work> {
        if node.orphan {
            let children: Vec<Work> = self
                .dependants_of(&node.uid)
                .map(|(key, child)| Work::Forget {
                    key: key.clone(),
                    revision: child.revision,
                    owners: vec![node.uid.clone()],
                })
                .collect();
            if !children.is_empty() {
                return children;
            }
            return vec![Work::Release {
                key: key.clone(),
                revision: node.revision,
                finalizer: object::ORPHAN,
            }];
        }
        if !node.foreground {
            return Vec::new();
        }
        let blocked = self.dependants_of(&node.uid).any(|(_, child)| {
            child
                .owners
                .iter()
                .any(|owner| owner.uid == node.uid && owner.blocks)
        });
        if blocked {
            return Vec::new();
        }
        vec![Work::Release {
            key: key.clone(),
            revision: node.revision,
            finalizer: object::FOREGROUND,
        }]
    }
}

#[cfg(test)]
mod tests {
    use quorate_store::Bucket;

    use super::*;

    fn key(name: &str) -> Key {
        Key::new(Bucket::new("volumes"), name)
    }

    fn node(uid: &str, owners: &[(&str, bool)]) -> Node {
        Node {
            uid: uid.into(),
            owners: owners
                .iter()
                .map(|(uid, blocks)| Owner {
                    uid: (*uid).into(),
                    blocks: *blocks,
                })
                .collect(),
            ..Node::default()
        }
    }

    fn settled(objects: &[(&str, Node)]) -> Graph {
        let mut graph = Graph::default();
        for (name, node) in objects {
            graph.set(key(name), Some(node.clone()));
        }
        assert_eq!(graph.work(), [], "nothing to do at first");
        graph
    }

    #[test]
    fn a_dependant_goes_when_its_last_owner_is_gone() {
        let mut graph = settled(&[
            ("a", node("A", &[])),
            ("b", node("B", &[])),
            ("child", node("C", &[("A", false), ("B", false)])),
        ]);

        graph.set(key("a"), None);
        assert_eq!(
            graph.work(),
            [Work::Forget {
                key: key("child"),
                revision: 0,
                owners: vec!["A".into()]
            }]
        );
        graph.set(key("child"), Some(node("C", &[("B", false)])));
        graph.set(key("b"), None);
        assert_eq!(
            graph.work(),
            [Work::Delete {
                key: key("child"),
                revision: 0,
                foreground: false
            }]
        );
    }

    #[test]
    fn an_owner_of_the_same_name_and_another_uid_is_no_owner() {
        let mut graph = settled(&[("a", node("A", &[])), ("child", node("C", &[("A", false)]))]);
        graph.set(key("a"), Some(node("A2", &[])));
        assert!(
            matches!(graph.work().as_slice(), [Work::Delete { key: gone, .. }] if *gone == key("child"))
        );
    }

    #[test]
    fn foreground_waits_for_the_dependants_that_block_and_for_no_others() {
        let mut graph = settled(&[
            ("a", node("A", &[])),
            ("blocking", node("B", &[("A", true)])),
            ("other", node("O", &[("A", false)])),
        ]);

        let dying = Node {
            deleting: true,
            foreground: true,
            ..node("A", &[])
        };
        graph.set(key("a"), Some(dying));
        let work = graph.work();
        assert_eq!(work.len(), 2, "both dependants are deleted: {work:?}");

        graph.set(key("blocking"), None);
        assert_eq!(
            graph.work(),
            [Work::Release {
                key: key("a"),
                revision: 0,
                finalizer: object::FOREGROUND
            }]
        );
    }

    #[test]
    fn what_was_decided_holds_only_for_the_object_as_it_was_then() {
        let mut graph = settled(&[("a", node("A", &[]))]);
        let child = Node {
            revision: 7,
            ..node("C", &[("gone", false)])
        };
        graph.set(key("child"), Some(child));
        assert!(matches!(
            graph.work().as_slice(),
            [Work::Delete { revision: 7, .. }]
        ));
        let adopted = Node {
            revision: 8,
            ..node("C", &[("A", false)])
        };
        graph.set(key("child"), Some(adopted));
        assert_eq!(graph.work(), [], "a living owner has adopted it");
    }

    #[test]
    fn a_dependant_that_could_not_be_let_go_is_tried_again() {
        let mut graph = settled(&[("a", node("A", &[])), ("child", node("C", &[("A", false)]))]);
        let dying = Node {
            deleting: true,
            orphan: true,
            ..node("A", &[])
        };
        graph.set(key("a"), Some(dying));
        let work = graph.work();
        assert!(matches!(work.as_slice(), [Work::Forget { .. }]));

        graph.touch(key("child"));
        assert_eq!(graph.work(), work);
    }

    #[test]
    fn an_orphaning_owner_is_let_go_once_it_is_forgotten() {
        let mut graph = settled(&[("a", node("A", &[])), ("child", node("C", &[("A", false)]))]);
        let dying = Node {
            deleting: true,
            orphan: true,
            ..node("A", &[])
        };
        graph.set(key("a"), Some(dying));
        assert!(matches!(graph.work().as_slice(), [Work::Forget { .. }]));

        graph.set(key("child"), Some(node("C", &[])));
        assert!(matches!(
            graph.work().as_slice(),
            [Work::Release { finalizer, .. }] if *finalizer == object::ORPHAN
        ));
    }
}
