//! What calls usually came to, from the audit log of the day before a version came in: at its activation, and again when the
//! broker starts.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::event::EventType;

use super::calls::Called;
use super::count::Counts;
use crate::activation::OnTrial;
use crate::policy::{MAX_TTL, Policy};
use crate::store::{Store, StoreError, StoredEntry};

/// How far back calls are looked for.
const SPAN: Duration = Duration::from_secs(86_400);
/// How many calls are counted, the newest; whatever else stands between them takes nobody's place.
const MAX_CALLS: u64 = 50_000;
/// How many entries are read at once.
const PAGE: usize = 512;
/// How long it may take, for an activation waits for it: half of it on each side of the last checkpoint before the version
/// came in.
const PATIENCE: Duration = Duration::from_secs(10);
/// For how long after that a call with an older token is looked for.
const AFTER: Duration = Duration::from_secs(MAX_TTL.as_secs() + 600);

/// What was counted before, by segment.
#[derive(Debug, Default)]
pub struct Usual {
    pub(super) counts: Counts,
    calls: u64,
    cut: bool,
}

impl Usual {
    /// Counts calls with tokens that were made before this trial began.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(store: &Store, open: &OnTrial, clock: &dyn Clock) -> Result<Self, StoreError> {
        let Some(before) = &open.before else { return Ok(Self::default()) };
        let began = open.trial.at;
        let since = began.minus(SPAN);
        let (first, last) = (store.audit_place(since).await?, store.audit_place(began).await?);
        let change = Arc::new((before.clone(), open.policy.clone()));
        let mut usual = Self { counts: Counts::of([before, &open.policy]), ..Self::default() };
        let (mut next, end) = (last, store.audit_size());
        let begun = clock.monotonic();
        while next < end {
            let page = store.audit_tail(next, PAGE).await?;
            let Some(newest) = page.last() else { break };
            next = newest.idx + 1;
            let over = newest.at > began.plus(AFTER);
            let late = clock.monotonic().saturating_sub(begun) > PATIENCE / 2;
            usual = usual.with(page, began, &change).await;
            if over {
                break;
            }
            if late || usual.calls >= MAX_CALLS {
                usual.cut = true;
                break;
            }
        }
        let mut end = last;
        while end > first {
            if clock.monotonic().saturating_sub(begun) > PATIENCE || usual.calls >= MAX_CALLS {
                usual.cut = true;
                break;
            }
            let from = end.saturating_sub(PAGE as u64).max(first);
            let mut page = store.audit_tail(from, PAGE).await?;
            page.retain(|entry| entry.idx < end);
            // What is older was pruned.
            if page.is_empty() {
                break;
            }
            usual = usual.with(page, began, &change).await;
            end = from;
        }
        Ok(usual)
    }

    /// Whether there were more calls than could be counted in time.
    #[must_use]
    pub const fn is_cut(&self) -> bool {
        self.cut
    }

    async fn with(self, page: Vec<StoredEntry>, began: Timestamp, change: &Arc<(Policy, Policy)>) -> Self {
        let change = Arc::clone(change);
        let counted = tokio::task::spawn_blocking(move || {
            let mut usual = self;
            for entry in &page {
                usual.calls += u64::from(add(&mut usual.counts, &entry.body, began, (&change.0, &change.1)));
            }
            usual
        });
        counted.await.unwrap_or_default()
    }
}

fn add(counts: &mut Counts, body: &[u8], began: Timestamp, (before, now): (&Policy, &Policy)) -> bool {
    let Some(call) = call(body) else { return false };
    let seen = call.made().filter(|made| *made < began).and_then(|_| call.seen(before, now));
    seen.is_some_and(|seen| counts.add(&seen).is_some())
}

fn call(body: &[u8]) -> Option<Called> {
    #[derive(Deserialize)]
    struct Entry<'a> {
        #[serde(rename = "type")]
        kind: EventType,
        #[serde(borrow)]
        data: &'a RawValue,
    }
    let entry: Entry<'_> = serde_json::from_slice(body).ok()?;
    let call = (entry.kind == EventType::CallDecision).then(|| serde_json::from_str(entry.data.get()));
    call?.ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use shortbread_protocol::event::{Decision, Event};

    use super::*;

    #[test]
    fn an_entry_of_a_call_is_read_and_no_other() {
        let at = Timestamp::from_seconds(1_795_176_000);
        let decision =
            Decision { id: "dec_1".to_owned(), at, trace: [1; 16], span: [2; 8], parent: None, flags: 1 };
        let entry = |kind| {
            let data = json!({
                "workflow": "demo", "tool": "github", "verb": "issues.read", "access": "read", "reasons": [],
                "token": "tok_019ab0c1d2e3700080000000000000ff", "list_age": 1,
            });
            Event::new(kind, "https://broker.acme.example", &decision, "workflow/demo".to_owned(), data)
                .to_bytes()
        };
        assert!(call(&entry(EventType::CallDecision)).unwrap().made().is_some());
        assert!(call(&entry(EventType::TokenMinted)).is_none());
        assert!(call(b"{").is_none());
    }
}
