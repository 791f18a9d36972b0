use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// What was longer ago does not count any more.
const LATELY: Duration = Duration::from_secs(300);
/// What is remembered is at least so far apart.
const APART: Duration = Duration::from_secs(10);
/// Fewer damaged packets happen everywhere: a cable is touched, a port comes up.
const FEW: u64 = 10;
/// Fewer of a million are not told of.
const HARDLY_ANY: u64 = 10;
const MILLION: u64 = 1_000_000;

/// How many packets each card has damaged lately.
#[derive(Debug, Default)]
pub(super) struct Errors(BTreeMap<String, Card>);

/// What the kernel has counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Counted {
    pub(super) packets: u64,
    pub(super) errors: u64,
}

#[derive(Debug, Default)]
struct Card {
    counted: VecDeque<(Instant, Counted)>,
    last: Option<Counted>,
    told: Option<u64>,
}

impl Errors {
    /// Takes the kernel's counts. Says how many of a million packets were damaged lately, as a power of ten: more is said at
    /// once, less only when it is ten times less, so that a card that always damages some is told of once.
    pub(super) fn count(&mut self, card: &str, now: Instant, counted: Counted) -> Option<u32> {
        let card = self.0.entry(card.to_owned()).or_default();
        let before = card.last.replace(counted);
        let anew = before.is_some_and(|before| {
            before.errors > counted.errors || before.packets > counted.packets
        });
        if anew {
            card.counted.clear();
        }
        let due = |(last, _): &(Instant, Counted)| now.duration_since(*last) >= APART;
        if card.counted.back().is_none_or(due) {
            card.counted.push_back((now, counted));
        }
        // The last count from before is what the later ones are compared with.
        while card.counted.len() > 1 && now.duration_since(card.counted[1].0) >= LATELY {
            card.counted.pop_front();
        }
        let more = before.is_some_and(|before| before.errors < counted.errors);
        card.tell(counted, more);
        card.told.and_then(|told| u32::try_from(told).ok())
    }
}

impl Card {
    /// `more` says whether any was damaged since the last time.
    fn tell(&mut self, now: Counted, more: bool) {
        let Some((_, before)) = self.counted.front() else {
            return;
        };
        let errors = now.errors - before.errors;
        let all = u128::from(now.packets - before.packets) + u128::from(errors);
        let rate = u128::from(errors) * u128::from(MILLION) / all.max(1);
        let rate = u64::try_from(rate).unwrap_or(MILLION);
        // What was told of stays until nothing of it is left.
        if errors == 0 {
            self.told = None;
        }
        if !more || errors < FEW || rate < HARDLY_ANY {
            return;
        }
        let told = self.told.unwrap_or(0);
        if rate >= told.saturating_mul(10) || rate < told / 10 {
            self.told = Some(10_u64.saturating_pow(rate.ilog10()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(packets: u64, errors: u64) -> Counted {
        Counted { packets, errors }
    }

    #[test]
    fn a_card_that_damages_packets_is_told_of_once_and_no_more_when_it_has_stopped() {
        let start = Instant::now();
        let at = |minutes: u64| start + Duration::from_secs(60 * minutes);
        let mut errors = Errors::default();
        let first = errors.count("eth0", at(0), counted(0, 5_000));
        assert_eq!(first, None, "what was before is not known");
        let few = errors.count("eth0", at(1), counted(1_000, 5_009));
        assert_eq!(few, None, "a few are no trouble");
        let mut told = Vec::new();
        for minute in 2..30 {
            let now = counted(minute * 100_000, 5_000 + minute * 20);
            told.push(errors.count("eth0", at(minute), now));
        }
        assert!(told.iter().all(|told| *told == Some(100)), "{told:?}");
        assert_eq!(
            errors.count("eth1", at(29), counted(9, 0)),
            None,
            "another card"
        );
        let worse = errors.count("eth0", at(30), counted(3_000_000, 60_000));
        assert_eq!(worse, Some(10_000), "it is told at once");
        for minute in 31..35 {
            let still = errors.count("eth0", at(minute), counted(3_000_000, 60_000));
            assert_eq!(still, Some(10_000), "it was a moment ago");
        }
        let quiet = errors.count("eth0", at(36), counted(3_000_000, 60_000));
        assert_eq!(quiet, None);
    }

    #[test]
    fn a_card_that_is_made_anew_begins_anew() {
        let start = Instant::now();
        let mut errors = Errors::default();
        errors.count("eth0", start, counted(1_000, 0));
        errors.count("eth0", start, counted(2_000, 500));
        let told = errors.count("eth0", start, counted(10, 0));
        assert_eq!(told, None);
    }

    #[test]
    fn one_that_damages_everything_is_told_of_as_such() {
        let start = Instant::now();
        let mut errors = Errors::default();
        errors.count("eth0", start, counted(0, 0));
        let told = errors.count("eth0", start, counted(0, u64::MAX / 2));
        assert_eq!(told, Some(1_000_000));
    }
}
