//! What waits for the webhook: bounded, and what matters least goes first when there is no room.

use std::collections::BTreeMap;
use std::time::Duration;

use shortbread_protocol::admin::WhyDropped;
use shortbread_protocol::clock::Timestamp;

use crate::store::{DROPPED_NOTICES, DroppedNotice, SettleNotices, WaitingNotice};

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
    dropped: Vec<DroppedNotice>,
}

#[derive(Debug)]
struct Item {
    notice: WaitingNotice,
    attempts: u32,
    due: Duration,
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

    /// Gives up everything, and says how many there were.
    pub(super) fn clear(&mut self, now: Timestamp) -> usize {
        let ids: Vec<String> = self.waiting.keys().cloned().collect();
        self.give_up_all(&ids, WhyDropped::Gone, now)
    }

    /// Keeps what is not sent, to be written down.
    pub(super) fn give_up(&mut self, notice: WaitingNotice, why: WhyDropped, now: Timestamp) {
        let WaitingNotice { id, kind, at, body, .. } = notice;
        self.dropped.push(DroppedNotice { id, kind, at, dropped: now, why, body });
        self.forget_oldest();
    }

    fn give_up_all(&mut self, ids: &[String], why: WhyDropped, now: Timestamp) -> usize {
        let given_up: Vec<_> = ids.iter().filter_map(|id| self.remove(id)).collect();
        let count = given_up.len();
        given_up.into_iter().for_each(|notice| self.give_up(notice, why, now));
        count
    }

    // A store that takes nothing must not fill the memory.
    fn forget_oldest(&mut self) {
        let more = self.dropped.len().saturating_sub(DROPPED_NOTICES);
        self.dropped.drain(..more);
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

    /// Gives up those that are too old to be of use, and says how many there were.
    pub(super) fn expire(&mut self, now: Timestamp) -> usize {
        let old = self.waiting.values().filter(|item| now.since(item.notice.at) > MAX_AGE);
        let ids: Vec<String> = old.map(|item| item.notice.id.clone()).collect();
        self.give_up_all(&ids, WhyDropped::TooOld, now)
    }

    /// What the store does not know yet.
    pub(super) fn unsaved(&mut self) -> SettleNotices {
        let added = std::mem::take(&mut self.added);
        let added = added.iter().filter_map(|id| self.waiting.get(id)).map(|item| item.notice.clone());
        let (gone, dropped) = (std::mem::take(&mut self.gone), std::mem::take(&mut self.dropped));
        SettleNotices { added: added.collect(), gone, dropped }
    }

    /// The store did not take it.
    pub(super) fn not_saved(&mut self, unsaved: SettleNotices) {
        let SettleNotices { added, gone, mut dropped } = unsaved;
        self.added
            .extend(added.into_iter().map(|notice| notice.id).filter(|id| self.waiting.contains_key(id)));
        // What the store may have after all is forgotten there; ids that it never had do no harm.
        self.gone.extend(gone);
        dropped.append(&mut self.dropped);
        self.dropped = dropped;
        self.forget_oldest();
    }

    /// Whether there is nothing to send and nothing to write down.
    pub(super) fn is_idle(&self) -> bool {
        let written = self.added.is_empty() && self.gone.is_empty() && self.dropped.is_empty();
        self.waiting.is_empty() && written
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
        assert_eq!(outbox.unsaved(), SettleNotices::default());
        outbox.not_saved(unsaved);
        assert_eq!(outbox.unsaved().added.len(), 1);
        assert!(!outbox.is_idle());
        outbox.remove("ntc_00000001");
        assert_eq!(outbox.unsaved().gone, ["ntc_00000001"]);
        outbox.push(notice(2, 1));
        outbox.remove("ntc_00000002");
        assert_eq!(outbox.unsaved(), SettleNotices::default(), "what came and went is written nowhere");
        assert!(outbox.is_idle());
    }

    #[test]
    fn what_is_given_up_is_kept_to_be_written_down_the_newest_of_it() {
        let (mut outbox, now) = (Outbox::default(), Timestamp::from_seconds(4 * 24 * 3600));
        outbox.push(notice(1, 3));
        assert_eq!(outbox.expire(now), 1);
        outbox.push(notice(2, 3));
        assert_eq!(outbox.clear(now), 1);
        let unsaved = outbox.unsaved();
        let why: Vec<_> = unsaved.dropped.iter().map(|dropped| (&*dropped.id, dropped.why)).collect();
        assert_eq!(why, [("ntc_00000001", WhyDropped::TooOld), ("ntc_00000002", WhyDropped::Gone)]);
        outbox.give_up(notice(3, 1), WhyDropped::NoRoom, now);
        outbox.not_saved(unsaved);
        let ids: Vec<_> = outbox.dropped.iter().map(|dropped| &*dropped.id).collect();
        assert_eq!(ids, ["ntc_00000001", "ntc_00000002", "ntc_00000003"]);
        (0..2 * DROPPED_NOTICES).for_each(|n| outbox.give_up(notice(n, 1), WhyDropped::NoRoom, now));
        assert_eq!(outbox.unsaved().dropped.len(), DROPPED_NOTICES);
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
