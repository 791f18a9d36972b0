//! Objects by name: looked up by hash, gone through in order.
//!
//! A round looks at every object many times. In a large cluster a search among names that lie all over
//! the memory costs more than what is decided with what was found.

use super::{Subject, SubjectKind};
use quorate_crds::NodePlan;
use std::collections::{BTreeMap, BTreeSet, HashMap, hash_map};
use std::hash::{BuildHasherDefault, DefaultHasher};
use std::sync::Arc;

/// Hashes alike in every run; nothing is ever gone through in the order of hashes.
pub(crate) type Index<K, V> = HashMap<K, V, BuildHasherDefault<DefaultHasher>>;

/// Objects of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Table<T> {
    order: BTreeMap<Arc<str>, Arc<T>>,
    index: Index<Arc<str>, Arc<T>>,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self {
            order: BTreeMap::new(),
            index: Index::default(),
        }
    }
}

impl<T> Table<T> {
    pub(crate) fn get(&self, name: &str) -> Option<&Arc<T>> {
        self.index.get(name)
    }

    pub(crate) fn contains_key(&self, name: &str) -> bool {
        self.index.contains_key(name)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Arc<T>)> {
        self.order.iter().map(|(name, object)| (&**name, object))
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &Arc<T>> + Clone {
        self.order.values()
    }

    pub(super) fn insert(&mut self, name: &str, object: Arc<T>) {
        let name = match self.index.get_key_value(name) {
            Some((known, _)) => known.clone(),
            None => Arc::from(name),
        };
        self.index.insert(name.clone(), object.clone());
        self.order.insert(name, object);
    }

    pub(super) fn remove(&mut self, name: &str) -> Option<Arc<T>> {
        self.index.remove(name);
        self.order.remove(name)
    }
}

/// The records of one object, by host.
pub(crate) type Hosted = BTreeMap<String, Arc<NodePlan>>;

/// Records, by what they are about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    order: BTreeSet<Subject>,
    kinds: [Index<String, Hosted>; SubjectKind::COUNT],
}

impl Records {
    pub(crate) fn get(&self, subject: &Subject) -> Option<&Hosted> {
        self.kinds[subject.kind as usize].get(&subject.name)
    }

    /// All of them, in the order of their subjects.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Subject, &Hosted)> {
        let found = |subject| Some((subject, self.get(subject)?));
        self.order.iter().filter_map(found)
    }

    /// Those about subjects of one kind, in the order of their names.
    pub(crate) fn of_kind(&self, kind: SubjectKind) -> impl Iterator<Item = (&Subject, &Hosted)> {
        let all = self.order.range(Subject::new(kind, "")..);
        let of_kind = all.take_while(move |subject| subject.kind == kind);
        of_kind.filter_map(|subject| Some((subject, self.get(subject)?)))
    }

    pub(super) fn insert(&mut self, subject: Subject, record: Arc<NodePlan>) {
        let host = record.spec.node.as_str().to_owned();
        let of_kind = &mut self.kinds[subject.kind as usize];
        of_kind
            .entry(subject.name.clone())
            .or_default()
            .insert(host, record);
        self.order.insert(subject);
    }

    pub(super) fn remove(&mut self, subject: &Subject, host: &str) {
        let of_kind = &mut self.kinds[subject.kind as usize];
        if let hash_map::Entry::Occupied(mut hosted) = of_kind.entry(subject.name.clone()) {
            hosted.get_mut().remove(host);
            if hosted.get().is_empty() {
                hosted.remove();
                self.order.remove(subject);
            }
        }
    }
}
