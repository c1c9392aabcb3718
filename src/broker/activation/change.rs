//! What changes which policy rules: each in turn, in one transaction with its entries of the audit log.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shortbread_protocol::event::{Decision, EventType};

use super::bundle::Bundle;
use super::second::Wish;
use super::trial::{OnTrial, Scope};
use super::{ActivationError, Actor, Found, Judged, PolicyHolder, Ruling};
use crate::cases::loosened;
use crate::policy::Policy;
use crate::store::{Activate, AuditEntry, PolicyAction, StoreError, Trial, TrialOutcome};

/// How many labelled cases a refusal names.
const MOST_NAMED: usize = 5;

impl PolicyHolder {
    /// Takes a watched version back, for whatever watches it: ends its trial on a part, or goes back to the version before
    /// it. `found` says why, in the audit log. Gives the version that is in force then.
    ///
    /// # Errors
    /// When that trial is over, another version is in force, or the store fails.
    pub async fn take_back(
        &self,
        trial: &Trial,
        found: Found,
        actor: &Actor,
        decision: &Decision,
        monotonic: Duration,
    ) -> Result<u64, ActivationError> {
        if trial.workflows.is_some() {
            return self.take_off(trial, found, actor, decision).await;
        }
        let base = Judged { base: trial.version, trial: Some(trial.n), found };
        let whole = Scope::default();
        self.put(trial.before, whole, (PolicyAction::Rollback, Some(base)), actor, decision, monotonic).await
    }

    /// Ends the trial of a version on a part. Gives the version that is in force for all.
    ///
    /// # Errors
    /// When that trial is over, or the store fails.
    pub async fn take_off(
        &self,
        trial: &Trial,
        found: Found,
        actor: &Actor,
        decision: &Decision,
    ) -> Result<u64, ActivationError> {
        if self.end_trial(trial.n, TrialOutcome::RolledBack, found, actor, decision).await? {
            return Ok(self.version());
        }
        Err(ActivationError::Over(trial.version))
    }

    /// Takes a trial back, or puts a version in force that was in force before: the one named; where none is named, the one
    /// before this, unless a trial on some workflows is open. Gives the version that is in force then.
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
        let on_part = self.on_trial().filter(|open| open.trial.workflows.is_some());
        if let (None, Some(open)) = (version, on_part) {
            return self.take_off(&open.trial, Found::new(), actor, decision).await;
        }
        let version = self.earlier(version).await?;
        self.put(version, Scope::default(), (PolicyAction::Rollback, None), actor, decision, monotonic).await
    }

    /// Puts a version in force again that [`PolicyHolder::earlier`] named and that was judged: what was found goes into its
    /// audit entry.
    ///
    /// # Errors
    /// As [`PolicyHolder::activate`], and when another version is in force than the one that it was judged against.
    pub async fn roll_back_judged(
        &self,
        version: u64,
        judged: Judged,
        actor: &Actor,
        decision: &Decision,
        monotonic: Duration,
    ) -> Result<u64, ActivationError> {
        let whole = Scope::default();
        self.put(version, whole, (PolicyAction::Rollback, Some(judged)), actor, decision, monotonic).await
    }

    /// Ends the open trial of this number; says whether it was open.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn end_trial(
        &self,
        n: u64,
        outcome: TrialOutcome,
        found: Found,
        actor: &Actor,
        decision: &Decision,
    ) -> Result<bool, StoreError> {
        let _turn = self.turn.lock().await;
        let Some((open, digest)) = self.open().filter(|(open, _)| open.n == n) else { return Ok(false) };
        let audit = self.ended(&open, digest, outcome, found, actor, decision);
        let ended = self.store.end_trial(n, outcome, audit).await?;
        self.trial.store(None);
        self.unusable.store(None);
        Ok(ended)
    }

    /// The trial that is open in the store and is not applied, for its policy cannot be used any more.
    #[must_use]
    pub fn unusable(&self) -> Option<Arc<Trial>> {
        self.unusable.load_full()
    }

    pub(super) async fn put(
        &self,
        version: u64,
        scope: Scope,
        (action, judged): (PolicyAction, Option<Judged>),
        actor: &Actor,
        decision: &Decision,
        monotonic: Duration,
    ) -> Result<u64, ActivationError> {
        let _turn = self.turn.lock().await;
        if let Some(moved) = judged.as_ref().filter(|judged| judged.base != self.version()) {
            return Err(ActivationError::Moved(moved.base));
        }
        // The same version may be in force after its watch was ended.
        let judged_trial = judged.as_ref().and_then(|judged| judged.trial);
        if judged_trial.is_some_and(|n| self.open().is_none_or(|(open, _)| open.n != n)) {
            return Err(ActivationError::Over(self.version()));
        }
        let bundle = self.bundle(version).await?;
        let policy = self.fit(version, &bundle, &scope, action, decision)?;
        let back_to = self.back_to(version, &scope).await?;
        let before = match back_to {
            Some(earlier) => self.former(earlier).await?,
            None => self.in_force(),
        };
        let wish = (version, action, scope.workflows.clone(), scope.until.is_some());
        let back = before.as_ref().filter(|_| back_to.is_some());
        self.second_operator(wish, &policy, back, actor, monotonic).await?;
        let found = judged.map(|judged| judged.found).unwrap_or_default();
        let audit = self.activated(version, &policy, (&scope, action, found), actor, decision);
        let Scope { workflows, until } = scope;
        let whole = workflows.is_none();
        let (operator, at) = (actor.name().to_owned(), decision.at);
        let mut activate = Activate { version, workflows, until, back_to, operator, action, at, ended: None };
        activate.ended = self.open().map(|(open, digest)| {
            let outcome = activate.ends(open.version);
            self.ended(&open, digest, outcome, Found::new(), actor, decision)
        });
        let trial = self.store.activate_policy(activate, audit).await.map_err(ActivationError::of)?;
        let tried = trial.map(|trial| Arc::new(OnTrial { trial, policy: policy.clone(), before }));
        if whole {
            self.current.store(Some(Arc::new(Ruling { version, policy })));
        }
        self.trial.store(tried);
        self.unusable.store(None);
        Ok(version)
    }

    fn fit(
        &self,
        version: u64,
        bundle: &Bundle,
        scope: &Scope,
        action: PolicyAction,
        decision: &Decision,
    ) -> Result<Policy, ActivationError> {
        let policy = bundle.compile(&self.options)?;
        if action == PolicyAction::Activate {
            // Going back is for emergencies: what was observed then and is over is enforced.
            bundle.timely(&policy, decision.at)?;
        }
        scope.fits(version, &policy)?;
        if scope.workflows.is_some() && version == self.version() {
            return Err(ActivationError::InForce(version));
        }
        Ok(policy)
    }

    // Whoever watches a version that is in force already goes back to what was before it, not to itself.
    async fn back_to(&self, version: u64, scope: &Scope) -> Result<Option<u64>, ActivationError> {
        if scope.until.is_none() || version != self.version() {
            return Ok(None);
        }
        match self.earlier(None).await {
            Ok(earlier) => Ok(Some(earlier)),
            Err(ActivationError::NoEarlier) => Err(ActivationError::Unwatchable(version)),
            Err(error) => Err(error),
        }
    }

    // The trial that is open, and the digest of its policy where it can be used.
    fn open(&self) -> Option<(Trial, Option<String>)> {
        if let Some(open) = self.on_trial() {
            return Some((open.trial.clone(), Some(open.policy.digest().to_owned())));
        }
        self.unusable().map(|trial| (Trial::clone(&trial), None))
    }

    fn activated(
        &self,
        version: u64,
        policy: &Policy,
        (scope, action, found): (&Scope, PolicyAction, Found),
        actor: &Actor,
        decision: &Decision,
    ) -> AuditEntry {
        let kind =
            if scope.workflows.is_none() { EventType::PolicyActivated } else { EventType::PolicyTried };
        let observing: BTreeMap<_, _> =
            policy.observed(decision.at).into_iter().map(|(tool, until)| (tool, until.to_string())).collect();
        let data = json!({
            "policy": policy.digest(), "version": version, "operator": actor.name(), "before": self.version(),
            "observing": observing, "gate": null, "action": action.as_str(), "workflows": scope.workflows,
            "watched_until": scope.until.map(|at| at.to_string()),
            "outcome": "done", "stage": "record", "error_class": null,
        });
        self.entry(kind, actor, decision, with(data, found))
    }

    fn ended(
        &self,
        open: &Trial,
        digest: Option<String>,
        outcome: TrialOutcome,
        found: Found,
        actor: &Actor,
        decision: &Decision,
    ) -> AuditEntry {
        let data = json!({
            "policy": digest, "version": open.version, "before": open.before, "workflows": open.workflows,
            "trial": open.n, "outcome": "done", "ended": outcome.as_str(), "operator": actor.name(),
            "stage": "record", "error_class": null,
        });
        self.entry(EventType::PolicyTrialEnded, actor, decision, with(data, found))
    }

    fn entry(&self, kind: EventType, actor: &Actor, decision: &Decision, data: Value) -> AuditEntry {
        self.scribe.entry(kind, decision, format!("operator/{}", actor.name()), data)
    }

    async fn second_operator(
        &self,
        wish: Wish,
        next: &Policy,
        back: Option<&Policy>,
        actor: &Actor,
        now: Duration,
    ) -> Result<(), ActivationError> {
        let (Actor::Operator(operator), Some(current)) = (actor, self.in_force()) else {
            return Ok(());
        };
        if !current.has_second_operator(operator) {
            return Ok(());
        }
        let mut why = Vec::new();
        if current.admin_surface() != next.admin_surface() {
            why.push("changes operators, approvers or their grants".to_owned());
        }
        // What a watch goes back to by itself is put in force as well.
        for next in Some(next).filter(|_| wish.2.is_none()).into_iter().chain(back) {
            why.extend(loosened_by(&current, next).await);
        }
        if why.is_empty() || self.proposals.seconded(&wish, operator, now) {
            return Ok(());
        }
        Err(ActivationError::SecondOperator { version: wish.0, why })
    }
}

/// What the next version loosens of what versions are judged by, in words. Many cases take long to read and compare.
pub(crate) async fn loosened_by(current: &Policy, next: &Policy) -> Vec<String> {
    let (current, next) = (current.clone(), next.clone());
    let compared = tokio::task::spawn_blocking(move || compare(&current, &next)).await;
    compared.unwrap_or_else(|_| vec!["cannot be compared: the comparison broke off".to_owned()])
}

fn compare(current: &Policy, next: &Policy) -> Vec<String> {
    let mut found = current.loosened_by(next);
    match loosened(current, next) {
        Ok(cases) if cases.is_empty() => {}
        Ok(cases) => {
            let named = cases.get(..MOST_NAMED).unwrap_or(&cases).join(", ");
            let more = cases.len().saturating_sub(MOST_NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            found.push(format!("no longer withholds what labelled cases do: {named}{more}"));
        }
        Err(error) => {
            found.push(format!("cannot be compared, for its labelled cases cannot be read: {error}"));
        }
    }
    found
}

fn with(mut data: Value, found: Found) -> Value {
    if let Some(data) = data.as_object_mut() {
        data.extend(found);
    }
    data
}
