//! The sentences of a refusal: the verb, and what would be granted to the one who asked.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};
use shortbread_protocol::names::{ArgName, Intent, Operation};
use shortbread_protocol::normalise::Forms;

use super::super::model::{Grant, Principal};
use super::super::{Policy, bind};
use super::{Demand, Won};

pub(super) fn unknown(policy: &Policy, operation: &Operation) -> String {
    let Operation { tool, verb } = operation;
    if policy.catalogue().tools.contains_key(tool) {
        format!("the tool {tool} has no verb {verb}")
    } else {
        format!("there is no tool {tool}")
    }
}

pub(super) fn unbounded(operation: &Operation, argument: &ArgName) -> String {
    format!("{operation} is under a budget of {argument}: ask with a max for {argument}")
}

pub(super) fn forbidden(operation: &Operation) -> String {
    format!("the policy forbids {operation} to this request, whatever a grant says")
}

pub(super) fn denied(principal: &Principal, operation: &Operation, grants: &[Arc<Grant>]) -> String {
    let verbs: BTreeSet<&str> =
        grants.iter().flat_map(|g| g.verbs.keys()).map(|verb| verb.as_str()).collect();
    let has = if verbs.is_empty() { "nothing".to_owned() } else { listed(verbs) };
    format!("{principal} is not granted {operation}; of {} it is granted {has}", operation.tool)
}

pub(super) fn intent(operation: &Operation, intent: &Intent, grants: &[&Arc<Grant>]) -> String {
    let intents: BTreeSet<&str> =
        grants.iter().flat_map(|g| g.intents.iter().flatten()).map(|intent| intent.as_str()).collect();
    format!("{operation} is granted for the intents {} and not for {intent}", listed(intents))
}

pub(super) fn arguments(
    operation: &Operation,
    grants: &[&Arc<Grant>],
    forms: &Forms,
    claims: &Map<String, Value>,
) -> String {
    let ways: Vec<String> = grants
        .iter()
        .filter_map(|grant| grant.verbs.get(&operation.verb)?.as_ref())
        .map(|limits| match bind::bind(limits, forms, claims) {
            Ok(bound) => format!("with {}", serde_json::to_string(&bound).unwrap_or_default()),
            Err(bind::Unbound { claim, form: Some(form) }) => {
                format!("with the claim {claim}, which of this identity is not of the form {}", form.as_str())
            }
            Err(bind::Unbound { claim, form: None }) => {
                format!("with the claim {claim}, which this identity does not have as a single value")
            }
        })
        .collect();
    format!("{operation} is not granted with the arguments asked for; it is granted {}", ways.join(", or "))
}

pub(super) fn unproved(operation: &Operation, why: &str) -> String {
    format!("{operation} wants a DPoP proof: {why}")
}

pub(super) fn demand(kept: &[Won], demand: &Demand) -> String {
    let needing = kept.iter().find(|won| demand.verbs.contains(&won.right.operation));
    let needing = needing.map(|won| format!("{} is a {} verb and", won.right.operation, won.right.access));
    let needing = needing.unwrap_or_else(|| "the request".to_owned());
    format!("{needing} needs the approval of {} of {}", demand.quorum, demand.approvers)
}

fn listed(names: BTreeSet<&str>) -> String {
    names.into_iter().collect::<Vec<_>>().join(", ")
}
