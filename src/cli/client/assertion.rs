//! Who we are, said in a signed assertion (RFC 7523) that lives for a minute and is used once.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::{OperatorName, WorkflowName};
use shortbread_protocol::random::{self, Random, RandomError};

/// How long an assertion lives, in seconds.
const LIFE: u64 = 60;

/// A key and the name that the policy registers it under.
#[derive(Debug)]
pub(crate) struct Signer {
    subject: String,
    key: PrivateKey,
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

impl Signer {
    /// An operator.
    pub(crate) fn operator(name: &OperatorName, key: PrivateKey) -> Self {
        Self { subject: format!("operator:{name}"), key }
    }

    /// A workflow.
    pub(crate) fn workflow(name: &WorkflowName, key: PrivateKey) -> Self {
        Self { subject: format!("workflow:{name}"), key }
    }

    /// `operator:alice`, `workflow:demo`.
    pub(crate) fn subject(&self) -> &str {
        &self.subject
    }

    /// A fresh assertion for the broker with this issuer: an EdDSA JWT (RFC 8037).
    ///
    /// # Errors
    /// When there is no randomness.
    pub(crate) fn assertion(
        &self,
        issuer: &str,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<String, RandomError> {
        let claims = Claims {
            iss: &self.subject,
            sub: &self.subject,
            aud: issuer,
            iat: now.seconds(),
            exp: now.seconds() + LIFE,
            jti: random::id("jti_", now, random)?,
        };
        let header = URL_SAFE_NO_PAD.encode(br#"{"alg":"EdDSA","typ":"JWT"}"#);
        // Texts and numbers always serialise.
        let claims = URL_SAFE_NO_PAD.encode(serde_json::to_vec(&claims).unwrap_or_default());
        let signed = format!("{header}.{claims}");
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(signed.as_bytes()));
        Ok(format!("{signed}.{signature}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;
    use shortbread_protocol::random::SeededRandom;

    #[test]
    fn an_assertion_says_who_to_whom_and_for_how_long() {
        let key = PrivateKey::from_seed(&[5; 32]);
        let signer = Signer::operator(&"alice".parse().unwrap(), key.clone());
        let (now, random) = (Timestamp::from_seconds(1_795_176_000), SeededRandom::new(3));
        let issuer = "https://broker.acme.example";
        let jwt = signer.assertion(issuer, now, &random).unwrap();
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
        let again = signer.assertion(issuer, now, &random).unwrap();
        assert_ne!(json(again.split('.').nth(1).unwrap())["jti"], read["jti"], "an assertion is used once");
    }
}
