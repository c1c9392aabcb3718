//! The labelled cases that come with a policy: part of the version, like a key.

use super::read::{Ids, ReadError, read};
use super::{Case, Outcome};
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

/// The ids of the cases which one policy says must be denied, or need an approval, and the next no longer does.
///
/// # Errors
/// When the cases of either cannot be read.
pub fn loosened(before: &Policy, next: &Policy) -> Result<Vec<String>, ReadError> {
    let (old, new) = (labelled_by(before)?, labelled_by(next)?);
    let kept = |case: &Case| new.iter().any(|other| other.id == case.id && keeps(case, other));
    Ok(old.into_iter().filter(|case| withholds(case) && !kept(case)).map(|case| case.id).collect())
}

fn withholds(case: &Case) -> bool {
    case.label.as_ref().is_some_and(|label| label.expect != Outcome::Allow)
}

/// Whether the other one asks for the same request to be withheld as strictly.
fn keeps(case: &Case, other: &Case) -> bool {
    let (Some(was), Some(is)) = (&case.label, &other.label) else { return false };
    let strict = is.expect == was.expect || is.expect == Outcome::Deny;
    let same_reason = was.reason.is_none() || was.reason == is.reason;
    case.input == other.input && strict && same_reason
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
}
