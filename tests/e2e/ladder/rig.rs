//! A real broker, and a tool service that follows it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::{Clock, SystemClock, Timestamp};
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::random::SystemRandom;
use shortbread_protocol::verifiers::Step;
use shortbread_tests::process::{Home, Running, free_address};
use shortbread_verifier::decision::{Call, Checker as _, Decision, Presented};
use shortbread_verifier::feed::{BreakerConfig, BreakerState, Feed, FeedConfig, FeedHandle};
use shortbread_verifier::list::{Pin, Trust};
use shortbread_verifier::{Verifier, VerifierConfig};
use tokio::sync::oneshot;

const POLICY: &str = r#"
[tools.github]
audience = "https://tools.acme.example/github"
verbs."issues.read" = { access = "read" }
verbs."issues.write" = { access = "write", args = ["repo"] }
verbs."repo.delete" = { access = "privileged", args = ["repo"] }

[[identities]]
workflow = "demo"
key = "keys/demo.pub.pem"
[[identities]]
operator = "alice"
key = "keys/alice.pub.pem"

[[grants]]
workflow = "demo"
tool = "github"
verbs = ["issues.*", "repo.delete"]
constraints."issues.write" = { repo = { any = true } }
constraints."repo.delete" = { repo = { any = true } }
max_ttl = "1h"
approval = "none"
[[grants]]
operator = "alice"
tool = "shortbread"
verbs = ["revocations.*", "policy.*", "audit.read", "keys.read", "status.read"]
"#;
const AUDIENCE: &str = "https://tools.acme.example/github";
const SCOPES: &str = "github:issues.read github:issues.write github:repo.delete";

pub(super) const READ: &str = "issues.read";
pub(super) const WRITE: &str = "issues.write";
pub(super) const PRIVILEGED: &str = "repo.delete";
pub(super) const ALLOWED: &str = "allowed";

/// How long anything here may take that no promise names a time for.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// The real program, serving.
pub(super) struct Rig {
    pub(super) home: Home,
    pub(super) url: String,
    broker: Option<Running>,
    /// Good for all three verbs, for an hour.
    pub(super) token: String,
}

impl Rig {
    pub(super) fn start() -> Self {
        let (home, address) = (Home::new(), free_address());
        let url = format!("http://{address}");
        home.write(
            "broker.toml",
            &format!("issuer = \"{url}\"\nlisten = \"{address}\"\n[network]\nmetrics = \"127.0.0.1:0\"\n"),
        );
        home.write("policy.toml", POLICY);
        for (purpose, out) in [("operator", "keys/alice.pem"), ("workflow", "keys/demo.pem")] {
            home.ok(&["keys", "generate", "--purpose", purpose, "--out", out]);
        }
        home.ok(&["init", "--config", "broker.toml", "--make-keys"]);
        let mut rig = Self { home, url, broker: None, token: String::new() };
        rig.go();
        let root = "keys/root.pub.pem";
        rig.home.ok(&["login", "--broker", &rig.url, "--key", "keys/alice.pem", "--root", root]);
        let ask = ["exchange", "--workflow", "demo", "--key", "keys/demo.pem", "--scope", SCOPES];
        let token = rig.home.ok(&[&ask[..], &["--ttl", "1h", "--token"]].concat());
        token.trim().clone_into(&mut rig.token);
        rig
    }

    /// Starts the broker, over what it left behind.
    pub(super) fn go(&mut self) {
        let mut broker = self.home.start(&["serve", "--config", "broker.toml"]);
        broker.wait_for("the broker listens");
        self.broker = Some(broker);
    }

    /// `kill -9`.
    pub(super) fn kill(&mut self) {
        self.broker.take().expect("a broker").kill();
    }

    /// Sends it a signal, such as `STOP`.
    pub(super) fn signal(&self, name: &str) {
        self.broker.as_ref().expect("a broker").signal(name);
    }

    /// An operator stops the workflow.
    pub(super) fn revoke(&self) {
        self.home.ok(&["revoke", "--workflow", "demo", "--reason", "a test"]);
    }

    /// An operator stops another one: the list changes, and nothing of ours.
    pub(super) fn revoke_other(&self) {
        self.home.ok(&["revoke", "--workflow", "other", "--reason", "a test"]);
    }

    pub(super) fn pin(&self) -> Pin {
        let root = PublicKey::from_pem(&self.home.read("keys/root.pub.pem")).unwrap();
        Pin { issuer: self.url.clone(), root }
    }

    pub(super) fn root(&self) -> PrivateKey {
        PrivateKey::from_pem(&self.home.read("keys/root.pem")).unwrap()
    }

    /// A tool service with the defaults that follows this address.
    pub(super) fn tool(&self, address: &str) -> Tool {
        Tool::start(self.pin(), &self.token, &FeedConfig::new(address), None)
    }
}

/// Quicker than the defaults, so that tests do not wait.
pub(super) fn quick(address: &str) -> FeedConfig {
    FeedConfig {
        interval: Duration::from_millis(300),
        timeout: Duration::from_millis(700),
        break_glass_interval: Duration::from_millis(200),
        silence: Duration::from_millis(5500),
        breaker: BreakerConfig { cool_down: Duration::from_millis(100), ..BreakerConfig::default() },
        ..FeedConfig::new(address)
    }
}

/// The machine's clocks, moved by a test.
pub(super) struct Shifted {
    clock: SystemClock,
    ahead: Mutex<(Duration, Duration)>,
}

impl Shifted {
    /// Lets time pass.
    pub(super) fn pass(&self, span: Duration) {
        let mut ahead = self.ahead.lock().unwrap();
        *ahead = (ahead.0 + span, ahead.1 + span);
    }

    /// Moves the wall clock alone.
    pub(super) fn jump(&self, span: Duration) {
        self.ahead.lock().unwrap().0 += span;
    }
}

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        self.clock.now().plus(self.ahead.lock().unwrap().0)
    }

    fn monotonic(&self) -> Duration {
        self.clock.monotonic() + self.ahead.lock().unwrap().1
    }
}

/// A tool service: a verifier, and a feed that runs.
pub(super) struct Tool {
    pub(super) trust: Arc<Trust>,
    pub(super) clock: Arc<Shifted>,
    verifier: Verifier,
    feed: FeedHandle,
    token: String,
    stop: Option<oneshot::Sender<()>>,
    running: tokio::task::JoinHandle<()>,
}

impl Tool {
    pub(super) fn start(pin: Pin, token: &str, config: &FeedConfig, dir: Option<&Path>) -> Self {
        let clock = Arc::new(Shifted { clock: SystemClock::start(), ahead: Mutex::default() });
        let shared: Arc<dyn Clock> = clock.clone();
        let trust = Arc::new(Trust::new(pin, shared, dir).expect("a sound state directory"));
        let verifier =
            Verifier::new(Arc::clone(&trust), VerifierConfig { audience: AUDIENCE.to_owned() }).unwrap();
        let feed = Feed::new(Arc::clone(&trust), config, Arc::new(SystemRandom)).expect("addresses");
        let (handle, (stop, stopped)) = (feed.handle(), oneshot::channel::<()>());
        let running = tokio::spawn(feed.run(async { drop(stopped.await) }));
        let token = token.to_owned();
        Self { trust, clock, verifier, feed: handle, token, stop: Some(stop), running }
    }

    /// Stops it in order; its state directory is free then.
    pub(super) async fn stop(mut self) {
        drop(self.stop.take());
        (&mut self.running).await.unwrap();
    }

    pub(super) fn decide(&self, verb: &str) -> Decision {
        let args = if verb == READ { json!({}) } else { json!({ "repo": "acme/web" }) };
        let args = Args::from_json(args.to_string().as_bytes()).unwrap();
        let call = Call { tool: "github", verb, args: Some(&args) };
        self.verifier.check(&Presented::bearer(&self.token), &call)
    }

    /// `allowed`, or the code of the reason why not.
    pub(super) fn check(&self, verb: &str) -> &'static str {
        self.decide(verb).reason.map_or(ALLOWED, |reason| reason.code())
    }

    /// What is said of a read, a write, and a privileged call.
    pub(super) fn checks(&self) -> [&'static str; 3] {
        [READ, WRITE, PRIVILEGED].map(|verb| self.check(verb))
    }

    /// Waits until decisions and status name this step.
    pub(super) async fn stands(&self, step: Step) {
        let what = format!("step {}", step.as_str());
        wait(&what, PATIENCE, || self.decide(READ).step == step && self.feed.status().step == step)
            .await
            .unwrap_or_else(|late| panic!("{late}: {:?}", self.feed.status()));
    }

    /// Waits until the workflow is refused; tells how long that took.
    pub(super) async fn refuses(&self) -> Duration {
        wait("a refusal", PATIENCE, || self.check(READ) == "revoked.workflow")
            .await
            .unwrap_or_else(|late| panic!("{late}: {:?}", self.feed.status()))
    }

    /// Waits until a head above this one is in force; tells how long that took.
    pub(super) async fn passes(&self, seq: u64) -> Duration {
        wait("a newer head", PATIENCE, || self.seq() > seq)
            .await
            .unwrap_or_else(|late| panic!("{late}: {:?}", self.feed.status()))
    }

    pub(super) fn seq(&self) -> u64 {
        self.trust.state().seq()
    }

    /// The circuit breaker of a source, and why it failed last.
    pub(super) fn source(&self, name: &str) -> (BreakerState, Option<String>) {
        let status = self.feed.status();
        let source = status.sources.into_iter().find(|source| source.name == name).expect("a source");
        (source.state, source.error)
    }
}

/// Waits until it holds; tells how long that took, or that it did not in time.
pub(super) async fn wait(what: &str, most: Duration, holds: impl Fn() -> bool) -> Result<Duration, String> {
    let clock = SystemClock::start();
    while !holds() {
        if clock.monotonic() > most {
            return Err(format!("no {what} within {most:?}"));
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(clock.monotonic())
}
