//! Constraints on arguments, as requests, policies and answers spell them, and their meeting point:
//! what two of them allow together.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::names::ArgName;
use crate::normalise::{self, Facet, Forms};

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
    /// A path that is this directory or below it, on an argument of the form `path`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path_under: Option<String>,
    /// A URL at one of these hosts, on an argument of the form `url` or `private_url`: `api.acme.example`, with `:PORT`
    /// where it is not 443 and `http://` where it is not https.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_in: Option<BTreeSet<String>>,
    /// Any value, or none: the argument is merely listed. Where the catalogue gives it a form it must be there, and any
    /// value of that form will do.
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
            + usize::from(self.min.is_some() || self.max.is_some())
            + usize::from(self.path_under.is_some())
            + usize::from(self.host_in.is_some());
        match (kinds, self.any) {
            (0, false) => {
                return Err(
                    "names no kind; use one of eq, in, subset, prefix, min, max, path_under, host_in, any",
                );
            }
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
        if self.path_under.as_ref().is_some_and(|path| normalise::directory(path).is_err()) {
            return Err("has a path_under that is no absolute directory");
        }
        match &self.host_in {
            Some(hosts) if hosts.is_empty() => Err("lists no host at all"),
            Some(hosts) if hosts.iter().any(|host| normalise::host(host, true).is_err()) => Err(
                "has a host_in with something that is no host; write api.acme.example, with :PORT where it is \
                     not 443 and http:// where it is not https",
            ),
            _ => Ok(()),
        }
    }

    /// What both allow, or `None` when they have nothing in common. Never wider than either. Of a `prefix` and a
    /// `path_under`, which compare two spellings of an argument, nothing is made.
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
        if let Some(met) = self.meet_places(other) {
            return met;
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

    // `None` when neither says anything of places.
    fn meet_places(&self, other: &Self) -> Option<Option<Self>> {
        let none = |kind: &Self| kind.path_under.is_none() && kind.host_in.is_none();
        if none(self) && none(other) {
            return None;
        }
        if let (Some(a), Some(b)) = (&self.path_under, &other.path_under) {
            let (a_is_under, b_is_under) = (is_under(a, b), is_under(b, a));
            return Some(if a_is_under { Some(self.clone()) } else { b_is_under.then(|| other.clone()) });
        }
        let (Some(a), Some(b)) = (&self.host_in, &other.host_in) else {
            return Some(None);
        };
        let (a, b) = (hosts(a), hosts(b));
        let common: BTreeSet<_> = a.intersection(&b).cloned().collect();
        Some((!common.is_empty()).then(|| Self { host_in: Some(common), ..Self::default() }))
    }

    /// Whether a single value lies inside. `path_under` and `host_in` read the value as the forms `path` and
    /// `private_url` have it; all else compares what is given.
    #[must_use]
    pub fn admits(&self, value: &Scalar) -> bool {
        let under = |path: &String| matches!(value, Scalar::Text(text) if is_under(text, path));
        let at_one = |set: &BTreeSet<String>| match Facet::PrivateHost.read(value) {
            Ok(Scalar::Text(host)) => hosts(set).contains(&host),
            _ => false,
        };
        let text = |prefix: &String| matches!(value, Scalar::Text(text) if text.starts_with(prefix.as_str()));
        let number = |holds: &dyn Fn(i64) -> bool| matches!(value, Scalar::Int(number) if holds(*number));
        self.eq.as_ref().is_none_or(|eq| eq == value)
            && self.one_of.as_ref().is_none_or(|set| set.contains(value))
            && self.subset.as_ref().is_none_or(|set| set.contains(value))
            && self.prefix.as_ref().is_none_or(text)
            && self.min.is_none_or(|min| number(&|n| n >= min))
            && self.max.is_none_or(|max| number(&|n| n <= max))
            && self.path_under.as_ref().is_none_or(under)
            && self.host_in.as_ref().is_none_or(at_one)
    }

    fn values(&self) -> Option<BTreeSet<Scalar>> {
        match (&self.eq, &self.one_of) {
            (Some(value), _) => Some(BTreeSet::from([value.clone()])),
            (None, set) => set.clone(),
        }
    }
}

/// What both argument lists allow together: names that stand in both, each at its meeting point.
/// `None` when an argument that must be there has no value left, so that the verb could never be called.
///
/// Both are of one verb, whose `forms` these are, and in their spelling ([`normalise::constraint`]).
#[must_use]
pub fn meet(a: &Arguments, b: &Arguments, forms: &Forms) -> Option<Arguments> {
    let lost = |from: &Arguments, other: &Arguments| {
        let must = |name: &ArgName, constraint: &Constraint| !constraint.any || forms.contains_key(name);
        from.iter().any(|(name, constraint)| must(name, constraint) && !other.contains_key(name))
    };
    if lost(a, b) || lost(b, a) {
        return None;
    }
    let common = a.iter().filter_map(|(name, left)| b.get(name).map(|right| (name, left, right)));
    common.map(|(name, left, right)| left.meet(right).map(|met| (name.clone(), met))).collect()
}

/// Whether a path is a directory or below it; never where one of them is no absolute path.
fn is_under(path: &str, directory: &str) -> bool {
    match (normalise::directory(path), normalise::directory(directory)) {
        (Ok(path), Ok(directory)) => path.starts_with(&directory),
        _ => false,
    }
}

fn hosts(listed: &BTreeSet<String>) -> BTreeSet<String> {
    listed.iter().filter_map(|host| normalise::host(host, true).ok()).collect()
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
    use crate::normalise::Form;
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
        assert_eq!(meet(&demanding, &Arguments::new(), &Forms::new()), None);
        let listing = Arguments::from([(name.clone(), Constraint::anything())]);
        assert_eq!(meet(&listing, &Arguments::new(), &Forms::new()), Some(Arguments::new()));
        // One that has a form must be there, whatever its value.
        let forms = Forms::from([(name, Form::Url)]);
        assert_eq!(meet(&listing, &Arguments::new(), &forms), None);
        assert_eq!(meet(&Arguments::new(), &listing, &forms), None);
        assert_eq!(meet(&listing, &listing, &forms), Some(listing));
    }

    fn is_text(value: &Scalar) -> bool {
        matches!(value, Scalar::Text(_))
    }

    fn scalar() -> impl Strategy<Value = Scalar> {
        let places = [
            "/",
            "/a",
            "/a/",
            "/a/b",
            "/ab",
            "/a/../b",
            "/a/b/..",
            "/a\\b",
            "https://a.example/",
            "https://b.example/x",
            "https://A.example:443/y",
            "http://a.example/",
            "http://localhost:80/",
            "https://c.example#@a.example/",
        ];
        prop_oneof![
            (-3i64..4).prop_map(Scalar::Int),
            "[ab]{0,2}".prop_map(Scalar::Text),
            proptest::sample::select(places.to_vec()).prop_map(text),
        ]
    }

    fn constraint() -> impl Strategy<Value = Constraint> {
        let set = || {
            let ints = proptest::collection::btree_set((-3i64..4).prop_map(Scalar::Int), 1..4);
            prop_oneof![ints, proptest::collection::btree_set(scalar().prop_filter("texts", is_text), 1..4)]
        };
        let directory = proptest::sample::select(vec!["/", "/a", "/a/", "/a/b", "/a/../b", "/b"]);
        let hosts = proptest::sample::select(vec![
            "a.example",
            "b.example:443",
            "http://a.example",
            "http://localhost",
        ]);
        let hosts = proptest::collection::btree_set(hosts, 1..3);
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
            directory
                .prop_map(|path| Constraint { path_under: Some(path.to_owned()), ..Constraint::default() }),
            hosts.prop_map(|set| Constraint {
                host_in: Some(set.into_iter().map(str::to_owned).collect()),
                ..Constraint::default()
            }),
        ]
    }

    const NAMES: [&str; 2] = ["x", "y"];

    fn name() -> impl Strategy<Value = ArgName> {
        proptest::sample::select(NAMES.to_vec()).prop_map(|name| name.parse().unwrap())
    }

    fn forms() -> impl Strategy<Value = Forms> {
        let form = proptest::sample::select(vec![Form::Path, Form::Url, Form::PrivateUrl, Form::Integer]);
        proptest::collection::btree_map(name(), form, 0..3)
    }

    fn listed() -> impl Strategy<Value = Arguments> {
        proptest::collection::btree_map(name(), prop_oneof![constraint(), Just(Constraint::anything())], 0..3)
    }

    /// As a policy and a request have them; what does not go with its form is refused there.
    fn spelled(arguments: Arguments, forms: &Forms) -> Arguments {
        let form = |name: &ArgName| forms.get(name).copied();
        let fits = arguments.into_iter().filter_map(|(name, given)| {
            let place = given.path_under.is_some() || given.host_in.is_some();
            if form(&name).is_none() && place {
                return None;
            }
            normalise::constraint(form(&name), &given).ok().map(|normal| (name, normal))
        });
        fits.collect()
    }

    /// What a list of arguments allows, by its words.
    fn allows(arguments: &Arguments, forms: &Forms, call: &BTreeMap<ArgName, Scalar>) -> bool {
        let one = |name: &ArgName, constraint: &Constraint| match (forms.get(name), call.get(name)) {
            (None, _) if constraint.any => true,
            (None, Some(value)) => constraint.admits(value),
            (Some(form), Some(value)) => form.value(value).is_ok_and(|value| constraint.admits(&value)),
            (_, None) => false,
        };
        call.keys().all(|name| arguments.contains_key(name))
            && arguments.iter().all(|(name, constraint)| one(name, constraint))
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn what_two_lists_allow_together_each_of_them_allows(
            a in listed(), b in listed(), forms in forms(),
            call in proptest::collection::btree_map(name(), scalar(), 0..3),
        ) {
            let (a, b) = (spelled(a, &forms), spelled(b, &forms));
            if let Some(met) = meet(&a, &b, &forms) && allows(&met, &forms, &call) {
                prop_assert!(allows(&a, &forms, &call), "{:?} {:?}", a, call);
                prop_assert!(allows(&b, &forms, &call), "{:?} {:?}", b, call);
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn meeting_admits_exactly_what_both_admit(a in constraint(), b in constraint(), value in scalar()) {
            let met = a.meet(&b).is_some_and(|met| met.admits(&value));
            let both = a.admits(&value) && b.admits(&value);
            // A prefix and a place have no common form, so that less is left of them than both admit: nothing.
            let place = |kind: &Constraint| kind.path_under.is_some() || kind.host_in.is_some();
            if a.prefix.is_some() && place(&b) || b.prefix.is_some() && place(&a) {
                prop_assert!(!met);
            } else {
                prop_assert_eq!(met, both);
            }
            prop_assert_eq!(a.meet(&b).is_none(), b.meet(&a).is_none());
            prop_assert!(a.meet(&b).is_none_or(|met| met.check().is_ok()));
        }
    }

    #[test]
    fn places_are_looked_at_as_they_are_given() {
        let read = |json: &str| serde_json::from_str::<Constraint>(json).unwrap();
        for json in [r#"{"path_under":"/srv/data"}"#, r#"{"host_in":["a.example","http://b.example:8080"]}"#]
        {
            assert!(read(json).check().is_ok());
            assert_eq!(serde_json::to_string(&read(json)).unwrap(), json);
        }
        for (json, says) in [
            (r#"{"path_under":"srv"}"#, "no absolute directory"),
            (r#"{"path_under":"/srv/%2e%2e"}"#, "no absolute directory"),
            (r#"{"host_in":[]}"#, "no host at all"),
            (r#"{"host_in":["*.a.example"]}"#, "no host"),
            (r#"{"host_in":["https://a.example/"]}"#, "no host"),
            (r#"{"path_under":"/a","prefix":"/b"}"#, "do not go together"),
            (r#"{"path_under":"/a","any":true}"#, "any with another"),
        ] {
            assert!(read(json).check().unwrap_err().contains(says), "{json}");
        }
    }
}
