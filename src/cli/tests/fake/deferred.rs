//! What the broker says to a client that waits: by the task that it names.

use serde_json::{Value, json};

/// An answer, where the request may wait for a person; `nth` is how often this code was shown before.
pub(super) fn answer(request: &str, body: &Value, nth: u64, url: &str) -> Option<(u16, Value)> {
    let (code, task) = (body["deferral_code"].as_str(), task(body));
    match (request, code) {
        ("POST /oauth/deferral/cancel", Some(_)) => Some((200, json!({}))),
        ("POST /oauth/token", Some(code)) => Some(polled(code, nth, url)),
        ("POST /oauth/token", None) if body["completion_mode"] == "deferred" => {
            Some((400, pending(&task, url)))
        }
        ("POST /oauth/token", None) if task == "t-person" => {
            Some((400, refused("access_denied", "approval.required")))
        }
        ("POST /oauth/token", None) if task == "plan" => Some((200, plan())),
        _ => None,
    }
}

// Of the form, or of the first of its details.
fn task(body: &Value) -> String {
    let details: Value =
        serde_json::from_str(body["authorization_details"].as_str().unwrap_or("[]")).unwrap();
    body["task"].as_str().or(details[0]["task"].as_str()).unwrap_or_default().to_owned()
}

fn plan() -> Value {
    let call = |place: u32, id: &str| {
        json!({
            "place": place, "operation": "payments/refunds.create", "args_sha256": "ab".repeat(32), "token_id": id,
            "access_token": format!("EsCALL{place}=="),
        })
    };
    let mut token = super::token();
    token["shortbread"]["calls"] = json!([call(0, "tok_a"), call(1, "tok_b")]);
    token
}

fn polled(code: &str, nth: u64, url: &str) -> (u16, Value) {
    let error = |error: &str, reason: &str| (400, refused(error, reason));
    match (code, nth) {
        ("dfr_grant", 0) => (400, pending("grant", url)),
        ("dfr_grant", 1) => {
            let mut slow = refused("slow_down", "approval.poll_too_soon");
            slow["interval"] = 2.into();
            (400, slow)
        }
        ("dfr_grant" | "dfr_restart", _) if nth > 1 => (200, super::token()),
        ("dfr_restart", _) => (503, json!("starting")),
        ("dfr_deny", _) => error("access_denied", "approval.denied"),
        ("dfr_expire", _) => error("expired_token", "approval.expired"),
        ("dfr_cancel", _) => error("access_denied", "approval.cancelled"),
        _ => (400, pending("wait", url)),
    }
}

fn pending(task: &str, url: &str) -> Value {
    let mut body = refused("authorization_pending", "approval.pending");
    body["deferral_code"] = format!("dfr_{task}").into();
    body["expires_in"] = 900.into();
    body["interval"] = 1.into();
    body["shortbread"]["sla_seconds"] = 300.into();
    body["shortbread"]["approvers"] = "oncall".into();
    body["shortbread"]["status_uri"] = format!("{url}/a/apr_1").into();
    body
}

fn refused(error: &str, reason: &str) -> Value {
    json!({
        "error": error, "error_description": shortbread_protocol::reason::Reason::from_code(reason).unwrap().meaning(),
        "shortbread": {
            "decision_id": "dec_9", "request_id": "r", "reason": reason, "retryable": false, "approval_id": "apr_1",
        },
    })
}
