//! A broker's view of the world: issuers behind a fake network, keys at hand, a clock that is told.

mod assertions;
mod fetching;
mod groups;
mod issuers;
mod keys;
mod platforms;
mod reading;
mod svids;
mod tokens;

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use jsonwebtoken::EncodingKey;
use serde_json::json;
use shortbread_protocol::clock::ManualClock;
use shortbread_protocol::keys::PrivateKey;
use tokio::sync::Semaphore;

use super::*;
use crate::breaker::Maker;
use crate::config::Breakers;
use crate::policy::model::{KeySource, Oidc};

const NOW: u64 = 1_795_176_000;
/// For what does not depend on time.
const NEVER: Times =
    Times { issued: None, expires: Timestamp::from_seconds(0), last: Timestamp::from_seconds(0) };
const BROKER: &str = "https://broker.acme.example";
const GITHUB: &str = "https://token.actions.githubusercontent.com";
const DISCOVERY: &str = "https://token.actions.githubusercontent.com/.well-known/openid-configuration";
const JWKS: &str = "https://token.actions.githubusercontent.com/.well-known/jwks";

/// Answers by URL, counts requests, and can hold every answer back.
struct FakeFetch {
    answers: Mutex<HashMap<String, Result<Fetched, FetchError>>>,
    requests: Mutex<Vec<(String, bool)>>,
    gate: Semaphore,
}

impl FakeFetch {
    fn serve(&self, url: &str, body: &Value) {
        self.serve_bytes(url, body.to_string().into_bytes(), None);
    }

    fn serve_bytes(&self, url: &str, body: Vec<u8>, max_age: Option<Duration>) {
        self.answers.lock().unwrap().insert(url.to_owned(), Ok(Fetched { body, max_age }));
    }

    fn fail(&self, url: &str, error: FetchError) {
        self.answers.lock().unwrap().insert(url.to_owned(), Err(error));
    }

    fn count(&self, url: &str) -> usize {
        self.requests.lock().unwrap().iter().filter(|(asked, _)| asked == url).count()
    }

    fn total(&self) -> usize {
        self.requests.lock().unwrap().len()
    }
}

impl Fetch for FakeFetch {
    fn fetch<'a>(&'a self, url: &'a str, allow_private: bool) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        self.requests.lock().unwrap().push((url.to_owned(), allow_private));
        Box::pin(async move {
            let _permit = self.gate.acquire().await.unwrap();
            self.answers.lock().unwrap().get(url).cloned().unwrap_or(Err(FetchError::Status(404)))
        })
    }
}

/// A broker with GitHub's issuer up and serving the RSA key `rsa`, the P-256 key `ec`, the Ed25519 key `ed`.
struct World {
    clock: Arc<ManualClock>,
    net: Arc<FakeFetch>,
    identities: Arc<Identities>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(NOW)));
        let net = Arc::new(FakeFetch {
            answers: Mutex::default(),
            requests: Mutex::default(),
            gate: Semaphore::new(1000),
        });
        net.serve(DISCOVERY, &json!({ "issuer": GITHUB, "jwks_uri": JWKS }));
        net.serve(JWKS, &json!({ "keys": [rsa_jwk("rsa"), ec_jwk("ec"), ed_jwk("ed")] }));
        // Breakers have tests of their own; here they stay out of the way.
        let settings = Breakers { failures: 100, open_ms: 1 };
        let breakers = Maker::new(settings, clock.clone(), Arc::new(|_| {}));
        let identities = Arc::new(Identities::new(clock.clone(), net.clone(), BROKER).guarded(breakers));
        Self { clock, net, identities }
    }

    async fn cause(&self, assertion: &str, entries: &[Identity]) -> Cause {
        match self.identities.verify(assertion, entries).await {
            Err(IdentityError::Invalid(cause)) => cause,
            other => panic!("not an invalid identity: {other:?}"),
        }
    }
}

fn private() -> PrivateKey {
    PrivateKey::from_seed(&[7; 32])
}

fn rsa_jwk(kid: &str) -> Value {
    json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": keys::TEST_ONLY_RSA_N, "e": "AQAB",
        "x5t": "ykNaY4qM_ta4k2TgZOCEYLkcYlA" })
}

fn ec_jwk(kid: &str) -> Value {
    json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": keys::TEST_ONLY_P256_X, "y": keys::TEST_ONLY_P256_Y })
}

fn ed_jwk(kid: &str) -> Value {
    let x = URL_SAFE_NO_PAD.encode(private().public().as_bytes());
    json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": x })
}

fn github() -> Oidc {
    Oidc {
        issuer: GITHUB.to_owned(),
        audience: BROKER.to_owned(),
        claims: members(json!({ "repository_id": "456789", "environment": "prod",
            "job_workflow_ref": "acme/web/.github/workflows/notes.yml@refs/heads/main" })),
        membership: None,
        keys: KeySource::Discovery,
        allow_private: false,
        reuse_until_expiry: false,
        max_age: None,
    }
}

fn members(value: Value) -> BTreeMap<String, Value> {
    let Value::Object(members) = value else { panic!("not an object: {value}") };
    members.into_iter().collect()
}

fn workflow(name: &str, proof: Proof) -> Identity {
    let principals = vec![Principal::Workflow(name.parse().unwrap())];
    Identity { entry: name.to_owned(), principals, tools: Vec::new(), proof }
}

fn notes(oidc: Oidc) -> Vec<Identity> {
    vec![workflow("release-notes", Proof::Oidc(oidc))]
}

/// What GitHub Actions says since subjects carry ids.
fn github_claims() -> Value {
    json!({
        "iss": GITHUB, "aud": BROKER, "sub": "repo:acme@1234/web@456789:environment:prod",
        "jti": "4a1d61f9-2a9c-4d0b-9d7b-6f1f2f5e5a10", "iat": NOW - 5, "nbf": NOW - 5, "exp": NOW + 300,
        "repository": "acme/web", "repository_id": "456789", "repository_owner_id": "1234",
        "environment": "prod", "event_name": "push", "ref": "refs/heads/main", "run_attempt": "1",
        "job_workflow_ref": "acme/web/.github/workflows/notes.yml@refs/heads/main",
    })
}

fn demo_claims() -> Value {
    json!({ "iss": "workflow:demo", "sub": "workflow:demo", "aud": BROKER, "jti": "01KB0ZQ2D7Z0J4M1",
        "iat": NOW, "exp": NOW + 60 })
}

fn demo() -> Vec<Identity> {
    vec![workflow("demo", Proof::Key(private().public()))]
}

/// Sets members of an object; `null` takes one away.
fn with(mut value: Value, changes: Value) -> Value {
    let object = value.as_object_mut().unwrap();
    for (name, change) in members(changes) {
        match change {
            Value::Null => object.remove(&name),
            other => object.insert(name, other),
        };
    }
    value
}

fn input(header: &Value, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    format!("{header}.{claims}")
}

fn signed(header: &Value, claims: &Value, key: &EncodingKey, algorithm: jsonwebtoken::Algorithm) -> String {
    let input = input(header, claims);
    let signature = jsonwebtoken::crypto::sign(input.as_bytes(), key, algorithm).unwrap();
    format!("{input}.{signature}")
}

fn rs256(header: Value, claims: &Value) -> String {
    let key = EncodingKey::from_rsa_pem(keys::TEST_ONLY_RSA.as_bytes()).unwrap();
    signed(
        &with(json!({ "alg": "RS256", "kid": "rsa", "typ": "JWT" }), header),
        claims,
        &key,
        jsonwebtoken::Algorithm::RS256,
    )
}

fn es256(header: Value, claims: &Value) -> String {
    let key = EncodingKey::from_ec_pem(keys::TEST_ONLY_P256.as_bytes()).unwrap();
    signed(
        &with(json!({ "alg": "ES256", "kid": "ec" }), header),
        claims,
        &key,
        jsonwebtoken::Algorithm::ES256,
    )
}

fn eddsa(header: Value, claims: &Value) -> String {
    let input = input(&with(json!({ "alg": "EdDSA" }), header), claims);
    let signature = private().sign(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
}
