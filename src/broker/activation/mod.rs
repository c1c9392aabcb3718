//! Which policy is in force: taken in as versions, put in force by operators, kept in memory for every decision.

mod bundle;
mod change;
mod error;
mod second;
mod trial;

pub use bundle::{Written, read_policy};
pub(crate) use change::loosened_by;
pub use error::ActivationError;
pub use trial::{OnTrial, Scope};

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use serde_json::json;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::event::{Decision, EventType};
use shortbread_protocol::names::{OperatorName, ToolName};

use self::bundle::Bundle;
use self::second::Proposals;
use crate::audit::Scribe;
use crate::policy::model::{Principal, Windows};
use crate::policy::{Options, Policy};
use crate::store::{NewPolicy, PolicyAction, PolicyVersion, Store, StoreError, Trial, TrialOutcome};

/// How many former policies are read to tell the windows of living tokens.
const MOST_FORMER: usize = 8;

/// A policy that rules, and its version.
#[derive(Clone, Debug)]
pub struct Ruling {
    /// The version; 0 for what is left of a policy that cannot be used.
    pub version: u64,
    /// The policy.
    pub policy: Policy,
}

/// What a version was held against before it comes into force.
#[derive(Clone, Debug)]
pub struct Judged {
    /// The version that was in force then.
    pub base: u64,
    /// The trial that was open then, where it is what is judged; `None`: any may be.
    pub trial: Option<u64>,
    /// What was found, for the audit log: members of the entry.
    pub found: Found,
}

/// Members of an audit entry.
pub type Found = serde_json::Map<String, serde_json::Value>;

/// Holds the policy in force.
pub struct PolicyHolder {
    store: Store,
    options: Options,
    scribe: Scribe,
    current: ArcSwapOption<Ruling>,
    trial: ArcSwapOption<OnTrial>,
    // Open in the store, and of a policy that cannot be used.
    unusable: ArcSwapOption<Trial>,
    // Of a policy that cannot be used; asked for only while none is in force.
    switch_only: ArcSwapOption<Policy>,
    proposals: Proposals,
    turn: tokio::sync::Mutex<()>,
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
            proposals: Proposals::default(),
            trial: ArcSwapOption::empty(),
            unusable: ArcSwapOption::empty(),
            turn: tokio::sync::Mutex::new(()),
        };
        if let Some(active) = active {
            let version = active.version.n;
            match Bundle::read(version, &active.bundle).and_then(|bundle| bundle.compile(&holder.options)) {
                Ok(policy) => holder.current.store(Some(Arc::new(Ruling { version, policy }))),
                Err(error) => {
                    let left = Bundle::read(version, &active.bundle).ok();
                    let left = left.and_then(|bundle| bundle.operators(&holder.options));
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
        holder.load_trial().await?;
        Ok(holder)
    }

    // One that cannot be used is not applied: what is in force for everyone is in force for its workflows too.
    async fn load_trial(&self) -> Result<(), StoreError> {
        let open = self.store.trials().await?.into_iter().next_back().filter(|trial| trial.ended.is_none());
        let Some(trial) = open else { return Ok(()) };
        match self.compiled(trial.version).await {
            Ok(policy) => {
                let before = self.former(trial.before).await?;
                self.trial.store(Some(Arc::new(OnTrial { trial, policy, before })));
            }
            Err(ActivationError::Store(error)) => return Err(error),
            Err(error) => {
                let version = trial.version;
                tracing::error!(policy.version = version, error = %error, "the policy on trial cannot be used and is not applied");
                self.unusable.store(Some(Arc::new(trial)));
            }
        }
        Ok(())
    }

    // The policy that a trial goes back to; none where it cannot be used any more.
    async fn former(&self, version: u64) -> Result<Option<Policy>, StoreError> {
        if let Some(same) = self.ruling().filter(|ruling| ruling.version == version) {
            return Ok(Some(same.policy));
        }
        match self.compiled(version).await {
            Ok(policy) => Ok(Some(policy)),
            Err(ActivationError::Store(error)) => Err(error),
            Err(error) => {
                tracing::error!(policy.version = version, error = %error, "the policy that a trial goes back to cannot be used: nothing is held against it");
                Ok(None)
            }
        }
    }

    /// The policy in force, if there is one.
    #[must_use]
    pub fn in_force(&self) -> Option<Policy> {
        self.ruling().map(|ruling| ruling.policy)
    }

    /// The same with its version.
    #[must_use]
    pub fn ruling(&self) -> Option<Ruling> {
        self.current.load().as_deref().cloned()
    }

    /// What rules this principal instead, where another version is tried on it. Who it is was found by the policy in force.
    #[must_use]
    pub fn tried_on(&self, principal: &Principal) -> Option<Ruling> {
        self.trial.load().as_ref().and_then(|trial| trial.for_principal(principal))
    }

    /// What rules this principal: the version that is tried on it, or else the policy in force.
    #[must_use]
    pub fn ruling_of(&self, principal: &Principal) -> Option<Ruling> {
        self.tried_on(principal).or_else(|| self.ruling())
    }

    /// The trial that is open, if there is one.
    #[must_use]
    pub fn on_trial(&self) -> Option<Arc<OnTrial>> {
        self.trial.load_full()
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
        let lasted = |ended: Option<(Timestamp, TrialOutcome)>| ended.is_none_or(|(at, _)| at > since);
        let tried = self.store.trials().await?.into_iter().filter(|trial| lasted(trial.ended));
        versions.extend(tried.map(|trial| trial.version));
        versions.remove(&self.version());
        if versions.len() > MOST_FORMER {
            return Ok(BTreeMap::new());
        }
        for version in versions {
            let former = match self.compiled(version).await {
                Ok(former) => former,
                Err(ActivationError::Store(error)) => return Err(error),
                Err(_) => return Ok(BTreeMap::new()),
            };
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
        let bytes = Bundle::of(&policy, path.display().to_string()).to_bytes();
        let digest = policy.digest().strip_prefix("sha256:").and_then(|hex| hex::decode(hex).ok());
        let digest = digest.and_then(|bytes| bytes.try_into().ok()).unwrap_or_default();
        let data = json!({ "policy": policy.digest(), "author": author });
        let audit = self.scribe.entry(EventType::PolicyAdded, decision, "policy".to_owned(), data);
        let new = NewPolicy { bundle: bytes, digest, author: author.to_owned(), at: decision.at };
        Ok(self.store.add_policy(new, audit).await?)
    }

    /// A kept version, compiled again.
    ///
    /// # Errors
    /// When there is none, it no longer passes its checks, or the store fails.
    pub async fn compiled(&self, version: u64) -> Result<Policy, ActivationError> {
        self.bundle(version).await?.compile(&self.options)
    }

    /// A version as it was taken in.
    ///
    /// # Errors
    /// When there is no such version, it is damaged, or the store fails.
    pub async fn written(&self, version: u64) -> Result<Written, ActivationError> {
        Ok(self.bundle(version).await?.into_written())
    }

    async fn bundle(&self, version: u64) -> Result<Bundle, ActivationError> {
        let bytes = self.store.policy_bundle(version).await?.ok_or(ActivationError::Unknown(version))?;
        Bundle::read(version, &bytes)
    }

    /// The version that was taken in last.
    ///
    /// # Errors
    /// When there is none, or the store fails.
    pub async fn newest(&self) -> Result<u64, ActivationError> {
        let versions = self.store.policy_versions().await?;
        versions.last().map(|version| version.n).ok_or(ActivationError::Unknown(0))
    }

    /// Puts a version in force for everyone, or tries it on some workflows; the newest where none is named.
    ///
    /// # Errors
    /// When there is no such version, it no longer passes its checks, does not know a workflow that is named, or a
    /// second operator is needed.
    pub async fn activate(
        &self,
        version: Option<u64>,
        scope: Scope,
        actor: &Actor,
        decision: &Decision,
        monotonic: Duration,
    ) -> Result<u64, ActivationError> {
        let version = match version {
            Some(version) => version,
            None => self.newest().await?,
        };
        self.put(version, scope, (PolicyAction::Activate, None), actor, decision, monotonic).await
    }

    /// The same for a version that passed the gate: what was found goes into its audit entry.
    ///
    /// # Errors
    /// As [`PolicyHolder::activate`], and when another version is in force than the one that it was judged against.
    pub async fn activate_judged(
        &self,
        version: u64,
        scope: Scope,
        judged: Judged,
        actor: &Actor,
        decision: &Decision,
        monotonic: Duration,
    ) -> Result<u64, ActivationError> {
        self.put(version, scope, (PolicyAction::Activate, Some(judged)), actor, decision, monotonic).await
    }

    /// The version that a rollback goes to.
    ///
    /// # Errors
    /// When the one that is named was never in force, or there is none before this, or the store fails.
    pub async fn earlier(&self, version: Option<u64>) -> Result<u64, ActivationError> {
        let history = self.store.policy_history().await?;
        // What the store says is in force, which may be one that can no longer be used.
        let current = history.last().map(|activation| activation.version);
        match version {
            Some(version) if history.iter().any(|activation| activation.version == version) => Ok(version),
            Some(version) => Err(ActivationError::NeverActive(version)),
            None => {
                // What a rollback left is not gone back to: only what came before this version did.
                let came = history.iter().rposition(|activation| {
                    activation.action == PolicyAction::Activate && Some(activation.version) == current
                });
                let before = history.iter().take(came.unwrap_or_default()).rev();
                let earlier = before.into_iter().find(|activation| Some(activation.version) != current);
                earlier.map(|activation| activation.version).ok_or(ActivationError::NoEarlier)
            }
        }
    }
}
