//! An approved call runs exactly once: its use is claimed at the broker, by the verifier of its tool, for one attempt.

use serde_json::{Value, json};
use shortbread_protocol::jws;
use shortbread_protocol::verifiers::{CLAIM_TYPE, CLAIMS, Claim};
use shortbread_tests::{Answer, Desk, refund, verifier};

use super::pause;
use crate::acknowledged::client::{Instance, lease, send};

/// An approved refund: the token's id and the hash of its arguments.
async fn approved(desk: &Desk, amount: i64) -> (String, String) {
    let asked = desk.ask(&refund(amount, "ch_1")).await;
    assert_eq!(desk.approve("bob", &asked).await.status, 200);
    pause(desk);
    let answer = desk.fetch(&asked).await;
    let call = &answer.body["shortbread"]["calls"][0];
    (call["token_id"].as_str().unwrap().to_owned(), call["args_sha256"].as_str().unwrap().to_owned())
}

fn attempt(n: u8) -> String {
    format!("{n:032x}")
}

fn refunds(token: &str, hash: &str, n: u8) -> Claim {
    Claim {
        token: token.to_owned(),
        attempt: attempt(n),
        tool: "payments".parse().unwrap(),
        verb: "refunds.create".parse().unwrap(),
        args_sha256: Some(hash.to_owned()),
    }
}

async fn claim(desk: &Desk, instance: &Instance, claim: &Claim) -> Answer {
    let message = instance.message(&desk.world, claim.clone());
    send(&desk.world, CLAIMS, jws::sign(CLAIM_TYPE, &instance.id, &message, &instance.key)).await
}

async fn claims(desk: &Desk) -> Vec<Value> {
    let entries = desk.world.broker.store.audit_tail(0, 10_000).await.unwrap();
    let events = entries.iter().map(|entry| serde_json::from_slice::<Value>(&entry.body).unwrap());
    events.filter(|event| event["type"] == "dev.shortbread.call.claimed.v1").collect()
}

#[tokio::test]
async fn a_use_is_one_attempts_and_a_lost_answer_is_given_again() {
    let desk = Desk::start().await;
    let one = lease(&desk.world, "payments", &verifier("payments"), 1).await;
    let two = lease(&desk.world, "payments", &verifier("payments"), 2).await;
    let (token, hash) = approved(&desk, 100).await;
    let first = claim(&desk, &one, &refunds(&token, &hash, 1)).await;
    assert_eq!((first.status, &first.body), (200, &json!({ "again": false })), "{first:?}");
    let retried = claim(&desk, &one, &refunds(&token, &hash, 1)).await;
    assert_eq!((retried.status, &retried.body["again"]), (200, &json!(true)));
    for (instance, n) in [(&one, 2), (&two, 1), (&two, 3)] {
        let refused = claim(&desk, instance, &refunds(&token, &hash, n)).await;
        assert_eq!((refused.status, refused.reason()), (409, "approval.used"));
    }
    let log = claims(&desk).await;
    let outcomes: Vec<&str> = log.iter().map(|event| event["data"]["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["allow", "deny", "deny", "deny"]);
    assert_eq!((&log[0]["subject"], &log[0]["data"]["workflow"]), (&json!("workflow/desk"), &json!("desk")));
    assert!(log[0]["data"]["approval"].as_str().unwrap().starts_with("apr_"));
}

#[tokio::test]
async fn other_arguments_another_verb_and_another_service_claim_nothing() {
    let desk = Desk::start().await;
    let payments = lease(&desk.world, "payments", &verifier("payments"), 1).await;
    let github = lease(&desk.world, "github", &verifier("github"), 2).await;
    let (token, hash) = approved(&desk, 100).await;
    let good = refunds(&token, &hash, 1);
    for (instance, bad) in [
        (&payments, Claim { args_sha256: Some("00".repeat(32)), ..good.clone() }),
        (&payments, Claim { args_sha256: None, ..good.clone() }),
        (&payments, Claim { verb: "refunds.read".parse().unwrap(), ..good.clone() }),
        (&payments, Claim { token: "tok_none".to_owned(), ..good.clone() }),
        (&github, good.clone()),
        (&github, Claim { tool: "github".parse().unwrap(), ..good.clone() }),
    ] {
        let refused = claim(&desk, instance, &bad).await;
        assert_eq!((refused.status, refused.reason()), (409, "approval.used"), "{bad:?}");
    }
    let short = claim(&desk, &payments, &Claim { attempt: "x".to_owned(), ..good.clone() }).await;
    assert_eq!((short.status, short.reason()), (400, "request.malformed"));
    assert_eq!(claim(&desk, &payments, &good).await.status, 200, "none of that was a use");
}

#[tokio::test]
async fn of_many_claims_at_once_one_wins() {
    let desk = Desk::start().await;
    let mut instances = Vec::new();
    for seed in 1..=4 {
        instances.push(lease(&desk.world, "payments", &verifier("payments"), seed).await);
    }
    let (token, hash) = approved(&desk, 100).await;
    let wanted: Vec<Claim> = (1..=4).map(|n| refunds(&token, &hash, n)).collect();
    let (one, two, three, four) = tokio::join!(
        claim(&desk, &instances[0], &wanted[0]),
        claim(&desk, &instances[1], &wanted[1]),
        claim(&desk, &instances[2], &wanted[2]),
        claim(&desk, &instances[3], &wanted[3]),
    );
    let won = [one, two, three, four].map(|answer| answer.status);
    assert_eq!(won.iter().filter(|status| **status == 200).count(), 1, "{won:?}");
}

#[tokio::test]
async fn what_is_over_or_revoked_is_not_claimed() {
    let desk = Desk::start().await;
    let payments = lease(&desk.world, "payments", &verifier("payments"), 1).await;
    let (token, hash) = approved(&desk, 100).await;
    let body = json!({ "selectors": [{ "kind": "token", "value": token }], "reason": "t" });
    let path = ("POST", "/api/v1/revocations");
    assert_eq!(desk.call_with(("alice", "alice"), path, "revocations.revoke", Some(&body)).await.status, 200);
    let refused = claim(&desk, &payments, &refunds(&token, &hash, 1)).await;
    assert_eq!((refused.status, refused.reason()), (403, "revoked.token"));
    let (token, hash) = approved(&desk, 101).await;
    desk.world.clock.advance(std::time::Duration::from_secs(301));
    let late = claim(&desk, &payments, &refunds(&token, &hash, 2)).await;
    assert_eq!((late.status, late.reason()), (409, "approval.used"));
}

#[tokio::test]
async fn a_use_is_remembered_across_a_restart() {
    let desk = Desk::start().await;
    let payments = lease(&desk.world, "payments", &verifier("payments"), 1).await;
    let (token, hash) = approved(&desk, 100).await;
    assert_eq!(claim(&desk, &payments, &refunds(&token, &hash, 1)).await.status, 200);
    let desk = Desk { world: desk.world.restart().await };
    let again = claim(&desk, &payments, &refunds(&token, &hash, 1)).await;
    assert_eq!((again.status, &again.body["again"]), (200, &json!(true)));
    assert_eq!(claim(&desk, &payments, &refunds(&token, &hash, 2)).await.reason(), "approval.used");
}
