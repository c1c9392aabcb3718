//! Who gains or loses which verb, for which intents, under which conditions.

use std::collections::{BTreeMap, BTreeSet};

use shortbread_protocol::names::{Intent, Operation};
use shortbread_protocol::normalise::Forms;

use super::super::Policy;
use super::super::model::{Grant, Principal, Rate};
use super::ways::{Aspect, Way, covered, forbids, is_slower, loosened, ways};
use super::words::{self, Said};
use super::{Class, Effect, Intents};

/// What changes of one verb for one intent.
type Change = (Class, Said);
/// For which intents; `None` is any other.
type Which = BTreeSet<Option<Intent>>;

pub(super) fn effects(old: &Policy, new: &Policy) -> Vec<Effect> {
    let both = [old, new];
    let principals: BTreeSet<&Principal> =
        both.iter().flat_map(|policy| policy.grants()).map(|grant| &grant.principal).collect();
    let each = principals.into_iter().flat_map(|principal| {
        let mut effects = of_principal(old, new, principal);
        effects.extend(shares(old, new, principal));
        effects
    });
    each.collect()
}

/// A grant counts its uses for itself: what shares one rate is used less often than what has a rate each.
fn shares(old: &Policy, new: &Policy, principal: &Principal) -> Vec<Effect> {
    let own = |policy: &'_ Policy| -> Vec<Grant> {
        policy.grants().iter().filter(|grant| grant.principal == *principal).cloned().collect()
    };
    let now = own(new);
    let rated = own(old).into_iter().filter_map(|grant| Some((grant.rate?, grant)));
    let split = rated.filter(|(rate, grant)| {
        let after: Vec<&Grant> = now.iter().filter(|other| meets(grant, other)).collect();
        after.len() > 1 && !after.iter().any(|other| stands_for(other, grant, *rate, &after))
    });
    let told = split.map(|(rate, grant)| {
        let verbs: Vec<String> = grant.verbs.keys().map(|verb| format!("{}/{verb}", grant.tool)).collect();
        let text = format!("{}: no longer share one rate of {}", words::names(&verbs), words::rate(rate));
        Effect::new(Class::Widens, principal.to_string(), text)
    });
    told.collect()
}

/// Whether whatever of a grant is still granted goes through this one too, and no more often.
fn stands_for(other: &Grant, grant: &Grant, rate: Rate, after: &[&Grant]) -> bool {
    let slower = other.rate.is_some_and(|own| is_slower(own, rate));
    let mut verbs =
        after.iter().flat_map(|one| one.verbs.keys()).filter(|verb| grant.verbs.contains_key(*verb));
    let intents = match (&other.intents, &grant.intents) {
        (None, _) => true,
        (Some(_), None) => false,
        (Some(_), Some(listed)) => {
            let mut left = listed.iter().filter(|intent| after.iter().any(|one| one.serves(intent)));
            left.all(|intent| other.serves(intent))
        }
    };
    slower && intents && verbs.all(|verb| other.verbs.contains_key(verb))
}

/// Whether one request may use both.
fn meets(one: &Grant, other: &Grant) -> bool {
    let intents = match (&one.intents, &other.intents) {
        (Some(own), Some(theirs)) => !own.is_disjoint(theirs),
        _ => true,
    };
    one.tool == other.tool && intents && one.verbs.keys().any(|verb| other.verbs.contains_key(verb))
}

fn of_principal(old: &Policy, new: &Policy, principal: &Principal) -> Vec<Effect> {
    let both = [old, new];
    let granted =
        || both.iter().flat_map(|policy| policy.grants()).filter(|grant| grant.principal == *principal);
    let operations: BTreeSet<Operation> = granted()
        .flat_map(|grant| {
            grant.verbs.keys().map(|verb| Operation { tool: grant.tool.clone(), verb: verb.clone() })
        })
        .collect();
    let forbidding =
        both.iter().flat_map(|policy| policy.forbids()).flat_map(|forbid| forbid.intents.iter().flatten());
    let named: BTreeSet<Intent> =
        granted().flat_map(|grant| grant.intents.iter().flatten()).chain(forbidding).cloned().collect();
    let other = unnamed(&named);
    let intents: Vec<Option<&Intent>> = named.iter().map(Some).chain([None]).collect();
    let mut by_intent: BTreeMap<(&Operation, Change), Which> = BTreeMap::new();
    for operation in &operations {
        for intent in &intents {
            for change in changes(old, new, principal, intent.unwrap_or(&other), operation) {
                by_intent.entry((operation, change)).or_default().insert(intent.cloned());
            }
        }
    }
    let mut by_verb: BTreeMap<(Which, Change), Vec<Operation>> = BTreeMap::new();
    for ((operation, change), which) in by_intent {
        by_verb.entry((which, change)).or_default().push(operation.clone());
    }
    by_verb
        .into_iter()
        .map(|((which, change), verbs)| effect(principal, which, &named, change, verbs))
        .collect()
}

/// An intent that nobody names.
fn unnamed(named: &BTreeSet<Intent>) -> Intent {
    let mut tried = (0_u64..).filter_map(|number| format!("any-other-{number}").parse::<Intent>().ok());
    tried.find(|intent| !named.contains(intent)).unwrap_or_else(Intent::undeclared)
}

fn changes(
    old: &Policy,
    new: &Policy,
    principal: &Principal,
    intent: &Intent,
    operation: &Operation,
) -> Vec<Change> {
    let (before, now) = (ways(old, principal, intent, operation), ways(new, principal, intent, operation));
    let none = Forms::new();
    let forms = new.catalogue().verb(operation).map_or(&none, |verb| &verb.forms);
    match (before.is_empty(), now.is_empty()) {
        (true, true) => Vec::new(),
        (true, false) => vec![(Class::Widens, Said::gains(&now))],
        (false, true) => {
            let verb = new.catalogue().verb(operation);
            let forbidden = verb.is_some_and(|verb| forbids(new, principal, intent, operation, verb));
            vec![(Class::Narrows, Said::loses(verb.is_some(), forbidden))]
        }
        (false, false) => {
            let mut changes = conditions(&before, &now, forms);
            changes.extend(Aspect::ALL.into_iter().flat_map(|aspect| demands(aspect, &before, &now, forms)));
            changes
        }
    }
}

fn conditions(before: &[Way<'_>], now: &[Way<'_>], forms: &Forms) -> Vec<Change> {
    let beyond = |ways: &'_ [Way<'_>], known: &[Way<'_>]| -> Vec<usize> {
        let outside = ways.iter().enumerate().filter(|(_, way)| !covered(way.limits, known, forms));
        outside.map(|(place, _)| place).collect()
    };
    let pick = |ways: &[Way<'_>], places: &[usize]| -> BTreeSet<String> {
        places.iter().filter_map(|place| ways.get(*place)).map(|way| words::limits(way.limits)).collect()
    };
    let (more, fewer) = (pick(now, &beyond(now, before)), pick(before, &beyond(before, now)));
    let mut changes = Vec::new();
    if !more.is_empty() {
        changes.push((Class::Widens, Said::other(format!("also {}", words::either(&more)))));
    }
    if !fewer.is_empty() {
        changes.push((Class::Narrows, Said::other(format!("no longer {}", words::either(&fewer)))));
    }
    changes
}

fn demands(aspect: Aspect, before: &[Way<'_>], now: &[Way<'_>], forms: &Forms) -> Vec<Change> {
    let mut changes = Vec::new();
    let looser = loosened(aspect, before, now, forms);
    if let Some((was, is)) = looser {
        changes.push((Class::Widens, Said::other(words::demand(aspect, was, is, many(before, now)))));
    }
    if let Some((is, was)) = loosened(aspect, now, before, forms) {
        let said = Said::other(words::demand(aspect, was, is, many(before, now)));
        // One change that cannot be called stricter: who approves is another.
        if changes.iter().all(|(_, told)| *told != said) {
            changes.push((Class::Narrows, said));
        }
    }
    if aspect == Aspect::Approval && changes.is_empty() {
        changes.extend(pace(before, now));
    }
    changes
}

// How soon the next group is asked lets nobody do more or less.
fn pace(before: &[Way<'_>], now: &[Way<'_>]) -> Option<Change> {
    let slas = |ways: &[Way<'_>]| -> BTreeSet<std::time::Duration> {
        ways.iter().filter_map(|way| way.approval).map(|approval| approval.sla).collect()
    };
    let (was, is) = (slas(before), slas(now));
    let both = !was.is_empty() && !is.is_empty();
    (both && was != is).then(|| (Class::Changes, Said::other(words::pace(&was, &is))))
}

fn many(before: &[Way<'_>], now: &[Way<'_>]) -> bool {
    before.len() > 1 || now.len() > 1
}

fn effect(
    principal: &Principal,
    which: Which,
    known: &BTreeSet<Intent>,
    (class, said): Change,
    verbs: Vec<Operation>,
) -> Effect {
    let others = which.contains(&None);
    let intents =
        Intents { named: which.into_iter().flatten().collect(), other_than: others.then(|| known.clone()) };
    let names: Vec<String> = verbs.iter().map(ToString::to_string).collect();
    let text = said.of(&names);
    let sentence = format!("{}{}: {text}", words::principal(principal), words::intents(&intents));
    Effect {
        class,
        about: principal.to_string(),
        intents: Some(intents),
        verbs: names,
        text,
        sentence,
        right: Some((principal.clone(), verbs)),
    }
}
