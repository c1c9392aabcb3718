//! An entry of the audit log as reports read it: borrowed from its bytes, and forgiving. What is not as expected is as if
//! it were not there, so that no entry of a later version spoils a report.

use std::borrow::Cow;
use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

/// What reports read of an entry.
#[derive(Debug, Deserialize)]
pub(super) struct Entry<'a> {
    /// The `type`.
    #[serde(borrow, rename = "type")]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) time: Text<'a>,
    #[serde(borrow, default)]
    pub(super) subject: Text<'a>,
    #[serde(borrow, default)]
    pub(super) data: Data<'a>,
}

/// The particulars.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Data<'a> {
    #[serde(borrow)]
    pub(super) outcome: Text<'a>,
    #[serde(borrow)]
    pub(super) reasons: Texts<'a>,
    #[serde(borrow)]
    pub(super) token: Text<'a>,
    #[serde(borrow)]
    pub(super) granted: Texts<'a>,
    #[serde(borrow)]
    pub(super) segment: Part<'a>,
    #[serde(borrow)]
    pub(super) stage: Text<'a>,
    #[serde(borrow)]
    pub(super) tool: Text<'a>,
    #[serde(borrow)]
    pub(super) verb: Text<'a>,
    #[serde(borrow)]
    pub(super) observed: Text<'a>,
    #[serde(borrow)]
    pub(super) task_outcome: Text<'a>,
    #[serde(borrow)]
    pub(super) approval: Approval<'a>,
    #[serde(borrow)]
    pub(super) source: Text<'a>,
    pub(super) latency_us: Number,
    pub(super) cost_micros: Number,
    pub(super) count: Number,
    pub(super) version: Number,
    pub(super) sla_seconds: Number,
    pub(super) waited_seconds: Number,
    pub(super) repeated: Flag,
}

/// What it is counted by.
#[derive(Debug, Default)]
pub(super) struct Part<'a> {
    pub(super) intent: Text<'a>,
    pub(super) tool: Text<'a>,
    pub(super) access: Text<'a>,
    pub(super) release: Text<'a>,
}

/// The id of an approval: said on its own, or as a member of an object.
#[derive(Debug, Default)]
pub(super) struct Approval<'a>(pub(super) Text<'a>);

/// A text; anything else is an empty one.
#[derive(Debug, Default)]
pub(super) struct Text<'a>(Cow<'a, str>);

/// Texts of a list; anything else is an empty one.
#[derive(Debug, Default)]
pub(super) struct Texts<'a>(pub(super) Vec<Text<'a>>);

/// A whole number that is not negative; anything else is none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Number(pub(super) Option<u64>);

/// Whether it says `true`.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flag(pub(super) bool);

impl<'a> Entry<'a> {
    /// Reads an entry; `None` when it is no CloudEvent.
    pub(super) fn read(body: &'a [u8]) -> Option<Self> {
        serde_json::from_slice(body).ok()
    }

    /// Whom it concerns: a workflow by its name alone, an operator as `operator:alice`, else `unknown`.
    pub(super) fn principal(&self) -> Cow<'_, str> {
        match self.subject.as_str().split_once('/') {
            Some(("workflow", name)) => Cow::Borrowed(name),
            Some(("operator", name)) => Cow::Owned(format!("operator:{name}")),
            _ => Cow::Borrowed("unknown"),
        }
    }

    /// The kind without what all kinds have: `token.minted`.
    pub(super) fn short(&self) -> &str {
        let kind = self.kind.as_str();
        let kind = kind.strip_prefix("dev.shortbread.").unwrap_or_default();
        kind.strip_suffix(".v1").unwrap_or_default()
    }
}

impl Text<'_> {
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, or these words for none.
    pub(super) fn or<'s>(&'s self, none: &'s str) -> &'s str {
        if self.0.is_empty() { none } else { &self.0 }
    }
}

/// What a visitor does with everything that was not expected: takes it, and says nothing.
macro_rules! forgive {
    ($value:ty: $($name:ident($kind:ty)),*) => {
        $(fn $name<E>(self, _: $kind) -> Result<$value, E> { Ok(<$value>::default()) })*

        fn visit_unit<E>(self) -> Result<$value, E> {
            Ok(<$value>::default())
        }

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("anything")
        }
    };
}

macro_rules! forgive_seq {
    ($value:ty) => {
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<$value, A::Error> {
            while items.next_element::<IgnoredAny>()?.is_some() {}
            Ok(<$value>::default())
        }
    };
}

macro_rules! forgive_map {
    ($value:ty) => {
        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<$value, A::Error> {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(<$value>::default())
        }
    };
}

struct AsText;

impl<'de> Visitor<'de> for AsText {
    type Value = Text<'de>;

    forgive!(Text<'de>: visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64));
    forgive_seq!(Text<'de>);
    forgive_map!(Text<'de>);

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

struct AsTexts;

impl<'de> Visitor<'de> for AsTexts {
    type Value = Texts<'de>;

    forgive!(Texts<'de>: visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
    forgive_map!(Texts<'de>);

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Texts<'de>, A::Error> {
        let mut texts = Vec::new();
        while let Some(text) = items.next_element()? {
            texts.push(text);
        }
        Ok(Texts(texts))
    }
}

struct AsNumber;

impl<'de> Visitor<'de> for AsNumber {
    type Value = Number;

    forgive!(Number: visit_bool(bool), visit_i64(i64), visit_f64(f64), visit_str(&str));
    forgive_seq!(Number);
    forgive_map!(Number);

    fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
        Ok(Number(Some(number)))
    }
}

struct AsFlag;

impl<'de> Visitor<'de> for AsFlag {
    type Value = Flag;

    forgive!(Flag: visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
    forgive_seq!(Flag);
    forgive_map!(Flag);

    fn visit_bool<E>(self, flag: bool) -> Result<Flag, E> {
        Ok(Flag(flag))
    }
}

struct AsPart;

impl<'de> Visitor<'de> for AsPart {
    type Value = Part<'de>;

    forgive!(Part<'de>: visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64), visit_str(&str));
    forgive_seq!(Part<'de>);

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Part<'de>, A::Error> {
        let mut part = Part::default();
        while let Some(name) = members.next_key::<Text<'de>>()? {
            match name.as_str() {
                "intent" => part.intent = members.next_value()?,
                "tool" => part.tool = members.next_value()?,
                "access" => part.access = members.next_value()?,
                "release" => part.release = members.next_value()?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(part)
    }
}

struct AsApproval;

impl<'de> Visitor<'de> for AsApproval {
    type Value = Approval<'de>;

    forgive!(Approval<'de>: visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64));
    forgive_seq!(Approval<'de>);

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Approval<'de>, E> {
        Ok(Approval(Text(Cow::Borrowed(text))))
    }

    fn visit_str<E>(self, text: &str) -> Result<Approval<'de>, E> {
        Ok(Approval(Text(Cow::Owned(text.to_owned()))))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Approval<'de>, A::Error> {
        let mut id = Text::default();
        while let Some(name) = members.next_key::<Text<'de>>()? {
            match name.as_str() {
                "id" => id = members.next_value()?,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Approval(id))
    }
}

macro_rules! read_by {
    ($($value:ident by $visitor:ident),*) => {
        $(impl<'de: 'a, 'a> Deserialize<'de> for $value<'a> {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_any($visitor)
            }
        })*
    };
}

read_by!(Text by AsText, Texts by AsTexts, Part by AsPart, Approval by AsApproval);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AsNumber)
    }
}

impl<'de> Deserialize<'de> for Flag {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(AsFlag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_as_expected_is_not_there() {
        let body = br#"{"type":"dev.shortbread.token.minted.v1","time":"2026-11-20T12:00:00Z","subject":"operator/alice","data":
            {"outcome":"allow","reasons":["grant:1",7,null],"token":null,"granted":"a string","segment":{"intent":"a\u0022b","more":[1]},
             "latency_us":-4,"cost_micros":12,"repeated":"yes","approval":{"id":"apr_1","quorum":2},"stage":["x"],"count":1.5}}"#;
        let entry = Entry::read(body).unwrap();
        assert_eq!((entry.short(), &*entry.principal()), ("token.minted", "operator:alice"));
        let data = &entry.data;
        let reasons: Vec<_> = data.reasons.0.iter().map(Text::as_str).collect();
        assert_eq!(reasons, ["grant:1", "", ""]);
        assert_eq!((data.segment.intent.as_str(), data.approval.0.as_str()), ("a\"b", "apr_1"));
        assert_eq!((data.latency_us.0, data.cost_micros.0, data.count.0), (None, Some(12), None));
        assert!(!data.repeated.0 && data.granted.0.is_empty() && data.stage.or("none") == "none");
        assert!(Entry::read(b"[]").is_none() && Entry::read(b"{\"type\":1}").is_none());
    }
}
