//! `approval` of a grant: a demand that can be met, and that covers what is dangerous.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use shortbread_protocol::access::Access;
use shortbread_protocol::names::{OperatorName, VerbName};
use toml::Spanned;

use super::super::model::{Approval, Tool};
use super::super::pattern::Pattern;
use super::super::source::{ApprovalSource, DemandSource};
use super::super::units::Shown;
use super::{Check, Known, list};

const SLA: Duration = Duration::from_secs(300);
const EXPIRES: Duration = Duration::from_secs(900);
const LONGEST: Duration = Duration::from_secs(7 * 24 * 3600);

/// The verbs of a grant, each with where it was asked for.
pub(super) type Verbs = BTreeMap<VerbName, Range<usize>>;

pub(super) fn compile(
    check: &mut Check<'_>,
    source: Option<&Spanned<ApprovalSource>>,
    verbs: &Verbs,
    owners: &BTreeSet<OperatorName>,
    tool: &Tool,
    known: &Known<'_>,
) -> Option<Approval> {
    let approval = match source {
        Some(source) => match source.get_ref() {
            ApprovalSource::None => return None,
            ApprovalSource::Demand(demand) => {
                Some(self::demand(check, source.span(), demand, verbs, owners, known))
            }
        },
        None => None,
    };
    let covered = |name: &VerbName, access| approval.as_ref().is_some_and(|a| a.covers(name, access));
    for (name, at) in verbs {
        let access = tool.verbs.get(name).map_or(Access::Privileged, |verb| verb.access);
        if access == Access::Privileged && !covered(name, access) {
            check.problem(
                at.clone(),
                format!("{name} is privileged and granted without approval"),
                "demand one that covers it, or grant it in an entry of its own that says approval = \"none\"",
            );
        }
    }
    let idle =
        |a: &&Approval| !tool.verbs.iter().any(|(n, v)| verbs.contains_key(n) && a.covers(n, v.access));
    if let (Some(_), Some(source)) = (approval.as_ref().filter(idle), source) {
        let message = "the approval covers none of the verbs that are granted here";
        check.problem(source.span(), message, "correct its access or verbs, or take it out");
    }
    approval
}

fn demand(
    check: &mut Check<'_>,
    at: Range<usize>,
    source: &DemandSource,
    verbs: &Verbs,
    owners: &BTreeSet<OperatorName>,
    known: &Known<'_>,
) -> Approval {
    let everything = source.access.is_none() && source.verbs.is_none();
    let access = if everything { Access::ALL.to_vec() } else { source.access.clone().unwrap_or_default() };
    let sla = source.sla.map_or(SLA, |span| span.0);
    let expires = source.expires.as_ref().map_or(EXPIRES.max(sla.saturating_mul(2)), |span| span.get_ref().0);
    if expires > LONGEST {
        let message = format!("the approval expires after {}", Shown(expires));
        let fix =
            "let it expire within 7 days (168h): who asked is proved when they ask, not when they fetch";
        check.problem(source.expires.as_ref().map_or_else(|| at.clone(), Spanned::span), message, fix);
    }
    if sla.is_zero() || expires < sla {
        let message =
            format!("the approval expires after {} and has an SLA of {}", Shown(expires), Shown(sla));
        let fix = "give the SLA some time, and let the approval expire no sooner than the SLA";
        check.problem(source.expires.as_ref().map_or(at, Spanned::span), message, fix);
    }
    Approval {
        access,
        verbs: named(check, source, verbs),
        approvers: source.approvers.get_ref().clone(),
        quorum: quorum(check, source, owners, known),
        sla,
        expires,
    }
}

fn named(check: &mut Check<'_>, source: &DemandSource, verbs: &Verbs) -> BTreeSet<VerbName> {
    let mut named = BTreeSet::new();
    for text in source.verbs.iter().flatten() {
        let before = named.len();
        if let Ok(pattern) = text.get_ref().parse::<Pattern>() {
            named.extend(verbs.keys().filter(|verb| pattern.matches(verb)).cloned());
        }
        if named.len() == before {
            let message =
                format!("the approval names {:?}, which adds no verb that is granted here", text.get_ref());
            check.problem(text.span(), message, format!("name verbs of the grant: {}", list(verbs.keys())));
        }
    }
    named
}

fn quorum(
    check: &mut Check<'_>,
    source: &DemandSource,
    owners: &BTreeSet<OperatorName>,
    known: &Known<'_>,
) -> u32 {
    let name = &source.approvers;
    let (asked, at) =
        source.quorum.as_ref().map_or((1, name.span()), |quorum| (*quorum.get_ref(), quorum.span()));
    let quorum = u32::try_from(asked).unwrap_or_default();
    if quorum == 0 {
        let message = format!("a quorum of {asked} would let requests pass with no approval at all");
        check.problem(at.clone(), message, "demand at least 1, or say approval = \"none\"");
    }
    let Some(group) = known.approvers.get(name.get_ref()) else {
        let message = format!("there are no approvers {:?}", name.get_ref());
        let fix = format!("add [approvers.NAME], or name one of: {}", list(known.approvers.keys()));
        check.problem(name.span(), message, fix);
        return quorum;
    };
    let able = group.members.difference(owners).count();
    if usize::try_from(quorum).is_ok_and(|quorum| quorum > able) {
        let message = format!(
            "a quorum of {quorum} can never be met: {able} of the {} members of {name} may approve, since owners may not",
            group.members.len()
        );
        check.problem(at, message, "lower the quorum, or add members who are not owners");
    }
    quorum
}
