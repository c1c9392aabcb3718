//! `shortbread attenuate`: a narrower copy of a token, made without asking anyone.

use clap::Args;
use serde_json::{Value, json};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::constraint::{Arguments, Constraint, Scalar};
use shortbread_protocol::json;
use shortbread_protocol::names::{ArgName, Operation};
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::chain;
use shortbread_verifier::narrow::{Narrowing, narrow};
use shortbread_verifier::scope::Scope;

use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::text::{parse_span, span};

/// How long a copy of a bearer token lives if nothing is said, in seconds.
const BEARER_TTL: u64 = 60;

/// Make a narrower copy of a token for someone else, offline.
///
/// Every flag narrows: what the token does not grant already cannot be added.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread attenuate @token.txt --verb github/issues.read
  shortbread attenuate - --verb github/issues.write --arg github/issues.write:repo=acme/web --ttl 5m
  shortbread attenuate @token.txt --constraint 'payments/refund={\"amount\":{\"max\":500}}' --seal
  shortbread attenuate @token.txt --constraint 'files/read={\"path\":{\"path_under\":\"/srv/data\"}}'")]
pub(crate) struct AttenuateArgs {
    /// The token, `-` for standard input, or @FILE.
    token: String,
    /// Only this verb; several with the flag repeated.
    #[arg(long, value_name = "TOOL/VERB")]
    verb: Vec<Operation>,
    /// An argument of a verb must be exactly this. A number, true or false is taken as such; quote it for a text.
    #[arg(long, value_name = "TOOL/VERB:NAME=VALUE", value_parser = read_arg)]
    arg: Vec<(Operation, Arguments)>,
    /// Constraints on a verb's arguments as JSON.
    #[arg(long, value_name = "TOOL/VERB=JSON", value_parser = read_constraint)]
    constraint: Vec<(Operation, Arguments)>,
    /// How long the copy lives: seconds, or 90s, 10m, 1h [default: 60s for a bearer token, else the token's own end].
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    ttl: Option<u64>,
    /// Only for this tool service.
    #[arg(long, value_name = "URL")]
    audience: Option<String>,
    /// A remark that stands in the copy, for whoever inspects it.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// Nobody can narrow the copy further.
    #[arg(long)]
    seal: bool,
}

/// Prints the copy.
///
/// # Errors
/// When the token cannot be read or narrowed, or the flags say two things about one argument.
pub(crate) fn run(args: &AttenuateArgs, context: &Context) -> Result<(), Failure> {
    let token = files::argument(&args.token)?;
    let fix = "Give the token exactly as the broker answered it, or @FILE that holds it.";
    let bytes = chain::decode(&token).map_err(|flaw| Failure::new(flaw.to_string(), fix))?;
    let scope = chain::peek(&bytes).map_err(|flaw| Failure::new(flaw.to_string(), fix))?;
    let now = context.now();
    let until = end(args.ttl, &scope, now);
    let by = Narrowing {
        operations: (!args.verb.is_empty()).then(|| args.verb.clone()),
        arguments: merged(args.arg.iter().chain(&args.constraint))?,
        until,
        audience: args.audience.clone(),
        note: args.note.clone(),
        seal: args.seal,
    };
    let narrowed = narrow(&token, &by, &*context.random).map_err(|error| {
        Failure::new(error.to_string(), "Look at what the token grants with `shortbread inspect`.")
    })?;
    let ends = until.unwrap_or(scope.end());
    if context.ui.is_json() {
        context.ui.json(&json!({"token": narrowed, "expires": ends, "sealed": args.seal}));
    } else {
        context.ui.line(&narrowed);
        let left = span(Timestamp::from_seconds(ends).since(now).as_secs());
        context.ui.remark(&format!("(ends at {}, in {left})", Timestamp::from_seconds(ends)));
    }
    Ok(())
}

/// When the copy ends; `None` when that is the token's own end. An end that was asked for is never silently another.
fn end(ttl: Option<u64>, scope: &Scope, now: Timestamp) -> Option<u64> {
    let after = |span: u64| now.seconds().saturating_add(span);
    let bearer = scope.id(SelectorKind::Holder).is_none();
    ttl.map(after).or_else(|| Some(after(BEARER_TTL)).filter(|until| bearer && *until < scope.end()))
}

/// All that is said of a verb in one place, in the order in which the verbs come.
fn merged<'a>(
    given: impl Iterator<Item = &'a (Operation, Arguments)>,
) -> Result<Vec<(Operation, Arguments)>, Failure> {
    let mut all: Vec<(Operation, Arguments)> = Vec::new();
    for (operation, arguments) in given {
        let Some((_, known)) = all.iter_mut().find(|(other, _)| other == operation) else {
            all.push((operation.clone(), arguments.clone()));
            continue;
        };
        for (name, constraint) in arguments {
            if known.insert(name.clone(), constraint.clone()).is_some() {
                let what = format!("argument {name} of {operation} is constrained twice; say it once");
                return Err(Failure::usage(what));
            }
        }
    }
    Ok(all)
}

fn read_arg(text: &str) -> Result<(Operation, Arguments), String> {
    let rule = "write it as tool/verb:name=value, such as github/issues.write:repo=acme/web";
    // A verb has no colon and an argument's name no equals sign; the value may have both.
    let (operation, rest) = text.split_once(':').ok_or(rule)?;
    let (name, value) = rest.split_once('=').ok_or(rule)?;
    let operation: Operation = operation.parse().map_err(|error| format!("{error}"))?;
    let name: ArgName = name.parse().map_err(|error| format!("{error}"))?;
    Ok((operation, Arguments::from([(name, Constraint::exactly(scalar(value)))])))
}

fn scalar(text: &str) -> Scalar {
    match json::read(text.as_bytes()) {
        Ok(Value::Bool(flag)) => Scalar::Bool(flag),
        Ok(Value::String(quoted)) => Scalar::Text(quoted),
        Ok(Value::Number(number)) => {
            number.as_i64().map_or_else(|| Scalar::Text(text.to_owned()), Scalar::Int)
        }
        _ => Scalar::Text(text.to_owned()),
    }
}

fn read_constraint(text: &str) -> Result<(Operation, Arguments), String> {
    let rule = "write it as tool/verb={…}, such as github/issues.write={\"repo\":{\"eq\":\"acme/web\"}}";
    let (operation, object) = text.split_once('=').ok_or(rule)?;
    let operation: Operation = operation.parse().map_err(|error| format!("{error}"))?;
    let arguments: Arguments = json::read_as(object.as_bytes()).map_err(|error| error.to_string())?;
    match arguments.iter().find_map(|(name, constraint)| Some((name, constraint.check().err()?))) {
        Some((name, wrong)) => Err(format!("{name} {wrong}")),
        None => Ok((operation, arguments)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(read: &(Operation, Arguments)) -> String {
        format!("{}: {}", read.0, shortbread_broker::words::arguments(&read.1))
    }

    #[test]
    fn arguments_keep_their_types() {
        for (text, expected) in [
            ("github/issues.write:repo=acme/web", "github/issues.write: repo is \"acme/web\""),
            ("payments/refund:amount=500", "payments/refund: amount is 500"),
            ("payments/refund:charge=\"500\"", "payments/refund: charge is \"500\""),
            ("a/b:c=true", "a/b: c is true"),
            ("a/b:c=", "a/b: c is \"\""),
            ("a/b:url=https://x/?y=z", "a/b: url is \"https://x/?y=z\""),
            ("a/b:c=1.5", "a/b: c is \"1.5\""),
        ] {
            assert_eq!(words(&read_arg(text).unwrap()), expected);
        }
        for bad in ["", "a/b", "a/b:c", "a:c=1", "a/b:c d=1"] {
            assert!(read_arg(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn constraints_are_checked_before_anything_is_signed() {
        let read = read_constraint(r#"payments/refund={"amount":{"max":500}}"#).unwrap();
        assert_eq!(words(&read), "payments/refund: amount is at most 500");
        let read = read_constraint(r#"files/read={"path":{"path_under":"/srv"}}"#).unwrap();
        assert_eq!(words(&read), "files/read: path is \"/srv\" or below it");
        for bad in [
            "",
            "a/b",
            "a/b={",
            r#"a/b={"c":{}}"#,
            r#"a/b={"c":{"regex":"."}}"#,
            r#"a/b={"c":{"path_under":"srv"}}"#,
            r#"a/b={"c":{"host_in":["*.acme.example"]}}"#,
            r#"a/b={"c":{"eq":1},"c":{"eq":2}}"#,
        ] {
            assert!(read_constraint(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn an_argument_is_constrained_once() {
        let read = |texts: &[&str]| {
            let given: Vec<_> = texts.iter().map(|text| read_arg(text).unwrap()).collect();
            merged(given.iter()).map(|all| all.iter().map(words).collect::<Vec<_>>().join(" | "))
        };
        assert_eq!(read(&["a/b:c=1", "a/d:c=2", "a/b:e=3"]).unwrap(), "a/b: c is 1; e is 3 | a/d: c is 2");
        assert!(read(&["a/b:c=1", "a/b:c=2"]).is_err());
    }
}
