//! The signed list as it is served: what was confirmed is in it, it never goes back, and it costs nothing unchanged.

use std::time::Duration;

use serde_json::json;
use shortbread_tests::{Answer, World};
use shortbread_verifier::feed::Step;

use crate::revoked::{ALLOWED, Use, arguments, ask};

#[tokio::test]
async fn what_was_confirmed_is_in_the_head_that_is_served() {
    let world = World::start().await;
    let mut last = seq(&world.head().await);
    for name in ["a", "b", "c"] {
        let done = world.revoke("workflow", name).await;
        let head = world.head().await;
        assert_eq!(done.body["head"], json!(seq(&head)));
        assert!(done.body["seq"].as_u64().unwrap() < seq(&head) && seq(&head) > last);
        let mut tool = world.tool("github");
        assert_eq!(tool.poll().await, Step::Applied { seq: seq(&head) });
        let audit = world.audited(&done).await;
        assert_eq!(audit["revocation_seq"], done.body["seq"]);
        assert_eq!(audit["reason"], "a test");
        last = seq(&head);
    }
}

#[tokio::test]
async fn heads_rise_over_a_restart_and_revocations_outlive_it() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.read").await;
    world.revoke("workflow", "demo").await;
    let before = seq(&world.head().await);
    let world = world.restart().await;
    assert!(seq(&world.head().await) > before);
    assert_eq!(ask(&world, used.verb).await.reason(), "revoked.workflow");
    assert_eq!(used.token_now().await, "revoked.workflow");
    assert!(used.tool.seq() > before);
}

#[tokio::test]
async fn an_unchanged_head_costs_no_bytes() {
    let world = World::start().await;
    let head = world.head().await;
    let url = format!("{}/revocations/head", world.issuer);
    let again = world.send(world.http.get(&url).header("if-none-match", head.header("etag"))).await;
    assert_eq!((again.status, again.bytes.len()), (304, 0));
    assert_eq!(
        (again.header("etag"), again.header("cache-control")),
        (head.header("etag"), "public, max-age=1")
    );
    let mut tool = world.tool("github");
    assert!(matches!(tool.poll().await, Step::Applied { .. }));
    assert_eq!(tool.poll().await, Step::Unchanged);
    world.revoke("workflow", "demo").await;
    let changed = world.send(world.http.get(&url).header("if-none-match", head.header("etag"))).await;
    assert_eq!(changed.status, 200);
    assert!(changed.header("etag") != head.header("etag"));
    assert!(matches!(tool.poll().await, Step::Applied { .. }));
}

#[tokio::test]
async fn a_service_that_hears_nothing_grows_strict() {
    let world = World::start().await;
    let mut used = Use::of(&world, "github/issues.write").await;
    world.clock.advance(Duration::from_secs(301));
    let fresh = ask(&world, used.verb).await.token().to_owned();
    let write = used.tool.check(&fresh, "issues.write", &arguments(used.verb));
    assert_eq!(write, "list.too_old");
    let (issued, read) = (ask(&world, "github/issues.read").await, "issues.read");
    assert_eq!(used.tool.check(issued.token(), read, &json!({})), ALLOWED);
    world.broker.publisher.publish().await.unwrap();
    assert_eq!(used.now(&fresh).await, ALLOWED);
}

fn seq(head: &Answer) -> u64 {
    let text = String::from_utf8(head.bytes.clone()).unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("seq ")).expect("a seq line");
    line.parse().unwrap()
}
