//! Revoking, lifting and giving back: what is asked of the store, and what it did.

use std::collections::HashMap;
use std::fmt;

use shortbread_protocol::revocations::Selector;

/// What a revocation or a lift points at.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// Everything the broker issued.
    All,
    /// What one selector names.
    Selector(Selector),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("everything"),
            Self::Selector(selector) => selector.fmt(f),
        }
    }
}

/// Which tokens a revocation reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevokeMode {
    /// All, until it is lifted.
    Forever,
    /// Those issued so far, whatever the clocks say: its moment is one second past both the time given and the
    /// latest `issued` in the store.
    IssuedSoFar,
}

/// Why things are revoked, in the operators' words, by kind and value; `all` has no value.
pub type Notes = HashMap<(String, String), String>;

/// One thing to revoke.
#[derive(Clone, Debug)]
pub struct Revoke {
    /// What.
    pub target: Target,
    /// Which of its tokens.
    pub mode: RevokeMode,
    /// The public reason code.
    pub reason: String,
    /// The operator's words; never published.
    pub note: String,
    /// When it may leave the signed list (unix seconds); `None` = when lifted. Of no meaning for [`Target::All`].
    pub until: Option<u64>,
}

/// What becomes of the old tokens when a revocation is lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LiftMode {
    /// They stay dead: the revocation ends at the lift.
    KeepOldDead,
    /// They live again: the revocation is deleted.
    Revive,
}

/// One thing to lift.
#[derive(Clone, Debug)]
pub struct Lift {
    /// What.
    pub target: Target,
    /// What becomes of the old tokens.
    pub mode: LiftMode,
    /// When what is left of it may leave the signed list (unix seconds); `None` = never by itself.
    pub until: Option<u64>,
}

/// A narrowed copy of a token that its holder gives back (RFC 7009).
#[derive(Clone, Debug)]
pub struct RevokeBlock {
    /// The first 16 bytes of SHA-256 of the block's signature.
    pub hash: [u8; 16],
    /// The id of the token that the copy was made of.
    pub token: String,
    /// When it may leave the signed list (unix seconds): the token's end and the allowed skew.
    pub until: u64,
    /// The public reason code, should the whole token be revoked.
    pub reason: String,
    /// Who gave it back.
    pub by: String,
}

/// What a change did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changed {
    /// Its sequence number.
    pub seq: u64,
    /// What it set, one for each target.
    pub entries: Vec<ChangedEntry>,
}

/// What a change did to one target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangedEntry {
    /// The target.
    pub target: Target,
    /// Tokens issued before this were dead (unix seconds); 0 = none.
    pub was: u64,
    /// Tokens issued before this are dead now (unix seconds); 0 = none.
    pub before: u64,
}

/// What a block's revocation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlockChanged {
    /// Its sequence number.
    pub seq: u64,
    /// Whether the whole token was revoked, because too many of its copies had been already.
    pub whole_token: bool,
}
