//! Clusters in this process on paused time: real stores, engines and brains; hosts that obey; boards that switch them.

mod clock;
mod host;
mod power;
mod wire;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::FutureExt;
use quorate_controller::{
    brain::{Brain, Environment},
    detector::listen,
    events::Recorder,
    hosts::HostDesk,
    resource::{
        Engine, Manifest, PatchType, Preconditions, Propagation, Target, Unrestricted,
        WriteOptions, find_kind,
    },
    sources::Sources,
};
use quorate_identity::Keyring;
use quorate_store::{
    Bucket, DiskWork, Genesis, Grant, Key, Member, MemberId, Store, StoreConfig, WatchScope,
    disk::sim::SimDisk, transport::sim::SimNet,
};
use serde_json::{Value, json};
use tokio::{task::JoinSet, time::sleep};

use clock::StoryClock;
pub(crate) use host::Host;
pub(crate) use power::Boards;
use wire::{Calls, Wire};

const HISTORY: &str = "history-1";

/// A member that runs.
pub(crate) struct Site {
    pub(crate) engine: Engine,
    pub(crate) brain: Brain,
    tasks: JoinSet<()>,
}

/// A cluster and its machines.
pub(crate) struct World {
    pub(crate) net: SimNet,
    pub(crate) wire: Wire,
    pub(crate) boards: Boards,
    sites: BTreeMap<MemberId, Site>,
    disks: BTreeMap<MemberId, SimDisk>,
    /// How often the machine of each member has booted.
    boots: BTreeMap<MemberId, u32>,
    hosts: Vec<Host>,
    clock: StoryClock,
    keyring: Arc<Keyring>,
}

impl World {
    /// So many members, and hosts `an1`, `an2`, … that are switched off.
    pub(crate) async fn of(members: u64, hosts: u16) -> Self {
        let wire = Wire::default();
        let hosts: Vec<Host> = (1..=hosts)
            .map(|number| Host::new(&format!("an{number}"), number, wire.clone()))
            .collect();
        let mut world = Self {
            net: SimNet::new(7),
            wire,
            boards: Boards::of(&hosts),
            sites: BTreeMap::new(),
            disks: BTreeMap::new(),
            boots: BTreeMap::new(),
            hosts,
            clock: StoryClock::begin(),
            keyring: Arc::new(Keyring::generate().expect("a keyring")),
        };
        world.found().await;
        for id in 2..=members {
            world.grow(id).await;
        }
        world.furnish().await;
        world
    }

    /// The same, with all hosts online.
    pub(crate) async fn up(members: u64, hosts: u16) -> Self {
        let world = Self::of(members, hosts).await;
        for host in &world.hosts {
            host.switch_on();
        }
        for host in &world.hosts {
            world.until_state(&host.name, "Online").await;
        }
        world
    }

    /// So many machines, each with a host and a member on it.
    pub(crate) async fn machines(count: u16) -> Self {
        let world = Self::up(u64::from(count), count).await;
        let members: Vec<Value> = (1..=count)
            .map(|id| json!({"name": format!("m{id}"), "node": format!("an{id}")}))
            .collect();
        world
            .merge("Cluster", "test", json!({"spec": {"members": members}}))
            .await;
        world
    }

    /// Neither members nor hosts of these machines hear any of those, and the other way round.
    pub(crate) fn cut_apart(&self, these: &[MemberId], those: &[MemberId]) {
        for (here, there) in [(these, those), (those, these)] {
            for id in here {
                self.net.isolate(*id, there.iter().copied());
                for other in there {
                    let host = u16::try_from(*other).expect("few machines");
                    self.wire.deafen(*id, host, true);
                }
            }
        }
    }

    /// All hear each other again.
    pub(crate) fn join_again(&self) {
        self.net.heal();
        self.wire.hear_all();
    }

    /// Members live and die with the power of their machines.
    pub(crate) async fn mind_machines(&mut self) {
        let machines: Vec<MemberId> = self.disks.keys().copied().collect();
        for id in machines {
            let powered = self.host(&format!("an{id}")).powered();
            if !powered && self.sites.contains_key(&id) {
                self.kill(id).await;
                *self.boots.entry(id).or_default() += 1;
            } else if powered && !self.sites.contains_key(&id) {
                self.start(id).await;
            }
        }
    }

    /// Lets time pass on machines that carry members.
    pub(crate) async fn pass_minded(&mut self, time: Duration) {
        let step = Duration::from_millis(50);
        for _ in 0..time.as_millis() / step.as_millis() {
            self.pass(step).await;
            self.mind_machines().await;
        }
    }

    /// Waits on machines that carry members.
    pub(crate) async fn until_minded(&mut self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..6_000 {
            if holds(self) {
                return;
            }
            self.pass_minded(Duration::from_millis(50)).await;
        }
        let standing: Vec<_> = self
            .sites
            .values()
            .map(|site| site.brain.standing())
            .collect();
        panic!("it never came to this: {what}; the members: {standing:?}");
    }

    pub(crate) fn brain(&self, id: MemberId) -> &Brain {
        &self.sites[&id].brain
    }

    pub(crate) fn runs(&self, id: MemberId) -> bool {
        self.sites.contains_key(&id)
    }

    async fn found(&mut self) {
        let disk = SimDisk::new(1);
        let genesis = Genesis {
            cluster_id: "cluster-1".to_owned(),
            history_id: HISTORY.to_owned(),
            member: member(1),
        };
        let store = Store::create(self.config(1), disk.mount(), self.net.transport(1), genesis)
            .await
            .expect("a new cluster starts");
        self.disks.insert(1, disk);
        self.run_member(1, store);
        self.store(1).barrier().await.expect("a leader");
    }

    async fn grow(&mut self, expected: MemberId) {
        let leader = self.store(1).clone();
        let id = leader.allocate_member_id().await.expect("an id");
        assert_eq!(id, expected);
        let disk = SimDisk::new(id);
        let grant = Grant {
            member_id: id,
            cluster_id: "cluster-1".to_owned(),
            history_id: HISTORY.to_owned(),
        };
        let store = Store::join(self.config(id), disk.mount(), self.net.transport(id), grant)
            .await
            .expect("a new member starts");
        self.disks.insert(id, disk);
        self.run_member(id, store);
        leader
            .add_learner(id, member(id))
            .await
            .expect("it is added");
        leader.promote(id).await.expect("it votes");
    }

    fn config(&self, id: MemberId) -> StoreConfig {
        let boots = self.boots.get(&id).copied().unwrap_or(0) + 1;
        StoreConfig {
            // As its machine calls that boot.
            boot: Some(format!("an{id}-boot-{boots}")),
            disk_work: DiskWork::InPlace,
            segment_bytes: 64 << 10,
            clock: self.clock.of_entries(),
            ..StoreConfig::default()
        }
    }

    fn run_member(&mut self, id: MemberId, store: Store) {
        self.net.attach(id, store.receiver());
        let sources = Sources {
            clock: Arc::new(self.clock),
            ..Sources::default()
        };
        let engine = Engine::with_sources(store, self.keyring.clone(), sources);
        let brain = Brain::new(Environment {
            engine: engine.clone(),
            heartbeat_secret: *b"the stories' own heartbeat key !",
            rings: 2,
            member_calls: Arc::new(Calls(self.wire.clone())),
            agents: Arc::new(self.boards.clone()),
            recorder: Recorder::start(engine.clone()),
        });
        let mut tasks = JoinSet::new();
        let socket = self.wire.member(id);
        tasks.spawn(listen(brain.detector(), socket, brain.acknowledged()));
        tasks.spawn(brain.clone().run());
        self.wire.answer_by(id, brain.clone());
        let site = Site {
            engine,
            brain,
            tasks,
        };
        self.sites.insert(id, site);
    }

    /// A cluster, and for each host a Node with one fence level, and its board.
    async fn furnish(&self) {
        self.apply("Cluster", "test", json!({})).await;
        for host in &self.hosts {
            let name = &host.name;
            let board = format!("bmc-{name}");
            let device = json!({"agent": "fence_ipmilan", "parameters": {"ip": board}});
            self.apply("FenceDevice", &board, device).await;
            let levels = json!([{"name": "bmc", "devices": [{"device": board}]}]);
            let node = json!({"number": host.number, "fencing": {"levels": levels}});
            self.apply("Node", name, node).await;
        }
    }

    pub(crate) fn host(&self, name: &str) -> &Host {
        let found = self.hosts.iter().find(|host| host.name == name);
        found.expect("a host of the story")
    }

    pub(crate) fn store(&self, id: MemberId) -> &Store {
        self.sites[&id].engine.store()
    }

    /// The member that leads, when all that run agree.
    pub(crate) async fn leader(&self) -> MemberId {
        loop {
            let known: Vec<_> = self
                .sites
                .values()
                .map(|site| *site.engine.store().leadership().borrow())
                .collect();
            if let Some(leader) = known[0].leader
                && known.iter().all(|other| other.leader == Some(leader))
                && self.sites.contains_key(&leader)
                && self.store(leader).leadership().borrow().is_self
            {
                return leader;
            }
            sleep(Duration::from_millis(20)).await;
        }
    }

    /// kill -9.
    pub(crate) async fn kill(&mut self, id: MemberId) {
        self.wire.take_down(id);
        self.disks[&id].kill();
        self.net.detach(id);
        let mut site = self.sites.remove(&id).expect("it runs");
        site.tasks.abort_all();
        site.engine.store().shutdown().await;
    }

    pub(crate) async fn start(&mut self, id: MemberId) {
        let disk = self.disks[&id].mount();
        let store = Store::open(self.config(id), disk, self.net.transport(id))
            .await
            .expect("it starts again");
        self.run_member(id, store);
    }

    /// What answers hosts at the leading member.
    pub(crate) async fn desk(&self) -> &HostDesk {
        self.sites[&self.leader().await].brain.desk()
    }

    async fn engine(&self) -> &Engine {
        &self.sites[&self.leader().await].engine
    }

    pub(crate) async fn apply(&self, kind: &str, name: &str, spec: Value) {
        let manifest = json!({
            "apiVersion": "quorate.dev/v1alpha1", "kind": kind, "metadata": {"name": name},
            "spec": spec,
        });
        let manifest = Manifest::parse(manifest.to_string().as_bytes()).expect("a manifest");
        self.engine()
            .await
            .apply(manifest, "", &options(), &Unrestricted)
            .await
            .unwrap_or_else(|error| panic!("{kind}/{name}: {error}"));
    }

    /// Says something in an object's status, as the leader or a host would.
    pub(crate) async fn say(&self, kind: &str, name: &str, status: Value) {
        let target = Target {
            kind: find_kind(kind).expect("a kind"),
            name,
        };
        let patch = json!({"status": status}).to_string();
        self.engine()
            .await
            .patch(
                target,
                "status",
                PatchType::Merge,
                patch.as_bytes(),
                &options(),
                &Unrestricted,
            )
            .await
            .unwrap_or_else(|error| panic!("{kind}/{name}: {error}"));
    }

    pub(crate) async fn merge(&self, kind: &str, name: &str, patch: Value) {
        let target = Target {
            kind: find_kind(kind).expect("a kind"),
            name,
        };
        let patch = patch.to_string();
        self.engine()
            .await
            .patch(
                target,
                "",
                PatchType::Merge,
                patch.as_bytes(),
                &options(),
                &Unrestricted,
            )
            .await
            .unwrap_or_else(|error| panic!("{kind}/{name}: {error}"));
    }

    pub(crate) async fn delete(&self, kind: &str, name: &str) {
        let target = Target {
            kind: find_kind(kind).expect("a kind"),
            name,
        };
        self.engine()
            .await
            .delete(
                target,
                &Preconditions::default(),
                Propagation::Default,
                &options(),
                &Unrestricted,
            )
            .await
            .unwrap_or_else(|error| panic!("{kind}/{name}: {error}"));
    }

    /// A guest that needs nothing but memory.
    pub(crate) async fn guest(&self, name: &str) {
        self.apply(
            "VirtualMachine",
            name,
            json!({"memory": "2Gi", "withoutReserve": true}),
        )
        .await;
    }

    /// An object as any member that runs knows it; null when there is none.
    pub(crate) fn get(&self, kind: &str, name: &str) -> Value {
        let site = self.sites.values().next().expect("a member runs");
        let kind = find_kind(kind).expect("a kind");
        let key = Key::new(Bucket::new(kind.plural), name);
        let stored = site.engine.store().view().get(&key);
        stored.map_or(Value::Null, |stored| {
            serde_json::from_slice(&stored.value).expect("JSON")
        })
    }

    /// All objects of a kind.
    pub(crate) fn all(&self, kind: &str) -> Vec<Value> {
        let site = self.sites.values().next().expect("a member runs");
        let kind = find_kind(kind).expect("a kind");
        let found = site
            .engine
            .store()
            .view()
            .list(&Bucket::new(kind.plural), None, usize::MAX);
        let read = |value: &[u8]| serde_json::from_slice(value).expect("JSON");
        found
            .iter()
            .map(|(_, stored)| read(&stored.value))
            .collect()
    }

    pub(crate) fn state(&self, host: &str) -> String {
        let state = self.get("Node", host)["status"]["state"].clone();
        state.as_str().unwrap_or_default().to_owned()
    }

    /// A condition of an object: its status, and its reason.
    pub(crate) fn condition(
        &self,
        kind: &str,
        name: &str,
        type_: &str,
    ) -> Option<(String, String)> {
        let object = self.get(kind, name);
        let conditions = object["status"]["conditions"].as_array()?.clone();
        let found = conditions.into_iter().find(|one| one["type"] == type_)?;
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        Some((text("status"), text("reason")))
    }

    /// What has been written since that revision, events excepted: they go by themselves.
    pub(crate) fn changes_since(&self, revision: u64) -> Vec<String> {
        let site = self.sites.values().next().expect("a member runs");
        let watch = site.engine.store().watch(WatchScope::default(), revision);
        let mut watch = watch.expect("it is not long ago");
        let changes = watch.next_batch().now_or_never();
        let changes = changes.map(|changes| changes.expect("the store runs"));
        let changes = changes.unwrap_or_default().into_iter();
        changes
            .filter(|change| change.value.is_some() || change.key.bucket.as_str() != "events")
            .map(|change| format!("{}/{}", change.key.bucket.as_str(), change.key.name))
            .collect()
    }

    /// The hosts on which a guest really runs, whatever anybody believes.
    pub(crate) fn runs_on(&self, guest: &str) -> Vec<&str> {
        self.hosts
            .iter()
            .filter(|host| host.guests().contains(guest))
            .map(|host| host.name.as_str())
            .collect()
    }

    /// Waits until a guest runs, and tells where.
    pub(crate) async fn settled(&self, guest: &str) -> String {
        self.until("the guest runs", |world| world.runs_on(guest).len() == 1)
            .await;
        self.runs_on(guest)[0].to_owned()
    }

    /// Lets time pass; a guest that runs twice ends the story.
    pub(crate) async fn pass(&self, time: Duration) {
        let step = Duration::from_millis(50);
        let mut left = time;
        while !left.is_zero() {
            let now = left.min(step);
            sleep(now).await;
            left -= now;
            self.check();
        }
    }

    fn check(&self) {
        let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        for host in &self.hosts {
            for guest in host.guests() {
                places.entry(guest).or_default().push(&host.name);
            }
        }
        for (guest, hosts) in places {
            assert!(hosts.len() < 2, "guest {guest} runs on {hosts:?} (R1)");
        }
    }

    /// Waits for something that must come, within a minute or five.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        for _ in 0..6_000 {
            if holds(self) {
                return;
            }
            self.pass(Duration::from_millis(50)).await;
        }
        let nodes: Vec<Value> = self
            .all("Node")
            .iter()
            .map(|node| node["status"].clone())
            .collect();
        let told: Vec<String> = self.hosts.iter().map(Host::told).collect();
        panic!("it never came to this: {what}; the hosts: {nodes:#?}, told: {told:?}");
    }

    pub(crate) async fn until_state(&self, host: &str, state: &str) {
        let what = format!("host {host} is {state}");
        self.until(&what, |world| world.state(host) == state).await;
    }

    pub(crate) async fn until_runs(&self, guest: &str, host: &str) {
        let what = format!("guest {guest} runs on {host}");
        self.until(&what, |world| world.runs_on(guest) == [host])
            .await;
    }
}

fn options() -> WriteOptions {
    WriteOptions {
        manager: "story".to_owned(),
        dry_run: false,
        force: true,
    }
}

fn member(id: MemberId) -> Member {
    Member {
        name: format!("m{id}"),
        addresses: vec![format!("m{id}.bcn:7443"), format!("m{id}.sn:7443")],
        witness: false,
        feature_level: quorate_proto::FEATURE_LEVEL,
    }
}
