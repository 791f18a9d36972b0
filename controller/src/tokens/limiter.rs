use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{error::ApiError, tls::network};

/// So many attempts a source may make at once, and one more after each pause.
const PER_SOURCE: Allowance = Allowance {
    burst: 10,
    pause: Duration::from_secs(6),
};
/// The same for all sources together.
const IN_ALL: Allowance = Allowance {
    burst: 100,
    pause: Duration::from_millis(100),
};
/// So many sources are remembered. Sources beyond it share what is left for all.
const MAX_SOURCES: usize = 4096;

/// Holds back those who join, renew or show bad tokens too often: what needs no valid certificate.
#[derive(Debug)]
pub struct JoinLimiter {
    attempts: Mutex<Attempts>,
}

#[derive(Debug)]
struct Attempts {
    sources: HashMap<IpAddr, Spent>,
    all: Spent,
}

#[derive(Clone, Copy, Debug)]
struct Allowance {
    burst: u32,
    pause: Duration,
}

/// When everything that was spent will have been earned back.
#[derive(Clone, Copy, Debug)]
struct Spent(Instant);

impl JoinLimiter {
    /// Nobody has tried yet.
    pub fn new(now: Instant) -> Self {
        Self {
            attempts: Mutex::new(Attempts {
                sources: HashMap::new(),
                all: Spent(now),
            }),
        }
    }

    /// Counts an attempt, or refuses it and says when to come back.
    pub fn attempt(&self, source: IpAddr, now: Instant) -> Result<(), ApiError> {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let Attempts { sources, all } = &mut *attempts;
        if sources.len() >= MAX_SOURCES {
            sources.retain(|_, spent| spent.0 > now);
        }
        let source = network(source);
        // First the source's own share, so that one source cannot use up everybody's.
        if sources.len() < MAX_SOURCES || sources.contains_key(&source) {
            let spent = sources.entry(source).or_insert(Spent(now));
            spent.spend(PER_SOURCE, now)?;
        }
        all.spend(IN_ALL, now)
    }
}

impl Spent {
    fn spend(&mut self, allowance: Allowance, now: Instant) -> Result<(), ApiError> {
        let earned_back = self.0.max(now) + allowance.pause;
        let debt = earned_back - now;
        let most = allowance.pause * allowance.burst;
        if debt > most {
            let wait = (debt - most).as_secs_f64().ceil();
            return Err(ApiError::TooManyRequests {
                message:
                    "too many attempts to get a certificate or to show a token that is not good"
                        .into(),
                // At most a pause, which is seconds.
                retry_after_seconds: wait as u32,
            });
        }
        self.0 = earned_back;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    #[test]
    fn a_guesser_is_held_back_and_others_are_not() {
        let now = Instant::now();
        let limiter = JoinLimiter::new(now);
        for _ in 0..PER_SOURCE.burst {
            limiter.attempt(source(1), now).expect("within its share");
        }
        let refusal = limiter.attempt(source(1), now).expect_err("too often");
        assert!(
            refusal.to_string().contains("try again in 6 s"),
            "{refusal}"
        );
        limiter.attempt(source(2), now).expect("another source");

        let later = now + PER_SOURCE.pause;
        limiter.attempt(source(1), later).expect("one more by now");
        limiter.attempt(source(1), later).expect_err("but only one");
    }

    #[test]
    fn many_guessers_together_are_held_back_too() {
        let now = Instant::now();
        let limiter = JoinLimiter::new(now);
        let passed = (0..=255)
            .filter(|last| limiter.attempt(source(*last), now).is_ok())
            .count();
        assert_eq!(passed, IN_ALL.burst as usize);
    }
}
