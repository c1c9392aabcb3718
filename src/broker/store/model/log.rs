//! What is kept of the audit log beside its entries.

use shortbread_protocol::clock::Timestamp;

/// A checkpoint that was signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCheckpoint {
    /// How many entries it covers.
    pub size: u64,
    /// When it was signed; never before the one before it.
    pub at: Timestamp,
    /// The signed note.
    pub note: Vec<u8>,
}
