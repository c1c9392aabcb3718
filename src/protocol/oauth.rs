//! Bodies of `/oauth/*` and the metadata document (RFC 6749, 8414, 8693, 9396).

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::constraint::Arguments;
use crate::names::{Intent, Operation, Release, Task, ToolName, VerbName};
use crate::reason::Reason;

/// Grant type of RFC 8693.
pub const TOKEN_EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";
/// Grant type of RFC 7523.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Grant type of RFC 6749, section 4.4.
pub const CLIENT_CREDENTIALS: &str = "client_credentials";
/// Grant type with which an answer is fetched that waited for a person (draft-gerber-oauth-deferred-token-response-00).
pub const DEFERRED: &str = "urn:ietf:params:oauth:grant-type:deferred";
/// `completion_mode` of a request whose answer may wait for a person (the same draft).
pub const COMPLETION_DEFERRED: &str = "deferred";
/// `client_assertion_type` of RFC 7523.
pub const CLIENT_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";
/// `subject_token_type` of a workload's JWT.
pub const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";
/// `subject_token_type` that OpenID Connect issuers' tokens may also be called by.
pub const ID_TOKEN: &str = "urn:ietf:params:oauth:token-type:id_token";
/// What we issue, by its standard name.
pub const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
/// What we issue, by our own name; accepted where a type is asked for.
pub const BISCUIT: &str = "urn:shortbread:token-type:biscuit";
/// The one type of `authorization_details` element.
pub const TOOL_CALL: &str = "shortbread_tool_call";

/// Whether a holder may narrow the token and pass it on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Delegation {
    /// Sealed: nothing can be added to it.
    None,
    /// It can be narrowed offline.
    #[default]
    Attenuate,
}

/// One element of `authorization_details` (RFC 9396), in requests and answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct AuthorizationDetail {
    /// Always `shortbread_tool_call`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The audience of the tool, if given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub locations: Vec<String>,
    /// The tool.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub tool: ToolName,
    /// The verbs; absent where `call` or `calls` names them.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Vec<String>))]
    pub actions: Vec<VerbName>,
    /// By verb: what its arguments may be. A verb that is not named may have any arguments that the grant allows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, BTreeMap<String, crate::constraint::Constraint>>))]
    pub constraints: BTreeMap<VerbName, Arguments>,
    /// Answers only: further ways in which a verb is granted, where several grants give it. Any one of them suffices.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[cfg_attr(feature = "openapi", schema(value_type = BTreeMap<String, Vec<BTreeMap<String, crate::constraint::Constraint>>>))]
    pub alternatives: BTreeMap<VerbName, Vec<Arguments>>,
    /// The caller's id for this piece of work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub task: Option<Task>,
    /// The declared purpose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub intent: Option<Intent>,
    /// The prompt, model or code version that asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[cfg_attr(feature = "openapi", schema(value_type = Option<String>))]
    pub release: Option<Release>,
    /// The wished life in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u32>,
    /// Whether the token may be narrowed and passed on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<Delegation>,
    /// Requests only: one exact call. The token is good for it once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<ExactCall>,
    /// Requests only: a plan of 1 to [`MAX_CALLS`] exact calls, decided together. Each becomes a token of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calls: Option<Vec<ExactCall>>,
}

impl AuthorizationDetail {
    /// For a tool, with nothing else said yet.
    #[must_use]
    pub fn of(tool: ToolName) -> Self {
        Self {
            kind: TOOL_CALL.to_owned(),
            locations: Vec::new(),
            tool,
            actions: Vec::new(),
            constraints: BTreeMap::new(),
            alternatives: BTreeMap::new(),
            task: None,
            intent: None,
            release: None,
            ttl: None,
            delegation: None,
            call: None,
            calls: None,
        }
    }
}

/// The most calls of one plan.
pub const MAX_CALLS: usize = 32;

/// A call in full.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ExactCall {
    /// The verb.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub verb: VerbName,
    /// All of its arguments: at most 64 members; integers within 2^53 either way and no other numbers.
    #[serde(default)]
    #[cfg_attr(feature = "openapi", schema(value_type = Object))]
    pub args: serde_json::Map<String, serde_json::Value>,
}

/// The answer to a registered verifier that asks about a token (RFC 7662, section 2.2). What is not for sure is inactive,
/// and then nothing else is said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Introspection {
    /// Whether the call may be made; without a call, whether any verb may be called whatever the arguments are.
    pub active: bool,
    /// The broker's public URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Whom the token stands for, as `workflow:release-notes`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    /// The same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// The audiences of the tools that are answered for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aud: Vec<String>,
    /// The first second in which it is not valid any more, narrowing counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// The first second in which it is valid.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// When it was issued, in seconds since the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iat: Option<u64>,
    /// The token's id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// The verbs that are answered for, as `tool:verb`, in one string.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    /// `DPoP` for a token that is bound to a key, else `Bearer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// The same verbs by tool.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub authorization_details: Vec<AuthorizationDetail>,
    /// The key that the token is bound to: the caller has to ask its client for a proof of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Confirmation>,
}

impl Introspection {
    /// Nothing can be said.
    #[must_use]
    pub fn inactive() -> Self {
        Self::default()
    }
}

/// The key that a token is bound to (RFC 7800, RFC 9449).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Confirmation {
    /// The RFC 7638 thumbprint.
    pub jkt: String,
}

/// The answer to a granted exchange (RFC 8693, section 2.2.1).
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenAnswer {
    /// The token.
    pub access_token: String,
    /// Always the standard access token type.
    pub issued_token_type: String,
    /// `DPoP` where the token is bound to a key, else `Bearer`.
    pub token_type: String,
    /// Seconds until it ends.
    pub expires_in: u64,
    /// The granted verbs as `tool:verb`, in one string.
    pub scope: String,
    /// What was granted; may be narrower than asked.
    pub authorization_details: Vec<AuthorizationDetail>,
    /// What is ours.
    pub shortbread: TokenExtras,
}

/// What the answer says beyond OAuth.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenExtras {
    /// The token profile: `sb1`.
    pub profile: String,
    /// The token's id, by which it is revoked.
    pub token_id: String,
    /// The decision's id, by which the audit log finds it.
    pub decision_id: String,
    /// The digest of the policy that decided.
    pub policy: String,
    /// The sequence of the last revocation that was considered.
    pub revocation_seq: u64,
    /// Verbs that were asked for and not granted, each with its reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, String>,
    /// The step of degraded service, if any.
    pub degraded: Option<String>,
    /// The approval that it came from, if any; a revocation of it ends the tokens.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<String>,
    /// For exact calls: a sealed token for each, in the order of the request; `access_token` is the first of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub calls: Vec<CallToken>,
}

/// A token that is good for one exact call, once.
#[derive(Clone, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CallToken {
    /// The call's place in the request, from 0: the details in their order, the calls of each in theirs.
    pub place: u32,
    /// What is called, as `tool/verb`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub operation: Operation,
    /// SHA-256 of the call's arguments in canonical JSON (RFC 8785), in hex.
    pub args_sha256: String,
    /// The token's id.
    pub token_id: String,
    /// The token.
    pub access_token: String,
}

/// Says which it is, never the token.
impl fmt::Debug for CallToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, operation, token_id, .. } = self;
        let mut shown = f.debug_struct("CallToken");
        shown.field("place", place).field("operation", operation).field("token_id", token_id);
        shown.finish_non_exhaustive()
    }
}

/// What names a request that waits for a person. It is no credential: fetching the answer takes the client's key too.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DeferralCode(pub String);

impl fmt::Debug for DeferralCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("DeferralCode")
    }
}

/// The answer to a refused request on `/oauth/*` (RFC 6749, section 5.2).
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct OAuthError {
    /// The code of the standard.
    pub error: String,
    /// What was wrong and what to do.
    pub error_description: String,
    /// With `authorization_pending`: what to fetch the answer with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deferral_code: Option<DeferralCode>,
    /// With `authorization_pending`: for how many seconds more the request waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<u64>,
    /// With `authorization_pending` and `slow_down`: how many seconds to leave between two attempts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<u64>,
    /// What is ours.
    pub shortbread: ErrorExtras,
}

/// What a refusal says beyond OAuth.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ErrorExtras {
    /// The decision's id, by which the audit log and the log find it.
    pub decision_id: String,
    /// The request's id: its trace id.
    pub request_id: String,
    /// The stable reason code; `shortbread explain CODE` tells more.
    pub reason: String,
    /// Whether the same request may pass later.
    pub retryable: bool,
    /// Which part of the service is degraded, where that is why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<String>,
    /// What waits for a person, or waited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval_id: Option<String>,
    /// Within how many seconds the approvers should decide.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sla_seconds: Option<u64>,
    /// Who is asked now: the groups, separated by commas.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approvers: Option<String>,
    /// Where an approver looks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status_uri: Option<String>,
}

impl ErrorExtras {
    /// For a reason.
    #[must_use]
    pub fn new(reason: Reason, decision_id: String, request_id: String) -> Self {
        let (reason, retryable) = (reason.code().to_owned(), reason.retryable());
        Self {
            decision_id,
            request_id,
            reason,
            retryable,
            degraded: None,
            approval_id: None,
            sla_seconds: None,
            approvers: None,
            status_uri: None,
        }
    }
}

/// Authorization server metadata (RFC 8414): what this broker serves.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Metadata {
    /// The broker's public URL; equal to `iss`.
    pub issuer: String,
    /// Where tokens are asked for.
    pub token_endpoint: String,
    /// Where holders give tokens back.
    pub revocation_endpoint: String,
    /// Where registered verifiers ask about tokens.
    pub introspection_endpoint: String,
    /// How they prove who they are.
    pub introspection_endpoint_auth_methods_supported: Vec<String>,
    /// The token keys as a JWK set.
    pub jwks_uri: String,
    /// Always empty: there is no interactive grant.
    pub response_types_supported: Vec<String>,
    /// The grants that are served.
    pub grant_types_supported: Vec<String>,
    /// How clients prove who they are.
    pub token_endpoint_auth_methods_supported: Vec<String>,
    /// Signature algorithms of client assertions.
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    /// Signature algorithms of DPoP proofs (RFC 9449, section 5.1).
    #[serde(default)]
    pub dpop_signing_alg_values_supported: Vec<String>,
    /// Types of `authorization_details`.
    pub authorization_details_types_supported: Vec<String>,
    /// Every verb of the catalogue as `tool:verb`.
    pub scopes_supported: Vec<String>,
    /// What is ours.
    pub shortbread: MetadataExtras,
}

/// What the metadata says beyond OAuth.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MetadataExtras {
    /// The token profile: `sb1`.
    pub profile: String,
    /// The token keys for Biscuit libraries.
    pub biscuit_web_keys_uri: String,
    /// The head of the revocation list.
    pub revocations_head_uri: String,
    /// The newest checkpoint of the audit log.
    pub audit_checkpoint_uri: String,
    /// Where clients take back requests that wait for a person.
    pub deferral_cancellation_uri: String,
}
