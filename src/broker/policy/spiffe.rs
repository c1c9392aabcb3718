//! SPIFFE IDs (SPIFFE-ID 1.0, section 2) in their one spelling: what a JWT-SVID names in `sub`.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

/// The longest SPIFFE ID, in bytes.
const MAX_ID: usize = 2048;
/// The longest name of a trust domain, in bytes.
const MAX_DOMAIN: usize = 255;
const SCHEME: &str = "spiffe://";

/// The name of a trust domain, such as `acme.example`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrustDomain(String);

impl TrustDomain {
    /// The bare name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The trust domain's own SPIFFE ID, such as `spiffe://acme.example`.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{SCHEME}{}", self.0)
    }
}

impl fmt::Display for TrustDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TrustDomain {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        let sound = text.bytes().all(|b| b.is_ascii_lowercase() || plain(b));
        if (1..=MAX_DOMAIN).contains(&text.len()) && sound {
            Ok(Self(text.to_owned()))
        } else {
            Err(SpiffeError::TrustDomain)
        }
    }
}

/// A workload's SPIFFE ID: a trust domain and a path, such as `spiffe://acme.example/agents/worker`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SpiffeId {
    domain: TrustDomain,
    text: String,
}

impl SpiffeId {
    /// Who may vouch for it.
    #[must_use]
    pub fn trust_domain(&self) -> &TrustDomain {
        &self.domain
    }

    /// All of it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SpiffeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for SpiffeId {
    type Err = SpiffeError;

    fn from_str(text: &str) -> Result<Self, SpiffeError> {
        if text.len() > MAX_ID {
            return Err(SpiffeError::TooLong);
        }
        let rest = text.strip_prefix(SCHEME).ok_or(SpiffeError::Scheme)?;
        let (domain, path) = rest.split_once('/').ok_or(SpiffeError::Path)?;
        let domain = domain.parse()?;
        let sound = |segment: &str| {
            !matches!(segment, "" | "." | "..")
                && segment.bytes().all(|b| b.is_ascii_alphabetic() || plain(b))
        };
        if path.split('/').all(sound) {
            Ok(Self { domain, text: text.to_owned() })
        } else {
            Err(SpiffeError::Path)
        }
    }
}

/// The part of a text between `spiffe://` and the first slash: whose keys to look for, and no more than that.
pub(crate) fn domain_of(text: &str) -> Option<&str> {
    text.strip_prefix(SCHEME)?.split_once('/').map(|(domain, _)| domain)
}

/// Why a text is no SPIFFE ID of a workload, in words that follow it.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum SpiffeError {
    /// Longer than any.
    #[error("is longer than 2048 bytes")]
    TooLong,
    /// Another kind of text.
    #[error("does not begin with spiffe://")]
    Scheme,
    /// A name with capital letters, a port, a user, or nothing in it.
    #[error("has no trust domain of 1 to 255 small letters, digits, dots, dashes and underscores")]
    TrustDomain,
    /// No path, or one that could be read in two ways.
    #[error(
        "has no path whose segments are letters, digits, dots, dashes and underscores (none empty, `.` or `..`)"
    )]
    Path,
}

fn plain(b: u8) -> bool {
    b.is_ascii_digit() || matches!(b, b'.' | b'-' | b'_')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_of_workloads_are_read() {
        let id: SpiffeId = "spiffe://acme.example/agents/Worker_1.a-b".parse().unwrap();
        assert_eq!(id.trust_domain().as_str(), "acme.example");
        assert_eq!(id.trust_domain().id(), "spiffe://acme.example");
        for good in ["spiffe://10.0.0.1/a", "spiffe://a_b/...", "spiffe://a/.a/a."] {
            assert_eq!(good.parse::<SpiffeId>().unwrap().to_string(), good);
        }
        let longest = format!("spiffe://a/{}", "x".repeat(2048 - 11));
        assert!(longest.parse::<SpiffeId>().is_ok());
        assert_eq!(format!("{longest}x").parse::<SpiffeId>(), Err(SpiffeError::TooLong));
    }

    #[test]
    fn other_spellings_are_none() {
        for (bad, why) in [
            ("", SpiffeError::Scheme),
            ("acme.example/x", SpiffeError::Scheme),
            ("https://acme.example/x", SpiffeError::Scheme),
            ("SPIFFE://acme.example/x", SpiffeError::Scheme),
            (" spiffe://acme.example/x", SpiffeError::Scheme),
            ("spiffe:///x", SpiffeError::TrustDomain),
            ("spiffe://Acme.example/x", SpiffeError::TrustDomain),
            ("spiffe://acme.example:443/x", SpiffeError::TrustDomain),
            ("spiffe://user@acme.example/x", SpiffeError::TrustDomain),
            ("spiffe://acme%2eexample/x", SpiffeError::TrustDomain),
            ("spiffe://[::1]/x", SpiffeError::TrustDomain),
            ("spiffe://acmé.example/x", SpiffeError::TrustDomain),
            ("spiffe://acme.example", SpiffeError::Path),
            ("spiffe://acme.example/", SpiffeError::Path),
            ("spiffe://acme.example/x/", SpiffeError::Path),
            ("spiffe://acme.example//x", SpiffeError::Path),
            ("spiffe://acme.example/./x", SpiffeError::Path),
            ("spiffe://acme.example/x/..", SpiffeError::Path),
            ("spiffe://acme.example/x?y", SpiffeError::Path),
            ("spiffe://acme.example/x#y", SpiffeError::Path),
            ("spiffe://acme.example/%78", SpiffeError::Path),
            ("spiffe://acme.example/x y", SpiffeError::Path),
            ("spiffe://acme.example/x\n", SpiffeError::Path),
            ("spiffe://acme.example/é", SpiffeError::Path),
        ] {
            assert_eq!(bad.parse::<SpiffeId>(), Err(why), "{bad:?}");
        }
        assert_eq!("a".repeat(256).parse::<TrustDomain>(), Err(SpiffeError::TrustDomain));
        assert!("a".repeat(255).parse::<TrustDomain>().is_ok());
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_and_lies_in_its_domain(text in r"(spiffe://)?[a-z.A-Z/%:@?#_\-]{0,40}") {
            if let Ok(id) = text.parse::<SpiffeId>() {
                prop_assert_eq!(id.as_str(), &text);
                prop_assert_eq!(domain_of(&text), Some(id.trust_domain().as_str()));
                let prefix = format!("{}/", id.trust_domain().id());
                prop_assert!(text.starts_with(&prefix));
            }
        }
    }
}
