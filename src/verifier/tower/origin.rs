//! The URL under which clients know this service.

use std::str::FromStr;

use thiserror::Error;

/// Scheme and authority as clients write them, and a path prefix where something in front takes one off, such as a proxy
/// or a router that this one is nested in. A proof has to name this URL; what the `Host` header says does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin(String);

/// A text that is no origin.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error(
    "{0:?} is no origin of a service: give scheme and host, and the path that a proxy takes off if one does, such as \
     https://tools.acme.example or https://tools.acme.example/github"
)]
pub struct OriginError(String);

impl Origin {
    /// The URL of a request with this path.
    pub(super) fn url(&self, path: &str) -> String {
        // `*` of an OPTIONS request is no path below anything.
        let slash = if path.starts_with('/') { "" } else { "/" };
        format!("{}{slash}{path}", self.0)
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
        let host = rest.and_then(|rest| rest.split('/').next()).unwrap_or_default();
        let sound = !host.is_empty()
            && !host.contains('@')
            && text.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"\\".contains(&b));
        if sound {
            Ok(Self(text.trim_end_matches('/').to_owned()))
        } else {
            Err(OriginError(text.chars().take(256).collect()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_goes_behind_the_origin() {
        for (origin, path, url) in [
            ("https://tools.acme.example", "/repos", "https://tools.acme.example/repos"),
            ("https://tools.acme.example/", "/", "https://tools.acme.example/"),
            ("http://[::1]:8801", "*", "http://[::1]:8801/*"),
            ("https://tools.acme.example/github/", "/a//b%2F", "https://tools.acme.example/github/a//b%2F"),
        ] {
            assert_eq!(origin.parse::<Origin>().unwrap().url(path), url);
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for bad in [
            "",
            "tools.acme.example",
            "ftp://tools.acme.example",
            "https://",
            "https:///github",
            "https://a@tools.acme.example",
            "https://tools.acme.example?x",
            "https://tools.acme.example/#x",
            "https://tools.acme.example/a b",
            "https://t\u{f6}ols.example",
        ] {
            assert!(bad.parse::<Origin>().unwrap_err().to_string().contains("no origin"), "{bad}");
        }
    }
}
