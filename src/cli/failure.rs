//! Why a command ends without having done its work, and the exit code of that.

use std::process::ExitCode;

use serde::Serialize;
use shortbread_protocol::admin::Problem;
use shortbread_protocol::oauth::OAuthError;
use shortbread_protocol::random::RandomError;
use shortbread_protocol::reason::Reason;
use thiserror::Error;

use crate::ui::Ui;

/// What a broker said when it refused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Refusal {
    /// What exactly was refused.
    pub(crate) message: String,
    /// The stable reason code.
    pub(crate) reason: String,
    pub(crate) decision_id: String,
    pub(crate) request_id: String,
    /// Whether the same request may pass later.
    pub(crate) retryable: bool,
    /// What waits for a person, or waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) approval_id: Option<String>,
    /// What to do about it here, where the reason's own advice is for somebody else.
    #[serde(skip)]
    pub(crate) advice: Option<String>,
}

impl From<OAuthError> for Refusal {
    fn from(error: OAuthError) -> Self {
        Self {
            message: error.error_description,
            reason: error.shortbread.reason,
            decision_id: error.shortbread.decision_id,
            request_id: error.shortbread.request_id,
            retryable: error.shortbread.retryable,
            approval_id: error.shortbread.approval_id,
            advice: None,
        }
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self {
            message: problem.detail,
            reason: problem.reason,
            decision_id: problem.decision_id,
            request_id: problem.request_id,
            retryable: problem.retryable,
            approval_id: None,
            advice: None,
        }
    }
}

/// How a command fails.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    /// The flags make no sense together; exit code 2.
    #[error("{0}")]
    Usage(String),
    /// Something went wrong; exit code 1.
    #[error("{what}")]
    Failed {
        /// What, and where.
        what: String,
        /// What to do about it.
        fix: String,
    },
    /// The broker refused; exit code 1.
    #[error("refused: {}", .0.message)]
    Refused(Box<Refusal>),
    /// The answer itself says that something is wrong; exit code 1.
    #[error("the answer above says what is wrong")]
    Told,
}

impl Failure {
    /// Something went wrong, and what to do about it.
    pub(crate) fn new(what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self::Failed { what: what.into(), fix: fix.into() }
    }

    /// Wrong usage.
    pub(crate) fn usage(what: impl Into<String>) -> Self {
        Self::Usage(what.into())
    }

    /// 1 or 2.
    pub(crate) fn exit_code(&self) -> ExitCode {
        ExitCode::from(if matches!(self, Self::Usage(_)) { 2 } else { 1 })
    }

    /// Whether the broker refused for this reason.
    pub(crate) fn is_for(&self, code: &str) -> bool {
        matches!(self, Self::Refused(refusal) if refusal.reason == code)
    }

    /// The same with this advice, where the broker refused for this reason.
    pub(crate) fn advise(mut self, code: &str, advice: impl FnOnce() -> String) -> Self {
        if let Self::Refused(refusal) = &mut self
            && refusal.reason == code
        {
            refusal.advice = Some(advice());
        }
        self
    }

    /// The same with one more thing to do, where nothing was refused.
    pub(crate) fn also(self, more: &str) -> Self {
        match self {
            Self::Failed { what, fix } => Self::Failed { what, fix: format!("{fix} {more}") },
            other => other,
        }
    }

    /// What the one who meets it can do.
    pub(crate) fn fix(&self) -> String {
        match self {
            Self::Failed { fix, .. } => fix.clone(),
            Self::Refused(refusal) => refusal.advice.clone().unwrap_or_else(|| {
                Reason::from_code(&refusal.reason)
                    .map_or("Give the decision id to an operator.", Reason::action)
                    .to_owned()
            }),
            Self::Usage(_) | Self::Told => String::new(),
        }
    }

    /// Says it on stderr.
    pub(crate) fn report(&self, ui: &Ui) {
        if matches!(self, Self::Told) {
            return;
        }
        if ui.is_json() {
            return ui.complain_json(&serde_json::json!({ "error": self.body() }));
        }
        let text = self.to_string();
        let mut lines = text.lines();
        ui.complain(lines.next().unwrap_or_default());
        // Set off, so that no line of a broker's words can pass for one of ours.
        lines.for_each(|line| ui.complain_lines(&format!("  | {line}")));
        let mut pairs = Vec::new();
        if let Self::Refused(refusal) = self {
            pairs.push(("reason", refusal.reason.clone()));
            pairs.push(("decision", refusal.decision_id.clone()));
            pairs.extend(refusal.approval_id.clone().map(|id| ("approval", id)));
        }
        match self {
            Self::Usage(_) => pairs.push(("help", "add --help to the command to see its flags".to_owned())),
            // Errors of the broker's own parts say in their message what to do.
            _ => pairs.extend(Some(self.fix()).filter(|fix| !fix.is_empty()).map(|fix| ("what to do", fix))),
        }
        ui.complain_pairs(&pairs);
    }

    fn body(&self) -> serde_json::Value {
        match self {
            Self::Refused(refusal) => {
                let mut body = serde_json::to_value(refusal).unwrap_or_default();
                if let Some(body) = body.as_object_mut() {
                    body.insert("what_to_do".to_owned(), self.fix().into());
                }
                body
            }
            _ => serde_json::json!({ "message": self.to_string(), "what_to_do": self.fix() }),
        }
    }
}

impl From<RandomError> for Failure {
    fn from(error: RandomError) -> Self {
        Self::new(error.to_string(), "Check that the operating system's random source works.")
    }
}
