//! `shortbread policy`: which version is in force, and putting another one there.

use clap::{Args, Subcommand};
use shortbread_protocol::admin::{ActivateBody, PolicyAnswer, PolicyVersionBody};
use shortbread_protocol::clock::Timestamp;

use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::ui::{Piece, Style};

/// Show the policy's versions and choose the one in force.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread policy history
  shortbread policy activate
  shortbread policy rollback 3")]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// All versions, newest first.
    #[command(after_help = "Examples:\n  shortbread policy history\n  shortbread policy history --json")]
    History {
        #[command(flatten)]
        connection: Connection,
    },
    /// Put a version in force.
    #[command(after_help = "Examples:\n  shortbread policy activate\n  shortbread policy activate 7")]
    Activate(VersionArgs),
    /// Go back to a version that was once in force.
    #[command(after_help = "Examples:\n  shortbread policy rollback\n  shortbread policy rollback 3")]
    Rollback(VersionArgs),
}

#[derive(Debug, Args)]
struct VersionArgs {
    /// Which version [default: the newest (activate), or the one in force before (rollback)].
    version: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

/// Shows or changes it.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub(crate) async fn run(args: &PolicyArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        PolicyCommand::History { connection } => history(context, connection).await,
        PolicyCommand::Activate(args) => change(context, args, "activate").await,
        PolicyCommand::Rollback(args) => change(context, args, "rollback").await,
    }
}

async fn history(context: &Context, connection: &Connection) -> Result<(), Failure> {
    let mut session = Session::open(context, connection, "policy.read")?;
    let answer: PolicyAnswer = session.get("/api/v1/policy").await?;
    if context.ui.is_json() {
        context.ui.json(&answer);
    } else if answer.versions.is_empty() {
        context.ui.line("there is no version yet: the broker takes one in from its policy file");
    } else {
        let rows = answer.versions.iter().map(row).collect();
        context.ui.table(&["version", "state", "taken in", "by", "digest"], rows);
    }
    Ok(())
}

async fn change(context: &Context, args: &VersionArgs, act: &str) -> Result<(), Failure> {
    let mut session = Session::open(context, &args.connection, &format!("policy.{act}"))?;
    let body = ActivateBody { version: args.version };
    // Read as JSON: what matters is that the change was made, whatever a newer broker says about it.
    let answer: serde_json::Value = session.post(&format!("/api/v1/policy/{act}"), &body).await?;
    if context.ui.is_json() {
        context.ui.json(&answer);
        return Ok(());
    }
    let said = serde_json::from_value::<PolicyVersionBody>(answer).map_or_else(
        |_| "done; `shortbread policy history` shows what is in force".to_owned(),
        |version| format!("version {} is in force ({})", version.version, version.digest),
    );
    context.ui.line(&said);
    Ok(())
}

fn row(version: &PolicyVersionBody) -> Vec<Piece> {
    let state = match (version.active, version.was_active) {
        (true, _) => (Style::Good, "in force".to_owned()),
        (false, true) => (Style::Plain, "was in force".to_owned()),
        (false, false) => (Style::Dim, "never in force".to_owned()),
    };
    let short: String = version.digest.chars().take(23).collect();
    vec![
        (Style::Bold, version.version.to_string()),
        state,
        (Style::Plain, Timestamp::from_seconds(version.at).to_string()),
        (Style::Plain, version.author.clone()),
        (Style::Dim, short),
    ]
}
