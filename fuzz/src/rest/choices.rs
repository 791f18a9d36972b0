/// Decisions, taken from the bytes of an input. When they are used up every decision is the first possibility, so that
/// short inputs make plain requests.
pub(super) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let (taken, rest) = self.0.split_at(self.0.len().min(2));
        self.0 = rest;
        let number = taken
            .iter()
            .fold(0, |number, byte| number << 8 | usize::from(*byte));
        number % bound.max(1)
    }

    pub(super) fn pick<'t, T: ?Sized>(&mut self, from: &[&'t T]) -> &'t T {
        from[self.below(from.len())]
    }

    /// Whether one of `times` equal chances came.
    pub(super) fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 1
    }
}
