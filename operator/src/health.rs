//! Whether this replica can take over.

use std::sync::atomic::{AtomicBool, Ordering};

/// Whether this replica can take over: it has reached the kube-apiserver, whoever leads. A cluster that does not answer makes no
/// replica unready, for another one would not reach it either.
#[derive(Debug, Default)]
pub struct Health {
    ready: AtomicBool,
}

impl Health {
    /// The kube-apiserver answers, or no longer.
    pub fn reached(&self, ready: bool) {
        self.ready.store(ready, Ordering::Relaxed);
    }

    /// Whether it can take over.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Relaxed)
    }
}
