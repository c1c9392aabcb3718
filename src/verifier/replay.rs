//! Which proofs were used: each one once, in bounded memory, and forgotten no sooner than it stops being acceptable.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher as _, BuildHasherDefault, Hasher};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use shortbread_protocol::dpop::{MAX_AGE, MAX_AHEAD};
use shortbread_protocol::reason::Reason;
use thiserror::Error;

/// How many proofs a verifier remembers at once unless it is told otherwise: 15,000 calls a second, for a minute.
pub const DEFAULT_CAPACITY: usize = 1_000_000;

const SHARDS: usize = 16;

/// Why the use of a proof is not noted, so that it must not be relied on.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ReplayError {
    /// It was used before.
    #[error("this DPoP proof was used before")]
    Replayed,
    /// As many proofs as fit are remembered, and none of them may be forgotten yet.
    #[error("too many DPoP proofs were used within the last minute to remember one more")]
    Full,
    /// It was made too long ago, or too far ahead, or in a second whose proofs were forgotten already because the clock
    /// was later once than it is now.
    #[error("the DPoP proof is from a second about which this service remembers nothing")]
    Stale,
}

impl ReplayError {
    /// The stable reason.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Replayed => Reason::ProofReplayed,
            Self::Full => Reason::ProofsFull,
            Self::Stale => Reason::ProofStale,
        }
    }
}

/// The proofs that were used and could be sent again.
///
/// A proof is acceptable from 5 seconds before its `iat` to 60 seconds after it, so proofs are kept by the second of
/// their `iat`, and a whole second is dropped once it is more than 60 seconds past. Nothing is dropped sooner: when
/// `capacity` proofs are remembered, the next one is refused until a second is over.
///
/// What is kept of a proof is 64 bits of a hash with a key that nobody outside this process knows, so proofs cannot be
/// chosen to collide; two that do by chance (less than one in 10^13) are taken for one, and the later is refused. With
/// the table around it that is 10 to 21 bytes for each proof, so at most about 21 MB for the default capacity. Memory is
/// taken as proofs come and given back as seconds are dropped.
///
/// **Each process remembers for itself**, and so does each memory within one. Where several instances answer under one
/// URL, a proof that someone copied on the way is good once at each of them, for its minute: send the calls of a client to
/// one instance, or let what a call does be safe to do twice.
///
/// **A clock that goes back** opens nothing again. The last second that was dropped is remembered, and proofs made up to
/// then are refused as stale, however the clock stands. So after a clock ran ahead by more than a minute, was relied on
/// and is put right, proofs are refused until the right time has passed what was forgotten, or the process starts anew.
/// Seconds ahead of a clock that went back are kept until they are over.
///
/// Proofs are spread over 16 locks by their hash, and a lock is held for well under a microsecond.
pub struct ReplayMemory {
    capacity: usize,
    used: AtomicUsize,
    /// The second in which all shards were last cleared of what is over.
    cleared: AtomicU64,
    key: RandomState,
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    /// Proofs from before this second may have been forgotten.
    floor: u64,
    seconds: BTreeMap<u64, HashSet<u64, BuildHasherDefault<AsItIs>>>,
}

impl ReplayMemory {
    /// An empty memory for as many proofs as this at once; with none, every proof is refused.
    #[must_use]
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity,
            used: AtomicUsize::new(0),
            cleared: AtomicU64::new(0),
            key: RandomState::new(),
            shards: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// Notes the use of a proof, once all else about it is known to be good. `id` names it among those of its second, such
    /// as [`Proof::id`](shortbread_protocol::dpop::Proof::id); `iat` is when it was made and `now` the wall clock, both in
    /// seconds since the epoch.
    ///
    /// # Errors
    /// When it was used before, is from a second about which nothing is known, or cannot be remembered.
    pub fn first_use(&self, id: &[u8; 32], iat: u64, now: u64) -> Result<(), ReplayError> {
        if self.cleared.load(Ordering::Relaxed) != now && self.cleared.swap(now, Ordering::Relaxed) != now {
            self.clear(now);
        }
        let hash = self.key.hash_one(id);
        let mut shard = self.shard(hash);
        self.forget(&mut shard, now);
        if iat < shard.floor || iat.saturating_add(MAX_AGE) < now || iat > now.saturating_add(MAX_AHEAD) {
            return Err(ReplayError::Stale);
        }
        if shard.seconds.get(&iat).is_some_and(|second| second.contains(&hash)) {
            return Err(ReplayError::Replayed);
        }
        let room = |used: usize| (used < self.capacity).then_some(used + 1);
        if self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, room).is_err() {
            return Err(ReplayError::Full);
        }
        shard.seconds.entry(iat).or_default().insert(hash);
        Ok(())
    }

    /// How many proofs are remembered, as of the last use.
    #[must_use]
    pub fn len(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether none is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many proofs can be remembered at once.
    #[must_use]
    pub const fn capacity(&self) -> usize {
        self.capacity
    }

    /// Once a second, so that shards which nobody asks for do not hold on to room that others need.
    fn clear(&self, now: u64) {
        for shard in &self.shards {
            self.forget(&mut lock(shard), now);
        }
    }

    fn forget(&self, shard: &mut Shard, now: u64) {
        while let Some(first) = shard.seconds.first_entry() {
            if first.key().saturating_add(MAX_AGE) >= now {
                break;
            }
            shard.floor = first.key().saturating_add(1);
            self.used.fetch_sub(first.remove().len(), Ordering::Relaxed);
        }
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // Bits from the middle: the tables use those at both ends.
        let at = (hash >> 40) as usize % SHARDS;
        let [first, ..] = &self.shards;
        lock(self.shards.get(at).unwrap_or(first))
    }
}

// What a thread leaves behind that panicked in between is whole: each change is a single call.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says how full it is, and nothing about the proofs.
impl fmt::Debug for ReplayMemory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { capacity, .. } = self;
        f.debug_struct("ReplayMemory")
            .field("used", &self.len())
            .field("capacity", capacity)
            .finish_non_exhaustive()
    }
}

/// Hashes what is a keyed hash already.
#[derive(Clone, Copy, Default)]
struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    const NOW: u64 = 1_795_176_000;

    fn id(n: u16) -> [u8; 32] {
        let mut id = [0; 32];
        id[..2].copy_from_slice(&n.to_be_bytes());
        id
    }

    #[test]
    fn a_proof_is_good_once_until_it_is_too_old() {
        let memory = ReplayMemory::new(10);
        assert_eq!(memory.first_use(&id(1), NOW, NOW - 5), Ok(()));
        for now in NOW - 5..=NOW + 60 {
            assert_eq!(memory.first_use(&id(1), NOW, now), Err(ReplayError::Replayed));
        }
        assert_eq!(memory.len(), 1);
        assert_eq!(memory.first_use(&id(1), NOW, NOW + 61), Err(ReplayError::Stale));
        assert!(memory.is_empty());
    }

    #[test]
    fn only_the_last_minute_and_the_next_five_seconds_are_remembered() {
        let memory = ReplayMemory::new(10);
        for (iat, good) in [(NOW - 61, false), (NOW - 60, true), (NOW + 5, true), (NOW + 6, false)] {
            assert_eq!(memory.first_use(&id(1), iat, NOW).is_ok(), good, "{iat}");
        }
        assert_eq!(ReplayMemory::new(1).first_use(&id(1), 0, 0), Ok(()));
        assert_eq!(ReplayMemory::new(1).first_use(&id(1), u64::MAX, u64::MAX), Ok(()));
    }

    #[test]
    fn a_full_memory_refuses_and_forgets_nothing_early() {
        let memory = ReplayMemory::new(100);
        for n in 0..100 {
            assert_eq!(memory.first_use(&id(n), NOW + u64::from(n % 2), NOW), Ok(()));
        }
        for now in [NOW, NOW + 60] {
            assert_eq!(memory.first_use(&id(100), NOW + 2, now), Err(ReplayError::Full));
            assert_eq!(memory.first_use(&id(7), NOW + 1, now), Err(ReplayError::Replayed));
        }
        // The even ones are over now, wherever they lie.
        for n in 100..150 {
            assert_eq!(memory.first_use(&id(n), NOW + 61, NOW + 61), Ok(()));
        }
        assert_eq!(memory.first_use(&id(150), NOW + 61, NOW + 61), Err(ReplayError::Full));
        assert_eq!(memory.len(), 100);
        assert_eq!(ReplayMemory::new(0).first_use(&id(1), NOW, NOW), Err(ReplayError::Full));
    }

    #[test]
    fn a_clock_that_goes_back_opens_nothing_again() {
        let memory = ReplayMemory::new(10);
        assert_eq!(memory.first_use(&id(1), NOW, NOW), Ok(()));
        // Over, and dropped by a use of another proof.
        assert_eq!(memory.first_use(&id(2), NOW + 3600, NOW + 3600), Ok(()));
        assert_eq!(memory.first_use(&id(1), NOW, NOW), Err(ReplayError::Stale));
        assert_eq!(memory.first_use(&id(3), NOW + 1, NOW + 1), Ok(()), "an hour ahead locks nobody out");
        // What was used ahead of time is still known when that time comes.
        assert_eq!(memory.first_use(&id(2), NOW + 3600, NOW + 3600), Err(ReplayError::Replayed));
    }

    #[test]
    fn of_many_uses_at_once_exactly_one_is_the_first() {
        let memory = ReplayMemory::new(500);
        let round = |thread: u64| {
            let used = |n: &u16| memory.first_use(&id(*n), NOW, NOW + thread % 2).is_ok();
            (0..1000).filter(used).collect::<Vec<u16>>()
        };
        let accepted: Vec<u16> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|thread| scope.spawn(move || round(thread))).collect();
            threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
        });
        let different: BTreeSet<_> = accepted.iter().collect();
        assert_eq!((accepted.len(), different.len(), memory.len()), (500, 500, 500));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

        /// The memory against a list of all that was ever accepted: none is accepted twice, none is refused without a
        /// cause, and what is counted is what could still be sent.
        #[test]
        fn it_does_as_a_list_of_everything_would(
            capacity in 0..40_usize,
            // A clock that jumps both ways, in one of three places far from each other.
            uses in prop::collection::vec((0..60_u16, -70..12_i64, -3..9_i64, 0..30_u8), 0..400),
        ) {
            let memory = ReplayMemory::new(capacity);
            let mut accepted: HashSet<(u16, u64)> = HashSet::new();
            let (mut now, mut latest) = (NOW, NOW);
            for (n, ahead, pass, jump) in uses {
                now = match jump {
                    0 => now - 500,
                    1 => now + 500,
                    _ => now.checked_add_signed(pass).unwrap(),
                };
                latest = latest.max(now);
                let iat = now.checked_add_signed(ahead).unwrap();
                let fresh = (-60..=5).contains(&ahead);
                let known = accepted.contains(&(n, iat));
                let kept = |now: u64, accepted: &HashSet<(u16, u64)>| {
                    accepted.iter().filter(|(_, iat)| iat + 60 >= now).count()
                };
                match memory.first_use(&id(n), iat, now) {
                    Ok(()) => {
                        prop_assert!(fresh && !known && kept(latest, &accepted) < capacity);
                        accepted.insert((n, iat));
                    }
                    Err(ReplayError::Replayed) => prop_assert!(fresh && known),
                    Err(ReplayError::Full) => prop_assert!(fresh && !known && kept(now, &accepted) >= capacity),
                    // With a clock that never went back only proofs that are not fresh are stale.
                    Err(ReplayError::Stale) => prop_assert!(!fresh || iat + 60 < latest),
                }
                prop_assert!((kept(latest, &accepted)..=capacity).contains(&memory.len()));
            }
        }
    }
}
