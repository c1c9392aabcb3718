//! An argument as it would be sent: whole, long ones folded, and nothing in it that hides.

use serde_json::Value as Json;

use crate::text::{count, escape, escape_json, grouped};

/// What stands beside its name without being folded, in characters.
const SHORT: usize = 160;
/// How many characters of a folded one are shown at once.
const START: usize = 240;

/// A value, ready to be shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::console) struct Value {
    /// Its name.
    pub(in crate::console) name: String,
    /// All of it; empty where it is long.
    pub(in crate::console) short: String,
    /// Of a long one: how long it is, how it begins, and all of it.
    pub(in crate::console) long: Option<(String, String, String)>,
}

/// Makes it. Texts bear quotation marks, and line breaks where they have them.
pub(in crate::console) fn value(name: &str, value: &Json) -> Value {
    let text = match value {
        Json::String(text) => quoted(text),
        Json::Array(_) | Json::Object(_) => {
            escape_json(&serde_json::to_string_pretty(value).unwrap_or_default()).into_owned()
        }
        single => single.to_string(),
    };
    let name = escape(name).into_owned();
    let size = text.chars().count();
    if size <= SHORT && !text.contains('\n') {
        return Value { name, short: text, long: None };
    }
    let lines = count(text.lines().count() as u64, "line");
    let start: String = text.chars().take(START).collect();
    let said = format!("{lines}, {} characters", grouped(size as u64));
    Value { name, short: String::new(), long: Some((said, start, text)) }
}

// A line break stays one, and is spelled out too: nobody can pass a line of theirs off as one of ours.
fn quoted(text: &str) -> String {
    let spelled = text.replace('\\', "\\\\").replace('"', "\\\"");
    let lines: Vec<String> = spelled.split('\n').map(|line| escape(line).into_owned()).collect();
    format!("\"{}\"", lines.join("\\n\n"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn short_values_stand_beside_their_names() {
        assert_eq!(value("amount", &json!(12)).short, "12");
        assert_eq!(value("a", &json!("x\"y\u{202e}\u{1b}")).short, "\"x\\\"y\\u{202e}\\u{1b}\"");
        assert_eq!(value("n\u{200b}", &json!(true)).name, "n\\u{200b}");
    }

    #[test]
    fn long_values_are_folded_and_whole() {
        let text = "word ".repeat(200);
        let (said, start, whole) = value("body", &json!(text)).long.unwrap();
        assert_eq!((said.as_str(), start.chars().count()), ("1 line, 1,002 characters", START));
        assert_eq!(whole, format!("\"{text}\""));
        let (said, _, whole) = value("body", &json!("one\ntwo")).long.unwrap();
        assert_eq!((said.as_str(), whole.as_str()), ("2 lines, 11 characters", "\"one\\n\ntwo\""));
        assert!(value("list", &json!([1, 2])).long.is_some());
    }
}
