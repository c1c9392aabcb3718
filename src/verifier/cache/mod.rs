//! Tokens that were believed before: a call with one of them costs no signature.
//!
//! **What is kept.** Only tokens whose signatures held, by their text. The text is canonical base64url, so one token has
//! one text and nothing is decoded to find it. A token is found by a hash and believed for its text: the whole of it is
//! compared, so no collision lends one token the rights of another. What is kept is what the token says, never whether
//! it may be used: its key, revocation, expiry and every demand of a call are asked again on each call.
//!
//! **How much.** So many bytes in all, the text and every table counted, and the oldest that nobody used since the last
//! round goes first. Whoever holds a token can narrow it into endless others that all hold, so the copies of one
//! authority block have at most [`FAMILY_TOKENS`] and [`FAMILY_BYTES`] in each of at most [`SHARDS`] shards (1/128 of the
//! default size in all) and beyond that push out one another only.
//!
//! **Why our own.** A general cache such as `quick_cache` bounds neither a family nor the memory of the hashes that it
//! keeps of evicted items, and divides its weight among many shards by an estimate of the number of items. Its fast
//! hasher promises no resistance to chosen keys, and a keyed one over a whole token costs more than all of the rest.
//! Here the hash is the standard library's keyed one over 32 characters near the end: part of the last signature, so
//! that honest texts differ there. Texts that were made to agree there belong to one holder and replace one another.
//!
//! A state of the trust in which a token key was lost has a higher epoch; whoever comes first with it empties the cache.

mod believed;
mod shard;
#[cfg(test)]
mod tests;

pub(crate) use believed::Believed;

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use shard::Shard;

/// How much is kept unless told otherwise, in bytes.
pub(crate) const DEFAULT_BYTES: usize = 64 * 1024 * 1024;

/// The most shards, each with a lock of its own.
const SHARDS: usize = 16;

/// The least that is worth a shard of its own, in bytes.
const SHARD_BYTES: usize = 256 * 1024;

/// How many copies of one authority block a shard keeps.
const FAMILY_TOKENS: usize = 8;

/// How many bytes of them, unless a single one has more.
const FAMILY_BYTES: usize = 32 * 1024;

/// A bounded set of tokens.
pub(crate) struct Cache {
    shards: Box<[Padded]>,
    epoch: AtomicU64,
    hasher: RandomState,
}

// Two shards never share a cache line, or two processors would wait for each other without need.
#[repr(align(128))]
struct Padded(Mutex<Shard>);

impl Cache {
    /// A cache of so many bytes; 0 keeps nothing.
    pub(crate) fn of(bytes: usize) -> Self {
        let count = if bytes == 0 { 0 } else { (bytes / SHARD_BYTES).clamp(1, SHARDS) };
        let shard = |_| Padded(Mutex::new(Shard::new(bytes / count.max(1), 0)));
        Self { shards: (0..count).map(shard).collect(), epoch: AtomicU64::new(0), hasher: RandomState::new() }
    }

    /// The token with this very text, as far as it was believed in this epoch.
    pub(crate) fn find(&self, text: &str, epoch: u64) -> Option<Arc<Believed>> {
        let (trace, shard) = self.place(text)?;
        self.advance(epoch);
        let found = lock(shard).find(trace, epoch)?;
        // Compared after the lock is given back.
        (found.text() == text).then_some(found)
    }

    /// Keeps a token that was believed in this epoch, if there is room for it.
    pub(crate) fn keep(&self, believed: &Arc<Believed>, epoch: u64) {
        let Some((trace, shard)) = self.place(believed.text()) else { return };
        self.advance(epoch);
        // What goes is dropped after the lock is given back.
        let gone = lock(shard).keep(trace, believed, epoch);
        drop(gone);
    }

    /// How many bytes it holds, in how many tokens.
    #[cfg(test)]
    pub(crate) fn held(&self) -> (usize, usize) {
        let held = self.shards.iter().map(|Padded(shard)| lock(shard).held());
        held.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    // Forgets everything that was believed before a key was lost.
    fn advance(&self, epoch: u64) {
        if self.epoch.load(Ordering::Relaxed) < epoch
            && self.epoch.fetch_max(epoch, Ordering::Relaxed) < epoch
        {
            for Padded(shard) in &self.shards {
                let gone = lock(shard).advance(epoch);
                drop(gone);
            }
        }
    }

    fn place(&self, text: &str) -> Option<(u64, &Mutex<Shard>)> {
        // 96 to 72 bytes before the end: within the last block's signature, whatever ends the token.
        let (signature, _) = text.as_bytes().last_chunk::<128>()?.split_first_chunk::<32>()?;
        let mut hasher = self.hasher.build_hasher();
        hasher.write(signature);
        let trace = hasher.finish();
        let shard = usize::try_from(trace >> 32).ok()?.checked_rem(self.shards.len())?;
        self.shards.get(shard).map(|Padded(shard)| (trace, shard))
    }
}

// A thread that panicked in between may have left the shard's sums wrong; nothing is lost by emptying it.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(|poisoned| {
        let mut guard = poisoned.into_inner();
        guard.clear();
        shard.clear_poison();
        guard
    })
}
