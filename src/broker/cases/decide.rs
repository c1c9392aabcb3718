//! A case decided: who it is by the policy's identities, what they get by the function that decides live, and what a call
//! with the token comes to by the check that enforces it. Pure: no clock, no store, no network.

use std::time::Duration;

use serde_json::{Map, Value};
use shortbread_protocol::names::{Intent, Operation};
use shortbread_protocol::reason::Reason;

use super::call;
use super::{Call, Case, Held, Input, Outcome};
use crate::identity::{IdentityError, Proved, is_known, recall};
use crate::policy::model::Principal;
use crate::policy::{self, Asked, Demand, Granted, Pending, Policy, Possession, Request, Right};

/// What a policy makes of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The outcome.
    pub outcome: Outcome,
    /// Why nothing is granted.
    pub reason: Option<Reason>,
    /// The same in a sentence.
    pub detail: Option<String>,
    /// The verbs that are granted, in order; none unless the outcome is [`Outcome::Allow`].
    pub granted: Vec<Operation>,
    /// What was asked for and is not granted though something is, and why.
    pub dropped: Vec<(Operation, Reason)>,
    /// What is granted, or would be once it is approved.
    pub rights: Vec<Right>,
    /// The verbs that nobody gets without an approval.
    pub needing: Vec<Operation>,
    /// The grants that were used, such as `grant:3`.
    pub grants: Vec<String>,
    /// The life of the token.
    pub ttl: Option<Duration>,
}

/// Decides a case under a policy.
#[must_use]
pub fn decide(policy: &Policy, case: &Case) -> Decided {
    Asking::from(case.input.clone()).decide(policy)
}

/// What a policy gives.
#[derive(Clone, Debug)]
pub struct Weighed {
    /// What it gives, or would give.
    pub granted: Granted,
    /// What has to be approved first.
    pub pending: Option<Waits>,
}

/// What waits for an approval.
#[derive(Clone, Debug)]
pub struct Waits {
    /// The verbs that nobody gets without it.
    pub needing: Vec<Operation>,
    /// What has to be met.
    pub demands: Vec<Demand>,
    /// The first demand in a sentence.
    pub detail: String,
}

/// A case's input, ready to be decided under several policies.
#[derive(Clone, Debug)]
pub struct Asking {
    principal: Result<Principal, String>,
    proof: Proof,
    claims: Map<String, Value>,
    held: Held,
    intent: Option<Intent>,
    ttl: Option<Duration>,
    asked: Vec<Asked>,
    call: Option<Call>,
}

/// What proved the identity.
#[derive(Clone, Debug)]
enum Proof {
    /// The thumbprint of a registered key.
    Key(String),
    /// A token of this issuer.
    Token(String),
    /// Nothing: it is believed.
    Believed,
}

/// Who asks, as far as a decision depends on it.
pub(super) struct Known<'a> {
    pub(super) principal: &'a Principal,
    pub(super) possession: Possession,
    claims: &'a Map<String, Value>,
}

impl From<Input> for Asking {
    fn from(input: Input) -> Self {
        let identity = input.identity;
        let principal = identity.principal.parse().map_err(|why: String| {
            let short: String = identity.principal.chars().take(64).collect();
            format!("{short:?} is no principal: {why}")
        });
        let (proof, claims) = match (identity.key, identity.issuer) {
            // A registered key signs its own claims: no condition is bound to them.
            (Some(key), _) => (Proof::Key(key), Map::new()),
            (None, Some(issuer)) => (Proof::Token(issuer), identity.claims),
            (None, None) => (Proof::Believed, identity.claims),
        };
        let asked = input.request.into_iter();
        let asked = asked.map(|wanted| Asked { operation: wanted.verb, arguments: wanted.constraints });
        Self {
            principal,
            proof,
            claims,
            held: input.possession,
            intent: input.intent,
            ttl: input.ttl.map(Duration::from_secs),
            asked: asked.collect(),
            call: input.call,
        }
    }
}

impl Asking {
    /// Decides it under a policy.
    #[must_use]
    pub fn decide(&self, policy: &Policy) -> Decided {
        let Weighed { granted, pending } = match self.weigh(policy) {
            Ok(weighed) => weighed,
            Err((reason, detail)) => return Decided::denied(reason, detail),
        };
        if let Some(called) = &self.call
            && let Err((reason, detail)) = self.admits(policy, &granted, called)
        {
            return Decided { grants: granted.grants, ..Decided::denied(reason, detail) };
        }
        match pending {
            None => Decided::allowed(granted),
            Some(waits) => {
                let denied = Decided::denied(Reason::ApprovalRequired, waits.detail);
                let Granted { rights, grants, ttl, .. } = granted;
                let (outcome, needing) = (Outcome::NeedsApproval, waits.needing);
                Decided { outcome, rights, needing, grants, ttl: Some(ttl), ..denied }
            }
        }
    }

    /// What a policy gives, or would give with an approval.
    ///
    /// # Errors
    /// With the reason and a sentence, where it gives nothing.
    pub fn weigh(&self, policy: &Policy) -> Result<Weighed, (Reason, String)> {
        let known = self.identify(policy)?;
        let request = Request {
            principal: known.principal,
            claims: known.claims,
            intent: self.intent.as_ref(),
            asked: &self.asked,
            ttl: self.ttl,
            possession: known.possession,
        };
        match policy::decide(policy, &request) {
            Ok(granted) => Ok(Weighed { granted, pending: None }),
            Err(mut refusal) => match refusal.pending.take().map(|pending| *pending) {
                Some(Pending { granted, needing, demands }) => {
                    let waits = Waits { needing, demands, detail: refusal.detail };
                    Ok(Weighed { granted, pending: Some(waits) })
                }
                None => Err((refusal.reason, refusal.detail)),
            },
        }
    }

    /// Whether a token with what is granted of a call's verb would allow the call.
    ///
    /// # Errors
    /// With the verifier's reason and words, or why there would be no token.
    pub fn admits(&self, policy: &Policy, granted: &Granted, call: &Call) -> Result<(), (Reason, String)> {
        let known = self.identify(policy)?;
        call::evaluate(policy, self.intent(), &known, granted, call)
    }

    /// Whether tokens of what is granted would allow each of these calls, told as a request for a token is: a call beyond
    /// the grant was not granted.
    ///
    /// # Errors
    /// As [`Self::admits`], of the first call that is not allowed.
    pub fn grants(&self, policy: &Policy, granted: &Granted, calls: &[Call]) -> Result<(), (Reason, String)> {
        if calls.is_empty() {
            return Ok(());
        }
        let known = self.identify(policy)?;
        let all = call::evaluate_each(policy, &self.intent(), &known, granted, calls);
        all.map_err(|(reason, detail)| match reason {
            Reason::ArgumentRefused => (Reason::ConstraintRefused, detail),
            reason => (reason, detail),
        })
    }

    /// Who asks, where it is a principal at all.
    pub(super) fn principal(&self) -> Option<&Principal> {
        self.principal.as_ref().ok()
    }

    /// The declared purpose.
    pub(super) fn intent(&self) -> Intent {
        self.intent.clone().unwrap_or_else(Intent::undeclared)
    }

    /// The verbs that a decision speaks of: each that is asked for, or the one that is called.
    pub(super) fn verbs(&self) -> Vec<&Operation> {
        let mut verbs: Vec<&Operation> = match &self.call {
            Some(call) => vec![&call.verb],
            None => self.asked.iter().map(|asked| &asked.operation).collect(),
        };
        verbs.sort();
        verbs.dedup();
        verbs
    }

    fn identify(&self, policy: &Policy) -> Result<Known<'_>, (Reason, String)> {
        let principal = self.principal.as_ref().map_err(|why| (Reason::IdentityInvalid, why.clone()))?;
        let entries = policy.identities();
        let reuse = match &self.proof {
            Proof::Believed if is_known(entries, principal) => None,
            Proof::Believed => return Err(stranger(principal)),
            Proof::Key(thumbprint) => Some(self.recalled(policy, principal, &Proved::Key(thumbprint))?),
            Proof::Token(issuer) => {
                let proved = Proved::Token { issuer, claims: &self.claims };
                Some(self.recalled(policy, principal, &proved)?)
            }
        };
        let possession = match (self.held, reuse) {
            (Held::Proved, _) => Possession::Proved,
            // What the entry says now, not what it said when the case was recorded.
            (_, Some(true)) | (Held::Reusable, None) => Possession::Reusable,
            (_, Some(false)) | (Held::Unproved, None) => Possession::Unproved,
        };
        if principal.must_prove() && possession != Possession::Proved {
            let detail = "an operator's token is bound to a key: it takes a DPoP proof";
            return Err((Reason::ProofRequired, detail.to_owned()));
        }
        Ok(Known { principal, possession, claims: &self.claims })
    }

    fn recalled(
        &self,
        policy: &Policy,
        principal: &Principal,
        proved: &Proved<'_>,
    ) -> Result<bool, (Reason, String)> {
        match recall(policy.identities(), principal, proved) {
            Ok(found) => Ok(found.reuse),
            Err(error) => Err((error.reason(), unmatched(&error, principal))),
        }
    }
}

impl Decided {
    /// What becomes of one verb of the request, by itself.
    #[must_use]
    pub fn of(&self, verb: &Operation) -> Outcome {
        let needs = self.needing.contains(verb);
        let given = self.rights.iter().any(|right| right.operation == *verb);
        match (needs, given) {
            (true, _) => Outcome::NeedsApproval,
            (false, true) => Outcome::Allow,
            (false, false) => Outcome::Deny,
        }
    }

    fn denied(reason: Reason, detail: String) -> Self {
        Self {
            outcome: Outcome::Deny,
            reason: Some(reason),
            detail: Some(detail),
            granted: Vec::new(),
            dropped: Vec::new(),
            rights: Vec::new(),
            needing: Vec::new(),
            grants: Vec::new(),
            ttl: None,
        }
    }

    fn allowed(granted: Granted) -> Self {
        let Granted { rights, ttl, grants, dropped, .. } = granted;
        Self {
            outcome: Outcome::Allow,
            reason: None,
            detail: None,
            granted: rights.iter().map(|right| right.operation.clone()).collect(),
            dropped,
            rights,
            needing: Vec::new(),
            grants,
            ttl: Some(ttl),
        }
    }
}

fn stranger(principal: &Principal) -> (Reason, String) {
    (Reason::IdentityInvalid, format!("no identity of the policy is {principal}"))
}

// The caller of a live request is told less; whoever tests a policy has it before their eyes.
fn unmatched(error: &IdentityError, principal: &Principal) -> String {
    match error {
        IdentityError::Invalid(cause) => format!("the identity does not prove {principal}: {cause}"),
        IdentityError::Unmatched => "no identity entry of the policy wants these claims".to_owned(),
        IdentityError::Ambiguous => {
            "more than one identity entry of the policy wants these claims".to_owned()
        }
        IdentityError::WorkflowUnlisted => {
            format!("the identity entry that wants these claims does not name {principal}")
        }
        IdentityError::Down { .. } | IdentityError::Unavailable { .. } => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
