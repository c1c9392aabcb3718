//! What a decision depended on: kept beside its entry in the log, where it can be erased and decided again.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use shortbread_protocol::names::{Intent, Operation};
use shortbread_protocol::random::{Random, RandomError};

use super::proof;
use super::request::Request;
use crate::cases::{Held, Identity, Input, Wanted};
use crate::identity::Verified;
use crate::policy::model::{Limit, Membership, Principal, Proof};
use crate::policy::{Asked, Policy, Possession};
use crate::store::ErasableInput;

/// Claims beyond this many bytes of JSON are kept as far as the policy in force reads them.
const MAX_CLAIMS: usize = 4096;

/// What is of one presentation of an identity alone. It proves something or dates it, and no policy reads it.
const ONCE: [&str; 9] = ["jti", "nonce", "at_hash", "c_hash", "s_hash", "uti", "exp", "iat", "nbf"];

/// What every policy reads.
const STANDING: [&str; 3] = ["iss", "sub", "aud"];

/// The input of a decision, and whose it is.
#[derive(Clone, Debug)]
pub(super) struct Known {
    subject: [u8; 32],
    input: Input,
}

impl Known {
    /// Of an identity that was proved.
    pub(super) fn of(request: &Request, identity: &Verified, principal: &Principal, policy: &Policy) -> Self {
        let registered = identity.key_thumbprint.is_some();
        let identity_of_case = Identity {
            principal: principal.to_string(),
            key: identity.key_thumbprint.clone(),
            issuer: (!registered).then(|| identity.issuer.clone()),
            claims: if registered { Map::new() } else { kept(&identity.claims, policy) },
        };
        let wanted =
            |asked: &Asked| Wanted { verb: asked.operation.clone(), constraints: asked.arguments.clone() };
        let input = Input {
            identity: identity_of_case,
            intent: request.intent.clone(),
            ttl: request.ttl.map(|ttl| ttl.as_secs()),
            possession: held(proof::possession(identity, None)),
            request: request.asked.iter().map(wanted).collect(),
            call: None,
        };
        Self { subject: Sha256::digest(&identity.subject).into(), input }
    }

    /// Of the holder of a token that is passed on: all that is known of them is whose workflow it is.
    pub(super) fn of_holder(
        request: &Request,
        principal: &Principal,
        intent: Option<&Intent>,
        verbs: &[Operation],
    ) -> Self {
        let principal = principal.to_string();
        let input = Input {
            identity: Identity { principal: principal.clone(), ..Identity::default() },
            intent: intent.cloned(),
            ttl: request.ttl.map(|ttl| ttl.as_secs()),
            possession: Held::Proved,
            request: verbs.iter().map(|verb| Wanted { verb: verb.clone(), constraints: None }).collect(),
            call: None,
        };
        Self { subject: Sha256::digest(&principal).into(), input }
    }

    /// Whether a key was proved is known now.
    pub(super) fn held(&mut self, possession: Possession) {
        self.input.possession = held(possession);
    }

    /// What the decision depends on.
    pub(super) const fn input(&self) -> &Input {
        &self.input
    }

    /// The verbs that are asked for, each once.
    pub(super) fn verbs(&self) -> BTreeSet<Operation> {
        self.input.request.iter().map(|wanted| wanted.verb.clone()).collect()
    }

    /// As it is stored, salted anew.
    ///
    /// # Errors
    /// When there is no randomness.
    pub(super) fn erasable(&self, random: &dyn Random) -> Result<ErasableInput, RandomError> {
        let mut salt = [0; 16];
        random.fill(&mut salt)?;
        // Texts, numbers and maps with text keys always serialise.
        let body = serde_json::to_vec(&self.input).unwrap_or_default();
        Ok(ErasableInput { subject: self.subject, salt, body })
    }
}

const fn held(possession: Possession) -> Held {
    match possession {
        Possession::Proved => Held::Proved,
        Possession::Unproved => Held::Unproved,
        Possession::Reusable => Held::Reusable,
    }
}

/// The claims that are kept: what was said once goes, and of many those alone that the policy reads.
fn kept(claims: &Map<String, Value>, policy: &Policy) -> Map<String, Value> {
    let lasting = claims.iter().filter(|(name, _)| !ONCE.contains(&name.as_str()));
    let lasting: Map<String, Value> = lasting.map(|(name, value)| (name.clone(), value.clone())).collect();
    if serde_json::to_vec(&lasting).is_ok_and(|text| text.len() <= MAX_CLAIMS) {
        return lasting;
    }
    lasting.into_iter().filter(|(name, _)| STANDING.contains(&name.as_str()) || reads(policy, name)).collect()
}

/// Whether an identity entry matches on this claim, or a grant binds it or something inside of it.
fn reads(policy: &Policy, name: &str) -> bool {
    let matched = policy.identities().iter().any(|entry| match &entry.proof {
        Proof::Oidc(oidc) => {
            let named = |of: &Membership| [&of.groups_claim, &of.named_by].into_iter().any(|own| own == name);
            oidc.claims.contains_key(name) || oidc.membership.as_ref().is_some_and(named)
        }
        Proof::Key(_) | Proof::Spiffe(_) => false,
    });
    let inside =
        |path: &str| path.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    let limits = policy.grants().iter().flat_map(|grant| grant.verbs.values().flatten());
    let mut bound = limits.flat_map(BTreeMap::values);
    matched || bound.any(|limit| matches!(limit, Limit::Claim(path) if inside(path)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::fixture::{EXAMPLE, claims, policy};

    #[test]
    fn what_was_said_once_is_not_kept() {
        let said = json!({ "sub": "s", "jti": "one", "nonce": "n", "at_hash": "h", "exp": 1, "team": "web", "n": [1.5] });
        let kept = kept(&claims(&said), &policy(EXAMPLE));
        assert_eq!(Value::Object(kept), json!({ "sub": "s", "team": "web", "n": [1.5] }));
    }

    #[test]
    fn of_many_claims_those_are_kept_that_the_policy_reads() {
        let said = json!({
            "sub": "s", "iss": "i", "aud": "a", "environment": "prod", "repository": "acme/web", "jti": "one",
            "kubernetes.io": { "namespace": "agents" }, "groups": "g".repeat(MAX_CLAIMS), "team": "web",
        });
        let kept = kept(&claims(&said), &policy(EXAMPLE));
        let names: Vec<&str> = kept.keys().map(String::as_str).collect();
        assert_eq!(names, ["aud", "environment", "iss", "kubernetes.io", "repository", "sub"]);
    }

    #[test]
    fn a_claim_that_a_path_leads_into_is_read() {
        let text = EXAMPLE.replace("claim = \"repository\"", "claim = \"acme.io.repo\"");
        let policy = policy(&text);
        for (name, read) in
            [("acme", true), ("acme.io", true), ("acme.io.repo", true), ("acm", false), ("repo", false)]
        {
            assert_eq!(reads(&policy, name), read, "{name}");
        }
    }
}
