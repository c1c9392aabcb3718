//! What was shown for requests that were refused, so that nobody counts twice by sending the same again.

use std::collections::HashMap;

use shortbread_protocol::clock::Timestamp;

/// How many are remembered. Beyond that nothing new counts until some of them are over: none is forgotten early.
const ROOM: usize = 65_536;

/// Assertions and proofs by their hashes, each until nobody takes it any more.
#[derive(Debug, Default)]
pub(super) struct Once {
    shown: HashMap<[u8; 32], Timestamp>,
    /// None is over before this.
    earliest: Timestamp,
}

impl Once {
    /// Whether this is shown for the first time, and can be remembered.
    pub(super) fn first(&mut self, hash: [u8; 32], until: Timestamp, now: Timestamp) -> bool {
        self.first_of(hash, until, now, ROOM)
    }

    fn first_of(&mut self, hash: [u8; 32], until: Timestamp, now: Timestamp, room: usize) -> bool {
        if self.shown.contains_key(&hash) {
            return false;
        }
        if self.shown.len() >= room && self.earliest < now {
            self.shown.retain(|_, until| *until >= now);
            self.earliest = self.shown.values().copied().min().unwrap_or(now);
        }
        if self.shown.len() >= room {
            return false;
        }
        self.earliest = if self.shown.is_empty() { until } else { self.earliest.min(until) };
        self.shown.insert(hash, until);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_counts_once_and_none_is_forgotten_while_it_is_good() {
        let at = Timestamp::from_seconds;
        let mut once = Once::default();
        let mut show = |n: u8, until, now| once.first_of([n; 32], at(until), at(now), 2);
        assert!(show(1, 10, 0) && show(2, 20, 0));
        assert!(!show(1, 10, 0) && !show(2, 20, 0), "again");
        assert!(!show(3, 30, 10), "no room while both are good");
        assert!(show(3, 30, 11), "the first is over");
        assert!(!show(3, 30, 12) && !show(2, 20, 12) && !show(4, 30, 12));
        assert!(show(4, 40, 21));
    }
}
