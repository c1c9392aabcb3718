//! A provider behind a fake network, one entry of the policy, a clock that is told.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::future::BoxFuture;
use serde_json::{Value, json};
use shortbread_protocol::clock::ManualClock;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SeededRandom;
use zeroize::Zeroizing;

use super::*;
use crate::identity::{Cause, FetchError, Fetched, Form, IdentityError};
use crate::policy::model::{KeySource, Membership};

const NOW: u64 = 1_795_176_000;
const ISSUER: &str = "https://id.acme.example";
const CLIENT: &str = "shortbread-console";
const BROKER: &str = "https://broker.acme.example";

/// A provider that gives the ID token it is told to give.
struct FakeProvider {
    document: Mutex<Result<Value, FetchError>>,
    token: Mutex<Result<Value, FetchError>>,
    fetches: Mutex<usize>,
    posted: Mutex<Vec<(String, Option<String>)>>,
}

impl Fetch for FakeProvider {
    fn fetch<'a>(&'a self, url: &'a str, _: bool) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        let body = if url.ends_with("/openid-configuration") {
            *self.fetches.lock().unwrap() += 1;
            self.document.lock().unwrap().clone()
        } else {
            let x = URL_SAFE_NO_PAD.encode(key().public().as_bytes());
            Ok(json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "1", "x": x }] }))
        };
        let body = body.map(|body| Fetched { body: body.to_string().into_bytes(), max_age: None });
        Box::pin(async { body })
    }

    fn post<'a>(&'a self, form: Form<'a>) -> BoxFuture<'a, Result<Zeroizing<Vec<u8>>, FetchError>> {
        assert_eq!(form.url, "https://id.acme.example/token");
        let authorization = form.authorization.map(|value| value.to_str().unwrap().to_owned());
        self.posted.lock().unwrap().push((form.body.to_string(), authorization));
        let answer = self.token.lock().unwrap().clone();
        Box::pin(async { answer.map(|answer| Zeroizing::new(answer.to_string().into_bytes())) })
    }
}

fn key() -> PrivateKey {
    PrivateKey::from_seed(&[9; 32])
}

struct World {
    clock: Arc<ManualClock>,
    provider: Arc<FakeProvider>,
    identities: Identities,
    party: RelyingParty,
    entries: Vec<Identity>,
}

fn document() -> Value {
    json!({ "issuer": ISSUER, "authorization_endpoint": "https://id.acme.example/auth?tenant=a",
        "token_endpoint": "https://id.acme.example/token", "jwks_uri": "https://id.acme.example/jwks",
        "authorization_response_iss_parameter_supported": true, "code_challenge_methods_supported": ["S256"] })
}

fn entry(audience: &str) -> Identity {
    let text = str::to_owned;
    let (group, groups_claim, named_by) = (text("oncall"), text("groups"), text("preferred_username"));
    let oidc = Oidc {
        issuer: text(ISSUER),
        audience: text(audience),
        claims: BTreeMap::new(),
        membership: Some(Membership { group, groups_claim, named_by }),
        keys: KeySource::Discovery,
        allow_private: false,
        reuse_until_expiry: false,
        max_age: None,
    };
    let principals = vec![Principal::Operator("bob".parse().unwrap())];
    Identity { entry: text("bob"), principals, tools: Vec::new(), proof: Proof::Oidc(oidc) }
}

impl World {
    /// Whether this operator is among those of the provider.
    fn knows(&self, operator: &OperatorName) -> bool {
        let is = |one: &Principal| matches!(one, Principal::Operator(name) if name == operator);
        let mut ours = self.entries.iter().filter(|entry| self.party.demand(entry).is_some());
        ours.any(|entry| entry.principals.iter().any(is))
    }

    fn new() -> Self {
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(NOW)));
        let provider = Arc::new(FakeProvider {
            document: Mutex::new(Ok(document())),
            token: Mutex::new(Err(FetchError::Status(400))),
            fetches: Mutex::new(0),
            posted: Mutex::default(),
        });
        let identities = Identities::new(clock.clone(), provider.clone(), BROKER);
        let settings = format!("issuer = {ISSUER:?}\nclient_id = {CLIENT:?}");
        let settings = toml::from_str(&settings).unwrap();
        let party = RelyingParty::new(settings, BROKER, clock.clone(), provider.clone()).unwrap();
        Self { clock, provider, identities, party, entries: vec![entry(CLIENT)] }
    }

    async fn begin(&self, fresh: bool) -> Begun {
        let wish = Wish { then: "/console/switch".to_owned(), replaces: fresh.then(|| "ses_1".to_owned()) };
        self.party.begin(&self.entries, &SeededRandom::default(), &wish).await.unwrap()
    }

    /// What comes of an ID token of this sign-in with these changes.
    async fn got(&self, pending: &Pending, changes: Value) -> Result<SignedIn, SignInError> {
        let mut claims = json!({ "iss": ISSUER, "aud": CLIENT, "sub": "u-1", "iat": NOW, "exp": NOW + 300,
            "auth_time": NOW, "nonce": pending.nonce(), "groups": ["oncall"], "preferred_username": "bob" });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        let [header, body] = [json!({ "alg": "EdDSA", "kid": "1" }), claims]
            .map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let input = format!("{header}.{body}");
        let token = format!("{input}.{}", URL_SAFE_NO_PAD.encode(key().sign(input.as_bytes())));
        *self.provider.token.lock().unwrap() = Ok(json!({ "id_token": token, "token_type": "Bearer" }));
        self.finish(pending).await
    }

    async fn finish(&self, pending: &Pending) -> Result<SignedIn, SignInError> {
        let query = format!("code=abc&state={}&iss=https%3A%2F%2Fid.acme.example", pending.state());
        self.party.finish(&self.identities, &self.entries, pending, &query).await
    }
}

fn fault(got: Result<SignedIn, SignInError>) -> Fault {
    match got {
        Err(SignInError::Unusable(fault)) => fault,
        other => panic!("no fault: {other:?}"),
    }
}

#[tokio::test]
async fn whoever_is_in_the_group_signs_in() {
    let world = World::new();
    let Begun { url, pending } = world.begin(false).await;
    let url = Url::parse(&url).unwrap();
    let asked: BTreeMap<String, String> = url.query_pairs().into_owned().collect();
    for (name, value) in [
        ("tenant", "a"),
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", "https://broker.acme.example/console/oidc/callback"),
        ("scope", "openid profile groups"),
        ("state", pending.state()),
        ("nonce", pending.nonce()),
        ("code_challenge", &pending.challenge()),
        ("code_challenge_method", "S256"),
        ("max_age", "900"),
    ] {
        assert_eq!(asked[name], value, "{name}");
    }
    assert!(!asked.contains_key("prompt") && !url.as_str().contains(pending.verifier()));
    let found =
        world.got(&pending, json!({ "auth_time": NOW - 60, "azp": CLIENT, "aud": [CLIENT] })).await.unwrap();
    assert_eq!(
        (found.operator.as_str(), found.auth_time.seconds(), found.then.as_str()),
        ("bob", NOW - 60, "/console/switch")
    );
    assert!(matches!(found.marks.as_slice(), [mark] if mark.starts_with("identity:")));
    assert_eq!((found.issuer.as_str(), found.subject.as_str(), found.entry.as_str()), (ISSUER, "u-1", "bob"));
    let (body, authorization) = world.provider.posted.lock().unwrap()[0].clone();
    assert!(
        body.contains(&format!("code_verifier={}", pending.verifier())) && body.contains("code=abc"),
        "{body}"
    );
    assert!(body.contains("client_id=shortbread-console") && authorization.is_none());
    // The same token is the same to whoever remembers it.
    let again =
        world.got(&pending, json!({ "auth_time": NOW - 60, "azp": CLIENT, "aud": [CLIENT] })).await.unwrap();
    assert_eq!(again.replay, found.replay);
}

#[tokio::test]
async fn a_token_of_another_sign_in_client_or_time_is_refused() {
    let world = World::new();
    let pending = world.begin(false).await.pending;
    for (changes, expected) in [
        (json!({ "nonce": "other" }), Fault::Nonce),
        (json!({ "nonce": null }), Fault::Nonce),
        (json!({ "azp": "another-client" }), Fault::OtherParty),
        (json!({ "azp": [CLIENT] }), Fault::OtherParty),
        (json!({ "auth_time": null }), Fault::AuthTime),
        (json!({ "auth_time": "1795176000" }), Fault::AuthTime),
        (json!({ "auth_time": 1_795_176_000.5 }), Fault::AuthTime),
        (json!({ "auth_time": -1 }), Fault::AuthTime),
        (json!({ "auth_time": NOW + 31 }), Fault::AuthTime),
        (json!({ "auth_time": NOW - 931 }), Fault::NotFresh),
    ] {
        assert_eq!(fault(world.got(&pending, changes.clone()).await), expected, "{changes}");
    }
    let identity = |got: Result<SignedIn, SignInError>| match got {
        Err(SignInError::Identity(error)) => error,
        other => panic!("not an identity's error: {other:?}"),
    };
    let of = |changes: Value| async { identity(world.got(&pending, changes).await) };
    assert_eq!(of(json!({ "aud": "another-client" })).await, IdentityError::Invalid(Cause::Audience));
    assert_eq!(of(json!({ "exp": NOW - 60, "iat": NOW - 90 })).await, IdentityError::Invalid(Cause::Expired));
    assert_eq!(
        of(json!({ "iss": "https://evil.example" })).await,
        IdentityError::Invalid(Cause::UnknownIssuer)
    );
    assert_eq!(of(json!({ "groups": ["staff"] })).await, IdentityError::Unmatched);
    assert_eq!(of(json!({ "preferred_username": "mallory" })).await, IdentityError::Unmatched);
    // A clock that runs ahead makes nobody fresher than now.
    assert_eq!(world.got(&pending, json!({ "auth_time": NOW + 20 })).await.unwrap().auth_time.seconds(), NOW);
}

#[tokio::test]
async fn a_fresh_sign_in_is_one_that_was_made_for_it() {
    let world = World::new();
    let Begun { url, pending } = world.begin(true).await;
    assert!(url.contains("prompt=login"));
    assert_eq!(fault(world.got(&pending, json!({ "auth_time": NOW - 31 })).await), Fault::NotFresh);
    let found = world.got(&pending, json!({ "auth_time": NOW - 30 })).await.unwrap();
    assert_eq!(found.replaces.as_deref(), Some("ses_1"));
}

#[tokio::test]
async fn a_token_for_another_entry_of_the_same_issuer_is_no_sign_in() {
    let mut world = World::new();
    let mut other = entry("another");
    other.entry = "bob#2".to_owned();
    world.entries.push(other);
    let pending = world.begin(false).await.pending;
    assert_eq!(fault(world.got(&pending, json!({ "aud": "another" })).await), Fault::OtherEntry);
}

#[tokio::test]
async fn a_sign_in_ends_after_ten_minutes_and_belongs_to_one_browser() {
    let world = World::new();
    let pending = world.begin(false).await.pending;
    let other =
        world.party.begin(&world.entries, &SeededRandom::new(7), &Wish::default()).await.unwrap().pending;
    let query = format!("code=abc&state={}&iss=https%3A%2F%2Fid.acme.example", other.state());
    let got = world.party.finish(&world.identities, &world.entries, &pending, &query).await;
    assert!(matches!(got, Err(SignInError::Foreign)));
    world.clock.advance(LIFE);
    assert!(matches!(world.got(&pending, json!({})).await, Err(SignInError::Over)));
    assert!(world.provider.posted.lock().unwrap().is_empty(), "nothing was asked of the provider");
}

#[tokio::test]
async fn a_policy_without_its_people_signs_nobody_in() {
    let mut world = World::new();
    let pending = world.begin(false).await.pending;
    let bob = "bob".parse().unwrap();
    assert!(world.knows(&bob));
    assert!(!world.knows(&"carol".parse().unwrap()));
    world.entries = vec![entry("another")];
    assert!(!world.knows(&bob));
    let begun = world.party.begin(&world.entries, &SeededRandom::default(), &Wish::default()).await;
    assert!(matches!(begun, Err(SignInError::NotInPolicy)));
    assert!(matches!(world.got(&pending, json!({})).await, Err(SignInError::NotInPolicy)));
}

#[tokio::test]
async fn what_the_provider_refuses_or_leaves_out_is_told_apart_for_operators_alone() {
    let world = World::new();
    let pending = world.begin(false).await.pending;
    for (answer, expected) in [
        (Err(FetchError::Status(400)), Fault::Code(400)),
        (Err(FetchError::Status(401)), Fault::Code(401)),
        (Ok(json!({ "access_token": "x" })), Fault::NoToken),
        (Ok(json!({ "id_token": 1 })), Fault::NoToken),
        (Ok(json!([])), Fault::NoToken),
    ] {
        *world.provider.token.lock().unwrap() = answer;
        let error = world.finish(&pending).await.unwrap_err();
        assert!(matches!(error, SignInError::Unusable(fault) if fault == expected), "{error:?}");
        assert_eq!(error.to_string(), IdentityError::Invalid(Cause::Signature).to_string());
        assert_ne!(error.cause(), error.to_string());
    }
    for failure in
        [FetchError::Status(503), FetchError::Status(429), FetchError::TimedOut, FetchError::Redirected]
    {
        *world.provider.token.lock().unwrap() = Err(failure);
        assert!(matches!(world.finish(&pending).await, Err(SignInError::Unavailable(_))), "{failure}");
    }
}

#[tokio::test]
async fn a_document_that_cannot_be_used_starts_nothing() {
    let begun = |change: Value| async move {
        let world = World::new();
        let mut told = document();
        for (name, value) in change.as_object().unwrap() {
            told[name] = value.clone();
        }
        told.as_object_mut().unwrap().retain(|_, value| !value.is_null());
        *world.provider.document.lock().unwrap() = Ok(told);
        world.party.begin(&world.entries, &SeededRandom::default(), &Wish::default()).await
    };
    for (change, expected) in [
        (json!({ "issuer": "https://evil.example" }), Fault::OtherIssuer),
        (json!({ "authorization_endpoint": null }), Fault::Metadata("authorization_endpoint")),
        (
            json!({ "authorization_endpoint": "javascript:alert(1)" }),
            Fault::Metadata("authorization_endpoint"),
        ),
        (json!({ "token_endpoint": "http://id.acme.example/token" }), Fault::Metadata("token_endpoint")),
        (json!({ "token_endpoint": "https://169.254.169.254/token" }), Fault::Metadata("token_endpoint")),
        (json!({ "code_challenge_methods_supported": ["plain"] }), Fault::NoPkce),
    ] {
        let got = begun(change.clone()).await;
        assert!(matches!(got, Err(SignInError::Unusable(fault)) if fault == expected), "{change}: {got:?}");
    }
    assert!(begun(json!({ "code_challenge_methods_supported": null })).await.is_ok());
}

#[tokio::test]
async fn a_provider_that_is_down_is_asked_once_in_a_while() {
    let world = World::new();
    *world.provider.document.lock().unwrap() = Err(FetchError::TimedOut);
    let asked = || *world.provider.fetches.lock().unwrap();
    let random = SeededRandom::default();
    for _ in 0..3 {
        let got = world.party.begin(&world.entries, &random, &Wish::default()).await;
        assert!(matches!(got, Err(SignInError::Unavailable(FetchError::TimedOut))));
    }
    assert_eq!(asked(), 1);
    world.clock.advance(Duration::from_secs(10));
    *world.provider.document.lock().unwrap() = Ok(document());
    for _ in 0..3 {
        world.begin(false).await;
    }
    assert_eq!(asked(), 2);
    // Known once, it is used while the provider says nothing new.
    world.clock.advance(Duration::from_secs(300));
    *world.provider.document.lock().unwrap() = Err(FetchError::TimedOut);
    for _ in 0..3 {
        world.begin(false).await;
    }
    assert_eq!(asked(), 3);
}
