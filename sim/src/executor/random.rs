/// A stream of numbers that follows from a seed (SplitMix64).
///
/// Every part of a run draws from a stream of its own, so that leaving out one fault does not change what the network
/// does to everybody else.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The stream of a part of a run: the same seed and name give the same stream.
    #[must_use]
    pub fn of(seed: u64, part: &str) -> Self {
        let mut stream = Self(seed ^ 0x5175_6f72_6174_6521);
        for byte in part.bytes() {
            stream.0 = stream.draw() ^ u64::from(byte);
        }
        stream
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `limit`, 0 when there is none.
    pub fn below(&mut self, limit: u64) -> u64 {
        self.draw().checked_rem(limit).unwrap_or(0)
    }

    /// A number from `least` to `most`, both possible.
    pub fn between(&mut self, least: u64, most: u64) -> u64 {
        least + self.below(most.saturating_sub(least) + 1)
    }

    /// True so many times in a million.
    pub fn happens(&mut self, per_million: u64) -> bool {
        per_million > 0 && self.below(1_000_000) < per_million
    }

    /// One of the choices, none of none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let nth = self.below(choices.len() as u64);
        choices.get(usize::try_from(nth).unwrap_or(0))
    }
}
