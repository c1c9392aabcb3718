//! What operators are told over the webhook: what waits, and what did not get there.

use shortbread_protocol::admin::WhyDropped;
use shortbread_protocol::clock::Timestamp;

/// A notice that waits for the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WaitingNotice {
    /// Its id: new, and rising with time.
    pub id: String,
    /// Its kind, such as `revocation.set`.
    pub kind: String,
    /// What matters more has more.
    pub weight: u8,
    /// When it was told.
    pub at: Timestamp,
    /// The exact bytes that are sent.
    pub body: Vec<u8>,
}

/// How many notices are kept that did not reach the webhook.
pub const DROPPED_NOTICES: usize = 1000;

/// A notice that did not reach the webhook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DroppedNotice {
    /// Its id.
    pub id: String,
    /// Its kind, such as `revocation.set`.
    pub kind: String,
    /// When it was told.
    pub at: Timestamp,
    /// When it was given up.
    pub dropped: Timestamp,
    /// Why.
    pub why: WhyDropped,
    /// The exact bytes that would have been sent.
    pub body: Vec<u8>,
}

/// What became of notices since the store was told last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SettleNotices {
    /// They wait for the webhook.
    pub added: Vec<WaitingNotice>,
    /// The ids of those that wait no more.
    pub gone: Vec<String>,
    /// They were given up.
    pub dropped: Vec<DroppedNotice>,
}
