//! The list is published as files: any web server serves them, a verifier that follows such a mirror alone refuses
//! what is revoked, and a mirror that goes back takes nobody along.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{StatusCode, Uri};
use serde_json::Value;
use shortbread_protocol::clock::{Clock, SystemClock};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::process::{Home, Running, free_address};
use shortbread_verifier::decision::{Call, Checker as _, Presented};
use shortbread_verifier::feed::{Feed, FeedConfig, Step};
use shortbread_verifier::list::{Pin, Trust};
use shortbread_verifier::{Verifier, VerifierConfig};

const ROOT: &str = ".shortbread/keys/root.pub.pem";
const PATIENCE: Duration = Duration::from_secs(20);
const PUBLISH: [&str; 5] = ["revocations", "publish", "mirror", "--root", ROOT];

/// A broker with a client that is logged in.
fn dev(home: &Home, address: &str) -> Running {
    let mut broker = home.start(&["dev", "--listen", address]);
    broker.wait_for("Stop it with Ctrl-C");
    broker
}

/// A web server that knows nothing but files below a folder, which can be changed for another.
async fn serve(folder: &Arc<Mutex<PathBuf>>) -> String {
    let folder = Arc::clone(folder);
    let get = move |uri: Uri| {
        let path = folder.lock().unwrap().join(uri.path().trim_start_matches('/'));
        std::future::ready(std::fs::read(path).map_err(|_| StatusCode::NOT_FOUND))
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async { axum::serve(listener, axum::Router::new().fallback(get)).await });
    format!("http://{address}")
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else {
            std::fs::copy(&from, &to).unwrap();
        }
    }
}

/// A tool service that has never heard of the broker's address.
struct Follower {
    verifier: Verifier,
    feed: Feed,
    token: String,
}

impl Follower {
    fn new(home: &Home, issuer: &str, mirror: &str) -> Self {
        let pem = home.read(ROOT);
        let root = PublicKey::from_pem(pem.get(pem.find("-----BEGIN").unwrap()..).unwrap()).unwrap();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::start());
        let pin = Pin { issuer: issuer.to_owned(), root };
        let trust = Arc::new(Trust::new(pin, clock, None).unwrap());
        let feed = Feed::new(Arc::clone(&trust), &FeedConfig::new(mirror), Arc::new(SystemRandom)).unwrap();
        let ask = ["exchange", "--workflow", "demo", "--key", ".shortbread/keys/demo.pem"];
        let answer = home.json(&[&ask[..], &["--scope", "github:issues.read"]].concat());
        let token = answer["access_token"].as_str().unwrap().to_owned();
        let audience = audience(&home.read(".shortbread/policy.toml"));
        let verifier = Verifier::new(trust, VerifierConfig { audience }).unwrap();
        Self { verifier, feed, token }
    }

    fn check(&self) -> &'static str {
        let call = Call { tool: "github", verb: "issues.read", args: None };
        self.verifier
            .check(&Presented::bearer(&self.token), &call)
            .reason
            .map_or("allowed", |reason| reason.code())
    }

    async fn until(&mut self, reason: &str) {
        let clock = SystemClock::start();
        while self.check() != reason {
            assert!(clock.monotonic() < PATIENCE, "still {:?}, not {reason:?}", self.check());
            // A head may be replaced while its files are fetched.
            let _ = self.feed.step().await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

/// The audience of tool `github` in a policy.
fn audience(policy: &str) -> String {
    let policy: toml::Table = policy.parse().unwrap();
    policy["tools"]["github"]["audience"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_verifier_follows_a_mirror_alone() {
    let (home, address) = (Home::new(), free_address());
    let mut broker = dev(&home, &address);
    let mut mirroring = home.start(&[&PUBLISH[..], &["--watch"]].concat());
    mirroring.wait_for("following the broker's stream");
    let folder = Arc::new(Mutex::new(home.path("mirror")));
    let mirror = serve(&folder).await;
    let mut tool = Follower::new(&home, &format!("http://{address}"), &mirror);
    assert_ne!(tool.check(), "allowed", "there is no list yet");
    tool.until("allowed").await;
    copy(&home.path("mirror"), &home.path("old"));
    home.ok(&["revoke", "--workflow", "demo", "--reason", "a test"]);
    tool.until("revoked.workflow").await;
    // A mirror that serves an old head takes nobody back.
    *folder.lock().unwrap() = home.path("old");
    assert_eq!(tool.feed.step().await.unwrap(), Step::Older);
    assert_eq!(tool.check(), "revoked.workflow");
    *folder.lock().unwrap() = home.path("mirror");
    // The broker goes and comes back; the mirror says so and goes on by itself.
    broker.signal("INT");
    broker.wait();
    mirroring.wait_for("no stream now");
    mirroring.wait_for("no connection to the broker");
    let _broker = dev(&home, &address);
    mirroring.wait_for("renewed again");
    home.ok(&["lift", "--workflow", "demo", "--revive", "--reason", "a test"]);
    tool.until("allowed").await;
    mirroring.signal("INT");
    assert_eq!(mirroring.wait().code(), Some(0), "{}", mirroring.said());
    assert!(mirroring.said().contains("no longer renewed"), "{}", mirroring.said());
}

#[test]
fn what_is_published_holds_together_or_is_not_written() {
    let (home, address) = (Home::new(), free_address());
    let _broker = dev(&home, &address);
    let head = home.path("mirror/revocations/head");
    home.ok(&["keys", "generate", "--purpose", "root", "--out", "other.pem"]);
    home.refused(&["revocations", "publish", "mirror", "--root", "other.pub.pem"], &["key"]);
    assert!(!head.exists(), "nothing is served that was not believed");
    let first = home.json(&PUBLISH);
    assert_eq!((&first["event"], &first["signature_checked"]), (&Value::from("written"), &Value::from(true)));
    assert_eq!(first["files"], 2, "key document and snapshot: {first}");
    home.ok(&["revoke", "--workflow", "nobody", "--reason", "a test"]);
    let second = home.json(&PUBLISH);
    assert!(
        second["seq"].as_u64() > first["seq"].as_u64() && second["files"].as_u64() >= Some(1),
        "{second}"
    );
    let again = home.json(&PUBLISH);
    assert_eq!((&again["files"], &again["contents"]), (&Value::from(0), &second["contents"]));
    // A file that was damaged since is replaced.
    let snapshots =
        || std::fs::read_dir(home.path("mirror/revocations/snapshot")).unwrap().map(|e| e.unwrap().path());
    snapshots().for_each(|path| std::fs::write(path, "x").unwrap());
    assert!(home.json(&PUBLISH)["files"].as_u64() >= Some(1));
    // A mirror never goes back, and is nobody else's.
    let text = std::fs::read_to_string(&head).unwrap();
    let seq = text.lines().find(|line| line.starts_with("seq ")).unwrap();
    std::fs::write(&head, text.replacen(seq, "seq 999999", 1)).unwrap();
    home.refused(&PUBLISH, &["the mirror has list 999999 already", "what to do"]);
    std::fs::write(&head, text.replacen(&address, "other.example", 1)).unwrap();
    home.refused(&PUBLISH, &["is not a list of", "an empty one"]);
    home.refused(&["revocations", "publish", "mirror", "--broker", "http://127.0.0.1:9"], &["no connection"]);
}
