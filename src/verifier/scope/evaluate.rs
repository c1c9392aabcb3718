//! One call against a compiled scope: fixed work, no clock, and no allocation for a token like those that we mint.

use std::cell::OnceCell;

use shortbread_protocol::access::Access;
use shortbread_protocol::biscuit::{Op, Term};
use shortbread_protocol::call::{ArgValue, Args};
use shortbread_protocol::constraint::Scalar;
use shortbread_protocol::normalise::{MAX_BYTES, Refused};
use shortbread_protocol::reason::Reason;

use super::buffer::Buffer;
use super::value::{BUDGET, Fault, Machine, Set, Value};
use super::{Alternative, Check, Condition, Right, Scope, UNASKED};

/// How far ahead of this machine's clock a token may have been issued, in seconds.
const SKEW: u64 = 30;

/// What it costs to bring one byte of an argument into its form, which is decoded and looked at more than once. A call
/// with a proof is evaluated twice, so that all of a budget has to be spent in a quarter of a millisecond here too.
const FACET: usize = 8;

/// What a verifier knows of a call: each member is there only if the work for it was done.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// Seconds since the epoch.
    pub now: u64,
    /// The audience of this tool service.
    pub audience: &'a str,
    /// The tool that is called.
    pub tool: &'a str,
    /// The verb that is called.
    pub verb: &'a str,
    /// The arguments, if the whole call was read.
    pub args: Option<&'a Args>,
    /// The thumbprint of the key that made a proof for this call.
    pub holder: Option<&'a str>,
    /// The token id whose one use was claimed for this call.
    pub unused: Option<&'a str>,
    /// The age of the revocation list that was applied, in seconds.
    pub revocation_age: Option<u64>,
    /// SHA-256 of the canonical arguments.
    pub args_sha256: Option<[u8; 32]>,
}

/// Why a scope refuses a call, and where it says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The stable reason.
    pub reason: Reason,
    /// More for the one who holds the token; nothing an attacker can use.
    pub detail: Option<String>,
    /// The check that refused: its block (0 is the authority) and its place there, from 0.
    pub check: Option<(u8, u8)>,
}

impl Refusal {
    pub(crate) fn plain(reason: Reason) -> Self {
        Self { reason, detail: None, check: None }
    }
}

impl Scope {
    /// Decides one call. Revocation is asked apart from this, see [`Scope::standing`].
    ///
    /// # Errors
    /// With the reason of the first check that does not hold; with [`Reason::ProofRequired`] only when nothing but a
    /// proof is missing, so that none need be checked in vain.
    pub fn evaluate(&self, demand: &Demand<'_>) -> Result<Access, Refusal> {
        if demand.now < self.window.0 {
            return Err(Refusal::plain(Reason::NotYetValid));
        }
        if self.issued > demand.now.saturating_add(SKEW) {
            let detail = Some("the token was issued more than 30 s ahead of this machine's clock".to_owned());
            return Err(Refusal { detail, ..Refusal::plain(Reason::ProfileViolation) });
        }
        let right = self.right(demand.tool, demand.verb).ok_or_else(|| Refusal::plain(Reason::NotGranted))?;
        let facets = self.no_facets();
        let mut run = Run::new(self, demand, right, &facets);
        let mut unproved = None;
        for check in &self.checks {
            match run.check(check) {
                Ok(true) => {}
                Ok(false) | Err(Fault::Type) => {
                    let refusal = self.refusal(check, demand, right);
                    if refusal.reason != Reason::ProofRequired {
                        return Err(refusal);
                    }
                    unproved.get_or_insert(refusal);
                }
                Err(Fault::Work) => {
                    let detail =
                        Some("the token's checks ask for more work than one call may cost".to_owned());
                    return Err(Refusal { detail, ..Refusal::plain(Reason::ProfileViolation) });
                }
            }
        }
        unproved.map_or(Ok(right.access), Err)
    }
}

/// A facet of an argument, computed when it is first asked for; `None` when there is no such argument.
pub(super) type Computed = OnceCell<Option<Result<Scalar, Refused>>>;

/// One evaluation under way.
pub(super) struct Run<'a> {
    pub(super) scope: &'a Scope,
    pub(super) demand: &'a Demand<'a>,
    pub(super) right: &'a Right,
    pub(super) machine: Machine<'a>,
    pub(super) bound: Buffer<(u32, Value<'a>)>,
    pub(super) stack: Buffer<Value<'a>>,
    facets: &'a [Computed],
}

impl Scope {
    /// Room for each facet that the checks ask for, not computed yet.
    pub(super) fn no_facets(&self) -> Vec<Computed> {
        self.facets.iter().map(|_| Computed::new()).collect()
    }
}

impl<'a> Run<'a> {
    pub(super) fn new(
        scope: &'a Scope,
        demand: &'a Demand<'a>,
        right: &'a Right,
        facets: &'a [Computed],
    ) -> Self {
        Self {
            scope,
            demand,
            right,
            machine: Machine { program: &scope.program, left: BUDGET },
            bound: Buffer::default(),
            stack: Buffer::default(),
            facets,
        }
    }

    // Alternatives in order; the first that holds ends it, and so does the first type error.
    pub(super) fn check(&mut self, check: &Check) -> Result<bool, Fault> {
        let scope = self.scope;
        for alternative in scope.alternatives(check) {
            if self.alternative(alternative)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    pub(super) fn alternative(&mut self, alternative: &Alternative) -> Result<bool, Fault> {
        self.bound.clear();
        if alternative.never || !self.operation(alternative)? {
            return Ok(false);
        }
        let scope = self.scope;
        for condition in scope.conditions(alternative) {
            if !self.condition(condition)? {
                return Ok(false);
            }
        }
        for ops in scope.program.expressions(&alternative.query) {
            if !self.expression(ops)? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Whether the alternative speaks of this operation at all.
    pub(super) fn operation(&mut self, alternative: &Alternative) -> Result<bool, Fault> {
        let right = self.right;
        match alternative.operation {
            None => Ok(true),
            // Symbols of one table: equal texts have equal numbers.
            Some([Term::Str(tool), Term::Str(verb)]) => Ok(tool == right.tool && verb == right.verb),
            Some([tool, verb]) => {
                // The right was found by the texts of the call, so these are its texts too.
                let demand = self.demand;
                Ok(self.unify(&tool, Value::Str(demand.tool))?
                    && self.unify(&verb, Value::Str(demand.verb))?)
            }
        }
    }

    pub(super) fn condition(&mut self, condition: &Condition) -> Result<bool, Fault> {
        let demand = self.demand;
        match condition {
            Condition::Right([_, _, access]) => self.unify(access, Value::Str(self.right.access.as_str())),
            Condition::Arg(name, term) => {
                let name = self.scope.program.text(*name);
                self.machine.spend(name.len())?;
                let value = demand.args.and_then(|args| args.value(name)).map(Value::of_argument);
                self.unify_some(term, value)
            }
            Condition::Facet(place, term) => match self.facet(*place)? {
                Some(Ok(value)) => self.unify(term, Value::of_scalar(value)),
                // Not of the form, so that there is no such fact.
                Some(Err(_)) | None => Ok(false),
            },
            Condition::Args(term) => {
                self.unify_some(term, demand.args.map(|args| Value::Set(Set::Names(args))))
            }
            Condition::ArgsSha256(term) => {
                self.unify_some(term, demand.args_sha256.as_ref().map(|hash| Value::Bytes(hash)))
            }
            Condition::Audience(term) => self.unify(term, Value::Str(demand.audience)),
            Condition::Holder(term) => self.unify_some(term, demand.holder.map(Value::Str)),
            Condition::RevocationAge(term) => {
                let age = demand.revocation_age.map(|age| Value::Int(i64::try_from(age).unwrap_or(i64::MAX)));
                self.unify_some(term, age)
            }
            Condition::Time(term) => self.unify(term, Value::Date(demand.now)),
            Condition::Unused(term) => self.unify_some(term, demand.unused.map(Value::Str)),
        }
    }

    /// A facet of an argument of the call, paid for by the argument's length when it is first asked for.
    pub(super) fn facet(&mut self, place: u32) -> Result<Option<&'a Result<Scalar, Refused>>, Fault> {
        let Some((cell, (name, facet))) = self.facets.get(place as usize).zip(self.scope.facet(place)) else {
            return Ok(None);
        };
        self.machine.spend(name.len())?;
        if let Some(known) = cell.get() {
            return Ok(known.as_ref());
        }
        let Some(args) = self.demand.args else {
            return Ok(None);
        };
        if let Some(ArgValue::One(Scalar::Text(text))) = args.value(name) {
            self.machine.spend(FACET * text.len().min(MAX_BYTES))?;
        }
        Ok(cell.get_or_init(|| args.facet(name, facet)).as_ref())
    }

    fn unify_some(&mut self, term: &Term, value: Option<Value<'a>>) -> Result<bool, Fault> {
        value.map_or(Ok(false), |value| self.unify(term, value))
    }

    fn unify(&mut self, term: &Term, value: Value<'a>) -> Result<bool, Fault> {
        let known = match term {
            &UNASKED => return Ok(true),
            Term::Var(variable) => self.lookup(*variable),
            constant => Value::of_term(&self.scope.program, constant),
        };
        match (known, term) {
            (Some(known), _) => self.machine.equal(known, value),
            (None, Term::Var(variable)) => {
                self.bound.push((*variable, value));
                Ok(true)
            }
            (None, _) => Ok(false),
        }
    }

    #[inline(always)]
    fn lookup(&self, variable: u32) -> Option<Value<'a>> {
        self.bound.iter().find(|(bound, _)| *bound == variable).map(|(_, value)| value)
    }

    pub(super) fn expression(&mut self, ops: &[Op]) -> Result<bool, Fault> {
        // Nearly every expression is one comparison, which needs no stack.
        if let [Op::Value(left), Op::Value(right), Op::Binary(op)] = ops {
            let (left, right) = (self.value(left)?, self.value(right)?);
            return self.machine.holds(*op, left, right);
        }
        self.stack.clear();
        for op in ops {
            let value = match op {
                Op::Value(term) => self.value(term)?,
                Op::Unary(op) => {
                    let value = self.stack.pop().ok_or(Fault::Type)?;
                    self.machine.unary(*op, value)?
                }
                Op::Binary(op) => {
                    let (right, left) = (self.stack.pop(), self.stack.pop());
                    let (left, right) = left.zip(right).ok_or(Fault::Type)?;
                    Value::Bool(self.machine.holds(*op, left, right)?)
                }
            };
            self.stack.push(value);
        }
        match (self.stack.pop(), self.stack.pop()) {
            (Some(Value::Bool(holds)), None) => Ok(holds),
            _ => Err(Fault::Type),
        }
    }

    #[inline(always)]
    fn value(&self, term: &Term) -> Result<Value<'a>, Fault> {
        let value = match term {
            Term::Var(variable) => self.lookup(*variable),
            constant => Value::of_term(&self.scope.program, constant),
        };
        value.ok_or(Fault::Type)
    }
}
