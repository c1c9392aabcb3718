//! The key document in force: taken from the file when the broker starts, put in force by operators while it runs.
//!
//! Order: signature, succession and private halves are checked; the document is stored with its audit entry, in one
//! transaction; from then on the broker works with it; then a head names it. A crash in between leaves a document that is
//! stored, and the next start goes on with it.

use std::sync::Arc;

use serde_json::json;
use shortbread_protocol::admin::{KeyBody, KeysAnswer};
use shortbread_protocol::event::{Decision, EventType};
use shortbread_protocol::key_document::{Difference, DocumentKey, KeyDocument};
use shortbread_protocol::names::OperatorName;
use thiserror::Error;

use crate::audit::Scribe;
use crate::broker::Broker;
use crate::keyring::{AdoptError, InForce, KeyState, Turn};
use crate::notices::Notice;
use crate::publish::PublishError;
use crate::store::{AuditEntry, KeyError, KeyRecord};

/// Why a key document was not activated.
#[derive(Debug, Error)]
pub enum RotationError {
    /// It must not be, or cannot be, put in force.
    #[error(transparent)]
    Refused(#[from] AdoptError),
    /// The store says no.
    #[error(transparent)]
    Store(#[from] KeyError),
    /// It is in force; its head is late.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The check broke off.
    #[error("the key files could not be read to their end")]
    BrokeOff,
}

/// Puts a signed key document in force for an operator. When this returns, the head that is served names it.
///
/// # Errors
/// When the document must not follow the one in force, or a key file or the store fails; nothing changes then, unless only
/// the head is late.
pub async fn activate(
    broker: &Broker,
    signed: &str,
    operator: &OperatorName,
    decision: &Decision,
) -> Result<KeysAnswer, RotationError> {
    let _turn = broker.keyring.turn.lock().await;
    let (keyring, bytes) = (Arc::clone(&broker.keyring), signed.as_bytes().to_vec());
    // Encrypted files take a while, and the runtime's threads are for requests.
    let prepared = tokio::task::spawn_blocking(move || keyring.prepare(&bytes));
    let next = prepared.await.map_err(|_| RotationError::BrokeOff)??;
    let before = broker.keyring.current();
    let by = operator.to_string();
    let audit = audited(&broker.scribe, decision, &by, &next, Some(&before.document));
    let record =
        KeyRecord { version: next.document.version, signed: next.signed.to_vec(), by, at: decision.at };
    broker.store.publish_keys(record, audit).await?;
    tracing::info!(keys.version = next.document.version, operator = %operator, "a key document is in force");
    broker.notices.tell(&Notice::KeysActivated { version: next.document.version });
    broker.keyring.adopt(next);
    broker.publish().await?;
    Ok(describe(broker))
}

/// The key document in force, and what each of its keys does.
#[must_use]
pub fn describe(broker: &Broker) -> KeysAnswer {
    let current = broker.keyring.current();
    let states = broker.keyring.states(&broker.store.mirror());
    KeysAnswer {
        version: current.document.version,
        issuer: current.document.issuer.clone(),
        break_glass: current.document.break_glass,
        keys: states.iter().map(body).collect(),
    }
}

fn body(state: &KeyState) -> KeyBody {
    let (word, behind, latest) = match state.turn {
        None => ("no private half here", None, None),
        Some(Turn::Signs) => ("signs", None, None),
        Some(Turn::Waits { behind, latest }) => ("waits", Some(behind as u64), Some(latest)),
        Some(Turn::Retired) => ("retired", None, None),
        Some(Turn::Early) => ("early", None, None),
        Some(Turn::Over) => ("over", None, None),
        Some(Turn::Revoked) => ("revoked", None, None),
    };
    let DocumentKey { purpose, name, key, not_before, not_after } = &state.listed;
    KeyBody {
        purpose: purpose.as_str().to_owned(),
        name: name.to_string(),
        state: word.to_owned(),
        behind,
        latest,
        not_before: *not_before,
        not_after: *not_after,
        thumbprint: key.thumbprint(),
    }
}

/// The audit entry of a document that comes into force.
pub(crate) fn audited(
    scribe: &Scribe,
    decision: &Decision,
    by: &str,
    next: &InForce,
    before: Option<&KeyDocument>,
) -> AuditEntry {
    let changes: Vec<String> = before
        .map(|before| next.document.differences(before))
        .unwrap_or_default()
        .iter()
        .map(words)
        .collect();
    let data = json!({
        "outcome": "done", "operator": by, "version": next.document.version, "before": before.map(|it| it.version),
        "sha256": hex::encode(next.hash), "changes": changes, "stage": "record", "error_class": null,
    });
    scribe.entry(EventType::KeyRotated, decision, format!("operator/{by}"), data)
}

fn words(difference: &Difference) -> String {
    let key = |key: &DocumentKey| format!("{} {}", key.purpose.as_str(), key.name);
    match difference {
        Difference::Added(added) => format!("added {}", key(added)),
        Difference::Dropped(dropped) => format!("dropped {}", key(dropped)),
        Difference::Validity { is, .. } => {
            format!("{} is good from {} to {}", key(is), is.not_before, is.not_after)
        }
        Difference::BreakGlass { is, .. } => format!("break-glass heads are good from {is} on"),
    }
}
