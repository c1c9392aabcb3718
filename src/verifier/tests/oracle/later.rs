//! Random blocks of holders, within the profile and as odd as it lets them be.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use shortbread_protocol::biscuit::{Binary, Unary};

use super::generate::{ARGUMENTS, Kind, TEXTS, any_constant, apply, constant, fitting};
use super::model::{Alt, Block, Fact, HOLDER, OPERATIONS, Step, TOKEN, Val, audience};

// The last ones are those of an operation and its right.
const VARIABLES: [&str; 6] = ["x", "y", "z", "t", "v", "a"];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shape {
    Operation,
    OfRight,
    Right,
    Id,
    Args,
    Hash,
    Audience,
    Holder,
    Age,
    Time,
    Unused,
    Arg(usize),
}

const SHAPES: [Shape; 23] = [
    Shape::Operation,
    Shape::OfRight,
    Shape::Right,
    Shape::Id,
    Shape::Args,
    Shape::Hash,
    Shape::Audience,
    Shape::Holder,
    Shape::Age,
    Shape::Time,
    Shape::Unused,
    Shape::Arg(0),
    Shape::Arg(1),
    Shape::Arg(2),
    Shape::Arg(3),
    Shape::Arg(4),
    Shape::Arg(5),
    Shape::Arg(6),
    Shape::Arg(7),
    Shape::Arg(8),
    Shape::Arg(9),
    Shape::Arg(10),
    Shape::Arg(11),
];

type Asked = (Vec<Fact>, Vec<(&'static str, Kind)>);

// Mostly a variable of its own, at times one that another predicate binds too, a fitting constant, or any.
fn slot(
    own: &'static str,
    kind: Kind,
    fitting: BoxedStrategy<Val>,
) -> BoxedStrategy<(Val, Option<(&'static str, Kind)>)> {
    let variable = prop_oneof![8 => Just(own), 1 => select(&VARIABLES[..])];
    prop_oneof![
        8 => variable.prop_map(move |name| (Val::Var(name), Some((name, kind)))),
        4 => fitting.prop_map(|value| (value, None)),
        1 => any_constant().prop_map(|value| (value, None)),
    ]
    .boxed()
}

fn one(
    name: &'static str,
    own: &'static str,
    kind: Kind,
    fitting: BoxedStrategy<Val>,
) -> BoxedStrategy<Asked> {
    slot(own, kind, fitting)
        .prop_map(move |(value, bound)| (vec![(name, vec![value])], bound.into_iter().collect()))
        .boxed()
}

fn text(text: &str) -> BoxedStrategy<Val> {
    Just(Val::text(text)).boxed()
}

fn asked(shape: Shape) -> BoxedStrategy<Asked> {
    match shape {
        Shape::Operation => select(&OPERATIONS[..])
            .prop_flat_map(|(tool, verb, _)| {
                (slot("t", Kind::Str, text(tool)), slot("v", Kind::Str, text(verb)))
            })
            .prop_map(|((tool, a), (verb, b))| {
                (vec![("operation", vec![tool, verb])], a.into_iter().chain(b).collect())
            })
            .boxed(),
        Shape::OfRight => {
            let [tool, verb, access] = ["t", "v", "a"].map(Val::Var);
            let facts =
                vec![("right", vec![tool.clone(), verb.clone(), access]), ("operation", vec![tool, verb])];
            Just((facts, ["t", "v", "a"].map(|name| (name, Kind::Str)).to_vec())).boxed()
        }
        Shape::Right => {
            (select(&OPERATIONS[..]), select(&["read", "write", "privileged"][..]), any::<bool>())
                .prop_map(|((tool, verb, access), other, fits)| {
                    let access = if fits { access } else { other };
                    (vec![("right", [tool, verb, access].map(Val::text).to_vec())], Vec::new())
                })
                .boxed()
        }
        Shape::Id => select(vec![
            ("workflow", "release-notes"),
            ("intent", "triage"),
            ("task", "other"),
            ("user", "u1"),
        ])
        .prop_flat_map(|(kind, value)| (Just(kind), prop_oneof![4 => text(value), 1 => any_constant()]))
        .prop_map(|(kind, value)| (vec![("id", vec![Val::text(kind), value])], Vec::new()))
        .boxed(),
        Shape::Args => one("args", "n", Kind::Texts, constant(Kind::Texts)),
        Shape::Hash => one("args_sha256", "h", Kind::Bytes, constant(Kind::Bytes)),
        Shape::Audience => one("audience", "u", Kind::Str, text(&audience("github"))),
        Shape::Holder => one("holder", "j", Kind::Str, text(HOLDER)),
        Shape::Age => one("revocation_age", "s", Kind::Int, constant(Kind::Int)),
        Shape::Time => one("time", "now", Kind::Date, constant(Kind::Date)),
        Shape::Unused => one("unused", "k", Kind::Str, text(TOKEN)),
        Shape::Arg(at) => {
            let (name, kind) = ARGUMENTS[at];
            slot(name, kind, fitting(at))
                .prop_map(move |(value, bound)| {
                    (vec![("arg", vec![Val::text(name), value])], bound.into_iter().collect())
                })
                .boxed()
        }
    }
}

const ORDERS: [Binary; 5] =
    [Binary::LessThan, Binary::GreaterThan, Binary::LessOrEqual, Binary::GreaterOrEqual, Binary::Equal];

// An expression that has a value when the variable is of its kind.
fn typed((name, kind): (&'static str, Kind)) -> BoxedStrategy<Vec<Step>> {
    let it = Val::Var(name);
    let length = {
        let it = it.clone();
        (select(&ORDERS[..]), 0i64..8).prop_map(move |(op, n)| {
            vec![Step::Val(it.clone()), Step::Un(Unary::Length), Step::Val(Val::Int(n)), Step::Bin(op)]
        })
    };
    let listed = {
        let it = it.clone();
        vec(constant(kind), 1..6).prop_map(move |set| apply(Val::Set(set), Binary::Contains, it.clone()))
    };
    let with = |ops: &'static [Binary]| {
        let it = it.clone();
        (select(ops), constant(kind)).prop_map(move |(op, other)| apply(it.clone(), op, other))
    };
    match kind {
        Kind::Int | Kind::Date => prop_oneof![3 => with(&ORDERS), 1 => listed].boxed(),
        Kind::Str => {
            const OPS: [Binary; 4] = [Binary::Prefix, Binary::Suffix, Binary::Contains, Binary::Equal];
            prop_oneof![3 => with(&OPS), 2 => listed, 1 => length].boxed()
        }
        Kind::Bytes => prop_oneof![with(&[Binary::Equal]), listed, length].boxed(),
        Kind::Bool => {
            let alone = Just(vec![Step::Val(it.clone())]);
            prop_oneof![with(&[Binary::Equal]), listed, alone].boxed()
        }
        Kind::Texts | Kind::Ints => {
            let whole = {
                let it = it.clone();
                constant(kind).prop_map(move |set| apply(set, Binary::Contains, it.clone()))
            };
            let member = if kind == Kind::Ints { Kind::Int } else { Kind::Str };
            let has = {
                let it = it.clone();
                constant(member).prop_map(move |value| apply(it.clone(), Binary::Contains, value))
            };
            prop_oneof![2 => with(&[Binary::Contains, Binary::Equal]), 2 => whole, 1 => has, 1 => length]
                .boxed()
        }
    }
}

// Any operation on anything: most often a type error, at times no expression at all.
fn odd(bound: &[(&'static str, Kind)]) -> BoxedStrategy<Vec<Step>> {
    let mut names: Vec<&'static str> = bound.iter().map(|(name, _)| *name).collect();
    names.push("unbound");
    let leaf = prop_oneof![select(names).prop_map(Val::Var), any_constant()].prop_map(Step::Val);
    let binary = select(
        &[
            Binary::LessThan,
            Binary::GreaterThan,
            Binary::LessOrEqual,
            Binary::GreaterOrEqual,
            Binary::Equal,
            Binary::Contains,
            Binary::Prefix,
            Binary::Suffix,
        ][..],
    );
    let unary = select(&[Unary::Negate, Unary::Parens, Unary::Length][..]);
    let two = (leaf.clone(), leaf.clone(), binary.clone()).prop_map(|(a, b, op)| vec![a, b, Step::Bin(op)]);
    let loose =
        vec(prop_oneof![3 => leaf, 1 => unary.prop_map(Step::Un), 1 => binary.prop_map(Step::Bin)], 0..5);
    prop_oneof![4 => two, 1 => loose].boxed()
}

fn expression(bound: Vec<(&'static str, Kind)>) -> BoxedStrategy<Vec<Step>> {
    let strange = odd(&bound);
    let fitting = if bound.is_empty() {
        Just(vec![Step::Val(Val::Bool(true))]).boxed()
    } else {
        select(bound).prop_flat_map(typed).boxed()
    };
    let base = prop_oneof![14 => fitting, 1 => strange];
    let inner = base.clone();
    prop_oneof![
        6 => base,
        1 => inner.clone().prop_map(|mut steps| { steps.push(Step::Un(Unary::Negate)); steps }),
        1 => inner.clone().prop_map(|mut steps| { steps.push(Step::Un(Unary::Parens)); steps }),
        1 => (inner.clone(), inner).prop_map(|(mut a, b)| { a.extend(b); a.push(Step::Bin(Binary::Equal)); a }),
    ]
    .boxed()
}

fn alternative() -> impl Strategy<Value = Alt> {
    subsequence(SHAPES.to_vec(), 0..4)
        .prop_flat_map(|mut shapes| {
            if shapes.contains(&Shape::OfRight) {
                shapes.retain(|shape| *shape != Shape::Operation);
            }
            shapes.into_iter().map(asked).collect::<Vec<_>>()
        })
        .prop_flat_map(|parts| {
            let (facts, bound): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
            (Just(facts.concat()), vec(expression(bound.concat()), 0..3))
        })
        .prop_map(|(facts, steps)| Alt { facts, steps })
}

pub(super) fn later_block() -> impl Strategy<Value = Block> {
    // Enough alternatives that a check is often passed by one of them.
    let note = proptest::option::of(select(&TEXTS[..]).prop_map(|text| ("note", vec![Val::text(text)])));
    (note, vec(vec(alternative(), 1..6), 0..3))
        .prop_map(|(note, checks)| Block { facts: note.into_iter().collect(), checks })
}
