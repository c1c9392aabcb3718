//! What an alternative may ask: nothing that could match in two ways, and little arithmetic.

use shortbread_protocol::biscuit::{Alternative, Binary, Expr, Unary, Value};

use super::write::{Alt, Block, NOW, TOOL, VERB, by_broker, by_holder, field, number, operation, query_with};
use super::{Row, hold};

fn asks(facts: &[(&'static str, &[Value<'static>])]) -> Vec<u8> {
    by_holder(&Block::asking(asking(facts)))
}

fn asking(facts: &[(&'static str, &[Value<'static>])]) -> Alt {
    facts.iter().fold(Alternative::new(), |made, (name, terms)| made.fact(name, terms.iter().cloned()))
}

fn truth() -> Vec<Expr<'static>> {
    vec![Expr::Value(Value::Int(1)), Expr::Value(Value::Int(1)), Expr::Binary(Binary::Equal)]
}

fn truths(count: usize) -> Alt {
    (0..count).fold(Alternative::new(), |made, _| made.expression(truth()))
}

fn long(operations: usize) -> Alt {
    let mut ops = truth();
    ops.extend(vec![Expr::Unary(Unary::Parens); operations - 3]);
    Alternative::new().expression(ops)
}

#[test]
fn expressions() {
    let by_us = |alternative: Alt| by_broker(|block| block.checks.push(vec![alternative]));
    let by_them = |alternative| by_holder(&Block::asking(alternative));
    let many = "an alternative has more than 8 expressions";
    let big = "an expression has more than 32 operations";
    hold(vec![
        Row::broken("8 expressions", many, by_them(truths(9))).fits(by_them(truths(8))),
        Row::broken("8 expressions of the broker's", many, by_us(truths(9))).fits(by_us(truths(8))),
        Row::broken("32 operations", big, by_them(long(33))).fits(by_them(long(32))),
        Row::broken("32 operations of the broker's", big, by_us(long(33))).fits(by_us(long(32))),
    ]);
}

#[test]
fn each_predicate_is_asked_once() {
    let twice = "an alternative uses a predicate twice";
    let (a, b) = (Value::Var("a"), Value::Var("b"));
    let operation = [Value::Str(TOOL), Value::Str(VERB)];
    let of_call: [Value<'_>; 3] = ["t", "v", "a"].map(Value::Var);
    let mut rows = vec![
        Row::broken("operation", twice, asks(&[("operation", &operation), ("operation", &operation)]))
            .fits(asks(&[("operation", &operation)])),
        Row::broken(
            "arg",
            twice,
            asks(&[("arg", &[Value::Str("x"), a.clone()]), ("arg", &[Value::Str("x"), b.clone()])]),
        ),
        Row::broken(
            "right of the operation",
            twice,
            asks(&[("operation", &of_call[..2]), ("right", &of_call), ("right", &of_call)]),
        )
        .fits(asks(&[("operation", &of_call[..2]), ("right", &of_call)])),
    ];
    for name in ["args", "args_sha256", "audience", "holder", "revocation_age", "time", "unused"] {
        let once = std::slice::from_ref(&a);
        rows.push(Row::broken(name, twice, asks(&[(name, once), (name, std::slice::from_ref(&b))])));
    }
    // The same, in the authority block and with the same constant.
    let time = [Value::Date(NOW)];
    let both = asking(&[("holder", &time), ("holder", &time)]);
    rows.push(Row::broken("of the broker's", twice, by_broker(|block| block.checks.push(vec![both]))));
    hold(rows);
}

#[test]
fn arguments_of_different_names_and_constants_may_be_many() {
    let verifier = super::verifier();
    let args = super::Args::from_json(br#"{"x":1,"y":1}"#).unwrap();
    let (x, y) = ([Value::Str("x"), Value::Var("a")], [Value::Str("y"), Value::Var("a")]);
    let constant = [TOOL, VERB, "read"].map(Value::Str);
    let token = asks(&[("arg", &x), ("arg", &y), ("right", &constant), ("right", &constant)]);
    assert!(super::decide(&verifier, &token, Some(&args)).is_allowed());
}

#[test]
fn predicates_have_one_form() {
    let form = "a check asks for a fact that the profile does not have, or in another form";
    let var = Value::Var;
    let text = Value::Str;
    let half = [text(TOOL), text(VERB), var("a")];
    let ours = [text("user"), text("u")];
    let forms: [(&'static str, Vec<Value<'static>>); 17] = [
        ("right", half.to_vec()),
        ("right", ["a", "b", "c"].map(var).to_vec()),
        ("right", vec![text(TOOL), text(VERB)]),
        ("id", vec![text("user"), var("x")]),
        ("id", vec![var("k"), text("x")]),
        ("id", ["k", "x"].map(var).to_vec()),
        ("id", ["tool", "github"].map(text).to_vec()),
        ("id", ["verb", "github/issues.read"].map(text).to_vec()),
        ("arg", ["n", "v"].map(var).to_vec()),
        ("arg", vec![Value::Int(1), var("v")]),
        ("arg", vec![text("x")]),
        ("operation", vec![var("t")]),
        ("time", ["t", "u"].map(var).to_vec()),
        ("issued", vec![var("i")]),
        ("note", vec![text("x")]),
        ("revoked", vec![text("token"), text("x"), var("b")]),
        ("anything", Vec::new()),
    ];
    let mut rows: Vec<Row> =
        forms.iter().map(|(name, terms)| Row::broken(name, form, asks(&[(name, terms)]))).collect();
    // Bound to something else than the operation's own tool and verb, there would be a join.
    let operation = ["t", "v"].map(var);
    for terms in [["v", "t", "a"], ["t", "x", "a"], ["t", "v", "t"], ["t", "t", "a"]] {
        rows.push(Row::broken(
            "a join",
            form,
            asks(&[("operation", &operation), ("right", &terms.map(var))]),
        ));
    }
    let other = [text("github"), var("v")];
    rows.push(Row::broken(
        "a join",
        form,
        asks(&[("operation", &other), ("right", &["t", "v", "a"].map(var))]),
    ));
    rows.push(Row::broken("a head", "a check has a head with terms", headed()));
    let fits = by_broker(|block| {
        block.facts.push(("id", ours.to_vec()));
        block.checks.push(vec![asking(&[("id", &ours), ("id", &ours)])]);
    });
    rows.push(Row::broken("id of another kind", form, asks(&[("id", &[text("x"), text("u")])])).fits(fits));
    hold(rows);
}

fn headed() -> Vec<u8> {
    let head = [&number(1, 27)[..], &field(2, &number(2, 1))].concat();
    super::write::block_with(&field(6, &field(1, &field(1, &head))))
}

#[test]
fn operations_are_the_listed_ones() {
    let listed = "an expression uses an operation other than comparison, equality (===), contains, prefix, suffix, length and not";
    let mut rows: Vec<Row> = (9..=28)
        .map(|kind| Row::broken("binary", listed, operation(&field(3, &number(1, kind)))))
        .chain((3..=6).map(|kind| Row::broken("unary", listed, operation(&field(2, &number(1, kind))))))
        .collect();
    let call = |op: u8, kind: u8| operation(&field(op, &[number(1, kind), number(2, 27)].concat()));
    rows.extend([
        Row::broken("regex", "an expression uses a regular expression", operation(&field(3, &number(1, 8)))),
        Row::broken("external", "an expression calls an external function", call(2, 4)),
        Row::broken("external", "an expression calls an external function", call(3, 28)),
        Row::broken("closure", "an expression has a closure", operation(&field(4, &[]))),
    ]);
    for kind in 8..=10 {
        let term = field(3, &field(1, &field(1, &field(kind, &[]))));
        rows.push(Row::broken("null, array, map", "a term is null, an array or a map", query_with(&term)));
    }
    let set = |members: &[u8]| query_with(&field(3, &field(1, &field(1, &field(7, members)))));
    let member = |term: &[u8]| field(1, term);
    let mixed = [member(&number(2, 1)), member(&number(4, 1))].concat();
    rows.extend([
        Row::broken("a set of one type", "a set mixes types or holds a variable", set(&mixed)),
        Row::broken("no variable", "a set mixes types or holds a variable", set(&member(&number(1, 0)))),
        Row::broken("no set in a set", "a set holds a set", set(&member(&field(7, &[])))),
    ]);
    hold(rows);
}
