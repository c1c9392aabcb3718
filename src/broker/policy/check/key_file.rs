//! A file of public keys of an issuer or a trust domain.

use std::collections::BTreeSet;

use serde_json::Value;
use shortbread_protocol::json::{self, JsonError};
use toml::Spanned;

use super::super::model::KeySource;
use super::Check;

const MAX_BYTES: usize = 256 * 1024;

/// A file of keys, taken in by value.
pub(super) struct KeyFile {
    /// What its keys must be besides public; whether each is of use is decided where tokens are checked.
    pub(super) sound: fn(&[Value]) -> Result<(), &'static str>,
    pub(super) fix: &'static str,
}

impl KeyFile {
    pub(super) fn read(&self, check: &mut Check<'_>, path: &Spanned<String>) -> Option<KeySource> {
        let text = check.file(path, MAX_BYTES)?;
        if let Err(why) = jwks(&text).and_then(|keys| (self.sound)(&keys)) {
            check.files.remove(path.get_ref());
            check.problem(path.span(), format!("{path} {why}"), self.fix);
            return None;
        }
        Some(KeySource::Pinned(text))
    }
}

/// The keys of a JWKS, all public.
fn jwks(text: &str) -> Result<Vec<Value>, &'static str> {
    let document = json::object(text.as_bytes()).map_err(|error| match error {
        JsonError::Duplicate => "has a member twice, and readers would disagree about it",
        JsonError::Malformed | JsonError::TooDeep | JsonError::NotObject => "is not JSON, or no plain object",
    })?;
    let keys = document.get("keys").and_then(Value::as_array).ok_or("has no list `keys`")?;
    if keys.is_empty() {
        return Err("has no key, so no token could ever be accepted");
    }
    let mut seen = BTreeSet::new();
    for key in keys {
        let kind = key.get("kty").and_then(Value::as_str).ok_or("has a key without a `kty`")?;
        if kind == "oct" || key.get("d").is_some() {
            return Err("holds a secret key, which the broker must never see");
        }
        if key.get("kid").and_then(Value::as_str).is_some_and(|kid| !seen.insert(kid)) {
            return Err("has two keys with one `kid`, which then selects neither");
        }
    }
    Ok(keys.clone())
}
