//! The profile check: everything that makes native evaluation with fixed work possible.
//! Limits: `schema/token.md`.

use shortbread_protocol::biscuit::{Check, Flaw, Op, Predicate, Program, Query, Sym, Term, read_block};
use shortbread_protocol::facts;

const MAX_RIGHTS: usize = 64;
const MAX_CHECKS: usize = 16;
const MAX_LATER_CHECKS: usize = 8;
const MAX_LATER_ALTERNATIVES: usize = 64;
const MAX_EXPRESSIONS: usize = 8;
const MAX_OPS: usize = 32;

/// Reads all blocks and refuses whatever the profile leaves out. What the authority's facts and its two
/// fixed checks must say is looked at when they are compiled.
pub(super) fn check(blocks: &[&[u8]]) -> Result<Program, Flaw> {
    let mut program = Program::with_room_for(blocks.iter().map(|block| block.len()).sum());
    for (block, bytes) in (0u8..).zip(blocks) {
        read_block(&mut program, block, bytes)?;
    }
    if !program.symbols.distinct() {
        return Err(Flaw::Malformed("a text is in the symbol table twice"));
    }
    facts_of(&program)?;
    // Block by block, as they were read.
    let (mut last, mut asked) = ((0, 0), Vec::with_capacity(8));
    for check in &program.checks {
        last = (check.block, if check.block == last.0 { last.1 + 1 } else { 1 });
        check_count(check, last.1)?;
        program.queries(check).iter().try_for_each(|query| alternative(&program, query, &mut asked))?;
    }
    Ok(program)
}

fn facts_of(program: &Program) -> Result<(), Flaw> {
    let mut rights = 0;
    for fact in &program.facts {
        let name = program.text(fact.predicate.name);
        let terms = program.terms(&fact.predicate);
        if terms.iter().any(|term| matches!(term, Term::Var(_))) {
            return Err(Flaw::Violation("a fact holds a variable"));
        }
        match (fact.block, name, terms) {
            (0, facts::RIGHT, [Term::Str(_), Term::Str(_), Term::Str(_)]) => rights += 1,
            (0, facts::ID, [Term::Str(_), Term::Str(_)]) | (0, facts::ISSUED, [Term::Date(_)]) => {}
            (0, _, _) => {
                return Err(Flaw::Violation(
                    "the authority block has a fact other than id, issued and right",
                ));
            }
            (_, facts::NOTE, [Term::Str(_)]) => {}
            _ => return Err(Flaw::Violation("a later block has a fact other than note")),
        }
    }
    if rights > MAX_RIGHTS { Err(Flaw::Violation("the token has more than 64 rights")) } else { Ok(()) }
}

fn check_count(check: &Check, count: usize) -> Result<(), Flaw> {
    match (check.block, count) {
        (0, n) if n > MAX_CHECKS => Err(Flaw::Violation("the authority block has more than 16 checks")),
        (1.., n) if n > MAX_LATER_CHECKS => Err(Flaw::Violation("a later block has more than 8 checks")),
        (1.., _) if check.queries.len() > MAX_LATER_ALTERNATIVES => {
            Err(Flaw::Violation("a check of a later block has more than 64 alternatives"))
        }
        _ => Ok(()),
    }
}

// At most one fact can match each predicate, so there is no join to search.
fn alternative(program: &Program, query: &Query, asked: &mut Vec<Asked>) -> Result<(), Flaw> {
    let predicates = program.predicates(query);
    asked.clear();
    asked.extend(predicates.iter().filter_map(|predicate| single(program, predicate)));
    // Sorted: a block has room for hundreds of predicates, too many to compare each with each.
    asked.sort_unstable();
    if asked.windows(2).any(|pair| matches!(pair, [a, b] if a == b)) {
        return Err(Flaw::Violation("an alternative uses a predicate twice"));
    }
    predicates.iter().try_for_each(|predicate| shape(program, predicate, predicates))?;
    if query.expressions.len() > MAX_EXPRESSIONS {
        return Err(Flaw::Violation("an alternative has more than 8 expressions"));
    }
    if program.expressions(query).any(|ops| ops.len() > MAX_OPS) {
        return Err(Flaw::Violation("an expression has more than 32 operations"));
    }
    Ok(())
}

fn shape(program: &Program, predicate: &Predicate, beside: &[Predicate]) -> Result<(), Flaw> {
    let sound = match (program.text(predicate.name), program.terms(predicate)) {
        (facts::OPERATION, [_, _]) | (facts::ARG, [Term::Str(_), _]) => true,
        // Of the kinds that a token may have. A stock authorizer is given the call's tool and verb as ids too;
        // what asks for those would mean one thing there and another here, so it is refused.
        (facts::ID, [Term::Str(kind), value]) => constant(value) && known_kind(program.text(*kind)),
        (facts::RIGHT, terms @ [tool, verb, access]) => {
            terms.iter().all(constant) || of_operation(program, [tool, verb, access], beside)
        }
        (name, [_]) => matches!(
            name,
            facts::ARGS
                | facts::ARGS_SHA256
                | facts::AUDIENCE
                | facts::HOLDER
                | facts::REVOCATION_AGE
                | facts::TIME
                | facts::UNUSED
        ),
        _ => false,
    };
    if sound {
        Ok(())
    } else {
        Err(Flaw::Violation("a check asks for a fact that the profile does not have, or in another form"))
    }
}

fn known_kind(kind: &str) -> bool {
    facts::ID_KINDS.into_iter().any(|known| known.as_str() == kind)
}

fn constant(term: &Term) -> bool {
    !matches!(term, Term::Var(_))
}

// `operation($t, $v), right($t, $v, $a)`: three different variables, the first two bound by the operation.
fn of_operation(program: &Program, [tool, verb, access]: [&Term; 3], beside: &[Predicate]) -> bool {
    let variables = [tool, verb, access].iter().all(|term| matches!(term, Term::Var(_)));
    let different = tool != verb && access != tool && access != verb;
    let bound = |predicate: &Predicate| {
        program.text(predicate.name) == facts::OPERATION
            && matches!(program.terms(predicate), [t, v] if t == tool && v == verb)
    };
    variables && different && beside.iter().any(bound)
}

/// What an alternative may ask for once: a predicate, or for `arg` one argument.
type Asked = (Sym, Option<Sym>);

fn single(program: &Program, predicate: &Predicate) -> Option<Asked> {
    match (program.text(predicate.name), program.terms(predicate)) {
        // Constants of the authority match once or never.
        (facts::ID, _) => None,
        (facts::RIGHT, terms) if terms.iter().all(constant) => None,
        (facts::ARG, [Term::Str(argument), _]) => Some((predicate.name, Some(*argument))),
        _ => Some((predicate.name, None)),
    }
}

/// Whether an expression is `variable OP date`, as the time window has them.
pub(super) fn date_bound(ops: &[Op], variable: Term) -> Option<(shortbread_protocol::biscuit::Binary, u64)> {
    match ops {
        [Op::Value(left), Op::Value(Term::Date(date)), Op::Binary(op)] if *left == variable => {
            Some((*op, *date))
        }
        _ => None,
    }
}
