//! The entries of one trace as a story: in order of time, each under what it came from.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::Value;
use shortbread_protocol::admin::AuditEntryBody;
use shortbread_protocol::clock::Timestamp;

use super::entry::{decider, kind, outcome, reasons, what};
use crate::text::span;

/// A step of the story, and the entry that it tells of.
#[derive(Clone, Debug)]
pub struct Told<'a> {
    /// How deep it stands under what it came from.
    pub depth: usize,
    /// How long after the first.
    pub since: Duration,
    /// Whether it bears the id that was asked for.
    pub marked: bool,
    /// `allow`, `deny` or `done`.
    pub outcome: &'a str,
    /// What happened.
    pub happened: String,
    /// To what.
    pub what: String,
    /// Whose, as `workflow/NAME`.
    pub subject: &'a str,
    /// What matters beside.
    pub particulars: String,
    /// Why.
    pub why: String,
    /// The decision's id.
    pub id: &'a str,
    /// The whole entry.
    pub event: &'a Value,
}

/// The trace that an entry belongs to.
#[must_use]
pub fn trace(event: &Value) -> Option<String> {
    let parent = event.get("traceparent")?.as_str()?;
    parent.split('-').nth(1).filter(|trace| trace.len() == 32).map(str::to_owned)
}

/// When the first of them was.
#[must_use]
pub fn begins(entries: &[AuditEntryBody]) -> Option<Timestamp> {
    entries.iter().filter_map(|entry| time(&entry.event)).min()
}

/// Tells it; the entries that bear the id `marked` are marked.
#[must_use]
pub fn tell<'a>(entries: &'a [AuditEntryBody], marked: &str) -> Vec<Told<'a>> {
    let mut ordered: Vec<(Option<Timestamp>, &AuditEntryBody)> =
        entries.iter().map(|entry| (time(&entry.event), entry)).collect();
    ordered.sort_by_key(|(time, entry)| (*time, entry.index));
    let depths = depths(entries);
    let begin = begins(entries);
    let told = ordered.iter().map(|(time, entry)| {
        let event = &entry.event;
        let ids = [text(event, "/id"), text(event, "/data/token"), text(event, "/data/approval")];
        Told {
            depth: depth(event, &depths),
            since: begin.zip(*time).map(|(begin, time)| time.since(begin)).unwrap_or_default(),
            marked: ids.contains(&Some(marked)),
            outcome: outcome(event),
            happened: happened(event),
            what: what(event),
            subject: text(event, "/subject").unwrap_or("unknown"),
            particulars: particulars(event),
            why: reasons(event),
            id: text(event, "/id").unwrap_or_default(),
            event,
        }
    });
    told.collect()
}

/// A span as it stands before a step: `+12ms`, `+3.200s`, `+5m 2s`.
#[must_use]
pub fn relative(since: Duration) -> String {
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    match seconds {
        0 => format!("+{millis}ms"),
        1..60 => format!("+{seconds}.{millis:03}s"),
        _ => format!("+{}", span(seconds)),
    }
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
