//! A risky call waits for a person, who sees exactly what will run and decides once; who asked gets exactly that, once.

mod anew;
mod clock;
mod once;
mod random;
mod served;
mod votes;

use std::time::Duration;

use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::oauth::DEFERRED;
use shortbread_tests::{Answer, Desk, refund};

/// That a request waits.
pub(crate) fn waits(answer: &Answer) {
    assert_eq!(answer.refusal(), (400, "authorization_pending", "approval.pending"), "{answer:?}");
}

/// Lets the interval between two attempts pass.
pub(crate) fn pause(desk: &Desk) {
    desk.world.clock.advance(Duration::from_secs(61));
}

#[tokio::test]
async fn a_refund_waits_is_approved_and_fetched_once() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(4200, "ch_1")).await;
    waits(&asked);
    assert_eq!(asked.header("cache-control"), "no-store");
    assert!(asked.text("/deferral_code").len() >= 40 && asked.text("/deferral_code").starts_with("dfr_"));
    assert_eq!((&asked.body["expires_in"], &asked.body["interval"]), (&json!(900), &json!(5)));
    assert_eq!(asked.body["shortbread"]["sla_seconds"], 300);
    assert_eq!(asked.text("/shortbread/approvers"), "oncall");
    waits(&desk.fetch(&asked).await);
    let shown = desk.show("bob", &asked).await;
    assert_eq!(shown.body["shown"]["calls"][0]["args"], json!({ "amount": 4200, "charge": "ch_1" }));
    assert_eq!(shown.body["approval"]["votes"], "0/1");
    let done = desk.approve("bob", &asked).await;
    assert_eq!((done.status, done.text("/approval/state")), (200, "approved"), "{done:?}");
    pause(&desk);
    let token = desk.fetch(&asked).await;
    assert_eq!(token.status, 200, "{token:?}");
    let calls = token.body["shortbread"]["calls"].as_array().unwrap();
    assert_eq!((calls.len(), &calls[0]["operation"]), (1, &json!("payments/refunds.create")));
    assert_eq!(token.text("/shortbread/approval_id"), asked.text("/shortbread/approval_id"));
    let again = desk.fetch(&asked).await;
    assert_eq!(again.refusal(), (400, "invalid_grant", "approval.unknown_code"));
    assert_eq!(desk.show("bob", &asked).await.text("/approval/state"), "redeemed");
    let kinds: Vec<String> = desk.log().await.into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, ["approval.requested", "approval.decided"]);
}

#[tokio::test]
async fn without_saying_that_it_waits_a_client_is_told_how() {
    let desk = Desk::start().await;
    let assertion = desk.world.assertion("workflow:desk", "demo");
    let proof = desk.proof(&Desk::key("desk"), "/oauth/token");
    let answer =
        desk.world.present_with(&assertion, &[("scope", "payments:refunds.create")], &[&proof]).await;
    assert_eq!(answer.refusal(), (400, "access_denied", "approval.required"));
    assert!(desk.log().await.is_empty());
}

#[tokio::test]
async fn a_request_that_waits_is_bound_to_a_key() {
    let desk = Desk::start().await;
    let assertion = desk.world.assertion("workflow:desk", "demo");
    let form = [("scope", "payments:refunds.create"), ("completion_mode", "deferred")];
    let answer = desk.world.present(&assertion, &form).await;
    assert_eq!(answer.refusal(), (400, "invalid_dpop_proof", "proof.required"));
}

#[tokio::test]
async fn no_other_key_and_no_other_client_fetches_the_answer() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(100, "ch_1")).await;
    assert_eq!(desk.approve("bob", &asked).await.status, 200);
    let code = asked.text("/deferral_code");
    let unknown = (400, "invalid_grant", "approval.unknown_code");
    assert_eq!(desk.fetch_by("desk", "thief", code, None).await.refusal(), unknown);
    assert_eq!(desk.fetch_by("other", "desk", code, None).await.refusal(), unknown);
    assert_eq!(desk.fetch_by("desk", "desk", "dfr_AAAA", None).await.refusal(), unknown);
    let proof = desk.proof(&Desk::key("desk"), "/oauth/token");
    let bare = [("grant_type", DEFERRED), ("deferral_code", code)];
    let unauthenticated = desk.world.form_with("/oauth/token", &bare, &[&proof]).await;
    assert_eq!(unauthenticated.refusal(), (400, "invalid_request", "request.malformed"));
    let more = [&bare[..], &[("scope", "github:issues.read")]].concat();
    let proof = desk.proof(&Desk::key("desk"), "/oauth/token");
    assert!(
        desk.world
            .form_with("/oauth/token", &more, &[&proof])
            .await
            .text("/error_description")
            .contains("scope")
    );
    assert_eq!(desk.fetch(&asked).await.status, 200, "none of that spent it");
}

#[tokio::test]
async fn of_two_redemptions_at_once_one_wins() {
    for _ in 0..8 {
        let desk = Desk::start().await;
        let asked = desk.ask(&refund(100, "ch_1")).await;
        assert_eq!(desk.approve("bob", &asked).await.status, 200);
        let code = asked.text("/deferral_code");
        let fetch = || desk.fetch_by("desk", "desk", code, Some(2));
        let (one, two, three) = tokio::join!(fetch(), fetch(), fetch());
        let granted = [one, two, three].iter().filter(|answer| answer.status == 200).count();
        assert_eq!(granted, 1);
        assert_eq!(
            desk.world.broker.store.counts().await.unwrap().tokens,
            1 + 2,
            "and those of the operator"
        );
    }
}

#[tokio::test]
async fn equal_requests_are_one_and_a_workflow_has_so_many() {
    let config = "[limits]\nexchanges_per_second = 100000\nfailures_per_minute = 100000\nadmin_per_second = 100000\npending_approvals = 3\n";
    let desk = Desk { world: Desk::builder(|text| text).config(config).start().await };
    let first = desk.ask(&refund(1, "ch_1")).await;
    let same = desk.ask(&refund(1, "ch_1")).await;
    assert_eq!(first.text("/deferral_code"), same.text("/deferral_code"));
    for n in 2..=3 {
        waits(&desk.ask(&refund(n, "ch_1")).await);
    }
    let full = desk.ask(&refund(4, "ch_1")).await;
    assert_eq!(full.refusal(), (429, "slow_down", "approval.too_many"));
    waits(&desk.ask(&refund(1, "ch_1")).await);
    let details = refund(1, "ch_1").to_string();
    let others = desk.ask_as("desk", "another", &[("authorization_details", &details)]).await;
    assert_eq!(others.reason(), "approval.too_many", "another key is another request");
    waits(&desk.ask_as("other", "desk", &[("authorization_details", &details)]).await);
    assert_eq!(desk.deny("bob", &first, "no").await.status, 200);
    waits(&desk.ask(&refund(4, "ch_1")).await);
}

#[tokio::test]
async fn who_asks_too_often_is_slowed_down_and_who_waits_is_answered_at_once() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(1, "ch_1")).await;
    let code = asked.text("/deferral_code").to_owned();
    waits(&desk.fetch(&asked).await);
    let soon = desk.fetch(&asked).await;
    assert_eq!(soon.refusal(), (400, "slow_down", "approval.poll_too_soon"));
    assert_eq!(soon.body["interval"], 10);
    desk.world.clock.advance(Duration::from_secs(10));
    let long = desk.fetch_by("desk", "desk", &code, Some(600));
    let vote = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        desk.approve("bob", &asked).await
    };
    let watch = SystemClock::start();
    let (answer, vote) = tokio::join!(long, vote);
    assert_eq!((answer.status, vote.status), (200, 200), "{answer:?}");
    assert_eq!(answer.header("preference-applied"), "wait=55");
    assert!(watch.monotonic() < Duration::from_secs(20));
}

#[tokio::test]
async fn a_client_that_waits_takes_no_place_from_others() {
    let config = "[limits]\nexchanges_per_second = 100000\nfailures_per_minute = 100000\nadmin_per_second = 100000\nin_flight = 1\n";
    let desk = Desk { world: Desk::builder(|text| text).config(config).start().await };
    let asked = desk.ask(&refund(1, "ch_1")).await;
    let code = asked.text("/deferral_code").to_owned();
    let others = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        let assertion = desk.world.assertion("workflow:desk", "demo");
        desk.world.present(&assertion, &[("scope", "payments:refunds.read")]).await
    };
    let (long, other) = tokio::join!(desk.fetch_by("desk", "desk", &code, Some(1)), others);
    waits(&long);
    assert_eq!(other.status, 200, "{other:?}");
}

#[tokio::test]
async fn denied_expired_and_cancelled_are_different_answers() {
    let desk = Desk::start().await;
    let asked = [1, 2, 3].map(|n| refund(n, "ch_1"));
    let (denied, cancelled) = (desk.ask(&asked[0]).await, desk.ask(&asked[1]).await);
    assert_eq!(desk.deny("bob", &denied, "not our customer").await.text("/approval/state"), "denied");
    assert_eq!(desk.cancel(&cancelled).await.status, 200);
    assert_eq!(desk.cancel(&cancelled).await.refusal().1, "invalid_grant");
    let expired = desk.ask(&asked[2]).await;
    desk.world.clock.advance(Duration::from_secs(900));
    let denied = desk.fetch(&denied).await;
    assert_eq!(denied.refusal(), (400, "access_denied", "approval.denied"));
    assert!(denied.text("/error_description").contains("not our customer"));
    assert_eq!(desk.fetch(&cancelled).await.refusal(), (400, "access_denied", "approval.cancelled"));
    assert_eq!(desk.fetch(&expired).await.refusal(), (400, "expired_token", "approval.expired"));
    shortbread_broker::approvals::tend(&desk.world.broker).await.unwrap();
    let log = desk.log().await;
    let outcome = |kind: &str| {
        let entry = log.iter().find(|(name, _)| name == kind);
        entry.map(|(_, data)| data["outcome"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(outcome("approval.decided").as_deref(), Some("denied"));
    assert_eq!(outcome("approval.cancelled").as_deref(), Some("cancelled"));
    assert_eq!(outcome("approval.expired").as_deref(), Some("expired"));
}

#[tokio::test]
async fn a_lost_answer_is_had_again_under_its_idempotency_key() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(100, "ch_1")).await;
    assert_eq!(desk.approve("bob", &asked).await.status, 200);
    let code = asked.text("/deferral_code");
    let first = desk.fetch_under("desk", code, "k1").await;
    let again = desk.fetch_under("desk", code, "k1").await;
    assert_eq!((first.status, first.token()), (200, again.token()), "{again:?}");
    assert_eq!(first.bytes, again.bytes);
    let unknown = (400, "invalid_grant", "approval.unknown_code");
    for (key, under) in [("desk", "k2"), ("thief", "k1")] {
        pause(&desk);
        assert_eq!(desk.fetch_under(key, code, under).await.refusal(), unknown);
    }
    assert_eq!(desk.fetch_under("desk", code, "k1").await.refusal(), unknown, "a minute is over");
}

#[tokio::test]
async fn a_broker_that_stops_keeps_no_client_waiting() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(100, "ch_1")).await;
    let code = asked.text("/deferral_code").to_owned();
    let client = Desk { world: desk.world };
    let begun = SystemClock::start();
    let request = client.fetch_request("desk", "desk", &code, Some(55), None);
    let waiting = tokio::spawn(async move { request.send().await.map(|answer| answer.status().as_u16()) });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let desk = Desk { world: client.world.restart().await };
    assert_eq!(waiting.await.unwrap().unwrap(), 400);
    assert!(begun.monotonic() < Duration::from_secs(20));
    pause(&desk);
    waits(&desk.fetch(&asked).await);
}

#[tokio::test]
async fn all_that_became_of_an_approval_is_found_by_its_id() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(100, "ch_1")).await;
    waits(&desk.ask(&refund(100, "ch_1")).await);
    assert_eq!(desk.approve("bob", &asked).await.status, 200);
    assert_eq!(desk.fetch(&asked).await.status, 200);
    let path = format!("/api/v1/audit/{}", asked.text("/shortbread/approval_id"));
    let found = desk.call_with(("alice", "alice"), ("GET", &path), "audit.read", None).await;
    let kinds: Vec<&str> = found.body["entries"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|e| e["event"]["type"].as_str())
        .collect();
    let of = |kind: &str| format!("dev.shortbread.{kind}.v1");
    assert_eq!(
        kinds,
        [of("approval.requested"), of("approval.requested"), of("approval.decided"), of("token.minted")]
    );
    assert_eq!(found.body["entries"][1]["event"]["data"]["repeated"], true);
}

#[tokio::test]
async fn a_plan_is_one_decision_and_each_call_is_a_token_of_its_own() {
    let desk = Desk::start().await;
    let call =
        |n: i64| json!({ "verb": "refunds.create", "args": { "amount": n, "charge": format!("ch_{n}") } });
    let plan =
        json!([{ "type": "shortbread_tool_call", "tool": "payments", "calls": [call(1), call(2), call(3)] }]);
    let asked = desk.ask(&plan).await;
    let done = desk.approve_with("bob", &asked, json!({ "narrow": { "drop_calls": [1] } })).await;
    assert_eq!(done.status, 200, "{done:?}");
    let answer = desk.fetch(&asked).await;
    let calls = answer.body["shortbread"]["calls"].as_array().unwrap().clone();
    let places: Vec<&Value> = calls.iter().map(|call| &call["place"]).collect();
    assert_eq!(places, [0, 2]);
    assert_ne!(calls[0]["token_id"], calls[1]["token_id"]);
    assert_eq!(answer.token(), calls[0]["access_token"]);
    let outside =
        json!([{ "type": "shortbread_tool_call", "tool": "payments", "calls": [call(1), call(10_001)] }]);
    let refused = desk.ask(&outside).await;
    assert_eq!(refused.refusal(), (400, "access_denied", "policy.constraint"), "{refused:?}");
}

#[tokio::test]
async fn an_exact_call_that_needs_no_approval_is_good_once_too() {
    let desk = Desk::changed(|text| {
        text.replace("access = [\"write\"], approvers", "verbs = [\"issues.read\"], approvers")
    })
    .await;
    let details = json!([{
        "type": "shortbread_tool_call", "tool": "github",
        "call": { "verb": "issues.write", "args": { "repo": "acme/web", "title": "t", "body": "b" } },
    }]);
    let answer = desk.ask(&details).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["shortbread"]["calls"].as_array().unwrap().len(), 1);
    assert!(answer.body["shortbread"].get("approval_id").is_none());
    assert_eq!(answer.body["authorization_details"][0]["delegation"], "none");
}

#[tokio::test]
async fn what_an_approver_is_sent_to_says_how_to_look_and_nothing_else() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(1, "ch_secret")).await;
    let uri = asked.text("/shortbread/status_uri").to_owned();
    let path = uri.strip_prefix(&desk.world.issuer).unwrap();
    let page = desk.world.get(path).await;
    let text = String::from_utf8(page.bytes.clone()).unwrap();
    assert!(
        page.status == 200 && text.contains("shortbread approvals show apr_") && !text.contains("ch_secret")
    );
    assert_eq!(desk.world.get("/a/apr_%3Cscript%3E").await.status, 404);
    assert_eq!(desk.world.get("/a/nothing").await.status, 404);
}
