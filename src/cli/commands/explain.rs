//! `shortbread explain`: what a reason code means.

use clap::Args;
use serde_json::json;
use shortbread_protocol::reason::Reason;

use crate::context::Context;
use crate::failure::Failure;

/// How many codes an unknown one leads to at most.
const NEAR: usize = 5;

/// Say what a reason code means and what to do about it; without a code, list them all.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread explain policy.not_granted
  shortbread explain
  shortbread explain --all --json")]
pub(crate) struct ExplainArgs {
    /// The code, as it stands in an answer, a log line or the audit log.
    code: Option<String>,
    /// Every reason code, with what to do about each.
    #[arg(long, conflicts_with = "code")]
    all: bool,
    /// Every reason code as the table in README.md.
    #[arg(long, hide = true, requires = "all")]
    markdown: bool,
}

/// Explains one code or all.
///
/// # Errors
/// When there is no such code.
pub(crate) fn run(args: &ExplainArgs, context: &Context) -> Result<(), Failure> {
    let ui = context.ui;
    let all = Reason::all();
    match &args.code {
        Some(code) => {
            let reason = Reason::from_code(code).ok_or_else(|| Failure::usage(unknown(code)))?;
            if ui.is_json() { ui.json(&body(&reason)) } else { show(reason, context) }
        }
        None if ui.is_json() => ui.json(&all.iter().map(body).collect::<Vec<_>>()),
        None if args.markdown => table(&all).iter().for_each(|row| ui.line(row)),
        None if args.all => {
            for (at, reason) in all.into_iter().enumerate() {
                if at > 0 {
                    ui.line("");
                }
                show(reason, context);
            }
        }
        None => {
            ui.pairs(
                &all.iter().map(|reason| (reason.code(), reason.meaning().to_owned())).collect::<Vec<_>>(),
            );
            ui.remark("`shortbread explain CODE` says what to do about one, `--all` about every one.");
        }
    }
    Ok(())
}

fn show(reason: Reason, context: &Context) {
    let again = if reason.retryable() { "yes, the same request may pass later" } else { "no" };
    context.ui.heading(reason.code());
    context.ui.pairs(&[
        ("  means", reason.meaning().to_owned()),
        ("  what to do", reason.action().to_owned()),
        ("  retry", again.to_owned()),
    ]);
}

fn body(reason: &Reason) -> serde_json::Value {
    json!({
        "reason": reason.code(),
        "meaning": reason.meaning(),
        "what_to_do": reason.action(),
        "retryable": reason.retryable(),
    })
}

fn table(reasons: &[Reason]) -> Vec<String> {
    let head = ["| code | meaning | retry? | what to do |", "|---|---|---|---|"].map(str::to_owned);
    let cell = |text: &str| text.replace('|', "\\|");
    let row = |reason: &Reason| {
        let again = if reason.retryable() { "yes" } else { "no" };
        format!("| `{}` | {} | {again} | {} |", reason.code(), cell(reason.meaning()), cell(reason.action()))
    };
    head.into_iter().chain(reasons.iter().map(row)).collect()
}

fn unknown(code: &str) -> String {
    let short: String = code.chars().take(64).collect();
    let near = near(&short);
    if near.is_empty() {
        format!("{short:?} is no reason code; `shortbread explain` lists them")
    } else {
        format!("{short:?} is no reason code; perhaps {} is meant", near.join(" or "))
    }
}

// The codes that a slip of the finger leads to; without any, those that have one of the words in them.
fn near(code: &str) -> Vec<&'static str> {
    let code = code.to_lowercase();
    let mut known: Vec<_> =
        Reason::all().into_iter().map(|known| (distance(&code, known.code()), known.code())).collect();
    known.sort_unstable();
    let slip = |(distance, known): &&(usize, &str)| distance * 4 <= known.len();
    let asked: Vec<_> = words(&code).filter(|word| word.len() > 2).collect();
    let alike = |(_, known): &&(usize, &str)| words(known).any(|word| asked.contains(&word));
    let slips: Vec<_> = known.iter().filter(slip).collect();
    let found = if slips.is_empty() { known.iter().filter(alike).collect() } else { slips };
    found.into_iter().take(NEAR).map(|(_, known)| *known).collect()
}

fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(['.', '_'])
}

// How many characters must be put in, taken out or changed (Levenshtein).
fn distance(one: &str, other: &str) -> usize {
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (at, a) in one.chars().enumerate() {
        let mut next = vec![at + 1];
        let pairs = row.iter().zip(row.iter().skip(1)).zip(other.chars());
        for ((diagonal, above), b) in pairs {
            let left = next.last().copied().unwrap_or_default();
            next.push((diagonal + usize::from(a != b)).min(above + 1).min(left + 1));
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_leads_to_the_code_that_was_meant() {
        assert_eq!(near("revoked.workflows"), ["revoked.workflow"]);
        assert_eq!(near("policy.not_grnated").first(), Some(&"policy.not_granted"));
        assert_eq!(near("Token.Expired").first(), Some(&"token.expired"));
        assert!(near("workflow").contains(&"revoked.workflow"));
        assert!(near("policy").iter().all(|code| code.contains("policy")));
        assert!(near("revoked").len() == NEAR);
        assert!(unknown(&"x".repeat(1000)).len() < 200);
        assert!(unknown("xyz").contains("lists them"));
        assert!(unknown("").contains("lists them"));
    }

    #[test]
    fn distances_are_counted_in_changes() {
        for (one, other, changes) in
            [("", "", 0), ("", "abc", 3), ("abc", "", 3), ("kitten", "sitting", 3), ("ü", "u", 1)]
        {
            assert_eq!(distance(one, other), changes, "{one} {other}");
        }
    }

    #[test]
    fn a_row_of_the_table_has_four_cells_on_one_line() {
        for row in table(&Reason::all()) {
            assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
            assert!(!row.contains('\n'));
        }
    }
}
