//! Who is asking: assertions and tokens of issuers, checked and matched against the policy.
//!
//! An assertion is read (`jwt`), its issuer or trust domain looked up in the policy, the key found (`issuers`),
//! the signature checked, then the claims (`claims`); in the end exactly one entry must want it.

mod address;
mod claims;
mod error;
mod federated;
mod fetch;
mod issuer;
mod issuers;
mod jwks;
mod jwt;
mod key;
mod origin;
mod recall;
mod source;

use std::sync::Arc;

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::names::{OperatorName, ToolName};

pub(crate) use self::address::destination;
pub use self::claims::Replay;
pub use self::error::{Cause, Degraded, IdentityError};
pub(crate) use self::fetch::client;
pub use self::fetch::{Fetch, FetchError, Fetched, Form, HttpFetch};
pub use self::issuer::IssuerStanding;
pub use self::jwks::{KeySet, KeySetError};
pub use self::recall::{Proved, Recalled, is_known, recall};
pub use shortbread_protocol::json::JsonError;

use self::claims::Times;
use self::federated::{of_issuer, of_trust_domain};
use self::issuers::Issuers;
use self::jwt::{Kind, Signed, Unverified};
use self::key::Key;
use self::origin::{Name, Origin};
use crate::breaker::Maker;
use crate::delimited::delimited;
use crate::policy::model::{Identity, Principal, Proof};

/// Checks identities. One per broker: it keeps the issuers' keys.
pub struct Identities {
    clock: Arc<dyn Clock>,
    issuers: Issuers,
    /// Whom a registered key's assertion may be meant for: the broker or its token endpoint (RFC 7523, 3).
    audiences: [String; 2],
}

/// An identity that holds and that exactly one entry of the policy wants. Only [`Identities::verify`] makes one.
#[derive(Clone, Debug)]
pub struct Verified {
    /// The entry's label.
    pub entry: String,
    /// Who this may be: one, or several workflows of which the request picks one. Never several operators.
    pub principals: Vec<Principal>,
    /// Who vouches for it: `iss`; for a JWT-SVID the trust domain's own id, such as `spiffe://acme.example`.
    pub issuer: String,
    /// `sub`.
    pub subject: String,
    /// `jti`, which issuers may leave out.
    pub jti: Option<String>,
    /// Every claim.
    pub claims: Map<String, Value>,
    /// `exp`.
    pub expires: Timestamp,
    /// `iat`, which JWT-SVIDs may leave out.
    pub issued: Option<Timestamp>,
    /// What to remember so that this is taken once.
    pub replay: Replay,
    /// Whether the entry lets the same token be presented again until it expires (pinned to a key).
    pub reuse: bool,
    /// For a verifier: the tools whose calls it decides.
    pub tools: Vec<ToolName>,
    /// The RFC 7638 thumbprint of the registered key; none for an issuer's token.
    pub key_thumbprint: Option<String>,
    /// Whether and how this rests on less than usual: the issuer fails, and an older set of its keys was used.
    pub degraded: Option<Degraded>,
    _checked: Checked,
}

// Keeps others from writing a `Verified` down.
#[derive(Clone, Copy, Debug)]
struct Checked;

impl Verified {
    /// Who the request acts as. Where only one principal is possible `client_id` may be absent.
    ///
    /// # Errors
    /// [`IdentityError::WorkflowUnlisted`] when `client_id` names another, or has to choose and is absent.
    pub fn principal(&self, client_id: Option<&str>) -> Result<Principal, IdentityError> {
        let found = match (client_id, self.principals.as_slice()) {
            (None, [only]) => Some(only),
            (None, _) => None,
            (Some(wanted), listed) => listed.iter().find(|principal| principal.to_string() == wanted),
        };
        found.cloned().ok_or(IdentityError::WorkflowUnlisted)
    }

    /// Names whom an issuer says this is, whatever they are called; none for a registered key, whose identity is the key.
    #[must_use]
    pub fn person(&self) -> Option<[u8; 32]> {
        let told = || delimited(Sha256::new(), [self.issuer.as_str(), &self.subject]).finalize().into();
        self.key_thumbprint.is_none().then(told)
    }
}

impl Identities {
    /// For the broker whose issuer URL is `issuer`, exactly as clients write it.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, fetch: Arc<dyn Fetch>, issuer: &str) -> Self {
        let endpoint = format!("{}/oauth/token", issuer.strip_suffix('/').unwrap_or(issuer));
        let issuers = Issuers::new(Arc::clone(&clock), fetch, Maker::unwatched(Arc::clone(&clock)));
        Self { clock, issuers, audiences: [issuer.to_owned(), endpoint] }
    }

    /// With other breakers before its issuers.
    #[must_use]
    pub fn guarded(self, breakers: Maker) -> Self {
        Self { issuers: self.issuers.guarded(breakers), ..self }
    }

    /// How the keys of issuers and trust domains stand that were asked for, by name; pinned keys do not change.
    #[must_use]
    pub fn standings(&self) -> Vec<IssuerStanding> {
        self.issuers.standings()
    }

    /// Checks an assertion (a JWS in compact form) against the policy's entries. It does not know what was
    /// presented before: the caller settles [`Verified::replay`] in the transaction that records its answer.
    /// Needs a Tokio runtime; it waits only when an issuer's keys must be fetched first (two requests of at
    /// most 3 s each).
    ///
    /// # Errors
    /// When the assertion does not hold, no entry or more than one wants it, or keys cannot be had.
    pub async fn verify(&self, assertion: &str, entries: &[Identity]) -> Result<Verified, IdentityError> {
        let token = Unverified::read(assertion)?;
        // Whatever `iss` says: for a name in a trust domain that the policy knows, its bundle alone counts.
        let svids = token.trust_domain().map(|domain| of_trust_domain(entries, domain)).unwrap_or_default();
        if !svids.is_empty() {
            return self.by_token(&token, &svids).await;
        }
        let Some(issuer) = token.issuer() else {
            let known = token.trust_domain().map_or(Cause::NoIssuer, |_| Cause::UnknownIssuer);
            return Err(known.into());
        };
        let keys = registered(entries, issuer);
        let tokens = of_issuer(entries, issuer);
        match (keys.is_empty(), tokens.is_empty()) {
            (false, true) => self.by_key(&token, issuer, &keys),
            (true, false) => self.by_token(&token, &tokens).await,
            (true, true) => Err(Cause::UnknownIssuer.into()),
            (false, false) => Err(IdentityError::Ambiguous),
        }
    }

    /// The operator whose registered key signed this assertion; waits for nobody. `may` is asked before a signature is
    /// checked. It says who is at the door and admits nobody: [`Identities::verify`] does.
    #[must_use]
    pub fn operator(
        &self,
        assertion: &str,
        entries: &[Identity],
        may: impl FnOnce() -> bool,
    ) -> Option<OperatorName> {
        let token = Unverified::read(assertion).ok()?;
        let issuer = token.issuer()?;
        issuer.strip_prefix("operator:")?;
        let keys = registered(entries, issuer);
        if keys.is_empty() || !may() {
            return None;
        }
        match self.by_key(&token, issuer, &keys).ok()?.principals.as_slice() {
            [Principal::Operator(name)] => Some(name.clone()),
            _ => None,
        }
    }

    /// Forgets the keys of issuers that the policy no longer names; for the activation of a policy.
    pub fn retain<'e>(&self, entries: impl IntoIterator<Item = &'e Identity>) {
        let wanted: Vec<Origin<'_>> = entries.into_iter().filter_map(Origin::of).collect();
        self.issuers.retain(&wanted);
    }

    /// RFC 7523: the key signs for itself, so `iss` and `sub` are the principal it is registered for.
    fn by_key(
        &self,
        token: &Unverified<'_>,
        issuer: &str,
        candidates: &[Registered<'_>],
    ) -> Result<Verified, IdentityError> {
        if token.kind() == Kind::Jose {
            return Err(Cause::Type.into());
        }
        let mut failure = Cause::Signature;
        let mut proved = Vec::new();
        for candidate in candidates {
            match token.signed_by(&Key::Ed(*candidate.key)) {
                Ok(signed) => proved.push((candidate, signed)),
                Err(cause) => failure = cause,
            }
        }
        let (candidate, signed) = one(&proved, failure.into())?;
        let claims = signed.claims();
        let times = Times::of_assertion(claims, self.clock.now())?;
        if claims::subject(claims)? != issuer {
            return Err(Cause::Subject.into());
        }
        let audience = claims::audience(claims)?;
        if !self.audiences.iter().any(|ours| ours == audience) {
            return Err(Cause::Audience.into());
        }
        claims::token_id(claims)?.ok_or(Cause::Missing("jti"))?;
        let mut verified = verified(candidate.entry, &Name::Issuer(issuer), *signed, times)?;
        verified.principals = vec![candidate.principal.clone()];
        verified.key_thumbprint = Some(candidate.key.thumbprint());
        Ok(verified)
    }
}

/// An entry with a registered key, and which of its principals the assertion names.
struct Registered<'e> {
    entry: &'e Identity,
    key: &'e PublicKey,
    principal: &'e Principal,
}

fn registered<'e>(entries: &'e [Identity], issuer: &str) -> Vec<Registered<'e>> {
    let named = |entry: &'e Identity| {
        let Proof::Key(key) = &entry.proof else { return None };
        let principal = entry.principals.iter().find(|principal| principal.to_string() == issuer)?;
        Some(Registered { entry, key, principal })
    };
    entries.iter().filter_map(named).collect()
}

fn one<T>(found: &[T], none: IdentityError) -> Result<&T, IdentityError> {
    match found {
        [] => Err(none),
        [only] => Ok(only),
        _ => Err(IdentityError::Ambiguous),
    }
}

fn verified(entry: &Identity, by: &Name<'_>, signed: Signed<'_>, times: Times) -> Result<Verified, Cause> {
    let claims = signed.claims();
    let jti = claims::token_id(claims)?;
    Ok(Verified {
        entry: entry.entry.clone(),
        principals: entry.principals.clone(),
        issuer: by.as_str().to_owned(),
        subject: claims::subject(claims)?.to_owned(),
        jti: jti.map(str::to_owned),
        claims: claims.clone(),
        expires: times.expires,
        issued: times.issued,
        replay: claims::replay(by, jti, signed.input(), times),
        reuse: false,
        tools: entry.tools.clone(),
        key_thumbprint: None,
        degraded: None,
        _checked: Checked,
    })
}

#[cfg(test)]
mod tests;
