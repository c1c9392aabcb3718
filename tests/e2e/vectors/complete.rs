//! No kind of revocation and no kind of constraint is without a vector.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use shortbread_protocol::constraint::{Constraint, Scalar};
use shortbread_protocol::normalise::Facet;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::vectors;

use super::{cases, file, granted};

fn entries(case: &Value) -> Vec<(&str, &str)> {
    let list = case["call"]["revoked"].as_array();
    list.into_iter()
        .flatten()
        .filter_map(|one| Some((one["kind"].as_str()?, one["value"].as_str()?)))
        .collect()
}

#[test]
fn every_kind_of_selector_has_vectors_that_hit_and_miss() {
    let all = cases();
    for kind in SelectorKind::ALL {
        let with = |expect: &str| {
            let of_kind = |case: &&Value| {
                let entries = entries(case);
                case["expect"] == expect
                    && !entries.is_empty()
                    && entries.iter().all(|(of, _)| *of == kind.as_str())
            };
            all.iter().filter(of_kind).collect::<Vec<_>>()
        };
        assert!(!with("allow").is_empty(), "no vector tells what {kind} does not revoke");
        let hits = with("deny");
        assert!(!hits.is_empty(), "no vector tells what {kind} revokes");
        if kind == SelectorKind::Access {
            let values: BTreeSet<_> =
                hits.iter().flat_map(|case| entries(case)).map(|(_, value)| value).collect();
            let wanted =
                ["read", "write", "privileged"].map(|access| [access.to_owned(), format!("github/{access}")]);
            assert!(wanted.iter().flatten().all(|wanted| values.contains(wanted.as_str())), "{values:?}");
        }
        // Each is refused for the revocation alone.
        let lifted = hits.into_iter().map(|case| {
            let mut case = case.clone();
            (case["call"]["revoked"], case["expect"]) = (json!([]), json!("allow"));
            case
        });
        let lifted = serde_json::to_vec(&file(lifted.collect())).unwrap();
        let outcomes = vectors::run(&lifted).unwrap();
        assert!(outcomes.iter().all(|outcome| outcome.passed), "{kind}: {outcomes:#?}");
    }
}

/// The word of every kind of constraint. A new one does not compile until it stands here.
fn kinds() -> BTreeSet<String> {
    let (one, texts) = (Scalar::Int(1), BTreeSet::from([Scalar::Int(1)]));
    let every = Constraint {
        eq: Some(one),
        one_of: Some(texts.clone()),
        subset: Some(texts),
        prefix: Some(String::new()),
        min: Some(1),
        max: Some(1),
        path_under: Some(String::new()),
        host_in: Some(BTreeSet::new()),
        any: true,
    };
    serde_json::to_value(every).unwrap().as_object().unwrap().keys().cloned().collect()
}

/// Whether one call is allowed, and not with another value of this argument.
fn decides(all: &[Value], verb: &str, argument: &str) -> bool {
    let called = all.iter().filter(|case| case["call"]["verb"] == verb && entries(case).is_empty());
    let parts = |case: &Value| {
        let mut rest = case["call"].clone();
        rest.as_object_mut().unwrap().remove("facets");
        let value = rest["args"].as_object_mut().and_then(|args| args.remove(argument));
        (case["token"].clone(), rest, value)
    };
    let called: Vec<_> = called.map(|case| (case["expect"] == "allow", parts(case))).collect();
    called.iter().any(|(allowed, (token, rest, value))| {
        *allowed
            && value.is_some()
            && called.iter().any(|(other, (t, r, v))| !other && t == token && r == rest && v != value)
    })
}

#[test]
fn every_kind_of_constraint_has_vectors_that_hold_and_do_not() {
    let all = cases();
    let decided: BTreeSet<String> = granted()
        .iter()
        .flat_map(|(verb, _, ways, _)| {
            ways.iter().filter_map(Value::as_object).flatten().map(move |way| (verb, way))
        })
        .filter(|(verb, (argument, _))| decides(&all, verb, argument))
        .flat_map(|(_, (_, constraint))| constraint.as_object().unwrap().keys().cloned())
        .collect();
    let missing: Vec<_> = kinds().difference(&decided).cloned().collect();
    assert!(missing.is_empty(), "no vectors tell what these kinds allow and refuse: {missing:?}");
}

#[test]
fn every_facet_is_computed_in_some_vector() {
    let all = cases();
    for facet in Facet::ALL {
        let end = format!("#{}", facet.as_str());
        let has = |case: &Value| {
            case["call"]["facets"]
                .as_object()
                .is_some_and(|facets| facets.keys().any(|name| name.ends_with(&end)))
        };
        assert!(all.iter().any(has), "no vector has {end}");
    }
}
