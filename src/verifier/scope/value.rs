//! Values during an evaluation, and the operations on them, with every byte looked at counted.

use std::cmp::Ordering;

use shortbread_protocol::biscuit::{Binary, Program, Term, Unary};
use shortbread_protocol::call::{ArgValue, Args};
use shortbread_protocol::constraint::Scalar;

/// Why an evaluation ends without an answer; the call is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// An operation met a type it does not take.
    Type,
    /// The token's checks ask for more work than one call may cost.
    Work,
}

/// How much one evaluation may cost: a byte that is looked at costs 1, an operation or comparison [`STEP`] more.
/// An honest token needs a few thousand; the whole budget is spent in a quarter of a millisecond.
pub(super) const BUDGET: usize = 256 * 1024;

/// How much finding the words for a refusal may cost on top; beyond it there are no words.
pub(super) const EXPLAINING: usize = BUDGET / 4;

/// An operation costs as much as looking at several bytes: a list of the call may hold ten thousand integers,
/// and comparing them one by one must not be cheaper on paper than it is.
pub(super) const STEP: usize = 16;

/// A value: borrowed from the token or from the call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Value<'a> {
    Int(i64),
    Str(&'a str),
    Date(u64),
    Bytes(&'a [u8]),
    Bool(bool),
    Set(Set<'a>),
}

/// A set: ascending, each member once, members of one type.
#[derive(Clone, Copy, Debug)]
pub(super) enum Set<'a> {
    Terms(&'a [Term]),
    Scalars(&'a [Scalar]),
    Names(&'a Args),
}

impl<'a> Value<'a> {
    pub(super) fn of_argument(value: &'a ArgValue) -> Self {
        match value {
            ArgValue::One(scalar) => Self::of_scalar(scalar),
            ArgValue::List(list) => Self::Set(Set::Scalars(list)),
        }
    }

    pub(super) fn of_scalar(scalar: &'a Scalar) -> Self {
        match scalar {
            Scalar::Int(number) => Self::Int(*number),
            Scalar::Text(text) => Self::Str(text),
            Scalar::Bool(flag) => Self::Bool(*flag),
        }
    }

    /// The value of a constant; `None` for a variable.
    pub(super) fn of_term(program: &'a Program, term: &Term) -> Option<Self> {
        Some(match term {
            Term::Var(_) => return None,
            Term::Int(number) => Self::Int(*number),
            Term::Str(sym) => Self::Str(program.text(*sym)),
            Term::Date(seconds) => Self::Date(*seconds),
            Term::Bytes(span) => Self::Bytes(program.bytes(*span)),
            Term::Bool(flag) => Self::Bool(*flag),
            Term::Set(span) => Self::Set(Set::Terms(program.set(*span))),
        })
    }
}

impl<'a> Set<'a> {
    fn len(self) -> usize {
        match self {
            Self::Terms(terms) => terms.len(),
            Self::Scalars(scalars) => scalars.len(),
            Self::Names(args) => args.names().len(),
        }
    }

    fn at(self, program: &'a Program, index: usize) -> Option<Value<'a>> {
        match self {
            Self::Terms(terms) => terms.get(index).and_then(|term| Value::of_term(program, term)),
            Self::Scalars(scalars) => scalars.get(index).map(Value::of_scalar),
            Self::Names(args) => args.name(index).map(Value::Str),
        }
    }
}

/// What is left of the budget, and the token whose terms are compared.
pub(super) struct Machine<'a> {
    pub(super) program: &'a Program,
    pub(super) left: usize,
}

impl<'a> Machine<'a> {
    pub(super) fn spend(&mut self, work: usize) -> Result<(), Fault> {
        self.left = self.left.checked_sub(work + STEP).ok_or(Fault::Work)?;
        Ok(())
    }

    pub(super) fn unary(&mut self, op: Unary, value: Value<'a>) -> Result<Value<'a>, Fault> {
        self.spend(0)?;
        match (op, value) {
            (Unary::Parens, value) => Ok(value),
            (Unary::Negate, Value::Bool(flag)) => Ok(Value::Bool(!flag)),
            (Unary::Length, Value::Str(text)) => length(text.len()),
            (Unary::Length, Value::Bytes(bytes)) => length(bytes.len()),
            (Unary::Length, Value::Set(set)) => length(set.len()),
            _ => Err(Fault::Type),
        }
    }

    /// Whether an operation with two operands holds: all of them ask a question.
    pub(super) fn holds(&mut self, op: Binary, left: Value<'a>, right: Value<'a>) -> Result<bool, Fault> {
        Ok(match (op, left, right) {
            (Binary::Equal, left, right) => self.same_type_equal(left, right)?,
            (Binary::Contains, Value::Set(set), Value::Set(other)) => self.superset(set, other)?,
            (Binary::Contains, Value::Set(set), member) => self.member(set, member)?,
            (Binary::Contains, Value::Str(text), Value::Str(part)) => {
                self.spend(text.len() + part.len())?;
                text.contains(part)
            }
            (Binary::Prefix, Value::Str(text), Value::Str(start)) => {
                self.spend(start.len())?;
                text.starts_with(start)
            }
            (Binary::Suffix, Value::Str(text), Value::Str(end)) => {
                self.spend(end.len())?;
                text.ends_with(end)
            }
            (op, left, right) => {
                self.spend(0)?;
                let order = match (left, right) {
                    (Value::Int(a), Value::Int(b)) => a.cmp(&b),
                    (Value::Date(a), Value::Date(b)) => a.cmp(&b),
                    _ => return Err(Fault::Type),
                };
                compare(op, order)?
            }
        })
    }

    fn same_type_equal(&mut self, left: Value<'a>, right: Value<'a>) -> Result<bool, Fault> {
        if std::mem::discriminant(&left) == std::mem::discriminant(&right) {
            self.equal(left, right)
        } else {
            Err(Fault::Type)
        }
    }

    /// Whether two values are of one type and equal: how a fact matches a term.
    pub(super) fn equal(&mut self, left: Value<'a>, right: Value<'a>) -> Result<bool, Fault> {
        Ok(match (left, right) {
            (Value::Set(a), Value::Set(b)) => a.len() == b.len() && self.superset(a, b)?,
            (left, right) => self.order(left, right)? == Some(Ordering::Equal),
        })
    }

    // `None` for two types.
    fn order(&mut self, left: Value<'a>, right: Value<'a>) -> Result<Option<Ordering>, Fault> {
        self.spend(match (left, right) {
            (Value::Str(a), Value::Str(b)) => a.len().min(b.len()),
            (Value::Bytes(a), Value::Bytes(b)) => a.len().min(b.len()),
            _ => 0,
        })?;
        let order = match (left, right) {
            (Value::Int(a), Value::Int(b)) => a.cmp(&b),
            (Value::Date(a), Value::Date(b)) => a.cmp(&b),
            (Value::Bool(a), Value::Bool(b)) => a.cmp(&b),
            (Value::Str(a), Value::Str(b)) => a.cmp(b),
            (Value::Bytes(a), Value::Bytes(b)) => a.cmp(b),
            _ => return Ok(None),
        };
        Ok(Some(order))
    }

    fn member(&mut self, set: Set<'a>, member: Value<'a>) -> Result<bool, Fault> {
        // Ascending, so a binary search; one comparison tells whether the types differ.
        let (mut low, mut high) = (0, set.len());
        self.spend(0)?;
        while low < high {
            let middle = low.midpoint(high);
            let Some(at) = set.at(self.program, middle) else {
                return Ok(false);
            };
            match self.order(at, member)? {
                None => return Ok(false),
                Some(Ordering::Equal) => return Ok(true),
                Some(Ordering::Less) => low = middle + 1,
                Some(Ordering::Greater) => high = middle,
            }
        }
        Ok(false)
    }

    // Every member of `part` is in `whole`: one walk over both.
    fn superset(&mut self, whole: Set<'a>, part: Set<'a>) -> Result<bool, Fault> {
        self.spend(0)?;
        if part.len() > whole.len() {
            return Ok(false);
        }
        let mut at = 0;
        for index in 0..part.len() {
            let Some(wanted) = part.at(self.program, index) else {
                return Ok(false);
            };
            loop {
                let Some(here) = whole.at(self.program, at) else {
                    return Ok(false);
                };
                at += 1;
                match self.order(here, wanted)? {
                    Some(Ordering::Equal) => break,
                    Some(Ordering::Less) => {}
                    Some(Ordering::Greater) | None => return Ok(false),
                }
            }
        }
        Ok(true)
    }
}

fn length<'a>(length: usize) -> Result<Value<'a>, Fault> {
    i64::try_from(length).map(Value::Int).map_err(|_| Fault::Type)
}

fn compare(op: Binary, order: Ordering) -> Result<bool, Fault> {
    match op {
        Binary::LessThan => Ok(order.is_lt()),
        Binary::GreaterThan => Ok(order.is_gt()),
        Binary::LessOrEqual => Ok(order.is_le()),
        Binary::GreaterOrEqual => Ok(order.is_ge()),
        Binary::Equal | Binary::Contains | Binary::Prefix | Binary::Suffix => Err(Fault::Type),
    }
}
