//! Whatever is sent, the answer is a clear refusal with a stable reason, and nothing has changed.

use serde_json::{Value, json};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::oauth::{CLIENT_CREDENTIALS, JWT_BEARER, TOKEN_EXCHANGE};
use shortbread_tests::{Answer, FakeIssuer, POLICY, World, assertion, jws};
use std::time::Duration;

const SCOPE: (&str, &str) = ("scope", "github:issues.read");
const DESCRIPTION: &str =
    "the identity was not accepted: unreadable, expired, replayed, or not meant for this broker";

/// The form of every refusal on `/oauth/*` (RFC 6749, section 5.2).
fn is_refusal(answer: &Answer, expected: (u16, &str, &str), says: &str) {
    assert_eq!(answer.refusal(), expected, "{answer:?}");
    let words = answer.text("/error_description");
    assert!(words.contains(says), "{says:?} is not in {words:?}");
    assert!(
        words.len() <= 500 && words.bytes().all(|b| matches!(b, b' '..=b'!' | b'#'..=b'[' | b']'..=b'~'))
    );
    assert_eq!(answer.text("/shortbread/decision_id"), answer.decision());
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("www-authenticate").is_empty(), answer.status != 401);
    assert!(answer.body.get("access_token").is_none());
}

/// Neither a token nor a task nor a revocation has come to be.
async fn nothing_changed(world: &World) {
    let counts = world.broker.store.counts().await.unwrap();
    assert_eq!((counts.tokens, counts.tasks, counts.revocations, counts.blocks), (0, 0, 0, 0));
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused() {
    let world = World::start().await;
    let form = "application/x-www-form-urlencoded";
    let malformed = (400, "invalid_request", "request.malformed");
    for (kind, body, says) in [
        (form, "".to_owned(), "grant_type is missing"),
        (form, "grant_type".to_owned(), "grant_type is missing"),
        (form, "%ff=%ff&\u{fffd}".to_owned(), "grant_type is missing"),
        (form, format!("grant_type={CLIENT_CREDENTIALS}&grant_type={CLIENT_CREDENTIALS}"), "given twice"),
        (form, "a=1&".repeat(10_000), "'a' is given twice"),
        (form, format!("grant_type={CLIENT_CREDENTIALS}"), "client_assertion_type is missing"),
        ("application/json", r#"{"grant_type":"client_credentials"}"#.to_owned(), form),
        ("multipart/form-data; boundary=x", "--x--".to_owned(), form),
        ("", "grant_type=x".to_owned(), form),
    ] {
        is_refusal(&world.post("/oauth/token", kind, body.clone()).await, malformed, says);
        let given = world.post("/oauth/revoke", kind, body).await;
        is_refusal(&given, malformed, if kind == form { "parameter token once" } else { form });
    }
    let raw = world.post("/oauth/token", form, vec![b'a', b'=', 0xff]).await;
    is_refusal(&raw, malformed, "not UTF-8");
    nothing_changed(&world).await;
}

#[tokio::test]
async fn a_huge_body_is_refused_unread() {
    let world = World::start().await;
    for size in [64 * 1024 + 1, 10 * 1024 * 1024] {
        for path in ["/oauth/token", "/oauth/revoke"] {
            let answer = world.post(path, "application/x-www-form-urlencoded", vec![b'a'; size]).await;
            is_refusal(&answer, (413, "invalid_request", "request.malformed"), "more than 64 KiB");
        }
        let token = world.operator("alice", "revocations.revoke").await;
        let request = world.http.post(format!("{}/api/v1/revocations", world.issuer)).bearer_auth(token);
        let answer =
            world.send(request.header("content-type", "application/json").body(vec![b'['; size])).await;
        assert_eq!((answer.status, answer.reason()), (413, "request.malformed"));
    }
}

#[tokio::test]
async fn an_unknown_way_to_ask_is_refused() {
    let world = World::start().await;
    for (grant_type, expected, says) in [
        ("password", (400, "unsupported_grant_type", "request.grant_type"), "'password' is not served"),
        (
            "urn:ietf:params:oauth:grant-type:deferred",
            (400, "unsupported_grant_type", "request.grant_type"),
            "not served",
        ),
        (JWT_BEARER, (400, "invalid_request", "request.malformed"), "assertion is missing"),
        (TOKEN_EXCHANGE, (400, "invalid_request", "request.malformed"), "subject_token_type is missing"),
    ] {
        is_refusal(&world.form("/oauth/token", &[("grant_type", grant_type), SCOPE]).await, expected, says);
    }
    let malformed = (400, "invalid_request", "request.malformed");
    for (name, value, says) in [
        ("actor_token", "x", "actor_token is not served"),
        ("subject_token", "x", "subject_token does not go with this grant_type"),
        ("authorization_details", "[]", "not both"),
        ("ttl", "0", "without any life"),
        ("ttl", "-1", "parameter ttl"),
        ("ttl", "4294967296", "parameter ttl"),
        ("ttl", "ten", "parameter ttl"),
        ("delegation", "everything", "none or attenuate"),
        ("intent", "Über", "parameter intent"),
        ("task", "a b", "parameter task"),
        ("release", "\u{0}", "parameter release"),
    ] {
        is_refusal(&world.exchange("workflow:demo", "demo", &[SCOPE, (name, value)]).await, malformed, says);
    }
    is_refusal(
        &world.exchange("workflow:demo", "demo", &[]).await,
        malformed,
        "nothing is granted by default",
    );
    nothing_changed(&world).await;
}

#[tokio::test]
async fn unknown_tools_and_verbs_are_named() {
    let world = World::start().await;
    let unknown = (400, "invalid_scope", "scope.unknown");
    for (scope, says) in [
        ("gitlab:issues.read", "gitlab"),
        ("github:issues.reed", "issues.reed"),
        ("github", "tool:verb"),
        (":", "tool"),
        ("github:", "verb"),
        ("github:issues.*", "issues.*"),
        ("GITHUB:issues.read", "GITHUB"),
        (" ", "1 to 64"),
    ] {
        is_refusal(&world.demo(scope).await, unknown, says);
    }
    let many = (0..65).map(|n| format!("github:v{n}")).collect::<Vec<_>>().join(" ");
    is_refusal(&world.demo(&many).await, unknown, "1 to 64");
    let denied = world.demo("github:repo.delete").await;
    is_refusal(&denied, (400, "access_denied", "policy.not_granted"), "github/repo.delete");
    is_refusal(
        &world.demo("shortbread:audit.read").await,
        (400, "access_denied", "policy.not_granted"),
        "audit.read",
    );
    let two = world.demo("github:issues.read payments:refunds.read").await;
    is_refusal(&two, (400, "invalid_target", "target.unknown"), "for one tool");
    let elsewhere = [SCOPE, ("resource", "https://tools.acme.example/payments")];
    let other = world.exchange("workflow:demo", "demo", &elsewhere).await;
    is_refusal(&other, (400, "invalid_target", "target.unknown"), "https://tools.acme.example/github");
    nothing_changed(&world).await;
}

#[tokio::test]
async fn authorization_details_are_read_strictly() {
    let world = World::start().await;
    let sound = r#"{"type":"shortbread_tool_call","tool":"github","actions":["issues.write"]}"#;
    let with = |member: &str| format!("[{},{member}}}]", sound.trim_end_matches('}'));
    let long = "x".repeat(15_000);
    for (details, says) in [
        ("[".to_owned(), "authorization_details"),
        ("[".repeat(15_000), "recursion limit"),
        (r#"{"a":"#.repeat(3_000), "recursion limit"),
        ("null".to_owned(), "authorization_details"),
        ("[]".to_owned(), "is empty"),
        ("[{}]".to_owned(), "missing field"),
        (format!("[{}]", [sound; 17].join(",")), "more than 16"),
        (format!("[{}]", sound.replace("tool_call", "other")), "is not served"),
        (format!("[{}]", sound.replace(r#"["issues.write"]"#, "[]")), "actions of github is empty"),
        (format!("[{}]", sound.replace("issues.write", "issues write")), "issues write"),
        (with(r#""tool":"payments""#), "twice"),
        (with(r#""colour":"red""#), "unknown field"),
        (with(&format!(r#""{long}":1"#)), "unknown field"),
        (with(r#""constraints":{"issues.write":{"repo":{"regex":"."}}}"#), "unknown field"),
        (with(r#""constraints":{"issues.read":{}}"#), "not among the actions"),
        (with(r#""constraints":{"issues.write":{"repo":{"eq":["acme/web"]}}}"#), "authorization_details"),
        (with(r#""constraints":{"issues.write":{"repo":{"eq":1.5}}}"#), "authorization_details"),
        (with(r#""constraints":{"issues.write":{"repo":{"eq":"a","eq":"b"}}}"#), "twice"),
        (with(r#""call":{"verb":"issues.write"}"#), "approvals"),
        (with(r#""ttl":1e99"#), "authorization_details"),
    ] {
        let answer = world.exchange("workflow:demo", "demo", &[("authorization_details", &details)]).await;
        is_refusal(&answer, (400, "invalid_authorization_details", "request.malformed"), says);
    }
    for (constraint, expected, says) in [
        (json!({}), (400, "invalid_scope", "scope.unknown"), "repo"),
        (json!({ "min": 2, "max": 1 }), (400, "invalid_scope", "scope.unknown"), "repo"),
        (json!({ "eq": "acme/secret" }), (400, "access_denied", "policy.constraint"), "github/issues.write"),
    ] {
        let member = format!(r#""constraints":{{"issues.write":{{"repo":{constraint}}}}}"#);
        let answer =
            world.exchange("workflow:demo", "demo", &[("authorization_details", &with(&member))]).await;
        is_refusal(&answer, expected, says);
    }
    let place = with(r#""locations":["https://elsewhere.example"]"#);
    let answer = world.exchange("workflow:demo", "demo", &[("authorization_details", &place)]).await;
    is_refusal(&answer, (400, "invalid_target", "target.unknown"), "not the audience of github");
    nothing_changed(&world).await;
}

/// The last character of a base64url text of 64 bytes holds four bits that say nothing: one of them set.
fn respelled(jws: &str) -> String {
    let (body, last) = jws.split_at(jws.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let place = alphabet.find(last).unwrap();
    format!("{body}{}", alphabet.chars().nth(place ^ 1).unwrap())
}

#[tokio::test]
async fn every_bad_assertion_reads_the_same_and_is_told_apart_in_the_log() {
    let world = World::start().await;
    let (key, now) = (world.key("demo"), world.clock.now().seconds());
    let sound = json!({ "alg": "EdDSA", "typ": "JWT" });
    let used = world.assertion("workflow:demo", "demo");
    let claims = |change: &dyn Fn(&mut Value)| {
        let mut claims = world.claims("workflow:demo");
        change(&mut claims);
        claims
    };
    let changed = |name: &'static str, value: Value| assertion(&key, &claims(&|c| c[name] = value.clone()));
    let under = |header: Value| jws(&key, &header, &claims(&|_| {}));
    let without = |name: &str| assertion(&key, &claims(&|c| drop(c.as_object_mut().unwrap().remove(name))));
    let mut cases = vec![
        ("not a JWS", "nonsense".to_owned(), "three parts"),
        ("too long", "a".repeat(17_000), "longer than 16 KiB"),
        ("four parts", format!("{used}.x"), ""),
        ("alg none", under(json!({ "alg": "none" })), "`alg` is not"),
        ("alg HS256", under(json!({ "alg": "HS256" })), "`alg` is not"),
        ("alg of another key type", under(json!({ "alg": "RS256" })), "another algorithm"),
        ("alg twice", respelled(&used), "canonical"),
        ("padded", format!("{used}=="), "canonical"),
        ("crit", under(json!({ "alg": "EdDSA", "crit": ["x"], "x": 1 })), "`crit`"),
        ("another typ", under(json!({ "alg": "EdDSA", "typ": "dpop+jwt" })), "`typ`"),
        ("logout", under(json!({ "alg": "EdDSA", "typ": "logout+jwt" })), "`typ`"),
        ("another's key", world.assertion("workflow:demo", "other"), "signature"),
        ("unknown iss", changed("iss", json!("workflow:nobody")), "names this `iss`"),
        ("iss of another", changed("iss", json!("workflow:other")), "signature"),
        ("other sub", changed("sub", json!("workflow:other")), "`sub` is not equal"),
        ("other aud", changed("aud", json!("https://broker.example")), "`aud`"),
        ("several aud", changed("aud", json!([world.issuer, "https://other.example"])), "`aud`"),
        ("no aud", without("aud"), "`aud` is missing"),
        ("no exp", without("exp"), "`exp` is missing"),
        ("no iat", without("iat"), "`iat` is missing"),
        ("no jti", without("jti"), "`jti` is missing"),
        ("no sub", without("sub"), "`sub` is missing"),
        ("no iss", without("iss"), "`iss` is missing"),
        ("exp too far", changed("exp", json!(now + 3600)), "longer than allowed"),
        ("exp as text", changed("exp", json!((now + 60).to_string())), "`exp` is malformed"),
        ("exp as fraction", changed("exp", json!(1e300)), "`exp` is malformed"),
        ("nbf ahead", changed("nbf", json!(now + 3000)), "not valid yet"),
        ("jti empty", changed("jti", json!("")), "`jti` is malformed"),
    ];
    let at = |from: u64, to: u64| {
        assertion(&key, &claims(&|c| (c["iat"], c["exp"]) = (json!(now + from), json!(now + to))))
    };
    cases.push(("iat ahead", at(3000, 3060), "in the future"));
    let past = claims(&|c| (c["iat"], c["exp"]) = (json!(now - 200), json!(now - 140)));
    cases.push(("expired", assertion(&key, &past), "has expired"));
    let (header, rest) = used.split_once('.').unwrap();
    let twice = r#"{"alg":"EdDSA","alg":"none"}"#;
    let encoded = jws(&key, &sound, &json!({})).split('.').next().unwrap().to_owned();
    assert_eq!(encoded, header, "one header, one spelling");
    cases.push(("members twice", format!("{}.{rest}", base64_url(twice)), "stands twice"));
    cases.push(("deep", format!("{}.{rest}", base64_url(&r#"{"a":"#.repeat(500))), "nested"));
    for (name, assertion, cause) in cases {
        let answer = world.present(&assertion, &[SCOPE]).await;
        is_refusal(&answer, (401, "invalid_client", "identity.invalid"), DESCRIPTION);
        assert_eq!(answer.text("/error_description"), DESCRIPTION, "{name}");
        let recorded = world.audited(&answer).await;
        assert!(recorded["cause"].as_str().unwrap().contains(cause), "{name}: {recorded}");
        assert_eq!(recorded["outcome"], "deny");
        // Later, so that each refusal of a stranger has an entry of its own.
        world.clock.advance(Duration::from_secs(61));
        world.clock.jump_to(shortbread_protocol::clock::Timestamp::from_seconds(now));
    }
    nothing_changed(&world).await;
    // The same under the other grants, by their own code.
    for form in [
        [("grant_type", JWT_BEARER), ("assertion", "x.y.z"), SCOPE, ("", "")],
        [
            ("grant_type", TOKEN_EXCHANGE),
            ("subject_token", "x.y.z"),
            ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
            SCOPE,
        ],
    ] {
        let answer = world.form("/oauth/token", &form).await;
        is_refusal(&answer, (400, "invalid_grant", "identity.invalid"), DESCRIPTION);
    }
}

fn base64_url(text: &str) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(text)
}

#[tokio::test]
async fn an_assertion_is_taken_once_whatever_came_of_it() {
    let world = World::start().await;
    let replayed = (401, "invalid_client", "identity.invalid");
    let granted = world.assertion("workflow:demo", "demo");
    assert_eq!(world.present(&granted, &[SCOPE]).await.status, 200);
    is_refusal(&world.present(&granted, &[SCOPE]).await, replayed, DESCRIPTION);
    let refused = world.assertion("workflow:demo", "demo");
    assert_eq!(world.present(&refused, &[("scope", "github:repo.delete")]).await.status, 400);
    is_refusal(&world.present(&refused, &[SCOPE]).await, replayed, DESCRIPTION);
    // Its id counts, not its bytes; and only for its own issuer.
    let mut claims = world.claims("workflow:demo");
    claims["jti"] = "one".into();
    assert_eq!(world.present(&assertion(&world.key("demo"), &claims), &[SCOPE]).await.status, 200);
    claims["more"] = "bytes".into();
    is_refusal(
        &world.present(&assertion(&world.key("demo"), &claims), &[SCOPE]).await,
        replayed,
        DESCRIPTION,
    );
    let mut other = world.claims("workflow:other");
    other["jti"] = "one".into();
    assert_eq!(world.present(&assertion(&world.key("other"), &other), &[SCOPE]).await.status, 200);
    // And after a restart.
    let world = world.restart().await;
    is_refusal(&world.present(&granted, &[SCOPE]).await, replayed, DESCRIPTION);
}

#[tokio::test]
async fn two_at_once_with_one_assertion_get_one_token() {
    let world = World::start().await;
    let assertion = world.assertion("workflow:demo", "demo");
    let scope = [SCOPE];
    let ask = || world.present(&assertion, &scope);
    let (a, b, c) = tokio::join!(ask(), ask(), ask());
    let granted = [a, b, c].iter().filter(|answer| answer.status == 200).count();
    assert_eq!(granted, 1);
    assert_eq!(world.broker.store.counts().await.unwrap().tokens, 1);
}

#[tokio::test]
async fn a_task_belongs_to_the_workflow_that_used_it_first() {
    let world = World::start().await;
    let task = ("task", "tsk_of_demo");
    assert_eq!(world.exchange("workflow:demo", "demo", &[SCOPE, task]).await.status, 200);
    let taken = world.exchange("workflow:other", "other", &[SCOPE, task]).await;
    is_refusal(&taken, (400, "invalid_request", "request.malformed"), "belongs to another workflow");
    assert_eq!(world.exchange("workflow:demo", "demo", &[SCOPE, task]).await.status, 200);
}

/// A world with workflows that an issuer vouches for: `web` by one claim, `prod` by another, and one worker for two.
async fn with_issuer() -> (World, std::sync::Arc<FakeIssuer>) {
    let issuer = FakeIssuer::start();
    let (url, mut policy) = (FakeIssuer::URL, POLICY.to_owned());
    for (who, claims) in [
        ("workflow = \"web\"", r#"{ repo = "web" }"#),
        ("workflow = \"prod\"", r#"{ environment = "prod" }"#),
        ("workflows = [\"enrich\", \"merge\"]", r#"{ pool = "workers" }"#),
    ] {
        policy += &format!(
            "[[identities]]\n{who}\nissuer = \"{url}\"\naudience = \"shortbread\"\nclaims = {claims}\n"
        );
    }
    for name in ["web", "prod", "enrich", "merge"] {
        policy +=
            &format!("[[grants]]\nworkflow = \"{name}\"\ntool = \"github\"\nverbs = [\"issues.read\"]\n");
    }
    (World::builder().policy(&policy).fetch(issuer.clone()).start().await, issuer)
}

async fn with_token(world: &World, issuer: &FakeIssuer, change: Value, more: &[(&str, &str)]) -> Answer {
    let mut claims = world.claims("job");
    (claims["iss"], claims["aud"]) = (FakeIssuer::URL.into(), "shortbread".into());
    for (name, value) in change.as_object().unwrap() {
        claims[name] = value.clone();
    }
    let token = issuer.token(&claims);
    let mut form = vec![
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token_type", "urn:ietf:params:oauth:token-type:jwt"),
        ("subject_token", token.as_str()),
        SCOPE,
    ];
    form.extend_from_slice(more);
    world.form("/oauth/token", &form).await
}

#[tokio::test]
async fn exactly_one_entry_must_want_an_identity() {
    let (world, issuer) = with_issuer().await;
    let unmatched = (400, "unauthorized_client", "identity.unmatched");
    let web = with_token(&world, &issuer, json!({ "repo": "web" }), &[]).await;
    assert_eq!(world.audited(&web).await["workflow"], "web");
    for claims in [
        json!({}),
        json!({ "repo": "docs" }),
        json!({ "repo": ["web"] }),
        json!({ "repo": "web", "environment": "prod" }),
    ] {
        let answer = with_token(&world, &issuer, claims, &[]).await;
        is_refusal(&answer, unmatched, "no identity entry of the policy matches exactly once");
    }
    for aud in [json!("other"), json!(["shortbread", "other"]), json!(world.issuer)] {
        let answer = with_token(&world, &issuer, json!({ "repo": "web", "aud": aud }), &[]).await;
        is_refusal(&answer, (400, "invalid_grant", "identity.invalid"), DESCRIPTION);
    }
    assert_eq!(issuer.asked(), 2, "one discovery document, one key set");
}

#[tokio::test]
async fn a_worker_of_several_workflows_says_which() {
    let (world, issuer) = with_issuer().await;
    let unlisted = (400, "unauthorized_client", "identity.workflow_unlisted");
    let pool = || json!({ "pool": "workers" });
    for wrong in [None, Some("workflow:demo"), Some("operator:alice"), Some("enrich")] {
        let more: Vec<_> = wrong.map(|id| ("client_id", id)).into_iter().collect();
        is_refusal(&with_token(&world, &issuer, pool(), &more).await, unlisted, "client_id");
    }
    let right = with_token(&world, &issuer, pool(), &[("client_id", "workflow:merge")]).await;
    assert_eq!(world.audited(&right).await["workflow"], "merge");
    let other = world.exchange("workflow:demo", "demo", &[SCOPE, ("client_id", "operator:alice")]).await;
    is_refusal(&other, unlisted, "client_id");
}

#[tokio::test]
async fn an_issuer_that_is_down_is_waited_for() {
    let (world, issuer) = with_issuer().await;
    issuer.set_down(true);
    let down = with_token(&world, &issuer, json!({ "repo": "web" }), &[]).await;
    is_refusal(
        &down,
        (503, "temporarily_unavailable", "identity.issuer_unavailable"),
        "cannot be had right now",
    );
    assert_eq!(down.body["shortbread"]["retryable"], true);
    let wait: u64 = down.header("retry-after").parse().unwrap();
    assert!((1..=30).contains(&wait), "{wait}");
    issuer.set_down(false);
    let early = with_token(&world, &issuer, json!({ "repo": "web" }), &[]).await;
    assert_eq!((early.status, issuer.asked()), (503, 1), "not asked again before its time");
    world.clock.advance(Duration::from_secs(wait));
    assert_eq!(with_token(&world, &issuer, json!({ "repo": "web" }), &[]).await.status, 200);
    // Its keys are at hand now.
    issuer.set_down(true);
    assert_eq!(with_token(&world, &issuer, json!({ "repo": "web" }), &[]).await.status, 200);
}

#[tokio::test]
async fn an_operator_may_not_send_just_anything() {
    let world = World::start().await;
    let sound = r#"{"selectors":[{"kind":"workflow","value":"demo"}],"reason":"r"}"#;
    let json = "application/json";
    for (status, kind, body, says) in [
        (400, json, "".to_owned(), "not read"),
        (400, json, "{".to_owned(), "not read"),
        (400, json, "[]".to_owned(), "not read"),
        (400, json, "[".repeat(60_000), "recursion limit"),
        (400, json, format!("{sound} {sound}"), "trailing"),
        (400, json, sound.replace("\"reason\":\"r\"", "\"reason\":\"r\",\"reason\":\"r\""), "twice"),
        (
            400,
            json,
            sound.replace("\"kind\":\"workflow\"", "\"kind\":\"workflow\",\"kind\":\"tool\""),
            "twice",
        ),
        (400, json, sound.replace("selectors", "selector"), "unknown field"),
        (400, json, sound.replace("reason", &"x".repeat(50_000)), "unknown field"),
        (400, json, sound.replace(",\"reason\":\"r\"", ""), "missing field"),
        (415, "text/plain", sound.to_owned(), "application/json"),
        (415, "application/x-www-form-urlencoded", sound.to_owned(), "application/json"),
    ] {
        let token = world.operator("alice", "revocations.revoke").await;
        let request = world.http.post(format!("{}/api/v1/revocations", world.issuer)).bearer_auth(token);
        let answer = world.send(request.header("content-type", kind).body(body)).await;
        assert_eq!((answer.status, answer.reason()), (status, "request.malformed"), "{answer:?}");
        assert!(answer.text("/detail").contains(says) && answer.bytes.len() < 1000, "{says}: {answer:?}");
    }
    assert_eq!(world.broker.store.counts().await.unwrap().revocations, 0);
}
