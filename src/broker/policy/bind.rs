//! Binding: a grant's conditions with the claims of one identity put in.

use serde_json::{Map, Value};
use shortbread_protocol::constraint::{Arguments, Constraint, Scalar};
use shortbread_protocol::normalise::{Form, Forms};

use super::model::{Limit, Limits};

/// A claim that cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unbound<'a> {
    /// Its name, as the policy has it.
    pub(super) claim: &'a str,
    /// The form of the argument that it is not of; `None` when it is missing, is not a single text, integer or
    /// boolean, or could be meant in two ways.
    pub(super) form: Option<Form>,
}

/// The conditions with every claim bound, in the spelling of the argument's form.
///
/// # Errors
/// The claim that cannot be bound.
pub(super) fn bind<'a>(
    limits: &'a Limits,
    forms: &Forms,
    claims: &Map<String, Value>,
) -> Result<Arguments, Unbound<'a>> {
    let bound = limits.iter().map(|(name, limit)| {
        let constraint = match limit {
            Limit::Fixed(constraint) => constraint.clone(),
            Limit::Claim(claim) => {
                let value = scalar(claims, claim).ok_or(Unbound { claim, form: None })?;
                let form = forms.get(name).copied();
                let value = form.map_or(Ok(value.clone()), |form| form.value(&value));
                Constraint::exactly(value.map_err(|_| Unbound { claim, form })?)
            }
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
    fn a_claim_is_bound_in_the_spelling_of_the_form() {
        let limits: Limits = [("repo".parse().unwrap(), Limit::Claim("r".to_owned()))].into();
        let forms: Forms = [("repo".parse().unwrap(), Form::Repository)].into();
        let bound = |claims: Value| {
            let bound = bind(&limits, &forms, claims.as_object().unwrap()).map_err(|unbound| unbound.form)?;
            Ok(serde_json::to_value(bound).unwrap())
        };
        assert_eq!(bound(json!({ "r": "Acme/Web.git" })), Ok(json!({ "repo": { "eq": "acme/web" } })));
        for claim in [json!("acme"), json!("acme/.."), json!(7)] {
            assert_eq!(bound(json!({ "r": claim })), Err(Some(Form::Repository)));
        }
        assert_eq!(bound(json!({})), Err(None));
    }

    #[test]
    fn what_is_no_single_value_binds_nothing() {
        let claims = json!({ "list": ["a"], "null": null, "f": 1.5, "o": {}, "big": u64::MAX });
        for path in ["list", "null", "f", "o", "big", "missing", "o.x", "list.0", "", "."] {
            assert_eq!(bound(&claims, path), None, "{path}");
        }
    }
}
