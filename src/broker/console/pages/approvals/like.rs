//! What the same principal asked for before of the same verbs, and what of it differs from what it asks for now.

use std::collections::BTreeSet;

use shortbread_protocol::admin::{ApprovalAnswer, ApprovalState};
use shortbread_protocol::approval::Shown;

use super::tone;
use crate::approvals::{self, DecideError, ListError, Page};
use crate::console::show::When;
use crate::console::trouble::Trouble;
use crate::console::visit::Visit;
use crate::text::escape;

/// How many requests are named.
const LIKE: usize = 5;
/// Among how many of the newest that are closed they are looked for.
pub(super) const AMONG: usize = 200;
/// How many arguments that differ are named.
const NAMED: usize = 5;

/// A request of before.
pub(super) struct Like {
    pub(super) id: String,
    pub(super) state: &'static str,
    pub(super) tone: &'static str,
    pub(super) at: When,
    pub(super) task: String,
    /// Who decided it.
    pub(super) by: String,
    /// What of it differs, in words.
    pub(super) differs: String,
    pub(super) same: bool,
}

/// The newest of them.
///
/// # Errors
/// When the store fails.
pub(super) async fn like(visit: &Visit, answer: &ApprovalAnswer) -> Result<Vec<Like>, Trouble> {
    let page = Page {
        state: Some("closed".to_owned()),
        principal: Some(answer.approval.principal.clone()),
        after: None,
        limit: Some(AMONG),
    };
    let closed = approvals::list(&visit.broker, &page).await.map_err(|error| match error {
        ListError::Malformed(detail) => DecideError::Malformed(detail),
        ListError::Decide(error) => error,
    })?;
    let same = closed.approvals.into_iter().filter(|other| {
        other.verbs == answer.approval.verbs && other.approval_id != answer.approval.approval_id
    });
    let mut found = Vec::with_capacity(LIKE);
    for other in same.take(LIKE) {
        let before = approvals::find(&visit.broker, &other.approval_id).await?;
        let differs = differences(&before.shown, &answer.shown);
        let named: Vec<&str> = differs.iter().take(NAMED).map(String::as_str).collect();
        found.push(Like {
            state: other.state.as_str(),
            tone: tone(other.state),
            at: When::new(other.asked, closed.now),
            task: escape(&other.task).into_owned(),
            by: deciders(&before),
            differs: escape(&named.join(", ")).into_owned(),
            same: differs.is_empty(),
            id: other.approval_id,
        });
    }
    Ok(found)
}

fn deciders(before: &ApprovalAnswer) -> String {
    let denied = before.closed.as_ref().and_then(|closed| closed.by.clone());
    match (before.approval.state, denied) {
        (ApprovalState::Denied, Some(by)) => by,
        _ => before.votes.iter().map(|vote| vote.operator.clone()).collect::<Vec<_>>().join(", "),
    }
}

/// What stands in one and not so in the other: arguments of calls, what rights allow, the life.
fn differences(before: &Shown, now: &Shown) -> BTreeSet<String> {
    let mut differs = BTreeSet::new();
    if before.calls.len() != now.calls.len() {
        differs.insert("the number of calls".to_owned());
    }
    for (old, new) in before.calls.iter().zip(&now.calls) {
        let names = old.args.keys().chain(new.args.keys());
        differs.extend(names.filter(|name| old.args.get(*name) != new.args.get(*name)).cloned());
        if old.operation != new.operation {
            differs.insert("the order of calls".to_owned());
        }
    }
    if before.rights != now.rights {
        differs.insert("what the arguments may be".to_owned());
    }
    if before.ttl != now.ttl {
        differs.insert("the life of the token".to_owned());
    }
    differs
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn shown(amount: u64, account: &str) -> Shown {
        serde_json::from_value(json!({
            "approval_id": "apr_1", "principal": "workflow:w", "holder": "h", "intent": "triage", "task": "t", "ttl": 60,
            "calls": [{ "place": 0, "operation": "payments/payouts.create", "access": "privileged", "args_sha256": "00",
                "args": { "amount": amount, "account": account } }],
        }))
        .unwrap()
    }

    #[test]
    fn what_differs_is_named() {
        let differs = |one: &Shown, other: &Shown| differences(one, other).into_iter().collect::<Vec<_>>();
        assert!(differs(&shown(1, "a"), &shown(1, "a")).is_empty());
        assert_eq!(differs(&shown(1, "a"), &shown(2, "b")), ["account", "amount"]);
        let mut more = shown(1, "a");
        more.calls.push(more.calls[0].clone());
        assert_eq!(differs(&shown(1, "a"), &more), ["the number of calls"]);
    }
}
