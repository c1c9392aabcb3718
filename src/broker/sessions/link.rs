//! One-time links: good for a minute, and once.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::random::{Random, RandomError};

use super::SignIn;
use super::secret::{Secret, hash};

/// How long a link is good.
const LIFE: Duration = Duration::from_secs(60);
/// How many links of one operator are open at a time; the oldest goes.
const MOST_OF_ONE: usize = 8;

/// The links that are open.
#[derive(Debug, Default)]
pub struct Links(Mutex<HashMap<[u8; 32], (SignIn, Timestamp)>>);

impl Links {
    /// How long a link is good.
    pub const LIFE: Duration = LIFE;

    /// Opens one for whoever signed in with their key.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn open(&self, who: SignIn, now: Timestamp, random: &dyn Random) -> Result<Secret, RandomError> {
        let secret = Secret::new(random)?;
        let mut links = self.locked();
        links.retain(|_, (_, until)| now < *until);
        let own = links.iter().filter(|(_, (other, _))| other.operator == who.operator);
        let mut own: Vec<_> = own.map(|(hash, (_, until))| (*until, *hash)).collect();
        own.sort_unstable();
        for (_, hash) in own.iter().take((own.len() + 1).saturating_sub(MOST_OF_ONE)) {
            links.remove(hash);
        }
        links.insert(secret.hash(), (who, now.plus(LIFE)));
        Ok(secret)
    }

    /// Whom a link signs in; it stays as it is.
    #[must_use]
    pub fn look(&self, shown: &str, now: Timestamp) -> Option<SignIn> {
        let links = self.locked();
        links.get(&hash(shown)).filter(|(_, until)| now < *until).map(|(who, _)| who.clone())
    }

    /// Uses a link up.
    #[must_use]
    pub fn spend(&self, shown: &str, now: Timestamp) -> Option<SignIn> {
        let link = self.locked().remove(&hash(shown));
        link.filter(|(_, until)| now < *until).map(|(who, _)| who)
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<[u8; 32], (SignIn, Timestamp)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::super::session::tests::{alice, at};
    use super::*;
    use shortbread_protocol::random::SeededRandom;

    #[test]
    fn a_link_is_good_once_and_for_a_minute() {
        let (links, random) = (Links::default(), SeededRandom::new(1));
        let link = links.open(alice(100), at(100), &random).unwrap();
        assert_eq!(links.look(link.reveal(), at(101)), Some(alice(100)));
        assert_eq!(links.look("another", at(101)), None);
        assert_eq!(links.spend(link.reveal(), at(102)), Some(alice(100)));
        assert_eq!(links.spend(link.reveal(), at(102)), None);
        let link = links.open(alice(100), at(100), &random).unwrap();
        assert_eq!(links.look(link.reveal(), at(160)), None);
        assert_eq!(links.spend(link.reveal(), at(160)), None);
        assert_eq!(format!("{link:?}"), "Secret");
    }

    #[test]
    fn links_do_not_pile_up() {
        let (links, random) = (Links::default(), SeededRandom::new(1));
        let open = |second| links.open(alice(100), at(second), &random).unwrap();
        let first = open(100);
        let rest: Vec<_> = (101..109).map(open).collect();
        assert_eq!(links.look(first.reveal(), at(109)), None, "the oldest went");
        assert!(rest.iter().all(|link| links.look(link.reveal(), at(109)).is_some()));
    }
}
