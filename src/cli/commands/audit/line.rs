//! One entry on one line.

use serde_json::Value;
use shortbread_broker::story::{decider, kind, outcome, reasons, what};

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

/// How an outcome is shown.
pub(super) fn style(outcome: &str) -> Style {
    if ["allow", "done"].contains(&outcome) { Style::Good } else { Style::Bad }
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
