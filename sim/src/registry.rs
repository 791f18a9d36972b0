use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::executor::ProcessId;

/// What a process offers to those that reach it over the wire: it appears when the process is ready, and goes with it.
pub(crate) struct Registry<T>(Arc<Mutex<BTreeMap<ProcessId, T>>>);

impl<T> Clone for Registry<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Default for Registry<T> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<T: Clone> Registry<T> {
    pub(crate) fn set(&self, process: &str, offered: T) {
        let former = self.lock().insert(process.to_owned(), offered);
        drop(former);
    }

    pub(crate) fn get(&self, process: &str) -> Option<T> {
        self.lock().get(process).cloned()
    }

    pub(crate) fn remove(&self, process: &str) {
        let gone = self.lock().remove(process);
        drop(gone);
    }

    /// Everybody who is in it now.
    pub(crate) fn processes(&self) -> Vec<ProcessId> {
        self.lock().keys().cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ProcessId, T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
