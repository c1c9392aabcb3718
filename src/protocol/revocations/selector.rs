//! What a revocation can point at.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::access::Access;
use crate::names::{Intent, KeyName, Operation, OperatorName, Task, ToolName, WorkflowName};

macro_rules! kinds {
    ($($variant:ident = $word:literal, $code:literal, $revoked:literal, $doc:literal;)*) => {
        /// The kinds of selector that stand in a revocation list.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        pub enum SelectorKind {
            $(#[doc = $doc] $variant,)*
        }

        impl SelectorKind {
            /// All kinds, in the order of their definition.
            pub const ALL: [Self; [$($word),*].len()] = [$(Self::$variant),*];

            /// The word of this kind in facts and lists.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            pub(crate) const fn reason_code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            pub(crate) const fn reason_meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!("An operator revoked ", $revoked, "."),)* }
            }
        }
    };
}

kinds! {
    Issuer = "issuer", "revoked.issuer", "everything that this broker issued", "Everything that a broker issued.";
    Key = "key", "revoked.key", "the key that signed this token", "Everything that a signing key signed.";
    Workflow = "workflow", "revoked.workflow", "the workflow", "Every token of a workflow.";
    Operator = "operator", "revoked.operator", "the operator whose token this is", "Every token of an operator.";
    User = "user", "revoked.user", "the user that this token acts for", "Every token that acts for a user.";
    Intent = "intent", "revoked.intent", "the declared intent", "Every token with a declared intent.";
    Task = "task", "revoked.task", "the task", "Every token of a task.";
    Token = "token", "revoked.token", "this token, or the one that it was narrowed from, or its holder gave it back", "One token and all its narrowed copies.";
    Approval = "approval", "revoked.approval", "the approval that this token came from", "What one approval allowed.";
    Tool = "tool", "revoked.tool", "the tool", "Every call of a tool.";
    Verb = "verb", "revoked.verb", "the verb", "Every call of a verb, given as `tool/verb`.";
    Access = "access", "revoked.access", "this kind of access", "Every call of a kind of access, for all tools or as `tool/access` for one.";
    Holder = "holder", "revoked.holder", "the key that this token is bound to", "Every token bound to a key, given by its RFC 7638 thumbprint.";
}

impl fmt::Display for SelectorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A selector that cannot be: the value does not fit its kind.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum SelectorError {
    /// No such kind.
    #[error(
        "{0:?} is no kind of selector; use one of issuer, key, workflow, operator, user, intent, task, token, approval, tool, verb, access, holder"
    )]
    Kind(String),
    /// The value breaks the rule of the kind.
    #[error("the {kind} to revoke is not valid: {cause}")]
    Value {
        /// The kind asked for.
        kind: SelectorKind,
        /// What is wrong with the value.
        cause: String,
    },
}

impl FromStr for SelectorKind {
    type Err = SelectorError;

    fn from_str(text: &str) -> Result<Self, SelectorError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| SelectorError::Kind(text.chars().take(32).collect()))
    }
}

/// A kind and a value that fits it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Selector {
    kind: SelectorKind,
    value: String,
}

impl Selector {
    /// Checks the value against the rule of its kind: names by their types, a verb as `tool/verb`, access as
    /// `write` or `payments/write`, anything else as 1 to 256 printable characters without spaces.
    ///
    /// # Errors
    /// When the value does not fit.
    pub fn new(kind: SelectorKind, value: &str) -> Result<Self, SelectorError> {
        let checked = match kind {
            SelectorKind::Key => value.parse::<KeyName>().map(drop).map_err(|e| e.to_string()),
            SelectorKind::Workflow => value.parse::<WorkflowName>().map(drop).map_err(|e| e.to_string()),
            SelectorKind::Operator => value.parse::<OperatorName>().map(drop).map_err(|e| e.to_string()),
            SelectorKind::Intent => value.parse::<Intent>().map(drop).map_err(|e| e.to_string()),
            SelectorKind::Task => value.parse::<Task>().map(drop).map_err(|e| e.to_string()),
            SelectorKind::Tool => value.parse::<ToolName>().map(drop).map_err(|e| e.to_string()),
            SelectorKind::Verb => value.parse::<Operation>().map(drop).map_err(|e| e.to_string()),
            SelectorKind::Access => check_access(value),
            SelectorKind::Issuer
            | SelectorKind::User
            | SelectorKind::Token
            | SelectorKind::Approval
            | SelectorKind::Holder => check_plain(value),
        };
        match checked {
            Ok(()) => Ok(Self { kind, value: value.to_owned() }),
            Err(cause) => Err(SelectorError::Value { kind, cause }),
        }
    }

    /// The kind.
    #[must_use]
    pub const fn kind(&self) -> SelectorKind {
        self.kind
    }

    /// The value, as it stands in facts and lists.
    #[must_use]
    pub fn value(&self) -> &str {
        &self.value
    }
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, self.value)
    }
}

fn check_access(value: &str) -> Result<(), String> {
    let (tool, access) = match value.split_once('/') {
        Some((tool, access)) => (Some(tool), access),
        None => (None, value),
    };
    tool.map_or(Ok(()), |tool| tool.parse::<ToolName>().map(drop).map_err(|e| e.to_string()))?;
    access.parse::<Access>().map(drop).map_err(str::to_owned)
}

fn check_plain(value: &str) -> Result<(), String> {
    let sound = (1..=256).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_graphic());
    if sound { Ok(()) } else { Err("use 1 to 256 printable ASCII characters without spaces".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_fit_their_kind() {
        assert!(Selector::new(SelectorKind::Access, "payments/write").is_ok());
        assert!(Selector::new(SelectorKind::Access, "write").is_ok());
        assert!(Selector::new(SelectorKind::Access, "payments/everything").is_err());
        assert!(Selector::new(SelectorKind::Verb, "issues.write").is_err());
        assert!(Selector::new(SelectorKind::User, "a\nb").is_err());
        assert!("workflows".parse::<SelectorKind>().is_err());
    }
}
