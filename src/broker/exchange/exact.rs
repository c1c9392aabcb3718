//! Exact calls: what is asked for is one call with all of its arguments, or a plan of them.

use serde_json::{Map, Value};
use shortbread_protocol::call::Args;
use shortbread_protocol::names::Operation;
use shortbread_protocol::oauth::{AuthorizationDetail, Delegation, ExactCall, MAX_CALLS};

use super::form::malformed;
use super::refusal::Refusal;
use crate::policy::Asked;

/// A call in full.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Exact {
    /// Its place in the request, from 0.
    pub(super) place: u32,
    /// What is called.
    pub(super) operation: Operation,
    /// All of its arguments.
    pub(super) args: Map<String, Value>,
    /// SHA-256 of them in canonical JSON.
    pub(super) args_sha256: [u8; 32],
}

impl Exact {
    /// The verb, asked for with whatever arguments its grants allow: whether they allow these is asked of the token.
    pub(super) fn asked(&self) -> Asked {
        Asked { operation: self.operation.clone(), arguments: None }
    }
}

/// Whether a detail asks for exact calls.
pub(super) const fn is_of(detail: &AuthorizationDetail) -> bool {
    detail.call.is_some() || detail.calls.is_some()
}

/// Whether a detail that asks for exact calls says nothing else.
///
/// # Errors
/// Names what does not go with them.
pub(super) fn check(detail: &AuthorizationDetail, first: &AuthorizationDetail) -> Result<(), Refusal> {
    let verbs: Vec<_> = calls(detail).map(|call| &call.verb).collect();
    let wrong = if detail.call.is_some() && detail.calls.is_some() {
        "say call or calls, not both"
    } else if verbs.is_empty() {
        "calls is empty"
    } else if detail.actions.iter().any(|verb| !verbs.contains(&verb)) {
        "actions names a verb that no call has; leave it out"
    } else if !detail.constraints.is_empty() {
        "constraints do not go with exact calls, whose arguments are given in full"
    } else if detail.delegation.is_some_and(|delegation| delegation != Delegation::None) {
        "the token of an exact call is sealed: leave delegation out, or say none"
    } else if (&detail.intent, &detail.task, &detail.release, detail.ttl)
        != (&first.intent, &first.task, &first.release, first.ttl)
    {
        "intent, task, release and ttl must be equal in all elements"
    } else {
        return Ok(());
    };
    Err(refused(wrong))
}

/// Reads the calls of a detail, behind those of the details before it.
///
/// # Errors
/// When there are too many, or arguments have no hash.
pub(super) fn read(detail: &AuthorizationDetail, all: &mut Vec<Exact>) -> Result<(), Refusal> {
    for call in calls(detail) {
        let place = u32::try_from(all.len()).unwrap_or(u32::MAX);
        if all.len() >= MAX_CALLS {
            return Err(refused("a plan has at most 32 calls; split it"));
        }
        let args = Args::from_members(call.args.clone());
        let args = args.map_err(|error| refused(&format!("call {place}: {error}")))?;
        let unhashed = "the arguments have a number that is no integer within 2^53; write it as text, or in smaller units";
        let args_sha256 = args.digest().ok_or_else(|| refused(&format!("call {place}: {unhashed}")))?;
        let operation = Operation { tool: detail.tool.clone(), verb: call.verb.clone() };
        all.push(Exact { place, operation, args: call.args.clone(), args_sha256 });
    }
    Ok(())
}

fn calls(detail: &AuthorizationDetail) -> impl Iterator<Item = &ExactCall> {
    detail.call.iter().chain(detail.calls.iter().flatten())
}

fn refused(wrong: &str) -> Refusal {
    malformed(format!("authorization_details: {wrong}")).details()
}
