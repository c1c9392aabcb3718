//! Constraints in words.

use shortbread_protocol::constraint::{Arguments, Constraint, Scalar};

/// What the arguments of a verb may be: `repo is "acme/web"; title is anything`.
#[must_use]
pub fn arguments(arguments: &Arguments) -> String {
    let parts: Vec<String> =
        arguments.iter().map(|(name, rule)| format!("{name} {}", constraint(rule))).collect();
    if parts.is_empty() { "none".to_owned() } else { parts.join("; ") }
}

/// What one argument may be, in words that follow its name.
#[must_use]
pub fn constraint(constraint: &Constraint) -> String {
    let mut parts = Vec::new();
    if let Some(value) = &constraint.eq {
        parts.push(format!("is {}", scalar(value)));
    }
    if let Some(values) = &constraint.one_of {
        parts.push(format!("is one of {}", list(values)));
    }
    if let Some(values) = &constraint.subset {
        parts.push(format!("lists only {}", list(values)));
    }
    if let Some(start) = &constraint.prefix {
        parts.push(format!("starts with {start:?}"));
    }
    match (constraint.min, constraint.max) {
        (Some(min), Some(max)) => parts.push(format!("is {min} to {max}")),
        (Some(min), None) => parts.push(format!("is at least {min}")),
        (None, Some(max)) => parts.push(format!("is at most {max}")),
        (None, None) => {}
    }
    if let Some(path) = &constraint.path_under {
        parts.push(format!("is {path:?} or below it"));
    }
    if let Some(hosts) = &constraint.host_in {
        let hosts: Vec<String> = hosts.iter().map(|host| format!("{host:?}")).collect();
        parts.push(format!("is at one of the hosts {}", hosts.join(", ")));
    }
    if constraint.any {
        parts.push("is anything".to_owned());
    }
    parts.join(" and ")
}

fn list<'a>(values: impl IntoIterator<Item = &'a Scalar>) -> String {
    values.into_iter().map(scalar).collect::<Vec<_>>().join(", ")
}

fn scalar(value: &Scalar) -> String {
    match value {
        Scalar::Int(number) => number.to_string(),
        Scalar::Text(text) => format!("{text:?}"),
        Scalar::Bool(flag) => flag.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constraints_read_as_words() {
        for (json, words) in [
            (r#"{"eq":"acme/web"}"#, "is \"acme/web\""),
            (r#"{"in":["a","b"]}"#, "is one of \"a\", \"b\""),
            (r#"{"subset":[1,2]}"#, "lists only 1, 2"),
            (r#"{"prefix":"/srv/"}"#, "starts with \"/srv/\""),
            (r#"{"min":1,"max":5000}"#, "is 1 to 5000"),
            (r#"{"max":5000}"#, "is at most 5000"),
            (r#"{"path_under":"/srv"}"#, "is \"/srv\" or below it"),
            (r#"{"host_in":["a.example"]}"#, "is at one of the hosts \"a.example\""),
            (r#"{"any":true}"#, "is anything"),
        ] {
            assert_eq!(constraint(&serde_json::from_str(json).unwrap()), words);
        }
        assert_eq!(arguments(&Arguments::new()), "none");
    }
}
