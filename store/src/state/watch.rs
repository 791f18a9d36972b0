use std::{collections::VecDeque, fmt, sync::Arc};

use tokio::sync::watch;

use super::{Progress, Shared};
use crate::{Bucket, Change, Revision, WatchError};

/// Which changes a watch tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchScope {
    /// Only this bucket; all when none.
    pub bucket: Option<Bucket>,
    /// Only this name; all when none.
    pub name: Option<Arc<str>>,
}

impl WatchScope {
    fn covers(&self, change: &Change) -> bool {
        self.bucket.as_ref().is_none_or(|b| *b == change.key.bucket)
            && self.name.as_ref().is_none_or(|n| *n == change.key.name)
    }
}

/// Tells every change of its scope once, in order, from a revision on.
///
/// A watch has no buffer that others fill: it reads the history at its own pace, so a slow one slows
/// nobody, and one that falls behind the history ends with [`WatchError::Expired`] instead of a gap.
pub struct Watch {
    shared: Arc<Shared>,
    scope: WatchScope,
    /// Everything up to here was read from the history.
    position: Revision,
    read: VecDeque<Arc<Change>>,
    progress: watch::Receiver<Progress>,
}

/// How many changes one look at the history takes, so that the lock is held shortly.
const BATCH: usize = 1024;

impl Watch {
    pub(crate) fn new(
        shared: Arc<Shared>,
        scope: WatchScope,
        after: Revision,
    ) -> Result<Self, WatchError> {
        let oldest = shared.look(|state| state.compacted);
        if after < oldest {
            return Err(WatchError::Expired {
                wanted: after,
                oldest,
            });
        }
        let progress = shared.progress();
        Ok(Self {
            shared,
            scope,
            position: after,
            read: VecDeque::new(),
            progress,
        })
    }

    /// The next change. Dropping the future loses nothing.
    pub async fn next(&mut self) -> Result<Arc<Change>, WatchError> {
        loop {
            if let Some(change) = self.read.pop_front() {
                return Ok(change);
            }
            self.fill().await?;
        }
    }

    /// All changes that are there, at least one. Dropping the future loses nothing.
    pub async fn next_batch(&mut self) -> Result<Vec<Arc<Change>>, WatchError> {
        while self.read.is_empty() {
            self.fill().await?;
        }
        Ok(self.read.drain(..).collect())
    }

    /// Everything up to this revision has been told; what a bookmark says.
    pub fn revision(&self) -> Revision {
        self.read
            .front()
            .map_or(self.position, |next| next.revision - 1)
    }

    async fn fill(&mut self) -> Result<(), WatchError> {
        loop {
            let closed = self.progress.borrow_and_update().closed;
            if self.look()? {
                return Ok(());
            }
            if closed || self.progress.changed().await.is_err() {
                return Err(WatchError::Stopped);
            }
        }
    }

    /// Reads on in the history; whether anything in scope was found.
    fn look(&mut self) -> Result<bool, WatchError> {
        let Self {
            shared,
            scope,
            position,
            read,
            ..
        } = self;
        shared.look(|state| {
            if *position < state.compacted {
                return Err(WatchError::Expired {
                    wanted: *position,
                    oldest: state.compacted,
                });
            }
            let mut reached = state.revision.max(*position);
            let mut last = 0;
            for change in state.history.after(*position) {
                // Changes of one revision are never parted, or the position could not say where it stands.
                if read.len() >= BATCH && change.revision != last {
                    reached = last;
                    break;
                }
                last = change.revision;
                if scope.covers(change) {
                    read.push_back(change.clone());
                }
            }
            *position = reached;
            Ok(!read.is_empty())
        })
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watch")
            .field("scope", &self.scope)
            .field("revision", &self.revision())
            .finish_non_exhaustive()
    }
}
