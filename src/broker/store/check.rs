//! Looking whether a store file is sound, also while a broker has it open.

use std::path::Path;

use super::sqlite;
use super::{StoreError, StoreFacts};

/// What was found in a store file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// What it says of itself.
    pub facts: StoreFacts,
    /// What is damaged, in SQLite's words or ours, at most ten things; none when it is sound.
    pub damage: Vec<String>,
}

/// Reads the whole store file at `path`, while a broker may have it open, and looks whether its pages are sound and its
/// audit entries are what was logged. Blocks for as long as that takes, and changes nothing.
///
/// # Errors
/// When it cannot be read, or is so damaged that it cannot be told to be a store.
pub fn check(path: &Path) -> Result<Checked, StoreError> {
    sqlite::check::check(path)
}
