//! What decisions depended on: kept beside the log, so that it can be erased and the log stay proved.

use std::fmt;

use sha2::{Digest as _, Sha256};
use shortbread_protocol::clock::Timestamp;

use super::StoredEntry;

/// What a decision depended on, in plain. It says who asked, so it is never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ErasableInput {
    /// SHA-256 of the `sub` of the identity that was proved.
    pub subject: [u8; 32],
    /// What its hash in the entry is salted with.
    pub salt: [u8; 16],
    /// The input, as JSON.
    pub body: Vec<u8>,
}

impl ErasableInput {
    /// SHA-256 of salt and body: what stays of it in the entry.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        Sha256::new().chain_update(self.salt).chain_update(&self.body).finalize().into()
    }
}

impl fmt::Debug for ErasableInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ErasableInput").field("bytes", &self.body.len()).finish_non_exhaustive()
    }
}

/// An entry of the log whose input is still there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredInput {
    /// The entry.
    pub entry: StoredEntry,
    /// Its input.
    pub input: ErasableInput,
}

/// Which inputs are erased: all of one subject, or some of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Erase {
    /// SHA-256 of the `sub` of the identity.
    pub subject: [u8; 32],
    /// Those alone in which it was this principal, as `workflow:release-notes`.
    pub principal: Option<String>,
    /// Those alone of decisions before this moment.
    pub before: Option<Timestamp>,
}

/// What one step of erasing did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Erased {
    /// How many inputs went.
    pub count: u64,
    /// Whether there may be more: erase again.
    pub more: bool,
}
