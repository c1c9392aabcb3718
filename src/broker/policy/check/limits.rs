//! `constraints` of a grant: sound, of arguments that exist, and small enough for a token.

use std::collections::BTreeMap;

use shortbread_protocol::constraint::Constraint;
use shortbread_protocol::names::{ArgName, VerbName};
use shortbread_protocol::normalise;
use toml::Spanned;

use super::super::cost;
use super::super::model::{Limit, Limits, Verb};
use super::super::source::{LimitSource, LimitsSource};
use super::{Check, list};

const MAX_CLAIM_BYTES: usize = 128;

/// What a grant says of one verb's arguments.
pub(super) struct Wanted<'a> {
    pub(super) name: &'a Spanned<VerbName>,
    pub(super) source: &'a LimitsSource,
    pub(super) verb: &'a Verb,
    /// The workflow signs its own claims, so that binding one would limit nothing.
    pub(super) self_asserted: bool,
}

pub(super) fn compile(check: &mut Check<'_>, wanted: &Wanted<'_>) -> Limits {
    let mut limits = BTreeMap::new();
    for (arg, source) in wanted.source {
        known(check, wanted, arg);
        let limit = limit(check, wanted, arg, source);
        limits.insert(arg.get_ref().clone(), limit);
    }
    let cost: usize = limits.values().map(expressions).sum::<usize>() + 1;
    if cost > cost::MAX_EXPRESSIONS {
        check.problem(
            wanted.name.span(),
            format!(
                "the constraints of {} take {cost} expressions, and a token holds {} for one verb",
                wanted.name,
                cost::MAX_EXPRESSIONS
            ),
            "use fewer or simpler constraints: eq and any are free, min, max and path_under take 1 each, the others 2, \
             and 1 is taken always",
        );
    }
    limits
}

fn expressions(limit: &Limit) -> usize {
    match limit {
        Limit::Fixed(constraint) => cost::of(constraint),
        Limit::Claim(_) => 0,
    }
}

fn known(check: &mut Check<'_>, wanted: &Wanted<'_>, arg: &Spanned<ArgName>) {
    if let Some(args) = &wanted.verb.args
        && !args.contains(arg.get_ref())
    {
        let message = format!("{} has no argument {arg}", wanted.name);
        let fix = format!("use one that the catalogue lists ({}), or list it there", list(args));
        check.problem(arg.span(), message, fix);
    }
}

fn limit(check: &mut Check<'_>, wanted: &Wanted<'_>, arg: &Spanned<ArgName>, source: &LimitSource) -> Limit {
    let constraint = Constraint {
        eq: source.eq.clone(),
        one_of: source.one_of.clone(),
        subset: source.subset.clone(),
        prefix: source.prefix.clone(),
        min: source.min,
        max: source.max,
        path_under: source.path_under.clone(),
        host_in: source.host_in.clone(),
        any: source.any,
    };
    let Some(path) = &source.claim else {
        if let Err(why) = constraint.check() {
            let fix = "write one of eq, in, subset, prefix, path_under, host_in, any, claim, or min and max";
            check.problem(arg.span(), format!("the constraint on {arg} of {} {why}", wanted.name), fix);
            return Limit::Fixed(constraint);
        }
        // In the spelling in which arguments are compared, so that whatever is asked can be met with it.
        let form = wanted.verb.forms.get(arg.get_ref()).copied();
        return Limit::Fixed(normalise::constraint(form, &constraint).unwrap_or_else(|misfit| {
            let message = format!("the constraint on {arg} of {} {}", wanted.name, misfit.cause);
            check.problem(arg.span(), message, misfit.fix);
            constraint
        }));
    };
    if constraint != Constraint::default() {
        let message = format!("the constraint on {arg} of {} combines claim with another kind", wanted.name);
        check.problem(arg.span(), message, "bind the claim, or write the values; not both");
    }
    if path.is_empty() || path.len() > MAX_CLAIM_BYTES {
        let message = format!("the constraint on {arg} of {} names no claim", wanted.name);
        check.problem(arg.span(), message, "name a claim of the identity, such as repository");
    }
    if wanted.self_asserted {
        check.problem(
            arg.span(),
            format!(
                "{arg} of {} is bound to a claim, but a workflow with a key signs its own claims",
                wanted.name
            ),
            "write the values, or let an issuer vouch for the workflow in every one of its identities",
        );
    }
    Limit::Claim(path.clone())
}
