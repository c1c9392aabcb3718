//! `[[grants]]`: who gets what, and that nothing dangerous is granted by leaving words out.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use shortbread_protocol::access::Access;
use shortbread_protocol::names::{Intent, OperatorName, VerbName};
use toml::Spanned;

use super::super::builtin;
use super::super::decide::MAX_TTL;
use super::super::model::{Grant, Limits, Principal, Tool};
use super::super::pattern::Pattern;
use super::super::source::{ApprovalSource, GrantSource};
use super::super::units::Shown;
use super::approval::{self, Verbs};
use super::{Check, Known, budget, limits, list};

/// Compiles the grants, each with where its tool is named.
pub(super) fn compile(
    check: &mut Check<'_>,
    raw: &[Spanned<GrantSource>],
    known: &Known<'_>,
) -> Vec<(Range<usize>, Grant)> {
    let mut grants = Vec::new();
    for (index, entry) in raw.iter().enumerate() {
        if let Some(first) = raw.iter().take(index).position(|other| other.get_ref() == entry.get_ref()) {
            let message = format!("this grant says what grant {} says already", first + 1);
            check.problem(entry.span(), message, "take one of them out");
        }
        let compiled = grant(check, (index + 1, entry), raw, known);
        grants.extend(compiled.map(|grant| (entry.get_ref().tool.span(), grant)));
    }
    grants
}

fn grant(
    check: &mut Check<'_>,
    (number, entry): (usize, &Spanned<GrantSource>),
    raw: &[Spanned<GrantSource>],
    known: &Known<'_>,
) -> Option<Grant> {
    let source = entry.get_ref();
    let principal = principal(check, entry, known)?;
    let owners = owners(check, source, raw, known);
    let intents = intents(check, source);
    let max_ttl = max_ttl(check, source);
    fits(check, source, &principal);
    let tool = tool(check, source, known)?;
    let asked = verbs(check, source, tool);
    let limited = limited(check, source, &principal, &asked, tool, known);
    // The built-in tool takes no conditions, so it needs none of the words that stand in for them.
    let approval = if builtin::is(source.tool.get_ref()) {
        None
    } else {
        said(check, source, &asked, &limited, tool);
        approval::compile(check, source.approval.as_ref(), &asked, &owners, tool, known)
    };
    let budget = budget::compile(check, source, &asked, &limited);
    let verbs = asked.into_keys().map(|verb| (limited.get(&verb).cloned(), verb));
    Some(Grant {
        number,
        id: format!("grant:{number}"),
        principal,
        owners,
        intents,
        tool: source.tool.get_ref().clone(),
        verbs: verbs.map(|(limits, verb)| (verb, limits)).collect(),
        max_ttl,
        approval,
        proof: proof(check, source),
        rate: source.rate.map(|pace| pace.0),
        budget,
    })
}

fn tool<'a>(check: &mut Check<'_>, source: &GrantSource, known: &Known<'a>) -> Option<&'a Tool> {
    let tools = &known.catalogue.tools;
    let tool = tools.get(source.tool.get_ref());
    if tool.is_none() {
        let fix = format!("name one of: {}, or add it to [tools]", list(tools.keys()));
        check.problem(source.tool.span(), format!("there is no tool {}", source.tool), fix);
    }
    tool
}

fn principal(check: &mut Check<'_>, entry: &Spanned<GrantSource>, known: &Known<'_>) -> Option<Principal> {
    let source = entry.get_ref();
    let (principal, at, known) = match (&source.workflow, &source.operator) {
        (Some(name), None) => (
            Principal::Workflow(name.get_ref().clone()),
            name.span(),
            known.people.workflows.contains(name.get_ref()),
        ),
        (None, Some(name)) => (
            Principal::Operator(name.get_ref().clone()),
            name.span(),
            known.people.operators.contains(name.get_ref()),
        ),
        _ => {
            let message = "a grant is for exactly one of workflow, operator";
            check.problem(entry.span(), message, "name one; write a grant of its own for each other one");
            return None;
        }
    };
    if !known {
        let message = format!("no identity is {principal}, so nobody could use this grant");
        check.problem(at, message, "add it to [[identities]], or correct the name");
    }
    Some(principal)
}

/// Whoever owns one grant of a workflow owns the workflow.
fn owners(
    check: &mut Check<'_>,
    source: &GrantSource,
    raw: &[Spanned<GrantSource>],
    known: &Known<'_>,
) -> BTreeSet<OperatorName> {
    for owner in &source.owners {
        if !known.people.operators.contains(owner.get_ref()) {
            let fix = format!("name operators: {}", list(&known.people.operators));
            check.problem(owner.span(), format!("the owner {owner} is no operator"), fix);
        }
    }
    let named = |source: &GrantSource| source.workflow.as_ref().map(|name| name.get_ref().clone());
    let of_same = raw.iter().map(Spanned::get_ref).filter(|other| named(other) == named(source));
    of_same.flat_map(|other| &other.owners).map(|owner| owner.get_ref().clone()).collect()
}

/// Operators have the built-in tool and nothing else; nobody else has it; it takes no conditions.
fn fits(check: &mut Check<'_>, source: &GrantSource, principal: &Principal) {
    let ours = builtin::is(source.tool.get_ref());
    let at = source.tool.span();
    match (principal, ours) {
        (Principal::Operator(name), false) => {
            let message = format!("the operator {name} is granted the tool {}", source.tool);
            check.problem(at, message, "operators have the tool shortbread alone; grant this to a workflow");
        }
        (Principal::Workflow(name), true) => {
            let message = format!("the workflow {name} is granted the broker's own admin API");
            check.problem(at, message, "grant the tool shortbread to operators alone");
        }
        _ => {}
    }
    if !ours {
        return;
    }
    let demands = |a: &&Spanned<ApprovalSource>| matches!(a.get_ref(), ApprovalSource::Demand(_));
    let stray = [
        ("intents", source.intents.as_ref().map(Spanned::span)),
        ("constraints", source.constraints.keys().next().map(Spanned::span)),
        ("approval", source.approval.as_ref().filter(demands).map(Spanned::span)),
        ("budget", source.budget.as_ref().map(Spanned::span)),
    ];
    for (name, at) in stray {
        if let Some(at) = at {
            let message = format!("{name} on the tool shortbread could lock operators out");
            check.problem(at, message, "take it out; the built-in tool takes no conditions");
        }
    }
}

fn intents(check: &mut Check<'_>, source: &GrantSource) -> Option<BTreeSet<Intent>> {
    let intents = source.intents.as_ref()?;
    if intents.get_ref().is_empty() {
        let message = "intents is empty, so this grant is for no request at all";
        check.problem(intents.span(), message, "list the intents, or leave the line out for any");
    }
    Some(intents.get_ref().clone())
}

fn verbs(check: &mut Check<'_>, source: &GrantSource, tool: &Tool) -> Verbs {
    if source.verbs.get_ref().is_empty() {
        check.problem(
            source.verbs.span(),
            "verbs is empty, so nothing is granted",
            "list verbs, or take it out",
        );
    }
    let mut verbs = BTreeMap::new();
    for text in source.verbs.get_ref() {
        for verb in expand(check, text, source, tool) {
            verbs.entry(verb).or_insert_with(|| text.span());
        }
    }
    verbs
}

fn expand(check: &mut Check<'_>, text: &Spanned<String>, source: &GrantSource, tool: &Tool) -> Vec<VerbName> {
    let known = || format!("verbs of {}: {}", source.tool, list(tool.verbs.keys()));
    let pattern: Pattern = match text.get_ref().parse() {
        Ok(pattern) => pattern,
        Err(why) => {
            let fix = "write a verb, all below one such as issues.*, or * for all";
            check.problem(text.span(), why, fix);
            return Vec::new();
        }
    };
    let matched: Vec<VerbName> = tool.verbs.keys().filter(|verb| pattern.matches(verb)).cloned().collect();
    if matched.is_empty() {
        check.problem(text.span(), format!("{} has no verb {pattern}", source.tool), known());
    }
    matched
}

fn limited(
    check: &mut Check<'_>,
    source: &GrantSource,
    principal: &Principal,
    asked: &Verbs,
    tool: &Tool,
    known: &Known<'_>,
) -> BTreeMap<VerbName, Limits> {
    let self_asserted =
        matches!(principal, Principal::Workflow(name) if known.people.self_asserted.contains(name));
    let mut limited = BTreeMap::new();
    for (name, source) in &source.constraints {
        let Some(verb) = tool.verbs.get(name.get_ref()).filter(|_| asked.contains_key(name.get_ref())) else {
            let message = format!("{name} is constrained but not granted here");
            check.problem(
                name.span(),
                message,
                format!("constrain verbs of the grant: {}", list(asked.keys())),
            );
            continue;
        };
        let limits = limits::compile(check, &limits::Wanted { name, source, verb, self_asserted });
        limited.insert(name.get_ref().clone(), limits);
    }
    limited
}

/// Free arguments of what can do harm must be said out loud.
fn said(
    check: &mut Check<'_>,
    source: &GrantSource,
    asked: &Verbs,
    limited: &BTreeMap<VerbName, Limits>,
    tool: &Tool,
) {
    if source.any_arguments {
        return;
    }
    for (name, at) in asked {
        let Some(verb) = tool.verbs.get(name) else { continue };
        if verb.access != Access::Read && !limited.contains_key(name) {
            check.problem(
                at.clone(),
                format!("{name} is a {} verb and granted with any arguments", verb.access),
                format!("add constraints.\"{name}\" = {{ … }}, or say any_arguments = true"),
            );
        }
    }
}

/// Whatever is said here demands a proof, so that a slip never opens anything.
fn proof(check: &mut Check<'_>, source: &GrantSource) -> bool {
    let Some(said) = &source.proof else { return false };
    if said.get_ref() != "required" {
        let message = format!("proof = {:?} is not known", said.get_ref());
        check.problem(said.span(), message, "write proof = \"required\", or take the line out");
    }
    true
}

fn max_ttl(check: &mut Check<'_>, source: &GrantSource) -> Option<Duration> {
    let span = source.max_ttl.as_ref()?;
    let ttl = span.get_ref().0;
    if ttl.is_zero() || ttl > MAX_TTL {
        let message = format!("a max_ttl of {} is not between 1s and 1h", Shown(ttl));
        check.problem(span.span(), message, "choose a life of at most 1h; 5m is the default");
    }
    Some(ttl)
}
