//! JSON in which no object has a member twice: what one reader takes for the first, another takes for the last.

use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

/// Reads one JSON value. Nesting is limited to 128 levels.
///
/// # Errors
/// When the bytes are not JSON, or an object has a member twice at any depth.
pub fn read(bytes: &[u8]) -> Result<Value, serde_json::Error> {
    serde_json::from_slice::<Strict>(bytes).map(|strict| strict.0)
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

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
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

    fn visit_f64<E: Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut read = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            read.push(item);
        }
        Ok(Value::Array(read))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut read = Map::new();
        while let Some((name, Strict(member))) = members.next_entry::<String, Strict>()? {
            if read.insert(name.clone(), member).is_some() {
                let short: String = name.chars().take(48).collect();
                return Err(A::Error::custom(format!("member {short:?} is given twice")));
            }
        }
        Ok(Value::Object(read))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
