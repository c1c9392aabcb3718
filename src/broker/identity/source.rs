//! Getting one set of keys: from an issuer's discovery document, from a URL of the policy, or from its pinned file.

use std::time::Duration;

use serde_json::Value;
use thiserror::Error;

use super::address::destination;
use super::fetch::{Fetch, FetchError, Fetched};
use super::jwks::{KeySet, KeySetError, MAX_BODY};
use super::origin::Usage;
use crate::policy::model::KeySource;
use shortbread_protocol::json::{self, JsonError};

/// Why a key set could not be had.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum LoadError {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error(transparent)]
    KeySet(#[from] KeySetError),
    #[error("the discovery document is larger than 256 KiB")]
    DiscoveryTooLarge,
    #[error("the discovery document cannot be read: {0}")]
    Discovery(JsonError),
    #[error("the discovery document's `issuer` is not the issuer of the policy")]
    OtherIssuer,
    #[error("the discovery document has no `jwks_uri`")]
    NoKeySet,
}

/// A key set and how long its server says it stays fresh.
pub(super) struct Loaded {
    pub(super) keys: KeySet,
    pub(super) max_age: Option<Duration>,
}

pub(super) async fn load(
    fetch: &dyn Fetch,
    issuer: &str,
    source: &KeySource,
    usage: Usage,
    allow_private: bool,
) -> Result<Loaded, LoadError> {
    let url = match source {
        KeySource::Pinned(document) => {
            return read(document.as_bytes(), usage, None);
        }
        KeySource::Url(url) => url.clone(),
        KeySource::Discovery => discovered(fetch, issuer, allow_private).await?,
    };
    let answer = guarded(fetch, &url, allow_private).await?;
    read(&answer.body, usage, answer.max_age)
}

fn read(body: &[u8], usage: Usage, max_age: Option<Duration>) -> Result<Loaded, LoadError> {
    match usage {
        Usage::Signatures => Ok(Loaded { keys: KeySet::read(body)?, max_age }),
        Usage::JwtSvids => {
            let (keys, hint) = KeySet::bundle(body)?;
            Ok(Loaded { keys, max_age: hint.or(max_age) })
        }
    }
}

/// `jwks_uri` of the issuer's own document (OpenID Connect Discovery 1.0, section 4).
async fn discovered(fetch: &dyn Fetch, issuer: &str, allow_private: bool) -> Result<String, LoadError> {
    let base = issuer.strip_suffix('/').unwrap_or(issuer);
    let url = format!("{base}/.well-known/openid-configuration");
    let answer = guarded(fetch, &url, allow_private).await?;
    if answer.body.len() > MAX_BODY {
        return Err(LoadError::DiscoveryTooLarge);
    }
    let document = json::object(&answer.body).map_err(LoadError::Discovery)?;
    if document.get("issuer").and_then(Value::as_str) != Some(issuer) {
        return Err(LoadError::OtherIssuer);
    }
    document.get("jwks_uri").and_then(Value::as_str).map(str::to_owned).ok_or(LoadError::NoKeySet)
}

// Checked here as well as by whoever fetches: `jwks_uri` is chosen by a stranger.
async fn guarded(fetch: &dyn Fetch, url: &str, allow_private: bool) -> Result<Fetched, FetchError> {
    destination(url, allow_private)?;
    fetch.fetch(url, allow_private).await
}
