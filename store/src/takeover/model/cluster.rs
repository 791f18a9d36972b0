//! Everything that can happen to a cluster, within bounds.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Model, Property};

use super::{
    Bounds, Mistake,
    raft::{Body, Entry, Frame, Node, Role, Voters, What, bit, members, position},
};
use crate::{
    MemberId,
    takeover::{Action, Facts, Phase, Round, Takeover},
};

/// What must hold in every state.
pub(super) const RULES: &str = "the rules hold";
/// What must be reached, or the search shows nothing.
pub(super) const TAKES_OVER: &str = "a half takes over";

/// A request to a fence device.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Shot {
    pub(super) round: Round,
    pub(super) victim: MemberId,
}

/// What the cluster is in.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct State {
    pub(super) nodes: Vec<Node>,
    /// Frames that were sent. They are never taken out: each may arrive late, twice, or never.
    pub(super) frames: BTreeSet<Frame>,
    /// Requests to devices that were sent. A device may act late, after its asker is gone, and twice.
    pub(super) shots: BTreeSet<Shot>,
    /// "Off" as a device said it when it was asked. The answer may be late.
    pub(super) evidence: BTreeSet<Shot>,
    pub(super) spent: Spent,
    /// The longest log that any leader ever counted as committed.
    pub(super) committed: Vec<Entry>,
    pub(super) leaders: BTreeMap<u8, MemberId>,
    pub(super) broken: Option<&'static str>,
    /// Something was committed in place of a fenced half, and then without it.
    pub(super) taken_over: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Spent {
    starts: u8,
    losses: u8,
    restarts: u8,
    attempts: u8,
    changes: u8,
}

/// What may happen next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Step {
    Campaign(MemberId),
    /// The whole log goes to a follower.
    Replicate(MemberId, MemberId),
    /// Nothing goes but what the follower has for certain: a sign of life.
    Heartbeat(MemberId, MemberId),
    Write(MemberId),
    Change(MemberId, Voters),
    Deliver(Frame),
    /// A candidate asks for a vote and gets the answer at once.
    Canvass(MemberId, MemberId),
    /// Its quorum is silent, and only these are heard.
    Begin(MemberId, Voters),
    GiveUp(MemberId),
    DeviceActs(Shot),
    DeviceSaysOff(Shot),
    EvidenceArrives(Shot),
    PowerLost(MemberId),
    PowerOn(MemberId),
    Restart(MemberId),
}

impl State {
    fn node(&mut self, id: MemberId) -> &mut Node {
        &mut self.nodes[id as usize - 1]
    }

    pub(super) fn at(&self, id: MemberId) -> &Node {
        &self.nodes[id as usize - 1]
    }

    pub(super) fn first(bounds: &Bounds) -> Self {
        let all = (1..=bounds.voters).map(bit).fold(0, |all, one| all | one);
        let log = vec![
            Entry {
                term: 1,
                what: What::Membership(None, all),
            },
            Entry {
                term: 1,
                what: What::Write,
            },
        ];
        let nodes = (1..=bounds.voters).map(|id| Node {
            id,
            on: true,
            start: 1,
            term: 1,
            voted: Some(1),
            log: log.clone(),
            commit: 2,
            role: if id == 1 && !bounds.cold {
                Role::Leader {
                    matched: vec![2; bounds.voters as usize],
                }
            } else {
                Role::Follower
            },
            heard: vec![1; bounds.voters as usize],
            in_quorum: !bounds.cold,
            takeover: Takeover::new(id, 1),
            took_back: BTreeSet::new(),
        });
        Self {
            nodes: nodes.collect(),
            frames: BTreeSet::new(),
            shots: BTreeSet::new(),
            evidence: BTreeSet::new(),
            spent: Spent::default(),
            committed: log,
            leaders: BTreeMap::from([(1, 1)]),
            broken: None,
            taken_over: false,
        }
    }
}

/// The cluster, its bounds, and at most one mistake.
#[derive(Clone, Debug)]
pub(super) struct Cluster {
    pub(super) bounds: Bounds,
    pub(super) mistake: Option<Mistake>,
}

impl Cluster {
    fn makes(&self, mistake: Mistake) -> bool {
        self.mistake == Some(mistake)
    }

    fn facts(&self, node: &Node, hears: Voters) -> Facts {
        let mut configuration = node.configuration();
        if self.makes(Mistake::MembershipNotCompared) {
            configuration.at = crate::takeover::Position::default();
            configuration.steps = vec![configuration.voters()];
        }
        Facts {
            configuration,
            committed_voters: node.committed_voters(),
            last: node.last(),
            hears: members(hears),
            quorum: false,
            in_quorum_since_boot: node.in_quorum || self.makes(Mistake::RebootedMayShoot),
            // No device lies here, and nothing rests on this.
            taken_out: Some(false),
        }
    }

    fn frame(&self, state: &State, from: MemberId, to: MemberId, body: Body) -> Frame {
        let node = state.at(from);
        Frame {
            from,
            to,
            start: node.start,
            to_start: node.heard[to as usize - 1],
            pledge: node.takeover.pledge(),
            body,
        }
    }

    fn send(&self, state: &mut State, from: MemberId, to: MemberId, body: Body) {
        let frame = self.frame(state, from, to, body);
        state.frames.insert(frame);
    }

    /// Carries out what a member's part of the protocol asks for.
    fn act(&self, state: &mut State, id: MemberId, actions: Vec<Action>) {
        for action in actions {
            match action {
                Action::Send(to, message) => {
                    self.send(state, id, to, Body::Takeover(message));
                }
                Action::Fence(round, victims) => {
                    let node = state.at(id);
                    if !node.in_quorum {
                        state.broken = Some("a node was shot by one that was in no quorum");
                    }
                    for victim in victims {
                        state.shots.insert(Shot { round, victim });
                    }
                }
                Action::Elect => self.campaign(state, id),
                Action::CancelFence(_) | Action::Ended(..) => {}
            }
        }
    }

    fn campaign(&self, state: &mut State, id: MemberId) {
        let bounds = &self.bounds;
        let node = state.node(id);
        if node.term >= bounds.terms || matches!(node.role, Role::Leader { .. }) {
            return;
        }
        node.term += 1;
        node.voted = Some(id);
        node.role = Role::Candidate { votes: bit(id) };
        let (term, last) = (node.term, node.last());
        for to in node.others() {
            if !bounds.exchanges && !state.at(id).takeover.ignores(to) {
                self.send(state, id, to, Body::RequestVote { term, last });
            }
        }
        self.tally(state, id);
    }

    /// Who agrees with a member, the voter that it stands in for among them.
    fn with_stand_ins(&self, state: &State, id: MemberId, agreed: Voters) -> Voters {
        let takeover = &state.at(id).takeover;
        let Some(voter) = takeover.stands_in_for() else {
            return agreed;
        };
        if self.makes(Mistake::OneVoteForEachFenced)
            && let Phase::Certified(attempt, _) = takeover.phase()
        {
            return attempt
                .others
                .iter()
                .fold(agreed, |all, other| all | bit(*other));
        }
        agreed | bit(voter)
    }

    fn tally(&self, state: &mut State, id: MemberId) {
        let node = state.at(id);
        let Role::Candidate { votes } = node.role else {
            return;
        };
        let votes = self.with_stand_ins(state, id, votes);
        if !state.at(id).decided_by(votes) {
            return;
        }
        let count = state.nodes.len();
        let node = state.node(id);
        let term = node.term;
        node.role = Role::Leader {
            matched: vec![0; count],
        };
        if node.log.len() < usize::from(self.bounds.entries) {
            node.log.push(Entry {
                term,
                what: What::Write,
            });
        }
        if *state.leaders.entry(term).or_insert(id) != id {
            state.broken = Some("two leaders in one term");
        }
        self.advance(state, id);
    }

    /// Commits what enough members have.
    fn advance(&self, state: &mut State, id: MemberId) {
        loop {
            let node = state.at(id);
            let Role::Leader { matched } = &node.role else {
                return;
            };
            let reached = (1..=node.log.len()).rev().find(|length| {
                let agreed = matched
                    .iter()
                    .enumerate()
                    .filter(|(_, has)| usize::from(**has) >= *length)
                    .fold(bit(id), |agreed, (at, _)| agreed | bit(at as u64 + 1));
                let agreed = self.with_stand_ins(state, id, agreed);
                node.log[length - 1].term == node.term && node.decided_by(agreed)
            });
            let Some(reached) = reached.filter(|reached| *reached > usize::from(node.commit))
            else {
                return;
            };
            let log = node.log[..reached].to_vec();
            let before = state.committed.len().min(log.len());
            if state.committed[..before] != log[..before] {
                state.broken = Some("a committed entry was lost");
                return;
            }
            if log.len() > state.committed.len() {
                state.committed = log;
            }
            let node = state.node(id);
            node.commit = reached as u8;
            node.in_quorum = true;
            self.observe(state, id);
            // A change that is agreed upon is completed.
            let node = state.node(id);
            let (at, old, new) = node.membership();
            if old.is_some() && at < reached && node.log.len() < usize::from(self.bounds.entries) {
                let term = node.term;
                node.log.push(Entry {
                    term,
                    what: What::Membership(None, new),
                });
            }
        }
    }

    fn observe(&self, state: &mut State, id: MemberId) {
        let facts = self.facts(state.at(id), 0);
        let node = state.node(id);
        let actions = node.takeover.observe(&facts);
        if actions
            .iter()
            .any(|action| matches!(action, Action::Ended(_, crate::takeover::Ending::Done)))
        {
            state.taken_over = true;
        }
        self.act(state, id, actions);
    }

    /// What a member does with a frame, and what it answers.
    fn receive(&self, state: &mut State, frame: &Frame) -> Option<Frame> {
        let id = frame.to;
        let heard = &mut state.node(id).heard[frame.from as usize - 1];
        if frame.start < *heard {
            return None;
        }
        *heard = frame.start;
        if let Body::Takeover(message) = &frame.body {
            let facts = self.facts(state.at(id), bit(frame.from));
            let heard = message.clone();
            let node = state.node(id);
            let actions = node
                .takeover
                .hear(frame.from, u64::from(frame.start), heard, &facts);
            if let Some(round) = node.takeover.pledge() {
                // What it took back before is given once more.
                node.took_back.remove(&round);
            }
            self.act(state, id, actions);
            return None;
        }
        let start = u64::from(frame.start);
        let (admitted, actions) = state
            .node(id)
            .takeover
            .admits(frame.from, start, frame.pledge);
        self.act(state, id, actions);
        if !admitted && !self.makes(Mistake::OthersAreHeard) {
            return None;
        }
        if self.promised_away(state, id, frame.from) {
            state.broken = Some("a half that shoots served one outside it");
            return None;
        }
        let answer = match &frame.body {
            Body::RequestVote { term, last } => {
                let node = state.node(id);
                node.adopt(*term);
                let grants = *term == node.term
                    && node.voted.is_none_or(|voted| voted == frame.from)
                    && *last >= node.last();
                if !grants {
                    return None;
                }
                node.voted = Some(frame.from);
                Body::Vote { term: *term }
            }
            Body::Vote { term } => {
                let node = state.node(id);
                node.adopt(*term);
                if *term == node.term
                    && let Role::Candidate { votes } = &mut node.role
                {
                    *votes |= bit(frame.from);
                }
                self.tally(state, id);
                return None;
            }
            Body::Append { term, log, commit } => {
                let node = state.node(id);
                node.adopt(*term);
                if *term != node.term {
                    return None;
                }
                if !matches!(node.role, Role::Follower) {
                    node.role = Role::Follower;
                }
                // A late, shorter copy of the same log takes nothing back.
                if !node.log.starts_with(log) {
                    let kept = usize::from(node.commit);
                    if log.len() < kept || log[..kept] != node.log[..kept] {
                        state.broken = Some("a follower was told to drop a committed entry");
                        return None;
                    }
                    node.log.clone_from(log);
                }
                let all = usize::from(*commit);
                let told = (1..=log.len()).contains(&all) && log[all - 1].term == *term;
                node.commit = node.commit.max(all.min(log.len()) as u8);
                let lately = frame.to_start == node.start || self.makes(Mistake::OldContactCounts);
                if lately && (told || self.makes(Mistake::ContactIsQuorum)) {
                    node.in_quorum = true;
                }
                self.observe(state, id);
                Body::Appended {
                    term: *term,
                    length: log.len() as u8,
                }
            }
            Body::Appended { term, length } => {
                let node = state.node(id);
                node.adopt(*term);
                if *term == node.term
                    && let Role::Leader { matched } = &mut node.role
                {
                    let has = &mut matched[frame.from as usize - 1];
                    *has = (*has).max(*length);
                }
                self.advance(state, id);
                return None;
            }
            Body::Takeover(_) => return None,
        };
        Some(self.frame(state, id, frame.from, answer))
    }

    /// Whether a coordinator relies on this member's promise, as its present start gave it, to hear nobody like that one.
    fn promised_away(&self, state: &State, id: MemberId, outsider: MemberId) -> bool {
        state.nodes.iter().any(|node| match node.takeover.phase() {
            Phase::Fencing(attempt, _) | Phase::Certified(attempt, _) => {
                let start = u64::from(state.at(id).start);
                let promised = attempt.promised.get(&id) == Some(&start)
                    && !state.at(id).took_back.contains(&attempt.round);
                let relied = node.id == id || promised;
                node.on && relied && attempt.others.contains(&outsider)
            }
            _ => false,
        })
    }

    fn power_off(&self, state: &mut State, id: MemberId) {
        let node = state.node(id);
        node.on = false;
        node.in_quorum = false;
        node.started();
    }

    /// Frames that a member would take in, or that can still matter.
    fn deliverable<'a>(&self, state: &'a State) -> impl Iterator<Item = &'a Frame> {
        state.frames.iter().filter(|frame| {
            let to = state.at(frame.to);
            to.on
                && match &frame.body {
                    Body::RequestVote { term, .. } | Body::Append { term, .. } => *term >= to.term,
                    Body::Vote { term } => {
                        *term == to.term && matches!(to.role, Role::Candidate { .. })
                    }
                    Body::Appended { term, .. } => {
                        *term == to.term && matches!(to.role, Role::Leader { .. })
                    }
                    Body::Takeover(_) => true,
                }
        })
    }
}

impl Model for Cluster {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![State::first(&self.bounds)]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        let bounds = &self.bounds;
        // What comes after a broken rule is of no interest; the state itself is still looked at.
        if state.broken.is_some() {
            return;
        }
        for node in &state.nodes {
            let id = node.id;
            if !node.on {
                if state.spent.starts < bounds.starts {
                    steps.push(Step::PowerOn(id));
                }
                continue;
            }
            let (_, old, new) = node.membership();
            let votes = (old.unwrap_or(0) | new) & bit(id) != 0;
            match &node.role {
                Role::Leader { .. } => {
                    for to in node.others() {
                        if !node.takeover.ignores(to) {
                            steps.push(Step::Replicate(id, to));
                            if !bounds.exchanges {
                                steps.push(Step::Heartbeat(id, to));
                            }
                        }
                    }
                    if node.log.len() < usize::from(bounds.entries) {
                        steps.push(Step::Write(id));
                        let settled = old.is_none()
                            && node.log[..usize::from(node.commit)]
                                .iter()
                                .any(|entry| entry.term == node.term);
                        if settled {
                            self.changes(state, node, steps);
                        }
                    }
                }
                _ if votes && node.term < bounds.terms => steps.push(Step::Campaign(id)),
                _ => {}
            }
            if bounds.exchanges
                && let Role::Candidate { votes } = &node.role
            {
                let missing = node.others().into_iter().filter(|to| votes & bit(*to) == 0);
                steps.extend(
                    missing
                        .filter(|to| !node.takeover.ignores(*to))
                        .map(|to| Step::Canvass(id, to)),
                );
            }
            if state.spent.attempts < bounds.attempts && *node.takeover.phase() == Phase::Idle {
                for hears in bounds.hears(id) {
                    steps.push(Step::Begin(id, hears));
                }
            }
            if *node.takeover.phase() != Phase::Idle {
                steps.push(Step::GiveUp(id));
            }
            if state.spent.restarts < bounds.restarts {
                steps.push(Step::Restart(id));
            }
            if state.spent.losses < bounds.losses {
                steps.push(Step::PowerLost(id));
            }
        }
        for frame in self.deliverable(state) {
            steps.push(Step::Deliver(frame.clone()));
        }
        for shot in &state.shots {
            if state.at(shot.victim).on {
                steps.push(Step::DeviceActs(*shot));
            }
            let off = !state.at(shot.victim).on || self.makes(Mistake::SuccessNotVerified);
            if off && !bounds.late_reports {
                steps.push(Step::EvidenceArrives(*shot));
            } else if off && !state.evidence.contains(shot) {
                steps.push(Step::DeviceSaysOff(*shot));
            }
        }
        steps.extend(
            state
                .evidence
                .iter()
                .map(|shot| Step::EvidenceArrives(*shot)),
        );
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        match step {
            Step::Campaign(id) => self.campaign(&mut state, id),
            Step::Replicate(from, to) => {
                let length = state.at(from).log.len();
                self.append(&mut state, from, to, length);
            }
            Step::Heartbeat(from, to) => {
                let Role::Leader { matched } = &state.at(from).role else {
                    return None;
                };
                let length = usize::from(matched[to as usize - 1]);
                if length == state.at(from).log.len() {
                    return None;
                }
                self.append(&mut state, from, to, length);
            }
            Step::Write(id) => {
                let node = state.node(id);
                let term = node.term;
                node.log.push(Entry {
                    term,
                    what: What::Write,
                });
                self.advance(&mut state, id);
            }
            Step::Change(id, voters) => {
                let node = state.node(id);
                let (_, _, now) = node.membership();
                let term = node.term;
                node.log.push(Entry {
                    term,
                    what: What::Membership(Some(now), voters),
                });
                state.spent.changes += 1;
                self.advance(&mut state, id);
            }
            Step::Deliver(frame) => {
                if let Some(answer) = self.receive(&mut state, &frame) {
                    state.frames.insert(answer);
                }
            }
            Step::Canvass(from, to) => {
                let node = state.at(from);
                let (term, last) = (node.term, node.last());
                let frame = self.frame(&state, from, to, Body::RequestVote { term, last });
                self.exchange(&mut state, &frame);
            }
            Step::Begin(id, hears) => {
                let facts = self.facts(state.at(id), hears);
                let Ok(actions) = state.node(id).takeover.begin(&facts) else {
                    return None;
                };
                state.spent.attempts += 1;
                self.act(&mut state, id, actions);
                if self.makes(Mistake::PromisesNotAwaited) {
                    self.forge_promises(&mut state, id);
                }
            }
            Step::GiveUp(id) => {
                let node = state.node(id);
                node.took_back.extend(node.takeover.pledge());
                let actions = node.takeover.give_up();
                self.act(&mut state, id, actions);
            }
            Step::DeviceActs(shot) => {
                self.power_off(&mut state, shot.victim);
            }
            Step::DeviceSaysOff(shot) => {
                state.evidence.insert(shot);
            }
            Step::EvidenceArrives(shot) => self.evidence(&mut state, shot),
            Step::PowerLost(id) => {
                state.spent.losses += 1;
                self.power_off(&mut state, id);
            }
            Step::PowerOn(id) => {
                state.spent.starts += 1;
                state.node(id).on = true;
            }
            Step::Restart(id) => {
                state.spent.restarts += 1;
                state.node(id).started();
            }
        }
        self.forget(&mut state);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(RULES, |_, state: &State| state.broken.is_none()),
            Property::sometimes(TAKES_OVER, |_, state: &State| state.taken_over),
        ]
    }
}

impl Cluster {
    fn append(&self, state: &mut State, from: MemberId, to: MemberId, length: usize) {
        let node = state.at(from);
        let body = Body::Append {
            term: node.term,
            log: node.log[..length].to_vec(),
            commit: node.commit,
        };
        if self.bounds.exchanges {
            let frame = self.frame(state, from, to, body);
            self.exchange(state, &frame);
        } else {
            self.send(state, from, to, body);
        }
    }

    fn exchange(&self, state: &mut State, frame: &Frame) {
        if !state.at(frame.to).on {
            return;
        }
        if let Some(answer) = self.receive(state, frame)
            && state.at(answer.to).on
        {
            self.receive(state, &answer);
        }
    }

    /// A leader that stands in for a fenced voter takes the fenced out; otherwise people change the membership.
    fn changes(&self, state: &State, node: &Node, steps: &mut Vec<Step>) {
        if let Phase::Certified(attempt, _) = node.takeover.phase() {
            let side = attempt.side.iter().fold(0, |all, one| all | bit(*one));
            steps.push(Step::Change(node.id, side));
            return;
        }
        if state.spent.changes >= self.bounds.changes {
            return;
        }
        let (_, _, now) = node.membership();
        for other in 1..=self.bounds.voters {
            if other != node.id {
                steps.push(Step::Change(node.id, now ^ bit(other)));
            }
        }
    }

    fn evidence(&self, state: &mut State, shot: Shot) {
        let asker = shot.round.by;
        if !state.at(asker).on {
            return;
        }
        let mut round = shot.round;
        if self.makes(Mistake::StaleEvidence)
            && let Phase::Fencing(attempt, _) = state.at(asker).takeover.phase()
        {
            round = attempt.round;
        }
        let actions = state.node(asker).takeover.fenced(round, shot.victim);
        self.act(state, asker, actions);
        self.tally(state, asker);
        self.advance(state, asker);
    }

    fn forge_promises(&self, state: &mut State, id: MemberId) {
        let Phase::Gathering(attempt) = state.at(id).takeover.phase().clone() else {
            return;
        };
        for member in attempt.side.iter().filter(|member| **member != id) {
            let facts = self.facts(state.at(id), bit(*member));
            let start = u64::from(state.at(*member).start);
            let promise = crate::takeover::Message::Promise {
                round: attempt.round,
            };
            let actions = state
                .node(id)
                .takeover
                .hear(*member, start, promise, &facts);
            self.act(state, id, actions);
        }
    }

    /// Frames that nobody will ever take in again make no difference between states.
    fn forget(&self, state: &mut State) {
        let nodes = &state.nodes;
        state.frames.retain(|frame| {
            let to = &nodes[frame.to as usize - 1];
            match &frame.body {
                Body::RequestVote { term, .. } | Body::Append { term, .. } => *term >= to.term,
                Body::Vote { term } | Body::Appended { term, .. } => *term >= to.term,
                Body::Takeover(message) => {
                    use crate::takeover::Message::{Ask, End, Promise, Refuse};
                    match message {
                        Ask { round, .. } => {
                            // Its coordinator was restarted: the promise would be for nobody, but may be given.
                            round.start == u64::from(nodes[round.by as usize - 1].start)
                        }
                        Promise { round } | Refuse { round, .. } => {
                            round.start == u64::from(to.start)
                        }
                        End { round } => to.takeover.pledge() == Some(*round),
                    }
                }
            }
        });
        debug_assert!(position(&state.committed).index >= 1);
    }
}
