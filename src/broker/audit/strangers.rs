//! Refusals before an identity is known: counted and summed, with at most one entry a minute per address range
//! and reason, so that strangers cannot fill the disk.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shortbread_protocol::reason::Reason;

const MINUTE: Duration = Duration::from_secs(60);
/// Ranges that are told apart; all others count as one.
const MAX_RANGES: usize = 1024;

/// What to write of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Write an entry that stands for so many refusals, this one included.
    Write(u64),
    /// Write nothing now; it is counted for the next entry.
    Later,
}

/// Counts refusals of strangers.
#[derive(Debug, Default)]
pub struct Strangers(Mutex<HashMap<(Option<IpAddr>, Reason), Tally>>);

#[derive(Debug)]
struct Tally {
    written: Duration,
    since: u64,
}

impl Strangers {
    /// Counts one refusal at a moment of the monotonic clock.
    pub fn count(&self, address: IpAddr, reason: Reason, now: Duration) -> Counted {
        let mut tallies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if tallies.len() >= MAX_RANGES {
            tallies.retain(|_, tally| tally.since > 0 || now.saturating_sub(tally.written) < MINUTE);
        }
        let mut key = (Some(range(address)), reason);
        if tallies.len() >= MAX_RANGES && !tallies.contains_key(&key) {
            key.0 = None;
        }
        match tallies.get_mut(&key) {
            None => {
                tallies.insert(key, Tally { written: now, since: 0 });
                Counted::Write(1)
            }
            Some(tally) if now.saturating_sub(tally.written) >= MINUTE => {
                let stood_for = std::mem::take(&mut tally.since) + 1;
                tally.written = now;
                Counted::Write(stood_for)
            }
            Some(tally) => {
                tally.since += 1;
                Counted::Later
            }
        }
    }
}

/// The range an address is logged under: a /24 of IPv4, a /48 of IPv6.
#[must_use]
pub fn range(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() >> 8 << 8).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 80 << 80).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_entry_a_minute_and_none_is_lost() {
        let (strangers, reason) = (Strangers::default(), Reason::IdentityInvalid);
        let at = |last: u8, second| {
            strangers.count(IpAddr::from([10, 0, 0, last]), reason, Duration::from_secs(second))
        };
        assert_eq!(at(1, 0), Counted::Write(1));
        assert_eq!((at(2, 1), at(3, 59)), (Counted::Later, Counted::Later));
        assert_eq!(at(4, 60), Counted::Write(3));
    }

    #[test]
    fn a_flood_from_many_ranges_is_bounded() {
        let strangers = Strangers::default();
        let written = (0..100_000u32)
            .filter(|n| {
                strangers.count(IpAddr::from((n << 8).to_be_bytes()), Reason::IdentityInvalid, Duration::ZERO)
                    != Counted::Later
            })
            .count();
        assert!(written <= MAX_RANGES + 1, "{written}");
    }
}
