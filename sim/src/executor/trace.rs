use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

/// What happened in a run, as one number: every message that arrived and every decision that took effect, with its time.
///
/// Two runs with the same hash were the same run. Logs are not part of it.
#[derive(Clone, Default)]
pub struct Trace(Arc<Mutex<Inner>>);

#[derive(Default)]
struct Inner {
    hasher: DefaultHasher,
    events: u64,
    told: Option<Vec<String>>,
}

impl Trace {
    /// A trace that also keeps its events as text, to be shown when a run is replayed.
    #[must_use]
    pub fn telling() -> Self {
        let trace = Self::default();
        trace.lock().told = Some(Vec::new());
        trace
    }

    /// Adds an event.
    pub fn note(&self, at: Duration, what: &str, content: impl Hash) {
        let mut inner = self.lock();
        (at, what).hash(&mut inner.hasher);
        content.hash(&mut inner.hasher);
        inner.events += 1;
        if let Some(told) = &mut inner.told {
            told.push(format!("{:>10.3} {what}", at.as_secs_f64()));
        }
    }

    /// The hash of everything so far.
    #[must_use]
    pub fn hash(&self) -> u64 {
        self.lock().hasher.finish()
    }

    /// How many events there were.
    #[must_use]
    pub fn events(&self) -> u64 {
        self.lock().events
    }

    /// The events as text, when they were kept, from the `from`th.
    #[must_use]
    pub fn told(&self, from: usize) -> Vec<String> {
        let inner = self.lock();
        let told = inner.told.as_deref().unwrap_or_default();
        told.get(from..).unwrap_or_default().to_vec()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
