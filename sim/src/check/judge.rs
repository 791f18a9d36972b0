use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use quorate_crds::{Assignment, Event, GuestStep, NodeState, ReplicaRole};
use quorate_node_daemon::simulated::{LocalRoom, room::Truth};
use quorate_store::{Change, Revision, Store};

use super::{
    Committed, Failover, commits, committed::Changed, failover, late, lockspaces::Begun, truths,
};

/// Asserts the rules: on every change of the log, and on the truth in the room after every step.
#[derive(Clone)]
pub(crate) struct Judge(Arc<Mutex<Bench>>);

/// What the judge knows.
pub(crate) struct Bench {
    pub(crate) room: LocalRoom,
    pub(crate) now: Duration,
    pub(crate) committed: Committed,
    pub(crate) violations: Vec<String>,
    /// What breaks a rule unless a takeover is committed at once: when that was, and what.
    pub(crate) doubts: Vec<(Duration, String)>,
    pub(crate) checks: BTreeMap<&'static str, u64>,
    /// Who may be executing a guest, by what the log has ordered: guest, then host, incarnation.
    pub(crate) holders: BTreeMap<String, BTreeMap<String, u64>>,
    /// Who may be writing a volume, in the same way.
    pub(crate) writers: BTreeMap<String, BTreeMap<String, u64>>,
    /// Who may be writing a shared filesystem, and so has a journal there, in the same way.
    pub(crate) sharers: BTreeMap<String, BTreeMap<String, u64>>,
    /// By shared filesystem and host: when its kernel last began to give locks.
    pub(crate) locks_since: BTreeMap<(String, String), Begun>,
    /// When a beat of a host last reached a member's process.
    pub(crate) heard: BTreeMap<(String, String), Duration>,
    /// The last time that a member's process heard a host again after a silence: from when to when it lasted.
    pub(crate) silences: BTreeMap<(String, String), (Duration, Duration)>,
    /// Since when a member's process has heard a host without a gap.
    pub(crate) steadily: BTreeMap<(String, String), Duration>,
    /// The other members that the leader reaches, and since when without a pause.
    pub(crate) reached: BTreeMap<String, Duration>,
    /// Who leads, in which term, since when it has both led and run without a pause.
    pub(crate) leader: Option<Leader>,
    /// When that was last so.
    pub(crate) led: Duration,
    /// When a majority last answered the leader.
    pub(crate) acknowledged: Option<Duration>,
    /// The last time that none answered it for a while: from when to when.
    pub(crate) unanswered: Option<(Duration, Duration)>,
    /// When half of the voters last wrote down that it has taken the other half out.
    pub(crate) took_over: Option<Duration>,
    /// Who led before, and until when.
    pub(crate) deposed: Option<(Leader, Duration)>,
    /// When each host last had a fresh lease.
    pub(crate) leased: BTreeMap<String, Duration>,
    /// The run that each right to run a guest was used for: guest, host, epoch and the host's boot.
    pub(crate) started: BTreeMap<(String, String, u64, u64), u64>,
    /// Volumes that two hosts may have open though no guest moves, and since when.
    pub(crate) open_for_two: BTreeMap<String, Duration>,
    /// By record: what its host was told before, and may still go by.
    pub(crate) standing: BTreeMap<String, Vec<(String, Assignment)>>,
    /// The runs of guests that have begun to shut down.
    pub(crate) shutting_down: BTreeSet<(String, u64)>,
    pub(crate) former: Option<Truth>,
    /// Guests whose own kernel is made to panic.
    pub(crate) crashing: BTreeSet<String>,
    pub(crate) milestones: Vec<(Duration, Milestone)>,
    /// The events that people are shown.
    pub(crate) told: Vec<(Duration, Told)>,
}

/// A host that is heard again after so long was not heard all the time.
const UNBROKEN: Duration = Duration::from_secs(1);

/// What people are told about an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) reason: String,
}

/// A member that leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Leader {
    pub(crate) process: String,
    pub(crate) term: u64,
    pub(crate) since: Duration,
}

/// A moment of a recovery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Milestone {
    /// The log says that the host is in this state.
    State(String, NodeState),
    /// The log says that the host is suspected, which was last heard then.
    Suspected(String, Duration),
    /// The log orders the guest to run on the host.
    Ordered(String, String),
    /// The guest runs on the host.
    Runs(String, String),
}

impl Judge {
    pub(crate) fn new(room: LocalRoom) -> Self {
        Self(Arc::new(Mutex::new(Bench {
            room,
            now: Duration::ZERO,
            committed: Committed::default(),
            violations: Vec::new(),
            doubts: Vec::new(),
            checks: BTreeMap::new(),
            holders: BTreeMap::new(),
            writers: BTreeMap::new(),
            sharers: BTreeMap::new(),
            locks_since: BTreeMap::new(),
            heard: BTreeMap::new(),
            silences: BTreeMap::new(),
            steadily: BTreeMap::new(),
            reached: BTreeMap::new(),
            leader: None,
            led: Duration::ZERO,
            acknowledged: None,
            unanswered: None,
            took_over: None,
            deposed: None,
            leased: BTreeMap::new(),
            started: BTreeMap::new(),
            open_for_two: BTreeMap::new(),
            standing: BTreeMap::new(),
            shutting_down: BTreeSet::new(),
            former: None,
            crashing: BTreeSet::new(),
            milestones: Vec::new(),
            told: Vec::new(),
        })))
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Bench> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A revision that no member has shown before.
    pub(crate) fn commit(
        &self,
        now: Duration,
        revision: Revision,
        changes: &[Arc<Change>],
        store: &Store,
    ) {
        let mut bench = self.lock();
        bench.now = now;
        if revision > bench.committed.revision + 1 {
            // Every member that knew what lies between has lost its history meanwhile.
            bench.committed = Committed::of(&store.view());
        }
        if revision <= bench.committed.revision {
            return;
        }
        bench.committed.revision = revision;
        for change in changes {
            bench.listen(change);
        }
        let changed: Vec<Changed> = changes
            .iter()
            .filter_map(|change| bench.committed.apply(change))
            .collect();
        commits::check(&mut bench, &changed);
    }

    /// Something from a host has reached a process.
    pub(crate) fn hears(&self, process: &str, host: &str, now: Duration) {
        let pair = (host.to_owned(), process.to_owned());
        let mut bench = self.lock();
        let before = bench.heard.insert(pair.clone(), now);
        let unbroken = before.is_some_and(|before| now.saturating_sub(before) < UNBROKEN);
        if !unbroken {
            bench
                .silences
                .insert(pair.clone(), (before.unwrap_or_default(), now));
            bench.steadily.insert(pair, now);
        }
    }

    /// Who leads, if anybody does.
    pub(crate) fn leads(&self, leader: Option<Leader>, now: Duration) {
        // One that stands still for a moment leads on, and so does one beside whom a deposed one has not noticed yet.
        let Some(leader) = leader else { return };
        let mut bench = self.lock();
        match bench.leader.take() {
            Some(known) if known.term > leader.term => bench.leader = Some(known),
            known => {
                let former = known.filter(|known| known.term < leader.term);
                if let Some(former) = former {
                    bench.deposed = Some((former, bench.led));
                }
                bench.led = now;
                bench.leader = Some(leader);
            }
        }
    }

    /// The other members that the leader reaches now.
    pub(crate) fn reaches(&self, members: &BTreeSet<String>, now: Duration) {
        let mut bench = self.lock();
        bench.reached.retain(|process, _| members.contains(process));
        for process in members {
            bench.reached.entry(process.clone()).or_insert(now);
        }
    }

    /// A majority answered the leader then.
    pub(crate) fn acknowledged(&self, at: Duration) {
        late::acknowledged(&mut self.lock(), at);
    }

    /// Since when the process has led in this term without a pause, if it has.
    pub(crate) fn led_since(&self, process: &str, term: u64) -> Option<Duration> {
        let bench = self.lock();
        let leader = bench.leader.as_ref();
        let same = leader.filter(|known| known.process == process && known.term == term);
        same.map(|known| known.since)
    }

    /// The host has a fresh lease.
    pub(crate) fn has_lease(&self, host: &str, now: Duration) {
        self.lock().leased.insert(host.to_owned(), now);
    }

    /// The guest's own kernel is made to panic.
    pub(crate) fn crashes(&self, guest: &str) {
        self.lock().crashing.insert(guest.to_owned());
    }

    /// The recoveries so far.
    pub(crate) fn failovers(&self) -> Vec<Failover> {
        failover::failovers(&self.lock().milestones)
    }

    /// How often each rule was looked at.
    pub(crate) fn checks(&self) -> BTreeMap<String, u64> {
        let bench = self.lock();
        let named = bench.checks.iter();
        named
            .map(|(rule, count)| ((*rule).to_owned(), *count))
            .collect()
    }

    /// What was found wrong.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// The truth after a step.
    pub(crate) fn look(&self, now: Duration, truth: Truth) {
        let mut bench = self.lock();
        bench.now = now;
        truths::check(&mut bench, &truth);
        late::settle(&mut bench);
        bench.former = Some(truth);
    }
}

impl Bench {
    /// Which host the log does not call well.
    pub(crate) fn hosts_lack(&self, hosts: &[String]) -> Option<String> {
        hosts.iter().find_map(|host| {
            let status = self
                .committed
                .nodes
                .get(host)
                .and_then(|n| n.status.as_ref());
            let state = status.and_then(|status| status.state);
            (state != Some(NodeState::Online)).then(|| format!("host {host} is {state:?}"))
        })
    }

    /// Remembers what people are told.
    fn listen(&mut self, change: &Change) {
        if change.key.bucket.as_str() != "events" {
            return;
        }
        let value = change.value.as_ref();
        let event = value.and_then(|bytes| serde_json::from_slice::<Event>(bytes).ok());
        if let Some(Event { spec, .. }) = event {
            let told = Told {
                kind: spec.regarding.kind,
                name: spec.regarding.name.to_string(),
                reason: spec.reason,
            };
            self.told.push((self.now, told));
        }
    }

    /// A rule was looked at.
    pub(crate) fn looked(&mut self, rule: &'static str) {
        *self.checks.entry(rule).or_default() += 1;
    }

    /// A rule was broken.
    pub(crate) fn broken(&mut self, rule: &'static str, what: &str) {
        let violation = self.words(rule, what);
        self.found(violation);
    }

    /// A rule was broken, unless what is committed next says that half of the voters has taken over.
    pub(crate) fn doubted(&mut self, rule: &'static str, what: &str) {
        let doubt = (self.now, self.words(rule, what));
        self.doubts.push(doubt);
    }

    pub(super) fn found(&mut self, violation: String) {
        if self.violations.len() < 20 && !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    fn words(&self, rule: &str, what: &str) -> String {
        format!("{rule}: {what} (at {:.3} s)", self.now.as_secs_f64())
    }
}

/// Whether a record lets its host execute the guest.
pub(crate) fn lets_run(step: GuestStep) -> bool {
    matches!(step, GuestStep::Keep | GuestStep::Send)
}

/// Whether a record lets its host write the volume.
pub(crate) fn lets_write(role: ReplicaRole) -> bool {
    role == ReplicaRole::Primary
}
