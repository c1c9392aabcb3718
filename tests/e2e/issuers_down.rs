//! An issuer that stops, hangs, fails or talks nonsense: keys at hand stay good for a day, everything else is refused with
//! a reason and a time, and the issuers beside it do not notice.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::oauth::{JWT, TOKEN_EXCHANGE};
use shortbread_tests::{Answer, Loopback, POLICY, World, jws};

use crate::paged::audited;

const UNAVAILABLE: (u16, &str, &str) = (503, "temporarily_unavailable", "identity.issuer_unavailable");

/// How long a breaker stays open here.
const OPEN: Duration = Duration::from_millis(400);

/// After an attempt the broker leaves an issuer alone for so long.
const COOL_DOWN: Duration = Duration::from_secs(31);

/// An issuer that is really there.
struct Issuer {
    server: Loopback,
    key: PrivateKey,
}

impl Issuer {
    async fn start(seed: u8) -> Self {
        let issuer = Self { server: Loopback::start().await, key: PrivateKey::from_seed(&[seed; 32]) };
        issuer.is_well();
        issuer
    }

    fn is_well(&self) {
        let url = self.server.url();
        let x = URL_SAFE_NO_PAD.encode(self.key.public().as_bytes());
        self.server.answers(move |heard| {
            let body = match heard.target.as_str() {
                "GET /.well-known/openid-configuration" => {
                    json!({ "issuer": url, "jwks_uri": format!("{url}/keys") })
                }
                "GET /keys" => json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "one", "x": x }] }),
                _ => return Some((404, String::new(), String::new())),
            };
            Some((200, String::new(), body.to_string()))
        });
    }

    fn talks_nonsense(&self) {
        self.server.answers(|_| Some((200, String::new(), "<html>down for maintenance</html>".to_owned())));
    }

    fn asked(&self) -> usize {
        self.server.heard().len()
    }

    fn token(&self, world: &World, kid: &str) -> String {
        let mut claims = world.claims("job");
        claims["iss"] = self.server.url().into();
        claims["aud"] = "https://broker.acme.example".into();
        claims["repository_id"] = "1".into();
        jws(&self.key, &json!({ "alg": "EdDSA", "typ": "JWT", "kid": kid }), &claims)
    }
}

async fn start() -> (World, Issuer, Issuer) {
    let (one, two) = (Issuer::start(1).await, Issuer::start(2).await);
    let mut policy = POLICY.to_owned();
    for (name, issuer) in [("one", &one), ("two", &two)] {
        policy += &format!(
            "[[identities]]\nworkflow = \"{name}\"\nissuer = \"{}\"\nallow_private = true\n\
             audience = \"https://broker.acme.example\"\nclaims = {{ repository_id = \"1\" }}\n\
             [[grants]]\nworkflow = \"{name}\"\ntool = \"github\"\nverbs = [\"issues.read\"]\n",
            issuer.server.url()
        );
    }
    let config = format!(
        "[limits]\nexchanges_per_second = 100000\nfailures_per_minute = 100000\n[breakers]\nfailures = 3\nopen_ms = {}\n",
        OPEN.as_millis()
    );
    (World::builder().policy(&policy).config(&config).start().await, one, two)
}

async fn ask_with(world: &World, token: &str) -> Answer {
    let form = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token_type", JWT),
        ("subject_token", token),
        ("scope", "github:issues.read"),
    ];
    world.form("/oauth/token", &form).await
}

async fn ask(world: &World, issuer: &Issuer) -> Answer {
    ask_with(world, &issuer.token(world, "one")).await
}

fn wait(answer: &Answer) -> u64 {
    answer.header("retry-after").parse().unwrap_or_else(|_| panic!("when to come again: {answer:?}"))
}

fn is_well(answer: &Answer) {
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.body["shortbread"]["degraded"], Value::Null, "{answer:?}");
}

#[tokio::test]
async fn without_keys_nobody_is_let_in_until_it_comes_back() {
    let (world, mut one, two) = start().await;
    is_well(&ask(&world, &two).await);
    one.server.stop().await;
    let stopped = ask(&world, &one).await;
    assert_eq!((stopped.refusal(), wait(&stopped)), (UNAVAILABLE, 30));
    assert_eq!(
        stopped.body["shortbread"]["degraded"],
        Value::Null,
        "one failure is not yet a failing issuer"
    );
    one.server.come_back().await;
    one.server.status(500);
    world.clock.advance(COOL_DOWN);
    assert_eq!(ask(&world, &one).await.refusal(), UNAVAILABLE);
    one.talks_nonsense();
    world.clock.advance(COOL_DOWN);
    let third = ask(&world, &one).await;
    assert_eq!(third.refusal(), UNAVAILABLE);
    assert_eq!(third.text("/shortbread/degraded"), "issuer.no_keys");
    assert_eq!(world.audited(&third).await["degraded"], "issuer.no_keys");
    let opened = audited(&world, "dev.shortbread.breaker.opened.v1").await;
    assert_eq!((&opened["kind"], &opened["source"]), (&json!("issuer"), &json!(one.server.url())));
    let health = world.admin_read("status.read", "/api/v1/health").await.body;
    let mut findings = health["findings"].as_array().unwrap().iter();
    let finding = findings.find(|found| found["step"] == "issuer").unwrap();
    assert_eq!((&finding["state"], finding["since"].is_u64()), (&json!("failing"), true));
    let shown = health["breakers"].as_array().unwrap();
    let shown = |source: &str| shown.iter().find(|breaker| breaker["source"] == source).unwrap();
    assert_eq!(shown(&one.server.url())["state"], "open");
    assert!(shown(&one.server.url())["since"].is_u64() && shown(&one.server.url())["retry_in"].is_u64());
    assert_eq!(shown(&two.server.url())["state"], "closed");
    // It is left alone, and nobody waits for it.
    let asked = one.asked();
    world.clock.advance(COOL_DOWN);
    let open = ask(&world, &one).await;
    assert_eq!((open.refusal(), one.asked()), (UNAVAILABLE, asked));
    assert!((1..=30).contains(&wait(&open)), "{open:?}");
    is_well(&ask(&world, &two).await);
    // It is well again: one trial shows it.
    one.is_well();
    tokio::time::sleep(OPEN).await;
    world.clock.advance(COOL_DOWN);
    is_well(&ask(&world, &one).await);
    audited(&world, "dev.shortbread.breaker.closed.v1").await;
}

#[tokio::test]
async fn keys_at_hand_stay_good_for_a_day_and_the_answer_says_so() {
    let (world, one, two) = start().await;
    is_well(&ask(&world, &one).await);
    is_well(&ask(&world, &two).await);
    one.server.status(500);
    // Refreshing in the background fails, and fails again.
    let mut degraded = None;
    for tries in 1..10 {
        world.clock.advance(Duration::from_secs(301));
        let answer = ask(&world, &one).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        if !answer.text("/shortbread/degraded").is_empty() {
            degraded = Some((tries, answer));
            break;
        }
        tokio::time::sleep(Duration::from_millis(30)).await;
    }
    let (tries, degraded) = degraded.expect("an answer with an old set says so");
    assert!(tries > 3, "a failure is not yet a failing issuer");
    assert_eq!(degraded.text("/shortbread/degraded"), "issuer.old_keys");
    assert_eq!(world.audited(&degraded).await["degraded"], "issuer.old_keys");
    is_well(&ask(&world, &two).await);
    // A key that is not among them may be new: it is not refused for good, and not let in.
    let unknown = ask_with(&world, &one.token(&world, "new")).await;
    assert_eq!(unknown.refusal(), UNAVAILABLE);
    assert_eq!(unknown.text("/shortbread/degraded"), "issuer.no_keys");
    // Somebody else's signature under a known name is refused whatever the issuer does.
    let forger = Issuer { server: Loopback::start().await, key: PrivateKey::from_seed(&[9; 32]) };
    let mut claims = world.claims("job");
    claims["iss"] = one.server.url().into();
    let forged = jws(&forger.key, &json!({ "alg": "EdDSA", "typ": "JWT", "kid": "one" }), &claims);
    assert_eq!(ask_with(&world, &forged).await.reason(), "identity.invalid");
    // A day after they were fetched they are too old for anything.
    world.clock.advance(Duration::from_secs(24 * 3600));
    assert_eq!(ask(&world, &one).await.refusal(), UNAVAILABLE);
    is_well(&ask(&world, &two).await);
}

#[tokio::test]
async fn an_issuer_that_hangs_holds_nobody_up_for_long() {
    let (world, one, two) = start().await;
    is_well(&ask(&world, &two).await);
    one.server.hang();
    let watch = SystemClock::start();
    let (hung, beside) = tokio::join!(ask(&world, &one), async {
        let answer = ask(&world, &two).await;
        (answer, watch.monotonic())
    });
    assert_eq!(hung.refusal(), UNAVAILABLE);
    assert!(watch.monotonic() < Duration::from_secs(8), "{:?}", watch.monotonic());
    is_well(&beside.0);
    assert!(
        beside.1 < Duration::from_secs(2),
        "the other issuer's workflows wait for nothing: {:?}",
        beside.1
    );
}
