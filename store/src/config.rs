use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{HistoryLimits, MemberId, WallClock};

/// How a member behaves. The defaults suit a cluster on one site.
#[derive(Clone, Debug)]
pub struct StoreConfig {
    /// How often the leader shows that it is alive.
    pub heartbeat: Duration,
    /// How long a member waits for the leader before it asks for an election; it draws a random time
    /// between this and twice this, so that two members seldom ask at once.
    pub election_timeout: Duration,
    /// How long a write may wait for a leader or for a majority before it is given up.
    pub propose_timeout: Duration,
    /// How much of the past is kept for watchers.
    pub history: HistoryLimits,
    /// A snapshot is made after this many log entries. The log reaches back to the snapshot before the
    /// newest, so that one damaged snapshot file loses nothing.
    pub snapshot_every: u64,
    /// A snapshot is made after this many bytes of log entries, if that comes first.
    pub snapshot_bytes: u64,
    /// The size of a file of the log.
    pub segment_bytes: u64,
    /// The largest transaction, encoded.
    pub max_transaction: usize,
    /// Who does the disk work.
    pub disk_work: DiskWork,
    /// The clock that the leader stamps on entries.
    pub clock: WallClock,
    /// Names this run of the machine. Without it a member forgets at each start that it was part of a quorum, and may
    /// take over from nobody until it was part of one again.
    pub boot: Option<String>,
}

impl Default for StoreConfig {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_millis(150),
            election_timeout: Duration::from_millis(750),
            propose_timeout: Duration::from_secs(10),
            history: HistoryLimits::default(),
            snapshot_every: 50_000,
            snapshot_bytes: 256 << 20,
            segment_bytes: 16 << 20,
            max_transaction: 2 << 20,
            disk_work: DiskWork::Threads,
            clock: WallClock::default(),
            boot: None,
        }
    }
}

/// Who does the disk work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskWork {
    /// Threads of the store's own.
    Threads,
    /// Whoever asks, at once: a disk without delay, for a simulation that must be repeatable.
    InPlace,
    /// As in place, but the log is synced only after this time on the runtime's clock: a slow disk, and
    /// a window in which a crash loses what was not acknowledged.
    Delayed(Duration),
}

impl StoreConfig {
    /// The same, with another time to wait for a silent leader, and heartbeats to match.
    #[must_use]
    pub fn waiting_for_leaders(self, election_timeout: Duration) -> Self {
        Self {
            heartbeat: election_timeout / 5,
            election_timeout,
            ..self
        }
    }

    /// Whether blocking work is done in place.
    pub(crate) fn inline_io(&self) -> bool {
        self.disk_work != DiskWork::Threads
    }
}

/// A member as the membership names it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name, unique among members by the callers' care.
    pub name: String,
    /// Where the other members reach it, `host:port`, one per ring, the preferred first.
    pub addresses: Vec<String>,
    /// It votes, and runs nothing else.
    pub witness: bool,
    /// The highest feature level its software supports.
    pub feature_level: u32,
}

impl fmt::Display for Member {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.name, self.addresses.join(","))
    }
}

/// What the first member of a new cluster is born with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Genesis {
    /// The cluster's identity for ever.
    pub cluster_id: String,
    /// The identity of this line of history; a restore starts a new one.
    pub history_id: String,
    /// The first member.
    pub member: Member,
}

/// What a new member was given by the cluster that it joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Its id, granted by [`crate::Store::allocate_member_id`].
    pub member_id: MemberId,
    /// The cluster.
    pub cluster_id: String,
    /// The cluster's present history.
    pub history_id: String,
}
