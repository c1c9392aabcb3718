//! JSON as security code wants it: one value, no member twice at any depth, no deep nesting. What one reader takes for
//! the first member of a name, another takes for the last.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// How deep any value may nest.
const MAX_NESTING: usize = 128;

/// How deep [`object`] lets arrays and objects nest; the outermost object counts as one.
pub const MAX_DEPTH: usize = 16;

/// Bytes that are not one plain JSON object.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq, Hash)]
pub enum JsonError {
    /// Broken JSON, broken UTF-8, or something after the value.
    #[error("it is not JSON")]
    Malformed,
    /// Readers disagree about which of two equal members counts.
    #[error("a member stands twice in one object")]
    Duplicate,
    /// More than 16 levels.
    #[error("it is nested more than 16 levels deep")]
    TooDeep,
    /// Another kind of value.
    #[error("it is not a JSON object")]
    NotObject,
}

/// Reads one JSON value. Nesting is limited to 128 levels.
///
/// # Errors
/// When the bytes are not JSON, or an object has a member twice at any depth; with line and column.
pub fn read(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    let fault = Cell::new(JsonError::Malformed);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { left: MAX_NESTING, fault: &fault }.deserialize(&mut reader)?;
    reader.end()?;
    Ok(value)
}

/// Reads one object and nothing else.
///
/// # Errors
/// What is wrong, without a word of the bytes.
pub fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
    let fault = Cell::new(JsonError::Malformed);
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value =
        Strict { left: MAX_DEPTH, fault: &fault }.deserialize(&mut reader).map_err(|_| fault.get())?;
    reader.end().map_err(|_| JsonError::Malformed)?;
    match value {
        Value::Object(members) => Ok(members),
        _ => Err(JsonError::NotObject),
    }
}

/// Reads a typed value out of JSON without doubled members.
///
/// # Errors
/// As [`read`], and when the value does not fit the type.
pub fn read_as<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    // Twice over the bytes, so that errors of the type keep their line and column.
    read(bytes)?;
    serde_json::from_slice(bytes)
}

/// Writes a value in one canonical form: members sorted by name, no white space (RFC 8785 for values without floats).
/// `None` when the value has a number that is no integer within ±2^53.
#[must_use]
pub fn canonical(value: &Value) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    put(&mut out, value).then_some(out)
}

fn put(out: &mut Vec<u8>, value: &Value) -> bool {
    const LIMIT: u64 = 1 << 53;
    match value {
        Value::Number(number) => {
            let exact = number.as_i64().is_some_and(|n| n.unsigned_abs() <= LIMIT);
            exact && put_plain(out, value)
        }
        Value::Array(items) => {
            out.push(b'[');
            let all = items.iter().enumerate().all(|(at, item)| {
                if at > 0 {
                    out.push(b',');
                }
                put(out, item)
            });
            out.push(b']');
            all
        }
        Value::Object(members) => {
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|a, b| a.0.encode_utf16().cmp(b.0.encode_utf16()));
            out.push(b'{');
            let all = sorted.into_iter().enumerate().all(|(at, (name, member))| {
                if at > 0 {
                    out.push(b',');
                }
                let named = put_plain(out, &Value::String(name.clone()));
                out.push(b':');
                named && put(out, member)
            });
            out.push(b'}');
            all
        }
        Value::Null | Value::Bool(_) | Value::String(_) => put_plain(out, value),
    }
}

fn put_plain(out: &mut Vec<u8>, value: &Value) -> bool {
    serde_json::to_writer(out, value).is_ok()
}

#[derive(Clone, Copy)]
struct Strict<'f> {
    left: usize,
    fault: &'f Cell<JsonError>,
}

impl Strict<'_> {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        match self.left.checked_sub(1) {
            Some(left) => Ok(Self { left, ..self }),
            None => Err(self.fail(JsonError::TooDeep)),
        }
    }

    fn fail<E: serde::de::Error>(self, fault: JsonError) -> E {
        self.fault.set(fault);
        E::custom(fault)
    }
}

impl<'de> DeserializeSeed<'de> for Strict<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, reader: D) -> Result<Value, D::Error> {
        reader.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut list = Vec::new();
        while let Some(item) = items.next_element_seed(inner)? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let inner = self.deeper()?;
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(self.fail(JsonError::Duplicate));
            }
            let value = members.next_value_seed(inner)?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubled_members_are_refused_at_any_depth() {
        assert!(read(br#"{"a":1,"b":{"c":1}}"#).is_ok());
        assert!(read(br#"{"a":1,"a":1}"#).unwrap_err().to_string().contains("twice"));
        assert!(read(br#"[{"a":{"b":1,"\u0062":2}}]"#).is_err());
        assert!(read("[".repeat(10_000).as_bytes()).is_err());
    }

    #[test]
    fn canonical_form_sorts_and_refuses_floats() {
        let value = read(br#"{ "b": [1, "x"], "a": {"d": null, "c": true} }"#).unwrap();
        assert_eq!(canonical(&value).unwrap(), br#"{"a":{"c":true,"d":null},"b":[1,"x"]}"#);
        assert_eq!(canonical(&read(b"[1.5]").unwrap()), None);
        assert_eq!(canonical(&read(b"9007199254740993").unwrap()), None);
    }

    #[test]
    fn a_member_may_not_stand_twice_at_any_depth() {
        for bad in [
            r#"{"aud":"a","aud":"b"}"#,
            r#"{"aud":"a","\u0061ud":"b"}"#,
            r#"{"x":{"y":1,"y":1}}"#,
            r#"{"x":[{"y":[{"z":1,"z":2}]}]}"#,
        ] {
            assert_eq!(object(bad.as_bytes()), Err(JsonError::Duplicate), "{bad}");
        }
    }

    #[test]
    fn nesting_ends_at_sixteen() {
        let nested =
            |levels: usize| format!(r#"{{"x":{}{}}}"#, "[".repeat(levels - 1), "]".repeat(levels - 1));
        assert!(object(nested(16).as_bytes()).is_ok());
        assert_eq!(object(nested(17).as_bytes()), Err(JsonError::TooDeep));
        assert_eq!(object(nested(5000).as_bytes()), Err(JsonError::TooDeep));
    }

    #[test]
    fn only_one_whole_object() {
        for bad in ["", "{", "{} {}", "{}x", "{\"a\":1,}", "{\"a\":NaN}", "{\"a\":\"\\ud800\"}", "{a:1}"] {
            assert_eq!(object(bad.as_bytes()), Err(JsonError::Malformed), "{bad}");
        }
        assert_eq!(object(b"{\"a\":\"\xff\"}"), Err(JsonError::Malformed));
        for bad in ["[]", "1", "null", "\"x\""] {
            assert_eq!(object(bad.as_bytes()), Err(JsonError::NotObject), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn never_panics_and_agrees_with_serde_json(text in r#"[\[\]{}":,a-c0-9\\. \-e]{0,40}"#) {
            if let Ok(read) = object(text.as_bytes()) {
                let plain: Value = serde_json::from_str(&text).unwrap();
                prop_assert_eq!(Value::Object(read), plain);
            }
        }
    }
}
