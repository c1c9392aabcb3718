//! Which policy is in force: taken in as versions, put in force by operators, kept in memory for every decision.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::event::{Decision, EventType};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::names::{OperatorName, ToolName};
use thiserror::Error;

use crate::audit::Scribe;
use crate::keyring::{DEV_MARK, is_example};
use crate::policy::model::Windows;
use crate::policy::{Options, Policy, Problem, operators_alone};
use crate::store::{
    Activate, ActivateError, NewPolicy, PolicyAction, PolicyVersion, Store, StoreError, StoreKind,
};

/// How long a first operator's wish waits for the second.
const PROPOSAL: Duration = Duration::from_secs(3600);

/// How many former policies are read to tell the windows of living tokens.
const MOST_FORMER: usize = 8;

/// Why a policy was not taken in or put in force.
#[derive(Debug, Error)]
pub enum ActivationError {
    /// The file cannot be read.
    #[error(
        "the policy {path} cannot be read: {cause}; put it there, or correct `policy` in the configuration"
    )]
    Unreadable {
        /// The file.
        path: String,
        /// What the system said.
        cause: std::io::Error,
    },
    /// It does not pass its checks.
    #[error("{}", problems(.0))]
    Problems(Vec<Problem>),
    /// A stored version can no longer be read.
    #[error("policy version {0} in the store is damaged")]
    Damaged(u64),
    /// No such version.
    #[error("there is no policy version {0}; `shortbread policy history` lists them")]
    Unknown(u64),
    /// Nothing to go back to.
    #[error("no earlier policy was in force; there is nothing to roll back to")]
    NoEarlier,
    /// Never in force, so no rollback.
    #[error("policy version {0} was never in force; use `shortbread policy activate {0}`")]
    NeverActive(u64),
    /// A second operator is needed.
    #[error(
        "version {0} changes operators, approvers or their grants: another operator must activate it too, within an hour"
    )]
    SecondOperator(u64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn problems(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

/// A policy and all it refers to, as it is stored.
#[derive(Serialize, Deserialize)]
struct Bundle {
    v: u32,
    file: String,
    source: String,
    files: BTreeMap<String, String>,
}

struct InForce {
    version: u64,
    policy: Policy,
}

/// Holds the policy in force.
pub struct PolicyHolder {
    store: Store,
    options: Options,
    scribe: Scribe,
    current: ArcSwapOption<InForce>,
    // Of a policy that cannot be used; asked for only while none is in force.
    switch_only: ArcSwapOption<Policy>,
    proposal: Mutex<Option<Proposal>>,
    turn: tokio::sync::Mutex<()>,
}

struct Proposal {
    version: u64,
    by: OperatorName,
    until: Duration,
}

/// Who puts a policy in force.
#[derive(Clone, Debug)]
pub enum Actor {
    /// The program itself, on the host: `init`, `dev`, `rollback --offline`.
    Host(&'static str),
    /// An operator over the admin API.
    Operator(OperatorName),
}

impl Actor {
    /// The name that is recorded.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Host(name) => name,
            Self::Operator(name) => name.as_str(),
        }
    }
}

/// Reads and checks a policy file for a store of this kind; key files stand relative to it.
///
/// # Errors
/// When it cannot be read or does not pass its checks.
pub fn read_policy(path: &Path, kind: StoreKind, options: &Options) -> Result<Policy, ActivationError> {
    let shown = path.display().to_string();
    let source = std::fs::read_to_string(path)
        .map_err(|cause| ActivationError::Unreadable { path: shown.clone(), cause })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let files = |name: &str| {
        let text = std::fs::read_to_string(folder.join(name)).map_err(|error| error.to_string())?;
        known_key(&text, kind).map_or(Ok(text), Err)
    };
    Policy::compile(&source, &shown, &files, options).map_err(ActivationError::Problems)
}

// How the file of a bundle was named when it was taken in.
fn named(bundle: &[u8]) -> String {
    serde_json::from_slice::<Bundle>(bundle).map_or_else(|_| "policy".to_owned(), |bundle| bundle.file)
}

// Keys that `dev` made, and the sample keys, are no keys for a broker that matters.
fn known_key(text: &str, kind: StoreKind) -> Option<String> {
    if kind == StoreKind::Dev {
        return None;
    }
    if text.starts_with(DEV_MARK) {
        return Some("it was made by `shortbread dev`".to_owned());
    }
    let sample = PublicKey::from_pem(text).is_ok_and(|key| is_example(&key));
    sample.then(|| "it is a sample key that everyone knows".to_owned())
}

impl PolicyHolder {
    /// Loads the policy in force from the store. One that can no longer be compiled is not in force: then no token
    /// is issued, and the problem is logged.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load(store: Store, issuer: &str, scribe: Scribe) -> Result<Self, StoreError> {
        let options = Options { issuer: issuer.to_owned() };
        let active = store.active_policy().await?;
        let holder = Self {
            store,
            options,
            scribe,
            current: ArcSwapOption::empty(),
            switch_only: ArcSwapOption::empty(),
            proposal: Mutex::new(None),
            turn: tokio::sync::Mutex::new(()),
        };
        if let Some(active) = active {
            let version = active.version.n;
            match holder.compile_bundle(version, &active.bundle) {
                Ok(policy) => holder.current.store(Some(Arc::new(InForce { version, policy }))),
                Err(error) => {
                    let left = holder.operators_of(&active.bundle);
                    tracing::error!(
                        policy.version = version,
                        error = %error,
                        operators = left.is_some(),
                        "the policy in force cannot be used: nothing is granted; where its operators can be read they keep the switch"
                    );
                    holder.switch_only.store(left.map(Arc::new));
                }
            }
        }
        Ok(holder)
    }

    /// The policy in force, if there is one.
    #[must_use]
    pub fn in_force(&self) -> Option<Policy> {
        self.current.load().as_ref().map(|current| current.policy.clone())
    }

    /// Where the policy that should be in force cannot be used: its operators, for the verbs of the switch alone.
    #[must_use]
    pub fn switch_only(&self) -> Option<Policy> {
        if self.current.load().is_some() {
            return None;
        }
        self.switch_only.load().as_deref().cloned()
    }

    /// Its version; 0 without one.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.current.load().as_ref().map_or(0, |current| current.version)
    }

    /// How old the revocation list may be for calls with any token that was made since this moment, tool by tool: the
    /// longest windows of the policies that were in force since. A tool that is not named may have the usual ones.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn windows_borne(&self, since: Timestamp) -> Result<BTreeMap<ToolName, Windows>, StoreError> {
        let Some(current) = self.in_force() else { return Ok(BTreeMap::new()) };
        let mut borne = BTreeMap::new();
        for (name, tool) in &current.catalogue().tools {
            borne.insert(name.clone(), tool.windows);
        }
        if borne.values().all(|windows| *windows == Windows::default()) {
            return Ok(borne);
        }
        let mut versions = BTreeSet::new();
        for activation in self.store.policy_history().await?.iter().rev() {
            versions.insert(activation.version);
            if activation.at <= since {
                break;
            }
        }
        versions.remove(&self.version());
        if versions.len() > MOST_FORMER {
            return Ok(BTreeMap::new());
        }
        for version in versions {
            let bundle = self.store.policy_bundle(version).await?.unwrap_or_default();
            let Ok(former) = self.compile_bundle(version, &bundle) else { return Ok(BTreeMap::new()) };
            for (name, tool) in &former.catalogue().tools {
                let windows = borne.entry(name.clone()).or_insert(tool.windows);
                *windows = windows.longer(tool.windows);
            }
        }
        Ok(borne)
    }

    /// Takes a policy file in as a new version, unless it is one already.
    ///
    /// # Errors
    /// When it cannot be read or does not pass its checks.
    pub async fn take_in(
        &self,
        path: &Path,
        author: &str,
        decision: &Decision,
    ) -> Result<PolicyVersion, ActivationError> {
        let policy = read_policy(path, self.store.meta().kind, &self.options)?;
        let file = path.display().to_string();
        let bundle = Bundle { v: 1, file, source: policy.source().to_owned(), files: policy.files().clone() };
        let bytes = serde_json::to_vec(&bundle).unwrap_or_default();
        let digest = policy.digest().strip_prefix("sha256:").and_then(|hex| hex::decode(hex).ok());
        let digest = digest.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
        let data = json!({ "policy": policy.digest(), "author": author });
        let audit = self.scribe.entry(EventType::PolicyAdded, decision, "policy".to_owned(), data);
        let new = NewPolicy { bundle: bytes, digest, author: author.to_owned(), at: decision.at };
        Ok(self.store.add_policy(new, audit).await?)
    }

    fn operators_of(&self, bytes: &[u8]) -> Option<Policy> {
        let bundle: Bundle = serde_json::from_slice(bytes).ok()?;
        let files =
            |name: &str| bundle.files.get(name).cloned().ok_or_else(|| "it is not in the bundle".to_owned());
        operators_alone(&bundle.source, &bundle.file, &files, &self.options)
    }

    fn compile_bundle(&self, version: u64, bytes: &[u8]) -> Result<Policy, ActivationError> {
        let bundle: Bundle = serde_json::from_slice(bytes).map_err(|_| ActivationError::Damaged(version))?;
        let files =
            |name: &str| bundle.files.get(name).cloned().ok_or_else(|| "it is not in the bundle".to_owned());
        Policy::compile(&bundle.source, &bundle.file, &files, &self.options)
            .map_err(ActivationError::Problems)
    }

    /// Puts a version in force; the newest where none is named.
    ///
    /// # Errors
    /// When there is no such version, it no longer passes its checks, or a second operator is needed.
    pub async fn activate(
        &self,
        version: Option<u64>,
        actor: &Actor,
        decision: &Decision,
        monotonic: Duration,
    ) -> Result<u64, ActivationError> {
        let version = match version {
            Some(version) => version,
            None => {
                self.store.policy_versions().await?.last().map(|v| v.n).ok_or(ActivationError::Unknown(0))?
            }
        };
        self.put(version, PolicyAction::Activate, actor, decision, monotonic).await
    }

    /// Puts a version in force that was in force before; the one before this where none is named.
    ///
    /// # Errors
    /// As [`PolicyHolder::activate`], and when the version was never in force.
    pub async fn roll_back(
        &self,
        version: Option<u64>,
        actor: &Actor,
        decision: &Decision,
        monotonic: Duration,
    ) -> Result<u64, ActivationError> {
        let history = self.store.policy_history().await?;
        // What the store says is in force, which may be one that can no longer be used.
        let current = history.last().map(|activation| activation.version);
        let version = match version {
            Some(version) if history.iter().any(|activation| activation.version == version) => version,
            Some(version) => return Err(ActivationError::NeverActive(version)),
            None => {
                let earlier = history.iter().rev().find(|activation| Some(activation.version) != current);
                earlier.map(|activation| activation.version).ok_or(ActivationError::NoEarlier)?
            }
        };
        self.put(version, PolicyAction::Rollback, actor, decision, monotonic).await
    }

    async fn put(
        &self,
        version: u64,
        action: PolicyAction,
        actor: &Actor,
        decision: &Decision,
        monotonic: Duration,
    ) -> Result<u64, ActivationError> {
        let _turn = self.turn.lock().await;
        let bundle = self.store.policy_bundle(version).await?.ok_or(ActivationError::Unknown(version))?;
        let policy = self.compile_bundle(version, &bundle)?;
        if action == PolicyAction::Activate {
            // Going back is for emergencies: what was observed then and is over is enforced.
            let untimely = policy.untimely(&named(&bundle), decision.at);
            if !untimely.is_empty() {
                return Err(ActivationError::Problems(untimely));
            }
        }
        self.second_operator(version, &policy, actor, monotonic)?;
        let (operator, at) = (actor.name().to_owned(), decision.at);
        let observed = policy.observed(at);
        let observed: BTreeMap<_, _> =
            observed.iter().map(|(tool, until)| (tool, until.to_string())).collect();
        let data = json!({
            "policy": policy.digest(), "version": version, "operator": operator, "before": self.version(),
            "observed": observed,
        });
        let audit =
            self.scribe.entry(EventType::PolicyActivated, decision, format!("operator/{operator}"), data);
        match self.store.activate_policy(Activate { version, operator, action, at }, audit).await {
            Ok(_) => {}
            Err(ActivateError::Store(error)) => return Err(error.into()),
            Err(_) => return Err(ActivationError::Unknown(version)),
        }
        self.current.store(Some(Arc::new(InForce { version, policy })));
        Ok(version)
    }

    // Who may run the broker is not one person's to change, where there are two.
    fn second_operator(
        &self,
        version: u64,
        next: &Policy,
        actor: &Actor,
        now: Duration,
    ) -> Result<(), ActivationError> {
        let (Actor::Operator(operator), Some(current)) = (actor, self.in_force()) else {
            return Ok(());
        };
        if current.admin_surface() == next.admin_surface() || !current.has_second_operator(operator) {
            return Ok(());
        }
        let mut proposal = self.proposal.lock().unwrap_or_else(PoisonError::into_inner);
        let seconded =
            proposal.as_ref().is_some_and(|p| p.version == version && p.by != *operator && now < p.until);
        if seconded {
            *proposal = None;
            return Ok(());
        }
        let keep = proposal.as_ref().is_some_and(|p| p.version == version && now < p.until);
        if !keep {
            *proposal = Some(Proposal { version, by: operator.clone(), until: now + PROPOSAL });
        }
        Err(ActivationError::SecondOperator(version))
    }
}
