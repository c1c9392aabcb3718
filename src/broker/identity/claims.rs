//! What signed claims must say: times by the handed-in clock, the audience, the entry's own claims.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use shortbread_protocol::clock::{FOREVER, Timestamp};

use super::error::Cause;
use super::origin::Name;
use crate::delimited::delimited;

/// How far the clocks of an issuer and the broker may differ.
pub(super) const LEEWAY: Duration = Duration::from_secs(30);
/// The longest life, `exp` - `iat`, of a registered key's assertion.
const KEY_LIFE: Duration = Duration::from_secs(60);
/// How long after `iat` anyone's token is taken, whatever the entry says.
const TOKEN_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// How far ahead the end of a JWT-SVID without `iat` may lie: nothing else tells its age.
const SVID_LIFE: Duration = Duration::from_secs(60 * 60);
/// As long as a SPIFFE ID may be.
const MAX_SUBJECT: usize = 2048;

/// What a store must remember so that an assertion is taken once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replay {
    /// SHA-256 of issuer (or trust domain) and `jti`, or of the signing input where there is no `jti`.
    pub hash: [u8; 32],
    /// Until when, a whole second: after this the assertion is refused as expired or too old.
    pub keep_until: Timestamp,
    /// When it was made; for a JWT-SVID that does not say so, the first moment at which it could be taken.
    pub made: Timestamp,
}

/// When an assertion was made, when it ends, and when it is taken for the last time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Times {
    /// None only for a JWT-SVID.
    pub(super) issued: Option<Timestamp>,
    pub(super) expires: Timestamp,
    /// The last moment at which it is taken, by a clock that is right: some issuers' tokens live for a year.
    pub(super) last: Timestamp,
}

impl Times {
    /// For a registered key's assertion (RFC 7523): at most 60 s long.
    pub(super) fn of_assertion(claims: &Map<String, Value>, now: Timestamp) -> Result<Self, Cause> {
        let times = Self::read(claims, now)?;
        let issued = times.issued.ok_or(Cause::Missing("iat"))?;
        if times.expires.since(issued) > KEY_LIFE { Err(Cause::Lifetime) } else { Ok(times) }
    }

    /// For an issuer's token: at most a day old, however long it lives.
    pub(super) fn of_token(claims: &Map<String, Value>, now: Timestamp) -> Result<Self, Cause> {
        Self::read(claims, now)?.no_older(TOKEN_AGE, now)
    }

    /// For a JWT-SVID: the same where it has an `iat`, else its end tells.
    pub(super) fn of_svid(claims: &Map<String, Value>, now: Timestamp) -> Result<Self, Cause> {
        let times = Self::read(claims, now)?;
        if times.dated() {
            times.no_older(TOKEN_AGE, now)
        } else if times.expires > now.plus(SVID_LIFE) {
            Err(Cause::Lifetime)
        } else {
            Ok(times)
        }
    }

    /// Whether it says when it was made.
    pub(super) fn dated(self) -> bool {
        self.issued.is_some()
    }

    /// Refuses what was made longer ago than that, or does not say when.
    pub(super) fn no_older(self, than: Duration, now: Timestamp) -> Result<Self, Cause> {
        let issued = self.issued.ok_or(Cause::Missing("iat"))?;
        if now.since(issued) > than {
            return Err(Cause::TooOld);
        }
        Ok(Self { last: self.last.min(issued.plus(than)), ..self })
    }

    /// When it was made, as far as that is known: without `iat` it was refused for its length until then.
    fn made(self) -> Timestamp {
        self.issued.unwrap_or_else(|| {
            let first = self.expires.millis().saturating_sub(SVID_LIFE.as_secs() * 1000);
            Timestamp::from_millis(first)
        })
    }

    fn read(claims: &Map<String, Value>, now: Timestamp) -> Result<Self, Cause> {
        let expires = moment(claims, "exp")?.ok_or(Cause::Missing("exp"))?;
        let issued = moment(claims, "iat")?;
        let starts = moment(claims, "nbf")?;
        if issued.is_some_and(|issued| expires <= issued) {
            return Err(Cause::Lifetime);
        }
        if now >= expires.plus(LEEWAY) {
            return Err(Cause::Expired);
        }
        let latest = now.plus(LEEWAY);
        if issued.is_some_and(|issued| issued > latest) {
            return Err(Cause::FromTheFuture);
        }
        if starts.is_some_and(|starts| starts > latest) {
            return Err(Cause::NotYetValid);
        }
        Ok(Self { issued, expires, last: expires })
    }
}

/// A NumericDate (RFC 7519) in whole seconds; fractions are refused.
fn moment(claims: &Map<String, Value>, name: &'static str) -> Result<Option<Timestamp>, Cause> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let seconds = value.as_u64().filter(|seconds| *seconds <= FOREVER).ok_or(Cause::Malformed(name))?;
    Ok(Some(Timestamp::from_seconds(seconds)))
}

/// The one audience: a text, or an array with exactly one.
pub(super) fn audience(claims: &Map<String, Value>) -> Result<&str, Cause> {
    match claims.get("aud").ok_or(Cause::Missing("aud"))? {
        Value::String(one) => Ok(one),
        Value::Array(list) => match list.as_slice() {
            [Value::String(one)] => Ok(one),
            _ => Err(Cause::Audience),
        },
        _ => Err(Cause::Malformed("aud")),
    }
}

/// `sub`: 1 to 2048 bytes.
pub(super) fn subject(claims: &Map<String, Value>) -> Result<&str, Cause> {
    let value = claims.get("sub").ok_or(Cause::Missing("sub"))?;
    let text = value.as_str().filter(|text| (1..=MAX_SUBJECT).contains(&text.len()));
    text.ok_or(Cause::Malformed("sub"))
}

/// `jti` where there is one: 1 to 128 printable ASCII characters.
pub(super) fn token_id(claims: &Map<String, Value>) -> Result<Option<&str>, Cause> {
    let Some(value) = claims.get("jti") else { return Ok(None) };
    let sound = |id: &&str| (1..=128).contains(&id.len()) && id.bytes().all(|b| (b' '..=b'~').contains(&b));
    value.as_str().filter(sound).map(Some).ok_or(Cause::Malformed("jti"))
}

/// Whether the claims have every wanted member with its value.
pub(super) fn matches(claims: &Map<String, Value>, wanted: &BTreeMap<String, Value>) -> bool {
    wanted.iter().all(|(name, wanted)| claims.get(name).is_some_and(|claim| equal(claim, wanted)))
}

// Texts, integers and truth values are equal or not; `null` and fractions are never equal to anything.
fn equal(claim: &Value, wanted: &Value) -> bool {
    match (claim, wanted) {
        (Value::Object(claim), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| claim.get(name).is_some_and(|claim| equal(claim, wanted)))
        }
        (Value::Array(claim), Value::Array(wanted)) => claim == wanted,
        (Value::Number(claim), Value::Number(wanted)) => !wanted.is_f64() && claim == wanted,
        (Value::String(claim), Value::String(wanted)) => claim == wanted,
        (Value::Bool(claim), Value::Bool(wanted)) => claim == wanted,
        _ => false,
    }
}

/// The replay key of an assertion. Two spellings of one assertion have the same; ids of a trust domain and of an
/// issuer never have.
pub(super) fn replay(by: &Name<'_>, jti: Option<&str>, input: &[u8], times: Times) -> Replay {
    let tag = match by {
        Name::Issuer(_) => None,
        Name::TrustDomain(_) => Some("jwt-svid"),
    };
    let hash = match jti {
        Some(jti) => delimited(Sha256::new(), tag.into_iter().chain([by.as_str(), jti])),
        None => Sha256::new_with_prefix(input),
    };
    // `exp` and `iat` are whole seconds, so this is one too.
    Replay { hash: hash.finalize().into(), keep_until: times.last.plus(LEEWAY), made: times.made() }
}
