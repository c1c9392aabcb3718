//! Spans of time and rates, as policies spell them: `90s`, `5m`, `1h`, `30/min`.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de};

use super::model::Rate;

/// A whole number of seconds, minutes or hours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Span(pub(super) Duration);

/// A request rate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Pace(pub(super) Rate);

impl<'de> Deserialize<'de> for Span {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        duration(&text)
            .map(Self)
            .ok_or_else(|| de::Error::custom(format!("{text:?} is no span of time such as 90s, 5m or 1h")))
    }
}

impl<'de> Deserialize<'de> for Pace {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        rate(&text).map(Self).ok_or_else(|| {
            de::Error::custom(format!("{text:?} is no rate such as 5/s, 30/min or 100/h, and none is zero"))
        })
    }
}

/// A span of time for a reader: `90s`, `5m`, `1h`.
pub(super) struct Shown(pub(super) Duration);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match (seconds % 3600, seconds % 60) {
            (0, _) if seconds > 0 => write!(f, "{}h", seconds / 3600),
            (_, 0) if seconds > 0 => write!(f, "{}m", seconds / 60),
            _ => write!(f, "{seconds}s"),
        }
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        _ => return None,
    };
    number(digits)?.checked_mul(seconds).map(Duration::from_secs)
}

fn rate(text: &str) -> Option<Rate> {
    let (count, unit) = text.split_once('/')?;
    let per = match unit {
        "s" => 1,
        "min" => 60,
        "h" => 3600,
        _ => return None,
    };
    let count = u32::try_from(number(count)?).ok().filter(|count| *count > 0)?;
    Some(Rate { count, per: Duration::from_secs(per) })
}

fn number(digits: &str) -> Option<u64> {
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_read_and_shown() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h", 3600), ("0s", 0), ("61m", 3660)] {
            let span = duration(text).unwrap();
            assert_eq!(span.as_secs(), seconds);
            assert_eq!(Shown(span).to_string(), text);
        }
        for bad in ["", "5", "m", "+5m", "-5m", "5 m", "5min", "1.5h", "5é", "99999999999999999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
        assert_eq!(duration(&format!("{}h", u64::MAX)), None);
    }

    #[test]
    fn rates_are_read() {
        assert_eq!(rate("30/min"), Some(Rate { count: 30, per: Duration::from_secs(60) }));
        for bad in ["0/min", "30", "/min", "30/m", "30/ min", "4294967296/s", "-1/s", "1/s/s"] {
            assert_eq!(rate(bad), None, "{bad}");
        }
    }
}
