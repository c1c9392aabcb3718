//! What a replay found, as Markdown for a comment on a change.

use shortbread_broker::cases::gate::GateResult;
use shortbread_broker::cases::replay::{Change, Report};

/// How many changes a comment has room for.
const SHOWN: usize = 100;

/// The rules, the changes, and what the result rests on.
pub(super) fn markdown(report: &Report, result: &GateResult) -> String {
    let word = if result.passed { "passed" } else { "**not passed**" };
    let mut text = format!("## Policy gate: {word}\n\n| rule | result |\n|---|---|\n");
    for ruled in &result.rules {
        let found: Vec<String> = ruled.findings.iter().map(|finding| cell(&finding.message)).collect();
        let said =
            if ruled.passed { "passed".to_owned() } else { format!("**failed**<br>{}", found.join("<br>")) };
        text.push_str(&format!("| {} | {said} |\n", ruled.rule.words()));
    }
    if report.changes.is_empty() {
        text.push_str("\nNo decision changes.\n");
    } else {
        text.push_str(
            "\n| change | segment | verb | outcome | decisions | first cases |\n|---|---|---|---|---:|---|\n",
        );
        for change in report.changes.iter().take(SHOWN) {
            text.push_str(&row(change, result));
        }
        if let Some(more) = report.changes.len().checked_sub(SHOWN).filter(|more| *more > 0) {
            text.push_str(&format!("\nand {more} more changes\n"));
        }
    }
    let against = report.against.as_deref().unwrap_or("what was recorded");
    text.push_str(&format!(
        "\n{} cases, `{}`; policy `{}`, compared with `{against}`\n",
        report.cases, report.digest, report.policy
    ));
    text
}

fn row(change: &Change, result: &GateResult) -> String {
    let accepted = result.accepted.iter().any(|taken| taken.id == change.id);
    let cells = [
        change.id.clone(),
        change.segment.words(),
        change.verb.clone(),
        if accepted { format!("{} (accepted)", change.words()) } else { change.words() },
        change.decisions.to_string(),
        change.cases.join(" "),
    ];
    format!("| {} |\n", cells.map(|text| cell(&text)).join(" | "))
}

/// Text that stays in its cell and means nothing to Markdown or HTML.
fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '!' | '#' | '~' | '@' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_cell() {
        assert_eq!(cell("a|b\n<i>`[x](y)`@all"), "a\\|b &lt;i&gt;\\`\\[x\\](y)\\`\\@all");
        assert_eq!(cell("needs_approval -> allow"), "needs\\_approval -&gt; allow");
    }
}
