//! How much one caller, and all together, may ask for.
//!
//! Members' own traffic is not counted here: replication goes on however busy the API is.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Instant,
};

use crate::error::ApiError;

/// The bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct CallLimits {
    /// Calls that one caller may begin per second, over time.
    pub calls_per_second: f64,
    /// Calls that one caller may have under way.
    pub calls_at_once: usize,
    /// Watches that one caller may have open.
    pub watches: usize,
    /// Calls of all callers under way.
    pub all_calls_at_once: usize,
    /// Watches of all callers.
    pub all_watches: usize,
}

impl Default for CallLimits {
    fn default() -> Self {
        Self {
            calls_per_second: 100_000.0,
            calls_at_once: 2_048,
            watches: 1_024,
            all_calls_at_once: 8_192,
            all_watches: 8_192,
        }
    }
}

/// What a call occupies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weight {
    /// A question and an answer.
    Call,
    /// A stream that stays open.
    Watch,
}

/// Keeps count. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Admittance {
    counts: Arc<Mutex<Counts>>,
}

#[derive(Debug)]
struct Counts {
    limits: CallLimits,
    calls: usize,
    watches: usize,
    callers: HashMap<String, Account>,
}

#[derive(Debug)]
struct Account {
    tokens: f64,
    filled: Instant,
    calls: usize,
    watches: usize,
}

/// Callers that are remembered though they have nothing open.
const REMEMBERED: usize = 10_000;

/// A call that was let in; counted until it is dropped.
#[derive(Debug)]
pub struct Permit {
    counts: Arc<Mutex<Counts>>,
    caller: String,
    weight: Weight,
}

impl Admittance {
    /// Counts against `limits`.
    pub fn new(limits: CallLimits) -> Self {
        Self {
            counts: Arc::new(Mutex::new(Counts {
                limits,
                calls: 0,
                watches: 0,
                callers: HashMap::new(),
            })),
        }
    }

    /// How many calls and how many watches are under way.
    pub(crate) fn under_way(&self) -> (usize, usize) {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        (counts.calls, counts.watches)
    }

    /// Lets one call of `caller` in, or says what is too much.
    pub fn admit(&self, caller: &str, weight: Weight) -> Result<Permit, ApiError> {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.admit(caller, weight, Instant::now())?;
        Ok(Permit {
            counts: self.counts.clone(),
            caller: caller.to_owned(),
            weight,
        })
    }
}

impl Counts {
    fn admit(&mut self, caller: &str, weight: Weight, now: Instant) -> Result<(), ApiError> {
        let limits = self.limits;
        let (under_way, allowed) = match weight {
            Weight::Call => (self.calls, limits.all_calls_at_once),
            Weight::Watch => (self.watches, limits.all_watches),
        };
        if under_way >= allowed {
            return Err(too_many(format!(
                "this member has {under_way} {} under way, allowed: {allowed} of all callers",
                weight.noun()
            )));
        }
        if self.callers.len() >= REMEMBERED {
            self.callers
                .retain(|_, account| account.calls + account.watches > 0);
        }
        if !self.callers.contains_key(caller) {
            let account = Account {
                tokens: limits.calls_per_second,
                filled: now,
                calls: 0,
                watches: 0,
            };
            self.callers.insert(caller.to_owned(), account);
        }
        let Some(account) = self.callers.get_mut(caller) else {
            return Ok(());
        };
        let passed = now.saturating_duration_since(account.filled).as_secs_f64();
        account.tokens =
            (account.tokens + passed * limits.calls_per_second).min(limits.calls_per_second);
        account.filled = now;
        if account.tokens < 1.0 {
            return Err(too_many(format!(
                "{caller:?} calls too often, allowed: {} calls a second",
                limits.calls_per_second
            )));
        }
        let (open, allowed) = match weight {
            Weight::Call => (&mut account.calls, limits.calls_at_once),
            Weight::Watch => (&mut account.watches, limits.watches),
        };
        if *open >= allowed {
            return Err(too_many(format!(
                "{caller:?} has {open} {} under way, allowed: {allowed}",
                weight.noun()
            )));
        }
        *open += 1;
        account.tokens -= 1.0;
        match weight {
            Weight::Call => self.calls += 1,
            Weight::Watch => self.watches += 1,
        }
        Ok(())
    }

    fn release(&mut self, caller: &str, weight: Weight) {
        let account = self.callers.get_mut(caller);
        let (all, open) = match weight {
            Weight::Call => (&mut self.calls, account.map(|account| &mut account.calls)),
            Weight::Watch => (
                &mut self.watches,
                account.map(|account| &mut account.watches),
            ),
        };
        *all = all.saturating_sub(1);
        if let Some(open) = open {
            *open = open.saturating_sub(1);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.counts
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .release(&self.caller, self.weight);
    }
}

impl Weight {
    fn noun(self) -> &'static str {
        match self {
            Self::Call => "calls",
            Self::Watch => "watches",
        }
    }
}

fn too_many(message: String) -> ApiError {
    ApiError::TooManyRequests {
        message,
        retry_after_seconds: 1,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn counts(limits: CallLimits) -> Counts {
        Counts {
            limits,
            calls: 0,
            watches: 0,
            callers: HashMap::new(),
        }
    }

    #[test]
    fn who_calls_too_often_waits_and_others_do_not() {
        let mut counts = counts(CallLimits {
            calls_per_second: 2.0,
            ..CallLimits::default()
        });
        let start = Instant::now();
        for _ in 0..2 {
            counts.admit("eve", Weight::Call, start).expect("let in");
        }
        let error = counts
            .admit("eve", Weight::Call, start)
            .expect_err("too often");
        assert!(error.to_string().contains("2 calls a second"), "{error}");
        counts.admit("bob", Weight::Call, start).expect("let in");
        counts
            .admit("eve", Weight::Call, start + Duration::from_secs(1))
            .expect("let in again");
    }

    #[test]
    fn a_call_that_is_over_makes_room() {
        let admittance = Admittance::new(CallLimits {
            watches: 1,
            ..CallLimits::default()
        });
        let first = admittance.admit("eve", Weight::Watch).expect("let in");
        admittance
            .admit("eve", Weight::Watch)
            .expect_err("one only");
        drop(first);
        admittance.admit("eve", Weight::Watch).expect("let in");
    }

    #[test]
    fn all_callers_together_are_bounded() {
        let admittance = Admittance::new(CallLimits {
            all_calls_at_once: 1,
            ..CallLimits::default()
        });
        let _first = admittance.admit("eve", Weight::Call).expect("let in");
        admittance.admit("bob", Weight::Call).expect_err("full");
    }
}
