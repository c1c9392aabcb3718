//! JUnit XML: how results of tests are shown by whatever runs a pipeline.

/// One test.
pub(super) struct Test {
    /// What it is listed under.
    pub(super) class: &'static str,
    /// Its name.
    pub(super) name: String,
    /// Why it failed, in a line and at length; `None` where it passed.
    pub(super) failure: Option<(String, String)>,
}

/// A suite as a document of its own.
pub(super) fn suite(name: &str, tests: &[Test]) -> String {
    let failures = tests.iter().filter(|test| test.failure.is_some()).count();
    let head = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"0\" skipped=\"0\">\n",
        escape(name),
        tests.len()
    );
    let body = tests.iter().map(one).collect::<String>();
    format!("{head}{body}  </testsuite>\n</testsuites>\n")
}

fn one(test: &Test) -> String {
    let case = format!("    <testcase classname=\"{}\" name=\"{}\"", escape(test.class), escape(&test.name));
    match &test.failure {
        None => format!("{case}/>\n"),
        Some((message, text)) => format!(
            "{case}>\n      <failure message=\"{}\">{}</failure>\n    </testcase>\n",
            escape(message),
            escape(text)
        ),
    }
}

// Characters that XML 1.0 cannot hold at all are replaced. A new line survives in an attribute only when spelled out.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&apos;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            c if c.is_control() => out.push('\u{fffd}'),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_breaks_out_of_its_place() {
        let hostile = "a\"/><failure x='&\u{1b}\u{0}\n\u{ffff}";
        let failed = Test {
            class: "c",
            name: hostile.to_owned(),
            failure: Some((hostile.to_owned(), hostile.to_owned())),
        };
        let passed = Test { class: "c", name: "plain".to_owned(), failure: None };
        let text = suite(hostile, &[failed, passed]);
        assert_eq!(text.matches("<failure ").count(), 1);
        assert_eq!(text.matches("<testcase ").count(), 2);
        assert!(text.contains("tests=\"2\" failures=\"1\""));
        assert!(
            text.contains("a&quot;/&gt;&lt;failure x=&apos;&amp;\u{fffd}\u{fffd}&#10;\u{fffd}"),
            "{text}"
        );
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
    }
}
