//! What an entry of the audit log says, read from it for people.

use serde_json::Value;

use crate::text::count;

/// The type without what all types share: `call.decision`.
#[must_use]
pub fn kind(event: &Value) -> &str {
    let kind = event.get("type").and_then(Value::as_str).unwrap_or_default();
    let kind = kind.strip_prefix("dev.shortbread.").unwrap_or(kind);
    kind.strip_suffix(".v1").unwrap_or(kind)
}

/// `allow`, `deny` or `done`.
#[must_use]
pub fn outcome(event: &Value) -> &str {
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
#[must_use]
pub fn decider(event: &Value) -> Option<&str> {
    let by = event.pointer("/data/by")?.as_str().filter(|by| !by.is_empty())?;
    kind(event).starts_with("approval.").then(|| by.strip_prefix("operator/").unwrap_or(by))
}

/// What it was about: verbs, what is revoked or a version, whichever the entry has.
#[must_use]
pub fn what(event: &Value) -> String {
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

/// Why: reason codes, or the reason that an operator gave.
#[must_use]
pub fn reasons(event: &Value) -> String {
    if let Some(reason) = event.pointer("/data/reason").and_then(Value::as_str) {
        return reason.to_owned();
    }
    let reasons = event.pointer("/data/reasons").and_then(Value::as_array);
    reasons.map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}
