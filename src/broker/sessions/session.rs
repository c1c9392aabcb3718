//! A session: eight hours at most, found by the hash of its cookie, which is another one every quarter of an hour.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::random::{Random, RandomError, id};

use super::SignIn;
use super::secret::{Secret, hash};

/// The longest life of a session, and of its cookie.
pub const HOLD: Duration = Duration::from_secs(8 * 3600);
/// After how long the cookie is another one.
const ROTATE: Duration = Duration::from_secs(15 * 60);
/// How long the cookie before is still good once the next one was shown: requests that are under way bear it.
const GRACE: Duration = Duration::from_secs(60);
/// How many sessions an operator has at a time; the oldest ends.
const MOST_OF_ONE: usize = 16;

/// Somebody who is signed in.
#[derive(Clone, Debug)]
pub struct Session {
    /// Its id, `ses_…`: no secret, and the same for its whole life.
    pub id: String,
    /// Who, and what that rests on.
    pub who: SignIn,
    /// What forms of this session bear, so that nobody else's are taken.
    pub form: Secret,
    /// When it began.
    pub begun: Timestamp,
    /// When it was used last.
    pub used: Timestamp,
}

impl Session {
    /// When it ends whatever happens.
    #[must_use]
    pub fn ends(&self) -> Timestamp {
        self.begun.plus(HOLD)
    }

    /// Whether somebody showed who they are within this span.
    #[must_use]
    pub fn is_fresh(&self, within: Duration, now: Timestamp) -> bool {
        now < self.who.at.plus(within)
    }
}

/// A session that begins, and the cookie for it.
#[derive(Debug)]
pub struct Begun {
    /// The session.
    pub session: Session,
    /// The cookie's value: told now and never again.
    pub cookie: Secret,
}

#[derive(Debug)]
struct Held {
    session: Session,
    // What the next cookie is made with, so that an answer that was lost can be given again.
    seed: Secret,
    cookie: [u8; 32],
    since: Timestamp,
    next: Option<[u8; 32]>,
    former: Option<([u8; 32], Timestamp)>,
}

/// What a cookie is to a session.
enum Shown {
    Current,
    Next,
    Former,
    /// A former one whose time is over: somebody else has it.
    Stolen,
}

impl Held {
    fn shown(&self, cookie: &[u8; 32], now: Timestamp) -> Option<Shown> {
        match &self.former {
            _ if self.cookie == *cookie => Some(Shown::Current),
            _ if self.next.as_ref() == Some(cookie) => Some(Shown::Next),
            Some((former, until)) if former == cookie => {
                Some(if now < *until { Shown::Former } else { Shown::Stolen })
            }
            _ => None,
        }
    }

    // It takes the place of the one before when it is shown, not when it is given: an answer may be lost.
    fn promote(&mut self, cookie: [u8; 32], now: Timestamp) {
        self.former = Some((self.cookie, now.plus(GRACE)));
        (self.cookie, self.since, self.next) = (cookie, now, None);
    }
}

/// All sessions.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<String, Held>>);

impl Sessions {
    /// Begins one. `before` is the session that it takes the place of, if there is one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn begin(
        &self,
        who: SignIn,
        before: Option<&Session>,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<Begun, RandomError> {
        let (cookie, form, seed) = (Secret::new(random)?, Secret::new(random)?, Secret::new(random)?);
        let session = Session { id: id("ses_", now, random)?, who, form, begun: now, used: now };
        let mut held = self.locked();
        held.retain(|_, held| now < held.session.ends());
        if let Some(before) = before {
            held.remove(&before.id);
        }
        let own = held.values().filter(|held| held.session.who.operator == session.who.operator);
        let mut own: Vec<_> = own.map(|held| (held.session.used, held.session.id.clone())).collect();
        own.sort_unstable();
        for (_, id) in own.iter().take((own.len() + 1).saturating_sub(MOST_OF_ONE)) {
            held.remove(id);
        }
        let cookie_hash = cookie.hash();
        let new = Held {
            session: session.clone(),
            seed,
            cookie: cookie_hash,
            since: now,
            next: None,
            former: None,
        };
        held.insert(session.id.clone(), new);
        Ok(Begun { session, cookie })
    }

    /// The session of a cookie, with another cookie where it is time for one. A cookie that another one took the place of
    /// ends the session when it comes again: two have it.
    #[must_use]
    pub fn find(&self, cookie: &str, now: Timestamp) -> Option<(Session, Option<Secret>)> {
        let hash = hash(cookie);
        let mut all = self.locked();
        let (id, shown) = all.iter().find_map(|(id, held)| Some((id.clone(), held.shown(&hash, now)?)))?;
        if matches!(shown, Shown::Stolen) {
            all.remove(&id);
            return None;
        }
        let held = all.get_mut(&id).filter(|held| now < held.session.ends())?;
        held.session.used = now;
        if matches!(shown, Shown::Next) {
            held.promote(hash, now);
        }
        let due = matches!(shown, Shown::Current) && held.since.plus(ROTATE) <= now;
        let next = due.then(|| held.seed.derive(cookie));
        if let Some(next) = &next {
            held.next = Some(next.hash());
        }
        Some((held.session.clone(), next))
    }

    /// Ends a session by its id; `None` where there is none.
    #[must_use]
    pub fn end(&self, id: &str) -> Option<Session> {
        self.locked().remove(id).map(|held| held.session)
    }

    /// Every session that has not ended, the one that was used last first.
    #[must_use]
    pub fn all(&self, now: Timestamp) -> Vec<Session> {
        let held = self.locked();
        let living = held.values().filter(|held| now < held.session.ends());
        let mut all: Vec<_> = living.map(|held| held.session.clone()).collect();
        all.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.id.cmp(&b.id)));
        all
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Means;
    use super::*;
    use shortbread_protocol::random::SeededRandom;

    pub(in crate::sessions) fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    pub(in crate::sessions) fn alice(second: u64) -> SignIn {
        SignIn {
            operator: "alice".parse().unwrap(),
            means: Means::Link,
            at: at(second),
            token: None,
            holder: None,
            key: None,
            proofs: Vec::new(),
            marks: Vec::new(),
        }
    }

    struct World(Sessions, SeededRandom);

    impl World {
        fn begin(&self, second: u64) -> Begun {
            self.0.begin(alice(second), None, at(second), &self.1).unwrap()
        }

        fn find(&self, cookie: &Secret, second: u64) -> Option<(Session, Option<Secret>)> {
            self.0.find(cookie.reveal(), at(second))
        }
    }

    fn world() -> World {
        World(Sessions::default(), SeededRandom::new(7))
    }

    #[test]
    fn a_session_lives_eight_hours_whatever_is_done_in_it() {
        let world = world();
        let Begun { session, mut cookie } = world.begin(1000);
        for second in (1000..1000 + HOLD.as_secs()).step_by(600) {
            let (found, next) = world.find(&cookie, second).unwrap();
            assert_eq!((found.id.as_str(), &found.form), (session.id.as_str(), &session.form));
            cookie = next.unwrap_or(cookie);
        }
        assert!(world.find(&cookie, 1000 + HOLD.as_secs()).is_none());
        assert!(world.0.all(at(1000 + HOLD.as_secs())).is_empty());
    }

    #[test]
    fn the_cookie_is_another_one_after_a_while_and_the_former_ends() {
        let world = world();
        let Begun { cookie, .. } = world.begin(1000);
        assert!(world.find(&cookie, 1000 + 899).unwrap().1.is_none());
        let next = world.find(&cookie, 1000 + 900).unwrap().1.unwrap();
        assert_ne!(next.reveal(), cookie.reveal());
        let again = world.find(&cookie, 1000 + 2000).unwrap().1.unwrap();
        assert!(again == next, "an answer that was lost is given again");
        assert!(world.find(&next, 1000 + 2001).unwrap().1.is_none());
        assert!(world.find(&cookie, 1000 + 2060).unwrap().1.is_none(), "those under way are let in");
        assert!(world.find(&next, 1000 + 2061).is_some());
    }

    #[test]
    fn a_cookie_that_comes_after_its_time_ends_the_session() {
        let world = world();
        let Begun { cookie, .. } = world.begin(1000);
        let next = world.find(&cookie, 1900).unwrap().1.unwrap();
        assert!(world.find(&next, 1901).is_some());
        assert!(world.find(&cookie, 1961).is_none(), "two have it");
        assert!(world.find(&next, 1962).is_none());
    }

    #[test]
    fn signing_in_again_takes_the_place_of_the_session_before() {
        let world = world();
        let before = world.begin(1000);
        let again = world.0.begin(alice(2000), Some(&before.session), at(2000), &world.1).unwrap();
        assert!(world.find(&before.cookie, 2000).is_none());
        assert_ne!(before.session.form, again.session.form);
        assert!(again.session.is_fresh(Duration::from_secs(900), at(2899)));
        assert!(!again.session.is_fresh(Duration::from_secs(900), at(2900)));
    }

    #[test]
    fn sessions_end_when_told_and_do_not_pile_up() {
        let world = world();
        let first = world.begin(1000);
        assert!(world.0.end(&first.session.id).is_some() && world.0.end(&first.session.id).is_none());
        assert!(world.find(&first.cookie, 1000).is_none());
        let many: Vec<_> = (0..20).map(|n| world.begin(1000 + n)).collect();
        assert_eq!(world.0.all(at(1100)).len(), 16);
        assert!(world.find(&many[0].cookie, 1100).is_none() && world.find(&many[19].cookie, 1100).is_some());
    }
}
