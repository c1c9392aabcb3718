//! `[approvers]`: groups of operators, each with members, and an escalation that ends.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use super::super::model::Approvers;
use super::super::source::ApproversSource;
use super::{Check, People, list};

pub(super) fn compile(
    check: &mut Check<'_>,
    raw: &[(Spanned<String>, ApproversSource)],
    people: &People,
) -> BTreeMap<String, Approvers> {
    let mut groups = BTreeMap::new();
    for (name, source) in raw {
        if !is_name(name.get_ref()) {
            let message = format!("{:?} is no name for a group of approvers", name.get_ref());
            check.problem(name.span(), message, "use 1 to 64 of a-z 0-9 . _ -");
        }
        if source.members.get_ref().is_empty() {
            let message = format!("the approvers {name} have no members, so nobody could approve");
            check.problem(source.members.span(), message, "name at least one operator");
        }
        let mut members = BTreeSet::new();
        for member in source.members.get_ref() {
            if !people.operators.contains(member.get_ref()) {
                let message = format!("{member} is a member of {name} but no operator");
                check.problem(member.span(), message, format!("name operators: {}", list(&people.operators)));
            }
            if !members.insert(member.get_ref().clone()) {
                let message = format!("{member} is a member of {name} twice and has one vote");
                check.problem(member.span(), message, "name each member once");
            }
        }
        let escalate = source.escalate.as_ref().map(|next| next.get_ref().clone());
        groups.insert(name.get_ref().clone(), Approvers { members, escalate });
    }
    for (name, source) in raw {
        if let Some(next) = &source.escalate {
            escalation(check, name.get_ref(), next, &groups);
        }
    }
    groups
}

fn escalation(
    check: &mut Check<'_>,
    name: &str,
    next: &Spanned<String>,
    groups: &BTreeMap<String, Approvers>,
) {
    if !groups.contains_key(next.get_ref()) {
        let message = format!("{name} escalates to {next}, and there are no such approvers");
        check.problem(next.span(), message, format!("name one of: {}", list(groups.keys())));
        return;
    }
    let follow = |name: &String| groups.get(name).and_then(|group| group.escalate.clone());
    let path: Vec<String> =
        std::iter::successors(Some(next.get_ref().clone()), follow).take(groups.len()).collect();
    if path.iter().any(|step| step == name) {
        let message = format!("the escalation of {name} comes back to {name}");
        check.problem(next.span(), message, "let the last group escalate to nobody");
    }
}

fn is_name(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b);
    (1..=64).contains(&text.len()) && text.bytes().all(plain)
}
