//! What is left of a policy that can no longer be used: its operators with registered keys, and what they may do with the
//! switch. A policy may be unusable because another program wrote it; operators must not lose the switch by that.

use toml::{Table, Value};

use super::builtin::VERBS;
use super::{Files, Options, Policy};

/// What may stand in a grant for it to be kept: a condition that is not known is none that can be left out.
const CONDITIONS: [&str; 7] = ["operator", "tool", "verbs", "intents", "max_ttl", "rate", "proof"];

/// The policy's operators and their grants of the built-in tool, if they make a policy by themselves.
#[must_use]
pub fn operators_alone(source: &str, file: &str, files: Files<'_>, options: &Options) -> Option<Policy> {
    let whole: Table = source.parse().ok()?;
    let identities: Vec<Value> = entries(&whole, "identities").filter_map(identity).collect();
    let grants: Vec<Value> = entries(&whole, "grants").filter_map(grant).collect();
    let mut left = Table::new();
    left.insert("identities".to_owned(), Value::Array(identities));
    left.insert("grants".to_owned(), Value::Array(grants));
    Policy::compile(&toml::to_string(&left).ok()?, file, files, options).ok()
}

fn entries<'t>(whole: &'t Table, part: &str) -> impl Iterator<Item = &'t Table> {
    whole.get(part).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_table)
}

fn identity(entry: &Table) -> Option<Value> {
    let known = entry.keys().all(|key| key == "operator" || key == "key");
    (known && entry.len() == 2).then(|| Value::Table(entry.clone()))
}

fn grant(entry: &Table) -> Option<Value> {
    let known = entry.keys().all(|key| CONDITIONS.contains(&key.as_str()));
    let ours = entry.contains_key("operator") && entry.get("tool")?.as_str()? == "shortbread";
    if !known || !ours {
        return None;
    }
    let verbs: Vec<Value> =
        entry.get("verbs")?.as_array()?.iter().filter(|verb| is_known(verb)).cloned().collect();
    let mut kept = entry.clone();
    kept.insert("verbs".to_owned(), Value::Array(verbs));
    Some(Value::Table(kept))
}

// A verb that only another program knows would make the rest unusable too.
fn is_known(verb: &Value) -> bool {
    let Some(verb) = verb.as_str() else { return false };
    let matches = |name: &str| match verb.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == verb,
    };
    VERBS.iter().any(|(name, _)| matches(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::fixture::{EXAMPLE, files};

    fn left(source: &str) -> Option<Policy> {
        let options = Options { issuer: "https://broker.acme.example".to_owned() };
        operators_alone(source, "policy.toml", &files, &options)
    }

    #[test]
    fn operators_are_left_of_what_another_program_wrote() {
        let newer = format!("{EXAMPLE}\n[later]\nx = 1\n[[grants]]\nmoon = \"full\"\n");
        let policy = left(&newer).unwrap();
        assert!(!policy.operators().is_empty());
        assert!(policy.identities().iter().all(|identity| {
            identity.principals.iter().all(|principal| principal.to_string().starts_with("operator:"))
        }));
        assert!(policy.grants().iter().all(|grant| grant.tool.as_str() == "shortbread"));
        assert_eq!(policy.catalogue().tools.len(), 1, "no tool but the broker's own");
    }

    #[test]
    fn a_condition_that_is_not_known_takes_the_grant_along() {
        let verbs = "tool = \"shortbread\"\nverbs";
        assert!(EXAMPLE.contains(verbs));
        let conditioned = EXAMPLE.replace(verbs, "hours = \"9-17\"\ntool = \"shortbread\"\nverbs");
        assert!(left(&conditioned).is_none());
        assert!(left("not = toml = at all").is_none() && left("").is_none());
    }
}
