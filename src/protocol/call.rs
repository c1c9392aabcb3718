//! A call's arguments as the verifier sees them.

use serde_json::{Map, Value};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::constraint::Scalar;
use crate::json;
use crate::normalise::{Facet, MARK, Refused};

/// The most top-level arguments a call may have.
pub const MAX_ARGS: usize = 64;

/// The most bytes of JSON a call's arguments may have.
pub const MAX_ARGS_BYTES: usize = 64 * 1024;

/// Why arguments cannot be read.
#[derive(Debug, Error)]
pub enum ArgsError {
    /// More than [`MAX_ARGS_BYTES`].
    #[error("the arguments have more than 64 KiB")]
    TooLarge,
    /// More than [`MAX_ARGS`].
    #[error("there are more than 64 arguments")]
    TooMany,
    /// Not JSON, or a member twice.
    #[error("the arguments are not sound JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// JSON, but not an object.
    #[error("the arguments are not a JSON object")]
    NotAnObject,
}

/// One argument's value, where sb1 has a type for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ArgValue {
    /// A single value.
    One(Scalar),
    /// A list of single values of one type: in ascending order, each once.
    List(Vec<Scalar>),
}

/// All top-level arguments of a call, read whole.
#[derive(Clone, Debug, Default)]
pub struct Args {
    // Sorted by name. A value without an sb1 type (null, float, object, mixed list) is listed without one, and so is one
    // under a name with the mark of a facet: a call does not say itself what its arguments mean.
    entries: Vec<(String, Option<ArgValue>)>,
    whole: Map<String, Value>,
}

impl Args {
    /// Reads the arguments from a JSON object; no bytes at all are no arguments.
    ///
    /// # Errors
    /// When they are too large, too many, not an object, or name a member twice.
    pub fn from_json(bytes: &[u8]) -> Result<Self, ArgsError> {
        if bytes.len() > MAX_ARGS_BYTES {
            return Err(ArgsError::TooLarge);
        }
        if bytes.is_empty() {
            return Ok(Self::default());
        }
        match json::read(bytes)? {
            Value::Object(members) => Self::from_members(members),
            _ => Err(ArgsError::NotAnObject),
        }
    }

    /// Takes arguments that were read already, and whose reader refused doubled members.
    ///
    /// # Errors
    /// When they are too many.
    pub fn from_members(members: Map<String, Value>) -> Result<Self, ArgsError> {
        if members.len() > MAX_ARGS {
            return Err(ArgsError::TooMany);
        }
        let value = |name: &str, value| if name.contains(MARK) { None } else { typed(value) };
        let mut entries: Vec<_> =
            members.iter().map(|(name, member)| (name.clone(), value(name, member))).collect();
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        Ok(Self { entries, whole: members })
    }

    /// The names of all arguments, of any type, in ascending order.
    pub fn names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// The name at a place in that order.
    #[must_use]
    pub fn name(&self, at: usize) -> Option<&str> {
        self.entries.get(at).map(|(name, _)| name.as_str())
    }

    /// The value of an argument, if it is there and sb1 has a type for it.
    #[must_use]
    pub fn value(&self, name: &str) -> Option<&ArgValue> {
        let at = self.entries.binary_search_by(|(entry, _)| entry.as_str().cmp(name)).ok()?;
        self.entries.get(at)?.1.as_ref()
    }

    /// A facet of an argument: `None` when the argument is not there, or is a list or of no type.
    ///
    /// # Errors
    /// When the argument is not of the form.
    #[must_use]
    pub fn facet(&self, name: &str, facet: Facet) -> Option<Result<Scalar, Refused>> {
        match self.value(name)? {
            ArgValue::One(value) => Some(facet.read(value)),
            ArgValue::List(_) => None,
        }
    }

    /// SHA-256 of the canonical JSON (RFC 8785); `None` with numbers that are no integers within ±2^53.
    #[must_use]
    pub fn digest(&self) -> Option<[u8; 32]> {
        let canonical = json::canonical(&Value::Object(self.whole.clone()))?;
        Some(Sha256::digest(canonical).into())
    }
}

fn typed(value: &Value) -> Option<ArgValue> {
    match value {
        Value::Array(items) => {
            let mut list = items.iter().map(scalar).collect::<Option<Vec<_>>>()?;
            list.sort_unstable();
            list.dedup();
            let mut kinds = list.iter().map(std::mem::discriminant);
            let first = kinds.next();
            kinds.all(|kind| Some(kind) == first).then_some(ArgValue::List(list))
        }
        single => scalar(single).map(ArgValue::One),
    }
}

fn scalar(value: &Value) -> Option<Scalar> {
    match value {
        Value::Bool(flag) => Some(Scalar::Bool(*flag)),
        Value::Number(number) => number.as_i64().map(Scalar::Int),
        Value::String(text) => Some(Scalar::Text(text.clone())),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_without_a_type_are_listed_but_have_no_value() {
        let args = Args::from_json(br#"{"z":null,"a":1.5,"b":{"c":1},"l":["x",1],"n":7,"e":[]}"#).unwrap();
        assert_eq!(args.names().collect::<Vec<_>>(), ["a", "b", "e", "l", "n", "z"]);
        assert!(["a", "b", "l", "z"].iter().all(|name| args.value(name).is_none()));
        assert_eq!(args.value("n"), Some(&ArgValue::One(Scalar::Int(7))));
        assert_eq!(args.value("e"), Some(&ArgValue::List(Vec::new())));
    }

    #[test]
    fn every_member_counts_whatever_its_type() {
        for value in
            ["null", "1.5", "{}", "{\"x\":1}", "[]", "[null]", "[1,\"x\"]", "1e400", "99999999999999999999"]
        {
            let Ok(args) = Args::from_json(format!("{{\"a\":{value}}}").as_bytes()) else {
                assert_eq!(value, "1e400", "beyond every number");
                continue;
            };
            assert_eq!(args.names().collect::<Vec<_>>(), ["a"], "{value}");
        }
        for doubled in [
            r#"{"a":null,"a":1.5}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"a":{"b":1,"b":2}}"#,
            r#"{"a":{"b":null,"b":{}}}"#,
            r#"{"a":[{"b":1.5,"b":null}]}"#,
        ] {
            assert!(matches!(Args::from_json(doubled.as_bytes()), Err(ArgsError::Json(_))), "{doubled}");
        }
    }

    #[test]
    fn a_call_does_not_say_itself_what_its_arguments_mean() {
        let args =
            Args::from_json(br##"{"path":"/srv/../etc","path#path":"/srv/data/","n":["/srv"]}"##).unwrap();
        assert_eq!(args.names().collect::<Vec<_>>(), ["n", "path", "path#path"]);
        assert_eq!(args.value("path#path"), None);
        let facet = |name| args.facet(name, Facet::Path);
        assert_eq!(facet("path"), Some(Ok(Scalar::Text("/etc/".into()))));
        assert_eq!((facet("n"), facet("path#path"), facet("other")), (None, None, None));
        assert_eq!(args.facet("path", Facet::Integer), Some(Err(Refused("is no integer in plain digits"))));
    }

    #[test]
    fn digest_is_of_the_canonical_form() {
        let args = Args::from_json(br#"{ "charge": "ch_1", "amount": 5000 }"#).unwrap();
        let digest = hex::encode(args.digest().unwrap());
        assert_eq!(digest, "948dbfc4ff7ae082a9fdaeede98676c50205e37ccfff963bb11a01485d5504b7");
    }

    #[test]
    fn limits_are_enforced() {
        let many = (0..65).map(|n| format!("\"a{n}\":1")).collect::<Vec<_>>().join(",");
        assert!(matches!(Args::from_json(format!("{{{many}}}").as_bytes()), Err(ArgsError::TooMany)));
        assert!(matches!(Args::from_json(&[b' '; MAX_ARGS_BYTES + 1]), Err(ArgsError::TooLarge)));
        assert!(matches!(Args::from_json(b"[]"), Err(ArgsError::NotAnObject)));
        assert!(matches!(Args::from_json(br#"{"a":1,"a":2}"#), Err(ArgsError::Json(_))));
    }
}
