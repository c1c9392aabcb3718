//! The entries of one trace as a story on the terminal.

use serde_json::Value;
use shortbread_broker::story::{self, begins, relative, trace};
use shortbread_protocol::admin::AuditEntryBody;
use shortbread_protocol::clock::Timestamp;

use super::line::style;
use crate::text::count;
use crate::ui::{Piece, Style};

/// A line of the story, and the entry that it tells of.
pub(super) struct Told<'a> {
    pub(super) line: Vec<Piece>,
    pub(super) indent: usize,
    pub(super) event: Option<&'a Value>,
}

/// Tells it; the entries that bear the id `marked` are marked.
pub(super) fn tell<'a>(entries: &'a [AuditEntryBody], marked: &str) -> Vec<Told<'a>> {
    let told = story::tell(entries, marked).into_iter().map(|told| {
        let indent = 2 * told.depth + 2;
        let mark = if told.marked { "\u{25b6} " } else { "  " };
        let mut line = vec![
            (Style::Bold, format!("{mark}{}", "  ".repeat(told.depth))),
            (Style::Dim, format!("{:<10}", relative(told.since))),
        ];
        line.extend(words(&told));
        Told { line, indent: indent + 10, event: Some(told.event) }
    });
    std::iter::once(heading(entries, begins(entries))).chain(told).collect()
}

fn heading(entries: &[AuditEntryBody], begin: Option<Timestamp>) -> Told<'static> {
    let first = entries.first().map(|entry| &entry.event);
    let trace = first.and_then(trace).unwrap_or_default();
    let begin = begin.map(|begin| format!(" from {begin}")).unwrap_or_default();
    let line = vec![
        (Style::Bold, format!("trace {trace}")),
        (Style::Dim, format!("{begin}, {}", count(entries.len() as u64, "decision"))),
    ];
    Told { line, indent: 0, event: None }
}

/// Outcome, what happened, to what, whose, why, and the id to ask on with.
fn words(told: &story::Told<'_>) -> Vec<Piece> {
    let outcome = told.outcome;
    let mut pieces = vec![(style(outcome), format!("{outcome:<5}  ")), (Style::Plain, told.happened.clone())];
    if !told.what.is_empty() {
        pieces.push((Style::Bold, format!(" {}", told.what)));
    }
    pieces.push((Style::Plain, format!("  {}", told.subject)));
    if !told.particulars.is_empty() {
        pieces.push((Style::Plain, format!("  {}", told.particulars)));
    }
    if !told.why.is_empty() {
        let style = if outcome == "deny" { Style::Warn } else { Style::Dim };
        pieces.push((style, format!("  ({})", told.why)));
    }
    pieces.push((Style::Dim, format!("  {}", told.id)));
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn entry(index: u64, id: &str, kind: &str, second: u64, data: Value) -> AuditEntryBody {
        let event = json!({
            "id": id, "type": format!("dev.shortbread.{kind}.v1"), "subject": "workflow/demo", "data": data,
            "time": Timestamp::from_millis(1_795_348_800_000 + second * 1000).to_string(),
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        });
        AuditEntryBody { index, event }
    }

    fn read(entries: &[AuditEntryBody], marked: &str) -> Vec<String> {
        let line = |told: Told<'_>| told.line.into_iter().map(|(_, text)| text).collect();
        tell(entries, marked).into_iter().map(line).collect()
    }

    #[test]
    fn a_trace_is_told_in_order_of_time_under_what_it_came_from() {
        let entries = [
            entry(
                1,
                "dec_1",
                "token.minted",
                0,
                json!({"outcome": "allow", "granted": ["github/issues.read"], "token": "tok_a", "task": "t"}),
            ),
            entry(
                2,
                "dec_3",
                "token.minted",
                2,
                json!({"outcome": "allow", "granted": ["github/issues.read"], "token": "tok_b", "identity": {"parent": "tok_a"}}),
            ),
            // Verifiers upload later than they decide.
            entry(
                5,
                "dec_2",
                "call.decision",
                1,
                json!({"outcome": "allow", "tool": "github", "verb": "issues.read", "token": "tok_a", "verifier": "gh"}),
            ),
            entry(
                6,
                "dec_4",
                "call.decision",
                70,
                json!({"outcome": "deny", "tool": "github", "verb": "issues.write", "token": "tok_b", "reasons": ["not_granted"]}),
            ),
            entry(
                7,
                "dec_5",
                "revocation.set",
                71,
                json!({"outcome": "done", "entries": [{"what": "task t"}], "reason": "INC-1"}),
            ),
        ];
        assert_eq!(
            read(&entries, "dec_4"),
            [
                "trace 0af7651916cd43dd8448eb211c80319c from 2026-11-22T12:00:00Z, 5 decisions",
                "  +0ms      allow  token minted github/issues.read  workflow/demo  tok_a, task t  dec_1",
                "    +1.000s   allow  call github/issues.read  workflow/demo  by gh  dec_2",
                "    +2.000s   allow  token passed on github/issues.read  workflow/demo  tok_b  dec_3",
                "\u{25b6}     +1m 10s   deny   call github/issues.write  workflow/demo  (not_granted)  dec_4",
                "  +1m 11s   done   revocation set task t  workflow/demo  (INC-1)  dec_5",
            ]
        );
    }

    #[test]
    fn the_way_of_an_approval_is_told_in_words() {
        let verbs = json!(["payments/refunds.create"]);
        let asked = |approvers: Value| {
            json!({
                "outcome": "pending", "approval": "apr_1", "verbs": verbs, "approvers": approvers, "sla_seconds": 300,
            })
        };
        let by = |outcome: &str, by: &str| {
            json!({
                "outcome": outcome, "approval": "apr_1", "verbs": verbs, "by": by, "approvers": "oncall", "sla_seconds": 300,
                "waited_seconds": 310, "note": if by == "bob" { json!("seen\n") } else { Value::Null },
            })
        };
        let entries = [
            entry(1, "dec_1", "approval.requested", 0, asked(json!(["oncall"]))),
            entry(2, "dec_2", "approval.escalated", 300, asked(json!("oncall, leads"))),
            entry(3, "dec_3", "approval.voted", 310, by("pending", "bob")),
            entry(4, "dec_4", "approval.decided", 311, by("approved", "carol")),
            entry(
                5,
                "dec_5",
                "token.minted",
                312,
                json!({"outcome": "allow", "granted": verbs, "token": "tok_a", "approval": "apr_1"}),
            ),
            entry(
                6,
                "dec_6",
                "call.claimed",
                313,
                json!({"outcome": "done", "verbs": verbs, "token": "tok_a", "verifier": "gh"}),
            ),
            entry(
                7,
                "dec_7",
                "approval.expired",
                314,
                json!({"outcome": "expired", "approval": "apr_2", "verbs": verbs}),
            ),
            entry(
                8,
                "dec_8",
                "approval.cancelled",
                315,
                json!({"outcome": "cancelled", "approval": "apr_3", "verbs": verbs}),
            ),
        ];
        assert_eq!(
            read(&entries, "apr_1")[1..],
            [
                "\u{25b6} +0ms      done   approval asked for: payments/refunds.create  workflow/demo  approval apr_1, asks oncall, within 5m  dec_1",
                "\u{25b6} +5m       done   not decided in time, next group asked: payments/refunds.create  workflow/demo  approval apr_1, asks oncall, leads, within 5m  dec_2",
                "\u{25b6} +5m 10s   done   vote on payments/refunds.create  workflow/demo  approval apr_1, by bob, after 5m 10s, \"seen\\n\"  dec_3",
                "\u{25b6} +5m 11s   allow  approved: payments/refunds.create  workflow/demo  approval apr_1, by carol, after 5m 10s  dec_4",
                "\u{25b6} +5m 12s   allow  token minted payments/refunds.create  workflow/demo  tok_a, approval apr_1  dec_5",
                "    +5m 13s   done   the one use claimed of payments/refunds.create  workflow/demo  by gh  dec_6",
                "  +5m 14s   deny   approval expired: payments/refunds.create  workflow/demo  approval apr_2  dec_7",
                "  +5m 15s   done   taken back by who asked: payments/refunds.create  workflow/demo  approval apr_3  dec_8",
            ]
        );
    }

    #[test]
    fn whatever_an_entry_holds_a_story_is_told() {
        let loops = [
            entry(1, "a", "token.minted", 0, json!({"token": "x", "identity": {"parent": "y"}})),
            entry(2, "b", "token.minted", 0, json!({"token": "y", "identity": {"parent": "x"}})),
            AuditEntryBody { index: 3, event: Value::Null },
        ];
        assert_eq!(read(&loops, "x").len(), 4);
        assert!(read(&[], "x").len() == 1 && trace(&Value::Null).is_none());
    }
}
