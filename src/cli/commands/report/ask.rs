//! The period of a report, and the request for it.

use std::str::FromStr;

use clap::Args;
use shortbread_protocol::clock::Timestamp;

use crate::failure::Failure;
use crate::text::{encoded, parse_span};

const DAY: u64 = 86_400;

/// Which period, and what to tell apart.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Period {
    /// Where the period begins: so long before it ends, as 7d or 12h, or a time as 2026-11-20T12:00:00Z [default: 7d].
    #[arg(long, value_name = "SPAN|TIME")]
    pub(super) since: Option<Since>,
    /// Where the period ends [default: now].
    #[arg(long, value_name = "TIME")]
    pub(super) until: Option<Timestamp>,
    /// What to tell segments apart by: workflow, intent, tool, access, release, stage, with commas between.
    #[arg(long, value_name = "PARTS", value_parser = parts)]
    pub(super) by: Option<String>,
    /// Count only what has these values, as workflow=release-notes,tool=github: the parts that --by knows.
    #[arg(long, value_name = "PART=VALUE,…", value_parser = pairs)]
    pub(super) only: Option<String>,
}

/// Where a period begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Since {
    Before(Span),
    At(Timestamp),
}

/// A span of seconds, written with a unit of up to days.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span(pub(crate) u64);

impl FromStr for Span {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "write it as a span: 7d, 12h, 30m".to_owned();
        let seconds = match text.strip_suffix('d') {
            Some(days) if days.bytes().all(|b| b.is_ascii_digit()) => {
                days.parse::<u64>().ok().and_then(|days| days.checked_mul(DAY)).ok_or_else(wrong)?
            }
            _ => parse_span(text).map_err(|_| wrong())?,
        };
        // Longer spans reach before any broker.
        if (1..=400 * DAY).contains(&seconds) { Ok(Self(seconds)) } else { Err(wrong()) }
    }
}

impl FromStr for Since {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(at) => Ok(Self::At(at)),
            Err(_) => text.parse().map(Self::Before),
        }
    }
}

const PARTS: [&str; 6] = ["workflow", "intent", "tool", "access", "release", "stage"];

fn pairs(text: &str) -> Result<String, String> {
    let sound = |pair: &str| {
        let pair = pair.split_once('=');
        pair.is_some_and(|(part, value)| PARTS.contains(&part) && !value.is_empty())
    };
    match text.split(',').find(|pair| !sound(pair)) {
        Some(pair) => Err(format!("{pair:?} is no PART=VALUE; parts are {}", PARTS.join(", "))),
        None => Ok(text.to_owned()),
    }
}

fn parts(text: &str) -> Result<String, String> {
    match text.split(',').find(|part| !PARTS.contains(part)) {
        Some(part) => Err(format!("{part:?} is none of {}", PARTS.join(", "))),
        None => Ok(text.to_owned()),
    }
}

/// The request for a report. The broker's clock ends a period that ends now.
///
/// # Errors
/// When the period begins after it ends.
pub(super) fn path(kind: &str, period: &Period, now: Timestamp) -> Result<String, Failure> {
    let end = period.until.unwrap_or(now);
    let since = match period.since.unwrap_or(Since::Before(Span(7 * DAY))) {
        Since::Before(Span(span)) => end.seconds().saturating_sub(span),
        Since::At(at) => at.seconds(),
    };
    if since >= end.seconds() {
        return Err(Failure::usage("the period begins after it ends"));
    }
    let until = period.until.map(|until| format!("&until={}", until.seconds())).unwrap_or_default();
    let by = period.by.as_ref().map(|by| format!("&by={by}")).unwrap_or_default();
    let only = period.only.as_ref().map(|only| format!("&only={}", encoded(only))).unwrap_or_default();
    Ok(format!("/api/v1/report?kind={kind}&since={since}{until}{by}{only}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn periods_are_read() {
        let now = Timestamp::from_seconds(1_795_176_000);
        let of =
            |since: &str| path("segments", &Period { since: since.parse().ok(), ..Period::default() }, now);
        assert_eq!(of("1d").unwrap(), "/api/v1/report?kind=segments&since=1795089600");
        assert_eq!(of("2026-11-01T00:00:00Z").unwrap(), "/api/v1/report?kind=segments&since=1793491200");
        assert!(of("2036-11-01T00:00:00Z").is_err(), "it begins after it ends");
        for bad in ["", "d", "0d", "-1d", "401d", "1w", "yesterday", "99999999999999999999d"] {
            assert!(bad.parse::<Since>().is_err(), "{bad}");
        }
        let by = Period { by: Some("tool,stage".to_owned()), ..Period::default() };
        assert!(path("latency", &by, now).unwrap().ends_with("&by=tool,stage"));
        let only = Period { only: Some("tool=github,release=v1+2".to_owned()), ..Period::default() };
        assert!(path("latency", &only, now).unwrap().ends_with("&only=tool%3Dgithub%2Crelease%3Dv1%2B2"));
        assert!(pairs("tool=github,stage=policy").is_ok());
        for bad in ["", "tool", "tool=", "colour=red", "tool=github,"] {
            assert!(pairs(bad).is_err(), "{bad}");
        }
        assert!(parts("workflow,tool").is_ok() && parts("workflow,&x=1").is_err());
    }
}
