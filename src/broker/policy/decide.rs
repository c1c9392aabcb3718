//! The decision: what a principal gets of what it asked for. A pure function of the policy and the request.

#[cfg(test)]
pub(super) mod never_wider;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value};
use shortbread_protocol::access::Access;
use shortbread_protocol::constraint::{self, Arguments};
use shortbread_protocol::names::{Intent, Operation};
use shortbread_protocol::normalise::{self, Forms};
use shortbread_protocol::reason::Reason;
use thiserror::Error;

use super::charge::Charge;
use super::model::{Approval, Grant, Principal, Rate, Verb, Windows};
use super::{Policy, bind, charge, cost};

mod explain;

/// The life of a token when neither request nor grant says anything.
pub const DEFAULT_TTL: Duration = Duration::from_secs(300);
/// The longest life of any token.
pub const MAX_TTL: Duration = Duration::from_secs(3600);
/// The longest life of an operator's token.
const OPERATOR_TTL: Duration = Duration::from_secs(900);

/// Who asks for what. The claims are those of the identity that was proved.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// Who asks.
    pub principal: &'a Principal,
    /// What the issuer says of them; empty for a registered key.
    pub claims: &'a Map<String, Value>,
    /// The declared purpose; `None` is the same as `undeclared`.
    pub intent: Option<&'a Intent>,
    /// What is asked for. One operation may stand there several times, with other arguments.
    pub asked: &'a [Asked],
    /// The life asked for.
    pub ttl: Option<Duration>,
    /// Whether they hold a key that the token will be bound to.
    pub possession: Possession,
}

/// Whether the one who asks proved a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Possession {
    /// They did: the token is bound to it.
    Proved,
    /// They did not.
    Unproved,
    /// They did not, and their platform hands out the same identity again and again: whoever sees it can
    /// present it, so it is good for reading alone.
    Reusable,
}

/// One operation that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The tool and verb.
    pub operation: Operation,
    /// The arguments it is asked for; `None` leaves them to the grant.
    pub arguments: Option<Arguments>,
}

/// What is granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Granted {
    /// The rights, by operation; never empty, 64 at most.
    pub rights: Vec<Right>,
    /// The life of the token, in whole seconds.
    pub ttl: Duration,
    /// The rates of the grants that were used, with their ids.
    pub rates: Vec<(String, Rate)>,
    /// What is taken out of budgets, one for each budget.
    pub charges: Vec<Charge>,
    /// The ids of the grants that were used, such as `grant:3`, in the order of the policy.
    pub grants: Vec<String>,
    /// What was asked for and not granted, and why.
    pub dropped: Vec<(Operation, Reason)>,
}

/// One granted operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Right {
    /// The tool and verb.
    pub operation: Operation,
    /// The access of the verb.
    pub access: Access,
    /// How old the revocation list may be for its calls.
    pub windows: Windows,
    /// The form of its arguments, where the catalogue gives one: how the token asks for them.
    pub forms: Forms,
    /// A call is allowed when one of these allows it; never empty.
    pub alternatives: Vec<Alternative>,
}

/// What one grant gives of one verb, met with what was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alternative {
    /// The grant.
    pub grant: String,
    /// The conditions, a closed world; `None` is any arguments.
    pub arguments: Option<Arguments>,
}

/// Nothing is granted.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{detail}")]
pub struct Refusal {
    /// The stable reason.
    pub reason: Reason,
    /// A sentence for the one who asked. It speaks of them and of the catalogue, of nobody else.
    pub detail: String,
    /// What waits, where an approval is demanded.
    pub pending: Option<Box<Pending>>,
}

/// What an approval would let pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pending {
    /// What would be granted.
    pub granted: Granted,
    /// The verbs of it that nobody gets without the approval; never empty.
    pub needing: Vec<Operation>,
    /// What has to be met, all of it; never empty.
    pub demands: Vec<Demand>,
}

/// What one grant, or several that say the same, demand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Demand {
    /// The group that is asked first.
    pub approvers: String,
    /// How many have to agree; never zero.
    pub quorum: u32,
    /// After this long the next group is asked.
    pub sla: Duration,
    /// After this long the request is over.
    pub expires: Duration,
    /// The verbs that it is for.
    pub verbs: Vec<Operation>,
}

impl Refusal {
    fn new(reason: Reason, detail: impl AsRef<str>) -> Self {
        Self { reason, detail: super::problem::cut(detail.as_ref()), pending: None }
    }
}

/// Decides a request.
///
/// Rights add up over grants and each grant keeps its own conditions. Forbids beat grants. Verbs that are
/// not granted are dropped as long as one remains. Every demand of every grant that is used applies, and
/// the shortest life wins.
///
/// # Errors
/// When nothing remains, a name is unknown, an approval is demanded, or no token could hold the rights. A token
/// that is not bound to a key is for one tool: whoever is handed it could use it at the others.
pub fn decide(policy: &Policy, request: &Request<'_>) -> Result<Granted, Refusal> {
    let asked = known(policy, request)?;
    let life = life(request)?;
    let undeclared = Intent::undeclared();
    let case = Case { policy, request, intent: request.intent.unwrap_or(&undeclared) };
    let (mut kept, mut lost) = (Vec::new(), Vec::new());
    for (operation, (verb, arguments)) in asked {
        match case.weigh(operation, verb, &arguments) {
            Ok(won) => kept.push(won),
            Err(refusal) => lost.push((operation.clone(), refusal)),
        }
    }
    if kept.is_empty() {
        return Err(most_telling(lost));
    }
    fit(&kept)?;
    let demands = demands(&kept);
    if let Some(first) = demands.first() {
        let detail = explain::demand(&kept, first);
        let needing = kept.iter().map(|won| &won.right.operation);
        let needing = needing.filter(|verb| demands.iter().any(|demand| demand.verbs.contains(verb)));
        let needing = needing.cloned().collect();
        let pending = Some(Box::new(Pending { granted: summary(kept, lost, life), needing, demands }));
        return Err(Refusal { pending, ..Refusal::new(Reason::ApprovalRequired, detail) });
    }
    one_tool(request)?;
    Ok(summary(kept, lost, life))
}

/// What is asked of each verb of the catalogue: each set of arguments, in the spelling of their forms.
type Wanted<'a> = BTreeMap<&'a Operation, (&'a Verb, Vec<Option<Arguments>>)>;

fn known<'a>(policy: &'a Policy, request: &Request<'a>) -> Result<Wanted<'a>, Refusal> {
    let mut wanted = Wanted::new();
    for asked in request.asked {
        let operation = &asked.operation;
        let Some(verb) = policy.catalogue().verb(operation) else {
            return Err(Refusal::new(Reason::ScopeUnknown, explain::unknown(policy, operation)));
        };
        let arguments = asked.arguments.as_ref().map(|arguments| sound(operation, verb, arguments));
        wanted.entry(operation).or_insert((verb, Vec::new())).1.push(arguments.transpose()?);
    }
    if wanted.is_empty() {
        return Err(Refusal::new(Reason::RequestMalformed, "the request asks for no verb at all"));
    }
    Ok(wanted)
}

fn sound(operation: &Operation, verb: &Verb, asked: &Arguments) -> Result<Arguments, Refusal> {
    let sound = asked.iter().map(|(name, constraint)| {
        let refused = |why: &str| {
            Refusal::new(Reason::ScopeUnknown, format!("the constraint on {name} of {operation} {why}"))
        };
        constraint.check().map_err(refused)?;
        let form = verb.forms.get(name).copied();
        let normal = normalise::constraint(form, constraint)
            .map_err(|misfit| refused(&format!("{}; {}", misfit.cause, misfit.fix)))?;
        Ok((name.clone(), normal))
    });
    sound.collect()
}

fn life(request: &Request<'_>) -> Result<Duration, Refusal> {
    let longest = if request.principal.must_prove() { OPERATOR_TTL } else { MAX_TTL };
    let life = Duration::from_secs(request.ttl.unwrap_or(DEFAULT_TTL).min(longest).as_secs());
    if life.is_zero() {
        return Err(Refusal::new(Reason::RequestMalformed, "the request asks for a token without any life"));
    }
    Ok(life)
}

/// A verb that is granted, and by which grants.
struct Won {
    right: Right,
    grants: Vec<Arc<Grant>>,
    charges: Vec<Charge>,
}

struct Case<'a> {
    policy: &'a Policy,
    request: &'a Request<'a>,
    intent: &'a Intent,
}

impl Case<'_> {
    fn weigh(&self, operation: &Operation, verb: &Verb, asked: &[Option<Arguments>]) -> Result<Won, Refusal> {
        let (principal, access) = (self.request.principal, verb.access);
        if self.policy.forbids().iter().any(|f| f.reaches(principal, self.intent, operation, access)) {
            return Err(Refusal::new(Reason::PolicyForbidden, explain::forbidden(operation)));
        }
        let all = self.policy.grants_of(principal, &operation.tool);
        let listing: Vec<_> = all.iter().filter(|grant| grant.verbs.contains_key(&operation.verb)).collect();
        if listing.is_empty() {
            return Err(Refusal::new(Reason::PolicyDenied, explain::denied(principal, operation, all)));
        }
        let serving: Vec<_> = listing.iter().copied().filter(|grant| grant.serves(self.intent)).collect();
        if serving.is_empty() {
            let detail = explain::intent(operation, self.intent, &listing);
            return Err(Refusal::new(Reason::IntentRefused, detail));
        }
        let mut won = Won {
            right: Right {
                operation: operation.clone(),
                access,
                windows: self.windows(operation),
                forms: verb.forms.clone(),
                alternatives: Vec::new(),
            },
            grants: Vec::new(),
            charges: Vec::new(),
        };
        for grant in &serving {
            let alternatives = self.alternatives(grant, operation, &verb.forms, asked);
            won.charge(grant, &alternatives)?;
            won.add(grant, alternatives);
        }
        if won.right.alternatives.is_empty() {
            let detail = explain::arguments(operation, &serving, &verb.forms, self.request.claims);
            return Err(Refusal::new(Reason::ConstraintRefused, detail));
        }
        if let Some(why) = self.unproved(access, &won.grants) {
            return Err(Refusal::new(Reason::ProofRequired, explain::unproved(operation, why)));
        }
        Ok(won)
    }

    fn windows(&self, operation: &Operation) -> Windows {
        self.policy.catalogue().tools.get(&operation.tool).map_or_else(Windows::default, |tool| tool.windows)
    }

    /// Why the verb wants a proof that is not there.
    fn unproved(&self, access: Access, grants: &[Arc<Grant>]) -> Option<&'static str> {
        let demanded = grants.iter().any(|grant| grant.proof);
        match self.request.possession {
            Possession::Proved => None,
            _ if demanded => Some("a grant of it says proof = \"required\""),
            Possession::Reusable if access != Access::Read => {
                Some("this identity can be presented again, so without a proof it is good for reading alone")
            }
            Possession::Unproved | Possession::Reusable => None,
        }
    }

    /// What one grant gives: its own conditions met with each that was asked, never with another grant's.
    fn alternatives(
        &self,
        grant: &Grant,
        operation: &Operation,
        forms: &Forms,
        asked: &[Option<Arguments>],
    ) -> Vec<Option<Arguments>> {
        let own = match grant.verbs.get(&operation.verb) {
            None => return Vec::new(),
            Some(None) => None,
            Some(Some(limits)) => match bind::bind(limits, forms, self.request.claims) {
                Ok(bound) => Some(bound),
                Err(_) => return Vec::new(),
            },
        };
        let met = asked.iter().filter_map(|asked| match (&own, asked) {
            (None, asked) => Some((*asked).clone()),
            (own, None) => Some(own.clone()),
            (Some(own), Some(asked)) => constraint::meet(own, asked, forms).map(Some),
        });
        met.collect()
    }
}

impl Won {
    /// What one grant gives is under its budget, whatever other grants give besides.
    fn charge(&mut self, grant: &Grant, alternatives: &[Option<Arguments>]) -> Result<(), Refusal> {
        let Some(budget) = grant.budget.as_ref().filter(|_| !alternatives.is_empty()) else { return Ok(()) };
        let bounds = alternatives.iter().map(|way| charge::most(way.as_ref()?.get(&budget.argument)?));
        let Some(most) = bounds.collect::<Option<Vec<_>>>() else {
            let detail = explain::unbounded(&self.right.operation, &budget.argument);
            return Err(Refusal::new(Reason::ConstraintRefused, detail));
        };
        let verb = self.right.operation.verb.clone();
        let verbs = most.into_iter().max().map(|most| (verb, most)).into_iter().collect();
        self.charges.push(Charge::new(grant, budget, verbs));
        Ok(())
    }

    fn add(&mut self, grant: &Arc<Grant>, alternatives: Vec<Option<Arguments>>) {
        if alternatives.is_empty() {
            return;
        }
        self.grants.push(Arc::clone(grant));
        for arguments in alternatives {
            if self.right.alternatives.iter().all(|other| other.arguments != arguments) {
                self.right.alternatives.push(Alternative { grant: grant.id.clone(), arguments });
            }
        }
    }
}

/// Of several reasons, the one that helps most: what cannot be helped first, then what the caller can change.
fn most_telling(lost: Vec<(Operation, Refusal)>) -> Refusal {
    let rank = |refusal: &Refusal| match refusal.reason {
        Reason::PolicyForbidden => 0,
        Reason::IntentRefused => 1,
        Reason::ConstraintRefused => 2,
        Reason::ProofRequired => 3,
        _ => 4,
    };
    let first = lost.into_iter().map(|(_, refusal)| refusal).min_by_key(rank);
    first.unwrap_or_else(|| Refusal::new(Reason::PolicyDenied, "nothing that was asked for is granted"))
}

/// What every grant that is used demands of its verbs; what several demand alike stands there once.
fn demands(kept: &[Won]) -> Vec<Demand> {
    let mut demands: Vec<Demand> = Vec::new();
    for won in kept {
        let Right { operation, access, .. } = &won.right;
        let approvals = won.grants.iter().filter_map(|grant| grant.approval.as_ref());
        for approval in approvals.filter(|approval| approval.covers(&operation.verb, *access)) {
            let new = Demand::of(approval);
            let known = demands.iter_mut().find(|known| known.is_like(&new));
            let demand = match known {
                Some(known) => known,
                None => {
                    demands.push(new);
                    let Some(last) = demands.last_mut() else { continue };
                    last
                }
            };
            if !demand.verbs.contains(operation) {
                demand.verbs.push(operation.clone());
            }
        }
    }
    demands
}

impl Demand {
    fn of(approval: &Approval) -> Self {
        let Approval { approvers, quorum, sla, expires, .. } = approval;
        let (approvers, verbs) = (approvers.clone(), Vec::new());
        Self { approvers, quorum: *quorum, sla: *sla, expires: *expires, verbs }
    }

    fn is_like(&self, other: &Self) -> bool {
        let said = |demand: &Self| (demand.quorum, demand.sla, demand.expires);
        self.approvers == other.approvers && said(self) == said(other)
    }
}

fn one_tool(request: &Request<'_>) -> Result<(), Refusal> {
    let mut tools = request.asked.iter().map(|asked| &asked.operation.tool);
    let first = tools.next();
    if request.possession == Possession::Proved || tools.all(|tool| Some(tool) == first) {
        return Ok(());
    }
    let detail =
        "a token that is not bound to a key is for one tool; send a DPoP proof, or ask once for each";
    Err(Refusal::new(Reason::TargetUnknown, detail))
}

fn fit(kept: &[Won]) -> Result<(), Refusal> {
    let alternatives: usize = kept.iter().map(|won| won.right.alternatives.len()).sum();
    if alternatives > cost::MAX_RIGHTS {
        let detail = format!(
            "the request comes to {} verbs under {alternatives} sets of conditions; a token holds {}, so split it",
            kept.len(),
            cost::MAX_RIGHTS
        );
        return Err(Refusal::new(Reason::TooLarge, detail));
    }
    for right in kept.iter().map(|won| &won.right) {
        let arguments = right.alternatives.iter().filter_map(|a| a.arguments.as_ref());
        if arguments.map(cost::expressions).any(|count| count > cost::MAX_EXPRESSIONS) {
            let detail = format!(
                "the constraints on {} take more than {} expressions; ask for fewer or simpler ones",
                right.operation,
                cost::MAX_EXPRESSIONS
            );
            return Err(Refusal::new(Reason::TooLarge, detail));
        }
    }
    Ok(())
}

fn summary(kept: Vec<Won>, lost: Vec<(Operation, Refusal)>, life: Duration) -> Granted {
    let used: BTreeMap<usize, &Arc<Grant>> =
        kept.iter().flat_map(|won| &won.grants).map(|grant| (grant.number, grant)).collect();
    let ttl = used.values().filter_map(|grant| grant.max_ttl).fold(life, Duration::min);
    let rates = used.values().filter_map(|grant| grant.rate.map(|rate| (grant.id.clone(), rate))).collect();
    let grants = used.values().map(|grant| grant.id.clone()).collect();
    let charges = charges(&kept);
    let dropped = lost.into_iter().map(|(operation, refusal)| (operation, refusal.reason)).collect();
    let rights = kept.into_iter().map(|won| won.right).collect();
    Granted { rights, ttl, rates, charges, grants, dropped }
}

fn charges(kept: &[Won]) -> Vec<Charge> {
    let mut charges: Vec<Charge> = Vec::new();
    for charge in kept.iter().flat_map(|won| &won.charges) {
        match charges.iter_mut().find(|known| known.budget == charge.budget) {
            Some(known) => known.join(charge.clone()),
            None => charges.push(charge.clone()),
        }
    }
    charges
}
