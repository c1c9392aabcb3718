//! Approving less than was asked for.

use shortbread_protocol::admin::NarrowBody;
use shortbread_protocol::approval::{Shown, ShownRight};
use shortbread_protocol::constraint::{self, Arguments};
use shortbread_protocol::names::{Operation, ToolName};
use shortbread_protocol::normalise::{self, Forms};
use thiserror::Error;

use crate::policy::model::Catalogue;

/// Why a request cannot be narrowed like this.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum NarrowError {
    /// It asks for nothing less than what is shown.
    #[error(
        "`narrow` leaves what is shown as it is; leave it out, or name what to drop, to constrain or to shorten"
    )]
    Nothing,
    /// A verb that is not shown.
    #[error("{0} is not among the verbs that are shown")]
    Verb(Operation),
    /// A call that is not shown.
    #[error("there is no call {0} in what is shown")]
    Call(u32),
    /// Exact calls are dropped or stay: their arguments are what was asked for.
    #[error(
        "exact calls are approved as they are or dropped; deny the request where other arguments are wanted"
    )]
    Exact,
    /// A constraint that is none.
    #[error("the constraint on {argument} of {operation} {cause}")]
    Constraint {
        /// The verb.
        operation: Operation,
        /// The argument.
        argument: String,
        /// What is wrong with it.
        cause: String,
    },
    /// A constraint that shares nothing with what is shown.
    #[error("what {0} is constrained to has nothing in common with what is shown; drop the verb instead")]
    Apart(Operation),
    /// A life that is none, or longer.
    #[error("ttl is 1 to {0} seconds: an approval shortens a life and never lengthens it")]
    Life(u64),
    /// Nobody has to approve what is left.
    #[error("nobody has to approve what is left; deny the request, and let the client ask for less")]
    Free,
    /// Nothing is left.
    #[error("nothing is left of the request; deny it instead")]
    Empty,
}

/// What is shown from now on. Never more than what was.
///
/// # Errors
/// When it names what is not there, or leaves nothing.
pub fn narrow(shown: &Shown, wish: &NarrowBody, catalogue: &Catalogue) -> Result<Shown, NarrowError> {
    let NarrowBody { drop, drop_calls, constraints, ttl } = wish;
    if drop.is_empty() && drop_calls.is_empty() && constraints.is_empty() && ttl.is_none() {
        return Err(NarrowError::Nothing);
    }
    known(shown, wish)?;
    let mut left = shown.clone();
    left.rights.retain(|right| !drop.contains(&right.operation));
    left.calls.retain(|call| !drop.contains(&call.operation) && !drop_calls.contains(&call.place));
    for (operation, arguments) in constraints {
        constrain(&mut left.rights, operation, arguments, catalogue)?;
    }
    if let Some(ttl) = ttl {
        if *ttl == 0 || *ttl > shown.ttl {
            return Err(NarrowError::Life(shown.ttl));
        }
        left.ttl = *ttl;
    }
    if left.rights.is_empty() && left.calls.is_empty() {
        return Err(NarrowError::Empty);
    }
    // It would void the votes of others for nothing.
    if left == *shown {
        return Err(NarrowError::Nothing);
    }
    let tools: Vec<ToolName> = left.operations().iter().map(|operation| operation.tool.clone()).collect();
    left.audiences.retain(|tool, _| tools.contains(tool));
    Ok(left)
}

fn known(shown: &Shown, wish: &NarrowBody) -> Result<(), NarrowError> {
    let there = shown.operations();
    let named = wish.drop.iter().chain(wish.constraints.keys());
    if let Some(other) = named.into_iter().find(|operation| !there.contains(operation)) {
        return Err(NarrowError::Verb(other.clone()));
    }
    let places: Vec<u32> = shown.calls.iter().map(|call| call.place).collect();
    if let Some(other) = wish.drop_calls.iter().find(|place| !places.contains(place)) {
        return Err(NarrowError::Call(*other));
    }
    if !wish.constraints.is_empty() && !shown.calls.is_empty() {
        return Err(NarrowError::Exact);
    }
    Ok(())
}

// Each way is met with the wish on its own; one that has nothing in common with it goes.
fn constrain(
    rights: &mut Vec<ShownRight>,
    operation: &Operation,
    wish: &Arguments,
    catalogue: &Catalogue,
) -> Result<(), NarrowError> {
    let none = Forms::new();
    let forms = catalogue.verb(operation).map_or(&none, |verb| &verb.forms);
    let wish = sound(operation, wish, forms)?;
    let of_verb = |right: &ShownRight| right.operation == *operation;
    let before = rights.iter().filter(|right| of_verb(right)).count();
    rights.retain_mut(|right| {
        if !of_verb(right) {
            return true;
        }
        let met = match &right.constraints {
            None => Some(wish.clone()),
            Some(own) => meet(own, &wish, forms),
        };
        let kept = met.is_some();
        right.constraints = met.or(right.constraints.take());
        kept
    });
    let after = rights.iter().filter(|right| of_verb(right)).count();
    if before > 0 && after == 0 { Err(NarrowError::Apart(operation.clone())) } else { Ok(()) }
}

// An argument that the wish does not name keeps what it has; one that is not there may not come.
fn meet(own: &Arguments, wish: &Arguments, forms: &Forms) -> Option<Arguments> {
    if wish.keys().any(|name| !own.contains_key(name)) {
        return None;
    }
    let whole: Arguments = own
        .iter()
        .map(|(name, constraint)| (name.clone(), wish.get(name).unwrap_or(constraint).clone()))
        .collect();
    constraint::meet(own, &whole, forms)
}

fn sound(operation: &Operation, wish: &Arguments, forms: &Forms) -> Result<Arguments, NarrowError> {
    let sound = wish.iter().map(|(name, constraint)| {
        let refused = |cause: String| NarrowError::Constraint {
            operation: operation.clone(),
            argument: name.to_string(),
            cause,
        };
        constraint.check().map_err(|cause| refused(cause.to_owned()))?;
        let form = forms.get(name).copied();
        let normal = normalise::constraint(form, constraint);
        Ok((name.clone(), normal.map_err(|misfit| refused(format!("{}; {}", misfit.cause, misfit.fix)))?))
    });
    sound.collect()
}
