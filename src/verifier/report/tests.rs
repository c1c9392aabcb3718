//! A reporter against a broker that answers what a test tells it to.

mod claims;

use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock, ManualClock, SystemClock};
use shortbread_protocol::jws;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::random::SeededRandom;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::{
    Batch, CLAIM_TYPE, CLAIMS, CallRecord, Claim, DECISIONS, DECISIONS_TYPE, GOODBYE, GOODBYE_TYPE, Goodbye,
    LEASE, LeaseBody, Message, REPORT, REPORT_TYPE, Report, Step, Uses,
};
use tokio::sync::oneshot;

use super::*;
use crate::decision::{Call, Decision, DecisionId};
use crate::list::testing::{Broker as Lists, ISSUER, NOW, clock, key, open};
use crate::list::{Next, Trust};
use crate::uses::BrokerUses;
use crate::verifier::Sink as _;

/// What the broker heard, in order, and what it says next where that is not yes.
#[derive(Default)]
struct Heard {
    instance: Option<(String, PublicKey)>,
    leases: Vec<LeaseBody>,
    reports: Vec<Report>,
    numbers: Vec<u64>,
    batches: Vec<Vec<CallRecord>>,
    goodbyes: usize,
    claims: Vec<Message<Claim>>,
    /// Which attempt has the use of each token.
    used: HashMap<String, String>,
    /// So many answers to claims are lost.
    lose: usize,
    refuse: VecDeque<(&'static str, Response)>,
}

type Shared = Arc<Mutex<Heard>>;

impl Heard {
    fn says(&mut self, path: &str) -> Option<Response> {
        let at = self.refuse.iter().position(|(of, _)| *of == path)?;
        self.refuse.remove(at).map(|(_, response)| response)
    }

    fn read<T: DeserializeOwned>(&self, text: &str, kind: &str) -> Message<T> {
        let (instance, key) = self.instance.as_ref().unwrap();
        let message: Message<T> = jws::open(text, kind, instance, key).unwrap();
        assert_eq!(message.aud, ISSUER);
        message
    }
}

fn no(status: StatusCode, reason: Reason) -> Response {
    (status, axum::Json(json!({ "reason": reason.code() }))).into_response()
}

fn yes(body: Value) -> Response {
    axum::Json(body).into_response()
}

async fn lease(State(heard): State<Shared>, body: String) -> Response {
    let mut heard = heard.lock().unwrap();
    if let Some(says) = heard.says(LEASE) {
        return says;
    }
    let body: LeaseBody = serde_json::from_str(&body).unwrap();
    let bytes = base64::Engine::decode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, &body.key).unwrap();
    let key = PublicKey::from_bytes(&bytes).unwrap();
    heard.instance = Some((key.thumbprint(), key));
    heard.numbers.clear();
    heard.leases.push(body);
    yes(json!({
        "instance": key.thumbprint(), "verifier": "github", "tools": ["github"], "report_every": 15, "silent_after": 45,
    }))
}

async fn report(State(heard): State<Shared>, body: String) -> Response {
    let mut heard = heard.lock().unwrap();
    if let Some(says) = heard.says(REPORT) {
        return says;
    }
    let message: Message<Report> = heard.read(&body, REPORT_TYPE);
    assert!(heard.numbers.last().is_none_or(|last| *last < message.n), "numbers rise");
    heard.numbers.push(message.n);
    heard.reports.push(message.said);
    yes(json!({ "contents": 0 }))
}

async fn decisions(State(heard): State<Shared>, body: String) -> Response {
    let mut heard = heard.lock().unwrap();
    if let Some(says) = heard.says(DECISIONS) {
        return says;
    }
    let batch = heard.read::<Batch>(&body, DECISIONS_TYPE).said.decisions;
    let bad = |record: &&CallRecord| record.tool == "other";
    let refused: Vec<_> =
        batch.iter().filter(bad).map(|record| json!({ "id": record.id, "wrong": "tool" })).collect();
    let recorded = batch.len() - refused.len();
    heard.batches.push(batch);
    yes(json!({ "recorded": recorded, "known": 0, "refused": refused }))
}

async fn goodbye(State(heard): State<Shared>, body: String) -> Response {
    let mut heard = heard.lock().unwrap();
    heard.read::<Goodbye>(&body, GOODBYE_TYPE);
    heard.goodbyes += 1;
    yes(json!({ "contents": 0 }))
}

/// A broker that listens, and a reporter that runs until it is stopped.
struct Stage {
    heard: Shared,
    trust: Arc<Trust>,
    lists: Lists,
    clock: Arc<ManualClock>,
    uses: Arc<BrokerUses>,
    stop: Option<oneshot::Sender<()>>,
    running: Option<tokio::task::JoinHandle<()>>,
}

impl Stage {
    async fn start(recorder: Option<&Arc<Recorder>>, refuse: Vec<(&'static str, Response)>) -> Self {
        let heard = Shared::default();
        heard.lock().unwrap().refuse = refuse.into();
        let router = Router::new()
            .route(LEASE, post(lease))
            .route(REPORT, post(report))
            .route(DECISIONS, post(decisions))
            .route(GOODBYE, post(goodbye))
            .route(CLAIMS, post(claims::claim))
            .with_state(Arc::clone(&heard));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        let clock = clock();
        let trust = Arc::new(open(&clock, None).unwrap());
        let mut config = ReporterConfig::new(url);
        config.label = Some("pod-1\u{7}".to_owned());
        (config.upload_every, config.retry) = (Duration::from_millis(20), Duration::from_millis(10));
        let uses = BrokerUses::new();
        let reporter = reporter(config, &trust, &clock).unwrap().uses(Arc::clone(&uses));
        let reporter = match recorder {
            Some(recorder) => reporter.uploads(Arc::clone(recorder)),
            None => reporter,
        };
        let (stop, stopped) = oneshot::channel();
        let running = tokio::spawn(reporter.run(async { drop(stopped.await) }));
        let (stop, running) = (Some(stop), Some(running));
        Self { heard, trust, lists: Lists::new(), clock, uses, stop, running }
    }

    fn apply(&mut self, seq: u64) {
        self.trust.offer_keys(&self.lists.keys()).unwrap();
        let head = self.lists.signed(seq, NOW);
        if let Next::Snapshot(_) = self.trust.offer_head(&head).unwrap() {
            self.trust.offer_snapshot(&self.lists.snapshot()).unwrap();
        }
        assert_eq!(self.trust.state().seq(), seq);
    }

    /// Waits until this holds of what the broker heard.
    async fn until(&self, what: &str, holds: impl Fn(&Heard) -> bool) {
        let waited = async {
            while !holds(&self.heard.lock().unwrap()) {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), waited).await.expect(what);
    }

    async fn stop(&mut self) {
        drop(self.stop.take());
        tokio::time::timeout(Duration::from_secs(5), self.running.take().unwrap()).await.unwrap().unwrap();
    }

    fn ids(&self) -> Vec<u64> {
        let heard = self.heard.lock().unwrap();
        heard.batches.iter().flatten().map(|record| record.halves().unwrap().1).collect()
    }
}

fn reporter(
    config: ReporterConfig,
    trust: &Arc<Trust>,
    clock: &Arc<ManualClock>,
) -> Result<Reporter, ReportError> {
    let identity = Identity::key("github".parse().unwrap(), key(9));
    let shared: Arc<dyn Clock> = clock.clone();
    Reporter::new(config, identity, Arc::clone(trust), shared, Arc::new(SeededRandom::new(5)))
}

fn recorder(backpressure: Backpressure, dir: Option<&Path>, max_bytes: u64, queue: usize) -> Arc<Recorder> {
    let dir = dir.map(Path::to_owned);
    Arc::new(Recorder::new(&RecorderConfig { backpressure, dir, max_bytes, queue }).unwrap())
}

/// Records decision `n` of a call of a tool; whether it was taken.
fn decide(recorder: &Recorder, n: u64, tool: &str) -> bool {
    let call = Call { tool, verb: "issues.read", args: None };
    recorder.record(&Decision::denied(Some(DecisionId::new(3, n)), Reason::NotGranted), &call).is_ok()
}

async fn eventually(what: &str, holds: impl Fn() -> bool) {
    let waited = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), waited).await.expect(what);
}

#[tokio::test]
async fn an_instance_is_heard_of_at_once_on_each_change_and_at_its_end() {
    let mut stage = Stage::start(None, Vec::new()).await;
    stage.until("the first report", |heard| heard.reports.len() == 1).await;
    let first = stage.heard.lock().unwrap().reports[0].clone();
    assert_eq!((first.contents, first.step, first.applied_at), (0, Step::Deny, None));
    assert_eq!(first.uses, Uses::Broker);
    let assertion = stage.heard.lock().unwrap().leases[0].clone();
    assert_eq!(assertion.label.as_deref(), Some("pod-1"));
    assert!(!assertion.assertion.is_empty());
    stage.apply(7);
    stage.until("a report of the list", |heard| heard.reports.last().is_some_and(|r| r.contents == 5)).await;
    let told = stage.heard.lock().unwrap().reports.last().cloned().unwrap();
    assert_eq!((told.seq, told.keys_version, told.age, told.step), (7, 1, Some(0), Step::Disk));
    assert_eq!(told.applied_at, Some(NOW * 1000));
    // A heartbeat says nothing new; a list that grew too old for writes does, though nobody touched it.
    let before = stage.heard.lock().unwrap().reports.len();
    stage.clock.advance(Duration::from_secs(1));
    stage.apply(8);
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(stage.heard.lock().unwrap().reports.len(), before);
    stage.clock.advance(Duration::from_secs(400));
    stage.until("its step", |heard| heard.reports.last().is_some_and(|r| r.step == Step::ReadsOnly)).await;
    let told = stage.heard.lock().unwrap().reports.last().cloned().unwrap();
    assert_eq!((told.seq, told.applied_at), (8, Some(NOW * 1000)), "the contents are as old as they were");
    stage.stop().await;
    assert_eq!(stage.heard.lock().unwrap().goodbyes, 1);
}

#[tokio::test]
async fn a_lease_that_was_lost_is_taken_again_with_another_key() {
    let unknown = || no(StatusCode::UNAUTHORIZED, Reason::InstanceUnknown);
    let refuse = vec![(LEASE, no(StatusCode::SERVICE_UNAVAILABLE, Reason::Overloaded)), (REPORT, unknown())];
    let mut stage = Stage::start(None, refuse).await;
    stage.until("a report", |heard| heard.reports.len() == 1).await;
    let keys: Vec<_> = stage.heard.lock().unwrap().leases.iter().map(|lease| lease.key.clone()).collect();
    assert!(keys.len() == 2 && keys[0] != keys[1], "{keys:?}");
    stage.stop().await;
}

#[test]
fn what_was_put_back_and_taken_again_with_more_is_not_done_with_by_a_late_answer() {
    let recorder = recorder(Backpressure::BestEffort, None, 0, 100);
    let counts = |taken: &recorder::Taken| -> Vec<u64> {
        taken.records.iter().map(|record| record.halves().unwrap().1).collect()
    };
    let take = || recorder.take(64, 100_000).unwrap().unwrap();
    (0..3).for_each(|n| assert!(decide(&recorder, n, "github")));
    let first = take();
    (3..8).for_each(|n| assert!(decide(&recorder, n, "github")));
    // The lease ends while the first answer is still being noted.
    recorder.put_back();
    let second = take();
    assert_eq!(counts(&second), [0, 1, 2, 3, 4, 5, 6, 7]);
    recorder.done(&first, &[]).unwrap();
    recorder.put_back();
    assert_eq!((recorder.status().waiting, counts(&take())), (5, vec![3, 4, 5, 6, 7]));
    recorder.done(&second, &[]).unwrap();
    assert_eq!(recorder.status().waiting, 0);
}

#[tokio::test]
async fn a_loss_is_told_once_whatever_becomes_of_the_lease() {
    let recorder = recorder(Backpressure::BestEffort, None, 0, 2);
    (0..5).for_each(|n| assert!(decide(&recorder, n, "github"), "the call goes on"));
    assert_eq!((recorder.status().waiting, recorder.status().lost), (2, 3));
    let mut stage = Stage::start(Some(&recorder), Vec::new()).await;
    eventually("uploads", || recorder.status().uploaded == 2).await;
    let unknown = no(StatusCode::UNAUTHORIZED, Reason::InstanceUnknown);
    stage.until("a report", |heard| heard.reports.len() == 1).await;
    stage.heard.lock().unwrap().refuse.push_back((REPORT, unknown));
    stage.apply(7);
    stage.until("another lease", |heard| heard.leases.len() == 2 && heard.reports.len() > 1).await;
    stage.stop().await;
    let heard = stage.heard.lock().unwrap();
    assert_eq!(heard.reports.iter().map(|report| report.lost).sum::<u64>(), 3);
}

#[tokio::test]
async fn every_decision_arrives_in_order_though_the_broker_stumbles() {
    let tmp = tempfile::tempdir().unwrap();
    for dir in [None, Some(tmp.path())] {
        let recorder = recorder(Backpressure::BestEffort, dir, 1 << 20, 1000);
        let odd = || yes(json!({ "recorded": 1, "known": 0, "refused": [] }));
        let refuse =
            vec![(DECISIONS, no(StatusCode::SERVICE_UNAVAILABLE, Reason::Overloaded)), (DECISIONS, odd())];
        let mut stage = Stage::start(Some(&recorder), refuse).await;
        for n in 0..300 {
            assert!(decide(&recorder, n, if n % 100 == 7 { "other" } else { "github" }));
        }
        eventually("all uploaded", || recorder.status().waiting == 0 && recorder.status().uploaded == 297)
            .await;
        assert_eq!(stage.ids(), (0..300).collect::<Vec<_>>());
        let status = recorder.status();
        assert_eq!((status.refused["tool"], status.lost, status.damaged), (3, 0, 0));
        stage.stop().await;
    }
}

#[tokio::test]
async fn what_is_too_large_is_sent_in_parts_and_what_never_fits_is_given_up() {
    let large = || (DECISIONS, no(StatusCode::PAYLOAD_TOO_LARGE, Reason::RequestMalformed));
    let recorder = recorder(Backpressure::BestEffort, None, 0, 10);
    (0..4).for_each(|n| assert!(decide(&recorder, n, "github")));
    let mut stage = Stage::start(Some(&recorder), vec![large(), large(), large()]).await;
    eventually("all done", || recorder.status().waiting == 0).await;
    assert_eq!((stage.ids(), &recorder.status().refused["too_large"]), (vec![1, 2, 3], &1));
    stage.stop().await;
}

#[tokio::test]
async fn what_a_process_left_behind_is_uploaded_by_the_next() {
    let tmp = tempfile::tempdir().unwrap();
    let first = recorder(Backpressure::Required, Some(tmp.path()), 1 << 20, 10);
    (0..100).for_each(|n| assert!(decide(&first, n, "github")));
    drop(first);
    let second = recorder(Backpressure::BestEffort, Some(tmp.path()), 1 << 20, 10);
    assert_eq!(second.status().waiting, 100);
    let mut stage = Stage::start(Some(&second), Vec::new()).await;
    // Its end comes before all is uploaded, as a rule; then the end sees to it.
    stage.until("a report", |heard| !heard.reports.is_empty()).await;
    assert!(decide(&second, 100, "github"));
    stage.stop().await;
    // A batch that was on its way at the end was sent again.
    let mut ids = stage.ids();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids, (0..101).collect::<Vec<_>>());
}

#[tokio::test]
async fn what_must_be_recorded_is_refused_while_there_is_no_room() {
    let tmp = tempfile::tempdir().unwrap();
    let recorder = recorder(Backpressure::Required, Some(tmp.path()), 8 * 1024, 10);
    let taken = (0..100).filter(|n| decide(&recorder, *n, "github")).count() as u64;
    assert!((10..30).contains(&taken), "{taken}");
    assert_eq!(recorder.status().lost, 100 - taken);
    let mut stage = Stage::start(Some(&recorder), Vec::new()).await;
    eventually("room", || decide(&recorder, 1000, "github")).await;
    stage.stop().await;
    assert_eq!(stage.ids(), (0..taken).chain([1000]).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_disk_that_fails_refuses_what_must_be_recorded_until_it_works_again() {
    let tmp = tempfile::tempdir().unwrap();
    let (dir, gone) = (tmp.path().join("spool"), tmp.path().join("gone"));
    let required = recorder(Backpressure::Required, Some(&dir), 1 << 20, 10);
    std::fs::rename(&dir, &gone).unwrap();
    assert!(!decide(&required, 1, "github"));
    assert!(required.status().disk.is_some());
    std::fs::rename(&gone, &dir).unwrap();
    eventually("the disk", || decide(&required, 2, "github")).await;
    assert_eq!(required.status().disk, None);
}

#[tokio::test]
async fn a_directory_that_is_removed_under_open_files_records_nothing_any_more() {
    let tmp = tempfile::tempdir().unwrap();
    let dir = tmp.path().join("spool");
    let required = recorder(Backpressure::Required, Some(&dir), 1 << 20, 10);
    assert!(decide(&required, 1, "github"));
    std::fs::remove_dir_all(&dir).unwrap();
    eventually("a refusal", || !decide(&required, 2, "github")).await;
    // Another one in its place is not ours.
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(dir.join("lock"), "").unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(!decide(&required, 3, "github") && required.status().disk.is_some());
}

#[tokio::test]
async fn best_effort_uploads_from_memory_while_its_disk_fails() {
    let tmp = tempfile::tempdir().unwrap();
    let (dir, gone) = (tmp.path().join("spool"), tmp.path().join("gone"));
    let recorder = recorder(Backpressure::BestEffort, Some(&dir), 1 << 20, 100);
    std::fs::rename(&dir, &gone).unwrap();
    (0..10).for_each(|n| assert!(decide(&recorder, n, "github")));
    let mut stage = Stage::start(Some(&recorder), Vec::new()).await;
    eventually("uploads", || recorder.status().uploaded == 10).await;
    std::fs::rename(&gone, &dir).unwrap();
    eventually("the disk", || recorder.status().disk.is_none()).await;
    (10..20).for_each(|n| assert!(decide(&recorder, n, "github")));
    eventually("uploads", || recorder.status().uploaded == 20).await;
    stage.stop().await;
    assert_eq!(stage.ids(), (0..20).collect::<Vec<_>>());
}

#[test]
fn a_call_does_not_wait_for_the_disk() {
    let tmp = tempfile::tempdir().unwrap();
    for (name, backpressure) in [("a", Backpressure::BestEffort), ("b", Backpressure::Required)] {
        let recorder = recorder(backpressure, Some(&tmp.path().join(name)), 64 << 20, 100_000);
        let clock = SystemClock::start();
        let taken = (0..1000).filter(|n| decide(&recorder, *n, "github")).count();
        let each = clock.monotonic() / 1000;
        assert!(
            taken >= 900 && each < Duration::from_millis(1),
            "{backpressure:?}: {taken}, {each:?} for each"
        );
    }
}

#[test]
fn settings_that_cannot_hold_are_refused() {
    let required = RecorderConfig { backpressure: Backpressure::Required, ..RecorderConfig::default() };
    assert!(matches!(Recorder::new(&required), Err(RecorderError::NoDirectory)));
    let clock = clock();
    let trust = Arc::new(open(&clock, None).unwrap());
    for bad in
        ["http://broker.acme.example", "ftp://localhost", "https://a:b@c.example", "https://c.example?x", "x"]
    {
        let error = reporter(ReporterConfig::new(bad), &trust, &clock).unwrap_err();
        assert!(error.code() == "address" && !error.to_string().contains("a:b"), "{error}");
    }
    assert!(reporter(ReporterConfig::new("https://broker.acme.example"), &trust, &clock).is_ok());
    let twice = reporter(ReporterConfig::new("https://broker.acme.example"), &trust, &clock);
    assert!(matches!(twice, Err(ReportError::Taken)));
}
