//! Whoever hears of the audit log, as the export of spans does, hears of every entry once, whichever path wrote it.

use std::sync::{Arc, Mutex};

use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};
use shortbread_broker::store::{Logged, Sink};
use shortbread_tests::World;
use tokio::task::JoinSet;

const CALLER: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const PARENT: [u8; 8] = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];

#[derive(Debug, Default)]
struct Ear(Mutex<Vec<Logged>>);

impl Sink for Ear {
    fn logged(&self, entries: Vec<Logged>) {
        self.0.lock().unwrap().extend(entries);
    }
}

#[tokio::test]
async fn every_entry_is_told_once_in_its_order_whichever_path_wrote_it() {
    let mut world = World::start().await;
    let (ear, from) = (Arc::new(Ear::default()), world.broker.store.audit_size());
    world.broker.store.tell(ear.clone());
    let headers = HeaderMap::from_iter([("traceparent".parse().unwrap(), HeaderValue::from_static(CALLER))]);
    world.http = reqwest::Client::builder().no_proxy().default_headers(headers).build().unwrap();

    let assertion = world.assertion("workflow:demo", "demo");
    let scope = [("scope", "github:issues.read")];
    assert_eq!(world.present(&assertion, &scope).await.status, 200);
    assert_eq!(world.present(&assertion, &scope).await.reason(), "identity.invalid");
    assert_eq!(world.demo("github:repo.delete").await.reason(), "policy.not_granted");
    assert_eq!(world.revoke("workflow", "other").await.status, 200);
    assert_eq!(world.exchange("workflow:other", "other", &scope).await.reason(), "revoked.workflow");
    let lifted = world.lift_with(json!({ "selectors": [{ "kind": "workflow", "value": "other" }] })).await;
    assert_eq!(lifted.status, 200);
    let refused = world.admin_as("bob", "policy.read", "/api/v1/revocations", &json!({})).await;
    assert_eq!(refused.status, 403, "{refused:?}");
    let world = Arc::new(world);
    let mut at_once = JoinSet::new();
    for _ in 0..16 {
        let world = Arc::clone(&world);
        at_once.spawn(async move { world.demo("github:issues.read").await.status });
    }
    assert_eq!(at_once.join_all().await, [200; 16]);

    let log = world.broker.store.audit_tail(from, 500).await.unwrap();
    let told = ear.0.lock().unwrap().clone();
    let bodies: Vec<&[u8]> = log.iter().map(|entry| entry.body.as_slice()).collect();
    assert_eq!(told.iter().map(|told| told.body.as_slice()).collect::<Vec<_>>(), bodies);
    let events: Vec<Value> = bodies.iter().map(|body| serde_json::from_slice(body).unwrap()).collect();
    for kind in ["token.minted", "token.refused", "decision", "revocation.set", "revocation.lifted"] {
        let kind = format!("dev.shortbread.{kind}.v1");
        assert!(events.iter().any(|event| event["type"] == kind.as_str()), "{kind}");
    }
    for (told, event) in told.iter().zip(&events) {
        let traced = event["traceparent"].as_str().unwrap().starts_with(CALLER.get(..36).unwrap());
        assert!(traced && told.parent == Some(PARENT), "by the caller's span: {event}");
    }
}
