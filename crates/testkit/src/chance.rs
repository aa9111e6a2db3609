//! Chance that repeats: everything drawn from one seed comes in the same order every time.

use std::sync::{Mutex, PoisonError};

use millstream_model::Entropy;

/// A sequence of numbers that follows from its seed (`SplitMix64`).
#[derive(Debug, Clone)]
pub struct Chance(u64);

impl Chance {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 when `end` is 0.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw().checked_rem(end).unwrap_or(0)
    }

    /// True in `parts` of `of` cases.
    pub fn happens(&mut self, parts: u64, of: u64) -> bool {
        self.below(of) < parts
    }

    /// One of `from`; none when there is none.
    pub fn one_of<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        from.get(usize::try_from(self.below(from.len() as u64)).ok()?)
    }

    /// A sequence of its own, so that drawing more of one thing changes nothing else.
    #[must_use]
    pub fn fork(&mut self) -> Self {
        Self(self.draw())
    }
}

/// A [`Chance`] as the product's code asks for it.
#[derive(Debug)]
pub struct SeededEntropy(Mutex<Chance>);

impl SeededEntropy {
    /// The sequence of `seed`.
    pub fn new(seed: u64) -> Self {
        Self(Mutex::new(Chance::new(seed)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, out: &mut [u8]) {
        let mut chance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for piece in out.chunks_mut(8) {
            let drawn = chance.draw().to_le_bytes();
            for (byte, drawn) in piece.iter_mut().zip(drawn) {
                *byte = drawn;
            }
        }
    }
}
