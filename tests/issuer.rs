//! An issuer of workload identities behind a network that is not there.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shortbread_broker::identity::{Fetch, FetchError, Fetched};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SystemRandom;

use crate::client::jws;

/// An OpenID Connect issuer with one Ed25519 key.
pub struct FakeIssuer {
    key: PrivateKey,
    down: AtomicBool,
    asked: AtomicUsize,
}

impl FakeIssuer {
    /// Its `iss`.
    pub const URL: &str = "https://ci.acme.example";

    /// One that answers, with a fresh key.
    ///
    /// # Panics
    /// When there is no randomness.
    #[must_use]
    pub fn start() -> Arc<Self> {
        let key = PrivateKey::generate(&SystemRandom).expect("randomness");
        Arc::new(Self { key, down: AtomicBool::new(false), asked: AtomicUsize::new(0) })
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

    /// A token over these claims.
    #[must_use]
    pub fn token(&self, claims: &Value) -> String {
        jws(&self.key, &json!({ "alg": "EdDSA", "typ": "JWT", "kid": "one" }), claims)
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
