//! Tokens that are signed as they should be, whatever they say.

use shortbread_protocol::biscuit::{
    Alternative, Binary, BlockWriter, Program, Proof, SignedBlock, Symbols, Value, read_block,
    signed_payload, write_container,
};
use shortbread_protocol::keys::PrivateKey;

pub(super) const NOW: u64 = 1_795_176_000;
pub(super) const ISSUER: &str = "https://broker.acme.example";
pub(super) const KEY: &str = "k1";
pub(super) const OTHER_KEY: &str = "k2";
pub(super) const AUDIENCE: &str = "https://tools.acme.example/github";
pub(super) const TOOL: &str = "github";
pub(super) const VERB: &str = "issues.read";

pub(super) type Fact = (&'static str, Vec<Value<'static>>);
pub(super) type Alt = Alternative<'static>;

pub(super) fn secret(seed: u8) -> PrivateKey {
    PrivateKey::from_seed(&[seed; 32])
}

/// One block, before it is written.
#[derive(Clone, Default)]
pub(super) struct Block {
    pub(super) facts: Vec<Fact>,
    pub(super) checks: Vec<Vec<Alt>>,
}

impl Block {
    /// A later block with nothing but these checks.
    pub(super) fn of(checks: Vec<Vec<Alt>>) -> Self {
        Self { facts: Vec::new(), checks }
    }

    /// A later block that asks for one thing.
    pub(super) fn asking(alternative: Alt) -> Self {
        Self::of(vec![vec![alternative]])
    }

    pub(super) fn bytes(&self, symbols: Symbols) -> Vec<u8> {
        let mut writer = BlockWriter::after(symbols);
        self.facts.iter().for_each(|(name, terms)| writer.fact(name, terms));
        self.checks.iter().for_each(|check| writer.check(check));
        writer.finish()
    }
}

pub(super) fn id(kind: &'static str, value: &'static str) -> Fact {
    ("id", vec![Value::Str(kind), Value::Str(value)])
}

pub(super) fn right(verb: &'static str) -> Fact {
    ("right", [TOOL, verb, "read"].map(Value::Str).to_vec())
}

/// `check if time($now), $now >= from, $now < until`.
pub(super) fn window(from: u64, until: u64) -> Alt {
    let now = Value::Var("now");
    let asked = Alternative::new().fact("time", [now.clone()]);
    asked.holds(now.clone(), Binary::GreaterOrEqual, Value::Date(from)).holds(
        now,
        Binary::LessThan,
        Value::Date(until),
    )
}

/// `check if audience(url), operation("github", $verb)`.
pub(super) fn audience() -> Alt {
    Alternative::new()
        .fact("audience", [Value::Str(AUDIENCE)])
        .fact("operation", [Value::Str(TOOL), Value::Var("verb")])
}

/// What the broker writes for one verb: its checks are the audience and the time window, in this order.
pub(super) fn authority() -> Block {
    let facts = vec![
        id("issuer", ISSUER),
        id("key", KEY),
        id("workflow", "release-notes"),
        id("intent", "triage"),
        id("task", "tsk_1"),
        id("token", "tok_1"),
        ("issued", vec![Value::Date(NOW)]),
        right(VERB),
    ];
    Block { facts, checks: vec![vec![audience()], vec![window(NOW - 30, NOW + 300)]] }
}

/// A token of this authority alone.
pub(super) fn by_broker(change: impl FnOnce(&mut Block)) -> Vec<u8> {
    let mut block = authority();
    change(&mut block);
    signed(&[block.bytes(Symbols::default())])
}

/// The plain authority's bytes and the symbols that a later block builds on.
pub(super) fn first() -> (Vec<u8>, Symbols) {
    let bytes = authority().bytes(Symbols::default());
    let mut program = Program::default();
    read_block(&mut program, 0, &bytes).unwrap();
    (bytes, program.symbols)
}

/// The plain authority with one more block.
pub(super) fn by_holder(block: &Block) -> Vec<u8> {
    let (first, symbols) = first();
    signed(&[first, block.bytes(symbols)])
}

/// The plain authority with one more block, of these bytes.
pub(super) fn raw(block: Vec<u8>) -> Vec<u8> {
    signed(&[first().0, block])
}

/// Signs blocks into a chain, with predictable secrets.
pub(super) fn signed(blocks: &[Vec<u8>]) -> Vec<u8> {
    let mut signer = secret(0x11);
    let links: Vec<([u8; 32], [u8; 64])> = (1u8..)
        .zip(blocks)
        .map(|(at, block)| {
            let next = *secret(at).public().as_bytes();
            let signature = signer.sign(&signed_payload(block, &next));
            signer = secret(at);
            (next, signature)
        })
        .collect();
    let chain: Vec<SignedBlock<'_>> = blocks
        .iter()
        .zip(&links)
        .map(|(block, (next_key, signature))| SignedBlock { block, next_key, signature })
        .collect();
    write_container(None, &chain, &Proof::NextSecret(&signer.seed()))
}

/// A Protocol Buffers field that holds a number.
pub(super) fn number(tag: u8, value: u8) -> Vec<u8> {
    assert!(value < 0x80, "one byte");
    vec![tag << 3, value]
}

/// A Protocol Buffers field that holds bytes.
pub(super) fn field(tag: u8, bytes: &[u8]) -> Vec<u8> {
    assert!(bytes.len() < 0x80, "one byte of length");
    [&[tag << 3 | 2, bytes.len().to_le_bytes()[0]], bytes].concat()
}

/// An empty block of version 3, followed by these bytes.
pub(super) fn block_with(more: &[u8]) -> Vec<u8> {
    raw([&number(3, 3)[..], more].concat())
}

/// A block with one check of one alternative, which holds these bytes after its head.
pub(super) fn query_with(more: &[u8]) -> Vec<u8> {
    const QUERY: u8 = 27;
    let query = [&field(1, &number(1, QUERY))[..], more].concat();
    block_with(&field(6, &field(1, &query)))
}

/// A block with a check of one expression, which ends in this operation.
pub(super) fn operation(op: &[u8]) -> Vec<u8> {
    let value = field(1, &field(1, &number(2, 1)));
    let op = field(1, op);
    query_with(&field(3, &[&value[..], &value, &op].concat()))
}
