//! What a page was made of holds until its button is pressed, and whoever is taken out is out.

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_broker::store::AuditEntry;
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::keys::PrivateKey;
use shortbread_tests::{Answer, DESK, Desk};

use super::plain::{Plain, text};

const ACTIVATE: &str = "/api/v1/policy/activate";

async fn admin(desk: &Desk, verb: &str, path: &str, body: Value) -> Answer {
    desk.call_with(("alice", "alice"), ("POST", path), verb, Some(&body)).await
}

/// The policy of the desk, changed in a way that takes no second operator.
fn longer(sla: &str) -> String {
    DESK.replacen("sla = \"5m\"", &format!("sla = \"{sla}\""), 1)
}

#[tokio::test]
async fn a_key_that_leaves_the_policy_takes_its_sessions_along() {
    let desk = Desk::start().await;
    let (alice, bob) = (Plain::sign_in(&desk.world, "alice").await, Plain::sign_in(&desk.world, "bob").await);
    let link = desk.world.console_link("alice").await;
    assert_eq!(alice.get(&desk.world, "/console/switch").await.status, 200);
    let new = PrivateKey::from_seed(&[77; 32]).public().to_pem();
    std::fs::write(desk.world.path("keys/new.pub.pem"), new).unwrap();
    desk.activate(|text| text.replace("keys/operator.pub.pem", "keys/new.pub.pem")).await;
    let out = alice.get(&desk.world, "/console/switch").await;
    assert!(out.status == 401 && text(&out).contains("console.signed_out"), "{out:?}");
    let late = super::plain::press(&desk.world, &link).await;
    assert_eq!(late.status, 401, "a link that is open is out too: {late:?}");
    assert_eq!(bob.get(&desk.world, "/console/approvals").await.status, 200, "bob's key is as it was");
}

#[tokio::test]
async fn a_stop_of_what_was_issued_so_far_ends_sessions_and_a_stop_until_lifted_leaves_the_switch() {
    let desk = Desk::start().await;
    let alice = Plain::sign_in(&desk.world, "alice").await;
    desk.world.clock.advance(Duration::from_secs(2));
    let everything = json!({ "all": true, "reason": "a drill" });
    admin(&desk, "revocations.revoke", "/api/v1/revocations", everything).await;
    assert_eq!(alice.get(&desk.world, "/console/switch").await.status, 200);
    assert_eq!(alice.get(&desk.world, "/console/activity").await.status, 403);
    let so_far = json!({ "all": true, "issued_so_far": true, "reason": "keys leaked" });
    admin(&desk, "revocations.lift", "/api/v1/revocations/lift", json!({ "all": true, "reason": "over" }))
        .await;
    admin(&desk, "revocations.revoke", "/api/v1/revocations", so_far).await;
    assert_eq!(alice.get(&desk.world, "/console/switch").await.status, 401);
    desk.world.clock.advance(Duration::from_secs(1));
    let again = Plain::sign_in(&desk.world, "alice").await;
    assert_eq!(again.get(&desk.world, "/console/switch").await.status, 200, "she signs in anew");
}

#[tokio::test]
async fn a_trial_that_is_over_is_not_taken_for_a_rollback() {
    let desk = Desk::start().await;
    let (world, policy) = (&desk.world, &desk.world.broker.policy);
    desk.activate(|_| longer("6m")).await;
    std::fs::write(world.path("policy.toml"), longer("7m")).unwrap();
    let tried = admin(&desk, "policy.activate", ACTIVATE, json!({ "workflows": ["desk"] })).await;
    assert_eq!((tried.status, policy.version()), (200, 2), "{tried:?}");
    let alice = Plain::sign_in(world, "alice").await;
    let mut fields = Vec::new();
    for name in ["form_token", "in_force", "trial", "since"] {
        fields.push((name, alice.field(world, "/console/policy", name).await));
    }
    fields.push(("confirm", "roll back".to_owned()));
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let ended = admin(&desk, "policy.rollback", "/api/v1/policy/rollback", json!({})).await;
    assert!(ended.status == 200 && policy.on_trial().is_none(), "{ended:?}");
    let late = alice.post(world, "/console/policy/rollback", &fields).await;
    assert_eq!((late.status, policy.version()), (409, 2), "{late:?}");
    // While it is open it does what it says.
    admin(&desk, "policy.activate", ACTIVATE, json!({ "workflows": ["desk"] })).await;
    let since = alice.field(world, "/console/policy", "since").await;
    let fields =
        fields.into_iter().map(|(name, value)| (name, if name == "since" { since.as_str() } else { value }));
    let fields: Vec<_> = fields.collect();
    let done = alice.post(world, "/console/policy/rollback", &fields).await;
    assert!(done.status == 303 && policy.on_trial().is_none() && policy.version() == 2, "{done:?}");
}

#[tokio::test]
async fn a_version_is_put_in_force_against_the_one_that_it_was_compared_with() {
    let desk = Desk::start().await;
    let (world, policy) = (&desk.world, &desk.world.broker.policy);
    desk.activate(|_| longer("6m")).await;
    let alice = Plain::sign_in(world, "alice").await;
    let (page, path) = ("/console/policy/1", "/console/policy/1/activate");
    let token = alice.field(world, page, "form_token").await;
    let seen = alice.field(world, page, "against").await;
    desk.activate(|_| longer("7m")).await;
    let fields = |against: &'static str| {
        [("form_token", token.as_str()), ("against", against), ("confirm", "version 1")]
    };
    assert_eq!(seen, "2");
    for stale in ["2", "", "x"] {
        let late = alice.post(world, path, &fields(stale)).await;
        assert!([400, 409].contains(&late.status) && policy.version() == 3, "{stale}: {late:?}");
    }
    let done = alice.post(world, path, &fields("3")).await;
    assert_eq!((done.status, policy.version()), (303, 1), "{done:?}");
    let noted = text(&alice.get(world, "/console/policy?done=activated&version=1").await);
    let forged = text(&alice.get(world, "/console/policy?done=activated&version=3").await);
    assert!(noted.contains("Version 1 is in force.") && !forged.contains("Version 3 is in force."));
}

#[tokio::test]
async fn however_long_a_trace_is_what_was_asked_for_is_shown() {
    let desk = Desk::start().await;
    let entry = |n: u64| {
        let id = format!("dec_{n:032x}");
        let event = json!({
            "id": id, "type": "dev.shortbread.call.decision.v1", "time": desk.world.clock.now().to_string(),
            "subject": "workflow/desk", "traceparent": format!("00-{}-b7ad6b7169203331-01", "07".repeat(16)),
            "data": { "outcome": "allow", "tool": "payments", "verb": "refunds.read" },
        });
        let body = event.to_string().into_bytes();
        let (at, trace) = (desk.world.clock.now(), Some([7; 16]));
        AuditEntry { at, decision: id, trace, parent: None, about: None, body, input: None }
    };
    desk.world.broker.store.record_calls((0..1000).map(entry).collect(), |_| false).await.unwrap();
    let alice = Plain::sign_in(&desk.world, "alice").await;
    let asked = format!("dec_{:032x}", 500);
    let page = text(&alice.get(&desk.world, &format!("/console/activity/{asked}")).await);
    assert!(page.contains(&asked) && page.contains("aria-current=\"true\""), "{page}");
    assert!(page.contains("are not shown") && page.len() < 600_000, "{}", page.len());
    assert!(page.contains("data-live-every=\"0\""), "it is not looked at again and again");
}

#[tokio::test]
async fn a_query_that_is_not_understood_is_not_taken_for_another() {
    let desk = Desk::start().await;
    let alice = Plain::sign_in(&desk.world, "alice").await;
    for path in [
        "/console/activity?workflow=a&workflow=b",
        "/console/activity?before=x",
        "/console/approvals?state=closed&state=closed",
        "/console/approvals?state=lost",
        "/console/switch?kind=tool&kind=tool",
        "/console/switch/revoke?kind=tool&kind=tool&value=x",
        "/console/switch/lift?kind=tool&kind=tool&value=x",
    ] {
        let answer = alice.get(&desk.world, path).await;
        assert!(answer.status == 400 && text(&answer).contains("request.malformed"), "{path}: {answer:?}");
    }
}
