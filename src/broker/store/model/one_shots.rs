//! Tokens that are good once.

use shortbread_protocol::names::{ToolName, VerbName};

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
