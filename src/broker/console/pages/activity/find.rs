//! The newest entries that somebody wants, a page at a time: a bounded number of entries is looked at for each, so that a
//! page is quick however long the log is.

use serde_json::Value;

use crate::broker::Broker;
use crate::store::StoreError;
use crate::story::Filter;

/// How many entries a page has.
pub(super) const WANTED: usize = 50;
/// How many entries are looked at for a page.
const LOOKED: u64 = 2000;
/// How many are read at a time: at first, and when few of them are wanted.
const STEPS: [u64; 2] = [100, 500];

/// A page of entries, the newest first.
pub(super) struct Found {
    pub(super) events: Vec<Value>,
    /// Where the next page begins: before this place.
    pub(super) next: Option<u64>,
    /// Whether it ends because enough were looked at, not because enough were found.
    pub(super) cut: bool,
}

/// Looks before a place, or from the newest on.
///
/// # Errors
/// When the store fails.
pub(super) async fn find(broker: &Broker, filter: &Filter, before: Option<u64>) -> Result<Found, StoreError> {
    let size = broker.store.audit_size();
    let start = before.unwrap_or(size).min(size);
    let (mut events, mut place, mut step) = (Vec::with_capacity(WANTED), start, STEPS[0]);
    while place > 0 && start - place < LOOKED {
        let from = place.saturating_sub(step);
        let limit = usize::try_from(place - from).unwrap_or_default();
        let page = broker.store.audit_tail(from, limit).await?;
        let mut page: Vec<_> = page.into_iter().filter(|entry| entry.idx < place).collect();
        if page.is_empty() {
            // What came earlier was pruned.
            return Ok(Found { events, next: None, cut: false });
        }
        while let Some(entry) = page.pop() {
            place = entry.idx;
            let event: Value = serde_json::from_slice(&entry.body).unwrap_or_default();
            if filter.wants(&event) {
                events.push(event);
            }
            if events.len() == WANTED {
                return Ok(Found { events, next: Some(place).filter(|place| *place > 0), cut: false });
            }
        }
        (place, step) = (from, STEPS[1]);
    }
    Ok(Found { events, next: Some(place).filter(|place| *place > 0), cut: place > 0 })
}
