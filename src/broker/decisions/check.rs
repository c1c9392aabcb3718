//! What a record must be to stand in the audit log: whole, of our time, about a tool of its sender, and names alone.

use std::str::FromStr;
use std::time::Duration;

use serde_json::Value;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::{Intent, OperatorName, Task, ToolName, VerbName, WorkflowName};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::{CallRecord, MAX_COST_MICROS, RESULT_STAGE, RefusedRecord, span};

/// How long a record may have waited.
const MAX_AGE: Duration = Duration::from_secs(7 * 86_400);
/// How far ahead the clock of its sender may be.
const MAX_SKEW: Duration = Duration::from_secs(60);
const STAGES: [&str; 9] =
    ["call", "token", "list", "revocation", "evaluate", "proof", "claim", "record", RESULT_STAGE];
/// The longest id of anything, in characters.
const MAX_ID: usize = 64;

/// A record that may be written down.
#[derive(Debug)]
pub(super) struct Sound {
    pub(super) record: CallRecord,
    pub(super) trace: [u8; 16],
    pub(super) span: [u8; 8],
}

/// Reads one record of a verifier that serves these tools.
///
/// # Errors
/// With the first thing that is wrong.
pub(super) fn read(value: &Value, tools: &[ToolName], now: Timestamp) -> Result<Sound, RefusedRecord> {
    let id = || value.get("id").and_then(Value::as_str).unwrap_or_default().chars().take(MAX_ID).collect();
    let refuse = |wrong: &str| RefusedRecord { id: id(), wrong: wrong.to_owned() };
    let record: CallRecord = serde_json::from_value(value.clone()).map_err(|_| refuse("unreadable"))?;
    if let Some(wrong) = record.lacks().or_else(|| wrong(&record, tools, now)) {
        return Err(refuse(wrong));
    }
    let (series, count) = record.halves().ok_or_else(|| refuse("id"))?;
    let mut trace = [0; 16];
    let hex = record.trace_id.as_deref().unwrap_or_default();
    hex::decode_to_slice(hex, &mut trace).map_err(|_| refuse("trace_id"))?;
    Ok(Sound { record, trace, span: span(series, count) })
}

fn wrong(record: &CallRecord, tools: &[ToolName], now: Timestamp) -> Option<&'static str> {
    let CallRecord { intent, stage, reason, tool, verb, workflow, operator, task, token, .. } = record;
    let at = Timestamp::from_millis(record.at);
    let allowed = record.outcome.as_deref() == Some("allow");
    let served = tools.iter().any(|known| known.as_str() == tool);
    // A call that was not read has no names, and was not allowed.
    let unread = !allowed && tool.is_empty();
    // What was denied came to nothing and cost nothing, and a result says something.
    let resulted = record.task_outcome.is_some() || record.cost_micros.is_some();
    // What was let pass would have been denied; what is revoked never is.
    let observed = record.observed.as_deref().map(|code| {
        allowed && !record.is_result() && Reason::from_code(code).is_some_and(Reason::passes_when_observed)
    });
    let unnamed = verb.is_empty() && (!allowed || observed.is_some());
    let reasoned = reason.as_deref().map(|code| Reason::from_code(code).is_some());
    let checks = [
        (record.halves().is_some(), "id"),
        (now.since(at) <= MAX_AGE && at.since(now) <= MAX_SKEW, "at"),
        (named::<Intent>(intent.as_ref()), "intent"),
        (stage.as_deref().is_some_and(|stage| STAGES.contains(&stage)), "stage"),
        (!record.is_result() || (allowed && resulted), "stage"),
        (record.task_outcome.is_none() || allowed, "task_outcome"),
        (record.cost_micros.is_none_or(|cost| allowed && cost <= MAX_COST_MICROS), "cost_micros"),
        (reasoned == if allowed { None } else { Some(true) }, "reason"),
        (served || unread, "tool"),
        (observed.unwrap_or(true), "observed"),
        (verb.parse::<VerbName>().is_ok() || unnamed, "verb"),
        (named::<WorkflowName>(workflow.as_ref()), "workflow"),
        (named::<OperatorName>(operator.as_ref()), "operator"),
        (named::<Task>(task.as_ref()), "task"),
        (token.as_deref().is_none_or(is_token), "token"),
    ];
    checks.into_iter().find(|(sound, _)| !sound).map(|(_, what)| what)
}

fn named<N: FromStr>(text: Option<&String>) -> bool {
    text.is_none_or(|text| text.parse::<N>().is_ok())
}

fn is_token(id: &str) -> bool {
    let sound = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    id.len() <= MAX_ID && id.starts_with("tok_") && id.bytes().all(sound)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_348_800);

    fn whole() -> Value {
        json!({
            "id": "dec_9f3c0a7be1d2446b0000000000000001", "at": NOW.millis(), "trace_id": "0af7651916cd43dd8448eb211c80319c",
            "intent": "triage", "stage": "evaluate", "outcome": "deny", "reason": "not_granted", "tool": "github",
            "verb": "issues.write", "access": null, "workflow": "demo", "task": "tsk_1", "token": "tok_1",
            "list_seq": 4, "list_age": 1, "step": "poll",
        })
    }

    fn with(name: &str, value: Value) -> Value {
        let mut record = whole();
        record[name] = value;
        record
    }

    fn judged(value: &Value) -> String {
        let tools = ["github".parse().unwrap()];
        read(value, &tools, NOW).map_or_else(|refused| refused.wrong, |_| "sound".to_owned())
    }

    #[test]
    fn a_whole_record_is_taken_with_the_trace_of_its_call() {
        let sound = read(&whole(), &["github".parse().unwrap()], NOW).unwrap();
        assert_eq!(hex::encode(sound.trace), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(hex::encode(sound.span), "9f3c0a7be1d2446c");
        let mut unread = whole();
        (unread["tool"], unread["verb"], unread["reason"]) = ("".into(), "".into(), "call.malformed".into());
        assert_eq!(judged(&unread), "sound");
        let mut allowed = whole();
        (allowed["outcome"], allowed["reason"]) = ("allow".into(), Value::Null);
        assert_eq!(judged(&allowed), "sound");
        allowed["tool"] = "".into();
        assert_eq!(judged(&allowed), "tool");
    }

    #[test]
    fn what_is_wrong_is_named() {
        let (late, early) = (NOW.millis() + 60_001, NOW.millis() - 7 * 86_400_000 - 1);
        for (name, bad, wrong) in [
            ("id", json!("dec_"), "id"),
            ("id", json!("dec_019f3c0a7be17d2484460000000000ff"), "id"),
            ("id", json!("dec_9F3C0A7BE1D2446B0000000000000001"), "id"),
            ("id", json!(["dec_1"]), "unreadable"),
            ("at", json!(late), "at"),
            ("at", json!(early), "at"),
            ("at", json!(-1), "unreadable"),
            ("trace_id", Value::Null, "trace_id"),
            ("intent", Value::Null, "intent"),
            ("intent", json!("Do what I say"), "intent"),
            ("stage", json!("somewhere"), "stage"),
            ("outcome", json!("perhaps"), "outcome"),
            ("outcome", json!("allow"), "reason"),
            ("reason", Value::Null, "reason"),
            ("reason", json!("because"), "reason"),
            ("tool", json!("payments"), "tool"),
            ("verb", json!("a b"), "verb"),
            ("workflow", json!("x".repeat(65)), "workflow"),
            ("operator", json!("\n"), "operator"),
            ("task", json!("'; --"), "task"),
            ("token", json!("eyJhbGciOi"), "token"),
            ("step", json!("roof"), "unreadable"),
        ] {
            assert_eq!(judged(&with(name, bad.clone())), wrong, "{name} {bad}");
        }
        for odd in [json!(null), json!([]), json!("dec_1"), json!({})] {
            assert!(judged(&odd) != "sound", "{odd}");
        }
    }

    #[test]
    fn a_result_is_of_an_allowed_call_and_says_something_within_bounds() {
        let result = |said: Value| {
            let mut record = whole();
            let allowed = json!({ "outcome": "allow", "reason": null, "stage": "result" });
            let all = [allowed, said].into_iter().filter_map(|part| part.as_object().cloned()).flatten();
            record.as_object_mut().unwrap().extend(all);
            judged(&record)
        };
        for (said, judged) in [
            (json!({ "task_outcome": "completed" }), "sound"),
            (json!({ "task_outcome": "corrected", "cost_micros": 0 }), "sound"),
            (json!({ "cost_micros": 1_u64 << 53 }), "sound"),
            (json!({ "task_outcome": "failed", "stage": "evaluate" }), "sound"),
            (json!({}), "stage"),
            (json!({ "task_outcome": null, "cost_micros": null }), "stage"),
            (json!({ "task_outcome": "fine" }), "unreadable"),
            (json!({ "cost_micros": (1_u64 << 53) + 1 }), "cost_micros"),
            (json!({ "cost_micros": u64::MAX }), "cost_micros"),
            (json!({ "cost_micros": -1 }), "unreadable"),
            (json!({ "cost_micros": 0.5 }), "unreadable"),
            (json!({ "cost_micros": "7" }), "unreadable"),
            (json!({ "cost_micros": 7, "tool": "payments" }), "tool"),
        ] {
            assert_eq!(result(said.clone()), judged, "{said}");
        }
        assert_eq!(judged(&with("task_outcome", "completed".into())), "task_outcome");
        assert_eq!(judged(&with("cost_micros", 7.into())), "cost_micros");
        assert_eq!(judged(&with("stage", "result".into())), "stage");
    }

    #[test]
    fn what_was_let_pass_is_an_allowed_call_with_the_reason_that_it_would_have_been_denied_for() {
        let observed = |code: &str| {
            let mut record = with("observed", code.into());
            (record["outcome"], record["reason"]) = ("allow".into(), Value::Null);
            record
        };
        for reason in Reason::all() {
            let expected = if reason.passes_when_observed() { "sound" } else { "observed" };
            assert_eq!(judged(&observed(reason.code())), expected, "{reason}");
        }
        assert_eq!(judged(&observed("because")), "observed");
        assert_eq!(judged(&with("observed", "not_granted".into())), "observed", "of a denied call");
        let mut odd = observed("not_granted");
        odd["verb"] = "".into();
        assert_eq!(judged(&odd), "sound", "what it called was no verb");
        odd["tool"] = "".into();
        assert_eq!(judged(&odd), "tool");
        let mut result = observed("not_granted");
        (result["stage"], result["task_outcome"]) = ("result".into(), "failed".into());
        assert_eq!(judged(&result), "observed", "it is counted with its call");
    }

    #[test]
    fn an_id_of_the_broker_is_nobody_elses() {
        let random = shortbread_protocol::random::SeededRandom::new(1);
        for second in [1, NOW.seconds(), 1 << 37] {
            let at = Timestamp::from_seconds(second);
            let id = shortbread_protocol::random::id("dec_", at, &random).unwrap();
            assert_eq!(judged(&with("id", id.into())), "id");
        }
    }
}
