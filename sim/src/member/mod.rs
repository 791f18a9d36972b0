//! A simulated `quorated`: the product's store, and what leads it, over the simulated wire and disk.

mod calls;
pub(crate) mod client;
mod transport;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quorate_controller::{
    brain::{Brain, Environment},
    detector::listen,
    events::Recorder,
    resource::Engine,
    sources::Sources,
};
use quorate_identity::Keyring;
use quorate_node_daemon::simulated::LocalRoom;
use quorate_store::{
    DiskWork, Genesis, Grant, Member, MemberId, Store, StoreConfig, StoreError, WallClock,
    disk::sim::SimDisk,
};

use crate::{
    agents::RoomAgents,
    beats::Socket,
    check::Ledger,
    executor::{ProcessId, Random, Wire},
    host::Desks,
    registry::Registry,
    time::MachineClock,
};
pub(crate) use calls::Brains;
use calls::WireCalls;
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
    pub(crate) brains: Brains,
    pub(crate) desks: Desks,
    pub(crate) room: LocalRoom,
    pub(crate) keyring: Arc<Keyring>,
    pub(crate) ledger: Ledger,
    pub(crate) disk: SimDisk,
    pub(crate) clock: MachineClock,
    pub(crate) running: Running,
    /// The processes that have ended by themselves.
    pub(crate) ended: Registry<()>,
    /// How long a sync of the disk takes.
    pub(crate) sync_time: Duration,
}

/// The engines of the processes that run, for whoever stands in as a client of theirs.
#[derive(Clone, Default)]
pub(crate) struct Running(Arc<Mutex<BTreeMap<String, Engine>>>);

impl Running {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Engine>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, name: &str) -> Option<Engine> {
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
            boot: self.boot(),
            ..StoreConfig::default()
        }
    }

    fn boot(&self) -> Option<String> {
        let truth = self.room.lock().truth();
        let machine = truth.machines.get(&self.name);
        machine.map(|machine| machine.boot_id.clone())
    }

    /// The member's process, until its store stops.
    pub(crate) async fn member(self, beginning: Beginning, socket: Socket, random: Random) {
        let (process, ended) = (self.process.clone(), self.ended.clone());
        self.run(beginning, socket, random).await;
        ended.set(&process, ());
    }

    async fn run(self, beginning: Beginning, socket: Socket, random: Random) {
        let store = match self.open(beginning).await {
            Ok(store) => store,
            Err(error) => {
                tracing::error!(member = self.name, %error, "does not start");
                return;
            }
        };
        let sources = Sources {
            clock: Arc::new(self.clock.clone()),
            ..Sources::default()
        };
        let engine = Engine::with_sources(store.clone(), self.keyring.clone(), sources);
        let agents = RoomAgents {
            process: self.process.clone(),
            wire: self.wire.clone(),
            room: self.room.clone(),
        };
        let calls = WireCalls {
            process: self.process.clone(),
            wire: self.wire.clone(),
            brains: self.brains.clone(),
            store: store.clone(),
        };
        let brain = Brain::new(Environment {
            engine: engine.clone(),
            heartbeat_secret: *b"the simulation's heartbeat key !",
            rings: 2,
            member_calls: Arc::new(calls),
            agents: Arc::new(agents),
            recorder: Recorder::start(engine.clone()),
        });
        self.desks.set(&self.process, brain.desk().clone());
        self.brains.set(&self.process, brain.clone());
        let thinks = engine.clone();
        self.running.lock().insert(self.name.clone(), engine);
        let hears = listen(brain.detector(), socket, brain.acknowledged());
        let follow = self.ledger.clone().follow(self.name.clone(), store.clone());
        let write = client::write(self.name, store, self.ledger, random);
        tokio::spawn(hears);
        tokio::spawn(write);
        tokio::spawn(quorate_controller::gc::run(thinks.clone()));
        tokio::join!(brain.run(), follow);
    }

    /// Brings the store up.
    async fn open(&self, beginning: Beginning) -> Result<Store, StoreError> {
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
        Ok(store)
    }
}
