//! Who hears of the entries of the audit log, once they hold.

use std::fmt;

use shortbread_protocol::clock::Timestamp;

use super::AuditEntry;

/// An entry that stands in the log, as a [`Sink`] is told of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// When it happened.
    pub at: Timestamp,
    /// The caller's W3C span id, where it sent one.
    pub parent: Option<[u8; 8]>,
    /// The exact bytes that are logged.
    pub body: Vec<u8>,
}

impl From<&AuditEntry> for Logged {
    fn from(entry: &AuditEntry) -> Self {
        Self { at: entry.at, parent: entry.parent, body: entry.body.clone() }
    }
}

/// Hears of entries by the thread that writes them, after their transaction is committed and before their callers are
/// answered: it must neither wait nor fail.
pub trait Sink: Send + Sync + fmt::Debug {
    /// These were logged together, in this order.
    fn logged(&self, entries: Vec<Logged>);
}
