use std::time::Duration;

use serde_json::{Value, json};
use shortbread_protocol::access::Access;
use shortbread_protocol::constraint::Arguments;
use shortbread_protocol::reason::Reason;

use super::super::fixture::{ADMIN, EXAMPLE, claims, operation, policy, workflow};
use super::*;

const TOOLS: &str = r#"
[tools.t]
audience = "https://t.example"
verbs.read = { access = "read" }
verbs.list = { access = "read" }
verbs.write = { access = "write" }
verbs.kill = { access = "privileged" }
[tools.u]
audience = "https://u.example"
verbs.read = { access = "read" }
[[identities]]
workflow = "w"
issuer = "https://issuer.example"
audience = "https://broker.acme.example"
claims = { sub = "1" }
[[identities]]
workflow = "other"
key = "keys/other.pub.pem"
[approvers.oncall]
members = ["alice"]
"#;

/// Grants of `t` to the workflow `w`, one text each, and what else the policy says.
fn granting(grants: &[&str], more: &str) -> Policy {
    let grants: String =
        grants.iter().map(|lines| format!("[[grants]]\nworkflow = \"w\"\ntool = \"t\"\n{lines}\n")).collect();
    policy(&format!("{TOOLS}{ADMIN}{grants}{more}"))
}

struct Ask {
    claims: Value,
    intent: Option<&'static str>,
    ttl: Option<u64>,
    possession: Possession,
}

const PLAIN: Ask = Ask { claims: Value::Null, intent: None, ttl: None, possession: Possession::Unproved };

impl Ask {
    fn of(&self, policy: &Policy, asked: &[(&str, Value)]) -> Result<Granted, Refusal> {
        let asked: Vec<Asked> = asked
            .iter()
            .map(|(name, arguments)| Asked {
                operation: operation(name),
                arguments: serde_json::from_value(arguments.clone()).unwrap(),
            })
            .collect();
        let intent = self.intent.map(|intent| intent.parse().unwrap());
        let request = Request {
            principal: &workflow("w"),
            claims: &claims(&self.claims),
            intent: intent.as_ref(),
            asked: &asked,
            ttl: self.ttl.map(Duration::from_secs),
            possession: self.possession,
        };
        decide(policy, &request)
    }

    fn refused(&self, policy: &Policy, asked: &[(&str, Value)]) -> (Reason, String) {
        let refusal = self.of(policy, asked).unwrap_err();
        (refusal.reason, refusal.detail)
    }
}

fn conditions(granted: &Granted, right: usize) -> Value {
    let alternatives = &granted.rights[right].alternatives;
    Value::Array(alternatives.iter().map(|a| serde_json::to_value(&a.arguments).unwrap()).collect())
}

#[test]
fn a_read_is_granted_as_asked() {
    let policy = granting(&["verbs = [\"read\"]"], "");
    let granted = PLAIN.of(&policy, &[("t/read", Value::Null)]).unwrap();
    assert_eq!(granted.ttl, DEFAULT_TTL);
    assert_eq!(granted.grants, ["grant:2"]);
    assert_eq!(granted.rights[0].access, Access::Read);
    assert_eq!(conditions(&granted, 0), json!([null]));
    let narrower = PLAIN.of(&policy, &[("t/read", json!({ "x": { "eq": 1 } }))]).unwrap();
    assert_eq!(conditions(&narrower, 0), json!([{ "x": { "eq": 1 } }]));
}

#[test]
fn an_unknown_name_refuses_all() {
    let policy = granting(&["verbs = [\"read\"]"], "");
    for (name, says) in [("t/nope", "the tool t has no verb nope"), ("x/read", "there is no tool x")] {
        let told = PLAIN.refused(&policy, &[("t/read", Value::Null), (name, Value::Null)]);
        assert_eq!(told, (Reason::ScopeUnknown, says.to_owned()));
    }
    let broken = PLAIN.refused(&policy, &[("t/read", json!({ "x": {} }))]);
    assert_eq!(broken.0, Reason::ScopeUnknown);
    assert_eq!(PLAIN.refused(&policy, &[]).0, Reason::RequestMalformed);
}

#[test]
fn a_narrower_answer_says_what_was_dropped() {
    let policy = granting(&["verbs = [\"read\"]"], "[[forbids]]\nverbs = [\"kill\"]");
    let asked = [("t/read", Value::Null), ("t/list", Value::Null), ("t/kill", Value::Null)];
    let granted = PLAIN.of(&policy, &asked).unwrap();
    assert_eq!(granted.rights.len(), 1);
    let dropped: Vec<_> = granted.dropped.iter().map(|(o, r)| (o.to_string(), *r)).collect();
    let expected =
        [("t/kill".to_owned(), Reason::PolicyForbidden), ("t/list".to_owned(), Reason::PolicyDenied)];
    assert_eq!(dropped, expected);
}

#[test]
fn nothing_of_other_workflows_is_told() {
    let other = "[[grants]]\nworkflow = \"other\"\ntool = \"t\"\nverbs = [\"list\"]";
    let policy = granting(&["verbs = [\"read\"]"], other);
    let (reason, detail) = PLAIN.refused(&policy, &[("t/list", Value::Null)]);
    assert_eq!(reason, Reason::PolicyDenied);
    assert_eq!(detail, "workflow:w is not granted t/list; of t it is granted read");
    assert!(PLAIN.refused(&policy, &[("u/read", Value::Null)]).1.ends_with("of u it is granted nothing"));
    assert_eq!(PLAIN.refused(&policy, &[("shortbread/policy.read", Value::Null)]).0, Reason::PolicyDenied);
}

#[test]
fn forbids_beat_grants() {
    let all = ["verbs = [\"*\"]\nany_arguments = true\napproval = \"none\"\nintents = [\"i\", \"j\"]"];
    let i = Ask { intent: Some("i"), ..PLAIN };
    let cases = [
        ("verbs = [\"write\"]", ["t/write"].as_slice()),
        ("access = [\"write\"]\ntool = \"t\"", &["t/write", "t/kill"]),
        ("access = [\"privileged\"]\ntool = \"t\"", &["t/kill"]),
        ("access = [\"read\"]\ntool = \"t\"", &["t/read", "t/list"]),
        ("tool = \"t\"", &["t/read", "t/list", "t/write", "t/kill"]),
        ("tool = \"u\"", &[]),
        ("workflow = \"w\"\nverbs = [\"read\"]", &["t/read"]),
        ("workflow = \"other\"", &[]),
        ("workflows = [\"other\", \"w\"]\nintents = [\"i\"]\naccess = [\"privileged\"]", &["t/kill"]),
        ("intents = [\"j\"]", &[]),
    ];
    for (forbid, hit) in cases {
        let policy = granting(&all, &format!("[[forbids]]\n{forbid}"));
        for name in ["t/read", "t/list", "t/write", "t/kill"] {
            let forbidden =
                i.of(&policy, &[(name, Value::Null)]).is_err_and(|r| r.reason == Reason::PolicyForbidden);
            assert_eq!(forbidden, hit.contains(&name), "{forbid} {name}");
        }
    }
}

#[test]
fn intents_are_matched_and_undeclared_is_a_word() {
    let policy = granting(&["verbs = [\"read\"]\nintents = [\"triage\"]", "verbs = [\"list\"]"], "");
    let triage = Ask { intent: Some("triage"), ..PLAIN };
    assert!(triage.of(&policy, &[("t/read", Value::Null)]).is_ok());
    assert!(triage.of(&policy, &[("t/list", Value::Null)]).is_ok());
    let (reason, detail) = PLAIN.refused(&policy, &[("t/read", Value::Null)]);
    assert_eq!(reason, Reason::IntentRefused);
    assert_eq!(detail, "t/read is granted for the intents triage and not for undeclared");
    let policy = granting(&["verbs = [\"read\"]\nintents = [\"undeclared\"]"], "");
    assert!(PLAIN.of(&policy, &[("t/read", Value::Null)]).is_ok());
    assert!(triage.of(&policy, &[("t/read", Value::Null)]).is_err());
}

#[test]
fn conditions_of_two_grants_are_never_merged() {
    let one = "verbs = [\"write\"]\nconstraints.write = { repo = { eq = \"a\" }, branch = { any = true } }";
    let two =
        "verbs = [\"write\"]\nconstraints.write = { repo = { prefix = \"b/\" }, branch = { eq = \"main\" } }";
    // Says the same as the first grant but for the rate, so it adds no alternative of its own.
    let three = format!("{one}\nrate = \"5/min\"");
    let policy = granting(&[one, two, &three], "");
    let granted = PLAIN.of(&policy, &[("t/write", Value::Null)]).unwrap();
    let expected = json!([
        { "repo": { "eq": "a" }, "branch": { "any": true } },
        { "repo": { "prefix": "b/" }, "branch": { "eq": "main" } },
    ]);
    assert_eq!(conditions(&granted, 0), expected);
    assert_eq!(granted.grants, ["grant:2", "grant:3", "grant:4"]);
    assert_eq!(granted.rates.len(), 1);
    assert_eq!((granted.rates[0].0.as_str(), granted.rates[0].1.count), ("grant:4", 5));
    let asked = [
        ("t/write", json!({ "repo": { "eq": "a" }, "branch": { "eq": "dev" } })),
        ("t/write", json!({ "repo": { "eq": "b/x" }, "branch": { "any": true } })),
    ];
    let granted = PLAIN.of(&policy, &asked).unwrap();
    let expected = json!([
        { "repo": { "eq": "a" }, "branch": { "eq": "dev" } },
        { "repo": { "eq": "b/x" }, "branch": { "eq": "main" } },
    ]);
    assert_eq!(conditions(&granted, 0), expected);
    let (reason, detail) = PLAIN.refused(&policy, &[("t/write", json!({ "repo": { "eq": "c" } }))]);
    assert_eq!(reason, Reason::ConstraintRefused);
    assert!(
        detail.starts_with("t/write is not granted with the arguments asked for; it is granted with {"),
        "{detail}"
    );
}

#[test]
fn claims_are_bound_and_a_missing_one_ends_the_grant() {
    let bound = "verbs = [\"write\"]\nconstraints.write = { repo = { claim = \"repository\" } }";
    let policy = granting(&[bound], "");
    let web = Ask { claims: json!({ "repository": "acme/web" }), ..PLAIN };
    let granted = web.of(&policy, &[("t/write", Value::Null)]).unwrap();
    assert_eq!(conditions(&granted, 0), json!([{ "repo": { "eq": "acme/web" } }]));
    assert!(web.of(&policy, &[("t/write", json!({ "repo": { "eq": "acme/docs" } }))]).is_err());
    for claims in [json!({}), json!({ "repository": ["acme/web"] }), json!({ "repository": null })] {
        let (reason, detail) = Ask { claims, ..PLAIN }.refused(&policy, &[("t/write", Value::Null)]);
        assert_eq!(reason, Reason::ConstraintRefused);
        assert!(detail.contains("the claim repository"), "{detail}");
    }
}

const FILES: &str = r#"
[tools.f]
audience = "https://f.example"
verbs.read = { access = "read", args = ["path", "mode"], forms = { path = "path" } }
verbs.get = { access = "read", args = ["url"], forms = { url = "url" } }
verbs.push = { access = "write", args = ["repo"], forms = { repo = "repository" } }
verbs.crawl = { access = "read", args = ["url", "mode"], forms = { url = "url" } }
[[grants]]
workflow = "w"
tool = "f"
verbs = ["read", "get", "push", "crawl"]
constraints.crawl = { url = { any = true }, mode = { any = true } }
constraints.read = { path = { path_under = "/srv/data/" }, mode = { any = true } }
constraints.get = { url = { host_in = ["api.acme.example", "docs.acme.example:8443"] } }
constraints.push = { repo = { claim = "repository" } }
"#;

#[test]
fn what_is_asked_is_met_in_the_spelling_of_the_form() {
    let policy = granting(&[], FILES);
    let ask = Ask { claims: json!({ "repository": "Acme/Web" }), ..PLAIN };
    for (name, asked, expected) in [
        ("f/read", Value::Null, json!({ "path": { "path_under": "/srv/data" }, "mode": { "any": true } })),
        (
            "f/read",
            json!({ "path": { "path_under": "/srv" } }),
            json!({ "path": { "path_under": "/srv/data" } }),
        ),
        (
            "f/read",
            json!({ "path": { "path_under": "/srv/./data/a/" } }),
            json!({ "path": { "path_under": "/srv/data/a" } }),
        ),
        (
            "f/read",
            json!({ "path": { "in": ["/srv/data/../x", "/srv/data/b/../a"] } }),
            json!({ "path": { "eq": "/srv/data/a" } }),
        ),
        ("f/read", json!({ "path": { "any": true } }), json!({ "path": { "path_under": "/srv/data" } })),
        (
            "f/get",
            json!({ "url": { "host_in": ["API.acme.example:443", "evil.example"] } }),
            json!({ "url": { "host_in": ["api.acme.example"] } }),
        ),
        (
            "f/get",
            json!({ "url": { "eq": "https://docs.acme.example:8443" } }),
            json!({ "url": { "eq": "https://docs.acme.example:8443/" } }),
        ),
        ("f/crawl", Value::Null, json!({ "url": { "any": true }, "mode": { "any": true } })),
        ("f/crawl", json!({ "url": { "any": true } }), json!({ "url": { "any": true } })),
        (
            "f/crawl",
            json!({ "url": { "host_in": ["A.example"] }, "mode": { "eq": 1 } }),
            json!({ "url": { "host_in": ["a.example"] }, "mode": { "eq": 1 } }),
        ),
        ("f/push", Value::Null, json!({ "repo": { "eq": "acme/web" } })),
        ("f/push", json!({ "repo": { "eq": "ACME/web.git" } }), json!({ "repo": { "eq": "acme/web" } })),
    ] {
        let granted = ask.of(&policy, &[(name, asked.clone())]).unwrap_or_else(|e| panic!("{asked}: {e}"));
        assert_eq!(conditions(&granted, 0), json!([expected]), "{asked}");
        assert_eq!(granted.rights[0].forms.len(), 1);
    }
    for (name, asked, reason) in [
        ("f/read", json!({ "path": { "path_under": "/srv/database" } }), Reason::ConstraintRefused),
        ("f/read", json!({ "path": { "eq": "/srv/data/../x" } }), Reason::ConstraintRefused),
        ("f/read", json!({ "path": { "eq": "/srv/data/../../.." } }), Reason::ScopeUnknown),
        ("f/read", json!({ "path": { "prefix": "/srv/data/" } }), Reason::ScopeUnknown),
        ("f/read", json!({ "mode": { "path_under": "/srv/data/" } }), Reason::ScopeUnknown),
        ("f/get", json!({ "url": { "host_in": ["docs.acme.example"] } }), Reason::ConstraintRefused),
        ("f/get", json!({ "url": { "eq": "http://api.acme.example/" } }), Reason::ConstraintRefused),
        ("f/get", json!({ "url": { "eq": "https://api.acme.example@evil.example/" } }), Reason::ScopeUnknown),
        ("f/get", json!({ "url": { "host_in": ["localhost"] } }), Reason::ScopeUnknown),
        ("f/push", json!({ "repo": { "eq": "acme/docs" } }), Reason::ConstraintRefused),
        // An argument with a form must be there, whatever its value: not to list it leaves nothing.
        ("f/crawl", json!({}), Reason::ConstraintRefused),
        ("f/crawl", json!({ "mode": { "any": true } }), Reason::ConstraintRefused),
        ("f/crawl", json!({ "url": { "host_in": ["localhost"] } }), Reason::ScopeUnknown),
    ] {
        assert_eq!(ask.refused(&policy, &[(name, asked.clone())]).0, reason, "{asked}");
    }
    let (reason, detail) =
        Ask { claims: json!({ "repository": "acme" }), ..PLAIN }.refused(&policy, &[("f/push", Value::Null)]);
    assert_eq!(reason, Reason::ConstraintRefused);
    assert!(
        detail.contains("the claim repository, which of this identity is not of the form repository"),
        "{detail}"
    );
}

#[test]
fn the_shortest_life_wins() {
    let policy =
        granting(&["verbs = [\"read\"]\nmax_ttl = \"1h\"", "verbs = [\"list\"]\nmax_ttl = \"2m\""], "");
    let life = |ttl: Option<u64>, names: &[&str]| {
        let asked: Vec<_> = names.iter().map(|name| (*name, Value::Null)).collect();
        Ask { ttl, ..PLAIN }.of(&policy, &asked).map(|granted| granted.ttl.as_secs())
    };
    assert_eq!(life(None, &["t/read"]).unwrap(), 300);
    assert_eq!(life(Some(9999), &["t/read"]).unwrap(), 3600);
    assert_eq!(life(Some(60), &["t/read", "t/list"]).unwrap(), 60);
    assert_eq!(life(Some(600), &["t/read", "t/list"]).unwrap(), 120);
    assert_eq!(life(Some(u64::MAX), &["t/list"]).unwrap(), 120);
    assert_eq!(life(Some(0), &["t/read"]).unwrap_err().reason, Reason::RequestMalformed);
}

#[test]
fn a_demand_of_any_grant_refuses_the_whole_request() {
    let free = "verbs = [\"write\", \"read\"]\nany_arguments = true";
    let guarded = "verbs = [\"write\"]\nconstraints.write = { n = { max = 10 } }\napproval = { access = [\"write\"], approvers = \"oncall\" }";
    let policy = granting(&[free, guarded], "");
    let (reason, detail) = PLAIN.refused(&policy, &[("t/read", Value::Null), ("t/write", Value::Null)]);
    assert_eq!(reason, Reason::ApprovalRequired);
    assert_eq!(detail, "t/write is a write verb and needs the approval of 1 of oncall");
    assert!(PLAIN.of(&policy, &[("t/read", Value::Null)]).is_ok());
    // A grant that has nothing in common with what is asked is not used, and demands nothing.
    assert!(PLAIN.of(&policy, &[("t/write", json!({ "n": { "min": 11 } }))]).is_ok());
    let by_verb = "verbs = [\"read\", \"list\"]\napproval = { verbs = [\"list\"], approvers = \"oncall\" }";
    let policy = granting(&[by_verb], "");
    assert!(PLAIN.of(&policy, &[("t/read", Value::Null)]).is_ok());
    assert_eq!(PLAIN.refused(&policy, &[("t/list", Value::Null)]).0, Reason::ApprovalRequired);
}

#[test]
fn a_grant_that_wants_a_proof_has_its_way() {
    let policy = granting(
        &[
            "verbs = [\"read\", \"list\"]",
            "verbs = [\"write\"]\nany_arguments = true",
            "verbs = [\"list\", \"write\"]\nintents = [\"i\"]\nproof = \"required\"\n\
             constraints.write = { x = { eq = 1 } }",
        ],
        "",
    );
    let proved = Ask { possession: Possession::Proved, intent: Some("i"), ..PLAIN };
    let bearer = Ask { intent: Some("i"), ..PLAIN };
    let asked = ["t/read", "t/list", "t/write"].map(|name| (name, Value::Null));
    assert_eq!(proved.of(&policy, &asked).unwrap().rights.len(), 3);
    // Another grant gives both verbs too, but every demand of every grant that is used applies.
    let granted = bearer.of(&policy, &asked).unwrap();
    assert_eq!(granted.rights.len(), 1);
    assert_eq!(
        granted.dropped.iter().map(|(_, reason)| *reason).collect::<Vec<_>>(),
        [Reason::ProofRequired; 2]
    );
    // A grant that is not used demands nothing: of another intent, or of other arguments.
    assert_eq!(PLAIN.of(&policy, &asked).unwrap().rights.len(), 3);
    let other = [("t/write", json!({ "x": { "eq": 2 } }))];
    assert_eq!(bearer.of(&policy, &other).unwrap().rights.len(), 1);
    let (reason, detail) = bearer.refused(&policy, &asked[1..]);
    assert_eq!(reason, Reason::ProofRequired);
    assert!(detail.contains("t/list wants a DPoP proof: a grant of it says proof"), "{detail}");
}

#[test]
fn an_identity_that_comes_again_reads_and_no_more_without_a_proof() {
    let policy = granting(&["verbs = [\"*\"]\nany_arguments = true\napproval = \"none\""], "");
    let again = Ask { possession: Possession::Reusable, ..PLAIN };
    let asked = ["t/read", "t/write", "t/kill"].map(|name| (name, Value::Null));
    let granted = again.of(&policy, &asked).unwrap();
    assert_eq!(granted.rights.iter().map(|right| right.access).collect::<Vec<_>>(), [Access::Read]);
    assert_eq!(again.refused(&policy, &asked[1..]).0, Reason::ProofRequired);
    let proved = Ask { possession: Possession::Proved, ..PLAIN };
    assert_eq!(proved.of(&policy, &asked).unwrap().rights.len(), 3);
}

#[test]
fn what_no_token_could_hold_is_refused() {
    let verbs: String = (0..65).map(|n| format!("verbs.v{n} = {{ access = \"read\" }}\n")).collect();
    let text = format!(
        "[tools.m]\naudience = \"https://m.example\"\n{verbs}{TOOLS}{ADMIN}\
         [[grants]]\nworkflow = \"w\"\ntool = \"m\"\nverbs = [\"*\"]\n"
    );
    let policy = policy(&text);
    let names: Vec<String> = (0..65).map(|n| format!("m/v{n}")).collect();
    let asked: Vec<_> = names.iter().map(|name| (name.as_str(), Value::Null)).collect();
    assert_eq!(PLAIN.refused(&policy, &asked).0, Reason::TooLarge);
    assert_eq!(PLAIN.of(&policy, &asked[..64]).unwrap().rights.len(), 64);
    let wide: Value =
        (0..4).map(|n| (format!("a{n}"), json!({ "prefix": "x" }))).collect::<Map<_, _>>().into();
    assert_eq!(PLAIN.refused(&policy, &[("m/v0", wide)]).0, Reason::TooLarge);
}

#[test]
fn operators_keep_the_switch_whatever_is_forbidden() {
    let second = ADMIN.replace("alice", "bob").replace("\"*\"", "\"policy.activate\"");
    let forbid = "[[forbids]]\ntool = \"shortbread\"\nverbs = [\"keys.*\"]\n[[forbids]]\naccess = [\"read\"]";
    let policy = granting(&[], &format!("{second}{forbid}"));
    let alice = Principal::Operator("alice".parse().unwrap());
    let ask = |name: &str| {
        let asked = [Asked { operation: operation(name), arguments: None }];
        let request = Request {
            principal: &alice,
            claims: &Map::new(),
            intent: None,
            asked: &asked,
            ttl: None,
            possession: Possession::Proved,
        };
        decide(&policy, &request).map(|granted| granted.rights.len()).map_err(|refusal| refusal.reason)
    };
    assert_eq!(ask("shortbread/revocations.revoke"), Ok(1));
    assert_eq!(ask("shortbread/revocations.read"), Ok(1));
    assert_eq!(ask("shortbread/keys.rotate"), Err(Reason::PolicyForbidden));
    assert_eq!(ask("shortbread/audit.read"), Err(Reason::PolicyForbidden));
    assert_eq!(ask("t/read"), Err(Reason::PolicyForbidden));
}

#[test]
fn the_example_grants_what_it_says() {
    let policy = policy(EXAMPLE);
    let request = |intent: Option<&str>, name: &str, arguments: Option<Arguments>| {
        let intent = intent.map(|intent| intent.parse().unwrap());
        let asked = [Asked { operation: operation(name), arguments }];
        let claims = claims(&json!({ "repository": "acme/web" }));
        let principal = workflow("release-notes");
        let request = Request {
            principal: &principal,
            claims: &claims,
            intent: intent.as_ref(),
            asked: &asked,
            ttl: None,
            possession: Possession::Unproved,
        };
        decide(&policy, &request).map_err(|refusal| refusal.reason)
    };
    let granted = request(Some("triage"), "github/issues.read", None).unwrap();
    assert_eq!((granted.ttl.as_secs(), granted.rates.len()), (300, 1));
    assert_eq!(request(None, "github/issues.read", None), Err(Reason::IntentRefused));
    assert_eq!(request(Some("triage"), "github/issues.write", None), Err(Reason::ApprovalRequired));
    assert_eq!(request(Some("triage"), "github/repo.delete", None), Err(Reason::PolicyForbidden));
    assert_eq!(request(None, "github/repo.delete", None), Err(Reason::PolicyDenied));
}
