//! Workflows and grants in lines for people.

use shortbread_protocol::admin::{
    GrantBody, GrantVerbBody, LivingBody, StoppedBody, WorkflowAnswer, WorkflowBody,
};
use shortbread_protocol::clock::{FOREVER, Timestamp};

use crate::text::{grouped, span};
use crate::ui::{Piece, Style, columns};

type Row = Vec<Piece>;

pub(super) const HEAD: [&str; 7] =
    ["workflow", "state", "living tokens", "last granted", "owners", "tools", "identity"];

/// One workflow of the list.
pub(super) fn row(body: &WorkflowBody, now: u64) -> Row {
    let plain = |text: String| (Style::Plain, text);
    let kinds: Vec<&str> = body.identities.iter().map(|identity| identity.kind.as_str()).collect();
    vec![
        (Style::Bold, body.workflow.clone()),
        state(body),
        plain(tokens(&body.tokens)),
        plain(last(body, now)),
        plain(or_dash(&body.owners.join(", "))),
        plain(or_dash(&body.tools.join(", "))),
        plain(or_dash(&kinds.join(", "))),
    ]
}

/// One workflow in full.
pub(super) fn rows(answer: &WorkflowAnswer) -> Vec<Row> {
    let body = &answer.workflow;
    let mut rows = columns(facts(body, answer.now));
    if answer.granted.is_empty() {
        rows.push(Vec::new());
        rows.push(vec![(Style::Warn, "nothing is granted to it".to_owned())]);
    }
    for grant in &answer.granted {
        rows.push(Vec::new());
        rows.extend(self::grant(grant));
    }
    rows
}

fn facts(body: &WorkflowBody, now: u64) -> Vec<Row> {
    let fact = |name: &str, piece: Piece| vec![(Style::Dim, name.to_owned()), piece];
    let plain = |text: String| (Style::Plain, text);
    let mut rows = vec![fact("workflow", (Style::Bold, body.workflow.clone())), fact("state", state(body))];
    rows.extend(body.stopped.iter().map(|stop| fact("stopped", (Style::Bad, stopped(stop, now)))));
    let trial = if body.on_trial { ", on trial" } else { "" };
    rows.push(fact("policy", plain(format!("version {}{trial}", body.policy))));
    rows.extend(body.identities.iter().map(|identity| {
        let others = identity.shared_with.join(", ");
        let shared = if others.is_empty() { String::new() } else { format!("; good for {others} as well") };
        fact("identity", plain(format!("{} ({}){shared}", identity.proof, identity.entry)))
    }));
    rows.push(fact("owners", plain(or_dash(&body.owners.join(", ")))));
    rows.push(fact("living tokens", plain(tokens(&body.tokens))));
    rows.push(fact("last granted", plain(last(body, now))));
    rows
}

fn state(body: &WorkflowBody) -> Piece {
    match (body.stopped.iter().any(|stop| stop.holds), body.stopped.is_empty()) {
        (true, _) => (Style::Bad, "revoked".to_owned()),
        (false, _) if body.on_trial => (Style::Warn, format!("version {} on trial", body.policy)),
        (false, true) => (Style::Good, "open".to_owned()),
        (false, false) => (Style::Good, "open, older tokens are dead".to_owned()),
    }
}

fn stopped(stop: &StoppedBody, now: u64) -> String {
    let which = if stop.before >= FOREVER {
        "until lifted".to_owned()
    } else {
        format!("what was issued before {}", Timestamp::from_seconds(stop.before))
    };
    let ago = span(now.saturating_sub(stop.at));
    let why = if stop.reason.is_empty() { String::new() } else { format!(": {}", stop.reason) };
    format!("{} by {} {ago} ago, {which}{why}", stop.what, stop.operator)
}

fn tokens(tokens: &LivingBody) -> String {
    let least = if tokens.exact { "" } else { "at most " };
    match tokens.revoked {
        0 => format!("{least}{}", grouped(tokens.living)),
        revoked => format!("{least}{}, and {} revoked", grouped(tokens.living), grouped(revoked)),
    }
}

fn last(body: &WorkflowBody, now: u64) -> String {
    body.last_granted.map_or_else(|| "-".to_owned(), |at| format!("{} ago", span(now.saturating_sub(at))))
}

fn grant(grant: &GrantBody) -> Vec<Row> {
    let intents = match grant.intents.as_slice() {
        [] => "any intent".to_owned(),
        some => format!("intent {}", some.join(", ")),
    };
    let mut rows = vec![vec![
        (Style::Bold, grant.grant.clone()),
        (Style::Plain, format!("  {}, for {intents}; {}", grant.tool, conditions(grant).join(", "))),
    ]];
    rows.extend(columns(grant.verbs.iter().map(verb).collect()));
    if let Some(approval) = &grant.approval {
        rows.push(vec![(Style::Dim, "  approval  ".to_owned()), (Style::Plain, approval.words.clone())]);
    }
    rows
}

fn conditions(grant: &GrantBody) -> Vec<String> {
    let mut parts = vec![format!("tokens live {} at most", span(grant.max_ttl))];
    parts.extend(grant.rate.clone());
    parts.extend(grant.budget.as_ref().map(|budget| format!("{budget} at most")));
    parts.extend(grant.proof.then(|| "bound to a key".to_owned()));
    parts
}

fn verb(verb: &GrantVerbBody) -> Row {
    let style = match verb.access.as_str() {
        "privileged" => Style::Bad,
        "write" => Style::Warn,
        _ => Style::Dim,
    };
    let mut notes = Vec::new();
    notes.extend(verb.approval.then(|| "a person approves".to_owned()));
    if !verb.forbidden.is_empty() {
        notes.push(format!("forbidden by {}", verb.forbidden.join(", ")));
    }
    vec![
        (Style::Plain, format!("  {}", verb.operation)),
        (style, verb.access.as_str().to_owned()),
        (Style::Plain, verb.arguments.clone()),
        (Style::Warn, notes.join("; ")),
    ]
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer() -> WorkflowAnswer {
        serde_json::from_value(json!({
            "now": 1000,
            "workflow": {
                "workflow": "release-notes", "policy": 3, "on_trial": false,
                "identities": [{ "entry": "release-notes", "kind": "key", "proof": "the key Zk3v" }],
                "owners": ["alice"], "tools": ["github"], "grants": 1, "stopped": [],
                "tokens": { "living": 1200, "revoked": 3, "exact": true }, "last_granted": 940,
            },
            "granted": [{
                "grant": "grant:1", "tool": "github", "intents": ["triage"], "max_ttl": 600, "rate": "30/min",
                "budget": null, "proof": false,
                "verbs": [
                    { "operation": "github/issues.read", "access": "read", "arguments": "with any arguments", "approval": false },
                    { "operation": "github/repo.delete", "access": "privileged", "arguments": "where repo = a/b",
                      "approval": true, "forbidden": ["forbid:1"] },
                ],
                "approval": {
                    "approvers": "oncall", "members": ["bob"], "quorum": 1, "sla": 300, "escalate": "leads",
                    "expires": 900, "words": "1 of oncall (bob) for write verbs",
                },
            }],
        }))
        .unwrap()
    }

    fn text(rows: &[Row]) -> Vec<String> {
        rows.iter().map(|row| row.iter().map(|(_, text)| text.as_str()).collect()).collect()
    }

    #[test]
    fn a_workflow_is_told_in_lines_that_line_up() {
        let lines = text(&rows(&answer()));
        for line in [
            "state          open",
            "identity       the key Zk3v (release-notes)",
            "living tokens  1,200, and 3 revoked",
            "last granted   1m ago",
            "grant:1  github, for intent triage; tokens live 10m at most, 30/min",
            "  github/issues.read  read        with any arguments",
            "  approval  1 of oncall (bob) for write verbs",
        ] {
            assert!(lines.iter().any(|found| found.trim_end() == line), "{line:?} in {lines:#?}");
        }
        let delete = lines.iter().find(|line| line.contains("repo.delete")).unwrap();
        assert!(delete.contains("a person approves; forbidden by forbid:1"), "{delete}");
    }

    #[test]
    fn what_stops_it_is_told_with_who_and_why() {
        let mut answer = answer();
        answer.workflow.stopped = vec![StoppedBody {
            what: "workflow/release-notes".to_owned(),
            before: FOREVER,
            holds: true,
            operator: "alice".to_owned(),
            at: 940,
            cause: shortbread_protocol::revocations::Cause::Incident,
            reason: "it posts to the wrong place".to_owned(),
        }];
        let lines = text(&rows(&answer));
        let wanted = "stopped        workflow/release-notes by alice 1m ago, until lifted: it posts to the wrong place";
        assert!(lines.iter().any(|line| line == wanted), "{lines:#?}");
        assert_eq!(row(&answer.workflow, 1000)[1], (Style::Bad, "revoked".to_owned()));
    }
}
