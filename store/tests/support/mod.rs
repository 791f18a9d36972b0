//! A whole cluster in one process: simulated disks, a simulated network, paused time.

#![allow(dead_code, missing_docs, unreachable_pub)]

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use quorate_store::{
    Bucket, Condition, DiskWork, Genesis, Grant, Key, Member, MemberId, Outcome, Store,
    StoreConfig, StoreError, Transaction, WallClock, Write, disk::sim::SimDisk,
    transport::sim::SimNet,
};

pub const HISTORY: &str = "history-1";

/// Time of the simulation's beginning, milliseconds since 1970.
pub const EPOCH_MS: u64 = 1_800_000_000_000;

pub fn config() -> StoreConfig {
    let start = tokio::time::Instant::now();
    StoreConfig {
        disk_work: DiskWork::InPlace,
        segment_bytes: 64 << 10,
        clock: WallClock::new(move || {
            EPOCH_MS + u64::try_from(start.elapsed().as_millis()).unwrap()
        }),
        ..StoreConfig::default()
    }
}

pub fn member(name: &str) -> Member {
    Member {
        name: name.to_owned(),
        addresses: vec![format!("{name}:7443")],
        witness: false,
        feature_level: 1,
    }
}

pub fn genesis() -> Genesis {
    Genesis {
        cluster_id: "cluster-1".to_owned(),
        history_id: HISTORY.to_owned(),
        member: member("m1"),
    }
}

pub fn grant(member_id: MemberId) -> Grant {
    Grant {
        member_id,
        cluster_id: "cluster-1".to_owned(),
        history_id: HISTORY.to_owned(),
    }
}

pub fn key(name: &str) -> Key {
    Key::new(Bucket::new("things"), name)
}

pub fn put(name: &str, value: &str) -> Transaction {
    Transaction {
        conditions: Vec::new(),
        writes: vec![Write::Put {
            key: key(name),
            value: Bytes::copy_from_slice(value.as_bytes()),
            expires_at_ms: None,
        }],
    }
}

pub fn put_if(condition: Condition, name: &str, value: &str) -> Transaction {
    Transaction {
        conditions: vec![condition],
        ..put(name, value)
    }
}

pub fn delete(name: &str) -> Transaction {
    Transaction {
        conditions: Vec::new(),
        writes: vec![Write::Delete { key: key(name) }],
    }
}

pub fn revision(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Committed { revision, .. } => *revision,
        Outcome::Refused(refusals) => panic!("refused: {refusals:?}"),
    }
}

/// A cluster under test.
pub struct Cluster {
    pub net: SimNet,
    pub config: StoreConfig,
    pub disks: BTreeMap<MemberId, SimDisk>,
    pub stores: BTreeMap<MemberId, Store>,
    seed: u64,
}

impl Cluster {
    /// One member.
    pub async fn alone(seed: u64, config: StoreConfig) -> Self {
        let net = SimNet::new(seed);
        let disk = SimDisk::new(seed);
        let store = Store::create(config.clone(), disk.mount(), net.transport(1), genesis())
            .await
            .expect("a new cluster starts");
        net.attach(1, store.receiver());
        Self {
            net,
            config,
            disks: BTreeMap::from([(1, disk)]),
            stores: BTreeMap::from([(1, store)]),
            seed,
        }
    }

    /// So many voters.
    pub async fn of(members: u64, seed: u64, config: StoreConfig) -> Self {
        let mut cluster = Self::alone(seed, config).await;
        for _ in 1..members {
            let id = cluster.add_learner().await;
            cluster.any().promote(id).await.expect("it is promoted");
        }
        cluster
    }

    pub async fn add_learner(&mut self) -> MemberId {
        let id = self.any().allocate_member_id().await.expect("an id");
        let disk = SimDisk::new(self.seed ^ (id << 32));
        let store = Store::join(
            self.config.clone(),
            disk.mount(),
            self.net.transport(id),
            grant(id),
        )
        .await
        .expect("a new member starts");
        self.net.attach(id, store.receiver());
        self.any()
            .add_learner(id, member(&format!("m{id}")))
            .await
            .expect("it is added");
        self.disks.insert(id, disk);
        self.stores.insert(id, store);
        id
    }

    pub fn any(&self) -> &Store {
        self.stores.values().next().expect("a member runs")
    }

    pub fn ids(&self) -> Vec<MemberId> {
        self.disks.keys().copied().collect()
    }

    /// Waits for a leader that all running members know.
    pub async fn leader(&self) -> MemberId {
        self.leader_among(&self.stores.keys().copied().collect::<Vec<_>>())
            .await
    }

    pub async fn leader_among(&self, ids: &[MemberId]) -> MemberId {
        loop {
            let known: Vec<_> = ids
                .iter()
                .map(|id| *self.stores[id].leadership().borrow())
                .collect();
            let leader = known[0].leader.filter(|l| ids.contains(l));
            if let Some(leader) = leader
                && known.iter().all(|k| k.leader == Some(leader))
                && self.stores[&leader].leadership().borrow().is_self
            {
                return leader;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// kill -9: nothing is lost that the kernel has.
    pub async fn kill(&mut self, id: MemberId) {
        self.disks[&id].kill();
        self.bury(id).await;
    }

    /// The power fails: what was not synced is lost, or not.
    pub async fn cut_power(&mut self, id: MemberId) {
        self.disks[&id].cut_power();
        self.bury(id).await;
    }

    async fn bury(&mut self, id: MemberId) {
        self.net.detach(id);
        if let Some(store) = self.stores.remove(&id) {
            store.shutdown().await;
        }
    }

    pub async fn start(&mut self, id: MemberId) -> Result<(), StoreError> {
        let store = Store::open(
            self.config.clone(),
            self.disks[&id].mount(),
            self.net.transport(id),
        )
        .await?;
        self.net.attach(id, store.receiver());
        self.stores.insert(id, store);
        Ok(())
    }

    pub async fn shutdown(self) {
        for store in self.stores.values() {
            store.shutdown().await;
        }
    }
}

/// Waits until `condition` holds; the paused clock makes a wait that never ends fail fast.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "never: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
