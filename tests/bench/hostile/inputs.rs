//! The inputs: what would keep a verifier busy if it let itself.

use shortbread_protocol::biscuit::{
    Alternative, Binary, BlockWriter, Expr, MAX_TOKEN, MAX_TOKEN_TEXT, Unary, Value,
};
use shortbread_protocol::call::{Args, MAX_ARGS_BYTES};
use shortbread_protocol::keys::PrivateKey;
use shortbread_verifier::chain::encode;

use super::{Scene, Write, most};

pub struct Input {
    pub name: &'static str,
    pub token: String,
    pub args: Option<Args>,
}

pub fn inputs(scene: &Scene<'_>) -> Vec<Input> {
    let mut inputs = junk();
    inputs.extend(calls(scene));
    inputs.extend(contents(scene));
    inputs.extend(facets(scene));
    inputs.extend(strangers(scene));
    inputs.extend(everything(scene));
    inputs
}

fn junk() -> Vec<Input> {
    let input = |name, token: String| Input { name, token, args: None };
    let bytes = |name, byte: u8| input(name, encode(&vec![byte; MAX_TOKEN]));
    let mixed: Vec<u8> =
        (0u32..8192).map(|n| (n.wrapping_mul(2_654_435_761) >> 13).to_le_bytes()[0]).collect();
    vec![
        bytes("zeros", 0),
        bytes("unending numbers", 0x80),
        bytes("messages in messages", 0x12),
        input("mixed bytes", encode(&mixed)),
        input("no base64", "!".repeat(MAX_TOKEN_TEXT)),
        input("a megabyte of text", "A".repeat(1 << 20)),
    ]
}

fn var(name: &str) -> Value<'_> {
    Value::Var(name)
}

/// `$v OP operand`, over and over in one expression of at most 32 operations.
fn chain<'a>(operand: &Value<'a>, op: Binary) -> Vec<Expr<'a>> {
    let one = [Expr::Value(var("v")), Expr::Value(operand.clone()), Expr::Binary(op)];
    let more = one.iter().cloned().chain([Expr::Binary(Binary::Equal)]);
    one.iter().cloned().chain(more.cycle().take(24)).collect()
}

/// Checks of `most` such expressions, six in each.
fn grind<'a>(
    asked: &Alternative<'a>,
    operand: &Value<'a>,
    op: Binary,
    most: usize,
    writer: &mut BlockWriter,
) {
    for at in (0..most.min(48)).step_by(6) {
        let expressions =
            (at..most.min(at + 6)).fold(asked.clone(), |made, _| made.expression(chain(operand, op)));
        writer.check(&[expressions]);
    }
}

fn parsed(json: &str) -> Option<Args> {
    assert!(json.len() <= MAX_ARGS_BYTES, "{} bytes of arguments", json.len());
    Some(Args::from_json(json.as_bytes()).unwrap_or_default())
}

fn text(length: usize, each: &str) -> Option<Args> {
    parsed(&format!("{{\"x\":\"{}\"}}", each.repeat(length / each.len())))
}

fn list(members: impl Iterator<Item = String>) -> Option<Args> {
    parsed(&format!("{{\"x\":[{}]}}", members.collect::<Vec<_>>().join(",")))
}

/// A holder's block of expressions over 64 KiB of arguments.
fn calls(scene: &Scene<'_>) -> Vec<Input> {
    let asked = || Alternative::new().fact("arg", [Value::Str("x"), var("v")]);
    let input = |name, operand: Value<'_>, op, args| {
        let token = scene.narrowed(&|most, writer| grind(&asked(), &operand, op, most, writer));
        Input { name, token, args }
    };
    let mut inputs = vec![
        input("equal texts", var("v"), Binary::Equal, text(65_000, "a")),
        input("a text in itself", var("v"), Binary::Contains, text(65_000, "a")),
        input(
            "equal lists of integers",
            var("v"),
            Binary::Equal,
            list((0..12_700u32).map(|n| n.to_string())),
        ),
        input(
            "a list of integers in itself",
            var("v"),
            Binary::Contains,
            list((0..12_700u32).map(|n| n.to_string())),
        ),
        input(
            "a list of texts in itself",
            var("v"),
            Binary::Contains,
            list((0..9_000u32).map(|n| format!("\"{n}\""))),
        ),
        input(
            "a list of bools in itself",
            var("v"),
            Binary::Contains,
            list((0..12_000u32).map(|_| "true".to_owned())),
        ),
        input("a prefix of a long text", var("v"), Binary::Prefix, text(65_000, "ab")),
    ];
    // What search algorithms are slow at: periods that break at one end.
    let parts = [
        ("a long part, broken at its end", "a".repeat(500) + "b", "a"),
        ("a long part, broken at its beginning", "b".to_owned() + &"a".repeat(500), "a"),
        ("a long part, broken in the middle", format!("{0}b{0}", "a".repeat(250)), "a"),
        ("a part with a period", "ab".repeat(250) + "b", "ab"),
        ("a short part", "aab".to_owned(), "aaaaaaaac"),
        ("a part of two letters", "ac".to_owned(), "ab"),
        ("a Fibonacci word in another", fibonacci(500) + "c", &fibonacci(987)),
        ("a part of letters beyond ASCII", "\u{00e9}".repeat(200) + "e", "\u{00e9}"),
        ("a part of one letter", "b".to_owned(), "a"),
    ];
    for (name, part, each) in &parts {
        inputs.push(input(name, Value::Str(part), Binary::Contains, text(65_000, each)));
    }
    inputs
}

fn fibonacci(length: usize) -> String {
    let (mut a, mut b) = ("a".to_owned(), "ab".to_owned());
    while b.len() < length {
        (a, b) = (b.clone(), b + &a);
    }
    b.chars().take(length).collect()
}

/// All at once: as many signatures as there can be, then just under what one call may cost, then a refusal for which
/// words are looked for.
fn everything(scene: &Scene<'_>) -> Vec<Input> {
    let asked = || Alternative::new().fact("arg", [Value::Str("x"), var("v")]);
    let part = format!("{0}b{0}", "a".repeat(250));
    let searched = |count: usize| {
        let part = &part;
        move |writer: &mut BlockWriter| {
            let found =
                [Expr::Value(var("v")), Expr::Value(Value::Str(part)), Expr::Binary(Binary::Contains)];
            let negated = found.iter().cloned().chain([Expr::Unary(Unary::Negate)]);
            let made = (1..count).fold(asked(), |made, _| made.expression(negated.clone().collect()));
            writer.check(&[made.expression(found.to_vec())]);
        }
    };
    // Each comparison of two integers counts as 16 bytes: 5,400 of them three times over are just under the budget.
    let compared = |writer: &mut BlockWriter| {
        let same = [Expr::Value(var("v")), Expr::Value(var("v")), Expr::Binary(Binary::Equal)];
        let not = same.iter().cloned().chain([Expr::Unary(Unary::Negate)]);
        let made = (1..3).fold(asked(), |made, _| made.expression(same.to_vec()));
        writer.check(&[made.expression(not.collect())]);
    };
    let integers = || list((0..5_400u32).map(|n| n.to_string()));
    let input = |name, token, args| Input { name, token, args };
    vec![
        input("eight blocks, sealed", scene.eight_blocks(&|_| {}), None),
        input("eight blocks and a search", scene.eight_blocks(&searched(3)), text(65_000, "a")),
        input(
            "eight blocks, a search, and words for it",
            scene.eight_blocks(&searched(1)),
            text(65_000, "a"),
        ),
        input("eight blocks, a list, and words for it", scene.eight_blocks(&compared), integers()),
    ]
}

/// Sixty arguments, each to be brought into its form before it is compared.
fn facets(scene: &Scene<'_>) -> Vec<Input> {
    let forms = [
        ("sixty paths", "path", "/%61.".repeat(160) + "/x/.."),
        ("sixty URLs", "url", "https://a.example/".to_owned() + &"%61b/".repeat(190)),
        ("sixty hosts", "host", "https://".to_owned() + &"a.".repeat(120) + "example/" + &"x%20".repeat(150)),
    ];
    let inputs = forms.into_iter().map(|(name, facet, value)| {
        let asked: Vec<String> = (0..60).map(|n| format!("a{n}#{facet}")).collect();
        let token = scene.narrowed(&|most, writer| {
            let all = asked.iter().take(most).fold(Alternative::new(), |made, name| {
                made.fact("arg", [Value::Str(name), Value::Var("any")])
            });
            writer.check(&[all]);
        });
        let members: Vec<String> = (0..60).map(|n| format!("\"a{n}\":\"{value}\"")).collect();
        Input { name, token, args: parsed(&format!("{{{}}}", members.join(","))) }
    });
    inputs.collect()
}

/// As much as there is room for of everything that a block may hold.
fn contents(scene: &Scene<'_>) -> Vec<Input> {
    let names: Vec<String> = (0..900).map(|n| format!("{n:x}")).collect();
    let members: Vec<String> = (0..64).map(|n| format!("\"{n:x}\":{n}")).collect();
    let args = || parsed(&format!("{{{}}}", members.join(",")));
    let long = "n".repeat(1900);
    let alike = ["a", "b"].map(|end| "n".repeat(1900) + end);
    let input = |name, write: Write<'_>| Input { name, token: scene.narrowed(write), args: args() };
    vec![
        input("hundreds of arguments asked for", &|most, writer| {
            writer.check(&[names
                .iter()
                .take(most)
                .fold(Alternative::new(), |made, name| asked_for(made, name))]);
        }),
        input("64 arguments in hundreds of operations", &|most, writer| {
            let bound = names.iter().take(64).fold(Alternative::new(), |made, name| asked_for(made, name));
            let ops = || {
                let last = [Expr::Value(var("3f")), Expr::Value(var("3f")), Expr::Binary(Binary::Equal)];
                let more = last.iter().cloned().chain([Expr::Binary(Binary::Equal)]);
                last.iter().cloned().chain(more.cycle().take(28)).collect::<Vec<_>>()
            };
            writer.check(&[(0..most.min(8)).fold(bound, |made, _| made.expression(ops()))]);
        }),
        input("every alternative of every check", &|most, writer| {
            let asked = Alternative::new().fact("operation", [var("t"), Value::Str("x")]);
            for _ in 0..8 {
                writer.check(&vec![asked.clone(); most.min(64)]);
            }
        }),
        input("arguments with a long name", &|most, writer| {
            let asked = Alternative::new().fact("arg", [Value::Str(&long), var("v")]);
            for _ in 0..4 {
                writer.check(&vec![asked.clone(); most.min(64)]);
            }
        }),
        input("a set of long texts that differ at the end", &|most, writer| {
            let members = (0..most).map(|n: usize| Value::Str(&alike[usize::from(n * 7 % 5 > 2)])).collect();
            writer.check(&[Alternative::new().holds(
                Value::Set(members),
                Binary::Contains,
                Value::Str("zz"),
            )]);
        }),
        input("a large set of integers", &|most, writer| {
            let members = (0..most).map(|n| Value::Int(i64::try_from(n * 7919 % 128).unwrap_or(0))).collect();
            writer.check(&[Alternative::new().holds(Value::Set(members), Binary::Contains, Value::Int(-1))]);
        }),
        input("a large set of texts", &|most, writer| {
            let members = names.iter().rev().take(most).map(|name| Value::Str(name)).collect();
            writer.check(&[Alternative::new().holds(
                Value::Set(members),
                Binary::Contains,
                Value::Str("zz"),
            )]);
        }),
        input("hundreds of notes", &|most, writer| {
            (0..most).for_each(|_| writer.fact("note", &[Value::Str("n")]))
        }),
        input("hundreds of ids asked for", &|most, writer| {
            let user = || [Value::Str("workflow"), Value::Str("release-notes")];
            writer.check(&[(0..most).fold(Alternative::new(), |made, _| made.fact("id", user()))]);
        }),
    ]
}

fn asked_for<'a>(made: Alternative<'a>, name: &'a str) -> Alternative<'a> {
    made.fact("arg", [Value::Str(name), Value::Var(name)])
}

/// A whole token by someone without any key: its first signature is wrong, which is seen last.
fn strangers(scene: &Scene<'_>) -> Vec<Input> {
    let verbs: Vec<String> = (0..64).map(|n| format!("{n:x}")).collect();
    let stranger = PrivateKey::from_seed(&[0x66; 32]);
    let forged = |write: Write<'_>| {
        most(|most| scene.signed(&stranger, &[scene.authority(&|writer| write(most, writer))]))
    };
    let token = forged(&|most, writer| {
        verbs.iter().take(63).for_each(|verb| writer.fact("right", &["t", verb, "read"].map(Value::Str)));
        let last = || ["t", "3e", "write"].map(Value::Str);
        writer.check(&[(0..most).fold(Alternative::new(), |made, _| made.fact("right", last()))]);
    });
    let crowd = forged(&|most, writer| {
        let asked = Alternative::new().fact("operation", [var("t"), var("v")]);
        writer.check(&vec![asked.fact("right", ["t", "v", "a"].map(Value::Var)); most]);
    });
    let texts: Vec<String> = (0..900).map(|n| format!("{n:x}z")).collect();
    let symbols = forged(&|most, writer| {
        let members = texts.iter().rev().take(most).map(|text| Value::Str(text)).collect();
        writer.check(&[Alternative::new().holds(Value::Set(members), Binary::Contains, Value::Str("zz"))]);
    });
    let input = |name, token| Input { name, token, args: None };
    vec![
        input("rights held against rights, forged", token),
        input("a crowd of alternatives, forged", crowd),
        input("a table of texts, forged", symbols),
    ]
}
