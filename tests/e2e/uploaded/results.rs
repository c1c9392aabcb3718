//! What became of a call is said once it is known, stands beside the call in its trace, and is no call.

use shortbread_protocol::verifiers::{MAX_COST_MICROS, TaskOutcome};
use shortbread_verifier::report::{ResultError, TaskResult};

use super::*;

const CALL: Call<'static> = Call { tool: "github", verb: "issues.read", args: None };

fn result(service: &Service, outcome: Option<TaskOutcome>, cost_micros: Option<u64>) -> TaskResult {
    TaskResult { at: service.clock.now(), outcome, cost_micros }
}

#[tokio::test]
async fn what_became_of_a_task_stands_in_its_trace_beside_its_call() {
    let world = world().await;
    let tmp = tempfile::tempdir().unwrap();
    let asked = [("scope", "github:issues.read"), ("task", "nightly")];
    let token = world.exchange("workflow:demo", "demo", &asked).await.token().to_owned();
    let decision = {
        let service = Service::of(&world, Backpressure::Required, Some(tmp.path()), 1 << 20);
        service.follow(&world).await;
        let decision = service.check(Some(&token));
        world.clock.advance(Duration::from_secs(3600));
        let said = result(&service, Some(TaskOutcome::Completed), Some(1_250_000));
        service.recorder.result(&decision, &CALL, &said).unwrap();
        // An evaluation that is run twice says it twice.
        service.recorder.result(&decision, &CALL, &said).unwrap();
        service
            .recorder
            .result(&decision, &CALL, &result(&service, Some(TaskOutcome::Corrected), None))
            .unwrap();
        decision
    };
    // They were on disk when the process ended.
    let service = Service::of(&world, Backpressure::Required, Some(tmp.path()), 1 << 20);
    let reporting = service.report(&world.issuer);
    service.uploaded().await;
    reporting.stop().await;
    let entries = world.broker.store.audit_by_trace(decision.trace).await.unwrap();
    let events: Vec<Value> =
        entries.iter().map(|entry| serde_json::from_slice(&entry.body).unwrap()).collect();
    let [call, completed, corrected] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        (&call["id"], &call["data"]["stage"]),
        (&json!(decision.id.unwrap().to_string()), &json!("evaluate"))
    );
    assert!(call["data"].get("task_outcome").is_none() && call["data"].get("cost_micros").is_none());
    for (event, outcome, cost) in
        [(completed, "completed", json!(1_250_000)), (corrected, "corrected", Value::Null)]
    {
        let data = &event["data"];
        assert_eq!((&data["stage"], &data["task_outcome"]), (&json!("result"), &json!(outcome)), "{event}");
        assert_eq!((&data["outcome"], &data["cost_micros"]), (&json!("allow"), &cost), "{event}");
        for name in ["workflow", "task", "intent", "tool", "verb", "access", "token", "segment"] {
            assert_eq!(data[name], call["data"][name], "{name}");
        }
        assert!(event["id"] != call["id"] && event["time"] != call["time"]);
    }
    assert_eq!(service.recorder.status().refused, BTreeMap::new());
}

#[tokio::test]
async fn what_was_no_call_or_cannot_be_so_is_not_recorded() {
    let world = world().await;
    let service = Service::of(&world, Backpressure::BestEffort, None, 0);
    service.follow(&world).await;
    let token = world.demo("github:issues.read").await.token().to_owned();
    let (allowed, denied) = (service.check(Some(&token)), service.check(None));
    let said = |outcome, cost| result(&service, outcome, cost);
    let full = said(Some(TaskOutcome::Failed), Some(MAX_COST_MICROS));
    for (decision, result, error) in [
        (&denied, full, ResultError::NoCall),
        (&Decision { id: None, ..allowed.clone() }, full, ResultError::NoCall),
        (&allowed, said(None, None), ResultError::Empty),
        (&allowed, said(None, Some(MAX_COST_MICROS + 1)), ResultError::Cost(MAX_COST_MICROS + 1)),
    ] {
        assert_eq!(service.recorder.result(decision, &CALL, &result), Err(error));
    }
    // A flood finds no more room than calls do, and says so.
    let kept = (0..3000).filter(|_| service.recorder.result(&allowed, &CALL, &full).is_ok()).count() as u64;
    let status = service.recorder.status();
    assert_eq!((kept + 2, status.lost), (status.waiting, 3000 - kept));
    let reporting = service.report(&world.issuer);
    service.uploaded().await;
    reporting.stop().await;
    let results =
        recorded(&world).await.into_values().flatten().filter(|event| event["data"]["stage"] == "result");
    assert_eq!(results.count(), 1, "said a thousand times, recorded once");
}
