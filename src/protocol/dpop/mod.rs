//! DPoP proofs (RFC 9449): a small signed statement that whoever sends a request holds a key. The broker binds tokens to
//! that key, tool services check that each call comes with a proof of it. Both sides read proofs with this module.
//!
//! What costs little is asked first and the signature last, so that a bad proof never costs more than a good one.

mod claims;
mod make;
#[cfg(test)]
mod tests;
mod url;

pub use claims::Claims;
pub use make::{ProofKey, Statement};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::clock::Timestamp;
use crate::json;
use crate::keys::{self, Es256Key};
use crate::reason::Reason;

/// The longest proof, in bytes.
pub const MAX_PROOF: usize = 4096;

/// How old a proof may be, in seconds.
pub const MAX_AGE: u64 = 60;

/// How far ahead of this machine's clock a proof may have been made, in seconds.
pub const MAX_AHEAD: u64 = 5;

/// The algorithms of proofs, as metadata documents list them.
pub const ALGORITHMS: [&str; 3] = ["EdDSA", "Ed25519", "ES256"];

/// What is wrong with a proof. It never shows the proof.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ProofError {
    /// It cannot be read as a proof; says which part.
    #[error("the DPoP proof cannot be read: {0}")]
    Malformed(&'static str),
    /// It was made for another request; names the claim.
    #[error("the claim {0} of the DPoP proof does not fit this request")]
    Mismatch(&'static str),
    /// Its `iat` is not within the last minute.
    #[error("the DPoP proof is not from the last 60 seconds, or from before this service started")]
    Stale,
    /// Another key made it than the one that is asked for.
    #[error("the DPoP proof was made with another key")]
    WrongKey,
    /// The signature does not fit its key.
    #[error("the signature of the DPoP proof does not fit its key")]
    Signature,
}

impl ProofError {
    /// The stable reason.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Malformed(_) => Reason::ProofMalformed,
            Self::Mismatch(_) => Reason::ProofMismatch,
            Self::Stale => Reason::ProofStale,
            Self::WrongKey => Reason::WrongHolder,
            Self::Signature => Reason::ProofSignature,
        }
    }
}

/// The request that a proof has to be about.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// The URL of the request as clients write it, by configuration. Query and fragment do not count.
    pub url: &'a str,
    /// SHA-256 of the text of the token that came with it; `None` where there is no token yet.
    pub token: Option<[u8; 32]>,
    /// The thumbprint of the key that must have made it; `None` for any.
    pub holder: Option<&'a str>,
    /// Now.
    pub now: Timestamp,
    /// Since when used proofs are remembered here. Proofs from the second that this falls into are refused, unless it
    /// falls on its beginning.
    pub since: Timestamp,
}

/// A proof that reads well and proves nothing yet.
pub struct Unproved<'a> {
    signed: &'a str,
    signature: [u8; 64],
    key: Key,
    thumbprint: String,
    claims: Claims,
}

/// A proof that is about the request it came with, if it is genuine. Only [`Unproved::fit`] makes one.
pub struct Fitting<'a>(Unproved<'a>);

/// A proof whose key made it for the request it came with. Only [`Fitting::verify`] makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    thumbprint: String,
    claims: Claims,
    _checked: Checked,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Checked;

enum Key {
    // Whether these bytes are a key at all costs a tenth of the signature: that is asked with it.
    Ed25519([u8; 32]),
    Es256(Box<Es256Key>),
}

impl<'a> Unproved<'a> {
    /// Reads the text of a `DPoP` header.
    ///
    /// # Errors
    /// When it is no DPoP proof, is not signed with EdDSA or ES256, or shows a private key.
    pub fn read(text: &'a str) -> Result<Self, ProofError> {
        if text.len() > MAX_PROOF {
            return Err(ProofError::Malformed("it has more than 4096 bytes"));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ProofError::Malformed("it has not three parts"));
        };
        let signed = text.get(..header.len() + 1 + claims.len()).unwrap_or_default();
        let signature = decode(signature)?;
        let signature = <[u8; 64]>::try_from(signature.as_slice());
        let header = object(header)?;
        let key = key(&header)?;
        Ok(Self {
            signed,
            signature: signature.map_err(|_| ProofError::Malformed("its signature has not 64 bytes"))?,
            thumbprint: key.thumbprint(),
            key,
            claims: Claims::read(&object(claims)?)?,
        })
    }

    /// The RFC 7638 thumbprint of the key that it names.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// What it says; not believed yet.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// Whether it was made for this request, now, by its own key. Whether it was used before is for the caller to ask,
    /// by [`Proof::id`].
    ///
    /// # Errors
    /// With the first thing that does not fit; the signature comes last.
    pub fn check(self, expected: &Expected<'_>) -> Result<Proof, ProofError> {
        self.fit(expected)?.verify()
    }

    /// The first half of [`Unproved::check`]: everything but the signature, which costs more than all of this.
    ///
    /// # Errors
    /// With the first thing that does not fit.
    pub fn fit(self, expected: &Expected<'_>) -> Result<Fitting<'a>, ProofError> {
        if expected.holder.is_some_and(|holder| holder != self.thumbprint) {
            return Err(ProofError::WrongKey);
        }
        self.claims.check(expected)?;
        Ok(Fitting(self))
    }
}

impl Fitting<'_> {
    /// The second half of [`Unproved::check`]: whether its own key signed it.
    ///
    /// # Errors
    /// When it did not.
    pub fn verify(self) -> Result<Proof, ProofError> {
        let Unproved { signed, signature, key, thumbprint, claims } = self.0;
        let holds = match &key {
            Key::Ed25519(key) => keys::verifies(key, signed.as_bytes(), &signature),
            Key::Es256(key) => key.verifies(signed.as_bytes(), &signature),
        };
        if holds { Ok(Proof { thumbprint, claims, _checked: Checked }) } else { Err(ProofError::Signature) }
    }
}

impl Proof {
    /// The RFC 7638 thumbprint of the key that made it.
    #[must_use]
    pub fn thumbprint(&self) -> &str {
        &self.thumbprint
    }

    /// What it says.
    #[must_use]
    pub const fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What names this proof among all: a hash of its key and its `jti`.
    #[must_use]
    pub fn id(&self) -> [u8; 32] {
        let hash = Sha256::new().chain_update(&self.thumbprint).chain_update([0]);
        hash.chain_update(&self.claims.jti).finalize().into()
    }

    /// Until when it is taken.
    #[must_use]
    pub const fn until(&self) -> Timestamp {
        Timestamp::from_seconds(self.claims.iat.saturating_add(MAX_AGE))
    }
}

/// SHA-256 of a token's text, which the claim `ath` carries.
#[must_use]
pub fn token_hash(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

impl Key {
    fn thumbprint(&self) -> String {
        match self {
            Self::Ed25519(key) => keys::thumbprint(key),
            Self::Es256(key) => key.thumbprint(),
        }
    }
}

// The engine refuses padding and stray bits, so bytes have exactly one spelling.
fn decode(part: &str) -> Result<Vec<u8>, ProofError> {
    let engine = URL_SAFE_NO_PAD.decode(part);
    engine.map_err(|_| ProofError::Malformed("a part is not base64url without padding"))
}

fn object(part: &str) -> Result<Map<String, Value>, ProofError> {
    json::object(&decode(part)?).map_err(|_| ProofError::Malformed("a part is not one sound JSON object"))
}

fn key(header: &Map<String, Value>) -> Result<Key, ProofError> {
    let text = |name: &str| header.get(name).and_then(Value::as_str);
    if !text("typ").is_some_and(|typ| typ.eq_ignore_ascii_case("dpop+jwt")) {
        return Err(ProofError::Malformed("typ is not dpop+jwt"));
    }
    if header.contains_key("crit") || header.contains_key("b64") {
        return Err(ProofError::Malformed("it has critical extensions"));
    }
    let Some(Value::Object(jwk)) = header.get("jwk") else {
        return Err(ProofError::Malformed("jwk is missing"));
    };
    if jwk.contains_key("d") || jwk.contains_key("k") {
        return Err(ProofError::Malformed("jwk shows a private key"));
    }
    let member = |name: &str| jwk.get(name).and_then(Value::as_str);
    match (text("alg"), member("kty"), member("crv")) {
        (Some("EdDSA" | "Ed25519"), Some("OKP"), Some("Ed25519")) => {
            Ok(Key::Ed25519(coordinate(member("x"))?))
        }
        (Some("ES256"), Some("EC"), Some("P-256")) => {
            let key = Es256Key::from_xy(&coordinate(member("x"))?, &coordinate(member("y"))?);
            Ok(Key::Es256(Box::new(key.map_err(|_| ProofError::Malformed("jwk is no P-256 key"))?)))
        }
        _ => Err(ProofError::Malformed("alg is not EdDSA, Ed25519 or ES256, or jwk is for another one")),
    }
}

fn coordinate(text: Option<&str>) -> Result<[u8; 32], ProofError> {
    let bytes = decode(text.ok_or(ProofError::Malformed("a member of jwk is missing"))?)?;
    bytes.as_slice().try_into().map_err(|_| ProofError::Malformed("a member of jwk has not 32 bytes"))
}
