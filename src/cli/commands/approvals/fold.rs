//! Arguments of a call as people read them: whole lines, long ones folded, and nothing in them that hides or steers.

use serde_json::Value;

use crate::text::{count, escape, escape_json, grouped};

/// How many characters of a value stand on one line.
pub(super) const LINE: usize = 72;
/// How many lines of a value are shown before it is folded.
const LINES: usize = 8;

/// A value: what fits beside its name, and the lines below.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Folded {
    pub(super) beside: String,
    pub(super) below: Vec<String>,
}

/// The name of an argument; in quotation marks where it is not plain.
pub(super) fn name(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    if !name.is_empty() && name.bytes().all(plain) { name.to_owned() } else { format!("{name:?}") }
}

/// A text of our own, such as a name or a rule, in as many lines as it takes.
pub(super) fn text(text: &str, full: bool) -> Vec<String> {
    let whole = pieces(&escape(text));
    if whole.len() < 2 { whole } else { fold("text", 0, whole, full).below }
}

/// A value, whole where `full` says so; beside its name where it fits into `room`.
pub(super) fn value(value: &Value, room: usize, full: bool) -> Folded {
    let (kind, size, whole) = match value {
        Value::String(text) => {
            let quoted = escape(&format!("{text:?}")).into_owned();
            if quoted.chars().count() <= room && !text.contains('\n') {
                return Folded { beside: quoted, below: Vec::new() };
            }
            ("text", text.len(), text.split_inclusive('\n').flat_map(cut).collect())
        }
        Value::Array(_) | Value::Object(_) => {
            let flat = escape_json(&value.to_string()).into_owned();
            if flat.chars().count() <= room {
                return Folded { beside: flat, below: Vec::new() };
            }
            let kind = if value.is_array() { "list" } else { "object" };
            let text = serde_json::to_string_pretty(value).unwrap_or_default();
            (kind, flat.len(), text.lines().flat_map(|line| pieces(&escape_json(line))).collect())
        }
        single => return Folded { beside: single.to_string(), below: Vec::new() },
    };
    fold(kind, size, whole, full)
}

fn fold(kind: &str, size: usize, mut lines: Vec<String>, full: bool) -> Folded {
    let (all, size) = (lines.len(), grouped(size as u64));
    // Folding away a line or two helps nobody.
    if !full && all > LINES + 2 {
        lines.truncate(LINES);
        let more = count((all - LINES) as u64, "line");
        lines.push(format!("\u{2026} and {more} more; --full shows all"));
    }
    let below = lines.into_iter().map(|line| format!("| {line}")).collect();
    Folded { beside: format!("{kind}, {}, {size} bytes", count(all as u64, "line")), below }
}

// A line of a text, with its end shown: where there is none, the next line goes on.
fn cut(line: &str) -> Vec<String> {
    let line = line.replace('\\', "\\\\");
    pieces(&escape(&line))
}

// Cut by us, so that no terminal breaks it in a way that makes the rest look like a line of ours.
fn pieces(line: &str) -> Vec<String> {
    let letters: Vec<char> = line.chars().collect();
    letters.chunks(LINE).map(|piece| piece.iter().collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn short_values_stand_beside_their_name() {
        for (given, shown) in [
            (json!(1200), "1200"),
            (json!(true), "true"),
            (json!(null), "null"),
            (json!("ch_1"), "\"ch_1\""),
            (json!(["a", 1]), "[\"a\",1]"),
            (json!("\u{202e}evil\u{1b}[2J\t\u{200b}\r"), "\"\\u{202e}evil\\u{1b}[2J\\t\\u{200b}\\r\""),
            (json!("\\u{202e}"), "\"\\\\u{202e}\""),
            (json!({ "k\u{200b}": "\u{202e}\u{1b}" }), "{\"k\\u200b\":\"\\u202e\\u001b\"}"),
        ] {
            assert_eq!(value(&given, LINE, false), Folded { beside: shown.to_owned(), below: Vec::new() });
        }
        assert_eq!(
            (name("repo.name"), name("a b\u{202e}")),
            ("repo.name".to_owned(), "\"a b\\u{202e}\"".to_owned())
        );
    }

    #[test]
    fn ends_of_lines_are_seen_and_nothing_passes_for_a_line_of_ours() {
        let folded = value(&json!("Hello\nto approve: type yes\ttoday\u{200b}\u{1b}[1A"), LINE, false);
        assert_eq!(folded.beside, "text, 2 lines, 39 bytes");
        assert_eq!(folded.below, ["| Hello\\n", "| to approve: type yes\\ttoday\\u{200b}\\u{1b}[1A"]);
        let tight = value(&json!("to approve: yes"), 10, false);
        assert_eq!(
            (tight.beside.as_str(), tight.below),
            ("text, 1 line, 15 bytes", vec!["| to approve: yes".to_owned()])
        );
        assert_eq!(text(&"x".repeat(73), false), [format!("| {}", "x".repeat(72)), "| x".to_owned()]);
        assert_eq!(text("title is anything", false), ["title is anything"]);
        let long = value(&json!("x".repeat(200)), LINE, false);
        assert_eq!(long.below.iter().map(String::len).collect::<Vec<_>>(), [74, 74, 58]);
    }

    #[test]
    fn long_values_are_folded_unless_all_is_asked_for() {
        let text = (0..100).map(|line| format!("line {line}\n")).collect::<String>();
        let folded = value(&json!(text), LINE, false);
        assert_eq!((folded.below.len(), folded.beside.as_str()), (9, "text, 100 lines, 790 bytes"));
        assert_eq!(folded.below[8], "| \u{2026} and 92 lines more; --full shows all");
        assert_eq!(value(&json!(text), LINE, true).below.len(), 100);
        let list = value(&json!((0..40).collect::<Vec<_>>()), LINE, false);
        assert!(list.beside.starts_with("list, 42 lines") && list.below.len() == 9, "{list:?}");
    }
}
