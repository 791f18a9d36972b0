//! What is remembered of the objects of one kind between two looks at them: answers that need not be asked for again, and when to
//! try again what came to nothing.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::sync::Answer;

/// Everything is looked at this often, though nothing is known to have changed.
const RESYNC: Duration = Duration::from_secs(600);
/// What was refused, or failed, is tried again after pauses that grow from the first to the last.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// The Secrets that an object refers to are looked at this often. They cannot be watched by who may not read all of them.
const SECRETS_AGAIN: Duration = Duration::from_secs(60);

/// What is remembered of the objects of one kind, by their names in Kubernetes.
#[derive(Debug, Default)]
pub(super) struct Memory {
    objects: Mutex<HashMap<String, Remembered>>,
}

#[derive(Debug, Default)]
struct Remembered {
    /// What the cluster answered, and to what exactly.
    answer: Option<(u64, Answer)>,
    refusals: u32,
    again_at: Option<Instant>,
    failures: u32,
    secrets_at: Option<Instant>,
}

impl Memory {
    /// What the cluster has answered to the wish `state`, unless it is time to ask again.
    pub(super) fn answer_to(&self, name: &str, state: u64) -> Answer {
        self.with(name, |of| {
            let due = of.again_at.is_some_and(|at| at <= Instant::now());
            match &of.answer {
                Some((to, answer)) if *to == state && !due => answer.clone(),
                _ => {
                    (of.again_at, of.answer) = (None, None);
                    Answer::None
                }
            }
        })
    }

    /// The cluster has taken the wish, and now it has it.
    pub(super) fn taken(&self, name: &str) {
        self.with(name, |of| {
            (of.refusals, of.again_at, of.answer) = (0, None, None);
        });
    }

    /// The cluster says that it has what `state` wishes.
    pub(super) fn unchanged(&self, name: &str, state: u64) {
        self.with(name, |of| {
            (of.refusals, of.again_at) = (0, None);
            of.answer = Some((state, Answer::Unchanged));
        });
    }

    /// The cluster does not take what `state` wishes.
    pub(super) fn refused(&self, name: &str, state: u64, reason: String, message: String) {
        self.with(name, |of| {
            of.refusals = of.refusals.saturating_add(1);
            of.again_at = Some(Instant::now() + pause(of.refusals));
            of.answer = Some((state, Answer::Refused { reason, message }));
        });
    }

    /// Work on the object failed; returns when to try again.
    pub(super) fn failed(&self, name: &str) -> Duration {
        self.with(name, |of| {
            of.failures = of.failures.saturating_add(1);
            pause(of.failures)
        })
    }

    /// Work on the object is done; returns when to look again.
    pub(super) fn rests(&self, name: &str) -> Duration {
        self.with(name, |of| {
            of.failures = 0;
            let again = of
                .again_at
                .map(|at| at.saturating_duration_since(Instant::now()));
            let secrets = of.secrets_at.map(|_| SECRETS_AGAIN);
            again.into_iter().chain(secrets).fold(RESYNC, Duration::min)
        })
    }

    /// Whether it is time to look at the Secrets that the object refers to.
    pub(super) fn secrets_are_due(&self, name: &str) -> bool {
        self.with(name, |of| {
            let due = of.secrets_at.is_none_or(|at| at.elapsed() >= SECRETS_AGAIN);
            if due {
                of.secrets_at = Some(Instant::now());
            }
            due
        })
    }

    /// The object is gone.
    pub(super) fn forget(&self, name: &str) {
        self.objects().remove(name);
    }

    fn with<T>(&self, name: &str, change: impl FnOnce(&mut Remembered) -> T) -> T {
        change(self.objects().entry(name.to_owned()).or_default())
    }

    fn objects(&self) -> MutexGuard<'_, HashMap<String, Remembered>> {
        self.objects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// When to look again at what somebody else has just changed.
pub(super) const SOON: Duration = Duration::from_millis(250);

/// What an answer is an answer to: the whole wish, and what of the cluster's object may matter to it.
pub(super) fn state_of(object: &Value, live: Option<&Value>) -> u64 {
    let mut hasher = DefaultHasher::new();
    let mut take = |from: Option<&Value>, path: &str| {
        let part = from.and_then(|from| from.pointer(path));
        part.map(ToString::to_string).hash(&mut hasher);
    };
    for path in ["/metadata/deletionTimestamp", "/spec"] {
        take(Some(object), path);
    }
    for path in [
        "/metadata/uid",
        "/metadata/generation",
        "/metadata/deletionTimestamp",
    ] {
        take(live, path);
    }
    for path in ["/metadata/labels", "/metadata/annotations"] {
        take(Some(object), path);
        take(live, path);
    }
    hasher.finish()
}

fn pause(failures: u32) -> Duration {
    let factor = 2_u32.saturating_pow(failures.saturating_sub(1).min(16));
    (PAUSES.0 * factor).min(PAUSES.1)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_refusal_holds_until_the_wish_or_the_object_changes() {
        let memory = Memory::default();
        let object = json!({"spec": {"mtu": 9000}});
        let live = |generation: u64, state: &str| json!({"metadata": {"generation": generation}, "status": {"state": state}});
        let state = state_of(&object, Some(&live(1, "Up")));
        memory.refused("lan", state, "Invalid".to_owned(), "too large".to_owned());

        let again = state_of(&object, Some(&live(1, "Down")));
        assert!(matches!(
            memory.answer_to("lan", again),
            Answer::Refused { .. }
        ));
        let changed = state_of(&object, Some(&live(2, "Down")));
        assert_eq!(memory.answer_to("lan", changed), Answer::None);
        assert_eq!(
            memory.answer_to("lan", again),
            Answer::None,
            "it is not remembered twice"
        );
    }

    #[test]
    fn pauses_grow_up_to_five_minutes_and_begin_anew_after_success() {
        let memory = Memory::default();
        let pauses: Vec<u64> = (0..11).map(|_| memory.failed("lan").as_secs()).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        memory.rests("lan");
        assert_eq!(memory.failed("lan").as_secs(), 1);
    }
}
