//! Constraints on arguments, as requests, policies and answers spell them, and their meeting point:
//! what two of them allow together.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::names::ArgName;

/// A single value an argument can be compared with.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Scalar {
    /// An integer; money is in minor units.
    Int(i64),
    /// A text.
    Text(String),
    /// True or false.
    Bool(bool),
}

/// What one argument may be. Several members must all hold. Nothing at all is not a constraint: say `{"any": true}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Constraint {
    /// Exactly this value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eq: Option<Scalar>,
    /// One of these values.
    #[serde(default, rename = "in", skip_serializing_if = "Option::is_none")]
    pub one_of: Option<BTreeSet<Scalar>>,
    /// A non-empty list of none but these values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subset: Option<BTreeSet<Scalar>>,
    /// A text that starts so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// An integer of at least this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min: Option<i64>,
    /// An integer of at most this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max: Option<i64>,
    /// Any value, or none: the argument is merely listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any: bool,
}

/// The constraints of one verb: a closed world, in which an argument that is not named is refused.
pub type Arguments = BTreeMap<ArgName, Constraint>;

impl Constraint {
    /// Any value.
    #[must_use]
    pub fn anything() -> Self {
        Self { any: true, ..Self::default() }
    }

    /// Exactly this value.
    #[must_use]
    pub fn exactly(value: Scalar) -> Self {
        Self { eq: Some(value), ..Self::default() }
    }

    /// Says what is wrong with this constraint on its own, in words that follow the argument's name.
    ///
    /// # Errors
    /// When it is empty, mixes types, can never hold, or combines `any` with another kind.
    pub fn check(&self) -> Result<(), &'static str> {
        let kinds = usize::from(self.eq.is_some())
            + usize::from(self.one_of.is_some())
            + usize::from(self.subset.is_some())
            + usize::from(self.prefix.is_some())
            + usize::from(self.min.is_some() || self.max.is_some());
        match (kinds, self.any) {
            (0, false) => return Err("names no kind; use one of eq, in, subset, prefix, min, max, any"),
            (1.., true) => return Err("combines any with another kind"),
            (2.., false) => return Err("combines kinds that do not go together; only min and max do"),
            _ => {}
        }
        if let Some(set) = self.one_of.as_ref().or(self.subset.as_ref()) {
            one_type(set)?;
        }
        if self.min.zip(self.max).is_some_and(|(min, max)| min > max) {
            return Err("has a min above its max");
        }
        Ok(())
    }

    /// What both allow, or `None` when they have nothing in common. Never wider than either.
    #[must_use]
    pub fn meet(&self, other: &Self) -> Option<Self> {
        match (self.any, other.any) {
            (true, _) => return Some(other.clone()),
            (_, true) => return Some(self.clone()),
            _ => {}
        }
        if self.subset.is_some() || other.subset.is_some() {
            let common: BTreeSet<_> =
                self.subset.as_ref()?.intersection(other.subset.as_ref()?).cloned().collect();
            return (!common.is_empty()).then(|| Self { subset: Some(common), ..Self::default() });
        }
        // Finite sets first: what remains of them is decided value by value.
        if let Some(values) = self.values().or_else(|| other.values()) {
            let left: BTreeSet<_> =
                values.into_iter().filter(|v| self.admits(v) && other.admits(v)).collect();
            return match left.len() {
                0 => None,
                1 => left.into_iter().next().map(Self::exactly),
                _ => Some(Self { one_of: Some(left), ..Self::default() }),
            };
        }
        match (&self.prefix, &other.prefix) {
            (Some(a), Some(b)) if a.starts_with(b.as_str()) => Some(self.clone()),
            (Some(a), Some(b)) if b.starts_with(a.as_str()) => Some(other.clone()),
            (None, None) => {
                let min = self.min.max(other.min);
                let max = [self.max, other.max].into_iter().flatten().min();
                let empty = min.zip(max).is_some_and(|(min, max)| min > max);
                (!empty).then(|| Self { min, max, ..Self::default() })
            }
            _ => None,
        }
    }

    /// Whether a single value lies inside.
    #[must_use]
    pub fn admits(&self, value: &Scalar) -> bool {
        let text = |prefix: &String| matches!(value, Scalar::Text(text) if text.starts_with(prefix.as_str()));
        let number = |holds: &dyn Fn(i64) -> bool| matches!(value, Scalar::Int(number) if holds(*number));
        self.eq.as_ref().is_none_or(|eq| eq == value)
            && self.one_of.as_ref().is_none_or(|set| set.contains(value))
            && self.subset.as_ref().is_none_or(|set| set.contains(value))
            && self.prefix.as_ref().is_none_or(text)
            && self.min.is_none_or(|min| number(&|n| n >= min))
            && self.max.is_none_or(|max| number(&|n| n <= max))
    }

    fn values(&self) -> Option<BTreeSet<Scalar>> {
        match (&self.eq, &self.one_of) {
            (Some(value), _) => Some(BTreeSet::from([value.clone()])),
            (None, set) => set.clone(),
        }
    }
}

/// What both argument lists allow together: names that stand in both, each at its meeting point.
/// `None` when a constrained argument has no value left, so that the verb could never be called.
#[must_use]
pub fn meet(a: &Arguments, b: &Arguments) -> Option<Arguments> {
    let lost = |from: &Arguments, other: &Arguments| {
        from.iter().any(|(name, constraint)| !constraint.any && !other.contains_key(name))
    };
    if lost(a, b) || lost(b, a) {
        return None;
    }
    let common = a.iter().filter_map(|(name, left)| b.get(name).map(|right| (name, left, right)));
    common.map(|(name, left, right)| left.meet(right).map(|met| (name.clone(), met))).collect()
}

fn one_type(set: &BTreeSet<Scalar>) -> Result<(), &'static str> {
    let mut kinds = set.iter().map(std::mem::discriminant);
    match kinds.next() {
        None => Err("lists no value at all"),
        Some(first) if kinds.any(|kind| kind != first) => Err("mixes texts, integers and booleans"),
        Some(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(value: &str) -> Scalar {
        Scalar::Text(value.to_owned())
    }

    #[test]
    fn unclear_constraints_are_named() {
        assert!(Constraint::default().check().is_err());
        assert!(Constraint { any: true, ..Constraint::exactly(text("a")) }.check().is_err());
        assert!(Constraint { one_of: Some(BTreeSet::new()), ..Constraint::default() }.check().is_err());
        assert!(Constraint { min: Some(2), max: Some(1), ..Constraint::default() }.check().is_err());
        assert!(Constraint { min: Some(1), max: Some(2), ..Constraint::default() }.check().is_ok());
    }

    #[test]
    fn json_spelling_is_fixed() {
        let read: Constraint = serde_json::from_str(r#"{"in":["a","b"]}"#).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), r#"{"in":["a","b"]}"#);
        assert!(serde_json::from_str::<Constraint>(r#"{"regex":"."}"#).is_err());
        assert!(serde_json::from_str::<Constraint>(r#"{"eq":["a"]}"#).is_err());
        assert!(serde_json::from_str::<Constraint>(r#"{"eq":1.5}"#).is_err());
    }

    #[test]
    fn an_argument_that_one_side_demands_and_the_other_does_not_list_leaves_nothing() {
        let name: ArgName = "repo".parse().unwrap();
        let demanding = Arguments::from([(name.clone(), Constraint::exactly(text("a")))]);
        assert_eq!(meet(&demanding, &Arguments::new()), None);
        let listing = Arguments::from([(name, Constraint::anything())]);
        assert_eq!(meet(&listing, &Arguments::new()), Some(Arguments::new()));
    }

    fn scalar() -> impl Strategy<Value = Scalar> {
        prop_oneof![(-3i64..4).prop_map(Scalar::Int), "[ab]{0,2}".prop_map(Scalar::Text)]
    }

    fn constraint() -> impl Strategy<Value = Constraint> {
        let set = || proptest::collection::btree_set(scalar(), 1..4);
        prop_oneof![
            scalar().prop_map(Constraint::exactly),
            set().prop_map(|s| Constraint { one_of: Some(s), ..Constraint::default() }),
            "[ab]{0,2}".prop_map(|p| Constraint { prefix: Some(p), ..Constraint::default() }),
            (-3i64..4).prop_map(|n| Constraint { min: Some(n), ..Constraint::default() }),
            (-3i64..4, 0i64..4).prop_map(|(n, w)| Constraint {
                min: Some(n),
                max: Some(n + w),
                ..Constraint::default()
            }),
            Just(Constraint::anything()),
        ]
    }

    proptest! {
        #[test]
        fn meeting_admits_exactly_what_both_admit(a in constraint(), b in constraint(), value in scalar()) {
            let met = a.meet(&b).is_some_and(|met| met.admits(&value));
            prop_assert_eq!(met, a.admits(&value) && b.admits(&value));
        }
    }
}
