//! Reports say what was done: every figure of a segment is what happened there, and what moved is found, and nothing else.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::jws;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SystemRandom;
use shortbread_protocol::verifiers::{DECISIONS, DECISIONS_TYPE, LEASE};
use shortbread_tests::process::{Home, Running, free_address};
use shortbread_tests::{POLICY, World};

/// An hour, and the hour before it.
const LONG: u64 = 3600;

fn verifier() -> PrivateKey {
    PrivateKey::from_seed(&[41; 32])
}

/// A world with a verifier of the tool `github`.
async fn world() -> World {
    let more =
        "\n[[identities]]\nverifier = \"github\"\ntools = [\"github\"]\nkey = \"keys/github.pub.pem\"\n";
    let built = World::builder().policy(&format!("{POLICY}{more}"));
    let world = built.file("keys/github.pub.pem", &verifier().public().to_pem()).start().await;
    world.clock.advance(Duration::from_secs(2 * LONG));
    world
}

/// Uploads decisions about calls.
struct Uploads {
    key: PrivateKey,
    id: String,
    n: u64,
}

impl Uploads {
    async fn of(world: &World) -> Self {
        let now = world.clock.now();
        let assertion = jws::assertion("verifier:github", &world.issuer, &verifier(), now, &SystemRandom);
        let key = PrivateKey::from_seed(&[5; 32]);
        let body = json!({ "assertion": assertion.unwrap(), "key": URL_SAFE_NO_PAD.encode(key.public().as_bytes()) });
        let leased = world.post(LEASE, "application/json", body.to_string()).await;
        assert_eq!(leased.status, 200, "{leased:?}");
        Self { id: leased.text("/instance").to_owned(), key, n: 0 }
    }

    /// So many calls of `demo` for `triage`, denied for a reason or allowed.
    async fn send(&mut self, world: &World, verb: &str, reason: Option<&str>, count: u64) {
        for batch in (0..count).collect::<Vec<_>>().chunks(64) {
            let calls: Vec<Value> = batch.iter().map(|_| self.call(world, verb, reason)).collect();
            let said = json!({ "aud": world.issuer, "n": 1, "iat": world.clock.now().seconds(), "decisions": calls });
            let message = jws::sign(DECISIONS_TYPE, &self.id, &said, &self.key);
            let answer = world.post(DECISIONS, "application/jose", message).await;
            assert_eq!(answer.body["recorded"], json!(batch.len()), "{answer:?}");
        }
    }

    fn call(&mut self, world: &World, verb: &str, reason: Option<&str>) -> Value {
        self.n += 1;
        json!({
            "id": format!("dec_{:016x}{:016x}", 7, self.n), "at": world.clock.now().millis(),
            "trace_id": "0af7651916cd43dd8448eb211c80319c", "intent": "triage", "stage": "evaluate",
            "outcome": if reason.is_some() { "deny" } else { "allow" }, "reason": reason, "tool": "github",
            "verb": verb, "access": "read", "workflow": "demo",
        })
    }
}

/// So many exchanges of a workflow, by whether they are granted.
async fn exchange(world: &World, name: &str, granted: u64, refused: u64) {
    let principal = format!("workflow:{name}");
    for (scope, count, status) in [("github:issues.read", granted, 200), ("github:repo.delete", refused, 400)]
    {
        for _ in 0..count {
            let answer = world.exchange(&principal, name, &[("scope", scope), ("intent", "triage")]).await;
            assert_eq!(answer.status, status, "{answer:?}");
        }
    }
}

/// A report of the last hour.
async fn report(world: &World, kind: &str, by: &str) -> Value {
    let until = world.clock.now().seconds() + 1;
    let path = format!("/api/v1/report?kind={kind}&since={}&until={until}&by={by}", until - LONG);
    let answer = world.admin_read("audit.read", &path).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.body
}

fn segment<'r>(report: &'r Value, key: &Value) -> &'r Value {
    let all = report["segments"].as_array().unwrap();
    all.iter().find(|one| one["segment"] == *key).unwrap_or_else(|| panic!("no {key} in {report}"))
}

#[tokio::test]
async fn figures_of_a_segment_are_what_was_done_there() {
    let world = world().await;
    let mut uploads = Uploads::of(&world).await;
    exchange(&world, "demo", 5, 3).await;
    exchange(&world, "other", 2, 0).await;
    uploads.send(&world, "issues.read", None, 70).await;
    uploads.send(&world, "issues.write", Some("not_granted"), 4).await;
    let answer = report(&world, "segments", "workflow,tool").await;
    let demo = &segment(&answer, &json!({ "workflow": "demo", "tool": "github" }))["now"];
    assert_eq!(
        (&demo["exchanges"], &demo["granted"], &demo["calls"], &demo["allowed"]),
        (&json!(8), &json!(5), &json!(74), &json!(70))
    );
    assert_eq!(demo["refused"], json!({ "policy.not_granted": 3 }));
    assert_eq!(demo["denied"], json!({ "not_granted": 4 }));
    assert_eq!(demo["latency"]["n"], 8);
    let other = &segment(&answer, &json!({ "workflow": "other", "tool": "github" }))["now"];
    assert_eq!((&other["exchanges"], &other["calls"]), (&json!(2), &json!(0)));
    let sum: u64 = answer["segments"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["now"]["exchanges"].as_u64().unwrap())
        .sum();
    assert_eq!(answer["total"]["now"]["exchanges"], sum, "segments add up");
    assert_eq!(answer["cut"], Value::Null);
    let rights = report(&world, "rights", "workflow").await;
    let rights = rights["rights"].as_array().unwrap();
    let of = |verb: &str| rights.iter().find(|one| one["verb"] == verb && one["workflow"] == "demo").unwrap();
    let read = of("github/issues.read");
    assert_eq!((&read["granted"], &read["used"], &read["reported"]), (&json!(5), &json!(70), &json!(true)));
    assert_eq!(of("github/issues.write")["denied"], json!({ "not_granted": 4 }));
    let approvals = report(&world, "approvals", "workflow").await;
    assert_eq!(approvals["approvals"]["requested"], 0);
}

#[tokio::test]
async fn what_moved_is_found_with_what_it_coincides_with_and_nothing_else() {
    let world = world().await;
    let mut uploads = Uploads::of(&world).await;
    for _ in 0..4 {
        exchange(&world, "demo", 20, 1).await;
        uploads.send(&world, "issues.read", None, 30).await;
        world.clock.advance(Duration::from_secs(LONG / 4));
    }
    // The same again: nothing is said to have moved.
    for part in 0..4 {
        exchange(&world, "demo", 20, 1).await;
        uploads.send(&world, "issues.read", None, 30).await;
        world.clock.advance(Duration::from_secs(if part == 3 { LONG / 4 - 60 } else { LONG / 4 }));
    }
    let still = report(&world, "review", "workflow").await;
    let moved = |answer: &Value| {
        let all = answer["review"]["changes"].as_array().unwrap().clone();
        all.into_iter()
            .filter(|change| change["segment"]["workflow"] == "demo" && !change["drift"]["low"].is_null())
            .collect::<Vec<_>>()
    };
    assert!(moved(&still).is_empty(), "{still}");
    // A policy comes into force, and calls are denied.
    world.clock.advance(Duration::from_secs(LONG / 2 + 60));
    let narrower = std::fs::read_to_string(world.path("policy.toml")).unwrap();
    std::fs::write(world.path("policy.toml"), format!("{narrower}\n# narrower\n")).unwrap();
    let activated = world.admin("policy.activate", "/api/v1/policy/activate", &json!({})).await;
    assert_eq!(activated.status, 200, "{activated:?}");
    uploads.send(&world, "issues.read", Some("not_granted"), 60).await;
    uploads.send(&world, "issues.read", None, 20).await;
    let answer = report(&world, "review", "workflow").await;
    let [change] = &moved(&answer)[..] else { panic!("{answer}") };
    assert_eq!((&change["drift"]["figure"], &change["drift"]["verdict"]), (&json!("denied"), &json!("up")));
    let kinds: Vec<_> = change["coincides"].as_array().unwrap().iter().map(|mark| &mark["kind"]).collect();
    assert!(kinds.contains(&&json!("policy")), "{change}");
    assert_eq!(answer["review"]["denials"][0]["reason"], "not_granted");
    let next = answer["review"]["next"].as_array().unwrap();
    assert!(next.iter().any(|one| one["command"] == "shortbread explain not_granted"), "{next:?}");
}

#[tokio::test]
async fn only_a_sound_question_is_answered() {
    let world = world().await;
    for query in
        ["", "kind=cake", "kind=segments&by=colour", "kind=segments&since=5&until=4", "kind=segments&x=1"]
    {
        let answer = world.admin_read("audit.read", &format!("/api/v1/report?{query}")).await;
        assert_eq!((answer.status, answer.reason()), (400, "request.malformed"), "{query}: {answer:?}");
    }
    let answer = world.admin_read("policy.read", "/api/v1/report?kind=review").await;
    assert_eq!(answer.reason(), "admin.not_permitted", "{answer:?}");
}

#[tokio::test]
async fn a_review_tells_which_labelled_cases_do_not_hold() {
    let case = |id: &str, mechanism: &str| {
        json!({
            "id": id, "input": {
                "identity": { "principal": "workflow:other" }, "request": [{ "verb": "github/issues.write" }],
            },
            "label": { "expect": "deny", "mechanism": mechanism, "note": id },
        })
    };
    let cases = format!("{}\n{}\n", case("INC-1", "over-broad-grant"), case("INC-2", "stale-credential"));
    let grant = "workflow = \"other\"\ntool = \"github\"\nverbs = [\"issues.read\"]";
    let wide = "workflow = \"other\"\ntool = \"github\"\nverbs = [\"issues.read\", \"issues.write\"]\nany_arguments = true";
    let gate = "\n[gate]\ncases = \"cases.jsonl\"\n";
    for (policy, open) in [(POLICY.to_owned(), 0), (POLICY.replacen(grant, wide, 1), 2)] {
        let world =
            World::builder().policy(&format!("{policy}{gate}")).file("cases.jsonl", &cases).start().await;
        let answer = world.admin_read("audit.read", "/api/v1/report?kind=review").await;
        let told = &answer.body["review"]["cases"];
        assert_eq!(told["labelled"], 2, "{answer:?}");
        assert_eq!(told["mechanisms"], json!({ "over-broad-grant": 1, "stale-credential": 1 }));
        assert_eq!(told["open"].as_array().unwrap().len(), open, "{told}");
        if open > 0 {
            let first = json!({
                "id": "INC-1", "expected": "deny", "got": "allow", "mechanism": "over-broad-grant", "note": "INC-1",
            });
            assert_eq!(told["open"][0], first);
            assert_eq!(answer.body["review"]["next"][0]["command"], "shortbread policy history");
        }
    }
}

const PROGRAM: &str = r#"
[tools.github]
audience = "https://tools.acme.example/github"
verbs."issues.read" = { access = "read" }
verbs."issues.write" = { access = "write", args = ["repo", "title"] }
[[identities]]
workflow = "demo"
key = "keys/demo.pub.pem"
[[identities]]
operator = "alice"
key = "keys/alice.pub.pem"
[[grants]]
workflow = "demo"
tool = "github"
verbs = ["issues.read"]
[[grants]]
operator = "alice"
tool = "shortbread"
verbs = ["revocations.*", "policy.*", "audit.read", "keys.read", "status.read"]
"#;

/// A served broker with alice logged in.
fn served() -> (Home, Running) {
    let (home, address) = (Home::new(), free_address());
    let url = format!("http://{address}");
    home.write(
        "broker.toml",
        &format!("issuer = \"{url}\"\nlisten = \"{address}\"\n[network]\nmetrics = \"127.0.0.1:0\"\n"),
    );
    home.write("policy.toml", PROGRAM);
    for (purpose, out) in [("operator", "keys/alice.pem"), ("workflow", "keys/demo.pem")] {
        home.ok(&["keys", "generate", "--purpose", purpose, "--out", out]);
    }
    home.ok(&["init", "--config", "broker.toml", "--make-keys"]);
    std::fs::remove_file(home.path("keys/root.pem")).unwrap();
    let mut broker = home.start(&["serve", "--config", "broker.toml"]);
    broker.wait_for("the broker listens");
    home.ok(&["login", "--broker", &url, "--key", "keys/alice.pem", "--root", "keys/root.pub.pem"]);
    (home, broker)
}

#[test]
fn the_program_shows_keeps_and_compares_figures() {
    let (home, _broker) = served();
    let ask = |scope: &str| {
        home.run(&["exchange", "--workflow", "demo", "--key", "keys/demo.pem", "--scope", scope, "--token"])
    };
    for _ in 0..12 {
        assert_eq!(ask("github:issues.read").code, 0);
    }
    let text = home.ok(&["report", "segments", "--since", "1h"]);
    assert!(
        text.contains("demo") && text.contains("exchanges") && text.contains("nothing to compare with"),
        "{text}"
    );
    let saved = home.ok(&["report", "baseline", "save", "first", "--since", "1h", "--by", "workflow"]);
    assert!(saved.starts_with("baselines/first.json holds"), "{saved}");
    let again = home.run(&["report", "baseline", "save", "first", "--since", "1h"]);
    assert_eq!(again.code, 1, "a baseline is not overwritten");
    home.ok(&["report", "baseline", "compare", "first", "--fail-on", "drift"]);
    for _ in 0..25 {
        assert_eq!(ask("github:issues.write").code, 1);
    }
    let compared = home.run(&["report", "baseline", "compare", "first", "--fail-on", "widen"]);
    assert_eq!(compared.code, 1, "{compared:?}");
    assert!(compared.out.contains("denied") && compared.out.contains("up"), "{compared:?}");
    for kind in ["segments", "rights", "approvals", "latency", "review"] {
        let file = format!("{kind}.html");
        let text = home.ok(&["report", kind, "--since", "1h", "--html", &file]);
        assert!(text.contains("period"), "{text}");
        let page = home.read(&file);
        assert!(
            page.contains("<svg") && !page.contains("<script") && page.contains("policy.not_granted"),
            "{kind}"
        );
    }
    let rights = home.json(&["report", "rights", "--since", "1h"]);
    assert_eq!(rights["kind"], "rights");
    let suggested = home.ok(&["policy", "suggest", "--workflow", "demo", "--since", "1h"]);
    assert!(suggested.contains("nobody reports calls of github"), "{suggested}");
    let nobody = home.run(&["policy", "suggest", "--workflow", "nobody", "--since", "1h"]);
    assert_eq!(nobody.code, 1);
    assert_eq!(home.read("policy.toml"), PROGRAM, "no file is changed");
}

#[tokio::test]
async fn a_report_of_some_segments_counts_nothing_else() {
    let world = world().await;
    exchange(&world, "demo", 3, 2).await;
    exchange(&world, "other", 4, 0).await;
    let demo = report(&world, "segments", "workflow&only=workflow%3Ddemo%2Ctool%3Dgithub").await;
    assert_eq!((&demo["total"]["now"]["exchanges"], &demo["only"]["workflow"]), (&json!(5), &json!("demo")));
    let steps = demo["series"].as_array().unwrap();
    let refused: u64 = steps.iter().filter_map(|one| one["reasons"]["policy.not_granted"].as_u64()).sum();
    assert_eq!(refused, 2);
    assert_eq!(
        report(&world, "segments", "workflow&only=workflow%3Dnobody").await["total"]["now"]["exchanges"],
        0
    );
    let bad = "/api/v1/report?kind=segments&only=colour%3Dred";
    assert_eq!(world.admin_read("audit.read", bad).await.status, 400);
}
