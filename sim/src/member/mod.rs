//! A simulated `quorated`: the product's store, and what leads it, over the simulated wire and disk.

pub(crate) mod client;
mod transport;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quorate_store::{
    DiskWork, Genesis, Grant, Member, MemberId, Store, StoreConfig, StoreError, WallClock,
    disk::sim::SimDisk,
};

use crate::{
    executor::{ProcessId, Wire},
    time::MachineClock,
};
pub(crate) use transport::{Receivers, WireTransport};

/// The cluster that every run founds.
pub(crate) const CLUSTER: &str = "sim";
const HISTORY: &str = "history-1";

/// What a member's process needs of the run around it.
#[derive(Clone)]
pub(crate) struct MemberSite {
    pub(crate) name: String,
    pub(crate) process: ProcessId,
    pub(crate) wire: Wire,
    pub(crate) receivers: Receivers,
    pub(crate) disk: SimDisk,
    pub(crate) clock: MachineClock,
    pub(crate) running: Running,
    /// How long a sync of the disk takes.
    pub(crate) sync_time: Duration,
}

/// The stores of the processes that run, for whoever stands in as a client of theirs.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<BTreeMap<String, Store>>>);

impl Running {
    pub(crate) fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Store>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Store> {
        self.lock().get(name).cloned()
    }

    pub(crate) fn forget(&self, name: &str) {
        let gone = self.lock().remove(name);
        drop(gone);
    }
}

/// How a member's process begins.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beginning {
    Found,
    Join(MemberId),
    Again,
}

/// A member as the membership names it.
pub(crate) fn member(name: &str) -> Member {
    Member {
        name: name.to_owned(),
        addresses: vec![format!("{name}.bcn:7443"), format!("{name}.sn:7443")],
        witness: false,
        feature_level: quorate_proto::FEATURE_LEVEL,
    }
}

impl MemberSite {
    fn config(&self) -> StoreConfig {
        let clock = self.clock.clone();
        StoreConfig {
            disk_work: DiskWork::Delayed(self.sync_time),
            segment_bytes: 64 << 10,
            snapshot_every: 400,
            clock: WallClock::new(move || clock.unix_ms()),
            ..StoreConfig::default()
        }
    }

    /// Brings the store up.
    pub(crate) async fn open(&self, beginning: Beginning) -> Result<Store, StoreError> {
        let disk = self.disk.mount();
        let net = Arc::new(WireTransport {
            wire: self.wire.clone(),
            from: self.process.clone(),
            receivers: self.receivers.clone(),
        });
        let store = match beginning {
            Beginning::Found => {
                let genesis = Genesis {
                    cluster_id: CLUSTER.to_owned(),
                    history_id: HISTORY.to_owned(),
                    member: member(&self.name),
                };
                Store::create(self.config(), disk, net, genesis).await?
            }
            Beginning::Join(member_id) => {
                let grant = Grant {
                    member_id,
                    cluster_id: CLUSTER.to_owned(),
                    history_id: HISTORY.to_owned(),
                };
                Store::join(self.config(), disk, net, grant).await?
            }
            Beginning::Again => Store::open(self.config(), disk, net).await?,
        };
        self.receivers.set(&self.process, store.receiver());
        self.running.lock().insert(self.name.clone(), store.clone());
        Ok(store)
    }
}
