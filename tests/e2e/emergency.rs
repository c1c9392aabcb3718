//! The switch can be pressed whatever else goes wrong: under a flood, with every identity provider hanging, with a full
//! disk, with readers all busy, with everything revoked, with a policy that cannot be used.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests fail as tests do"
)]

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use shortbread_broker::identity::{Fetch, FetchError, Fetched};
use shortbread_broker::store::{Revoke, RevokeMode, Target};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::event::EventType;
use shortbread_protocol::oauth::{JWT, TOKEN_EXCHANGE};
use shortbread_protocol::revocations::{Selector, SelectorKind};
use shortbread_tests::{Answer, FakeIssuer, POLICY, World};
use tokio::task::JoinSet;

use crate::revoked::one;

const LIMITED: (u16, &str, &str) = (429, "slow_down", "rate.limited");

async fn with(config: &str) -> World {
    World::builder().config(config).start().await
}

#[tokio::test]
async fn an_address_that_asks_too_often_keeps_no_operator_out() {
    let limits = "[limits]\nexchanges_per_second = 2\nfailures_per_minute = 2\nadmin_per_second = 2";
    let world = with(limits).await;
    for _ in 0..5 {
        world.demo("github:issues.read").await;
        world.exchange("workflow:demo", "other", &[("scope", "github:issues.read")]).await;
        world.call("get", "/api/v1/revocations", Some("no token"), None).await;
    }
    assert_eq!(world.demo("github:issues.read").await.refusal(), LIMITED);
    let stranger =
        world.exchange("operator:alice", "other", &[("scope", "shortbread:revocations.revoke")]).await;
    assert_eq!(stranger.refusal(), LIMITED, "who claims to be an operator is not one");
    let stranger = world.call("get", "/api/v1/revocations", Some("no token"), None).await;
    assert_eq!((stranger.status, stranger.reason()), (429, "rate.limited"));
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    assert_eq!(world.lift_with(one("workflow", "demo")).await.status, 200);
    // Each operator's way in is bounded as well, by themselves alone.
    let mut answers = Vec::new();
    for _ in 0..30 {
        answers.push(world.sign_in("alice", "revocations.read").await.status);
    }
    assert_eq!(answers.last(), Some(&429));
    assert_eq!(world.sign_in("bob", "policy.read").await.status, 200);
}

/// A network in which nothing is ever answered.
struct Hanging;

impl Fetch for Hanging {
    fn fetch<'a>(
        &'a self,
        _: &'a str,
        _: bool,
    ) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + 'a>> {
        Box::pin(std::future::pending())
    }
}

#[tokio::test]
async fn issuers_that_hang_hold_up_no_operator() {
    let mut policy = POLICY.to_owned();
    policy += "[[identities]]\nworkflow = \"web\"\nissuer = \"https://ci.acme.example\"\naudience = \"shortbread\"\nclaims = { repo = \"web\" }\n";
    policy += "[[grants]]\nworkflow = \"web\"\ntool = \"github\"\nverbs = [\"issues.read\"]\n";
    let world = Arc::new(World::builder().policy(&policy).fetch(Arc::new(Hanging)).start().await);
    let issuer = FakeIssuer::start();
    let mut waiting = JoinSet::new();
    for _ in 0..64 {
        let mut claims = world.claims("job");
        (claims["iss"], claims["aud"]) = (FakeIssuer::URL.into(), "shortbread".into());
        claims["repo"] = "web".into();
        let (world, token) = (Arc::clone(&world), issuer.token(&claims));
        waiting.spawn(async move {
            let form = [
                ("grant_type", TOKEN_EXCHANGE),
                ("subject_token_type", JWT),
                ("subject_token", token.as_str()),
                ("scope", "github:issues.read"),
            ];
            world.form("/oauth/token", &form).await
        });
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    let pressed = tokio::time::timeout(Duration::from_secs(5), world.revoke("tool", "github"));
    assert_eq!(pressed.await.expect("in time").status, 200);
}

#[tokio::test]
async fn a_broker_without_a_place_left_takes_an_operator_in() {
    let config = "[limits]\nin_flight = 1\nexchanges_per_second = 1000000\nadmin_per_second = 1000000";
    let world = Arc::new(with(config).await);
    let mut flood = JoinSet::new();
    for _ in 0..24 {
        let world = Arc::clone(&world);
        flood.spawn(async move {
            loop {
                world.demo("github:issues.read").await;
            }
        });
    }
    let (mut turned_away, mut pressed) = (0, 0);
    while turned_away < 2 || pressed < 5 {
        let stranger =
            world.exchange("operator:alice", "other", &[("scope", "shortbread:revocations.revoke")]).await;
        turned_away += usize::from(stranger.reason() == "overloaded");
        assert_ne!(stranger.status, 200);
        let done = world.revoke("task", &format!("tsk_{pressed}")).await;
        assert_eq!(done.status, 200, "{done:?}");
        pressed += 1;
        // An operator's way in aside has a budget, and the clock stands still.
        world.clock.advance(Duration::from_millis(500));
    }
}

#[tokio::test]
async fn an_unusable_policy_leaves_operators_the_switch() {
    let world = World::start().await;
    let world = world
        .restart_after(|folder| {
            let store = rusqlite::Connection::open(folder.join("shortbread.db")).unwrap();
            let bundle: Vec<u8> =
                store.query_row("SELECT bundle FROM policy_version", [], |row| row.get(0)).unwrap();
            let mut bundle: Value = serde_json::from_slice(&bundle).unwrap();
            let source = format!("{}\n[later]\nfeature = true\n", bundle["source"].as_str().unwrap());
            bundle["source"] = source.into();
            let bytes = serde_json::to_vec(&bundle).unwrap();
            store.execute("UPDATE policy_version SET bundle = ?1", [bytes]).unwrap();
        })
        .await;
    let missing = (503, "temporarily_unavailable", "policy.missing");
    assert_eq!(world.demo("github:issues.read").await.refusal(), missing);
    assert_eq!(world.sign_in("alice", "policy.read").await.refusal(), missing, "the switch and nothing else");
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    assert_eq!(world.lift_with(one("workflow", "demo")).await.status, 200);
    let stranger =
        world.exchange("operator:alice", "other", &[("scope", "shortbread:revocations.revoke")]).await;
    assert_eq!(stranger.reason(), "identity.invalid");
    assert_eq!(
        world.sign_in("bob", "revocations.revoke").await.status,
        400,
        "who was granted nothing has nothing"
    );
}

#[tokio::test]
async fn whatever_is_revoked_can_be_lifted_and_more_can_be_revoked() {
    let world = World::start().await;
    let everything = [
        ("tool", "shortbread"),
        ("verb", "shortbread/revocations.revoke"),
        ("verb", "shortbread/revocations.lift"),
        ("access", "read"),
        ("access", "write"),
        ("access", "privileged"),
        ("access", "shortbread/write"),
        ("intent", "undeclared"),
        ("workflow", "demo"),
        ("task", "tsk_1"),
        ("issuer", world.issuer.as_str()),
    ];
    assert_eq!(world.revoke_with(json!({ "all": true })).await.status, 200);
    for (kind, value) in everything {
        assert_eq!(world.revoke(kind, value).await.status, 200, "{kind} {value} on top of all before");
    }
    for (kind, value) in everything {
        assert_eq!(world.lift_with(one(kind, value)).await.status, 200, "{kind} {value}");
    }
    assert_eq!(world.lift_with(json!({ "all": true, "revive": true })).await.status, 200);
}

#[tokio::test]
async fn readers_who_are_all_busy_hold_up_no_revocation() {
    let world = World::start().await;
    let token = world.demo("github:issues.read").await.token().to_owned();
    let held = world.operator("alice", "revocations.revoke").await;
    // More long reads than there are readers: each tail is ten thousand rows of nothing, asked for again and again.
    let mut reading = JoinSet::new();
    for n in 0..200u32 {
        world.broker.store.record_denial(None, entry(&world, n)).await.unwrap();
    }
    for _ in 0..16 {
        let store = world.broker.store.clone();
        reading.spawn(async move {
            loop {
                store.audit_tail(0, 10_000).await.unwrap();
            }
        });
    }
    let body = json!({ "selectors": [{ "kind": "workflow", "value": "demo" }], "reason": "a test" });
    let pressed = world.call("post", "/api/v1/revocations", Some(&held), Some(&body));
    let done = tokio::time::timeout(Duration::from_secs(8), pressed).await.expect("in time");
    assert_eq!(done.status, 200, "{done:?}");
    reading.abort_all();
    let mut tool = world.tool("github");
    tool.poll().await;
    assert_eq!(tool.check(&token, "issues.read", &json!({})), "revoked.workflow");
}

fn entry(world: &World, n: u32) -> shortbread_broker::store::AuditEntry {
    let decision = world.broker.decision(None).unwrap();
    world.broker.scribe.entry(
        EventType::Decision,
        &decision,
        format!("filler/{n}"),
        json!({ "text": "x".repeat(8000) }),
    )
}

#[tokio::test]
async fn a_large_list_that_is_being_written_holds_up_no_revocation() {
    let world = Arc::new(World::start().await);
    let selector = |n: usize| Selector::new(SelectorKind::Workflow, &format!("workflow-{n}")).unwrap();
    let revoke = |n: usize| Revoke {
        target: Target::Selector(selector(n)),
        mode: RevokeMode::Forever,
        reason: "incident".to_owned(),
        note: "a test".to_owned(),
        until: None,
    };
    let (now, audit) = (world.clock.now(), entry(&world, 0));
    let many = (0..5_000).map(revoke).collect();
    world.broker.store.revoke(many, "alice".to_owned(), now, move |_: &_| audit.clone()).await.unwrap();
    let mut pressing = JoinSet::new();
    for n in 0..8 {
        let world = Arc::clone(&world);
        pressing.spawn(async move { world.revoke("task", &format!("tsk_{n}")).await });
    }
    let answers: Vec<Answer> = pressing.join_all().await;
    for answer in &answers {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    let mut tool = world.tool("github");
    tool.poll().await;
    let newest = answers.iter().filter_map(|answer| answer.body["seq"].as_u64()).max();
    assert!(newest.is_some_and(|newest| tool.seq() >= newest));
}

#[tokio::test]
async fn the_bound_is_as_long_as_the_windows_that_living_tokens_bear() {
    let world = World::start().await;
    let now = world.clock.now().seconds();
    let bounds = async |kind: &str, value: &str| {
        let answer = world.revoke(kind, value).await;
        let [privileged, write, read] =
            ["privileged", "write", "read"].map(|access| answer.body["bounds"][access].as_u64());
        let after = |bound: Option<u64>, from: u64| bound.map(|bound| bound - from);
        let from = world.clock.now().seconds();
        let latest = [privileged, write, read].into_iter().flatten().max();
        assert_eq!(answer.body["bound"].as_u64(), latest, "{answer:?}");
        assert_eq!(
            answer.body["now"].as_u64(),
            Some(from),
            "whoever waits need not trust a clock of their own"
        );
        [after(privileged, from), after(write, from), after(read, from)]
    };
    assert_eq!(bounds("workflow", "demo").await, [Some(60), Some(300), Some(900)]);
    assert_eq!(bounds("access", "payments/write").await, [Some(60), Some(300), None]);
    assert_eq!(bounds("access", "payments/privileged").await, [Some(60), None, None]);
    let windows = "audience = \"https://tools.acme.example/payments\"";
    let short = format!("{windows}\nwindows = {{ write = \"2m\", privileged = \"30s\" }}");
    std::fs::write(world.path("policy.toml"), POLICY.replace(windows, &short)).unwrap();
    let decision = world.broker.decision(None).unwrap();
    world.broker.policy.take_in(&world.path("policy.toml"), "file", &decision).await.unwrap();
    let activated = world.admin("policy.activate", "/api/v1/policy/activate", &json!({})).await;
    assert_eq!(activated.status, 200, "{activated:?}");
    assert_eq!(bounds("tool", "payments").await, [Some(60), Some(300), Some(900)], "older tokens may live");
    world.clock.advance(Duration::from_secs(3600 + 600));
    assert_eq!(bounds("tool", "payments").await, [Some(30), Some(120), Some(900)]);
    assert_eq!(bounds("workflow", "other").await, [Some(60), Some(300), Some(900)]);
    assert!(now < world.clock.now().seconds());
}
