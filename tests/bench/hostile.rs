//! The slowest decision that 8 KiB of token and 64 KiB of arguments can be made to ask for: tokens that a holder or a
//! stranger would write to keep a verifier busy, each as far as the profile lets it go.

use std::sync::Arc;

use shortbread_protocol::biscuit::{
    Alternative, Binary, BlockWriter, Expr, MAX_TOKEN, MAX_TOKEN_TEXT, Program, Proof, SignedBlock, Symbols,
    Unary, Value, read_block, signed_payload, write_container,
};
use shortbread_protocol::call::{Args, MAX_ARGS_BYTES};
use shortbread_protocol::clock::{Clock as _, SystemClock};
use shortbread_protocol::keys::PrivateKey;
use shortbread_verifier::chain::encode;
use shortbread_verifier::decision::{Call, Checker as _, Presented};
use shortbread_verifier::list::Trust;
use shortbread_verifier::{Verifier, VerifierConfig};

use crate::Outcome;
use crate::figure::median;

/// How often each input is decided; the median counts, so that the machine's own pauses do not.
const SAMPLES: usize = 41;

/// Who signs the tokens, and what a call of them is.
pub struct Scene<'a> {
    /// What the verifier relies on; it knows the key below.
    pub trust: &'a Arc<Trust>,
    /// The token key, its name and its issuer.
    pub key: &'a PrivateKey,
    pub key_name: &'a str,
    pub issuer: &'a str,
    pub audience: &'a str,
    pub tool: &'a str,
    pub verb: &'a str,
    /// Seconds since the epoch.
    pub now: u64,
}

/// One input and how long its decision took, in microseconds, sample by sample.
#[derive(Clone, Debug)]
pub struct Slowest {
    pub input: &'static str,
    pub us: Vec<f64>,
}

/// The slowest decision over all inputs: of a token that the verifier sees first, and of one that it saw before.
pub fn slowest(scene: &Scene<'_>) -> Outcome<(Slowest, Slowest)> {
    let clock = SystemClock::start();
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for input in inputs(scene) {
        let (mut new, mut known) = (Vec::with_capacity(SAMPLES), Vec::with_capacity(SAMPLES));
        for _ in 0..SAMPLES {
            let config = VerifierConfig { audience: scene.audience.to_owned() };
            let verifier = Verifier::new(Arc::clone(scene.trust), config)?;
            for samples in [&mut new, &mut known] {
                let call = Call { tool: scene.tool, verb: scene.verb, args: input.args.as_ref() };
                let begun = clock.monotonic();
                std::hint::black_box(verifier.check(&Presented::bearer(&input.token), &call));
                samples.push((clock.monotonic() - begun).as_secs_f64() * 1e6);
            }
        }
        first.push(Slowest { input: input.name, us: new });
        again.push(Slowest { input: input.name, us: known });
    }
    let worst = |all: Vec<Slowest>| all.into_iter().max_by(|a, b| a.median().total_cmp(&b.median()));
    worst(first).zip(worst(again)).ok_or_else(|| "there is no hostile input".into())
}

impl Slowest {
    /// The median of the samples.
    pub fn median(&self) -> f64 {
        let mut sorted = self.us.clone();
        sorted.sort_by(f64::total_cmp);
        median(&sorted)
    }
}

struct Input {
    name: &'static str,
    token: String,
    args: Option<Args>,
}

fn inputs(scene: &Scene<'_>) -> Vec<Input> {
    let mut inputs = junk();
    inputs.extend(calls(scene));
    inputs.extend(contents(scene));
    inputs.extend(strangers(scene));
    inputs.push(Input { name: "eight blocks, each signed", token: scene.many_blocks(), args: None });
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
    inputs.extend(once_then_explained(scene, &parts.map(|(_, part, _)| part)[0]));
    inputs
}

fn fibonacci(length: usize) -> String {
    let (mut a, mut b) = ("a".to_owned(), "ab".to_owned());
    while b.len() < length {
        (a, b) = (b.clone(), b + &a);
    }
    b.chars().take(length).collect()
}

/// Just under what one call may cost, then refused: what refused is looked at again, to say why.
fn once_then_explained(scene: &Scene<'_>, part: &str) -> Vec<Input> {
    let refused = |count: usize, operand: Value<'_>, op| {
        scene.narrowed(&|_, writer| {
            let asked = Alternative::new().fact("arg", [Value::Str("x"), var("v")]);
            let searched = [Expr::Value(var("v")), Expr::Value(operand.clone()), Expr::Binary(op)];
            let negated = searched.iter().cloned().chain([Expr::Unary(Unary::Negate)]);
            let mut made = (1..count).fold(asked, |made, _| made.expression(negated.clone().collect()));
            made = made.expression(searched.to_vec());
            writer.check(&[made]);
        })
    };
    let integers = || list((0..12_700u32).map(|n| n.to_string()));
    vec![
        Input {
            name: "searched, then explained",
            token: refused(3, Value::Str(part), Binary::Contains),
            args: text(65_000, "a"),
        },
        Input {
            name: "a list, then explained",
            token: refused(2, Value::Int(-1), Binary::Contains),
            args: integers(),
        },
    ]
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

/// Fills a block with so many of something.
type Write<'a> = &'a dyn Fn(usize, &mut BlockWriter);

/// The token of as many as fit into 8 KiB: a larger one would be refused at once, and hostile to nobody.
fn most(token: impl Fn(usize) -> Vec<u8>) -> String {
    let (mut fits, mut beyond) = (1, 4096);
    while beyond - fits > 1 {
        let middle = usize::midpoint(fits, beyond);
        if token(middle).len() <= MAX_TOKEN { fits = middle } else { beyond = middle }
    }
    encode(&token(fits))
}

impl Scene<'_> {
    /// An authority that grants the verb, with whatever `write` adds.
    fn authority(&self, write: &dyn Fn(&mut BlockWriter)) -> Vec<u8> {
        let mut writer = BlockWriter::after(Symbols::default());
        let ids = [
            ("issuer", self.issuer),
            ("key", self.key_name),
            ("workflow", "release-notes"),
            ("intent", "triage"),
            ("task", "tsk_1"),
            ("token", "tok_1"),
        ];
        ids.iter().for_each(|(kind, value)| writer.fact("id", &[Value::Str(kind), Value::Str(value)]));
        writer.fact("issued", &[Value::Date(self.now)]);
        writer.fact("right", &[self.tool, self.verb, "read"].map(Value::Str));
        writer.check(&[Alternative::new().fact("audience", [Value::Str(self.audience)])]);
        let window = Alternative::new().fact("time", [var("now")]);
        let window = window.holds(var("now"), Binary::GreaterOrEqual, Value::Date(self.now - 30));
        writer.check(&[window.holds(var("now"), Binary::LessThan, Value::Date(self.now + 3000))]);
        write(&mut writer);
        writer.finish()
    }

    /// A sound token with one more block, as large as it may be.
    fn narrowed(&self, write: Write<'_>) -> String {
        let authority = self.authority(&|_| {});
        let mut program = Program::default();
        // What our own writer makes is read.
        let _ = read_block(&mut program, 0, &authority);
        most(|most| {
            let mut writer = BlockWriter::after(program.symbols.clone());
            write(most, &mut writer);
            self.signed(self.key, &[authority.clone(), writer.finish()])
        })
    }

    /// Eight blocks that share what room there is.
    fn many_blocks(&self) -> String {
        let later = |most: usize| {
            let mut writer = BlockWriter::after(Symbols::default());
            (0..8).for_each(|_| writer.check(&vec![Alternative::new(); most.min(64)]));
            writer.finish()
        };
        most(|most| {
            let first = self.authority(&|_| {});
            self.signed(self.key, &std::iter::once(first).chain(vec![later(most); 7]).collect::<Vec<_>>())
        })
    }

    /// Signs blocks into a chain.
    fn signed(&self, key: &PrivateKey, blocks: &[Vec<u8>]) -> Vec<u8> {
        let mut signer = key.clone();
        let mut links = Vec::new();
        for (block, seed) in blocks.iter().zip(1u8..) {
            let secret = PrivateKey::from_seed(&[seed; 32]);
            let next = *secret.public().as_bytes();
            links.push((next, signer.sign(&signed_payload(block, &next))));
            signer = secret;
        }
        let signed = blocks.iter().zip(&links);
        let chain: Vec<SignedBlock<'_>> =
            signed.map(|(block, (next_key, signature))| SignedBlock { block, next_key, signature }).collect();
        write_container(None, &chain, &Proof::NextSecret(&signer.seed()))
    }
}
