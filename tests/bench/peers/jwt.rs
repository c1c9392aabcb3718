//! JWTs that say the same in a `scope` claim, read by jsonwebtoken.

use std::collections::HashSet;

use jsonwebtoken::{DecodingKey, Validation, decode};
use serde_json::{Value, json};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::revocations::RevokedId;

use crate::Outcome;
use crate::load::assertion;
use crate::verify::{AUDIENCE, CALLED, ISSUER, TOOL, VERBS};

/// A verifier of JWTs. It looks the `jti` up in a hash set of its own.
pub struct Jwts {
    key: DecodingKey,
    validation: Validation,
    revoked: HashSet<[u8; 16]>,
}

impl Jwts {
    pub fn new(key: &PrivateKey, revoked: HashSet<[u8; 16]>) -> Outcome<Self> {
        let mut validation = Validation::new(jsonwebtoken::Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        validation.validate_nbf = true;
        let key = DecodingKey::from_ed_pem(key.public().to_pem().as_bytes())?;
        Ok(Self { key, validation, revoked })
    }

    /// A token under this id.
    pub fn token(key: &PrivateKey, id: &str, now: u64) -> String {
        let scope: Vec<String> = VERBS.iter().map(|(verb, _)| format!("{TOOL}:{verb}")).collect();
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "workflow:release-notes", "client_id": "workflow:release-notes",
            "iat": now, "nbf": now - 30, "exp": now + 3000, "jti": id, "scope": scope.join(" "),
        });
        assertion(key, &claims)
    }

    /// 1 when the call is allowed.
    pub fn check(&self, token: &str) -> usize {
        let read = decode::<Value>(token, &self.key, &self.validation);
        usize::from(read.is_ok_and(|read| {
            let text = |name: &str| read.claims.get(name).and_then(Value::as_str).unwrap_or_default();
            let wanted = format!("{TOOL}:{CALLED}");
            !self.revoked.contains(&RevokedId::hash(text("jti").as_bytes()))
                && text("scope").split(' ').any(|part| part == wanted)
        }))
    }
}
