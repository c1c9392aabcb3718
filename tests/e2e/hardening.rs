//! What an attacker would try, and what must not come of it.

use std::sync::Arc;
use std::time::Duration;

use shortbread_broker::exchange::{Asked, Context, Patience, Place, Sent, exchange};
use shortbread_broker::setup;
use shortbread_broker::store::{AuditEntry, HeadError, Replay, StoreKind};
use shortbread_protocol::clock::Clock;
use shortbread_protocol::random::{Random, SystemRandom};
use shortbread_tests::{POLICY, World};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;

/// Whether the broker closes a connection on which only these bytes came, within 20 s.
async fn is_closed(world: &World, bytes: &[u8]) -> bool {
    let mut stream = TcpStream::connect(world.issuer.trim_start_matches("http://")).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    tokio::time::timeout(Duration::from_secs(20), stream.read_to_end(&mut rest)).await.is_ok()
}

#[tokio::test]
async fn a_connection_that_asks_nothing_is_closed() {
    let world = World::start().await;
    let (silent, torn) = tokio::join!(is_closed(&world, b""), is_closed(&world, b"PRI * HTTP"));
    assert!(silent && torn, "silent: {silent}, torn: {torn}");
}

/// Keeps the store's writer busy until the sender is dropped.
async fn busy(world: &World) -> std::sync::mpsc::Sender<()> {
    let (release, held) = std::sync::mpsc::channel::<()>();
    let (begun, running) = tokio::sync::oneshot::channel();
    let (store, now, mut begun) = (world.broker.store.clone(), world.clock.now(), Some(begun));
    tokio::spawn(async move {
        let sign = move |_| {
            begun.take().unwrap().send(()).unwrap();
            let _ = held.recv();
            None
        };
        assert!(matches!(store.next_head(now, sign).await, Err(HeadError::Declined)));
    });
    running.await.unwrap();
    release
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_who_hangs_up_leaves_no_policy_half_in_force() {
    let world = World::start().await;
    std::fs::write(world.path("policy.toml"), POLICY.replace("\"10m\"", "\"9m\"")).unwrap();
    let decision = world.broker.decision(None).unwrap();
    let version = world.broker.policy.take_in(&world.path("policy.toml"), "file", &decision).await.unwrap().n;
    let token = world.operator("alice", "policy.activate").await;
    let release = busy(&world).await;
    let body = format!("{{\"version\":{version}}}");
    let proof = world.proof_of_call("post", "/api/v1/policy/activate", &token, body.as_bytes());
    let request = format!(
        "POST /api/v1/policy/activate HTTP/1.1\r\nhost: x\r\nauthorization: DPoP {token}\r\ndpop: {proof}\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(world.issuer.trim_start_matches("http://")).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    // Long enough to be queued behind the busy writer, then to be noticed as gone.
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(stream);
    tokio::time::sleep(Duration::from_millis(300)).await;
    drop(release);
    for _ in 0..100 {
        let stored = world.broker.store.active_policy().await.unwrap().unwrap().version.n;
        if stored == version && world.broker.policy.version() == version {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let stored = world.broker.store.active_policy().await.unwrap().unwrap().version.n;
    panic!("the store says {stored}, in force is {}", world.broker.policy.version());
}

#[tokio::test]
async fn a_store_that_cannot_count_does_not_hold_up_the_switch() {
    let world = World::start().await;
    let token = world.demo("github:issues.read").await.token().to_owned();
    let raw = rusqlite::Connection::open(&world.broker.config.store.sqlite).unwrap();
    raw.execute("UPDATE token SET selectors = 'damaged'", []).unwrap();
    let done = world.revoke("workflow", "demo").await;
    assert_eq!(done.status, 200, "{done:?}");
    assert_eq!(done.body["touched"]["uncounted"], true);
    let mut tool = world.tool("github");
    tool.poll().await;
    assert_eq!(tool.check(&token, "issues.read", &serde_json::json!({})), "revoked.workflow");
}

#[tokio::test]
async fn an_operator_who_is_taken_out_of_the_policy_is_out_at_once() {
    let world = World::start().await;
    let kept = world.operator("bob", "policy.read").await;
    assert_eq!(world.call("get", "/api/v1/policy", Some(&kept), None).await.status, 200);
    let policy = POLICY.replace("verbs = [\"policy.*\"]", "verbs = [\"audit.read\"]");
    std::fs::write(world.path("policy.toml"), policy).unwrap();
    let body = serde_json::json!({});
    let path = "/api/v1/policy/activate";
    // Bob agrees to it, as the second operator.
    assert_eq!(world.admin("policy.activate", path, &body).await.status, 409);
    assert_eq!(world.admin_as("bob", "policy.activate", path, &body).await.status, 200);
    let refused = world.call("get", "/api/v1/policy", Some(&kept), None).await;
    assert_eq!((refused.status, refused.reason()), (403, "admin.not_permitted"));
}

#[tokio::test]
async fn used_assertions_do_not_pile_up() {
    let world = World::start().await;
    let keep_until = world.clock.now().seconds() + 90;
    let mut recorded = tokio::task::JoinSet::new();
    for n in 0..2500u64 {
        let mut hash = [0; 32];
        hash[..8].copy_from_slice(&n.to_be_bytes());
        let replay = Some(Replay { hash, keep_until, made: keep_until, holder: None });
        let (decision, at) = (format!("dec_{n}"), world.clock.now());
        let audit = AuditEntry {
            at,
            decision,
            trace: None,
            parent: None,
            about: None,
            body: b"{}".to_vec(),
            input: None,
        };
        let store = world.broker.store.clone();
        recorded.spawn(async move { store.record_denial(replay, audit).await.unwrap() });
    }
    recorded.join_all().await;
    assert_eq!(world.broker.store.counts().await.unwrap().replays, 2500);
    world.clock.advance(Duration::from_secs(91));
    world.broker.prune(world.clock.now()).await;
    assert_eq!(world.broker.store.counts().await.unwrap().replays, 0);
}

#[tokio::test]
async fn a_stranger_who_floods_the_broker_floods_no_log() {
    let world = World::start().await;
    let mut quiet = Vec::new();
    for _ in 0..3 {
        let decision = world.broker.decision(None).unwrap();
        let begun = world.clock.monotonic();
        let context = Context { decision, address: [192, 0, 2, 1].into(), begun };
        let asked = Asked {
            body: b"grant_type=x",
            dpop: Ok(None),
            idempotency_key: Ok(None),
            aside: false,
            wait: Duration::ZERO,
        };
        let all = Arc::new(Semaphore::new(1));
        let permit = Arc::clone(&all).try_acquire_owned().unwrap();
        let place = Place::held(all, permit, Patience::default());
        let sent = Sent { asked, place: &place };
        let refusal = exchange(&world.broker, &sent, &context).await.err().unwrap();
        quiet.push(refusal.trail.is_some_and(|trail| trail.quiet));
    }
    assert_eq!(quiet, [false, true, true], "one line and one entry a minute, the rest is counted");
}

#[tokio::test]
async fn an_initialisation_that_failed_can_be_done_again() {
    let world = World::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut config = world.broker.config.clone();
    config.store.sqlite = folder.path().join("shortbread.db");
    config.policy = world.path("broken.toml");
    let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) = (world.clock.clone(), Arc::new(SystemRandom));
    std::fs::write(&config.policy, POLICY.replace("tool = \"github\"", "tool = \"gihtub\"")).unwrap();
    assert!(setup::init(&config, &clock, &random, StoreKind::Dev).await.is_err());
    std::fs::write(&config.policy, POLICY).unwrap();
    setup::init(&config, &clock, &random, StoreKind::Dev).await.unwrap();
}
