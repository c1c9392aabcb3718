//! Reads one block into the tables.

use std::cmp::Ordering;

use super::Flaw;
use super::program::{Binary, Check, Fact, Op, Predicate, Program, Query, Span, Term, Unary};
use super::symbols::Sym;
use super::wire::{Field, message, missing, once, unknown};

const VERSION: u32 = 3;

/// Adds one block to the program. Whoever has read the last one asks whether the symbols are distinct.
///
/// # Errors
/// When the bytes are not canonical, or hold what a version 3 block of the profile never has.
pub fn read_block(program: &mut Program, block: u8, bytes: &[u8]) -> Result<(), Flaw> {
    let (mut context, mut version) = (None, None);
    message(bytes, |tag, field| match tag {
        1 => {
            program.symbols.add(field.text()?);
            Ok(())
        }
        2 => once(&mut context, field.text()?),
        3 => once(&mut version, field.number32()?),
        4 => {
            let predicate = program.wrapped_predicate(field)?;
            program.facts.push(Fact { block, predicate });
            Ok(())
        }
        5 => Err(Flaw::Violation("a block has a rule")),
        6 => program.check(block, field),
        7 => Err(Flaw::Violation("a block has a scope")),
        8 => Err(Flaw::Violation("a block names a third party's key")),
        _ => Err(unknown()),
    })?;
    match version {
        Some(VERSION) => Ok(()),
        _ => Err(Flaw::Violation("a block is not of version 3")),
    }
}

impl Program {
    fn wrapped_predicate(&mut self, field: Field<'_>) -> Result<Predicate, Flaw> {
        let mut predicate = None;
        message(field.bytes()?, |tag, field| match tag {
            1 => once(&mut predicate, self.predicate(field)?),
            _ => Err(unknown()),
        })?;
        predicate.ok_or_else(missing)
    }

    fn predicate(&mut self, field: Field<'_>) -> Result<Predicate, Flaw> {
        let (mut name, start) = (None, self.terms.len());
        message(field.bytes()?, |tag, field| match tag {
            1 => once(&mut name, self.symbol(field)?),
            2 => {
                let term = self.term(field.bytes()?, true)?;
                self.terms.push(term);
                Ok(())
            }
            _ => Err(unknown()),
        })?;
        Ok(Predicate { name: name.ok_or_else(missing)?, terms: Span::of(start, self.terms.len()) })
    }

    fn check(&mut self, block: u8, field: Field<'_>) -> Result<(), Flaw> {
        let start = self.queries.len();
        message(field.bytes()?, |tag, field| match tag {
            1 => {
                let query = self.query(field)?;
                self.queries.push(query);
                Ok(())
            }
            2 => Err(Flaw::Violation("a check is not a plain `check if`")),
            _ => Err(unknown()),
        })?;
        self.checks.push(Check { block, queries: Span::of(start, self.queries.len()) });
        Ok(())
    }

    fn query(&mut self, field: Field<'_>) -> Result<Query, Flaw> {
        let (mut head, body, expressions) = (None, self.predicates.len(), self.expressions.len());
        message(field.bytes()?, |tag, field| match tag {
            1 => once(&mut head, self.predicate(field)?),
            2 => {
                let predicate = self.predicate(field)?;
                self.predicates.push(predicate);
                Ok(())
            }
            3 => {
                let span = self.expression(field)?;
                self.expressions.push(span);
                Ok(())
            }
            4 => Err(Flaw::Violation("a check has a scope")),
            _ => Err(unknown()),
        })?;
        if !head.ok_or_else(missing)?.terms.is_empty() {
            return Err(Flaw::Violation("a check has a head with terms"));
        }
        Ok(Query {
            predicates: Span::of(body, self.predicates.len()),
            expressions: Span::of(expressions, self.expressions.len()),
        })
    }

    fn expression(&mut self, field: Field<'_>) -> Result<Span, Flaw> {
        let start = self.ops.len();
        message(field.bytes()?, |tag, field| match tag {
            1 => {
                let op = self.op(field)?;
                self.ops.push(op);
                Ok(())
            }
            _ => Err(unknown()),
        })?;
        Ok(Span::of(start, self.ops.len()))
    }

    fn op(&mut self, field: Field<'_>) -> Result<Op, Flaw> {
        let mut op = None;
        message(field.bytes()?, |tag, field| match tag {
            1 => once(&mut op, Op::Value(self.term(field.bytes()?, true)?)),
            2 => once(&mut op, Op::Unary(unary(kind(field)?)?)),
            3 => once(&mut op, Op::Binary(binary(kind(field)?)?)),
            4 => Err(Flaw::Violation("an expression has a closure")),
            _ => Err(unknown()),
        })?;
        op.ok_or_else(missing)
    }

    fn symbol(&self, field: Field<'_>) -> Result<Sym, Flaw> {
        let sym = Sym(field.number32()?);
        // Symbols stand before whatever uses them, so a number without a text is a forgery or a later block's.
        self.symbols.text(sym).map(|_| sym).ok_or(Flaw::Malformed("a symbol has no text"))
    }

    fn term(&mut self, bytes: &[u8], sets: bool) -> Result<Term, Flaw> {
        let mut term = None;
        message(bytes, |tag, field| {
            let read = match tag {
                1 => Term::Var(self.symbol(field)?.0),
                2 => Term::Int(field.number()?.cast_signed()),
                3 => Term::Str(self.symbol(field)?),
                4 => Term::Date(field.number()?),
                5 => {
                    let start = self.blob.len();
                    self.blob.extend_from_slice(field.bytes()?);
                    Term::Bytes(Span::of(start, self.blob.len()))
                }
                6 => Term::Bool(flag(field)?),
                7 if sets => self.set_term(field)?,
                7 => return Err(Flaw::Violation("a set holds a set")),
                8..=10 => return Err(Flaw::Violation("a term is null, an array or a map")),
                _ => return Err(unknown()),
            };
            once(&mut term, read)
        })?;
        term.ok_or_else(missing)
    }

    fn set_term(&mut self, field: Field<'_>) -> Result<Term, Flaw> {
        let mut members = Vec::new();
        message(field.bytes()?, |tag, field| match tag {
            1 => {
                members.push(self.term(field.bytes()?, false)?);
                Ok(())
            }
            _ => Err(unknown()),
        })?;
        let mut kinds = members.iter().map(std::mem::discriminant);
        let first = kinds.next();
        if members.iter().any(|term| matches!(term, Term::Var(_))) || kinds.any(|kind| Some(kind) != first) {
            return Err(Flaw::Violation("a set mixes types or holds a variable"));
        }
        members.sort_unstable_by(|a, b| self.order(a, b));
        members.dedup_by(|a, b| self.order(a, b) == Ordering::Equal);
        let start = self.members.len();
        self.members.append(&mut members);
        Ok(Term::Set(Span::of(start, self.members.len())))
    }

    /// The order of two terms of one type; texts and bytes by their contents.
    #[must_use]
    pub fn order(&self, a: &Term, b: &Term) -> Ordering {
        match (a, b) {
            (Term::Int(a), Term::Int(b)) => a.cmp(b),
            (Term::Date(a), Term::Date(b)) => a.cmp(b),
            (Term::Bool(a), Term::Bool(b)) => a.cmp(b),
            (Term::Str(a), Term::Str(b)) if a == b => Ordering::Equal,
            (Term::Str(a), Term::Str(b)) => self.text(*a).cmp(self.text(*b)),
            (Term::Bytes(a), Term::Bytes(b)) => self.bytes(*a).cmp(self.bytes(*b)),
            _ => rank(a).cmp(&rank(b)),
        }
    }
}

const fn rank(term: &Term) -> u8 {
    match term {
        Term::Var(_) => 0,
        Term::Int(_) => 1,
        Term::Str(_) => 2,
        Term::Date(_) => 3,
        Term::Bytes(_) => 4,
        Term::Bool(_) => 5,
        Term::Set(_) => 6,
    }
}

fn flag(field: Field<'_>) -> Result<bool, Flaw> {
    match field.number()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Flaw::Malformed("a flag is neither true nor false")),
    }
}

fn kind(field: Field<'_>) -> Result<u32, Flaw> {
    let mut kind = None;
    message(field.bytes()?, |tag, field| match tag {
        1 => once(&mut kind, field.number32()?),
        2 => Err(Flaw::Violation("an expression calls an external function")),
        _ => Err(unknown()),
    })?;
    kind.ok_or_else(missing)
}

fn unary(kind: u32) -> Result<Unary, Flaw> {
    match kind {
        0 => Ok(Unary::Negate),
        1 => Ok(Unary::Parens),
        2 => Ok(Unary::Length),
        _ => Err(Flaw::Violation(
            "an expression uses an operation other than comparison, equality (===), contains, prefix, suffix, length and not",
        )),
    }
}

fn binary(kind: u32) -> Result<Binary, Flaw> {
    match kind {
        0 => Ok(Binary::LessThan),
        1 => Ok(Binary::GreaterThan),
        2 => Ok(Binary::LessOrEqual),
        3 => Ok(Binary::GreaterOrEqual),
        4 => Ok(Binary::Equal),
        5 => Ok(Binary::Contains),
        6 => Ok(Binary::Prefix),
        7 => Ok(Binary::Suffix),
        8 => Err(Flaw::Violation("an expression uses a regular expression")),
        _ => Err(Flaw::Violation(
            "an expression uses an operation other than comparison, equality (===), contains, prefix, suffix, length and not",
        )),
    }
}
