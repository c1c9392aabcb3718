//! Binding: a grant's conditions with the claims of one identity put in.

use serde_json::{Map, Value};
use shortbread_protocol::constraint::{Arguments, Constraint, Scalar};

use super::model::{Limit, Limits};

/// The conditions with every claim bound.
///
/// # Errors
/// The name of a claim that is missing, is not a single text, integer or boolean, or could be meant in
/// two ways.
pub(super) fn bind<'a>(limits: &'a Limits, claims: &Map<String, Value>) -> Result<Arguments, &'a str> {
    let bound = limits.iter().map(|(name, limit)| {
        let constraint = match limit {
            Limit::Fixed(constraint) => constraint.clone(),
            Limit::Claim(path) => Constraint::exactly(scalar(claims, path).ok_or(path.as_str())?),
        };
        Ok((name.clone(), constraint))
    });
    bound.collect()
}

fn scalar(claims: &Map<String, Value>, path: &str) -> Option<Scalar> {
    let mut found = Vec::new();
    find(claims, path, &mut found);
    match found.as_slice() {
        [Value::String(text)] => Some(Scalar::Text(text.clone())),
        [Value::Bool(flag)] => Some(Scalar::Bool(*flag)),
        [Value::Number(number)] => number.as_i64().map(Scalar::Int),
        _ => None,
    }
}

/// A dot may be part of a claim's name (`kubernetes.io`) or lead into an object: both are tried.
fn find<'a>(claims: &'a Map<String, Value>, path: &str, found: &mut Vec<&'a Value>) {
    found.extend(claims.get(path));
    for (at, _) in path.match_indices('.') {
        let (Some(name), Some(rest)) = (path.get(..at), path.get(at + 1..)) else { continue };
        if let Some(Value::Object(inner)) = claims.get(name) {
            find(inner, rest, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn bound(claims: &Value, path: &str) -> Option<Scalar> {
        scalar(claims.as_object().unwrap(), path)
    }

    #[test]
    fn claims_are_found_by_name_and_by_path() {
        let claims = json!({
            "repository": "acme/web", "n": 7, "f": true,
            "kubernetes.io": { "namespace": "agents", "serviceaccount": { "name": "worker" } },
            "a.b": 1, "a": { "b": 2 },
        });
        assert_eq!(bound(&claims, "repository"), Some(Scalar::Text("acme/web".into())));
        assert_eq!(bound(&claims, "n"), Some(Scalar::Int(7)));
        assert_eq!(bound(&claims, "f"), Some(Scalar::Bool(true)));
        assert_eq!(bound(&claims, "kubernetes.io.namespace"), Some(Scalar::Text("agents".into())));
        assert_eq!(bound(&claims, "kubernetes.io.serviceaccount.name"), Some(Scalar::Text("worker".into())));
        assert_eq!(bound(&claims, "a.b"), None, "two meanings");
    }

    #[test]
    fn what_is_no_single_value_binds_nothing() {
        let claims = json!({ "list": ["a"], "null": null, "f": 1.5, "o": {}, "big": u64::MAX });
        for path in ["list", "null", "f", "o", "big", "missing", "o.x", "list.0", "", "."] {
            assert_eq!(bound(&claims, path), None, "{path}");
        }
    }
}
