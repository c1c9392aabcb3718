//! The same decision, twice: natively and by the stock authorizer.
//!
//! Where `schema/token.md` lists a difference it is one of two kinds. What the profile leaves out is refused before
//! anything is evaluated, and is tested in `hostile`. The rest is how evaluation must be read to come out the same
//! (alternatives in order, a type error before the first match denies, lengths count bytes), and is demanded here.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::TestRunner;
use shortbread_protocol::biscuit::{Binary, Unary, print};
use shortbread_protocol::reason::Reason;
use shortbread_verifier::chain::peek;

use super::generate::{authority_block, call, spec};
use super::later::later_block;
use super::model::{Alt, Block, Call, NOW, Spec, Step, Val, native, open, plain_authority};
use super::stock;

fn same(spec: &Spec, calls: &[Call]) -> Result<(), TestCaseError> {
    let written = stock::written(spec);
    let theirs = open(&written.to_vec().unwrap());
    let ours = open(&spec.ours());
    let (Ok(theirs), Ok(ours)) = (theirs, ours) else {
        return Err(TestCaseError::fail("the generator left the profile"));
    };
    for call in calls {
        let decided = native(&theirs, call);
        prop_assert_eq!(&native(&ours, call), &decided, "one token, two writers: {:?}", call);
        let allowed = stock::allows(&written, call);
        prop_assert_eq!(decided.is_ok(), allowed, "native {:?}, stock {}: {:?}", decided, allowed, call);
    }
    Ok(())
}

// More with PROPTEST_CASES.
fn config() -> ProptestConfig {
    let asked = ProptestConfig::default();
    ProptestConfig { cases: asked.cases.max(400), failure_persistence: None, ..asked }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn native_evaluation_decides_as_the_stock_authorizer_does(spec in spec(), calls in vec(call(), 4)) {
        same(&spec, &calls)?;
    }

    #[test]
    fn a_later_block_never_widens(authority in authority_block(), later in vec(later_block(), 1..4), calls in vec(call(), 4)) {
        let blocks: Vec<Block> = std::iter::once(authority).chain(later).collect();
        let tokens: Vec<_> = (1..=blocks.len())
            .map(|count| open(&Spec { blocks: blocks[..count].to_vec(), sealed: false }.ours()))
            .collect();
        for call in &calls {
            let decided = tokens.iter().map(|token| native(token.as_ref().unwrap(), call).is_ok());
            let decided: Vec<bool> = decided.collect();
            prop_assert!(decided.is_sorted_by(|parent, child| parent >= child), "{:?} {:?}", decided, call);
        }
    }

    #[test]
    fn what_our_writer_makes_the_stock_library_reads_the_same(spec in spec()) {
        let (ours, theirs) = (spec.ours(), stock::written(&spec));
        let read = stock::read(&ours).unwrap();
        prop_assert_eq!(read.block_count(), spec.blocks.len());
        prop_assert_eq!(stock::contents(&read), stock::contents(&theirs));
        // Facts are printed alike by both, as long as there is nothing in them to escape.
        let scope = peek(&ours).unwrap();
        for (at, block) in (0u8..).zip(&spec.blocks) {
            let text = read.print_block_source(usize::from(at)).unwrap();
            let theirs: Vec<&str> = text.lines().map(|line| line.trim_end_matches(';')).collect();
            let printed = print::block(scope.program(), at);
            prop_assert_eq!(printed.len(), theirs.len());
            prop_assert_eq!(&printed[..block.facts.len()], &theirs[..block.facts.len()]);
        }
    }
}

#[test]
fn generated_cases_are_neither_all_allowed_nor_all_refused() {
    let mut runner = TestRunner::deterministic();
    let (specs, calls) = (spec(), call());
    let (mut allowed, mut narrowed, total) = (0, 0, 900);
    for _ in 0..total {
        let spec = specs.new_tree(&mut runner).unwrap().current();
        let call = calls.new_tree(&mut runner).unwrap().current();
        match native(&open(&spec.ours()).unwrap(), &call) {
            Ok(()) => allowed += 1,
            Err(Reason::Narrowed) => narrowed += 1,
            Err(_) => {}
        }
    }
    assert!(
        allowed * 15 > total && narrowed * 15 > total,
        "{allowed} allowed, {narrowed} narrowed of {total}"
    );
}

fn decided(checks: Vec<Vec<Alt>>, call: &Call) -> (bool, bool) {
    let later = Block { facts: Vec::new(), checks };
    let spec = Spec { blocks: vec![plain_authority(), later], sealed: false };
    let token = stock::written(&spec);
    let native = native(&open(&token.to_vec().unwrap()).unwrap(), call).is_ok();
    (native, stock::allows(&token, call))
}

#[test]
fn the_written_rules_of_evaluation_hold_in_both() {
    let call = Call::of(
        "github",
        "issues.read",
        r##"{"repo":"zażółć","n":3,"l":[],"p":"/srv/./data","q#path":"/srv/"}"##,
    );
    let repo = || Alt::of(vec![("arg", vec![Val::text("repo"), Val::Var("r")])]);
    let yes = || Alt::of(vec![("time", vec![Val::Var("now")])]);
    let wrong = || repo().holds(Val::Var("r"), Binary::GreaterThan, Val::Int(1));
    let length = |n| {
        let mut alt = repo();
        alt.steps.push(vec![
            Step::Val(Val::Var("r")),
            Step::Un(Unary::Length),
            Step::Val(Val::Int(n)),
            Step::Bin(Binary::Equal),
        ]);
        alt
    };
    let list = |set| {
        Alt::of(vec![("arg", vec![Val::text("l"), Val::Var("l")])]).holds(
            set,
            Binary::Contains,
            Val::Var("l"),
        )
    };
    let text = |op, part| vec![repo().holds(Val::Var("r"), op, Val::text(part))];
    let facet = |name, value: &str| vec![Alt::of(vec![("arg", vec![Val::text(name), Val::text(value)])])];
    for (name, check, allowed) in [
        ("a facet is computed", facet("p#path", "/srv/data/"), true),
        ("and not the argument as it is sent", facet("p#path", "/srv/./data"), false),
        ("a facet of what is not of its form", facet("n#path", "3"), false),
        ("a facet that the call sends itself", facet("q#path", "/srv/"), false),
        ("a facet that nobody knows", facet("p#regex", "/srv/data/"), false),
        ("a text starts so", text(Binary::Prefix, "zaż"), true),
        ("a text does not start so", text(Binary::Prefix, "łć"), false),
        ("a text ends so", text(Binary::Suffix, "łć"), true),
        ("a text does not end so", text(Binary::Suffix, "zaż"), false),
        ("a text has a part", text(Binary::Contains, "żó"), true),
        ("a text has no such part", text(Binary::Contains, "żć"), false),
        ("the first match ends a check", vec![yes(), wrong()], true),
        ("a type error before it denies", vec![wrong(), yes()], false),
        ("a length counts bytes", vec![length(10)], true),
        ("a length does not count characters", vec![length(6)], false),
        ("an empty list is in every set", vec![list(Val::Set(vec![Val::text("a")]))], true),
        ("and in the empty one", vec![list(Val::Set(Vec::new()))], true),
        ("a check without alternatives never holds", Vec::new(), false),
        ("an alternative without demands always holds", vec![Alt::default()], true),
        (
            "a variable that nothing binds is an error",
            vec![Alt::default().holds(Val::Var("x"), Binary::Equal, Val::Var("x")), yes()],
            false,
        ),
        (
            "a variable in two places must be one value",
            vec![Alt::of(vec![
                ("arg", vec![Val::text("repo"), Val::Var("x")]),
                ("arg", vec![Val::text("n"), Val::Var("x")]),
            ])],
            false,
        ),
        (
            "a date is no integer",
            vec![
                Alt::of(vec![("time", vec![Val::Int(i64::try_from(NOW).unwrap())])]),
                Alt::of(vec![("time", vec![Val::Date(NOW + 1)])]),
            ],
            false,
        ),
    ] {
        assert_eq!(decided(vec![check], &call), (allowed, allowed), "{name}");
    }
}

#[test]
fn variables_of_an_operation_and_its_right_count_wherever_else_they_stand() {
    let call = Call::of("github", "issues.read", r#"{"tool":"github","verb":"issues.read","access":"read"}"#);
    let [tool, verb, access] = ["t", "v", "a"].map(Val::Var);
    let operation = || Alt::of(vec![("operation", vec![tool.clone(), verb.clone()])]);
    let with = |name, terms: Vec<Val>| {
        let mut alt = operation();
        alt.facts.push((name, terms));
        alt
    };
    let right = || with("right", vec![tool.clone(), verb.clone(), access.clone()]);
    let and_arg = |mut alt: Alt, name, term: &Val| {
        alt.facts.insert(0, ("arg", vec![Val::text(name), term.clone()]));
        alt
    };
    let is = |alt: Alt, term: &Val, text| alt.holds(term.clone(), Binary::Equal, Val::text(text));
    let one_of = |alt: Alt, term: &Val, text| {
        alt.holds(Val::Set(vec![Val::text(text)]), Binary::Contains, term.clone())
    };
    for (name, alternative, allowed) in [
        ("nobody asks", right(), true),
        ("one variable twice", Alt::of(vec![("operation", vec![tool.clone(), tool.clone()])]), false),
        ("the tool is an argument", and_arg(operation(), "tool", &tool), true),
        ("the tool is another argument", and_arg(operation(), "verb", &tool), false),
        ("the verb is an argument", and_arg(right(), "verb", &verb), true),
        ("the verb is another argument", and_arg(right(), "tool", &verb), false),
        ("the access is an argument", and_arg(right(), "access", &access), true),
        ("the access is another argument", and_arg(right(), "tool", &access), false),
        ("the tool is the audience", with("audience", vec![tool.clone()]), false),
        ("the verb is all names", with("args", vec![verb.clone()]), false),
        ("the tool in an expression", is(operation(), &tool, "github"), true),
        ("the tool in an expression that does not hold", is(right(), &tool, "gitlab"), false),
        ("the verb in a set", one_of(operation(), &verb, "issues.read"), true),
        ("the verb in another set", one_of(right(), &verb, "issues.write"), false),
        ("the access in an expression", is(right(), &access, "read"), true),
        ("the access in an expression that does not hold", is(right(), &access, "write"), false),
        ("the access in a set", one_of(right(), &access, "write"), false),
        ("an access that nothing binds", is(operation(), &access, "read"), false),
        ("a type that no text has", right().holds(access.clone(), Binary::GreaterThan, Val::Int(1)), false),
    ] {
        assert_eq!(decided(vec![vec![alternative]], &call), (allowed, allowed), "{name}");
    }
}
