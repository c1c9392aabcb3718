//! Randomness as a value that is handed in.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use sha2::{Digest as _, Sha256};
use thiserror::Error;
use uuid::Builder;

use crate::clock::Timestamp;

/// The system gave no random bytes; whatever needed them must fail.
#[derive(Clone, Copy, Debug, Error)]
#[error("the system's random source is not available")]
pub struct RandomError;

/// Where unpredictable bytes come from.
pub trait Random: Send + Sync {
    /// Fills the whole buffer.
    ///
    /// # Errors
    /// When the source cannot answer; the buffer must not be used then.
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError>;
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the system")]
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        getrandom::fill(buffer).map_err(|_| RandomError)
    }
}

/// A predictable stream for tests: SHA-256 of a seed and a counter. Never for real keys.
#[derive(Debug, Default)]
pub struct SeededRandom {
    seed: u64,
    count: AtomicU64,
}

impl SeededRandom {
    /// A stream that is the same for the same seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed, count: AtomicU64::new(0) }
    }
}

impl Random for SeededRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), RandomError> {
        for chunk in buffer.chunks_mut(32) {
            let count = self.count.fetch_add(1, Ordering::Relaxed);
            let block = Sha256::new().chain_update(self.seed.to_be_bytes()).chain_update(count.to_be_bytes());
            for (to, from) in chunk.iter_mut().zip(block.finalize()) {
                *to = from;
            }
        }
        Ok(())
    }
}

/// A new id: the prefix, then a UUID version 7 (RFC 9562) in 32 lowercase hex digits, so that ids sort by time.
///
/// # Errors
/// When there is no randomness.
pub fn id(prefix: &str, now: Timestamp, random: &dyn Random) -> Result<String, RandomError> {
    let mut bytes = [0; 10];
    random.fill(&mut bytes)?;
    let uuid = Builder::from_unix_timestamp_millis(now.millis(), &bytes).into_uuid();
    let mut id = String::with_capacity(prefix.len() + 32);
    id.push_str(prefix);
    // Writing to a String cannot fail.
    let _ = write!(id, "{}", uuid.simple());
    Ok(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_sort_by_time_and_differ() {
        let random = SeededRandom::new(1);
        let early = id("tok_", Timestamp::from_seconds(1_000_000_000), &random).unwrap();
        let late = id("tok_", Timestamp::from_seconds(2_000_000_000), &random).unwrap();
        let later = id("tok_", Timestamp::from_seconds(2_000_000_000), &random).unwrap();
        assert!(early < late && late != later, "{early} {late} {later}");
        assert_eq!(early.len(), 36);
    }
}
