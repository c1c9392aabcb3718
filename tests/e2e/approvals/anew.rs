//! Whatever happens between a request and its answer is evaluated anew.

use std::time::Duration;

use serde_json::json;
use shortbread_tests::{Desk, refund};

use super::{pause, waits};

#[tokio::test]
async fn a_request_and_its_approval_survive_a_restart() {
    let desk = Desk::start().await;
    let (one, two) = (desk.ask(&refund(1, "ch_1")).await, desk.ask(&refund(2, "ch_1")).await);
    assert_eq!(desk.approve("bob", &one).await.status, 200);
    let desk = Desk { world: desk.world.restart().await };
    pause(&desk);
    assert_eq!(desk.fetch(&one).await.status, 200);
    waits(&desk.fetch(&two).await);
    assert_eq!(desk.approve("bob", &two).await.status, 200);
    pause(&desk);
    assert_eq!(desk.fetch(&two).await.status, 200);
}

#[tokio::test]
async fn a_policy_that_does_not_grant_it_any_more_refuses() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(5000, "ch_1")).await;
    assert_eq!(desk.approve("bob", &asked).await.status, 200);
    desk.activate(|text| text.replacen("max = 10000", "max = 4999", 1)).await;
    let refused = desk.fetch(&asked).await;
    assert_eq!((refused.status, refused.text("/error")), (400, "access_denied"), "{refused:?}");
    desk.activate(|text| text.replacen("max = 10000", "max = 9999", 1)).await;
    pause(&desk);
    assert_eq!(desk.fetch(&asked).await.status, 200, "what was approved lies inside of it again");
}

#[tokio::test]
async fn a_policy_that_grants_more_gives_no_more_than_was_shown() {
    let desk = Desk::start().await;
    let asked = desk.ask_scope("github:issues.write").await;
    assert_eq!(desk.approve("bob", &asked).await.status, 200);
    desk.activate(|text| {
        text.replace("[\"acme/web\", \"acme/docs\"]", "[\"acme/web\", \"acme/docs\", \"acme/secret\"]")
    })
    .await;
    let token = desk.fetch(&asked).await;
    let repo = &token.body["authorization_details"][0]["constraints"]["issues.write"]["repo"];
    assert_eq!(repo, &json!({ "in": ["acme/docs", "acme/web"] }), "{token:?}");
}

#[tokio::test]
async fn a_revocation_between_approval_and_fetch_holds_even_when_it_is_dated() {
    for body in [
        json!({ "selectors": [{ "kind": "workflow", "value": "desk" }], "issued_so_far": true, "reason": "t" }),
        json!({ "selectors": [{ "kind": "tool", "value": "payments" }], "reason": "t" }),
        json!({ "all": true, "issued_so_far": true, "reason": "t" }),
    ] {
        let desk = Desk::start().await;
        let asked = desk.ask(&refund(1, "ch_1")).await;
        assert_eq!(desk.approve("bob", &asked).await.status, 200);
        desk.world.clock.advance(Duration::from_secs(5));
        let path = ("POST", "/api/v1/revocations");
        let revoked = desk.call_with(("alice", "alice"), path, "revocations.revoke", Some(&body)).await;
        assert_eq!(revoked.status, 200, "{revoked:?}");
        pause(&desk);
        let refused = desk.fetch(&asked).await;
        assert!(refused.status == 400 && refused.reason().starts_with("revoked."), "{refused:?}");
    }
}

#[tokio::test]
async fn revoking_an_approval_reaches_what_waits_and_what_came_of_it() {
    let desk = Desk::start().await;
    let (waiting, fetched) = (desk.ask(&refund(1, "ch_1")).await, desk.ask(&refund(2, "ch_1")).await);
    for asked in [&waiting, &fetched] {
        assert_eq!(desk.approve("bob", asked).await.status, 200);
    }
    assert_eq!(desk.fetch(&fetched).await.status, 200);
    let of = |asked: &shortbread_tests::Answer| json!({ "kind": "approval", "value": asked.text("/shortbread/approval_id") });
    let body = json!({ "selectors": [of(&waiting), of(&fetched)], "reason": "t", "dry_run": true });
    let path = ("POST", "/api/v1/revocations");
    let dry = desk.call_with(("alice", "alice"), path, "revocations.revoke", Some(&body)).await;
    assert_eq!(dry.body["touched"]["tokens"], 1, "{dry:?}");
    let body = json!({ "selectors": [of(&waiting)], "reason": "t" });
    assert_eq!(desk.call_with(("alice", "alice"), path, "revocations.revoke", Some(&body)).await.status, 200);
    pause(&desk);
    assert_eq!(desk.fetch(&waiting).await.reason(), "revoked.approval");
}

#[tokio::test]
async fn a_removed_approver_no_longer_counts() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(1, "ch_1")).await;
    assert_eq!(desk.approve("bob", &asked).await.text("/approval/state"), "approved");
    desk.activate(|text| text.replace("members = [\"alice\", \"bob\"]", "members = [\"alice\", \"dave\"]"))
        .await;
    waits(&desk.fetch(&asked).await);
    let shown = desk.show("dave", &asked).await;
    assert_eq!(
        (shown.text("/approval/state"), &shown.body["votes"][0]["counts"]),
        ("pending", &json!(false))
    );
    assert_eq!(desk.approve("dave", &asked).await.text("/approval/state"), "approved");
    pause(&desk);
    assert_eq!(desk.fetch(&asked).await.status, 200);
}

#[tokio::test]
async fn a_token_bears_the_date_of_its_request() {
    let desk = Desk::start().await;
    let asked = desk.ask_scope("github:issues.write").await;
    let at = shortbread_protocol::clock::Clock::now(&*desk.world.clock).seconds();
    desk.world.clock.advance(Duration::from_secs(120));
    assert_eq!(desk.approve("bob", &asked).await.status, 200);
    let token = desk.fetch(&asked).await;
    let record = desk.world.broker.store.token(token.text("/shortbread/token_id")).await.unwrap().unwrap();
    assert_eq!((record.issued, record.expires), (at, at + 120 + 300));
}

#[tokio::test]
async fn the_vote_of_an_operator_who_was_revoked_since_does_not_count() {
    for by_token in [false, true] {
        let desk = Desk::start().await;
        let asked = desk.ask(&refund(1, "ch_1")).await;
        assert_eq!(desk.approve("bob", &asked).await.text("/approval/state"), "approved");
        let value = if by_token { Desk::key("bob").thumbprint().to_owned() } else { "bob".to_owned() };
        let kind = if by_token { "holder" } else { "operator" };
        let body = json!({ "selectors": [{ "kind": kind, "value": value }], "reason": "a stolen laptop" });
        let path = ("POST", "/api/v1/revocations");
        let revoked = desk.call_with(("alice", "alice"), path, "revocations.revoke", Some(&body)).await;
        assert_eq!(revoked.status, 200, "{revoked:?}");
        waits(&desk.fetch(&asked).await);
        desk.world.clock.advance(Duration::from_secs(300));
        assert_eq!(desk.approve("dave", &asked).await.text("/approval/state"), "approved");
        pause(&desk);
        assert_eq!(desk.fetch(&asked).await.status, 200);
    }
}

#[tokio::test]
async fn what_a_request_is_for_stays_where_it_was_shown() {
    let desk = Desk::start().await;
    let resources = [
        ("resource", "https://tools.acme.example/github"),
        ("resource", "https://tools.acme.example/payments"),
        ("scope", "github:issues.write payments:refunds.create"),
    ];
    let asked = desk.ask_as("desk", "desk", &resources).await;
    let narrow = json!({ "narrow": { "drop": ["payments/refunds.create"] } });
    let done = desk.approve_with("bob", &asked, narrow).await;
    assert_eq!(done.text("/approval/state"), "approved", "{done:?}");
    assert_eq!(done.body["shown"]["audiences"], json!({ "github": "https://tools.acme.example/github" }));
    desk.activate(|text| text.replace("https://tools.acme.example/github", "https://evil.example/github"))
        .await;
    assert_eq!(desk.fetch(&asked).await.refusal().1, "invalid_target");
    desk.activate(|text| text.replacen("max = 10000", "max = 9999", 1)).await;
    pause(&desk);
    assert_eq!(desk.fetch(&asked).await.body["scope"], "github:issues.write");
}

#[tokio::test]
async fn who_takes_requests_back_in_turn_has_no_more_of_them() {
    let config = "[limits]\nexchanges_per_second = 100000\nfailures_per_minute = 100000\nadmin_per_second = 100000\npending_approvals = 3\n";
    let desk = Desk { world: Desk::builder(|text| text).config(config).start().await };
    for n in 1..=3 {
        let asked = desk.ask(&refund(n, "ch_1")).await;
        waits(&asked);
        assert_eq!(desk.cancel(&asked).await.status, 200);
    }
    assert_eq!(desk.ask(&refund(4, "ch_1")).await.reason(), "approval.too_many");
    desk.world.clock.advance(Duration::from_secs(301));
    waits(&desk.ask(&refund(4, "ch_1")).await);
}
