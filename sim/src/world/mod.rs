//! A whole cluster: machines, members, hosts, and what happens to them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use quorate_store::{MemberId, Store, disk::sim::SimDisk};

use crate::{
    check::Ledger,
    executor::{Executor, MachineId, Random, Trace},
    member::{Beginning, MemberSite, Receivers, Running, member},
    time::MachineClock,
};

/// What a run consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setup {
    /// Decides everything.
    pub seed: u64,
    /// Machines that carry a member.
    pub members: usize,
}

/// A cluster under simulation.
pub struct World {
    pub(crate) executor: Executor,
    pub(crate) trace: Trace,
    pub(crate) ledger: Ledger,
    pub(crate) running: Running,
    sites: BTreeMap<String, MemberSite>,
}

/// What a task in a process tells whoever waits outside.
pub(crate) struct Slot<T>(Arc<Mutex<Option<T>>>);

impl<T> Clone for Slot<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Slot<T> {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Mutex::new(None)))
    }

    pub(crate) fn fill(&self, value: T) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(value);
    }

    pub(crate) fn take(&self) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl World {
    /// The machines, with nothing running on them yet.
    #[must_use]
    pub fn new(setup: &Setup, trace: Trace) -> Self {
        let executor = Executor::new(setup.seed, trace.clone());
        let mut world = Self {
            executor,
            trace,
            ledger: Ledger::default(),
            running: Running::default(),
            sites: BTreeMap::new(),
        };
        let receivers = Receivers::default();
        let mut random = Random::of(setup.seed, "disks");
        for number in 1..=setup.members {
            let name = format!("an{number}");
            let site = MemberSite {
                name: name.clone(),
                process: format!("quorated@{name}"),
                wire: world.executor.wire().clone(),
                receivers: receivers.clone(),
                disk: SimDisk::new(random.next()),
                clock: MachineClock::new(world.executor.wire().clone()),
                running: world.running.clone(),
                sync_time: Duration::from_millis(random.between(1, 8)),
            };
            world.sites.insert(name, site);
        }
        world
    }

    fn machine(&self, name: &str) -> MachineId {
        self.sites.keys().position(|site| site == name).unwrap_or(0)
    }

    /// Starts a member's process.
    pub(crate) fn start_member(&mut self, name: &str, beginning: Beginning) {
        let Some(site) = self.sites.get(name).cloned() else {
            return;
        };
        let machine = self.machine(name);
        let (ledger, process) = (self.ledger.clone(), site.process.clone());
        self.executor.start(&process, machine, async move {
            match site.open(beginning).await {
                Ok(store) => ledger.follow(site.name, store).await,
                Err(error) => tracing::error!(member = site.name, %error, "does not start"),
            }
        });
    }

    /// Kills a member's process; with the power, what its disk had not synced is lost.
    pub(crate) fn kill_member(&mut self, name: &str, with_power: bool) {
        let Some(site) = self.sites.get(name).cloned() else {
            return;
        };
        if with_power {
            site.disk.cut_power();
        } else {
            site.disk.kill();
        }
        site.receivers.remove(&site.process);
        self.running.forget(name);
        self.executor.kill(&site.process);
    }

    /// Founds the cluster and lets every member join and vote.
    pub fn found(&mut self) -> Result<(), String> {
        let names: Vec<String> = self.sites.keys().cloned().collect();
        let (first, others) = names.split_first().ok_or("no machine carries a member")?;
        self.start_member(first, Beginning::Found);
        self.store_of(first)?;
        for name in others {
            let id = self.at(first, |store| async move { store.allocate_member_id().await })?;
            self.start_member(name, Beginning::Join(id));
            self.store_of(name)?;
            self.admit(first, name, id)?;
        }
        Ok(())
    }

    fn admit(&mut self, first: &str, name: &str, id: MemberId) -> Result<(), String> {
        let joining = member(name);
        self.at(first, move |store| async move {
            store.add_learner(id, joining).await?;
            store.promote(id).await
        })
    }

    /// The store of a member that runs, or soon will.
    pub(crate) fn store_of(&mut self, name: &str) -> Result<Store, String> {
        let running = self.running.clone();
        let what = format!("{name} to start");
        self.until(&what, Duration::from_secs(20), |_| running.get(name).is_some())?;
        running.get(name).ok_or(what)
    }

    /// Does something with a member's store, in its process, and waits for it.
    pub(crate) fn at<T, E, F>(
        &mut self,
        name: &str,
        work: impl FnOnce(Store) -> F + Send + 'static,
    ) -> Result<T, String>
    where
        T: Send + 'static,
        E: std::fmt::Display,
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let store = self.store_of(name)?;
        let slot = Slot::new();
        let told = slot.clone();
        let process = format!("quorated@{name}");
        self.executor.inject(&process, async move {
            told.fill(work(store).await.map_err(|error| error.to_string()));
        });
        let mut result = None;
        self.until("an answer", Duration::from_secs(60), |_| {
            result = slot.take();
            result.is_some()
        })?;
        result.unwrap_or_else(|| Err("no answer".to_owned()))
    }

    /// Lets time pass until something holds; an error when it never does.
    pub(crate) fn until(
        &mut self,
        what: &str,
        patience: Duration,
        mut holds: impl FnMut(&mut Self) -> bool,
    ) -> Result<(), String> {
        let deadline = self.executor.now() + patience;
        while !holds(self) {
            if self.executor.now() >= deadline {
                return Err(format!(
                    "{what}: not within {} s",
                    patience.as_secs()
                ));
            }
            self.executor.tick();
        }
        Ok(())
    }

    /// Lets time pass.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.executor.now() + time;
        while self.executor.now() < until {
            self.executor.tick();
        }
    }
}
