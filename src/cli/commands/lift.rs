//! `shortbread lift`: takes a revocation back.

use clap::Args;
use shortbread_protocol::admin::{ChangeAnswer, LiftBody};

use super::revoke::say;
use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::selectors::{SelectorArgs, bodies, reason};

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
    /// Change nothing; say what it would bring back.
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
    context.ui.line(match args.revive {
        true => "Tokens that were issued before the revocation live again until they expire.",
        false => "New tokens are good; those issued so far stay dead.",
    });
    Ok(())
}
