//! A token's contents as flat tables: no pointers to chase, one allocation a table, fit to be kept in a cache.

use super::symbols::{Sym, Symbols};

/// A run of entries in one of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(super) fn of(start: usize, end: usize) -> Self {
        // A token has at most 8 KiB, so no table comes near 2^32 entries.
        let cut = |at| u32::try_from(at).unwrap_or(u32::MAX);
        Self { start: cut(start), end: cut(end) }
    }

    fn within<T>(self, table: &[T]) -> &[T] {
        table.get(self.start as usize..self.end as usize).unwrap_or_default()
    }

    /// How many entries.
    #[must_use]
    pub const fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// Whether it has none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// A Datalog term of a version 3 block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Term {
    /// A variable, by the number of its name.
    Var(u32),
    /// An integer.
    Int(i64),
    /// A text.
    Str(Sym),
    /// Seconds since the epoch.
    Date(u64),
    /// Bytes: see [`Program::bytes`].
    Bytes(Span),
    /// True or false.
    Bool(bool),
    /// A set of values of one type, none of them a set: see [`Program::set`].
    Set(Span),
}

/// `name(term, …)`.
#[derive(Clone, Copy, Debug)]
pub struct Predicate {
    /// The name.
    pub name: Sym,
    /// The terms: see [`Program::terms`].
    pub terms: Span,
}

/// An operation with one operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unary {
    /// `!x`
    Negate,
    /// `(x)`
    Parens,
    /// `x.length()`
    Length,
}

/// An operation with two operands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binary {
    /// `a < b`
    LessThan,
    /// `a > b`
    GreaterThan,
    /// `a <= b`
    LessOrEqual,
    /// `a >= b`
    GreaterOrEqual,
    /// `a === b`
    Equal,
    /// `a.contains(b)`
    Contains,
    /// `a.starts_with(b)`
    Prefix,
    /// `a.ends_with(b)`
    Suffix,
}

/// One step of an expression, in reverse Polish order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Pushes a term.
    Value(Term),
    /// Replaces the top.
    Unary(Unary),
    /// Replaces the top two.
    Binary(Binary),
}

/// One alternative of a check.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// What must match: see [`Program::predicates`].
    pub predicates: Span,
    /// What must then be true: see [`Program::expressions`].
    pub expressions: Span,
}

/// `check if query or query …`.
#[derive(Clone, Copy, Debug)]
pub struct Check {
    /// Which block it stands in; 0 is the authority.
    pub block: u8,
    /// The alternatives: see [`Program::queries`].
    pub queries: Span,
}

/// A fact of a block.
#[derive(Clone, Copy, Debug)]
pub struct Fact {
    /// Which block it stands in; 0 is the authority.
    pub block: u8,
    /// What it says.
    pub predicate: Predicate,
}

/// Everything that the blocks of one token say.
#[derive(Clone, Debug, Default)]
pub struct Program {
    /// The texts.
    pub symbols: Symbols,
    /// The facts of all blocks.
    pub facts: Vec<Fact>,
    /// The checks of all blocks.
    pub checks: Vec<Check>,
    pub(super) blob: Vec<u8>,
    pub(super) terms: Vec<Term>,
    pub(super) members: Vec<Term>,
    pub(super) predicates: Vec<Predicate>,
    pub(super) queries: Vec<Query>,
    pub(super) expressions: Vec<Span>,
    pub(super) ops: Vec<Op>,
}

impl Program {
    /// Empty tables with room for what blocks of so many bytes usually hold.
    #[must_use]
    pub fn with_room_for(bytes: usize) -> Self {
        Self {
            symbols: Symbols::with_room_for(bytes),
            facts: Vec::with_capacity(bytes / 64),
            checks: Vec::with_capacity(bytes / 128),
            terms: Vec::with_capacity(bytes / 12),
            predicates: Vec::with_capacity(bytes / 32),
            queries: Vec::with_capacity(bytes / 48),
            ops: Vec::with_capacity(bytes / 48),
            ..Self::default()
        }
    }

    /// The alternatives of a check.
    #[must_use]
    pub fn queries(&self, check: &Check) -> &[Query] {
        check.queries.within(&self.queries)
    }

    /// The predicates of an alternative.
    #[must_use]
    pub fn predicates(&self, query: &Query) -> &[Predicate] {
        query.predicates.within(&self.predicates)
    }

    /// The expressions of an alternative.
    pub fn expressions(&self, query: &Query) -> impl Iterator<Item = &[Op]> {
        query.expressions.within(&self.expressions).iter().map(|span| span.within(&self.ops))
    }

    /// The terms of a predicate.
    #[must_use]
    pub fn terms(&self, predicate: &Predicate) -> &[Term] {
        predicate.terms.within(&self.terms)
    }

    /// The members of a set, in ascending order and each once (texts by their bytes).
    #[must_use]
    pub fn set(&self, span: Span) -> &[Term] {
        span.within(&self.members)
    }

    /// The bytes of a bytes term.
    #[must_use]
    pub fn bytes(&self, span: Span) -> &[u8] {
        span.within(&self.blob)
    }

    /// The text of a symbol. The reader has checked that every symbol has one.
    #[must_use]
    pub fn text(&self, sym: Sym) -> &str {
        self.symbols.text(sym).unwrap_or_default()
    }

    /// The name of a variable, without its `$`. The reader has checked that every variable has one.
    #[must_use]
    pub fn variable(&self, variable: u32) -> &str {
        self.text(Sym(variable))
    }

    /// The size in memory, in bytes: everything that was asked of the allocator.
    #[must_use]
    pub fn weight(&self) -> usize {
        let tables = self.facts.capacity() * size_of::<Fact>()
            + self.terms.capacity() * size_of::<Term>()
            + self.members.capacity() * size_of::<Term>()
            + self.predicates.capacity() * size_of::<Predicate>()
            + self.checks.capacity() * size_of::<Check>()
            + self.queries.capacity() * size_of::<Query>()
            + self.expressions.capacity() * size_of::<Span>()
            + self.ops.capacity() * size_of::<Op>();
        size_of::<Self>() + tables + self.blob.capacity() + self.symbols.weight()
    }
}
