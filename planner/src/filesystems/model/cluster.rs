//! Everything that can happen to a shared filesystem and its hosts, within bounds.

use super::host::{Act, Host, Kernel, Stage};
use super::leader::{Bases, Committed, HOSTS, Members, Presence, Set};
use super::{Bounds, Mistake};
use stateright::{Model, Property};
use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::RwLock;

/// What must hold in every state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// Whoever gives locks is a member itself, as the boot that it is.
    OwnMembership,
    /// All that give locks have the same members, boot by boot, in the same generation: nobody starts before all have stopped.
    SameMembers,
    /// The journal of a host that may write is replayed by nobody.
    NoReplayUnderAWriter,
    /// When all members go on, no journal of one that was lost is left.
    EveryJournalReplayed,
}

impl Rule {
    pub(super) const ALL: [Self; 4] = [
        Self::OwnMembership,
        Self::SameMembers,
        Self::NoReplayUnderAWriter,
        Self::EveryJournalReplayed,
    ];

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::OwnMembership => "who gives locks is a member",
            Self::SameMembers => "all that give locks have the same members",
            Self::NoReplayUnderAWriter => "no journal is replayed under a host that writes it",
            Self::EveryJournalReplayed => "all go on only when every lost journal is replayed",
        }
    }
}

/// What every state must lead to when nothing more goes wrong.
pub(super) const MOUNTS: &str = "all that should have it mounted, have";
/// What must be reached, or the search shows nothing.
pub(super) const REPLAYS: &str = "a lost host's journal is replayed, and the rest go on";

/// In so many steps everything comes to rest that ever will.
const PATIENCE: usize = 1000;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) log: Committed,
    pub(super) hosts: [Host; HOSTS],
    /// Boots that ended with the filesystem mounted, one bit each, and whose journals nobody has replayed.
    unclean: [u8; HOSTS],
    pub(super) spent: Spent,
    pub(super) broken: Option<Rule>,
    replayed: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Spent {
    crashes: u8,
    cuts: u8,
    wishes: u8,
    torn: u8,
}

/// What may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    /// The leader, whoever it is by now, decides, and what concerns so many hosts is committed.
    Decide(usize),
    /// The host's daemon receives its newest record.
    Receive(usize),
    /// The daemon does what is next to be done.
    Do(usize),
    /// The daemon says how far it is. What it said before and has not arrived is lost.
    Say(usize),
    /// What it said last is committed.
    Arrive(usize),
    Crash(usize),
    Cut(usize),
    Mend(usize),
    /// The leader misses it.
    Suspect(usize),
    /// The leader hears it again.
    Hear(usize),
    /// A fence device takes its power.
    SwitchOff(usize),
    /// A fence device says that it has none.
    Confirm(usize),
    /// It boots and registers.
    Boot(usize),
    /// People want it, or want it no more.
    Wish(usize),
}

/// The cluster, its bounds, and at most one mistake.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) bounds: Bounds,
    pub(super) mistake: Option<Mistake>,
    bases: Bases,
    /// Decisions that were made.
    decided: RwLock<HashMap<(Committed, usize), Committed>>,
    /// States that are known to come to rest as they should.
    rests: RwLock<HashSet<u64>>,
}

impl Cluster {
    pub(super) fn new(bounds: Bounds, mistake: Option<Mistake>) -> Self {
        Self {
            bounds,
            mistake,
            bases: Bases::default(),
            decided: RwLock::default(),
            rests: RwLock::default(),
        }
    }

    /// How many different pictures were decided on.
    pub(super) fn pictures(&self) -> usize {
        self.decided.read().expect("no panic").len()
    }

    fn decide(&self, log: &Committed, upto: usize) -> Committed {
        let known = (log.clone(), upto);
        if let Some(decided) = self.decided.read().expect("no panic").get(&known) {
            return decided.clone();
        }
        let decided = log.decided(&self.bases, self.mistake, upto);
        let mut all = self.decided.write().expect("no panic");
        all.insert(known, decided.clone());
        decided
    }

    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    /// How it goes on from here when nothing more goes wrong, and everything that can happen does: one step, or none when it is at
    /// rest. Machines are switched on again last.
    fn settles(&self, state: &State) -> Option<Step> {
        let hosts = || 0..HOSTS;
        let first = |step: fn(usize) -> Step| hosts().map(step);
        let quiet = first(Step::Mend)
            .chain(first(Step::Hear))
            .chain(first(Step::Suspect))
            .chain(first(Step::Confirm))
            .chain(first(Step::Arrive))
            .chain(first(Step::Receive))
            .chain(first(Step::Do))
            .chain(first(Step::Say))
            .chain([Step::Decide(HOSTS)])
            .chain(first(Step::Boot));
        quiet
            .filter(|step| state.may(*step, &self.bounds))
            .find(|step| self.next_state(state, *step).is_some())
    }

    /// Whether all come to have it mounted that should: first those that are left, then all. If not, the way that it goes.
    pub(super) fn comes_to_rest(&self, state: &State) -> Result<(), Vec<(Step, State)>> {
        let mut way = Vec::new();
        let mut prints = Vec::new();
        let mut state = state.clone();
        loop {
            let print = state.print();
            if self.rests.read().expect("no panic").contains(&print) {
                break;
            }
            prints.push(print);
            let step = self.settles(&state);
            let rests = matches!(step, None | Some(Step::Boot(_)));
            if rests && !state.is_mounted_where_wanted() || way.len() > PATIENCE {
                return Err(way);
            }
            let Some(step) = step else { break };
            state = self.next_state(&state, step).expect("it was possible");
            way.push((step, state.clone()));
        }
        self.rests.write().expect("no panic").extend(prints);
        Ok(())
    }

    /// Everything runs: what a day begins with.
    fn at_work(&self, mut state: State) -> State {
        while let Some(step) = self.settles(&state) {
            state = self.next_state(&state, step).expect("it was possible");
        }
        assert!(state.is_mounted_where_wanted(), "{state:#?}");
        state
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        let fresh = State {
            log: Committed::new(self.bounds.wanted),
            hosts: [Host::FRESH; HOSTS],
            unclean: [0; HOSTS],
            spent: Spent::default(),
            broken: None,
            replayed: false,
        };
        vec![match self.bounds.cold {
            true => fresh,
            false => Cluster::new(self.bounds.clone(), None).at_work(fresh),
        }]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.broken.is_some() {
            return;
        }
        let every: [fn(usize) -> Step; 13] = [
            Step::Receive,
            Step::Do,
            Step::Say,
            Step::Arrive,
            Step::Crash,
            Step::Cut,
            Step::Mend,
            Step::Suspect,
            Step::Hear,
            Step::SwitchOff,
            Step::Confirm,
            Step::Boot,
            Step::Wish,
        ];
        let of_hosts = every.iter().flat_map(|step| (0..HOSTS).map(step));
        let decide = (0..=HOSTS).map(Step::Decide);
        steps.extend(
            of_hosts
                .chain(decide)
                .filter(|step| state.may(*step, &self.bounds)),
        );
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Decide(upto) => {
                state.log = self.decide(&last.log, upto);
                if upto < HOSTS {
                    if state.log == self.decide(&last.log, HOSTS) {
                        return None;
                    }
                    state.spent.torn += 1;
                }
            }
            Step::Receive(at) => {
                let boot = state.log.hosts[at].boot;
                let record = state.log.hosts[at].record;
                let own = self.makes(Mistake::BootsNotTold);
                state.hosts[at].plan = record.filter(|it| own || it.boot == boot);
            }
            Step::Do(at) => self.act(&mut state, at),
            Step::Say(at) => {
                state.hosts[at].word = state.says(at);
                if self.bounds.prompt {
                    state.arrives(at);
                }
            }
            Step::Arrive(at) => state.arrives(at),
            Step::Crash(at) => {
                state.spent.crashes += 1;
                state.falls(at);
            }
            Step::Cut(at) => {
                state.spent.cuts += 1;
                state.hosts[at].cut = true;
            }
            Step::Mend(at) => state.hosts[at].cut = false,
            Step::Suspect(at) => state.log.hosts[at].presence = Presence::Silent,
            Step::Hear(at) => state.log.hosts[at].presence = Presence::Online,
            Step::SwitchOff(at) => state.falls(at),
            Step::Confirm(at) => state.log.hosts[at].presence = Presence::Fenced,
            Step::Boot(at) => {
                state.hosts[at] = Host {
                    word: state.hosts[at].word,
                    ..Host::FRESH
                };
                state.log.hosts[at].boot += 1;
                state.log.hosts[at].presence = Presence::Online;
            }
            Step::Wish(at) => {
                state.spent.wishes += 1;
                state.log.wanted ^= 1 << at;
            }
        }
        state.recover();
        state.judge();
        state.compress();
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        macro_rules! rule {
            ($rule:expr) => {
                Property::always($rule.words(), |_, state: &State| {
                    state.broken != Some($rule)
                })
            };
        }
        vec![
            rule!(Rule::OwnMembership),
            rule!(Rule::SameMembers),
            rule!(Rule::NoReplayUnderAWriter),
            rule!(Rule::EveryJournalReplayed),
            Property::always(MOUNTS, |cluster: &Self, state: &State| {
                state.broken.is_some()
                    || cluster.mistake.is_some()
                    || cluster.comes_to_rest(state).is_ok()
            }),
            Property::sometimes(REPLAYS, |_, state: &State| {
                state.replayed && state.is_mounted_where_wanted()
            }),
        ]
    }
}

impl Cluster {
    fn act(&self, state: &mut State, at: usize) {
        if self.makes(Mistake::ReplaysUnasked) && state.misses_somebody(at) {
            let mut kernel = state.hosts[at].kernel;
            let former = kernel.members;
            for other in 0..HOSTS {
                if !state.is_reached(other) {
                    kernel.members[other] = 0;
                }
            }
            state.hosts[at].kernel = kernel;
            return state.started(at, former, false);
        }
        let Some(act) = state.hosts[at].act(at) else {
            return;
        };
        let before = state.hosts[at].kernel;
        state.hosts[at].done(act);
        let after = state.hosts[at].kernel;
        if act == Act::Start && after != before {
            let joins = before.stage == Stage::AtTheDoor;
            state.started(at, before.members, joins);
        }
    }
}

impl State {
    /// Whether it can happen now.
    fn may(&self, step: Step, bounds: &Bounds) -> bool {
        let heard = |at: usize| self.hosts[at].on && !self.hosts[at].cut;
        let presence = |at: usize| self.log.hosts[at].presence;
        match step {
            Step::Decide(upto) => upto == HOSTS || self.spent.torn < bounds.torn,
            Step::Receive(at) => heard(at) && self.hosts[at].plan != self.log.hosts[at].record,
            Step::Do(at) => self.hosts[at].on,
            Step::Say(at) => heard(at) && self.says(at).is_some(),
            Step::Arrive(at) => self.hosts[at].word.is_some(),
            Step::Crash(at) => self.hosts[at].on && self.spent.crashes < bounds.crashes,
            Step::Cut(at) => heard(at) && self.spent.cuts < bounds.cuts,
            Step::Mend(at) => self.hosts[at].cut,
            Step::Suspect(at) => !heard(at) && presence(at) == Presence::Online,
            Step::Hear(at) => heard(at) && presence(at) == Presence::Silent,
            Step::SwitchOff(at) => self.hosts[at].on && presence(at) == Presence::Silent,
            Step::Confirm(at) => !self.hosts[at].on && presence(at) == Presence::Silent,
            Step::Boot(at) => !self.hosts[at].on,
            Step::Wish(at) => self.spent.wishes < bounds.wishes && self.log.wanted ^ (1 << at) != 0,
        }
    }

    fn print(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// What the daemon would say, when it is news.
    fn says(&self, at: usize) -> Option<super::leader::Report> {
        let host = &self.hosts[at];
        let known = &self.log.hosts[at];
        let says = host.report(at, known.boot);
        says.filter(|_| says != host.word.or(known.said))
    }

    fn arrives(&mut self, at: usize) {
        let word = self.hosts[at].word.take();
        if self.log.hosts[at].record.is_some() {
            self.log.hosts[at].said = word;
        }
    }

    fn falls(&mut self, at: usize) {
        let host = &mut self.hosts[at];
        if host.kernel.writes {
            self.unclean[at] |= 1 << self.log.hosts[at].boot;
        }
        host.on = false;
        host.cut = false;
        host.kernel = Kernel::FRESH;
        host.plan = None;
    }

    /// Whether that very boot executes and has the filesystem mounted.
    fn writes(&self, at: usize, boot: u8) -> bool {
        self.hosts[at].on && self.hosts[at].kernel.writes && self.log.hosts[at].boot == boot
    }

    fn is_reached(&self, at: usize) -> bool {
        self.hosts[at].on && !self.hosts[at].cut
    }

    fn misses_somebody(&self, at: usize) -> bool {
        let kernel = &self.hosts[at].kernel;
        let missed = |other: usize| kernel.members[other] > 0 && !self.is_reached(other);
        kernel.running && self.is_reached(at) && (0..HOSTS).any(missed)
    }

    /// The kernel of that host gives locks with other members than before: journals of those that went are replayed, and by one that
    /// finds nobody who has it mounted all of them.
    fn started(&mut self, at: usize, former: Members, joins: bool) {
        let members = self.hosts[at].kernel.members;
        let others = |state: &Self, other: usize| {
            other != at && state.writes(other, state.log.hosts[other].boot)
        };
        let first = joins && !(0..HOSTS).any(|other| members[other] > 0 && others(self, other));
        for other in (0..HOSTS).filter(|other| *other != at) {
            let present = self.log.hosts[other].boot;
            let went = former[other] > 0 && former[other] != members[other];
            if went {
                if self.writes(other, former[other]) {
                    self.broken.get_or_insert(Rule::NoReplayUnderAWriter);
                }
                self.replay(other, former[other]);
            }
            if first {
                if self.writes(other, present) && members[other] != present {
                    self.broken.get_or_insert(Rule::NoReplayUnderAWriter);
                }
                for boot in 1..=present {
                    self.replay(other, boot);
                }
            }
        }
        if first {
            self.unclean[at] = 0;
        }
    }

    fn replay(&mut self, at: usize, boot: u8) {
        let bit = 1 << boot;
        self.replayed |= self.unclean[at] & bit != 0;
        self.unclean[at] &= !bit;
    }

    /// Where all members have started, locks are really given: a mount goes through, and the filesystem is written from then on.
    fn recover(&mut self) {
        let start = |host: &Host| {
            let kernel = &host.kernel;
            (host.on && kernel.running).then_some((kernel.generation, kernel.members))
        };
        for at in 0..HOSTS {
            let own = start(&self.hosts[at]);
            let all = own.is_some_and(|(_, members)| {
                let mut members = (0..HOSTS).filter(|other| members[*other] > 0);
                members.all(|other| start(&self.hosts[other]) == own)
            });
            if all {
                self.hosts[at].kernel.recovers();
            }
        }
    }

    /// The rules, in this very moment. What was broken first counts.
    fn judge(&mut self) {
        if self.broken.is_none() {
            self.broken = self.breach();
        }
    }

    fn breach(&self) -> Option<Rule> {
        let gives = |at: &usize| self.hosts[*at].on && self.hosts[*at].kernel.running;
        let mut started: Option<usize> = None;
        for at in (0..HOSTS).filter(gives) {
            let kernel = &self.hosts[at].kernel;
            if kernel.members[at] != self.log.hosts[at].boot {
                return Some(Rule::OwnMembership);
            }
            let other = started.map(|other| &self.hosts[other].kernel);
            if other.is_some_and(|other| {
                (other.generation, other.members) != (kernel.generation, kernel.members)
            }) {
                return Some(Rule::SameMembers);
            }
            started = Some(at);
        }
        let members = self.hosts[started?].kernel.members;
        let all = (0..HOSTS)
            .filter(|at| members[*at] > 0)
            .all(|at| gives(&at));
        let left = (0..HOSTS).any(|at| {
            let mut boots = 1..8;
            boots.any(|boot| self.unclean[at] & (1 << boot) != 0 && members[at] != boot)
        });
        (all && left).then_some(Rule::EveryJournalReplayed)
    }

    /// All hosts that are there and should have it mounted have it, with locks among just them, and the others have not.
    fn is_mounted_where_wanted(&self) -> bool {
        let there = |at: usize| self.is_reached(at) && self.log.wanted & (1 << at) != 0;
        let mut members = [0; HOSTS];
        for at in (0..HOSTS).filter(|at| there(*at)) {
            members[at] = self.log.hosts[at].boot;
        }
        let set: Set = (0..HOSTS)
            .filter(|at| there(*at))
            .fold(0, |set, at| set | 1 << at);
        let settled = |at: usize| {
            let kernel = &self.hosts[at].kernel;
            match there(at) {
                true => {
                    kernel.running && kernel.stage == Stage::Mounted && kernel.members == members
                }
                false => kernel.stage == Stage::Nothing,
            }
        };
        (0..HOSTS).all(settled) && (self.log.members == set || set == 0)
    }

    /// Generations are only ever compared, so that what counts is their order: numbers that nobody has any more are given anew.
    fn compress(&mut self) {
        let mut generations = vec![self.log.generation];
        for (known, host) in self.log.hosts.iter().zip(&self.hosts) {
            generations.extend(known.record.iter().map(|it| it.generation));
            generations.extend(host.plan.iter().map(|it| it.generation));
            generations.extend(host.kernel.generation);
        }
        let rank = ranks(generations);
        self.log.generation = rank(self.log.generation);
        for (known, host) in self.log.hosts.iter_mut().zip(&mut self.hosts) {
            for record in known.record.iter_mut().chain(&mut host.plan) {
                record.generation = rank(record.generation);
            }
            host.kernel.generation = host.kernel.generation.map(&rank);
            let mut serials = vec![known.head];
            serials.extend(known.record.iter().chain(&host.plan).map(|it| it.serial));
            serials.extend(known.said.iter().chain(&host.word).map(|it| it.serial));
            let rank = ranks(serials);
            known.head = rank(known.head);
            for record in known.record.iter_mut().chain(&mut host.plan) {
                record.serial = rank(record.serial);
            }
            for word in known.said.iter_mut().chain(&mut host.word) {
                word.serial = rank(word.serial);
            }
        }
    }
}

/// The place of each number among all; zero stays zero.
fn ranks(mut numbers: Vec<u8>) -> impl Fn(u8) -> u8 {
    numbers.push(0);
    numbers.sort_unstable();
    numbers.dedup();
    move |number| {
        let at = numbers.binary_search(&number).expect("one of them");
        u8::try_from(at).expect("few numbers")
    }
}
