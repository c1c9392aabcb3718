//! Whose votes count, and for what.

use serde_json::json;
use shortbread_tests::{Desk, refund};

use super::{pause, waits};

#[tokio::test]
async fn nobody_approves_their_own_request() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(1, "ch_1")).await;
    let owner = desk.approve("alice", &asked).await;
    assert_eq!(
        (owner.status, owner.reason()),
        (403, "approval.own_request"),
        "an owner, though on call: {owner:?}"
    );
    // Bob runs the agent himself: his key is the one that the request is bound to.
    let details = refund(2, "ch_2").to_string();
    let asked = desk.ask_as("desk", "bob", &[("authorization_details", &details)]).await;
    let own = desk.approve("bob", &asked).await;
    assert_eq!((own.status, own.reason()), (403, "approval.own_request"));
    assert!(own.text("/detail").contains("nobody approves their own"));
    waits(&desk.ask(&refund(1, "ch_1")).await);
}

#[tokio::test]
async fn a_second_identity_of_one_person_is_no_second_vote() {
    let two = |text: String| {
        text.replace("quorum = 1", "quorum = 2")
            .replace("members = [\"alice\", \"bob\"]", "members = [\"bob\", \"carol\", \"dave\"]")
    };
    let desk = Desk::changed(two).await;
    let asked = desk.ask(&refund(1, "ch_1")).await;
    let first = desk.approve("bob", &asked).await;
    assert_eq!((first.status, first.text("/approval/votes")), (200, "1/2"));
    assert_eq!(
        desk.approve("bob", &asked).await.text("/approval/votes"),
        "1/2",
        "the same operator counts once"
    );
    // Carol signs in with the key that Bob voted with.
    let path = format!("/api/v1/approvals/{}/approve", asked.text("/shortbread/approval_id"));
    let body = json!({ "digest": first.text("/digest") });
    let second = desk.call_with(("carol", "bob"), ("POST", &path), "approvals.decide", Some(&body)).await;
    assert_eq!((second.status, second.reason()), (403, "approval.own_request"), "{second:?}");
    waits(&desk.fetch(&asked).await);
    assert_eq!(desk.approve("dave", &asked).await.text("/approval/state"), "approved");
    pause(&desk);
    assert_eq!(desk.fetch(&asked).await.status, 200);
}

#[tokio::test]
async fn who_is_not_asked_does_not_decide_until_the_sla_is_breached() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(1, "ch_1")).await;
    let early = desk.approve("carol", &asked).await;
    assert_eq!((early.status, early.reason()), (403, "approval.not_asked"));
    assert!(early.text("/detail").contains("until then oncall"));
    desk.world.clock.advance(std::time::Duration::from_secs(300));
    assert_eq!(desk.approve("carol", &asked).await.text("/approval/state"), "approved");
}

#[tokio::test]
async fn a_vote_binds_what_was_shown() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(1, "ch_1")).await;
    let other = desk.ask(&refund(9999, "ch_1")).await;
    let of_other = desk.show("bob", &other).await.text("/digest").to_owned();
    let wrong = desk.approve_digest("bob", &asked, &of_other, json!({})).await;
    assert_eq!((wrong.status, wrong.reason()), (409, "approval.changed"));
    waits(&desk.fetch(&asked).await);
    let closed = desk.ask(&refund(2, "ch_1")).await;
    let digest = desk.show("bob", &closed).await.text("/digest").to_owned();
    assert_eq!(desk.deny("bob", &closed, "no").await.status, 200);
    let late = desk.approve_digest("bob", &closed, &digest, json!({})).await;
    assert_eq!((late.status, late.reason()), (409, "approval.closed"));
    assert_eq!(desk.approve_digest("bob", &asked, "", json!({ "note": "" })).await.status, 400);
    let nowhere =
        desk.call_with(("bob", "bob"), ("GET", "/api/v1/approvals/apr_none"), "approvals.decide", None).await;
    assert_eq!(nowhere.status, 404);
}

#[tokio::test]
async fn a_narrowed_approval_voids_earlier_votes_and_never_widens() {
    let two = |text: String| {
        let text = text.replace("quorum = 1", "quorum = 2");
        text.replace("members = [\"alice\", \"bob\"]", "members = [\"bob\", \"carol\", \"dave\"]")
    };
    let desk = Desk::changed(two).await;
    let asked = desk.ask_scope("github:issues.read github:issues.write payments:refunds.create").await;
    waits(&asked);
    let first = desk.approve("bob", &asked).await;
    let before = first.text("/digest").to_owned();
    let less = json!({ "narrow": {
        "drop": ["payments/refunds.create"],
        "constraints": { "github/issues.write": { "repo": { "eq": "acme/web" } } }, "ttl": 60,
    } });
    let narrowed = desk.approve_with("carol", &asked, less).await;
    assert_eq!((narrowed.status, narrowed.text("/approval/votes")), (200, "1/2"), "{narrowed:?}");
    assert_ne!(narrowed.text("/digest"), before);
    assert_eq!(desk.approve_digest("dave", &asked, &before, json!({})).await.reason(), "approval.changed");
    for wider in [
        json!({ "drop": ["payments/refunds.create"] }),
        json!({ "ttl": 61 }),
        json!({ "ttl": 0 }),
        json!({ "constraints": { "github/issues.write": { "repo": { "eq": "acme/docs" } } } }),
        json!({ "constraints": { "github/issues.write": { "secret": { "any": true } } } }),
        json!({ "constraints": { "payments/refunds.create": { "amount": { "max": 1 } } } }),
        json!({ "drop": ["github/issues.read", "github/issues.write"] }),
        json!({ "drop_calls": [0] }),
        json!({}),
    ] {
        let refused = desk.approve_with("bob", &asked, json!({ "narrow": wider })).await;
        assert_eq!((refused.status, refused.reason()), (400, "request.malformed"), "{wider}: {refused:?}");
    }
    let done = desk.approve("dave", &asked).await;
    assert_eq!(done.text("/approval/state"), "approved", "{done:?}");
    let token = desk.fetch(&asked).await;
    assert_eq!((token.status, &token.body["expires_in"]), (200, &json!(60)), "{token:?}");
    assert_eq!(token.body["scope"], "github:issues.read github:issues.write");
    let details = &token.body["authorization_details"][0]["constraints"]["issues.write"];
    assert_eq!(details["repo"], json!({ "eq": "acme/web" }));
}

#[tokio::test]
async fn no_quorum_is_no_open_door() {
    for (change, said) in [("quorum = 0", "no approval at all"), ("quorum = 9", "can never be met")] {
        let text = shortbread_tests::DESK.replacen("quorum = 1", change, 1);
        let desk = Desk::start().await;
        std::fs::write(desk.world.path("policy.toml"), text).unwrap();
        let path = ("POST", "/api/v1/policy/activate");
        let refused = desk.call_with(("alice", "alice"), path, "policy.activate", Some(&json!({}))).await;
        assert!(refused.status == 409 && refused.text("/detail").contains(said), "{refused:?}");
    }
}

#[tokio::test]
async fn an_operator_who_only_decides_may_look() {
    let desk = Desk::start().await;
    let asked = desk.ask(&refund(1, "ch_1")).await;
    for (name, verb) in [("bob", "approvals.decide"), ("dave", "approvals.read")] {
        let list = desk.call_with((name, name), ("GET", "/api/v1/approvals"), verb, None).await;
        assert_eq!((list.status, list.body["open"].as_u64()), (200, Some(1)), "{list:?}");
        assert_eq!(list.text("/approvals/0/approval_id"), asked.text("/shortbread/approval_id"));
    }
    let path = format!("/api/v1/approvals/{}/approve", asked.text("/shortbread/approval_id"));
    let body = json!({ "digest": "x" });
    let reader = desk.call_with(("dave", "dave"), ("POST", &path), "approvals.read", Some(&body)).await;
    assert_eq!(reader.status, 403);
    let other = desk.call_with(("alice", "alice"), ("GET", "/api/v1/approvals"), "policy.read", None).await;
    assert_eq!(other.status, 403);
}
