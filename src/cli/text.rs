//! Text for people: nothing in it can steer a terminal, and spans of time read as such.

use std::borrow::Cow;
use std::fmt::Write as _;

use shortbread_protocol::clock::Timestamp;

/// Whether a character could move the cursor, change colours, turn the reading direction, or stand there unseen.
fn steers(c: char) -> bool {
    let turns =
        matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    // Soft hyphens, joiners and fillers, variation selectors, tags.
    let unseen = matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200d}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
        | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}');
    c.is_control() || turns || unseen
}

/// The text with every control character spelled out, and all that turns the reading direction or is not seen, so that it
/// stays on its line, cannot steer a terminal and hides nothing.
pub(crate) fn escape(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        if steers(c) { out.extend(c.escape_default()) } else { out.push(c) }
    }
    Cow::Owned(out)
}

/// The same for JSON, where such characters can only stand inside of strings; the value stays the same.
pub(crate) fn escape_json(json: &str) -> Cow<'_, str> {
    let keep = |c: char| c == '\n' || !steers(c);
    if json.chars().all(keep) {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len() + 8);
    for c in json.chars() {
        if keep(c) {
            out.push(c);
        } else {
            // Writing to a String cannot fail.
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    Cow::Owned(out)
}

/// How wide a text stands in a table.
pub(crate) fn width(text: &str) -> usize {
    text.chars().count()
}

/// A span in its two largest units, the rest cut off: `4m 58s`, `2h 5m`, `3d 4h`.
pub(crate) fn span(seconds: u64) -> String {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut left = seconds;
    let parts = UNITS.map(|(size, name)| {
        let whole = left / size;
        left %= size;
        (whole, name)
    });
    let shown = parts.iter().skip_while(|(whole, _)| *whole == 0).take(2).filter(|(whole, _)| *whole > 0);
    let text: Vec<String> = shown.map(|(whole, name)| format!("{whole}{name}")).collect();
    if text.is_empty() { "0s".to_owned() } else { text.join(" ") }
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

/// `1 token`, `2 tokens`.
pub(crate) fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A clause as a sentence: with a capital and a full stop.
pub(crate) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// A number whose digits stand in groups of three: `1,000`.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let before = |at: usize| at > 0 && (digits.len() - at).is_multiple_of(3);
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if before(at) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        assert_eq!(escape("plain \u{e9}"), "plain \u{e9}");
        assert_eq!(escape("a\u{1b}[31mb\nc\u{9b}d\u{202e}e"), "a\\u{1b}[31mb\\nc\\u{9b}d\\u{202e}e");
    }

    #[test]
    fn nothing_hides() {
        let hidden = "a\u{200b}b\u{feff}c\u{ad}d\u{e0041}e\u{2060}f\u{3164}g\u{61c}h\u{200d}i\u{fe0f}";
        let shown =
            "a\\u{200b}b\\u{feff}c\\u{ad}d\\u{e0041}e\\u{2060}f\\u{3164}g\\u{61c}h\\u{200d}i\\u{fe0f}";
        assert_eq!(escape(hidden), shown);
    }

    #[test]
    fn escaped_json_is_the_same_value() {
        let value = serde_json::json!({"a": "x\u{9b}y\u{7f}\u{202e}\u{e0041}\u{200b}\n"});
        let text = serde_json::to_string_pretty(&value).unwrap();
        let escaped = escape_json(&text);
        assert!(escaped.contains("\\u009b") && !escaped.contains('\u{9b}'));
        assert_eq!(serde_json::from_str::<serde_json::Value>(&escaped).unwrap(), value);
    }

    #[test]
    fn spans_read_well() {
        for (seconds, text) in [
            (0, "0s"),
            (59, "59s"),
            (60, "1m"),
            (298, "4m 58s"),
            (3600, "1h"),
            (3605, "1h"),
            (7500, "2h 5m"),
            (90_061, "1d 1h"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn large_numbers_read_well() {
        for (number, text) in [(0, "0"), (999, "999"), (1000, "1,000"), (12_345_678, "12,345,678")] {
            assert_eq!(grouped(number), text);
        }
    }

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
