//! One replica of a volume, and what two replicas find out about each other when they meet.
//!
//! A replica keeps numbers of data generations like DRBD: a replica that writes without a peer begins a new generation
//! and remembers, for that peer, the former one and which blocks differ. Comparing these numbers says who must
//! follow whom, or that both have written: a split brain.

use std::collections::{BTreeMap, BTreeSet};

use quorate_crds::{ConnectionState, DiskState, ReplicaRole};

use crate::drivers::LockTable;

/// The blocks of every simulated volume, whatever its size.
pub const BLOCKS: u32 = 256;

/// A filesystem that was made on a volume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filesystem {
    pub(crate) kind: String,
    pub(crate) lock_table: Option<LockTable>,
}

/// What lies on the logical volume: it survives everything but a wipe.
#[derive(Clone, Debug, Default)]
pub(crate) struct Kept {
    /// What was last written to each block.
    pub(crate) blocks: BTreeMap<u32, u64>,
    /// The generation of the data; 0 before anything was declared good.
    pub(crate) generation: u64,
    /// Generations that these data have left behind, newest first.
    pub(crate) history: Vec<u64>,
    /// What each absent peer lacks.
    pub(crate) behind: BTreeMap<String, Behind>,
    pub(crate) complete: bool,
    pub(crate) outdated: bool,
    /// It was open for writing when its host ended.
    pub(crate) crashed_primary: bool,
    /// The filesystem on it.
    pub(crate) filesystem: Option<Filesystem>,
}

/// What an absent peer lacks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behind {
    /// The generation that it has.
    pub(crate) generation: u64,
    pub(crate) blocks: BTreeSet<u32>,
}

/// How a replica stands with one peer.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) connection: ConnectionState,
    /// What the peer has yet to receive from here, while a resync runs.
    pub(crate) sending: Option<BTreeSet<u32>>,
    /// The peer was outdated or is confirmed off: its silence needs no more questions.
    pub(crate) settled: bool,
    /// Whether this one may write without the peer is being asked.
    pub(crate) question: bool,
    /// How often the two have met: an answer to a question from before that says nothing any more.
    pub(crate) meetings: u64,
    /// After a split: this one gives up what it wrote.
    pub(crate) discard: bool,
}

impl Link {
    fn new() -> Self {
        Self {
            connection: ConnectionState::Connecting,
            sending: None,
            settled: false,
            question: false,
            meetings: 0,
            discard: false,
        }
    }
}

/// The part of a replica that the host's kernel holds; it ends with the host.
#[derive(Clone, Debug)]
pub(crate) struct Live {
    pub(crate) role: ReplicaRole,
    pub(crate) disk: DiskState,
    pub(crate) allow_two_primaries: bool,
    pub(crate) links: BTreeMap<String, Link>,
    /// Whether a lost peer must be dealt with before anything is written without it.
    pub(crate) fencing: bool,
    /// The verification that was asked for last; the blocks of a room are compared in no time.
    pub(crate) verified: Option<u64>,
}

impl Live {
    /// Writes wait for the answer about a lost peer.
    pub(crate) fn frozen(&self) -> bool {
        self.role == ReplicaRole::Primary && self.links.values().any(|link| link.question)
    }

    /// The peers that it is connected to.
    pub(crate) fn connected(&self) -> impl Iterator<Item = &String> {
        let connected = |link: &Link| link.connection == ConnectionState::Connected;
        let peers = self.links.iter().filter(move |(_, link)| connected(link));
        peers.map(|(peer, _)| peer)
    }
}

/// One replica.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replica {
    /// None: nothing is on the logical volume yet, or it was wiped.
    pub(crate) kept: Option<Kept>,
    /// None: the replica is down.
    pub(crate) live: Option<Live>,
    /// The backing disk failed.
    pub(crate) disk_failed: bool,
}

impl Replica {
    /// Brings it up with these peers.
    pub(crate) fn bring_up(&mut self, peers: &BTreeSet<String>, fencing: bool) {
        let disk = self.attached_state(peers.is_empty());
        let live = self.live.get_or_insert_with(|| Live {
            role: ReplicaRole::Secondary,
            disk,
            allow_two_primaries: false,
            links: BTreeMap::new(),
            fencing,
            verified: None,
        });
        live.fencing = fencing;
        live.links.retain(|peer, _| peers.contains(peer));
        for peer in peers {
            let link = live.links.entry(peer.clone()).or_insert_with(Link::new);
            if link.connection == ConnectionState::StandAlone {
                link.connection = ConnectionState::Connecting;
            }
        }
        if let Some(kept) = &mut self.kept {
            kept.behind.retain(|peer, _| peers.contains(peer));
        }
    }

    /// What can be known of the data before any peer was met.
    fn attached_state(&self, alone: bool) -> DiskState {
        match &self.kept {
            _ if self.disk_failed => DiskState::Failed,
            None => DiskState::Diskless,
            Some(kept) if !kept.complete => DiskState::Inconsistent,
            Some(kept) if kept.outdated => DiskState::Outdated,
            Some(_) if alone => DiskState::UpToDate,
            Some(_) => DiskState::Consistent,
        }
    }

    pub(crate) fn primary(&self) -> bool {
        self.live
            .as_ref()
            .is_some_and(|live| live.role == ReplicaRole::Primary)
    }

    pub(crate) fn connected_to(&self, peer: &str) -> bool {
        self.live.as_ref().is_some_and(|live| {
            live.links
                .get(peer)
                .is_some_and(|link| link.connection == ConnectionState::Connected)
        })
    }

    /// It holds what its peer holds: what a crash has left behind is made good. One that is open for writing now would leave
    /// the same behind again.
    pub(crate) fn agree(&mut self) {
        let primary = self.primary();
        if let Some(kept) = &mut self.kept {
            kept.crashed_primary = primary;
        }
    }

    /// Begins a new generation because these peers will lack what is written from now on.
    pub(crate) fn part_from(&mut self, absent: &BTreeSet<String>, generation: u64) {
        let Some(kept) = &mut self.kept else { return };
        let former = kept.generation;
        let mut parted = false;
        for peer in absent {
            kept.behind.entry(peer.clone()).or_insert_with(|| {
                parted = true;
                Behind {
                    generation: former,
                    blocks: BTreeSet::new(),
                }
            });
        }
        if parted {
            kept.history.insert(0, former);
            kept.generation = generation;
        }
    }

    /// Takes over the source's generation: these data are the source's now.
    pub(crate) fn follow(&mut self, source: &Kept, own_name: &str) {
        let Some(kept) = &mut self.kept else { return };
        kept.generation = source.generation;
        kept.history = source.history.clone();
        kept.behind = source
            .behind
            .iter()
            .filter(|(peer, _)| peer.as_str() != own_name)
            .map(|(peer, behind)| (peer.clone(), behind.clone()))
            .collect();
        kept.complete = true;
        kept.outdated = false;
        kept.filesystem.clone_from(&source.filesystem);
    }
}

/// What two replicas find out when they meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Meeting {
    /// They hold the same.
    Same,
    /// The first sends these blocks to the second.
    FirstSends(BTreeSet<u32>),
    /// The second sends these blocks to the first.
    SecondSends(BTreeSet<u32>),
    /// Both have written without the other.
    SplitBrain,
    /// They never had anything in common.
    Unrelated,
}

/// Compares two replicas by their generations.
pub(crate) fn meet(first: (&str, &Kept), second: (&str, &Kept)) -> Meeting {
    let ((first_name, a), (second_name, b)) = (first, second);
    let all = || (0..BLOCKS).collect::<BTreeSet<u32>>();
    let lacks_of_b = a.behind.get(second_name);
    let lacks_of_a = b.behind.get(first_name);
    match (a.generation, b.generation) {
        (0, 0) => return Meeting::Same,
        (_, 0) => return Meeting::FirstSends(to_a_new_one(a)),
        (0, _) => return Meeting::SecondSends(to_a_new_one(b)),
        (x, y) if x == y => {
            // A resync was interrupted after the generations were equal, or a writer ended in the middle of writes
            // that not everybody has.
            return match (a.complete, b.complete) {
                (true, false) => Meeting::FirstSends(all()),
                (false, true) => Meeting::SecondSends(all()),
                _ if a.crashed_primary && !b.crashed_primary => {
                    Meeting::FirstSends(differing(a, b))
                }
                _ if b.crashed_primary && !a.crashed_primary => {
                    Meeting::SecondSends(differing(a, b))
                }
                _ => Meeting::Same,
            };
        }
        _ => {}
    }
    let ahead_of_b = lacks_of_b.is_some_and(|lacks| lacks.generation == b.generation);
    let ahead_of_a = lacks_of_a.is_some_and(|lacks| lacks.generation == a.generation);
    let both_wrote = lacks_of_a
        .zip(lacks_of_b)
        .is_some_and(|(x, y)| x.generation == y.generation);
    if both_wrote {
        return Meeting::SplitBrain;
    }
    match (ahead_of_b, ahead_of_a) {
        (true, _) => {
            let mut blocks = lacks_of_b
                .map(|lacks| lacks.blocks.clone())
                .unwrap_or_default();
            // What the crashed writer had in flight may differ too.
            if b.crashed_primary || !b.complete {
                blocks.extend(differing(a, b));
            }
            Meeting::FirstSends(blocks)
        }
        (_, true) => {
            let mut blocks = lacks_of_a
                .map(|lacks| lacks.blocks.clone())
                .unwrap_or_default();
            if a.crashed_primary || !a.complete {
                blocks.extend(differing(a, b));
            }
            Meeting::SecondSends(blocks)
        }
        _ if a.history.contains(&b.generation) => Meeting::FirstSends(all()),
        _ if b.history.contains(&a.generation) => Meeting::SecondSends(all()),
        _ if a.history.iter().any(|past| b.history.contains(past)) => Meeting::SplitBrain,
        _ => Meeting::Unrelated,
    }
}

/// Where nothing was ever written, nothing needs to be copied.
fn to_a_new_one(source: &Kept) -> BTreeSet<u32> {
    if source.generation == super::EMPTY && source.blocks.is_empty() {
        BTreeSet::new()
    } else {
        (0..BLOCKS).collect()
    }
}

/// The activity log's part: blocks that a crash may have left different.
fn differing(a: &Kept, b: &Kept) -> BTreeSet<u32> {
    (0..BLOCKS)
        .filter(|block| a.blocks.get(block) != b.blocks.get(block))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good(generation: u64) -> Replica {
        Replica {
            kept: Some(Kept {
                generation,
                complete: true,
                ..Kept::default()
            }),
            ..Replica::default()
        }
    }

    fn met(a: &Replica, b: &Replica) -> Meeting {
        let kept = |replica: &Replica| replica.kept.clone().expect("it has data");
        meet(("a", &kept(a)), ("b", &kept(b)))
    }

    #[test]
    fn whoever_wrote_alone_sends_and_two_who_did_are_split() {
        let (mut a, mut b) = (good(1), good(1));
        assert_eq!(met(&a, &b), Meeting::Same);

        a.part_from(&BTreeSet::from(["b".to_owned()]), 2);
        let lacks = a.kept.as_mut().and_then(|kept| kept.behind.get_mut("b"));
        lacks.expect("b is behind").blocks = BTreeSet::from([7]);
        assert_eq!(met(&a, &b), Meeting::FirstSends(BTreeSet::from([7])));
        let kept = |replica: &Replica| replica.kept.clone().expect("it has data");
        assert_eq!(
            meet(("b", &kept(&b)), ("a", &kept(&a))),
            Meeting::SecondSends(BTreeSet::from([7])),
            "asked the other way round, nothing else comes out"
        );

        b.part_from(&BTreeSet::from(["a".to_owned()]), 3);
        assert_eq!(met(&a, &b), Meeting::SplitBrain);
    }

    #[test]
    fn a_replica_without_data_receives_everything_and_strangers_never_join() {
        let fresh = Replica {
            kept: Some(Kept::default()),
            ..Replica::default()
        };
        assert_eq!(
            met(&good(9), &fresh),
            Meeting::FirstSends((0..BLOCKS).collect())
        );
        assert_eq!(
            met(&good(super::super::EMPTY), &fresh),
            Meeting::FirstSends(BTreeSet::new()),
            "nothing was ever written"
        );
        assert_eq!(met(&fresh, &fresh), Meeting::Same);
        assert_eq!(met(&good(1), &good(2)), Meeting::Unrelated);
    }
}
