//! Tokens that somebody else signed: of an issuer (OpenID Connect), or of a SPIFFE trust domain.

use std::time::Duration;

use serde_json::{Map, Value};
use shortbread_protocol::clock::Timestamp;

use super::claims::{self, Times};
use super::error::{Cause, Degraded, IdentityError};
use super::jwt::{Kind, Signed, Unverified};
use super::origin::{Name, Origin};
use super::{Identities, Verified, one, verified};
use crate::policy::model::{Identity, Oidc, Principal, Proof, Spiffe};

/// How long after `iat` a token is taken where neither the entry says otherwise nor a key pins it.
const MAX_AGE: Duration = Duration::from_secs(10 * 60);

/// An entry that may want a token, before anything is proved.
#[derive(Clone, Copy)]
pub(super) struct Candidate<'e> {
    pub(super) entry: &'e Identity,
    demand: Demand<'e>,
}

#[derive(Clone, Copy)]
enum Demand<'e> {
    Claims(&'e Oidc),
    Svid(&'e Spiffe),
}

/// The entries that name this issuer.
pub(super) fn of_issuer<'e>(entries: &'e [Identity], issuer: &str) -> Vec<Candidate<'e>> {
    let named = |entry: &'e Identity| match &entry.proof {
        Proof::Oidc(oidc) if oidc.issuer == issuer => Some(Candidate { entry, demand: Demand::Claims(oidc) }),
        _ => None,
    };
    entries.iter().filter_map(named).collect()
}

/// The entries of this trust domain.
pub(super) fn of_trust_domain<'e>(entries: &'e [Identity], domain: &str) -> Vec<Candidate<'e>> {
    let named = |entry: &'e Identity| match &entry.proof {
        Proof::Spiffe(spiffe) if spiffe.id.trust_domain().as_str() == domain => {
            Some(Candidate { entry, demand: Demand::Svid(spiffe) })
        }
        _ => None,
    };
    entries.iter().filter_map(named).collect()
}

impl<'e> Candidate<'e> {
    fn origin(&self) -> Origin<'e> {
        match self.demand {
            Demand::Claims(oidc) => Origin::of_issuer(oidc),
            Demand::Svid(spiffe) => Origin::of_trust_domain(spiffe),
        }
    }

    pub(super) fn audience(&self) -> &'e str {
        match self.demand {
            Demand::Claims(oidc) => &oidc.audience,
            Demand::Svid(spiffe) => &spiffe.audience,
        }
    }

    pub(super) fn wants(&self, claims: &Map<String, Value>) -> bool {
        match self.demand {
            Demand::Claims(oidc) => {
                claims::matches(claims, &oidc.claims) && !self.principals(claims).is_empty()
            }
            Demand::Svid(spiffe) => {
                let says = |name: &str, wanted: &str| claims.get(name).is_some_and(|claim| claim == wanted);
                says("sub", spiffe.id.as_str())
                    && spiffe.issuer.as_ref().is_none_or(|issuer| says("iss", issuer))
            }
        }
    }

    /// Who a token with these claims may be: all of the entry, or of operators in a group the one whom it names.
    pub(super) fn principals(&self, claims: &Map<String, Value>) -> Vec<Principal> {
        let listed = &self.entry.principals;
        let Demand::Claims(Oidc { membership: Some(membership), .. }) = self.demand else {
            return listed.clone();
        };
        let named = membership.named(claims);
        let is_named =
            |one: &&Principal| matches!(one, Principal::Operator(name) if named == Some(name.as_str()));
        listed.iter().filter(is_named).cloned().collect()
    }

    pub(super) fn reuse(&self) -> bool {
        match self.demand {
            Demand::Claims(oidc) => oidc.reuse_until_expiry,
            Demand::Svid(spiffe) => spiffe.reuse_until_expiry,
        }
    }

    /// A token that may come again is pinned to a key, so that its age matters less than its end.
    fn aged(&self, times: Times, now: Timestamp) -> Result<Times, Cause> {
        let written = match self.demand {
            Demand::Claims(oidc) => oidc.max_age,
            Demand::Svid(spiffe) => spiffe.max_age,
        };
        match written {
            Some(age) => times.no_older(age, now),
            None if self.reuse() || !times.dated() => Ok(times),
            None => times.no_older(MAX_AGE, now),
        }
    }
}

/// A token whose signature holds, and who may want it.
struct Proved<'t, 'e> {
    signed: Signed<'t>,
    candidates: Vec<Candidate<'e>>,
    degraded: Option<Degraded>,
}

impl Identities {
    /// Checks a token against the candidates, which all have the same issuer or trust domain.
    pub(super) async fn by_token(
        &self,
        token: &Unverified<'_>,
        candidates: &[Candidate<'_>],
    ) -> Result<Verified, IdentityError> {
        let Proved { signed, candidates: proved, degraded } = self.signed(token, candidates).await?;
        let claims = signed.claims();
        let now = self.clock.now();
        let svid = proved.iter().any(|candidate| matches!(candidate.demand, Demand::Svid(_)));
        let times = if svid { Times::of_svid(claims, now)? } else { Times::of_token(claims, now)? };
        claims::subject(claims)?;
        let audience = claims::audience(claims)?;
        let meant: Vec<_> = proved.into_iter().filter(|one| one.audience() == audience).collect();
        if meant.is_empty() {
            return Err(Cause::Audience.into());
        }
        let wanted: Vec<_> = meant.into_iter().filter(|one| one.wants(claims)).collect();
        let found = one(&wanted, IdentityError::Unmatched)?;
        let times = found.aged(times, now)?;
        let mut verified = verified(found.entry, &found.origin().name, signed, times)?;
        verified.principals = found.principals(claims);
        verified.reuse = found.reuse();
        verified.degraded = degraded;
        Ok(verified)
    }

    /// Checks the signature once per set of keys, and keeps the candidates whose set has the key that made it.
    async fn signed<'t, 'e>(
        &self,
        token: &'t Unverified<'_>,
        candidates: &[Candidate<'e>],
    ) -> Result<Proved<'t, 'e>, IdentityError> {
        let mut degraded = None;
        let mut checked: Vec<(Origin<'e>, Result<Signed<'t>, Cause>)> = Vec::new();
        for origin in candidates.iter().map(Candidate::origin) {
            if checked.iter().any(|(known, _)| *known == origin) {
                continue;
            }
            let fits = match origin.name {
                Name::Issuer(_) => token.kind() == Kind::Plain,
                Name::TrustDomain(_) => matches!(token.kind(), Kind::Plain | Kind::Jose),
            };
            if !fits {
                return Err(Cause::Type.into());
            }
            let signed = match self.issuers.key(&origin, token.kid(), token.algorithm()).await {
                Ok(found) => {
                    degraded = degraded.or(found.degraded);
                    token.signed_by(&found.key)
                }
                Err(IdentityError::Invalid(cause)) => Err(cause),
                // Which entries match cannot be known without this set.
                Err(error) => return Err(error),
            };
            checked.push((origin, signed));
        }
        let mut proof = Err(Cause::Signature);
        let mut proved = Vec::new();
        for (origin, signed) in checked {
            if let Ok(signed) = signed {
                proof = Ok(signed);
                proved.extend(candidates.iter().filter(|candidate| candidate.origin() == origin));
            } else if proof.is_err() {
                proof = signed;
            }
        }
        Ok(Proved { signed: proof?, candidates: proved, degraded })
    }
}
