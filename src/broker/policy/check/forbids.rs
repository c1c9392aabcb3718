//! `[[forbids]]`: rules that forbid something real, and that a request cannot step around.

use std::collections::BTreeSet;
use std::ops::Range;

use shortbread_protocol::names::{Operation, WorkflowName};
use toml::Spanned;

use super::super::builtin;
use super::super::model::{Catalogue, Forbid, Grant, Principal};
use super::super::pattern::Pattern;
use super::super::source::ForbidSource;
use super::{Check, Known, list};

pub(super) fn compile(
    check: &mut Check<'_>,
    raw: &[Spanned<ForbidSource>],
    known: &Known<'_>,
) -> Vec<Forbid> {
    let mut forbids = Vec::new();
    for (index, entry) in raw.iter().enumerate() {
        let source = entry.get_ref();
        if !conditions(check, entry) {
            continue;
        }
        tool(check, source, known);
        let forbid = Forbid {
            id: format!("forbid:{}", index + 1),
            workflows: workflows(check, source, known),
            intents: source.intents.as_ref().map(|intents| intents.get_ref().clone()),
            tool: source.tool.as_ref().map(|tool| tool.get_ref().clone()),
            verbs: verbs(check, source, known),
            access: source.access.clone(),
        };
        forbids.push(forbid);
    }
    forbids
}

/// Refuses grants that name no intents where a forbid counts on them: the workflow would just declare
/// another intent, or none.
pub(super) fn check_intents(
    check: &mut Check<'_>,
    forbids: &[Forbid],
    grants: &[(Range<usize>, Grant)],
    catalogue: &Catalogue,
) {
    for (at, grant) in grants {
        let Principal::Workflow(name) = &grant.principal else { continue };
        if grant.intents.is_some() {
            continue;
        }
        let evaded = forbids.iter().find(|forbid| {
            forbid.intents.is_some()
                && forbid.workflows.as_ref().is_none_or(|listed| listed.contains(name))
                && concerns(forbid, grant, catalogue)
        });
        if let Some(forbid) = evaded {
            check.problem(
                at.clone(),
                format!(
                    "{} forbids by intent, and this grant lists none, so {name} could declare another",
                    forbid.id
                ),
                "add intents = [\"…\"] to the grant",
            );
        }
    }
}

fn concerns(forbid: &Forbid, grant: &Grant, catalogue: &Catalogue) -> bool {
    grant.verbs.keys().any(|verb| {
        let operation = Operation { tool: grant.tool.clone(), verb: verb.clone() };
        catalogue.verb(&operation).is_some_and(|verb| forbid.concerns(&operation, verb.access))
    })
}

/// Whether there is any condition at all.
fn conditions(check: &mut Check<'_>, entry: &Spanned<ForbidSource>) -> bool {
    let source = entry.get_ref();
    let lists = [
        source.workflows.as_ref().map(Vec::is_empty),
        source.intents.as_ref().map(|intents| intents.get_ref().is_empty()),
        source.verbs.as_ref().map(Vec::is_empty),
        source.access.as_ref().map(Vec::is_empty),
    ];
    if lists.contains(&Some(true)) {
        let message = "a condition of this forbid is an empty list, which nothing meets";
        check.problem(entry.span(), message, "name what is meant, or leave the condition out");
    }
    let any = source.workflow.is_some() || source.tool.is_some() || lists.iter().any(Option::is_some);
    if !any {
        let message = "this forbid has no condition, so it would forbid everything to everyone";
        check.problem(entry.span(), message, "add workflow, workflows, intents, tool, verbs or access");
    }
    any
}

fn workflows(
    check: &mut Check<'_>,
    source: &ForbidSource,
    known: &Known<'_>,
) -> Option<BTreeSet<WorkflowName>> {
    if source.workflow.is_none() && source.workflows.is_none() {
        return None;
    }
    let named: Vec<_> = source.workflow.iter().chain(source.workflows.iter().flatten()).collect();
    for name in &named {
        if !known.people.workflows.contains(name.get_ref()) {
            let message = format!("no identity is workflow:{name}, so this forbids nothing");
            check.problem(name.span(), message, format!("name one of: {}", list(&known.people.workflows)));
        }
    }
    Some(named.into_iter().map(|name| name.get_ref().clone()).collect())
}

fn tool(check: &mut Check<'_>, source: &ForbidSource, known: &Known<'_>) {
    let Some(tool) = &source.tool else { return };
    if !known.catalogue.tools.contains_key(tool.get_ref()) {
        let fix = format!("name one of: {}", list(known.catalogue.tools.keys()));
        check.problem(tool.span(), format!("there is no tool {tool}, so this forbids nothing"), fix);
    }
    if builtin::is(tool.get_ref()) && source.intents.is_some() {
        let message = "operators declare no intent, so this forbids nothing";
        check.problem(tool.span(), message, "take intents out, or name another tool");
    }
}

fn verbs(check: &mut Check<'_>, source: &ForbidSource, known: &Known<'_>) -> Option<Vec<Pattern>> {
    let mut patterns = Vec::new();
    for text in source.verbs.as_ref()? {
        let pattern: Pattern = match text.get_ref().parse() {
            Ok(pattern) => pattern,
            Err(why) => {
                check.problem(text.span(), why, "write a verb, all below one such as issues.*, or * for all");
                continue;
            }
        };
        let tool = source.tool.as_ref().map(Spanned::get_ref);
        let found = known.catalogue.tools.iter().any(|(name, entry)| {
            tool.is_none_or(|tool| tool == name)
                && entry.verbs.keys().any(|verb| {
                    let operation = Operation { tool: name.clone(), verb: verb.clone() };
                    pattern.matches(verb) && !builtin::is_switch(&operation)
                })
        });
        if !found {
            let message = format!("no verb is {pattern} here, so this forbids nothing");
            let fix =
                "name a verb of the catalogue (revocations.* of the tool shortbread cannot be forbidden)";
            check.problem(text.span(), message, fix);
        }
        patterns.push(pattern);
    }
    Some(patterns)
}
