//! Who would be meant by an identity that was proved before, under these entries: the matching of a live request, with
//! signatures, times and replays left out. Admits nobody.

use serde_json::{Map, Value};

use super::error::{Cause, IdentityError};
use super::federated::{Candidate, of_issuer, of_trust_domain};
use super::{claims, one};
use crate::policy::model::{Identity, Principal, Proof};
use crate::policy::spiffe::domain_of;

/// How an identity was proved.
#[derive(Clone, Copy, Debug)]
pub enum Proved<'a> {
    /// By a registered key: the RFC 7638 thumbprint.
    Key(&'a str),
    /// By a token of this issuer (or `spiffe://` trust domain), with these claims.
    Token {
        /// As in [`super::Verified::issuer`].
        issuer: &'a str,
        /// As far as they were kept. Where `aud` is among them it must be the entry's.
        claims: &'a Map<String, Value>,
    },
}

/// The one entry that wants an identity.
#[derive(Clone, Copy, Debug)]
pub struct Recalled<'e> {
    /// The entry.
    pub entry: &'e Identity,
    /// Whether it lets the same token be presented again.
    pub reuse: bool,
}

/// The one entry that wants what was proved, and names this principal.
///
/// # Errors
/// As a live request with the same identity and `client_id`: no entry wants it, more than one does, or the one that
/// does names others.
pub fn recall<'e>(
    entries: &'e [Identity],
    principal: &Principal,
    proved: &Proved<'_>,
) -> Result<Recalled<'e>, IdentityError> {
    match proved {
        Proved::Key(thumbprint) => by_key(entries, principal, thumbprint),
        Proved::Token { issuer, claims } => {
            let found = by_token(entries, issuer, claims)?;
            if !found.principals(claims).contains(principal) {
                return Err(IdentityError::WorkflowUnlisted);
            }
            Ok(Recalled { entry: found.entry, reuse: found.reuse() })
        }
    }
}

/// Whether any entry could be this principal.
#[must_use]
pub fn is_known(entries: &[Identity], principal: &Principal) -> bool {
    entries.iter().any(|entry| entry.principals.contains(principal))
}

fn by_key<'e>(
    entries: &'e [Identity],
    principal: &Principal,
    thumbprint: &str,
) -> Result<Recalled<'e>, IdentityError> {
    let registered = entries.iter().filter_map(|entry| match &entry.proof {
        Proof::Key(key) if entry.principals.contains(principal) => Some((entry, key)),
        _ => None,
    });
    let (mut failure, mut found) = (Cause::UnknownIssuer, Vec::new());
    for (entry, key) in registered {
        failure = Cause::Signature;
        if key.thumbprint() == thumbprint {
            found.push(entry);
        }
    }
    one(&found, failure.into()).map(|entry| Recalled { entry, reuse: false })
}

fn by_token<'e>(
    entries: &'e [Identity],
    issuer: &str,
    claims: &Map<String, Value>,
) -> Result<Candidate<'e>, IdentityError> {
    let candidates = candidates(entries, issuer, claims);
    if candidates.is_empty() {
        return Err(Cause::UnknownIssuer.into());
    }
    let audience = claims.get("aud").map(|_| claims::audience(claims)).transpose()?;
    let fits = |one: &&Candidate<'_>| audience.is_none_or(|audience| one.audience() == audience);
    let meant: Vec<&Candidate<'e>> = candidates.iter().filter(fits).collect();
    if meant.is_empty() {
        return Err(Cause::Audience.into());
    }
    let wanted: Vec<&Candidate<'e>> = meant.into_iter().filter(|one| one.wants(claims)).collect();
    one(&wanted, IdentityError::Unmatched).map(|found| **found)
}

// For a name in a trust domain that the policy knows its bundle alone counts, whatever `iss` says.
fn candidates<'e>(entries: &'e [Identity], issuer: &str, claims: &Map<String, Value>) -> Vec<Candidate<'e>> {
    let text = |name: &str| claims.get(name).and_then(Value::as_str);
    let named = text("sub").and_then(domain_of).or_else(|| issuer.strip_prefix("spiffe://"));
    let svids = named.map(|domain| of_trust_domain(entries, domain)).unwrap_or_default();
    if !svids.is_empty() {
        return svids;
    }
    let issuer = if issuer.starts_with("spiffe://") { text("iss").unwrap_or_default() } else { issuer };
    of_issuer(entries, issuer)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::fixture::{EXAMPLE, claims, key, policy, workflow};

    const GITHUB: &str = "https://token.actions.githubusercontent.com";

    fn token(
        policy: &crate::policy::Policy,
        name: &str,
        issuer: &str,
        told: &Value,
    ) -> Result<String, IdentityError> {
        let claims = claims(told);
        let proved = Proved::Token { issuer, claims: &claims };
        recall(policy.identities(), &workflow(name), &proved).map(|found| found.entry.entry.clone())
    }

    #[test]
    fn claims_are_matched_as_when_they_are_presented() {
        let policy = policy(EXAMPLE);
        let sound =
            json!({ "repository_id": "456789", "environment": "prod", "aud": "https://broker.acme.example" });
        let got = |name: &str, issuer: &str, told: Value| token(&policy, name, issuer, &told);
        assert_eq!(got("release-notes", GITHUB, sound.clone()), Ok("release-notes".to_owned()));
        assert_eq!(got("demo", GITHUB, sound.clone()), Err(IdentityError::WorkflowUnlisted));
        let unknown = Err(IdentityError::Invalid(Cause::UnknownIssuer));
        assert_eq!(got("release-notes", "https://other.example", sound), unknown);
        let other = json!({ "repository_id": "1", "environment": "prod" });
        assert_eq!(got("release-notes", GITHUB, other), Err(IdentityError::Unmatched));
        let elsewhere =
            json!({ "repository_id": "456789", "environment": "prod", "aud": "https://x.example" });
        assert_eq!(got("release-notes", GITHUB, elsewhere), Err(IdentityError::Invalid(Cause::Audience)));
        let worker =
            json!({ "kubernetes.io": { "namespace": "agents", "serviceaccount": { "name": "worker" } } });
        let claims = claims(&worker);
        let proved = Proved::Token { issuer: "https://kubernetes.default.svc", claims: &claims };
        for name in ["enrich", "mail-merge"] {
            assert!(recall(policy.identities(), &workflow(name), &proved).unwrap().reuse);
        }
    }

    #[test]
    fn two_entries_that_want_the_same_claims_are_none() {
        let second = format!(
            "{EXAMPLE}\n[[identities]]\nworkflow = \"other\"\nissuer = \"{GITHUB}\"\n\
             audience = \"https://broker.acme.example\"\nclaims = {{ environment = \"prod\" }}\n"
        );
        let claims = json!({ "repository_id": "456789", "environment": "prod" });
        let got = token(&policy(&second), "release-notes", GITHUB, &claims);
        assert_eq!(got, Err(IdentityError::Ambiguous));
    }

    #[test]
    fn a_registered_key_is_for_its_own_name_alone() {
        let policy = policy(EXAMPLE);
        let demo = key("demo").public().thumbprint();
        let got = |name: &str, thumbprint: &str| {
            recall(policy.identities(), &workflow(name), &Proved::Key(thumbprint)).map(|found| found.reuse)
        };
        assert_eq!(got("demo", &demo), Ok(false));
        assert_eq!(got("demo", "other"), Err(IdentityError::Invalid(Cause::Signature)));
        assert_eq!(got("release-notes", &demo), Err(IdentityError::Invalid(Cause::UnknownIssuer)));
        assert!(is_known(policy.identities(), &workflow("demo")));
        assert!(!is_known(policy.identities(), &workflow("nobody")));
    }

    #[test]
    fn a_name_in_a_trust_domain_is_its_bundles() {
        let text = format!(
            "{EXAMPLE}\n[[identities]]\nworkflow = \"indexer\"\ntrust_domain = \"acme.example\"\n\
             spiffe_id = \"spiffe://acme.example/agents/indexer\"\nbundle_file = \"bundles/good.json\"\n\
             audience = \"https://broker.acme.example\"\n"
        );
        let policy = policy(&text);
        let sub = json!({ "sub": "spiffe://acme.example/agents/indexer" });
        let got = |issuer: &str, told: &Value| token(&policy, "indexer", issuer, told);
        assert_eq!(got("spiffe://acme.example", &sub), Ok("indexer".to_owned()));
        assert_eq!(got("https://whatever.example", &sub), Ok("indexer".to_owned()));
        let other = json!({ "sub": "spiffe://acme.example/agents/other" });
        assert_eq!(got("spiffe://acme.example", &other), Err(IdentityError::Unmatched));
        let foreign = json!({ "sub": "spiffe://other.example/a" });
        let unknown = Err(IdentityError::Invalid(Cause::UnknownIssuer));
        assert_eq!(got("spiffe://other.example", &foreign), unknown);
    }
}
