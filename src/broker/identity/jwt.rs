//! A strict reader of JWS compact form (RFC 7515, RFC 8725). Before the signature is checked only `iss`,
//! `kid`, `alg`, `typ` and the trust domain in `sub` can be seen; the claims come out of a type that only the check makes.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::error::Cause;
use super::key::{Algorithm, Key};
use crate::policy::spiffe::domain_of;
use shortbread_protocol::json;

/// The longest assertion, in bytes.
const MAX_LENGTH: usize = 16 * 1024;
const MAX_KEY_ID: usize = 256;

/// What `typ` may say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Absent or `JWT`.
    Plain,
    /// `client-authentication+jwt`: a registered key's assertion.
    Client,
    /// `JOSE`, which a JWT-SVID may say.
    Jose,
}

/// An assertion that reads well and proves nothing yet.
pub(super) struct Unverified<'a> {
    signed: &'a str,
    signature: Vec<u8>,
    algorithm: Algorithm,
    kid: Option<String>,
    kind: Kind,
    issuer: Option<String>,
    claims: Map<String, Value>,
}

impl<'a> Unverified<'a> {
    pub(super) fn read(assertion: &'a str) -> Result<Self, Cause> {
        if assertion.len() > MAX_LENGTH {
            return Err(Cause::TooLong);
        }
        let (signed, signature) = assertion.rsplit_once('.').ok_or(Cause::Parts)?;
        let (header, payload) = signed.split_once('.').ok_or(Cause::Parts)?;
        if payload.contains('.') {
            return Err(Cause::Parts);
        }
        let header = json::object(&decode(header)?).map_err(Cause::HeaderJson)?;
        let claims = json::object(&decode(payload)?).map_err(Cause::PayloadJson)?;
        if header.contains_key("crit") || header.contains_key("b64") {
            return Err(Cause::Critical);
        }
        Ok(Self {
            signed,
            signature: decode(signature)?,
            algorithm: algorithm(&header)?,
            kid: kid(&header)?,
            kind: kind(&header)?,
            issuer: issuer(&claims)?,
            claims,
        })
    }

    /// Whose keys to look for; good for nothing else. A JWT-SVID may leave it out.
    pub(super) fn issuer(&self) -> Option<&str> {
        self.issuer.as_deref()
    }

    /// Whose bundle to look for, where `sub` reads like a SPIFFE ID; good for nothing else.
    pub(super) fn trust_domain(&self) -> Option<&str> {
        self.claims.get("sub").and_then(Value::as_str).and_then(domain_of)
    }

    pub(super) fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    pub(super) fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// Checks the signature, by the key's own algorithm.
    pub(super) fn signed_by(&self, key: &Key) -> Result<Signed<'_>, Cause> {
        if key.algorithm() != self.algorithm {
            return Err(Cause::OtherAlgorithm);
        }
        if !key.verifies(self.signed.as_bytes(), &self.signature) {
            return Err(Cause::Signature);
        }
        Ok(Signed { signed: self.signed, claims: &self.claims })
    }
}

/// Claims that a key signed. Only [`Unverified::signed_by`] makes one.
#[derive(Clone, Copy)]
pub(super) struct Signed<'a> {
    signed: &'a str,
    claims: &'a Map<String, Value>,
}

impl<'a> Signed<'a> {
    /// The bytes under the signature, in their one spelling.
    pub(super) fn input(&self) -> &'a [u8] {
        self.signed.as_bytes()
    }

    pub(super) fn claims(&self) -> &'a Map<String, Value> {
        self.claims
    }
}

// The engine refuses padding and stray bits, so bytes have exactly one spelling.
fn decode(part: &str) -> Result<Vec<u8>, Cause> {
    URL_SAFE_NO_PAD.decode(part).map_err(|_| Cause::Encoding)
}

fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, Cause> {
    header.get("alg").and_then(Value::as_str).and_then(Algorithm::named).ok_or(Cause::Algorithm)
}

fn issuer(claims: &Map<String, Value>) -> Result<Option<String>, Cause> {
    match claims.get("iss") {
        None => Ok(None),
        Some(Value::String(issuer)) if !issuer.is_empty() => Ok(Some(issuer.clone())),
        Some(_) => Err(Cause::NoIssuer),
    }
}

fn kid(header: &Map<String, Value>) -> Result<Option<String>, Cause> {
    match header.get("kid") {
        None => Ok(None),
        Some(Value::String(kid)) if (1..=MAX_KEY_ID).contains(&kid.len()) => Ok(Some(kid.clone())),
        Some(_) => Err(Cause::KeyId),
    }
}

fn kind(header: &Map<String, Value>) -> Result<Kind, Cause> {
    match header.get("typ") {
        None => Ok(Kind::Plain),
        Some(Value::String(typ)) if typ.eq_ignore_ascii_case("JWT") => Ok(Kind::Plain),
        Some(Value::String(typ)) if typ.eq_ignore_ascii_case("client-authentication+jwt") => Ok(Kind::Client),
        Some(Value::String(typ)) if typ.eq_ignore_ascii_case("JOSE") => Ok(Kind::Jose),
        Some(_) => Err(Cause::Type),
    }
}
