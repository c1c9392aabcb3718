//! The verifiers of one policy, as leases are looked up in it.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use shortbread_protocol::names::{ToolName, VerifierName};

use crate::delimited::delimited;
use crate::policy::Policy;
use crate::policy::model::{Identity, KeySource, Principal, Proof};
use crate::store::Lease;

/// Which verifiers there are, what each must have proved, and whose calls it decides.
#[derive(Debug, Default)]
pub struct Roster {
    digest: String,
    entries: HashMap<(VerifierName, [u8; 32]), Arc<[ToolName]>>,
}

impl Roster {
    /// Of a policy.
    #[must_use]
    pub fn of(policy: &Policy) -> Self {
        let entries = policy.identities().iter().filter_map(|identity| {
            let [Principal::Verifier(name)] = identity.principals.as_slice() else { return None };
            Some(((name.clone(), fingerprint(identity)), Arc::from(identity.tools.as_slice())))
        });
        Self { digest: policy.digest().to_owned(), entries: entries.collect() }
    }

    pub(super) fn is_of(&self, policy: &Policy) -> bool {
        self.digest == policy.digest()
    }

    /// The tools of the verifier that has this lease; `None` where the policy has no such verifier, or demands another
    /// proof of it than when the lease was given.
    #[must_use]
    pub fn tools(&self, lease: &Lease) -> Option<Arc<[ToolName]>> {
        // Names share their text, so that this copies nothing.
        self.entries.get(&(lease.verifier.clone(), lease.proof)).cloned()
    }

    /// Every verifier and its tools, by name.
    #[must_use]
    pub fn verifiers(&self) -> BTreeMap<&VerifierName, Vec<&ToolName>> {
        let mut verifiers: BTreeMap<&VerifierName, Vec<&ToolName>> = BTreeMap::new();
        for ((name, _), tools) in &self.entries {
            verifiers.entry(name).or_default().extend(tools.iter());
        }
        for tools in verifiers.values_mut() {
            tools.sort_unstable();
            tools.dedup();
        }
        verifiers
    }
}

/// Names what an identity entry demands as proof: another key, issuer or claim gives another one. A lease outlives no
/// change of it.
#[must_use]
pub fn fingerprint(identity: &Identity) -> [u8; 32] {
    let keys = |source: &KeySource| match source {
        KeySource::Discovery => ["discovery".to_owned(), String::new()],
        KeySource::Url(url) => ["url".to_owned(), url.clone()],
        KeySource::Pinned(text) => ["pinned".to_owned(), text.clone()],
    };
    let mut texts: Vec<String> = Vec::new();
    match &identity.proof {
        Proof::Key(key) => texts.extend(["key".to_owned(), key.thumbprint()]),
        Proof::Oidc(oidc) => {
            // Maps with text keys always serialise.
            let claims = serde_json::to_string(&oidc.claims).unwrap_or_default();
            texts.extend(["oidc".to_owned(), oidc.issuer.clone(), oidc.audience.clone(), claims]);
            texts.extend(keys(&oidc.keys));
        }
        Proof::Spiffe(spiffe) => {
            let issuer = spiffe.issuer.clone().unwrap_or_default();
            texts.extend(["spiffe".to_owned(), spiffe.id.to_string(), issuer, spiffe.audience.clone()]);
            texts.extend(keys(&spiffe.bundle));
        }
    }
    delimited(Sha256::new(), texts.iter().map(String::as_str)).finalize().into()
}
