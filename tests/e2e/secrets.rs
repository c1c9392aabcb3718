//! Nothing secret is kept or shown: not in the audit log, not in the store, not in a log line, not in `Debug`.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use serde_json::json;
use shortbread_broker::keyring::Keyring;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::Operation;
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::World;
use shortbread_verifier::chain::{Token, decode};
use shortbread_verifier::narrow::{Narrowing, narrow};
use tracing_subscriber::EnvFilter;

/// What must be found nowhere, by a name for the message.
#[derive(Default)]
struct Secrets(Vec<(String, Vec<u8>)>);

impl Secrets {
    /// In every spelling that someone may have given it.
    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let debug = format!("{bytes:?}");
        for text in [hex.to_uppercase(), hex, STANDARD.encode(bytes), URL_SAFE.encode(bytes), debug] {
            self.0.push((name.to_owned(), text.trim_matches(['[', ']', '=']).as_bytes().to_vec()));
        }
        self.0.push((name.to_owned(), bytes.to_vec()));
    }

    fn key(&mut self, name: &str, key: &PrivateKey) {
        self.bytes(name, &*key.seed());
    }

    /// A token as text, its bytes, and the secret at its end with which it could be narrowed.
    fn token(&mut self, name: &str, token: &str) {
        self.0.push((name.to_owned(), token.trim_end_matches('=').as_bytes().to_vec()));
        let bytes = decode(token).unwrap();
        let end = bytes.len() - 32;
        self.bytes(&format!("the secret of {name}"), &bytes[end..]);
        self.0.push((format!("the bytes of {name}"), bytes));
    }

    /// A JWS is as good as its signature.
    fn assertion(&mut self, name: &str, jws: &str) {
        let signature = jws.rsplit('.').next().unwrap();
        self.0.push((name.to_owned(), signature.as_bytes().to_vec()));
        self.bytes(name, &URL_SAFE_NO_PAD.decode(signature).unwrap());
    }

    fn absent_from(&self, place: &str, haystack: &[u8]) {
        for (name, secret) in &self.0 {
            assert!(secret.len() >= 32, "{name} is too short to look for");
            let found = haystack.windows(secret.len()).any(|window| window == secret);
            assert!(!found, "{name} is in {place}");
        }
    }
}

/// Collects log lines.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that a broker is asked on a busy day.
async fn busy_day(world: &World, secrets: &mut Secrets) {
    let assertion = world.assertion("workflow:demo", "demo");
    secrets.assertion("a used assertion", &assertion);
    let scope = [("scope", "github:issues.read"), ("intent", "triage")];
    let token = world.present(&assertion, &scope).await.token().to_owned();
    secrets.token("a token", &token);
    assert_eq!(world.present(&assertion, &scope).await.status, 401);
    let denied = world.assertion("workflow:demo", "demo");
    secrets.assertion("an assertion of a denied request", &denied);
    assert_eq!(world.present(&denied, &[("scope", "github:repo.delete")]).await.status, 400);
    let foreign = world.assertion("workflow:demo", "other");
    secrets.assertion("a bad assertion", &foreign);
    assert_eq!(world.present(&foreign, &scope).await.status, 401);
    // As clients do by mistake: a secret where something else belongs.
    let astray = world.assertion("workflow:demo", "demo");
    secrets.assertion("an assertion gone astray", &astray);
    for name in ["client_id", "intent", "task", "release", "ttl", "resource", "subject_token"] {
        let fresh = world.assertion("workflow:demo", "demo");
        secrets.assertion("an assertion beside one gone astray", &fresh);
        let answer = world.present(&fresh, &[("scope", "github:issues.read"), (name, &astray)]).await;
        assert_eq!(answer.status, 400, "{name}");
        secrets.absent_from("an answer", &answer.bytes);
    }
    assert_eq!(world.form("/oauth/token", &[("grant_type", &astray)]).await.status, 400);
    let read: Operation = "github/issues.read".parse().unwrap();
    let by = Narrowing { operations: Some(vec![read]), ..Narrowing::default() };
    let copy = narrow(&token, &by, &SystemRandom).unwrap();
    secrets.token("a narrowed copy", &copy);
    assert_eq!(world.form("/oauth/revoke", &[("token", &copy)]).await.status, 200);
    let operator = world.operator("alice", "revocations.revoke").await;
    secrets.token("an operator's token", &operator);
    let body = json!({ "selectors": [{ "kind": "workflow", "value": "other" }], "reason": "a test" });
    assert_eq!(world.call("post", "/api/v1/revocations", Some(&operator), Some(&body)).await.status, 200);
    assert_eq!(world.call("get", "/api/v1/audit", Some(&operator), None).await.status, 403);
    assert_eq!(world.call("get", "/api/v1/audit", Some(&token), None).await.status, 401);
    assert_eq!(world.admin("policy.activate", "/api/v1/policy/activate", &json!({})).await.status, 200);
    assert_eq!(world.form("/oauth/revoke", &[("token", &token)]).await.status, 200);
}

fn keys_of(world: &World, secrets: &mut Secrets) {
    for name in ["token", "revocation", "audit", "root", "demo", "other", "operator", "second"] {
        secrets.key(&format!("key {name}"), &world.key(name));
    }
}

#[tokio::test]
async fn no_secret_is_kept_or_logged() {
    let lines = Lines::default();
    let writer = lines.clone();
    let filter =
        EnvFilter::new("shortbread_broker=trace,shortbread_verifier=trace,shortbread_protocol=trace");
    let logs =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(move || writer.clone()).json().finish();
    // For all threads: a subscriber of one alone misses what another thread reached first.
    tracing::subscriber::set_global_default(logs).unwrap();
    let (world, mut secrets) = (World::start().await, Secrets::default());
    keys_of(&world, &mut secrets);
    busy_day(&world, &mut secrets).await;
    let entries = world.broker.store.audit_tail(0, 500).await.unwrap();
    assert!(entries.len() > 10, "{}", entries.len());
    for entry in &entries {
        secrets.absent_from("the audit log", &entry.body);
    }
    let logged = lines.0.lock().unwrap().clone();
    let text = String::from_utf8(logged.clone()).unwrap();
    assert!(
        text.contains("a token was refused") && text.contains("a token was issued"),
        "nothing was logged"
    );
    secrets.absent_from("the log", &logged);
    let mut looked = 0;
    for entry in fs::read_dir(world.path("")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            secrets.absent_from(&path.display().to_string(), &fs::read(&path).unwrap());
            looked += 1;
        }
    }
    assert!(looked >= 4, "the store, its log and its lock, the configuration and the policy: {looked}");
}

#[tokio::test]
async fn public_documents_hold_public_halves_alone() {
    let (world, mut secrets) = (World::start().await, Secrets::default());
    keys_of(&world, &mut secrets);
    for path in [
        "/.well-known/jwks.json",
        "/.well-known/biscuit-web-keys",
        "/revocations/head",
        "/revocations/keys/1",
        "/readyz",
    ] {
        let answer = world.get(path).await;
        assert!(answer.status == 200 && !answer.bytes.is_empty());
        secrets.absent_from(path, &answer.bytes);
        assert!(answer.body.pointer("/keys/0/d").is_none());
    }
    for entry in fs::read_dir(world.path("keys")).unwrap() {
        let path = entry.unwrap().path();
        let private =
            path.extension().is_some_and(|end| end == "pem") && !path.to_string_lossy().contains(".pub.");
        if !private {
            secrets.absent_from(&path.display().to_string(), &fs::read(&path).unwrap());
        }
    }
}

#[tokio::test]
async fn debug_shows_no_secret() {
    let (world, mut secrets) = (World::start().await, Secrets::default());
    keys_of(&world, &mut secrets);
    let text = world.demo("github:issues.read").await.token().to_owned();
    secrets.token("a token", &text);
    let token = Token::open(&decode(&text).unwrap(), &*world.broker.keyring).unwrap();
    let shown = [
        format!("{:?}", world.broker.config),
        format!("{:?}", world.broker.policy.in_force()),
        format!("{:?}", world.broker.store.meta()),
        format!("{:?}", world.broker.store.mirror()),
        format!("{:?}", world.broker.keyring.current().document),
        format!("{:?}", world.broker.publisher.current()),
        format!("{:#?}", world.key("token")),
        format!("{:?}", world.key("token").public()),
        format!("{token:#?}"),
        format!("{:?}", token.scope()),
    ];
    for shown in shown {
        secrets.absent_from(&shown, shown.as_bytes());
    }
    assert!(format!("{:?}", world.key("token")).len() < 100);
    let missing = Path::new("/nowhere/token.pem").to_owned();
    let keys = shortbread_broker::config::Keys { token: missing, ..world.broker.config.keys.clone() };
    let error = Keyring::read(&keys, &world.issuer, true, world.clock.clone()).err().unwrap();
    secrets.absent_from("an error", format!("{error:?} {error}").as_bytes());
}
