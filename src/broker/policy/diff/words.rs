//! Effects in words.

use std::collections::BTreeSet;
use std::time::Duration;

use shortbread_protocol::constraint::{Constraint, Scalar};

use super::super::model::{Limit, Limits, Principal, Rate};
use super::super::units::Shown;
use super::Intents;
use super::ways::{Aspect, Way};

/// How many names of a list are shown.
const MOST: usize = 8;

/// What changes of a verb, before the verbs are known.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Said {
    /// `gains` or `loses`; empty where the verb is had before and after.
    lead: &'static str,
    rest: String,
}

impl Said {
    pub(super) fn gains(ways: &[Way<'_>]) -> Self {
        let each: BTreeSet<String> = ways.iter().map(whole).collect();
        Self { lead: "gains", rest: either(&each) }
    }

    pub(super) fn loses(known: bool, forbidden: bool) -> Self {
        let rest = match (known, forbidden) {
            (true, true) => "(it is forbidden)",
            (false, _) => "(it is not in the catalogue any more)",
            (true, false) => "",
        };
        Self { lead: "loses", rest: rest.to_owned() }
    }

    pub(super) fn other(rest: String) -> Self {
        Self { lead: "", rest }
    }

    pub(super) fn of(&self, verbs: &[String]) -> String {
        let verbs = verbs.join(", ");
        match (self.lead, self.rest.as_str()) {
            ("", rest) => format!("{verbs}: {rest}"),
            (lead, "") => format!("{lead} {verbs}"),
            (lead, rest) => format!("{lead} {verbs} {rest}"),
        }
    }
}

/// A way with all its conditions and demands.
fn whole(way: &Way<'_>) -> String {
    let mut text = limits(way.limits);
    for aspect in Aspect::ALL {
        let told = match aspect {
            Aspect::Approval if way.approval.is_some() => format!(", with {}", demanded(aspect, way)),
            Aspect::Proof if way.grant.proof => ", with a proof".to_owned(),
            Aspect::Life if way.grant.max_ttl.is_some() => format!(", for {} at most", Shown(way.life())),
            Aspect::Budget if way.grant.budget.is_some() => format!(", {} at most", demanded(aspect, way)),
            Aspect::Rate if way.grant.rate.is_some() => format!(", {}", demanded(aspect, way)),
            _ => continue,
        };
        text.push_str(&told);
    }
    text
}

/// What is demanded before and now: `life 5m -> 10m`, `no longer needs the approval of 1 of oncall`.
pub(super) fn demand(aspect: Aspect, was: &Way<'_>, is: &Way<'_>, several: bool) -> String {
    let (before, now) = (demanded(aspect, was), demanded(aspect, is));
    let text = match aspect {
        Aspect::Approval => match (was.approval, is.approval) {
            (Some(_), None) => format!("no longer needs {before}"),
            (None, _) => format!("needs {now} now"),
            (Some(_), Some(_)) => format!("needs {now} instead of {before}"),
        },
        Aspect::Proof if is.grant.proof => "needs a proof now".to_owned(),
        Aspect::Proof => "no longer needs a proof".to_owned(),
        Aspect::Life => format!("life {before} -> {now}"),
        Aspect::Rate => format!("rate {before} -> {now}"),
        Aspect::Budget => format!("budget {before} -> {now}"),
    };
    if several { format!("{text}, {}", limits(is.limits)) } else { text }
}

fn demanded(aspect: Aspect, way: &Way<'_>) -> String {
    match aspect {
        Aspect::Approval => way.approval.map_or_else(String::new, |approval| {
            let owners = names(way.grant.owners.iter().map(|owner| owner.as_str()));
            let but = if owners.is_empty() { String::new() } else { format!(" other than {owners}") };
            let expires = Shown(approval.expires);
            format!("the approval of {} of {}{but} within {expires}", approval.quorum, approval.approvers)
        }),
        Aspect::Proof => String::new(),
        Aspect::Life => Shown(way.life()).to_string(),
        Aspect::Rate => way.grant.rate.map_or_else(|| "any".to_owned(), rate),
        Aspect::Budget => way.grant.budget.as_ref().map_or_else(
            || "any".to_owned(),
            |budget| {
                let verbs = names(way.grant.verbs.keys().map(|verb| verb.as_str()));
                format!("{} of {} in {} over {verbs}", budget.limit, budget.argument, Shown(budget.per))
            },
        ),
    }
}

/// `30/min`.
pub(in crate::policy) fn rate(rate: Rate) -> String {
    match rate.per.as_secs() {
        1 => format!("{}/s", rate.count),
        60 => format!("{}/min", rate.count),
        3600 => format!("{}/h", rate.count),
        other => format!("{} in {other}s", rate.count),
    }
}

/// How soon the next group of approvers is asked.
pub(super) fn pace(was: &BTreeSet<Duration>, is: &BTreeSet<Duration>) -> String {
    let each = |spans: &BTreeSet<Duration>| {
        let spans: Vec<String> = spans.iter().map(|span| Shown(*span).to_string()).collect();
        spans.join(" or ")
    };
    format!("the next group is asked after {} -> {}", each(was), each(is))
}

/// Several ways, each good for itself.
pub(super) fn either(ways: &BTreeSet<String>) -> String {
    ways.iter().map(String::as_str).collect::<Vec<_>>().join("; or ")
}

/// `where repo = acme/web, title and body free`.
pub(in crate::policy) fn limits(limits: Option<&Limits>) -> String {
    let Some(limits) = limits else { return "with any arguments".to_owned() };
    if limits.is_empty() {
        return "without arguments".to_owned();
    }
    let free = |limit: &Limit| matches!(limit, Limit::Fixed(constraint) if constraint.any);
    let mut parts: Vec<String> = limits
        .iter()
        .filter(|(_, limit)| !free(limit))
        .map(|(name, limit)| match limit {
            Limit::Fixed(made) => format!("{name} {}", constraint(made)),
            Limit::Claim(path) => format!("{name} is the claim {path}"),
        })
        .collect();
    let open: Vec<&str> =
        limits.iter().filter(|(_, limit)| free(limit)).map(|(name, _)| name.as_str()).collect();
    match open.as_slice() {
        [] => {}
        [one] => parts.push(format!("{one} is free")),
        some => parts.push(format!("{} are free", some.join(" and "))),
    }
    format!("where {}", parts.join(", "))
}

fn constraint(made: &Constraint) -> String {
    let set = |values: &BTreeSet<Scalar>| names(values.iter().map(scalar));
    if let Some(value) = &made.eq {
        return format!("= {}", scalar(value));
    }
    if let Some(values) = &made.one_of {
        return format!("in {}", set(values));
    }
    if let Some(values) = &made.subset {
        return format!("among {}", set(values));
    }
    if let Some(prefix) = &made.prefix {
        return format!("starts with {prefix}");
    }
    if let Some(path) = &made.path_under {
        return format!("under {path}");
    }
    if let Some(hosts) = &made.host_in {
        return format!("at {}", names(hosts.iter()));
    }
    match (made.min, made.max) {
        (Some(min), Some(max)) => format!("from {min} to {max}"),
        (Some(min), None) => format!(">= {min}"),
        (None, Some(max)) => format!("<= {max}"),
        (None, None) => "free".to_owned(),
    }
}

fn scalar(value: &Scalar) -> String {
    match value {
        Scalar::Int(number) => number.to_string(),
        Scalar::Text(text) => text.clone(),
        Scalar::Bool(flag) => flag.to_string(),
    }
}

/// Whose right it is: a workflow's bare name, or `operator alice`.
pub(super) fn principal(principal: &Principal) -> String {
    match principal {
        Principal::Workflow(name) => name.to_string(),
        other => other.to_string().replacen(':', " ", 1),
    }
}

/// `, intent triage`; empty for any.
pub(super) fn intents(intents: &Intents) -> String {
    if intents.is_any() {
        return String::new();
    }
    let named = names(intents.named.iter().map(|intent| intent.as_str()));
    let word = if intents.named.len() == 1 { "intent" } else { "intents" };
    match (intents.named.is_empty(), intents.other_than.is_some()) {
        (true, _) => ", any other intent".to_owned(),
        (false, true) => format!(", {word} {named} and any other"),
        (false, false) => format!(", {word} {named}"),
    }
}

/// `a, b and 7 more`.
pub(in crate::policy) fn names<T: AsRef<str>>(all: impl IntoIterator<Item = T>) -> String {
    let all: Vec<T> = all.into_iter().collect();
    let shown: Vec<&str> = all.iter().take(MOST).map(AsRef::as_ref).collect();
    match all.len().checked_sub(MOST).filter(|more| *more > 0) {
        Some(more) => format!("{} and {more} more", shown.join(", ")),
        None => shown.join(", "),
    }
}
