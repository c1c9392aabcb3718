//! What stands beside grants: forbids that reach nobody yet, groups of approvers, tripwires, and the limits by which the
//! next policy is judged.

use std::collections::BTreeSet;

use super::super::Policy;
use super::super::model::{Approvers, Forbid, Gate, PerMille, Rollback, Tripwire};
use super::super::units::Shown;
use super::words::names;
use super::{Class, Effect};

pub(super) fn effects(old: &Policy, new: &Policy) -> Vec<Effect> {
    let mut effects = forbids(old, new);
    effects.extend(approvers(old, new));
    effects.extend(tripwires(old, new));
    effects.extend(gate(old.gate(), new.gate()));
    effects.extend(cases(old, new));
    effects.extend(rollback(old.rollback(), new.rollback()));
    effects
}

// Whom they take something from stands among the rights.
fn forbids(old: &Policy, new: &Policy) -> Vec<Effect> {
    let told = |policy: &Policy| policy.forbids().iter().map(forbid).collect::<BTreeSet<_>>();
    let (was, is) = (told(old), told(new));
    let gone = was.difference(&is).map(|text| format!("no longer {text}"));
    let come = is.difference(&was).cloned();
    gone.chain(come).map(|text| Effect::new(Class::Changes, "forbids", text)).collect()
}

fn forbid(forbid: &Forbid) -> String {
    let mut parts = Vec::new();
    let verbs = forbid.verbs.as_ref().map(|verbs| {
        let mut verbs: Vec<String> = verbs.iter().map(ToString::to_string).collect();
        verbs.sort();
        verbs.dedup();
        verbs.join(", ")
    });
    match (&forbid.tool, verbs) {
        (Some(tool), Some(verbs)) => parts.push(format!("{verbs} of {tool}")),
        (Some(tool), None) => parts.push(format!("all of {tool}")),
        (None, Some(verbs)) => parts.push(format!("{verbs} of any tool")),
        (None, None) => parts.push("all verbs".to_owned()),
    }
    if let Some(access) = &forbid.access {
        let access: BTreeSet<_> = access.iter().collect();
        parts.push(format!("of access {}", names(access.into_iter().map(|access| access.as_str()))));
    }
    if let Some(workflows) = &forbid.workflows {
        parts.push(format!(
            "to {}",
            workflows.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")
        ));
    }
    if let Some(intents) = &forbid.intents {
        parts
            .push(format!("for {}", intents.iter().map(|name| name.as_str()).collect::<Vec<_>>().join(", ")));
    }
    parts.join(" ")
}

fn approvers(old: &Policy, new: &Policy) -> Vec<Effect> {
    let names: BTreeSet<&String> = old.approvers().keys().chain(new.approvers().keys()).collect();
    let compared = names.into_iter().flat_map(|name| {
        let (was, is) = (old.approvers().get(name), new.approvers().get(name));
        group(was, is)
            .into_iter()
            .map(move |(class, text)| Effect::new(class, format!("approvers {name}"), text))
    });
    compared.collect()
}

fn group(was: Option<&Approvers>, is: Option<&Approvers>) -> Vec<(Class, String)> {
    let none = BTreeSet::new();
    let members =
        |group: Option<&Approvers>| group.map_or_else(|| none.clone(), |group| group.members.clone());
    let (before, now) = (members(was), members(is));
    let more = now.difference(&before).map(|name| (Class::Widens, format!("{name} may approve")));
    let fewer = before.difference(&now).map(|name| (Class::Narrows, format!("{name} may no longer approve")));
    let mut told: Vec<_> = more.chain(fewer).collect();
    let next = |group: Option<&Approvers>| group.and_then(|group| group.escalate.clone());
    let (before, now) = (next(was), next(is));
    if before != now {
        let word = |group: Option<String>| group.unwrap_or_else(|| "nobody".to_owned());
        // Whoever is asked next may approve.
        let class = if now.is_some() { Class::Widens } else { Class::Narrows };
        told.push((class, format!("{} is asked next, {} before", word(now), word(before))));
    }
    told
}

fn tripwires(old: &Policy, new: &Policy) -> Vec<Effect> {
    let mut effects = Vec::new();
    let named = |policy: &Policy| -> BTreeSet<String> {
        policy.tripwires().iter().map(|wire| wire.name.clone()).collect()
    };
    for name in named(old).union(&named(new)) {
        let find = |policy: &Policy| policy.tripwires().iter().find(|wire| wire.name == *name).cloned();
        let about = format!("tripwire {name}");
        match (find(old), find(new)) {
            (Some(was), None) => {
                effects.push(Effect::new(Class::Widens, about, format!("is gone: {}", wire(&was))));
            }
            (None, Some(is)) => {
                effects.push(Effect::new(Class::Narrows, about, format!("is new: {}", wire(&is))));
            }
            (Some(was), Some(is)) if was != is => {
                let class = if is_tighter(&is, &was) { Class::Narrows } else { Class::Widens };
                effects.push(Effect::new(class, about, format!("{} -> {}", wire(&was), wire(&is))));
            }
            _ => {}
        }
    }
    effects
}

fn is_tighter(is: &Tripwire, was: &Tripwire) -> bool {
    is.access.covers(was.access)
        && is.refusals <= was.refusals
        && is.within >= was.within
        && is.max_per_hour >= was.max_per_hour
        && (is.tool.is_none() || is.tool == was.tool)
        && (is.workflow.is_none() || is.workflow == was.workflow)
}

fn wire(wire: &Tripwire) -> String {
    let of = wire.tool.as_ref().map(|tool| format!(" of {tool}")).unwrap_or_default();
    let by = wire.workflow.as_ref().map(|name| format!(" by {name}")).unwrap_or_default();
    format!(
        "{} refusals of {} calls{of}{by} within {}, {} tasks an hour",
        wire.refusals,
        wire.access,
        Shown(wire.within),
        wire.max_per_hour
    )
}

fn gate(was: Option<&Gate>, is: Option<&Gate>) -> Vec<Effect> {
    let (before, now) = (was.cloned().unwrap_or_default(), is.cloned().unwrap_or_default());
    let mut effects = Vec::new();
    let mut note = |class: Class, text: String| effects.push(Effect::new(class, "gate", text));
    for (name, was, is) in [
        ("max_newly_denied", before.max_newly_denied, now.max_newly_denied),
        ("max_approval_load", before.max_approval_load, now.max_approval_load),
    ] {
        if was != is {
            note(looser(is > was), format!("{name} {} -> {}", share(was), share(is)));
        }
    }
    if before.min_cases != now.min_cases {
        note(
            looser(now.min_cases < before.min_cases),
            format!("min_cases {} -> {}", before.min_cases, now.min_cases),
        );
    }
    if before.segments != now.segments {
        // The first that fits counts, so that each stands for what the others leave.
        note(Class::Widens, "the limits of single segments are others".to_owned());
    }
    effects
}

// What they demand shows when they are run; that there are others is what is told here.
fn cases(old: &Policy, new: &Policy) -> Option<Effect> {
    let text = |policy: &Policy| policy.cases().map(|(_, text)| text.to_owned());
    let (class, told) = match (text(old), text(new)) {
        (Some(_), None) => (Class::Widens, "the labelled cases are gone"),
        (None, Some(_)) => (Class::Narrows, "there are labelled cases now"),
        (was, is) if was != is => (Class::Changes, "the labelled cases are others"),
        _ => return None,
    };
    Some(Effect::new(class, "gate", told))
}

fn rollback(was: Option<&Rollback>, is: Option<&Rollback>) -> Vec<Effect> {
    let (before, now) = (was.cloned().unwrap_or_default(), is.cloned().unwrap_or_default());
    let mut effects = Vec::new();
    let mut note = |class: Class, text: String| effects.push(Effect::new(class, "rollback", text));
    for (name, was, is) in [
        ("max_denied", before.max_denied, now.max_denied),
        ("max_needs_approval", before.max_needs_approval, now.max_needs_approval),
    ] {
        if was != is {
            note(Class::Changes, format!("{name} {} -> {}", share(was), share(is)));
        }
    }
    if before.min_requests != now.min_requests {
        note(Class::Changes, format!("min_requests {} -> {}", before.min_requests, now.min_requests));
    }
    if before.segments != now.segments {
        note(Class::Changes, "the limits of single segments are others".to_owned());
    }
    effects
}

const fn looser(is: bool) -> Class {
    if is { Class::Widens } else { Class::Narrows }
}

fn share(share: PerMille) -> String {
    format!("{} %", share.share() * 100.0)
}
