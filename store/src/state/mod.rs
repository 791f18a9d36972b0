//! The state machine: every value with its versions, and the one global revision.
//!
//! What it upholds (DESIGN, R6 and section 4):
//!
//! - **Deterministic.** The same entries in the same order give the same values, revisions, times and
//!   outcomes on every member. It reads no clock, draws no random number and iterates over no unordered
//!   map. An entry's time is max(previous entry, the leader's clock), so a clock that jumps back
//!   changes nothing.
//! - **One order.** Every transaction with an effect gets the next revision; all its changes carry it.
//!   They enter the history in the order in which they were applied, so a watch cannot see a gap, a
//!   duplicate or another order.
//! - **Bounded.** Versions that no retained revision needs are dropped when the history forgets them.
//!   How much is retained is each member's own business and never influences an outcome.

mod history;
mod shared;
mod version;
mod view;
mod watch;

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

pub use history::HistoryLimits;
pub(crate) use shared::{Progress, Shared};
pub use view::View;
pub use watch::{Watch, WatchScope};

use history::History;
use version::{Chain, Version};

use crate::{
    Bucket, Change, Condition, Key, MemberId, Outcome, Refusal, Revision, Stored, Transaction,
    Write,
    raft::{LogId, StoredMembership},
};

/// A log entry's meaning to the state machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Independent transactions that happened to be proposed at the same time.
    Transactions(Vec<Transaction>),
    /// The first entry of a cluster's life.
    Genesis {
        cluster_id: String,
        history_id: String,
        feature_level: u32,
    },
    /// Grant a member id that was never granted before.
    AllocateMember,
    /// Raise the committed feature level, if every member supports it.
    RaiseFeatureLevel(u32),
    /// Remove what has expired at the entry's time.
    Expire,
}

/// What a command returns to its proposer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reply {
    /// Nothing to say.
    Nothing,
    /// One outcome per transaction.
    Outcomes(Vec<Outcome>),
    /// The granted member id.
    Member(MemberId),
    /// The feature level after the command.
    FeatureLevel(u32),
}

/// Expired values removed by one entry; the rest waits for the next one.
const EXPIRED_PER_ENTRY: usize = 1000;

#[derive(Debug, Default)]
struct Contents {
    items: BTreeMap<Arc<str>, Chain>,
    /// The last revision at which anything here was created, changed or deleted.
    revision: Revision,
    live: usize,
}

/// The whole state of a member at one place of the log.
#[derive(Debug, Default)]
pub(crate) struct State {
    pub(crate) cluster_id: String,
    pub(crate) history_id: String,
    pub(crate) revision: Revision,
    /// Views and watches reach back to here.
    pub(crate) compacted: Revision,
    pub(crate) time_ms: u64,
    pub(crate) next_member_id: MemberId,
    pub(crate) feature_level: u32,
    pub(crate) applied: Option<LogId>,
    pub(crate) membership: StoredMembership,
    /// Every id that ever was in the membership: none is used again.
    pub(crate) members_ever: BTreeSet<MemberId>,
    buckets: BTreeMap<Bucket, Contents>,
    expiries: BTreeSet<(u64, Key)>,
    history: History,
}

impl State {
    /// Applies one command that stands in an entry of `term`, stamped with the leader's clock.
    pub(crate) fn apply(&mut self, term: u64, clock_ms: u64, command: Command) -> Reply {
        self.time_ms = self.time_ms.max(clock_ms);
        match command {
            Command::Transactions(transactions) => Reply::Outcomes(
                transactions
                    .into_iter()
                    .map(|t| self.transact(term, t))
                    .collect(),
            ),
            Command::Genesis {
                cluster_id,
                history_id,
                feature_level,
            } => {
                self.cluster_id = cluster_id;
                self.history_id = history_id;
                self.feature_level = feature_level;
                self.next_member_id = self.next_member_id.max(2);
                Reply::Nothing
            }
            Command::AllocateMember => {
                let id = self.next_member_id;
                self.next_member_id += 1;
                Reply::Member(id)
            }
            Command::RaiseFeatureLevel(level) => {
                let supported = self
                    .membership
                    .nodes()
                    .map(|(_, member)| member.feature_level)
                    .min()
                    .unwrap_or(0);
                if level <= supported {
                    self.feature_level = self.feature_level.max(level);
                }
                Reply::FeatureLevel(self.feature_level)
            }
            Command::Expire => {
                self.expire();
                Reply::Nothing
            }
        }
    }

    /// Takes over a membership that was committed.
    pub(crate) fn set_membership(&mut self, membership: StoredMembership) {
        self.members_ever
            .extend(membership.nodes().map(|(id, _)| *id));
        self.membership = membership;
    }

    fn transact(&mut self, term: u64, transaction: Transaction) -> Outcome {
        let refusals: Vec<Refusal> = transaction
            .conditions
            .iter()
            .enumerate()
            .filter_map(|(condition, c)| {
                self.check(term, c)
                    .err()
                    .map(|found| Refusal { condition, found })
            })
            .collect();
        if !refusals.is_empty() {
            return Outcome::Refused(refusals);
        }
        let revision = self.revision + 1;
        let mut effective = false;
        for write in transaction.writes {
            match write {
                Write::Put {
                    key,
                    value,
                    expires_at_ms,
                } => {
                    self.put(revision, key, value, expires_at_ms);
                    effective = true;
                }
                Write::Delete { key } => effective |= self.delete(revision, &key),
            }
        }
        if effective {
            self.revision = revision;
        }
        Outcome::Committed {
            revision: self.revision,
            time_ms: self.time_ms,
        }
    }

    /// Whether the condition holds; if not, what was found instead.
    fn check(&self, term: u64, condition: &Condition) -> Result<(), Option<Revision>> {
        let (holds, found) = match condition {
            Condition::Absent(key) => {
                let found = self.modified(key);
                (found.is_none(), found)
            }
            Condition::Present(key) => {
                let found = self.modified(key);
                (found.is_some(), found)
            }
            Condition::AtRevision(key, revision) => {
                let found = self.modified(key);
                (found == Some(*revision), found)
            }
            Condition::BucketUnchangedSince(bucket, revision) => {
                let last = self.buckets.get(bucket).map_or(0, |b| b.revision);
                (last <= *revision, Some(last))
            }
            Condition::Term(wanted) => (*wanted == term, None),
            Condition::FeatureLevel(level) => (self.feature_level >= *level, None),
        };
        if holds { Ok(()) } else { Err(found) }
    }

    fn modified(&self, key: &Key) -> Option<Revision> {
        let newest = self
            .buckets
            .get(&key.bucket)?
            .items
            .get(&key.name)?
            .newest();
        newest.value.is_some().then_some(newest.modified)
    }

    fn put(
        &mut self,
        revision: Revision,
        key: Key,
        value: bytes::Bytes,
        expires_at_ms: Option<u64>,
    ) {
        let (key, previous) = self.unlink(&key);
        let version = Version {
            value: Some(value.clone()),
            created: previous.as_ref().map_or(revision, |p| p.created),
            modified: revision,
            expires_at_ms,
        };
        if let Some(at) = expires_at_ms {
            self.expiries.insert((at, key.clone()));
        }
        let contents = self.buckets.entry(key.bucket.clone()).or_default();
        contents.revision = revision;
        if previous.is_none() {
            contents.live += 1;
        }
        match contents.items.get_mut(&key.name) {
            Some(chain) => chain.push(version),
            None => {
                contents.items.insert(key.name.clone(), Chain::new(version));
            }
        }
        self.record(revision, key, Some(value), previous);
    }

    fn delete(&mut self, revision: Revision, key: &Key) -> bool {
        let (key, previous) = self.unlink(key);
        let Some(previous) = previous else {
            return false;
        };
        if let Some(contents) = self.buckets.get_mut(&key.bucket) {
            contents.revision = revision;
            contents.live -= 1;
            if let Some(chain) = contents.items.get_mut(&key.name) {
                chain.push(Version {
                    value: None,
                    created: previous.created,
                    modified: revision,
                    expires_at_ms: None,
                });
            }
        }
        self.record(revision, key, None, Some(previous));
        true
    }

    /// The key with the strings that the state already holds, what it holds now, and its pending
    /// expiry forgotten.
    fn unlink(&mut self, key: &Key) -> (Key, Option<Stored>) {
        let Some((bucket, contents)) = self.buckets.get_key_value(&key.bucket) else {
            return (key.clone(), None);
        };
        let Some((name, chain)) = contents.items.get_key_value(&key.name) else {
            return (Key::new(bucket.clone(), key.name.clone()), None);
        };
        let key = Key::new(bucket.clone(), name.clone());
        let newest = chain.newest();
        let stored = newest.stored();
        if let Some(at) = newest.expires_at_ms {
            self.expiries.remove(&(at, key.clone()));
        }
        (key, stored)
    }

    fn record(
        &mut self,
        revision: Revision,
        key: Key,
        value: Option<bytes::Bytes>,
        previous: Option<Stored>,
    ) {
        self.history.push(Arc::new(Change {
            revision,
            key,
            value,
            previous,
            time_ms: self.time_ms,
        }));
    }

    fn expire(&mut self) {
        let due: Vec<Key> = self
            .expiries
            .iter()
            .take_while(|(at, _)| *at <= self.time_ms)
            .take(EXPIRED_PER_ENTRY)
            .map(|(_, key)| key.clone())
            .collect();
        if due.is_empty() {
            return;
        }
        let revision = self.revision + 1;
        for key in &due {
            self.delete(revision, key);
        }
        self.revision = revision;
    }

    /// When the next value expires, on the log's clock.
    pub(crate) fn next_expiry(&self) -> Option<u64> {
        self.expiries.first().map(|(at, _)| *at)
    }

    /// Forgets history over its limits, but nothing that a view at `floor` or later can see.
    fn trim(&mut self, limits: &HistoryLimits, floor: Revision) {
        while let Some((revision, changes)) = self.history.evict(limits, floor) {
            self.compacted = revision;
            for change in changes {
                let Some(contents) = self.buckets.get_mut(&change.key.bucket) else {
                    continue;
                };
                let gone = contents
                    .items
                    .get_mut(&change.key.name)
                    .is_some_and(|chain| chain.compact(revision));
                if gone {
                    contents.items.remove(&change.key.name);
                }
            }
        }
    }

    /// The last revision of every bucket, which a snapshot must carry: conditions ask for it.
    pub(crate) fn bucket_revisions(&self) -> Vec<(Bucket, Revision)> {
        self.buckets
            .iter()
            .map(|(bucket, contents)| (bucket.clone(), contents.revision))
            .collect()
    }

    /// Puts a bucket's revision where the snapshot says it was.
    pub(crate) fn load_bucket(&mut self, bucket: Bucket, revision: Revision) {
        self.buckets.entry(bucket).or_default().revision = revision;
    }

    /// The bucket with the string that the state already holds.
    pub(crate) fn bucket(&self, bucket: Bucket) -> Bucket {
        match self.buckets.get_key_value(&bucket) {
            Some((held, _)) => held.clone(),
            None => bucket,
        }
    }

    /// Adds a value from a snapshot.
    pub(crate) fn load_value(&mut self, key: Key, stored: Stored, expires_at_ms: Option<u64>) {
        if let Some(at) = expires_at_ms {
            self.expiries.insert((at, key.clone()));
        }
        let contents = self.buckets.entry(key.bucket).or_default();
        contents.live += 1;
        contents.items.insert(
            key.name,
            Chain::new(Version {
                value: Some(stored.value),
                created: stored.created,
                modified: stored.modified,
                expires_at_ms,
            }),
        );
    }

    /// Ends loading: a snapshot has no past.
    pub(crate) fn seal(&mut self) {
        self.history.clear();
        self.compacted = self.revision;
    }
}
