//! Workflows: who proves to be whom, what they are granted, what stops them, and how much of it lives.

pub(in crate::console) mod detail;
pub(in crate::console) mod list;
mod used;

use axum::http::StatusCode;
use shortbread_protocol::admin::{LivingBody, WorkflowBody};
use shortbread_protocol::reason::Reason;

use crate::console::trouble::Trouble;
use crate::text::grouped;
use crate::workflows::WorkflowsError;

/// What opens these pages.
const LOOK: &str = "policy.read";

/// How a workflow stands: the word that gives the colour, and the words.
fn standing(body: &WorkflowBody) -> (&'static str, String) {
    if body.stopped.iter().any(|stop| stop.holds) {
        return ("bad", "revoked".to_owned());
    }
    match (body.on_trial, body.stopped.is_empty()) {
        (true, _) => ("warn", format!("version {} on trial", body.policy)),
        (false, true) => ("good", "open".to_owned()),
        (false, false) => ("good", "open, older tokens are dead".to_owned()),
    }
}

/// `1,200 living tokens, 3 revoked ones`.
fn tokens(tokens: &LivingBody) -> String {
    let most = if tokens.exact { "" } else { "at most " };
    let noun = if tokens.living == 1 { "living token" } else { "living tokens" };
    let revoked = match tokens.revoked {
        0 => String::new(),
        revoked => format!(", {} revoked", grouped(revoked)),
    };
    format!("{most}{} {noun}{revoked}", grouped(tokens.living))
}

impl From<WorkflowsError> for Trouble {
    fn from(error: WorkflowsError) -> Self {
        match error {
            WorkflowsError::Unknown => {
                let detail = "the policy in force knows no workflow of this name";
                Self::new(StatusCode::NOT_FOUND, Reason::NotFound, detail)
                    .next("/console/workflows", "All workflows")
            }
            WorkflowsError::Store(error) => error.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_told_in_words() {
        let of = |living, revoked, exact| tokens(&LivingBody { living, revoked, exact });
        assert_eq!(of(1, 0, true), "1 living token");
        assert_eq!(of(1200, 3, true), "1,200 living tokens, 3 revoked");
        assert_eq!(of(90_000, 1, false), "at most 90,000 living tokens, 1 revoked");
    }
}
