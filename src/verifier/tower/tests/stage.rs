//! A tool service behind the layer, with a verifier and tokens as a broker would make them, and clients that make proofs
//! by hand, so that they can be wrong in every way.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::routing::any;
use axum::{Extension, Router};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::request::Parts;
use http::{HeaderMap, Request};
use p256::ecdsa::signature::Signer as _;
use serde_json::{Value as Json, json};
use shortbread_protocol::biscuit::{
    Alternative, Binary, BlockWriter, Container, Proof, SignedBlock, Symbols, Value, signed_payload,
    write_container,
};
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::{Clock, ManualClock, Timestamp};
use shortbread_protocol::dpop::token_hash;
use shortbread_protocol::keys::{Es256Key, PrivateKey};
use tower::ServiceExt as _;

use crate::chain;
use crate::decision::Decision;
use crate::list::testing::{Broker, ISSUER, NOW, key};
use crate::list::{Next, Pin, Trust};
use crate::tower::{CheckLayer, Mapped, Unmapped};
use crate::{Verifier, VerifierConfig};

pub(super) const ORIGIN: &str = "https://tools.acme.example";
const AUDIENCE: &str = "https://tools.acme.example/github";

/// The verbs of tokens, by their paths.
const RIGHTS: [(&str, &str, &str); 3] = [
    ("github", "issues.read", "read"),
    ("github", "issues.write", "write"),
    ("github", "repo.delete", "privileged"),
];

/// A key of a client.
#[derive(Clone, Copy)]
pub(super) enum Key {
    Ed25519(u8),
    Es256(u8),
}

impl Key {
    fn es256(seed: u8) -> p256::ecdsa::SigningKey {
        p256::ecdsa::SigningKey::from_slice(&[seed; 32]).unwrap()
    }

    pub(super) fn jwk(self) -> Json {
        match self {
            Self::Ed25519(seed) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "x": text(key(seed).public().as_bytes()) })
            }
            Self::Es256(seed) => {
                let point = Self::es256(seed).verifying_key().to_encoded_point(false);
                json!({ "kty": "EC", "crv": "P-256", "x": text(point.x().unwrap()), "y": text(point.y().unwrap()) })
            }
        }
    }

    pub(super) fn thumbprint(self) -> String {
        match self {
            Self::Ed25519(seed) => key(seed).public().thumbprint(),
            Self::Es256(seed) => {
                let point = Self::es256(seed).verifying_key().to_encoded_point(false);
                let half = |half: Option<&p256::FieldBytes>| (*half.unwrap()).into();
                Es256Key::from_xy(&half(point.x()), &half(point.y())).unwrap().thumbprint()
            }
        }
    }

    const fn algorithm(self) -> &'static str {
        match self {
            Self::Ed25519(_) => "EdDSA",
            Self::Es256(_) => "ES256",
        }
    }

    fn sign(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Ed25519(seed) => key(seed).sign(message).to_vec(),
            Self::Es256(seed) => {
                let signature: p256::ecdsa::Signature = Self::es256(seed).sign(message);
                signature.to_bytes().to_vec()
            }
        }
    }
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// A proof in the making.
#[derive(Clone)]
pub(super) struct Making {
    pub(super) key: Key,
    pub(super) header: Json,
    pub(super) claims: Json,
}

impl Making {
    /// A good proof for a POST to a path.
    pub(super) fn new(key: Key, jti: &str, path: &str, token: &str) -> Self {
        let header = json!({ "typ": "dpop+jwt", "alg": key.algorithm(), "jwk": key.jwk() });
        let claims = json!({
            "jti": jti, "htm": "POST", "htu": format!("{ORIGIN}{path}"), "iat": NOW, "ath": text(token_hash(token)),
        });
        Self { key, header, claims }
    }

    /// With another value of a claim; null takes it out.
    pub(super) fn claim(mut self, name: &str, value: Json) -> Self {
        let claims = self.claims.as_object_mut().unwrap();
        if value.is_null() {
            claims.remove(name)
        } else {
            claims.insert(name.to_owned(), value)
        };
        self
    }

    pub(super) fn header(mut self, pointer: &str, value: Json) -> Self {
        *self.header.pointer_mut(pointer).unwrap() = value;
        self
    }

    /// With what a privileged verb wants.
    pub(super) fn call(self, operation: &str, args: &str) -> Self {
        let digest = Args::from_json(args.as_bytes()).unwrap().digest().unwrap();
        self.claim("sb_op", json!(operation)).claim("sb_args", json!(text(digest)))
    }

    pub(super) fn done(&self) -> String {
        let signed = format!("{}.{}", text(self.header.to_string()), text(self.claims.to_string()));
        let signature = text(self.key.sign(signed.as_bytes()));
        format!("{signed}.{signature}")
    }

    /// With the signature of something else.
    pub(super) fn forged(&self) -> String {
        let done = self.done();
        let signed = done.rsplit_once('.').unwrap().0;
        format!("{signed}.{}", text(self.key.sign(b"something else")))
    }
}

/// What is odd about a token.
#[derive(Clone, Copy, Default)]
pub(super) struct Odd {
    /// It ended before now.
    pub(super) expired: bool,
    /// It names its holder and has no check of it, as no broker makes it.
    pub(super) unchecked: bool,
    /// It is good once, for `issues.write` with these arguments.
    pub(super) once: Option<&'static str>,
}

/// A token for all verbs, bound to a key if there is one.
pub(super) fn token(holder: Option<&str>, odd: Odd) -> String {
    let mut block = BlockWriter::after(Symbols::default());
    let ids = [("issuer", ISSUER), ("key", "k2026-11a"), ("workflow", "w"), ("intent", "i"), ("task", "t")];
    for (kind, value) in
        ids.into_iter().chain([("token", "x")]).chain(holder.map(|holder| ("holder", holder)))
    {
        block.fact("id", &[Value::Str(kind), Value::Str(value)]);
    }
    block.fact("issued", &[Value::Date(NOW - 90)]);
    for (tool, verb, access) in RIGHTS {
        block.fact("right", &[tool, verb, access].map(Value::Str));
    }
    if let Some(holder) = holder.filter(|_| !odd.unchecked) {
        // Before all others, so that a test can tell that it does not come first when refusals are told.
        block.check(&[Alternative::new().fact("holder", [Value::Str(holder)])]);
    }
    let digest = odd.once.map(|args| Args::from_json(args.as_bytes()).unwrap().digest().unwrap());
    if let Some(digest) = &digest {
        block.check(&[Alternative::new().fact("unused", [Value::Str("x")])]);
        let operation = Alternative::new().fact("operation", ["github", "issues.write"].map(Value::Str));
        block.check(&[operation.fact("args_sha256", [Value::Bytes(digest)])]);
    }
    let operation = |verb| Alternative::new().fact("operation", [Value::Str("github"), Value::Str(verb)]);
    let numbers = operation("issues.write").fact("arg", [Value::Str("n"), Value::Int(1)]);
    block.check(&[operation("issues.read"), numbers, operation("repo.delete")]);
    let audience = Alternative::new().fact("audience", [Value::Str(AUDIENCE)]);
    block.check(&[audience.fact("operation", [Value::Str("github"), Value::Var("v")])]);
    let now = || Value::Var("now");
    let window = Alternative::new().fact("time", [now()]);
    let window = window.holds(now(), Binary::GreaterOrEqual, Value::Date(NOW - 120));
    let end = if odd.expired { NOW } else { NOW + 300 };
    block.check(&[window.holds(now(), Binary::LessThan, Value::Date(end))]);
    sign(&block.finish())
}

fn sign(block: &[u8]) -> String {
    let next = PrivateKey::from_seed(&[77; 32]);
    let public = next.public();
    let signature = key(2).sign(&signed_payload(block, public.as_bytes()));
    let signed = SignedBlock { block, next_key: public.as_bytes(), signature: &signature };
    chain::encode(&write_container(None, &[signed], &Proof::NextSecret(&next.seed())))
}

/// A copy of a token with one check more, of one alternative.
pub(super) fn appended(token: &str, check: &Alternative<'_>) -> String {
    let bytes = chain::decode(token).unwrap();
    let container = Container::read(&bytes).unwrap();
    let mut block = BlockWriter::after(chain::peek(&bytes).unwrap().program().symbols.clone());
    block.check(std::slice::from_ref(check));
    let (block, next) = (block.finish(), PrivateKey::from_seed(&[78; 32]));
    let public = next.public();
    let signature = PrivateKey::from_seed(&[77; 32]).sign(&signed_payload(&block, public.as_bytes()));
    let added = SignedBlock { block: &block, next_key: public.as_bytes(), signature: &signature };
    let blocks: Vec<_> = container.blocks.iter().copied().chain([added]).collect();
    chain::encode(&write_container(None, &blocks, &Proof::NextSecret(&next.seed())))
}

/// A tool service.
pub(super) struct Stage {
    pub(super) clock: Arc<ManualClock>,
    pub(super) verifier: Arc<Verifier>,
    router: Router,
}

/// What a request was answered.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) status: u16,
    pub(super) reason: String,
    pub(super) words: String,
    pub(super) headers: HeaderMap,
}

impl Stage {
    /// One that started a minute and a half ago, with an origin.
    pub(super) fn new() -> Self {
        Self::with(Some(ORIGIN), &Broker::new(), 1000)
    }

    pub(super) fn with(origin: Option<&str>, broker: &Broker, capacity: usize) -> Self {
        Self::built(origin, broker, |verifier| verifier.proof_capacity(capacity))
    }

    /// One with whoever keeps the uses of tokens.
    pub(super) fn keeping(keeping: impl FnOnce(Verifier) -> Verifier) -> Self {
        Self::built(Some(ORIGIN), &Broker::new(), keeping)
    }

    fn built(origin: Option<&str>, broker: &Broker, build: impl FnOnce(Verifier) -> Verifier) -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(NOW - 30)));
        let pin = Pin { issuer: ISSUER.to_owned(), root: key(1).public() };
        let trust = Arc::new(Trust::new(pin, Arc::clone(&clock) as Arc<dyn Clock>, None).unwrap());
        let config = VerifierConfig { audience: AUDIENCE.to_owned() };
        let verifier = Arc::new(build(Verifier::new(Arc::clone(&trust), config).unwrap()));
        clock.advance(Duration::from_secs(30));
        let head = broker.signed(10, NOW);
        assert!(matches!(trust.offer_head(&head), Ok(Next::Keys { .. })));
        trust.offer_keys(&broker.keys()).unwrap();
        trust.offer_head(&head).unwrap();
        trust.offer_snapshot(&broker.snapshot()).unwrap();
        let mut layer = CheckLayer::new(Arc::clone(&verifier) as Arc<_>, map);
        if let Some(origin) = origin {
            layer = layer.origin(origin).unwrap();
        }
        let handler = |Extension(decision): Extension<Decision>, headers: HeaderMap| async move {
            assert!(decision.is_allowed());
            assert!(!headers.contains_key("authorization") && !headers.contains_key("dpop"));
        };
        Self { clock, verifier, router: Router::new().fallback(any(handler)).layer(layer) }
    }

    /// Sends a request with a body; the headers as they are.
    pub(super) async fn send(&self, method: &str, path: &str, headers: &[(&str, &[u8])], body: &str) -> Said {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let response =
            self.router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let body = to_bytes(body, 1 << 20).await.unwrap();
        let body: Json = serde_json::from_slice(&body).unwrap_or_default();
        let said = |pointer| body.pointer(pointer).and_then(Json::as_str).unwrap_or_default().to_owned();
        Said {
            status: parts.status.as_u16(),
            reason: said("/shortbread/reason"),
            words: said("/error_description"),
            headers: parts.headers,
        }
    }

    /// Posts with a token and a proof.
    pub(super) async fn post(&self, path: &str, token: &str, proof: &str, body: &str) -> Said {
        let authorization = format!("DPoP {token}");
        let headers = [("authorization", authorization.as_bytes()), ("dpop", proof.as_bytes())];
        self.send("POST", path, &headers, body).await
    }
}

/// `/issues.read` and the like; `/unread/…` for a call whose arguments are not read.
fn map(parts: &Parts, body: &[u8]) -> Result<Mapped, Unmapped> {
    let path = parts.uri.path().trim_start_matches('/');
    let (verb, args) = match path.strip_prefix("unread/") {
        Some(verb) => (verb, None),
        None => (path, Some(Args::from_json(body).map_err(|e| Unmapped::Malformed(e.to_string()))?)),
    };
    Ok(Mapped::Call { tool: "github".to_owned(), verb: verb.to_owned(), args })
}
