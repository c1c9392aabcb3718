//! The promise of `--fail-on widen`: where nothing widens, nobody gets more. And what is decided otherwise is told.
//!
//! What somebody gets is told call by call: by a request for exactly that call. A request for more is given no call that
//! a request for the call alone is not given.

use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;
use shortbread_protocol::constraint::{Arguments, Constraint};

use super::super::super::decide::never_wider::{
    ARGS, Ban, Call, Formed, INTENTS, Rule, Said, VERBS, Wanted, asked, ban, calls, formed, granted_admits,
    list, rule,
};
use super::super::super::fixture::{ADMIN, claims, operation, policy, workflow};
use super::super::super::{Asked, Granted, Possession, Refusal, Request, decide};
use super::*;

/// A rule and what stands in the way of using it.
#[derive(Clone, Debug)]
struct Term {
    rule: Rule,
    minutes: Option<u64>,
    approval: bool,
}

/// A policy's rules and bans.
#[derive(Clone, Debug)]
struct Model {
    terms: Vec<Term>,
    bans: Vec<Ban>,
}

fn term(formed: &Formed) -> impl Strategy<Value = Term> + use<> {
    let minutes = proptest::option::of(1u64..4);
    (rule(formed), minutes, proptest::bool::weighted(0.3)).prop_map(|(rule, minutes, approval)| Term {
        rule,
        minutes,
        approval,
    })
}

/// How one term of the older policy stands in the newer one.
#[derive(Clone, Debug)]
enum Fate {
    Kept,
    Gone,
    Minutes(Option<u64>),
    Approval(bool),
    Proof(bool),
    Another(Term),
}

fn fate(formed: &Formed) -> impl Strategy<Value = Fate> + use<> {
    prop_oneof![
        4 => Just(Fate::Kept),
        1 => Just(Fate::Gone),
        1 => proptest::option::of(1u64..4).prop_map(Fate::Minutes),
        1 => any::<bool>().prop_map(Fate::Approval),
        1 => any::<bool>().prop_map(Fate::Proof),
        1 => term(formed).prop_map(Fate::Another),
    ]
}

/// Two policies of one catalogue, alike but for some of it, and what is asked.
fn change() -> impl Strategy<Value = (Formed, Model, Model, Wanted)> {
    formed().prop_flat_map(|formed| {
        let terms = proptest::collection::vec((term(&formed), fate(&formed)), 0..4);
        let more = proptest::option::weighted(0.3, term(&formed));
        let bans =
            (proptest::collection::vec(ban(), 0..2), proptest::option::weighted(0.3, ban()), any::<bool>());
        let asked = asked(&formed);
        (Just(formed), terms, more, bans, asked).prop_map(
            |(formed, terms, more, (bans, ban, keep), asked)| {
                let old =
                    Model { terms: terms.iter().map(|(term, _)| term.clone()).collect(), bans: bans.clone() };
                let kept = terms.into_iter().filter_map(|(term, fate)| match fate {
                    Fate::Kept => Some(term),
                    Fate::Gone => None,
                    Fate::Minutes(minutes) => Some(Term { minutes, ..term }),
                    Fate::Approval(approval) => Some(Term { approval, ..term }),
                    Fate::Proof(proof) => Some(Term { rule: Rule { proof, ..term.rule }, ..term }),
                    Fate::Another(other) => Some(other),
                });
                let terms = kept.chain(more).collect();
                let bans = bans.into_iter().filter(|_| keep).chain(ban).collect();
                (formed, old, Model { terms, bans }, asked)
            },
        )
    })
}

fn write(formed: &Formed, model: &Model) -> String {
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
        "[[identities]]\nworkflow = \"w\"\nissuer = \"https://i.example\"\naudience = \"b\"\nclaims = { sub = \"1\" }\n\
         [approvers.oncall]\nmembers = [\"alice\"]\n",
    );
    let grants: BTreeSet<String> = model.terms.iter().map(grant).collect();
    text.extend(grants);
    for ban in &model.bans {
        text.push_str("[[forbids]]\ntool = \"t\"\n");
        let _ = ban.verb.map(|verb| writeln!(text, "verbs = [\"{verb}\"]"));
        let _ = ban.access.map(|access| writeln!(text, "access = [\"{access}\"]"));
        let _ = ban.intent.map(|intent| writeln!(text, "intents = [\"{intent}\"]"));
    }
    text + ADMIN
}

fn grant(term: &Term) -> String {
    let Term { rule, minutes, approval } = term;
    let mut text = String::from("[[grants]]\nworkflow = \"w\"\ntool = \"t\"\nany_arguments = true\n");
    writeln!(text, "verbs = {}\nintents = {}", list(&rule.verbs), list(&rule.intents)).unwrap();
    text.push_str(if *approval {
        "approval = { approvers = \"oncall\" }\n"
    } else {
        "approval = \"none\"\n"
    });
    text.push_str(if rule.proof { "proof = \"required\"\n" } else { "" });
    let _ = minutes.map(|minutes| writeln!(text, "max_ttl = \"{minutes}m\""));
    for (verb, told) in &rule.told {
        writeln!(text, "[grants.constraints.\"{verb}\"]").unwrap();
        for (arg, said) in told {
            let value = match said {
                Said::Fixed(constraint) => toml::to_string(constraint).unwrap().trim().replace('\n', ", "),
                Said::Claim(claim) => format!("claim = \"{claim}\""),
            };
            writeln!(text, "{arg} = {{ {value} }}").unwrap();
        }
    }
    text
}

fn decided(
    policy: &Policy,
    intent: &str,
    asked: &[Asked],
    possession: Possession,
) -> Result<Granted, Refusal> {
    let claims = claims(&json!({ "c": "a", "k": { "d": 1 }, "gone": null, "dir": "/b/../a/b/" }));
    let intent = intent.parse().unwrap();
    let principal = workflow("w");
    let ttl = Some(std::time::Duration::from_secs(3600));
    decide(
        policy,
        &Request { principal: &principal, claims: &claims, intent: Some(&intent), asked, ttl, possession },
    )
}

/// A request for exactly this call.
fn exactly(verb: &str, call: &Call) -> Asked {
    let arguments: Arguments = call
        .iter()
        .map(|(name, value)| (name.parse().unwrap(), Constraint::exactly(value.clone())))
        .collect();
    Asked { operation: operation(&format!("t/{verb}")), arguments: Some(arguments) }
}

/// For how long a token with this call is to be had, without anyone's approval.
fn given(
    policy: &Policy,
    formed: &Formed,
    intent: &str,
    verb: &str,
    call: &Call,
    possession: Possession,
) -> Option<u64> {
    let granted = decided(policy, intent, &[exactly(verb, call)], possession).ok()?;
    granted_admits(&granted, formed, verb, call).then_some(granted.ttl.as_secs())
}

/// What a decision comes to: the calls that it lets pass, for how long, or that an approval is needed.
fn outcome(
    answer: &Result<Granted, Refusal>,
    formed: &Formed,
    calls: &[Call],
) -> (Option<u64>, bool, Vec<bool>) {
    let admitted = |granted: &Granted| -> Vec<bool> {
        let each = VERBS.iter().flat_map(|(verb, _)| calls.iter().map(move |call| (verb, call)));
        each.map(|(verb, call)| granted_admits(granted, formed, verb, call)).collect()
    };
    match answer {
        Ok(granted) => (Some(granted.ttl.as_secs()), false, admitted(granted)),
        Err(refusal) => (
            None,
            refusal.pending.is_some(),
            refusal.pending.as_ref().map(|pending| admitted(&pending.granted)).unwrap_or_default(),
        ),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn where_nothing_widens_nobody_gets_more(
        (formed, old, new, wanted) in change(),
        picks in proptest::collection::vec(any::<proptest::sample::Index>(), 10),
    ) {
        let (old, new) = (policy(&write(&formed, &old)), policy(&write(&formed, &new)));
        prop_assert_eq!(&diff(&old, &old).effects, &Vec::new());
        let found = diff(&old, &new);
        let all = calls(&formed);
        let calls: Vec<Call> = picks.iter().map(|pick| pick.get(&all).clone()).collect();
        for intent in INTENTS.into_iter().chain(["unnamed"]) {
            for possession in [Possession::Proved, Possession::Unproved] {
                for (verb, _) in VERBS {
                    for call in &calls {
                        let before = given(&old, &formed, intent, verb, call, possession);
                        let now = given(&new, &formed, intent, verb, call, possession);
                        prop_assert!(found.widens() || now <= before, "{} {} {:?}: {:?} -> {:?}\n{:#?}", intent, verb, call, before, now, found);
                        prop_assert!(found.narrows() || now >= before, "{} {} {:?}: {:?} -> {:?}\n{:#?}", intent, verb, call, before, now, found);
                    }
                }
                let asked: Vec<Asked> = wanted
                    .iter()
                    .map(|(verb, arguments)| Asked {
                        operation: operation(&format!("t/{verb}")),
                        arguments: arguments.as_ref().map(|a| -> Arguments {
                            a.iter().map(|(name, c)| (name.parse().unwrap(), c.clone())).collect()
                        }),
                    })
                    .collect();
                let answers = [&old, &new].map(|policy| outcome(&decided(policy, intent, &asked, possession), &formed, &calls));
                let [before, now] = &answers;
                prop_assert!(before == now || !found.effects.is_empty(), "{:?} -> {:?}", before, now);
            }
        }
    }
}
