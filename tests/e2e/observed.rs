//! A tool in observe mode: would-be denials pass and are on record, what is revoked never passes, and whatever is not
//! exactly as it must be enforces.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock, ManualClock, Timestamp};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SystemRandom;
use shortbread_protocol::reason::Reason;
use shortbread_tests::{Answer, POLICY, World};
use shortbread_verifier::decision::{Call, Checker as _, Decision, Presented};
use shortbread_verifier::list::{Next, Pin, Trust};
use shortbread_verifier::observe::Observe;
use shortbread_verifier::report::{Identity, Recorder, RecorderConfig, Reporter, ReporterConfig};
use shortbread_verifier::{Verifier, VerifierConfig};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(30);
const START: u64 = 1_795_176_000;
const MONTH: u64 = 30 * 86_400;

/// The policy with `github` observed for so many seconds from the start, or enforced.
fn policy(observed: Option<u64>) -> String {
    let mode = observed.map(|seconds| {
        let until = Timestamp::from_seconds(START + seconds);
        format!("mode = \"observe\"\nuntil = \"{until}\"\n")
    });
    let verifier =
        "[[identities]]\nverifier = \"github\"\ntools = [\"github\"]\nkey = \"keys/github.pub.pem\"\n";
    let policy =
        POLICY.replacen("[tools.payments]", &format!("{}[tools.payments]", mode.unwrap_or_default()), 1);
    format!("{policy}{verifier}")
}

fn key() -> PrivateKey {
    PrivateKey::from_seed(&[41; 32])
}

async fn world(observed: Option<u64>) -> World {
    let builder = World::builder().policy(&policy(observed));
    builder.file("keys/github.pub.pem", &key().public().to_pem()).start().await
}

/// Puts another policy in force.
async fn activate(world: &World, policy: &str) -> Answer {
    std::fs::write(world.path("policy.toml"), policy).unwrap();
    world.admin_as("alice", "policy.activate", "/api/v1/policy/activate", &json!({})).await
}

/// A tool service that takes part, and reports.
struct Service {
    verifier: Verifier,
    trust: Arc<Trust>,
    observe: Arc<Observe>,
    recorder: Arc<Recorder>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<JoinHandle<()>>,
}

impl Service {
    /// Follows the list once and reports to this address from then on.
    async fn start(world: &World, url: &str) -> Self {
        let clock: Arc<dyn Clock> = world.clock.clone();
        let pin = Pin { issuer: world.issuer.clone(), root: world.root() };
        let trust = Arc::new(Trust::new(pin, Arc::clone(&clock), None).unwrap());
        let recorder = Arc::new(Recorder::new(&RecorderConfig::default()).unwrap());
        let observe = Arc::new(Observe::new());
        let audience = "https://tools.acme.example/github".to_owned();
        let verifier = Verifier::new(Arc::clone(&trust), VerifierConfig { audience }).unwrap();
        let verifier = verifier.sink(recorder.clone()).observe(Arc::clone(&observe));
        let mut service = Self { verifier, trust, observe, recorder, stop: None, running: None };
        service.follow(world).await;
        let mut config = ReporterConfig::new(url);
        (config.upload_every, config.retry) = (Duration::from_millis(20), Duration::from_millis(20));
        let identity = Identity::key("github".parse().unwrap(), key());
        let trust = Arc::clone(&service.trust);
        let reporter = Reporter::new(config, identity, trust, clock, Arc::new(SystemRandom)).unwrap();
        let reporter = reporter.uploads(Arc::clone(&service.recorder)).observe(Arc::clone(&service.observe));
        let (stop, stopped) = oneshot::channel();
        service.running = Some(tokio::spawn(reporter.run(async { drop(stopped.await) })));
        service.stop = Some(stop);
        service
    }

    /// Takes the list that the broker serves now; where it is another one the broker is told within a second.
    async fn follow(&self, world: &World) {
        for _ in 0..4 {
            match self.trust.offer_head(&world.get("/revocations/head").await.bytes).unwrap() {
                Next::Nothing => return,
                Next::Keys { version, .. } => {
                    let keys = world.get(&format!("/revocations/keys/{version}")).await;
                    self.trust.offer_keys(&keys.bytes).unwrap();
                }
                Next::Snapshot(file) => {
                    let hash: String = file.sha256.iter().map(|b| format!("{b:02x}")).collect();
                    let snapshot = world.get(&format!("/revocations/snapshot/{}-{hash}", file.seq)).await;
                    self.trust.offer_snapshot(&snapshot.bytes).unwrap();
                }
                Next::Delta(delta) => {
                    let hash: String = delta.to.sha256.iter().map(|b| format!("{b:02x}")).collect();
                    let path = format!("/revocations/delta/{}-{}-{hash}", delta.from, delta.to.seq);
                    self.trust.offer_delta(&world.get(&path).await.bytes).unwrap();
                }
            }
        }
    }

    /// Has a report sent, by way of a change of the list that is about nobody here.
    async fn report(&self, world: &World, about: &str) {
        // Time for as many messages as one instance may send.
        world.clock.advance(Duration::from_secs(1));
        assert_eq!(world.revoke("workflow", about).await.status, 200);
        self.follow(world).await;
    }

    fn check(&self, token: Option<&str>, verb: &str) -> Decision {
        let call = Call { tool: "github", verb, args: None };
        self.verifier.check(&Presented { token, proof: None, trace: None }, &call)
    }

    fn observes(&self) -> bool {
        self.check(None, "issues.write").is_allowed()
    }

    async fn until_it(&self, observes: bool) {
        eventually("it observes or not", || self.observes() == observes).await;
    }

    async fn stop(&mut self) {
        drop(self.stop.take());
        self.running.take().unwrap().await.unwrap();
    }
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waited).await.unwrap_or_else(|_| panic!("{what}"));
}

async fn recorded(world: &World) -> Vec<Value> {
    let entries = world.broker.store.audit_tail(0, 10_000).await.unwrap();
    entries.iter().map(|entry| serde_json::from_slice(&entry.body).unwrap()).collect()
}

async fn status(world: &World) -> Value {
    world.admin_read("revocations.read", "/api/v1/revocations/status").await.body
}

/// What stands between a service and its broker.
#[derive(Clone, Debug)]
enum Way {
    Open,
    /// Nothing comes through.
    Down,
    /// Every answer says this of observed tools, or nothing.
    Says(Option<String>),
    /// Answers are so old when they arrive.
    Late(Duration),
}

/// A way to the broker that belongs to somebody else.
struct Relay {
    to: String,
    http: reqwest::Client,
    clock: Arc<ManualClock>,
    way: Mutex<Way>,
    statements: Mutex<Vec<String>>,
}

impl Relay {
    async fn start(world: &World) -> (Arc<Self>, String) {
        let relay = Arc::new(Self {
            to: world.issuer.clone(),
            http: reqwest::Client::new(),
            clock: Arc::clone(&world.clock),
            way: Mutex::new(Way::Open),
            statements: Mutex::default(),
        });
        let router = Router::new().fallback(Self::pass).with_state(Arc::clone(&relay));
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        (relay, url)
    }

    async fn pass(State(relay): State<Arc<Self>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
        let way = relay.way.lock().unwrap().clone();
        if matches!(way, Way::Down) {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        let kind = headers["content-type"].clone();
        let request = relay.http.post(format!("{}{uri}", relay.to)).header("content-type", kind).body(body);
        let answer = request.send().await.unwrap();
        let (status, bytes) = (answer.status(), answer.bytes().await.unwrap());
        let mut body: Value = serde_json::from_slice(&bytes).unwrap();
        relay.statements.lock().unwrap().extend(body["observe"].as_str().map(str::to_owned));
        match way {
            Way::Says(None) => drop(body.as_object_mut().unwrap().remove("observe")),
            Way::Says(Some(says)) => body["observe"] = says.into(),
            Way::Late(by) => relay.clock.advance(by),
            Way::Open | Way::Down => {}
        }
        (status, axum::Json(body)).into_response()
    }

    fn is(&self, way: Way) {
        *self.way.lock().unwrap() = way;
    }

    fn heard(&self) -> Vec<String> {
        self.statements.lock().unwrap().clone()
    }
}

#[tokio::test]
async fn a_would_be_denial_passes_and_is_on_record_with_its_reason() {
    let world = world(Some(MONTH)).await;
    let mut service = Service::start(&world, &world.issuer).await;
    service.until_it(true).await;
    let token = world.demo("github:issues.read").await.token().to_owned();
    let stranger = service.check(None, "issues.write");
    let ungranted = service.check(Some(&token), "repo.delete");
    let granted = service.check(Some(&token), "issues.read");
    assert_eq!((stranger.is_allowed(), stranger.observed), (true, Some(Reason::TokenMissing)));
    assert_eq!((ungranted.is_allowed(), ungranted.observed), (true, Some(Reason::NotGranted)));
    assert_eq!((granted.is_allowed(), granted.observed), (true, None));
    eventually("uploads", || service.recorder.status().waiting == 0).await;
    let seen = status(&world).await;
    let events = recorded(&world).await;
    let of = |decision: &Decision| {
        let id = decision.id.unwrap().to_string();
        events.iter().find(|event| event["id"] == *id).unwrap()["data"].clone()
    };
    for (decision, observed, workflow, intent) in [
        (&stranger, "token.missing", Value::Null, "unknown"),
        (&ungranted, "not_granted", json!("demo"), "undeclared"),
    ] {
        let data = of(decision);
        assert_eq!((&data["outcome"], &data["observed"]), (&json!("allow"), &json!(observed)), "{data}");
        assert_eq!((&data["reasons"], &data["workflow"]), (&json!([]), &workflow));
        assert_eq!(data["intent"], intent);
    }
    assert_eq!(of(&granted).get("observed"), None);
    let github = seen["tools"].as_array().unwrap().iter().find(|tool| tool["tool"] == "github").unwrap();
    assert_eq!(github["observed_until"], START + MONTH);
    assert_eq!(seen["listed"][0]["observing"], json!(["github"]));
    let payments = seen["tools"].as_array().unwrap().iter().find(|tool| tool["tool"] == "payments").unwrap();
    assert_eq!(payments.get("observed_until"), None);
    service.stop().await;
    assert!(!service.observes(), "nobody renews it any more");
}

#[tokio::test]
async fn what_is_revoked_is_denied_from_the_first_day() {
    let world = world(Some(MONTH)).await;
    let mut service = Service::start(&world, &world.issuer).await;
    service.until_it(true).await;
    let token = world.demo("github:issues.read").await.token().to_owned();
    assert!(service.check(Some(&token), "repo.delete").is_allowed());
    world.clock.advance(Duration::from_secs(2));
    assert_eq!(world.revoke("workflow", "demo").await.status, 200);
    service.follow(&world).await;
    for verb in ["issues.read", "repo.delete"] {
        assert_eq!(service.check(Some(&token), verb).reason.unwrap().code(), "revoked.workflow");
    }
    assert!(service.observes(), "whoever names nobody is nobody's workflow");
    assert_eq!(world.revoke("tool", "github").await.status, 200);
    service.follow(&world).await;
    assert_eq!(service.check(None, "issues.write").reason.unwrap().code(), "revoked.tool");
    service.stop().await;
}

#[tokio::test]
async fn at_its_end_it_enforces_by_the_services_own_clock() {
    let world = world(Some(100)).await;
    let (relay, url) = Relay::start(&world).await;
    let service = Service::start(&world, &url).await;
    service.until_it(true).await;
    // By the lease, and by the report that follows it.
    eventually("both answers", || relay.heard().len() == 2).await;
    relay.is(Way::Down);
    world.clock.advance(Duration::from_secs(99));
    assert!(service.observes());
    world.clock.advance(Duration::from_secs(1));
    assert_eq!(service.check(None, "issues.write").reason, Some(Reason::TokenMissing));
    // And the broker says nothing of it any more.
    let heard = relay.heard().len();
    relay.is(Way::Open);
    service.report(&world, "other").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(relay.heard().len(), heard);
    let seen = status(&world).await;
    assert!(seen["tools"].as_array().unwrap().iter().all(|tool| tool.get("observed_until").is_none()));
}

#[tokio::test]
async fn without_the_services_own_wish_it_enforces() {
    let world = world(Some(MONTH)).await;
    let service = Service::start(&world, &world.issuer).await;
    service.until_it(true).await;
    let audience = "https://tools.acme.example/github".to_owned();
    let other = Verifier::new(Arc::clone(&service.trust), VerifierConfig { audience }).unwrap();
    let call = Call { tool: "github", verb: "issues.write", args: None };
    let denied = other.check(&Presented { token: None, proof: None, trace: None }, &call);
    assert_eq!((denied.is_allowed(), denied.reason), (false, Some(Reason::TokenMissing)));
}

#[tokio::test]
async fn a_statement_that_is_replayed_or_for_another_instance_enforces() {
    let world = world(Some(MONTH)).await;
    let (relay, url) = Relay::start(&world).await;
    let service = Service::start(&world, &url).await;
    service.until_it(true).await;
    let first = relay.heard()[0].clone();
    let (others, theirs) = Relay::start(&world).await;
    let other = Service::start(&world, &theirs).await;
    other.until_it(true).await;
    // One that the other got for its message of the same number as well as those of other numbers.
    let mut wrong = vec![first.clone(), format!("{first}A"), String::new()];
    wrong.extend(others.heard());
    for (n, statement) in wrong.into_iter().enumerate() {
        relay.is(Way::Says(Some(statement)));
        service.report(&world, &format!("w{n}")).await;
        service.until_it(false).await;
        relay.is(Way::Open);
        service.report(&world, &format!("v{n}")).await;
        service.until_it(true).await;
    }
    relay.is(Way::Says(None));
    service.report(&world, "nothing").await;
    service.until_it(false).await;
    assert!(other.observes(), "its own are as they were");
}

#[tokio::test]
async fn a_statement_that_arrives_late_enforces() {
    let world = world(Some(MONTH)).await;
    let (relay, url) = Relay::start(&world).await;
    let service = Service::start(&world, &url).await;
    service.until_it(true).await;
    relay.is(Way::Late(Duration::from_secs(61)));
    service.report(&world, "other").await;
    service.until_it(false).await;
}

#[tokio::test]
async fn a_broker_that_is_gone_for_two_minutes_leaves_everything_enforced() {
    let world = world(Some(MONTH)).await;
    let (relay, url) = Relay::start(&world).await;
    let service = Service::start(&world, &url).await;
    service.until_it(true).await;
    eventually("both answers", || relay.heard().len() == 2).await;
    relay.is(Way::Down);
    world.clock.advance(Duration::from_secs(120));
    assert!(service.observes());
    world.clock.advance(Duration::from_secs(1));
    assert!(!service.observes());
    relay.is(Way::Open);
    service.report(&world, "other").await;
    service.until_it(true).await;
}

#[tokio::test]
async fn the_next_policy_ends_it_and_one_that_observes_for_too_long_is_refused_with_its_line() {
    let world = world(Some(MONTH)).await;
    let service = Service::start(&world, &world.issuer).await;
    service.until_it(true).await;
    let line = policy(Some(1)).lines().position(|line| line.starts_with("until")).unwrap() + 1;
    for (observed, says) in [(0, "over"), (90 * 86_400 + 1, "90 days")] {
        let refused = activate(&world, &policy(Some(observed))).await;
        assert_eq!(refused.status, 409, "{refused:?}");
        let text = refused.body.to_string();
        assert!(text.contains(says) && text.contains(&format!("policy.toml:{line}:")), "{text}");
    }
    assert!(service.observes());
    assert_eq!(activate(&world, &policy(None)).await.status, 200);
    service.report(&world, "other").await;
    service.until_it(false).await;
    // Back to a policy whose end has come meanwhile: it is no obstacle, and it enforces.
    world.clock.advance(Duration::from_secs(MONTH));
    let path = "/api/v1/policy/rollback";
    let back = world.admin_as("alice", "policy.rollback", path, &json!({})).await;
    assert_eq!(back.status, 200, "{back:?}");
    let activated = recorded(&world).await;
    let activated = activated.iter().filter(|event| event["type"] == "dev.shortbread.policy.activated.v1");
    let observed: Vec<_> = activated.map(|event| event["data"]["observing"].clone()).collect();
    let until = Timestamp::from_seconds(START + MONTH).to_string();
    assert_eq!(observed, [json!({ "github": until }), json!({}), json!({})]);
}
