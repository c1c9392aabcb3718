//! Requests that wait for a person.

use shortbread_protocol::admin::ApprovalState;
use shortbread_protocol::clock::Timestamp;

use super::{AuditEntry, Replay, Spend, Standing};

/// A request that waits for a person, or waited.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalRecord {
    /// Its id: new, and rising with time.
    pub id: String,
    /// Who asks, as `workflow:refund-desk`.
    pub principal: String,
    /// SHA-256 of the identity's `sub`, by which it is erased.
    pub subject: [u8; 32],
    /// Equal for equal requests of one client and key.
    pub same: [u8; 32],
    /// How far it came.
    pub state: ApprovalState,
    /// When it was asked for.
    pub asked: Timestamp,
    /// When somebody has to look at it again: the next group is asked, or it expires.
    pub due: Timestamp,
    /// When it is over.
    pub expires: Timestamp,
    /// What votes bind: the digest of what is shown.
    pub digest: String,
    /// What is shown, as JSON.
    pub shown: Vec<u8>,
    /// What else it is decided and answered by, as JSON.
    pub request: Vec<u8>,
    /// When it was closed; `None` while it is open.
    pub closed: Option<Timestamp>,
    /// How it ended, as JSON.
    pub outcome: Option<Vec<u8>>,
}

/// A vote for what is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVote {
    /// Who.
    pub operator: String,
    /// When.
    pub at: Timestamp,
    /// What tells two names of one person.
    pub marks: Vec<String>,
    /// In their words.
    pub note: Option<String>,
}

/// A request with its votes, the first first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredApproval {
    /// The request.
    pub record: ApprovalRecord,
    /// The votes.
    pub votes: Vec<StoredVote>,
}

/// A request that is to wait.
#[derive(Clone, Debug)]
pub struct Ask {
    /// The request.
    pub record: ApprovalRecord,
    /// The assertion that was shown for it.
    pub replay: Option<Replay>,
    /// The task id, which belongs to the first principal that uses it.
    pub task: String,
    /// How many of this principal may be open.
    pub most: u64,
}

/// What is logged of a request that is to wait.
#[derive(Clone, Copy, Debug)]
pub enum Asking<'a> {
    /// It waits.
    New,
    /// It equals one that is open, and is that one.
    Same(&'a ApprovalRecord),
    /// It equals one whose time is over, which ends with it.
    Over(&'a ApprovalRecord),
}

/// What became of a request that was to wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It waits.
    New,
    /// An equal one is open.
    Same(Box<ApprovalRecord>),
}

/// A vote that is to be recorded.
#[derive(Clone, Debug)]
pub struct CastVote {
    /// The request.
    pub id: String,
    /// What was looked at.
    pub digest: String,
    /// How many votes there were then.
    pub seen: usize,
    /// The vote.
    pub vote: StoredVote,
    /// What is shown from now on, by its digest; earlier votes are void then.
    pub narrowed: Option<(String, Vec<u8>)>,
    /// How far it comes with this vote.
    pub state: ApprovalState,
    /// What it takes out of budgets where it is approved.
    pub spends: Vec<Spend>,
    /// The audit entry.
    pub audit: AuditEntry,
}

/// A request that is to be closed.
#[derive(Clone, Debug)]
pub struct CloseApproval {
    /// The request.
    pub id: String,
    /// How it ends.
    pub state: ApprovalState,
    /// When.
    pub at: Timestamp,
    /// What was looked at, where it matters.
    pub digest: Option<String>,
    /// How it ended, as JSON.
    pub outcome: Vec<u8>,
    /// The audit entry.
    pub audit: AuditEntry,
}

/// An approval that is spent for the tokens that are recorded with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redeem {
    /// The request.
    pub id: String,
    /// What was approved.
    pub digest: String,
    /// What the votes for it can be revoked by, each of which must stand.
    pub voters: Vec<Standing>,
}

/// Which requests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApprovalsWanted {
    /// Of these states, all of them open or all of them closed; the open ones by what is due first, closed ones newest
    /// first.
    pub states: Vec<ApprovalState>,
    /// Of this principal alone.
    pub principal: Option<String>,
    /// After this one in that order: its moment, due or closed, in milliseconds, and its id.
    pub after: Option<(u64, String)>,
    /// At most so many.
    pub limit: usize,
}
