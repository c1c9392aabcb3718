//! Parsed names: once a value has one of these types its spelling is known to be safe everywhere it goes
//! (a fact, a URL, a log line, a file name).

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use thiserror::Error;

use crate::text;

/// A name that breaks the rule of its kind.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{kind} {} is not valid: {rule}", quoted(.value))]
pub struct NameError {
    kind: &'static str,
    rule: &'static str,
    value: String,
}

fn quoted(value: &str) -> String {
    let short: String = value.chars().take(48).collect();
    let more = if value.chars().count() > 48 { "…" } else { "" };
    format!("{short:?}{more}")
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, $kind:literal, 1..=$max:literal, $rule:literal, $first:expr, $rest:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[serde(into = "String")]
        pub struct $type(Arc<str>);

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                text::parsed(from)
            }
        }

        impl $type {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = NameError;

            fn from_str(value: &str) -> Result<Self, NameError> {
                let first: fn(u8) -> bool = $first;
                let rest: fn(u8) -> bool = $rest;
                let bytes = value.as_bytes();
                let sound = bytes.len() <= $max
                    && bytes.first().is_some_and(|b| first(*b))
                    && bytes.iter().all(|b| rest(*b));
                if sound {
                    Ok(Self(value.into()))
                } else {
                    Err(NameError { kind: $kind, rule: $rule, value: value.to_owned() })
                }
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(value: String) -> Result<Self, NameError> {
                value.parse()
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> String {
                name.as_str().to_owned()
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }
    };
}

fn lower(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit()
}

name! {
    /// A tool: the backend a call goes to (an MCP server, an HTTP service).
    ToolName, "tool", 1..=32, "use 1 to 32 lowercase letters, digits and hyphens",
    |b| lower(b) || b == b'-', |b| lower(b) || b == b'-'
}
name! {
    /// A verb of a tool, spelled as MCP spells tool names (SEP-986). Case matters.
    VerbName, "verb", 1..=64, "use 1 to 64 of A-Z a-z 0-9 _ - . /",
    |b| b.is_ascii_alphanumeric() || b"_-./".contains(&b), |b| b.is_ascii_alphanumeric() || b"_-./".contains(&b)
}
name! {
    /// A workflow: the principal that policy speaks of.
    WorkflowName, "workflow", 1..=64, "use 1 to 64 of a-z 0-9 . _ -, starting with a letter or digit",
    lower, |b| lower(b) || b"._-".contains(&b)
}
name! {
    /// A declared purpose; `undeclared` when the request names none.
    Intent, "intent", 1..=64, "use 1 to 64 of a-z 0-9 . _ -, starting with a letter or digit",
    lower, |b| lower(b) || b"._-".contains(&b)
}
name! {
    /// The caller's id for one piece of work.
    Task, "task", 1..=64, "use 1 to 64 of A-Z a-z 0-9 . _ : -, starting with a letter or digit",
    |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || b"._:-".contains(&b)
}
name! {
    /// A person who runs the broker.
    OperatorName, "operator", 1..=64, "use 1 to 64 of a-z 0-9 . _ -, starting with a letter or digit",
    lower, |b| lower(b) || b"._-".contains(&b)
}
name! {
    /// A registered verifier: a tool service that reports what it enforces.
    VerifierName, "verifier", 1..=64, "use 1 to 64 of a-z 0-9 . _ -, starting with a letter or digit",
    lower, |b| lower(b) || b"._-".contains(&b)
}
name! {
    /// A signing key's name, as it stands in tokens and in the key document.
    KeyName, "key name", 1..=64, "use 1 to 64 of A-Z a-z 0-9 . _ -, starting with a letter or digit",
    |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || b"._-".contains(&b)
}
name! {
    /// The prompt, model or code version that asks: a segment of the audit log.
    Release, "release", 1..=64, "use 1 to 64 of A-Z a-z 0-9 . _ + : @ / -, starting with a letter or digit",
    |b| b.is_ascii_alphanumeric(), |b| b.is_ascii_alphanumeric() || b"._+:@/-".contains(&b)
}
name! {
    /// The name of one argument of a call.
    ArgName, "argument", 1..=64, "use 1 to 64 of A-Z a-z 0-9 _ - . $, starting with a letter, digit or _",
    |b| b.is_ascii_alphanumeric() || b == b'_', |b| b.is_ascii_alphanumeric() || b"_-.$".contains(&b)
}

impl Intent {
    /// What a token says when the request declared nothing.
    #[must_use]
    pub fn undeclared() -> Self {
        Self("undeclared".into())
    }
}

impl ToolName {
    /// The built-in tool: the broker's own admin API.
    #[must_use]
    pub fn shortbread() -> Self {
        Self("shortbread".into())
    }
}

/// What a call does, always shown as `github/issues.write`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Operation {
    /// The tool that is called.
    pub tool: ToolName,
    /// What it is asked to do.
    pub verb: VerbName,
}

impl Operation {
    /// The OAuth scope of this operation: `github:issues.write`.
    #[must_use]
    pub fn scope(&self) -> String {
        format!("{}:{}", self.tool, self.verb)
    }

    /// Reads an OAuth scope token such as `github:issues.write`.
    ///
    /// # Errors
    /// When there is no colon or a part breaks its rule.
    pub fn from_scope(scope: &str) -> Result<Self, NameError> {
        Self::split(scope, ':', "write it as tool:verb, such as github:issues.read")
    }

    fn split(value: &str, at: char, rule: &'static str) -> Result<Self, NameError> {
        let Some((tool, verb)) = value.split_once(at) else {
            return Err(NameError { kind: "operation", rule, value: value.to_owned() });
        };
        Ok(Self { tool: tool.parse()?, verb: verb.parse()? })
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Operation {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        text::parsed(from)
    }
}

impl FromStr for Operation {
    type Err = NameError;

    fn from_str(value: &str) -> Result<Self, NameError> {
        Self::split(value, '/', "write it as tool/verb, such as github/issues.read")
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.tool, self.verb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_to_their_alphabet() {
        assert!("github-2".parse::<ToolName>().is_ok());
        for bad in ["", "GitHub", "a b", "a/b", "a\u{e9}", &"x".repeat(33)] {
            assert!(bad.parse::<ToolName>().is_err(), "{bad:?}");
        }
        assert!("issues.write".parse::<VerbName>().is_ok());
        assert!("issues\nwrite".parse::<VerbName>().is_err());
        assert!("-x".parse::<WorkflowName>().is_err());
    }

    #[test]
    fn a_verb_with_slashes_splits_at_the_first() {
        let operation: Operation = "github/repos/issues.write".parse().unwrap();
        assert_eq!(operation.tool.as_str(), "github");
        assert_eq!(operation.scope(), "github:repos/issues.write");
        assert_eq!(Operation::from_scope(&operation.scope()).unwrap(), operation);
    }

    #[test]
    fn a_huge_name_is_cut_in_its_own_error() {
        let error = "X".repeat(10_000).parse::<ToolName>().unwrap_err().to_string();
        assert!(error.len() < 200, "{error}");
    }
}
