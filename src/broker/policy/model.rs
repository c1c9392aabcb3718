//! The compiled policy: checked, indexed, immutable.

mod gate;
mod membership;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

pub use gate::{Gate, GateSegment};
pub use membership::Membership;
use serde_json::Value;
use shortbread_protocol::access::Access;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::constraint::Constraint;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::names::{
    ArgName, Intent, Operation, OperatorName, ToolName, VerbName, VerifierName, WorkflowName,
};
use shortbread_protocol::normalise::Forms;
use shortbread_protocol::revocations::SelectorKind;

use super::builtin;
use super::pattern::Pattern;
use super::spiffe::SpiffeId;

/// Who an identity may be.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Principal {
    /// An agent workflow.
    Workflow(WorkflowName),
    /// A person who runs the broker.
    Operator(OperatorName),
    /// A tool service that reports what it enforces.
    Verifier(VerifierName),
}

impl Principal {
    /// The name alone.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Workflow(name) => name.as_str(),
            Self::Operator(name) => name.as_str(),
            Self::Verifier(name) => name.as_str(),
        }
    }

    /// The kind of `id` that names it in a token, and of selector that revokes it.
    #[must_use]
    pub const fn kind(&self) -> SelectorKind {
        match self {
            Self::Operator(_) => SelectorKind::Operator,
            // A verifier reports and is granted nothing, so that no token ever bears its name.
            Self::Workflow(_) | Self::Verifier(_) => SelectorKind::Workflow,
        }
    }

    /// Whether it must prove a key with each request: an operator's token is always bound.
    #[must_use]
    pub const fn must_prove(&self) -> bool {
        matches!(self, Self::Operator(_))
    }
}

/// Read as it is spelled in `client_id`.
impl FromStr for Principal {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let named = match text.split_once(':') {
            Some(("workflow", name)) => name.parse().map(Self::Workflow),
            Some(("operator", name)) => name.parse().map(Self::Operator),
            Some(("verifier", name)) => name.parse().map(Self::Verifier),
            _ => return Err("write it as workflow:NAME or operator:NAME".to_owned()),
        };
        named.map_err(|error| error.to_string())
    }
}

/// Spelled as in `client_id`: `workflow:release-notes`.
impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Workflow(name) => write!(f, "workflow:{name}"),
            Self::Operator(name) => write!(f, "operator:{name}"),
            Self::Verifier(name) => write!(f, "verifier:{name}"),
        }
    }
}

/// One `[[identities]]` entry: what must be proved, and who that then is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// A short stable label for the audit log, such as `release-notes` or `enrich+mail-merge`. A second
    /// entry of the same name is `release-notes#2`, so that a label never means two entries.
    pub entry: String,
    /// One principal; several workflows of which the request picks one, or several operators of whom the token names one.
    pub principals: Vec<Principal>,
    /// For a verifier: the tools whose calls it decides.
    pub tools: Vec<ToolName>,
    /// What must be proved.
    pub proof: Proof,
}

/// What an identity proves itself with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// A registered Ed25519 key, by an RFC 7523 assertion.
    Key(PublicKey),
    /// A token of an OpenID Connect issuer.
    Oidc(Oidc),
    /// A JWT-SVID of a SPIFFE trust domain.
    Spiffe(Spiffe),
}

/// A token of an OpenID Connect issuer, and which of its claims must have which value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Oidc {
    /// The exact `iss`.
    pub issuer: String,
    /// The exact `aud`.
    pub audience: String,
    /// Claims that must be there and be equal; objects are matched member by member.
    pub claims: BTreeMap<String, Value>,
    /// For an entry of several operators: which of them a token names.
    pub membership: Option<Membership>,
    /// Where the issuer's keys come from.
    pub keys: KeySource,
    /// Whether the issuer may live at a private address.
    pub allow_private: bool,
    /// Whether the same token may be presented again until it expires.
    pub reuse_until_expiry: bool,
    /// How long after `iat` a token is taken. None: ten minutes; with reuse, until it expires.
    pub max_age: Option<Duration>,
}

/// A JWT-SVID of a SPIFFE trust domain, and whom it must name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spiffe {
    /// The exact `sub`; its trust domain says whose keys count.
    pub id: SpiffeId,
    /// The exact `iss`, where the policy pins one; else `iss` says nothing.
    pub issuer: Option<String>,
    /// The exact `aud`.
    pub audience: String,
    /// The trust domain's bundle: a URL or a pinned file.
    pub bundle: KeySource,
    /// Whether the bundle may lie at a private address.
    pub allow_private: bool,
    /// Whether the same token may be presented again until it expires.
    pub reuse_until_expiry: bool,
    /// How long after `iat` a token is taken. None: ten minutes; with reuse, or without `iat`, until it expires.
    pub max_age: Option<Duration>,
}

/// Where the keys of an issuer or a trust domain come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// `{issuer}/.well-known/openid-configuration`, then its `jwks_uri`.
    Discovery,
    /// This URL (`jwks_url` or `bundle_url` in the policy).
    Url(String),
    /// A pinned file (`jwks_file` or `bundle_file` in the policy), taken in by value.
    Pinned(String),
}

/// The `[tools]` of the policy, with the built-in tool added.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Tools by name.
    pub tools: BTreeMap<ToolName, Tool>,
}

impl Catalogue {
    /// The verb that an operation names.
    #[must_use]
    pub fn verb(&self, operation: &Operation) -> Option<&Verb> {
        self.tools.get(&operation.tool)?.verbs.get(&operation.verb)
    }

    /// The tool that has this exact audience.
    #[must_use]
    pub fn tool_at(&self, audience: &str) -> Option<(&ToolName, &Tool)> {
        self.tools.iter().find(|(_, tool)| tool.audience == audience)
    }
}

/// How old the revocation list may be for calls of a tool, in seconds, before a verifier denies them. The window for
/// reading is the verifier's own and stands in no policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Windows {
    /// For privileged calls; never above `write`, which includes them.
    pub privileged: u32,
    /// For calls that write.
    pub write: u32,
}

impl Default for Windows {
    fn default() -> Self {
        Self { privileged: 60, write: 300 }
    }
}

impl Windows {
    /// The longer of both, access by access.
    #[must_use]
    pub fn longer(self, other: Self) -> Self {
        Self { privileged: self.privileged.max(other.privileged), write: self.write.max(other.write) }
    }

    /// Every window that a call of this access keeps to, in seconds, the shortest first; none for one that only reads.
    pub fn of(self, access: Access) -> impl Iterator<Item = u32> {
        let privileged = (access == Access::Privileged).then_some(self.privileged);
        privileged.into_iter().chain((access != Access::Read).then_some(self.write))
    }
}

/// One tool of the catalogue.
#[derive(Clone, Debug)]
pub struct Tool {
    /// The exact URL that tokens for it name.
    pub audience: String,
    /// How old the revocation list may be for its calls.
    pub windows: Windows,
    /// Its verbs.
    pub verbs: BTreeMap<VerbName, Verb>,
    /// Where its calls are observed and not enforced: until when.
    pub observe: Option<Observe>,
}

impl Tool {
    /// Until when the tool is not enforced, where that is so at this moment.
    #[must_use]
    pub fn observed_until(&self, now: Timestamp) -> Option<Timestamp> {
        self.observe.map(|observe| observe.until).filter(|until| now < *until)
    }
}

/// `mode = "observe"`: calls pass that would be denied, and are recorded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observe {
    /// Enforced from here on.
    pub until: Timestamp,
    /// Where the policy says so, in bytes.
    pub(super) place: usize,
}

/// One verb of a tool.
#[derive(Clone, Debug)]
pub struct Verb {
    /// What kind of harm it can do.
    pub access: Access,
    /// The arguments it takes, where the catalogue lists them.
    pub args: Option<Vec<ArgName>>,
    /// Those of them that have a form, in whose spelling they are compared.
    pub forms: Forms,
}

/// A request rate: so many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many requests.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}

/// How much of an argument, summed over the tokens of a grant, may be given out in so long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// The argument whose values are summed.
    pub argument: ArgName,
    /// How much, at most; never zero.
    pub limit: u64,
    /// In how long.
    pub per: Duration,
}

/// One `[[grants]]` entry. Rights add up over grants; each grant keeps its own conditions.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Its place in the policy, counted from one.
    pub number: usize,
    /// The same for the audit log: `grant:3`.
    pub id: String,
    /// Who gets it: a workflow or an operator.
    pub principal: Principal,
    /// Who answers for the workflow, by this grant or another of it, and may not approve its requests.
    pub owners: BTreeSet<OperatorName>,
    /// The intents it is for; `None` is any declared intent, or none.
    pub intents: Option<BTreeSet<Intent>>,
    /// The tool.
    pub tool: ToolName,
    /// The verbs, wildcards expanded; `None` leaves a verb's arguments free.
    pub verbs: BTreeMap<VerbName, Option<Limits>>,
    /// The longest life of a token that this grant is part of.
    pub max_ttl: Option<Duration>,
    /// Whose approval it needs, and for what.
    pub approval: Option<Approval>,
    /// Whether it is for tokens alone that are bound to a key.
    pub proof: bool,
    /// How often it may be used.
    pub rate: Option<Rate>,
    /// How much of one argument it may give out.
    pub budget: Option<Budget>,
}

impl Grant {
    /// Whether this grant is for requests of this intent.
    #[must_use]
    pub fn serves(&self, intent: &Intent) -> bool {
        self.intents.as_ref().is_none_or(|listed| listed.contains(intent))
    }
}

/// What a grant lets the arguments of one verb be: a closed world.
pub type Limits = BTreeMap<ArgName, Limit>;

/// What a grant lets one argument be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// Inside this constraint.
    Fixed(Constraint),
    /// Exactly the value of this claim of the identity, bound when a token is minted.
    Claim(String),
}

impl Limit {
    /// As policies spell it: `{"eq": "acme/web"}` or `{"claim": "repository"}`.
    #[must_use]
    pub fn to_json(&self) -> Value {
        match self {
            // A constraint always serialises.
            Self::Fixed(constraint) => serde_json::to_value(constraint).unwrap_or_default(),
            Self::Claim(path) => serde_json::json!({ "claim": path }),
        }
    }
}

/// The approval that a grant demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Verbs of this access need it.
    pub access: Vec<Access>,
    /// These verbs need it, whatever their access.
    pub verbs: BTreeSet<VerbName>,
    /// The group that is asked first.
    pub approvers: String,
    /// How many of them must agree; never zero.
    pub quorum: u32,
    /// After this long the next group is asked.
    pub sla: Duration,
    /// After this long the request is over.
    pub expires: Duration,
}

impl Approval {
    /// Whether a call of this verb needs the approval.
    #[must_use]
    pub fn covers(&self, verb: &VerbName, access: Access) -> bool {
        self.verbs.contains(verb) || self.access.iter().any(|demanded| demanded.covers(access))
    }
}

/// One group of `[approvers]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approvers {
    /// Who may decide.
    pub members: BTreeSet<OperatorName>,
    /// The group that is asked when these took too long.
    pub escalate: Option<String>,
}

/// One `[[forbids]]` entry: all its conditions together. A condition that is absent holds always.
#[derive(Clone, Debug)]
pub struct Forbid {
    /// Its place in the policy, counted from one: `forbid:1`.
    pub id: String,
    /// Whose requests.
    pub workflows: Option<BTreeSet<WorkflowName>>,
    /// Of which intents.
    pub intents: Option<BTreeSet<Intent>>,
    /// For which tool.
    pub tool: Option<ToolName>,
    /// For which verbs.
    pub verbs: Option<Vec<Pattern>>,
    /// For verbs of which access; `write` includes `privileged`.
    pub access: Option<Vec<Access>>,
}

impl Forbid {
    /// Whether it forbids this operation to this principal and intent. It never reaches the verbs with
    /// which operators press and release the switch: nobody can be locked out of those.
    #[must_use]
    pub fn reaches(
        &self,
        principal: &Principal,
        intent: &Intent,
        operation: &Operation,
        access: Access,
    ) -> bool {
        let who = self
            .workflows
            .as_ref()
            .is_none_or(|listed| matches!(principal, Principal::Workflow(name) if listed.contains(name)));
        let why = self.intents.as_ref().is_none_or(|listed| listed.contains(intent));
        who && why && self.concerns(operation, access)
    }

    /// Whether it forbids this operation to anyone at all.
    #[must_use]
    pub fn concerns(&self, operation: &Operation, access: Access) -> bool {
        !builtin::is_switch(operation)
            && self.tool.as_ref().is_none_or(|tool| *tool == operation.tool)
            && self.verbs.as_ref().is_none_or(|verbs| verbs.iter().any(|p| p.matches(&operation.verb)))
            && self.access.as_ref().is_none_or(|listed| listed.iter().any(|a| a.covers(access)))
    }
}

/// One `[[tripwires]]` entry: so many refusals within so long by one task, and the task is revoked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tripwire {
    /// Its name.
    pub name: String,
    /// Refusals of this access count; `write` includes `privileged`.
    pub access: Access,
    /// How many: 1 to 100.
    pub refusals: u32,
    /// Within how long: an hour at most.
    pub within: Duration,
    /// Of this tool alone.
    pub tool: Option<ToolName>,
    /// By this workflow alone.
    pub workflow: Option<WorkflowName>,
    /// How many tasks it may revoke within an hour: 1 to 1000.
    pub max_per_hour: u32,
}

/// A share in thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PerMille(u16);

impl PerMille {
    /// The nearest to a share from 0 to 1; what lies outside is taken for the nearer end, what is no number for 0.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "clamped before")]
    pub fn of(share: f64) -> Self {
        Self((share.clamp(0.0, 1.0) * 1000.0).round() as u16)
    }

    /// The share, from 0 to 1.
    #[must_use]
    pub fn share(self) -> f64 {
        f64::from(self.0) / 1000.0
    }
}

/// `[rollback]`: how much worse a watched version may make things, segment by segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rollback {
    /// How much the share of refusals may rise.
    pub max_denied: PerMille,
    /// How much the share of requests that need an approval may rise.
    pub max_needs_approval: PerMille,
    /// How many requests of a segment there must be before it is judged.
    pub min_requests: u64,
    /// Segments with limits of their own; the first that fits counts.
    pub segments: Vec<RollbackSegment>,
}

impl Default for Rollback {
    fn default() -> Self {
        let usual = PerMille::of(0.10);
        Self { max_denied: usual, max_needs_approval: usual, min_requests: 20, segments: Vec::new() }
    }
}

/// Limits for a part of the requests: all its conditions together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RollbackSegment {
    /// Of this workflow.
    pub workflow: Option<WorkflowName>,
    /// For this tool.
    pub tool: Option<ToolName>,
    /// For verbs of this access; `write` includes `privileged`.
    pub access: Option<Access>,
    /// How much the share of refusals may rise.
    pub max_denied: PerMille,
    /// How much the share of requests that need an approval may rise.
    pub max_needs_approval: PerMille,
}
