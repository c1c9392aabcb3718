//! What is too old, told so that a wrong clock cannot empty the log at once.
//!
//! A broker that runs prunes each tile within minutes of the moment at which it may. So where the oldest is overdue by more
//! than a day, the clock went too far, the broker was away, or `keep` has become shorter, and nobody can tell which: a wrong
//! clock at a start looks like a long rest. Then the log's beginning moves a day's worth an hour, and it is said aloud, so
//! that there is time to set the clock right.

use std::time::Duration;

use shortbread_protocol::clock::Timestamp;

/// How much may be overdue before it is not believed.
pub(super) const DAY: Duration = Duration::from_secs(86_400);
/// How much faster than time the log's beginning moves then.
const PACE: u32 = 24;
/// How often that is said.
const TELL: Duration = Duration::from_secs(3600);

/// How far pruning may go.
#[derive(Debug, Default)]
pub(super) struct Aging(Option<Slow>);

/// What is overdue is pruned slowly.
#[derive(Debug)]
struct Slow {
    horizon: Timestamp,
    at: Duration,
    told: Option<Duration>,
}

impl Aging {
    /// Before when entries may go: those from before `due` are to, the oldest is of `oldest`, and `now` is the time that no
    /// administrator sets.
    pub(super) fn before(&mut self, due: Timestamp, oldest: Option<Timestamp>, now: Duration) -> Timestamp {
        let overdue = oldest.filter(|oldest| due.since(*oldest) > DAY);
        let Some(oldest) = overdue else {
            if self.0.take().is_some() {
                tracing::info!("what is too old is pruned from the audit log as it comes again");
            }
            return due;
        };
        let slow = self.0.get_or_insert(Slow { horizon: oldest.minus(DAY), at: now, told: None });
        slow.horizon = slow.horizon.plus(now.saturating_sub(slow.at).saturating_mul(PACE)).min(due);
        slow.at = now;
        if slow.told.is_none_or(|told| now >= told + TELL) {
            slow.told = Some(now);
            tracing::error!(
                overdue_days = due.since(oldest).as_secs() / DAY.as_secs(), oldest = %oldest,
                "entries of the audit log are overdue by more than a day, by [log] keep and this host's clock: the clock went \
                 too far, the broker was away, or keep has become shorter; a day's worth an hour is pruned. Look at the clock \
                 now: if it is wrong, stop the broker and set it right"
            );
        }
        slow.horizon
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_176_000);

    fn day(n: u64) -> Timestamp {
        Timestamp::from_seconds(NOW.seconds() + n * 86_400)
    }

    fn hours(n: u64) -> Duration {
        Duration::from_secs(n * 3600)
    }

    #[test]
    fn what_is_due_goes_as_it_comes() {
        let mut aging = Aging::default();
        assert_eq!(aging.before(day(3), None, hours(0)), day(3));
        assert_eq!(aging.before(day(3), Some(day(4)), hours(0)), day(3));
        assert_eq!(
            aging.before(day(3), Some(day(2)), hours(0)),
            day(3),
            "a day late is as a night without it"
        );
    }

    #[test]
    fn what_is_overdue_goes_a_day_an_hour_and_never_at_once() {
        let mut aging = Aging::default();
        assert!(aging.before(day(1000), Some(day(10)), hours(5)) < day(10), "nothing at first");
        assert_eq!(aging.before(day(1000), Some(day(10)), hours(6)), day(10));
        // However long the oldest stays, and whatever went meanwhile.
        assert_eq!(aging.before(day(1000), Some(day(11)), hours(7)), day(11));
        assert_eq!(
            aging.before(day(1000), Some(day(40)), hours(17)),
            day(21),
            "a tile of a month waits for its time"
        );
        // The clock was set right.
        assert_eq!(aging.before(day(9), Some(day(40)), hours(18)), day(9));
        assert!(aging.before(day(1000), Some(day(40)), hours(18)) < day(40), "and begins anew");
    }

    #[test]
    fn it_never_goes_further_than_is_due() {
        let mut aging = Aging::default();
        aging.before(day(12), Some(day(10)), hours(0));
        assert_eq!(aging.before(day(12), Some(day(10)), hours(1000)), day(12));
    }
}
