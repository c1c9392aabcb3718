//! The ways in which one verb is given, and whether one is inside another.

use shortbread_protocol::constraint::{self, Arguments, Constraint};
use shortbread_protocol::names::{ArgName, Intent, Operation};
use shortbread_protocol::normalise::Forms;

use super::super::Policy;
use super::super::decide::MAX_TTL;
use super::super::model::{Approval, Budget, Grant, Limit, Limits, Principal, Rate, Verb};

/// Into how many pieces the conditions of one way are taken apart at most.
const MAX_PIECES: usize = 256;

/// What one grant gives of one verb.
#[derive(Clone, Copy, Debug)]
pub(super) struct Way<'p> {
    pub(super) grant: &'p Grant,
    /// `None` is any arguments.
    pub(super) limits: Option<&'p Limits>,
    /// The approval that this verb needs.
    pub(super) approval: Option<&'p Approval>,
}

/// What stands in the way of using a verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aspect {
    Approval,
    Proof,
    Life,
    Rate,
    Budget,
}

impl Aspect {
    pub(super) const ALL: [Self; 5] = [Self::Approval, Self::Proof, Self::Life, Self::Rate, Self::Budget];
}

/// The ways in which a verb is given to a principal for an intent; none where it is forbidden or not there.
pub(super) fn ways<'p>(
    policy: &'p Policy,
    principal: &Principal,
    intent: &Intent,
    operation: &Operation,
) -> Vec<Way<'p>> {
    let Some(verb) = policy.catalogue().verb(operation) else { return Vec::new() };
    if forbids(policy, principal, intent, operation, verb) {
        return Vec::new();
    }
    let serving = policy.grants_of(principal, &operation.tool).iter().filter(|grant| grant.serves(intent));
    let giving = serving.filter_map(|grant| {
        let limits = grant.verbs.get(&operation.verb)?.as_ref();
        let approval =
            grant.approval.as_ref().filter(|approval| approval.covers(&operation.verb, verb.access));
        Some(Way { grant, limits, approval })
    });
    giving.collect()
}

/// Whether the verb is forbidden to this principal for this intent.
pub(super) fn forbids(
    policy: &Policy,
    principal: &Principal,
    intent: &Intent,
    operation: &Operation,
    verb: &Verb,
) -> bool {
    policy.forbids().iter().any(|forbid| forbid.reaches(principal, intent, operation, verb.access))
}

impl Way<'_> {
    pub(super) fn life(&self) -> std::time::Duration {
        self.grant.max_ttl.unwrap_or(MAX_TTL)
    }

    /// Whether this demands at least what the other one does.
    pub(super) fn demands(&self, aspect: Aspect, other: &Way<'_>) -> bool {
        match aspect {
            Aspect::Proof => self.grant.proof || !other.grant.proof,
            Aspect::Life => self.life() <= other.life(),
            Aspect::Rate => match (self.grant.rate, other.grant.rate) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(own), Some(theirs)) => is_slower(own, theirs),
            },
            Aspect::Budget => match (&self.grant.budget, &other.grant.budget) {
                (_, None) => true,
                (None, Some(_)) => false,
                // Verbs of two grants have two budgets, which together are more than one.
                (Some(own), Some(theirs)) => {
                    is_scarcer(own, theirs)
                        && other.grant.verbs.keys().all(|verb| self.grant.verbs.contains_key(verb))
                }
            },
            Aspect::Approval => match (self.approval, other.approval) {
                (_, None) => true,
                (None, Some(_)) => false,
                (Some(own), Some(theirs)) => {
                    own.approvers == theirs.approvers
                        && own.quorum >= theirs.quorum
                        && own.expires <= theirs.expires
                        && self.grant.owners.is_superset(&other.grant.owners)
                }
            },
        }
    }
}

/// Whether one rate never lets pass more than the other.
pub(super) fn is_slower(one: Rate, other: Rate) -> bool {
    let (a, b) = (u128::from(one.count), u128::from(other.count));
    a <= b && a * other.per.as_millis() <= b * one.per.as_millis()
}

/// Whether one budget never lets pass more than the other.
fn is_scarcer(one: &Budget, other: &Budget) -> bool {
    one.argument == other.argument && one.limit <= other.limit && one.per >= other.per
}

/// Where less is demanded than before: a way that is there now, and one of before that shares arguments with it and whose
/// demand nothing makes any more. Every demand of every grant that a call is inside of applies.
pub(super) fn loosened<'w, 'p>(
    aspect: Aspect,
    old: &'w [Way<'p>],
    new: &'w [Way<'p>],
    forms: &Forms,
) -> Option<(&'w Way<'p>, &'w Way<'p>)> {
    let pairs = new.iter().flat_map(|now| old.iter().map(move |before| (before, now)));
    pairs.into_iter().find(|(before, now)| {
        let still = new.iter().any(|way| {
            let reaches =
                || inside(before.limits, way.limits, forms) || inside(now.limits, way.limits, forms);
            way.demands(aspect, before) && reaches()
        });
        !still && overlap(before.limits, now.limits, forms)
    })
}

/// Whether the old policy gives a principal of a verb, for a purpose, what the new one does not give as freely. Where that is
/// not certain it does.
#[must_use]
pub fn loses(
    old: &Policy,
    new: &Policy,
    principal: &Principal,
    intent: &Intent,
    operation: &Operation,
) -> bool {
    let [before, now] = [old, new].map(|policy| ways(policy, principal, intent, operation));
    let [Some(was), Some(is)] = [old, new].map(|policy| policy.catalogue().verb(operation)) else {
        return !before.is_empty();
    };
    let spelled = (was.access, &was.args, &was.forms) == (is.access, &is.args, &is.forms);
    let kept = spelled
        && before.iter().all(|way| covered(way.limits, &now, &is.forms))
        // How long a token lives and how often it is given refuses no call.
        && [Aspect::Approval, Aspect::Proof].into_iter().all(|aspect| loosened(aspect, &now, &before, &is.forms).is_none());
    !before.is_empty() && !kept
}

/// Whether all that these conditions let pass one of the ways lets pass too.
pub(super) fn covered(limits: Option<&Limits>, by: &[Way<'_>], forms: &Forms) -> bool {
    let mut left = MAX_PIECES;
    in_pieces(limits, by, forms, &mut left)
}

// Of several values each may be inside another way.
fn in_pieces(limits: Option<&Limits>, by: &[Way<'_>], forms: &Forms, left: &mut usize) -> bool {
    if by.iter().any(|way| inside(limits, way.limits, forms)) {
        return true;
    }
    let several = |limits: &Limits| {
        limits.iter().find_map(|(name, limit)| match limit {
            Limit::Fixed(Constraint { one_of: Some(set), .. }) => Some((name.clone(), set.clone())),
            _ => None,
        })
    };
    let Some((limits, (name, values))) = limits.and_then(|limits| Some((limits, several(limits)?))) else {
        return false;
    };
    values.into_iter().all(|value| {
        let Some(fewer) = left.checked_sub(1) else { return false };
        *left = fewer;
        let mut piece = limits.clone();
        piece.insert(name.clone(), Limit::Fixed(Constraint::exactly(value)));
        in_pieces(Some(&piece), by, forms, left)
    })
}

/// Whether one set of conditions lets pass nothing that the other does not. False where that is not certain.
pub(super) fn inside(a: Option<&Limits>, b: Option<&Limits>, forms: &Forms) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return b.is_none() };
    // A claim is one value, and nobody knows here which.
    let as_one = |name: &ArgName, limit: &Limit| match (limit, b.get(name)) {
        (Limit::Claim(own), Some(Limit::Claim(other))) => own == other,
        (Limit::Claim(_), Some(Limit::Fixed(other))) => other.any,
        (Limit::Claim(_), None) => false,
        (Limit::Fixed(_), Some(Limit::Claim(_))) => false,
        (Limit::Fixed(_), _) => true,
    };
    let demanded =
        |(name, limit): (&ArgName, &Limit)| !matches!(limit, Limit::Claim(_)) || a.contains_key(name);
    if !a.iter().all(|(name, limit)| as_one(name, limit)) || !b.iter().all(demanded) {
        return false;
    }
    let claimed = |name: &ArgName| matches!(a.get(name), Some(Limit::Claim(_)));
    let (a, b) = (fixed(a, claimed), fixed(b, claimed));
    match constraint::meet(&a, &a, forms) {
        // It lets nothing pass.
        None => true,
        whole => constraint::meet(&a, &b, forms) == whole,
    }
}

/// Whether something may pass both. True where that is not certain.
fn overlap(a: Option<&Limits>, b: Option<&Limits>, forms: &Forms) -> bool {
    let (Some(a), Some(b)) = (a, b) else { return true };
    let bound = |limits: &Limits, name: &ArgName| matches!(limits.get(name), Some(Limit::Claim(_)));
    let lacks = |of: &Limits, other: &Limits| {
        of.iter().any(|(name, limit)| matches!(limit, Limit::Claim(_)) && !other.contains_key(name))
    };
    if lacks(a, b) || lacks(b, a) {
        return false;
    }
    let claimed = |name: &ArgName| bound(a, name) || bound(b, name);
    constraint::meet(&fixed(a, claimed), &fixed(b, claimed), forms).is_some()
}

fn fixed(limits: &Limits, without: impl Fn(&ArgName) -> bool) -> Arguments {
    let fixed = limits.iter().filter_map(|(name, limit)| match limit {
        Limit::Fixed(constraint) if !without(name) => Some((name.clone(), constraint.clone())),
        _ => None,
    });
    fixed.collect()
}
