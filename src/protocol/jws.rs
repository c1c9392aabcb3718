//! Signed JSON in compact form (RFC 7515) by an Ed25519 key (RFC 8037): what our own programs send and read.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::clock::Timestamp;
use crate::json;
use crate::keys::{PrivateKey, PublicKey};
use crate::random::{self, Random, RandomError};

/// How long an assertion lives, in seconds.
const LIFE: u64 = 60;

/// Why a signed message is not taken.
#[derive(Debug, Error)]
pub enum JwsError {
    /// Not three parts of base64url, or of another type than asked for.
    #[error("it is not a signed message of this kind")]
    Form,
    /// Another key signed it, or it was changed.
    #[error("its signature does not fit")]
    Signature,
    /// Signed, but not what it should say.
    #[error("it is not read: {0}")]
    Payload(#[from] serde_json::Error),
}

/// Signs a message of a type: the header is `alg` `EdDSA`, this `typ` and this `kid`.
#[must_use]
pub fn sign(kind: &str, key_id: &str, payload: &impl Serialize, key: &PrivateKey) -> String {
    finish(&header(kind, key_id), payload, key)
}

/// As [`sign`], by a key that is not in this process's hands: `by` signs the bytes that it is given.
///
/// # Errors
/// When `by` fails.
pub fn sign_by<E>(
    kind: &str,
    key_id: &str,
    payload: &impl Serialize,
    by: impl FnOnce(&[u8]) -> Result<[u8; 64], E>,
) -> Result<String, E> {
    let signed = signed_part(&header(kind, key_id), payload);
    let signature = URL_SAFE_NO_PAD.encode(by(signed.as_bytes())?);
    Ok(format!("{signed}.{signature}"))
}

/// The `kid` of a message of this type, which nobody vouched for yet: to find the key with.
#[must_use]
pub fn key_id(text: &str, kind: &str) -> Option<String> {
    let (header, _) = text.split_once('.')?;
    let header = json::object(&URL_SAFE_NO_PAD.decode(header).ok()?).ok()?;
    let of_kind = header.get("typ")?.as_str()? == kind && header.get("alg")?.as_str()? == "EdDSA";
    let id = header.get("kid")?.as_str().filter(|_| of_kind && header.len() == 3)?;
    Some(id.to_owned())
}

/// Reads a message of a type that this key signed under this `kid`. Members that the message does not know are as its
/// own type has it.
///
/// # Errors
/// When it is anything else.
pub fn open<T: DeserializeOwned>(text: &str, kind: &str, id: &str, key: &PublicKey) -> Result<T, JwsError> {
    if key_id(text, kind).as_deref() != Some(id) {
        return Err(JwsError::Form);
    }
    let (signed, signature) = text.rsplit_once('.').ok_or(JwsError::Form)?;
    let (_, payload) = signed.split_once('.').ok_or(JwsError::Form)?;
    let signature = URL_SAFE_NO_PAD.decode(signature).ok().and_then(|bytes| bytes.try_into().ok());
    if !key.verifies(signed.as_bytes(), &signature.ok_or(JwsError::Form)?) {
        return Err(JwsError::Signature);
    }
    let payload = URL_SAFE_NO_PAD.decode(payload).map_err(|_| JwsError::Form)?;
    Ok(json::read_as(&payload)?)
}

/// A fresh assertion (RFC 7523) that a registered key signs for itself: `subject` is such as `operator:alice` or
/// `verifier:github`, `audience` the broker's public URL. It lives for a minute and is used once.
///
/// # Errors
/// When there is no randomness.
pub fn assertion(
    subject: &str,
    audience: &str,
    key: &PrivateKey,
    now: Timestamp,
    random: &dyn Random,
) -> Result<String, RandomError> {
    let claims = Claims {
        iss: subject,
        sub: subject,
        aud: audience,
        iat: now.seconds(),
        exp: now.seconds() + LIFE,
        jti: random::id("jti_", now, random)?,
    };
    Ok(finish(r#"{"alg":"EdDSA","typ":"JWT"}"#, &claims, key))
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a str,
    iat: u64,
    exp: u64,
    jti: String,
}

#[derive(Serialize)]
struct Header<'a> {
    alg: &'static str,
    typ: &'a str,
    kid: &'a str,
}

fn header(kind: &str, key_id: &str) -> String {
    // Plain texts always serialise.
    serde_json::to_string(&Header { alg: "EdDSA", typ: kind, kid: key_id }).unwrap_or_default()
}

fn finish(header: &str, payload: &impl Serialize, key: &PrivateKey) -> String {
    let signed = signed_part(header, payload);
    let signature = URL_SAFE_NO_PAD.encode(key.sign(signed.as_bytes()));
    format!("{signed}.{signature}")
}

fn signed_part(header: &str, payload: &impl Serialize) -> String {
    let payload = serde_json::to_vec(payload).unwrap_or_default();
    format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::random::SeededRandom;

    const KIND: &str = "shortbread-report+jwt";

    #[test]
    fn signed_is_opened_by_its_key_kind_and_id_alone() {
        let (key, other) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]).public());
        let text = sign(KIND, "a", &serde_json::json!({ "n": 1 }), &key);
        assert_eq!(key_id(&text, KIND).as_deref(), Some("a"));
        let read: Value = open(&text, KIND, "a", &key.public()).unwrap();
        assert_eq!(read["n"], 1);
        assert!(matches!(open::<Value>(&text, KIND, "a", &other), Err(JwsError::Signature)));
        assert!(matches!(open::<Value>(&text, KIND, "b", &key.public()), Err(JwsError::Form)));
        assert!(matches!(open::<Value>(&text, "JWT", "a", &key.public()), Err(JwsError::Form)));
        for at in 0..text.len() {
            let mut changed = text.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).unwrap();
            assert!(open::<Value>(&changed, KIND, "a", &key.public()).is_err(), "{at}");
        }
    }

    #[test]
    fn an_assertion_says_who_to_whom_and_for_how_long() {
        let key = PrivateKey::from_seed(&[5; 32]);
        let (now, random) = (Timestamp::from_seconds(1_795_176_000), SeededRandom::new(3));
        let issuer = "https://broker.acme.example";
        let jwt = assertion("operator:alice", issuer, &key, now, &random).unwrap();
        let parts: Vec<&str> = jwt.split('.').collect();
        let [header, claims, signature] = parts[..] else { panic!("{jwt}") };
        let json =
            |part| -> Value { serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap() };
        assert_eq!(json(header), serde_json::json!({"alg": "EdDSA", "typ": "JWT"}));
        let read = json(claims);
        assert_eq!((&read["iss"], &read["sub"]), (&"operator:alice".into(), &"operator:alice".into()));
        assert_eq!(read["aud"], issuer);
        assert_eq!((&read["iat"], &read["exp"]), (&1_795_176_000.into(), &1_795_176_060.into()));
        let signature: [u8; 64] = URL_SAFE_NO_PAD.decode(signature).unwrap().try_into().unwrap();
        assert!(key.public().verifies(format!("{header}.{claims}").as_bytes(), &signature));
        let again = assertion("operator:alice", issuer, &key, now, &random).unwrap();
        assert_ne!(json(again.split('.').nth(1).unwrap())["jti"], read["jti"], "an assertion is used once");
    }
}
