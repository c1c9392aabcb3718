//! What a proof says about its request.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::{Expected, MAX_AGE, MAX_AHEAD, ProofError, url};
use crate::clock::Timestamp;

const MAX_JTI: usize = 256;
const MAX_TEXT: usize = 2048;

/// The claims of a proof (RFC 9449, section 4.2), and ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// What names it: 1 to 256 bytes.
    pub jti: String,
    /// The method of the request.
    pub htm: String,
    /// The URL of the request.
    pub htu: String,
    /// When it was made, in seconds since the epoch.
    pub iat: u64,
    /// SHA-256 of the token that goes with it.
    pub ath: Option<[u8; 32]>,
    /// `sb_op`: the operation that is called, as `tool/verb`. Privileged verbs want it.
    pub operation: Option<String>,
    /// `sb_args`: SHA-256 of the canonical JSON (RFC 8785) of the call's arguments. Privileged verbs want it.
    pub args: Option<[u8; 32]>,
    /// `sb_holder`: the thumbprint of the key for which a sub-agent's token is asked.
    pub holder: Option<String>,
}

impl Claims {
    pub(super) fn read(claims: &Map<String, Value>) -> Result<Self, ProofError> {
        let iat = claims.get("iat").and_then(Value::as_u64);
        Ok(Self {
            jti: text(claims, "jti", MAX_JTI)?.ok_or(ProofError::Malformed("jti is missing"))?,
            htm: text(claims, "htm", 32)?.ok_or(ProofError::Malformed("htm is missing"))?,
            htu: text(claims, "htu", MAX_TEXT)?.ok_or(ProofError::Malformed("htu is missing"))?,
            iat: iat.ok_or(ProofError::Malformed("iat is missing or not a whole number of seconds"))?,
            ath: hash(claims, "ath", ProofError::Malformed("ath is not a SHA-256 in base64url"))?,
            operation: text(claims, "sb_op", 128)?,
            args: hash(claims, "sb_args", ProofError::Malformed("sb_args is not a SHA-256 in base64url"))?,
            holder: text(claims, "sb_holder", 64)?,
        })
    }

    pub(super) fn check(&self, expected: &Expected<'_>) -> Result<(), ProofError> {
        let now = expected.now.seconds();
        let fresh = self.iat <= now.saturating_add(MAX_AHEAD) && self.iat.saturating_add(MAX_AGE) >= now;
        // Proofs from before this service remembers any could have been used before; `iat` is rounded down.
        if !fresh || Timestamp::from_seconds(self.iat) < expected.since {
            return Err(ProofError::Stale);
        }
        if self.htm != expected.method {
            return Err(ProofError::Mismatch("htm"));
        }
        if !url::same(&self.htu, expected.url) {
            return Err(ProofError::Mismatch("htu"));
        }
        if expected.token.is_some() && self.ath != expected.token {
            return Err(ProofError::Mismatch("ath"));
        }
        Ok(())
    }
}

fn text(claims: &Map<String, Value>, name: &'static str, most: usize) -> Result<Option<String>, ProofError> {
    match claims.get(name) {
        None => Ok(None),
        Some(Value::String(text)) if (1..=most).contains(&text.len()) => Ok(Some(text.clone())),
        Some(_) => Err(ProofError::Malformed("a claim is empty, too long or no text")),
    }
}

fn hash(claims: &Map<String, Value>, name: &str, wrong: ProofError) -> Result<Option<[u8; 32]>, ProofError> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let bytes = value.as_str().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok());
    let hash = bytes.and_then(|bytes| bytes.try_into().ok());
    hash.map(Some).ok_or(wrong)
}
