//! Offline narrowing: what our clients add to a token takes away and never gives, and both libraries agree on it.

use std::collections::BTreeSet;

use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use shortbread_protocol::alternatives::alternative;
use shortbread_protocol::biscuit::{BlockWriter, Program, Symbols, read_block};
use shortbread_protocol::call::{ArgValue, Args};
use shortbread_protocol::constraint::{Arguments, Constraint, Scalar};
use shortbread_protocol::names::{ArgName, Operation};
use shortbread_protocol::normalise::{self, Form, Forms};
use shortbread_protocol::random::{Random, RandomError, SeededRandom};
use shortbread_verifier::chain::{decode, encode, peek};
use shortbread_verifier::narrow::{NarrowError, Narrowing, narrow, seal};

use super::generate::{authority_block, call, spec};
use super::model::{Call, NOW, OPERATIONS, Spec, audience, native, open, plain_authority, signed};
use super::stock;

// Few, so that arguments and constraints often meet; one is also the name of a variable.
const NAMES: [&str; 3] = ["repo", "labels", "names"];

fn operation((tool, verb, _): &(&str, &str, &str)) -> Operation {
    format!("{tool}/{verb}").parse().unwrap()
}

fn scalar() -> impl Strategy<Value = Scalar> {
    let texts = &[
        "",
        "a",
        "acme",
        "acme/web",
        "Acme/web.git",
        "3",
        "/srv/data",
        "/srv/./data/x",
        "/srv/data/../y",
        "/srv/../..",
        "/srvdata",
        "https://a.example/",
        "HTTPS://a.example:443",
        "https://a.example:8443/",
        "http://localhost/",
        "https://a.example@b.example/",
    ][..];
    prop_oneof![
        3 => select(texts).prop_map(|text| Scalar::Text(text.to_owned())),
        2 => (-1i64..4).prop_map(Scalar::Int),
        1 => any::<bool>().prop_map(Scalar::Bool),
    ]
}

fn set() -> impl Strategy<Value = BTreeSet<Scalar>> {
    (scalar(), btree_set(scalar(), 0..6)).prop_map(|(first, mut set)| {
        set.retain(|value| std::mem::discriminant(value) == std::mem::discriminant(&first));
        set.insert(first);
        set
    })
}

fn constraint() -> impl Strategy<Value = Constraint> {
    let none = Constraint::default;
    prop_oneof![
        scalar().prop_map(Constraint::exactly),
        set().prop_map(move |set| Constraint { one_of: Some(set), ..none() }),
        set().prop_map(move |set| Constraint { subset: Some(set), ..none() }),
        select(&["", "a", "acme/"][..])
            .prop_map(move |start| Constraint { prefix: Some(start.to_owned()), ..none() }),
        (-2i64..3).prop_map(move |min| Constraint { min: Some(min), ..none() }),
        (0i64..6).prop_map(move |max| Constraint { max: Some(max), ..none() }),
        Just(Constraint { min: Some(i64::MIN), max: Some(i64::MAX), ..none() }),
        Just(Constraint::anything()),
        select(&["/", "/srv", "/srv/data/"][..])
            .prop_map(move |path| Constraint { path_under: Some(path.to_owned()), ..none() }),
        btree_set(select(&["a.example", "a.example:8443", "http://localhost"][..]), 1..3).prop_map(
            move |hosts| {
                Constraint { host_in: Some(hosts.into_iter().map(str::to_owned).collect()), ..none() }
            }
        ),
    ]
}

fn arguments() -> impl Strategy<Value = Arguments> {
    let name = select(&NAMES[..]).prop_map(|name| name.parse::<ArgName>().unwrap());
    btree_map(name, constraint(), 0..3)
}

// Whatever does not go with its form is not written, so that many come to nothing.
fn forms() -> impl Strategy<Value = Forms> {
    let form = select(vec![Form::Path, Form::Url, Form::PrivateUrl, Form::Repository, Form::Integer]);
    let name = select(&NAMES[..]).prop_map(|name| name.parse::<ArgName>().unwrap());
    btree_map(name, form, 0..2)
}

fn json(value: &Scalar) -> String {
    serde_json::to_string(value).unwrap()
}

fn args() -> impl Strategy<Value = String> {
    let value = prop_oneof![
        6 => scalar().prop_map(|value| json(&value)),
        4 => vec(scalar(), 0..3).prop_map(|list| format!("[{}]", list.iter().map(json).collect::<Vec<_>>().join(","))),
        1 => Just("null".to_owned()),
        1 => Just("1.5".to_owned()),
    ];
    btree_map(select(&NAMES[..]), value, 0..3).prop_map(|members| {
        let members: Vec<String> = members.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// What constraints mean, without any Datalog.
fn admits(arguments: &Arguments, forms: &Forms, args: &Args) -> bool {
    let listed = args.names().all(|name| arguments.contains_key(name));
    let form = |name: &ArgName| forms.get(name).copied();
    listed
        && arguments.iter().all(|(name, constraint)| match args.value(name.as_str()) {
            _ if constraint.any && form(name).is_none() => true,
            // In the spelling of its form, argument and constraint alike.
            Some(ArgValue::One(value)) if form(name).is_some() => {
                let form = form(name).unwrap();
                let constraint = normalise::constraint(Some(form), constraint).unwrap();
                form.value(value).is_ok_and(|value| constraint.admits(&value))
            }
            Some(ArgValue::One(value)) => constraint.subset.is_none() && constraint.admits(value),
            Some(ArgValue::List(list)) => {
                constraint.subset.is_some()
                    && !list.is_empty()
                    && list.iter().all(|value| constraint.admits(value))
            }
            None => false,
        })
}

fn later(arguments: &Arguments, forms: &Forms) -> Option<Vec<u8>> {
    let authority = plain_authority().bytes(Symbols::default());
    let mut program = Program::default();
    read_block(&mut program, 0, &authority).unwrap();
    let operation = operation(&OPERATIONS[0]);
    let mut writer = BlockWriter::after(program.symbols);
    writer.check(&[alternative(&operation, Some(arguments), forms).ok()?]);
    Some(signed(&super::model::root(), &[authority, writer.finish()], false))
}

fn narrowing() -> impl Strategy<Value = Narrowing> {
    let operations = proptest::option::of(subsequence(OPERATIONS.to_vec(), 1..=6));
    let constrained = subsequence(OPERATIONS.to_vec(), 0..3)
        .prop_flat_map(|kept| (kept.iter().map(|_| arguments()).collect::<Vec<_>>(), Just(kept)));
    let until = proptest::option::of(select(&[NOW - 1, NOW, NOW + 1, NOW + 60][..]));
    let place = proptest::option::weighted(0.3, select(&["github", "files", "mail"][..]).prop_map(audience));
    (operations, constrained, until, place, any::<(bool, bool)>()).prop_map(
        |(operations, (arguments, constrained), until, audience, (note, seal))| Narrowing {
            operations: operations.map(|kept| kept.iter().map(operation).collect()),
            arguments: constrained.iter().map(operation).zip(arguments).collect(),
            until,
            audience,
            note: note.then(|| "for the \"summary\" agent".to_owned()),
            seal,
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn an_alternative_admits_what_its_constraints_admit(
        arguments in arguments(), forms in forms(), calls in vec(args(), 12),
    ) {
        let Some(bytes) = later(&arguments, &forms) else { return Ok(()) };
        let (token, read) = (open(&bytes).unwrap(), stock::read(&bytes).unwrap());
        for args in &calls {
            let call = Call::of("github", "issues.read", args);
            let wanted = admits(&arguments, &forms, &call.read_args().unwrap());
            prop_assert_eq!(native(&token, &call).is_ok(), wanted, "{:?} {}", arguments, args);
            prop_assert_eq!(stock::allows(&read, &call), wanted, "stock {:?} {}", arguments, args);
        }
        let unread = Call { args: None, ..Call::of("github", "issues.read", "") };
        prop_assert!(native(&token, &unread).is_err());
    }

    #[test]
    fn a_child_token_is_never_wider_than_its_parent(
        authority in authority_block(),
        steps in vec(narrowing(), 1..4),
        calls in vec((call(), proptest::option::of(args())), 6),
    ) {
        let mut parent = encode(&Spec { blocks: vec![authority], sealed: false }.ours());
        let random = SeededRandom::new(1);
        for by in &steps {
            let Ok(child) = narrow(&parent, by, &random) else { continue };
            let (wide, small) = (decode(&parent).unwrap(), decode(&child).unwrap());
            let (wide, narrowed) = (open(&wide).unwrap(), open(&small).unwrap());
            prop_assert_eq!(narrowed.is_sealed(), by.seal);
            let read = stock::read(&small).unwrap();
            for (call, args) in &calls {
                let call = Call { args: args.clone().or_else(|| call.args.clone()), ..call.clone() };
                let decided = native(&narrowed, &call);
                prop_assert!(decided.is_err() || native(&wide, &call).is_ok(), "{:?} {:?}", by, call);
                prop_assert_eq!(decided.is_ok(), stock::allows(&read, &call), "{:?} {:?}", by, call);
                prop_assert!(decided.is_err() || meant(by, &call), "{:?} {:?}", by, call);
            }
            if !by.seal {
                parent = child;
            }
        }
    }

    #[test]
    fn a_sealed_copy_decides_as_before(spec in spec(), call in call()) {
        let bytes = Spec { sealed: false, ..spec.clone() }.ours();
        let sealed = decode(&seal(&encode(&bytes)).unwrap()).unwrap();
        prop_assert_eq!(&sealed, &Spec { sealed: true, ..spec }.ours());
        prop_assert_eq!(native(&open(&sealed).unwrap(), &call), native(&open(&bytes).unwrap(), &call));
        prop_assert!(stock::read(&sealed).is_ok());
        prop_assert_eq!(seal(&encode(&sealed)), Err(NarrowError::Sealed));
    }
}

// What whoever narrowed asked for, on its own.
fn meant(by: &Narrowing, call: &Call) -> bool {
    let is_called = |asked: &Operation| asked.tool.as_str() == call.tool && asked.verb.as_str() == call.verb;
    by.operations.as_ref().is_none_or(|kept| kept.iter().any(is_called))
        && by.until.is_none_or(|until| call.now < until)
        && by.audience.as_ref().is_none_or(|audience| *audience == call.audience)
        && by.arguments.iter().all(|(asked, arguments)| {
            !is_called(asked) || call.read_args().is_some_and(|args| admits(arguments, &Forms::new(), &args))
        })
}

fn plain() -> String {
    encode(&Spec { blocks: vec![plain_authority()], sealed: false }.ours())
}

fn refused(token: &str, by: &Narrowing) -> NarrowError {
    narrow(token, by, &SeededRandom::new(1)).unwrap_err()
}

#[test]
fn what_cannot_be_narrowed_is_refused_with_a_way_out() {
    let (token, none) = (plain(), Narrowing::default);
    let read: Operation = "github/issues.read".parse().unwrap();
    let drop: Operation = "github/repo.delete".parse().unwrap();

    assert_eq!(refused(&token, &none()), NarrowError::Nothing);
    assert_eq!(refused(&token, &Narrowing { note: Some("x".into()), ..none() }), NarrowError::Nothing);
    assert!(matches!(
        refused(&token, &Narrowing { operations: Some(Vec::new()), ..none() }),
        NarrowError::NoOperation { .. }
    ));
    let error = refused(&token, &Narrowing { operations: Some(vec![read.clone(), drop.clone()]), ..none() });
    assert_eq!(
        error.to_string(),
        "the token does not grant github/repo.delete; it grants github/issues.read, github/issues.write, stripe/refunds.create, files/read, files/write, mail/send"
    );
    let both = vec![(read.clone(), Arguments::new()), (read.clone(), Arguments::new())];
    assert_eq!(
        refused(&token, &Narrowing { arguments: both, ..none() }),
        NarrowError::Arguments(read.clone(), "twice for")
    );
    let write = vec!["github/issues.write".parse().unwrap()];
    let dropped =
        Narrowing { operations: Some(write), arguments: vec![(read.clone(), Arguments::new())], ..none() };
    assert_eq!(refused(&token, &dropped), NarrowError::Arguments(read, "for the dropped"));
    let elsewhere = Narrowing { audience: Some("https://evil.example".into()), ..none() };
    assert!(matches!(refused(&token, &elsewhere), NarrowError::Audience { .. }));
    assert!(matches!(refused("AAAA", &Narrowing { until: Some(1), ..none() }), NarrowError::Flaw(_)));
}

#[test]
fn an_end_must_be_earlier_than_the_one_there_is() {
    let (token, random) = (plain(), SeededRandom::new(1));
    let until = |until| Narrowing { until: Some(until), ..Narrowing::default() };
    let end = NOW + 290;
    assert_eq!(refused(&token, &until(end)), NarrowError::NotShorter { asked: end, end });
    let child = narrow(&token, &until(NOW + 60), &random).unwrap();
    assert_eq!(refused(&child, &until(NOW + 60)), NarrowError::NotShorter { asked: NOW + 60, end: NOW + 60 });
    let grandchild = narrow(&child, &until(NOW + 5), &random).unwrap();
    assert_eq!(peek(&decode(&grandchild).unwrap()).unwrap().end(), NOW + 5);
}

#[test]
fn blocks_and_bytes_have_an_end() {
    let random = SeededRandom::new(1);
    let mut token = plain();
    for second in 0..7 {
        token =
            narrow(&token, &Narrowing { until: Some(NOW + 60 - second), ..Narrowing::default() }, &random)
                .unwrap();
    }
    let again = Narrowing { until: Some(NOW), ..Narrowing::default() };
    assert_eq!(refused(&token, &again), NarrowError::TooManyBlocks);
    let long = Narrowing { note: Some("x".repeat(8192)), ..again };
    assert!(matches!(refused(&plain(), &long), NarrowError::TooLarge(bytes) if bytes > 8192));
    assert!(seal(&token).is_ok());
}

#[test]
fn a_secret_of_another_token_does_not_narrow() {
    let bytes = Spec { blocks: vec![plain_authority()], sealed: false }.ours();
    let (at, last) = (bytes.len() - 1, bytes.last().unwrap());
    let mut other = bytes.clone();
    other[at] = last ^ 1;
    assert_eq!(seal(&encode(&other)), Err(NarrowError::Proof));
}

struct NoRandom;

impl Random for NoRandom {
    fn fill(&self, _: &mut [u8]) -> Result<(), RandomError> {
        Err(RandomError)
    }
}

#[test]
fn without_randomness_there_is_no_child() {
    let by = Narrowing { until: Some(NOW), ..Narrowing::default() };
    assert_eq!(narrow(&plain(), &by, &NoRandom), Err(NarrowError::Random));
}

#[test]
fn a_note_is_kept_and_changes_nothing() {
    let by = Narrowing { note: Some("\"); right(\"x\"".into()), seal: true, ..Narrowing::default() };
    let bytes = decode(&narrow(&plain(), &by, &SeededRandom::new(1)).unwrap()).unwrap();
    let scope = peek(&bytes).unwrap();
    let text = shortbread_protocol::biscuit::print::block(scope.program(), 1);
    assert_eq!(text, [r#"note("\"); right(\"x\"")"#]);
    assert!(native(&open(&bytes).unwrap(), &Call::of("mail", "send", "{}")).is_ok());
}
