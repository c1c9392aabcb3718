//! Call decisions that verifiers upload: checked one by one, recorded once, each answered for.
//!
//! A verifier speaks for itself alone. What it sends stands in the audit log under its name; an id says which of its own
//! decisions is meant, and has a form that no decision of the broker has.

mod check;

use serde::Deserialize;
use serde_json::{Value, json};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::event::{Decision, Event, EventType, Segment};
use shortbread_protocol::names::Operation;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::{BatchAnswer, CallRecord, DECISIONS_TYPE, MAX_BATCH, Step};

use crate::broker::Broker;
use crate::exchange::{Context, Refusal};
use crate::policy::Policy;
use crate::store::AuditEntry;
use crate::telemetry;
use crate::tripwire::Refused;
use crate::verifiers::{Pace, Spoken, hear};
use check::Sound;

/// How long a batch waits for its turn.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);

/// A batch whose records are still to be read: one that is broken spoils no other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Unread {
    decisions: Vec<Value>,
}

/// Takes a batch. What the answer does not name as refused is in the audit log, and was put there once.
///
/// # Errors
/// When the message is refused as a whole, there are too many, or the store fails; nothing is recorded then.
pub async fn take(broker: &Broker, body: &[u8], context: &Context) -> Result<BatchAnswer, Refusal> {
    let sent: Spoken<Unread> = hear(broker, body, DECISIONS_TYPE, Pace::Batch, context)?;
    if sent.said.decisions.len() > MAX_BATCH {
        return Err(Refusal::new(Reason::RequestMalformed, "a batch has at most 64 decisions"));
    }
    let turn = tokio::time::timeout(PATIENCE, broker.uploads.acquire()).await;
    let Ok(Ok(_turn)) = turn else {
        return Err(Refusal::plain(Reason::Overloaded).after(PATIENCE));
    };
    let now = broker.clock.now();
    let (mut sound, mut answer) = (Vec::new(), BatchAnswer::default());
    for value in &sent.said.decisions {
        match check::read(value, &sent.tools, now) {
            Ok(record) => sound.push(record),
            Err(refused) => answer.refused.push(refused),
        }
    }
    let new = record(broker, &sent, &sound, now).await?;
    answer.recorded = new.iter().filter(|new| **new).count() as u64;
    answer.known = sound.len() as u64 - answer.recorded;
    let new: Vec<&CallRecord> =
        sound.iter().zip(&new).filter(|(_, new)| **new).map(|(sound, _)| &sound.record).collect();
    let policy = broker.policy.in_force();
    let refused = new.iter().filter_map(|record| refused(policy.as_ref()?, record));
    refused.for_each(|refused| broker.tripwires.note(&refused));
    broker.outcomes.note_calls(new.iter().copied(), now);
    telemetry::uploaded(sent.verifier.as_str(), &answer, &new);
    Ok(answer)
}

/// Records what is sound, in one transaction; for each whether it is new.
async fn record(
    broker: &Broker,
    sent: &Spoken<Unread>,
    sound: &[Sound],
    now: Timestamp,
) -> Result<Vec<bool>, Refusal> {
    if sound.is_empty() {
        return Ok(Vec::new());
    }
    let entries = sound.iter().map(|sound| entry(broker, sent, sound, now)).collect();
    let verifier = sent.verifier.to_string();
    Ok(broker.store.record_calls(entries, move |body| is_by(body, &verifier)).await?)
}

fn entry(broker: &Broker, sent: &Spoken<Unread>, sound: &Sound, now: Timestamp) -> AuditEntry {
    let Sound { record, trace, span } = sound;
    let at = Timestamp::from_millis(record.at);
    let decision = Decision { id: record.id.clone(), at, trace: *trace, span: *span, parent: None, flags: 1 };
    let subject = match (&record.workflow, &record.operator) {
        (Some(workflow), _) => format!("workflow/{workflow}"),
        (None, Some(operator)) => format!("operator/{operator}"),
        (None, None) => "unknown".to_owned(),
    };
    broker.scribe.entry(EventType::CallDecision, &decision, subject, data(sent, record, now))
}

fn data(sent: &Spoken<Unread>, record: &CallRecord, now: Timestamp) -> Value {
    let segment = Segment {
        workflow: record.workflow.clone().or_else(|| record.operator.clone()),
        intent: record.intent.as_ref().and_then(|intent| intent.parse().ok()),
        task: record.task.as_ref().and_then(|task| task.parse().ok()),
        tool: Some(record.tool.clone()).filter(|tool| !tool.is_empty()),
        access: record.access.map(|access| access.to_string()),
        release: None,
    };
    let named = |text: &String| Some(text.clone()).filter(|text| !text.is_empty());
    let mut data = json!({
        "outcome": record.outcome, "reasons": record.reason.iter().collect::<Vec<_>>(),
        "workflow": record.workflow, "operator": record.operator, "intent": record.intent, "task": record.task,
        "token": record.token, "tool": named(&record.tool), "verb": named(&record.verb), "access": record.access,
        "stage": record.stage, "revocation_seq": record.list_seq, "list_age": record.list_age,
        "degraded": Some(record.step).filter(|step| *step > Step::Poll), "segment": segment,
        "verifier": sent.verifier, "instance": &*sent.instance, "received": now.to_string(), "error_class": null,
    });
    // Few calls have these.
    let more = [
        ("observed", record.observed.as_deref().map(Value::from)),
        ("task_outcome", record.task_outcome.map(|outcome| Value::from(outcome.as_str()))),
        ("cost_micros", record.cost_micros.map(Value::from)),
    ];
    let more = more.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    if let Some(data) = data.as_object_mut() {
        data.extend(more);
    }
    data
}

/// What a denial says to the tripwires: of a believed workflow, in a task, about a verb of the catalogue.
fn refused(policy: &Policy, record: &CallRecord) -> Option<Refused> {
    let reason = Reason::from_code(record.reason.as_deref()?)?;
    let operation = Operation { tool: record.tool.parse().ok()?, verb: record.verb.parse().ok()? };
    Some(Refused {
        workflow: record.workflow.as_deref()?.parse().ok()?,
        task: record.task.as_deref()?.parse().ok()?,
        access: policy.catalogue().verb(&operation)?.access,
        tool: operation.tool,
        reason,
        decision: record.id.clone(),
        at: Timestamp::from_millis(record.at),
    })
}

/// Whether an entry is of a call that this verifier decided.
fn is_by(body: &[u8], verifier: &str) -> bool {
    serde_json::from_slice::<Event>(body).is_ok_and(|event| {
        event.kind == EventType::CallDecision
            && event.data.get("verifier").and_then(Value::as_str) == Some(verifier)
    })
}
