//! Every decision of a verifier comes into the broker's audit log: never twice, and never lost within what is promised,
//! though answers are lost, the broker restarts, files are cut and processes killed.

mod child;
mod intake;
mod results;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock, ManualClock};
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::random::SystemRandom;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_tests::{POLICY, World};
use shortbread_verifier::decision::{Call, Checker as _, Decision, Presented};
use shortbread_verifier::list::{Next, Pin, Trust};
use shortbread_verifier::report::{
    Backpressure, Identity, Recorder, RecorderConfig, Reporter, ReporterConfig,
};
use shortbread_verifier::{Verifier, VerifierConfig};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// How soon everything has to be there.
const PATIENCE: Duration = Duration::from_secs(60);

/// The key of the verifier `github`, and of the verifier `payments`.
fn keys() -> [PrivateKey; 2] {
    [PrivateKey::from_seed(&[41; 32]), PrivateKey::from_seed(&[42; 32])]
}

/// A world with two verifiers, each with a tool of its own.
async fn world() -> World {
    world_with("").await
}

async fn world_with(policy: &str) -> World {
    let [github, payments] = keys();
    let more = r#"
[[identities]]
verifier = "github"
tools = ["github"]
key = "keys/github.pub.pem"
[[identities]]
verifier = "payments"
tools = ["payments"]
key = "keys/payments.pub.pem"
"#;
    World::builder()
        .policy(&format!("{POLICY}{more}{policy}"))
        .file("keys/github.pub.pem", &github.public().to_pem())
        .file("keys/payments.pub.pem", &payments.public().to_pem())
        .start()
        .await
}

/// A verifier of the tool `github` that records what it decides.
struct Service {
    verifier: Verifier,
    trust: Arc<Trust>,
    recorder: Arc<Recorder>,
    clock: Arc<ManualClock>,
}

impl Service {
    fn new(
        issuer: &str,
        root: PublicKey,
        clock: &Arc<ManualClock>,
        backpressure: Backpressure,
        dir: Option<&Path>,
        max_bytes: u64,
    ) -> Self {
        let shared: Arc<dyn Clock> = clock.clone();
        let trust = Arc::new(Trust::new(Pin { issuer: issuer.to_owned(), root }, shared, None).unwrap());
        let dir = dir.map(Path::to_owned);
        let config = RecorderConfig { backpressure, dir, max_bytes, queue: 2000 };
        let recorder = Arc::new(Recorder::new(&config).unwrap());
        let audience = "https://tools.acme.example/github".to_owned();
        let verifier = Verifier::new(Arc::clone(&trust), VerifierConfig { audience }).unwrap();
        let verifier = verifier.sink(recorder.clone());
        Self { verifier, trust, recorder, clock: Arc::clone(clock) }
    }

    fn of(world: &World, backpressure: Backpressure, dir: Option<&Path>, max_bytes: u64) -> Self {
        Self::new(&world.issuer, world.root(), &world.clock, backpressure, dir, max_bytes)
    }

    /// Takes the list that the broker serves now.
    async fn follow(&self, world: &World) {
        for _ in 0..3 {
            match self.trust.offer_head(&world.get("/revocations/head").await.bytes).unwrap() {
                Next::Nothing => return,
                Next::Keys { version, .. } => {
                    let keys = world.get(&format!("/revocations/keys/{version}")).await;
                    self.trust.offer_keys(&keys.bytes).unwrap();
                }
                Next::Snapshot(file) => {
                    let name = format!("{}-{}", file.seq, hex(&file.sha256));
                    let snapshot = world.get(&format!("/revocations/snapshot/{name}")).await;
                    self.trust.offer_snapshot(&snapshot.bytes).unwrap();
                }
                Next::Delta(_) => panic!("there is nothing to build on"),
            }
        }
    }

    fn check(&self, token: Option<&str>) -> Decision {
        let call = Call { tool: "github", verb: "issues.read", args: None };
        self.verifier.check(&Presented { token, proof: None, trace: None }, &call)
    }

    fn report(&self, url: &str) -> Reporting {
        let mut config = ReporterConfig::new(url);
        (config.upload_every, config.retry) = (Duration::from_millis(20), Duration::from_millis(20));
        let [key, _] = keys();
        let identity = Identity::key("github".parse().unwrap(), key);
        let (trust, clock): (_, Arc<dyn Clock>) = (Arc::clone(&self.trust), self.clock.clone());
        let reporter = Reporter::new(config, identity, trust, clock, Arc::new(SystemRandom)).unwrap();
        let reporter = reporter.uploads(Arc::clone(&self.recorder));
        let (stop, stopped) = oneshot::channel();
        Reporting { stop, running: tokio::spawn(reporter.run(async { drop(stopped.await) })) }
    }

    async fn uploaded(&self) {
        let waited = async {
            // What was just decided may be between memory and disk.
            tokio::time::sleep(Duration::from_millis(150)).await;
            while self.recorder.status().waiting > 0 {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, waited).await;
        assert!(waited.is_ok(), "all is uploaded: {:?}", self.recorder.status());
    }
}

/// A reporter at work.
struct Reporting {
    stop: oneshot::Sender<()>,
    running: JoinHandle<()>,
}

impl Reporting {
    async fn stop(self) {
        drop(self.stop);
        self.running.await.unwrap();
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// The call decisions in the audit log, by id.
async fn recorded(world: &World) -> BTreeMap<String, Vec<Value>> {
    let mut found = BTreeMap::<String, Vec<Value>>::new();
    for entry in world.broker.store.audit_tail(0, 10_000).await.unwrap() {
        let event: Value = serde_json::from_slice(&entry.body).unwrap();
        if event["type"] == "dev.shortbread.call.decision.v1" {
            found.entry(event["id"].as_str().unwrap().to_owned()).or_default().push(event);
        }
    }
    found
}

/// All of these stand in the log, once each, and nothing else does.
async fn exactly(world: &World, ids: &BTreeSet<String>) {
    let found = recorded(world).await;
    let twice: Vec<_> = found.iter().filter(|(_, entries)| entries.len() > 1).map(|(id, _)| id).collect();
    assert!(twice.is_empty(), "recorded twice: {twice:?}");
    let found: BTreeSet<_> = found.into_keys().collect();
    let lost: Vec<_> = ids.difference(&found).collect();
    assert!(lost.is_empty(), "{} of {} are lost: {lost:?}", lost.len(), ids.len());
    assert_eq!(found.len(), ids.len(), "others are there too");
}

/// A way to the broker on which every third answer is lost, and every fifth request.
struct Lossy {
    to: String,
    http: reqwest::Client,
    count: AtomicU64,
}

impl Lossy {
    async fn start(to: &str) -> String {
        let lossy = Self { to: to.to_owned(), http: reqwest::Client::new(), count: AtomicU64::new(0) };
        let router = Router::new().fallback(Self::pass).with_state(Arc::new(lossy));
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        url
    }

    async fn pass(State(lossy): State<Arc<Self>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
        let count = lossy.count.fetch_add(1, Ordering::Relaxed);
        if count % 5 == 4 {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        let kind = headers["content-type"].clone();
        let request = lossy.http.post(format!("{}{uri}", lossy.to)).header("content-type", kind).body(body);
        match request.send().await {
            Ok(_) if count % 3 == 2 => StatusCode::GATEWAY_TIMEOUT.into_response(),
            Ok(answer) => (answer.status(), answer.bytes().await.unwrap_or_default()).into_response(),
            Err(_) => StatusCode::BAD_GATEWAY.into_response(),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_decision_arrives_once_though_answers_are_lost_and_the_broker_restarts() {
    let world = world().await;
    let tmp = tempfile::tempdir().unwrap();
    let service = Arc::new(Service::of(&world, Backpressure::Required, Some(tmp.path()), 64 << 20));
    service.follow(&world).await;
    let token = world.demo("github:issues.read").await.token().to_owned();
    let way = Lossy::start(&world.issuer).await;
    let reporting = service.report(&way);
    let busy = {
        let (service, token) = (Arc::clone(&service), token.clone());
        tokio::spawn(async move {
            let mut ids = BTreeSet::new();
            for n in 0..600 {
                let decision = service.check(if n % 4 == 0 { None } else { Some(&token) });
                assert_eq!(decision.is_allowed(), n % 4 != 0, "{:?}", decision.reason);
                ids.insert(decision.id.unwrap().to_string());
                if n % 20 == 0 {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            ids
        })
    };
    tokio::time::sleep(Duration::from_millis(150)).await;
    let world = world.restart().await;
    let ids = busy.await.unwrap();
    service.uploaded().await;
    reporting.stop().await;
    exactly(&world, &ids).await;
    assert_eq!(service.recorder.status().lost, 0);
    let entries = recorded(&world).await;
    let allowed = entries.values().flatten().find(|event| event["data"]["outcome"] == "allow").unwrap();
    assert_eq!(allowed["subject"], "workflow/demo");
    let data = &allowed["data"];
    for (name, value) in [
        ("verifier", "github"),
        ("tool", "github"),
        ("verb", "issues.read"),
        ("access", "read"),
        ("workflow", "demo"),
        ("intent", "undeclared"),
        ("stage", "evaluate"),
        ("degraded", "disk"),
    ] {
        assert_eq!(data[name], value, "{name}: {allowed}");
    }
    assert!(
        data["token"].as_str().is_some_and(|id| id.starts_with("tok_")) && data["revocation_seq"].is_u64()
    );
    assert!(!allowed.to_string().contains(&token), "never the token");
}

#[tokio::test]
async fn denied_calls_of_a_task_trip_a_tripwire_and_allowed_ones_do_not() {
    let wire = "[[tripwires]]\nname = \"calls\"\naccess = \"write\"\nrefusals = 3\nwithin = \"1m\"\ntool = \"github\"\n";
    let world = world_with(wire).await;
    let service = Service::of(&world, Backpressure::BestEffort, None, 0);
    service.follow(&world).await;
    let asked = [("scope", "github:issues.read"), ("task", "nightly")];
    let token = world.exchange("workflow:demo", "demo", &asked).await.token().to_owned();
    let reporting = service.report(&world.issuer);
    let revoked = || world.broker.store.mirror().entry(SelectorKind::Task, "nightly").is_some();
    let check = |verb| {
        let call = Call { tool: "github", verb, args: None };
        service.verifier.check(&Presented { token: Some(&token), proof: None, trace: None }, &call)
    };
    for _ in 0..2 {
        assert_eq!(check("repo.delete").reason, Some(Reason::NotGranted));
    }
    for _ in 0..20 {
        assert!(check("issues.read").is_allowed());
        assert_eq!(service.check(None).reason, Some(Reason::TokenMissing));
    }
    service.uploaded().await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(!revoked(), "two are not three");
    check("issues.write");
    service.uploaded().await;
    for _ in 0..100 {
        if revoked() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(revoked());
    reporting.stop().await;
    let again = world.exchange("workflow:demo", "demo", &asked).await;
    assert_eq!(again.reason(), "revoked.task");
}

#[tokio::test]
async fn a_lifted_task_has_its_full_count_again() {
    let wire = "[[tripwires]]\nname = \"calls\"\naccess = \"write\"\nrefusals = 3\nwithin = \"1h\"\ntool = \"github\"\n";
    let world = world_with(wire).await;
    let service = Service::of(&world, Backpressure::BestEffort, None, 0);
    service.follow(&world).await;
    let asked = [("scope", "github:issues.read"), ("task", "nightly")];
    let token = world.exchange("workflow:demo", "demo", &asked).await.token().to_owned();
    let reporting = service.report(&world.issuer);
    let revoked = || world.broker.store.mirror().entry(SelectorKind::Task, "nightly").is_some();
    let refused = async |times| {
        for _ in 0..times {
            let call = Call { tool: "github", verb: "repo.delete", args: None };
            let seen =
                service.verifier.check(&Presented { token: Some(&token), proof: None, trace: None }, &call);
            assert_eq!(seen.reason, Some(Reason::NotGranted));
        }
        service.uploaded().await;
        for _ in 0..30 {
            if revoked() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        revoked()
    };
    assert!(refused(3).await);
    let task = json!([{ "kind": "task", "value": "nightly" }]);
    let lifted = world.lift_with(json!({ "selectors": task, "revive": true })).await;
    assert_eq!(lifted.status, 200, "{lifted:?}");
    assert!(!refused(2).await, "the refusal that tripped it does not count once more");
    assert!(refused(1).await);
    reporting.stop().await;
}

#[tokio::test]
async fn a_decision_is_found_by_the_trace_of_its_call() {
    let world = world().await;
    let service = Service::of(&world, Backpressure::BestEffort, None, 0);
    let reporting = service.report(&world.issuer);
    let trace = [7; 16];
    let call = Call { tool: "github", verb: "issues.read", args: None };
    let decision = service.verifier.check(&Presented { token: None, proof: None, trace: Some(trace) }, &call);
    service.uploaded().await;
    reporting.stop().await;
    let [entry] = &world.broker.store.audit_by_trace(trace).await.unwrap()[..] else { panic!("one entry") };
    let event: Value = serde_json::from_slice(&entry.body).unwrap();
    assert_eq!(event["traceparent"], decision.traceparent().unwrap());
    let by_id = world.broker.store.audit_by_decision(&decision.id.unwrap().to_string()).await.unwrap();
    assert_eq!(by_id[0].idx, entry.idx);
}

#[tokio::test]
async fn what_a_cut_file_still_has_arrives_and_never_twice() {
    let world = world().await;
    let tmp = tempfile::tempdir().unwrap();
    let whole = tmp.path().join("whole");
    let mut ids = Vec::new();
    {
        let service = Service::of(&world, Backpressure::Required, Some(&whole), 64 << 20);
        ids.extend((0..8).map(|_| service.check(None).id.unwrap().to_string()));
    }
    let name = "calls-00000000000000000001.jsonl";
    let bytes = std::fs::read(whole.join(name)).unwrap();
    let line = bytes.len() / 8;
    for cut in
        [0, 1, line - 1, line, line + 1, 4 * line + line / 2, 7 * line - 1, bytes.len() - 1, bytes.len()]
    {
        let dir = tmp.path().join(cut.to_string());
        std::fs::create_dir(&dir).unwrap();
        std::fs::write(dir.join(name), &bytes[..cut]).unwrap();
        let service = Service::of(&world, Backpressure::BestEffort, Some(&dir), 64 << 20);
        let reporting = service.report(&world.issuer);
        service.uploaded().await;
        reporting.stop().await;
        exactly(&world, &ids.iter().take(cut / line).cloned().collect()).await;
        let status = service.recorder.status();
        assert_eq!((status.damaged, status.lost), (u64::from(cut % line > 0), 0), "{cut}");
    }
}

#[tokio::test]
async fn what_must_be_recorded_is_denied_while_there_is_no_room_and_then_allowed_again() {
    let world = world().await;
    let tmp = tempfile::tempdir().unwrap();
    let service = Service::of(&world, Backpressure::Required, Some(tmp.path()), 16 * 1024);
    service.follow(&world).await;
    let token = world.demo("github:issues.read").await.token().to_owned();
    let mut ids = BTreeSet::new();
    let refused = loop {
        let decision = service.check(Some(&token));
        if !decision.is_allowed() {
            break decision;
        }
        ids.insert(decision.id.unwrap().to_string());
        assert!(ids.len() < 100, "there is an end");
    };
    assert_eq!(refused.reason.unwrap().code(), "record.unavailable");
    assert_eq!((refused.stage.as_str(), refused.held.len()), ("record", 0));
    let reporting = service.report(&world.issuer);
    service.uploaded().await;
    let decision = service.check(Some(&token));
    assert!(decision.is_allowed(), "{:?}", decision.reason);
    ids.insert(decision.id.unwrap().to_string());
    service.uploaded().await;
    reporting.stop().await;
    exactly(&world, &ids).await;
    assert_eq!(service.recorder.status().lost, 1);
}

#[tokio::test]
async fn best_effort_goes_on_counts_what_it_drops_and_keeps_the_rest() {
    let world = world().await;
    let service = Service::of(&world, Backpressure::BestEffort, None, 0);
    service.follow(&world).await;
    let token = world.demo("github:issues.read").await.token().to_owned();
    let mut ids = Vec::new();
    for _ in 0..2100 {
        let decision = service.check(Some(&token));
        assert!(decision.is_allowed());
        ids.push(decision.id.unwrap().to_string());
    }
    assert_eq!((service.recorder.status().waiting, service.recorder.status().lost), (2000, 100));
    let reporting = service.report(&world.issuer);
    service.uploaded().await;
    reporting.stop().await;
    exactly(&world, &ids.into_iter().take(2000).collect()).await;
}
