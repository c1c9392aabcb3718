//! Labelled cases held against what a policy makes of them.

use std::collections::BTreeSet;

use serde::Serialize;

use super::decide::{Decided, decide};
use super::{Case, Label, Outcome};
use crate::policy::Policy;

/// How a labelled case came out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// The case.
    pub id: String,
    /// Whether everything is as its label says.
    pub passed: bool,
    /// The outcome that its label asks for.
    pub expected: Outcome,
    /// The outcome under the policy.
    pub got: Outcome,
    /// What is not as the label says; empty when it passed.
    pub differs: Vec<Difference>,
    /// The verbs that are granted, as `github/issues.write`.
    pub granted: Vec<String>,
    /// The grants that were used, such as `grant:3`.
    pub grants: Vec<String>,
    /// The reason code of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// The sentence of a refusal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// What went wrong in the incident that the case comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mechanism: Option<&'static str>,
    /// Why it was labelled so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// One thing that is not as a label says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// `outcome`, `granted` or `reason`.
    pub what: &'static str,
    /// As the label has it.
    pub expected: String,
    /// As the policy has it.
    pub got: String,
}

/// Decides a labelled case and compares; `None` where it has no label.
#[must_use]
pub fn check(policy: &Policy, case: &Case) -> Option<Checked> {
    let label = case.label.as_ref()?;
    Some(compare(&case.id, label, &decide(policy, case)))
}

/// Compares what was decided of a case with its label.
#[must_use]
pub fn compare(id: &str, label: &Label, decided: &Decided) -> Checked {
    let granted: Vec<String> = decided.granted.iter().map(ToString::to_string).collect();
    let reason = decided.reason.map(|reason| reason.code());
    let differs = differences(label, decided.outcome, &granted, reason);
    Checked {
        id: id.to_owned(),
        passed: differs.is_empty(),
        expected: label.expect,
        got: decided.outcome,
        differs,
        granted,
        grants: decided.grants.clone(),
        reason,
        detail: decided.detail.clone(),
        mechanism: label.mechanism.map(super::Mechanism::as_str),
        note: label.note.clone(),
    }
}

fn differences(label: &Label, got: Outcome, granted: &[String], reason: Option<&str>) -> Vec<Difference> {
    let mut differs = Vec::new();
    let mut note = |what, expected: &str, got: &str| {
        if expected != got {
            differs.push(Difference { what, expected: expected.to_owned(), got: got.to_owned() });
        }
    };
    note("outcome", label.expect.as_str(), got.as_str());
    if let Some(wanted) = &label.granted {
        note("granted", &listed(wanted), &listed(granted));
    }
    if let Some(wanted) = &label.reason {
        note("reason", wanted, reason.unwrap_or("none"));
    }
    differs
}

// In one order, each once.
fn listed(verbs: &[String]) -> String {
    let verbs: BTreeSet<&str> = verbs.iter().map(String::as_str).collect();
    if verbs.is_empty() { "nothing".to_owned() } else { verbs.into_iter().collect::<Vec<_>>().join(", ") }
}
