//! From a verb and its constraints to the one alternative of a check that allows it: for the mint and for narrowing.

use thiserror::Error;

use crate::biscuit::{Alternative, Binary, Expr, Unary, Value};
use crate::constraint::{Arguments, Constraint, Scalar};
use crate::facts;
use crate::names::Operation;

/// The most expressions an alternative may have in profile sb1.
pub const MAX_EXPRESSIONS: usize = 8;

// No argument's name has a colon, so this variable never meets an argument's.
const NAMES: &str = "all:names";

/// A verb has more conditions than one alternative of a check may have.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("the constraints on {0} take more than 8 expressions; use fewer or simpler ones")]
pub struct TooManyExpressions(String);

/// Allows the operation; with `arguments` only inside them, and no argument that they do not name.
///
/// # Errors
/// When the arguments take more than eight expressions.
pub fn alternative<'a>(
    operation: &'a Operation,
    arguments: Option<&'a Arguments>,
) -> Result<Alternative<'a>, TooManyExpressions> {
    let terms = [Value::Str(operation.tool.as_str()), Value::Str(operation.verb.as_str())];
    let mut alternative = Alternative::new().fact(facts::OPERATION, terms);
    let Some(arguments) = arguments else {
        return Ok(alternative);
    };
    for (name, constraint) in arguments {
        alternative = argument(alternative, name.as_str(), constraint);
    }
    let listed = arguments.keys().map(|name| Value::Str(name.as_str())).collect();
    alternative = alternative.fact(facts::ARGS, [Value::Var(NAMES)]).holds(
        Value::Set(listed),
        Binary::Contains,
        Value::Var(NAMES),
    );
    if alternative.expressions() > MAX_EXPRESSIONS {
        return Err(TooManyExpressions(operation.to_string()));
    }
    Ok(alternative)
}

fn argument<'a>(alternative: Alternative<'a>, name: &'a str, constraint: &'a Constraint) -> Alternative<'a> {
    if constraint.any {
        return alternative;
    }
    if let Some(value) = &constraint.eq {
        return alternative.fact(facts::ARG, [Value::Str(name), scalar(value)]);
    }
    // One variable an argument, named after it.
    let variable = || Value::Var(name);
    let mut alternative = alternative.fact(facts::ARG, [Value::Str(name), variable()]);
    if let Some(set) = &constraint.one_of {
        alternative = single(alternative, name, set.first());
        alternative =
            alternative.holds(Value::Set(set.iter().map(scalar).collect()), Binary::Contains, variable());
    }
    if let Some(set) = &constraint.subset {
        let length = vec![
            Expr::Value(variable()),
            Expr::Unary(Unary::Length),
            Expr::Value(Value::Int(0)),
            Expr::Binary(Binary::GreaterThan),
        ];
        alternative = alternative.expression(length);
        alternative =
            alternative.holds(Value::Set(set.iter().map(scalar).collect()), Binary::Contains, variable());
    }
    if let Some(prefix) = &constraint.prefix {
        alternative = alternative.holds(variable(), Binary::Prefix, Value::Str(prefix));
    }
    if let Some(min) = constraint.min {
        alternative = alternative.holds(variable(), Binary::GreaterOrEqual, Value::Int(min));
    }
    if let Some(max) = constraint.max {
        alternative = alternative.holds(variable(), Binary::LessOrEqual, Value::Int(max));
    }
    alternative
}

// A set contains a list of its members as well as one of them: force the type of a single value.
fn single<'a>(alternative: Alternative<'a>, name: &'a str, like: Option<&Scalar>) -> Alternative<'a> {
    match like {
        Some(Scalar::Text(_)) => alternative.holds(Value::Var(name), Binary::Prefix, Value::Str("")),
        Some(Scalar::Int(_)) => {
            alternative.holds(Value::Var(name), Binary::GreaterOrEqual, Value::Int(i64::MIN))
        }
        // Equal to itself-or-not is true of a boolean only: `!b === false` fails on any other type.
        Some(Scalar::Bool(_)) | None => alternative.expression(vec![
            Expr::Value(Value::Set(vec![Value::Bool(true), Value::Bool(false)])),
            Expr::Value(Value::Var(name)),
            Expr::Unary(Unary::Negate),
            Expr::Binary(Binary::Contains),
        ]),
    }
}

fn scalar(value: &Scalar) -> Value<'_> {
    match value {
        Scalar::Int(number) => Value::Int(*number),
        Scalar::Text(text) => Value::Str(text),
        Scalar::Bool(flag) => Value::Bool(*flag),
    }
}
