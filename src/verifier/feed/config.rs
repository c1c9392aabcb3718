//! Where the list comes from, and how patiently it is asked for.

use std::time::Duration;

use reqwest::Url;

use super::error::FeedError;
use crate::net;
use crate::windows::Windows;

/// Where the list comes from and how it is asked for. Every default works; `base_url` alone has none.
#[derive(Clone, Debug)]
pub struct FeedConfig {
    /// The broker's URL: what stands before `/revocations/head`.
    pub base_url: String,
    /// URLs of the same form, in the order in which they are asked when the broker gives nothing newer. A mirror needs
    /// no trust: what it serves is verified like what the broker serves.
    pub mirrors: Vec<String>,
    /// Whether the broker may push (`/revocations/stream`). Without it the head is polled.
    pub stream: bool,
    /// The time between two polls where nothing is pushed, give or take a quarter; while the broker is away between
    /// half of it and all of it. A revocation takes effect about this much later.
    pub interval: Duration,
    /// How often the broker and each mirror are asked for a break-glass head, give or take a quarter; the broker only
    /// every fourth time while its stream lives.
    pub break_glass_interval: Duration,
    /// How long an answer may stay away, and the longest pause within one. A snapshot may take twelve times as long.
    pub timeout: Duration,
    /// A stream that brings no newer head for this long is dead. The broker sends one every few seconds.
    pub silence: Duration,
    /// A source counts as failed while the list that it leads to is older than this, though it answers: three heads
    /// are missing then. By a clock that is up to 30 s ahead every list looks older: so much more is allowed as long as
    /// no newer head stays away for this long.
    pub stale: Duration,
    /// When a source that fails is left alone for a while.
    pub breaker: BreakerConfig,
    /// How old the list may be by access; only for the step that logs, metrics and [`FeedStatus`](super::FeedStatus)
    /// name. Set it to what the verifier was given.
    pub windows: Windows,
    /// Allows `http` for hosts other than this machine. The lists are signed, so this gives away only what is
    /// revoked, and lets those on the way hold it back.
    pub allow_http: bool,
}

/// The circuit breaker of each source. It opens when `failures` of the last `of` answers failed; a new one begins with
/// a good record. While it is open the next source is asked at once. After `cool_down` it is half-open: one request at
/// a time is tried, of a second at most, and the second one decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BreakerConfig {
    /// So many failures open it; at least 1.
    pub failures: u32,
    /// Among so many answers; at least `failures`, at most 1,000.
    pub of: u32,
    /// For so long nothing is asked then. It bounds how late a source that came back is noticed, and a trial costs no
    /// more than a second: so it is short.
    pub cool_down: Duration,
}

impl Default for BreakerConfig {
    /// Two of four, one second.
    fn default() -> Self {
        Self { failures: 2, of: 4, cool_down: Duration::from_secs(1) }
    }
}

impl FeedConfig {
    /// Pushed where the broker can, else polled every 2 s with a timeout of 5 s; no mirrors; over `https` unless the
    /// host is this machine.
    #[must_use]
    pub fn new(base_url: impl Into<String>) -> Self {
        Self {
            base_url: base_url.into(),
            mirrors: Vec::new(),
            stream: true,
            interval: Duration::from_secs(2),
            break_glass_interval: Duration::from_secs(5),
            timeout: Duration::from_secs(5),
            silence: Duration::from_secs(12),
            stale: Duration::from_secs(15),
            breaker: BreakerConfig::default(),
            windows: Windows::default(),
            allow_http: false,
        }
    }

    /// The address, if it may be followed: without credentials, query or fragment, and without `http` to other
    /// machines.
    pub(super) fn checked(&self, address: &str) -> Result<Url, FeedError> {
        let refuse = |cause| FeedError::Address { url: net::redacted(address), cause };
        net::checked(address, self.allow_http).map_err(refuse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_addresses_are_followed() {
        let checked = |url: &str, allow_http| {
            let config = FeedConfig { allow_http, ..FeedConfig::new(url) };
            config.checked(url).map_err(|e| e.to_string())
        };
        for good in [
            "https://broker.acme.example",
            "http://127.0.0.1:8700/",
            "http://[::1]:1",
            "http://localhost:1/x",
        ] {
            assert!(checked(good, false).is_ok(), "{good}");
        }
        for bad in [
            "broker",
            "http://broker.acme.example",
            "ftp://x",
            "https://x?a",
            "http://127.0.0.1.evil.example",
        ] {
            assert!(checked(bad, false).is_err(), "{bad}");
        }
        assert!(checked("http://broker.acme.example", true).is_ok());
        let error = checked("https://me:secret@broker.acme.example", false).unwrap_err();
        assert!(!error.contains("secret"), "{error}");
    }
}
