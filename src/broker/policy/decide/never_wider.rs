//! The promise: what is granted is never wider than one single grant and the request together, and never
//! forbidden. The oracle reads the generated rules themselves, not the compiled policy.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};
use shortbread_protocol::access::Access;
use shortbread_protocol::constraint::{Arguments, Constraint, Scalar};
use shortbread_protocol::normalise::{self, Form};

use super::super::fixture::{ADMIN, claims, operation, policy, workflow};
use super::*;

pub(in crate::policy) const VERBS: [(&str, Access); 4] = [
    ("a.read", Access::Read),
    ("a.write", Access::Write),
    ("b.write", Access::Write),
    ("b.kill", Access::Privileged),
];
pub(in crate::policy) const ARGS: [&str; 2] = ["x", "y"];
pub(in crate::policy) const INTENTS: [&str; 3] = ["i", "j", "undeclared"];

/// A call's arguments, by name.
pub(in crate::policy) type Call = BTreeMap<&'static str, Scalar>;

/// What a rule says of each argument: a constraint, or the claim of that name.
#[derive(Clone, Debug)]
pub(in crate::policy) enum Said {
    Fixed(Constraint),
    Claim(&'static str),
}

pub(in crate::policy) type Told = BTreeMap<&'static str, Said>;

#[derive(Clone, Debug)]
pub(in crate::policy) struct Rule {
    pub(in crate::policy) verbs: BTreeSet<&'static str>,
    pub(in crate::policy) told: BTreeMap<&'static str, Told>,
    pub(in crate::policy) intents: BTreeSet<&'static str>,
    pub(in crate::policy) proof: bool,
}

#[derive(Clone, Debug)]
pub(in crate::policy) struct Ban {
    pub(in crate::policy) verb: Option<&'static str>,
    pub(in crate::policy) access: Option<Access>,
    pub(in crate::policy) intent: Option<&'static str>,
}

/// What arguments with a form are compared with and called with: one in two spellings, and some of no form at all.
const PLACES: [&str; 11] = [
    "/a",
    "/a/b",
    "/a//./b/",
    "/a/../b",
    "/../a",
    "https://a.example/",
    "https://A.example:443",
    "http://b.example:80/",
    "http://localhost/",
    "https://u@a.example/",
    "1",
];

/// The forms of the arguments, alike for all verbs.
pub(in crate::policy) type Formed = BTreeMap<&'static str, Form>;

pub(in crate::policy) fn formed() -> impl Strategy<Value = Formed> {
    let form = proptest::sample::select(vec![Form::Path, Form::Url, Form::PrivateUrl, Form::Integer]);
    prop_oneof![
        Just(Formed::new()),
        proptest::collection::btree_map(proptest::sample::select(&ARGS[..]), form, 1..3),
    ]
}

fn text(text: &str) -> Scalar {
    Scalar::Text(text.to_owned())
}

fn scalar() -> impl Strategy<Value = Scalar> {
    prop_oneof![(-2i64..3).prop_map(Scalar::Int), "[ab]{0,2}".prop_map(Scalar::Text)]
}

fn constraint() -> impl Strategy<Value = Constraint> {
    let set = prop_oneof![
        proptest::collection::btree_set((-2i64..3).prop_map(Scalar::Int), 1..3),
        proptest::collection::btree_set("[ab]{0,2}".prop_map(Scalar::Text), 1..3),
    ];
    prop_oneof![
        scalar().prop_map(Constraint::exactly),
        set.prop_map(|s| Constraint { one_of: Some(s), ..Constraint::default() }),
        "[ab]{0,2}".prop_map(|p| Constraint { prefix: Some(p), ..Constraint::default() }),
        (-2i64..3, 0i64..3).prop_map(|(n, w)| Constraint {
            min: Some(n),
            max: Some(n + w),
            ..Constraint::default()
        }),
        Just(Constraint::anything()),
    ]
}

fn place() -> impl Strategy<Value = Constraint> {
    let value = || proptest::sample::select(&PLACES[..]).prop_map(text);
    let directory = proptest::sample::select(vec!["/", "/a", "/a/", "/b/../a/b", "/b"]);
    let host =
        proptest::sample::select(vec!["a.example", "A.example:443", "http://b.example", "http://localhost"]);
    prop_oneof![
        value().prop_map(Constraint::exactly),
        proptest::collection::btree_set(value(), 1..4)
            .prop_map(|s| Constraint { one_of: Some(s), ..Constraint::default() }),
        directory.prop_map(|d| Constraint { path_under: Some(d.to_owned()), ..Constraint::default() }),
        proptest::collection::btree_set(host, 1..3).prop_map(|hosts| Constraint {
            host_in: Some(hosts.into_iter().map(str::to_owned).collect()),
            ..Constraint::default()
        }),
        Just(Constraint::anything()),
    ]
}

/// A constraint that goes with the form: one that does not is no policy, and no request.
fn fitting(form: Option<Form>) -> BoxedStrategy<Constraint> {
    let Some(form) = form else { return constraint().boxed() };
    let fits = move |made: &Constraint| normalise::constraint(Some(form), made).is_ok();
    let made = proptest::collection::vec(prop_oneof![place(), constraint()], 12);
    made.prop_map(move |made| made.into_iter().find(fits).unwrap_or_else(Constraint::anything)).boxed()
}

/// Some of the arguments, each with what `of` makes for its form.
fn some_of<T: Clone + std::fmt::Debug + 'static>(
    formed: &Formed,
    of: fn(Option<Form>) -> BoxedStrategy<T>,
) -> impl Strategy<Value = BTreeMap<&'static str, T>> + use<T> {
    let each = ARGS.map(|arg| proptest::option::of(of(formed.get(arg).copied())));
    each.prop_map(|each| ARGS.into_iter().zip(each).filter_map(|(arg, one)| Some((arg, one?))).collect())
}

fn said(form: Option<Form>) -> BoxedStrategy<Said> {
    let claims = prop_oneof![Just("c"), Just("gone"), Just("k.d"), Just("dir")];
    prop_oneof![4 => fitting(form).prop_map(Said::Fixed), 1 => claims.prop_map(Said::Claim)].boxed()
}

fn some_verb() -> impl Strategy<Value = &'static str> {
    proptest::sample::select(VERBS.map(|(verb, _)| verb).to_vec())
}

pub(in crate::policy) fn rule(formed: &Formed) -> impl Strategy<Value = Rule> + use<> {
    let verbs = proptest::collection::btree_set(some_verb(), 1..4);
    let told = proptest::collection::btree_map(some_verb(), some_of(formed, said), 0..4);
    let intents = proptest::collection::btree_set(proptest::sample::select(&INTENTS[..]), 1..3);
    let proof = proptest::bool::weighted(0.2);
    (verbs, told, intents, proof).prop_map(|(verbs, mut told, intents, proof)| {
        told.retain(|verb, _| verbs.contains(verb));
        Rule { verbs, told, intents, proof }
    })
}

pub(in crate::policy) fn ban() -> impl Strategy<Value = Ban> {
    let access = proptest::sample::select(Access::ALL.to_vec());
    let intent = proptest::option::of(proptest::sample::select(&INTENTS[..]));
    prop_oneof![
        (some_verb(), intent.clone()).prop_map(|(verb, intent)| Ban {
            verb: Some(verb),
            access: None,
            intent
        }),
        (access, intent).prop_map(|(access, intent)| Ban { verb: None, access: Some(access), intent }),
    ]
}

pub(in crate::policy) type Wanted = Vec<(&'static str, Option<BTreeMap<&'static str, Constraint>>)>;

pub(in crate::policy) fn asked(formed: &Formed) -> impl Strategy<Value = Wanted> + use<> {
    proptest::collection::vec((some_verb(), proptest::option::of(some_of(formed, fitting))), 1..5)
}

/// A catalogue's forms, the rules under it, and what is asked.
fn case() -> impl Strategy<Value = (Formed, Vec<Rule>, Wanted)> {
    formed().prop_flat_map(|formed| {
        let (rules, asked) = (proptest::collection::vec(rule(&formed), 0..4), asked(&formed));
        (Just(formed), rules, asked)
    })
}

fn write(formed: &Formed, rules: &[Rule], bans: &[Ban]) -> String {
    let mut text = String::from("[tools.t]\naudience = \"https://t.example\"\n");
    let forms: Vec<String> =
        formed.iter().map(|(arg, form)| format!("{arg} = \"{}\"", form.as_str())).collect();
    let forms = forms.join(", ");
    for (verb, access) in VERBS {
        writeln!(
            text,
            "verbs.\"{verb}\" = {{ access = \"{access}\", args = {ARGS:?}, forms = {{ {forms} }} }}"
        )
        .unwrap();
    }
    text.push_str(
        "[[identities]]\nworkflow = \"w\"\nissuer = \"https://i.example\"\naudience = \"b\"\nclaims = { sub = \"1\" }\n",
    );
    for (number, rule) in rules.iter().enumerate() {
        // The rate tells rules apart that say the same.
        writeln!(text, "[[grants]]\nworkflow = \"w\"\ntool = \"t\"\nrate = \"{}/s\"", number + 1).unwrap();
        writeln!(text, "verbs = {}\nintents = {}", list(&rule.verbs), list(&rule.intents)).unwrap();
        text.push_str("any_arguments = true\napproval = \"none\"\n");
        text.push_str(if rule.proof { "proof = \"required\"\n" } else { "" });
        for (verb, told) in &rule.told {
            writeln!(text, "[grants.constraints.\"{verb}\"]").unwrap();
            for (arg, said) in told {
                let value = match said {
                    Said::Fixed(constraint) => {
                        toml::to_string(constraint).unwrap().trim().replace('\n', ", ")
                    }
                    Said::Claim(claim) => format!("claim = \"{claim}\""),
                };
                writeln!(text, "{arg} = {{ {value} }}").unwrap();
            }
        }
    }
    for ban in bans {
        text.push_str("[[forbids]]\ntool = \"t\"\n");
        let _ = ban.verb.map(|verb| writeln!(text, "verbs = [\"{verb}\"]"));
        let _ = ban.access.map(|access| writeln!(text, "access = [\"{access}\"]"));
        let _ = ban.intent.map(|intent| writeln!(text, "intents = [\"{intent}\"]"));
    }
    text + ADMIN
}

pub(in crate::policy) fn list(names: &BTreeSet<&str>) -> String {
    format!("{:?}", names.iter().collect::<Vec<_>>())
}

/// The closed world, spelled out: no other names, and what is constrained, or has a form, is there and inside.
fn inside(constraints: &BTreeMap<&str, Constraint>, formed: &Formed, call: &Call) -> bool {
    let one = |name: &str, c: &Constraint| match (formed.get(name), call.get(name)) {
        (None, value) => c.any || value.is_some_and(|value| c.admits(value)),
        (Some(form), Some(value)) => {
            let c = normalise::constraint(Some(*form), c).unwrap();
            form.value(value).is_ok_and(|value| c.admits(&value))
        }
        (Some(_), None) => false,
    };
    call.keys().all(|name| constraints.contains_key(name)) && constraints.iter().all(|(name, c)| one(name, c))
}

fn rule_admits(rule: &Rule, formed: &Formed, verb: &str, intent: &str, call: &Call) -> bool {
    if !rule.verbs.contains(verb) || !rule.intents.contains(intent) {
        return false;
    }
    let Some(told) = rule.told.get(verb) else { return true };
    let claimed = |name: &str, value: Scalar| match formed.get(name) {
        Some(form) => form.value(&value).ok().map(Constraint::exactly),
        None => Some(Constraint::exactly(value)),
    };
    let bound: Option<BTreeMap<&str, Constraint>> = told
        .iter()
        .map(|(name, said)| {
            let constraint = match said {
                Said::Fixed(constraint) => Some(constraint.clone()),
                Said::Claim("c") => claimed(name, text("a")),
                Said::Claim("k.d") => claimed(name, Scalar::Int(1)),
                Said::Claim("dir") => claimed(name, text("/b/../a/b/")),
                Said::Claim(_) => None,
            };
            Some((*name, constraint?))
        })
        .collect();
    bound.is_some_and(|bound| inside(&bound, formed, call))
}

fn banned(ban: &Ban, verb: &str, access: Access, intent: &str) -> bool {
    ban.verb.is_none_or(|v| v == verb)
        && ban.intent.is_none_or(|i| i == intent)
        && ban.access.is_none_or(|a| a == access || (a == Access::Write && access == Access::Privileged))
}

pub(in crate::policy) fn calls(formed: &Formed) -> Vec<Call> {
    let values = |name: &str| -> Vec<Option<Scalar>> {
        let texts = ["", "a", "b", "aa", "ab", "ba", "bb", "/a/b/"];
        let plain: Vec<Scalar> = (-3..4).map(Scalar::Int).chain(texts.map(text)).collect();
        let placed: Vec<Scalar> = PLACES.map(text).into_iter().chain([Scalar::Int(1), text("01")]).collect();
        let known = if formed.contains_key(name) { placed } else { plain };
        std::iter::once(None).chain(known.into_iter().map(Some)).collect()
    };
    let [xs, ys] = ARGS.map(values);
    let mut calls = Vec::new();
    for x in &xs {
        for y in &ys {
            let named = [("x", x), ("y", y)].into_iter();
            calls.push(named.filter_map(|(name, value)| Some((name, value.clone()?))).collect());
        }
    }
    calls.push(Call::from([("z", Scalar::Int(1))]));
    calls
}

pub(in crate::policy) fn granted_admits(granted: &Granted, formed: &Formed, verb: &str, call: &Call) -> bool {
    let rights = granted.rights.iter().filter(|right| right.operation == operation(&format!("t/{verb}")));
    rights.flat_map(|right| &right.alternatives).any(|alternative| match &alternative.arguments {
        None => true,
        Some(arguments) => {
            let arguments = arguments.iter().map(|(name, c)| (name.as_str(), c.clone())).collect();
            inside(&arguments, formed, call)
        }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_granted_set_is_never_wider_than_policy_and_request(
        (formed, rules, wanted) in case(),
        bans in proptest::collection::vec(ban(), 0..2),
        intent in proptest::option::of(proptest::sample::select(&INTENTS[..])),
        unproved in prop_oneof![Just(Possession::Unproved), Just(Possession::Reusable)],
    ) {
        let policy = policy(&write(&formed, &rules, &bans));
        let declared = intent.map(|intent| intent.parse().unwrap());
        let asked: Vec<Asked> = wanted
            .iter()
            .map(|(verb, arguments)| Asked {
                operation: operation(&format!("t/{verb}")),
                arguments: arguments.as_ref().map(|a| -> Arguments {
                    a.iter().map(|(name, c)| (name.parse().unwrap(), c.clone())).collect()
                }),
            })
            .collect();
        let claims = claims(&json!({ "c": "a", "k": { "d": 1 }, "gone": Value::Null, "dir": "/b/../a/b/" }));
        let principal = workflow("w");
        let request = Request {
            principal: &principal, claims: &claims, intent: declared.as_ref(), asked: &asked, ttl: None,
            possession: Possession::Proved,
        };
        let answer = decide(&policy, &request);
        prop_assert_eq!(&answer, &decide(&policy, &request));
        let without = decide(&policy, &Request { possession: unproved, ..request });
        let intent = intent.unwrap_or("undeclared");
        for (verb, access) in VERBS {
            let right = |answer: &Result<Granted, Refusal>| {
                let rights = answer.as_ref().map(|granted| granted.rights.clone()).unwrap_or_default();
                rights.into_iter().find(|right| right.operation == operation(&format!("t/{verb}")))
            };
            let bearer = right(&without);
            // Without a proof a verb is granted as with one, or not at all.
            prop_assert!(bearer.is_none() || bearer == right(&answer));
            if unproved == Possession::Reusable {
                prop_assert!(access == Access::Read || bearer.is_none());
            } else if rules.iter().all(|rule| !rule.proof) {
                prop_assert_eq!(&without, &answer);
            }
            let forbidden = bans.iter().any(|ban| banned(ban, verb, access, intent));
            for call in calls(&formed) {
                let by_rule = rules.iter().any(|rule| rule_admits(rule, &formed, verb, intent, &call));
                let by_request = wanted.iter().any(|(asked, arguments)| {
                    *asked == verb && arguments.as_ref().is_none_or(|a| inside(a, &formed, &call))
                });
                let should = by_rule && by_request && !forbidden;
                let does = answer.as_ref().is_ok_and(|granted| granted_admits(granted, &formed, verb, &call));
                // Equal, not just never wider: nothing that both give is lost on the way either.
                prop_assert_eq!(does, should, "{} {:?}\n{:?}", verb, call, answer);
                // Whatever else gives the call: a rule that gives it and wants a proof has its way.
                let demanded = rules.iter().any(|rule| rule.proof && rule_admits(rule, &formed, verb, intent, &call));
                prop_assert!(bearer.is_none() || !(demanded && by_request), "{} {:?}\n{:?}", verb, call, without);
            }
        }
    }
}
