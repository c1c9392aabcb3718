//! Who waits for which answer, in memory: how often a client asks, and whom to wake. A restart forgets it, and then nobody
//! waits too long: clients ask again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

/// How long to leave between two attempts at first (RFC 8628, section 3.2).
pub const INTERVAL: Duration = Duration::from_secs(5);
/// By how much that grows with each attempt that comes too soon (RFC 8628, section 3.5).
const SLOWER: Duration = Duration::from_secs(5);
/// Who asks too often is not slowed down beyond this.
const SLOWEST: Duration = Duration::from_secs(60);
/// The most that are remembered; beyond it those are forgotten that asked longest ago.
const MOST: usize = 65_536;

/// Clients that ask again and again.
#[derive(Debug, Default)]
pub struct Polls(Mutex<HashMap<String, Poll>>);

#[derive(Debug)]
struct Poll {
    begun: Duration,
    interval: Duration,
    wake: Arc<Notify>,
}

/// Asked again too soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooSoon {
    /// How long to leave from now on.
    pub interval: Duration,
}

/// An attempt that may go on.
#[derive(Clone, Debug)]
pub struct Turn {
    /// How long to leave until the next.
    pub interval: Duration,
    /// Woken when something became of the request.
    pub wake: Arc<Notify>,
}

impl Polls {
    /// An attempt that begins now, by the monotonic clock. The time between two is counted from the beginning of one to
    /// that of the next: who waited for an answer may ask again at once.
    ///
    /// # Errors
    /// When the last one began too short a while ago.
    pub fn begin(&self, id: &str, now: Duration) -> Result<Turn, TooSoon> {
        let mut polls = self.polls();
        if polls.len() >= MOST && !polls.contains_key(id) {
            let oldest = polls.iter().min_by_key(|(_, poll)| poll.begun).map(|(id, _)| id.clone());
            oldest.and_then(|oldest| polls.remove(&oldest));
        }
        if let Some(poll) = polls.get_mut(id) {
            let early = now.saturating_sub(poll.begun) < poll.interval;
            if early {
                poll.interval = (poll.interval + SLOWER).min(SLOWEST);
                return Err(TooSoon { interval: poll.interval });
            }
            poll.begun = now;
            return Ok(Turn { interval: poll.interval, wake: Arc::clone(&poll.wake) });
        }
        let wake = Arc::new(Notify::new());
        let poll = Poll { begun: now, interval: INTERVAL, wake: Arc::clone(&wake) };
        polls.insert(id.to_owned(), poll);
        Ok(Turn { interval: INTERVAL, wake })
    }

    /// Something became of a request: whoever waits for it looks again.
    pub fn wake(&self, id: &str) {
        if let Some(poll) = self.polls().get(id) {
            poll.wake.notify_waiters();
        }
    }

    /// A request is closed, and was answered or is over: nobody need be slowed down any more.
    pub fn forget(&self, id: &str) {
        if let Some(poll) = self.polls().remove(id) {
            poll.wake.notify_waiters();
        }
    }

    fn polls(&self) -> MutexGuard<'_, HashMap<String, Poll>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn who_asks_too_soon_is_slowed_down() {
        let polls = Polls::default();
        assert_eq!(polls.begin("a", at(100)).unwrap().interval, at(5));
        assert_eq!(polls.begin("a", at(104)).unwrap_err().interval, at(10));
        assert!(polls.begin("b", at(104)).is_ok(), "another one");
        assert_eq!(polls.begin("a", at(109)).unwrap_err().interval, at(15));
        assert_eq!(polls.begin("a", at(115)).unwrap().interval, at(15));
        for _ in 0..20 {
            let _ = polls.begin("a", at(116));
        }
        assert_eq!(polls.begin("a", at(116)).unwrap_err().interval, SLOWEST);
        polls.forget("a");
        assert_eq!(polls.begin("a", at(117)).unwrap().interval, at(5));
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let polls = Arc::new(Polls::default());
        let turn = polls.begin("a", at(1)).unwrap();
        let woken = turn.wake.notified();
        polls.wake("b");
        polls.wake("a");
        tokio::time::timeout(Duration::from_secs(5), woken).await.unwrap();
    }
}
