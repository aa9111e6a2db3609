//! Real chance: the operating system's generator, seeded once a thread.

use millstream_model::Entropy;
use rand::Rng as _;

/// The thread's generator, which the operating system seeds; good enough for secrets.
pub(crate) struct SystemEntropy;

impl Entropy for SystemEntropy {
    fn fill(&self, out: &mut [u8]) {
        rand::rng().fill_bytes(out);
    }
}
