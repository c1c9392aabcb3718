//! An operator has an instance forgotten that will not come back.

use serde_json::json;
use shortbread_protocol::admin::InstanceState;
use shortbread_protocol::event::{Decision, EventType};
use shortbread_protocol::names::OperatorName;
use thiserror::Error;

use crate::broker::Broker;
use crate::instances::Now;
use crate::store::StoreError;

/// Why an instance is not forgotten.
#[derive(Debug, Error)]
pub enum ForgetError {
    /// There is none.
    #[error("no instance has this id; `shortbread revocations status` lists them")]
    Unknown,
    /// It lives.
    #[error("this instance reports; to shut it out, take its verifier's identity out of the policy")]
    Lives,
    /// The store failed; nothing changed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Forgets an instance that is silent or gone, so that nobody waits for it any more. Should it come back it takes a new
/// lease.
///
/// # Errors
/// When there is none, it lives, or the store fails.
pub async fn forget(
    broker: &Broker,
    instance: &str,
    operator: &OperatorName,
    decision: &Decision,
) -> Result<(), ForgetError> {
    let (lease, state) =
        broker.instances.find(instance, Now::of(&*broker.clock)).ok_or(ForgetError::Unknown)?;
    if !matches!(state, InstanceState::Silent | InstanceState::Gone) {
        return Err(ForgetError::Lives);
    }
    let data = json!({
        "outcome": "done", "operator": operator, "verifier": lease.verifier, "instance": instance,
        "label": lease.label, "state": state.as_str(), "stage": "record", "error_class": null,
    });
    let subject = format!("operator/{operator}");
    let audit = broker.scribe.entry(EventType::VerifierForgotten, decision, subject, data);
    broker.store.forget_instances(vec![instance.to_owned()], Some(audit)).await?;
    broker.instances.forget(instance);
    Ok(())
}
