//! Arguments that have a form, told by a table: how each text is compared, without the code that brings it into its form.

use std::collections::BTreeSet;

use proptest::prelude::*;
use shortbread_protocol::constraint::{Constraint, Scalar};
use shortbread_protocol::normalise::Form;

use super::{constraint, text};

/// Texts as they are sent, the form that they are of, and how they are compared, in plain words. Others are of no form.
pub(super) const SPELLED: [(&str, Form, &str); 12] = [
    ("/srv/data", Form::Path, "/srv/data"),
    ("/srv/./data//a/", Form::Path, "/srv/data/a"),
    ("/srv/data/../x", Form::Path, "/srv/x"),
    ("/srv/database", Form::Path, "/srv/database"),
    ("/", Form::Path, ""),
    ("https://a.example/", Form::Url, "https://a.example/"),
    ("HTTPS://A.example:443", Form::Url, "https://a.example/"),
    ("https://b.example/x", Form::Url, "https://b.example/x"),
    ("https://a.example.b.example/", Form::Url, "https://a.example.b.example/"),
    ("5", Form::Integer, "5"),
    ("-1", Form::Integer, "-1"),
    ("10000", Form::Integer, "10000"),
];
const UNSPELLED: [&str; 8] = [
    "/srv/data/../../..",
    "/srv/data/%2e%2e/x",
    "srv/data",
    "http://169.254.169.254/",
    "https://a.example@b.example/",
    "https://localhost/",
    "05",
    "",
];

/// The form that the catalogue gives an argument.
pub(super) fn form(tool: &str, name: &str) -> Option<Form> {
    match (tool, name) {
        ("files", "path") => Some(Form::Path),
        ("files", "url") => Some(Form::Url),
        ("files", "count") => Some(Form::Integer),
        _ => None,
    }
}

/// How a value is compared as one of this form; `None` when it is not of it.
pub(super) fn spelled(form: Form, value: &Scalar) -> Option<String> {
    match value {
        Scalar::Int(number) => (form == Form::Integer).then(|| number.to_string()),
        Scalar::Bool(_) => None,
        Scalar::Text(text) => SPELLED
            .iter()
            .find(|(sent, of, _)| sent == text && *of == form)
            .map(|(_, _, compared)| (*compared).to_owned()),
    }
}

pub(super) fn sent() -> impl Strategy<Value = Scalar> {
    let texts: Vec<&str> = SPELLED.iter().map(|(sent, ..)| *sent).chain(UNSPELLED).collect();
    proptest::sample::select(texts).prop_map(text)
}

/// Constraints on an argument that has a form. What is of no form is refused with the whole request, so little of that.
pub(super) fn formed(form: Form) -> BoxedStrategy<Constraint> {
    let some = move |value: &Scalar| spelled(form, value).is_some();
    let all: Vec<Scalar> = SPELLED.iter().map(|(sent, ..)| text(sent)).filter(some).collect();
    let set = proptest::collection::btree_set(proptest::sample::select(all.clone()), 1..3);
    let kind = match form {
        Form::Path => proptest::sample::select(vec!["/srv", "/srv/data/", "/srv/x/../data/a"])
            .prop_map(|path| Constraint { path_under: Some(path.to_owned()), ..Constraint::default() })
            .boxed(),
        Form::Url => proptest::collection::btree_set(
            proptest::sample::select(vec!["a.example", "B.example:443", "http://a.example"])
                .prop_map(str::to_owned),
            1..3,
        )
        .prop_map(|hosts| Constraint { host_in: Some(hosts), ..Constraint::default() })
        .boxed(),
        _ => (-1i64..3)
            .prop_map(|min| Constraint { min: Some(min), max: Some(min + 5), ..Constraint::default() })
            .boxed(),
    };
    prop_oneof![
        4 => Just(Constraint::anything()),
        8 => kind,
        8 => proptest::sample::select(all).prop_map(Constraint::exactly),
        8 => set.prop_map(|set| Constraint { one_of: Some(set), ..Constraint::default() }),
        1 => constraint(),
    ]
    .boxed()
}

/// The same of an argument that has a form, by the table.
pub(super) fn holds_formed(constraint: &Constraint, value: &Scalar, form: Form) -> bool {
    let Some(value) = spelled(form, value) else { return false };
    let same = |constant: &Scalar| spelled(form, constant).as_ref() == Some(&value);
    let under = |directory: &String| {
        let directory = directory.replace("/x/../", "/");
        format!("{value}/").starts_with(&format!("{}/", directory.replace("/./", "/").trim_end_matches('/')))
    };
    let host = value.trim_start_matches("https://").split('/').next().unwrap_or_default();
    let listed = |host_in: &BTreeSet<String>| {
        host_in.iter().any(|listed| listed.to_lowercase().trim_end_matches(":443") == host)
    };
    let number = || value.parse::<i64>().unwrap();
    constraint.eq.as_ref().is_none_or(same)
        && constraint.one_of.as_ref().is_none_or(|set| set.iter().any(same))
        && constraint.path_under.as_ref().is_none_or(under)
        && constraint.host_in.as_ref().is_none_or(listed)
        && constraint.min.is_none_or(|min| number() >= min)
        && constraint.max.is_none_or(|max| number() <= max)
}
