//! What every policy must leave possible: that someone can revoke, activate, and decide approvals.

use std::collections::BTreeSet;

use shortbread_protocol::access::Access;
use shortbread_protocol::names::{Intent, Operation, OperatorName, ToolName};
use toml::Spanned;

use super::super::builtin::{self, ACTIVATE, DECIDE, REVOKE};
use super::super::model::{Forbid, Grant, Principal};
use super::super::source::Source;
use super::{Check, People, list};

pub(super) fn check(
    check: &mut Check<'_>,
    raw: &Source,
    people: &People,
    grants: &[Grant],
    forbids: &[Forbid],
) {
    for (verb, loss) in [(REVOKE, "revoke anything"), (ACTIVATE, "activate another policy")] {
        if able(verb, people, grants, forbids).is_empty() {
            let fix = format!("grant {verb} of the tool shortbread to an operator, and forbid it to nobody");
            check.problem(0..0, format!("under this policy nobody could {loss}"), fix);
        }
    }
    let deciders = able(DECIDE, people, grants, forbids);
    for (name, source) in &raw.approvers {
        for member in source.members.get_ref() {
            if people.operators.contains(member.get_ref()) && !deciders.contains(member.get_ref()) {
                let message = format!("{member} is a member of {name} and may not decide approvals");
                let fix =
                    format!("grant {DECIDE} of the tool shortbread to {member}; it has: {}", list(&deciders));
                check.problem(Spanned::span(member), message, fix);
            }
        }
    }
}

/// The operators who can use this verb of the built-in tool.
fn able(verb: &str, people: &People, grants: &[Grant], forbids: &[Forbid]) -> BTreeSet<OperatorName> {
    let Ok(name) = verb.parse() else { return BTreeSet::new() };
    let operation = Operation { tool: ToolName::shortbread(), verb: name };
    let access =
        builtin::VERBS.iter().find(|(known, _)| *known == verb).map_or(Access::Privileged, |(_, a)| *a);
    let able = grants.iter().filter_map(|grant| {
        let Principal::Operator(operator) = &grant.principal else { return None };
        let granted = builtin::is(&grant.tool) && grant.verbs.contains_key(&operation.verb);
        let forbidden =
            forbids.iter().any(|f| f.reaches(&grant.principal, &Intent::undeclared(), &operation, access));
        (granted && !forbidden && people.operators.contains(operator)).then(|| operator.clone())
    });
    able.collect()
}
