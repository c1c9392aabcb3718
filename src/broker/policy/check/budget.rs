//! `budget` of a grant: of an argument that every verb of it bounds, so that a token is never worth more than is known.

use std::collections::BTreeMap;
use std::time::Duration;

use shortbread_protocol::names::VerbName;
use toml::Spanned;

use super::super::builtin;
use super::super::charge;
use super::super::model::{Budget, Limit, Limits};
use super::super::source::{BudgetSource, GrantSource};
use super::super::units::Shown;
use super::Check;
use super::approval::Verbs;

const SHORTEST: Duration = Duration::from_secs(60);
const LONGEST: Duration = Duration::from_secs(31 * 24 * 3600);

pub(super) fn compile(
    check: &mut Check<'_>,
    source: &GrantSource,
    verbs: &Verbs,
    limited: &BTreeMap<VerbName, Limits>,
) -> Option<Budget> {
    let entry = source.budget.as_ref()?;
    // What the built-in tool and operators may not say is told where the grant is.
    if builtin::is(source.tool.get_ref()) {
        return None;
    }
    let BudgetSource { argument, limit, per } = entry.get_ref();
    for verb in verbs.keys() {
        let bound = limited.get(verb).and_then(|limits| limits.get(argument.get_ref()));
        if !bound.is_some_and(is_bounded) {
            check.problem(
                argument.span(),
                format!("{verb} does not bound {argument}, so nobody knows what a token of it is worth"),
                format!(
                    "write constraints.\"{verb}\" = {{ {argument} = {{ max = … }} }}, or grant {verb} in an entry of its own"
                ),
            );
        }
    }
    Some(Budget { argument: argument.get_ref().clone(), limit: most(check, limit), per: period(check, per) })
}

fn is_bounded(limit: &Limit) -> bool {
    match limit {
        Limit::Fixed(constraint) => charge::most(constraint).is_some(),
        Limit::Claim(_) => false,
    }
}

fn most(check: &mut Check<'_>, limit: &Spanned<i64>) -> u64 {
    let most = u64::try_from(*limit.get_ref()).unwrap_or_default();
    if most == 0 {
        let message = format!("a budget of {} lets nothing pass at all", limit.get_ref());
        check.problem(limit.span(), message, "write at least 1, or take the grant out");
    }
    most
}

fn period(check: &mut Check<'_>, per: &Spanned<super::super::units::Span>) -> Duration {
    let span = per.get_ref().0;
    if span < SHORTEST || span > LONGEST {
        let message = format!("a budget per {} is not per 1m to 744h", Shown(span));
        check.problem(per.span(), message, "choose a period from 1m to 744h, which is 31 days");
    }
    span
}
