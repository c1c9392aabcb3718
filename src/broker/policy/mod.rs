//! Policy as code: read, checked, compiled once, then decided by a pure function.

mod bind;
pub mod builtin;
pub mod charge;
mod check;
mod cost;
mod decide;
pub mod diff;
mod loosen;
pub mod model;
mod nesting;
mod observe;
mod pattern;
mod problem;
mod rescue;
mod source;
pub mod spiffe;
mod surface;
pub mod told;
mod units;

#[cfg(test)]
pub(crate) mod fixture;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};
use shortbread_protocol::access::Access;
use shortbread_protocol::names::{Intent, Operation, OperatorName, ToolName, VerbName};

pub use charge::Charge;
pub use check::{Files, Options};
pub use decide::{
    Alternative, Asked, DEFAULT_TTL, Demand, Granted, MAX_TTL, Pending, Possession, Refusal, Request, Right,
    decide,
};
pub use pattern::Pattern;
pub use problem::Problem;
pub use rescue::operators_alone;
pub use surface::{AdminSurface, OperatorProof};

use model::{Approvers, Catalogue, Forbid, Gate, Grant, Identity, Principal, Rollback, Tripwire};

/// The worst access that any of these policies gives a verb, so that nothing looks harmless by being called so; `None` where
/// no one knows it.
#[must_use]
pub fn worst_access<'p>(policies: impl IntoIterator<Item = &'p Policy>, verb: &Operation) -> Option<Access> {
    policies.into_iter().filter_map(|policy| Some(policy.catalogue().verb(verb)?.access)).max()
}

/// A policy that passed every check. Cloning shares it; it never changes.
#[derive(Clone)]
pub struct Policy(Arc<Inner>);

struct Inner {
    source: String,
    digest: String,
    parts: check::Compiled,
    grants: BTreeMap<Principal, BTreeMap<ToolName, Vec<Arc<Grant>>>>,
}

impl Policy {
    /// Reads and checks the policy `source`. `file` is how problems name it. `files` gives the contents of
    /// the key and JWKS files it refers to, so that compiling touches no disk.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with its line and what to do.
    pub fn compile(
        source: &str,
        file: &str,
        files: Files<'_>,
        options: &Options,
    ) -> Result<Self, Vec<Problem>> {
        let parts = check::compile(source, file, files, options)?;
        let mut grants: BTreeMap<Principal, BTreeMap<ToolName, Vec<Arc<Grant>>>> = BTreeMap::new();
        for grant in &parts.grants {
            let tools = grants.entry(grant.principal.clone()).or_default();
            tools.entry(grant.tool.clone()).or_default().push(Arc::new(grant.clone()));
        }
        let digest = digest(source, &parts.files);
        Ok(Self(Arc::new(Inner { source: source.to_owned(), digest, parts, grants })))
    }

    /// `sha256:` and the hash, in hex, of the source and of every file it refers to.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.0.digest
    }

    /// Whether this is its digest.
    #[must_use]
    pub fn is(&self, digest: &[u8; 32]) -> bool {
        self.0.digest.strip_prefix("sha256:") == Some(hex::encode(digest).as_str())
    }

    /// The text it was compiled from.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.0.source
    }

    /// The files it refers to, by their paths as written: with the source, all that is needed to compile
    /// it again.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.0.parts.files
    }

    /// Every tool, the built-in one included.
    #[must_use]
    pub fn catalogue(&self) -> &Catalogue {
        &self.0.parts.catalogue
    }

    /// Who may come, in the order of the file.
    #[must_use]
    pub fn identities(&self) -> &[Identity] {
        &self.0.parts.identities
    }

    /// Every grant, in the order of the file.
    #[must_use]
    pub fn grants(&self) -> &[Grant] {
        &self.0.parts.grants
    }

    /// What this principal is granted on this tool, in the order of the file.
    #[must_use]
    pub fn grants_of(&self, principal: &Principal, tool: &ToolName) -> &[Arc<Grant>] {
        self.0.grants.get(principal).and_then(|tools| tools.get(tool)).map_or(&[], Vec::as_slice)
    }

    /// Who answers for this principal and may not approve its requests.
    #[must_use]
    pub fn owners_of(&self, principal: &Principal) -> BTreeSet<OperatorName> {
        let tools = self.0.grants.get(principal).into_iter().flat_map(BTreeMap::values);
        tools.flatten().flat_map(|grant| grant.owners.iter().cloned()).collect()
    }

    /// The groups of approvers.
    #[must_use]
    pub fn approvers(&self) -> &BTreeMap<String, Approvers> {
        &self.0.parts.approvers
    }

    /// What nobody gets.
    #[must_use]
    pub fn forbids(&self) -> &[Forbid] {
        &self.0.parts.forbids
    }

    /// When a task is revoked by itself, in the order of the file; none unless the file has some.
    #[must_use]
    pub fn tripwires(&self) -> &[Tripwire] {
        &self.0.parts.tripwires
    }

    /// When a watched version is taken back; `None`: the file does not say, and [`Rollback::default`] holds.
    #[must_use]
    pub fn rollback(&self) -> Option<&Rollback> {
        self.0.parts.rollback.as_ref()
    }

    /// What a new version must hold up to; `None`: the file does not say, and [`Gate::default`] holds.
    #[must_use]
    pub fn gate(&self) -> Option<&Gate> {
        self.0.parts.gate.as_ref()
    }

    /// The labelled cases that come with it: the file's name and its text.
    #[must_use]
    pub fn cases(&self) -> Option<(&str, &str)> {
        let name = self.gate()?.cases.as_deref()?;
        self.files().get(name).map(|text| (name, text.as_str()))
    }

    /// Every operator that an identity names.
    #[must_use]
    pub fn operators(&self) -> BTreeSet<OperatorName> {
        let principals = self.identities().iter().flat_map(|identity| &identity.principals);
        let operators = principals.filter_map(|principal| match principal {
            Principal::Operator(name) => Some(name.clone()),
            _ => None,
        });
        operators.collect()
    }

    /// The operators who are granted this verb of the built-in tool.
    #[must_use]
    pub fn operators_with(&self, verb: &VerbName) -> BTreeSet<OperatorName> {
        let granted = self.grants().iter().filter_map(|grant| match &grant.principal {
            Principal::Operator(name) if grant.verbs.contains_key(verb) => Some(name.clone()),
            _ => None,
        });
        granted.collect()
    }

    /// Whether this operator may use this verb for this purpose: granted to them and not forbidden.
    #[must_use]
    pub fn lets(&self, operator: &OperatorName, operation: &Operation, intent: &Intent) -> bool {
        self.gives(&Principal::Operator(operator.clone()), operation, intent)
    }

    /// Whether some grant gives this verb to this principal for this purpose, on whatever conditions, and nothing
    /// forbids it.
    #[must_use]
    pub fn gives(&self, principal: &Principal, operation: &Operation, intent: &Intent) -> bool {
        let mut granted = self.grants_of(principal, &operation.tool).iter();
        let forbidden = self.catalogue().verb(operation).is_none_or(|verb| {
            self.forbids().iter().any(|forbid| forbid.reaches(principal, intent, operation, verb.access))
        });
        !forbidden && granted.any(|grant| grant.serves(intent) && grant.verbs.contains_key(&operation.verb))
    }

    /// The grants by which this principal may be given a new token of this verb for this purpose without anyone's
    /// approval, on whatever conditions; none where it is forbidden, or is of another access now.
    pub fn giving<'a>(
        &'a self,
        principal: &Principal,
        operation: &'a Operation,
        access: Access,
        intent: &'a Intent,
    ) -> impl Iterator<Item = &'a Grant> {
        let same = self.catalogue().verb(operation).is_some_and(|verb| verb.access == access);
        let given = same && self.gives(principal, operation, intent);
        let freely = move |grant: &&Arc<Grant>| {
            let approved = grant.approval.as_ref().is_some_and(|a| a.covers(&operation.verb, access));
            given && grant.serves(intent) && grant.verbs.contains_key(&operation.verb) && !approved
        };
        self.grants_of(principal, &operation.tool).iter().filter(freely).map(Arc::as_ref)
    }

    /// Whether someone besides this operator may activate a policy, so that a change of operators,
    /// approvers or their grants can have a second pair of eyes.
    #[must_use]
    pub fn has_second_operator(&self, operator: &OperatorName) -> bool {
        let activate = builtin::ACTIVATE.parse().map(|verb| self.operators_with(&verb)).unwrap_or_default();
        activate.iter().any(|other| other != operator)
    }

    /// Whether there are two who may activate a policy: what takes both of them, nothing does by itself.
    #[must_use]
    pub fn takes_two(&self) -> bool {
        builtin::ACTIVATE.parse().is_ok_and(|verb| self.operators_with(&verb).len() > 1)
    }

    /// Operators, approvers and what they are granted, to be compared with another policy's.
    #[must_use]
    pub fn admin_surface(&self) -> AdminSurface {
        AdminSurface::of(self)
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({})", self.digest())
    }
}

/// Each part is preceded by its length, so that no two different policies have the same bytes.
fn digest(source: &str, files: &BTreeMap<String, String>) -> String {
    let mut hash = Sha256::new();
    hash.update(b"shortbread-policy/v1\n");
    let named = files.iter().flat_map(|(name, text)| [name, text]);
    for part in std::iter::once(source).chain(named.map(String::as_str)) {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    format!("sha256:{}", hex::encode(hash.finalize()))
}
