//! JSON as security code wants it: one value, no member twice at any depth, no deep nesting.

use std::cell::Cell;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};
use thiserror::Error;

/// How deep arrays and objects may nest; the outermost object counts as one.
pub(crate) const MAX_DEPTH: usize = 16;

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

/// Reads one object and nothing else.
pub(crate) fn object(bytes: &[u8]) -> Result<Map<String, Value>, JsonError> {
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
