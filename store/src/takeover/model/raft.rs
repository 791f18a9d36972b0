//! Raft, as much of it as matters: elections, replication of whole logs, commitment, joint membership.
//!
//! Replication sends the leader's whole log, which is what the step-by-step search for the common prefix comes to.

use std::collections::BTreeSet;

use crate::{
    MemberId,
    takeover::{Configuration, Message, Position, Round, Takeover},
};

/// Voters as bits, so that states stay small. Member `i` is bit `i`; there is no member 0.
pub(super) type Voters = u8;

pub(super) fn bit(member: MemberId) -> Voters {
    1 << member
}

pub(super) fn members(voters: Voters) -> BTreeSet<MemberId> {
    (0..8).filter(|member| voters & bit(*member) != 0).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum What {
    /// A leader's first entry, or a client's write: which is which does not matter.
    Write,
    /// From now on these decide; in the middle of a change, the former ones too.
    Membership(Option<Voters>, Voters),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Entry {
    pub(super) term: u8,
    pub(super) what: What,
}

/// What is on its way. `Append` and the votes carry the sender's promise, as every frame does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Body {
    RequestVote {
        term: u8,
        last: Position,
    },
    Vote {
        term: u8,
    },
    Append {
        term: u8,
        log: Vec<Entry>,
        commit: u8,
    },
    Appended {
        term: u8,
        length: u8,
    },
    Takeover(Message),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Frame {
    pub(super) from: MemberId,
    pub(super) to: MemberId,
    pub(super) start: u8,
    /// The receiver's start that its sender last heard of.
    pub(super) to_start: u8,
    pub(super) pledge: Option<Round>,
    pub(super) body: Body,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Role {
    Follower,
    Candidate { votes: Voters },
    Leader { matched: Vec<u8> },
}

/// One machine and the member on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Node {
    pub(super) id: MemberId,
    pub(super) on: bool,
    /// How often the member was started; kept on its disk.
    pub(super) start: u8,
    pub(super) term: u8,
    pub(super) voted: Option<MemberId>,
    pub(super) log: Vec<Entry>,
    pub(super) commit: u8,
    pub(super) role: Role,
    /// The highest start that it heard of each member; kept on its disk.
    pub(super) heard: Vec<u8>,
    /// Since the machine started; kept in /run, so a restart of the member alone does not end it.
    pub(super) in_quorum: bool,
    pub(super) takeover: Takeover,
    /// The rounds whose promises it took back unasked, and did not give once more.
    pub(super) took_back: BTreeSet<Round>,
}

impl Node {
    pub(super) fn last(&self) -> Position {
        position(&self.log)
    }

    /// The newest membership, committed or not.
    pub(super) fn membership(&self) -> (usize, Option<Voters>, Voters) {
        membership(&self.log)
    }

    pub(super) fn configuration(&self) -> Configuration {
        let (index, old, new) = self.membership();
        Configuration {
            at: Position {
                term: u64::from(self.log[index].term),
                index: index as u64,
            },
            steps: old.into_iter().chain([new]).map(members).collect(),
        }
    }

    pub(super) fn committed_voters(&self) -> BTreeSet<MemberId> {
        let (_, old, new) = membership(&self.log[..usize::from(self.commit)]);
        members(old.unwrap_or(0) | new)
    }

    pub(super) fn decided_by(&self, agreed: Voters) -> bool {
        let (_, old, new) = self.membership();
        majority(agreed, new) && old.is_none_or(|old| majority(agreed, old))
    }

    pub(super) fn others(&self) -> Vec<MemberId> {
        let (_, old, new) = self.membership();
        let all = members(old.unwrap_or(0) | new);
        all.into_iter()
            .filter(|member| *member != self.id)
            .collect()
    }

    /// A machine, or a process, starts: what was in memory is gone.
    pub(super) fn started(&mut self) {
        self.start += 1;
        self.role = Role::Follower;
        self.commit = 1;
        self.takeover = Takeover::new(self.id, u64::from(self.start));
    }

    pub(super) fn adopt(&mut self, term: u8) {
        if term > self.term {
            self.term = term;
            self.voted = None;
            self.role = Role::Follower;
        }
    }
}

pub(super) fn position(log: &[Entry]) -> Position {
    Position {
        term: log.last().map_or(0, |entry| u64::from(entry.term)),
        index: log.len() as u64,
    }
}

fn membership(log: &[Entry]) -> (usize, Option<Voters>, Voters) {
    log.iter()
        .enumerate()
        .rev()
        .find_map(|(index, entry)| match entry.what {
            What::Membership(old, new) => Some((index, old, new)),
            What::Write => None,
        })
        .expect("every log begins with a membership")
}

fn majority(agreed: Voters, of: Voters) -> bool {
    (agreed & of).count_ones() * 2 > of.count_ones()
}
