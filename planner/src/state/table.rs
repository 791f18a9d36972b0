//! Objects by name: looked up by hash, gone through in order.
//!
//! A round looks at every object many times. In a large cluster a search among names that lie all over
//! the memory costs more than what is decided with what was found.

use super::hashing::Index;
use super::record::Record;
use super::subject::About;
use super::{Subject, SubjectKind};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

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

/// The records of one object, in the order of their hosts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hosted(Vec<Arc<Record>>);

type OfHost<'a> = (&'a str, &'a Record);

impl Hosted {
    pub(crate) fn get(&self, host: &str) -> Option<&Record> {
        Some(&self.0[self.place(host).ok()?])
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = OfHost<'_>> {
        self.into_iter()
    }

    fn place(&self, host: &str) -> Result<usize, usize> {
        self.0.binary_search_by(|known| (*known.host).cmp(host))
    }
}

impl<'a> IntoIterator for &'a Hosted {
    type Item = OfHost<'a>;
    type IntoIter =
        std::iter::Map<std::slice::Iter<'a, Arc<Record>>, fn(&Arc<Record>) -> OfHost<'_>>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|record| (&*record.host, &**record))
    }
}

/// Records, by what they are about.
#[derive(Clone, Debug, Default)]
pub(crate) struct Records {
    /// Where those of each subject are.
    order: BTreeMap<Subject, usize>,
    places: [Index<String, usize>; SubjectKind::COUNT],
    all: Vec<Hosted>,
    /// Places of subjects that have none any more.
    free: Vec<usize>,
    hosts: BTreeSet<Arc<str>>,
}

impl Records {
    pub(crate) fn get(&self, about: About<'_>) -> Option<&Hosted> {
        Some(&self.all[*self.places[about.kind as usize].get(about.name)?])
    }

    /// All of them, in the order of their subjects.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Subject, &Hosted)> {
        let order = self.order.iter();
        order.map(|(subject, place)| (subject, &self.all[*place]))
    }

    /// Those about subjects of one kind, in the order of their names.
    pub(crate) fn of_kind(&self, kind: SubjectKind) -> impl Iterator<Item = (&Subject, &Hosted)> {
        let all = self.order.range(Subject::new(kind, "")..);
        let of_kind = all.take_while(move |(subject, _)| subject.kind == kind);
        of_kind.map(|(subject, place)| (subject, &self.all[*place]))
    }

    /// The name of a host, which all its records share.
    pub(super) fn host(&mut self, name: &str) -> Arc<str> {
        if let Some(known) = self.hosts.get(name) {
            return known.clone();
        }
        let new: Arc<str> = Arc::from(name);
        self.hosts.insert(new.clone());
        new
    }

    pub(super) fn insert(&mut self, subject: Subject, record: Arc<Record>) {
        let known = self.places[subject.kind as usize].get(&subject.name);
        let place = match known.copied() {
            Some(place) => place,
            None => self.make_room(subject),
        };
        let hosted = &mut self.all[place];
        match hosted.place(&record.host) {
            Ok(at) => hosted.0[at] = record,
            Err(at) => hosted.0.insert(at, record),
        }
    }

    fn make_room(&mut self, subject: Subject) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.all.push(Hosted::default());
            self.all.len() - 1
        });
        self.places[subject.kind as usize].insert(subject.name.clone(), place);
        self.order.insert(subject, place);
        place
    }

    pub(super) fn remove(&mut self, subject: &Subject, host: &str) {
        let places = &mut self.places[subject.kind as usize];
        let Some(place) = places.get(&subject.name).copied() else {
            return;
        };
        let hosted = &mut self.all[place];
        if let Ok(at) = hosted.place(host) {
            hosted.0.remove(at);
        }
        if hosted.0.is_empty() {
            places.remove(&subject.name);
            self.order.remove(subject);
            self.free.push(place);
        }
    }
}
