//! Who can prove to be whom.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::super::Policy;
use super::super::model::{Identity, KeySource, Oidc, Principal, Proof, Spiffe};
use super::super::units::Shown;
use super::words;
use super::{Class, Effect};

/// How long after it was made a token is taken where its entry does not say.
const MAX_AGE: Duration = Duration::from_secs(600);

pub(super) fn effects(old: &Policy, new: &Policy) -> Vec<Effect> {
    let (before, now) = (by_principal(old), by_principal(new));
    let principals: BTreeSet<&Principal> = before.keys().chain(now.keys()).copied().collect();
    let mut effects = Vec::new();
    for principal in principals {
        let none = Vec::new();
        let (was, is) = (before.get(principal).unwrap_or(&none), now.get(principal).unwrap_or(&none));
        let outside = |of: &[&Identity], known: &[&Identity]| -> BTreeSet<String> {
            let outside = of.iter().filter(|one| !known.iter().any(|other| is_inside(one, other)));
            outside.map(|one| proof(one)).collect()
        };
        let about = principal.to_string();
        effects.extend(
            outside(is, was)
                .into_iter()
                .map(|proof| Effect::new(Class::Widens, about.clone(), format!("can be proved by {proof}"))),
        );
        effects.extend(outside(was, is).into_iter().map(|proof| {
            Effect::new(Class::Narrows, about.clone(), format!("can no longer be proved by {proof}"))
        }));
    }
    effects.extend(unmasked(old, new));
    effects
}

/// The entries of an earlier policy that recognise what this one does not, or not as the same: whoever goes back to it lets a
/// credential in again that was withdrawn. `concerns` says whose are asked for.
pub(super) fn readmitted(
    now: &Policy,
    earlier: &Policy,
    concerns: impl Fn(&Principal) -> bool,
) -> Vec<String> {
    let known = by_principal(now);
    let is_known = |principal: &Principal, entry: &Identity| {
        known.get(principal).is_some_and(|own| own.iter().any(|own| is_inside(entry, own)))
    };
    let again = earlier.identities().iter().filter(|entry| {
        let mut whose = entry.principals.iter().filter(|principal| concerns(principal));
        whose.any(|principal| !is_known(principal, entry))
    });
    again.map(|entry| entry.entry.clone()).collect()
}

fn by_principal(policy: &Policy) -> BTreeMap<&Principal, Vec<&Identity>> {
    let mut found: BTreeMap<&Principal, Vec<&Identity>> = BTreeMap::new();
    for entry in policy.identities() {
        for principal in &entry.principals {
            found.entry(principal).or_default().push(entry);
        }
    }
    found
}

/// Whether whatever proves the one proves the other. False where that is not certain.
fn is_inside(one: &Identity, other: &Identity) -> bool {
    let tools = one.tools.iter().all(|tool| other.tools.contains(tool));
    let proof = match (&one.proof, &other.proof) {
        (Proof::Key(a), Proof::Key(b)) => a == b,
        (Proof::Oidc(a), Proof::Oidc(b)) => is_oidc_inside(a, b),
        (Proof::Spiffe(a), Proof::Spiffe(b)) => is_spiffe_inside(a, b),
        _ => false,
    };
    tools && proof
}

fn is_oidc_inside(a: &Oidc, b: &Oidc) -> bool {
    let claims =
        b.claims.iter().all(|(name, wanted)| a.claims.get(name).is_some_and(|own| demands(own, wanted)));
    (&a.issuer, &a.audience, &a.keys) == (&b.issuer, &b.audience, &b.keys)
        && (!a.allow_private || b.allow_private)
        // Neither is the lesser one: what comes again is good for reading alone where no key is proved.
        && a.reuse_until_expiry == b.reuse_until_expiry
        && age(a.max_age, a.reuse_until_expiry) <= age(b.max_age, b.reuse_until_expiry)
        && claims
        && (b.membership.is_none() || a.membership == b.membership)
}

fn is_spiffe_inside(a: &Spiffe, b: &Spiffe) -> bool {
    // Without `iat` a token is taken until it ends, unless the entry says how old it may be.
    let age = |max_age: Option<Duration>| max_age.unwrap_or(Duration::MAX);
    (&a.id, &a.audience, &a.bundle) == (&b.id, &b.audience, &b.bundle)
        && (!a.allow_private || b.allow_private)
        && a.reuse_until_expiry == b.reuse_until_expiry
        && (b.issuer.is_none() || a.issuer == b.issuer)
        && age(a.max_age) <= age(b.max_age)
}

fn age(max_age: Option<Duration>, reuse: bool) -> Duration {
    max_age.unwrap_or(if reuse { Duration::MAX } else { MAX_AGE })
}

/// Whether the claims that one value matches the other matches too.
fn demands(own: &Value, wanted: &Value) -> bool {
    match (own, wanted) {
        (Value::Object(own), Value::Object(wanted)) => {
            wanted.iter().all(|(name, wanted)| own.get(name).is_some_and(|own| demands(own, wanted)))
        }
        (own, wanted) => own == wanted,
    }
}

/// A token that two entries want is refused. Where one of them goes, or wants less, the other one may take it now.
fn unmasked(old: &Policy, new: &Policy) -> Vec<Effect> {
    let gone = old.identities().iter().filter(|was| {
        let same =
            |is: &&Identity| is.proof == was.proof && (is.principals == was.principals || !by_membership(is));
        !new.identities().iter().any(|is| same(&is))
    });
    let mut effects = Vec::new();
    for was in gone {
        for is in new.identities() {
            if let (Proof::Oidc(a), Proof::Oidc(b)) = (&was.proof, &is.proof)
                && was.principals != is.principals
                && (&a.issuer, &a.audience) == (&b.issuer, &b.audience)
                && !tells_apart(a, b)
                && b.claims
                    .iter()
                    .all(|(name, wanted)| a.claims.get(name).is_none_or(|own| goes_with(own, wanted)))
            {
                effects.extend(is.principals.iter().map(|principal| {
                    let text = format!("is what tokens prove that {} wanted as well before", was.entry);
                    Effect::new(Class::Widens, principal.to_string(), text)
                }));
            }
        }
    }
    effects
}

fn by_membership(entry: &Identity) -> bool {
    matches!(&entry.proof, Proof::Oidc(oidc) if oidc.membership.is_some())
}

/// Whether two entries take their operators' names from one claim: no policy lists an operator in both, so no token was ever
/// wanted by both.
fn tells_apart(one: &Oidc, other: &Oidc) -> bool {
    let by = |oidc: &Oidc| oidc.membership.as_ref().map(|of| of.named_by.clone());
    by(one).is_some_and(|own| by(other) == Some(own))
}

/// Whether one token can have both values.
fn goes_with(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            a.iter().all(|(name, own)| b.get(name).is_none_or(|other| goes_with(own, other)))
        }
        (a, b) => a == b,
    }
}

/// What an entry wants proved.
pub(in crate::policy) fn proof(identity: &Identity) -> String {
    let mut text = match &identity.proof {
        Proof::Key(key) => format!("the key {}", key.thumbprint()),
        Proof::Oidc(oidc) => {
            let member = oidc
                .membership
                .as_ref()
                .map(|of| format!("the group {} in {}, named by {}", of.group, of.groups_claim, of.named_by));
            let claims: Vec<String> =
                oidc.claims.iter().flat_map(|(name, value)| claim(name, value)).collect();
            let claims: Vec<String> = member.into_iter().chain(claims).collect();
            let with = if claims.is_empty() { String::new() } else { format!(" with {}", claims.join(", ")) };
            let token = format!("a token of {}{with} for {}", oidc.issuer, oidc.audience);
            token + &terms(&oidc.keys, oidc.allow_private, oidc.reuse_until_expiry, oidc.max_age)
        }
        Proof::Spiffe(spiffe) => {
            let by = spiffe.issuer.as_ref().map(|issuer| format!(" of {issuer}")).unwrap_or_default();
            let token = format!("a JWT-SVID of {}{by} for {}", spiffe.id, spiffe.audience);
            token + &terms(&spiffe.bundle, spiffe.allow_private, spiffe.reuse_until_expiry, spiffe.max_age)
        }
    };
    if !identity.tools.is_empty() {
        text.push_str(&format!(
            ", deciding calls of {}",
            words::names(identity.tools.iter().map(|tool| tool.as_str()))
        ));
    }
    text
}

fn claim(path: &str, value: &Value) -> Vec<String> {
    match value {
        Value::Object(members) => {
            members.iter().flat_map(|(name, value)| claim(&format!("{path}.{name}"), value)).collect()
        }
        Value::String(text) => vec![format!("{path} = {text}")],
        other => vec![format!("{path} = {other}")],
    }
}

fn terms(keys: &KeySource, private: bool, reuse: bool, max_age: Option<Duration>) -> String {
    let mut text = match keys {
        KeySource::Discovery => String::new(),
        KeySource::Url(url) => format!(", keys at {url}"),
        KeySource::Pinned(document) => {
            let hash: String = hex::encode(Sha256::digest(document)).chars().take(12).collect();
            format!(", pinned keys {hash}")
        }
    };
    if private {
        text.push_str(", at a private address");
    }
    if reuse {
        text.push_str(", again until it ends");
    }
    if let Some(age) = max_age {
        text.push_str(&format!(", {} old at most", Shown(age)));
    }
    text
}
