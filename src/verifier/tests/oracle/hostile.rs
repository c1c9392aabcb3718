//! Blocks that a holder may add and that stock libraries would run: each is refused by the profile, before any work.

use biscuit_auth::builder::{BlockBuilder, Scope};
use biscuit_auth::{Biscuit, BiscuitBuilder, KeyPair};
use shortbread_protocol::biscuit::Binary;
use shortbread_protocol::reason::Reason;

use super::model::{Alt, Block, Call, Fact, NOW, Spec, Val, native, open, plain_authority, root, signed};
use super::stock;

fn authority() -> Biscuit {
    stock::written(&Spec { blocks: vec![plain_authority()], sealed: false })
}

fn with(code: &str) -> Vec<u8> {
    let block = BlockBuilder::new().code(code).unwrap_or_else(|error| panic!("{code}: {error}"));
    authority().append(block).unwrap().to_vec().unwrap()
}

#[test]
fn later_blocks_outside_the_profile_are_refused() {
    for code in [
        // facts of a holder's own
        r#"right("mail", "send", "read")"#,
        r#"operation("github", "issues.read")"#,
        r#"audience("https://tools.acme.example/github")"#,
        r#"holder("me")"#,
        r#"id("workflow", "another")"#,
        r#"revoked("token", "x", 2020-01-01T00:00:00Z)"#,
        "issued(2020-01-01T00:00:00Z)",
        "time(2020-01-01T00:00:00Z)",
        "revocation_age(0)",
        "anything(1)",
        "note(1)",
        r#"note("a", "b")"#,
        // rules and scopes
        r#"right("mail", "send", "read") <- time($t)"#,
        r#"note("x") <- time($t)"#,
        "check if time($t) trusting authority",
        "check if time($t) trusting previous",
        // joins: more than one fact could match
        "check if right($a, $b, $c)",
        "check if right($a, $b, $c), right($d, $e, $f), right($g, $h, $i)",
        "check if operation($t, $v), right($t, $x, $a)",
        "check if operation($t, $v), right($v, $t, $a)",
        "check if operation($t, $v), right($t, $v, $t)",
        r#"check if operation($t, $v), right($t, $v, "read")"#,
        "check if operation($t, $v), right($t, $v, $a), right($t, $v, $b)",
        "check if operation($a, $b), operation($c, $d)",
        "check if id($kind, $value)",
        r#"check if id("workflow", $value)"#,
        r#"check if id($kind, "release-notes")"#,
        "check if arg($name, $value)",
        r#"check if arg("a", $x), arg("a", $y)"#,
        "check if time($a), time($b)",
        "check if args($a), args($a)",
        // facts that no verifier gives, or gives in another form
        "check if issued($at)",
        "check if latest($l)",
        r#"check if id("tool", "github")"#,
        r#"check if id("verb", "github/issues.read")"#,
        r#"check if id(1, "x")"#,
        r#"check if revoked("token", $x, $y)"#,
        r#"check if note("x")"#,
        "check if operation($t)",
        "check if time($t, $t)",
        r#"check if right("github", "issues.read")"#,
        "check if unknown($x)",
        // other kinds of check
        "check all time($t), $t > 2020-01-01T00:00:00Z",
        "reject if time($t), $t > 2020-01-01T00:00:00Z",
        // other operations
        r#"check if arg("repo", $r), $r.matches("^a")"#,
        r#"check if arg("repo", $r), $r == "a""#,
        r#"check if arg("repo", $r), $r != "a""#,
        r#"check if arg("repo", $r), $r !== "a""#,
        "check if true && true",
        "check if true || true",
        "check if 1 + 1 === 2",
        "check if 1 - 1 < 2",
        "check if 1 * 1 < 2",
        "check if 1 / 1 < 2",
        "check if 1 | 1 < 2",
        r#"check if "a" + "b" === "ab""#,
        "check if {1}.union({2}).contains(1)",
        "check if {1}.intersection({1}).contains(1)",
        "check if {1}.all($x -> $x > 0)",
        "check if {1}.any($x -> $x > 0)",
        "check if (true).try_or(false)",
        "check if 1.type() === \"integer\"",
        "check if true.extern::test()",
        "check if true.extern::test(1)",
        // other values
        "check if null == null",
        "check if [1].contains(1)",
        "check if {\"a\": 1}.get(\"a\") === 1",
    ] {
        assert_eq!(open(&with(code)).map(drop), Err(Reason::ProfileViolation), "{code}");
    }
}

#[test]
fn a_block_with_a_scope_of_its_own_is_refused() {
    for scope in [Scope::Authority, Scope::Previous] {
        let block = BlockBuilder::new().scope(scope).code("check if time($t)").unwrap();
        let token = authority().append(block).unwrap();
        assert_eq!(open(&token.to_vec().unwrap()).map(drop), Err(Reason::ProfileViolation));
    }
}

#[test]
fn blocks_of_other_versions_are_refused() {
    // Each of these makes a stock builder choose another version; what it says is not looked at then.
    for code in
        ["check all time($t)", "check if null == null", "reject if time($t)", "check if true === true"]
    {
        let token = authority().append(BlockBuilder::new().code(code).unwrap()).unwrap();
        let accepted = open(&token.to_vec().unwrap()).is_ok();
        assert_eq!(accepted, token.block_version(1).unwrap() == 3, "{code}");
    }
}

#[test]
fn a_third_partys_block_is_refused() {
    let token = authority();
    let request = token.third_party_request().unwrap();
    let other = KeyPair::new();
    let block = BlockBuilder::new().code("check if true").unwrap();
    let signed = request.create_block(&other.private(), block).unwrap();
    let token = token.append_third_party(other.public(), signed).unwrap();
    assert_eq!(open(&token.to_vec().unwrap()).map(drop), Err(Reason::ProfileViolation));
}

fn later(facts: Vec<Fact>, checks: Vec<Vec<Alt>>) -> Result<(), Reason> {
    let spec = Spec { blocks: vec![plain_authority(), Block { facts, checks }], sealed: false };
    open(&spec.ours()).map(drop)
}

#[test]
fn sizes_are_limited_and_the_last_that_fits_is_taken() {
    let yes = |count| vec![Alt::default(); count];
    let note: Fact = ("note", vec![Val::text("x")]);
    assert_eq!(later(vec![note.clone(); 20_000], Vec::new()), Err(Reason::ProfileViolation));
    assert_eq!(later(vec![note; 200], Vec::new()), Ok(()));
    assert_eq!(later(Vec::new(), vec![yes(1); 8]), Ok(()));
    assert_eq!(later(Vec::new(), vec![yes(1); 9]), Err(Reason::ProfileViolation));
    assert_eq!(later(Vec::new(), vec![yes(64)]), Ok(()));
    assert_eq!(later(Vec::new(), vec![yes(65)]), Err(Reason::ProfileViolation));
    let truths = |count| {
        let one = Alt::default().holds(Val::Int(1), Binary::Equal, Val::Int(1));
        vec![vec![Alt { steps: vec![one.steps[0].clone(); count], ..Alt::default() }]]
    };
    assert_eq!(later(Vec::new(), truths(8)), Ok(()));
    assert_eq!(later(Vec::new(), truths(9)), Err(Reason::ProfileViolation));
    let long = |count: usize| {
        let mut alt = Alt::default().holds(Val::Int(1), Binary::Equal, Val::Int(1));
        let step = super::model::Step::Un(shortbread_protocol::biscuit::Unary::Parens);
        alt.steps[0].extend(vec![step; count - 3]);
        vec![vec![alt]]
    };
    assert_eq!(later(Vec::new(), long(32)), Ok(()));
    assert_eq!(later(Vec::new(), long(33)), Err(Reason::ProfileViolation));
    let blocks = |count| Spec {
        blocks: std::iter::once(plain_authority()).chain(vec![Block::default(); count]).collect(),
        sealed: false,
    };
    assert!(open(&blocks(7).ours()).is_ok());
    assert_eq!(open(&blocks(8).ours()).map(drop), Err(Reason::ProfileViolation));
}

// What even the broker may not sign.
fn by_the_broker(change: impl FnOnce(&mut Block)) -> Result<(), Reason> {
    let mut block = plain_authority();
    change(&mut block);
    open(&signed(&root(), &[block.bytes(Default::default())], false)).map(drop)
}

fn id(kind: &str, value: &str) -> Fact {
    ("id", vec![Val::text(kind), Val::text(value)])
}

type Change = fn(&mut Block);

#[test]
fn an_authority_outside_the_profile_is_refused_though_it_is_signed() {
    assert_eq!(by_the_broker(|_| {}), Ok(()));
    for kind in ["issuer", "key", "workflow", "intent", "task", "token"] {
        let without = |block: &mut Block| {
            block.facts.retain(|(name, terms)| *name != "id" || terms[0] != Val::text(kind));
        };
        let twice = |block: &mut Block| block.facts.push(id(kind, "other"));
        assert_eq!(by_the_broker(without), Err(Reason::ProfileViolation), "{kind}");
        assert_eq!(by_the_broker(twice), Err(Reason::ProfileViolation), "{kind}");
    }
    let cases: [(&str, Change); 12] = [
        ("an operator too", |block| block.facts.push(id("operator", "alice"))),
        ("an unknown kind", |block| block.facts.push(id("tool", "github"))),
        ("two issue dates", |block| block.facts.push(("issued", vec![Val::Date(NOW)]))),
        ("no issue date", |block| block.facts.retain(|(name, _)| *name != "issued")),
        ("a note", |block| block.facts.push(("note", vec![Val::text("x")]))),
        ("a right twice", |block| block.facts.push(block.facts.last().unwrap().clone())),
        ("an unknown access", |block| block.facts.push(("right", ["a", "b", "c"].map(Val::text).to_vec()))),
        ("no audience", |block| drop(block.checks.remove(1))),
        ("no end", |block| drop(block.checks.remove(2))),
        ("two windows", |block| block.checks.push(block.checks[2].clone())),
        ("17 checks", |block| block.checks.extend(vec![vec![Alt::default()]; 14])),
        ("a long life", |block| {
            let steps = &mut block.checks[2][0].steps;
            steps[1][1] = super::model::Step::Val(Val::Date(NOW + 3700));
        }),
    ];
    for (name, change) in cases {
        assert_eq!(by_the_broker(change), Err(Reason::ProfileViolation), "{name}");
    }
    let rights = |count: usize| {
        move |block: &mut Block| {
            let verbs = (0..count)
                .map(|n| ("right", vec![Val::text("t"), Val::Str(n.to_string()), Val::text("read")]));
            block.facts.extend(verbs);
        }
    };
    assert_eq!(by_the_broker(rights(58)), Ok(()));
    assert_eq!(by_the_broker(rights(59)), Err(Reason::ProfileViolation));
}

#[test]
fn the_key_that_verifies_must_be_the_one_that_the_token_names() {
    let named = |kind: &'static str, value: &'static str| {
        by_the_broker(|block| {
            block.facts.retain(|(name, terms)| *name != "id" || terms[0] != Val::text(kind));
            block.facts.push(id(kind, value));
        })
    };
    assert_eq!(named("issuer", "https://other.example"), Err(Reason::ProfileViolation));
    assert_eq!(named("key", "k2"), Err(Reason::UnknownKey));
}

#[test]
fn a_token_from_the_future_is_refused() {
    let issued =
        |at| Spec { blocks: vec![super::model::authority(&super::model::OPERATIONS, at)], sealed: false };
    let call = Call::of("github", "issues.read", "{}");
    assert_eq!(native(&open(&issued(NOW + 30).ours()).unwrap(), &call), Ok(()));
    let decided = native(&open(&issued(NOW + 31).ours()).unwrap(), &call);
    assert!(matches!(decided, Err(Reason::NotYetValid | Reason::ProfileViolation)), "{decided:?}");
}

#[test]
fn a_stock_authority_with_rules_is_refused() {
    let token = BiscuitBuilder::new()
        .merge(stock::block(&plain_authority()))
        .rule(r#"right("mail", "send", "read") <- time($t)"#)
        .unwrap()
        .build(&stock::root_pair())
        .unwrap();
    assert_eq!(open(&token.to_vec().unwrap()).map(drop), Err(Reason::ProfileViolation));
}
