//! What the broker says of itself to anyone.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shortbread_protocol::biscuit::key_id;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::dpop;
use shortbread_protocol::key_document::{DocumentKey, KeyPurpose};
use shortbread_protocol::names::Operation;
use shortbread_protocol::oauth::{
    CLIENT_CREDENTIALS, DEFERRED, JWT_BEARER, Metadata, MetadataExtras, TOKEN_EXCHANGE, TOOL_CALL,
};

use super::App;
use crate::policy::builtin;

type Cached<T> = ([(HeaderName, &'static str); 1], Json<T>);

const MINUTE: [(HeaderName, &str); 1] = [(header::CACHE_CONTROL, "public, max-age=60")];

/// Authorization server metadata (RFC 8414).
#[utoipa::path(get, path = "/.well-known/oauth-authorization-server", tag = "metadata", responses((status = 200, body = Metadata)))]
pub(super) async fn metadata(State(app): State<App>) -> Cached<Metadata> {
    (MINUTE, Json(describe(&app)))
}

/// The same, where OpenID Connect clients look for it.
#[utoipa::path(get, path = "/.well-known/openid-configuration", tag = "metadata", responses((status = 200, body = Metadata)))]
pub(super) async fn metadata_oidc(State(app): State<App>) -> Cached<Metadata> {
    (MINUTE, Json(describe(&app)))
}

/// The token, revocation and audit keys as a JWK set (RFC 7517, 8037).
#[utoipa::path(get, path = "/.well-known/jwks.json", tag = "metadata", responses((status = 200, body = Object)))]
pub(super) async fn jwks(State(app): State<App>) -> Cached<Value> {
    let current = app.broker.keyring.current();
    let keys: Vec<Value> =
        current.document.keys.iter().filter(|key| key.purpose != KeyPurpose::Approver).map(jwk).collect();
    (MINUTE, Json(json!({ "keys": keys })))
}

/// The token keys, as Biscuit libraries read them.
#[utoipa::path(get, path = "/.well-known/biscuit-web-keys", tag = "metadata", responses((status = 200, body = Vec<Object>)))]
pub(super) async fn biscuit_keys(State(app): State<App>) -> Cached<Value> {
    let (current, issuer) = (app.broker.keyring.current(), &app.broker.issuer);
    let key = |listed: &DocumentKey| {
        json!({
            "algorithm": "ed25519",
            "key_bytes": hex::encode(listed.key.as_bytes()),
            "key_id": key_id(&listed.key),
            "issuer": issuer,
            "expires_at": Timestamp::from_seconds(listed.not_after).to_string(),
        })
    };
    (MINUTE, Json(current.document.of(KeyPurpose::Token).map(key).collect()))
}

fn jwk(listed: &DocumentKey) -> Value {
    json!({
        "kty": "OKP",
        "crv": "Ed25519",
        "x": URL_SAFE_NO_PAD.encode(listed.key.as_bytes()),
        "kid": listed.name,
        "use": "sig",
        "alg": "EdDSA",
        "shortbread_purpose": listed.purpose.as_str(),
    })
}

fn describe(app: &App) -> Metadata {
    let issuer = &app.broker.issuer;
    let at = |path: &str| format!("{issuer}{path}");
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let policy = app.broker.policy.in_force();
    let tools =
        policy.iter().flat_map(|policy| &policy.catalogue().tools).filter(|(name, _)| !builtin::is(name));
    let scopes = tools.flat_map(|(tool, entry)| {
        entry.verbs.keys().map(|verb| Operation { tool: tool.clone(), verb: verb.clone() }.scope())
    });
    Metadata {
        issuer: issuer.clone(),
        token_endpoint: at("/oauth/token"),
        revocation_endpoint: at("/oauth/revoke"),
        introspection_endpoint: at("/oauth/introspect"),
        introspection_endpoint_auth_methods_supported: texts(&["private_key_jwt"]),
        jwks_uri: at("/.well-known/jwks.json"),
        response_types_supported: Vec::new(),
        grant_types_supported: texts(&[TOKEN_EXCHANGE, JWT_BEARER, CLIENT_CREDENTIALS, DEFERRED]),
        token_endpoint_auth_methods_supported: texts(&["none", "private_key_jwt"]),
        token_endpoint_auth_signing_alg_values_supported: texts(&["EdDSA", "Ed25519", "ES256", "RS256"]),
        dpop_signing_alg_values_supported: texts(&dpop::ALGORITHMS),
        authorization_details_types_supported: texts(&[TOOL_CALL]),
        scopes_supported: scopes.collect(),
        shortbread: MetadataExtras {
            profile: "sb1".to_owned(),
            biscuit_web_keys_uri: at("/.well-known/biscuit-web-keys"),
            revocations_head_uri: at("/revocations/head"),
            audit_checkpoint_uri: at("/log/checkpoint"),
            deferral_cancellation_uri: at("/oauth/deferral/cancel"),
        },
    }
}
