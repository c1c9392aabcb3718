//! From checked blocks to what is evaluated: predicates become conditions, constants are decided at once.

use shortbread_protocol::biscuit::{Binary, Check as Source, Flaw, Op, Predicate, Program, Query, Sym, Term};
use shortbread_protocol::facts;
use shortbread_protocol::normalise::{Facet, MARK};
use shortbread_protocol::revocations::{RevokedId, SelectorKind};

use super::profile::date_bound;
use super::{Alternative, Check, Condition, Ids, Right, Scope, UNASKED};

/// The longest life of a token, in seconds.
const MAX_LIFE: u64 = 3600;

pub(super) fn compile(program: Program, signatures: &[&[u8; 64]]) -> Result<Scope, Flaw> {
    let (ids, issued, rights) = authority_facts(&program)?;
    let window = time_window(&program)?;
    if window.1.saturating_sub(issued) > MAX_LIFE {
        return Err(Flaw::Violation("the token lives longer than an hour (3600 s)"));
    }
    let audiences = audiences(&program)?;
    let queries = program.checks.iter().map(|check| check.queries.len()).sum();
    let mut scope = Scope {
        ids,
        issued,
        window,
        rights,
        audiences,
        checks: Vec::with_capacity(program.checks.len()),
        alternatives: Vec::with_capacity(queries),
        conditions: Vec::with_capacity(queries),
        facets: Vec::new(),
        revocable: Vec::with_capacity(signatures.len() + 1),
        asks_args_sha256: false,
        asks_unused: false,
        program,
    };
    scope.revocable.extend(scope.id(SelectorKind::Token).map(|token| RevokedId::hash(token.as_bytes())));
    scope.revocable.extend(signatures.iter().map(|signature| RevokedId::hash(&signature[..])));
    scope.compile_checks();
    Ok(scope)
}

type Facts = (Ids, u64, Vec<Right>);

fn authority_facts(program: &Program) -> Result<Facts, Flaw> {
    let (mut ids, mut issued, mut rights) = (Ids::default(), None, Vec::with_capacity(8));
    for fact in program.facts.iter().filter(|fact| fact.block == 0) {
        match program.terms(&fact.predicate) {
            [Term::Date(_)] if issued.is_some() => return Err(Flaw::Violation("there are two issue dates")),
            [Term::Date(date)] => issued = Some(*date),
            [Term::Str(kind), Term::Str(value)] => id(program, *kind, *value, &mut ids)?,
            [Term::Str(tool), Term::Str(verb), Term::Str(access)] => {
                rights.push(right(program, [*tool, *verb, *access], &rights)?);
            }
            _ => {}
        }
    }
    let issued = issued.ok_or(Flaw::Violation("there is no issue date"))?;
    let has = |kind: SelectorKind| matches!(ids.get(kind as usize), Some(Some(_)));
    let named = [
        SelectorKind::Issuer,
        SelectorKind::Key,
        SelectorKind::Intent,
        SelectorKind::Task,
        SelectorKind::Token,
    ];
    if !named.into_iter().all(has) {
        return Err(Flaw::Violation("an id of issuer, key, intent, task or token is missing"));
    }
    if has(SelectorKind::Workflow) == has(SelectorKind::Operator) {
        return Err(Flaw::Violation("there is not exactly one id of workflow or operator"));
    }
    Ok((ids, issued, rights))
}

fn id(program: &Program, kind: Sym, value: Sym, ids: &mut Ids) -> Result<(), Flaw> {
    let word = program.text(kind);
    let kind = facts::ID_KINDS.into_iter().find(|kind| kind.as_str() == word);
    let place = kind.and_then(|kind| ids.get_mut(kind as usize));
    match place.ok_or(Flaw::Violation("an id is of a kind that the profile does not have"))?.replace(value) {
        None => Ok(()),
        Some(_) => Err(Flaw::Violation("there are two ids of one kind")),
    }
}

fn right(program: &Program, [tool, verb, access]: [Sym; 3], earlier: &[Right]) -> Result<Right, Flaw> {
    let access =
        program.text(access).parse().map_err(|_| Flaw::Violation("a right has an unknown access"))?;
    if earlier.iter().any(|other| other.tool == tool && other.verb == verb) {
        return Err(Flaw::Violation("a right is given twice"));
    }
    Ok(Right { tool, verb, access })
}

fn mentions(program: &Program, query: &Query, name: &str) -> bool {
    program.predicates(query).iter().any(|predicate| program.text(predicate.name) == name)
}

// The one check of the authority that asks for such a fact; `None` when none or several do.
fn sole<'a>(program: &'a Program, name: &str) -> Option<&'a Source> {
    let authority = program.checks.iter().filter(|check| check.block == 0);
    let mut found =
        authority.filter(|check| program.queries(check).iter().any(|query| mentions(program, query, name)));
    found.next().filter(|_| found.next().is_none())
}

// Exactly `check if time($now), $now >= {nbf}, $now < {exp}`.
fn time_window(program: &Program) -> Result<(u64, u64), Flaw> {
    const FLAW: Flaw = Flaw::Violation("there is not exactly one time window");
    let Some(check) = sole(program, facts::TIME) else {
        return Err(FLAW);
    };
    let [query] = program.queries(check) else {
        return Err(FLAW);
    };
    let [predicate] = program.predicates(query) else {
        return Err(FLAW);
    };
    let [now @ Term::Var(_)] = program.terms(predicate) else {
        return Err(FLAW);
    };
    let mut bounds = program.expressions(query).map(|ops| date_bound(ops, *now));
    match [bounds.next().flatten(), bounds.next().flatten()] {
        [Some((Binary::GreaterOrEqual, from)), Some((Binary::LessThan, until))]
        | [Some((Binary::LessThan, until)), Some((Binary::GreaterOrEqual, from))]
            if bounds.next().is_none() =>
        {
            Ok((from, until))
        }
        _ => Err(FLAW),
    }
}

/// The date of `check if time($now), $now < date`.
pub(super) fn sole_end(program: &Program, check: &Source) -> Option<u64> {
    let [query] = program.queries(check) else {
        return None;
    };
    let [predicate] = program.predicates(query) else {
        return None;
    };
    match (program.text(predicate.name), program.terms(predicate)) {
        (facts::TIME, [now @ Term::Var(_)]) => program
            .expressions(query)
            .filter_map(|ops| date_bound(ops, *now))
            .filter_map(|(op, date)| (op == Binary::LessThan).then_some(date))
            .min(),
        _ => None,
    }
}

fn audiences(program: &Program) -> Result<Vec<Sym>, Flaw> {
    let Some(check) = sole(program, facts::AUDIENCE) else {
        return Err(Flaw::Violation("there is not exactly one audience check"));
    };
    let named = program.queries(check).iter().map(|query| {
        let predicates = program.predicates(query).iter();
        predicates.filter(|predicate| program.text(predicate.name) == facts::AUDIENCE).find_map(|predicate| {
            match program.terms(predicate) {
                [Term::Str(audience)] => Some(*audience),
                _ => None,
            }
        })
    });
    let named: Option<Vec<Sym>> = named.collect();
    named.ok_or(Flaw::Violation("an alternative of the audience check names no audience"))
}

impl Scope {
    fn compile_checks(&mut self) {
        let sources = std::mem::take(&mut self.program.checks);
        let mut place = (0, 0);
        for source in &sources {
            place = if place.0 == source.block { (source.block, place.1 + 1) } else { (source.block, 1) };
            let start = self.alternatives.len();
            for at in 0..source.queries.len() {
                if let Some(query) = self.program.queries(source).get(at).copied() {
                    let alternative = self.compile_query(&query);
                    self.alternatives.push(alternative);
                }
            }
            let alternatives = run(start, self.alternatives.len());
            self.checks.push(Check { block: source.block, place: place.1 - 1, alternatives });
        }
        self.program.checks = sources;
    }

    fn compile_query(&mut self, query: &Query) -> Alternative {
        let (start, mut never, mut operation) = (self.conditions.len(), false, None);
        for at in 0..query.predicates.len() {
            let Some(predicate) = self.program.predicates(query).get(at).copied() else {
                continue;
            };
            match self.condition(&predicate) {
                Compiled::Operation(terms) => operation = Some(terms),
                Compiled::Constant(holds) => never |= !holds,
                Compiled::Condition(condition) => {
                    self.asks_args_sha256 |= matches!(condition, Condition::ArgsSha256(_));
                    self.asks_unused |= matches!(condition, Condition::Unused(_));
                    self.conditions.push(condition);
                }
            }
        }
        let conditions = run(start, self.conditions.len());
        let mut alternative = Alternative { operation, never, conditions, query: *query };
        self.forget_unasked(&mut alternative);
        alternative
    }

    /// Marks the variables of `operation($t, $v), right($t, $v, $a)` that nothing else of the alternative asks for:
    /// most tokens have several such alternatives, and binding costs more than all the rest of them.
    fn forget_unasked(&mut self, alternative: &mut Alternative) {
        let asked = *alternative;
        for term in alternative.operation.iter_mut().flatten() {
            if self.is_unasked(&asked, term) {
                *term = UNASKED;
            }
        }
        // One is enough, as the broker writes it; looking through each of hundreds would be work without end.
        let (from, to) = asked.conditions;
        let mut written = self.conditions.iter().take(to as usize).skip(from as usize);
        let right = written.position(|condition| matches!(condition, Condition::Right(_)));
        let Some(at) = right.map(|at| at + from as usize) else { return };
        if let Some(Condition::Right([_, _, term])) = self.conditions.get(at).copied()
            && self.is_unasked(&asked, &term)
            && let Some(Condition::Right([_, _, place])) = self.conditions.get_mut(at)
        {
            *place = UNASKED;
        }
    }

    fn is_unasked(&self, alternative: &Alternative, term: &Term) -> bool {
        let operation = alternative.operation.iter().flatten();
        let conditions = self.conditions(alternative).iter().map(Condition::term);
        let places = operation.chain(conditions).filter(|other| *other == term).take(2).count();
        let mut ops = self.program.expressions(&alternative.query).flatten();
        matches!(term, Term::Var(_)) && places == 1 && !ops.any(|op| *op == Op::Value(*term))
    }

    fn condition(&mut self, predicate: &Predicate) -> Compiled {
        let condition = match (self.program.text(predicate.name), self.program.terms(predicate)) {
            (facts::OPERATION, [tool, verb]) => return Compiled::Operation([*tool, *verb]),
            (facts::ID, [kind, value]) => return Compiled::Constant(self.has_id(kind, value)),
            (facts::RIGHT, [tool @ Term::Var(_), verb, access]) => Condition::Right([*tool, *verb, *access]),
            (facts::RIGHT, [tool, verb, access]) => {
                return Compiled::Constant(self.has_right(tool, verb, access));
            }
            (facts::ARG, [Term::Str(name), value]) => return self.argument(*name, *value),
            (facts::ARGS, [names]) => Condition::Args(*names),
            (facts::ARGS_SHA256, [hash]) => Condition::ArgsSha256(*hash),
            (facts::AUDIENCE, [audience]) => Condition::Audience(*audience),
            (facts::HOLDER, [holder]) => Condition::Holder(*holder),
            (facts::REVOCATION_AGE, [age]) => Condition::RevocationAge(*age),
            (facts::TIME, [now]) => Condition::Time(*now),
            (facts::UNUSED, [token]) => Condition::Unused(*token),
            // The profile check lets nothing else through; if it did, nothing would match.
            _ => return Compiled::Constant(false),
        };
        Compiled::Condition(condition)
    }

    // Decided here once, so that an argument without a form costs a call nothing.
    fn argument(&mut self, name: Sym, value: Term) -> Compiled {
        let text = self.program.text(name);
        if !text.contains(MARK) {
            return Compiled::Condition(Condition::Arg(name, value));
        }
        if Facet::split(text).is_none() {
            // A facet that this verifier does not know: nothing matches it.
            return Compiled::Constant(false);
        }
        let known = self.facets.iter().position(|known| *known == name);
        let place = known.unwrap_or_else(|| {
            self.facets.push(name);
            self.facets.len() - 1
        });
        Compiled::Condition(Condition::Facet(u32::try_from(place).unwrap_or(u32::MAX), value))
    }

    fn has_id(&self, kind: &Term, value: &Term) -> bool {
        let (Term::Str(kind), Term::Str(value)) = (kind, value) else {
            return false;
        };
        let named = SelectorKind::ALL.into_iter().zip(self.ids);
        let mut named = named.filter(|(_, known)| *known == Some(*value));
        named.any(|(known, _)| known.as_str() == self.program.text(*kind))
    }

    fn has_right(&self, tool: &Term, verb: &Term, access: &Term) -> bool {
        let (Term::Str(tool), Term::Str(verb), Term::Str(access)) = (tool, verb, access) else {
            return false;
        };
        let access = self.program.text(*access);
        self.rights
            .iter()
            .any(|right| right.tool == *tool && right.verb == *verb && right.access.as_str() == access)
    }
}

enum Compiled {
    Operation([Term; 2]),
    Constant(bool),
    Condition(Condition),
}

fn run(start: usize, end: usize) -> (u32, u32) {
    // Eight KiB of token make no table of 2^32 entries.
    (u32::try_from(start).unwrap_or(u32::MAX), u32::try_from(end).unwrap_or(u32::MAX))
}
