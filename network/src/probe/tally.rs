//! What is made of one peer's answers: figures so coarse that a way on which nothing changes is told of once.

use std::collections::VecDeque;

/// So many questions are remembered, one a second.
const WINDOW: usize = 60;
/// So many in a row decide whether a way works.
const RUN: u32 = 3;
/// Fewer answers tell nothing about losses.
const ENOUGH: usize = 20;
/// Losses are told of as the largest of these that they reach, in percent.
const LOSSES: [u32; 7] = [0, 1, 5, 10, 25, 50, 75];
/// From here on a way is degraded.
const LOSSY: u32 = 5;
/// A packet of that size, or less, is tried when the network's own does not pass.
const SIZES: [u32; 13] = [
    16_000, 9_000, 8_000, 6_000, 4_000, 3_000, 2_000, 1_500, 1_492, 1_400, 1_280, 1_000, 576,
];
/// How long a size is believed, in microseconds.
const BELIEVED: u64 = 60_000_000;
/// Clocks that are so near each other agree, in milliseconds.
const AGREE: i64 = 250;
const SECOND: i64 = 1_000;

/// How a way is found to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Answers come.
    Works,
    /// Some do not.
    Lossy,
    /// None comes.
    Broken,
}

/// One peer's answers. All times are in microseconds.
#[derive(Debug)]
pub(super) struct Tally {
    mtu: u32,
    open: Option<(u32, u64)>,
    outcomes: VecDeque<bool>,
    answered_in_a_row: u32,
    missed_in_a_row: u32,
    works: Option<bool>,
    loss: u32,
    fastest: VecDeque<u64>,
    round_trip: Option<u32>,
    size: Size,
    ahead: Option<i64>,
    apart: VecDeque<i64>,
}

#[derive(Debug)]
struct Size {
    /// What is tried at present, and how often it did not pass.
    trying: u32,
    failed: u32,
    open: Option<(u32, u32)>,
    due: u64,
    /// What passes, where the network's own does not.
    passes: Option<u32>,
    /// Whether the network's own passes, as far as that was tried since it was asked for.
    own: Option<bool>,
}

impl Size {
    /// The network's own is tried next.
    fn unknown(mtu: u32) -> Self {
        Self {
            trying: mtu,
            failed: 0,
            open: None,
            due: 0,
            passes: None,
            own: None,
        }
    }
}

impl Tally {
    pub(super) fn new(mtu: u32) -> Self {
        Self {
            mtu,
            open: None,
            outcomes: VecDeque::new(),
            answered_in_a_row: 0,
            missed_in_a_row: 0,
            works: None,
            loss: 0,
            fastest: VecDeque::new(),
            round_trip: None,
            size: Size::unknown(mtu),
            ahead: None,
            apart: VecDeque::new(),
        }
    }

    /// A question goes out. The one before counts as missed unless it was answered.
    pub(super) fn asks(&mut self, number: u32, now: u64) {
        if self.open.replace((number, now)).is_some() {
            self.outcome(false);
        }
    }

    /// The size that is to be tried now, if any is.
    pub(super) fn asks_for_size(&mut self, number: u32, now: u64) -> Option<u32> {
        if let Some((_, size)) = self.size.open.take() {
            self.too_large(size, now);
        }
        if self.works != Some(true) || now < self.size.due {
            return None;
        }
        self.size.open = Some((number, self.size.trying));
        Some(self.size.trying)
    }

    /// Tries the network's own size now, whatever was found before.
    pub(super) fn try_size(&mut self) {
        self.size = Size {
            passes: self.size.passes,
            ..Size::unknown(self.mtu)
        };
    }

    /// Whether the network's own size passes, as far as that was tried since.
    pub(super) fn own_size(&self) -> Option<bool> {
        self.size.own
    }

    /// The kernel itself refuses a packet of that size.
    pub(super) fn refused(&mut self, number: u32, now: u64) {
        if let Some((_, size)) = self.size.open.take_if(|open| open.0 == number) {
            self.too_large(size, now);
        }
    }

    fn too_large(&mut self, size: u32, now: u64) {
        self.size.failed += 1;
        if self.size.failed < RUN {
            return;
        }
        self.size.failed = 0;
        if size == self.mtu {
            self.size.own = Some(false);
        }
        let smaller = SIZES.into_iter().find(|smaller| *smaller < size);
        match smaller {
            Some(smaller) => self.size.trying = smaller,
            // It is not the size.
            None => {
                self.size.trying = self.mtu;
                self.size.due = now + BELIEVED;
            }
        }
    }

    /// An answer came. Returns how long it took, when it was one that is still awaited.
    pub(super) fn answered(&mut self, number: u32, now: u64) -> Option<u64> {
        if let Some((_, size)) = self.size.open.take_if(|open| open.0 == number) {
            self.size.passes = (size < self.mtu).then_some(size);
            self.size.own = Some(size == self.mtu);
            self.size.trying = self.mtu;
            self.size.failed = 0;
            self.size.due = now + BELIEVED;
            return None;
        }
        let (_, asked) = self.open.take_if(|open| open.0 == number)?;
        let took = now.saturating_sub(asked);
        self.fastest.push_back(took);
        if self.fastest.len() > 10 {
            self.fastest.pop_front();
        }
        self.outcome(true);
        Some(took)
    }

    /// The peer's clock was found to be ahead by so many milliseconds.
    pub(super) fn clock(&mut self, ahead: i64) {
        self.apart.push_back(ahead);
        if self.apart.len() > 3 {
            self.apart.pop_front();
        }
        let mut sorted: Vec<i64> = self.apart.iter().copied().collect();
        sorted.sort_unstable();
        let middle = sorted[sorted.len() / 2];
        self.ahead = if middle.abs() < AGREE {
            None
        } else {
            // Told anew only when it has moved by a second, or by a tenth of itself.
            let told = self.ahead.filter(|told| {
                let moved = (told - middle).abs();
                moved < SECOND.max(told.abs() / 10)
            });
            Some(told.unwrap_or(middle))
        };
    }

    fn outcome(&mut self, answered: bool) {
        if answered {
            self.answered_in_a_row += 1;
            self.missed_in_a_row = 0;
        } else {
            self.missed_in_a_row += 1;
            self.answered_in_a_row = 0;
        }
        self.outcomes.push_back(answered);
        if self.outcomes.len() > WINDOW {
            self.outcomes.pop_front();
        }
        match self.works {
            Some(true) | None if self.missed_in_a_row >= RUN => self.works = Some(false),
            None if answered => self.works = Some(true),
            Some(false) if self.answered_in_a_row >= RUN => {
                // What was lost while it was broken was told of.
                self.works = Some(true);
                self.outcomes.clear();
                self.fastest.clear();
                self.loss = 0;
                self.size.due = 0;
            }
            _ => {}
        }
        self.count_losses();
        self.measure();
    }

    /// More is told of at once, less only when it is much less.
    fn count_losses(&mut self) {
        let all = self.outcomes.len();
        if all < ENOUGH {
            return;
        }
        let lost = self.outcomes.iter().filter(|answered| !**answered).count();
        let percent = u32::try_from(lost * 100 / all).unwrap_or(100);
        if percent > self.loss || percent <= self.loss / 2 {
            let class = LOSSES.into_iter().rev().find(|class| *class <= percent);
            self.loss = class.unwrap_or(0);
        }
    }

    /// The next power of four of milliseconds, and no other one before it is surely another.
    fn measure(&mut self) {
        let Some(fastest) = self.fastest.iter().min() else {
            return;
        };
        let told = u64::from(self.round_trip.unwrap_or(0)) * 1_000;
        if told == 0 || *fastest > told || *fastest < told / 8 {
            let mut class = 1;
            while u64::from(class) * 1_000 < *fastest && class < 4_096 {
                class *= 4;
            }
            self.round_trip = Some(class);
        }
    }

    pub(super) fn reach(&self) -> Option<Reach> {
        Some(match self.works? {
            false => Reach::Broken,
            true if self.loss >= LOSSY => Reach::Lossy,
            true => Reach::Works,
        })
    }

    /// In percent.
    pub(super) fn loss(&self) -> u32 {
        self.loss
    }

    /// At most so many milliseconds.
    pub(super) fn round_trip(&self) -> Option<u32> {
        self.round_trip
    }

    /// The largest packet that passes, where it is less than it should be.
    pub(super) fn passes(&self) -> Option<u32> {
        self.size.passes
    }

    /// By how many milliseconds the peer's clock is ahead, where it does not agree.
    pub(super) fn ahead(&self) -> Option<i64> {
        self.ahead
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    /// Asks once a second from `from` on, and answers after 300 microseconds where `answers` says so.
    fn ask(tally: &mut Tally, from: u64, answers: impl IntoIterator<Item = bool>) -> u64 {
        let mut now = from;
        for answers in answers {
            let number = u32::try_from(now / SECOND).expect("soon");
            tally.asks(number, now);
            if answers {
                tally.answered(number, now + 300);
            }
            now += SECOND;
        }
        now
    }

    #[test]
    fn a_way_breaks_after_three_misses_and_works_after_three_answers() {
        let mut tally = Tally::new(1_500);
        assert_eq!(tally.reach(), None, "nobody knows yet");
        let now = ask(&mut tally, 0, [true]);
        assert_eq!(tally.reach(), Some(Reach::Works));
        assert_eq!(tally.round_trip(), Some(1));
        // The third is only missed when the fourth is asked.
        let now = ask(&mut tally, now, [false; 3]);
        assert_eq!(tally.reach(), Some(Reach::Works));
        let now = ask(&mut tally, now, [false, true, true]);
        assert_eq!(tally.reach(), Some(Reach::Broken));
        ask(&mut tally, now, [true]);
        assert_eq!(tally.reach(), Some(Reach::Works));
        assert_eq!(tally.loss(), 0, "that it was broken is no loss");
    }

    #[test]
    fn losses_are_told_of_coarsely_and_do_not_flicker() {
        let mut tally = Tally::new(1_500);
        let now = ask(&mut tally, 0, [true; 60]);
        let lossy = (0..60).map(|number| number % 8 != 0);
        let now = ask(&mut tally, now, lossy);
        assert_eq!((tally.reach(), tally.loss()), (Some(Reach::Lossy), 10));
        let mut told = std::collections::BTreeSet::new();
        let mut now = now;
        for number in 0..200 {
            now = ask(&mut tally, now, [number % 10 != 0]);
            told.insert(tally.loss());
        }
        assert_eq!(
            told.into_iter().collect::<Vec<_>>(),
            [10],
            "10 and 11 % by turns"
        );
        ask(&mut tally, now, [true; 70]);
        assert_eq!((tally.reach(), tally.loss()), (Some(Reach::Works), 0));
    }

    #[test]
    fn whether_the_networks_own_size_passes_is_tried_anew_when_it_is_asked_for() {
        let mut tally = Tally::new(9_000);
        let mut now = 0;
        let mut number = 0;
        let mut second = |tally: &mut Tally, passes: u32| {
            tally.asks(number, now);
            tally.answered(number, now + 300);
            let size = tally.asks_for_size(number + 1, now);
            if size.is_some_and(|size| size <= passes) {
                tally.answered(number + 1, now + 300);
            }
            now += SECOND;
            number += 2;
        };
        second(&mut tally, 9_000);
        assert_eq!(tally.own_size(), Some(true));
        tally.try_size();
        assert_eq!(
            tally.own_size(),
            None,
            "what was found before does not count"
        );
        for _ in 0..3 {
            second(&mut tally, 1_500);
            assert_eq!(tally.own_size(), None, "one that is lost says nothing");
        }
        second(&mut tally, 1_500);
        assert_eq!(tally.own_size(), Some(false), "three in a row do");
        tally.try_size();
        second(&mut tally, 9_000);
        assert_eq!(tally.own_size(), Some(true));
    }

    #[test]
    fn a_size_that_does_not_pass_is_found_and_so_is_that_it_passes_again() {
        let mut tally = Tally::new(9_000);
        let mut passes = 1_500;
        let mut now = 0;
        let mut number = 0;
        let mut run = |tally: &mut Tally, passes: u32, seconds: u32| {
            for _ in 0..seconds {
                number += 2;
                tally.asks(number, now);
                tally.answered(number, now + 300);
                if let Some(size) = tally.asks_for_size(number + 1, now)
                    && size <= passes
                {
                    tally.answered(number + 1, now + 300);
                }
                now += SECOND;
            }
        };
        run(&mut tally, 9_000, 10);
        assert_eq!(tally.passes(), None, "all is well");
        run(&mut tally, passes, 120);
        assert_eq!(tally.passes(), Some(1_500));
        passes = 9_000;
        run(&mut tally, passes, 70);
        assert_eq!(tally.passes(), None);
        // Nothing at all passes besides small ones: nobody knows what does.
        run(&mut tally, 0, 130);
        assert_eq!(tally.passes(), None);
    }

    #[test]
    fn clocks_that_run_apart_are_told_of_and_a_single_odd_answer_is_not() {
        let mut tally = Tally::new(1_500);
        for ahead in [3, 4, 9_000, 2, 5] {
            tally.clock(ahead);
            assert_eq!(tally.ahead(), None);
        }
        for ahead in [2_000, 2_010, 2_020, 2_300] {
            tally.clock(ahead);
        }
        assert_eq!(
            tally.ahead(),
            Some(2_000),
            "it is not told anew for a little"
        );
        for _ in 0..3 {
            tally.clock(-10);
        }
        assert_eq!(tally.ahead(), None);
    }
}
