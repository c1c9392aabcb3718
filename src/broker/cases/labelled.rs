//! The labelled cases that come with a policy: part of the version, like a key.

use std::collections::BTreeMap;

use super::decide::decide;
use super::read::{Ids, ReadError, read};
use super::{Case, Label, Outcome};
use crate::policy::Policy;

/// The labelled cases that a policy names.
///
/// # Errors
/// When they cannot be read.
pub fn labelled_by(policy: &Policy) -> Result<Vec<Case>, ReadError> {
    let Some((name, text)) = policy.cases() else { return Ok(Vec::new()) };
    let mut cases = read(name, text.as_bytes(), &mut Ids::default())?;
    cases.retain(|case| case.label.is_some());
    Ok(cases)
}

/// Whether a policy gives what the label of a case withholds. That it withholds more, or for another reason, is no matter.
#[must_use]
pub fn lets_through(policy: &Policy, case: &Case) -> bool {
    let Some(label) = case.label.as_ref().filter(|label| withholds(label)) else { return false };
    let decided = decide(policy, case);
    match label.expect {
        Outcome::Deny => decided.outcome != Outcome::Deny,
        Outcome::NeedsApproval => decided.outcome == Outcome::Allow,
        Outcome::Allow => {
            let named = label.granted.as_deref().unwrap_or_default();
            decided.granted.iter().any(|verb| !named.contains(&verb.to_string()))
        }
    }
}

/// The ids of the cases which one policy says must be denied, need an approval, or be granted these verbs alone, and the
/// next no longer does.
///
/// # Errors
/// When the cases of either cannot be read.
pub fn loosened(before: &Policy, next: &Policy) -> Result<Vec<String>, ReadError> {
    let (old, new) = (labelled_by(before)?, labelled_by(next)?);
    let new: BTreeMap<&str, &Case> = new.iter().map(|case| (case.id.as_str(), case)).collect();
    let kept = |case: &Case| new.get(case.id.as_str()).is_some_and(|other| keeps(case, other));
    let withholding = old.into_iter().filter(|case| case.label.as_ref().is_some_and(withholds));
    Ok(withholding.filter(|case| !kept(case)).map(|case| case.id).collect())
}

// One that says which verbs are granted says that others are not.
fn withholds(label: &Label) -> bool {
    label.expect != Outcome::Allow || label.granted.is_some()
}

/// Whether the other one asks for the same request to be withheld as strictly.
fn keeps(case: &Case, other: &Case) -> bool {
    let (Some(was), Some(is)) = (&case.label, &other.label) else { return false };
    let strict = match (was.expect, is.expect) {
        (_, Outcome::Deny) => true,
        (Outcome::Allow, Outcome::Allow) => names_no_more(was, is),
        (was, is) => was == is,
    };
    let same_reason = was.reason.is_none() || was.reason == is.reason;
    case.input == other.input && strict && same_reason
}

fn names_no_more(was: &Label, is: &Label) -> bool {
    match (&was.granted, &is.granted) {
        (Some(was), Some(is)) => is.iter().all(|verb| was.contains(verb)),
        (Some(_), None) => false,
        (None, _) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Options;
    use crate::policy::fixture::{EXAMPLE, files};

    const DENY: &str = r#"{"id":"INC-1","input":{"identity":{"principal":"workflow:other"},"request":[{"verb":"github/issues.write"}]},"label":{"expect":"deny","reason":"policy.not_granted","note":"a"}}
{"id":"wait","input":{"identity":{"principal":"workflow:other"},"request":[{"verb":"github/repo.delete"}]},"label":{"expect":"needs_approval"}}
{"id":"reads","input":{"identity":{"principal":"workflow:other"},"request":[{"verb":"github/issues.read"}]},"label":{"expect":"allow"}}
"#;

    fn policy(cases: &str) -> Policy {
        let text = format!("{EXAMPLE}\n[gate]\ncases = \"cases.jsonl\"\n");
        let files = |name: &str| if name == "cases.jsonl" { Ok(cases.to_owned()) } else { files(name) };
        let options = Options { issuer: "https://broker.acme.example".to_owned() };
        Policy::compile(&text, "policy.toml", &files, &options).unwrap()
    }

    #[test]
    fn what_must_be_withheld_is_dropped_or_relabelled() {
        let swapped = |from: &str, to: &str| {
            assert!(DENY.contains(from), "{from}");
            loosened(&policy(DENY), &policy(&DENY.replacen(from, to, 1))).unwrap()
        };
        let some = DENY
            .replace("{\"expect\":\"allow\"}", "{\"expect\":\"allow\",\"granted\":[\"github/issues.read\"]}");
        let more =
            some.replace("[\"github/issues.read\"]", "[\"github/issues.read\",\"github/issues.write\"]");
        for wider in [DENY, &more] {
            assert_eq!(loosened(&policy(&some), &policy(wider)).unwrap(), ["reads"], "more may be granted");
            assert_eq!(loosened(&policy(wider), &policy(&some)).unwrap(), [""; 0]);
        }
        let none: [&str; 0] = [];
        assert_eq!(swapped("\"note\":\"a\"", "\"note\":\"b\""), none);
        assert_eq!(swapped("\"needs_approval\"", "\"deny\""), none, "stricter");
        assert_eq!(swapped("\"INC-1\"", "\"INC-2\""), ["INC-1"]);
        assert_eq!(swapped("\"deny\",\"reason\":\"policy.not_granted\"", "\"allow\""), ["INC-1"]);
        assert_eq!(swapped("\"deny\",\"reason\":\"policy.not_granted\"", "\"deny\""), ["INC-1"]);
        assert_eq!(swapped("issues.write", "issues.read"), ["INC-1"], "another request");
        assert_eq!(swapped("\"expect\":\"needs_approval\"", "\"expect\":\"allow\""), ["wait"]);
        assert_eq!(swapped("\"reads\"", "\"reading\""), none, "what is allowed is no limit");
        let more = format!("{DENY}{}\n", DENY.lines().next().unwrap().replace("INC-1", "INC-2"));
        assert_eq!(loosened(&policy(DENY), &policy(&more)).unwrap(), none);
        assert_eq!(loosened(&policy(DENY), &policy("")).unwrap(), ["INC-1", "wait"]);
    }

    #[test]
    fn more_than_a_label_allows_is_let_through_and_less_is_not() {
        let through = |verbs: &str, label: &str| {
            let request: Vec<_> =
                verbs.split(' ').map(|verb| format!("{{\"verb\":\"github/{verb}\"}}")).collect();
            let text = format!(
                r#"{{"id":"x","input":{{"identity":{{"principal":"workflow:release-notes","issuer":"https://token.actions.githubusercontent.com","claims":{{"repository_id":"456789","environment":"prod","repository":"acme/web"}}}},"intent":"triage","request":[{}]}},"label":{label}}}"#,
                request.join(",")
            );
            lets_through(&policy(""), &serde_json::from_str(&text).unwrap())
        };
        assert!(through("issues.read", r#"{"expect":"deny"}"#));
        assert!(through("issues.read", r#"{"expect":"needs_approval"}"#));
        assert!(through("issues.write", r#"{"expect":"deny"}"#), "somebody could approve it");
        assert!(!through("issues.write", r#"{"expect":"needs_approval"}"#));
        assert!(!through("repo.delete", r#"{"expect":"deny","reason":"policy.constraint"}"#));
        assert!(!through("repo.delete", r#"{"expect":"needs_approval"}"#), "denied is stricter");
        assert!(!through("issues.read", r#"{"expect":"allow"}"#));
        assert!(!through("issues.read", r#"{"expect":"allow","granted":["github/issues.read"]}"#));
        assert!(through("issues.read", r#"{"expect":"allow","granted":[]}"#));
        assert!(!through("repo.delete", r#"{"expect":"allow","granted":["github/issues.read"]}"#));
    }
}
