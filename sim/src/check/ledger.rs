use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use quorate_store::{Change, Revision, Store, WatchError, WatchScope};

use super::Judge;
use crate::executor::Wire;

/// What the members' stores have shown: the check of R6.
///
/// Every running member is watched from within. All of them must show the same changes under the same revisions, without
/// a gap, and whatever a client was told is committed must be among them for ever.
#[derive(Clone)]
pub(crate) struct Ledger {
    book: Arc<Mutex<Book>>,
    judge: Judge,
    wire: Wire,
}

#[derive(Default)]
struct Book {
    changes: BTreeMap<Revision, u64>,
    acknowledged: BTreeMap<Revision, String>,
    violations: Vec<String>,
    checks: u64,
}

impl Ledger {
    /// An empty one; whatever is new in it is shown to `judge`.
    pub(crate) fn new(judge: Judge, wire: Wire) -> Self {
        Self {
            book: Arc::default(),
            judge,
            wire,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A client was told that this is committed.
    pub(crate) fn acknowledge(&self, revision: Revision, what: String) {
        let mut book = self.lock();
        book.acknowledged.insert(revision, what);
    }

    /// What was found wrong.
    pub(crate) fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// Whether anything was found wrong.
    pub(crate) fn broken(&self) -> bool {
        !self.lock().violations.is_empty()
    }

    /// How many changes were compared.
    pub(crate) fn checks(&self) -> u64 {
        self.lock().checks
    }

    /// After everything has healed: a member that has applied everything must have everything.
    pub(crate) fn settle(&self, member: &str, applied: Revision) {
        let mut book = self.lock();
        let last = book.acknowledged.last_key_value();
        let Some((revision, what)) = last.filter(|(revision, _)| **revision > applied) else {
            return;
        };
        let violation = format!(
            "R6: {what} was acknowledged at revision {revision}, and {member} ends at {applied}"
        );
        book.violations.push(violation);
    }

    /// Watches one life of a member until it ends.
    pub(crate) async fn follow(self, member: String, store: Store) {
        let mut position = 0;
        loop {
            let Ok(mut watch) = store.watch(WatchScope::default(), position) else {
                position = store.view().revision();
                continue;
            };
            loop {
                match watch.next_batch().await {
                    Ok(changes) => {
                        let mut shown: BTreeMap<Revision, Vec<Arc<Change>>> = BTreeMap::new();
                        for change in changes {
                            shown.entry(change.revision).or_default().push(change);
                        }
                        for (revision, changes) in shown {
                            if self.enter(&member, position, revision, &changes) {
                                self.judge
                                    .commit(self.wire.now(), revision, &changes, &store);
                            }
                            position = revision;
                        }
                    }
                    Err(WatchError::Expired { oldest, .. }) => {
                        position = oldest;
                        break;
                    }
                    Err(WatchError::Stopped) => return,
                }
            }
        }
    }

    /// Whether nobody has shown it before.
    fn enter(
        &self,
        member: &str,
        before: Revision,
        revision: Revision,
        changes: &[Arc<Change>],
    ) -> bool {
        let mut hasher = DefaultHasher::new();
        for change in changes {
            (change.key.bucket.as_str(), &change.key.name).hash(&mut hasher);
            change.value.as_deref().hash(&mut hasher);
        }
        let hash = hasher.finish();
        let mut book = self.lock();
        book.checks += 1;
        if before > 0 && revision != before + 1 {
            let gap = format!("R6: {member} showed revision {revision} after {before}");
            book.violations.push(gap);
        }
        let known = book.changes.insert(revision, hash);
        if known.is_some_and(|known| known != hash) {
            let differs = format!("R6: {member} shows another change under revision {revision}");
            book.violations.push(differs);
        }
        known.is_none()
    }
}
