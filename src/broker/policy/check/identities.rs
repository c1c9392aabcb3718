//! `[[identities]]`: who may come, and that no proof stands for two.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde_json::Value;
use shortbread_protocol::names::ToolName;
use toml::Spanned;

use super::super::builtin;
use super::super::model::{Catalogue, Identity, Principal, Proof, Spiffe};
use super::super::source::IdentitySource;
use super::super::spiffe::domain_of;
use super::{Check, list, membership, proof};

pub(super) fn compile(
    check: &mut Check<'_>,
    raw: &[Spanned<IdentitySource>],
    catalogue: &Catalogue,
) -> Vec<Identity> {
    let mut labels = BTreeMap::new();
    let mut found: Vec<(Range<usize>, Identity)> = Vec::new();
    for entry in raw {
        let source = entry.get_ref();
        let principals = principals(check, entry);
        let tools = tools(check, entry, catalogue);
        let proof = proof::compile(check, entry);
        if let (Some(principals), Some(proof)) = (principals, proof) {
            let identity = Identity { entry: label(&principals, &mut labels), principals, tools, proof };
            let by = source.key.as_ref().or(source.spiffe_id.as_ref()).or(source.issuer.as_ref());
            let at = by.map_or(entry.span(), Spanned::span);
            for (_, other) in &found {
                compare(check, &at, &identity, other);
            }
            found.push((at, identity));
        }
    }
    found.into_iter().map(|(_, identity)| identity).collect()
}

fn principals(check: &mut Check<'_>, entry: &Spanned<IdentitySource>) -> Option<Vec<Principal>> {
    let source = entry.get_ref();
    let mut kinds = Vec::new();
    kinds.extend(source.workflow.iter().map(|w| vec![Principal::Workflow(w.get_ref().clone())]));
    kinds.extend(
        source.workflows.iter().map(|w| w.get_ref().iter().cloned().map(Principal::Workflow).collect()),
    );
    kinds.extend(source.operator.iter().map(|o| vec![Principal::Operator(o.get_ref().clone())]));
    kinds.extend(source.operators.iter().map(|listed| {
        listed.get_ref().iter().map(|one| Principal::Operator(one.get_ref().clone())).collect()
    }));
    kinds.extend(source.verifier.iter().map(|v| vec![Principal::Verifier(v.get_ref().clone())]));
    let count = kinds.len();
    let principals = kinds.pop().filter(|_| count == 1);
    let Some(principals) = principals else {
        let message = "an identity is exactly one of workflow, workflows, operator, operators, verifier";
        check.problem(
            entry.span(),
            message,
            "say who it is once; make an entry of its own for each other one",
        );
        return None;
    };
    let distinct: BTreeSet<_> = principals.iter().collect();
    if principals.is_empty() || distinct.len() < principals.len() {
        let (kind, at) = match (&source.workflows, &source.operators) {
            (Some(listed), _) => ("workflow", listed.span()),
            (_, Some(listed)) => ("operator", listed.span()),
            _ => ("principal", entry.span()),
        };
        let message = format!("{kind}s is empty or names one twice");
        check.problem(at, message, format!("list each {kind} once"));
        return None;
    }
    Some(principals)
}

fn tools(check: &mut Check<'_>, entry: &Spanned<IdentitySource>, catalogue: &Catalogue) -> Vec<ToolName> {
    let source = entry.get_ref();
    let listed = match (&source.verifier, &source.tools) {
        (Some(_), Some(tools)) if !tools.get_ref().is_empty() => tools.get_ref(),
        (Some(name), _) => {
            let message = format!("the verifier {name} decides no tool's calls");
            check.problem(name.span(), message, "add tools = [\"NAME\"]");
            return Vec::new();
        }
        (None, Some(tools)) => {
            let message = "tools belongs to a verifier; what a workflow or operator may use is a grant";
            check.problem(tools.span(), message, "take it out, and write [[grants]]");
            return Vec::new();
        }
        (None, None) => return Vec::new(),
    };
    for tool in listed {
        if builtin::is(tool.get_ref()) || !catalogue.tools.contains_key(tool.get_ref()) {
            let known = list(catalogue.tools.keys().filter(|tool| !builtin::is(tool)));
            let fix = format!("name tools of the catalogue: {known}");
            check.problem(tool.span(), format!("there is no tool {tool} for a verifier to serve"), fix);
        }
    }
    listed.iter().map(|tool| tool.get_ref().clone()).collect()
}

fn label(principals: &[Principal], taken: &mut BTreeMap<String, usize>) -> String {
    let names: Vec<&str> = principals
        .iter()
        .map(|principal| match principal {
            Principal::Workflow(name) => name.as_str(),
            Principal::Operator(name) => name.as_str(),
            Principal::Verifier(name) => name.as_str(),
        })
        .collect();
    let name = names.join("+");
    let count = taken.entry(name.clone()).and_modify(|count| *count += 1).or_insert(1);
    if *count == 1 { name } else { format!("{name}#{count}") }
}

/// Two entries that one proof would satisfy for certain, or that disagree about an issuer.
fn compare(check: &mut Check<'_>, at: &Range<usize>, new: &Identity, old: &Identity) {
    match (&new.proof, &old.proof) {
        (Proof::Key(a), Proof::Key(b)) if a == b => check.problem(
            at.clone(),
            format!(
                "the key of {} is also the key of {}, so it would match two entries",
                new.entry, old.entry
            ),
            "make a key for each name; for several workflows of one worker use workflows = [\"a\", \"b\"]",
        ),
        (Proof::Oidc(a), Proof::Oidc(b)) if a.issuer == b.issuer => {
            if a.audience == b.audience && a.membership.is_some() && b.membership.is_some() {
                membership::compare(check, at, new, old);
            } else if a.audience == b.audience && a.claims == b.claims {
                check.problem(
                    at.clone(),
                    format!(
                        "{} has the issuer, audience and claims of {}, so a token would match two entries",
                        new.entry, old.entry
                    ),
                    "add a claim that tells them apart; for several workflows of one worker use \
                     workflows = [\"a\", \"b\"]",
                );
            }
            if a.keys != b.keys || a.allow_private != b.allow_private {
                check.problem(
                    at.clone(),
                    format!(
                        "{} and {} disagree about where the keys of {} are",
                        new.entry, old.entry, a.issuer
                    ),
                    "give all entries of one issuer the same jwks_url, jwks_file and allow_private",
                );
            }
        }
        (Proof::Spiffe(a), Proof::Spiffe(b)) if a.id.trust_domain() == b.id.trust_domain() => {
            compare_spiffe(check, at, (&new.entry, a), (&old.entry, b));
        }
        (Proof::Spiffe(spiffe), Proof::Oidc(oidc)) | (Proof::Oidc(oidc), Proof::Spiffe(spiffe)) => {
            let sub = oidc.claims.get("sub").and_then(Value::as_str).and_then(domain_of);
            let domain = spiffe.id.trust_domain();
            if sub == Some(domain.as_str()) {
                let message = format!(
                    "{} and {} are of the trust domain {domain}, one by its bundle and one by an issuer",
                    new.entry, old.entry
                );
                let fix = "use spiffe_id for both: tokens of that trust domain are taken by its bundle alone";
                check.problem(at.clone(), message, fix);
            }
        }
        _ => {}
    }
}

fn compare_spiffe(check: &mut Check<'_>, at: &Range<usize>, new: (&str, &Spiffe), old: (&str, &Spiffe)) {
    let ((name, a), (other, b)) = (new, old);
    let issuers = a.issuer.is_none() || b.issuer.is_none() || a.issuer == b.issuer;
    if a.id == b.id && a.audience == b.audience && issuers {
        check.problem(
            at.clone(),
            format!("{name} has the spiffe_id and audience of {other}, so a token would match two entries"),
            "give each its own spiffe_id; for several workflows of one worker use workflows = [\"a\", \"b\"]",
        );
    }
    if a.bundle != b.bundle || a.allow_private != b.allow_private {
        let domain = a.id.trust_domain();
        check.problem(
            at.clone(),
            format!("{name} and {other} disagree about where the bundle of {domain} is"),
            "give all entries of one trust domain the same bundle_url, bundle_file and allow_private",
        );
    }
}
