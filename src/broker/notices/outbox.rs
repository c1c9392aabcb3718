//! What waits for the webhook: bounded, and what matters least goes first when there is no room.

use std::collections::BTreeMap;
use std::time::Duration;

use shortbread_protocol::clock::Timestamp;

use crate::store::WaitingNotice;

/// How many notices wait at most.
pub(super) const MAX_WAITING: usize = 1000;

/// How long a notice is worth sending.
pub(super) const MAX_AGE: Duration = Duration::from_secs(3 * 24 * 3600);

/// The first pause after a failure; it doubles with each, up to the longest.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// The longest pause that a receiver may ask for.
const LONGEST_WISH: Duration = Duration::from_secs(3600);

/// Notices that wait, by id and so by age, and what the store does not know of them yet.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: BTreeMap<String, Item>,
    added: Vec<String>,
    gone: Vec<String>,
}

#[derive(Debug)]
struct Item {
    notice: WaitingNotice,
    attempts: u32,
    due: Duration,
}

/// What is to be written down.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Unsaved {
    pub(super) added: Vec<WaitingNotice>,
    pub(super) gone: Vec<String>,
}

impl Unsaved {
    pub(super) fn is_empty(&self) -> bool {
        self.added.is_empty() && self.gone.is_empty()
    }
}

impl Outbox {
    /// Takes a notice in. Gives the one that had to go for it, which may be the new one.
    pub(super) fn push(&mut self, notice: WaitingNotice) -> Option<WaitingNotice> {
        self.added.push(notice.id.clone());
        self.insert(notice)
    }

    /// Takes in one that the store has.
    pub(super) fn load(&mut self, notice: WaitingNotice) -> Option<WaitingNotice> {
        self.insert(notice)
    }

    fn insert(&mut self, notice: WaitingNotice) -> Option<WaitingNotice> {
        let item = Item { notice, attempts: 0, due: Duration::ZERO };
        self.waiting.insert(item.notice.id.clone(), item);
        if self.waiting.len() <= MAX_WAITING {
            return None;
        }
        let least = self.waiting.values().map(|item| (item.notice.weight, &item.notice.id)).min();
        let id = least.map(|(_, id)| id.clone())?;
        self.remove(&id)
    }

    /// Forgets one.
    pub(super) fn remove(&mut self, id: &str) -> Option<WaitingNotice> {
        let item = self.waiting.remove(id)?;
        match self.added.iter().position(|added| added == id) {
            Some(place) => drop(self.added.swap_remove(place)),
            None => self.gone.push(id.to_owned()),
        }
        Some(item.notice)
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) -> usize {
        let ids: Vec<String> = self.waiting.keys().cloned().collect();
        ids.iter().filter_map(|id| self.remove(id)).count()
    }

    /// The one to send now: what matters most, the oldest of that first.
    pub(super) fn due(&self, now: Duration) -> Option<WaitingNotice> {
        let due = self.waiting.values().filter(|item| item.due <= now);
        // Of equals `max_by_key` gives the last.
        due.rev().max_by_key(|item| item.notice.weight).map(|item| item.notice.clone())
    }

    /// One was sent in vain. `share` is the part of the pause, in thousandths, that chance leaves of its second half.
    pub(super) fn postpone(&mut self, id: &str, now: Duration, wish: Option<Duration>, share: u16) {
        let Some(item) = self.waiting.get_mut(id) else { return };
        item.attempts = item.attempts.saturating_add(1);
        let pause = pause(item.attempts, share).max(wish.unwrap_or_default().min(LONGEST_WISH));
        item.due = now + pause;
    }

    /// Forgets those that are too old to be of use, and gives how many there were.
    pub(super) fn expire(&mut self, now: Timestamp) -> usize {
        let old = self.waiting.values().filter(|item| now.since(item.notice.at) > MAX_AGE);
        let ids: Vec<String> = old.map(|item| item.notice.id.clone()).collect();
        ids.iter().filter_map(|id| self.remove(id)).count()
    }

    /// What the store does not know yet.
    pub(super) fn unsaved(&mut self) -> Unsaved {
        let added = std::mem::take(&mut self.added);
        let added = added.iter().filter_map(|id| self.waiting.get(id)).map(|item| item.notice.clone());
        Unsaved { added: added.collect(), gone: std::mem::take(&mut self.gone) }
    }

    /// The store did not take it.
    pub(super) fn not_saved(&mut self, unsaved: Unsaved) {
        let Unsaved { added, gone } = unsaved;
        self.added
            .extend(added.into_iter().map(|notice| notice.id).filter(|id| self.waiting.contains_key(id)));
        // What the store may have after all is forgotten there; ids that it never had do no harm.
        self.gone.extend(gone);
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// How long the oldest has waited.
    pub(super) fn age(&self, now: Timestamp) -> Duration {
        self.waiting.values().next().map_or(Duration::ZERO, |item| now.since(item.notice.at))
    }
}

// Half of it for sure, so that a receiver is left alone; the other half by chance, so that many brokers do not come at once.
fn pause(attempts: u32, share: u16) -> Duration {
    let doubled =
        FIRST_PAUSE.saturating_mul(1_u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    let half = doubled.min(LONGEST_PAUSE) / 2;
    half + half * u32::from(share.min(1000)) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn notice(n: usize, weight: u8) -> WaitingNotice {
        WaitingNotice {
            id: format!("ntc_{n:08}"),
            kind: "revocation.set".to_owned(),
            weight,
            at: Timestamp::from_seconds(n as u64),
            body: Vec::new(),
        }
    }

    #[test]
    fn what_matters_least_and_is_oldest_goes_first() {
        let mut outbox = Outbox::default();
        for n in 0..MAX_WAITING {
            assert!(outbox.push(notice(n, if n % 2 == 0 { 3 } else { 1 })).is_none());
        }
        let saved = outbox.unsaved();
        assert_eq!(saved.added.len(), MAX_WAITING);
        assert_eq!(outbox.push(notice(MAX_WAITING, 3)).unwrap().id, "ntc_00000001");
        assert_eq!(outbox.push(notice(MAX_WAITING + 1, 3)).unwrap().id, "ntc_00000003");
        assert_eq!(outbox.len(), MAX_WAITING);
        let unsaved = outbox.unsaved();
        assert_eq!((unsaved.added.len(), unsaved.gone.len()), (2, 2));
        for n in 0..MAX_WAITING {
            outbox.push(notice(10_000 + n, 3));
        }
        let less = outbox.push(notice(90_000, 1)).unwrap();
        assert_eq!(less.id, "ntc_00090000", "what matters less does not push out what matters more");
    }

    #[test]
    fn what_matters_most_is_sent_first_and_of_that_the_oldest() {
        let mut outbox = Outbox::default();
        for (n, weight) in [(1, 2), (2, 3), (3, 3), (4, 1)] {
            outbox.push(notice(n, weight));
        }
        assert_eq!(outbox.due(Duration::ZERO).unwrap().id, "ntc_00000002");
        outbox.postpone("ntc_00000002", Duration::ZERO, None, 0);
        assert_eq!(outbox.due(Duration::ZERO).unwrap().id, "ntc_00000003");
        outbox.remove("ntc_00000003");
        assert_eq!(outbox.due(Duration::ZERO).unwrap().id, "ntc_00000001");
        assert_eq!(outbox.due(Duration::from_secs(1)).unwrap().id, "ntc_00000002");
    }

    #[test]
    fn a_receiver_is_obeyed_within_bounds() {
        let mut outbox = Outbox::default();
        outbox.push(notice(1, 1));
        outbox.postpone("ntc_00000001", Duration::ZERO, Some(Duration::from_secs(120)), 0);
        assert!(
            outbox.due(Duration::from_secs(119)).is_none() && outbox.due(Duration::from_secs(120)).is_some()
        );
        outbox.postpone("ntc_00000001", Duration::ZERO, Some(Duration::MAX), 0);
        assert!(outbox.due(LONGEST_WISH).is_some(), "nobody puts us off for ever");
    }

    #[test]
    fn what_was_not_saved_is_tried_again() {
        let mut outbox = Outbox::default();
        outbox.push(notice(1, 1));
        let unsaved = outbox.unsaved();
        assert!(outbox.unsaved().is_empty());
        outbox.not_saved(unsaved);
        assert_eq!(outbox.unsaved().added.len(), 1);
        outbox.remove("ntc_00000001");
        assert_eq!(outbox.unsaved().gone, ["ntc_00000001"]);
        outbox.push(notice(2, 1));
        outbox.remove("ntc_00000002");
        assert!(outbox.unsaved().is_empty(), "what came and went is written nowhere");
    }

    proptest! {
        #[test]
        fn pauses_grow_and_stay_bounded(attempts in 1..1000_u32, share in 0..=1000_u16) {
            let pause = pause(attempts, share);
            prop_assert!(pause >= FIRST_PAUSE / 2 && pause <= LONGEST_PAUSE);
            prop_assert!(super::pause(attempts + 1, 0) >= super::pause(attempts, 0));
        }

        #[test]
        fn it_never_holds_more_than_it_may(weights in proptest::collection::vec(1..=3_u8, 0..2500)) {
            let mut outbox = Outbox::default();
            for (n, weight) in weights.iter().enumerate() {
                outbox.push(notice(n, *weight));
                prop_assert!(outbox.len() <= MAX_WAITING);
            }
        }
    }
}
