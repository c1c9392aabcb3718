//! Who says that he is somebody: assertions, tokens of issuers, their key sets, proofs of possession.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;
use shortbread_broker::identity::{Fetch, FetchError, Fetched, Identities, KeySet};
use shortbread_broker::policy::model::{Identity, KeySource, Oidc, Principal, Proof};
use shortbread_protocol::clock::{ManualClock, Timestamp};
use shortbread_protocol::dpop::{Expected, MAX_AGE, MAX_AHEAD, ProofKey, Statement, Unproved, token_hash};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SeededRandom;

use super::{AS_IT_CAME, ISSUER, NOW, SIGNED, prefixed};

const PLATFORM: &str = "https://token.actions.githubusercontent.com";
const METHOD: &str = "POST";
const URL: &str = "https://tools.acme.example/github";
const KEY_SET: u8 = b'2';

fn ours() -> PrivateKey {
    PrivateKey::from_seed(&[5; 32])
}

// Header and claims, each on its lines, become a JWS that our key signed.
fn signed(data: &[u8]) -> Option<String> {
    let at = data.windows(2).position(|pair| pair == b"\n\n")?;
    let [header, claims] = [data.get(..at)?, data.get(at + 2..)?].map(|part| URL_SAFE_NO_PAD.encode(part));
    let input = format!("{header}.{claims}");
    let signature = URL_SAFE_NO_PAD.encode(ours().sign(input.as_bytes()));
    Some(format!("{input}.{signature}"))
}

/// The text of a JWS, and whether our key signed the very bytes that came.
fn jws(data: &[u8]) -> Option<(String, bool)> {
    match data.split_first()? {
        (&SIGNED, parts) => Some((signed(parts)?, true)),
        (_, text) => Some((String::from_utf8(text.to_vec()).ok()?, false)),
    }
}

pub(super) fn jwt(data: &[u8]) {
    if let Some((&KEY_SET, body)) = data.split_first() {
        let _ = KeySet::read(body);
        return;
    }
    let Some((assertion, signed)) = jws(data) else { return };
    let (identities, entries) = broker();
    if let Ok(verified) = runtime().block_on(identities.verify(&assertion, entries)) {
        let now = Timestamp::from_seconds(NOW).seconds();
        assert!(
            verified.expires.seconds() + 30 > now
                && verified.issued.is_none_or(|issued| issued.seconds() <= now + 30)
        );
        assert!([PLATFORM, "demo"].contains(&verified.issuer.as_str()) && verified.principals.len() == 1);
        let honest = || assertions().iter().any(|seed| seed.get(1..) == Some(assertion.as_bytes()));
        assert!(signed || honest(), "an assertion that nobody signed is believed");
    }
}

pub(super) fn dpop(data: &[u8]) {
    let Some((text, signed)) = jws(data) else { return };
    let Ok(proof) = Unproved::read(&text) else { return };
    let thumbprint = proof.thumbprint().to_owned();
    let expected = Expected {
        method: METHOD,
        url: URL,
        token: Some(token_hash("token")),
        holder: None,
        now: Timestamp::from_seconds(NOW),
        since: Timestamp::from_seconds(NOW - 3600),
    };
    if let Ok(proof) = proof.check(&expected) {
        assert_eq!(proof.thumbprint(), thumbprint);
        assert!((NOW - MAX_AGE..=NOW + MAX_AHEAD).contains(&proof.claims().iat));
        assert!(proof.claims().htm == METHOD && proof.claims().ath == Some(token_hash("token")));
        // Whoever shows a key of small order "proves" nothing: such keys are refused.
        let honest = || proofs().iter().any(|seed| seed.get(1..) == Some(text.as_bytes()));
        assert!(signed || honest(), "a proof that nobody made is believed");
    }
}

pub(super) fn proofs() -> Vec<Vec<u8>> {
    let hash = token_hash("token");
    let statement = Statement {
        method: METHOD,
        url: URL,
        token: Some(hash),
        operation: Some("github/issues.write"),
        args: Some([7; 32]),
        holder: None,
    };
    let made = ProofKey::new(ours()).prove(&statement, Timestamp::from_seconds(NOW), &SeededRandom::new(1));
    let jwk =
        json!({ "kty": "OKP", "crv": "Ed25519", "x": URL_SAFE_NO_PAD.encode(ours().public().as_bytes()) });
    let header = json!({ "typ": "dpop+jwt", "alg": "EdDSA", "jwk": jwk });
    let claims =
        json!({ "jti": "p1", "htm": METHOD, "htu": URL, "iat": NOW, "ath": URL_SAFE_NO_PAD.encode(hash) });
    vec![
        prefixed(AS_IT_CAME, made.expect("there is randomness")),
        prefixed(SIGNED, format!("{header}\n\n{claims}")),
    ]
}

pub(super) fn assertions() -> Vec<Vec<u8>> {
    let header = json!({ "alg": "EdDSA", "typ": "JWT" });
    let claims =
        json!({ "iss": "demo", "sub": "demo", "aud": ISSUER, "iat": NOW, "exp": NOW + 60, "jti": "j1" });
    let own = format!("{header}\n\n{claims}");
    let header = json!({ "alg": "EdDSA", "kid": "ed" });
    let claims = json!({ "iss": PLATFORM, "sub": "repo:acme/web", "aud": ISSUER, "iat": NOW, "exp": NOW + 300,
        "nbf": NOW, "repository_id": "456789", "kubernetes.io": { "namespace": "agents" } });
    let platform = format!("{header}\n\n{claims}");
    let mut seeds = vec![prefixed(KEY_SET, key_set())];
    for parts in [own, platform] {
        let whole = signed(parts.as_bytes()).expect("two parts");
        seeds.extend([prefixed(AS_IT_CAME, whole), prefixed(SIGNED, parts)]);
    }
    seeds
}

fn key_set() -> String {
    let x = URL_SAFE_NO_PAD.encode(ours().public().as_bytes());
    let one = json!({ "kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig", "alg": "EdDSA", "x": x });
    json!({ "keys": [one, { "kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB" }] }).to_string()
}

/// Nobody is there.
struct NoNetwork;

type Answer<'a> = Pin<Box<dyn Future<Output = Result<Fetched, FetchError>> + Send + 'a>>;

impl Fetch for NoNetwork {
    fn fetch<'a>(&'a self, _: &'a str, _: bool) -> Answer<'a> {
        Box::pin(std::future::ready(Err(FetchError::Failed)))
    }
}

fn broker() -> &'static (Identities, Vec<Identity>) {
    static BROKER: OnceLock<(Identities, Vec<Identity>)> = OnceLock::new();
    BROKER.get_or_init(|| {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(NOW)));
        let entry = |name: &str, proof| Identity {
            entry: name.to_owned(),
            principals: vec![Principal::Workflow(name.parse().expect("a name"))],
            tools: Vec::new(),
            proof,
        };
        let claims =
            [("repository_id", json!("456789")), ("kubernetes.io", json!({ "namespace": "agents" }))];
        let oidc = Oidc {
            issuer: PLATFORM.to_owned(),
            audience: ISSUER.to_owned(),
            claims: claims.map(|(name, value)| (name.to_owned(), value)).into(),
            membership: None,
            keys: KeySource::Pinned(key_set()),
            allow_private: false,
            reuse_until_expiry: false,
            max_age: None,
        };
        let entries =
            vec![entry("demo", Proof::Key(ours().public())), entry("release-notes", Proof::Oidc(oidc))];
        (Identities::new(clock, Arc::new(NoNetwork), ISSUER), entries)
    })
}

fn runtime() -> &'static tokio::runtime::Runtime {
    static RUNTIME: OnceLock<tokio::runtime::Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let made = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_time().build();
        made.expect("a runtime")
    })
}
