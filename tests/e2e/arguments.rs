//! What the catalogue says of arguments holds from the policy to the tool service: every kind of constraint, on arguments
//! with a form and without, against the encodings by which paths and URLs are known to slip through.

mod hostile;

use std::sync::Arc;

use serde_json::{Value, json};
use shortbread_protocol::oauth::{JWT, TOKEN_EXCHANGE};
use shortbread_protocol::random::SystemRandom;
use shortbread_tests::process::Home;
use shortbread_tests::{Answer, FakeIssuer, Tool, World};
use shortbread_verifier::narrow::{Narrowing, narrow};

use self::hostile::URLS;

/// One tool whose verbs have arguments of every form, and one workflow that an issuer vouches for.
const POLICY: &str = r#"
[tools.box]
audience = "https://tools.acme.example/box"
verbs."files.read" = { access = "read", args = ["path", "mode"], forms = { path = "path" } }
verbs."files.write" = { access = "write", args = ["path"], forms = { path = "path" } }
verbs."home.read" = { access = "read", args = ["path"], forms = { path = "path" } }
verbs."pages.fetch" = { access = "read", args = ["url"], forms = { url = "url" } }
verbs."pages.crawl" = { access = "read", args = ["target", "depth"], forms = { target = "url", depth = "integer" } }
verbs."pages.pin" = { access = "read", args = ["url"], forms = { url = "url" } }
verbs."hooks.call" = { access = "write", args = ["url"], forms = { url = "private_url" } }
verbs."repos.clone" = { access = "read", args = ["repo"], forms = { repo = "repository" } }
verbs."repos.list" = { access = "read", args = ["repo"], forms = { repo = "repository" } }
verbs."counts.set" = { access = "write", args = ["n"], forms = { n = "integer" } }
verbs."runs.retry" = { access = "write", args = ["run"], forms = { run = "integer" } }
verbs."plain.sets" = { access = "write", args = ["is", "among", "within", "note"] }
verbs."plain.texts" = { access = "write", args = ["start", "size", "ref"] }

[[identities]]
workflow = "ci"
issuer = "https://ci.acme.example"
audience = "https://broker.acme.example"
claims = { repository_id = "456789" }
[[identities]]
operator = "alice"
key = "keys/operator.pub.pem"

[[grants]]
workflow = "ci"
tool = "box"
verbs = ["files.*", "home.read", "pages.*", "hooks.call", "repos.*", "counts.set", "runs.retry", "plain.*"]
constraints."files.read" = { path = { path_under = "/srv//data/" }, mode = { any = true } }
constraints."files.write" = { path = { in = ["/srv/data/out", "/srv/./log"] } }
constraints."home.read" = { path = { claim = "home" } }
constraints."pages.fetch" = { url = { host_in = ["API.acme.example:443", "docs.acme.example:8443", "http://news.acme.example"] } }
constraints."pages.crawl" = { target = { any = true }, depth = { any = true } }
constraints."pages.pin" = { url = { eq = "HTTPS://status.acme.example" } }
constraints."hooks.call" = { url = { host_in = ["http://127.0.0.1:8080", "http://queue"] } }
constraints."repos.clone" = { repo = { claim = "repository" } }
constraints."repos.list" = { repo = { any = true } }
constraints."counts.set" = { n = { min = 1, max = 10 } }
constraints."runs.retry" = { run = { claim = "run_id" } }
constraints."plain.sets" = { is = { eq = true }, among = { in = ["a", "b"] }, within = { subset = ["x", "y"] }, note = { any = true } }
constraints."plain.texts" = { start = { prefix = "docs/" }, size = { min = 1, max = 100 }, ref = { claim = "ref" } }
[[grants]]
operator = "alice"
tool = "shortbread"
verbs = ["revocations.*", "policy.*"]
"#;

const REFUSED: &str = "argument_refused";

async fn start() -> (World, Arc<FakeIssuer>) {
    let issuer = FakeIssuer::start();
    (World::builder().policy(POLICY).fetch(issuer.clone()).start().await, issuer)
}

/// Asks as the CI system's job, with these claims more or other, for these verbs and constraints.
async fn ask(world: &World, issuer: &FakeIssuer, more: &Value, asked: Value) -> Answer {
    let mut claims = world.claims("repo:acme/web");
    for (name, value) in [
        ("iss", json!(FakeIssuer::URL)),
        ("aud", json!("https://broker.acme.example")),
        ("repository_id", json!("456789")),
        ("repository", json!("Acme/Web.git")),
        ("home", json!("/home/./ci/")),
        ("run_id", json!("71")),
        ("ref", json!("refs/heads/main")),
    ] {
        claims[name] = more.get(name).cloned().unwrap_or(value);
    }
    let mut detail = json!({ "type": "shortbread_tool_call", "tool": "box" });
    for (name, value) in asked.as_object().unwrap() {
        detail[name] = value.clone();
    }
    let (token, details) = (issuer.token(&claims), json!([detail]).to_string());
    let form = [
        ("grant_type", TOKEN_EXCHANGE),
        ("subject_token_type", JWT),
        ("subject_token", token.as_str()),
        ("authorization_details", details.as_str()),
    ];
    world.form("/oauth/token", &form).await
}

const VERBS: [&str; 13] = [
    "files.read",
    "files.write",
    "home.read",
    "pages.fetch",
    "pages.crawl",
    "pages.pin",
    "hooks.call",
    "repos.clone",
    "repos.list",
    "counts.set",
    "runs.retry",
    "plain.sets",
    "plain.texts",
];

/// A token for everything, and the tool service with the list.
async fn granted(world: &World, issuer: &FakeIssuer) -> (Answer, Tool) {
    let answer = ask(world, issuer, &json!({}), json!({ "actions": VERBS })).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let mut tool = world.tool("box");
    tool.poll().await;
    (answer, tool)
}

/// What the tool service says of one argument that has each of these values.
fn each(tool: &Tool, token: &str, (verb, name): (&str, &str), values: &[Value], says: &str) {
    for value in values {
        let args = match verb {
            "pages.crawl" if name == "target" => json!({ "target": value, "depth": 1 }),
            "pages.crawl" => json!({ "target": "https://a.example/", name: value }),
            _ => json!({ name: value }),
        };
        assert_eq!(tool.check(token, verb, &args), says, "{verb} {args}");
    }
}

fn texts<const N: usize>(texts: [&str; N]) -> Vec<Value> {
    texts.map(Value::from).to_vec()
}

#[tokio::test]
async fn every_kind_of_constraint_holds_at_the_tool_service() {
    let (world, issuer) = start().await;
    let (answer, tool) = granted(&world, &issuer).await;
    let token = answer.token();
    let sets = |change: Value| {
        let mut args = json!({ "is": true, "among": "a", "within": ["x"] });
        for (name, value) in change.as_object().unwrap() {
            args[name] = value.clone();
        }
        args
    };
    for (change, says) in [
        (json!({}), "allowed"),
        (json!({ "among": "b", "within": ["y", "x"], "note": { "any": [1.5, null] } }), "allowed"),
        (json!({ "is": "true" }), REFUSED),
        (json!({ "is": false }), REFUSED),
        (json!({ "among": "c" }), REFUSED),
        (json!({ "among": ["a"] }), REFUSED),
        (json!({ "within": [] }), REFUSED),
        (json!({ "within": "x" }), REFUSED),
        (json!({ "within": ["x", "z"] }), REFUSED),
        (json!({ "more": 1 }), REFUSED),
    ] {
        assert_eq!(tool.check(token, "plain.sets", &sets(change.clone())), says, "{change}");
    }
    let start = |start: Value, size: Value| json!({ "start": start, "size": size, "ref": "refs/heads/main" });
    for (args, says) in [
        (start(json!("docs/../etc"), json!(1)), "allowed"), // without a form a text is a text
        (start(json!("docs/"), json!(100)), "allowed"),
        (start(json!("src/"), json!(1)), REFUSED),
        (start(json!("docs/"), json!(0)), REFUSED),
        (start(json!("docs/"), json!(101)), REFUSED),
        (start(json!("docs/"), json!("7")), REFUSED),
        (json!({ "start": "docs/", "size": 1, "ref": "refs/heads/x" }), REFUSED),
        (json!({ "start": "docs/", "size": 1 }), REFUSED),
    ] {
        assert_eq!(tool.check(token, "plain.texts", &args), says, "{args}");
    }
    let count = ("counts.set", "n");
    each(&tool, token, count, &[json!(1), json!(10), json!("7")], "allowed");
    let beside =
        [json!(0), json!(11), json!("07"), json!("+7"), json!("7 "), json!("0x7"), json!(7.0), json!([7])];
    each(&tool, token, count, &beside, REFUSED);
}

#[tokio::test]
async fn any_value_of_a_form_is_still_of_that_form() {
    let (world, issuer) = start().await;
    let (answer, tool) = granted(&world, &issuer).await;
    let (token, any) = (answer.token(), ("pages.crawl", "target"));
    each(
        &tool,
        token,
        any,
        &texts(["https://a.example/", "http://b.example:8080/x?y", "https://1.1.1.1/"]),
        "allowed",
    );
    each(&tool, token, any, &texts(URLS), REFUSED);
    each(&tool, token, any, &[json!(["https://a.example/"]), json!(7), json!(null)], REFUSED);
    each(&tool, token, ("pages.crawl", "depth"), &[json!(-3), json!("12")], "allowed");
    each(&tool, token, ("pages.crawl", "depth"), &[json!("3.0"), json!(1.5), json!(null)], REFUSED);
    for missing in [json!({ "depth": 1 }), json!({ "target": "https://a.example/" }), json!({})] {
        assert_eq!(tool.check(token, "pages.crawl", &missing), REFUSED, "{missing}");
    }
    each(&tool, token, ("repos.list", "repo"), &texts(["acme/web", "A/b.git"]), "allowed");
    each(
        &tool,
        token,
        ("repos.list", "repo"),
        &texts(["acme", "../acme/web", "acme/..", "acme/web/x"]),
        REFUSED,
    );
    // Without a form it is merely listed.
    assert_eq!(tool.check(token, "files.read", &json!({ "path": "/srv/data", "mode": null })), "allowed");
    // A request that does not list it asks for calls that the grant does not allow.
    let asked =
        json!({ "actions": ["pages.crawl"], "constraints": { "pages.crawl": { "depth": { "max": 2 } } } });
    let refused = ask(&world, &issuer, &json!({}), asked).await;
    assert_eq!((refused.status, refused.reason()), (400, "policy.constraint"), "{refused:?}");
    let one = json!({ "target": { "host_in": ["A.example"] }, "depth": { "max": 2 } });
    let asked = json!({ "actions": ["pages.crawl"], "constraints": { "pages.crawl": one } });
    let narrower = ask(&world, &issuer, &json!({}), asked).await;
    let shown = json!({ "target": { "host_in": ["a.example"] }, "depth": { "max": 2 } });
    assert_eq!(narrower.body["authorization_details"][0]["constraints"]["pages.crawl"], shown);
    each(&tool, narrower.token(), any, &texts(["https://a.example/x"]), "allowed");
    each(&tool, narrower.token(), any, &texts(["https://b.example/"]), REFUSED);
}

#[tokio::test]
async fn an_answer_shows_what_is_granted_in_the_spelling_that_is_compared() {
    let (world, issuer) = start().await;
    let (answer, _) = granted(&world, &issuer).await;
    let shown = answer.body.pointer("/authorization_details/0/constraints").unwrap();
    assert_eq!(
        *shown,
        json!({
            "files.read": { "path": { "path_under": "/srv/data" }, "mode": { "any": true } },
            "files.write": { "path": { "in": ["/srv/data/out", "/srv/log"] } },
            "home.read": { "path": { "eq": "/home/ci" } },
            "pages.fetch": { "url": { "host_in": ["api.acme.example", "docs.acme.example:8443", "http://news.acme.example"] } },
            "pages.crawl": { "target": { "any": true }, "depth": { "any": true } },
            "pages.pin": { "url": { "eq": "https://status.acme.example/" } },
            "hooks.call": { "url": { "host_in": ["http://127.0.0.1:8080", "http://queue"] } },
            "repos.clone": { "repo": { "eq": "acme/web" } },
            "repos.list": { "repo": { "any": true } },
            "counts.set": { "n": { "min": 1, "max": 10 } },
            "runs.retry": { "run": { "eq": 71 } },
            "plain.sets": { "is": { "eq": true }, "among": { "in": ["a", "b"] }, "within": { "subset": ["x", "y"] }, "note": { "any": true } },
            "plain.texts": { "start": { "prefix": "docs/" }, "size": { "min": 1, "max": 100 }, "ref": { "eq": "refs/heads/main" } },
        })
    );
}

#[tokio::test]
async fn a_claim_is_bound_in_its_form_or_not_at_all() {
    let (world, issuer) = start().await;
    let (answer, tool) = granted(&world, &issuer).await;
    let token = answer.token();
    each(&tool, token, ("repos.clone", "repo"), &texts(["acme/web", "ACME/Web", "acme/web.git"]), "allowed");
    each(
        &tool,
        token,
        ("repos.clone", "repo"),
        &texts(["acme/docs", "acme/web.git.git", "acme/../acme/web"]),
        REFUSED,
    );
    each(&tool, token, ("home.read", "path"), &texts(["/home/ci", "/home/x/../ci"]), "allowed");
    each(
        &tool,
        token,
        ("home.read", "path"),
        &texts(["/home/ci/.ssh", "/home/ci/..", "/home/./%63i"]),
        REFUSED,
    );
    each(&tool, token, ("runs.retry", "run"), &[json!(71), json!("71")], "allowed");
    each(&tool, token, ("runs.retry", "run"), &[json!(72), json!("071"), json!("71 ")], REFUSED);
    for (verb, claim, value) in [
        ("repos.clone", "repository", json!("acme")),
        ("repos.clone", "repository", json!("acme/..")),
        ("repos.clone", "repository", json!("https://git.acme.example/acme/web")),
        ("repos.clone", "repository", json!(["acme/web"])),
        ("repos.clone", "repository", json!(null)),
        ("home.read", "home", json!("home/ci")),
        ("home.read", "home", json!("/home/%2e%2e")),
        ("home.read", "home", json!("/../..")),
        ("runs.retry", "run_id", json!("071")),
        ("runs.retry", "run_id", json!("9007199254740993")),
        ("runs.retry", "run_id", json!(7.5)),
    ] {
        let refused = ask(&world, &issuer, &json!({ claim: value }), json!({ "actions": [verb] })).await;
        assert_eq!((refused.status, refused.reason()), (400, "policy.constraint"), "{value} {refused:?}");
        assert!(refused.body.get("access_token").is_none());
        // What does not hang on that claim is granted still, and the answer says what is not.
        let both = json!({ "actions": [verb, "files.read"] });
        let answer = ask(&world, &issuer, &json!({ claim: value }), both).await;
        assert_eq!(answer.text("/scope"), "box:files.read", "{answer:?}");
        assert_eq!(answer.text(&format!("/shortbread/dropped/box~1{verb}")), "policy.constraint");
        assert_eq!(tool.check(answer.token(), verb, &json!({})), "not_granted");
    }
}

#[tokio::test]
async fn a_copy_is_narrowed_to_a_directory_and_to_hosts_on_top() {
    let (world, issuer) = start().await;
    let (answer, tool) = granted(&world, &issuer).await;
    let narrowed = |token: &str, arguments: Value| {
        let arguments = arguments.as_object().unwrap().iter();
        let arguments = arguments
            .map(|(verb, given)| {
                (format!("box/{verb}").parse().unwrap(), serde_json::from_value(given.clone()).unwrap())
            })
            .collect();
        narrow(token, &Narrowing { arguments, ..Narrowing::default() }, &SystemRandom).unwrap()
    };
    let child = narrowed(
        answer.token(),
        json!({ "files.read": { "path": { "path_under": "/srv/data/a/../b" } },
            "pages.fetch": { "url": { "host_in": ["api.acme.example", "evil.example"] } },
            "pages.crawl": { "target": { "host_in": ["a.example", "localhost"] }, "depth": { "eq": 1 } } }),
    );
    for (verb, args, says) in [
        ("files.read", json!({ "path": "/srv/data/b/x" }), "allowed"),
        ("files.read", json!({ "path": "/srv/./data/x/../b" }), "allowed"),
        ("files.read", json!({ "path": "/srv/data/a" }), "narrowed"),
        ("files.read", json!({ "path": "/srv/data/b", "mode": "r" }), "narrowed"),
        ("files.read", json!({ "path": "/srv/data/b/../../../etc" }), REFUSED),
        ("pages.fetch", json!({ "url": "https://api.acme.example/" }), "allowed"),
        ("pages.fetch", json!({ "url": "https://docs.acme.example:8443/" }), "narrowed"),
        ("pages.fetch", json!({ "url": "https://evil.example/" }), REFUSED),
        ("pages.crawl", json!({ "target": "https://a.example/", "depth": 1 }), "allowed"),
        ("pages.crawl", json!({ "target": "https://b.example/", "depth": 1 }), "narrowed"),
        // Narrowing names it and cannot give it.
        ("pages.crawl", json!({ "target": "http://localhost/", "depth": 1 }), REFUSED),
        ("repos.clone", json!({ "repo": "acme/web" }), "allowed"),
    ] {
        assert_eq!(tool.check(&child, verb, &args), says, "{verb} {args}");
    }
    let wider =
        narrowed(&child, json!({ "files.read": { "path": { "path_under": "/" }, "mode": { "any": true } } }));
    for (path, says) in [("/srv/data/b", "allowed"), ("/srv/data/a", "narrowed"), ("/etc", REFUSED)] {
        assert_eq!(tool.check(&wider, "files.read", &json!({ "path": path })), says, "{path}");
    }
}

#[test]
fn constraints_that_do_not_go_together_are_found_with_their_line() {
    let home = Home::new();
    for name in ["operator", "second"] {
        let out = format!("keys/{name}.pem");
        home.ok(&["keys", "generate", "--purpose", "operator", "--out", &out]);
    }
    home.write("policy.toml", POLICY);
    assert!(home.ok(&["policy", "check", "policy.toml"]).contains("policy.toml is sound"));
    for (was, is, says, fix) in [
        (
            "path_under = \"/srv//data/\"",
            "prefix = \"/srv/data\"",
            "uses prefix, which does not go with the form path",
            "use path_under for a directory",
        ),
        (
            "path_under = \"/srv//data/\"",
            "path_under = \"/srv\", eq = \"/srv/a\"",
            "combines kinds",
            "write one of",
        ),
        (
            "path_under = \"/srv//data/\"",
            "path_under = \"/srv/../..\"",
            "is no absolute directory",
            "write one of",
        ),
        (
            "eq = \"HTTPS://status.acme.example\"",
            "eq = \"http://169.254.169.254/\"",
            "leads to a private place",
            "write it as the form has it",
        ),
        (
            "host_in = [\"http://127.0.0.1:8080\", \"http://queue\"]",
            "host_in = [\"*.acme.example\"]",
            "is no host",
            "write one of",
        ),
        (
            "target = { any = true }",
            "target = { any = true, min = 1 }",
            "combines any with another kind",
            "write one of",
        ),
        (
            "start = { prefix = \"docs/\" }",
            "start = { path_under = \"/docs\" }",
            "gives the argument no such form",
            "give the argument the form path",
        ),
        (
            "repo = { claim = \"repository\" }",
            "repo = { claim = \"repository\", eq = \"acme/web\" }",
            "combines claim with another kind",
            "not both",
        ),
        (
            "forms = { n = \"integer\" }",
            "forms = { m = \"integer\" }",
            "has a form and is not among the args",
            "list it in args",
        ),
    ] {
        assert_eq!(POLICY.matches(was).count(), 1, "{was}");
        home.write("policy.toml", &POLICY.replace(was, is));
        let line = POLICY.lines().position(|line| line.contains(was)).unwrap() + 1;
        home.refused(
            &["policy", "check", "policy.toml"],
            &[&format!("policy.toml:{line}: "), says, "fix:", fix],
        );
    }
}
