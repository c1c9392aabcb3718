//! Tokens that are good once.

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::{ToolName, VerbName};

use crate::store::Revoked;

/// A token that is good once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OneShot {
    /// Its id.
    pub token: String,
    /// The tool.
    pub tool: ToolName,
    /// The verbs that it is good for once.
    pub verbs: Vec<VerbName>,
    /// SHA-256 of the arguments in canonical JSON, for one exact call.
    pub args_sha256: Option<[u8; 32]>,
    /// When it ends (unix seconds).
    pub expires: u64,
}

/// A verifier's claim of the one use of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimUse {
    /// The token's id.
    pub token: String,
    /// The tool that is called.
    pub tool: ToolName,
    /// Its verb.
    pub verb: VerbName,
    /// SHA-256 of the arguments, where it is known.
    pub args_sha256: Option<[u8; 32]>,
    /// Names the attempt.
    pub attempt: String,
    /// The verifier.
    pub verifier: String,
    /// Its instance.
    pub instance: String,
    /// When.
    pub at: Timestamp,
}

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// The use is this attempt's, from now on.
    Won,
    /// It was this attempt's already: the answer was lost.
    Again,
    /// It is another attempt's.
    Used,
    /// The token is not good for this call, not known, or over.
    Unfit,
    /// The token is revoked.
    Revoked(Revoked),
}

/// Whose token is claimed, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimedOf {
    /// The principal, as `workflow:refund-desk`.
    pub principal: Option<String>,
    /// The declared intent.
    pub intent: Option<String>,
    /// The task.
    pub task: Option<String>,
    /// What else is recorded of the token, as JSON.
    pub body: Vec<u8>,
}
