//! `[webhook]` and `[breakers]`: whom to tell, and when to leave other services alone.

use std::fmt;
use std::path::PathBuf;

use serde::Deserialize;

/// Where operators are told what happens, as Standard Webhooks has it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where notices are posted. Some receivers take whoever knows their URL: name a file for those.
    pub url: Option<String>,
    /// A file with that URL, for its owner's eyes alone.
    pub url_file: Option<PathBuf>,
    /// A file with the signing secret, `whsec_` and base64 of 24 to 64 bytes, for its owner's eyes alone.
    pub secret_file: PathBuf,
    /// Whether the receiver may live at a private address, or on this host and there without TLS.
    #[serde(default)]
    pub allow_private: bool,
    /// Which notices are posted; absent: all.
    pub events: Option<Vec<String>>,
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("url_file", &self.url_file)
            .field("secret_file", &self.secret_file)
            .field("allow_private", &self.allow_private)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// When an issuer or a webhook that fails is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Breakers {
    /// How many failures in a row open a breaker: 2 to 100.
    pub failures: u32,
    /// How long it stays open before one trial, in milliseconds: an hour at most.
    pub open_ms: u64,
}

impl Default for Breakers {
    fn default() -> Self {
        Self { failures: 3, open_ms: 60_000 }
    }
}

impl Breakers {
    pub(super) fn check(self) -> Result<(), String> {
        if !(2..=100).contains(&self.failures) {
            return Err("[breakers] failures must be 2 to 100; leave it out for 3".to_owned());
        }
        if !(1..=3_600_000).contains(&self.open_ms) {
            return Err(
                "[breakers] open_ms must be 1 to 3600000, an hour; leave it out for a minute".to_owned()
            );
        }
        Ok(())
    }
}
