//! What any change of needs a second operator: operators, approvers and what they are granted. Of the limits that versions
//! are judged by only what loosens them does: `loosen.rs`.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use shortbread_protocol::names::{Intent, Operation, OperatorName};

use super::Policy;
use super::model::{Identity, KeySource, Membership, Principal, Proof};

/// Operators, approvers and their grants, in lines that can be compared and shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminSurface {
    /// Each operator with what must be proved.
    pub operators: BTreeSet<String>,
    /// Each group with its members and its escalation.
    pub approvers: BTreeSet<String>,
    /// Each verb that an operator is granted and that no forbid takes away, with the conditions of the grant.
    pub grants: BTreeSet<String>,
}

impl AdminSurface {
    pub(super) fn of(policy: &Policy) -> Self {
        let operators = policy.identities().iter().flat_map(|identity| {
            let operators = identity.principals.iter().filter(|p| matches!(p, Principal::Operator(_)));
            operators.map(|operator| format!("{operator} {}", proof(identity)))
        });
        let approvers = policy.approvers().iter().map(|(name, group)| {
            json!({ "approvers": name, "members": group.members, "escalate": group.escalate }).to_string()
        });
        let grants = policy.grants().iter().filter_map(|grant| match &grant.principal {
            Principal::Operator(name) => Some((name, grant)),
            _ => None,
        });
        let grants = grants.flat_map(|(operator, grant)| {
            let usable = grant.verbs.keys().filter(move |verb| {
                let operation = Operation { tool: grant.tool.clone(), verb: (*verb).clone() };
                policy.lets(operator, &operation, &Intent::undeclared())
            });
            usable.map(move |verb| {
                let rate = grant.rate.map(|rate| (rate.count, rate.per.as_secs()));
                let ttl = grant.max_ttl.map(|ttl| ttl.as_secs());
                format!(
                    "{} {}/{verb} {}",
                    grant.principal,
                    grant.tool,
                    json!({ "max_ttl": ttl, "rate": rate, "proof": grant.proof })
                )
            })
        });
        Self { operators: operators.collect(), approvers: approvers.collect(), grants: grants.collect() }
    }
}

/// One way in which an operator proves who they are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperatorProof {
    /// The RFC 7638 thumbprint of a registered key; none where an issuer vouches.
    pub key: Option<String>,
    /// Everything that must be proved, in a line that can be compared.
    pub line: String,
}

impl Policy {
    /// What must be proved for the entry of this label, in a line as [`Policy::proofs_of`] has it.
    #[must_use]
    pub fn proof_of(&self, entry: &str) -> Option<String> {
        self.identities().iter().find(|identity| identity.entry == entry).map(proof)
    }

    /// How this operator proves who they are, entry by entry.
    #[must_use]
    pub fn proofs_of(&self, operator: &OperatorName) -> Vec<OperatorProof> {
        let own = Principal::Operator(operator.clone());
        let entries = self.identities().iter().filter(|identity| identity.principals.contains(&own));
        let told = entries.map(|identity| OperatorProof {
            key: match &identity.proof {
                Proof::Key(key) => Some(key.thumbprint()),
                Proof::Oidc(_) | Proof::Spiffe(_) => None,
            },
            line: proof(identity),
        });
        told.collect()
    }
}

fn proof(identity: &Identity) -> String {
    match &identity.proof {
        Proof::Key(key) => json!({ "key": hex::encode(key.as_bytes()) }).to_string(),
        Proof::Oidc(oidc) => {
            json!({
                "issuer": oidc.issuer, "audience": oidc.audience, "claims": oidc.claims,
                "membership": oidc.membership.as_ref().map(membership),
                "keys": source(&oidc.keys), "allow_private": oidc.allow_private,
                "reuse_until_expiry": oidc.reuse_until_expiry, "max_age": oidc.max_age.map(|span| span.as_secs()),
            })
            .to_string()
        }
        Proof::Spiffe(spiffe) => {
            json!({
                "spiffe_id": spiffe.id.as_str(), "issuer": spiffe.issuer, "audience": spiffe.audience,
                "bundle": source(&spiffe.bundle), "allow_private": spiffe.allow_private,
                "reuse_until_expiry": spiffe.reuse_until_expiry, "max_age": spiffe.max_age.map(|span| span.as_secs()),
            })
            .to_string()
        }
    }
}

fn membership(of: &Membership) -> Value {
    json!({ "group": of.group, "groups_claim": of.groups_claim, "named_by": of.named_by })
}

fn source(keys: &KeySource) -> Value {
    match keys {
        KeySource::Discovery => json!("discovery"),
        KeySource::Url(url) => json!({ "url": url }),
        KeySource::Pinned(document) => json!({ "sha256": hex::encode(Sha256::digest(document)) }),
    }
}
