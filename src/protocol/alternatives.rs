//! Constraints as Datalog: the one place where what was granted becomes what a token demands.
//! The broker's mint and offline narrowing both write their checks with it.

use std::collections::BTreeSet;

use thiserror::Error;

use crate::biscuit::{Alternative, Binary, Expr, Unary, Value};
use crate::call::MAX_ARGS;
use crate::constraint::{Arguments, Constraint, Scalar};
use crate::facts;
use crate::names::{ArgName, Operation};
use crate::normalise::{self, Forms};

/// The most expressions that profile sb1 allows an alternative.
pub const MAX_EXPRESSIONS: usize = 8;

// Outside the table of argument variables, so that no argument is ever tied to the list of names.
const NAMES: &str = "names";

// As many as a call has arguments: one that must merely be of its form has a variable and no expression.
#[rustfmt::skip]
const VARIABLES: [&str; MAX_ARGS] = [
    "a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p",
    "q", "r", "s", "t", "u", "v", "w", "x", "y", "z", "aa", "ab", "ac", "ad", "ae", "af",
    "ag", "ah", "ai", "aj", "ak", "al", "am", "an", "ao", "ap", "aq", "ar", "as", "at", "au", "av",
    "aw", "ax", "ay", "az", "ba", "bb", "bc", "bd", "be", "bf", "bg", "bh", "bi", "bj", "bk", "bl",
];

/// Why constraints cannot be written into a token.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum AlternativeError {
    /// More demands than a token may make of one call.
    #[error(
        "the constraints of {0} are too many for a token, which holds {MAX_EXPRESSIONS} conditions for one verb; constrain fewer of its arguments or use eq"
    )]
    TooMany(Operation),
    /// A constraint that means nothing or can never hold.
    #[error("the constraint on argument {argument} of {operation} {cause}")]
    Unsound {
        /// Of which verb.
        operation: Operation,
        /// On which argument.
        argument: ArgName,
        /// What is wrong, in words that follow the argument's name.
        cause: String,
    },
}

/// The alternative that admits calls of `operation` with arguments inside `arguments`; `None` leaves them free.
///
/// - An argument that is not named is refused, whatever its type; one that is merely listed (`any`) may be missing, unless
///   it has one of the `forms`: then it must be there, and be of that form.
/// - `eq`, `in`, `prefix`, `min` and `max` admit a single value of their type, never a list.
/// - `subset` admits a list with at least one member, never a single value.
/// - An argument that has one of the `forms` is compared in the one spelling of that form, and so is one with `path_under`
///   or `host_in`. Whatever else has no form here, as when a token is narrowed offline, is compared as it is sent.
///
/// Members are compared before a type is forced: a value of another type then is no match, so that the alternative
/// of another grant gets its turn, where forcing the type first would end the whole check.
///
/// # Errors
/// When a constraint is not sound, or the constraints need more than [`MAX_EXPRESSIONS`].
pub fn alternative<'a>(
    operation: &'a Operation,
    arguments: Option<&'a Arguments>,
    forms: &Forms,
) -> Result<Alternative<'a>, AlternativeError> {
    let (tool, verb) = (Value::Str(operation.tool.as_str()), Value::Str(operation.verb.as_str()));
    let mut alternative = Alternative::new().fact(facts::OPERATION, [tool, verb]);
    let Some(arguments) = arguments else {
        return Ok(alternative);
    };
    let mut variables = VARIABLES.into_iter();
    for (name, constraint) in arguments {
        let unsound =
            |cause| AlternativeError::Unsound { operation: operation.clone(), argument: name.clone(), cause };
        constraint.check().map_err(|cause| unsound(cause.to_owned()))?;
        let form = forms.get(name).copied();
        if constraint.any && form.is_none() {
            continue;
        }
        let (facet, compared) =
            normalise::compared(form, constraint).map_err(|misfit| unsound(misfit.cause))?;
        let name = facet.map_or(Value::Str(name.as_str()), |facet| Value::Text(facet.of(name.as_str())));
        if let Some(value) = constant(&compared) {
            alternative = alternative.fact(facts::ARG, [name, scalar(value)]);
            continue;
        }
        let variable = variables.next().ok_or_else(|| AlternativeError::TooMany(operation.clone()))?;
        alternative = alternative.fact(facts::ARG, [name, Value::Var(variable)]);
        alternative = demand(alternative, variable, &compared);
    }
    let listed = Value::Set(arguments.keys().map(|name| Value::Str(name.as_str())).collect());
    alternative =
        alternative.fact(facts::ARGS, [Value::Var(NAMES)]).holds(listed, Binary::Contains, Value::Var(NAMES));
    if alternative.expressions() > MAX_EXPRESSIONS {
        return Err(AlternativeError::TooMany(operation.clone()));
    }
    Ok(alternative)
}

// A single permitted value needs no expression: the fact itself must be that one.
fn constant(constraint: &Constraint) -> Option<&Scalar> {
    let single = constraint.one_of.as_ref().filter(|set| set.len() == 1).and_then(BTreeSet::first);
    constraint.eq.as_ref().or(single)
}

fn demand<'a>(
    mut alternative: Alternative<'a>,
    variable: &'a str,
    constraint: &Constraint,
) -> Alternative<'a> {
    if let Some(set) = &constraint.one_of {
        alternative = one_of(alternative, variable, set);
    }
    if let Some(set) = &constraint.subset {
        alternative = subset(alternative, variable, set);
    }
    if let Some(prefix) = &constraint.prefix {
        alternative = alternative.holds(Value::Var(variable), Binary::Prefix, Value::Text(prefix.clone()));
    }
    if let Some(min) = constraint.min {
        alternative = alternative.holds(Value::Var(variable), Binary::GreaterOrEqual, Value::Int(min));
    }
    if let Some(max) = constraint.max {
        alternative = alternative.holds(Value::Var(variable), Binary::LessOrEqual, Value::Int(max));
    }
    alternative
}

// `contains` takes a list as well, so each type is forced by an operation that no list has.
fn one_of<'a>(alternative: Alternative<'a>, variable: &'a str, set: &BTreeSet<Scalar>) -> Alternative<'a> {
    let value = Value::Var(variable);
    match set.first() {
        Some(Scalar::Text(_)) => alternative.holds(members(set), Binary::Contains, value.clone()).holds(
            value,
            Binary::Prefix,
            Value::Str(""),
        ),
        Some(Scalar::Int(least)) => alternative.holds(members(set), Binary::Contains, value.clone()).holds(
            value,
            Binary::GreaterOrEqual,
            Value::Int(*least),
        ),
        // Two booleans are all there are: `!(!$v === $v)` is true of either and an error for anything else.
        _ => alternative.expression(vec![
            Expr::Value(value.clone()),
            Expr::Unary(Unary::Negate),
            Expr::Value(value),
            Expr::Binary(Binary::Equal),
            Expr::Unary(Unary::Parens),
            Expr::Unary(Unary::Negate),
        ]),
    }
}

// The empty set passes every `contains`, so a member is demanded too. A text has a length as a list has, and may
// itself be a member: `$v.contains({,}) === ($v.length() > 0)` is an error for it, and one expression, not two.
fn subset<'a>(alternative: Alternative<'a>, variable: &'a str, set: &BTreeSet<Scalar>) -> Alternative<'a> {
    let value = Value::Var(variable);
    let alternative = alternative.holds(members(set), Binary::Contains, value.clone());
    let mut filled = vec![
        Expr::Value(value.clone()),
        Expr::Unary(Unary::Length),
        Expr::Value(Value::Int(0)),
        Expr::Binary(Binary::GreaterThan),
    ];
    if matches!(set.first(), Some(Scalar::Text(_))) {
        let list = [Expr::Value(value), Expr::Value(Value::Set(Vec::new())), Expr::Binary(Binary::Contains)];
        filled.splice(0..0, list);
        filled.extend([Expr::Unary(Unary::Parens), Expr::Binary(Binary::Equal)]);
    }
    alternative.expression(filled)
}

fn members<'a>(set: &BTreeSet<Scalar>) -> Value<'a> {
    Value::Set(set.iter().map(scalar).collect())
}

fn scalar<'a>(value: &Scalar) -> Value<'a> {
    match value {
        Scalar::Int(number) => Value::Int(*number),
        Scalar::Text(text) => Value::Text(text.clone()),
        Scalar::Bool(flag) => Value::Bool(*flag),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::biscuit::{BlockWriter, Program, Symbols, print, read_block};

    fn printed(arguments: &str) -> Result<String, AlternativeError> {
        formed(arguments, "{}")
    }

    fn formed(arguments: &str, forms: &str) -> Result<String, AlternativeError> {
        let operation: Operation = "stripe/refunds.create".parse().unwrap();
        let arguments: Arguments = serde_json::from_str(arguments).unwrap();
        let mut writer = BlockWriter::after(Symbols::default());
        let forms: Forms = serde_json::from_str(forms).unwrap();
        writer.check(&[alternative(&operation, Some(&arguments), &forms)?]);
        let mut program = Program::default();
        read_block(&mut program, 0, &writer.finish()).unwrap();
        Ok(print::check(&program, 0, 0).unwrap())
    }

    #[test]
    fn each_kind_has_one_form() {
        let head = "check if operation(\"stripe\", \"refunds.create\")";
        for (arguments, body) in [
            ("{}", "args($names), {,}.contains($names)"),
            (r#"{"x":{"any":true}}"#, r#"args($names), {"x"}.contains($names)"#),
            (r#"{"x":{"eq":"a"}}"#, r#"arg("x", "a"), args($names), {"x"}.contains($names)"#),
            (
                r#"{"x":{"in":["a","b"]}}"#,
                r#"arg("x", $a), args($names), {"a", "b"}.contains($a), $a.starts_with(""), {"x"}.contains($names)"#,
            ),
            (
                r#"{"x":{"in":[2,1]}}"#,
                r#"arg("x", $a), args($names), {1, 2}.contains($a), $a >= 1, {"x"}.contains($names)"#,
            ),
            (
                r#"{"x":{"in":[true,false]}}"#,
                r#"arg("x", $a), args($names), !(!$a === $a), {"x"}.contains($names)"#,
            ),
            (
                r#"{"x":{"subset":["a"]}}"#,
                r#"arg("x", $a), args($names), {"a"}.contains($a), $a.contains({,}) === ($a.length() > 0), {"x"}.contains($names)"#,
            ),
            (
                r#"{"x":{"min":1,"max":3},"y":{"prefix":"p"}}"#,
                r#"arg("x", $a), arg("y", $b), args($names), $a >= 1, $a <= 3, $b.starts_with("p"), {"x", "y"}.contains($names)"#,
            ),
        ] {
            assert_eq!(printed(arguments).unwrap(), format!("{head}, {body}"), "{arguments}");
        }
    }

    #[test]
    fn an_argument_with_a_form_is_asked_for_in_its_spelling() {
        let head = "check if operation(\"stripe\", \"refunds.create\")";
        for (form, kinds, asked, held) in [
            (
                "path",
                r#"{"path_under":"/srv/./data/"}"#,
                r#"arg("x#path", $a)"#,
                r#"$a.starts_with("/srv/data/"), "#,
            ),
            ("path", r#"{"path_under":"/"}"#, r#"arg("x#path", $a)"#, r#"$a.starts_with("/"), "#),
            ("path", r#"{"eq":"/srv/a/../b"}"#, r#"arg("x#path", "/srv/b/")"#, ""),
            (
                "path",
                r#"{"in":["/b","/a/"]}"#,
                r#"arg("x#path", $a)"#,
                r#"{"/a/", "/b/"}.contains($a), $a.starts_with(""), "#,
            ),
            ("url", r#"{"host_in":["A.example:443"]}"#, r#"arg("x#host", "a.example")"#, ""),
            (
                "private_url",
                r#"{"host_in":["localhost:80","http://10.0.0.1:80"]}"#,
                r#"arg("x#private_host", $a)"#,
                r#"{"http://10.0.0.1", "localhost:80"}.contains($a), $a.starts_with(""), "#,
            ),
            ("url", r#"{"eq":"HTTPS://a.example"}"#, r#"arg("x#url", "https://a.example/")"#, ""),
            ("repository", r#"{"eq":"Acme/Web.git"}"#, r#"arg("x#repository", "acme/web")"#, ""),
            ("integer", r#"{"min":1,"max":3}"#, r#"arg("x#integer", $a)"#, "$a >= 1, $a <= 3, "),
            ("integer", r#"{"eq":"7"}"#, r#"arg("x#integer", 7)"#, ""),
        ] {
            let text = formed(&format!("{{\"x\":{kinds}}}"), &format!("{{\"x\":{form:?}}}")).unwrap();
            assert_eq!(text, format!("{head}, {asked}, args($names), {held}{{\"x\"}}.contains($names)"));
        }
        for form in ["path", "url", "private_url", "repository", "integer"] {
            let any = formed(r#"{"x":{"any":true}}"#, &format!("{{\"x\":{form:?}}}")).unwrap();
            let asked = format!("arg(\"x#{form}\", $a)");
            assert_eq!(any, format!("{head}, {asked}, args($names), {{\"x\"}}.contains($names)"));
        }
        // Offline there is no catalogue; a place says itself what it is of.
        for (kinds, asked) in [
            (r#"{"path_under":"/a"}"#, r#"arg("x#path", $a)"#),
            (r#"{"host_in":["localhost"]}"#, r#"arg("x#private_host", "localhost")"#),
            (r#"{"eq":"/a/../b"}"#, r#"arg("x", "/a/../b")"#),
        ] {
            assert!(printed(&format!("{{\"x\":{kinds}}}")).unwrap().contains(asked), "{kinds}");
        }
    }

    #[test]
    fn kinds_and_constants_that_do_not_go_with_a_form_are_named() {
        for (form, kinds, says) in [
            ("path", r#"{"prefix":"/srv"}"#, "uses prefix"),
            ("path", r#"{"subset":["/srv"]}"#, "uses subset"),
            ("path", r#"{"min":1}"#, "uses min or max"),
            ("path", r#"{"host_in":["a.example"]}"#, "uses host_in"),
            ("path", r#"{"eq":"/.."}"#, "leaves the root"),
            ("path", r#"{"eq":7}"#, "is no text"),
            ("url", r#"{"path_under":"/srv"}"#, "uses path_under"),
            ("url", r#"{"prefix":"https://"}"#, "uses prefix"),
            ("url", r#"{"host_in":["localhost"]}"#, "leads to a private place"),
            ("url", r#"{"eq":"https://10.0.0.1/"}"#, "leads to a private place"),
            ("repository", r#"{"prefix":"acme/"}"#, "uses prefix"),
            ("repository", r#"{"in":["acme/web","acme"]}"#, "owner/name"),
            ("integer", r#"{"eq":"07"}"#, "plain digits"),
            ("integer", r#"{"subset":[7]}"#, "uses subset"),
        ] {
            let refused = formed(&format!("{{\"x\":{kinds}}}"), &format!("{{\"x\":{form:?}}}"));
            let told = refused.unwrap_err().to_string();
            assert!(told.contains("argument x of stripe/refunds.create") && told.contains(says), "{told}");
        }
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let many: Vec<String> = (0..8).map(|n| format!("\"x{n}\":{{\"prefix\":\"p\"}}")).collect();
        let error = printed(&format!("{{{}}}", many.join(","))).unwrap_err();
        assert!(error.to_string().contains("stripe/refunds.create"), "{error}");
        let many: Vec<String> = (0..9).map(|n| format!("\"x{n}\":{{\"prefix\":\"p\"}}")).collect();
        assert!(matches!(printed(&format!("{{{}}}", many.join(","))), Err(AlternativeError::TooMany(_))));
        assert!(matches!(printed(r#"{"x":{}}"#), Err(AlternativeError::Unsound { .. })));
    }

    #[test]
    fn as_many_arguments_as_a_call_has_can_each_be_of_their_form() {
        let many = |count: usize, value: &str| {
            let members: Vec<String> = (0..count).map(|n| format!("\"x{n}\":{value}")).collect();
            format!("{{{}}}", members.join(","))
        };
        let text = formed(&many(MAX_ARGS, r#"{"any":true}"#), &many(MAX_ARGS, "\"url\"")).unwrap();
        let asked: BTreeSet<&str> =
            text.split("#url\", ").skip(1).filter_map(|at| at.split(')').next()).collect();
        assert_eq!(asked.len(), MAX_ARGS, "each has a variable of its own: {text}");
        assert!(!asked.contains("$names"));
        let one_more = formed(&many(MAX_ARGS + 1, r#"{"any":true}"#), &many(MAX_ARGS + 1, "\"url\""));
        assert!(matches!(one_more, Err(AlternativeError::TooMany(_))));
        // They leave all the expressions to others: three bounded ones beside nine of any value.
        let mut both: Arguments = serde_json::from_str(&many(12, r#"{"any":true}"#)).unwrap();
        for constraint in both.values_mut().take(3) {
            *constraint = Constraint { min: Some(1), max: Some(3), ..Constraint::default() };
        }
        assert!(formed(&serde_json::to_string(&both).unwrap(), &many(12, "\"integer\"")).is_ok());
    }

    #[test]
    fn an_argument_called_names_is_not_tied_to_the_list_of_names() {
        let text = printed(r#"{"names":{"in":["a","b"]}}"#).unwrap();
        assert!(text.contains(r#"arg("names", $a), args($names)"#), "{text}");
    }
}
