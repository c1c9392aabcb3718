//! `shortbread explain`: what a reason code means.

use clap::Args;
use serde_json::json;
use shortbread_protocol::reason::Reason;

use crate::context::Context;
use crate::failure::Failure;

/// Say what a reason code means and what to do about it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread explain policy.not_granted
  shortbread explain --all
  shortbread explain --all --json")]
pub(crate) struct ExplainArgs {
    /// The code, as it stands in an answer, a log line or the audit log.
    #[arg(required_unless_present = "all")]
    code: Option<String>,
    /// Every reason code.
    #[arg(long, conflicts_with = "code")]
    all: bool,
}

/// Explains one code or all.
///
/// # Errors
/// When there is no such code.
pub(crate) fn run(args: &ExplainArgs, context: &Context) -> Result<(), Failure> {
    let Some(code) = &args.code else {
        show(&Reason::all(), context, true);
        return Ok(());
    };
    let Some(reason) = Reason::from_code(code) else {
        return Err(Failure::usage(unknown(code)));
    };
    show(&[reason], context, false);
    Ok(())
}

fn show(reasons: &[Reason], context: &Context, all: bool) {
    let ui = context.ui;
    if ui.is_json() {
        let entries: Vec<_> = reasons.iter().map(body).collect();
        return match entries.first().filter(|_| !all) {
            Some(one) => ui.json(one),
            None => ui.json(&entries),
        };
    }
    for (at, reason) in reasons.iter().enumerate() {
        if at > 0 {
            ui.line("");
        }
        ui.heading(reason.code());
        let again = if reason.retryable() { "yes, the same request may pass later" } else { "no" };
        ui.pairs(&[
            ("  means", reason.meaning().to_owned()),
            ("  what to do", reason.action().to_owned()),
            ("  retry", again.to_owned()),
        ]);
    }
}

fn body(reason: &Reason) -> serde_json::Value {
    json!({
        "reason": reason.code(),
        "meaning": reason.meaning(),
        "what_to_do": reason.action(),
        "retryable": reason.retryable(),
    })
}

// Codes of the same group, or with the word in them, are what was most likely meant.
fn unknown(code: &str) -> String {
    let group = code.split('.').next().unwrap_or_default();
    let near: Vec<_> = Reason::all()
        .into_iter()
        .map(Reason::code)
        .filter(|known| !group.is_empty() && known.contains(group))
        .collect();
    let short: String = code.chars().take(64).collect();
    match near.is_empty() {
        true => format!("{short:?} is no reason code; `shortbread explain --all` lists them"),
        false => format!("{short:?} is no reason code; there are {}", near.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_code_leads_to_its_neighbours() {
        assert!(unknown("revoked.workflows").contains("revoked.workflow,"));
        assert!(unknown("xyz").contains("--all"));
    }
}
