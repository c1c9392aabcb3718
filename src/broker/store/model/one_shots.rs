//! Tokens that are good once.

use shortbread_protocol::access::Access;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::event::Segment;
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

/// Whose a token is, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenOf {
    /// The principal, as `workflow:refund-desk`.
    pub principal: Option<String>,
    /// The declared intent.
    pub intent: Option<String>,
    /// The task.
    pub task: Option<String>,
}

impl TokenOf {
    /// Whom an entry about the token concerns, as `workflow/refund-desk`.
    #[must_use]
    pub fn subject(&self) -> String {
        self.principal.as_deref().unwrap_or("unknown").replacen(':', "/", 1)
    }

    /// What an entry about its use at a tool is counted by.
    #[must_use]
    pub fn segment(&self, tool: &str, access: Option<Access>) -> Segment {
        let workflow = self.principal.as_deref().and_then(|who| who.split_once(':'));
        Segment {
            workflow: workflow.map(|(_, name)| name.to_owned()),
            intent: self.intent.as_deref().and_then(|intent| intent.parse().ok()),
            task: self.task.as_deref().and_then(|task| task.parse().ok()),
            tool: Some(tool.to_owned()),
            access: access.map(|access| access.to_string()),
            release: None,
        }
    }
}

/// The token whose use is claimed, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClaimedOf {
    /// Whose it is.
    pub of: TokenOf,
    /// What else is recorded of the token, as JSON.
    pub body: Vec<u8>,
}
