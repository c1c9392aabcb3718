//! How old the lists of running verifiers were, minute by minute, for a day: in memory alone, so that it begins anew with
//! every start.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::VerifierName;

/// The length of a sample, in seconds.
pub const EVERY: u64 = 60;
/// How long samples are kept, in seconds.
const KEPT: u64 = 86_400;
/// How many verifiers are followed: with all their samples, less than a mebibyte.
const MOST: usize = 64;
/// What is older is as old as this, in seconds.
const OLDEST: u32 = 999_999;

/// The largest age of each verifier's lists in each minute.
pub struct Ages(Mutex<Ring>);

/// What is known of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownAges {
    /// Since when anything is known, in seconds since the epoch.
    pub since: u64,
    /// Where each minute begins, in seconds since the epoch and in their order; minutes in which nobody looked are not
    /// among them.
    pub at: Vec<u64>,
    /// The largest age in each of these minutes, in seconds; none where nobody reported.
    pub of: BTreeMap<VerifierName, Vec<Option<u32>>>,
    /// How many verifiers reported last and are not followed, for want of room.
    pub left_off: u64,
}

struct Ring {
    since: u64,
    at: VecDeque<u64>,
    // As many samples of each as there are minutes.
    of: BTreeMap<VerifierName, VecDeque<Option<u32>>>,
    left_off: u64,
}

impl Ages {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        Self(Mutex::new(Ring::new(now.seconds())))
    }

    /// Notes the largest age of each verifier that reports, in seconds.
    pub fn note(&self, now: Timestamp, ages: &BTreeMap<VerifierName, u64>) {
        let (now, mut ring) = (now.seconds(), self.lock());
        ring.turn(now, ages);
        let mut left_off = 0;
        for (verifier, age) in ages {
            if !ring.of.contains_key(verifier) {
                if ring.of.len() == MOST {
                    left_off += 1;
                    continue;
                }
                let none = VecDeque::from(vec![None; ring.at.len()]);
                ring.of.insert(verifier.clone(), none);
            }
            let age = u32::try_from(*age).unwrap_or(OLDEST).min(OLDEST);
            if let Some(last) = ring.of.get_mut(verifier).and_then(VecDeque::back_mut) {
                *last = Some(last.map_or(age, |known| known.max(age)));
            }
        }
        ring.left_off = left_off;
    }

    /// A copy of it.
    #[must_use]
    pub fn known(&self) -> KnownAges {
        let ring = self.lock();
        KnownAges {
            since: ring.since,
            at: ring.at.iter().copied().collect(),
            of: ring.of.iter().map(|(name, ages)| (name.clone(), ages.iter().copied().collect())).collect(),
            left_off: ring.left_off,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ring {
    const fn new(since: u64) -> Self {
        Self { since, at: VecDeque::new(), of: BTreeMap::new(), left_off: 0 }
    }

    /// Begins a sample where a new minute began, and forgets what is too old.
    fn turn(&mut self, now: u64, ages: &BTreeMap<VerifierName, u64>) {
        let minute = now - now % EVERY;
        if self.at.back().is_some_and(|last| *last > minute) {
            // The clock was set back: what came before has no place on the axis.
            *self = Self::new(now);
        }
        if self.at.back() == Some(&minute) {
            return;
        }
        self.at.push_back(minute);
        self.of.values_mut().for_each(|of| of.push_back(None));
        while self.at.front().is_some_and(|first| first + KEPT <= minute) {
            self.at.pop_front();
            self.of.values_mut().for_each(|of| _ = of.pop_front());
        }
        let reporting: BTreeSet<&VerifierName> = ages.keys().collect();
        self.of.retain(|name, of| reporting.contains(name) || of.iter().any(Option::is_some));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: u64 = 1_795_176_000;

    fn note(ages: &Ages, at: u64, of: &[(&str, u64)]) {
        let of = of.iter().map(|(name, age)| (name.parse().unwrap(), *age)).collect();
        ages.note(Timestamp::from_seconds(at), &of);
    }

    fn of(known: &KnownAges, name: &str) -> Vec<Option<u32>> {
        known.of[&name.parse::<VerifierName>().unwrap()].clone()
    }

    #[test]
    fn a_minute_keeps_its_largest_age() {
        let ages = Ages::new(Timestamp::from_seconds(START + 5));
        note(&ages, START + 5, &[("a", 3)]);
        note(&ages, START + 9, &[("a", 7), ("b", 1)]);
        note(&ages, START + 59, &[("a", 4)]);
        note(&ages, START + 60, &[("b", u64::MAX)]);
        note(&ages, START + 200, &[]);
        let known = ages.known();
        assert_eq!((known.since, &known.at[..]), (START + 5, &[START, START + 60, START + 180][..]));
        assert_eq!(of(&known, "a"), [Some(7), None, None]);
        assert_eq!(of(&known, "b"), [Some(1), Some(OLDEST), None]);
    }

    #[test]
    fn a_day_is_kept_and_no_more() {
        let ages = Ages::new(Timestamp::from_seconds(START));
        note(&ages, START, &[("gone", 1)]);
        for minute in 1..2000 {
            note(&ages, START + minute * EVERY, &[("a", minute)]);
        }
        let known = ages.known();
        assert_eq!((known.at.len(), known.of.len()), (1440, 1));
        assert_eq!((of(&known, "a")[0], of(&known, "a").len()), (Some(560), 1440));
        note(&ages, START, &[("a", 1)]);
        assert_eq!((ages.known().at, ages.known().since), (vec![START], START), "the clock was set back");
    }

    #[test]
    fn so_many_verifiers_are_followed() {
        let ages = Ages::new(Timestamp::from_seconds(START));
        let names: Vec<String> = (0..MOST + 3).map(|n| format!("v{n:03}")).collect();
        let all: Vec<(&str, u64)> = names.iter().map(|name| (name.as_str(), 1)).collect();
        note(&ages, START, &all);
        let known = ages.known();
        assert_eq!((known.of.len(), known.left_off), (MOST, 3));
        note(&ages, START + EVERY, &all[..2]);
        assert_eq!(ages.known().left_off, 0);
    }
}
