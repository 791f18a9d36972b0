//! The records as they are wanted.
//!
//! Nearly all are wanted as they are written. Of these nothing is kept but that they are wanted.

use crate::state::{ClusterState, Hosted, Index, Marks, Record, Subject};
use quorate_crds::Assignment;
use std::collections::BTreeMap;

/// What every host is to be told.
#[derive(Default)]
pub(crate) struct Assignments {
    /// The records, by where they lie, that are wanted as they are.
    kept: Marks<usize>,
    /// Those of them that are not for a later boot of their host.
    left: Marks<usize>,
    new: Index<Subject, BTreeMap<String, Box<Assignment>>>,
}

impl Assignments {
    pub(crate) fn keep(&mut self, subject: &Subject, host: &str, record: &Record) {
        self.kept.insert(std::ptr::from_ref(record).addr());
        if let Some(hosts) = self.new.get_mut(subject) {
            hosts.remove(host);
        }
    }

    pub(crate) fn leave(&mut self, subject: &Subject, host: &str, record: &Record) {
        self.keep(subject, host, record);
        self.left.insert(std::ptr::from_ref(record).addr());
    }

    /// Whether the record is wanted for no boot but its own.
    pub(crate) fn leaves(&self, record: &Record) -> bool {
        self.left.contains(&std::ptr::from_ref(record).addr())
    }

    pub(crate) fn write(&mut self, subject: &Subject, host: &str, assignment: Assignment) {
        let hosts = self.new.entry(subject.clone()).or_default();
        hosts.insert(host.to_owned(), Box::new(assignment));
    }

    /// Whether the record is wanted just as it is.
    pub(crate) fn keeps(&self, subject: &Subject, host: &str, record: &Record) -> bool {
        self.kept.contains(&std::ptr::from_ref(record).addr()) && !self.writes(subject, host)
    }

    /// Whether that host is told something new about it.
    pub(crate) fn writes(&self, subject: &Subject, host: &str) -> bool {
        !self.new.is_empty()
            && self
                .new
                .get(subject)
                .is_some_and(|hosts| hosts.contains_key(host))
    }

    /// What is new, in the order of subjects and hosts.
    pub(crate) fn fresh(&self) -> impl Iterator<Item = (&Subject, &str, &Assignment)> {
        let mut new: Vec<_> = self.new.iter().collect();
        new.sort_by_key(|(subject, _)| *subject);
        new.into_iter().flat_map(|(subject, hosts)| {
            let hosts = hosts.iter();
            hosts.map(move |(host, assignment)| (subject, host.as_str(), &**assignment))
        })
    }

    /// The hosts that are told of it.
    pub(crate) fn hosts(&self, state: &ClusterState, subject: &Subject) -> Vec<String> {
        let records = state.records_of(subject).into_iter().flat_map(Hosted::iter);
        let kept = records.filter(|(host, record)| self.keeps(subject, host, record));
        let new = self.new.get(subject).into_iter().flat_map(BTreeMap::keys);
        let kept = kept.map(|(host, _)| host.to_owned());
        kept.chain(new.cloned()).collect()
    }
}
