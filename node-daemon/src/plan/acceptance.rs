use super::Remembered;
use crate::mistake::{Mistake, makes};
use quorate_crds::{
    Assignment, Node, NodePlan, NodePlanStatus, StoragePool, VirtualMachine, Volume,
};
use quorate_crds::{Network, SharedFilesystem};
use quorate_proto::host::v1::PlanUpdate;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use thiserror::Error;

/// Why an update of the plan was refused. Nothing of it was taken; the plan is followed anew.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum PlanError {
    /// It is older than what this host has seen before: the member that sent it lags. Another member, or the same one
    /// later, has the newer one.
    #[error(
        "the plan has generation {found} of term {term}, this host has seen {generation} of term {newest_term}"
    )]
    Older {
        /// What came.
        found: u64,
        /// Its term.
        term: u64,
        /// What was seen.
        generation: u64,
        /// In which term.
        newest_term: u64,
    },
    /// A record went back to an older generation while the plan itself did not: something was left out between.
    #[error("record {record} went from generation {seen} back to {found}")]
    RecordWentBack {
        /// The record.
        record: String,
        /// What came.
        found: u64,
        /// What was known.
        seen: u64,
    },
    /// It cannot be read. A newer release may have written it: upgrade this host.
    #[error("{what} of the plan cannot be read: {message}")]
    Unreadable {
        /// Which part.
        what: String,
        /// Why.
        message: String,
    },
}

/// A record that this host may act on.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// Its name.
    pub name: String,
    /// The generation in which it last changed.
    pub generation: u64,
    /// The term in which it was planned.
    pub term: u64,
    /// What it assigns.
    pub assignment: Arc<Assignment>,
    /// What this host, or its former incarnation, has said about it.
    pub said: Option<NodePlanStatus>,
}

/// What an update changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accepted {
    /// Records that are new or changed, or whose object came or is wanted otherwise.
    pub changed: BTreeSet<String>,
    /// Records that are gone.
    pub removed: BTreeSet<String>,
    /// Whether generation or term rose: it must be remembered before it is acknowledged or acted on.
    pub newer: bool,
}

/// The objects that records assign.
#[derive(Clone, Debug, Default)]
struct Objects {
    guests: BTreeMap<String, Arc<VirtualMachine>>,
    volumes: BTreeMap<String, Arc<Volume>>,
    networks: BTreeMap<String, Arc<Network>>,
    pools: BTreeMap<String, Arc<StoragePool>>,
    filesystems: BTreeMap<String, Arc<SharedFilesystem>>,
    /// What is wanted of each, by kind and name.
    wanted: BTreeMap<String, Arc<Value>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    generation: u64,
    term: u64,
    lowest_valid: u64,
    records: usize,
    ours: bool,
}

/// The plan of one incarnation of this host.
#[derive(Clone, Debug)]
pub struct Plan {
    host: String,
    incarnation: u64,
    generation: u64,
    term: u64,
    head: Option<Head>,
    records: BTreeMap<String, Record>,
    /// Records of other incarnations: they count, and that is all.
    foreign: BTreeSet<String>,
    objects: Objects,
    node: Option<Arc<Node>>,
}

impl Plan {
    /// Nothing yet, but what was seen before counts.
    #[must_use]
    pub fn new(host: &str, remembered: &Remembered) -> Self {
        Self {
            host: host.to_owned(),
            incarnation: remembered.incarnation,
            generation: remembered.generation,
            term: remembered.term,
            head: None,
            records: BTreeMap::new(),
            foreign: BTreeSet::new(),
            objects: Objects::default(),
            node: None,
        }
    }

    /// Takes an update in, or refuses it as a whole.
    ///
    /// # Errors
    /// When it is older than what was seen, or cannot be read.
    pub fn receive(&mut self, update: &PlanUpdate) -> Result<Accepted, PlanError> {
        let mut next = self.clone();
        let accepted = next.take_in(update)?;
        *self = next;
        Ok(accepted)
    }

    fn take_in(&mut self, update: &PlanUpdate) -> Result<Accepted, PlanError> {
        let mut accepted = Accepted::default();
        let former = self.records.clone();
        let wanted = self.objects.wanted.clone();
        if update.whole {
            self.head = None;
            self.records.clear();
            self.foreign.clear();
            self.objects = Objects::default();
        }
        for bytes in &update.objects {
            accepted
                .changed
                .extend(self.put_object(bytes, &wanted, &former)?);
        }
        for bytes in &update.records {
            let plan: NodePlan = read("a record", bytes)?;
            let Some(name) = plan.metadata.name.clone() else {
                continue;
            };
            if plan.spec.node.as_str() != self.host {
                continue;
            }
            if name == self.host {
                self.take_head(&plan)?;
                continue;
            }
            self.take_record(name, plan, &former, &mut accepted)?;
        }
        for name in &update.removed {
            self.foreign.remove(name);
            if self.records.remove(name).is_some() {
                accepted.removed.insert(name.clone());
            }
        }
        accepted.removed.extend(
            former
                .keys()
                .filter(|name| !self.records.contains_key(*name))
                .cloned(),
        );
        if !update.node.is_empty() {
            self.node = Some(Arc::new(read("the Node", &update.node)?));
        }
        let newest = self
            .head
            .map_or((0, 0), |head| (head.term, head.generation));
        accepted.newer = newest.0 > self.term || newest.1 > self.generation;
        self.term = self.term.max(newest.0);
        self.generation = self.generation.max(newest.1);
        Ok(accepted)
    }

    fn take_head(&mut self, plan: &NodePlan) -> Result<(), PlanError> {
        let spec = &plan.spec;
        let older = spec.term < self.term || spec.plan_generation < self.generation;
        if older && !makes(Mistake::StalePlanTaken) {
            return Err(PlanError::Older {
                found: spec.plan_generation,
                term: spec.term,
                generation: self.generation,
                newest_term: self.term,
            });
        }
        self.head = Some(Head {
            generation: spec.plan_generation,
            term: spec.term,
            lowest_valid: spec.lowest_valid_generation.unwrap_or(0),
            records: usize::try_from(spec.records.unwrap_or(0)).unwrap_or(usize::MAX),
            ours: self.is_ours(spec.incarnation),
        });
        Ok(())
    }

    fn is_ours(&self, incarnation: u64) -> bool {
        incarnation == self.incarnation || makes(Mistake::StalePlanTaken)
    }

    fn take_record(
        &mut self,
        name: String,
        plan: NodePlan,
        former: &BTreeMap<String, Record>,
        accepted: &mut Accepted,
    ) -> Result<(), PlanError> {
        let spec = plan.spec;
        let old = former.get(&name);
        if let Some(old) = old
            && spec.plan_generation < old.generation
            && !makes(Mistake::StalePlanTaken)
        {
            return Err(PlanError::RecordWentBack {
                record: name,
                found: spec.plan_generation,
                seen: old.generation,
            });
        }
        let ours = self.is_ours(spec.incarnation);
        let Some(assignment) = spec.assignment.filter(|_| ours) else {
            self.records.remove(&name);
            self.foreign.insert(name);
            return Ok(());
        };
        let mut said = plan.status;
        if let Some(said) = &mut said {
            // Which report brought it makes it neither newer nor older to this host.
            said.report = None;
        }
        let record = Record {
            name: name.clone(),
            generation: spec.plan_generation,
            term: spec.term,
            assignment: Arc::new(assignment),
            said,
        };
        // What we said ourselves comes back to us; that alone is no change.
        if old.is_none_or(|old| {
            old.generation != record.generation || old.assignment != record.assignment
        }) {
            accepted.changed.insert(name.clone());
        }
        self.foreign.remove(&name);
        self.records.insert(name, record);
        Ok(())
    }

    /// The records that it is news for.
    fn put_object(
        &mut self,
        bytes: &[u8],
        former: &BTreeMap<String, Arc<Value>>,
        records: &BTreeMap<String, Record>,
    ) -> Result<Vec<String>, PlanError> {
        let value: Value = read("an object", bytes)?;
        let kind = value["kind"].as_str().unwrap_or_default().to_owned();
        let name = value["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let what = format!("{kind}/{name}");
        let wanted = Arc::new(wanted(&value));
        let news = former.get(&what) != Some(&wanted);
        self.objects.wanted.insert(what.clone(), wanted);
        match kind.as_str() {
            "VirtualMachine" => put(&mut self.objects.guests, name.clone(), value, &what)?,
            "Volume" => put(&mut self.objects.volumes, name.clone(), value, &what)?,
            "Network" => put(&mut self.objects.networks, name.clone(), value, &what)?,
            "StoragePool" => put(&mut self.objects.pools, name.clone(), value, &what)?,
            "SharedFilesystem" => put(&mut self.objects.filesystems, name.clone(), value, &what)?,
            // A kind that this release does not know can only be assigned by records that it does not know either.
            _ => {}
        }
        let about = |record: &&Record| {
            let object = &record.assignment.object;
            news && object.kind == kind && object.name.as_str() == name
        };
        Ok(records
            .values()
            .filter(about)
            .map(|record| record.name.clone())
            .collect())
    }

    /// Whether all of it is here: only then is any of it acted on.
    #[must_use]
    pub fn complete(&self) -> bool {
        self.head.is_some_and(|head| {
            head.ours
                && (head.generation >= self.generation || makes(Mistake::StalePlanTaken))
                && head.records == self.records.len() + self.foreign.len()
                && self
                    .records
                    .values()
                    .all(|record| record.generation <= head.generation && record.term <= head.term)
        })
    }

    /// The newest generation that was accepted.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// The newest term of a leader that was seen.
    #[must_use]
    pub fn term(&self) -> u64 {
        self.term
    }

    /// The incarnation that may act on it.
    #[must_use]
    pub fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// Whether something may be activated by this plan, when a lease, or the plan itself, asks for at least that
    /// generation. A withdrawal raises it; a host that has not seen the withdrawal activates nothing.
    #[must_use]
    pub fn valid_from(&self, lowest: u64) -> bool {
        let own = self.head.map_or(0, |head| head.lowest_valid);
        let newest = self.generation >= lowest.max(own) || makes(Mistake::StalePlanTaken);
        self.complete() && newest
    }

    /// The records, by name.
    #[must_use]
    pub fn records(&self) -> &BTreeMap<String, Record> {
        &self.records
    }

    /// The host's addresses on the cluster's networks.
    #[must_use]
    pub fn addresses(&self) -> BTreeSet<IpAddr> {
        let written = |record: &Record| {
            let address = record.assignment.network.as_ref()?.address.as_ref()?;
            address.split('/').next()?.parse().ok()
        };
        self.records.values().filter_map(written).collect()
    }

    /// The host itself.
    #[must_use]
    pub fn node(&self) -> Option<&Arc<Node>> {
        self.node.as_ref()
    }

    /// The guest, in whatever generation it is here.
    #[must_use]
    pub fn guest(&self, name: &str) -> Option<&Arc<VirtualMachine>> {
        self.objects.guests.get(name)
    }

    /// Every VirtualMachine that the plan speaks of.
    pub fn guests(&self) -> impl Iterator<Item = &Arc<VirtualMachine>> {
        self.objects.guests.values()
    }

    /// The volume, in whatever generation it is here.
    #[must_use]
    pub fn volume(&self, name: &str) -> Option<&Arc<Volume>> {
        self.objects.volumes.get(name)
    }

    /// The network, in whatever generation it is here.
    #[must_use]
    pub fn network(&self, name: &str) -> Option<&Arc<Network>> {
        self.objects.networks.get(name)
    }

    /// The pool, in whatever generation it is here.
    #[must_use]
    pub fn pool(&self, name: &str) -> Option<&Arc<StoragePool>> {
        self.objects.pools.get(name)
    }

    /// The filesystem, in whatever generation it is here.
    #[must_use]
    pub fn filesystem(&self, name: &str) -> Option<&Arc<SharedFilesystem>> {
        self.objects.filesystems.get(name)
    }

    /// Every SharedFilesystem that the plan speaks of.
    pub fn filesystems(&self) -> impl Iterator<Item = &Arc<SharedFilesystem>> {
        self.objects.filesystems.values()
    }
}

fn read<T: DeserializeOwned>(what: &str, bytes: &[u8]) -> Result<T, PlanError> {
    serde_json::from_slice(bytes).map_err(|error| PlanError::Unreadable {
        what: what.to_owned(),
        message: error.to_string(),
    })
}

/// What people want of an object. What has become of it is said by hosts, this one among them: were its own words news, it would
/// begin anew with every word it says.
fn wanted(object: &Value) -> Value {
    let metadata = &object["metadata"];
    json!([metadata["uid"], metadata["generation"], object["spec"]])
}

fn put<T: DeserializeOwned>(
    table: &mut BTreeMap<String, Arc<T>>,
    name: String,
    value: Value,
    what: &str,
) -> Result<(), PlanError> {
    let object = serde_json::from_value(value).map_err(|error| PlanError::Unreadable {
        what: what.to_owned(),
        message: error.to_string(),
    })?;
    table.insert(name, Arc::new(object));
    Ok(())
}

#[cfg(test)]
#[path = "acceptance_tests.rs"]
mod tests;
