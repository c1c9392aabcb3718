//! What the watch hears of requests: what was withheld of them, and whether the policy version before would have withheld it
//! too. It is decided again by the functions that decide live, and only while a version is watched and withholds something.

use std::collections::{BTreeMap, BTreeSet};

use shortbread_protocol::access::Access;
use shortbread_protocol::names::{Intent, Operation, Task, ToolName, WorkflowName};
use shortbread_protocol::reason::Reason;

use super::draft::signer;
use super::flow::Context;
use super::input::Known;
use super::parent::Parent;
use super::proof;
use super::record::Trail;
use super::request::Request;
use super::standing::{Bearer, may_stand};
use super::targets::targets;
use crate::broker::Broker;
use crate::cases::decide::Asking;
use crate::policy::model::Principal;
use crate::policy::{Granted, Policy, Possession, worst_access};
use crate::watch::{Change, Fate, Seen};

/// Where an exchange is refused for what a policy says. Elsewhere limits, a replay or a revocation refuse, or the size of
/// what is asked for.
const STAGES: [&str; 3] = ["identity", "policy", "target"];

/// Some or all of what was asked for was granted.
pub(super) fn granted(broker: &Broker, trail: &Trail, granted: &Granted, context: &Context) {
    let Some((asking, change)) = of_exchange(broker, trail, context) else { return };
    // What is revoked was granted by the policy all the same.
    let withheld = |verb: &Operation| {
        granted.dropped.iter().any(|(dropped, reason)| dropped == verb && Fate::of(*reason).is_some())
    };
    let would = |before: &Policy| given(broker, before, &asking);
    tell(broker, &asking.who, &change, (&withheld, Fate::Denied), would, context);
}

/// Nothing was, and what was shown for it was not used up before.
pub(super) fn refused(broker: &Broker, trail: &Trail, reason: Reason, context: &Context) {
    let Some(fate) = Fate::of(reason) else { return };
    let Some((asking, change)) = of_exchange(broker, trail, context) else { return };
    // The store does not know of all that is refused early.
    let first = |(hash, until)| broker.outcomes.first(hash, until, context.decision.at);
    if !asking.who.may_be(broker, None) || !trail.presented.is_some_and(first) {
        return;
    }
    let decided = STAGES.contains(&trail.stage);
    let would = |before: &Policy| if decided { given(broker, before, &asking) } else { BTreeSet::new() };
    tell(broker, &asking.who, &change, (&|_| true, fate), would, context);
}

/// A token that its holder passes on to a sub-agent.
pub(super) struct Passing<'a> {
    pub(super) parent: &'a Parent,
    pub(super) request: &'a Request,
    /// The sub-agent's key.
    pub(super) holder: &'a str,
}

impl Passing<'_> {
    // Whether the list lets a child with these verbs be.
    fn may_be(&self, broker: &Broker, verb: Option<&Operation>) -> bool {
        let Ok(signer) = signer(broker) else { return false };
        let standing = self.parent.standing(None, self.holder, signer.name().as_str(), verb.into_iter());
        broker.store.mirror().standing(&standing).is_ok()
    }

    fn given(&self, broker: &Broker, policy: &Policy) -> BTreeSet<Operation> {
        let mut given = self.parent.kept(self.request, policy).map(|kept| kept.verbs).unwrap_or_default();
        given.retain(|verb| self.may_be(broker, Some(verb)));
        given
    }
}

/// All of a token, or all but these verbs of it, was passed on.
pub(super) fn passed_on(
    broker: &Broker,
    trail: &Trail,
    passing: &Passing<'_>,
    dropped: &BTreeMap<String, String>,
    context: &Context,
) {
    let Some((asking, change)) = of_trail(broker, trail, context) else { return };
    let withheld = |verb: &Operation| dropped.contains_key(&verb.to_string());
    let would = |before: &Policy| passing.given(broker, before);
    tell(broker, &asking.who, &change, (&withheld, Fate::Denied), would, context);
}

/// Nothing of a token was passed on.
pub(super) fn kept_back(
    broker: &Broker,
    trail: &Trail,
    passing: &Passing<'_>,
    reason: Reason,
    context: &Context,
) {
    let Some(fate) = Fate::of(reason) else { return };
    let Some((asking, change)) = of_trail(broker, trail, context) else { return };
    // No store remembers the proof of what was refused.
    let first = |(hash, until)| broker.outcomes.first(hash, until, context.decision.at);
    if !passing.may_be(broker, None) || !trail.presented.is_some_and(first) {
        return;
    }
    let would = |before: &Policy| passing.given(broker, before);
    tell(broker, &asking.who, &change, (&|_| true, fate), would, context);
}

/// Nobody was recognised. Whom the version before would have taken for a workflow is no stranger to the watch.
pub(super) async fn stranger(
    broker: &Broker,
    request: &Request,
    shown: bool,
    reason: Reason,
    context: &Context,
) {
    let (Some(fate), Some(change)) = (Fate::of(reason), broker.outcomes.change_for_all(context.decision.at))
    else {
        return;
    };
    let before = &change.before;
    let Ok(identity) = broker.identities.verify(&request.assertion, before.identities()).await else {
        return;
    };
    let Ok(principal) = identity.principal(request.client_id.as_deref()) else { return };
    let Principal::Workflow(workflow) = &principal else { return };
    let mut known = Known::of(request, &identity, &principal, before);
    // A proof that was shown and not looked at may hold.
    known.held(if shown { Possession::Proved } else { proof::possession(&identity, None) });
    let who = Who {
        workflow: workflow.clone(),
        intent: request.intent.clone(),
        task: request.task.clone(),
        holder: None,
        verbs: known.verbs(),
    };
    let replay = &identity.replay;
    if !who.may_be(broker, None)
        || !broker.outcomes.first(replay.hash, replay.keep_until, context.decision.at)
    {
        return;
    }
    let asking = Question { who, known, resources: &request.resources };
    let would = |before: &Policy| given(broker, before, &asking);
    tell(broker, &asking.who, &change, (&|_| true, fate), would, context);
}

/// Who asked for which verbs, and for what.
struct Who {
    workflow: WorkflowName,
    intent: Option<Intent>,
    task: Option<Task>,
    holder: Option<String>,
    verbs: BTreeSet<Operation>,
}

impl Who {
    /// Whether the list lets a token of theirs be: of this verb, or of any. Whoever is revoked votes on no version.
    fn may_be(&self, broker: &Broker, verb: Option<(&Operation, Access)>) -> bool {
        let Ok(signer) = signer(broker) else { return false };
        let (principal, undeclared) = (Principal::Workflow(self.workflow.clone()), Intent::undeclared());
        let bearer = Bearer {
            issuer: &broker.issuer,
            key: signer.name().as_str(),
            principal: &principal,
            intent: self.intent.as_ref().unwrap_or(&undeclared),
            task: self.task.as_ref(),
            token: None,
            holder: self.holder.as_deref(),
            approval: None,
        };
        may_stand(&bearer, verb, &broker.store.mirror(), broker.clock.now().seconds())
    }
}

struct Question<'a> {
    who: Who,
    known: Known,
    resources: &'a [String],
}

// Of an exchange of an identity; a child's is decided by what its parent holds.
fn of_exchange<'t>(broker: &Broker, trail: &'t Trail, context: &Context) -> Option<(Question<'t>, Change)> {
    if trail.is_childs() { None } else { of_trail(broker, trail, context) }
}

fn of_trail<'t>(broker: &Broker, trail: &'t Trail, context: &Context) -> Option<(Question<'t>, Change)> {
    let workflow = trail.proved_workflow()?;
    let change = broker.outcomes.change_for(workflow, context.decision.at)?;
    let mut known = trail.known()?.clone();
    if trail.stage == "identity" && trail.shown {
        known.held(Possession::Proved);
    }
    let (workflow, intent) = (workflow.clone(), trail.segment.intent.clone());
    let (task, holder) = (trail.segment.task.clone(), trail.holder.clone());
    let who = Who { workflow, intent, task, holder, verbs: known.verbs() };
    Some((Question { who, known, resources: &trail.resources }, change))
}

/// What a policy gives without anyone's approval of what was asked for, and nothing revokes.
fn given(broker: &Broker, policy: &Policy, asking: &Question<'_>) -> BTreeSet<Operation> {
    let input = asking.known.input();
    let decided = Asking::from(input.clone()).decide(policy);
    let asked = asking.who.verbs.iter().map(|verb| &verb.tool);
    if targets(asked, asking.resources, policy, &decided.rights).is_err() {
        return BTreeSet::new();
    }
    let access = |verb: &Operation| policy.catalogue().verb(verb).map(|verb| verb.access);
    let may_be =
        |verb: &Operation| access(verb).is_some_and(|access| asking.who.may_be(broker, Some((verb, access))));
    decided.granted.into_iter().filter(may_be).collect()
}

/// Counts what became of a request, at each tool once, by the worst access that either version gives its verbs.
fn tell(
    broker: &Broker,
    who: &Who,
    change: &Change,
    (withheld, fate): (&dyn Fn(&Operation) -> bool, Fate),
    would: impl FnOnce(&Policy) -> BTreeSet<Operation>,
    context: &Context,
) {
    let would = if who.verbs.iter().any(withheld) { would(&change.before) } else { BTreeSet::new() };
    let mut tools: BTreeMap<ToolName, (Access, Fate)> = BTreeMap::new();
    for verb in &who.verbs {
        let Some(access) = worst_access([&change.before, &change.now], verb) else { continue };
        let became = match (withheld(verb), would.contains(verb)) {
            (false, _) => Fate::Allowed,
            (true, false) => Fate::Unchanged,
            (true, true) => fate,
        };
        let (worst, told) = tools.entry(verb.tool.clone()).or_insert((access, became));
        *worst = access.max(*worst);
        if became == fate || *told == Fate::Allowed {
            *told = became;
        }
    }
    for (tool, (access, fate)) in tools {
        let (workflow, intent) = (who.workflow.clone(), who.intent.clone());
        let seen = Seen { workflow, intent, tool, access, fate, call: false };
        broker.outcomes.note(&seen, context.decision.at);
    }
}
