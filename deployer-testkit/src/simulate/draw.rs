//! Drawing lots from a seed.

use crate::world::random::Random;

/// Draws lots; the same seed draws the same ones.
#[derive(Debug, Clone)]
pub(super) struct Draw(Random);

impl Draw {
    pub(super) fn new(seed: u64) -> Self {
        // Seeds that follow each other are to have nothing in common.
        let mut random = Random::new(seed ^ 0x5eed_5eed_5eed_5eed);
        random.next();
        Self(random)
    }

    /// Another source of lots, so that what one part draws changes nothing for the others.
    pub(super) fn apart(&mut self) -> Self {
        Self(Random::new(self.0.next()))
    }

    /// A number below `bound`.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0.below(bound)
    }

    /// A small number below `bound`.
    pub(super) fn number(&mut self, bound: u32) -> u32 {
        u32::try_from(self.below(u64::from(bound))).unwrap_or(0)
    }

    /// True in so many of a thousand cases.
    pub(super) fn chance(&mut self, of_a_thousand: u64) -> bool {
        self.below(1000) < of_a_thousand
    }

    /// One of them.
    pub(super) fn pick<T: Clone>(&mut self, of: &[T]) -> T {
        let index = usize::try_from(self.below(of.len() as u64)).unwrap_or(0);
        of[index].clone()
    }
}
