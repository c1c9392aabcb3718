//! The same question put to other libraries: may this token's holder make this call?

use std::time::Duration;

use biscuit_auth::builder::Algorithm;
use biscuit_auth::macros::authorizer;
use biscuit_auth::{AuthorizerLimits, Biscuit, PublicKey};
use jsonwebtoken::{DecodingKey, Validation, decode};
use serde_json::{Value, json};
use shortbread_protocol::keys::{self, PrivateKey};

use crate::Outcome;
use crate::load::assertion;
use crate::verify::{AUDIENCE, CALLED, ISSUER, TOOL, VERBS};

/// biscuit-auth reading and authorizing the very same token, as `schema/token.md` has it.
pub struct Stock {
    token: String,
    key: PublicKey,
    now: u64,
}

impl Stock {
    pub fn new(token: &str, key: keys::PublicKey, now: u64) -> Outcome<Self> {
        let key = PublicKey::from_bytes(key.as_bytes(), Algorithm::Ed25519)?;
        let stock = Self { token: token.to_owned(), key, now };
        if stock.check() == 1 {
            Ok(stock)
        } else {
            Err("biscuit-auth refuses the token that is measured".into())
        }
    }

    pub fn check(&self) -> usize {
        usize::from(Biscuit::from_base64(&self.token, self.key).is_ok_and(|token| self.allows(&token)))
    }

    fn allows(&self, token: &Biscuit) -> bool {
        let verb = format!("{TOOL}/{CALLED}");
        let moment = |seconds: u64| std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        let (now, latest) = (moment(self.now), moment(self.now + 30));
        let authorizer = authorizer!(
            r#"
            time({now}); audience({AUDIENCE}); operation({TOOL}, {CALLED}); id("tool", {TOOL}); id("verb", {verb});
            latest({latest}); revocation_age(1);
            deny if id($kind, $value), revoked($kind, $value, $before), issued($at), $at < $before;
            deny if operation($tool, $verb), right($tool, $verb, $access), revoked("access", $access, $before), issued($at), $at < $before;
            deny if operation($tool, $verb), right($tool, $verb, $access), revoked("access", $scope, $before), $scope === $tool + "/" + $access, issued($at), $at < $before;
            deny if issued($at), latest($l), $at > $l;
            allow if operation($tool, $verb), right($tool, $verb, $access);
            "#
        );
        // The default of 1 ms wall time denies at random.
        let limits = AuthorizerLimits { max_time: Duration::from_secs(1), ..AuthorizerLimits::default() };
        authorizer.set_limits(limits).build(token).is_ok_and(|mut authorizer| authorizer.authorize().is_ok())
    }
}

/// A JWT that says the same in a `scope` claim.
pub struct Jwt {
    token: String,
    key: DecodingKey,
    validation: Validation,
}

impl Jwt {
    pub fn new(key: &PrivateKey, now: u64) -> Outcome<Self> {
        let scope: Vec<String> = VERBS.iter().map(|(verb, _)| format!("{TOOL}:{verb}")).collect();
        let claims = json!({
            "iss": ISSUER, "aud": AUDIENCE, "sub": "workflow:release-notes", "client_id": "workflow:release-notes",
            "iat": now, "nbf": now - 30, "exp": now + 3000, "jti": "tok_01", "scope": scope.join(" "),
        });
        let mut validation = Validation::new(jsonwebtoken::Algorithm::EdDSA);
        validation.set_audience(&[AUDIENCE]);
        validation.set_issuer(&[ISSUER]);
        validation.set_required_spec_claims(&["exp", "nbf", "aud", "iss", "sub"]);
        validation.validate_nbf = true;
        let key_of = DecodingKey::from_ed_pem(key.public().to_pem().as_bytes())?;
        let jwt = Self { token: assertion(key, &claims), key: key_of, validation };
        if jwt.check() == 1 { Ok(jwt) } else { Err("jsonwebtoken refuses the token that is measured".into()) }
    }

    pub fn check(&self) -> usize {
        let wanted = format!("{TOOL}:{CALLED}");
        let read = decode::<Value>(&self.token, &self.key, &self.validation);
        usize::from(read.is_ok_and(|read| {
            let scope = read.claims.get("scope").and_then(Value::as_str).unwrap_or_default();
            scope.split(' ').any(|part| part == wanted)
        }))
    }
}
