//! `[log]`: how long the audit log is kept, and where its checkpoints are written down besides.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Deserialize;

/// The least time that entries are kept: what an inquiry about last month needs.
const LEAST: Duration = Duration::from_secs(30 * 86_400);

/// How long the audit log is kept, and where its checkpoints go.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// How long entries are kept, 30 days at least; absent: for good.
    pub keep: Option<Span>,
    /// A file that checkpoints are appended to, one JSON object a line.
    pub anchor_file: Option<PathBuf>,
    /// Whether checkpoints go to the log that the broker writes about itself.
    pub anchor_stdout: bool,
    /// Whether checkpoints go to the webhook.
    pub anchor_webhook: bool,
    /// How much time lies between two of them at least.
    pub anchor_every: Span,
}

impl Default for Log {
    fn default() -> Self {
        let anchor_every = Span(Duration::from_secs(60));
        Self { keep: None, anchor_file: None, anchor_stdout: false, anchor_webhook: false, anchor_every }
    }
}

impl Log {
    pub(super) fn check(&self, webhook: bool) -> Result<(), String> {
        if self.keep.is_some_and(|keep| keep.0 < LEAST) {
            return Err("[log] keep must be 30d or more; leave it out to keep entries for good".to_owned());
        }
        if self.anchor_webhook && !webhook {
            return Err("[log] anchor_webhook wants a [webhook] to go to".to_owned());
        }
        Ok(())
    }
}

/// A span of time, as `60s`, `5m`, `24h` or `400d`; not none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Span(pub Duration);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.strip_prefix(digits).unwrap_or_default() {
            "s" => Some(1),
            "m" => Some(60),
            "h" => Some(3600),
            "d" => Some(86_400),
            _ => None,
        };
        let whole = digits.bytes().all(|b| b.is_ascii_digit());
        let seconds = unit.filter(|_| whole).and_then(|unit| digits.parse::<u64>().ok()?.checked_mul(unit));
        // A thousand years: more than any date that is written down here can name.
        let sound = seconds.filter(|seconds| (1..=365_250 * 86_400).contains(seconds));
        let span = sound.map(|seconds| Self(Duration::from_secs(seconds)));
        span.ok_or_else(|| format!("{text:?} is no span of time such as 60s, 5m, 24h or 400d"))
    }
}

impl TryFrom<String> for Span {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_is_kept_for_good_or_for_a_month_at_least() {
        let log = |text: &str| toml::from_str::<Log>(text).map_err(|error| error.to_string());
        let default = log("").unwrap();
        assert!(default.keep.is_none() && default.anchor_file.is_none() && !default.anchor_stdout);
        assert_eq!(default.anchor_every, Span(Duration::from_secs(60)));
        assert!(default.check(false).is_ok());
        let kept = log("keep = \"400d\"\nanchor_every = \"24h\"\nanchor_webhook = true").unwrap();
        assert_eq!(kept.keep, Some(Span(Duration::from_secs(400 * 86_400))));
        assert!(kept.check(true).is_ok() && kept.check(false).unwrap_err().contains("[webhook]"));
        assert!(log("keep = \"29d\"").unwrap().check(false).unwrap_err().contains("30d"));
        for bad in [
            "keep = 400",
            "keep = \"400\"",
            "keep = \"0d\"",
            "keep = \"-1d\"",
            "keep = \"99999999d\"",
            "kept = \"400d\"",
        ] {
            assert!(log(bad).is_err(), "{bad}");
        }
    }
}
