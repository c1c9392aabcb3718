//! Texts for people: nothing in them hides or steers, and spans and numbers read as such.

use std::borrow::Cow;
use std::fmt::Write as _;

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
#[must_use]
pub fn escape(text: &str) -> Cow<'_, str> {
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
#[must_use]
pub fn escape_json(json: &str) -> Cow<'_, str> {
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

/// A span in its two largest units, the rest cut off: `4m 58s`, `2h 5m`, `3d 4h`.
#[must_use]
pub fn span(seconds: u64) -> String {
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

/// `1 token`, `2 tokens`.
#[must_use]
pub fn count(number: u64, noun: &str) -> String {
    if number == 1 { format!("1 {noun}") } else { format!("{number} {noun}s") }
}

/// A clause as a sentence: with a capital and a full stop.
#[must_use]
pub fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}

/// A number whose digits stand in groups of three: `1,000`.
#[must_use]
pub fn grouped(number: u64) -> String {
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

/// A count in a few letters: `950`, `12k`, `1.3M`.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "counts are whole and positive")]
pub fn short(value: f64) -> String {
    if value >= 1_000_000.0 {
        format!("{:.1}M", value / 1_000_000.0)
    } else if value >= 10_000.0 {
        format!("{:.0}k", value / 1000.0)
    } else if value.fract() == 0.0 {
        grouped(value.max(0.0) as u64)
    } else {
        format!("{value:.1}")
    }
}

/// A time that is kept in microseconds, in the unit that suits it: `412 µs`, `1.3 ms`, `2.0 s`.
#[must_use]
pub fn micros(us: f64) -> String {
    if us < 1000.0 {
        format!("{us:.0} \u{b5}s")
    } else if us < 1_000_000.0 {
        format!("{:.1} ms", us / 1000.0)
    } else {
        format!("{:.1} s", us / 1_000_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers() {
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
}
