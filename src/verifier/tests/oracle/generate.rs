//! Random tokens within the profile and random calls: usually ones that fit each other, sometimes anything but.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use shortbread_protocol::biscuit::{Binary, Unary};
use shortbread_protocol::revocations::SelectorKind;

use super::later::later_block;
use super::model::{
    Alt, Block, Call, HASH, HOLDER, ISSUER, KEY, NOW, OPERATIONS, Spec, Step, TOKEN, Val, audience, authority,
};

/// The type that a variable has where the call is an ordinary one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kind {
    Int,
    Str,
    Date,
    Bytes,
    Bool,
    Texts,
    Ints,
}

const KINDS: [Kind; 7] = [Kind::Int, Kind::Str, Kind::Date, Kind::Bytes, Kind::Bool, Kind::Texts, Kind::Ints];

/// What checks ask for: arguments as they are sent, and facets of those that have a form.
pub(super) const ARGUMENTS: [(&str, Kind); 12] = [
    ("repo", Kind::Str),
    ("title", Kind::Str),
    ("amount", Kind::Int),
    ("draft", Kind::Bool),
    ("labels", Kind::Texts),
    ("ids", Kind::Ints),
    ("file#path", Kind::Str),
    ("site#url", Kind::Str),
    ("site#host", Kind::Str),
    ("site#private_host", Kind::Str),
    ("repo#repository", Kind::Str),
    ("count#integer", Kind::Int),
];

/// What calls send.
const SENT: [(&str, Kind); 9] = [
    ("repo", Kind::Str),
    ("title", Kind::Str),
    ("amount", Kind::Int),
    ("draft", Kind::Bool),
    ("labels", Kind::Texts),
    ("ids", Kind::Ints),
    ("file", Kind::Str),
    ("site", Kind::Str),
    ("count", Kind::Int),
];

const FILES: [&str; 10] = [
    "/srv/data",
    "/srv/data/",
    "/srv//data/./a",
    "/srv/data/../../etc/passwd",
    "/srv/..",
    "/srv/../..",
    "/srv/data/%2e%2e/x",
    "/srv/data\\u0000",
    "srv/data",
    "/srv/database",
];

const SITES: [&str; 10] = [
    "https://a.example",
    "HTTPS://A.example:443/",
    "https://a.example:8443/x?y=z",
    "http://a.example/",
    "http://localhost/",
    "https://127.0.0.1/",
    "https://2130706433/",
    "https://a.example@b.example/",
    "https://a.example#@b.example/",
    "a.example",
];

/// Constants that fit what a check asks for: in the spelling of facets, as the broker writes them.
pub(super) fn fitting(at: usize) -> BoxedStrategy<Val> {
    let (name, kind) = ARGUMENTS[at];
    let texts: &[&str] = match name.split_once('#').map(|(_, facet)| facet) {
        Some("path") => &["/srv/data/", "/srv/data/a/", "/etc/passwd/", "/", "/srv/data"],
        Some("url") => &["https://a.example/", "https://a.example:8443/x?y=z", "http://a.example/"],
        Some("host" | "private_host") => &["a.example", "a.example:8443", "http://localhost", "127.0.0.1"],
        Some("repository") => &["acme/web", "acme/docs"],
        _ => return constant(kind),
    };
    select(texts).prop_map(Val::text).boxed()
}

// The text of a JSON value, so that it may hold escapes of its own.
fn sent(at: usize) -> BoxedStrategy<String> {
    let quoted = |texts: &'static [&str]| select(texts).prop_map(|text| format!("\"{text}\""));
    match SENT[at] {
        ("file", _) => quoted(&FILES).boxed(),
        ("site", _) => quoted(&SITES).boxed(),
        ("count", kind) => prop_oneof![
            2 => constant(kind).prop_map(|value| json(&value)),
            1 => select(&["\"3\"", "\"03\"", "\"x\"", "9007199254740993"][..]).prop_map(str::to_owned),
        ]
        .boxed(),
        (_, kind) => constant(kind).prop_map(|value| json(&value)).boxed(),
    }
}

pub(super) const TEXTS: [&str; 14] = [
    "",
    "a",
    "acme/web",
    "acme/docs",
    "web",
    "e/",
    "acme",
    "repo",
    "github",
    "issues.read",
    "read",
    "zażółć",
    "amount",
    HOLDER,
];

pub(super) fn constant(kind: Kind) -> BoxedStrategy<Val> {
    let (text, int) = (select(&TEXTS[..]).prop_map(Val::text), (-2i64..8).prop_map(Val::Int));
    match kind {
        Kind::Int => {
            prop_oneof![8 => int, 1 => select(&[i64::MIN, i64::MAX, 10_000][..]).prop_map(Val::Int)].boxed()
        }
        Kind::Str => text.boxed(),
        Kind::Date => select(&[0, NOW - 60, NOW, NOW + 60, u64::MAX][..]).prop_map(Val::Date).boxed(),
        Kind::Bytes => select(vec![Vec::new(), vec![7], HASH.to_vec()]).prop_map(Val::Bytes).boxed(),
        Kind::Bool => any::<bool>().prop_map(Val::Bool).boxed(),
        Kind::Texts => vec(text, 0..5).prop_map(Val::Set).boxed(),
        Kind::Ints => vec(int, 0..5).prop_map(Val::Set).boxed(),
    }
}

pub(super) fn any_constant() -> BoxedStrategy<Val> {
    let sets = vec![Kind::Date, Kind::Bytes, Kind::Bool];
    let odd_set = select(sets).prop_flat_map(|kind| vec(constant(kind), 0..3)).prop_map(Val::Set);
    prop_oneof![7 => select(&KINDS[..]).prop_flat_map(constant), 1 => odd_set].boxed()
}

pub(super) fn apply(left: Val, op: Binary, right: Val) -> Vec<Step> {
    vec![Step::Val(left), Step::Val(right), Step::Bin(op)]
}

// ---- the authority

// One argument's condition in the forms that the broker writes.
fn condition(at: usize) -> BoxedStrategy<(Val, Vec<Vec<Step>>)> {
    let (name, kind) = ARGUMENTS[at];
    let it = Val::Var(name);
    let variable = move |steps: Vec<Vec<Step>>| (Val::Var(name), steps);
    let exactly = fitting(at).prop_map(|value| (value, Vec::new()));
    match kind {
        Kind::Str => {
            let one_of = vec(fitting(at), 1..5).prop_map(move |set| {
                variable(vec![
                    apply(it.clone(), Binary::Prefix, Val::text("")),
                    apply(Val::Set(set), Binary::Contains, it.clone()),
                ])
            });
            let prefix = select(if name == "file#path" {
                &["/", "/srv/", "/srv/data/"][..]
            } else {
                &["", "acme", "acme/"][..]
            })
            .prop_map(move |start| variable(vec![apply(Val::Var(name), Binary::Prefix, Val::text(start))]));
            prop_oneof![exactly, one_of, prefix].boxed()
        }
        Kind::Int => (-1i64..3, 3i64..8)
            .prop_map(move |(min, max)| {
                variable(vec![
                    apply(it.clone(), Binary::GreaterOrEqual, Val::Int(min)),
                    apply(it.clone(), Binary::LessOrEqual, Val::Int(max)),
                ])
            })
            .boxed(),
        Kind::Texts | Kind::Ints => constant(kind)
            .prop_map(move |set| {
                let length = [Step::Val(it.clone()), Step::Un(Unary::Length)].into_iter();
                variable(vec![
                    length.chain([Step::Val(Val::Int(0)), Step::Bin(Binary::GreaterThan)]).collect(),
                    apply(set, Binary::Contains, it.clone()),
                ])
            })
            .boxed(),
        Kind::Bool | Kind::Date | Kind::Bytes => exactly.boxed(),
    }
}

fn granted(tool: &'static str, verb: &'static str) -> BoxedStrategy<Alt> {
    let operation = ("operation", vec![Val::text(tool), Val::text(verb)]);
    let free = Just(Alt::of(vec![operation.clone()]));
    let constrained = subsequence((0..ARGUMENTS.len()).collect::<Vec<_>>(), 1..3)
        .prop_flat_map(|places| {
            let conditions: Vec<_> = places.iter().map(|at| condition(*at)).collect();
            (Just(places), conditions, any::<bool>())
        })
        .prop_map(move |(places, conditions, closed)| {
            let mut alt = Alt::of(vec![operation.clone()]);
            for (at, (value, steps)) in places.iter().zip(conditions) {
                alt.facts.push(("arg", vec![Val::text(ARGUMENTS[*at].0), value]));
                alt.steps.extend(steps);
            }
            if closed {
                let names = SENT.iter().map(|(name, _)| Val::text(name)).collect();
                alt.facts.push(("args", vec![Val::Var("names")]));
                alt = alt.holds(Val::Set(names), Binary::Contains, Val::Var("names"));
            }
            alt
        });
    prop_oneof![3 => free, 1 => constrained].boxed()
}

fn age_check(tools: &[(&'static str, &'static str, &'static str)], exempt: &[&str], most: i64) -> Vec<Alt> {
    let spared = tools.iter().filter(|(_, _, access)| exempt.contains(access));
    let mut alternatives: Vec<Alt> = spared
        .map(|(tool, verb, _)| Alt::of(vec![("operation", vec![Val::text(tool), Val::text(verb)])]))
        .collect();
    let age = Val::Var("s");
    let young = Alt::of(vec![("revocation_age", vec![age.clone()])]);
    alternatives.push(young.holds(age, Binary::LessOrEqual, Val::Int(most)));
    alternatives
}

/// An authority as the broker writes it: constrained or not, key-bound or not, good for one call or for many.
pub(super) fn authority_block() -> impl Strategy<Value = Block> {
    let issued = prop_oneof![12 => Just(NOW - 10), 1 => Just(NOW + 40), 1 => Just(NOW - 400)];
    let demands =
        (any::<bool>(), proptest::bool::weighted(0.15), proptest::bool::weighted(0.5), any::<bool>());
    (subsequence(OPERATIONS.to_vec(), 4..=6), issued, demands)
        .prop_flat_map(|(rights, issued, demands)| {
            let alternatives: Vec<_> = rights.iter().map(|(tool, verb, _)| granted(tool, verb)).collect();
            (Just(rights), Just(issued), Just(demands), alternatives)
        })
        .prop_map(|(rights, issued, (bound, one_shot, aged, user), alternatives)| {
            let mut block = authority(&rights, issued);
            block.checks.push(alternatives);
            let id = |kind: &str, value: &str| ("id", vec![Val::text(kind), Val::text(value)]);
            if user {
                block.facts.push(id("user", "u1"));
            }
            if bound {
                block.facts.push(id("holder", HOLDER));
                block.checks.push(vec![Alt::of(vec![("holder", vec![Val::text(HOLDER)])])]);
            }
            if one_shot {
                block.facts.push(id("approval", "apr_1"));
                block.checks.push(vec![Alt::of(vec![("args_sha256", vec![Val::Bytes(HASH.to_vec())])])]);
                block.checks.push(vec![Alt::of(vec![("unused", vec![Val::text(TOKEN)])])]);
            }
            if aged {
                block.checks.push(age_check(&rights, &["read", "write"], 60));
                block.checks.push(age_check(&rights, &["read"], 300));
            }
            block
        })
}

pub(super) fn spec() -> impl Strategy<Value = Spec> {
    (authority_block(), vec(later_block(), 0..4), any::<bool>()).prop_map(|(authority, later, sealed)| Spec {
        blocks: std::iter::once(authority).chain(later).collect(),
        sealed,
    })
}

// ---- calls

fn json(value: &Val) -> String {
    match value {
        Val::Int(number) => number.to_string(),
        Val::Str(text) => format!("{text:?}"),
        Val::Bool(flag) => flag.to_string(),
        Val::Set(members) => format!("[{}]", members.iter().map(json).collect::<Vec<_>>().join(",")),
        Val::Var(_) | Val::Date(_) | Val::Bytes(_) => "null".to_owned(),
    }
}

fn args() -> impl Strategy<Value = Option<String>> {
    let member = |at: usize| {
        let (name, _) = SENT[at];
        prop_oneof![10 => sent(at), 1 => any_constant().prop_map(|value| json(&value))]
            .prop_map(move |value| format!("{name:?}:{value}"))
            .boxed()
    };
    let members = subsequence((0..SENT.len()).collect::<Vec<_>>(), 0..=SENT.len())
        .prop_flat_map(move |places| places.into_iter().map(member).collect::<Vec<_>>());
    // A call that says itself what a facet is says nothing.
    let extra = vec!["\"other\":1.5", "\"file#path\":\"/srv/data/\"", "\"site#host\":\"a.example\""];
    let extra = proptest::option::weighted(0.2, select(extra).prop_map(str::to_owned));
    let object = (members, extra).prop_map(|(mut members, extra)| {
        members.extend(extra);
        Some(format!("{{{}}}", members.join(",")))
    });
    prop_oneof![9 => object, 1 => Just(None)]
}

fn revoked() -> impl Strategy<Value = Vec<(SelectorKind, String, u64)>> {
    let values = vec![
        (SelectorKind::Issuer, ISSUER),
        (SelectorKind::Key, KEY),
        (SelectorKind::Workflow, "release-notes"),
        (SelectorKind::Workflow, "another"),
        (SelectorKind::Operator, "alice"),
        (SelectorKind::User, "u1"),
        (SelectorKind::Intent, "triage"),
        (SelectorKind::Task, "tsk_1"),
        (SelectorKind::Token, TOKEN),
        (SelectorKind::Approval, "apr_1"),
        (SelectorKind::Holder, HOLDER),
        (SelectorKind::Tool, "github"),
        (SelectorKind::Verb, "github/issues.write"),
        (SelectorKind::Verb, "files/read"),
        (SelectorKind::Access, "read"),
        (SelectorKind::Access, "write"),
        (SelectorKind::Access, "privileged"),
        (SelectorKind::Access, "github/write"),
        (SelectorKind::Access, "stripe/write"),
        (SelectorKind::Access, "mail/privileged"),
        (SelectorKind::Access, "files/read"),
    ];
    let entry = (select(values), select(&[NOW - 11, NOW - 10, NOW - 9, NOW + 60][..]))
        .prop_map(|((kind, value), before)| (kind, value.to_owned(), before));
    prop_oneof![5 => Just(Vec::new()), 1 => vec(entry, 1..4)]
}

pub(super) fn call() -> impl Strategy<Value = Call> {
    let now = prop_oneof![10 => Just(NOW), 1 => select(&[NOW - 41, NOW - 40, NOW + 289, NOW + 290][..])];
    let done = || proptest::bool::weighted(0.95);
    (select(&OPERATIONS[..]), now, args(), (done(), done(), done(), done(), done()), 0u64..400, revoked())
        .prop_map(
            |((tool, verb, _), now, args, (right_place, holder, unused, age, hash), seconds, revoked)| Call {
                now,
                audience: audience(if right_place { tool } else { "files" }),
                args,
                holder: holder.then(|| HOLDER.to_owned()),
                unused: unused.then(|| TOKEN.to_owned()),
                revocation_age: age.then_some(seconds),
                args_sha256: hash.then_some(HASH),
                revoked,
                ..Call::of(tool, verb, "")
            },
        )
}
