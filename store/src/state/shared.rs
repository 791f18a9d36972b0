//! The state behind its lock, and who waits for it to advance.
//!
//! Writers hold the lock for one entry, readers for one page; nobody holds it across an await. Views pin
//! the revision at which they stand, so that what they show does not dissolve while history is trimmed.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use tokio::sync::watch;

use super::{HistoryLimits, State, View};
use crate::{Revision, StoreError};

/// How far this member has applied.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The log index of the last applied entry.
    pub(crate) index: u64,
    /// The revision after it.
    pub(crate) revision: Revision,
    /// When the next value expires.
    pub(crate) next_expiry: Option<u64>,
    /// No more will come.
    pub(crate) closed: bool,
}

#[derive(Debug)]
pub(crate) struct Shared {
    state: RwLock<State>,
    limits: HistoryLimits,
    pins: Mutex<BTreeMap<Revision, usize>>,
    progress: watch::Sender<Progress>,
}

impl Shared {
    pub(crate) fn new(limits: HistoryLimits) -> Arc<Self> {
        Arc::new(Self {
            state: RwLock::new(State::default()),
            limits,
            pins: Mutex::new(BTreeMap::new()),
            progress: watch::Sender::new(Progress::default()),
        })
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state
            .read()
            .expect("a panic half-way through an entry must not be read over")
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state
            .write()
            .expect("a panic half-way through an entry must not be written over")
    }

    fn pins(&self) -> MutexGuard<'_, BTreeMap<Revision, usize>> {
        self.pins
            .lock()
            .expect("nothing panics while it counts pins")
    }

    /// Changes the state, trims its history, and tells those who wait.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let (result, progress) = {
            let mut state = self.write();
            let result = change(&mut state);
            let floor = self.pins().keys().next().copied().unwrap_or(Revision::MAX);
            state.trim(&self.limits, floor);
            let progress = Progress {
                index: state.applied.map_or(0, |id| id.index),
                revision: state.revision,
                next_expiry: state.next_expiry(),
                closed: false,
            };
            (result, progress)
        };
        self.progress.send_if_modified(|p| {
            let changed = !p.closed && *p != progress;
            if changed {
                *p = progress;
            }
            changed
        });
        result
    }

    /// Puts another state in place: a snapshot.
    pub(crate) fn replace(&self, new: State) {
        self.change(|state| *state = new);
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        self.progress.send_modify(|p| p.closed = true);
    }

    /// The newest state.
    pub(crate) fn view(self: &Arc<Self>) -> View {
        let state = self.read();
        self.pin(state.revision);
        View::new(self.clone(), state.revision, state.time_ms)
    }

    /// The state at a retained revision.
    pub(crate) fn view_at(self: &Arc<Self>, wanted: Revision) -> Result<View, StoreError> {
        let state = self.read();
        if wanted > state.revision {
            return Err(StoreError::Future {
                wanted,
                newest: state.revision,
            });
        }
        if wanted < state.compacted {
            return Err(StoreError::Expired {
                wanted,
                oldest: state.compacted,
            });
        }
        self.pin(wanted);
        Ok(View::new(self.clone(), wanted, state.time_ms))
    }

    fn pin(&self, revision: Revision) {
        *self.pins().entry(revision).or_default() += 1;
    }

    pub(super) fn unpin(&self, revision: Revision) {
        let mut pins = self.pins();
        if let Some(count) = pins.get_mut(&revision) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&revision);
            }
        }
    }
}
