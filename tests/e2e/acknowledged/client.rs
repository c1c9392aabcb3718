//! A running instance of a verifier that says what a test wants it to.

use std::sync::atomic::{AtomicU64, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::jws;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::verifiers::{
    GOODBYE, GOODBYE_TYPE, Goodbye, LEASE, Message, REPORT, REPORT_TYPE, Report, Step,
};
use shortbread_tests::{Answer, POLICY, World, assertion};

/// The key of verifier `github`, which decides the calls of `github`.
pub(crate) fn github() -> PrivateKey {
    PrivateKey::from_seed(&[101; 32])
}

/// The key of verifier `both`, which decides the calls of both tools.
pub(crate) fn both() -> PrivateKey {
    PrivateKey::from_seed(&[102; 32])
}

/// The tests' policy with the entry of verifier `github`.
pub(crate) fn policy() -> String {
    let entry =
        "[[identities]]\nverifier = \"github\"\ntools = [\"github\"]\nkey = \"keys/github.pub.pem\"\n";
    format!("{POLICY}\n{entry}")
}

/// And with that of `both`.
pub(crate) fn two() -> String {
    let entry = "[[identities]]\nverifier = \"both\"\ntools = [\"github\", \"payments\"]\nkey = \"keys/both.pub.pem\"\n";
    format!("{}\n{entry}", policy())
}

/// A world with a policy such as these.
pub(crate) async fn world(policy: &str) -> World {
    World::builder()
        .policy(policy)
        .file("keys/github.pub.pem", &github().public().to_pem())
        .file("keys/both.pub.pem", &both().public().to_pem())
        .start()
        .await
}

/// An instance that has its lease.
pub(crate) struct Instance {
    pub(crate) key: PrivateKey,
    pub(crate) id: String,
    pub(crate) n: AtomicU64,
}

/// The body that asks for a lease of an instance whose key has this seed.
pub(crate) fn lease_body(assertion: &str, seed: u64, label: &str) -> Value {
    let key = URL_SAFE_NO_PAD.encode(instance_key(seed).public().as_bytes());
    json!({ "assertion": assertion, "key": key, "label": label })
}

pub(crate) fn instance_key(seed: u64) -> PrivateKey {
    let mut bytes = [7; 32];
    bytes[..8].copy_from_slice(&seed.to_be_bytes());
    PrivateKey::from_seed(&bytes)
}

pub(crate) async fn ask(world: &World, body: &Value) -> Answer {
    world.post(LEASE, "application/json", body.to_string()).await
}

/// A lease for an instance of the verifier that has this key.
pub(crate) async fn lease(world: &World, verifier: &str, key: &PrivateKey, seed: u64) -> Instance {
    let proof = assertion(key, &world.claims(&format!("verifier:{verifier}")));
    let answer = ask(world, &lease_body(&proof, seed, &format!("host-{seed}"))).await;
    assert_eq!((answer.status, answer.text("/verifier")), (200, verifier), "{answer:?}");
    let key = instance_key(seed);
    assert_eq!(answer.text("/instance"), key.public().thumbprint());
    Instance { id: key.public().thumbprint(), key, n: AtomicU64::new(0) }
}

impl Instance {
    pub(crate) fn message<T>(&self, world: &World, said: T) -> Message<T> {
        let n = self.n.fetch_add(1, Ordering::Relaxed) + 1;
        Message { aud: world.issuer.clone(), n, iat: world.clock.now().seconds(), said }
    }

    /// What it says of a list with these contents, applied now.
    pub(crate) fn at(&self, world: &World, contents: u64) -> Report {
        let applied_at = Some(world.clock.now().millis());
        Report {
            seq: contents,
            contents,
            keys_version: 1,
            age: Some(1),
            applied_at,
            step: Step::Stream,
            ..Report::default()
        }
    }

    pub(crate) fn signed(&self, message: &Message<Report>) -> String {
        jws::sign(REPORT_TYPE, &self.id, message, &self.key)
    }

    /// Reports that it has these contents.
    pub(crate) async fn report(&self, world: &World, contents: u64) -> Answer {
        let message = self.message(world, self.at(world, contents));
        send(world, REPORT, self.signed(&message)).await
    }

    pub(crate) async fn goodbye(&self, world: &World) -> Answer {
        let message = self.message(world, Goodbye {});
        send(world, GOODBYE, jws::sign(GOODBYE_TYPE, &self.id, &message, &self.key)).await
    }
}

pub(crate) async fn send(world: &World, path: &str, body: impl Into<reqwest::Body>) -> Answer {
    world.post(path, "application/jose", body).await
}

/// The status, as an operator reads it.
pub(crate) async fn status(world: &World, query: &str) -> Value {
    let path = format!("/api/v1/revocations/status{query}");
    let answer = world.admin_read("revocations.read", &path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

/// Enforcing, behind, silent, gone.
pub(crate) fn counts(of: &Value) -> [u64; 4] {
    ["enforcing", "behind", "silent", "gone"].map(|state| of[state].as_u64().unwrap())
}

/// The same of all instances now.
pub(crate) async fn states(world: &World) -> [u64; 4] {
    counts(&status(world, "").await["instances"])
}

/// Revokes something and answers the sequence of the change.
pub(crate) async fn change(world: &World) -> u64 {
    let answer = world.revoke("workflow", "other").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body["seq"].as_u64().unwrap()
}

/// Puts another policy in force.
pub(crate) async fn activate(world: &World, policy: &str) {
    std::fs::write(world.path("policy.toml"), policy).unwrap();
    let done = world.admin("policy.activate", "/api/v1/policy/activate", &json!({})).await;
    assert_eq!(done.status, 200, "{done:?}");
}
