//! Parts of a policy in words, as pages, the API and comparisons say them.

use std::collections::BTreeMap;

use super::diff::{identities, words};
use super::model::{Approval, Approvers, Budget, Grant, Identity, Limits, Rate};
use super::units::Shown;

/// What an identity entry wants proved: `the key Zk3v…`, `a token of https://… with a = b for https://…`.
#[must_use]
pub fn proof(identity: &Identity) -> String {
    identities::proof(identity)
}

/// What the arguments of a verb may be: `where repo = acme/web, title is free`.
#[must_use]
pub fn limits(limits: Option<&Limits>) -> String {
    words::limits(limits)
}

/// `30/min`.
#[must_use]
pub fn rate(rate: Rate) -> String {
    words::rate(rate)
}

/// `5000 of amount in 1h`.
#[must_use]
pub fn budget(budget: &Budget) -> String {
    format!("{} of {} in {}", budget.limit, budget.argument, Shown(budget.per))
}

/// Who must agree to what, how soon the next group is asked and when it is over: `2 of oncall (bob, dave) other than alice
/// for write verbs; leads are asked after 5m; over after 15m`.
#[must_use]
pub fn approval(grant: &Grant, approval: &Approval, groups: &BTreeMap<String, Approvers>) -> String {
    let group = groups.get(&approval.approvers);
    let members = words::names(group.into_iter().flat_map(|group| &group.members).map(|name| name.as_str()));
    let owners = words::names(grant.owners.iter().map(|owner| owner.as_str()));
    let but = if owners.is_empty() { String::new() } else { format!(" other than {owners}") };
    let mut what: Vec<String> = Vec::new();
    if !approval.access.is_empty() {
        let access = words::names(approval.access.iter().map(|access| access.as_str()));
        what.push(format!("{access} verbs"));
    }
    if !approval.verbs.is_empty() {
        what.push(words::names(approval.verbs.iter().map(|verb| verb.as_str())));
    }
    let next = group.and_then(|group| group.escalate.as_ref());
    let next = next
        .map(|next| format!("; {next} after {}", Shown(approval.sla)))
        .unwrap_or_else(|| format!("; late after {}", Shown(approval.sla)));
    let (quorum, name, over) = (approval.quorum, &approval.approvers, Shown(approval.expires));
    format!("{quorum} of {name} ({members}){but} for {}{next}; over after {over}", what.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{EXAMPLE, policy};
    use super::*;

    #[test]
    fn a_grant_reads_as_words() {
        let policy = policy(EXAMPLE);
        let grant = policy.grants().iter().find(|grant| grant.approval.is_some()).unwrap();
        let said = approval(grant, grant.approval.as_ref().unwrap(), policy.approvers());
        let wanted = "1 of oncall (bob) other than alice for write verbs; leads after 5m; over after 15m";
        assert_eq!(said, wanted);
        assert_eq!(rate(grant.rate.unwrap()), "30/min");
    }
}
