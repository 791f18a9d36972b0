//! Changes one network at a time, on trial, and takes a change back that was not kept in time.
//!
//! Before the first step of a change, what it touches is on the disk ([`Records`]). From then on the change ends in one
//! of two ways, whoever is killed and whenever: it is kept, or the host is as it was before. The kernel forgets its
//! interfaces with a power cut, so what is brought up at boot is what was last kept.

mod records;
mod shelf;

pub use records::{Records, Rejected, Trial};
pub use shelf::{Directory, Shelf, ShelfError};

use crate::firewall::NftError;
use crate::kernel::{Kernel, KernelError};
use crate::model::{Address, Host};
use crate::plan::{Desired, Refusal, next};
use crate::wanted::{Layout, Wanted};
use std::collections::BTreeMap;
use thiserror::Error;

/// More steps than any change of one network has.
const MOST: usize = 200;

/// Why a network is not as it was asked to be. The variant says whether the same may be asked again.
#[derive(Debug, Error)]
pub enum Trouble {
    /// Nothing was changed.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A change of another network must be kept or taken back before.
    #[error("the change of the network {0} is on trial: one at a time")]
    OnTrial(String),
    /// Exactly this was tried and taken back.
    #[error(
        "it was tried and taken back: {0}; change the manifest, and be it only rollbackAfter, to have it tried again"
    )]
    TakenBack(String),
    /// To take it away was tried and taken back.
    #[error(
        "it was taken away and put back: {0}; put the network back into the cluster and take it away again to have that tried again"
    )]
    PutBack(String),
    /// It would cut the host off.
    #[error("{0} is the last network with an address that this host has: add another one before")]
    Last(String),
    /// There is nothing on trial to keep.
    #[error("no change of the network {0} is on trial")]
    NotOnTrial(String),
    /// The kernel refused a step. What was done of it was taken back.
    #[error("the kernel refused a step, and all was taken back")]
    Kernel(#[source] KernelError),
    /// The firewall cannot be set. What was done of the change was taken back.
    #[error("the firewall cannot be set, and all was taken back")]
    Firewall(#[source] NftError),
    /// The kernel did all steps, and still is not as it was told.
    #[error("the interfaces do not stay as they are set; somebody else probably sets them, too")]
    Restless,
    /// Nothing can be remembered, so nothing is changed.
    #[error("what is changed cannot be remembered")]
    Shelf(#[from] ShelfError),
}

/// Keeps a host's networks.
#[derive(Debug)]
pub struct Keeper<K, S> {
    kernel: K,
    shelf: S,
    records: Records,
    /// Kept networks that could not be brought up yet, and what was said of each.
    missing: BTreeMap<String, String>,
}

impl<K: Kernel, S: Shelf> Keeper<K, S> {
    /// Begins where the one before ended. After a boot, all that was kept is brought up; `boot` names the boot. A change
    /// that was interrupted is taken back; one that was whole goes on being on trial.
    ///
    /// # Errors
    /// When it cannot be read what was remembered.
    pub fn begin(kernel: K, shelf: S, boot: &str, now: u64) -> Result<Self, Trouble> {
        let records = shelf.load()?;
        let mut keeper = Self {
            kernel,
            shelf,
            records,
            missing: BTreeMap::new(),
        };
        if keeper.records.boot != boot {
            let mut records = keeper.records.clone();
            boot.clone_into(&mut records.boot);
            if let Some(trial) = records.trial.take() {
                reject(&mut records, trial, "the host went down before it was kept");
            }
            keeper.store(records)?;
            let kept = keeper.records.kept.keys();
            keeper.missing = kept.map(|name| (name.clone(), String::new())).collect();
        }
        keeper.tick(now);
        if keeper.records.trial.is_some() && !keeper.is_whole() {
            keeper.take_back("it was interrupted");
        }
        keeper.guard_or_say_why();
        Ok(keeper)
    }

    /// What is remembered.
    pub fn records(&self) -> &Records {
        &self.records
    }

    /// When [`Keeper::tick`] has something to do, if ever, in milliseconds since the boot.
    pub fn due(&self) -> Option<u64> {
        let trial = self.records.trial.as_ref().map(|trial| trial.until);
        trial.or_else(|| (!self.missing.is_empty()).then_some(0))
    }

    /// Does what is due: takes back what was not kept in time, and brings up what could not be so far.
    pub fn tick(&mut self, now: u64) {
        for (name, said) in self.missing.clone() {
            let Err(trouble) = self.bring_up(&name) else {
                self.missing.remove(&name);
                self.guard_or_say_why();
                continue;
            };
            let words = trouble.to_string();
            // It is tried every second, and may take days.
            if words != said {
                tracing::warn!(network = name, %trouble, "cannot be brought up yet");
                self.missing.insert(name, words);
            }
        }
        let over = self
            .records
            .trial
            .as_ref()
            .filter(|trial| trial.until <= now);
        if let Some(trial) = over {
            let why = trial.taken_back.clone().unwrap_or_else(|| {
                format!(
                    "the cluster was not reached within {} s after the change",
                    trial.patience.div_ceil(1000)
                )
            });
            self.take_back(&why);
        }
    }

    /// Makes a network so, on trial until `now` and its patience are over. What is so already is kept at once.
    ///
    /// # Errors
    /// When it cannot be so; then the host is as it was before.
    pub fn apply(&mut self, wanted: &Wanted, now: u64) -> Result<(), Trouble> {
        let name = &wanted.network;
        let pending = self.records.trial.clone();
        if let Some(trial) = &pending
            && (trial.network != *name || trial.taken_back.is_some())
        {
            return Err(Trouble::OnTrial(trial.network.clone()));
        }
        if let Some(rejected) = self.records.rejected.get(name)
            && rejected.wanted == *wanted
            && !rejected.gone
        {
            return Err(Trouble::TakenBack(rejected.why.clone()));
        }
        let was_going = pending.as_ref().is_some_and(|trial| trial.gone);
        let host = self.observe()?;
        let former = self.given(name);
        let Layout { desired, .. } = wanted.layout(&host, &former)?;
        if !was_going && next(&host, &desired).is_none() && self.is_guarded_for(wanted, &host) {
            return self.adopt(wanted);
        }
        let known = pending.as_ref().filter(|trial| !trial.gone);
        if known.is_none_or(|trial| trial.wanted != *wanted) {
            let mut trial = Trial {
                network: name.clone(),
                gone: false,
                before: desired.before(&host),
                touched: desired.touched(),
                given: former.into_iter().chain(wanted.addresses.clone()).collect(),
                until: now.saturating_add(wanted.rollback_after),
                patience: wanted.rollback_after,
                wanted: wanted.clone(),
                taken_back: None,
            };
            if let Some(pending) = pending {
                trial.goes_on_from(pending);
            }
            let mut records = self.records.clone();
            records.trial = Some(trial);
            self.store(records)?;
        }
        let done = self.carry_out(|host| Ok(wanted.layout(host, &self.given(name))?.desired));
        match done.and_then(|()| self.guard()) {
            Ok(()) => Ok(()),
            Err(trouble) => {
                // It may succeed another time: it is taken back, and not rejected.
                self.restore();
                Err(trouble)
            }
        }
    }

    /// The cluster was reached after the change: it stays.
    ///
    /// # Errors
    /// When nothing of that network is on trial or kept, or it cannot be remembered.
    pub fn keep(&mut self, network: &str) -> Result<(), Trouble> {
        let mut records = self.records.clone();
        match records.trial.take() {
            Some(trial) if trial.network == network && trial.taken_back.is_none() => {
                records.rejected.remove(network);
                if trial.gone {
                    records.kept.remove(network);
                } else {
                    records.kept.insert(trial.network, trial.wanted);
                }
                self.store(records)
            }
            _ if self.records.kept.contains_key(network) => Ok(()),
            _ => Err(Trouble::NotOnTrial(network.to_owned())),
        }
    }

    /// Takes the change of a network back before its time is over.
    ///
    /// # Errors
    /// When no change of that network is on trial, or it cannot be taken back yet.
    pub fn give_up(&mut self, network: &str, why: &str) -> Result<(), Trouble> {
        match &self.records.trial {
            Some(trial) if trial.network == network && !trial.gone => self.take_back(why),
            _ => return Err(Trouble::NotOnTrial(network.to_owned())),
        }
        match self.records.trial {
            None => Ok(()),
            Some(_) => Err(Trouble::OnTrial(network.to_owned())),
        }
    }

    /// Takes a network away, on trial as long as a change of it would be. What was never kept goes at once.
    ///
    /// # Errors
    /// When something is on it, it is the last one, another one is on trial, or it was tried and taken back.
    pub fn remove(&mut self, network: &str, now: u64) -> Result<(), Trouble> {
        match &self.records.trial {
            Some(trial) if trial.network == network && trial.gone => {
                return match trial.taken_back {
                    None => Ok(()),
                    Some(_) => Err(Trouble::OnTrial(network.to_owned())),
                };
            }
            Some(trial) if trial.network == network => {
                self.take_back("it was removed");
                if self.records.trial.is_some() {
                    return Err(Trouble::OnTrial(network.to_owned()));
                }
            }
            Some(trial) => return Err(Trouble::OnTrial(trial.network.clone())),
            None => {}
        }
        if let Some(rejected) = self.records.rejected.get(network)
            && rejected.gone
        {
            return Err(Trouble::PutBack(rejected.why.clone()));
        }
        let addressed = |wanted: &Wanted| !wanted.addresses.is_empty();
        let own = self.records.kept.get(network).is_some_and(addressed);
        let mut others = self
            .records
            .kept
            .iter()
            .filter(|(name, _)| *name != network);
        if own && !others.any(|(_, other)| addressed(other)) {
            return Err(Trouble::Last(network.to_owned()));
        }
        let former = self.given(network);
        let host = self.observe()?;
        let desired = Wanted::removal(network, &host, &former)?;
        let mut records = self.records.clone();
        let Some(kept) = self.records.kept.get(network) else {
            self.carry_out(|host| Ok(Wanted::removal(network, host, &former)?))?;
            records.rejected.remove(network);
            return self.store(records);
        };
        records.trial = Some(Trial {
            network: network.to_owned(),
            wanted: kept.clone(),
            gone: true,
            before: desired.before(&host),
            touched: desired.touched(),
            given: former.clone(),
            until: now.saturating_add(kept.rollback_after),
            patience: kept.rollback_after,
            taken_back: None,
        });
        self.missing.remove(network);
        self.store(records)?;
        let done = self.carry_out(|host| Ok(Wanted::removal(network, host, &former)?));
        let done = done.and_then(|()| self.guard());
        if done.is_err() {
            self.restore();
        }
        done
    }

    /// Puts the firewall in place for the networks as they are to be. A host without the program has none, and its report
    /// says so.
    fn guard(&self) -> Result<(), Trouble> {
        self.guard_as(&self.records)
    }

    fn guard_as(&self, records: &Records) -> Result<(), Trouble> {
        let table = records.firewall(&self.observe()?);
        let result = match self.kernel.firewall() {
            Ok(mark) if mark == table.mark => Ok(()),
            Ok(_) => {
                tracing::info!(mark = table.mark, "the firewall is set");
                self.kernel.guard(&table)
            }
            Err(error) => Err(error),
        };
        match result {
            Ok(()) | Err(NftError::NotInstalled) => Ok(()),
            Err(error) => Err(Trouble::Firewall(error)),
        }
    }

    fn guard_or_say_why(&self) {
        if let Err(trouble) = self.guard() {
            tracing::error!(%trouble, "the firewall is not as it should be");
        }
    }

    /// Whether the firewall is already what it would be with this network.
    fn is_guarded_for(&self, wanted: &Wanted, host: &Host) -> bool {
        let mut records = self.records.clone();
        records.trial = None;
        records.kept.insert(wanted.network.clone(), wanted.clone());
        match self.kernel.firewall() {
            Ok(mark) => mark == records.firewall(host).mark,
            // Trying it would change nothing.
            Err(NftError::NotInstalled) => true,
            Err(_) => false,
        }
    }

    /// Whether the change on trial is done, and not interrupted in the middle.
    fn is_whole(&self) -> bool {
        let Some(trial) = &self.records.trial else {
            return true;
        };
        let Ok(host) = self.kernel.observe() else {
            return false;
        };
        let desired = match trial.gone {
            true => Wanted::removal(&trial.network, &host, &trial.given),
            false => trial
                .wanted
                .layout(&host, &trial.given)
                .map(|layout| layout.desired),
        };
        trial.taken_back.is_none() && desired.is_ok_and(|desired| next(&host, &desired).is_none())
    }

    fn adopt(&mut self, wanted: &Wanted) -> Result<(), Trouble> {
        let name = &wanted.network;
        let rejected = self.records.rejected.contains_key(name);
        let as_kept = self.records.kept.get(name) == Some(wanted);
        if self.records.trial.is_some() || (as_kept && !rejected) {
            return Ok(());
        }
        let mut records = self.records.clone();
        records.kept.insert(name.clone(), wanted.clone());
        records.rejected.remove(name);
        self.store(records)
    }

    fn bring_up(&self, name: &str) -> Result<(), Trouble> {
        let Some(wanted) = self.records.kept.get(name) else {
            return Ok(());
        };
        self.carry_out(|host| Ok(wanted.layout(host, &wanted.addresses)?.desired))
    }

    fn carry_out(
        &self,
        desired: impl Fn(&Host) -> Result<Desired, Trouble>,
    ) -> Result<(), Trouble> {
        for _ in 0..MOST {
            let host = self.observe()?;
            let Some(step) = next(&host, &desired(&host)?) else {
                return Ok(());
            };
            tracing::info!(%step, "network step");
            self.kernel.carry_out(&step).map_err(Trouble::Kernel)?;
        }
        Err(Trouble::Restless)
    }

    fn take_back(&mut self, why: &str) {
        let Some(mut trial) = self.records.trial.clone() else {
            return;
        };
        // Noted before: a change that is being taken back must not be kept in the middle.
        if trial.taken_back.is_none() {
            trial.taken_back = Some(why.to_owned());
            trial.until = 0;
            let mut records = self.records.clone();
            records.trial = Some(trial.clone());
            if let Err(trouble) = self.store(records) {
                tracing::error!(%trouble, "a change that is taken back cannot be noted");
            }
        }
        tracing::warn!(network = trial.network, why, "the change is taken back");
        if self.restored(&trial) {
            let mut records = self.records.clone();
            records.trial = None;
            reject(&mut records, trial, why);
            if let Err(trouble) = self.store(records) {
                tracing::error!(%trouble, "a change that was taken back cannot be noted");
            }
        }
    }

    /// Takes a change back that may be tried again.
    fn restore(&mut self) {
        let Some(trial) = self.records.trial.clone() else {
            return;
        };
        if self.restored(&trial) {
            let mut records = self.records.clone();
            records.trial = None;
            if let Err(trouble) = self.store(records) {
                tracing::error!(%trouble, "a change that was taken back cannot be noted");
            }
        }
    }

    fn restored(&self, trial: &Trial) -> bool {
        let back = |host: &Host| {
            Ok(Desired::back(
                host,
                &trial.before,
                &trial.touched,
                &trial.given,
            ))
        };
        let mut before = self.records.clone();
        before.trial = None;
        // The interfaces are taken back whatever becomes of it.
        if let Err(trouble) = self.guard_as(&before) {
            tracing::error!(%trouble, "the firewall cannot be taken back");
        }
        match self.carry_out(back) {
            Ok(()) => true,
            Err(trouble) => {
                tracing::error!(network = trial.network, %trouble, "the change cannot be taken back");
                false
            }
        }
    }

    fn given(&self, network: &str) -> Vec<Address> {
        self.records.given(network)
    }

    fn observe(&self) -> Result<Host, Trouble> {
        self.kernel.observe().map_err(Trouble::Kernel)
    }

    fn store(&mut self, records: Records) -> Result<(), Trouble> {
        self.shelf.store(&records)?;
        self.records = records;
        Ok(())
    }
}

fn reject(records: &mut Records, trial: Trial, why: &str) {
    let rejected = Rejected {
        wanted: trial.wanted,
        why: why.to_owned(),
        gone: trial.gone,
    };
    records.rejected.insert(trial.network, rejected);
}
