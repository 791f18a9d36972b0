//! One member's part in takeovers.

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::{Configuration, Message, Position, Refusal, Round};
use crate::MemberId;

/// What a member knows when it is asked to decide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// The newest membership in the log, committed or not.
    pub configuration: Configuration,
    /// The voters of the newest *committed* membership.
    pub committed_voters: BTreeSet<MemberId>,
    /// The end of the log.
    pub last: Position,
    /// Other voters that were heard lately.
    pub hears: BTreeSet<MemberId>,
    /// Whether a leader with a quorum is known.
    pub quorum: bool,
    /// Whether this member was part of a quorum since its *machine* started: a leader that had heard of this start told
    /// it how far the log is committed, up to an entry of the leader's own term, and it has all of that. Contact alone
    /// is not enough: a half that was off may lack what the other half committed meanwhile.
    pub in_quorum_since_boot: bool,
    /// Whether another voter knows that this member has no vote any more; none before they were asked. Where fence devices tell
    /// the truth, whom it is true of has booted anew.
    pub taken_out: Option<bool>,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Say this to that member.
    Send(MemberId, Message),
    /// Make sure that these are off. Each one's evidence must be gathered from now on, and returned with the round's name.
    Fence(Round, BTreeSet<MemberId>),
    /// Ask no device any more. What was asked may still happen.
    CancelFence(Round),
    /// Stand for election, unless leading already.
    Elect,
    /// The attempt is over.
    Ended(Round, Ending),
}

/// How an attempt ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Ending {
    /// The membership without the other half is committed.
    Done,
    /// A member refused to promise.
    Refused(MemberId, Refusal),
    /// A member whose promise it needs was restarted.
    Broken(MemberId),
    /// It took too long, or another attempt had the better claim.
    GivenUp,
}

/// Why no attempt can begin.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Obstacle {
    /// There is nothing to take over.
    #[error("there is a quorum")]
    QuorumSeen,
    /// A round runs.
    #[error("an attempt is under way")]
    UnderWay,
    /// Something of another member is still being worked on. It may succeed when it is tried again.
    #[error(
        "what other members sent before is still being worked on, or they are being asked whether this one still has a vote"
    )]
    Unsettled,
    /// The others have gone on without this member, which was never off.
    #[error(
        "the other half has taken this member out as lost, and goes on: a fence device said off of a machine that runs; it is brought \
         back by itself"
    )]
    TakenOut,
    /// Only voters count.
    #[error("this member has no vote")]
    NoVoter,
    /// Three voters, or five: a majority alone goes on.
    #[error("the number of voters is odd: only a majority goes on")]
    Odd,
    /// The membership is in the middle of a change from which no half of both memberships can go on.
    #[error(
        "the membership was being changed when the quorum was lost, and no single vote would do for the former and the new \
         one"
    )]
    BeingChanged,
    /// Too few, or a majority.
    #[error("{heard} of {needed} voters of one half are heard")]
    NotHalf {
        /// With this member.
        heard: usize,
        /// Half of the voters.
        needed: usize,
    },
    /// A machine that comes back alone must not shoot one that is well.
    #[error("this machine was in no quorum since it started: the other half may be well and ahead")]
    NeverInQuorum,
}

/// Where a member stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// No attempt.
    Idle,
    /// Coordinates, and waits for promises.
    Gathering(Attempt),
    /// Coordinates, and waits for evidence about these.
    Fencing(Attempt, BTreeSet<MemberId>),
    /// Coordinates, and stands in for this voter.
    Certified(Attempt, MemberId),
    /// Promised.
    Pledged {
        /// To this attempt.
        round: Round,
        /// To hear nobody else.
        side: BTreeSet<MemberId>,
    },
}

/// A coordinator's attempt.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Attempt {
    /// Its name.
    pub round: Round,
    /// The half that goes on.
    pub side: BTreeSet<MemberId>,
    /// The half that is made safe.
    pub others: BTreeSet<MemberId>,
    /// Which of them is stood in for.
    pub stand_in: MemberId,
    /// Who promised, in which of its starts.
    pub promised: BTreeMap<MemberId, u64>,
}

impl Attempt {
    fn complete(&self) -> bool {
        self.promised.len() + 1 == self.side.len()
    }
}

/// One member's part in takeovers.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Takeover {
    me: MemberId,
    start: u64,
    attempts: u64,
    phase: Phase,
}

impl Takeover {
    /// A member that was just started, for the `start`-th time.
    #[must_use]
    pub fn new(me: MemberId, start: u64) -> Self {
        Self {
            me,
            start,
            attempts: 0,
            phase: Phase::Idle,
        }
    }

    /// Where it stands.
    #[must_use]
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The attempt that this member coordinates.
    #[must_use]
    pub fn round(&self) -> Option<Round> {
        match &self.phase {
            Phase::Gathering(attempt)
            | Phase::Fencing(attempt, _)
            | Phase::Certified(attempt, _) => Some(attempt.round),
            Phase::Idle | Phase::Pledged { .. } => None,
        }
    }

    /// The voter whose vote and acknowledgements this member's network gives itself.
    #[must_use]
    pub fn stands_in_for(&self) -> Option<MemberId> {
        match &self.phase {
            Phase::Certified(_, voter) => Some(*voter),
            _ => None,
        }
    }

    /// The promise that every frame from this member carries.
    #[must_use]
    pub fn pledge(&self) -> Option<Round> {
        match &self.phase {
            Phase::Pledged { round, .. } => Some(*round),
            _ => None,
        }
    }

    /// Whether a member is to be neither heard nor spoken to.
    #[must_use]
    pub fn ignores(&self, member: MemberId) -> bool {
        match &self.phase {
            Phase::Idle => false,
            Phase::Gathering(attempt)
            | Phase::Fencing(attempt, _)
            | Phase::Certified(attempt, _) => attempt.others.contains(&member),
            Phase::Pledged { side, .. } => member != self.me && !side.contains(&member),
        }
    }

    /// Whether a frame of replication or election may be taken in. A coordinator takes nothing from a member of its half that
    /// does not hold its promise when it speaks; the member was restarted when its start counter is another one.
    pub fn admits(
        &mut self,
        from: MemberId,
        start: u64,
        pledge: Option<Round>,
    ) -> (bool, Vec<Action>) {
        if self.ignores(from) {
            return (false, Vec::new());
        }
        let (Phase::Gathering(attempt) | Phase::Fencing(attempt, _) | Phase::Certified(attempt, _)) =
            &self.phase
        else {
            return (true, Vec::new());
        };
        match attempt.promised.get(&from) {
            Some(promised) if *promised != start => (false, self.end(Ending::Broken(from))),
            Some(_) => (pledge == Some(attempt.round), Vec::new()),
            None => (true, Vec::new()),
        }
    }

    /// There was no quorum for as long as this half has to wait: begin, or say what is in the way.
    pub fn begin(&mut self, facts: &Facts) -> Result<Vec<Action>, Obstacle> {
        if self.phase != Phase::Idle {
            return Err(Obstacle::UnderWay);
        }
        if facts.quorum {
            return Err(Obstacle::QuorumSeen);
        }
        let configuration = &facts.configuration;
        let voters = configuration.voters();
        if !voters.contains(&self.me) {
            return Err(Obstacle::NoVoter);
        }
        let mut side: BTreeSet<_> = facts.hears.intersection(&voters).copied().collect();
        side.insert(self.me);
        let others: BTreeSet<_> = voters.difference(&side).copied().collect();
        let stand_in = stand_in(&configuration.steps, &side, &others)?;
        if !facts.in_quorum_since_boot {
            return Err(Obstacle::NeverInQuorum);
        }
        match facts.taken_out {
            None => return Err(Obstacle::Unsettled),
            Some(true) => return Err(Obstacle::TakenOut),
            Some(false) => {}
        }
        self.attempts += 1;
        let round = Round {
            by: self.me,
            start: self.start,
            number: self.attempts,
        };
        let asks = side.iter().filter(|member| **member != self.me);
        let asks = asks.map(|member| {
            let ask = Message::Ask {
                round,
                side: side.clone(),
                configuration: configuration.clone(),
                last: facts.last,
            };
            Action::Send(*member, ask)
        });
        let actions = asks.collect();
        let alone = side.len() == 1;
        self.phase = Phase::Gathering(Attempt {
            round,
            others,
            stand_in,
            side,
            promised: BTreeMap::new(),
        });
        if alone {
            return Ok(self.shoot());
        }
        Ok(actions)
    }

    /// Something was said by a member in its `start`-th start.
    pub fn hear(
        &mut self,
        from: MemberId,
        start: u64,
        message: Message,
        facts: &Facts,
    ) -> Vec<Action> {
        match message {
            Message::Ask {
                round,
                side,
                configuration,
                last,
            } => {
                let claim = Claim {
                    round,
                    side,
                    configuration,
                    last,
                };
                self.asked(from, claim, facts)
            }
            Message::Promise { round } => self.promised(from, start, round),
            Message::Refuse { round, why } => match &self.phase {
                Phase::Gathering(attempt) if attempt.round == round => {
                    self.end(Ending::Refused(from, why))
                }
                _ => Vec::new(),
            },
            Message::End { round } => {
                if self.pledge() == Some(round) {
                    self.phase = Phase::Idle;
                }
                Vec::new()
            }
        }
    }

    /// A voter is confirmed off, by evidence gathered since that round asked for it.
    pub fn fenced(&mut self, round: Round, member: MemberId) -> Vec<Action> {
        let Phase::Fencing(attempt, missing) = &mut self.phase else {
            return Vec::new();
        };
        if attempt.round != round {
            return Vec::new();
        }
        missing.remove(&member);
        if !missing.is_empty() {
            return Vec::new();
        }
        self.phase = Phase::Certified(attempt.clone(), attempt.stand_in);
        vec![Action::Elect]
    }

    /// The log, or what is known of a quorum, has changed.
    pub fn observe(&mut self, facts: &Facts) -> Vec<Action> {
        match &self.phase {
            Phase::Certified(attempt, _) if attempt.others.is_disjoint(&facts.committed_voters) => {
                self.end(Ending::Done)
            }
            Phase::Pledged { side, .. } if facts.committed_voters.is_subset(side) => {
                self.phase = Phase::Idle;
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// The attempt, or the promise, has lasted long enough: the halves may have found each other again.
    pub fn give_up(&mut self) -> Vec<Action> {
        match self.phase {
            Phase::Idle => Vec::new(),
            Phase::Pledged { .. } => {
                self.phase = Phase::Idle;
                Vec::new()
            }
            _ => self.end(Ending::GivenUp),
        }
    }

    fn asked(&mut self, from: MemberId, claim: Claim, facts: &Facts) -> Vec<Action> {
        let round = claim.round;
        let refuse = |why| vec![Action::Send(from, Message::Refuse { round, why })];
        let mine = &facts.configuration;
        if facts.quorum {
            return refuse(Refusal::QuorumSeen);
        }
        if !facts.in_quorum_since_boot {
            return refuse(Refusal::NeverInQuorum);
        }
        let knows_me = claim.side.contains(&self.me) && claim.side.contains(&from);
        if *mine != claim.configuration || !knows_me || facts.taken_out == Some(true) {
            return refuse(Refusal::OtherMembership);
        }
        if facts.last > claim.last {
            return refuse(Refusal::NewerLog);
        }
        let mut actions = match &self.phase {
            Phase::Idle => Vec::new(),
            Phase::Pledged { round: held, .. } if held.by == from && *held <= round => Vec::new(),
            // Two begin at once: the newer log has the better claim, then the lower id.
            Phase::Gathering(_) if facts.last < claim.last || from < self.me => {
                self.end(Ending::GivenUp)
            }
            _ => return refuse(Refusal::Busy),
        };
        self.phase = Phase::Pledged {
            round,
            side: claim.side,
        };
        actions.push(Action::Send(from, Message::Promise { round }));
        actions
    }

    fn promised(&mut self, from: MemberId, start: u64, round: Round) -> Vec<Action> {
        let Phase::Gathering(attempt) = &mut self.phase else {
            return Vec::new();
        };
        if attempt.round != round || !attempt.side.contains(&from) || from == self.me {
            return Vec::new();
        }
        attempt.promised.insert(from, start);
        if attempt.complete() {
            self.shoot()
        } else {
            Vec::new()
        }
    }

    fn shoot(&mut self) -> Vec<Action> {
        let Phase::Gathering(attempt) = &self.phase else {
            return Vec::new();
        };
        let attempt = attempt.clone();
        let actions = vec![Action::Fence(attempt.round, attempt.others.clone())];
        let missing = attempt.others.clone();
        self.phase = Phase::Fencing(attempt, missing);
        actions
    }

    fn end(&mut self, ending: Ending) -> Vec<Action> {
        let phase = std::mem::replace(&mut self.phase, Phase::Idle);
        let (attempt, asked) = match phase {
            Phase::Gathering(attempt) => (attempt, false),
            Phase::Fencing(attempt, _) | Phase::Certified(attempt, _) => (attempt, true),
            Phase::Idle | Phase::Pledged { .. } => return Vec::new(),
        };
        let round = attempt.round;
        let others = attempt.side.iter().filter(|member| **member != self.me);
        let mut actions: Vec<_> = others
            .map(|member| Action::Send(*member, Message::End { round }))
            .collect();
        if asked {
            actions.push(Action::CancelFence(round));
        }
        actions.push(Action::Ended(round, ending));
        actions
    }
}

/// The voter whose vote makes a majority of this half, in the membership, or in both of them in the middle of a change.
/// The half has a member in every majority of each: nobody has decided, or can decide, anything without it.
fn stand_in(
    steps: &[BTreeSet<MemberId>],
    side: &BTreeSet<MemberId>,
    others: &BTreeSet<MemberId>,
) -> Result<MemberId, Obstacle> {
    if let [voters] = steps
        && !voters.len().is_multiple_of(2)
    {
        return Err(Obstacle::Odd);
    }
    let heard = |voters: &BTreeSet<MemberId>| voters.intersection(side).count();
    let not_half = |voters: &BTreeSet<MemberId>| Obstacle::NotHalf {
        heard: heard(voters),
        needed: voters.len().div_ceil(2),
    };
    if let Some(short) = steps.iter().find(|step| heard(step) * 2 < step.len()) {
        return Err(not_half(short));
    }
    let lacking: Vec<_> = steps
        .iter()
        .filter(|step| heard(step) * 2 == step.len())
        .collect();
    if let (true, Some(any)) = (lacking.is_empty(), steps.first()) {
        return Err(not_half(any));
    }
    let in_all = |voter: &&MemberId| lacking.iter().all(|step| step.contains(voter));
    others
        .iter()
        .find(in_all)
        .copied()
        .ok_or(Obstacle::BeingChanged)
}

struct Claim {
    round: Round,
    side: BTreeSet<MemberId>,
    configuration: Configuration,
    last: Position,
}
