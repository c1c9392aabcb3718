//! Erasing what decisions about one subject depended on. The entries stay, and with them the proofs of the log.

use serde_json::json;
use sha2::{Digest as _, Sha256};
use shortbread_protocol::admin::{EraseAnswer, EraseBody};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::event::{Decision, EventType};
use shortbread_protocol::names::{OperatorName, WorkflowName};
use thiserror::Error;

use crate::broker::Broker;
use crate::policy::builtin;
use crate::policy::model::Principal;
use crate::store::{Erase, Erased, StoreError};

/// The longest subject of any identity, in bytes.
const MAX_SUBJECT: usize = 2048;

/// Why nothing was erased.
#[derive(Debug, Error)]
pub enum EraseError {
    /// The request says nothing that can be done.
    #[error("{0}")]
    Malformed(String),
    /// The store failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Erases the inputs of one subject, a bounded number at a time: while the answer says that there is more, ask again.
/// Each time stands in the log.
///
/// # Errors
/// When the request is not sound or the store fails.
pub async fn erase(
    broker: &Broker,
    body: &EraseBody,
    operator: &OperatorName,
    decision: &Decision,
) -> Result<EraseAnswer, EraseError> {
    let erase = wanted(body)?;
    let reason = words(&body.reason)?;
    let subject_sha256 = hex::encode(erase.subject);
    let decision_id = decision.id.clone();
    if body.dry_run {
        let inputs = broker.store.erasable(erase).await?;
        return Ok(EraseAnswer { inputs, more: false, traces: false, subject_sha256, decision_id });
    }
    let (scribe, decision, operator) = (broker.scribe.clone(), decision.clone(), operator.clone());
    let (of, seq) = (erase.clone(), broker.store.mirror().changed_seq());
    let audit = move |erased: &Erased| {
        let data = json!({
            "outcome": "done", "operator": operator, "reason": reason, "count": erased.count, "more": erased.more,
            "sub_sha256": hex::encode(of.subject), "of": of.principal,
            "before": of.before.map(|at| at.to_string()), "revocation_seq": seq,
            "segment": builtin::segment(operator.as_str(), builtin::ERASE), "stage": "record", "error_class": null,
        });
        scribe.entry(EventType::AuditErased, &decision, format!("operator/{operator}"), data)
    };
    let Erased { count, more } = broker.store.erase_inputs(erase, audit).await?;
    let traces = broker.store.has_traces();
    Ok(EraseAnswer { inputs: count, more, traces, subject_sha256, decision_id })
}

fn wanted(body: &EraseBody) -> Result<Erase, EraseError> {
    let malformed = |detail: String| Err(EraseError::Malformed(detail));
    if !(1..=MAX_SUBJECT).contains(&body.subject.len()) {
        return malformed("subject is the `sub` of an identity, 1 to 2048 bytes".to_owned());
    }
    let workflow = body.workflow.as_deref().map(str::parse::<WorkflowName>).transpose();
    let workflow = workflow.map_err(|error| EraseError::Malformed(error.to_string()))?;
    Ok(Erase {
        subject: Sha256::digest(&body.subject).into(),
        principal: workflow.map(|name| Principal::Workflow(name).to_string()),
        before: body.before.map(Timestamp::from_seconds),
    })
}

fn words(reason: &str) -> Result<String, EraseError> {
    let reason = reason.trim();
    if reason.is_empty() || reason.chars().count() > 500 {
        let detail = "give a reason of 1 to 500 characters; it stays in the log, so name nobody in it";
        return Err(EraseError::Malformed(detail.to_owned()));
    }
    Ok(reason.to_owned())
}
