//! biscuit-auth reading and authorizing the very same tokens, as `schema/token.md` has it for stock libraries.

use std::collections::HashSet;
use std::time::Duration;

use biscuit_auth::builder::Algorithm;
use biscuit_auth::macros::authorizer;
use biscuit_auth::{AuthorizerLimits, Biscuit, PublicKey};
use shortbread_protocol::keys;
use shortbread_protocol::revocations::RevokedId;

use crate::Outcome;
use crate::verify::{AUDIENCE, CALLED, TOOL};

/// A stock verifier. It looks its block ids up in a hash set of its own before it authorizes.
pub struct Stock {
    key: PublicKey,
    now: u64,
    revoked: HashSet<[u8; 16]>,
}

impl Stock {
    pub fn new(key: keys::PublicKey, now: u64, revoked: HashSet<[u8; 16]>) -> Outcome<Self> {
        Ok(Self { key: PublicKey::from_bytes(key.as_bytes(), Algorithm::Ed25519)?, now, revoked })
    }

    /// 1 when the call is allowed.
    pub fn check(&self, token: &str) -> usize {
        usize::from(Biscuit::from_base64(token, self.key).is_ok_and(|token| self.allows(&token)))
    }

    fn allows(&self, token: &Biscuit) -> bool {
        let revoked = |id: &Vec<u8>| self.revoked.contains(&RevokedId::hash(id));
        if token.revocation_identifiers().iter().any(revoked) {
            return false;
        }
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
