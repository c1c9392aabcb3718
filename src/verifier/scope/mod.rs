//! What a token allows, compiled from its blocks: read once, evaluated natively for every call.
//! Datalog is never run; [`profile`] makes sure that it need not be.

mod buffer;
mod compile;
mod evaluate;
mod explain;
mod profile;
mod standing;
#[cfg(test)]
mod tests;
mod value;

pub use evaluate::{Demand, Refusal};
pub use standing::Revocations;
pub(crate) use standing::unheld_standing;

use shortbread_protocol::access::Access;
use shortbread_protocol::biscuit::{Flaw, Program, Query, Sym, Term};
use shortbread_protocol::normalise::Facet;
use shortbread_protocol::revocations::SelectorKind;

/// A right of the authority block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Right {
    tool: Sym,
    verb: Sym,
    access: Access,
}

/// A variable that stands in one place only: it takes any value, and no one asks for it. No token has this number.
const UNASKED: Term = Term::Var(u32::MAX);

/// Something an alternative demands besides its operation.
#[derive(Clone, Copy, Debug)]
enum Condition {
    /// `right($t, $v, $a)` of the operation itself.
    Right([Term; 3]),
    Arg(Sym, Term),
    /// A facet of an argument, by its place in [`Scope::facets`].
    Facet(u32, Term),
    Args(Term),
    ArgsSha256(Term),
    Audience(Term),
    Holder(Term),
    RevocationAge(Term),
    Time(Term),
    Unused(Term),
}

impl Condition {
    /// What the fact that is established for the call has to match.
    const fn term(&self) -> &Term {
        match self {
            Self::Right([_, _, term])
            | Self::Arg(_, term)
            | Self::Facet(_, term)
            | Self::Args(term)
            | Self::ArgsSha256(term)
            | Self::Audience(term)
            | Self::Holder(term)
            | Self::RevocationAge(term)
            | Self::Time(term)
            | Self::Unused(term) => term,
        }
    }
}

/// The values of the `id` facts.
type Ids = [Option<Sym>; SelectorKind::ALL.len()];

/// One alternative of a check.
#[derive(Clone, Copy, Debug)]
struct Alternative {
    operation: Option<[Term; 2]>,
    /// A constant `id` or `right` that the authority does not have: no call ever matches.
    never: bool,
    conditions: (u32, u32),
    query: Query,
}

#[derive(Clone, Copy, Debug)]
struct Check {
    block: u8,
    /// Its place among the checks of its block.
    place: u8,
    alternatives: (u32, u32),
}

/// A token's compiled contents. Whether its signatures hold is another question: see [`crate::chain`].
#[derive(Clone, Debug)]
pub struct Scope {
    program: Program,
    /// By kind, in the order of its definition.
    ids: Ids,
    issued: u64,
    window: (u64, u64),
    rights: Vec<Right>,
    checks: Vec<Check>,
    alternatives: Vec<Alternative>,
    conditions: Vec<Condition>,
    /// What the checks ask of arguments that have a form, each once: `path#path`.
    facets: Vec<Sym>,
    audiences: Vec<Sym>,
    /// The ids under which the token and its blocks can be revoked.
    revocable: Vec<[u8; 16]>,
    /// Whether any alternative asks for the hash of the arguments.
    asks_args_sha256: bool,
    /// Whether any alternative asks for the token's one use.
    asks_unused: bool,
}

impl Scope {
    /// Checks the blocks against profile sb1 and compiles them.
    ///
    /// # Errors
    /// Names the first rule that is broken.
    pub fn compile(blocks: &[&[u8]], signatures: &[&[u8; 64]]) -> Result<Self, Flaw> {
        profile::check(blocks).and_then(|program| compile::compile(program, signatures))
    }

    /// The value of an `id` fact.
    #[must_use]
    pub fn id(&self, kind: SelectorKind) -> Option<&str> {
        self.ids.get(kind as usize).copied().flatten().map(|value| self.program.text(value))
    }

    /// When the token was issued, in seconds since the epoch.
    #[must_use]
    pub const fn issued(&self) -> u64 {
        self.issued
    }

    /// The first second in which the token is valid, and the first in which it is not any more.
    /// A later block may end it earlier.
    #[must_use]
    pub const fn window(&self) -> (u64, u64) {
        self.window
    }

    /// The first second in which the token is not valid any more, by the authority's window and by every later check
    /// of the form `check if time($now), $now < date`, which is how our clients shorten a life.
    #[must_use]
    pub fn end(&self) -> u64 {
        let later = self.program.checks.iter().filter(|check| check.block > 0);
        later.filter_map(|check| compile::sole_end(&self.program, check)).fold(self.window.1, u64::min)
    }

    /// The granted verbs: tool, verb, access.
    pub fn rights(&self) -> impl Iterator<Item = (&str, &str, Access)> {
        self.rights
            .iter()
            .map(|right| (self.program.text(right.tool), self.program.text(right.verb), right.access))
    }

    /// The audiences that the token names.
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        self.audiences.iter().map(|audience| self.program.text(*audience))
    }

    /// How many blocks were added after the authority.
    #[must_use]
    pub fn narrowings(&self) -> usize {
        // The token's id, the authority's, then one for each later block.
        self.revocable.len().saturating_sub(2)
    }

    /// The ids under which its blocks can be revoked, the authority's first.
    #[must_use]
    pub fn blocks(&self) -> &[[u8; 16]] {
        self.revocable.get(1..).unwrap_or_default()
    }

    /// The id under which the last block can be revoked.
    #[must_use]
    pub fn last_block(&self) -> Option<[u8; 16]> {
        self.revocable.last().copied()
    }

    /// The id under which the authority block can be revoked: one for all narrowed copies of a token.
    #[must_use]
    pub fn authority(&self) -> [u8; 16] {
        self.revocable.get(1).copied().unwrap_or_default()
    }

    /// The blocks as flat tables, for showing them to people.
    #[must_use]
    pub const fn program(&self) -> &Program {
        &self.program
    }

    /// The access of an operation, if it is granted at all.
    #[must_use]
    pub fn access(&self, tool: &str, verb: &str) -> Option<Access> {
        self.right(tool, verb).map(|right| right.access)
    }

    /// Whether any check asks for the hash of the arguments: for other tokens nobody need compute it.
    #[must_use]
    pub const fn asks_args_sha256(&self) -> bool {
        self.asks_args_sha256
    }

    /// Whether any check asks that the token was not used: it is good once, for some calls at least.
    #[must_use]
    pub const fn asks_unused(&self) -> bool {
        self.asks_unused
    }

    /// The size in memory, in bytes: everything that was asked of the allocator.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Self>() - size_of::<Program>()
            + self.program.weight()
            + self.rights.capacity() * size_of::<Right>()
            + self.checks.capacity() * size_of::<Check>()
            + self.alternatives.capacity() * size_of::<Alternative>()
            + self.conditions.capacity() * size_of::<Condition>()
            + self.audiences.capacity() * size_of::<Sym>()
            + self.revocable.capacity() * size_of::<[u8; 16]>()
            + self.facets.capacity() * size_of::<Sym>()
    }

    fn right(&self, tool: &str, verb: &str) -> Option<&Right> {
        let same =
            |right: &&Right| self.program.text(right.verb) == verb && self.program.text(right.tool) == tool;
        self.rights.iter().find(same)
    }

    /// A facet that a check asks for: the argument and which it is.
    fn facet(&self, place: u32) -> Option<(&str, Facet)> {
        let name = self.facets.get(place as usize)?;
        Facet::split(self.program.text(*name))
    }

    fn alternatives(&self, check: &Check) -> &[Alternative] {
        let (from, to) = check.alternatives;
        self.alternatives.get(from as usize..to as usize).unwrap_or_default()
    }

    fn conditions(&self, alternative: &Alternative) -> &[Condition] {
        let (from, to) = alternative.conditions;
        self.conditions.get(from as usize..to as usize).unwrap_or_default()
    }
}
