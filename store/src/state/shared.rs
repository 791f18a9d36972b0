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

impl Progress {
    fn of(state: &State) -> Self {
        Self {
            index: state.applied.map_or(0, |id| id.index),
            revision: state.revision,
            next_expiry: state.next_expiry(),
            closed: false,
        }
    }
}

/// One state and the views of it. A snapshot from the leader begins another era; views of the former one
/// go on showing what they showed.
#[derive(Debug, Default)]
pub(super) struct Era {
    state: RwLock<State>,
    pins: Mutex<BTreeMap<Revision, usize>>,
}

impl Era {
    pub(super) fn read(&self) -> RwLockReadGuard<'_, State> {
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

#[derive(Debug)]
pub(crate) struct Shared {
    era: RwLock<Arc<Era>>,
    limits: HistoryLimits,
    progress: watch::Sender<Progress>,
}

impl Shared {
    pub(crate) fn new(limits: HistoryLimits) -> Arc<Self> {
        Arc::new(Self {
            era: RwLock::default(),
            limits,
            progress: watch::Sender::new(Progress::default()),
        })
    }

    fn era(&self) -> Arc<Era> {
        self.era
            .read()
            .expect("nothing panics while it takes the era")
            .clone()
    }

    /// Looks at the newest state; hold back nobody with a long look.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.era().read())
    }

    /// Changes the state, trims its history, and tells those who wait.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let era = self.era();
        let (result, progress) = {
            let mut state = era.write();
            let result = change(&mut state);
            let floor = era.pins().keys().next().copied().unwrap_or(Revision::MAX);
            state.trim(&self.limits, floor);
            (result, Progress::of(&state))
        };
        self.tell(progress);
        result
    }

    /// Puts another state in place: a snapshot.
    pub(crate) fn replace(&self, state: State) {
        let progress = Progress::of(&state);
        let era = Era {
            state: RwLock::new(state),
            pins: Mutex::default(),
        };
        *self
            .era
            .write()
            .expect("nothing panics while it takes the era") = Arc::new(era);
        self.tell(progress);
    }

    fn tell(&self, progress: Progress) {
        self.progress.send_if_modified(|p| {
            let changed = !p.closed && *p != progress;
            if changed {
                *p = progress;
            }
            changed
        });
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Ends all watches.
    pub(crate) fn close(&self) {
        self.progress.send_modify(|p| p.closed = true);
    }

    /// The newest state, and something about it that must be of the same moment.
    pub(crate) fn view_with<T>(&self, look: impl FnOnce(&State) -> T) -> (View, T) {
        let era = self.era();
        let state = era.read();
        era.pin(state.revision);
        let view = View::new(era.clone(), state.revision, state.time_ms);
        let seen = look(&state);
        drop(state);
        (view, seen)
    }

    /// The newest state.
    pub(crate) fn view(&self) -> View {
        self.view_with(|_| ()).0
    }

    /// The state at a retained revision.
    pub(crate) fn view_at(&self, wanted: Revision) -> Result<View, StoreError> {
        let era = self.era();
        let state = era.read();
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
        era.pin(wanted);
        let view = View::new(era.clone(), wanted, state.time_ms);
        drop(state);
        Ok(view)
    }
}
