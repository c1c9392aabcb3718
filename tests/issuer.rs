//! Issuers of workload identities behind a network that is not there: a CI system, a cluster, a SPIFFE trust domain.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use serde_json::{Value, json};
use shortbread_broker::identity::{Fetch, FetchError, Fetched};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::{Random as _, SystemRandom};

use crate::client::jws;

/// All of them, each with a key of its own: the CI system's is Ed25519, the others' P-256.
pub struct FakeIssuer {
    key: PrivateKey,
    cluster: SigningKey,
    domain: SigningKey,
    down: AtomicBool,
    asked: AtomicUsize,
}

impl FakeIssuer {
    /// The CI system's `iss`.
    pub const URL: &str = "https://ci.acme.example";
    /// The cluster's `iss`.
    pub const CLUSTER: &str = "https://kubernetes.default.svc";
    /// Where the trust domain's bundle is.
    pub const BUNDLE: &str = "https://spire.acme.example/bundle";

    /// One that answers, with fresh keys.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn start() -> Arc<Self> {
        let key = PrivateKey::generate(&SystemRandom).expect("randomness");
        let [cluster, domain] = [es256_key(), es256_key()];
        Arc::new(Self { key, cluster, domain, down: AtomicBool::new(false), asked: AtomicUsize::new(0) })
    }

    /// Lets it answer nobody, or everybody again.
    pub fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
    }

    /// How often it was asked for a document.
    #[must_use]
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// A token of the CI system over these claims.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        jws(&self.key, &json!({ "alg": "EdDSA", "typ": "JWT", "kid": "one" }), claims)
    }

    /// A token of the cluster over these claims.
    #[must_use]
    pub fn service_account(&self, claims: &Value) -> String {
        es256(&self.cluster, &json!({ "alg": "ES256", "kid": "cluster" }), claims)
    }

    /// A JWT-SVID of the trust domain over these claims.
    #[must_use]
    pub fn svid(&self, claims: &Value) -> String {
        es256(&self.domain, &json!({ "alg": "ES256", "typ": "JWT", "kid": "svid" }), claims)
    }

    /// The cluster's key set, as it would be pinned in a file.
    #[must_use]
    pub fn cluster_keys(&self) -> Value {
        json!({ "keys": [es256_jwk(&self.cluster, "cluster", "sig")] })
    }

    /// The trust domain's bundle: certificates beside the keys of tokens.
    #[must_use]
    pub fn bundle(&self) -> Value {
        let certificate = es256_jwk(&self.cluster, "x509", "x509-svid");
        json!({ "keys": [certificate, es256_jwk(&self.domain, "svid", "jwt-svid")], "spiffe_sequence": 1 })
    }

    fn document(&self, url: &str) -> Result<Fetched, FetchError> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if self.down.load(Ordering::Relaxed) {
            return Err(FetchError::Failed);
        }
        let document = match url.strip_prefix(Self::URL) {
            Some("/.well-known/openid-configuration") => {
                json!({ "issuer": Self::URL, "jwks_uri": format!("{}/keys", Self::URL) })
            }
            Some("/keys") => {
                let x = URL_SAFE_NO_PAD.encode(self.key.public().as_bytes());
                json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x }] })
            }
            _ if url == Self::BUNDLE => self.bundle(),
            _ => return Err(FetchError::Status(404)),
        };
        Ok(Fetched { body: document.to_string().into_bytes(), max_age: None })
    }
}

impl Fetch for FakeIssuer {
    fn fetch<'a>(
        &'a self,
        url: &'a str,
        _: bool,
    ) -> Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + 'a>> {
        Box::pin(async move { self.document(url) })
    }
}

fn es256_key() -> SigningKey {
    let mut seed = [0; 32];
    SystemRandom.fill(&mut seed).expect("randomness");
    SigningKey::from_slice(&seed).expect("a scalar")
}

fn es256_jwk(key: &SigningKey, kid: &str, usage: &str) -> Value {
    let point = key.verifying_key().to_encoded_point(false);
    let [x, y] = [point.x(), point.y()].map(|part| URL_SAFE_NO_PAD.encode(part.expect("a point")));
    json!({ "kty": "EC", "crv": "P-256", "kid": kid, "use": usage, "x": x, "y": y })
}

fn es256(key: &SigningKey, header: &Value, claims: &Value) -> String {
    let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let input = format!("{header}.{claims}");
    let signature: Signature = key.sign(input.as_bytes());
    format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
}
