//! Writes blocks and envelopes. Values are bound, never formatted into text.

use super::container::{Proof, SignedBlock};
use super::interner::Interner;
use super::program::{Binary, Unary};
use super::symbols::{QUERY, Symbols};
use super::wire::{put_bytes, put_message, put_number};

/// A value to write.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// A variable, by name.
    Var(&'a str),
    /// An integer.
    Int(i64),
    /// A text.
    Str(&'a str),
    /// A text that nobody keeps.
    Text(String),
    /// Seconds since the epoch.
    Date(u64),
    /// Bytes.
    Bytes(&'a [u8]),
    /// True or false.
    Bool(bool),
    /// A set of values of one type.
    Set(Vec<Value<'a>>),
}

/// One step of an expression to write, in reverse Polish order.
#[derive(Clone, Debug, PartialEq)]
pub enum Expr<'a> {
    /// Pushes a value.
    Value(Value<'a>),
    /// Replaces the top.
    Unary(Unary),
    /// Replaces the top two.
    Binary(Binary),
}

// Facts lie in a row, each a name and then its terms: most alternatives are one fact, and one allocation.
#[derive(Clone, Debug, PartialEq)]
enum Part<'a> {
    Name(&'a str),
    Term(Value<'a>),
}

/// One alternative of a check to write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Alternative<'a> {
    facts: Vec<Part<'a>>,
    expressions: Vec<Vec<Expr<'a>>>,
}

impl<'a> Alternative<'a> {
    /// An alternative that always holds, until something is demanded of it.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Demands that a fact matches.
    #[must_use]
    pub fn fact(mut self, name: &'a str, terms: impl IntoIterator<Item = Value<'a>>) -> Self {
        self.facts.push(Part::Name(name));
        self.facts.extend(terms.into_iter().map(Part::Term));
        self
    }

    /// Demands that `left OP right` holds.
    #[must_use]
    pub fn holds(mut self, left: Value<'a>, op: Binary, right: Value<'a>) -> Self {
        self.expressions.push(vec![Expr::Value(left), Expr::Value(right), Expr::Binary(op)]);
        self
    }

    /// Demands that an expression is true.
    #[must_use]
    pub fn expression(mut self, ops: Vec<Expr<'a>>) -> Self {
        self.expressions.push(ops);
        self
    }

    /// How many expressions there are; the profile allows eight.
    #[must_use]
    pub fn expressions(&self) -> usize {
        self.expressions.len()
    }
}

/// Collects a block's facts and checks, and writes its bytes.
#[derive(Debug)]
pub struct BlockWriter {
    symbols: Interner,
    known: u32,
    facts: Vec<u8>,
    checks: Vec<u8>,
}

impl BlockWriter {
    /// A block that follows others with these symbols; the authority follows none.
    #[must_use]
    pub fn after(symbols: Symbols) -> Self {
        let known = symbols.len();
        Self {
            symbols: Interner::new(symbols),
            known,
            facts: Vec::with_capacity(512),
            checks: Vec::with_capacity(1024),
        }
    }

    /// Adds a fact.
    pub fn fact(&mut self, name: &str, terms: &[Value<'_>]) {
        let symbols = &mut self.symbols;
        put_message(&mut self.facts, 4, |out| {
            put_message(out, 1, |out| {
                put_name(out, symbols, name);
                terms.iter().for_each(|term| put_message(out, 2, |out| put_term(out, symbols, term)));
            });
        });
    }

    /// Adds `check if a or b or …`.
    pub fn check(&mut self, alternatives: &[Alternative<'_>]) {
        let symbols = &mut self.symbols;
        put_message(&mut self.checks, 6, |out| {
            for alternative in alternatives {
                put_message(out, 1, |out| put_alternative(out, symbols, alternative));
            }
        });
    }

    /// The block's bytes.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.facts.len() + self.checks.len() + 1024);
        for symbol in self.symbols.since(self.known) {
            put_bytes(&mut out, 1, symbol.as_bytes());
        }
        put_number(&mut out, 3, 3);
        out.extend_from_slice(&self.facts);
        out.extend_from_slice(&self.checks);
        out
    }
}

/// Writes an envelope: the authority first among `blocks`.
#[must_use]
pub fn write_container(root_key_id: Option<u32>, blocks: &[SignedBlock<'_>], proof: &Proof<'_>) -> Vec<u8> {
    let size = blocks.iter().map(|signed| signed.block.len() + 128).sum::<usize>() + 96;
    let mut out = Vec::with_capacity(size);
    if let Some(id) = root_key_id {
        put_number(&mut out, 1, u64::from(id));
    }
    for (at, signed) in blocks.iter().enumerate() {
        put_message(&mut out, if at == 0 { 2 } else { 3 }, |out| {
            put_bytes(out, 1, signed.block);
            put_message(out, 2, |out| {
                put_number(out, 1, 0);
                put_bytes(out, 2, signed.next_key);
            });
            put_bytes(out, 3, signed.signature);
        });
    }
    put_message(&mut out, 4, |out| match proof {
        Proof::NextSecret(secret) => put_bytes(out, 1, &secret[..]),
        Proof::Sealed(signature) => put_bytes(out, 2, &signature[..]),
    });
    out
}

fn put_part(out: &mut Vec<u8>, symbols: &mut Interner, part: &Part<'_>) {
    match part {
        Part::Name(name) => put_name(out, symbols, name),
        Part::Term(term) => put_message(out, 2, |out| put_term(out, symbols, term)),
    }
}

fn put_name(out: &mut Vec<u8>, symbols: &mut Interner, name: &str) {
    put_number(out, 1, u64::from(symbols.intern(name).0));
}

fn put_term(out: &mut Vec<u8>, symbols: &mut Interner, term: &Value<'_>) {
    match term {
        Value::Var(name) => put_number(out, 1, u64::from(symbols.intern(name).0)),
        Value::Int(value) => put_number(out, 2, value.cast_unsigned()),
        Value::Str(text) => put_number(out, 3, u64::from(symbols.intern(text).0)),
        Value::Text(text) => put_number(out, 3, u64::from(symbols.intern(text).0)),
        Value::Date(seconds) => put_number(out, 4, *seconds),
        Value::Bytes(bytes) => put_bytes(out, 5, bytes),
        Value::Bool(flag) => put_number(out, 6, u64::from(*flag)),
        Value::Set(members) => put_message(out, 7, |out| {
            for member in members {
                put_message(out, 1, |out| put_term(out, symbols, member));
            }
        }),
    }
}

fn put_alternative(out: &mut Vec<u8>, symbols: &mut Interner, alternative: &Alternative<'_>) {
    // The head, which is the same for all: `query()`.
    put_message(out, 1, |out| put_number(out, 1, u64::from(QUERY.0)));
    for fact in alternative.facts.chunk_by(|_, next| matches!(next, Part::Term(_))) {
        put_message(out, 2, |out| fact.iter().for_each(|part| put_part(out, symbols, part)));
    }
    for ops in &alternative.expressions {
        put_message(out, 3, |out| {
            for op in ops {
                put_message(out, 1, |out| put_op(out, symbols, op));
            }
        });
    }
}

fn put_op(out: &mut Vec<u8>, symbols: &mut Interner, op: &Expr<'_>) {
    match op {
        Expr::Value(value) => put_message(out, 1, |out| put_term(out, symbols, value)),
        Expr::Unary(unary) => put_message(out, 2, |out| put_number(out, 1, *unary as u64)),
        Expr::Binary(binary) => put_message(out, 3, |out| put_number(out, 1, *binary as u64)),
    }
}
