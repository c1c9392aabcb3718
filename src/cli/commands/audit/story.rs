//! The entries of one trace as a story: in order of time, each under what it came from.

use std::collections::HashMap;

use serde_json::Value;
use shortbread_protocol::admin::AuditEntryBody;
use shortbread_protocol::clock::Timestamp;

use super::line::{decider, kind, outcome, reasons, style, what};
use crate::text::{count, span};
use crate::ui::{Piece, Style};

/// A line of the story, and the entry that it tells of.
pub(super) struct Told<'a> {
    pub(super) line: Vec<Piece>,
    pub(super) indent: usize,
    pub(super) event: Option<&'a Value>,
}

/// The trace that an entry belongs to.
pub(super) fn trace(event: &Value) -> Option<String> {
    let parent = event.get("traceparent")?.as_str()?;
    parent.split('-').nth(1).filter(|trace| trace.len() == 32).map(str::to_owned)
}

/// Tells it; the entries that bear the id `marked` are marked.
pub(super) fn tell<'a>(entries: &'a [AuditEntryBody], marked: &str) -> Vec<Told<'a>> {
    let mut ordered: Vec<(Option<Timestamp>, &AuditEntryBody)> =
        entries.iter().map(|entry| (time(&entry.event), entry)).collect();
    ordered.sort_by_key(|(time, entry)| (*time, entry.index));
    let depths = depths(entries);
    let begin = ordered.first().and_then(|(time, _)| *time);
    let told = ordered.iter().map(|(time, entry)| {
        let event = &entry.event;
        let depth = depth(event, &depths);
        let since = begin.zip(*time).map(|(begin, time)| time.since(begin)).unwrap_or_default();
        let mark = [text(event, "/id"), text(event, "/data/token"), text(event, "/data/approval")]
            .contains(&Some(marked));
        let indent = 2 * depth + 2;
        let mut line = vec![
            (Style::Bold, format!("{}{}", if mark { "\u{25b6} " } else { "  " }, "  ".repeat(depth))),
            (Style::Dim, format!("{:<10}", relative(since))),
        ];
        line.extend(words(event));
        Told { line, indent: indent + 10, event: Some(event) }
    });
    std::iter::once(heading(entries, begin)).chain(told).collect()
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

/// How deep what a token does stands: under the exchange that issued it, and that under its parent's.
fn depths(entries: &[AuditEntryBody]) -> HashMap<&str, usize> {
    let parents: HashMap<&str, Option<&str>> = entries
        .iter()
        .filter(|entry| kind(&entry.event) == "token.minted")
        .filter_map(|entry| {
            Some((text(&entry.event, "/data/token")?, text(&entry.event, "/data/identity/parent")))
        })
        .collect();
    let above = |token: &str| {
        let mut parent = parents.get(token).copied().flatten();
        // No token has more ancestors than there are tokens.
        (0..parents.len())
            .take_while(|_| {
                let known = parent.filter(|parent| parents.contains_key(parent));
                parent = known.and_then(|parent| parents.get(parent).copied().flatten());
                known.is_some()
            })
            .count()
    };
    parents.keys().map(|token| (*token, above(token))).collect()
}

fn depth(event: &Value, depths: &HashMap<&str, usize>) -> usize {
    let of = |pointer| text(event, pointer).and_then(|token| depths.get(token)).copied();
    match kind(event) {
        "token.minted" => of("/data/token").unwrap_or_default(),
        // A refused passing on stands under the token that was to be passed on.
        _ => of("/data/token").or_else(|| of("/data/identity/parent")).map_or(0, |depth| depth + 1),
    }
}

/// Outcome, what happened, to what, whose, why, and the id to ask on with.
fn words(event: &Value) -> Vec<Piece> {
    let outcome = outcome(event);
    let mut pieces = vec![(style(outcome), format!("{outcome:<5}  ")), (Style::Plain, happened(event))];
    let what = what(event);
    if !what.is_empty() {
        pieces.push((Style::Bold, format!(" {what}")));
    }
    pieces.push((Style::Plain, format!("  {}", text(event, "/subject").unwrap_or("unknown"))));
    let more = particulars(event);
    if !more.is_empty() {
        pieces.push((Style::Plain, format!("  {more}")));
    }
    let why = reasons(event);
    if !why.is_empty() {
        pieces.push((if outcome == "deny" { Style::Warn } else { Style::Dim }, format!("  ({why})")));
    }
    pieces.push((Style::Dim, format!("  {}", text(event, "/id").unwrap_or_default())));
    pieces
}

fn happened(event: &Value) -> String {
    match kind(event) {
        "token.minted" if text(event, "/data/identity/parent").is_some() => "token passed on".to_owned(),
        "token.minted" if event.pointer("/data/repeated").is_some() => "token answered again".to_owned(),
        "call.decision" => "call".to_owned(),
        "call.claimed" => "the one use claimed of".to_owned(),
        "budget.returned" => "unused token given back to its budget:".to_owned(),
        "approval.requested" => "approval asked for:".to_owned(),
        "approval.voted" => "vote on".to_owned(),
        "approval.decided" if outcome(event) == "deny" => "denied:".to_owned(),
        "approval.decided" => "approved:".to_owned(),
        "approval.escalated" if event.pointer("/data/nobody_else") == Some(&Value::Bool(true)) => {
            "not decided in time, and nobody else to ask:".to_owned()
        }
        "approval.escalated" => "not decided in time, next group asked:".to_owned(),
        "approval.expired" => "approval expired:".to_owned(),
        "approval.cancelled" => "taken back by who asked:".to_owned(),
        other => other.replace('.', " "),
    }
}

/// What matters beside: the token, who checked it, how a task ended, what it cost, how many.
fn particulars(event: &Value) -> String {
    let said = |name: &str, pointer| text(event, pointer).map(|value| format!("{name}{value}"));
    let number = |pointer| event.pointer(pointer).and_then(Value::as_u64);
    let token = (kind(event) == "token.minted").then(|| said("", "/data/token")).flatten();
    let many = number("/data/count").filter(|count| *count > 1).map(|count| format!("{count} times"));
    let cost =
        number("/data/cost_micros").map(|cost| format!("cost {}.{:06}", cost / 1_000_000, cost % 1_000_000));
    let dropped = event.pointer("/data/dropped").map(|dropped| {
        dropped
            .as_array()
            .map(Vec::len)
            .or_else(|| dropped.as_object().map(serde_json::Map::len))
            .unwrap_or_default()
    });
    let dropped = dropped.filter(|count| *count > 0).map(|count| format!("{count} not granted"));
    let parts = [
        token,
        said("task ", "/data/task").filter(|_| kind(event) == "token.minted"),
        said("approval ", "/data/approval"),
        deciders(event),
        number("/data/sla_seconds")
            .filter(|_| decider(event).is_none())
            .map(|sla| format!("within {}", span(sla))),
        number("/data/waited_seconds")
            .filter(|_| decider(event).is_some())
            .map(|waited| format!("after {}", span(waited))),
        text(event, "/data/note").map(|note| format!("{note:?}")),
        said("by ", "/data/verifier"),
        said("observed: ", "/data/observed"),
        said("task ", "/data/task_outcome"),
        said("degraded: ", "/data/degraded"),
        cost,
        dropped,
        many,
    ];
    parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// Who decided, or who is asked to.
fn deciders(event: &Value) -> Option<String> {
    if let Some(by) = decider(event) {
        return Some(format!("by {by}"));
    }
    let asked = event.pointer("/data/approvers")?;
    let names =
        asked.as_array().into_iter().flatten().filter_map(Value::as_str).collect::<Vec<_>>().join(", ");
    let names = if names.is_empty() { asked.as_str()?.to_owned() } else { names };
    (!names.is_empty()).then(|| format!("asks {names}"))
}

fn time(event: &Value) -> Option<Timestamp> {
    text(event, "/time")?.parse().ok()
}

fn text<'v>(event: &'v Value, pointer: &str) -> Option<&'v str> {
    event.pointer(pointer)?.as_str().filter(|text| !text.is_empty())
}

fn relative(since: std::time::Duration) -> String {
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    match seconds {
        0 => format!("+{millis}ms"),
        1..60 => format!("+{seconds}.{millis:03}s"),
        _ => format!("+{}", span(seconds)),
    }
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
