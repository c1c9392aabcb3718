//! A sub-agent's token: what its parent says, word for word, for another key and under another id.

use std::collections::BTreeSet;

use shortbread_protocol::biscuit::{
    Alternative, Binary, BlockWriter, Check, Expr, Fact, Op, Predicate, Program, Query, Symbols, Term, Value,
};
use shortbread_protocol::facts;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::Operation;
use shortbread_protocol::random::Random;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::narrow;
use shortbread_verifier::scope::Scope;

use super::{MintError, sign};
use crate::signer::Signer;

#[cfg(test)]
mod tests;

/// What becomes of a parent's token.
#[derive(Clone, Copy, Debug)]
pub struct Child<'a> {
    /// The parent, whose signatures were checked.
    pub parent: &'a Scope,
    /// The key that the parent is bound to.
    pub parent_holder: &'a str,
    /// The thumbprint of the sub-agent's key.
    pub holder: &'a str,
    /// The child's id.
    pub token: &'a str,
    /// When it ends, in seconds since the epoch: no later than the parent.
    pub expires: u64,
    /// The verbs that remain; a verb that the parent does not grant is not added by this.
    pub kept: &'a BTreeSet<Operation>,
    /// Whether nothing may be added to it.
    pub sealed: bool,
}

/// Makes and signs a child: issuer, issue date, audiences and every check are the parent's, block by block. Only the
/// holder, the ids of token and key, and an earlier end are its own.
///
/// # Errors
/// When the parent has a condition on what is its own alone, when the child would be too large or outside the profile, or
/// when it cannot be signed.
pub fn mint_child(child: &Child<'_>, signer: &dyn Signer, random: &dyn Random) -> Result<String, MintError> {
    if !child.says_the_same() {
        return Err(MintError::Own);
    }
    let program = child.parent.program();
    let later = program.checks.iter().filter(|check| check.block > 0 && !child.binds(check));
    let blocks: BTreeSet<u8> = later.map(|check| check.block).collect();
    let authority = child.authority(signer);
    let mut token =
        sign(&authority, child.sealed && blocks.is_empty(), signer, &PrivateKey::generate(random)?)?;
    let last = blocks.last().copied();
    for block in blocks {
        let seal = child.sealed && last == Some(block);
        token = narrow::append(&token, |writer| child.repeat(writer, block), seal, random)?;
    }
    Ok(token)
}

impl Child<'_> {
    fn authority(&self, signer: &dyn Signer) -> Vec<u8> {
        let program = self.parent.program();
        let mut writer = BlockWriter::after(Symbols::default());
        for fact in program.facts.iter().filter(|fact| fact.block == 0) {
            self.fact(&mut writer, fact, signer);
        }
        for check in program.checks.iter().filter(|check| check.block == 0) {
            if self.binds(check) {
                let holder = Alternative::new().fact(facts::HOLDER, [Value::Str(self.holder)]);
                writer.check(&[holder]);
            } else if self.is_window(check) {
                writer.check(&[self.window()]);
            } else {
                writer.check(&copied(program, check));
            }
        }
        writer.finish()
    }

    fn fact(&self, writer: &mut BlockWriter, fact: &Fact, signer: &dyn Signer) {
        let program = self.parent.program();
        let (name, terms) = (program.text(fact.predicate.name), program.terms(&fact.predicate));
        let mut values: Vec<_> = terms.iter().map(|term| value(program, term)).collect();
        match (name, values.as_mut_slice()) {
            (facts::ID, [Value::Str(kind), own]) => {
                if *kind == SelectorKind::Token.as_str() {
                    *own = Value::Str(self.token);
                } else if *kind == SelectorKind::Holder.as_str() {
                    *own = Value::Str(self.holder);
                } else if *kind == SelectorKind::Key.as_str() {
                    *own = Value::Str(signer.name().as_str());
                }
            }
            (facts::RIGHT, [Value::Str(tool), Value::Str(verb), _]) => {
                let is_kept = |kept: &Operation| kept.tool.as_str() == *tool && kept.verb.as_str() == *verb;
                if !self.kept.iter().any(is_kept) {
                    return;
                }
            }
            _ => {}
        }
        writer.fact(name, &values);
    }

    // `check if holder(KEY)` with the parent's key, and nothing else.
    fn binds(&self, check: &Check) -> bool {
        let program = self.parent.program();
        let [query] = program.queries(check) else { return false };
        let [predicate] = program.predicates(query) else { return false };
        let held = match program.terms(predicate) {
            [Term::Str(holder)] => program.text(*holder) == self.parent_holder,
            _ => false,
        };
        held && program.text(predicate.name) == facts::HOLDER && query.expressions.is_empty()
    }

    // Whether every check means for the child what it means for the parent. One that asks who holds the token, which
    // token it is or whether it was used would have another answer there, and a child could do what its parent cannot.
    fn says_the_same(&self) -> bool {
        let program = self.parent.program();
        let own = |predicate: &Predicate| match (program.text(predicate.name), program.terms(predicate)) {
            (facts::HOLDER | facts::UNUSED, _) => true,
            (facts::ID, [Term::Str(kind), _]) => {
                let kind = program.text(*kind);
                [SelectorKind::Token, SelectorKind::Holder, SelectorKind::Key]
                    .iter()
                    .any(|own| own.as_str() == kind)
            }
            _ => false,
        };
        let asks = |check: &&Check| {
            program.queries(check).iter().any(|query| program.predicates(query).iter().any(own))
        };
        program.checks.iter().filter(|check| !self.binds(check)).find(asks).is_none()
    }

    // The profile lets the authority have exactly one check that asks for the time.
    fn is_window(&self, check: &Check) -> bool {
        let program = self.parent.program();
        let asks = |predicate: &Predicate| program.text(predicate.name) == facts::TIME;
        program.queries(check).iter().any(|query| program.predicates(query).iter().any(asks))
    }

    fn window(&self) -> Alternative<'static> {
        let (from, until) = self.parent.window();
        let now = || Value::Var("now");
        Alternative::new()
            .fact(facts::TIME, [now()])
            .holds(now(), Binary::GreaterOrEqual, Value::Date(from))
            .holds(now(), Binary::LessThan, Value::Date(self.expires.min(until)))
    }

    fn repeat(&self, writer: &mut BlockWriter, block: u8) {
        let program = self.parent.program();
        for check in program.checks.iter().filter(|check| check.block == block && !self.binds(check)) {
            writer.check(&copied(program, check));
        }
    }
}

fn copied<'p>(program: &'p Program, check: &Check) -> Vec<Alternative<'p>> {
    program.queries(check).iter().map(|query| alternative(program, query)).collect()
}

fn alternative<'p>(program: &'p Program, query: &Query) -> Alternative<'p> {
    let mut copy = Alternative::new();
    for predicate in program.predicates(query) {
        let terms = program.terms(predicate).iter().map(|term| value(program, term));
        copy = copy.fact(program.text(predicate.name), terms);
    }
    for ops in program.expressions(query) {
        let step = |op: &Op| match op {
            Op::Value(term) => Expr::Value(value(program, term)),
            Op::Unary(unary) => Expr::Unary(*unary),
            Op::Binary(binary) => Expr::Binary(*binary),
        };
        copy = copy.expression(ops.iter().map(step).collect());
    }
    copy
}

fn value<'p>(program: &'p Program, term: &Term) -> Value<'p> {
    match term {
        Term::Var(variable) => Value::Var(program.variable(*variable)),
        Term::Int(number) => Value::Int(*number),
        Term::Str(text) => Value::Str(program.text(*text)),
        Term::Date(seconds) => Value::Date(*seconds),
        Term::Bytes(bytes) => Value::Bytes(program.bytes(*bytes)),
        Term::Bool(flag) => Value::Bool(*flag),
        Term::Set(set) => Value::Set(program.set(*set).iter().map(|member| value(program, member)).collect()),
    }
}
