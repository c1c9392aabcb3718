//! Verb patterns: an exact verb, `issues.*` for all below, `*` for all.

use std::fmt;
use std::str::FromStr;

use shortbread_protocol::names::VerbName;

/// What a policy names verbs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Pattern {
    /// This verb alone.
    Exact(VerbName),
    /// Every verb that starts so; it ends in `.` or `/`.
    Below(String),
    /// Every verb.
    All,
}

impl Pattern {
    /// Whether the verb is meant.
    #[must_use]
    pub fn matches(&self, verb: &VerbName) -> bool {
        match self {
            Self::Exact(name) => name == verb,
            Self::Below(start) => verb.as_str().starts_with(start.as_str()),
            Self::All => true,
        }
    }
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "*" {
            return Ok(Self::All);
        }
        match text.strip_suffix('*') {
            None => text
                .parse()
                .map(Self::Exact)
                .map_err(|e: shortbread_protocol::names::NameError| e.to_string()),
            Some(start) if start.ends_with(['.', '/']) && start.parse::<VerbName>().is_ok() => {
                Ok(Self::Below(start.to_owned()))
            }
            Some(_) => Err(format!("{:?} is no verb pattern", text.chars().take(64).collect::<String>())),
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Below(start) => write!(f, "{start}*"),
            Self::All => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stands_only_at_the_end_and_after_a_separator() {
        for bad in ["", "issues*", "*.read", "issues.*.read", "is sues.*", ".*.", "**", "issues.**"] {
            assert!(bad.parse::<Pattern>().is_err(), "{bad}");
        }
        let below: Pattern = "issues.*".parse().unwrap();
        for (verb, meant) in
            [("issues.read", true), ("issues.a.b", true), ("issues", false), ("issuesx", false)]
        {
            assert_eq!(below.matches(&verb.parse().unwrap()), meant, "{verb}");
        }
        assert_eq!(below.to_string(), "issues.*");
        assert!("*".parse::<Pattern>().unwrap().matches(&"x".parse().unwrap()));
    }
}
