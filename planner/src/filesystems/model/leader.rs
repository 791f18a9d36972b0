//! What is committed about one shared filesystem, and what the product's planner makes of it.
//!
//! Decisions are asked of the very code that leads a cluster. Nothing but what it may look at is in [`Committed`], so that the
//! same picture gives the same decision, and is decided once.

use super::Mistake;
use crate::decisions::Decisions;
use crate::filesystems;
use crate::networks::Reached;
use crate::outcome::Outcome;
use crate::pools::Groups;
use crate::records::{self, record_name};
use crate::rights::Hosts;
use crate::round::Round;
use crate::state::{ClusterState, Subject, SubjectKind};
use crate::volumes;
use jiff::Timestamp;
use quorate_crds::scalar::AbsolutePath;
use quorate_crds::{
    Assignment, ClusterSpec, Condition, ConditionStatus, LockspaceAssignment, LockspaceMember,
    LockspaceStep, MountAssignment, MountState, MountStatus, Name, NodePlan, NodePlanSpec,
    NodePlanStatus, Time,
};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::RwLock;

pub(super) const HOSTS: usize = 3;
const NAMES: [&str; HOSTS] = ["h1", "h2", "h3"];
const FILESYSTEM: &str = "images";
const TERM: u64 = 1;

/// Hosts, one bit each.
pub(super) type Set = u8;

/// The boots that share locks: of each host the number of the boot, or zero.
pub(super) type Members = [u8; HOSTS];

/// How the cluster calls a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Presence {
    Online,
    Silent,
    Fenced,
}

/// A host's record, as far as it may differ from that of another host or moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Record {
    /// The boot that it is for.
    pub(super) boot: u8,
    /// The generation of the host's plan in which it was written.
    pub(super) serial: u8,
    pub(super) active: bool,
    pub(super) make: bool,
    /// The generation of the lockspace.
    pub(super) generation: u8,
    pub(super) start: bool,
    pub(super) members: Members,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Word {
    Working,
    Converged,
    Released,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Place {
    Unmounted,
    Mounting,
    Mounted,
    Unmounting,
}

/// What a host says about its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Report {
    pub(super) boot: u8,
    /// The generation of the record that it speaks of.
    pub(super) serial: u8,
    pub(super) word: Word,
    pub(super) place: Place,
}

/// What is known of a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Known {
    pub(super) presence: Presence,
    /// The last boot that has registered.
    pub(super) boot: u8,
    /// The generation of its plan.
    pub(super) head: u8,
    pub(super) record: Option<Record>,
    pub(super) said: Option<Report>,
}

/// Everything that the log holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Committed {
    /// The hosts that people want to have it mounted.
    pub(super) wanted: Set,
    pub(super) generation: u8,
    pub(super) running: bool,
    pub(super) members: Set,
    /// The filesystem was made.
    pub(super) made: bool,
    pub(super) hosts: [Known; HOSTS],
}

/// Hosts as the cluster knows them, each with its open replica: made once for every way in which they may stand.
#[derive(Debug, Default)]
pub(super) struct Bases(RwLock<HashMap<[(Presence, u8); HOSTS], ClusterState>>);

impl Bases {
    fn of(&self, hosts: &[Known; HOSTS]) -> ClusterState {
        let stand = hosts.map(|known| (known.presence, known.boot));
        if let Some(base) = self.0.read().expect("no panic").get(&stand) {
            return base.clone();
        }
        let mut base = ClusterState::default();
        let mut put = |object: Value| {
            base.put(&object).expect("an object that can be read");
        };
        put(json!({
            "kind": "Volume", "metadata": {"name": FILESYSTEM},
            "spec": {"size": "1Gi", "pool": "fast", "access": "MultiWriter"},
            "status": {"state": "Ready", "minor": 1, "inSync": NAMES,
                       "replicas": NAMES.map(|host| json!({"node": host}))},
        }));
        for (at, known) in hosts.iter().enumerate() {
            known.objects(at).into_iter().for_each(&mut put);
        }
        let mut all = self.0.write().expect("no panic");
        all.insert(stand, base.clone());
        base
    }
}

impl Committed {
    /// Three hosts that have just started, and a filesystem that nobody has made.
    pub(super) fn new(wanted: Set) -> Self {
        let known = Known {
            presence: Presence::Online,
            boot: 1,
            head: 0,
            record: None,
            said: None,
        };
        Self {
            wanted,
            generation: 0,
            running: true,
            members: 0,
            made: false,
            hosts: [known; HOSTS],
        }
    }

    /// What holds when the planner's decisions are committed, as the mistake makes it see things. Of a transaction that was too
    /// large for one only what concerns the first `upto` hosts is.
    pub(super) fn decided(&self, bases: &Bases, mistake: Option<Mistake>, upto: usize) -> Self {
        let seen = self.distorted(mistake);
        let decisions = seen.decisions(bases);
        let mut next = seen.take(&decisions, upto);
        if mistake == Some(Mistake::BootsNotTold) {
            for (known, truth) in next.hosts.iter_mut().zip(&self.hosts) {
                known.boot = truth.boot;
            }
        }
        for (at, known) in next.hosts.iter_mut().enumerate() {
            known.presence = self.hosts[at].presence;
            if known.record.is_some() && self.hosts[at].record.is_some() {
                known.said = self.hosts[at].said;
            }
        }
        next
    }

    /// The same, as a planner sees it from which one precondition is kept.
    fn distorted(&self, mistake: Option<Mistake>) -> Self {
        let mut seen = self.clone();
        for known in &mut seen.hosts {
            match mistake {
                Some(Mistake::StopsNotAwaited) => {
                    let told = known.record.filter(|record| record.active && !record.start);
                    if let (Some(told), Some(said)) = (told, &mut known.said)
                        && said.place == Place::Mounted
                    {
                        said.serial = told.serial;
                        said.word = Word::Converged;
                    }
                }
                Some(Mistake::SilenceIsProof) if known.presence == Presence::Silent => {
                    known.presence = Presence::Fenced;
                }
                Some(Mistake::OldWordsCount) => {
                    if let (Some(record), Some(said)) = (known.record, &mut known.said) {
                        said.serial = record.serial;
                    }
                }
                Some(Mistake::BootsNotTold) => {
                    known.boot = 1;
                    known.record.iter_mut().for_each(|record| record.boot = 1);
                    known.said.iter_mut().for_each(|said| said.boot = 1);
                }
                _ => {}
            }
        }
        seen
    }

    fn decisions(&self, bases: &Bases) -> Decisions {
        let state = self.state(bases);
        let hosts = Hosts::of(&state);
        let views = volumes::look(&state, &hosts, Timestamp::UNIX_EPOCH);
        let round = Round {
            state: &state,
            settings: ClusterSpec::default(),
            hosts,
            now: Timestamp::UNIX_EPOCH,
            views,
            groups: Groups::of_all(&state),
            reached: Reached::of(&state),
        };
        let mut outcome = Outcome::default();
        filesystems::plan(&round, &mut outcome);
        for host in NAMES {
            outcome.keep(&state, &Subject::volume(FILESYSTEM), host);
        }
        records::settle(&state, &round.hosts, TERM, &mut outcome);
        outcome.decided()
    }

    fn take(&self, decisions: &Decisions, upto: usize) -> Self {
        let mut next = self.clone();
        for patch in &decisions.statuses {
            let status = &patch.status;
            if let Some(lockspace) = status.get("lockspace") {
                next.generation = small(&lockspace["generation"]);
                next.running = lockspace["state"] != "Stopped";
                let members = lockspace["members"].as_array().into_iter().flatten();
                let members = members.filter_map(|name| place(name.as_str()?));
                next.members = members.fold(0, |set, at| set | 1 << at);
            }
            next.made |= status.get("journals").is_some_and(|it| !it.is_null());
        }
        for record in &decisions.records {
            let Some(at) = place(record.spec.node.as_str()).filter(|at| *at < upto) else {
                continue;
            };
            let known = &mut next.hosts[at];
            let serial = u8::try_from(record.spec.plan_generation).expect("a small generation");
            match &record.spec.assignment {
                None => known.head = serial,
                Some(assignment) if assignment.mount.is_some() => {
                    let boot = u8::try_from(record.spec.incarnation).expect("a small number");
                    let taken = read(assignment, boot, serial);
                    assert_eq!(
                        taken.assignment(at),
                        *assignment,
                        "the model leaves something out"
                    );
                    known.record = Some(taken);
                }
                Some(_) => {}
            }
        }
        let subject = Subject::new(SubjectKind::Filesystem, FILESYSTEM);
        for name in &decisions.obsolete {
            let at = NAMES
                .iter()
                .position(|host| record_name(host, &subject) == *name);
            if let Some(at) = at.filter(|at| *at < upto) {
                next.hosts[at].record = None;
                next.hosts[at].said = None;
            }
        }
        next
    }

    fn state(&self, bases: &Bases) -> ClusterState {
        let mut state = bases.of(&self.hosts);
        let mut status = json!({"lockspace": {
            "generation": self.generation,
            "state": if self.running { "Running" } else { "Stopped" },
            "members": names(self.members),
        }});
        if self.made {
            status["journals"] = json!(HOSTS);
        }
        let filesystem = json!({
            "kind": "SharedFilesystem", "metadata": {"name": FILESYSTEM},
            "spec": {"volume": FILESYSTEM, "mountPoint": "/srv/images", "journals": HOSTS,
                     "nodes": names(self.wanted)},
            "status": status,
        });
        state.put(&filesystem).expect("a filesystem");
        for (at, known) in self.hosts.iter().enumerate() {
            known.tell(at, &mut state);
        }
        state
    }
}

impl Known {
    /// The host, and the record of its replica, which is open whenever the host is there.
    fn objects(&self, at: usize) -> [Value; 2] {
        let host = NAMES[at];
        let state = match self.presence {
            Presence::Online => "Online",
            Presence::Silent => "Fencing",
            Presence::Fenced => "Fenced",
        };
        [
            json!({
                "kind": "Node", "metadata": {"name": host}, "spec": {"number": at + 1},
                "status": {"state": state, "incarnation": self.boot},
            }),
            json!({
                "kind": "NodePlan", "metadata": {"name": record_name(host, &Subject::volume(FILESYSTEM))},
                "spec": {
                    "node": host, "incarnation": self.boot, "term": TERM, "planGeneration": 0,
                    "assignment": {
                        "object": {"kind": "Volume", "name": FILESYSTEM}, "epoch": 1, "active": true,
                        "replica": {"minor": 1, "port": 7000, "nodeId": at, "backingDevice": "/dev/fast/images",
                                    "size": "1Gi", "role": "Primary", "allowTwoPrimaries": true},
                    },
                },
                "status": {
                    "observedPlanGeneration": 0, "incarnation": self.boot,
                    "conditions": [{"type": "Converged", "status": "True", "reason": "AsPlanned", "message": "",
                                    "lastTransitionTime": "1970-01-01T00:00:00Z"}],
                    "replica": {"node": host, "role": "Primary", "disk": "UpToDate"},
                },
            }),
        ]
    }

    /// The head of its plan, and its record of the filesystem.
    fn tell(&self, at: usize, state: &mut ClusterState) {
        let host = NAMES[at];
        let spec = |boot: u8, serial: u8, assignment| NodePlanSpec {
            node: Name::from(host),
            incarnation: boot.into(),
            term: TERM,
            plan_generation: serial.into(),
            lowest_valid_generation: None,
            records: None,
            assignment,
        };
        let head = NodePlan::new(host, spec(self.boot, self.head, None));
        state.put_plan(host, head);
        if let Some(record) = &self.record {
            let name = record_name(host, &Subject::new(SubjectKind::Filesystem, FILESYSTEM));
            let assignment = Some(record.assignment(at));
            let mut plan = NodePlan::new(&name, spec(record.boot, record.serial, assignment));
            plan.status = self.said.map(|said| said.status(host));
            state.put_plan(&name, plan);
        }
    }
}

impl Report {
    fn status(&self, host: &str) -> NodePlanStatus {
        let converged = Condition {
            type_: "Converged".to_owned(),
            status: ConditionStatus::True,
            reason: "AsPlanned".to_owned(),
            message: String::new(),
            last_transition_time: Time::from(Timestamp::UNIX_EPOCH),
            observed_generation: None,
        };
        NodePlanStatus {
            observed_plan_generation: Some(self.serial.into()),
            incarnation: Some(self.boot.into()),
            released: (self.word == Word::Released).then_some(true),
            conditions: match self.word {
                Word::Working => Vec::new(),
                Word::Converged | Word::Released => vec![converged],
            },
            mount: Some(MountStatus {
                node: Name::from(host),
                state: Some(match self.place {
                    Place::Unmounted => MountState::Unmounted,
                    Place::Mounting => MountState::Mounting,
                    Place::Mounted => MountState::Mounted,
                    Place::Unmounting => MountState::Unmounting,
                }),
                journal: None,
                journals: None,
                quota: None,
                capacity: None,
                free: None,
                check: None,
                message: None,
            }),
            ..NodePlanStatus::default()
        }
    }
}

impl Record {
    /// The assignment that it stands for.
    fn assignment(&self, at: usize) -> Assignment {
        let member = |at: usize, incarnation: Option<u64>| LockspaceMember {
            node: Name::from(NAMES[at]),
            node_id: u32::try_from(at).expect("a small number") + 1,
            incarnation,
            addresses: Vec::new(),
        };
        let members = (0..HOSTS).filter(|at| self.members[*at] > 0);
        let members = members.map(|at| member(at, Some(self.members[at].into())));
        let table = format!("quorate:{FILESYSTEM}");
        let id = records::checksum(&table) & 0x7fff_ffff;
        let lockspace = LockspaceAssignment {
            id: u32::try_from(id).expect("31 bits"),
            table,
            generation: self.generation.into(),
            step: match self.start {
                true => LockspaceStep::Start,
                false => LockspaceStep::Stop,
            },
            members: members.collect(),
            own: Some(member(at, None)),
            program_locks: None,
        };
        Assignment {
            object: Subject::new(SubjectKind::Filesystem, FILESYSTEM).reference(),
            object_generation: None,
            epoch: self.generation.into(),
            active: self.active,
            after: vec![Subject::volume(FILESYSTEM).reference()],
            network: None,
            storage: None,
            replica: None,
            mount: Some(MountAssignment {
                device: AbsolutePath("/dev/drbd1".to_owned()),
                filesystem: "gfs2".to_owned(),
                mount_point: AbsolutePath("/srv/images".to_owned()),
                options: vec!["noatime".to_owned(), "nodiratime".to_owned()],
                make: self.make,
                journals: u32::try_from(HOSTS).ok(),
                lockspace: Some(lockspace),
                check: None,
            }),
            guest: None,
            secrets: Vec::new(),
        }
    }
}

fn read(assignment: &Assignment, boot: u8, serial: u8) -> Record {
    let mount = assignment.mount.as_ref().expect("a mount");
    let lockspace = mount.lockspace.as_ref().expect("a lockspace");
    let mut members = [0; HOSTS];
    for member in &lockspace.members {
        let at = place(member.node.as_str()).expect("one of the hosts");
        let boot = member.incarnation.expect("a member is a boot");
        members[at] = u8::try_from(boot).expect("a small number");
    }
    Record {
        boot,
        serial,
        active: assignment.active,
        make: mount.make,
        generation: u8::try_from(lockspace.generation).expect("a small generation"),
        start: lockspace.step == LockspaceStep::Start,
        members,
    }
}

fn names(set: Set) -> Vec<&'static str> {
    let hosts = (0..HOSTS).filter(|at| set & (1 << at) != 0);
    hosts.map(|at| NAMES[at]).collect()
}

fn place(name: &str) -> Option<usize> {
    NAMES.iter().position(|host| *host == name)
}

fn small(number: &Value) -> u8 {
    let number = number.as_u64().and_then(|number| u8::try_from(number).ok());
    number.expect("a small number")
}
