//! Text for people, as the program reads and writes it; what pages show too is the library's.

use shortbread_protocol::clock::Timestamp;

pub(crate) use shortbread_broker::text::{count, escape, escape_json, grouped, sentence, span};

/// How wide a text stands in a table.
pub(crate) fn width(text: &str) -> usize {
    text.chars().count()
}

/// Reads a moment as `2026-11-20T12:00:00Z`, `2026-11-20`, or so long before `now` as `90s`, `10m`, `12h` or `7d`.
///
/// # Errors
/// Says how to write it.
pub(crate) fn parse_moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    let ago = parse_long_span(text).ok().filter(|_| !text.ends_with(|c: char| c.is_ascii_digit()));
    if let Some(ago) = ago {
        return Ok(Timestamp::from_millis(now.millis().saturating_sub(ago.saturating_mul(1000))));
    }
    let whole = text.parse().or_else(|_| format!("{text}T00:00:00Z").parse());
    whole.map_err(|_| {
        "write a UTC time as 2026-11-20T12:00:00Z or 2026-11-20, or so long ago as 90s, 10m, 12h, 7d"
            .to_owned()
    })
}

/// Reads `90`, `90s`, `10m` or `1h` as seconds.
///
/// # Errors
/// Says how to write it.
pub(crate) fn parse_span(text: &str) -> Result<u64, String> {
    let wrong = || "write it as seconds, or with a unit: 90s, 10m, 1h".to_owned();
    if text.ends_with('d') { Err(wrong()) } else { seconds(text).ok_or_else(wrong) }
}

/// The same with days: `7d`.
///
/// # Errors
/// Says how to write it.
pub(crate) fn parse_long_span(text: &str) -> Result<u64, String> {
    seconds(text).ok_or_else(|| "write it as seconds, or with a unit: 90s, 30m, 12h, 7d".to_owned())
}

fn seconds(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text.strip_prefix(digits).unwrap_or_default() {
        "" | "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
    let number = plain.then(|| digits.parse::<u64>().ok()).flatten();
    number.and_then(|number| number.checked_mul(unit)).filter(|seconds| *seconds > 0)
}

/// A text as a query may hold it, whatever the text holds.
pub(crate) fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    text.bytes()
        .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read() {
        let now: Timestamp = "2026-11-20T12:00:00Z".parse().unwrap();
        let read = |text| parse_moment(text, now).map(|moment| moment.to_string());
        for (text, moment) in [
            ("7d", "2026-11-13T12:00:00Z"),
            ("90s", "2026-11-20T11:58:30Z"),
            ("2h", "2026-11-20T10:00:00Z"),
            ("2026-11-01", "2026-11-01T00:00:00Z"),
            ("2026-11-01T01:02:03Z", "2026-11-01T01:02:03Z"),
        ] {
            assert_eq!(read(text).as_deref(), Ok(moment));
        }
        for bad in ["", "7", "d", "-1d", "yesterday", "2026-13-01", "1e3s"] {
            assert!(read(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn spans_are_read() {
        assert_eq!(parse_span("90"), Ok(90));
        assert_eq!(parse_span("10m"), Ok(600));
        assert_eq!(parse_span("1h"), Ok(3600));
        for bad in ["", "s", "0", "-1", "1d", "1.5h", "99999999999999999999", "9999999999999999999h", "1 m"] {
            assert!(parse_span(bad).is_err(), "{bad}");
        }
    }
}
