//! Which of several keys of one purpose signs now. A pure function: a new key waits until verifiers know the key document
//! that names it, for what they do not know they refuse; and it does not wait where there is nothing to wait with.

/// How long a new key waits at least, in seconds: verifiers that do not report have taken the document up by then.
pub const UNREPORTED: u64 = 60;

/// How long a new key waits at most, in seconds: the longest window of a verifier. Whoever has no new list by then denies
/// everything, whatever key signed it.
pub const LATEST: u64 = 900;

/// The first published document that names a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// Its version.
    pub version: u64,
    /// When it was activated, in seconds since the epoch.
    pub at: u64,
}

/// A key that could sign. Times are seconds since the epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// What it signs is valid from here on.
    pub not_before: u64,
    /// What it signs is valid until here.
    pub not_after: u64,
    /// Since which document verifiers can know it; `None` for the first document, with which they begin.
    pub since: Option<Since>,
    /// Whether an operator revoked it by name.
    pub revoked: bool,
}

/// What a key does now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It signs.
    Signs,
    /// It could sign, and waits for verifiers.
    Waits {
        /// Verifiers that report, and do not report its document yet.
        behind: usize,
        /// When it signs whatever they report, in seconds since the epoch.
        latest: u64,
    },
    /// A newer key signs; what this one signed is still good.
    Retired,
    /// It is not valid yet.
    Early,
    /// It is over.
    Over,
    /// An operator revoked it by name.
    Revoked,
}

impl Candidate {
    const fn is_valid(&self, now: u64) -> bool {
        self.not_before <= now && now < self.not_after
    }

    // Verifiers are counted only where it matters: for most of a key's life it does not.
    fn waits(&self, behind: &dyn Fn(u64) -> usize, now: u64) -> bool {
        let Some(since) = self.since else { return false };
        let waited = now.saturating_sub(since.at);
        waited < UNREPORTED || (waited < LATEST && behind(since.version) > 0)
    }
}

/// The place of the key that signs now: the newest one that is valid and that verifiers know. Where they know none, the
/// newest valid one: there is nothing to wait with. A revoked key signs only where there is no other, so that the refusal
/// names it. `behind` counts the verifiers that report, and report an earlier document than this version.
#[must_use]
pub fn choose(keys: &[Candidate], behind: &dyn Fn(u64) -> usize, now: u64) -> Option<usize> {
    let mut newest: Vec<usize> = (0..keys.len()).collect();
    // Of two that begin in one second the later one in the document is the newer.
    newest.sort_by_key(|at| std::cmp::Reverse((keys.get(*at).map(|key| key.not_before), *at)));
    let first = |fits: &dyn Fn(&Candidate) -> bool| {
        newest.iter().copied().find(|at| keys.get(*at).is_some_and(|key| key.is_valid(now) && fits(key)))
    };
    first(&|key| !key.revoked && !key.waits(behind, now))
        .or_else(|| first(&|key| !key.revoked))
        .or_else(|| first(&|_| true))
}

/// What each key does now, in the same order.
#[must_use]
pub fn turns(keys: &[Candidate], behind: &dyn Fn(u64) -> usize, now: u64) -> Vec<Turn> {
    let signs = choose(keys, behind, now);
    let turn = |(at, key): (usize, &Candidate)| match () {
        () if now < key.not_before => Turn::Early,
        () if now >= key.not_after => Turn::Over,
        () if key.revoked => Turn::Revoked,
        () if signs == Some(at) => Turn::Signs,
        () => match key.since.filter(|_| key.waits(behind, now)) {
            Some(since) => Turn::Waits { behind: behind(since.version), latest: since.at + LATEST },
            None => Turn::Retired,
        },
    };
    keys.iter().enumerate().map(turn).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: u64 = 1_000_000;
    const OLD: Candidate = Candidate { not_before: 1, not_after: T + 86_400, since: None, revoked: false };
    const NEW: Candidate = Candidate {
        not_before: T - 5,
        not_after: u64::MAX,
        since: Some(Since { version: 2, at: T }),
        revoked: false,
    };

    fn none(_: u64) -> usize {
        0
    }

    #[test]
    fn a_new_key_signs_once_those_who_report_know_it_and_the_others_had_their_minute() {
        for (now, behind, signs) in [
            (T, 0, 0),
            (T + 59, 0, 0),
            (T + 60, 0, 1),
            (T + 60, 1, 0),
            (T + 899, 7, 0),
            (T + 900, 7, 1),
            // A clock that went back opens nothing.
            (T - 3, 0, 0),
        ] {
            let behind = move |version| if version == 2 { behind } else { 0 };
            assert_eq!(choose(&[OLD, NEW], &behind, now), Some(signs), "{now}");
            assert_eq!(choose(&[NEW, OLD], &behind, now), Some(1 - signs), "the order is not what counts");
        }
        assert_eq!(
            turns(&[OLD, NEW], &|_| 3, T + 60),
            [Turn::Signs, Turn::Waits { behind: 3, latest: T + 900 }]
        );
        assert_eq!(turns(&[OLD, NEW], &none, T + 60), [Turn::Retired, Turn::Signs]);
    }

    #[test]
    fn nothing_waits_where_the_old_key_is_gone() {
        assert_eq!(choose(&[NEW], &|_| 9, T), Some(0), "dropped");
        let over = Candidate { not_after: T, ..OLD };
        assert_eq!(choose(&[over, NEW], &|_| 9, T), Some(1), "over");
        let revoked = Candidate { revoked: true, ..OLD };
        assert_eq!(choose(&[revoked, NEW], &|_| 9, T), Some(1), "revoked by name");
        assert_eq!(turns(&[revoked, NEW], &|_| 9, T), [Turn::Revoked, Turn::Signs]);
        assert_eq!(choose(&[revoked], &none, T), Some(0), "the refusal names it");
        assert_eq!(choose(&[over], &none, T), None);
        assert_eq!(choose(&[], &none, T), None);
        let early = Candidate { not_before: T + 1, ..NEW };
        assert_eq!(turns(&[OLD, early, over], &none, T), [Turn::Signs, Turn::Early, Turn::Over]);
    }

    #[test]
    fn two_rotations_in_a_row_wait_each_for_its_own_document() {
        let newer = Candidate { not_before: T + 40, since: Some(Since { version: 3, at: T + 50 }), ..NEW };
        let behind = |version| usize::from(version == 3);
        assert_eq!(choose(&[OLD, NEW, newer], &behind, T + 55), Some(0));
        assert_eq!(choose(&[OLD, NEW, newer], &behind, T + 115), Some(1), "known to all");
        assert_eq!(choose(&[OLD, NEW, newer], &none, T + 115), Some(2));
    }

    proptest! {
        #[test]
        fn what_signs_is_valid_and_only_one_signs(
            keys in prop::collection::vec(
                (0..50u64, 0..100u64, prop::option::of((1..9u64, 0..60u64)), any::<bool>()), 0..6),
            behind in 0..2usize,
            now in 0..1200u64,
        ) {
            let keys: Vec<Candidate> = keys
                .into_iter()
                .map(|(not_before, life, since, revoked)| {
                    let since = since.map(|(version, at)| Since { version, at });
                    Candidate { not_before, not_after: not_before + life * 20, since, revoked }
                })
                .collect();
            let chosen = choose(&keys, &|_| behind, now);
            prop_assert_eq!(chosen.is_some(), keys.iter().any(|key| key.is_valid(now)));
            if let Some(at) = chosen {
                prop_assert!(keys[at].is_valid(now));
                prop_assert!(!keys[at].revoked || keys.iter().all(|key| key.revoked || !key.is_valid(now)));
            }
            let turns = turns(&keys, &|_| behind, now);
            let signing = turns.iter().filter(|turn| **turn == Turn::Signs).count();
            prop_assert_eq!(signing, usize::from(chosen.is_some_and(|at| !keys[at].revoked)));
        }
    }
}
