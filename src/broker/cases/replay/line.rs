//! A line of recorded cases, read no further than a replay needs.

use std::borrow::Cow;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::super::decide::Asking;
use super::super::read::{Fault, check_head, check_input};
use super::super::{Input, one, version};

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
    pub(super) recorded: Option<&'a RawValue>,
    #[serde(default)]
    pub(super) label: Option<IgnoredAny>,
    #[serde(default, rename = "segment")]
    _segment: IgnoredAny,
    #[serde(default = "one")]
    pub(super) weight: u64,
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
