//! The same tokens and calls through biscuit-auth 6.0.0: its builder, its parser, its authorizer.

use std::sync::OnceLock;
use std::time::Duration;

use biscuit_auth::builder::{
    self, Algorithm, AuthorizerBuilder, BlockBuilder, Check, CheckKind, Expression, Predicate, Rule, Term,
};
use biscuit_auth::error::Token as Failure;
use biscuit_auth::{AuthorizerLimits, Biscuit, KeyPair, PrivateKey, PublicKey};
use shortbread_protocol::access::Access;
use shortbread_protocol::biscuit::{Binary, Unary};
use shortbread_protocol::call::{ArgValue, Args};
use shortbread_protocol::constraint::Scalar;
use shortbread_protocol::normalise::Facet;
use shortbread_protocol::revocations::SelectorKind;

use super::model::{Alt, Block, Call, Fact, Spec, Step, Val, root};

/// The authorizer that `schema/token.md` publishes for stock libraries.
const POLICIES: &str = r#"
deny if id($kind, $value), revoked($kind, $value, $before), issued($at), $at < $before;
deny if operation($tool, $verb), right($tool, $verb, $access), revoked("access", $access, $before), issued($at), $at < $before;
deny if operation($tool, $verb), right($tool, $verb, $access), revoked("access", $scope, $before), $scope === $tool + "/" + $access, issued($at), $at < $before;
deny if issued($at), latest($l), $at > $l;
allow if operation($tool, $verb), right($tool, $verb, $access);
"#;

fn policies() -> &'static AuthorizerBuilder {
    static POLICIES: OnceLock<AuthorizerBuilder> = OnceLock::new();
    POLICIES.get_or_init(parsed)
}

fn parsed() -> AuthorizerBuilder {
    let limits = AuthorizerLimits { max_time: Duration::from_secs(10), ..AuthorizerLimits::default() };
    AuthorizerBuilder::new().code(POLICIES).unwrap().set_limits(limits)
}

pub(super) fn root_pair() -> KeyPair {
    KeyPair::from(&PrivateKey::from_bytes(&root().seed()[..], Algorithm::Ed25519).unwrap())
}

pub(super) fn root_public() -> PublicKey {
    root_pair().public()
}

/// The token as the stock library writes it.
pub(super) fn written(spec: &Spec) -> Biscuit {
    let (authority, later) = spec.blocks.split_first().unwrap();
    let first = Biscuit::builder().merge(block(authority)).root_key_id(7).build(&root_pair()).unwrap();
    let token = later.iter().fold(first, |token, added| token.append(block(added)).unwrap());
    if spec.sealed { token.seal().unwrap() } else { token }
}

/// The token as the stock library reads it.
pub(super) fn read(bytes: &[u8]) -> Result<Biscuit, Failure> {
    Biscuit::from(bytes, root_public())
}

/// Everything that the stock library finds in a token, in an order of its own.
pub(super) fn contents(token: &Biscuit) -> (Vec<builder::Fact>, Vec<Check>) {
    let (mut facts, rules, checks, _) = AuthorizerBuilder::new().build(token).unwrap().dump();
    assert!(rules.is_empty());
    facts.sort_by_key(ToString::to_string);
    (facts, checks)
}

/// Whether the published authorizer allows the call. Any error but a decision or a type error fails the test.
pub(super) fn allows(token: &Biscuit, call: &Call) -> bool {
    let filled = facts(call).into_iter().fold(policies().clone(), |builder, (name, terms)| {
        builder.fact(builder::Fact::new(name.to_owned(), terms)).unwrap()
    });
    match filled.build(token).unwrap().authorize() {
        Ok(_) => true,
        Err(Failure::FailedLogic(_) | Failure::Execution(_)) => false,
        Err(other) => panic!("the stock authorizer gave no decision: {other}"),
    }
}

fn facts(call: &Call) -> Vec<(&'static str, Vec<Term>)> {
    let text = |text: &str| Term::Str(text.to_owned());
    let mut facts = vec![
        ("time", vec![Term::Date(call.now)]),
        ("latest", vec![Term::Date(call.now + 30)]),
        ("audience", vec![text(&call.audience)]),
        ("operation", vec![text(call.tool), text(call.verb)]),
        ("id", vec![text("tool"), text(call.tool)]),
        ("id", vec![text("verb"), text(&format!("{}/{}", call.tool, call.verb))]),
    ];
    if let Some(args) = call.read_args() {
        facts.extend(arguments(&args));
    }
    facts.extend(call.holder.as_deref().map(|holder| ("holder", vec![text(holder)])));
    facts.extend(call.unused.as_deref().map(|token| ("unused", vec![text(token)])));
    let age = call.revocation_age.map(|age| Term::Integer(i64::try_from(age).unwrap()));
    facts.extend(age.map(|age| ("revocation_age", vec![age])));
    facts.extend(call.args_sha256.map(|hash| ("args_sha256", vec![Term::Bytes(hash.to_vec())])));
    for (kind, value, before) in &call.revoked {
        let mut revoked = |value: &str| {
            facts.push(("revoked", vec![text(kind.as_str()), text(value), Term::Date(*before)]));
        };
        revoked(value);
        let privileged = Access::Privileged.as_str();
        match value.strip_suffix(Access::Write.as_str()) {
            Some(tool) if *kind == SelectorKind::Access => revoked(&format!("{tool}{privileged}")),
            _ => {}
        }
    }
    facts
}

fn arguments(args: &Args) -> Vec<(&'static str, Vec<Term>)> {
    let scalar = |scalar: &Scalar| match scalar {
        Scalar::Int(number) => Term::Integer(*number),
        Scalar::Text(text) => Term::Str(text.clone()),
        Scalar::Bool(flag) => Term::Bool(*flag),
    };
    let names = Term::Set(args.names().map(|name| Term::Str(name.to_owned())).collect());
    let valued = args.names().filter_map(|name| {
        let value = match args.value(name)? {
            ArgValue::One(one) => scalar(one),
            ArgValue::List(list) => Term::Set(list.iter().map(scalar).collect()),
        };
        Some(("arg", vec![Term::Str(name.to_owned()), value]))
    });
    // What the tool service computes for a stock authorizer: every facet of every argument that has it.
    let facets = args.names().flat_map(|name| {
        let read =
            Facet::ALL.into_iter().filter_map(move |facet| Some((facet, args.facet(name, facet)?.ok()?)));
        read.map(move |(facet, value)| ("arg", vec![Term::Str(facet.of(name)), scalar(&value)]))
    });
    valued.chain(facets).chain([("args", vec![names])]).collect()
}

pub(super) fn block(block: &Block) -> BlockBuilder {
    let facts = block.facts.iter().fold(BlockBuilder::new(), |builder, (name, terms)| {
        builder
            .fact(builder::Fact::new((*name).to_owned(), terms.iter().map(term).collect::<Vec<_>>()))
            .unwrap()
    });
    block.checks.iter().fold(facts, |builder, check| {
        let queries = check.iter().map(rule).collect();
        builder.check(Check { queries, kind: CheckKind::One }).unwrap()
    })
}

fn rule(alternative: &Alt) -> Rule {
    let head = Predicate::new("query".to_owned(), Vec::new());
    let expressions =
        alternative.steps.iter().map(|steps| Expression { ops: steps.iter().map(op).collect() });
    Rule::new(head, alternative.facts.iter().map(predicate).collect(), expressions.collect(), Vec::new())
}

fn predicate((name, terms): &Fact) -> Predicate {
    Predicate::new((*name).to_owned(), terms.iter().map(term).collect::<Vec<_>>())
}

fn op(step: &Step) -> builder::Op {
    match step {
        Step::Val(value) => builder::Op::Value(term(value)),
        Step::Un(op) => builder::Op::Unary(match op {
            Unary::Negate => builder::Unary::Negate,
            Unary::Parens => builder::Unary::Parens,
            Unary::Length => builder::Unary::Length,
        }),
        Step::Bin(op) => builder::Op::Binary(match op {
            Binary::LessThan => builder::Binary::LessThan,
            Binary::GreaterThan => builder::Binary::GreaterThan,
            Binary::LessOrEqual => builder::Binary::LessOrEqual,
            Binary::GreaterOrEqual => builder::Binary::GreaterOrEqual,
            Binary::Equal => builder::Binary::Equal,
            Binary::Contains => builder::Binary::Contains,
            Binary::Prefix => builder::Binary::Prefix,
            Binary::Suffix => builder::Binary::Suffix,
        }),
    }
}

fn term(value: &Val) -> Term {
    match value {
        Val::Var(name) => Term::Variable((*name).to_owned()),
        Val::Int(number) => Term::Integer(*number),
        Val::Str(text) => Term::Str(text.clone()),
        Val::Date(seconds) => Term::Date(*seconds),
        Val::Bytes(bytes) => Term::Bytes(bytes.clone()),
        Val::Bool(flag) => Term::Bool(*flag),
        Val::Set(members) => Term::Set(members.iter().map(term).collect()),
    }
}
