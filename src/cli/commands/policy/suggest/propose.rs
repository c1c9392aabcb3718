//! The proposal: pure. What is proposed as a grant is never wider than today, unless that was asked for and is said.

use std::collections::BTreeSet;

use shortbread_broker::policy::Policy;
use shortbread_broker::policy::model::{Grant, Limit, Principal};
use shortbread_protocol::constraint::{Constraint, Scalar};
use shortbread_protocol::names::{ArgName, Intent, Operation, VerbName, WorkflowName};

use super::edit::{self, Edit};
use super::evidence::Evidence;
use super::fresh;

/// The most values that a constraint is proposed with.
const MAX_VALUES: usize = 8;

/// The policy of today.
pub(super) struct Base<'a> {
    pub(super) text: &'a str,
    pub(super) policy: &'a Policy,
}

/// What to change.
#[derive(Debug, Default)]
pub(super) struct Proposal {
    /// The whole policy as it would be; where there is none, grants alone.
    pub(super) text: String,
    /// What is taken away.
    pub(super) dropped: Vec<String>,
    /// What is narrowed.
    pub(super) narrowed: Vec<String>,
    /// What would be granted that is not today.
    pub(super) wider: Vec<String>,
    /// What to mind.
    pub(super) notes: Vec<String>,
}

/// Proposes the narrowest grants that cover what was used.
pub(super) fn of(
    base: Option<&Base<'_>>,
    workflow: &WorkflowName,
    intent: Option<&Intent>,
    evidence: &Evidence,
    with_observed: bool,
) -> Proposal {
    let mut proposal = Proposal::default();
    let mut edits = Vec::new();
    let principal = Principal::Workflow(workflow.clone());
    let own = base.iter().flat_map(|base| base.policy.grants()).filter(|grant| grant.principal == principal);
    let own: Vec<&Grant> = own.filter(|grant| intent.is_none_or(|intent| grant.serves(intent))).collect();
    for grant in &own {
        if let Some(edit) = narrow(grant, evidence, &mut proposal) {
            edits.push(edit);
        }
    }
    proposal.text = base.map_or_else(String::new, |base| {
        let (text, by_hand) = edit::apply(base.text, &edits);
        proposal.notes.extend(by_hand);
        text
    });
    let missing = missing(&own, intent, evidence);
    let more = fresh::grants(base.map(|base| base.policy), workflow, &missing, evidence, with_observed);
    proposal.wider.extend(more.wider);
    proposal.notes.extend(more.notes);
    if !more.text.is_empty() {
        if !proposal.text.is_empty() && !proposal.text.ends_with('\n') {
            proposal.text.push('\n');
        }
        proposal.text.push_str(&more.text);
    }
    proposal
}

/// What to change in one grant; `None` for nothing.
fn narrow(grant: &Grant, evidence: &Evidence, proposal: &mut Proposal) -> Option<Edit> {
    if !evidence.is_reported(grant.tool.as_str()) {
        let note = format!(
            "{} stays as it is: nobody reports calls of {}, so what is used there is not known",
            grant.id, grant.tool
        );
        proposal.notes.push(note);
        return None;
    }
    let serves = |intent: &str| intent.parse().is_ok_and(|intent: Intent| grant.serves(&intent));
    let operation = |verb: &VerbName| Operation { tool: grant.tool.clone(), verb: verb.clone() };
    let (kept, dropped): (Vec<&VerbName>, Vec<&VerbName>) =
        grant.verbs.keys().partition(|verb| evidence.of_verb(&operation(verb), serves).used > 0);
    proposal
        .dropped
        .extend(dropped.iter().map(|verb| format!("{} of {}: never used", operation(verb), grant.id)));
    let mut edit = Edit { number: grant.number, ..Edit::default() };
    if !dropped.is_empty() {
        edit.verbs = Some(kept.iter().map(|verb| (*verb).clone()).collect());
    }
    for verb in kept {
        for (arg, limit) in grant.verbs.get(verb).into_iter().flatten().flatten() {
            let Some((values, requests)) = evidence.values(&operation(verb), arg, serves) else { continue };
            if let Some(constraint) = tighter(limit, &values) {
                let what = format!(
                    "{} of {}: {arg} to the {} asked for in {requests} requests",
                    operation(verb),
                    grant.id,
                    words(&values)
                );
                proposal.narrowed.push(what);
                edit.limits.push((verb.clone(), arg.clone(), constraint));
            }
        }
    }
    (edit.verbs.is_some() || !edit.limits.is_empty()).then_some(edit)
}

fn words(values: &BTreeSet<Scalar>) -> String {
    if values.len() == 1 { "one value".to_owned() } else { format!("{} values", values.len()) }
}

/// A constraint to these values, where it is narrower than the limit of today and lets all of them pass.
fn tighter(limit: &Limit, values: &BTreeSet<Scalar>) -> Option<Constraint> {
    let Limit::Fixed(today) = limit else { return None };
    let listed = today.eq.is_some() || today.one_of.as_ref().is_some_and(|set| set.len() <= values.len());
    // A value that is spelled otherwise today says nothing of what it would be narrowed to.
    let all = today.subset.is_none() && values.iter().all(|value| today.any || today.admits(value));
    if listed || !all || values.is_empty() || values.len() > MAX_VALUES {
        return None;
    }
    let mut each = values.iter().cloned();
    let constraint = match (each.next(), values.len()) {
        (Some(only), 1) => Constraint::exactly(only),
        _ => Constraint { one_of: Some(values.clone()), ..Constraint::default() },
    };
    constraint.check().is_ok().then_some(constraint)
}

/// Verbs that were used or let pass and that no grant of today covers, with the intents.
fn missing(
    own: &[&Grant],
    intent: Option<&Intent>,
    evidence: &Evidence,
) -> Vec<(Operation, BTreeSet<String>)> {
    let mut missing = Vec::new();
    for (verb, intents) in evidence.verbs() {
        let uncovered = intents.into_iter().filter(|text| {
            let parsed = text.parse::<Intent>().ok();
            let meant = intent.is_none_or(|intent| parsed.as_ref() == Some(intent));
            let covered = own.iter().any(|grant| {
                let serves = parsed.as_ref().is_some_and(|intent| grant.serves(intent));
                serves && grant.tool == verb.tool && grant.verbs.contains_key(&verb.verb)
            });
            meant && !covered
        });
        let uncovered: BTreeSet<String> = uncovered.map(str::to_owned).collect();
        if !uncovered.is_empty() {
            missing.push((verb.clone(), uncovered));
        }
    }
    missing
}

/// One value or constraint, as a policy spells it.
pub(super) fn spelled(constraint: &Constraint) -> String {
    let list = |values: &BTreeSet<Scalar>| values.iter().map(scalar).collect::<Vec<_>>().join(", ");
    match (&constraint.eq, &constraint.one_of) {
        (Some(value), _) => format!("{{ eq = {} }}", scalar(value)),
        (None, Some(values)) => format!("{{ in = [{}] }}", list(values)),
        (None, None) => "{ any = true }".to_owned(),
    }
}

fn scalar(value: &Scalar) -> String {
    match value {
        Scalar::Int(number) => number.to_string(),
        Scalar::Bool(flag) => flag.to_string(),
        Scalar::Text(text) => edit::quoted(text),
    }
}

/// What an argument may be in a grant that is new: the values that were asked for, or anything.
pub(super) fn asked(
    evidence: &Evidence,
    verb: &Operation,
    arg: &ArgName,
    intents: &BTreeSet<String>,
) -> Constraint {
    let values = evidence.values(verb, arg, |intent| intents.contains(intent));
    let anything = Limit::Fixed(Constraint::anything());
    values.and_then(|(values, _)| tighter(&anything, &values)).unwrap_or_else(Constraint::anything)
}
