//! The project's own token vectors: what our mint and our narrowing make, and what a verifier must say of it.
//! `schema/vectors/shortbread.json` is held current here; SHORTBREAD_BLESS=1 writes it anew.

mod complete;
mod once;
mod revoked;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Map, Value, json};
use shortbread_broker::mint::{Minting, mint};
use shortbread_broker::policy::model::{Principal, Windows};
use shortbread_broker::policy::{Alternative, Right};
use shortbread_broker::signer::LocalSigner;
use shortbread_protocol::access::Access;
use shortbread_protocol::call::Args;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::constraint::Arguments;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::Intent;
use shortbread_protocol::normalise::Facet;
use shortbread_protocol::random::SeededRandom;
use shortbread_verifier::narrow::{Narrowing, narrow, seal};
use shortbread_verifier::vectors;

const ISSUER: &str = "https://broker.acme.example";
const AUDIENCE: &str = "https://tools.acme.example/github";
const ISSUED: u64 = 1_795_176_000;

const ABOUT: &str = "What Shortbread's own mint and narrowing make, and what a verifier must say of it, in the form of sb1.json. \
    Every kind of constraint and every kind of selector of a revocation list is here. Two entries of a list are no selectors, \
    so that no case can say them: its `global` moment revokes whatever was issued before it, and its ids revoke single blocks \
    and tokens, each by the first 16 bytes of SHA-256, of the block's signature or of the token's id. A verifier has to look \
    at both itself. No mint writes `user` yet: the token of the cases of `user` and `approval` was written by hand.";

/// Verbs, their access, the ways in which their arguments are granted (null is any), and the forms of those.
fn granted() -> Vec<(&'static str, Access, Vec<Value>, Value)> {
    let issue = json!({ "repo": { "in": ["acme/docs", "acme/web"] }, "title": { "any": true }, "labels": { "subset": ["bug", "ui"] } });
    let page =
        json!({ "path": { "prefix": "docs/" }, "size": { "min": 1, "max": 100 }, "draft": { "eq": true } });
    let file = json!({ "path": { "path_under": "/srv/data" }, "mode": { "any": true } });
    let site = json!({ "url": { "host_in": ["api.acme.example", "api.acme.example:8443", "http://[2606:4700::1111]"] } });
    let inside = json!({ "url": { "host_in": ["http://localhost:8080", "http://10.0.0.1"] } });
    let none = || json!({});
    vec![
        ("issues.read", Access::Read, vec![Value::Null], none()),
        ("issues.write", Access::Write, vec![issue, json!({ "repo": { "eq": "acme/infra" } })], none()),
        ("pages.write", Access::Write, vec![page], none()),
        ("levels.set", Access::Write, vec![json!({ "level": { "in": [1, 2, 3] } })], none()),
        ("repo.delete", Access::Privileged, vec![json!({ "repo": { "eq": "acme/old" } })], none()),
        (
            "files.read",
            Access::Read,
            vec![file, json!({ "path": { "eq": "/etc/motd" } })],
            json!({ "path": "path" }),
        ),
        ("pages.fetch", Access::Read, vec![site], json!({ "url": "url" })),
        (
            "pages.crawl",
            Access::Read,
            vec![json!({ "url": { "any": true }, "depth": { "any": true }, "tag": { "any": true } })],
            json!({ "url": "url", "depth": "integer" }),
        ),
        ("status.fetch", Access::Read, vec![inside], json!({ "url": "private_url" })),
        (
            "repos.clone",
            Access::Read,
            vec![json!({ "repo": { "in": ["Acme/Web", "acme/docs.git"] } })],
            json!({ "repo": "repository" }),
        ),
        (
            "counts.set",
            Access::Write,
            vec![json!({ "n": { "min": 1, "max": 10 } })],
            json!({ "n": "integer" }),
        ),
    ]
}

fn rights() -> Vec<Right> {
    let way = |arguments: Value| Alternative {
        grant: "grant:1".to_owned(),
        arguments: serde_json::from_value::<Option<Arguments>>(arguments).expect("constraints"),
    };
    let right = |(verb, access, ways, forms): (&str, Access, Vec<Value>, Value)| Right {
        forms: serde_json::from_value(forms).expect("forms"),
        operation: format!("github/{verb}").parse().expect("an operation"),
        access,
        windows: Windows::default(),
        alternatives: ways.into_iter().map(way).collect(),
    };
    granted().into_iter().map(right).collect()
}

fn signer() -> LocalSigner {
    LocalSigner::new("k1".parse().expect("a name"), PrivateKey::from_seed(&[0x22; 32]))
}

fn token(sealed: bool, random: &SeededRandom) -> String {
    minted_for(
        &Principal::Workflow("release-notes".parse().expect("a name")),
        None,
        &rights(),
        sealed,
        random,
    )
}

fn minted_for(
    principal: &Principal,
    holder: Option<&str>,
    rights: &[Right],
    sealed: bool,
    random: &SeededRandom,
) -> String {
    let minting = Minting {
        issuer: ISSUER,
        principal,
        intent: &Intent::undeclared(),
        task: &"tsk_1".parse().expect("a task"),
        token: "tok_1",
        holder,
        issued: ISSUED,
        expires: ISSUED + 600,
        rights,
        audiences: &[("github".to_owned(), AUDIENCE.to_owned())],
        sealed,
        approval: None,
        once: None,
    };
    mint(&minting, &signer(), random).expect("a token")
}

/// Every facet that the arguments have, by its name in tokens: what whoever checks must compute.
fn facets(members: Map<String, Value>) -> Value {
    let args = Args::from_members(members).expect("arguments");
    let every = args.names().flat_map(|name| Facet::ALL.map(|facet| (name, facet)));
    let had = every.filter_map(|(name, facet)| Some((facet.of(name), args.facet(name, facet)?.ok()?)));
    json!(had.collect::<BTreeMap<_, _>>())
}

struct Cases {
    cases: Vec<Value>,
    token: String,
}

impl Cases {
    /// One call of the token at hand, a minute after it was issued.
    fn call(&mut self, name: &str, verb: &str, args: Value, expect: &str) -> &mut Self {
        let time = Timestamp::from_seconds(ISSUED + 60).to_string();
        let mut call = json!({ "time": time, "audience": AUDIENCE, "tool": "github", "verb": verb, "revocation_age": 5 });
        let has_form = granted().iter().any(|(known, .., forms)| *known == verb && *forms != json!({}));
        if has_form && let Some(members) = args.as_object() {
            call["facets"] = facets(members.clone());
        }
        if !args.is_null() {
            call["args"] = args;
        }
        self.cases.push(
            json!({ "name": name, "token": self.token, "call": call, "expect": expect, "profile": "ok" }),
        );
        self
    }

    /// The last case again with another call.
    fn but(&mut self, name: &str, change: &[(&str, Value)], expect: &str) -> &mut Self {
        let mut case = self.cases.last().cloned().expect("a case before");
        case["name"] = name.into();
        case["expect"] = expect.into();
        for (member, value) in change {
            case["call"][*member] = value.clone();
        }
        self.cases.push(case);
        self
    }
}

fn cases() -> Vec<Value> {
    let random = SeededRandom::new(1);
    let parent = token(false, &random);
    let mut all = Cases { cases: Vec::new(), token: parent.clone() };
    minted(&mut all);
    formed(&mut all);
    let only = |verb: &str| Some(vec![format!("github/{verb}").parse().expect("an operation")]);
    let by = Narrowing { operations: only("issues.read"), until: Some(ISSUED + 120), ..Narrowing::default() };
    all.token = narrow(&parent, &by, &random).expect("a child");
    all.call("narrowed to one verb", "issues.read", json!({}), "allow")
        .call("narrowed away", "levels.set", json!({ "level": 1 }), "deny")
        .call("narrowed life: still", "issues.read", json!({}), "allow")
        .but(
            "narrowed life: over",
            &[("time", json!(Timestamp::from_seconds(ISSUED + 120).to_string()))],
            "deny",
        );
    let operation: shortbread_protocol::names::Operation = "github/levels.set".parse().expect("an operation");
    let arguments: Arguments = serde_json::from_value(json!({ "level": { "max": 2 } })).expect("constraints");
    let by = Narrowing { arguments: vec![(operation, arguments)], ..Narrowing::default() };
    all.token = seal(&narrow(&parent, &by, &random).expect("a child")).expect("sealed");
    all.call("narrowed argument, sealed", "levels.set", json!({ "level": 2 }), "allow").call(
        "narrowed argument, sealed: outside",
        "levels.set",
        json!({ "level": 3 }),
        "deny",
    );
    let operation: shortbread_protocol::names::Operation = "github/files.read".parse().expect("an operation");
    let arguments: Arguments =
        serde_json::from_value(json!({ "path": { "path_under": "/srv/data/a" } })).expect("constraints");
    let by = Narrowing { arguments: vec![(operation, arguments)], ..Narrowing::default() };
    all.token = narrow(&parent, &by, &random).expect("a child");
    all.call("narrowed to a directory", "files.read", json!({ "path": "/srv/./data/a/b" }), "allow")
        .call("narrowed to a directory: beside it", "files.read", json!({ "path": "/srv/data/b" }), "deny")
        .call("narrowed to a directory: another way", "files.read", json!({ "path": "/etc/motd" }), "deny");
    all.token = token(true, &random);
    all.call("sealed by the broker", "issues.read", json!({}), "allow");
    revoked::cases(&mut all, &random);
    once::cases(&mut all, &random);
    all.cases
}

fn minted(all: &mut Cases) {
    let issue = |repo: Value, labels: Value| json!({ "repo": repo, "title": "x", "labels": labels });
    all.call("a verb with any arguments", "issues.read", json!({ "anything": [1, "x", null] }), "allow")
        .call("the first of two ways", "issues.write", issue(json!("acme/web"), json!(["bug"])), "allow")
        .call("the second of two ways", "issues.write", json!({ "repo": "acme/infra" }), "allow")
        .call(
            "the second way with an argument of the first",
            "issues.write",
            json!({ "repo": "acme/infra", "title": "x" }),
            "deny",
        )
        .call(
            "a list where one value is meant",
            "issues.write",
            issue(json!(["acme/web"]), json!(["bug"])),
            "deny",
        )
        .call(
            "a list with a stranger in it",
            "issues.write",
            issue(json!("acme/web"), json!(["bug", "x"])),
            "deny",
        )
        .call("an empty list", "issues.write", issue(json!("acme/web"), json!([])), "deny")
        .call(
            "one value where a list is meant",
            "issues.write",
            issue(json!("acme/web"), json!("bug")),
            "deny",
        )
        .call(
            "prefix, range and truth",
            "pages.write",
            json!({ "path": "docs/a", "size": 100, "draft": true }),
            "allow",
        )
        .call("prefix wrong", "pages.write", json!({ "path": "src/a", "size": 100, "draft": true }), "deny")
        .call("range: below", "pages.write", json!({ "path": "docs/a", "size": 0, "draft": true }), "deny")
        .call("range: above", "pages.write", json!({ "path": "docs/a", "size": 101, "draft": true }), "deny")
        .call(
            "range: a float",
            "pages.write",
            json!({ "path": "docs/a", "size": 1.5, "draft": true }),
            "deny",
        )
        .call(
            "truth as text",
            "pages.write",
            json!({ "path": "docs/a", "size": 100, "draft": "true" }),
            "deny",
        )
        .call(
            "an extra argument of no type",
            "pages.write",
            json!({ "path": "docs/a", "size": 1, "draft": true, "x": null }),
            "deny",
        )
        .call("one of the integers", "levels.set", json!({ "level": 3 }), "allow")
        .call("none of the integers", "levels.set", json!({ "level": 4 }), "deny")
        .call("an integer as text", "levels.set", json!({ "level": "3" }), "deny")
        .call("the call was not read", "levels.set", Value::Null, "deny")
        .call("privileged with a fresh list", "repo.delete", json!({ "repo": "acme/old" }), "allow")
        .but("privileged with a list of 61 s", &[("revocation_age", json!(61))], "deny")
        .call("write with a list of 300 s", "levels.set", json!({ "level": 1 }), "allow")
        .but("write with a list of 300 s, at the edge", &[("revocation_age", json!(300))], "allow")
        .but("write with a list of 301 s", &[("revocation_age", json!(301))], "deny")
        .but(
            "another audience",
            &[("revocation_age", json!(5)), ("audience", json!("https://other.example"))],
            "deny",
        );
}

/// Arguments that have a form: each is given as it is sent, and compared in the one spelling of its form.
fn formed(all: &mut Cases) {
    let mut each = |verb: &str, arg: &str, cases: &[(&str, Value, &str)]| {
        for (name, value, expect) in cases {
            all.call(name, verb, json!({ arg: value }), expect);
        }
    };
    each(
        "files.read",
        "path",
        &[
            ("path: below the directory", json!("/srv/data/a/b.txt"), "allow"),
            ("path: the directory itself", json!("/srv/data"), "allow"),
            ("path: another spelling", json!("/srv/x/../data/./a/"), "allow"),
            ("path: doubled slashes", json!("/srv//data///a"), "allow"),
            ("path: doubled slashes and a step back", json!("/etc//../srv/data"), "deny"),
            ("path: a step back over a question mark", json!("/etc/passwd?/../../srv/data"), "deny"),
            ("path: the other way", json!("/etc/./motd"), "allow"),
            ("path: a sibling that starts alike", json!("/srv/database"), "deny"),
            ("path: dots lead out", json!("/srv/data/../../etc/passwd"), "deny"),
            ("path: dots lead above the root", json!("/srv/data/../../../srv/data"), "deny"),
            ("path: encoded dots", json!("/srv/data/%2e%2e/x"), "deny"),
            ("path: dots encoded twice", json!("/srv/data/%252e%252e/x"), "deny"),
            ("path: overlong dots", json!("/srv/data/%c0%ae%c0%ae/x"), "deny"),
            ("path: an encoded slash", json!("/srv/data/..%2f..%2fetc"), "deny"),
            ("path: a backslash", json!("/srv/data/..\\..\\etc"), "deny"),
            ("path: NUL", json!("/srv/data/a\u{0}.txt"), "deny"),
            ("path: a full-width dot", json!("/srv/data/\u{ff0e}\u{ff0e}/x"), "deny"),
            ("path: a division slash", json!("/srv/data/..\u{2215}x"), "deny"),
            ("path: relative", json!("srv/data/a"), "deny"),
            ("path: two slashes in front", json!("//srv/data/a"), "deny"),
            ("path: a list", json!(["/srv/data/a"]), "deny"),
            ("path: no text", json!(7), "deny"),
        ],
    );
    each(
        "pages.fetch",
        "url",
        &[
            ("url: the host", json!("https://api.acme.example/v1?x=y"), "allow"),
            ("url: the host in capitals with its port", json!("HTTPS://API.Acme.Example:443"), "allow"),
            ("url: another port that is listed", json!("https://api.acme.example:8443/"), "allow"),
            ("url: an IPv6 address in another spelling", json!("http://[2606:4700:0:0::1111]/"), "allow"),
            ("url: an at sign in the path", json!("https://api.acme.example/@user"), "allow"),
            ("url: http where https is listed", json!("http://api.acme.example/"), "deny"),
            ("url: another port", json!("https://api.acme.example:444/"), "deny"),
            ("url: a host that ends alike", json!("https://evilapi.acme.example/"), "deny"),
            ("url: a host that starts alike", json!("https://api.acme.example.evil.example/"), "deny"),
            ("url: a user before the host", json!("https://api.acme.example@evil.example/"), "deny"),
            ("url: a user, also at the right host", json!("https://user@api.acme.example/"), "deny"),
            ("url: a backslash", json!("https://api.acme.example\\@evil.example/"), "deny"),
            ("url: a fragment", json!("https://api.acme.example#@evil.example/"), "deny"),
            ("url: no slashes", json!("https:api.acme.example/"), "deny"),
            ("url: a tab", json!("https://api.acme\t.example/"), "deny"),
            ("url: a dot at the end", json!("https://api.acme.example./"), "deny"),
            ("url: an encoded host", json!("https://api%2eacme.example/"), "deny"),
            ("url: a port with zeros", json!("https://api.acme.example:0443/"), "deny"),
            ("url: another scheme", json!("file:///etc/passwd"), "deny"),
        ],
    );
    each(
        "status.fetch",
        "url",
        &[
            ("private url: a host that is listed", json!("http://localhost:8080/status"), "allow"),
            ("private url: an address that is listed", json!("http://10.0.0.1/"), "allow"),
            ("private url: the address as one number", json!("http://167772161/"), "deny"),
            ("private url: the address in hexadecimal", json!("http://0x0a.0.0.1/"), "deny"),
            ("private url: the address in octal", json!("http://012.0.0.1/"), "deny"),
            ("private url: the address shortened", json!("http://10.1/"), "deny"),
            ("private url: the address inside IPv6", json!("http://[::ffff:10.0.0.1]/"), "deny"),
            ("private url: cloud metadata", json!("http://169.254.169.254/latest/meta-data"), "deny"),
        ],
    );
    each(
        "repos.clone",
        "repo",
        &[
            ("repository: as it is listed", json!("acme/web"), "allow"),
            ("repository: in capitals with its suffix", json!("ACME/docs.git"), "allow"),
            ("repository: another", json!("acme/infra"), "deny"),
            ("repository: dots", json!("acme/../acme/web"), "deny"),
            ("repository: a URL", json!("https://github.com/acme/web"), "deny"),
        ],
    );
    each(
        "counts.set",
        "n",
        &[
            ("integer: as a number", json!(10), "allow"),
            ("integer: as a text", json!("10"), "allow"),
            ("integer: outside", json!(11), "deny"),
            ("integer: zeros in front", json!("07"), "deny"),
            ("integer: a plus", json!("+7"), "deny"),
            ("integer: a fraction", json!(7.0), "deny"),
        ],
    );
    any_of_a_form(all);
    let claimed = json!({ "path": "/etc/shadow", "path#path": "/srv/data/" });
    all.call("a facet that the call sends itself", "files.read", claimed, "deny").call(
        "a facet that the call sends itself, alone",
        "files.read",
        json!({ "path#path": "/srv/data/" }),
        "deny",
    );
}

/// Any value will do, but it must be there and be of its form.
fn any_of_a_form(all: &mut Cases) {
    for (name, url, depth, expect) in [
        ("any url: a public one", json!("https://a.example/x"), json!(1), "allow"),
        ("any url: a public address", json!("http://1.1.1.1:8080/"), json!(1), "allow"),
        ("any integer: as a text", json!("https://a.example/x"), json!("-3"), "allow"),
        ("any url: cloud metadata", json!("http://169.254.169.254/latest"), json!(1), "deny"),
        ("any url: this host", json!("http://127.0.0.1/"), json!(1), "deny"),
        ("any url: this host as one number", json!("http://2130706433/"), json!(1), "deny"),
        ("any url: a private address inside IPv6", json!("http://[::ffff:10.0.0.1]/"), json!(1), "deny"),
        ("any url: a name without a dot", json!("http://localhost/"), json!(1), "deny"),
        ("any url: a user before the host", json!("https://a.example@10.0.0.1/"), json!(1), "deny"),
        ("any url: another scheme", json!("file:///etc/passwd"), json!(1), "deny"),
        ("any url: a list", json!(["https://a.example/x"]), json!(1), "deny"),
        ("any url: null", Value::Null, json!(1), "deny"),
        ("any integer: none", json!("https://a.example/x"), json!("many"), "deny"),
    ] {
        all.call(name, "pages.crawl", json!({ "url": url, "depth": depth }), expect);
    }
    all.call("any url: missing", "pages.crawl", json!({ "depth": 1 }), "deny")
        .call("any integer: missing", "pages.crawl", json!({ "url": "https://a.example/x" }), "deny")
        .call(
            "any, without a form, of a type that has no fact",
            "pages.crawl",
            json!({ "url": "https://a.example/x", "depth": 1, "tag": { "a": null } }),
            "allow",
        );
}

fn file(cases: Vec<Value>) -> BTreeMap<&'static str, Value> {
    let key = PrivateKey::from_seed(&[0x22; 32]).public();
    let hex: String = key.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    BTreeMap::from([
        ("about", json!(ABOUT)),
        ("profile", json!("sb1")),
        ("root_public_key", json!(format!("ed25519/{hex}"))),
        ("root_key_name", json!("k1")),
        ("root_issuer", json!(ISSUER)),
        ("root_private_key_test_only", json!(format!("ed25519-private/{}", "22".repeat(32)))),
        ("vectors", Value::Array(cases)),
    ])
}

#[test]
fn our_own_vectors_are_current_and_pass() {
    let made = serde_json::to_string_pretty(&file(cases())).expect("JSON") + "\n";
    let failed: Vec<_> = vectors::run(made.as_bytes())
        .expect("a sound file")
        .into_iter()
        .filter(|case| !case.passed)
        .collect();
    assert!(failed.is_empty(), "{failed:#?}");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../schema/vectors/shortbread.json");
    if std::env::var_os("SHORTBREAD_BLESS").is_some() {
        std::fs::write(&path, &made).expect("a file");
    }
    let kept =
        std::fs::read_to_string(&path).expect("schema/vectors/shortbread.json; scripts/gen-schema writes it");
    assert!(kept == made, "schema/vectors/shortbread.json is not current; run scripts/gen-schema");
}
