//! What a token allows, the policy and the request both allow. The oracles below are written down apart from the code
//! that decides: the policy's by hand, the request's out of what was sent.

mod forms;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Map, Value, json};
use shortbread_protocol::call::{ArgValue, Args};
use shortbread_protocol::clock::Clock as _;
use shortbread_protocol::constraint::{Constraint, Scalar};
use shortbread_protocol::normalise::Form;
use shortbread_tests::{POLICY, World};
use shortbread_verifier::chain::{Token, decode};
use shortbread_verifier::narrow::{NarrowError, seal};
use shortbread_verifier::scope::Demand;
use tokio::runtime::Runtime;

use self::forms::{SPELLED, form, formed, holds_formed, sent};

const CASES: u32 = 300;

/// Grants that overlap those of every test: one purpose may write elsewhere, and nobody may delete while triaging.
const MORE: &str = r#"
[tools.files]
audience = "https://tools.acme.example/files"
verbs."read" = { access = "read", args = ["path", "count"], forms = { path = "path", count = "integer" } }
verbs."fetch" = { access = "write", args = ["url", "count", "title"], forms = { url = "url", count = "integer" } }
[[grants]]
workflow = "demo"
tool = "files"
verbs = ["read", "fetch"]
constraints."read" = { path = { path_under = "/srv/./data" }, count = { max = 5 } }
constraints."fetch" = { url = { any = true }, title = { any = true } }
[[grants]]
workflow = "demo"
intents = ["release"]
tool = "files"
verbs = ["read", "fetch"]
constraints."read" = { path = { any = true } }
constraints."fetch" = { url = { host_in = ["A.example:443"] }, count = { any = true } }
[[grants]]
workflow = "demo"
intents = ["release"]
tool = "github"
verbs = ["issues.write", "repo.delete"]
constraints."issues.write" = { repo = { eq = "acme/notes" }, title = { prefix = "v" } }
constraints."repo.delete" = { repo = { prefix = "tmp/" } }
approval = "none"
max_ttl = "2m"
[[forbids]]
intents = ["triage"]
access = ["privileged"]
"#;

/// The policy of every test, and the grants that overlap its own. Refunds are for some purposes, so that one of them
/// can be forbidden.
fn policy() -> String {
    let refunds = "verbs = [\"refunds.create\", \"refunds.read\"]";
    let some = format!("intents = [\"triage\", \"release\", \"undeclared\"]\n{refunds}");
    format!("{}{MORE}", POLICY.replacen(refunds, &some, 1))
}

const VERBS: [(&str, &str); 7] = [
    ("github", "issues.read"),
    ("github", "issues.write"),
    ("github", "repo.delete"),
    ("payments", "refunds.create"),
    ("payments", "refunds.read"),
    ("files", "read"),
    ("files", "fetch"),
];
const NAMES: [&str; 9] = ["repo", "title", "body", "amount", "charge", "colour", "path", "url", "count"];

/// What is asked for of one tool.
#[derive(Clone, Debug)]
struct Ask {
    tool: &'static str,
    verbs: BTreeMap<&'static str, Option<BTreeMap<&'static str, Constraint>>>,
    intent: Option<&'static str>,
    ttl: Option<u32>,
    sealed: bool,
}

#[derive(Clone, Debug)]
struct Call {
    verb: &'static str,
    args: Map<String, Value>,
}

fn text(value: &str) -> Scalar {
    Scalar::Text(value.to_owned())
}

fn scalar() -> impl Strategy<Value = Scalar> {
    let texts = ["acme/web", "acme/docs", "acme/notes", "acme", "tmp/a", "v1", ""];
    prop_oneof![
        3 => proptest::sample::select(texts.to_vec()).prop_map(text),
        2 => proptest::sample::select(vec![0, 1, 5, 10_000, 10_001, -1]).prop_map(Scalar::Int),
        1 => any::<bool>().prop_map(Scalar::Bool),
    ]
}

fn constraint() -> impl Strategy<Value = Constraint> {
    let texts =
        || proptest::collection::btree_set("(acme/(web|docs|notes)|tmp/a|v1)".prop_map(Scalar::Text), 1..3);
    prop_oneof![
        Just(Constraint::anything()),
        scalar().prop_map(Constraint::exactly),
        texts().prop_map(|set| Constraint { one_of: Some(set), ..Constraint::default() }),
        texts().prop_map(|set| Constraint { subset: Some(set), ..Constraint::default() }),
        "(acme|tmp/|v|)".prop_map(|prefix| Constraint { prefix: Some(prefix), ..Constraint::default() }),
        (-1i64..3).prop_map(|min| Constraint { min: Some(min), max: Some(min + 5), ..Constraint::default() }),
    ]
}

fn ask() -> impl Strategy<Value = Ask> {
    let constraints =
        || proptest::collection::btree_map(proptest::sample::select(&NAMES[..]), constraint(), 0..4);
    // As a client would ask more often than not.
    let likely = Just(BTreeMap::from([
        ("repo", Constraint { prefix: Some("acme/".into()), ..Constraint::default() }),
        ("title", Constraint::anything()),
        ("amount", Constraint { max: Some(5), ..Constraint::default() }),
    ]));
    let one = |form| proptest::option::weighted(0.7, formed(form));
    let title = || proptest::option::of(Just(Constraint::anything()));
    let with_forms = (one(Form::Path), one(Form::Url), one(Form::Integer), title()).prop_map(
        |(path, url, count, title)| {
            let named = [("path", path), ("url", url), ("count", count), ("title", title)];
            named.into_iter().filter_map(|(name, asked)| Some((name, asked?))).collect()
        },
    );
    let with_forms = proptest::option::weighted(0.8, with_forms).boxed();
    let plain = proptest::option::of(prop_oneof![constraints(), likely]).boxed();
    let verb = move |(tool, verb): (&'static str, &'static str)| {
        let asked = if tool == "files" { with_forms.clone() } else { plain.clone() };
        asked.prop_map(move |mut asked| {
            // Of what the verb has, so that more than refusals are seen.
            let other = if verb == "read" { ["url", "title"] } else { ["path", ""] };
            if let (true, Some(asked)) = (tool == "files", asked.as_mut()) {
                asked.retain(|name, _| !other.contains(name));
            }
            ((tool, verb), asked)
        })
    };
    let verbs = proptest::collection::vec(proptest::sample::select(&VERBS[..]).prop_flat_map(verb), 1..5)
        .prop_map(|verbs| verbs.into_iter().collect::<BTreeMap<_, _>>());
    let intent = proptest::sample::select(vec![None, Some("triage"), Some("release"), Some("other")]);
    let ttl = proptest::option::of(1u32..5000);
    (
        proptest::sample::select(vec!["github", "payments", "files", "files"]),
        verbs,
        intent,
        ttl,
        any::<bool>(),
    )
        .prop_map(|(tool, verbs, intent, ttl, sealed)| {
            let mut verbs: BTreeMap<_, _> = verbs
                .into_iter()
                .filter(|((of, _), _)| *of == tool)
                .map(|((_, verb), asked)| (verb, asked))
                .collect();
            if verbs.is_empty() {
                let reads = match tool {
                    "github" => "issues.read",
                    "files" => "read",
                    _ => "refunds.read",
                };
                verbs.insert(reads, None);
            }
            Ask { tool, verbs, intent, ttl, sealed }
        })
}

fn call() -> impl Strategy<Value = Call> {
    let value = || {
        prop_oneof![
            6 => scalar().prop_map(|scalar| serde_json::to_value(scalar).unwrap()),
            4 => sent().prop_map(|scalar| serde_json::to_value(scalar).unwrap()),
            1 => proptest::collection::vec("(acme/(web|docs)|v1|/srv/data)", 0..3).prop_map(|list| json!(list)),
            1 => Just(Value::Null),
        ]
    };
    let args = proptest::collection::btree_map(proptest::sample::select(&NAMES[..]), value(), 0..4);
    // As the verbs with forms have them more often than not.
    let of = |form: Form| {
        let some = SPELLED.iter().filter(move |(_, of, _)| *of == form).map(|(sent, ..)| text(sent));
        let good = proptest::sample::select(some.collect::<Vec<_>>()).prop_map(|sent| json!(sent));
        prop_oneof![6 => good, 2 => sent().prop_map(|sent| json!(sent)), 1 => value()]
    };
    let files =
        (any::<bool>(), of(Form::Path), of(Form::Url), proptest::option::weighted(0.6, of(Form::Integer)));
    let files = files.prop_map(|(reads, path, url, count)| {
        let one = if reads { ("path", path) } else { ("url", url) };
        let args = [Some(one), count.map(|count| ("count", count))].into_iter().flatten();
        (if reads { "read" } else { "fetch" }, args.collect::<BTreeMap<_, _>>())
    });
    let plain = (proptest::sample::select(&VERBS[..]), args).prop_map(|((_, verb), args)| (verb, args));
    prop_oneof![2 => plain, 1 => files].prop_map(|(verb, args)| Call {
        verb,
        args: args.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    })
}

/// Whether a value is what a constraint says: by the words of the design, value by value.
fn holds(constraint: &Constraint, value: Option<&ArgValue>, form: Option<Form>) -> bool {
    match (value, form) {
        (Some(ArgValue::One(one)), Some(form)) => holds_formed(constraint, one, form),
        (_, Some(_)) => false,
        _ if constraint.any => true,
        (Some(ArgValue::One(one)), None) => constraint.subset.is_none() && constraint.admits(one),
        (Some(ArgValue::List(list)), None) => {
            let of = constraint.subset.as_ref();
            !list.is_empty() && of.is_some_and(|set| list.iter().all(|item| set.contains(item)))
        }
        (None, None) => false,
    }
}

/// A closed world: every argument is listed, and every constraint holds.
fn within(tool: &str, listed: &BTreeMap<&str, Constraint>, args: &Args) -> bool {
    args.names().all(|name| listed.contains_key(name))
        && listed.iter().all(|(name, constraint)| holds(constraint, args.value(name), form(tool, name)))
}

fn one_of<const N: usize>(values: [&str; N]) -> Constraint {
    Constraint {
        one_of: Some(values.into_iter().map(text).collect::<BTreeSet<_>>()),
        ..Constraint::default()
    }
}

/// What `POLICY` and `MORE` give workflow `demo`, in plain words.
fn policy_allows(tool: &str, verb: &str, intent: Option<&str>, args: &Args) -> bool {
    let prefix = |text: &str| Constraint { prefix: Some(text.to_owned()), ..Constraint::default() };
    let any = Constraint::anything;
    let release = intent == Some("release");
    match (tool, verb) {
        ("github", "issues.read") => true,
        ("payments", "refunds.read") => intent != Some("other"),
        ("github", "issues.write") => {
            let always = [("repo", one_of(["acme/web", "acme/docs"])), ("title", any()), ("body", any())];
            let then = [("repo", one_of(["acme/notes"])), ("title", prefix("v"))];
            within(tool, &always.into(), args) || release && within(tool, &then.into(), args)
        }
        ("github", "repo.delete") => release && within(tool, &[("repo", prefix("tmp/"))].into(), args),
        ("payments", "refunds.create") => {
            let amount = Constraint { min: Some(1), max: Some(10_000), ..Constraint::default() };
            (release || intent.is_none())
                && within(tool, &[("amount", amount), ("charge", any())].into(), args)
        }
        ("files", "read") => {
            let under = Constraint { path_under: Some("/srv/data".to_owned()), ..Constraint::default() };
            let few = Constraint { max: Some(5), ..Constraint::default() };
            within(tool, &[("path", under), ("count", few)].into(), args)
                || release && within(tool, &[("path", any())].into(), args)
        }
        ("files", "fetch") => {
            let host = Constraint { host_in: Some(["a.example".to_owned()].into()), ..Constraint::default() };
            within(tool, &[("url", any()), ("title", any())].into(), args)
                || release && within(tool, &[("url", host), ("count", any())].into(), args)
        }
        _ => false,
    }
}

fn request_allows(ask: &Ask, verb: &str, args: &Args) -> bool {
    ask.verbs
        .get(verb)
        .is_some_and(|asked| asked.as_ref().is_none_or(|listed| within(ask.tool, listed, args)))
}

fn allows(world: &World, token: &Token, tool: &str, call: &Call, args: &Args) -> bool {
    let demand = Demand {
        now: world.clock.now().seconds(),
        audience: &format!("https://tools.acme.example/{tool}"),
        tool,
        verb: call.verb,
        args: Some(args),
        holder: None,
        unused: None,
        revocation_age: Some(0),
        args_sha256: None,
    };
    token.scope().evaluate(&demand).is_ok()
}

/// What is granted, opened; nothing when it was refused by the policy.
async fn granted(world: &World, ask: &Ask) -> Option<Token> {
    let mut detail = json!({ "type": "shortbread_tool_call", "tool": ask.tool, "actions": ask.verbs.keys().collect::<Vec<_>>(),
        "constraints": ask.verbs.iter().filter_map(|(verb, asked)| asked.as_ref().map(|a| (*verb, a))).collect::<BTreeMap<_, _>>(),
        "delegation": if ask.sealed { "none" } else { "attenuate" } });
    for (name, value) in [("intent", ask.intent.map(Value::from)), ("ttl", ask.ttl.map(Value::from))] {
        if let Some(value) = value {
            detail[name] = value;
        }
    }
    let details = json!([detail]).to_string();
    let answer = world.exchange("workflow:demo", "demo", &[("authorization_details", &details)]).await;
    if answer.status != 200 {
        let reason = answer.reason();
        assert!(reason.starts_with("policy.") || reason == "scope.unknown", "{answer:?}");
        return None;
    }
    Some(Token::open(&decode(answer.token()).unwrap(), &*world.broker.keyring).unwrap())
}

#[test]
fn a_token_is_never_wider_than_policy_and_request() {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(World::builder().policy(&policy()).start());
    let (tokens, calls, formed) = (std::cell::Cell::new(0), std::cell::Cell::new(0), std::cell::Cell::new(0));
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(ask in ask(), tried in proptest::collection::vec(call(), 60))| {
        let Some(token) = runtime.block_on(granted(&world, &ask)) else { return Ok(()) };
        tokens.set(tokens.get() + 1);
        prop_assert_eq!(token.is_sealed(), ask.sealed);
        let life = token.scope().window().1 - world.clock.now().seconds();
        let cap = if ask.tool == "github" { 600 } else { 3600 };
        prop_assert!(life <= u64::from(ask.ttl.unwrap_or(300)).min(cap), "{}", life);
        for call in &tried {
            let args = Args::from_members(call.args.clone()).unwrap();
            for tool in ["github", "payments", "files", "shortbread"] {
                if allows(&world, &token, tool, call, &args) {
                    calls.set(calls.get() + 1);
                    formed.set(formed.get() + u32::from(tool == "files"));
                    prop_assert_eq!(tool, ask.tool);
                    prop_assert!(policy_allows(tool, call.verb, ask.intent, &args), "policy: {:?} {:?}", ask, call);
                    prop_assert!(request_allows(&ask, call.verb, &args), "request: {:?} {:?}", ask, call);
                }
            }
        }
    });
    // A test that never sees a token, or a call that passes, holds nothing.
    assert!(
        tokens.get() > CASES / 4 && calls.get() > CASES && formed.get() > CASES / 8,
        "{} tokens, {} calls, {} of arguments with forms",
        tokens.get(),
        calls.get(),
        formed.get()
    );
}

#[test]
fn what_policy_and_request_allow_is_not_taken_away() {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(World::builder().policy(&policy()).start());
    let all = |tool: &'static str, verbs: &[&'static str]| {
        let verbs = verbs.iter().map(|verb| (*verb, None)).collect();
        let whole = Ask { tool, verbs, intent: Some("release"), ttl: None, sealed: false };
        (tool, runtime.block_on(granted(&world, &whole)).unwrap())
    };
    let tokens =
        [all("github", &["issues.read", "issues.write", "repo.delete"]), all("files", &["read", "fetch"])];
    let config = ProptestConfig { cases: 3000, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(call in call())| {
        let args = Args::from_members(call.args.clone()).unwrap();
        for (tool, token) in &tokens {
            let wanted = policy_allows(tool, call.verb, Some("release"), &args);
            prop_assert_eq!(allows(&world, token, tool, &call, &args), wanted, "{} {:?}", tool, call);
        }
    });
}

#[test]
fn an_operator_token_is_sealed_and_lives_two_minutes_at_most() {
    let runtime = Runtime::new().unwrap();
    let world = runtime.block_on(World::start());
    let verbs = [
        "revocations.read",
        "revocations.revoke",
        "policy.activate",
        "audit.read",
        "keys.rotate",
        "approvals.decide",
    ];
    let config = ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() };
    let asked = proptest::collection::btree_set(proptest::sample::select(verbs.to_vec()), 1..4);
    proptest!(config, |(verbs in asked, ttl in proptest::option::of(1u32..100_000), attenuate in any::<bool>())| {
        let scope = verbs.iter().map(|verb| format!("shortbread:{verb}")).collect::<Vec<_>>().join(" ");
        let (ttl_text, delegation) = (ttl.map(|ttl| ttl.to_string()), if attenuate { "attenuate" } else { "none" });
        let mut more = vec![("scope", scope.as_str()), ("delegation", delegation)];
        more.extend(ttl_text.as_deref().map(|ttl| ("ttl", ttl)));
        let answer = runtime.block_on(world.exchange("operator:alice", "operator", &more));
        let forbidden: BTreeSet<_> = ["keys.rotate", "approvals.decide"].into();
        let kept: Vec<_> = verbs.difference(&forbidden).copied().collect();
        if kept.is_empty() {
            prop_assert_eq!(answer.reason(), "policy.not_granted");
            return Ok(());
        }
        let token = Token::open(&decode(answer.token()).unwrap(), &*world.broker.keyring).unwrap();
        prop_assert!(token.is_sealed());
        prop_assert_eq!(seal(answer.token()), Err(NarrowError::Sealed));
        prop_assert!(token.scope().window().1 <= world.clock.now().seconds() + u64::from(ttl.unwrap_or(300).min(900)));
        prop_assert_eq!(token.scope().audiences().collect::<Vec<_>>(), [format!("{}/api/v1", world.issuer)]);
        prop_assert_eq!(token.scope().rights().map(|(_, verb, _)| verb).collect::<Vec<_>>(), kept);
    });
}
