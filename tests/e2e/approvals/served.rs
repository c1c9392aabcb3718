//! At the tool service: what was approved runs once, with what was approved and nowhere else, or not at all.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse as _, Response};
use serde_json::Value;
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::Clock;
use shortbread_protocol::dpop::{Statement, token_hash};
use shortbread_protocol::random::SystemRandom;
use shortbread_protocol::verifiers::CLAIMS;
use shortbread_tests::{Desk, refund, verifier};
use shortbread_verifier::decision::{Call, Checker as _, Presented, SentProof};
use shortbread_verifier::feed::{Feed, FeedConfig};
use shortbread_verifier::list::{Pin, Trust};
use shortbread_verifier::report::{Identity, Reporter, ReporterConfig};
use shortbread_verifier::uses::{BrokerUses, LocalUses};
use shortbread_verifier::{Verifier, VerifierConfig};
use tokio::sync::oneshot;

use super::pause;

const ARGS: &str = r#"{"amount":100,"charge":"ch_1"}"#;
const OTHER: &str = r#"{"amount":101,"charge":"ch_1"}"#;
const URL: &str = "https://tools.acme.example/payments";
const ALLOWED: &str = "allowed";

/// An approved refund of [`ARGS`].
async fn approved(desk: &Desk) -> String {
    let asked = desk.ask(&refund(100, "ch_1")).await;
    assert_eq!(desk.approve("bob", &asked).await.status, 200);
    pause(desk);
    desk.fetch(&asked).await.token().to_owned()
}

/// What the way to the broker does with the next claims, in turn; then it is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// The answer is lost.
    Unanswered,
    /// Nothing arrives, now and for ever.
    Down,
}

struct Line {
    to: String,
    http: reqwest::Client,
    ways: Mutex<Vec<Way>>,
}

impl Line {
    async fn start(desk: &Desk, ways: &[Way]) -> String {
        let (to, http) = (desk.world.issuer.clone(), reqwest::Client::new());
        let line = Self { to, http, ways: Mutex::new(ways.to_vec()) };
        let router = Router::new().fallback(Self::pass).with_state(Arc::new(line));
        let listener = tokio::net::TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async { axum::serve(listener, router).await });
        url
    }

    fn next(&self, uri: &Uri) -> Option<Way> {
        let mut ways = self.ways.lock().unwrap();
        match ways.first().copied().filter(|_| uri.path() == CLAIMS) {
            Some(Way::Unanswered) => Some(ways.remove(0)),
            way => way,
        }
    }

    async fn pass(State(line): State<Arc<Self>>, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
        let way = line.next(&uri);
        if way == Some(Way::Down) && uri.path() == CLAIMS {
            return StatusCode::BAD_GATEWAY.into_response();
        }
        let kind = headers["content-type"].clone();
        let request = line.http.post(format!("{}{uri}", line.to)).header("content-type", kind).body(body);
        let answer = request.send().await.unwrap();
        if way == Some(Way::Unanswered) {
            return StatusCode::GATEWAY_TIMEOUT.into_response();
        }
        (answer.status(), answer.bytes().await.unwrap_or_default()).into_response()
    }
}

/// An instance of the tool service `payments`.
struct Service {
    verifier: Verifier,
    stop: Option<oneshot::Sender<()>>,
}

impl Service {
    async fn trust(desk: &Desk) -> Arc<Trust> {
        let world = &desk.world;
        let pin = Pin { issuer: world.issuer.clone(), root: world.root() };
        let clock: Arc<dyn Clock> = world.clock.clone();
        let trust = Arc::new(Trust::new(pin, clock, None).unwrap());
        let config = FeedConfig::new(world.issuer.as_str());
        world.broker.publish().await.unwrap();
        Feed::new(Arc::clone(&trust), &config, Arc::new(SystemRandom)).unwrap().step().await.unwrap();
        trust
    }

    fn verifier(trust: &Arc<Trust>, audience: &str) -> Verifier {
        Verifier::new(Arc::clone(trust), VerifierConfig { audience: audience.to_owned() }).unwrap()
    }

    /// Whose uses the broker keeps, over a line that does this.
    async fn start(desk: &Desk, ways: &[Way]) -> Self {
        let trust = Self::trust(desk).await;
        let mut config = ReporterConfig::new(Line::start(desk, ways).await);
        config.retry = Duration::from_millis(20);
        let identity = Identity::key("payments".parse().unwrap(), verifier("payments"));
        let clock: Arc<dyn Clock> = desk.world.clock.clone();
        let uses = BrokerUses::new();
        let reporter =
            Reporter::new(config, identity, Arc::clone(&trust), clock, Arc::new(SystemRandom)).unwrap();
        let reporter = reporter.uses(Arc::clone(&uses));
        let verifier = Self::verifier(&trust, URL).uses_broker(uses);
        let (stop, stopped) = oneshot::channel();
        tokio::spawn(reporter.run(async { drop(stopped.await) }));
        Self { verifier, stop: Some(stop) }
    }

    /// Who keeps them by itself.
    async fn alone(desk: &Desk) -> Self {
        let trust = Self::trust(desk).await;
        let uses = LocalUses::open(&desk.world.path("uses"), desk.world.clock.now()).unwrap();
        Self { verifier: Self::verifier(&trust, URL).uses_local(Arc::new(uses)), stop: None }
    }

    /// A call with a proof of its own; tried again while the lease is still to be had.
    async fn call(&self, desk: &Desk, token: &str, text: &str) -> &'static str {
        for _ in 0..200 {
            let said = self.call_once(desk, token, text).await;
            if !said.1.contains("has no lease") {
                return said.0;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        panic!("no lease");
    }

    async fn call_once(&self, desk: &Desk, token: &str, text: &str) -> (&'static str, String) {
        let args = Args::from_json(text.as_bytes()).unwrap();
        let statement = Statement {
            method: "POST",
            url: URL,
            token: Some(token_hash(token)),
            operation: Some("payments/refunds.create"),
            args: args.digest(),
            holder: None,
        };
        let proof = Desk::key("desk").prove(&statement, desk.world.clock.now(), &SystemRandom).unwrap();
        let proof = Some(SentProof { text: &proof, method: "POST", url: URL });
        let presented = Presented { token: Some(token), proof, trace: None };
        let call = Call { tool: "payments", verb: "refunds.create", args: Some(&args) };
        let decision = self.verifier.check_claiming(&presented, &call).await;
        let detail = decision.detail.clone().unwrap_or_default();
        (decision.reason.map_or(ALLOWED, |reason| reason.code()), detail)
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        drop(self.stop.take());
    }
}

async fn outcomes(desk: &Desk) -> Vec<String> {
    let entries = desk.world.broker.store.audit_tail(0, 10_000).await.unwrap();
    let events = entries.iter().map(|entry| serde_json::from_slice::<Value>(&entry.body).unwrap());
    let claims = events.filter(|event| event["type"] == "dev.shortbread.call.claimed.v1");
    claims.map(|event| event["data"]["outcome"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn an_approved_call_runs_with_the_approved_arguments_alone_and_once() {
    let desk = Desk::start().await;
    let token = approved(&desk).await;
    let service = Service::start(&desk, &[]).await;
    assert_eq!(service.call(&desk, &token, OTHER).await, "approval.other_call");
    assert!(outcomes(&desk).await.is_empty(), "another call claims nothing");
    assert_eq!(service.call(&desk, &token, r#"{"charge":"ch_1", "amount":100}"#).await, ALLOWED);
    assert_eq!(service.call(&desk, &token, ARGS).await, "approval.used");
    let other = Service::start(&desk, &[]).await;
    assert_eq!(other.call(&desk, &token, ARGS).await, "approval.used", "nor at another instance");
    assert_eq!(outcomes(&desk).await, ["allow", "deny", "deny"]);
}

#[tokio::test]
async fn at_another_tool_service_an_approved_call_is_nothing() {
    let desk = Desk::start().await;
    let token = approved(&desk).await;
    let trust = Service::trust(&desk).await;
    let elsewhere =
        Service { verifier: Service::verifier(&trust, "https://tools.acme.example/github"), stop: None };
    assert_eq!(elsewhere.call(&desk, &token, ARGS).await, "token.wrong_audience");
    let unkept = Service { verifier: Service::verifier(&trust, URL), stop: None };
    assert_eq!(unkept.call(&desk, &token, ARGS).await, "approval.used", "where nobody keeps uses");
}

#[tokio::test]
async fn a_claim_whose_answer_is_lost_is_made_again_and_the_call_runs_once() {
    let desk = Desk::start().await;
    let token = approved(&desk).await;
    let service = Service::start(&desk, &[Way::Unanswered, Way::Unanswered]).await;
    assert_eq!(service.call(&desk, &token, ARGS).await, ALLOWED);
    assert_eq!(service.call(&desk, &token, ARGS).await, "approval.used");
    assert_eq!(outcomes(&desk).await, ["allow", "deny"], "what is claimed again is not recorded again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_calls_at_once_at_many_instances_one_runs() {
    let desk = Arc::new(Desk::start().await);
    let token = Arc::new(approved(&desk).await);
    let mut calls = Vec::new();
    for _ in 0..4 {
        let service = Arc::new(Service::start(&desk, &[Way::Unanswered]).await);
        for _ in 0..3 {
            let (service, token, desk) = (Arc::clone(&service), Arc::clone(&token), Arc::clone(&desk));
            calls.push(tokio::spawn(async move { service.call(&desk, &token, ARGS).await }));
        }
    }
    let mut said = Vec::new();
    for call in calls {
        said.push(call.await.unwrap());
    }
    assert_eq!(said.iter().filter(|said| **said == ALLOWED).count(), 1, "{said:?}");
    assert!(said.iter().all(|said| [ALLOWED, "approval.used"].contains(said)), "{said:?}");
}

#[tokio::test]
async fn without_the_broker_nothing_runs_that_may_run_once() {
    let desk = Desk::start().await;
    let token = approved(&desk).await;
    let service = Service::start(&desk, &[Way::Down]).await;
    assert_eq!(service.call(&desk, &token, ARGS).await, "approval.claim_unavailable");
    assert!(outcomes(&desk).await.is_empty());
    let service = Service::start(&desk, &[]).await;
    assert_eq!(service.call(&desk, &token, ARGS).await, ALLOWED);
}

#[tokio::test]
async fn a_service_that_keeps_its_uses_itself_knows_them_after_a_restart() {
    let desk = Desk::start().await;
    drop(Service::alone(&desk).await);
    pause(&desk);
    let token = approved(&desk).await;
    let service = Service::alone(&desk).await;
    assert_eq!(service.call(&desk, &token, ARGS).await, ALLOWED);
    drop(service);
    assert_eq!(Service::alone(&desk).await.call(&desk, &token, ARGS).await, "approval.used");
}
