//! What goes into the store and comes out of it.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use shortbread_protocol::admin::AuditEntryBody;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::ToolName;
use shortbread_protocol::revocations::SelectorKind;
use zeroize::Zeroizing;

use super::revocations::{Revocations, Standing};

mod approvals;
mod budgets;
mod changes;
mod inputs;
mod instances;
mod keys;
mod log;
mod notices;
mod one_shots;
mod policies;

pub use self::approvals::{
    ApprovalRecord, ApprovalsWanted, Ask, Asked, Asking, CastVote, CloseApproval, Redeem, StoredApproval,
    StoredVote,
};
pub use self::budgets::{Spend, Unused};
pub use self::changes::{
    BlockChanged, Changed, ChangedEntry, Lift, LiftMode, Notes, Revoke, RevokeBlock, RevokeMode, Target,
};
pub use self::inputs::{ErasableInput, Erase, Erased, StoredInput};
pub use self::instances::{Lease, NewLease, Progress};
pub use self::keys::{BreakGlassRecord, KeyRecord};
pub use self::log::StoredCheckpoint;
pub use self::notices::{DROPPED_NOTICES, DroppedNotice, SettleNotices, WaitingNotice};
pub use self::one_shots::{ClaimUse, Claimed, ClaimedOf, OneShot, TokenOf};
pub use self::policies::{
    Activate, Activation, ActivePolicy, NewPolicy, PolicyAction, PolicyVersion, Trial, TrialOutcome,
};

/// The most bytes an audit entry may have: a C2SP log tile gives its length two bytes.
pub const AUDIT_LIMIT: usize = 65_535;

/// The most rows that one read of the audit log answers.
pub const TAIL_LIMIT: usize = 10_000;

/// The most bytes of entries of one decision or trace that one read answers; the first alone may have more.
pub const KEYED_BYTES: usize = 8 * 1024 * 1024;

/// The most tokens that a preview names.
pub const NAMED: usize = 20;

/// Who made the store, and so who may open it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StoreKind {
    /// `shortbread dev`: sample policy and fresh keys; never to be served for real.
    Dev,
    /// `shortbread init`.
    Broker,
}

impl StoreKind {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Dev => "dev",
            Self::Broker => "broker",
        }
    }
}

/// What a store says of itself: given when it is created, never changed.
#[derive(Clone, PartialEq, Eq)]
pub struct Meta {
    /// Who made it.
    pub kind: StoreKind,
    /// The broker's public URL.
    pub issuer: String,
    /// When it was made.
    pub created: Timestamp,
    /// Keys the hashes of claims in the audit log, so that they cannot be guessed from outside.
    pub hmac_secret: Zeroizing<[u8; 32]>,
}

impl fmt::Debug for Meta {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Meta")
            .field("kind", &self.kind)
            .field("issuer", &self.issuer)
            .field("created", &self.created)
            .finish_non_exhaustive()
    }
}

/// How to open a store.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Whether a store that `dev` made is welcome.
    pub dev: bool,
    /// Whether an older schema is brought up to date; otherwise it is refused.
    pub migrate: bool,
    /// The most pages of 4 KiB that the file may have; `None` = as the disk allows.
    pub max_pages: Option<u32>,
    /// How many bytes are kept for revocations, lifts, heads and operators' tokens when nothing else fits: in a file
    /// beside the store, and below `max_pages`. 0 = none; `None` = what is there is left alone, and not used.
    pub reserve: Option<u64>,
}

/// One entry of the audit log, before it has its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// When it happened.
    pub at: Timestamp,
    /// The decision's id, by which it is found.
    pub decision: String,
    /// The W3C trace id, by which it is found too.
    pub trace: Option<[u8; 16]>,
    /// The caller's W3C span id, where it sent one: for the [`Sink`](super::Sink), not in the log.
    pub parent: Option<[u8; 8]>,
    /// The exact bytes that are logged: at most [`AUDIT_LIMIT`].
    pub body: Vec<u8>,
    /// The approval that it is about, by which it is found too.
    pub about: Option<String>,
    /// What the decision depended on, where it is kept: the entry bears its hash.
    pub input: Option<ErasableInput>,
}

/// One entry of the audit log in its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredEntry {
    /// Its place, from 0, without gaps.
    pub idx: u64,
    /// When it happened.
    pub at: Timestamp,
    /// The exact bytes.
    pub body: Vec<u8>,
    /// SHA-256 of a zero byte and the body (RFC 6962, section 2.1).
    pub leaf: [u8; 32],
}

/// As operators read it; bytes that are no JSON are `null`.
impl From<&StoredEntry> for AuditEntryBody {
    fn from(entry: &StoredEntry) -> Self {
        Self { index: entry.idx, event: serde_json::from_slice(&entry.body).unwrap_or_default() }
    }
}

/// An assertion that may be used once, or again and again by the key that used it first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replay {
    /// What names the assertion: the same assertion must give the same hash.
    pub hash: [u8; 32],
    /// After this nobody accepts the assertion any more (unix seconds): its end, leeway included. The same
    /// assertion must give the same value.
    pub keep_until: u64,
    /// When it was made (unix seconds), or the first moment at which it could be taken, where it does not say so.
    pub made: u64,
    /// The thumbprint of the key that presents it, where its identity lets it be presented again; `None` uses it up.
    pub holder: Option<String>,
}

/// A denial that was recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Denial {
    /// Its place in the audit log.
    pub place: u64,
    /// Whether its assertion, if there is one, was presented rightly: for the first time, or again by its key.
    pub anew: bool,
}

/// A token as it is recorded; never the token itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenRecord {
    /// The token's id: new, and rising with time.
    pub id: String,
    /// Whom it was given to, as `workflow:release-notes`.
    pub principal: String,
    /// The workflow, unless it is an operator's token.
    pub workflow: Option<String>,
    /// The declared intent.
    pub intent: Option<String>,
    /// The caller's task id; belongs to the first principal that uses it.
    pub task: Option<String>,
    /// When it was issued (unix seconds).
    pub issued: u64,
    /// When it ends (unix seconds).
    pub expires: u64,
    /// The thumbprint of the key it is bound to.
    pub holder: Option<String>,
    /// The policy version that granted it.
    pub policy: u64,
    /// Anything else that is kept, as JSON.
    pub body: Vec<u8>,
}

/// A token that is about to be answered.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// The assertion that was used up for it.
    pub replay: Option<Replay>,
    /// Its record.
    pub token: TokenRecord,
    /// What can revoke it.
    pub standing: Standing,
    /// For a token that was made of another: what its ancestors can be revoked by and it bears no mark of.
    pub ties: Vec<Tie>,
    /// Tokens that are answered with it, each with what can revoke it: those of a plan's other calls.
    pub others: Vec<(TokenRecord, Standing)>,
    /// Those of them that are good once.
    pub one_shots: Vec<OneShot>,
    /// What they take out of budgets.
    pub spends: Vec<Spend>,
    /// The approval that is spent for them.
    pub redeem: Option<Redeem>,
    /// What is kept so that the same answer can be given once more.
    pub retry: Option<Retry>,
    /// The audit entry of the decision.
    pub audit: AuditEntry,
}

impl Exchange {
    // What an operator needs to press the switch waits behind nothing else.
    pub(super) fn is_operators(&self) -> bool {
        self.token.principal.starts_with("operator:")
    }
}

/// Something that a token hangs on though it does not bear it: a revocation of it reaches the token too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tie {
    /// What one selector names, such as an ancestor's id.
    Selector(SelectorKind, String),
    /// A narrowed copy, by the first 16 bytes of SHA-256 of its block's signature.
    Block([u8; 16]),
}

/// As in `token/tok_1` and `block/00112233445566778899aabbccddeeff`.
impl fmt::Display for Tie {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Selector(kind, value) => write!(f, "{kind}/{value}"),
            Self::Block(hash) => write!(f, "block/{}", hex::encode(hash)),
        }
    }
}

/// An answer that may be given once more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Retry {
    /// What names the request: hash of the identity, the request, the DPoP key and the Idempotency-Key.
    pub key: [u8; 32],
    /// Until when (unix seconds).
    pub keep_until: u64,
    /// The bytes that were signed, without the signature: no usable token.
    pub block: Vec<u8>,
    /// The answer without the token, as JSON.
    pub answer: Vec<u8>,
}

/// An answer that was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The token's id.
    pub token: String,
    /// The bytes that were signed.
    pub block: Vec<u8>,
    /// The answer without the token, as JSON.
    pub answer: Vec<u8>,
}

/// An assertion that is used for something else than a new token.
#[derive(Clone, Debug)]
pub struct Use {
    /// The assertion.
    pub replay: Option<Replay>,
    /// The token that is given out once more, if one is: it must still stand.
    pub token: Option<String>,
    /// Whether it is for an operator, who waits behind nothing but the switch.
    pub operator: bool,
    /// The audit entry of the decision.
    pub audit: AuditEntry,
}

/// What the next head must say.
#[derive(Clone, Debug)]
pub struct HeadFacts {
    /// The head's own sequence number.
    pub seq: u64,
    /// When it is issued.
    pub issued: Timestamp,
    /// The list that it stands for; its `changed_seq` and `global` go into the head.
    pub revocations: Arc<Revocations>,
}

/// A signed head.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its sequence number.
    pub seq: u64,
    /// When it was issued.
    pub issued: Timestamp,
    /// Its exact bytes.
    pub bytes: Vec<u8>,
}

/// What one call of `prune` removed; call again while `more`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Used assertions that nobody would accept any more.
    pub replays: usize,
    /// Revocations that left the signed list.
    pub delisted: usize,
    /// Whether there may be more to do.
    pub more: bool,
}

/// What a revocation or a lift would touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Tokens that live: a revocation would end them.
    pub living: Hit,
    /// Tokens that have time left but are refused, by a revocation of what is asked about or another.
    pub revoked: Hit,
    /// Those of them that live again when the revocations of what is asked about are deleted.
    pub revived: Hit,
}

/// Tokens that are touched, and whose they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hit {
    /// How many.
    pub tokens: u64,
    /// The first of their ids, at most [`NAMED`].
    pub ids: BTreeSet<String>,
    /// Their workflows by name, and their operators as `operator:alice`.
    pub workflows: BTreeSet<String>,
    /// Their tools.
    pub tools: BTreeSet<ToolName>,
}

/// What several changes at once would touch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// All together, each token counted once.
    pub all: Touched,
    /// Each on its own, in the order asked.
    pub each: Vec<Touched>,
}

/// Of how many tokens one question looks whether they are revoked.
pub const LOOKED_AT: u64 = 20_000;

/// What lives of a workflow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Living {
    /// Tokens that did not end and are not revoked.
    pub tokens: u64,
    /// Tokens that did not end and are refused.
    pub revoked: u64,
    /// Whether every token that did not end was looked at; else the others count as not revoked.
    pub whole: bool,
    /// When the newest token was issued; `None` where there is none any more.
    pub last: Option<Timestamp>,
}

/// How much is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Audit entries.
    pub audit: u64,
    /// Tokens, ended ones included.
    pub tokens: u64,
    /// Used assertions.
    pub replays: u64,
    /// Task ids.
    pub tasks: u64,
    /// Revocations by selector, those that left the list included.
    pub revocations: u64,
    /// Narrowed copies that were given back.
    pub blocks: u64,
    /// Policy versions.
    pub policies: u64,
}
