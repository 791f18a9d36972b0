use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// So often within `SOON` makes a card one that goes up and down.
const OFTEN: u32 = 3;
const SOON: Duration = Duration::from_secs(60);
/// Which it is until it has been steady for so long.
const STEADY: Duration = Duration::from_secs(300);

/// How often each card has lost its signal, and when.
#[derive(Debug, Default)]
pub(super) struct Flaps(BTreeMap<String, Card>);

#[derive(Debug, Default)]
struct Card {
    /// When which count was first seen.
    seen: VecDeque<(Instant, u32)>,
    flaps: bool,
}

impl Flaps {
    /// Takes the kernel's count. Says whether the card goes up and down.
    pub(super) fn count(&mut self, card: &str, downs: u32, now: Instant) -> bool {
        let card = self.0.entry(card.to_owned()).or_default();
        match card.seen.back() {
            Some((_, last)) if *last == downs => {}
            // It was made anew.
            Some((_, last)) if *last > downs => {
                card.seen.clear();
                card.seen.push_back((now, downs));
            }
            _ => card.seen.push_back((now, downs)),
        }
        // The last count from before is what the later ones are compared with.
        while card.seen.len() > 1 && now.duration_since(card.seen[1].0) > SOON {
            card.seen.pop_front();
        }
        let (first, last) = (card.seen.front(), card.seen.back());
        let (Some((_, first)), Some((changed, last))) = (first, last) else {
            return false;
        };
        let quiet = now.duration_since(*changed);
        if quiet <= SOON && last - first >= OFTEN {
            card.flaps = true;
        } else if quiet > STEADY {
            card.flaps = false;
        }
        card.flaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_card_flaps_when_it_goes_often_and_does_not_once_it_is_steady() {
        let start = Instant::now();
        let at = |seconds: u64| start + Duration::from_secs(seconds);
        let mut flaps = Flaps::default();
        assert!(
            !flaps.count("eth0", 7, at(0)),
            "what was before is not known"
        );
        assert!(!flaps.count("eth0", 8, at(1)));
        assert!(!flaps.count("eth0", 9, at(50)));
        assert!(!flaps.count("eth1", 9, at(50)), "another card");
        assert!(
            !flaps.count("eth0", 10, at(120)),
            "now and then is not often"
        );
        assert!(flaps.count("eth0", 12, at(130)));
        assert!(flaps.count("eth0", 12, at(400)), "it is not trusted yet");
        assert!(!flaps.count("eth0", 12, at(431)));
        assert!(
            !flaps.count("eth0", 0, at(440)),
            "it was plugged out and in"
        );
        assert!(!flaps.count("eth0", 1, at(441)));
    }
}
