//! Over random chains of narrowing and passing on: what a child may do, its parent may do.

use proptest::prelude::*;
use shortbread_protocol::access::Access;
use shortbread_protocol::call::Args;
use shortbread_protocol::constraint::{Arguments, Constraint, Scalar};
use shortbread_protocol::normalise::Forms;
use shortbread_protocol::random::SystemRandom;
use shortbread_verifier::chain::{decode, peek};
use shortbread_verifier::scope::Demand;

use super::*;
use crate::mint::{Minting, mint};
use crate::policy::model::{Principal, Windows};
use crate::policy::{Alternative as Way, Right};
use crate::signer::LocalSigner;

const NOW: u64 = 1_795_176_000;
const AUDIENCE: &str = "https://tools.acme.example/github";
const VERBS: [(&str, Access); 3] =
    [("issues.read", Access::Read), ("issues.write", Access::Write), ("repo.delete", Access::Privileged)];
const REPOS: [&str; 3] = ["acme/web", "acme/docs", "acme/infra"];
/// Thumbprints of the keys of a line, each with another first letter.
const KEYS: [&str; 3] = [
    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "BBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB",
    "CCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC",
];
const IDS: [&str; 3] = ["tok_1", "tok_2", "tok_3"];
const SIGNERS: [&str; 2] = ["token-2026-11", "token-2026-12"];

fn signer(n: usize) -> LocalSigner {
    LocalSigner::new(SIGNERS[n].parse().unwrap(), PrivateKey::from_seed(&[7; 32]))
}

/// One condition of an added check.
#[derive(Clone, Debug)]
enum Ask {
    Verb(usize),
    Repo(usize),
    Until(u64),
    Age(i64),
    Holder(usize),
    HolderLike(usize),
    AnyHolder,
    Unused(usize),
    AnyUnused,
    Id(usize, usize),
    Access(usize),
}

fn ask() -> impl Strategy<Value = Ask> {
    prop_oneof![
        16 => (0usize..3).prop_map(Ask::Verb),
        8 => (0usize..3).prop_map(Ask::Repo),
        8 => (0u64..700).prop_map(Ask::Until),
        4 => (0i64..400).prop_map(Ask::Age),
        2 => (0usize..3).prop_map(Ask::Holder),
        1 => (0usize..3).prop_map(Ask::HolderLike),
        1 => Just(Ask::AnyHolder),
        1 => (0usize..3).prop_map(Ask::Unused),
        1 => Just(Ask::AnyUnused),
        1 => (0usize..4, 0usize..3).prop_map(|(kind, n)| Ask::Id(kind, n)),
        4 => (0usize..3).prop_map(Ask::Access),
    ]
}

fn condition<'a>(way: Alternative<'a>, ask: &Ask) -> Alternative<'a> {
    let var = Value::Var;
    match *ask {
        Ask::Verb(n) => way.fact(facts::OPERATION, [Value::Str("github"), Value::Str(VERBS[n].0)]),
        Ask::Repo(n) => way.fact(facts::ARG, [Value::Str("repo"), Value::Str(REPOS[n])]),
        Ask::Until(end) => {
            way.fact(facts::TIME, [var("now")]).holds(var("now"), Binary::LessThan, Value::Date(NOW + end))
        }
        Ask::Age(most) => way.fact(facts::REVOCATION_AGE, [var("age")]).holds(
            var("age"),
            Binary::LessOrEqual,
            Value::Int(most),
        ),
        Ask::Holder(n) => way.fact(facts::HOLDER, [Value::Str(KEYS[n])]),
        Ask::HolderLike(n) => way.fact(facts::HOLDER, [var("who")]).holds(
            var("who"),
            Binary::Prefix,
            Value::Str(["A", "B", "C"][n]),
        ),
        Ask::AnyHolder => way.fact(facts::HOLDER, [var("who")]),
        Ask::Unused(n) => way.fact(facts::UNUSED, [Value::Str(IDS[n])]),
        Ask::AnyUnused => way.fact(facts::UNUSED, [var("any")]),
        Ask::Id(kind, n) => {
            let (kind, value) = match kind {
                0 => (SelectorKind::Token, IDS[n]),
                1 => (SelectorKind::Holder, KEYS[n]),
                2 => (SelectorKind::Key, SIGNERS[n % 2]),
                _ => (SelectorKind::Workflow, ["demo", "other", "x"][n]),
            };
            way.fact(facts::ID, [Value::Str(kind.as_str()), Value::Str(value)])
        }
        Ask::Access(n) => way.fact(facts::RIGHT, ["github", VERBS[n].0, VERBS[n].1.as_str()].map(Value::Str)),
    }
}

/// Of conditions on one fact an alternative may have but one.
const fn about(ask: &Ask) -> u8 {
    match ask {
        Ask::Holder(_) | Ask::HolderLike(_) | Ask::AnyHolder => 0,
        Ask::Unused(_) | Ask::AnyUnused => 1,
        Ask::Verb(_) => 2,
        Ask::Repo(_) => 3,
        Ask::Until(_) => 4,
        Ask::Age(_) => 5,
        Ask::Id(..) | Ask::Access(_) => 6,
    }
}

/// The alternatives of one check, the checks of one block, the blocks of one step.
type Asks = Vec<Vec<Ask>>;
type Block = Vec<Asks>;

fn added() -> impl Strategy<Value = Asks> {
    let way = prop::collection::vec(ask(), 1..3).prop_map(|mut asks| {
        asks.sort_by_key(about);
        asks.dedup_by_key(|ask| about(ask));
        asks
    });
    prop::collection::vec(way, 1..4)
}

/// One step down: blocks that are added first, then what is passed on.
#[derive(Clone, Debug)]
struct Step {
    blocks: Vec<Block>,
    kept: [bool; 3],
    end: u64,
    signer: usize,
}

fn step() -> impl Strategy<Value = Step> {
    let blocks = prop::collection::vec(prop::collection::vec(added(), 1..3), 0..3);
    let step = |(blocks, kept, end, signer)| Step { blocks, kept, end, signer };
    (blocks, any::<[bool; 3]>(), 0u64..900, 0usize..2).prop_map(step)
}

fn parent(conditions: [bool; 3]) -> String {
    let right = |((verb, access), conditioned): ((&str, Access), bool)| {
        let repos = REPOS[..2].iter().map(|repo| Scalar::Text((*repo).into())).collect();
        let repo = Constraint { one_of: Some(repos), ..Constraint::default() };
        let arguments = Arguments::from([("repo".parse().unwrap(), repo)]);
        Right {
            operation: format!("github/{verb}").parse().unwrap(),
            access,
            windows: Windows::default(),
            forms: Forms::new(),
            alternatives: vec![Way { grant: "grant:1".into(), arguments: conditioned.then_some(arguments) }],
        }
    };
    let rights: Vec<Right> = VERBS.into_iter().zip(conditions).map(right).collect();
    let minting = Minting {
        issuer: "https://broker.acme.example",
        principal: &Principal::Workflow("demo".parse().unwrap()),
        intent: &"triage".parse().unwrap(),
        task: &"tsk_1".parse().unwrap(),
        token: IDS[0],
        holder: Some(KEYS[0]),
        issued: NOW,
        expires: NOW + 600,
        rights: &rights,
        audiences: &[("github".into(), AUDIENCE.into())],
        sealed: false,
        approval: None,
        once: None,
    };
    mint(&minting, &signer(0), &SystemRandom).unwrap()
}

fn scope(token: &str) -> Scope {
    peek(&decode(token).unwrap()).unwrap()
}

fn narrowed(token: String, blocks: &[Block]) -> String {
    blocks.iter().fold(token, |token, block| {
        let write = |writer: &mut BlockWriter| {
            for check in block {
                let way = |asks: &Vec<Ask>| asks.iter().fold(Alternative::new(), condition);
                writer.check(&check.iter().map(way).collect::<Vec<_>>());
            }
        };
        narrow::append(&token, write, false, &SystemRandom).unwrap()
    })
}

/// Every call that could make a difference, by the holder of this key.
fn allowed(scope: &Scope, holder: &str) -> Vec<(u64, usize, usize, u64, bool)> {
    let repos = REPOS.map(|repo| Args::from_json(format!("{{\"repo\":\"{repo}\"}}").as_bytes()).unwrap());
    let ages = [(0, false), (50, true), (200, false), (350, true)];
    let mut calls = Vec::new();
    for at in [0, 30, 90, 150, 299, 450, 599, 600, 700] {
        for (verb, repo) in (0..9).map(|n| (n / 3, n % 3)) {
            for (age, used) in ages {
                let demand = Demand {
                    now: NOW + at,
                    audience: AUDIENCE,
                    tool: "github",
                    verb: VERBS[verb].0,
                    args: Some(&repos[repo]),
                    holder: Some(holder),
                    unused: scope.id(SelectorKind::Token).filter(|_| !used),
                    revocation_age: Some(age),
                    args_sha256: repos[repo].digest(),
                };
                if scope.evaluate(&demand).is_ok() {
                    calls.push((at, verb, repo, age, used));
                }
            }
        }
    }
    calls
}

fn child<'a>(above: &'a Scope, at: usize, end: u64, kept: &'a BTreeSet<Operation>) -> Child<'a> {
    Child {
        parent: above,
        parent_holder: KEYS[at],
        holder: KEYS[at + 1],
        token: IDS[at + 1],
        expires: NOW + end,
        kept,
        sealed: false,
    }
}

fn operations(which: [bool; 3]) -> BTreeSet<Operation> {
    let kept = VERBS.into_iter().zip(which).filter(|(_, kept)| *kept);
    kept.map(|((verb, _), _)| format!("github/{verb}").parse().unwrap()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn what_a_child_may_do_its_parent_may_do(
        conditions in any::<[bool; 3]>(),
        steps in prop::collection::vec(step(), 1..3),
    ) {
        let mut token = parent(conditions);
        for (at, step) in steps.iter().enumerate() {
            token = narrowed(token, &step.blocks);
            let (above, kept) = (scope(&token), operations(step.kept));
            let made = mint_child(&child(&above, at, step.end, &kept), &signer(step.signer), &SystemRandom);
            let Ok(made) = made else { break };
            let below = scope(&made);
            let parents = allowed(&above, KEYS[at]);
            for call in allowed(&below, KEYS[at + 1]) {
                prop_assert!(parents.contains(&call), "{call:?} of {steps:?}");
                prop_assert!(step.kept[call.1] && call.0 < step.end);
            }
            for other in KEYS.into_iter().filter(|key| *key != KEYS[at + 1]) {
                prop_assert!(allowed(&below, other).is_empty());
            }
            prop_assert_eq!(below.issued(), above.issued());
            prop_assert!(below.end() <= above.end());
            prop_assert_eq!(below.audiences().collect::<Vec<_>>(), above.audiences().collect::<Vec<_>>());
            token = made;
        }
    }
}

#[test]
fn what_would_mean_something_else_is_not_passed_on() {
    let kept = operations([true; 3]);
    let made = |asks: &[&[Ask]]| {
        let check = asks.iter().map(|way| way.to_vec()).collect();
        let above = scope(&narrowed(parent([false; 3]), &[vec![check]]));
        mint_child(&child(&above, 0, 600, &kept), &signer(0), &SystemRandom)
    };
    let refused: [&[&[Ask]]; 7] = [
        &[&[Ask::Holder(1)]],
        &[&[Ask::Holder(0), Ask::Verb(0)], &[Ask::Holder(1), Ask::Verb(2)]],
        &[&[Ask::HolderLike(1)]],
        &[&[Ask::AnyUnused]],
        &[&[Ask::Unused(0)], &[Ask::Verb(0)]],
        &[&[Ask::Id(0, 1)]],
        &[&[Ask::Id(1, 1)], &[Ask::Verb(0)]],
    ];
    for asks in refused {
        assert!(matches!(made(asks), Err(MintError::Own)), "{asks:?}");
    }
    let same = made(&[&[Ask::Holder(0)]]).unwrap();
    assert_eq!(scope(&same).narrowings(), 0, "what says the same as the authority is left out");
    assert_eq!(scope(&made(&[&[Ask::Id(3, 0)]]).unwrap()).narrowings(), 1);
}
