//! Requests that wait for a person: they begin to wait, their answer is fetched, they are taken back
//! (draft-gerber-oauth-deferred-token-response-00).

mod ask;
mod client;
mod fetch;
mod redeem;

pub(super) use ask::{Asker, ask};
pub(super) use client::marks;
pub(super) use fetch::fetch;
pub use fetch::{LONGEST, cancel};

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::reason::Reason;

use super::refusal::{Refusal, Waiting};
use crate::approval::{Code, CodeKey, Tally, status_uri};
use crate::broker::Broker;
use crate::store::ApprovalRecord;

/// What a client is told of a request that waits.
fn waiting(
    broker: &Broker,
    record: &ApprovalRecord,
    tally: &Tally,
    detail: &str,
    interval: u64,
    now: Timestamp,
) -> Refusal {
    let sla = tally.demands.iter().map(|standing| standing.demand.sla.as_secs()).min();
    let key = CodeKey(&broker.store.meta().hmac_secret);
    Refusal::new(Reason::ApprovalPending, detail).waiting(Waiting {
        approval_id: record.id.clone(),
        code: Some(Code::of(&record.id, &key)),
        expires_in: Some(record.expires.since(now).as_secs()),
        interval: Some(interval),
        sla_seconds: sla,
        approvers: Some(tally.asked().join(", ")),
        status_uri: Some(status_uri(&broker.issuer, &record.id)),
    })
}
