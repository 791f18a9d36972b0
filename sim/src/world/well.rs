//! When a cluster is well, and what is asked of it all the time.

use std::{collections::BTreeMap, time::Duration};

use quorate_crds::DiskState;
use quorate_node_daemon::simulated::room::Truth;

use super::{World, manifests::SHARED};
use crate::check::Failover;

impl World {
    /// Lets time pass until the cluster is as it should be.
    pub(crate) fn until_well(&mut self, patience: Duration) -> Result<(), String> {
        let deadline = self.now() + patience;
        loop {
            let Some(lack) = self.lacks() else {
                self.settle_ledger();
                return Ok(());
            };
            if self.is_broken() {
                return Ok(());
            }
            if self.now() >= deadline {
                return Err(format!("{lack}, {} s after all faults", patience.as_secs()));
            }
            self.run_for(Duration::from_millis(250));
        }
    }

    /// What is not yet as it should be.
    fn lacks(&self) -> Option<String> {
        let wanted = self.wants.keys().next();
        wanted
            .map(|about| format!("what people want of {about} is not taken"))
            .or_else(|| self.members_lack())
            .or_else(|| self.votes_lack())
            .or_else(|| self.judge.lock().hosts_lack(&self.setup.host_names()))
            .or_else(|| self.guests_lack())
            .or_else(|| self.filesystem_lacks())
    }

    fn members_lack(&self) -> Option<String> {
        let mut reached = Vec::new();
        for name in self.setup.member_names() {
            let Some(engine) = self.running.get(&name) else {
                return Some(format!("the member on {name} does not run"));
            };
            let store = engine.store();
            let leadership = *store.leadership().borrow();
            if leadership.leader.is_none() {
                return Some(format!("the member on {name} knows no leader"));
            }
            reached.push((name, store.view().revision()));
        }
        let newest = reached.iter().map(|(_, revision)| *revision).max();
        // What the clients write goes on meanwhile.
        let behind = reached
            .iter()
            .find(|(_, revision)| Some(revision + 5) < newest);
        behind.map(|(name, _)| format!("the member on {name} lags behind"))
    }

    /// Every guest executes once, on data that is whole again.
    fn guests_lack(&self) -> Option<String> {
        let truth = self.room.lock().truth();
        for number in 1..=self.setup.guests {
            let (guest, volume) = (format!("vm{number}"), format!("data{number}"));
            let copies = truth.guests.get(&guest).into_iter().flatten();
            let executing = copies.filter(|copy| copy.executes).count();
            if executing != 1 {
                return Some(format!("guest {guest} executes {executing} times"));
            }
            let mut replicas = truth.volumes.get(&volume).into_iter().flatten();
            if let Some((host, _)) = replicas.find(|(_, replica)| replica.allow_two_primaries) {
                return Some(format!("volume {volume} is open for two on {host}"));
            }
            let (whole, wanted) = (whole(&truth, &volume), self.setup.hosts.min(2));
            if whole < wanted {
                return Some(format!("volume {volume} has {whole} of {wanted} replicas"));
            }
        }
        None
    }

    /// The shared filesystem is mounted on as many hosts as keep its volume, they give locks, and its volume is whole.
    fn filesystem_lacks(&self) -> Option<String> {
        let wanted = self.setup.sharers;
        if wanted == 0 {
            return None;
        }
        let truth = self.room.lock().truth();
        let hosts = truth.lockspaces.get(SHARED).into_iter().flatten();
        let mounted = hosts.filter(|(_, it)| it.running && it.writes).count();
        if mounted != wanted {
            return Some(format!(
                "filesystem {SHARED} is mounted on {mounted} of {wanted} hosts"
            ));
        }
        let whole = whole(&truth, SHARED);
        (whole < wanted).then(|| format!("volume {SHARED} has {whole} of {wanted} replicas"))
    }

    fn settle_ledger(&mut self) {
        let reached: Vec<_> = self
            .setup
            .member_names()
            .into_iter()
            .filter_map(|name| Some((self.running.get(&name)?.store().view().revision(), name)))
            .collect();
        // What was just acknowledged is still on its way to the others.
        for (revision, name) in &reached {
            self.ledger.settle(name, revision + 5);
        }
        if let Some((revision, name)) = reached.iter().max() {
            self.ledger.settle(name, *revision);
        }
    }

    /// Whether a rule was broken, so that going on shows nothing more.
    pub(crate) fn is_broken(&self) -> bool {
        self.ledger.broken() || !self.judge.violations().is_empty()
    }

    /// What was found wrong.
    pub(crate) fn violations(&self) -> Vec<String> {
        let mut found = self.ledger.violations();
        found.extend(self.judge.violations());
        found
    }

    /// The recoveries so far.
    pub(crate) fn failovers(&self) -> Vec<Failover> {
        self.judge.failovers()
    }

    /// How often each rule was looked at.
    pub(crate) fn checks(&self) -> BTreeMap<String, u64> {
        let mut checks: BTreeMap<String, u64> = self.judge.checks();
        checks.insert("R6".to_owned(), self.ledger.checks());
        checks
    }
}

/// How many replicas of the volume hold everything and get what is written.
fn whole(truth: &Truth, volume: &str) -> usize {
    let replicas = truth.volumes.get(volume).into_iter().flatten();
    replicas
        .filter(|(_, replica)| replica.disk == DiskState::UpToDate && !replica.frozen)
        .count()
}
