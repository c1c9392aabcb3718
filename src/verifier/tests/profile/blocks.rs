//! What a block may hold: facts, how many of each, checks, and the two that every authority has.

use shortbread_protocol::biscuit::{Alternative, Binary, Value};

use super::write::{
    AUDIENCE, Alt, Block, NOW, TOOL, audience, authority, block_with, by_broker, by_holder, field, id,
    number, query_with, raw, right, window,
};
use super::{Row, hold};

fn rights(count: usize) -> Vec<u8> {
    by_broker(|block| {
        let verbs = (1..count).map(|n| right(format!("v{n}").leak()));
        block.facts.extend(verbs);
    })
}

fn yes(count: usize) -> Vec<Vec<Alt>> {
    vec![vec![Alternative::new()]; count]
}

fn checks(count: usize) -> Vec<u8> {
    by_broker(|block| block.checks.extend(yes(count - 2)))
}

fn alternatives(count: usize) -> Vec<u8> {
    by_holder(&Block::of(vec![vec![Alternative::new(); count]]))
}

#[test]
fn counts() {
    hold(vec![
        Row::broken("64 rights", "the token has more than 64 rights", rights(65)).fits(rights(64)),
        Row::broken("16 checks", "the authority block has more than 16 checks", checks(17)).fits(checks(16)),
        Row::broken("8 later checks", "a later block has more than 8 checks", by_holder(&Block::of(yes(9))))
            .fits(by_holder(&Block::of(yes(8)))),
        Row::broken(
            "64 later alternatives",
            "a check of a later block has more than 64 alternatives",
            alternatives(65),
        )
        .fits(alternatives(64)),
    ]);
}

#[test]
fn every_id_stands_once() {
    let without =
        |kind: &'static str| by_broker(|block| block.facts.retain(|fact| fact.1[0] != Value::Str(kind)));
    let with = |kinds: &[&'static str]| {
        by_broker(|block| block.facts.extend(kinds.iter().map(|kind| id(kind, "other"))))
    };
    let mut rows = Vec::new();
    for kind in ["issuer", "key", "intent", "task", "token"] {
        rows.push(Row::broken(kind, "an id of issuer, key, intent, task or token is missing", without(kind)));
        rows.push(Row::broken(kind, "there are two ids of one kind", with(&[kind])));
    }
    for kind in ["user", "approval"] {
        rows.push(
            Row::broken(kind, "there are two ids of one kind", with(&[kind, kind])).fits(with(&[kind])),
        );
    }
    // One holder fits too, and wants a proof.
    rows.push(Row::broken("holder", "there are two ids of one kind", with(&["holder", "holder"])));
    let operator = by_broker(|block| {
        block.facts.retain(|fact| fact.1[0] != Value::Str("workflow"));
        block.facts.push(id("operator", "alice"));
    });
    let either = "there is not exactly one id of workflow or operator";
    rows.push(Row::broken("workflow or operator", either, with(&["operator"])).fits(operator));
    rows.push(Row::broken("workflow or operator", either, without("workflow")));
    for kind in ["tool", "verb", "intents", ""] {
        rows.push(Row::broken(
            "other kinds",
            "an id is of a kind that the profile does not have",
            with(&[kind]),
        ));
    }
    hold(rows);
}

#[test]
fn facts_of_the_authority() {
    let with =
        |name: &'static str, terms: Vec<Value<'static>>| by_broker(|block| block.facts.push((name, terms)));
    let other = "the authority block has a fact other than id, issued and right";
    let text = Value::Str;
    hold(vec![
        Row::broken("one issue date", "there are two issue dates", with("issued", vec![Value::Date(NOW)])),
        Row::broken(
            "an issue date",
            "there is no issue date",
            by_broker(|block| block.facts.retain(|fact| fact.0 != "issued")),
        ),
        Row::broken("issued is a date", other, with("issued", vec![Value::Int(1)])),
        Row::broken("no note", other, with("note", vec![text("x")])),
        Row::broken("no demand fact", other, with("operation", vec![text(TOOL), text("x")])),
        Row::broken("ids are texts", other, with("id", vec![text("user"), Value::Int(1)])),
        Row::broken("rights have three terms", other, with("right", vec![text("a"), text("b")])),
        Row::broken(
            "rights once",
            "a right is given twice",
            with("right", ["github", "issues.read", "write"].map(text).to_vec()),
        ),
        Row::broken(
            "known access",
            "a right has an unknown access",
            with("right", ["a", "b", "admin"].map(text).to_vec()),
        ),
        Row::broken(
            "no variable",
            "a fact holds a variable",
            with("right", vec![text("a"), text("b"), Value::Var("c")]),
        ),
    ]);
}

#[test]
fn facts_of_later_blocks() {
    let with = |name: &'static str, terms: Vec<Value<'static>>| {
        by_holder(&Block { facts: vec![(name, terms)], checks: Vec::new() })
    };
    let other = "a later block has a fact other than note";
    let mut rows = vec![
        Row::broken("notes are texts", other, with("note", vec![Value::Int(1)]))
            .fits(with("note", vec![Value::Str("x")])),
        Row::broken("notes have one term", other, with("note", ["x", "y"].map(Value::Str).to_vec())),
        Row::broken("no issue date", other, with("issued", vec![Value::Date(NOW - 90)])),
        Row::broken("no id", other, with("id", ["user", "eve"].map(Value::Str).to_vec())),
        Row::broken(
            "no right",
            other,
            with("right", ["github", "repo.delete", "read"].map(Value::Str).to_vec()),
        ),
        Row::broken(
            "no operation",
            other,
            with("operation", ["github", "repo.delete"].map(Value::Str).to_vec()),
        ),
    ];
    for name in ["args", "args_sha256", "audience", "holder", "revocation_age", "time", "unused", "revoked"] {
        rows.push(Row::broken(name, other, with(name, vec![Value::Str("x")])));
    }
    hold(rows);
}

#[test]
fn rules_scopes_and_other_checks() {
    let of_authority = |more: &[u8]| {
        let bytes = Block { checks: Vec::new(), ..authority() }.bytes(Default::default());
        super::write::signed(&[[&bytes[..], more].concat()])
    };
    let kind = |kind: u8| {
        let query = field(1, &field(1, &number(1, 27)));
        block_with(&field(6, &[&query[..], &number(2, kind)].concat()))
    };
    hold(vec![
        Row::broken("no rule", "a block has a rule", block_with(&field(5, &[]))).fits(raw(number(3, 3))),
        Row::broken("no rule of the broker's", "a block has a rule", of_authority(&field(5, &[]))),
        Row::broken("no scope", "a block has a scope", block_with(&field(7, &number(1, 0)))),
        Row::broken(
            "no scope of the broker's",
            "a block has a scope",
            of_authority(&field(7, &number(1, 0))),
        ),
        Row::broken("no scope of a check", "a check has a scope", query_with(&field(4, &number(1, 0)))),
        Row::broken("no `check all`", "a check is not a plain `check if`", kind(1)),
        Row::broken("no `reject if`", "a check is not a plain `check if`", kind(2)),
    ]);
}

fn life(issued: u64, from: u64, until: u64) -> Vec<u8> {
    by_broker(|block| {
        block.facts.retain(|fact| fact.0 != "issued");
        block.facts.push(("issued", vec![Value::Date(issued)]));
        block.checks[1] = vec![window(from, until)];
    })
}

#[test]
fn times() {
    let windows = |change: &dyn Fn(&mut Vec<Vec<Alt>>)| by_broker(|block| change(&mut block.checks));
    let one = "there is not exactly one time window";
    let now = || Value::Var("now");
    let time = || Alternative::new().fact("time", [now()]);
    hold(vec![
        Row::broken(
            "an hour",
            "the token lives longer than an hour (3600 s)",
            life(NOW, NOW - 30, NOW + 3601),
        )
        .fits(life(NOW, NOW - 30, NOW + 3600)),
        Row::broken(
            "an hour after its issue",
            "longer than an hour (3600 s)",
            life(NOW - 600, NOW - 30, NOW + 3001),
        )
        .fits(life(NOW - 600, NOW - 30, NOW + 3000)),
        Row::broken("30 s ahead", "issued more than 30 s ahead", life(NOW + 31, NOW - 30, NOW + 300))
            .fits(life(NOW + 30, NOW - 30, NOW + 300)),
        Row::broken("a time window", one, windows(&|checks| drop(checks.remove(1)))),
        Row::broken("one time window", one, windows(&|checks| checks.push(vec![time()]))),
        Row::broken("no alternative", one, windows(&|checks| checks[1].push(Alternative::new()))),
        Row::broken(
            "nothing beside it",
            one,
            windows(&|checks| {
                checks[1] = vec![window(NOW - 30, NOW + 300).fact("audience", [Value::Str(AUDIENCE)])];
            }),
        ),
        Row::broken(
            "an end",
            one,
            windows(&|checks| {
                checks[1] = vec![time().holds(now(), Binary::GreaterOrEqual, Value::Date(NOW))];
            }),
        ),
        Row::broken(
            "a beginning",
            one,
            windows(&|checks| {
                checks[1] = vec![time().holds(now(), Binary::LessThan, Value::Date(NOW + 300))];
            }),
        ),
        Row::broken(
            "an end that is exclusive",
            one,
            windows(&|checks| {
                let from = time().holds(now(), Binary::GreaterOrEqual, Value::Date(NOW));
                checks[1] = vec![from.holds(now(), Binary::LessOrEqual, Value::Date(NOW + 300))];
            }),
        ),
        Row::broken(
            "no constant",
            one,
            windows(&|checks| {
                checks[1] = vec![Alternative::new().fact("time", [Value::Date(NOW)])];
            }),
        ),
    ]);
}

#[test]
fn audiences() {
    let one = "there is not exactly one audience check";
    let each = "an alternative of the audience check names no audience";
    let with = |change: &dyn Fn(&mut Vec<Vec<Alt>>)| by_broker(|block| change(&mut block.checks));
    let any = || Alternative::new().fact("audience", [Value::Var("any")]);
    hold(vec![
        Row::broken("an audience", one, with(&|checks| drop(checks.remove(0)))),
        Row::broken("one audience check", one, with(&|checks| checks.push(vec![audience()])))
            .fits(with(&|checks| checks[0].push(audience()))),
        Row::broken("a named audience", each, with(&|checks| checks[0] = vec![any()])),
        Row::broken("in each alternative", each, with(&|checks| checks[0].push(Alternative::new()))),
    ]);
}
