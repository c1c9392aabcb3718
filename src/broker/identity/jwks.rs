//! A key set (RFC 7517) that is either sound as a whole or not used at all.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use thiserror::Error;

use super::key::{Algorithm, Key};
use super::origin::Usage;
use shortbread_protocol::json::{self, JsonError};

/// The largest key set or discovery document, in bytes.
pub(super) const MAX_BODY: usize = 256 * 1024;
const MAX_KEYS: usize = 256;

/// A document that is no usable key set.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeySetError {
    /// More than 256 KiB.
    #[error("the key set is larger than 256 KiB")]
    TooLarge,
    /// Not a plain JSON object.
    #[error("the key set cannot be read: {0}")]
    Json(#[from] JsonError),
    /// No `keys` array of objects, or a `kid` that is not a text.
    #[error("the key set is not an object with an array `keys` of objects")]
    Shape,
    /// More than 256 keys.
    #[error("the key set has more than 256 keys")]
    TooMany,
    /// A `kid` that selects nothing.
    #[error("two keys of the set have the same `kid`")]
    Duplicate,
    /// Nothing in it can check a signature.
    #[error(
        "the key set has no usable key (RSA of 2048 to 8192 bits for RS256, P-256 for ES256, Ed25519 for EdDSA)"
    )]
    Empty,
}

/// The usable keys of one issuer or trust domain: no `kid` twice; of an issuer at least one.
#[derive(Clone, Debug)]
pub struct KeySet {
    keys: Named,
}

/// Keys with their `kid`.
type Named = Vec<(Option<String>, Arc<Key>)>;

/// What a set has to say to a header.
#[derive(Debug)]
pub(super) enum Pick {
    Key(Arc<Key>),
    /// The key of this `kid` is for another algorithm.
    OtherAlgorithm,
    /// No key has this `kid`; a newer set may have it.
    Absent,
    /// No `kid`, and not exactly one key of the algorithm.
    Unclear,
}

impl KeySet {
    /// Reads a JWK Set. Keys of other uses and kinds are passed over.
    ///
    /// # Errors
    /// When the document as a whole is unsound, or nothing usable is left.
    pub fn read(body: &[u8]) -> Result<Self, KeySetError> {
        let (keys, _) = Self::keys(body, Usage::Signatures)?;
        if keys.is_empty() { Err(KeySetError::Empty) } else { Ok(Self { keys }) }
    }

    /// Reads a SPIFFE bundle, of which only the keys of JWT-SVIDs count, and how often it says it is to be read
    /// again. A bundle without any is sound: the trust domain has taken all back (SPIFFE Trust Domain and Bundle,
    /// section 4.1.3).
    ///
    /// # Errors
    /// When the document as a whole is unsound.
    pub fn bundle(body: &[u8]) -> Result<(Self, Option<Duration>), KeySetError> {
        let (keys, document) = Self::keys(body, Usage::JwtSvids)?;
        let hint = document.get("spiffe_refresh_hint").and_then(Value::as_u64).map(Duration::from_secs);
        Ok((Self { keys }, hint))
    }

    fn keys(body: &[u8], usage: Usage) -> Result<(Named, Map<String, Value>), KeySetError> {
        if body.len() > MAX_BODY {
            return Err(KeySetError::TooLarge);
        }
        let document = json::object(body)?;
        let list = document.get("keys").and_then(Value::as_array).ok_or(KeySetError::Shape)?;
        if list.len() > MAX_KEYS {
            return Err(KeySetError::TooMany);
        }
        let mut seen = HashSet::new();
        let mut keys = Vec::new();
        for jwk in list {
            let jwk = jwk.as_object().ok_or(KeySetError::Shape)?;
            let kid = jwk.get("kid").map(|kid| kid.as_str().ok_or(KeySetError::Shape)).transpose()?;
            if kid.is_some_and(|kid| !seen.insert(kid)) {
                return Err(KeySetError::Duplicate);
            }
            if let Some(key) = Key::from_jwk(jwk, usage) {
                keys.push((kid.map(str::to_owned), Arc::new(key)));
            }
        }
        Ok((keys, document))
    }

    pub(super) fn pick(&self, kid: Option<&str>, algorithm: Algorithm) -> Pick {
        let Some(kid) = kid else { return self.only(algorithm) };
        match self.keys.iter().find(|(id, _)| id.as_deref() == Some(kid)) {
            Some((_, key)) if key.algorithm() == algorithm => Pick::Key(Arc::clone(key)),
            Some(_) => Pick::OtherAlgorithm,
            None => Pick::Absent,
        }
    }

    fn only(&self, algorithm: Algorithm) -> Pick {
        let mut fitting = self.keys.iter().filter(|(_, key)| key.algorithm() == algorithm);
        match (fitting.next(), fitting.next()) {
            (Some((_, key)), None) => Pick::Key(Arc::clone(key)),
            _ => Pick::Unclear,
        }
    }
}
