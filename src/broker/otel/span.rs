//! An entry of the audit log as a span: names as the semantic conventions have them, and names alone. No argument, claim,
//! token, identity or sentence of an entry goes to the collector.

use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_sdk::trace::SpanData;
use serde_json::Value;
use shortbread_protocol::event::{Event, EventType, read_parent, read_traceparent};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::RESULT_STAGE;

use crate::store::Logged;

/// What a call is to the conventions for generative AI.
const EXECUTE_TOOL: &str = "execute_tool";

/// What `error.type` says of a reason that is none of ours.
const OTHER: &str = "_OTHER";

/// Attributes, and where an entry has them: the first that is a text counts.
const TEXTS: [(&str, &[&str]); 10] = [
    ("shortbread.workflow", &["/segment/workflow", "/workflow"]),
    ("shortbread.intent", &["/segment/intent", "/intent"]),
    ("shortbread.task", &["/segment/task", "/task"]),
    ("shortbread.tool", &["/segment/tool", "/tool"]),
    ("shortbread.access", &["/segment/access", "/access"]),
    ("shortbread.release", &["/segment/release"]),
    ("shortbread.outcome", &["/outcome"]),
    ("shortbread.stage", &["/stage"]),
    ("shortbread.policy", &["/policy"]),
    ("shortbread.observed", &["/observed"]),
];

/// The span of a decision, by the ids that the decision has everywhere; None for an entry without them.
pub(super) fn span(logged: &Logged, scope: &InstrumentationScope) -> Option<SpanData> {
    let event: Event = serde_json::from_slice(&logged.body).ok()?;
    let (trace, flags) = read_traceparent(&event.traceparent)?;
    let own = SpanId::from_bytes(read_parent(&event.traceparent)?);
    let flags = TraceFlags::new(flags);
    let context = SpanContext::new(TraceId::from_bytes(trace), own, flags, false, TraceState::NONE);
    let start = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(logged.at.millis()))?;
    let spent = Duration::from_micros(event.data.get("latency_us").and_then(Value::as_u64).unwrap_or(0));
    let denied = text(&event.data, "/outcome") == Some("deny");
    Some(SpanData {
        span_context: context,
        parent_span_id: logged.parent.map_or(SpanId::INVALID, SpanId::from_bytes),
        parent_span_is_remote: logged.parent.is_some(),
        span_kind: kind(event.kind),
        name: name(&event).into(),
        start_time: start,
        end_time: start.checked_add(spent).unwrap_or(start),
        attributes: attributes(&event, denied),
        dropped_attributes_count: 0,
        events: opentelemetry_sdk::trace::SpanEvents::default(),
        links: opentelemetry_sdk::trace::SpanLinks::default(),
        status: if denied { Status::error("") } else { Status::Unset },
        instrumentation_scope: scope.clone(),
    })
}

// What somebody asked the broker for, or what happened by itself or elsewhere.
fn kind(kind: EventType) -> SpanKind {
    match kind {
        EventType::CallDecision | EventType::BreakerOpened | EventType::BreakerClosed => SpanKind::Internal,
        _ => SpanKind::Server,
    }
}

fn name(event: &Event) -> String {
    let introspected = text(&event.data, "/stage") == Some("introspect");
    match event.kind {
        EventType::TokenMinted | EventType::TokenRefused => "exchange".to_owned(),
        EventType::Decision if introspected => "introspect".to_owned(),
        EventType::Decision => "decide".to_owned(),
        EventType::RevocationSet => "revoke".to_owned(),
        EventType::RevocationLifted => "lift".to_owned(),
        EventType::CallDecision if is_result(event) => "result".to_owned(),
        EventType::CallDecision => match text(&event.data, "/verb") {
            Some(verb) => format!("{EXECUTE_TOOL} {verb}"),
            None => EXECUTE_TOOL.to_owned(),
        },
        // `dev.shortbread.policy.activated.v1` is `policy.activated`.
        other => {
            let known = serde_json::to_value(other).unwrap_or_default();
            let known = known.as_str().unwrap_or_default();
            let bare = known.strip_prefix("dev.shortbread.").unwrap_or(known);
            bare.rsplit_once(".v").map_or(bare, |(bare, _)| bare).to_owned()
        }
    }
}

/// What became of a call that was decided before: it is no call.
fn is_result(event: &Event) -> bool {
    text(&event.data, "/stage") == Some(RESULT_STAGE)
}

fn attributes(event: &Event, denied: bool) -> Vec<KeyValue> {
    let data = &event.data;
    let mut attributes = vec![KeyValue::new("shortbread.decision_id", event.id.clone())];
    for (name, places) in TEXTS {
        let found = places.iter().find_map(|place| text(data, place));
        attributes.extend(found.map(|found| KeyValue::new(name, found.to_owned())));
    }
    attributes.extend(verb(data).map(|verb| KeyValue::new("shortbread.verb", verb)));
    for (name, place) in [("shortbread.revocation_seq", "/revocation_seq"), ("shortbread.count", "/count")] {
        let number = data.pointer(place).and_then(Value::as_i64);
        attributes.extend(number.map(|number| KeyValue::new(name, number)));
    }
    let reason = text(data, "/reasons/0");
    attributes.extend(reason.map(|reason| KeyValue::new("shortbread.reason", reason.to_owned())));
    if denied {
        let known = reason.filter(|code| Reason::from_code(code).is_some()).unwrap_or(OTHER);
        attributes.push(KeyValue::new("error.type", known.to_owned()));
    }
    if event.kind == EventType::CallDecision && !is_result(event) {
        attributes.push(KeyValue::new("gen_ai.operation.name", EXECUTE_TOOL));
        let tool = text(data, "/verb").map(|verb| KeyValue::new("gen_ai.tool.name", verb.to_owned()));
        attributes.extend(tool);
    }
    attributes
}

/// The verb of a call, or the only one that was asked for, as `tool/verb`.
fn verb(data: &Value) -> Option<String> {
    if let (Some(tool), Some(verb)) = (text(data, "/tool"), text(data, "/verb")) {
        return Some(format!("{tool}/{verb}"));
    }
    match data.get("requested")? {
        Value::String(only) => Some(only.clone()),
        Value::Array(asked) if asked.len() == 1 => text(data, "/requested/0").map(str::to_owned),
        _ => None,
    }
}

fn text<'d>(data: &'d Value, place: &str) -> Option<&'d str> {
    data.pointer(place).and_then(Value::as_str).filter(|text| !text.is_empty())
}
