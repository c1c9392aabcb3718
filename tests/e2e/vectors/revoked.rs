//! Revocations: each kind of selector that a list can have, hitting and missing.

use serde_json::json;
use shortbread_broker::mint::sign;
use shortbread_broker::policy::Right;
use shortbread_broker::policy::model::Principal;
use shortbread_protocol::biscuit::{Alternative, Binary, BlockWriter, Symbols, Value};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::facts;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::SeededRandom;
use shortbread_protocol::revocations::SelectorKind::{self, *};

use super::{AUDIENCE, Cases, ISSUED, ISSUER, minted_for, rights, signer};

const HOLDER: &str = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";

pub(super) fn cases(all: &mut Cases, random: &SeededRandom) {
    let few: Vec<Right> = rights()
        .into_iter()
        .filter(|right| ["issues.read", "levels.set", "repo.delete"].contains(&right.operation.verb.as_str()))
        .collect();
    let workflow = Principal::Workflow("release-notes".parse().expect("a name"));
    all.token = minted_for(&workflow, Some(HOLDER), &few, false, random);
    let read = ("issues.read", json!({}));
    let write = ("levels.set", json!({ "level": 1 }));
    let privileged = ("repo.delete", json!({ "repo": "acme/old" }));
    for (kind, value, other) in [
        (Issuer, ISSUER, "https://broker.other.example"),
        (Key, "k1", "k2"),
        (Workflow, "release-notes", "release"),
        (Intent, "undeclared", "triage"),
        (Task, "tsk_1", "tsk_2"),
        (Token, "tok_1", "tok_11"),
        (Holder, HOLDER, "zzz"),
        (Tool, "github", "payments"),
    ] {
        each(all, &read, kind, value, other);
    }
    each(all, &write, Verb, "github/levels.set", "github/issues.read");
    each(all, &read, Access, "read", "write");
    each(all, &read, Access, "github/read", "payments/read");
    each(all, &write, Access, "write", "privileged");
    each(all, &write, Access, "github/write", "payments/write");
    each(all, &privileged, Access, "privileged", "read");
    each(all, &privileged, Access, "github/privileged", "github/read");
    hit(all, "revoked access write, of a privileged verb", &privileged, Access, "write", 1, "deny");
    hit(
        all,
        "revoked access github/write, of a privileged verb",
        &privileged,
        Access,
        "github/write",
        1,
        "deny",
    );
    hit(all, "the name of a kind in another kind", &read, Operator, "release-notes", 1, "allow");

    all.token = minted_for(&Principal::Operator("alice".parse().expect("a name")), None, &few, true, random);
    each(all, &read, Operator, "alice", "bob");
    hit(all, "the operator's name as a workflow", &read, Workflow, "alice", 1, "allow");

    all.token = acting_for(random);
    each(all, &read, User, "u-1842", "u-184");
    each(all, &read, Approval, "apr_1", "apr_2");
}

/// The selector, the same for what was issued before this token, and the kind with another value.
fn each(all: &mut Cases, call: &(&str, serde_json::Value), kind: SelectorKind, value: &str, other: &str) {
    hit(all, &format!("revoked {kind} {value}"), call, kind, value, 1, "deny");
    hit(all, &format!("revoked {kind} {value}, issued since"), call, kind, value, 0, "allow");
    hit(all, &format!("revoked {kind} {other} and not {value}"), call, kind, other, 1, "allow");
}

fn hit(
    all: &mut Cases,
    name: &str,
    (verb, args): &(&str, serde_json::Value),
    kind: SelectorKind,
    value: &str,
    after: u64,
    expect: &str,
) {
    let before = Timestamp::from_seconds(ISSUED + after).to_string();
    let revoked = json!([{ "kind": kind, "value": value, "before": before }]);
    all.call(name, verb, args.clone(), expect);
    let call = &mut all.cases.last_mut().expect("a case")["call"];
    (call["revoked"], call["holder"]) = (revoked, json!(HOLDER));
}

/// A token that acts for a user and came from an approval.
fn acting_for(random: &SeededRandom) -> String {
    let mut block = BlockWriter::after(Symbols::default());
    for (kind, value) in [
        (Issuer, ISSUER),
        (Key, "k1"),
        (Workflow, "release-notes"),
        (Intent, "undeclared"),
        (Task, "tsk_1"),
        (Token, "tok_1"),
        (User, "u-1842"),
        (Approval, "apr_1"),
    ] {
        block.fact(facts::ID, &[Value::Str(kind.as_str()), Value::Str(value)]);
    }
    block.fact(facts::ISSUED, &[Value::Date(ISSUED)]);
    block.fact(facts::RIGHT, &["github", "issues.read", "read"].map(Value::Str));
    let operation = ["github", "issues.read"].map(Value::Str);
    block.check(&[Alternative::new().fact(facts::OPERATION, operation)]);
    block.check(&[Alternative::new().fact(facts::AUDIENCE, [Value::Str(AUDIENCE)])]);
    let now = Value::Var("now");
    let window = Alternative::new().fact(facts::TIME, [now.clone()]);
    let window = window.holds(now.clone(), Binary::GreaterOrEqual, Value::Date(ISSUED - 30));
    block.check(&[window.holds(now, Binary::LessThan, Value::Date(ISSUED + 600))]);
    let next = PrivateKey::generate(random).expect("randomness");
    sign(&block.finish(), true, &signer(), &next).expect("a token")
}
