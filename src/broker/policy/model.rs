//! The compiled policy: checked, indexed, immutable.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::Value;
use shortbread_protocol::access::Access;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::names::{ArgName, OperatorName, ToolName, VerbName, VerifierName, WorkflowName};

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
#[derive(Clone, Debug)]
pub struct Identity {
    /// A short stable label for the audit log, such as `release-notes` or `enrich+mail-merge`.
    pub entry: String,
    /// One principal, or several workflows of which the request picks one.
    pub principals: Vec<Principal>,
    /// For a verifier: the tools whose calls it decides.
    pub tools: Vec<ToolName>,
    /// What must be proved.
    pub proof: Proof,
}

/// What an identity proves itself with.
#[derive(Clone, Debug)]
pub enum Proof {
    /// A registered Ed25519 key, by an RFC 7523 assertion.
    Key(PublicKey),
    /// A token of an OpenID Connect issuer.
    Oidc(Oidc),
}

/// A token of an OpenID Connect issuer, and which of its claims must have which value.
#[derive(Clone, Debug)]
pub struct Oidc {
    /// The exact `iss`.
    pub issuer: String,
    /// The exact `aud`.
    pub audience: String,
    /// Claims that must be there and be equal; objects are matched member by member.
    pub claims: BTreeMap<String, Value>,
    /// Where the issuer's keys come from.
    pub keys: KeySource,
    /// Whether the issuer may live at a private address.
    pub allow_private: bool,
    /// Whether the same token may be presented again until it expires.
    pub reuse_until_expiry: bool,
}

/// Where an issuer's keys come from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum KeySource {
    /// `{issuer}/.well-known/openid-configuration`, then its `jwks_uri`.
    Discovery,
    /// This URL (`jwks_url` in the policy).
    Url(String),
    /// A pinned JWKS file (`jwks_file` in the policy), taken in by value.
    Pinned(String),
}

/// The `[tools]` of the policy, with the built-in tool added.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// Tools by name.
    pub tools: BTreeMap<ToolName, Tool>,
}

/// One tool of the catalogue.
#[derive(Clone, Debug)]
pub struct Tool {
    /// The exact URL that tokens for it name.
    pub audience: String,
    /// Its verbs.
    pub verbs: BTreeMap<VerbName, Verb>,
}

/// One verb of a tool.
#[derive(Clone, Debug)]
pub struct Verb {
    /// What kind of harm it can do.
    pub access: Access,
    /// The arguments it takes, where the catalogue lists them.
    pub args: Option<Vec<ArgName>>,
}

/// A request rate: so many in so long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many requests.
    pub count: u32,
    /// In how long.
    pub per: Duration,
}
