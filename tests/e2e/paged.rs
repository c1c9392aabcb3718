//! Operators are told over a signed webhook: at least once, in words without secrets, and never at the switch's cost.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use serde_json::{Value, json};
use sha2::Sha256;
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_tests::{Heard, Loopback, World, WorldBuilder};

const SECRET: [u8; 32] = [42; 32];

/// A world whose webhook is this server.
pub(crate) fn paging(server: &Loopback, more: &str) -> WorldBuilder {
    let config = format!(
        "[limits]\nexchanges_per_second = 100000\nfailures_per_minute = 100000\nadmin_per_second = 100000\n\
         [breakers]\nfailures = 3\nopen_ms = 300\n\
         [webhook]\nurl = \"{}/hook?token=not-for-logs\"\nsecret_file = \"keys/hook.secret\"\nallow_private = true\n{more}",
        server.url()
    );
    World::builder().config(&config).file("keys/hook.secret", &format!("whsec_{}\n", STANDARD.encode(SECRET)))
}

/// Waits until a notice of this kind was heard, and gives its body.
pub(crate) async fn told(server: &Loopback, kind: &str) -> Value {
    let heard =
        until(|| server.heard().into_iter().map(|heard| body(&heard)).find(|body| body["type"] == kind))
            .await;
    heard.unwrap_or_else(|| panic!("{kind} was not told: {:?}", server.heard()))
}

fn body(heard: &Heard) -> Value {
    serde_json::from_slice(&heard.body).expect("JSON")
}

async fn until<T>(mut found: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..500 {
        if let Some(found) = found() {
            return Some(found);
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    None
}

/// Lets the broker's time pass until so much was heard; its clock stands still otherwise.
async fn heard(world: &World, server: &Loopback, count: usize) {
    let found = until(|| {
        world.clock.advance(Duration::from_secs(1));
        (server.heard().len() >= count).then_some(())
    });
    found.await.unwrap_or_else(|| panic!("{} of {count} requests", server.heard().len()));
}

fn header<'a>(heard: &'a Heard, name: &str) -> &'a str {
    heard.headers.get(name).map_or("", String::as_str)
}

/// As a receiver checks it.
fn is_signed(heard: &Heard) -> bool {
    let mut mac = Hmac::<Sha256>::new_from_slice(&SECRET).unwrap();
    let (id, timestamp) = (header(heard, "webhook-id"), header(heard, "webhook-timestamp"));
    mac.update(format!("{id}.{timestamp}.").as_bytes());
    mac.update(&heard.body);
    header(heard, "webhook-signature") == format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
}

#[tokio::test]
async fn the_switch_and_the_policy_are_told_signed_and_readable() {
    let server = Loopback::start().await;
    let world = paging(&server, "").start().await;
    let token = world.demo("github:issues.read").await.token().to_owned();
    let revoked = world.revoke("workflow", "demo").await;
    assert_eq!(revoked.status, 200, "{revoked:?}");
    let notice = told(&server, "revocation.set").await;
    let data = &notice["data"];
    assert_eq!(
        (&data["what"], &data["by"], &data["tokens"]),
        (&json!(["workflow demo"]), &json!("alice"), &json!(1))
    );
    assert_eq!((&data["seq"], &data["cause"]), (&revoked.body["seq"], &json!("incident")));
    assert_eq!(data["decision_id"], revoked.body["decision_id"]);
    let text = notice["text"].as_str().unwrap();
    assert!(
        text.contains("alice revoked workflow demo") && text.contains(revoked.text("/decision_id")),
        "{text}"
    );
    assert_eq!(notice["timestamp"], world.clock.now().to_string());
    let lifted = world.lift_with(json!({ "selectors": [{ "kind": "workflow", "value": "demo" }] })).await;
    assert_eq!(lifted.status, 200, "{lifted:?}");
    assert_eq!(told(&server, "revocation.lifted").await["data"]["revive"], false);
    std::fs::write(world.path("policy.toml"), format!("{}\n", shortbread_tests::POLICY)).unwrap();
    let activated = world.admin("policy.activate", "/api/v1/policy/activate", &json!({})).await;
    assert_eq!(activated.status, 200, "{activated:?}");
    assert_eq!(told(&server, "policy.activated").await["data"]["version"], 2);
    for heard in server.heard() {
        assert!(is_signed(&heard) && heard.target == "POST /hook?token=not-for-logs", "{heard:?}");
        assert_eq!(header(&heard, "webhook-timestamp"), world.clock.now().seconds().to_string());
        let body = String::from_utf8(heard.body).unwrap();
        assert!(!body.contains("a test"), "an operator's words stay in the audit log: {body}");
        assert!(!body.contains(&token), "no secrets");
    }
}

#[tokio::test]
async fn only_what_is_asked_for_is_told() {
    let server = Loopback::start().await;
    let world = paging(&server, "events = [\"revocation.lifted\"]\n").start().await;
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    world.lift_with(json!({ "selectors": [{ "kind": "workflow", "value": "demo" }] })).await;
    told(&server, "revocation.lifted").await;
    assert_eq!(server.heard().len(), 1);
}

#[tokio::test]
async fn a_dead_receiver_slows_no_revocation() {
    let mut server = Loopback::start().await;
    server.hang();
    let world = paging(&server, "").start().await;
    let token = world.operator("alice", "revocations.revoke").await;
    let revoke = async |n: usize| {
        let body = json!({ "selectors": [{ "kind": "task", "value": format!("t{n}") }], "reason": "a test" });
        let watch = SystemClock::start();
        let answer = world.call("post", "/api/v1/revocations", Some(&token), Some(&body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        watch.monotonic()
    };
    for n in 0..5 {
        let spent = revoke(n).await;
        assert!(spent < Duration::from_secs(2), "{spent:?} with a receiver that hangs");
    }
    assert!(server.heard().len() <= 1, "one at a time");
    server.stop().await;
    for n in 5..10 {
        let spent = revoke(n).await;
        assert!(spent < Duration::from_secs(2), "{spent:?} with a receiver that is gone");
    }
}

#[tokio::test]
async fn what_was_not_delivered_outlives_the_broker() {
    let mut server = Loopback::start().await;
    server.stop().await;
    let world = paging(&server, "").start().await;
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(world.revoke("task", "nightly").await.status, 200);
    let world = world.restart().await;
    server.come_back().await;
    heard(&world, &server, 2).await;
    let what = |at: usize| body(&server.heard()[at])["data"]["what"].clone();
    assert_eq!((what(0), what(1)), (json!(["workflow demo"]), json!(["task nightly"])), "the oldest first");
    let waiting = async || world.broker.store.waiting_notices().await.unwrap().len();
    for _ in 0..100 {
        if waiting().await == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(waiting().await, 0, "what was delivered waits no more");
}

#[tokio::test]
async fn a_receiver_that_fails_is_tried_again_when_it_wishes_with_the_same_id() {
    let server = Loopback::start().await;
    server.answers(|_| Some((503, "retry-after: 120\r\n".to_owned(), String::new())));
    let world = paging(&server, "").start().await;
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    until(|| (server.heard().len() == 1).then_some(())).await.expect("a first try");
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.clock.advance(Duration::from_secs(119));
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(server.heard().len(), 1, "not before its time");
    server.status(204);
    world.clock.advance(Duration::from_secs(1));
    until(|| (server.heard().len() == 2).then_some(())).await.expect("a second try");
    let [first, second] = server.heard().try_into().unwrap();
    assert_eq!(header(&first, "webhook-id"), header(&second, "webhook-id"));
    assert_ne!(header(&first, "webhook-signature"), header(&second, "webhook-signature"), "signed anew");
    assert!(first.body == second.body && is_signed(&first) && is_signed(&second));
}

#[tokio::test]
async fn a_receiver_that_keeps_failing_is_left_alone_and_that_is_recorded() {
    let server = Loopback::start().await;
    server.status(500);
    let world = paging(&server, "").start().await;
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    heard(&world, &server, 3).await;
    let opened = audited(&world, "dev.shortbread.breaker.opened.v1").await;
    assert_eq!((&opened["kind"], &opened["source"]), (&json!("webhook"), &json!("127.0.0.1")));
    server.status(200);
    heard(&world, &server, 4).await;
    audited(&world, "dev.shortbread.breaker.closed.v1").await;
    assert!(
        server.heard().iter().all(|heard| body(heard)["type"] == "revocation.set"),
        "not told over itself"
    );
}

/// The particulars of the first entry of this kind.
pub(crate) async fn audited(world: &World, kind: &str) -> Value {
    for _ in 0..200 {
        let entries = world.broker.store.audit_tail(0, 10_000).await.unwrap();
        let events = entries.iter().map(|entry| serde_json::from_slice::<Value>(&entry.body).unwrap());
        if let Some(event) = events.into_iter().find(|event| event["type"] == kind) {
            return event["data"].clone();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("no {kind} is recorded");
}

#[tokio::test]
async fn a_receiver_that_is_gone_is_asked_no_more() {
    let server = Loopback::start().await;
    server.status(410);
    let world = paging(&server, "").start().await;
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    heard(&world, &server, 1).await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(world.revoke("workflow", "other").await.status, 200);
    for _ in 0..20 {
        world.clock.advance(Duration::from_secs(600));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(server.heard().len(), 1);
    server.status(200);
    let world = world.restart().await;
    assert_eq!(world.revoke("task", "t").await.status, 200);
    heard(&world, &server, 2).await;
}

#[tokio::test]
async fn what_was_given_up_is_listed_with_why_and_outlives_the_broker() {
    let server = Loopback::start().await;
    server.status(410);
    let world = paging(&server, "").start().await;
    let dropped = async |world: &World, count: usize| {
        for _ in 0..200 {
            let answer = world.admin_read("status.read", "/api/v1/notices/dropped").await;
            assert_eq!(answer.status, 200, "{answer:?}");
            if answer.body["dropped"].as_array().unwrap().len() == count {
                return answer.body["dropped"].clone();
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("{count} notices were to be listed");
    };
    assert_eq!(dropped(&world, 0).await, json!([]));
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    heard(&world, &server, 1).await;
    dropped(&world, 1).await;
    // Nothing is sent any more, and that is told as well.
    assert_eq!(world.revoke("task", "nightly").await.status, 200);
    let listed = dropped(&world, 2).await;
    assert_eq!(listed[1]["id"], header(&server.heard()[0], "webhook-id"));
    assert_eq!(listed[1]["notice"], body(&server.heard()[0]));
    assert_eq!(listed[0]["notice"]["data"]["what"], json!(["task nightly"]));
    for notice in listed.as_array().unwrap() {
        assert_eq!((&notice["kind"], &notice["why"]), (&json!("revocation.set"), &json!("gone")));
        assert!(notice["dropped"].as_u64() >= notice["at"].as_u64(), "{notice}");
    }
    let world = world.restart().await;
    assert_eq!(dropped(&world, 2).await, listed);
    let one = world.admin_read("status.read", "/api/v1/notices/dropped?limit=1").await;
    assert_eq!(one.body["dropped"], json!([listed[0]]));
}

#[tokio::test]
async fn what_is_too_old_is_given_up_and_listed() {
    let server = Loopback::start().await;
    server.status(503);
    let world = paging(&server, "events = [\"revocation.set\"]\n").start().await;
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    heard(&world, &server, 1).await;
    world.clock.advance(Duration::from_secs(3 * 24 * 3600 + 60));
    let why = async || {
        let dropped = world.broker.store.dropped_notices(10).await.unwrap();
        dropped.first().map(|dropped| dropped.why.as_str())
    };
    for _ in 0..200 {
        if why().await.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(why().await, Some("too_old"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let (server, other) = (Loopback::start().await, Loopback::start().await);
    let away = other.url();
    server.answers(move |_| Some((307, format!("location: {away}/\r\n"), String::new())));
    let world = paging(&server, "").start().await;
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    heard(&world, &server, 2).await;
    assert!(other.heard().is_empty());
}
