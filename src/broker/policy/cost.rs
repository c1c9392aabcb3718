//! What conditions cost in a token: the profile lets an alternative have so many expressions.

use shortbread_protocol::constraint::{Arguments, Constraint};

/// The most expressions that one alternative of a token may have.
pub(super) const MAX_EXPRESSIONS: usize = 8;
/// The most rights, and the most alternatives of one check, that a token may have.
pub(super) const MAX_RIGHTS: usize = 64;

/// How many expressions these conditions become: one to close the world, and those of each argument.
pub(super) fn expressions(arguments: &Arguments) -> usize {
    1 + arguments.values().map(of).sum::<usize>()
}

/// How many expressions one constraint becomes. An exact value is a constant of the predicate and free;
/// sets (hosts among them) and prefixes also force the type of the argument.
pub(super) fn of(constraint: &Constraint) -> usize {
    let sets = [
        constraint.one_of.is_some(),
        constraint.subset.is_some(),
        constraint.prefix.is_some(),
        constraint.host_in.is_some(),
    ];
    let bounds = [constraint.min.is_some(), constraint.max.is_some(), constraint.path_under.is_some()];
    let count = |flags: &[bool]| flags.iter().filter(|flag| **flag).count();
    2 * count(&sets) + count(&bounds)
}
