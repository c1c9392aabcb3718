//! A configuration, key, store or policy that is not as it should be stops the broker with words that say what to do.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;

use shortbread_broker::broker::{Broker, Parts};
use shortbread_broker::config::{Config, Keys};
use shortbread_broker::http::{Server, router};
use shortbread_broker::identity::HttpFetch;
use shortbread_broker::keyring::{Keyring, read_private};
use shortbread_broker::setup;
use shortbread_broker::store::{Options, Store, StoreKind};
use shortbread_protocol::clock::{Clock, ManualClock, Timestamp};
use shortbread_protocol::random::{Random, SystemRandom};
use shortbread_tests::{POLICY, World};
use tempfile::TempDir;

const ISSUER: &str = "https://broker.acme.example";
const NOW: Timestamp = Timestamp::from_seconds(1_795_176_000);

/// A folder as for `init`, with fresh keys that are no `dev` keys.
struct Place(TempDir);

impl Place {
    fn new() -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        place.write("broker.toml", &format!("issuer = \"{ISSUER}\"\n"));
        place.write("policy.toml", POLICY);
        setup::make_keys(&place.config().keys, &SystemRandom, false).unwrap();
        for name in ["demo", "other", "operator", "second"] {
            let path = place.path("keys").join(format!("{name}.pem"));
            setup::make_key(&path, &SystemRandom, false).unwrap();
        }
        setup::make_document(&place.config().keys, ISSUER, NOW, false).unwrap();
        place
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn config(&self) -> Config {
        Config::read(&self.path("broker.toml")).unwrap()
    }

    fn keys(&self) -> Keys {
        self.config().keys
    }

    /// What is said when the keys are read for `serve`.
    fn keyring(&self) -> String {
        said(Keyring::read(&self.keys(), ISSUER, false, Arc::new(ManualClock::at(NOW))))
    }

    async fn init(&self, kind: StoreKind) -> Result<Store, setup::SetupError> {
        let (clock, random): (Arc<dyn Clock>, Arc<dyn Random>) =
            (Arc::new(ManualClock::at(NOW)), Arc::new(SystemRandom));
        setup::init(&self.config(), &clock, &random, kind).await
    }

    fn open(&self) -> String {
        said(Store::open(&self.path("shortbread.db"), &Options::default()))
    }
}

fn said<T, E: std::fmt::Display>(result: Result<T, E>) -> String {
    result.err().map_or_else(|| "nothing is wrong".to_owned(), |error| error.to_string())
}

fn says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn sound_keys_are_taken() {
    assert_eq!(Place::new().keyring(), "nothing is wrong");
}

#[test]
fn a_missing_key_is_named() {
    for name in ["token.pem", "revocation.pem", "audit.pem", "root.pub.pem", "key-document.txt"] {
        let place = Place::new();
        fs::remove_file(place.path("keys").join(name)).unwrap();
        says(&place.keyring(), &[name, "cannot be read"]);
    }
}

#[test]
fn a_private_key_that_others_can_read_is_refused() {
    for (name, mode) in [("token.pem", 0o640), ("revocation.pem", 0o604), ("audit.pem", 0o660)] {
        let place = Place::new();
        let path = place.path("keys").join(name);
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        says(&place.keyring(), &[name, "can be read by others", "chmod 600"]);
    }
}

#[test]
fn a_key_of_another_kind_is_refused() {
    let place = Place::new();
    let (token, public) = (place.path("keys/token.pem"), place.path("keys/token.pub.pem"));
    let secret = fs::read_to_string(&token).unwrap();
    for text in
        ["", "not a key", &fs::read_to_string(public).unwrap(), &secret.replace("PRIVATE", "EC PRIVATE")]
    {
        fs::write(&token, text).unwrap();
        let message = place.keyring();
        says(&message, &["token.pem", "not an Ed25519 private key"]);
        let body = secret.lines().nth(1).unwrap();
        assert!(!message.contains(body), "the key stands in the message");
    }
    fs::write(place.path("keys/root.pub.pem"), secret).unwrap();
    says(&place.keyring(), &["root.pub.pem", "not an Ed25519 public key"]);
}

#[test]
fn sample_and_dev_keys_are_for_dev_alone() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../keys.example");
    for name in ["token.pem", "root.pub.pem"] {
        let place = Place::new();
        fs::write(place.path("keys").join(name), fs::read_to_string(samples.join(name)).unwrap()).unwrap();
        says(&place.keyring(), &[name, "sample key that everyone knows", "keys generate"]);
    }
    let place = Place::new();
    fs::remove_file(place.path("keys/revocation.pem")).unwrap();
    setup::make_key(&place.path("keys/revocation.pem"), &SystemRandom, true).unwrap();
    says(&place.keyring(), &["revocation.pem", "made by `shortbread dev`", "refused here"]);
    assert!(read_private(&place.path("keys/revocation.pem"), true).is_ok());
}

#[test]
fn a_key_that_the_root_key_did_not_sign_for_is_refused() {
    let place = Place::new();
    for (name, purpose) in [("token", "token"), ("revocation", "revocation"), ("audit", "audit")] {
        let path = place.path("keys").join(format!("{name}.pem"));
        let kept = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        setup::make_key(&path, &SystemRandom, false).unwrap();
        says(&place.keyring(), &[purpose, "not in the key document"]);
        fs::write(&path, kept).unwrap();
    }
    // One key is for one purpose.
    fs::copy(place.path("keys/token.pem"), place.path("keys/revocation.pem")).unwrap();
    says(&place.keyring(), &["revocation", "not in the key document"]);
}

#[test]
fn a_document_of_another_root_or_broker_is_refused() {
    let (place, other) = (Place::new(), Place::new());
    fs::copy(other.path("keys/root.pub.pem"), place.path("keys/root.pub.pem")).unwrap();
    says(&place.keyring(), &["key-document.txt", "not believed"]);
    let place = Place::new();
    says(
        &said(Keyring::read(&place.keys(), "https://other.example", false, Arc::new(ManualClock::at(NOW)))),
        &["key-document.txt"],
    );
    let path = place.path("keys/key-document.txt");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("version 1", "version 2", 1)).unwrap();
    says(&place.keyring(), &["key-document.txt", "not believed"]);
    fs::write(&path, "").unwrap();
    says(&place.keyring(), &["key-document.txt"]);
}

#[test]
fn a_config_that_cannot_be_is_refused() {
    let place = Place::new();
    let read = |text: &str| {
        place.write("other.toml", text);
        said(Config::read(&place.path("other.toml")))
    };
    let issuer = format!("issuer = \"{ISSUER}\"\n");
    for (text, parts) in [
        (String::new(), vec!["other.toml", "issuer"]),
        (format!("{issuer}lissen = \"127.0.0.1:1\""), vec!["unknown field `lissen`"]),
        (format!("{issuer}[keys]\ntokens = \"x\""), vec!["unknown field `tokens`"]),
        (format!("{issuer}[store]\npassword = \"x\""), vec!["unknown field `password`"]),
        (format!("{issuer}listen = \"everywhere\""), vec!["listen"]),
        (
            format!("{issuer}[network]\ntrusted_proxies = [\"10.0.0.0/64\"]"),
            vec!["10.0.0.0/64", "10.0.0.0/8"],
        ),
        (format!("{issuer}[limits]\nin_flight = 0"), vec!["limit of 0"]),
        (format!("{issuer}[limits]\nstreams = 0"), vec!["limit of 0"]),
        (format!("{issuer}{issuer}"), vec!["duplicate key"]),
        ("issuer = \"http://broker.acme.example\"".to_owned(), vec!["not a URL like https://"]),
        ("issuer = \"http://localhost.acme.example\"".to_owned(), vec!["not a URL like https://"]),
        ("issuer = \"https://broker.acme.example/\"".to_owned(), vec!["no slash at the end"]),
        ("issuer = \"https://a@broker.acme.example\"".to_owned(), vec!["not a URL like https://"]),
    ] {
        says(&read(&text), &parts);
    }
    says(&said(Config::read(&place.path("absent.toml"))), &["absent.toml", "cannot be read", "--config"]);
}

#[tokio::test]
async fn a_port_that_is_taken_is_named() {
    let world = World::start().await;
    let address = world.broker.config.listen;
    let second = Server::bind(address, router(Arc::clone(&world.broker))).await;
    says(&said(second), &[&address.to_string(), "cannot be listened on", "choose another"]);
}

#[tokio::test]
async fn a_store_in_use_or_of_another_kind_is_refused() {
    let place = Place::new();
    says(&place.open(), &["there is no store at", "shortbread.db", "shortbread init"]);
    let store = place.init(StoreKind::Broker).await.unwrap();
    says(&place.open(), &["another process holds the store", "one broker at a time"]);
    drop(store);
    says(&said(place.init(StoreKind::Broker).await), &["initialised already"]);
    let place = Place::new();
    drop(place.init(StoreKind::Dev).await.unwrap());
    says(&place.open(), &["made by `shortbread dev`", "shortbread init"]);
}

#[tokio::test]
async fn a_store_that_is_none_or_cannot_be_written_is_refused() {
    let place = Place::new();
    place.write(
        "shortbread.db",
        "just some text, long enough to be looked at as a file of a hundred bytes or more …………………",
    );
    says(&place.open(), &["shortbread.db", "not an SQLite database"]);
    let place = Place::new();
    drop(place.init(StoreKind::Broker).await.unwrap());
    let file = place.path("shortbread.db");
    let change = |sql: &str| rusqlite::Connection::open(&file).unwrap().execute(sql, []).unwrap();
    change("INSERT INTO refinery_schema_history VALUES (99, 'later', 'x', '1')");
    says(&place.open(), &["schema version 99", "use the newer program"]);
    change("DELETE FROM refinery_schema_history WHERE version = 99");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
    says(&place.open(), &["is read-only"]);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    assert_eq!(place.open(), "nothing is wrong");
}

#[tokio::test]
async fn a_store_of_another_broker_is_refused() {
    let place = Place::new();
    let store = place.init(StoreKind::Broker).await.unwrap();
    let keyring = Keyring::read(&place.keys(), ISSUER, false, Arc::new(ManualClock::at(NOW))).unwrap();
    let config = Config { issuer: "https://other.example".to_owned(), ..place.config() };
    let fetch = Arc::new(HttpFetch::new().unwrap());
    let (clock, random) = (Arc::new(ManualClock::at(NOW)), Arc::new(SystemRandom));
    let started = Broker::start(Parts { config, keyring, store, clock, random, fetch }).await;
    says(
        &said(started),
        &["belongs to https://broker.acme.example", "https://other.example", "correct `issuer`"],
    );
}

#[tokio::test]
async fn a_first_policy_that_is_missing_or_broken_can_be_corrected() {
    let place = Place::new();
    fs::remove_file(place.path("policy.toml")).unwrap();
    says(&said(place.init(StoreKind::Broker).await), &["policy.toml", "cannot be read"]);
    place.write("policy.toml", &format!("{POLICY}\n[[grant]]\nworkflow = \"demo\""));
    says(&said(place.init(StoreKind::Broker).await), &["policy.toml", "\"grant\" is no part of a policy"]);
    place.write("policy.toml", &POLICY.replace("keys/demo.pub.pem", "keys/absent.pub.pem"));
    says(&said(place.init(StoreKind::Broker).await), &["keys/absent.pub.pem", "cannot be read"]);
    place.write("policy.toml", "");
    says(&said(place.init(StoreKind::Broker).await), &["policy.toml"]);
    assert!(!place.path("shortbread.db").exists(), "nothing was begun");
    place.write("policy.toml", POLICY);
    assert!(place.init(StoreKind::Broker).await.is_ok());
}

#[tokio::test]
async fn a_policy_does_not_take_sample_and_dev_keys() {
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../keys.example");
    let place = Place::new();
    fs::copy(samples.join("workflow.pub.pem"), place.path("keys/demo.pub.pem")).unwrap();
    says(
        &said(place.init(StoreKind::Broker).await),
        &["keys/demo.pub.pem", "sample key that everyone knows"],
    );
    fs::remove_file(place.path("keys/demo.pem")).unwrap();
    setup::make_key(&place.path("keys/demo.pem"), &SystemRandom, true).unwrap();
    says(&said(place.init(StoreKind::Broker).await), &["keys/demo.pub.pem", "made by `shortbread dev`"]);
    assert!(place.init(StoreKind::Dev).await.is_ok());
}

#[tokio::test]
async fn without_a_sound_policy_nothing_is_granted_to_anyone() {
    let world = World::start().await;
    let old = world.operator("alice", "policy.read").await;
    let world = world
        .restart_after(|folder| {
            let store = rusqlite::Connection::open(folder.join("shortbread.db")).unwrap();
            store.execute("UPDATE policy_version SET bundle = CAST('{}' AS BLOB)", []).unwrap();
        })
        .await;
    let missing = (503, "temporarily_unavailable", "policy.missing");
    for answer in [world.demo("github:issues.read").await, world.sign_in("alice", "revocations.revoke").await]
    {
        assert_eq!(answer.refusal(), missing);
        assert!(!answer.header("retry-after").is_empty());
    }
    let ready = world.get("/readyz").await;
    assert_eq!((ready.status, ready.text("/store")), (503, "ok"));
    assert!(ready.text("/policy").contains("nothing is granted"));
    assert_eq!(world.get("/healthz").await.status, 200);
    // The switch that someone holds still works, and so do the lists.
    assert_eq!(world.call("get", "/api/v1/policy", Some(&old), None).await.status, 200);
    assert_eq!(world.head().await.status, 200);
}
