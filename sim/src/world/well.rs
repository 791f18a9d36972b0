//! When a cluster is well, and what is asked of it all the time.

use std::{collections::BTreeMap, time::Duration};

use super::World;

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
        let mut reached = Vec::new();
        for name in self.setup.member_names() {
            let Some(store) = self.running.get(&name) else {
                return Some(format!("the member on {name} does not run"));
            };
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

    fn settle_ledger(&mut self) {
        for name in self.setup.member_names() {
            if let Some(store) = self.running.get(&name) {
                let newest = store.view().revision();
                self.ledger.settle(&name, newest + 5);
            }
        }
    }

    /// Whether a rule was broken, so that going on shows nothing more.
    pub(crate) fn is_broken(&self) -> bool {
        self.ledger.broken()
    }

    /// What was found wrong.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.ledger.violations()
    }

    /// How often each rule was looked at.
    pub(crate) fn checks(&self) -> BTreeMap<String, u64> {
        BTreeMap::from([("R6".to_owned(), self.ledger.checks())])
    }
}
