//! `Idempotency-Key`: a repeated request gets the same answer and never a second token.

use serde_json::json;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::{Answer, FakeIssuer, POLICY, World};

const SCOPE: &str = "github:issues.read";

/// Asks as workflow `demo` under this key, with a fresh assertion.
async fn ask(world: &World, key: &str, scope: &str) -> Answer {
    ask_with(world, "demo", &[key], scope, None).await
}

pub(crate) async fn ask_with(
    world: &World,
    who: &str,
    keys: &[&str],
    scope: &str,
    proof: Option<&str>,
) -> Answer {
    let assertion = world.assertion(&format!("workflow:{who}"), who);
    let form = [
        ("grant_type", "client_credentials"),
        ("client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"),
        ("client_assertion", &assertion),
        ("scope", scope),
    ];
    let body: Vec<String> = form
        .iter()
        .map(|(name, value)| {
            let escaped: String = value.bytes().map(|b| format!("%{b:02x}")).collect();
            format!("{name}={escaped}")
        })
        .collect();
    let request = world.http.post(format!("{}/oauth/token", world.issuer));
    let request = request.header("content-type", "application/x-www-form-urlencoded").body(body.join("&"));
    let request = keys.iter().fold(request, |request, key| request.header("idempotency-key", *key));
    world.send(proof.into_iter().fold(request, |request, proof| request.header("dpop", proof))).await
}

async fn tokens(world: &World) -> u64 {
    world.broker.store.counts().await.unwrap().tokens
}

#[tokio::test]
async fn a_repeated_request_gets_the_same_answer_byte_for_byte() {
    let world = World::start().await;
    let first = ask(&world, "k1", SCOPE).await;
    world.clock.advance(std::time::Duration::from_secs(59));
    let again = ask(&world, "k1", SCOPE).await;
    assert_eq!(first.token(), again.token());
    assert_eq!(first.bytes, again.bytes);
    assert_ne!(first.decision(), again.decision(), "each has its entry in the audit log");
    assert_eq!(world.audited(&again).await["repeated"], true);
    assert_eq!(tokens(&world).await, 1);
    world.clock.advance(std::time::Duration::from_secs(1));
    assert_ne!(ask(&world, "k1", SCOPE).await.token(), first.token(), "a minute is over");
}

#[tokio::test]
async fn only_the_same_request_of_the_same_client_is_a_repetition() {
    let world = World::start().await;
    let first = ask(&world, "k1", SCOPE).await;
    let others = [
        ask(&world, "k2", SCOPE).await,
        ask(&world, "k1", "github:issues.read github:issues.write").await,
        ask_with(&world, "other", &["k1"], SCOPE, None).await,
        ask_with(&world, "demo", &["k1"], SCOPE, Some(&world.proof_for("/oauth/token"))).await,
        ask_with(&world, "demo", &[], SCOPE, None).await,
    ];
    assert!(others.iter().all(|other| other.token() != first.token()));
    assert_eq!(tokens(&world).await, 6);
    let bound = ask_with(&world, "demo", &["k1"], SCOPE, Some(&world.proof_for("/oauth/token"))).await;
    assert_eq!(bound.token(), others[3].token(), "bound to the same key, with a new proof");
}

#[tokio::test]
async fn a_repetition_wants_a_fresh_assertion() {
    let world = World::start().await;
    let assertion = world.assertion("workflow:demo", "demo");
    let more = [("scope", SCOPE)];
    assert_eq!(world.present(&assertion, &more).await.status, 200);
    assert_eq!(world.present(&assertion, &more).await.reason(), "identity.invalid");
}

#[tokio::test]
async fn what_was_revoked_meanwhile_is_not_given_out_again() {
    let world = World::start().await;
    let first = ask(&world, "k1", SCOPE).await;
    let id = first.text("/shortbread/token_id").to_owned();
    assert_eq!(world.revoke("token", &id).await.status, 200);
    assert_eq!(ask(&world, "k1", SCOPE).await.reason(), "revoked.token");
    assert_eq!(tokens(&world).await, 2, "the demo's and the operator's");
}

#[tokio::test]
async fn many_at_once_make_one_token() {
    let world = World::start().await;
    let ask = || ask(&world, "k1", SCOPE);
    let (a, b, c, d) = tokio::join!(ask(), ask(), ask(), ask());
    let (e, f, g, h) = tokio::join!(ask(), ask(), ask(), ask());
    let answers = [a, b, c, d, e, f, g, h];
    let first = answers[0].token();
    assert!(answers.iter().all(|answer| answer.status == 200 && answer.token() == first));
    assert_eq!(tokens(&world).await, 1);
}

#[tokio::test]
async fn a_restart_forgets_no_answer_and_no_usable_token_rests() {
    let world = World::start().await;
    let first = ask(&world, "k1", SCOPE).await;
    let token = first.token().to_owned();
    let world = world.restart().await;
    let path = world.path("shortbread.db");
    let files = [path.clone(), path.with_extension("db-wal")];
    let resting: Vec<u8> = files.iter().filter_map(|file| std::fs::read(file).ok()).flatten().collect();
    let tail = &token.as_bytes()[token.len() - 40..token.len() - 4];
    assert!(!resting.windows(tail.len()).any(|window| window == tail));
    assert_eq!(ask(&world, "k1", SCOPE).await.token(), token);
}

#[tokio::test]
async fn keys_that_cannot_be_read_are_refused() {
    let world = World::start().await;
    for bad in ["", "two words", "k\u{e9}", &"k".repeat(256)] {
        let refused = ask_with(&world, "demo", &[bad], SCOPE, None).await;
        assert_eq!(refused.refusal(), (400, "invalid_request", "request.malformed"), "{bad:?}");
    }
    let refused = ask_with(&world, "demo", &["a", "b"], SCOPE, None).await;
    assert_eq!(refused.reason(), "request.malformed");
    let stranger = PrivateKey::generate(&SystemRandom).unwrap();
    let forged = shortbread_tests::assertion(&stranger, &world.claims("workflow:demo"));
    let refused = world.present(&forged, &[("scope", SCOPE)]).await;
    assert_eq!(refused.reason(), "identity.invalid");
}

#[tokio::test]
async fn an_answer_is_repeated_only_while_it_would_be_given_now() {
    let world = World::start().await;
    let both = "github:issues.read github:issues.write";
    let first = ask(&world, "k1", both).await;
    let narrower = POLICY
        .replace("verbs = [\"issues.read\", \"issues.write\"]", "verbs = [\"issues.read\"]")
        .lines()
        .filter(|line| !line.starts_with("constraints.\"issues.write\""))
        .fold(String::new(), |policy, line| policy + line + "\n");
    std::fs::write(world.path("policy.toml"), narrower).unwrap();
    let path = "/api/v1/policy/activate";
    let active = world.admin_as("alice", "policy.activate", path, &json!({})).await;
    assert_eq!(active.status, 200, "{active:?}");
    let again = ask(&world, "k1", both).await;
    assert_eq!((first.text("/scope"), again.text("/scope")), (both, "github:issues.read"));
    assert_eq!(ask(&world, "k1", "github:issues.write").await.reason(), "policy.not_granted");
}

#[tokio::test]
async fn what_the_claims_bind_is_not_given_to_other_claims() {
    let issuer = FakeIssuer::start();
    let more = r#"
[[identities]]
workflow = "notes"
issuer = "https://ci.acme.example"
audience = "https://broker.acme.example"
claims = { repository_owner = "acme" }
[[grants]]
workflow = "notes"
tool = "github"
verbs = ["issues.write"]
constraints."issues.write" = { repo = { claim = "repository" }, title = { any = true }, body = { any = true } }
"#;
    let world = World::builder().policy(&format!("{POLICY}{more}")).fetch(issuer.clone()).start().await;
    let job = async |repository: &str| {
        let mut claims = world.claims("repo");
        for (name, value) in [
            ("iss", FakeIssuer::URL),
            ("aud", "https://broker.acme.example"),
            ("repository_owner", "acme"),
            ("repository", repository),
        ] {
            claims[name] = json!(value);
        }
        let token = issuer.token(&claims);
        let request = world.http.post(format!("{}/oauth/token", world.issuer)).header("idempotency-key", "1");
        let form = format!(
            "grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&scope=github:issues.write&assertion={token}"
        );
        let kind = "application/x-www-form-urlencoded";
        world.send(request.header("content-type", kind).body(form)).await
    };
    let (web, again, infra) = (job("acme/web").await, job("acme/web").await, job("acme/infra").await);
    assert_eq!(web.token(), again.token(), "a fresh assertion says the same");
    assert_ne!(web.token(), infra.token());
    let eq = "/authorization_details/0/constraints/issues.write/repo/eq";
    assert_eq!((web.text(eq), infra.text(eq)), ("acme/web", "acme/infra"));
}
