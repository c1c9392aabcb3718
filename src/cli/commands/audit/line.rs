//! One entry on one line.

use serde_json::Value;

use crate::text::count;
use crate::ui::{Piece, Style};

/// Time, outcome, who, what, why, and the id to ask on with.
pub(super) fn line(event: &Value) -> Vec<Piece> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = kind(event).replace('.', " ");
    let outcome = outcome(event);
    let mut pieces = vec![
        (Style::Dim, format!("{:<24}  ", text("/time"))),
        (style(outcome), format!("{outcome:<5}  ")),
        (Style::Bold, text("/subject")),
        (Style::Plain, format!("  {kind}")),
    ];
    let (what, why) = (what(event), reasons(event));
    if !what.is_empty() {
        pieces.push((Style::Plain, format!(" {what}")));
    }
    if let Some(by) = decider(event) {
        pieces.push((Style::Plain, format!("  by {by}")));
    }
    if !why.is_empty() {
        pieces.push((Style::Plain, format!("  ({why})")));
    }
    pieces.push((Style::Dim, format!("  {}", text("/id"))));
    pieces
}

/// The type without what all types share: `call.decision`.
pub(super) fn kind(event: &Value) -> &str {
    let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
    let kind = kind.strip_prefix("dev.shortbread.").unwrap_or(kind);
    kind.strip_suffix(".v1").unwrap_or(kind)
}

/// `allow`, `deny` or `done`.
pub(super) fn outcome(event: &Value) -> &str {
    match (event.pointer("/data/outcome").and_then(Value::as_str), kind(event)) {
        // What waits for a person has words of its own.
        (Some("approved"), _) => "allow",
        (Some("denied" | "expired"), _) => "deny",
        (Some("pending" | "cancelled"), _) => "done",
        (Some(said), _) if !said.is_empty() => said,
        (_, "token.refused" | "approval.expired") => "deny",
        (_, "approval.requested" | "approval.voted" | "approval.escalated" | "approval.cancelled") => "done",
        _ => "allow",
    }
}

/// The operator who voted or decided, where the entry is about someone else's request.
pub(super) fn decider(event: &Value) -> Option<&str> {
    let by = event.pointer("/data/by")?.as_str().filter(|by| !by.is_empty())?;
    kind(event).starts_with("approval.").then(|| by.strip_prefix("operator/").unwrap_or(by))
}

/// How an outcome is shown.
pub(super) fn style(outcome: &str) -> Style {
    if ["allow", "done"].contains(&outcome) { Style::Good } else { Style::Bad }
}

/// What it was about: verbs, what is revoked or a version, whichever the entry has.
pub(super) fn what(event: &Value) -> String {
    let list = |pointer: &str, name: fn(&Value) -> Option<String>| {
        let items = event.pointer(pointer).and_then(Value::as_array);
        items
            .map(|items| items.iter().filter_map(name).collect::<Vec<_>>().join(", "))
            .filter(|text| !text.is_empty())
    };
    let version =
        || event.pointer("/data/version").and_then(Value::as_u64).map(|version| format!("version {version}"));
    list("/data/verbs", operation)
        .or_else(|| list("/data/granted", operation))
        .or_else(|| list("/data/requested", operation))
        .or_else(|| list("/data/entries", revoked))
        .or_else(|| event.pointer("/data").and_then(operation))
        .or_else(|| tripped(event))
        .or_else(version)
        .or_else(|| erased(event))
        .or_else(|| event.pointer("/data/operation").and_then(Value::as_str).map(str::to_owned))
        .unwrap_or_default()
}

fn operation(item: &Value) -> Option<String> {
    if let Some(text) = item.as_str() {
        return Some(text.to_owned());
    }
    let tool = item.get("tool")?.as_str()?;
    let verbs: Vec<&str> = match item.get("actions").and_then(Value::as_array) {
        Some(actions) => actions.iter().filter_map(Value::as_str).collect(),
        None => item.get("verb").and_then(Value::as_str).into_iter().collect(),
    };
    Some(verbs.iter().map(|verb| format!("{tool}/{verb}")).collect::<Vec<_>>().join(", "))
}

// What a tripwire revoked: a task, which its entry names on its own.
fn tripped(event: &Value) -> Option<String> {
    event.pointer("/data/tripwire")?;
    let task = event.pointer("/data/task")?.as_str()?;
    let refusals = event.pointer("/data/count").and_then(Value::as_u64).unwrap_or_default();
    Some(format!("task {task}, refused {refusals} times"))
}

fn erased(event: &Value) -> Option<String> {
    event.pointer("/data/sub_sha256")?;
    let inputs = event.pointer("/data/count").and_then(Value::as_u64)?;
    Some(count(inputs, "input"))
}

fn revoked(item: &Value) -> Option<String> {
    item.get("what")?.as_str().map(str::to_owned)
}

pub(super) fn reasons(event: &Value) -> String {
    if let Some(reason) = event.pointer("/data/reason").and_then(Value::as_str) {
        return reason.to_owned();
    }
    let reasons = event.pointer("/data/reasons").and_then(Value::as_array);
    reasons.map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(event: &Value) -> String {
        line(event).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn entries_read_as_lines() {
        let minted = json!({
            "id": "dec_1", "type": "dev.shortbread.token.minted.v1", "time": "2026-11-20T12:00:00.123Z",
            "subject": "workflow/demo",
            "data": {"outcome": "allow", "granted": [{"tool": "github", "verb": "issues.read"}]},
        });
        assert_eq!(
            read(&minted),
            "2026-11-20T12:00:00.123Z  allow  workflow/demo  token minted github/issues.read  dec_1"
        );
        let refused = json!({
            "id": "dec_2", "type": "dev.shortbread.token.refused.v1", "time": "2026-11-20T12:00:00Z",
            "subject": "unknown", "data": {"reason": "identity.invalid"},
        });
        assert_eq!(
            read(&refused),
            "2026-11-20T12:00:00Z      deny   unknown  token refused  (identity.invalid)  dec_2"
        );
        let set = json!({
            "id": "dec_3", "type": "dev.shortbread.revocation.set.v1", "time": "t", "subject": "operator/alice",
            "data": {"entries": [{"what": "workflow demo", "before": null}], "reason": "why", "outcome": "done"},
        });
        assert!(read(&set).contains("revocation set workflow demo  (why)"));
        let call = json!({
            "id": "dec_4", "type": "dev.shortbread.call.decision.v1", "time": "t", "subject": "workflow/demo",
            "data": {"outcome": "deny", "reasons": ["not_granted"], "tool": "github", "verb": "issues.write"},
        });
        assert!(read(&call).contains("call decision github/issues.write  (not_granted)"));
        let tripped = json!({
            "id": "dec_5", "type": "dev.shortbread.revocation.set.v1", "time": "t", "subject": "tripwire/w",
            "data": {"entries": 1, "outcome": "done", "task": "t-7", "count": 3, "tripwire": {"name": "w"}},
        });
        assert!(read(&tripped).contains("revocation set task t-7, refused 3 times"));
        let erased = json!({
            "id": "dec_6", "type": "dev.shortbread.audit.erased.v1", "time": "t", "subject": "operator/alice",
            "data": {"outcome": "done", "count": 2, "sub_sha256": "00", "reason": "request 17"},
        });
        assert!(read(&erased).contains("audit erased 2 inputs  (request 17)"), "{}", read(&erased));
        let voted = json!({
            "id": "dec_7", "type": "dev.shortbread.approval.decided.v1", "time": "t", "subject": "workflow/desk",
            "data": {"outcome": "denied", "by": "bob", "verbs": ["payments/refunds.create"], "reason": "wrong customer"},
        });
        assert!(
            read(&voted).contains(
                "deny   workflow/desk  approval decided payments/refunds.create  by bob  (wrong customer)"
            ),
            "{}",
            read(&voted)
        );
        assert!(!read(&json!(null)).is_empty(), "an entry of a newer form is still shown");
    }
}
