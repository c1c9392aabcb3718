//! A line of recorded cases, read no further than a replay needs.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;
use shortbread_protocol::names::Operation;

use super::super::decide::Asking;
use super::super::read::{Fault, check_head, check_input};
use super::super::{Input, Outcome, Recorded, one, version};

/// A case whose parts are left as they stand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Line<'a> {
    #[serde(default = "version")]
    v: u32,
    #[serde(borrow)]
    pub(super) id: Cow<'a, str>,
    #[serde(default, rename = "at")]
    _at: IgnoredAny,
    #[serde(borrow)]
    pub(super) input: &'a RawValue,
    #[serde(default, borrow)]
    pub(super) recorded: Option<Was<'a>>,
    #[serde(default)]
    pub(super) label: Option<IgnoredAny>,
    #[serde(default, rename = "segment")]
    _segment: IgnoredAny,
    #[serde(default = "one")]
    pub(super) weight: u64,
}

/// What was recorded, as far as it is compared. The rest must have its form all the same.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Was<'a> {
    pub(super) outcome: Outcome,
    #[serde(default, borrow)]
    granted: Vec<Text<'a>>,
    #[serde(default, borrow, rename = "reasons")]
    _reasons: Vec<Text<'a>>,
    #[serde(default, borrow, rename = "policy")]
    _policy: Option<Text<'a>>,
}

/// A text that is borrowed also where it stands in a list.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Was<'_> {
    /// What was recorded of one verb.
    pub(super) fn of(&self, verb: &Operation) -> Outcome {
        let is_it = |granted: &Text<'_>| {
            let named = granted.0.split_once('/');
            named.is_some_and(|(tool, name)| tool == verb.tool.as_str() && name == verb.verb.as_str())
        };
        match self.outcome {
            Outcome::Allow if !self.granted.iter().any(is_it) => Outcome::Deny,
            other => other,
        }
    }
}

impl<'a> From<&'a Recorded> for Was<'a> {
    fn from(recorded: &'a Recorded) -> Self {
        let granted = recorded.granted.iter().map(|verb| Text(Cow::Borrowed(verb))).collect();
        Self { outcome: recorded.outcome, granted, _reasons: Vec::new(), _policy: None }
    }
}

impl Line<'_> {
    /// Whether its own members say what can be.
    ///
    /// # Errors
    /// With the first that does not.
    pub(super) fn check(&self) -> Result<(), Fault> {
        check_head(self.v, &self.id, self.weight)
    }
}

/// An input that says what can be, ready to be decided.
///
/// # Errors
/// With the first thing that cannot be.
pub(super) fn sound(input: Input) -> Result<Asking, Fault> {
    check_input(&input)?;
    Ok(Asking::from(input))
}
