//! What calls usually came to, from the audit log of the day before a version came in: at its activation, and again when the
//! broker starts.

use std::time::Duration;

use serde::Deserialize;
use serde_json::value::RawValue;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::event::EventType;

use super::calls::Called;
use super::count::Counts;
use crate::activation::OnTrial;
use crate::policy::Policy;
use crate::store::{Store, StoreError, TAIL_LIMIT};

/// How far back calls are looked for.
const SPAN: Duration = Duration::from_secs(86_400);
/// How many entries are read on each side of the last checkpoint before the version came in.
const MAX_ENTRIES: u64 = 50_000;

/// What was counted before, by segment.
#[derive(Debug, Default)]
pub struct Usual(pub(super) Counts);

impl Usual {
    /// Counts calls with tokens that were made before this trial began.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn read(store: &Store, open: &OnTrial) -> Result<Self, StoreError> {
        let Some(before) = &open.before else { return Ok(Self::default()) };
        let began = open.trial.at;
        let since = Timestamp::from_millis(began.millis().saturating_sub(millis(SPAN)));
        let last = store.audit_place(began).await?;
        let mut next = store.audit_place(since).await?.max(last.saturating_sub(MAX_ENTRIES));
        let end = store.audit_size().min(last.saturating_add(MAX_ENTRIES));
        let mut counts = Counts::of([before, &open.policy]);
        while next < end {
            let page = store.audit_tail(next, TAIL_LIMIT).await?;
            let Some(reached) = page.last().map(|entry| entry.idx + 1) else { break };
            let (old, new) = (before.clone(), open.policy.clone());
            let counted = tokio::task::spawn_blocking(move || {
                page.iter().for_each(|entry| add(&mut counts, &entry.body, began, (&old, &new)));
                counts
            });
            let Ok(counted) = counted.await else { return Ok(Self::default()) };
            counts = counted;
            next = reached;
        }
        Ok(Self(counts))
    }
}

fn add(counts: &mut Counts, body: &[u8], began: Timestamp, (before, now): (&Policy, &Policy)) {
    let Some(call) = call(body) else { return };
    if call.made().is_some_and(|made| made < began)
        && let Some(seen) = call.seen(before, now)
    {
        counts.add(&seen);
    }
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

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
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
