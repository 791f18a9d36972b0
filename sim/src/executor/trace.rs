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
    /// Whose turn it is, and when, as far as that is told.
    turn: (Duration, String),
}

impl Trace {
    /// A trace that also keeps its events as text, to be shown when a run is replayed.
    #[must_use]
    pub fn telling() -> Self {
        let trace = Self::default();
        trace.lock().told = Some(Vec::new());
        trace
    }

    /// Whether the events are kept as text.
    #[must_use]
    pub fn is_telling(&self) -> bool {
        self.lock().told.is_some()
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

    /// Whose turn it is from now on.
    pub(super) fn turns_to(&self, now: Duration, process: &str) {
        let mut inner = self.lock();
        if inner.told.is_some() {
            inner.turn = (now, process.to_owned());
        }
    }

    /// Adds a line of a process' log to the text. It is no event: the run is the same for whoever does not look.
    pub fn say(&self, line: &str) {
        let mut inner = self.lock();
        let (now, process) = &inner.turn;
        let line = format!("{:>10.3} {process} says: {line}", now.as_secs_f64());
        if let Some(told) = &mut inner.told {
            told.push(line);
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
