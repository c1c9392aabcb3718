//! `shortbread lift`: takes a revocation back.

use clap::Args;
use shortbread_protocol::admin::{ChangeAnswer, LiftBody, LiftPreview};

use super::change::say;
use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::selectors::{SelectorArgs, bodies, reason};
use crate::text::count;

/// Take a revocation back: new tokens are good again, old ones stay dead unless --revive says otherwise.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread lift --workflow release-notes --reason \"fixed in v42\"
  shortbread lift --tool payments --access write --reason \"INC-482 over\" --revive --dry-run")]
pub(crate) struct LiftArgs {
    /// Why, in your words: for the audit log alone.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Old tokens live again. Otherwise only new ones are good.
    #[arg(long)]
    revive: bool,
    /// Change nothing; say how many living tokens each kind of lift would bring back.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    what: SelectorArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Lifts, or says what it would bring back.
///
/// # Errors
/// When the selectors make no sense or the broker refuses.
pub(crate) async fn run(args: &LiftArgs, context: &Context) -> Result<(), Failure> {
    let selectors = args.what.selectors()?;
    let body = LiftBody {
        selectors: bodies(&selectors),
        all: args.what.all,
        revive: args.revive,
        reason: reason(&args.reason)?,
        dry_run: args.dry_run,
    };
    let mut session = Session::open(context, &args.connection, "revocations.lift")?;
    let answer: ChangeAnswer = session.post("/api/v1/revocations/lift", &body).await?;
    if context.ui.is_json() {
        context.ui.json(&answer);
        return Ok(());
    }
    say(context, if args.dry_run { "would lift" } else { "lifted" }, &selectors, &answer);
    context.ui.line(&match (args.dry_run, &answer.lift) {
        (true, Some(lift)) => kinds(lift),
        _ => kind(args.revive, answer.lift.as_ref()),
    });
    Ok(())
}

// Both kinds side by side.
fn kinds(lift: &LiftPreview) -> String {
    let revive = format!("revive: brings back {}", lift.revive);
    match lift.keep_old_dead {
        Some(dead) => format!("old tokens stay dead: brings back {dead}; {revive}"),
        None => format!("old tokens stay dead: cannot be done for a key; {revive}"),
    }
}

// Which kind it was.
fn kind(revive: bool, lift: Option<&LiftPreview>) -> String {
    match (revive, lift) {
        (false, _) => "Old tokens stay dead: new tokens are good, and none of those issued so far came back.".to_owned(),
        (true, Some(lift)) => {
            let back = count(lift.revive, "token");
            format!("Revived: {back} issued before live again until they expire, and new tokens are good.")
        }
        (true, None) => {
            "Revived: tokens issued before live again until they expire; how many could not be counted in time."
                .to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_stand_side_by_side() {
        let lift = LiftPreview { keep_old_dead: Some(0), revive: 42 };
        assert_eq!(kinds(&lift), "old tokens stay dead: brings back 0; revive: brings back 42");
        let key = LiftPreview { keep_old_dead: None, revive: 1 };
        assert!(kinds(&key).contains("cannot be done for a key; revive: brings back 1"));
        assert!(kind(true, Some(&lift)).contains("42 tokens issued before live again"));
        assert!(kind(false, Some(&lift)).contains("none of those issued so far came back"));
    }
}
