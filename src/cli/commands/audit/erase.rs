//! `shortbread audit erase`: what decisions about one subject depended on goes; the entries of the log stay.

use clap::Args;
use shortbread_protocol::admin::{EraseAnswer, EraseBody};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::names::WorkflowName;

use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::selectors::reason;
use crate::text::{count, parse_span};
use crate::ui::Style;

/// Erase what decisions about one subject depended on: its claims and the arguments it asked for. The log stays provable.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread audit erase --subject repo:acme/web:environment:prod --reason \"request 17\" --dry-run
  shortbread audit erase --subject workflow:demo --before 2026-11-01T00:00:00Z --reason \"kept for 30 days\"
  shortbread audit erase --subject system:serviceaccount:agents:worker --workflow enrich --before 720h --reason \"request 17\"

What stays: the entries themselves, with a hash of the subject and a salted hash of each input. Backups that were made
before still hold the inputs, and so does whoever exported cases.")]
pub(super) struct EraseArgs {
    /// The subject in plain: the `sub` of the identity; of a registered key workflow:NAME or operator:NAME.
    #[arg(long, value_name = "SUB")]
    subject: String,
    /// Only where it acted as this workflow.
    #[arg(long, value_name = "NAME")]
    workflow: Option<WorkflowName>,
    /// Only of decisions before this moment, or longer ago than this: 2026-11-01T00:00:00Z, 720h.
    #[arg(long, value_name = "TIME")]
    before: Option<String>,
    /// Why. It stays in the audit log: name nobody in it.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Erase nothing; say how many inputs there are.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Erases, step by step, or counts.
///
/// # Errors
/// When the flags make no sense or the broker refuses; what was erased until then stays erased.
pub(super) async fn run(args: &EraseArgs, context: &Context) -> Result<(), Failure> {
    let body = EraseBody {
        subject: args.subject.clone(),
        workflow: args.workflow.as_ref().map(ToString::to_string),
        before: args.before.as_deref().map(|text| moment(text, context.now())).transpose()?,
        reason: reason(&args.reason)?,
        dry_run: args.dry_run,
    };
    let mut session = Session::open(context, &args.connection, "audit.erase")?;
    let mut inputs = 0;
    let answer = loop {
        let answer: EraseAnswer = session.post("/api/v1/audit/erase", &body).await?;
        inputs += answer.inputs;
        if !answer.more {
            break answer;
        }
        context.ui.progress(&format!("{} erased so far", count(inputs, "input")));
    };
    context.ui.progress_over();
    say(context, args.dry_run, &EraseAnswer { inputs, ..answer });
    Ok(())
}

fn say(context: &Context, dry_run: bool, answer: &EraseAnswer) {
    let ui = context.ui;
    if ui.is_json() {
        return ui.json(answer);
    }
    let done = if dry_run { "would erase" } else { "erased" };
    ui.heading(&format!("{done}: {}", count(answer.inputs, "input")));
    let stays = "the entries, with this hash of the subject and a salted hash of each input; \
                 backups made before still hold the inputs";
    ui.pairs(&[
        ("subject", format!("sha256:{}", answer.subject_sha256)),
        ("what stays", stays.to_owned()),
        ("decision", answer.decision_id.clone()),
    ]);
    if answer.traces {
        let text = "the broker's database log may still hold what was erased, because it is being read; the broker \
                    tries again by itself, and restarting it does too";
        ui.pieces(&[(Style::Warn, "mind: ".to_owned()), (Style::Plain, text.to_owned())]);
    }
}

/// A moment as it is written, or a span before now, in unix seconds.
fn moment(text: &str, now: Timestamp) -> Result<u64, Failure> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at.seconds());
    }
    let span = parse_span(text).map_err(|how| {
        Failure::usage(format!("--before {text:?} is no moment: write 2026-11-01T00:00:00Z, or {how}"))
    })?;
    Ok(now.seconds().saturating_sub(span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_a_date_or_a_span_ago() {
        let now = "2026-11-20T12:00:00Z".parse().unwrap();
        assert_eq!(moment("2026-11-20T11:00:00Z", now).unwrap(), moment("1h", now).unwrap());
        for wrong in ["", "yesterday", "-1h", "2026-13-01T00:00:00Z"] {
            assert!(moment(wrong, now).unwrap_err().to_string().contains("--before"), "{wrong}");
        }
    }
}
