//! The labelled cases that come with a policy: part of the version, like a key.

use super::Case;
use super::read::{Ids, ReadError, read};
use crate::policy::Policy;

/// The labelled cases that a policy names.
///
/// # Errors
/// When they cannot be read.
pub fn labelled_by(policy: &Policy) -> Result<Vec<Case>, ReadError> {
    let Some((name, text)) = policy.cases() else { return Ok(Vec::new()) };
    let mut cases = read(name, text.as_bytes(), &mut Ids::default())?;
    cases.retain(|case| case.label.is_some());
    Ok(cases)
}
