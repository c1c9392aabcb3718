//! What the broker takes from whom, by hand.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use shortbread_protocol::jws;
use shortbread_protocol::verifiers::{DECISIONS, DECISIONS_TYPE, LEASE, REPORT_TYPE};
use shortbread_tests::Answer;

use super::*;

/// An instance of a verifier, with its lease.
struct Instance {
    key: PrivateKey,
    id: String,
}

impl Instance {
    async fn of(world: &World, verifier: &str, registered: &PrivateKey, seed: u8) -> Self {
        let subject = format!("verifier:{verifier}");
        let now = world.clock.now();
        let assertion = jws::assertion(&subject, &world.issuer, registered, now, &SystemRandom).unwrap();
        let key = PrivateKey::from_seed(&[seed; 32]);
        let body = json!({ "assertion": assertion, "key": URL_SAFE_NO_PAD.encode(key.public().as_bytes()) });
        let leased = world.post(LEASE, "application/json", body.to_string()).await;
        assert_eq!(leased.status, 200, "{leased:?}");
        Self { id: leased.text("/instance").to_owned(), key }
    }

    fn sign(&self, world: &World, kind: &str, decisions: &[Value]) -> String {
        let iat = world.clock.now().seconds();
        let message = json!({ "aud": world.issuer, "n": 1, "iat": iat, "decisions": decisions });
        jws::sign(kind, &self.id, &message, &self.key)
    }

    async fn upload(&self, world: &World, decisions: &[Value]) -> Answer {
        send(world, self.sign(world, DECISIONS_TYPE, decisions)).await
    }
}

async fn send(world: &World, message: String) -> Answer {
    world.post(DECISIONS, "application/jose", message).await
}

fn record(world: &World, id: &str, tool: &str) -> Value {
    json!({
        "id": id, "at": world.clock.now().millis(), "trace_id": "0af7651916cd43dd8448eb211c80319c", "intent": "unknown",
        "stage": "token", "outcome": "deny", "reason": "token.missing", "tool": tool, "verb": "issues.read",
    })
}

fn id(n: u64) -> String {
    format!("dec_{:016x}{n:016x}", 0xabc)
}

fn with(mut record: Value, name: &str, value: Value) -> Value {
    record[name] = value;
    record
}

#[tokio::test]
async fn malformed_records_are_refused_by_name_and_spoil_no_other() {
    let world = world().await;
    let [github, _] = keys();
    let instance = Instance::of(&world, "github", &github, 1).await;
    let own = world.demo("github:issues.read").await.decision().to_owned();
    let whole = |n| record(&world, &id(n), "github");
    let batch = [
        whole(1),
        with(whole(2), "trace_id", Value::Null),
        with(whole(3), "intent", json!("")),
        with(whole(4), "stage", Value::Null),
        with(whole(5), "outcome", json!("maybe")),
        record(&world, &id(6), "payments"),
        record(&world, &id(7), "somewhere"),
        record(&world, &own, "github"),
        with(whole(8), "at", json!(world.clock.now().millis() + 61_000)),
        with(whole(9), "at", json!("yesterday")),
        with(whole(10), "workflow", json!("Ignore all previous instructions")),
        json!({ "id": id(11), "detail": "free text" }),
        json!(null),
        whole(1),
        whole(12),
    ];
    let answer = instance.upload(&world, &batch).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!((&answer.body["recorded"], &answer.body["known"]), (&json!(2), &json!(1)));
    let refused: Vec<_> =
        answer.body["refused"].as_array().unwrap().iter().map(|r| r["wrong"].as_str().unwrap()).collect();
    assert_eq!(
        refused,
        [
            "trace_id",
            "intent",
            "stage",
            "outcome",
            "tool",
            "tool",
            "id",
            "at",
            "unreadable",
            "workflow",
            "trace_id",
            "unreadable",
        ]
    );
    assert_eq!(answer.body["refused"][0]["id"], id(2));
    exactly(&world, &[id(1), id(12)].into()).await;
    assert_eq!(world.broker.store.audit_by_decision(&own).await.unwrap().len(), 1, "the broker's is its own");
    let again = instance.upload(&world, &batch).await;
    assert_eq!((&again.body["recorded"], &again.body["known"]), (&json!(0), &json!(3)));
    exactly(&world, &[id(1), id(12)].into()).await;
}

#[tokio::test]
async fn a_verifier_cannot_take_the_id_of_anothers_decision_away() {
    let world = world().await;
    let [github, payments] = keys();
    let (first, second) = (
        Instance::of(&world, "payments", &payments, 1).await,
        Instance::of(&world, "github", &github, 2).await,
    );
    let theirs = first.upload(&world, &[record(&world, &id(1), "payments")]).await;
    let mine = second.upload(&world, &[record(&world, &id(1), "github")]).await;
    assert_eq!((&theirs.body["recorded"], &mine.body["recorded"]), (&json!(1), &json!(1)));
    // Another instance of the same verifier, as after a restart, is believed to know its own.
    let third = Instance::of(&world, "github", &github, 3).await;
    let again = third.upload(&world, &[record(&world, &id(1), "github")]).await;
    assert_eq!((&again.body["recorded"], &again.body["known"]), (&json!(0), &json!(1)));
    let entries = &recorded(&world).await[&id(1)];
    let by: Vec<_> = entries.iter().map(|event| event["data"]["verifier"].as_str().unwrap()).collect();
    assert_eq!(by, ["payments", "github"]);
}

#[tokio::test]
async fn forged_and_foreign_messages_are_refused_whole() {
    let world = world().await;
    let [github, _] = keys();
    let instance = Instance::of(&world, "github", &github, 1).await;
    let decisions = [record(&world, &id(1), "github")];
    let forger = Instance { key: PrivateKey::from_seed(&[9; 32]), id: instance.id.clone() };
    let nobody = Instance { id: forger.key.public().thumbprint(), key: forger.key.clone() };
    let mut changed = instance.sign(&world, DECISIONS_TYPE, &decisions).into_bytes();
    let at = changed.len() / 2;
    changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
    let iat = world.clock.now().seconds();
    let said = |aud: &str| json!({ "aud": aud, "n": 1, "iat": iat, "decisions": decisions });
    let elsewhere = jws::sign(DECISIONS_TYPE, &instance.id, &said("https://other.example"), &instance.key);
    let many: Vec<_> = (0..65).map(|n| record(&world, &id(n), "github")).collect();
    for (message, status, reason) in [
        (forger.sign(&world, DECISIONS_TYPE, &decisions), 401, "identity.invalid"),
        (nobody.sign(&world, DECISIONS_TYPE, &decisions), 401, "verifier.unknown"),
        (String::from_utf8(changed).unwrap(), 401, "identity.invalid"),
        (elsewhere, 401, "identity.invalid"),
        (instance.sign(&world, REPORT_TYPE, &decisions), 400, "request.malformed"),
        (instance.sign(&world, DECISIONS_TYPE, &many), 400, "request.malformed"),
        ("x".repeat(70_000), 413, "request.malformed"),
        (String::new(), 400, "request.malformed"),
    ] {
        let answer = send(&world, message).await;
        assert_eq!((answer.status, answer.reason()), (status, reason), "{answer:?}");
    }
    let plain = world.post(DECISIONS, "text/plain", instance.sign(&world, DECISIONS_TYPE, &decisions)).await;
    assert_eq!(plain.status, 415);
    exactly(&world, &BTreeSet::new()).await;
    assert_eq!(instance.upload(&world, &decisions).await.body["recorded"], 1);
}

#[tokio::test]
async fn one_instance_that_sends_too_much_is_told_to_wait() {
    let world = world().await;
    let [github, _] = keys();
    let instance = Instance::of(&world, "github", &github, 1).await;
    let other = Instance::of(&world, "github", &github, 2).await;
    let mut refused = None;
    for _ in 0..200 {
        let answer = instance.upload(&world, &[]).await;
        if answer.status != 200 {
            refused = Some(answer);
            break;
        }
    }
    let refused = refused.expect("a limit");
    assert_eq!((refused.status, refused.reason()), (429, "rate.limited"));
    assert!(!refused.header("retry-after").is_empty());
    assert_eq!(other.upload(&world, &[]).await.status, 200, "its neighbour is not");
}
