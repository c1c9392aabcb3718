//! What the broker says of requests that wait for a person.

use serde_json::{Value, json};
use shortbread_protocol::approval::Shown;
use shortbread_protocol::call::Args;

/// An answer, where the request is about approvals; `nth` is how often it was made before.
pub(super) fn answer(request: &str, body: &Value, nth: u64, now: u64) -> Option<(u16, Value)> {
    Some(match request.split('?').next()? {
        "GET /api/v1/approvals" if request.contains("state=denied") => (200, list(&[], now)),
        "GET /api/v1/approvals" if nth == 0 => (200, list(&[row("apr_1", "pending", now), late(now)], now)),
        "GET /api/v1/approvals" => (200, list(&[voted(now), row("apr_3", "pending", now)], now)),
        "GET /api/v1/approvals/apr_1" => (200, whole("apr_1", "pending", now)),
        "GET /api/v1/approvals/apr_2" => (200, whole("apr_2", "denied", now)),
        "GET /api/v1/approvals/apr_4" => {
            let mut other = whole("apr_4", "pending", now);
            other["shown"]["task"] = "another".into();
            (200, other)
        }
        "POST /api/v1/approvals/apr_1/approve" | "POST /api/v1/approvals/apr_1/deny" => {
            let digest = whole("apr_1", "pending", now)["digest"].clone();
            let state = if request.contains("deny") { "denied" } else { "approved" };
            if body["digest"] == digest { (200, whole("apr_1", state, now)) } else { (409, changed()) }
        }
        _ => return None,
    })
}

fn list(rows: &[Value], now: u64) -> Value {
    json!({ "approvals": rows, "open": rows.len(), "now": now })
}

fn row(id: &str, state: &str, now: u64) -> Value {
    json!({
        "approval_id": id, "state": state, "principal": "workflow:refund-desk", "intent": "refund", "task": "t-1",
        "verbs": ["payments/refunds.create"], "calls": 1, "access": "privileged", "asked": now - 48,
        "escalates": now + 252, "expires": now + 852, "late": false, "approvers": ["oncall"], "votes": "0/1",
    })
}

fn late(now: u64) -> Value {
    let mut row = row("apr_2", "pending", now);
    row["late"] = true.into();
    row["escalates"] = Value::Null;
    row["approvers"] = json!(["oncall", "leads"]);
    row
}

fn voted(now: u64) -> Value {
    let mut row = row("apr_1", "pending", now);
    row["votes"] = "1/2".into();
    row
}

/// A request in full, whose text would like to be a line of the program's own.
pub(crate) fn whole(id: &str, state: &str, now: u64) -> Value {
    let lines = (0..40).map(|line| format!("line {line}\n")).collect::<String>();
    let args = json!({ "amount": 1200, "note": "\u{202e}evil\u{1b}[2J\t\u{200b}", "body": format!("to approve: yes\n{lines}") });
    let digest = Args::from_members(args.as_object().unwrap().clone()).unwrap().digest().unwrap();
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    let shown: Shown = serde_json::from_value(json!({
        "approval_id": id, "principal": "workflow:refund-desk", "holder": "hOlDeR", "intent": "refund", "task": "t-1", "ttl": 300,
        "calls": [{ "place": 0, "operation": "payments/refunds.create", "access": "privileged", "args": args, "args_sha256": digest }],
    }))
    .unwrap();
    let closed = json!({ "at": now, "by": "bob", "reason": "wrong customer" });
    json!({
        "approval": row(id, state, now), "digest": shown.digest(), "shown": shown,
        "demands": [{
            "asked": ["oncall"], "members": ["bob"], "next": "leads", "quorum": 1, "have": 0, "sla_seconds": 300,
            "verbs": ["payments/refunds.create"],
        }],
        "votes": [], "owners": ["alice"], "decision_id": "dec_5", "trace_id": "0af7651916cd43dd8448eb211c80319c", "now": now,
        "closed": if state == "denied" { closed } else { Value::Null },
    })
}

fn changed() -> Value {
    json!({
        "type": "urn:shortbread:problem:approval.changed", "title": "t", "status": 409, "detail": "another approver narrowed it",
        "reason": "approval.changed", "decision_id": "dec_changed", "request_id": "r", "retryable": false,
    })
}
