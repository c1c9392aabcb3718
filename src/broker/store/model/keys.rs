//! Key documents and break-glass heads as they are kept.

use shortbread_protocol::clock::Timestamp;

/// A key document that was published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its version.
    pub version: u64,
    /// Its exact bytes, as the root key signed them.
    pub signed: Vec<u8>,
    /// Who activated it; `file` when the broker found it at its start.
    pub by: String,
    /// When.
    pub at: Timestamp,
}

/// A break-glass head that was seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BreakGlassRecord {
    /// Its own sequence number.
    pub seq: u64,
    /// Tokens issued before this are dead (unix seconds); 0 = none.
    pub global: u64,
    /// Its exact bytes, as the root key signed them.
    pub signed: Vec<u8>,
    /// When it was first seen.
    pub at: Timestamp,
}
