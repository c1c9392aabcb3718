//! The worst that 8 KiB of token and 64 KiB of arguments can ask for, counted in work and not in time.
//! Cases found by hand; the figure that each must stay under is the budget that a decision is sized for.

use shortbread_protocol::biscuit::{
    Alternative, Binary, BlockWriter, Expr, Flaw, MAX_TOKEN, Program, Symbols, Unary, Value, read_block,
};
use shortbread_protocol::call::{Args, MAX_ARGS_BYTES};
use shortbread_protocol::normalise::Facet;
use shortbread_protocol::reason::Reason;

use super::Scope;
use super::evaluate::{Demand, Run};
use super::value::{BUDGET, Fault, STEP};

const NOW: u64 = 1_795_176_000;

fn authority() -> Vec<u8> {
    let mut writer = BlockWriter::after(Symbols::default());
    for (kind, value) in
        [("issuer", "i"), ("key", "k"), ("workflow", "w"), ("intent", "n"), ("task", "t"), ("token", "x")]
    {
        writer.fact("id", &[Value::Str(kind), Value::Str(value)]);
    }
    writer.fact("issued", &[Value::Date(NOW)]);
    writer.fact("right", &["github", "issues.read", "read"].map(Value::Str));
    let tool = Alternative::new().fact("audience", [Value::Str("a")]);
    writer.check(&[tool.fact("operation", [Value::Str("github"), Value::Var("v")])]);
    let now = Value::Var("now");
    let window = Alternative::new().fact("time", [now.clone()]);
    let window = window.holds(now.clone(), Binary::GreaterOrEqual, Value::Date(NOW - 30));
    writer.check(&[window.holds(now, Binary::LessThan, Value::Date(NOW + 300))]);
    writer.finish()
}

/// A token with one more block, which `write` fills; and how many bytes its blocks have.
fn with(write: &dyn Fn(&mut BlockWriter)) -> (Result<Scope, Flaw>, usize) {
    let authority = authority();
    let mut program = Program::default();
    read_block(&mut program, 0, &authority).unwrap();
    let mut writer = BlockWriter::after(program.symbols);
    write(&mut writer);
    let later = writer.finish();
    let size = authority.len() + later.len();
    (Scope::compile(&[&authority, &later], &[&[0; 64], &[1; 64]]), size)
}

fn demand(args: Option<&Args>) -> Demand<'_> {
    Demand {
        now: NOW,
        audience: "a",
        tool: "github",
        verb: "issues.read",
        args,
        holder: None,
        unused: None,
        revocation_age: None,
        args_sha256: None,
    }
}

/// What a call costs, and whether it was cut short.
fn spent(scope: &Scope, demand: &Demand<'_>) -> (usize, bool) {
    let right = scope.right(demand.tool, demand.verb).unwrap();
    let facets = scope.no_facets();
    let mut run = Run::new(scope, demand, right, &facets);
    let cut = scope.checks.iter().any(|check| run.check(check) == Err(Fault::Work));
    (BUDGET - run.machine.left, cut)
}

/// `$v OP $v`, again and again in one expression.
fn chain(times: usize, op: Binary) -> Vec<Expr<'static>> {
    let pair = [Expr::Value(Value::Var("v")), Expr::Value(Value::Var("v")), Expr::Binary(op)];
    let more = pair.iter().cloned().chain([Expr::Binary(Binary::Equal)]);
    pair.iter().cloned().chain(more.cycle().take(4 * (times - 1))).collect()
}

/// Seven checks of six long expressions: as many operations as a block has room for.
fn grind(asked: &'static str, op: Binary) -> Scope {
    let (scope, size) = with(&|writer| {
        for _ in 0..7 {
            let alternative = match asked {
                "args" => Alternative::new().fact("args", [Value::Var("v")]),
                name => Alternative::new().fact("arg", [Value::Str(name), Value::Var("v")]),
            };
            writer.check(&[(0..6).fold(alternative, |made, _| made.expression(chain(7, op)))]);
        }
    });
    assert!((MAX_TOKEN * 9 / 10..=MAX_TOKEN).contains(&size), "{size}");
    scope.unwrap()
}

fn listed(members: impl Iterator<Item = String>) -> Args {
    let json = format!("{{\"x\":[{}]}}", members.collect::<Vec<_>>().join(","));
    assert!((MAX_ARGS_BYTES * 9 / 10..=MAX_ARGS_BYTES).contains(&json.len()), "{}", json.len());
    Args::from_json(json.as_bytes()).unwrap()
}

#[test]
fn long_lists_and_texts_are_paid_for_member_by_member() {
    let ints = listed((0..12_700u32).map(|n| n.to_string()));
    let texts = listed((0..9_000u32).map(|n| format!("\"{n}\"")));
    let text = Args::from_json(format!("{{\"x\":\"{}\"}}", "a".repeat(65_000)).as_bytes()).unwrap();
    for args in [&ints, &texts, &text] {
        for op in [Binary::Contains, Binary::Equal] {
            let (scope, demand) = (grind("x", op), demand(Some(args)));
            let (work, cut) = spent(&scope, &demand);
            assert!(work <= BUDGET && cut, "{work}");
            let refusal = scope.evaluate(&demand).unwrap_err();
            assert_eq!(refusal.reason, Reason::ProfileViolation);
        }
    }
}

#[test]
fn sixty_four_names_are_paid_for_each_time() {
    let members: Vec<String> = (0..64).map(|n| format!("\"n{n:02}\":1")).collect();
    let args = Args::from_json(format!("{{{}}}", members.join(",")).as_bytes()).unwrap();
    let (work, _) = spent(&grind("args", Binary::Contains), &demand(Some(&args)));
    // At least a step for each name, for each of the 7 * 6 * 7 times that they are gone through.
    assert!(((7 * 6 * 7 * 64 * STEP).min(BUDGET * 9 / 10)..=BUDGET).contains(&work), "{work}");
}

#[test]
fn looking_up_an_argument_with_a_long_name_is_paid_for() {
    let long = "a".repeat(2000);
    let (scope, _) = with(&|writer| {
        for _ in 0..5 {
            let one = Alternative::new().fact("arg", [Value::Str(&long), Value::Var("v")]);
            writer.check(&vec![one; 50]);
        }
    });
    let args = Args::from_json(format!("{{\"{}b\":1}}", "a".repeat(1999)).as_bytes()).unwrap();
    let (scope, demand) = (scope.unwrap(), demand(Some(&args)));
    assert!(spent(&scope, &demand).0 >= 50 * 2000);
    let detail = scope.evaluate(&demand).unwrap_err().detail.unwrap();
    assert!(detail.len() < 120, "{detail}");
}

#[test]
fn finding_the_words_for_a_refusal_costs_little() {
    let searched =
        [Expr::Value(Value::Var("v")), Expr::Value(Value::Str("b")), Expr::Binary(Binary::Contains)];
    let negated: Vec<_> = searched.iter().cloned().chain([Expr::Unary(Unary::Negate)]).collect();
    let (scope, _) = with(&|writer| {
        let asked = Alternative::new().fact("arg", [Value::Str("x"), Value::Var("v")]);
        writer.check(&[asked.expression(negated.clone()).expression(searched.to_vec())]);
    });
    let scope = scope.unwrap();
    let refused = |length: usize| {
        let args = Args::from_json(format!("{{\"x\":\"{}\"}}", "a".repeat(length)).as_bytes()).unwrap();
        assert!(!spent(&scope, &demand(Some(&args))).1);
        scope.evaluate(&demand(Some(&args))).unwrap_err()
    };
    let (short, long) = (refused(100), refused(65_000));
    assert_eq!((short.reason, long.reason), (Reason::Narrowed, Reason::Narrowed));
    assert_eq!(short.detail.as_deref(), Some("argument \"x\" is outside what is granted"));
    // Looked at for less than the decision itself: no words rather than wrong ones.
    assert_eq!(long.detail, None);
}

#[test]
fn tables_stay_in_proportion_to_the_bytes() {
    let names: Vec<String> = (0..600).map(|n| format!("{n:x}")).collect();
    let asks = |count: usize| {
        let names = &names;
        move |writer: &mut BlockWriter| {
            let asked = names.iter().take(count).fold(Alternative::new(), |alternative, name| {
                alternative.fact("arg", [Value::Str(name), Value::Var("v")])
            });
            writer.check(&[asked]);
        }
    };
    let ids = |writer: &mut BlockWriter| {
        let asked = (0..450).fold(Alternative::new(), |alternative, _| {
            alternative.fact("id", [Value::Str("workflow"), Value::Str("w")])
        });
        writer.check(&[asked]);
    };
    let nothing = |writer: &mut BlockWriter| {
        for _ in 0..8 {
            writer.check(&vec![Alternative::new(); 64]);
        }
    };
    let set = |writer: &mut BlockWriter| {
        let members = names.iter().map(|name| Value::Str(name)).collect();
        writer.check(&[Alternative::new().holds(Value::Set(members), Binary::Contains, Value::Str("zz"))]);
    };
    let cases: [&dyn Fn(&mut BlockWriter); 4] = [&asks(380), &ids, &nothing, &set];
    for write in cases {
        let (scope, size) = with(write);
        let scope = scope.unwrap();
        assert!((MAX_TOKEN / 3..=MAX_TOKEN).contains(&size), "{size}");
        let parts = scope.alternatives.len() + scope.conditions.len() + scope.checks.len();
        assert!(parts * 6 <= size && scope.weight() <= 32 * size, "{parts}, {} of {size}", scope.weight());
        let (work, cut) = spent(&scope, &demand(None));
        assert!(!cut && work < BUDGET / 8, "{work}");
    }
}

#[test]
fn an_argument_may_be_asked_for_once_among_hundreds() {
    let names: Vec<String> = (0..300).map(|n| format!("{n:x}")).collect();
    let (scope, _) = with(&|writer| {
        let asked = names.iter().chain([&names[7]]).fold(Alternative::new(), |alternative, name| {
            alternative.fact("arg", [Value::Str(name), Value::Var("v")])
        });
        writer.check(&[asked]);
    });
    assert_eq!(scope.unwrap_err(), Flaw::Violation("an alternative uses a predicate twice"));
}

#[test]
fn an_honest_call_costs_little() {
    let (scope, _) = with(&|writer| {
        let alternative = Alternative::new()
            .fact("operation", [Value::Str("github"), Value::Str("issues.read")])
            .fact("arg", [Value::Str("repo"), Value::Var("a")])
            .fact("args", [Value::Var("names")])
            .holds(
                Value::Set(["acme/docs", "acme/web"].map(Value::Str).to_vec()),
                Binary::Contains,
                Value::Var("a"),
            )
            .holds(
                Value::Set(["body", "repo", "title"].map(Value::Str).to_vec()),
                Binary::Contains,
                Value::Var("names"),
            );
        writer.check(&[alternative]);
    });
    let args = Args::from_json(br#"{"repo":"acme/web","title":"t"}"#).unwrap();
    let (scope, demand) = (scope.unwrap(), demand(Some(&args)));
    assert!(scope.evaluate(&demand).is_ok());
    assert!(spent(&scope, &demand).0 < BUDGET / 500);
}

/// A token whose only further demand is this of one argument.
fn asking(name: &'static str, value: Value<'static>) -> Scope {
    with(&|writer| {
        writer.check(&[Alternative::new().fact("arg", [Value::Str(name), value.clone()])]);
    })
    .0
    .unwrap()
}

#[test]
fn facets_are_computed_and_never_taken_from_the_call() {
    let called = |scope: &Scope, json: &str| {
        let args = Args::from_json(json.as_bytes()).unwrap();
        scope.evaluate(&demand(Some(&args))).map(drop).map_err(|refusal| refusal.detail.unwrap())
    };
    let scope = asking("path#path", Value::Str("/srv/data/"));
    for allowed in [r#"{"path":"/srv/data"}"#, r#"{"path":"/srv/x/../data/."}"#, r#"{"path":"/srv//data"}"#] {
        assert_eq!(called(&scope, allowed), Ok(()), "{allowed}");
    }
    for (json, detail) in [
        (r##"{"path#path":"/srv/data/"}"##, r#"argument "path" is missing"#),
        (r##"{"path":"/etc","path#path":"/srv/data/"}"##, r#"argument "path" is not the granted one"#),
        (r#"{"path":"/srv/data/../../.."}"#, r#"argument "path" leaves the root"#),
        (r#"{"path":"/srv/data\u0000"}"#, r#"argument "path" has a control character"#),
        (r#"{"path":["/srv/data"]}"#, r#"argument "path" is not the granted one"#),
        (r#"{"path":7}"#, r#"argument "path" is no text"#),
        (r#"{"path":null}"#, r#"argument "path" is not the granted one"#),
        ("{}", r#"argument "path" is missing"#),
    ] {
        assert_eq!(called(&scope, json), Err(detail.to_owned()), "{json}");
    }
    assert!(scope.evaluate(&demand(None)).is_err());
    let (under, _) = with(&|writer| {
        let asked = Alternative::new().fact("arg", [Value::Str("path#path"), Value::Var("p")]);
        writer.check(&[asked.holds(Value::Var("p"), Binary::Prefix, Value::Str("/srv/data/"))]);
    });
    let outside = Err(r#"argument "path" is outside what is granted"#.to_owned());
    assert_eq!(called(under.as_ref().unwrap(), r#"{"path":"/srv/database"}"#), outside);
    assert_eq!(called(under.as_ref().unwrap(), r#"{"path":"/srv/data/x"}"#), Ok(()));
}

#[test]
fn a_facet_that_nobody_knows_is_never_there() {
    let args = Args::from_json(br##"{"x":"a","x#regex":"a","x#":"a","x#path#path":"a"}"##).unwrap();
    for name in ["x#regex", "x#", "x#path#path", "#"] {
        for value in [Value::Str("a"), Value::Var("v")] {
            assert!(asking(name, value).evaluate(&demand(Some(&args))).is_err(), "{name}");
        }
    }
}

#[test]
fn facets_are_paid_for_once_and_cut_short() {
    let long = format!("\"/{}\"", "%25/".repeat(1023));
    let members: Vec<String> = (0..15).map(|n| format!("\"n{n}\":{long}")).collect();
    let args = Args::from_json(format!("{{{}}}", members.join(",")).as_bytes()).unwrap();
    let names: Vec<String> =
        (0..15).flat_map(|n| [Facet::Path, Facet::Url].map(|f| f.of(&format!("n{n}")))).collect();
    let (all, _) = with(&|writer| {
        let any = |name| Alternative::new().fact("arg", [Value::Str(name), Value::Bool(true)]);
        writer.check(&names.iter().map(|name| any(name.as_str())).collect::<Vec<_>>());
    });
    let (work, cut) = spent(all.as_ref().unwrap(), &demand(Some(&args)));
    assert!(cut && work > BUDGET * 4 / 5, "{work}");
    let (again, _) = with(&|writer| {
        let asked = || Alternative::new().fact("arg", [Value::Str("n0#path"), Value::Bool(true)]);
        writer.check(&vec![asked(); 60]);
    });
    let (work, cut) = spent(again.as_ref().unwrap(), &demand(Some(&args)));
    assert!(!cut && (8 * 4000..8 * 4096 + 60 * 64).contains(&work), "{work}");
}
