//! `shortbread approvals show`: what exactly would run.

use clap::Args;
use shortbread_protocol::admin::ApprovalAnswer;

use super::{fetch, parse_id, session, view};
use crate::cli::Connection;
use crate::context::Context;
use crate::failure::Failure;

/// One request in full: who asks, what exactly would run, who decides, and the commands to do so.
///
/// What a vote binds is computed here again: if it is not what is shown, nothing is shown and the command ends with 1.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread approvals show apr_0193a5c7e1f27d3a9b4c5d6e7f809112
  shortbread approvals show apr_0193a5c7e1f27d3a9b4c5d6e7f809112 --full
  shortbread approvals show apr_0193a5c7e1f27d3a9b4c5d6e7f809112 --json")]
pub(super) struct ShowArgs {
    /// Its id, apr_….
    #[arg(value_parser = parse_id)]
    id: String,
    /// Long arguments whole.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Shows it.
///
/// # Errors
/// When the broker cannot be reached or refuses, or shows something else than a vote would bind.
pub(super) async fn run(args: &ShowArgs, context: &Context) -> Result<(), Failure> {
    let answer = fetch(&mut session(context, &args.connection)?, &args.id).await?;
    if context.ui.is_json() {
        context.ui.json(&answer);
    } else {
        print(context, &answer, args.full);
    }
    Ok(())
}

/// Prints it.
pub(super) fn print(context: &Context, answer: &ApprovalAnswer, full: bool) {
    view::rows(answer, full).iter().for_each(|row| context.ui.pieces(row));
}
