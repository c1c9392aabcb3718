//! Approving less than was asked for: verbs and calls left out, arguments held to values, a shorter life.

use std::collections::BTreeMap;

use clap::Args;
use shortbread_protocol::admin::NarrowBody;
use shortbread_protocol::approval::Shown;
use shortbread_protocol::constraint::{Arguments, Constraint, Scalar};
use shortbread_protocol::json;
use shortbread_protocol::names::{ArgName, Operation};

use crate::failure::Failure;
use crate::files;
use crate::text::{parse_span, span};
use shortbread_broker::words;

/// What to leave out.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Less than was asked for")]
pub(super) struct NarrowArgs {
    /// Leave a verb out. Can be repeated.
    #[arg(long, value_name = "TOOL/VERB")]
    drop: Vec<Operation>,
    /// Leave an exact call out, by the number that `show` gives it. Can be repeated.
    #[arg(long, value_name = "N")]
    drop_call: Vec<u32>,
    /// Hold an argument of a verb to one value, as "github/issues.write repo=acme/web". Can be repeated.
    #[arg(long, value_name = "TOOL/VERB ARG=VALUE", value_parser = Held::parse, conflicts_with = "constraints")]
    constrain: Vec<Held>,
    /// By verb, what every argument may be, as JSON or @FILE: {"github/issues.write":{"repo":{"eq":"acme/web"},"title":{"any":true}}}.
    /// Arguments that are not named are refused.
    #[arg(long, value_name = "JSON")]
    constraints: Option<String>,
    /// A shorter life of the token: seconds, or 90s, 5m.
    #[arg(long, value_name = "SPAN", value_parser = parse_span)]
    ttl: Option<u64>,
}

/// An argument of a verb, and the one value that it may have.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    operation: Operation,
    arg: ArgName,
    value: Scalar,
}

impl Held {
    fn parse(text: &str) -> Result<Self, String> {
        let form = || "write it as \"github/issues.write repo=acme/web\"".to_owned();
        let (operation, rest) = text.trim().split_once(char::is_whitespace).ok_or_else(form)?;
        let (arg, value) = rest.trim_start().split_once('=').ok_or_else(form)?;
        // A text that looks like a number can be given in quotation marks.
        let value = serde_json::from_str::<Scalar>(value).unwrap_or_else(|_| Scalar::Text(value.to_owned()));
        let operation = operation.parse().map_err(|error| format!("{error}"))?;
        Ok(Self { operation, arg: arg.parse().map_err(|error| format!("{error}"))?, value })
    }
}

impl NarrowArgs {
    /// Whether what is asked for has to be known, to say what is left of it.
    pub(super) fn needs_shown(&self) -> bool {
        !self.constrain.is_empty()
    }

    /// As the broker takes it; `None` when nothing is left out.
    ///
    /// # Errors
    /// When a constraint makes no sense, or is of something that was not asked for.
    pub(super) fn body(&self, shown: Option<&Shown>) -> Result<Option<NarrowBody>, Failure> {
        let mut constraints = match &self.constraints {
            Some(text) => read(text)?,
            None => BTreeMap::new(),
        };
        for held in &self.constrain {
            let listed = match constraints.get_mut(&held.operation) {
                Some(listed) => listed,
                None => constraints.entry(held.operation.clone()).or_insert(others(&held.operation, shown)?),
            };
            hold(listed, held, shown)?;
        }
        let body = NarrowBody {
            drop: self.drop.clone(),
            drop_calls: self.drop_call.clone(),
            constraints,
            ttl: self.ttl,
        };
        Ok((body != NarrowBody::default()).then_some(body))
    }
}

fn read(text: &str) -> Result<BTreeMap<Operation, Arguments>, Failure> {
    let text = files::argument(text)?;
    let read: BTreeMap<Operation, Arguments> = json::read_as(text.as_bytes()).map_err(|error| {
        Failure::usage(format!("--constraints is not what verbs may be called with: {error}"))
    })?;
    for (operation, arguments) in &read {
        for (name, constraint) in arguments {
            constraint
                .check()
                .map_err(|flaw| Failure::usage(format!("--constraints: {operation}: {name} {flaw}")))?;
        }
    }
    Ok(read)
}

// An argument that is not named is refused, so those that stay as they are have to be named.
fn others(operation: &Operation, shown: Option<&Shown>) -> Result<Arguments, Failure> {
    let rights = shown.iter().flat_map(|shown| &shown.rights).filter(|right| right.operation == *operation);
    let mut names = Arguments::new();
    let mut asked = false;
    for right in rights {
        asked = true;
        let listed = right.constraints.iter().flatten();
        names.extend(listed.map(|(name, _)| (name.clone(), Constraint::anything())));
    }
    if asked {
        return Ok(names);
    }
    Err(Failure::usage(match shown.is_some_and(|shown| !shown.calls.is_empty()) {
        true => {
            "--constrain is for verbs, and this request is for exact calls; leave calls out with --drop-call"
                .to_owned()
        }
        false => format!("--constrain: {operation} is not asked for"),
    }))
}

fn hold(listed: &mut Arguments, held: &Held, shown: Option<&Shown>) -> Result<(), Failure> {
    let (operation, arg) = (&held.operation, &held.arg);
    let of = |shown: &Shown| {
        shown.rights.iter().any(|right| right.operation == *operation && right.constraints.is_none())
    };
    if !listed.contains_key(arg) && !shown.is_some_and(of) {
        let names: Vec<&str> = listed.keys().map(ArgName::as_str).collect();
        return Err(Failure::usage(format!(
            "--constrain: {operation} is not asked for with an argument {arg}; it has: {}",
            names.join(", ")
        )));
    }
    let before = listed.insert(arg.clone(), Constraint::exactly(held.value.clone()));
    if before.is_some_and(|before| !before.any) {
        return Err(Failure::usage(format!("--constrain holds {arg} of {operation} to two values")));
    }
    Ok(())
}

/// In words that follow "approve it": `without call 1, for 5m at most`.
pub(super) fn words(narrow: &NarrowBody) -> String {
    let mut parts: Vec<String> = narrow.drop.iter().map(|verb| format!("without {verb}")).collect();
    parts.extend(narrow.drop_calls.iter().map(|call| format!("without call {call}")));
    parts.extend(
        narrow.constraints.iter().map(|(verb, args)| format!("{verb} only where {}", words::arguments(args))),
    );
    parts.extend(narrow.ttl.map(|ttl| format!("for {} at most", span(ttl))));
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::answer;
    use super::*;

    fn args(constrain: &[&str]) -> NarrowArgs {
        let held = constrain.iter().map(|text| Held::parse(text).unwrap()).collect();
        NarrowArgs { constrain: held, ..NarrowArgs::default() }
    }

    #[test]
    fn nothing_left_out_is_no_narrowing() {
        assert_eq!(NarrowArgs::default().body(None).unwrap(), None);
        let less = NarrowArgs { drop_call: vec![1], ttl: Some(300), ..NarrowArgs::default() }
            .body(None)
            .unwrap()
            .unwrap();
        assert_eq!(words(&less), "without call 1, for 5m at most");
    }

    #[test]
    fn holding_one_argument_leaves_the_others_as_they_are() {
        let shown = answer(false).shown;
        let body = args(&["github/issues.write title=a=b"]).body(Some(&shown)).unwrap().unwrap();
        assert_eq!(words(&body), "github/issues.write only where repo is anything; title is \"a=b\"");
        for bad in [
            &["github/issues.write body=x"][..],
            &["github/repo.delete repo=x"],
            &["github/issues.write title=x", "github/issues.write title=y"],
        ] {
            assert!(args(bad).body(Some(&shown)).is_err(), "{bad:?}");
        }
        let calls = args(&["payments/refunds.create amount=1"]).body(Some(&answer(true).shown)).unwrap_err();
        assert!(calls.to_string().contains("--drop-call"), "{calls}");
    }

    #[test]
    fn values_are_read_as_what_they_look_like() {
        for (text, value) in [
            ("a/b n=12", Scalar::Int(12)),
            ("a/b n=true", Scalar::Bool(true)),
            ("a/b n=\"12\"", Scalar::Text("12".to_owned())),
            ("a/b n=acme/web x", Scalar::Text("acme/web x".to_owned())),
        ] {
            assert_eq!(Held::parse(text).unwrap().value, value);
        }
        for bad in ["", "a/b", "a/b x", "a x=1", "a/b =1"] {
            assert!(Held::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn constraints_are_checked_before_they_are_sent() {
        let read = |text: &str| {
            NarrowArgs { constraints: Some(text.to_owned()), ..NarrowArgs::default() }.body(None)
        };
        assert!(read(r#"{"a/b":{"x":{"eq":1}}}"#).unwrap().is_some());
        for bad in ["{", "[]", r#"{"a/b":{"x":{}}}"#, r#"{"a":{}}"#] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
