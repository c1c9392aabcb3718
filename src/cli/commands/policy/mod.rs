//! `shortbread policy`: checking a file, which version is in force, and putting another one there.

mod check;
mod offline;
mod suggest;

use std::path::Path;

use clap::{Args, Subcommand};
use shortbread_protocol::admin::{ActivateBody, PolicyAnswer, PolicyVersionBody};
use shortbread_protocol::clock::Timestamp;

use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::ui::{Piece, Style};

/// Check a policy file, show the policy's versions and choose the one in force.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread policy check policy.toml
  shortbread policy suggest --workflow release-notes
  shortbread policy history
  shortbread policy activate
  shortbread policy rollback 3")]
pub(crate) struct PolicyArgs {
    #[command(subcommand)]
    command: PolicyCommand,
}

#[derive(Debug, Subcommand)]
enum PolicyCommand {
    /// Check a policy file on this machine: each problem with its line and what to write instead.
    #[command(
        after_help = "Examples:\n  shortbread policy check policy.toml\n  shortbread policy check policy.toml --issuer https://broker.acme.example --json"
    )]
    Check(check::CheckArgs),
    /// All versions, newest first.
    #[command(after_help = "Examples:\n  shortbread policy history\n  shortbread policy history --json")]
    History {
        #[command(flatten)]
        connection: Connection,
    },
    /// Propose the narrowest grant that covers what a workflow used, as a diff. No file is changed.
    #[command(
        after_help = "Examples:\n  shortbread policy suggest --workflow release-notes\n  shortbread policy suggest --workflow release-notes --intent triage --since 90d --policy policy.toml --json"
    )]
    Suggest(suggest::SuggestArgs),
    /// Put a version in force.
    #[command(after_help = "Examples:\n  shortbread policy activate\n  shortbread policy activate 7")]
    Activate(VersionArgs),
    /// Go back to a version that was once in force.
    #[command(
        after_help = "Examples:\n  shortbread policy rollback\n  shortbread policy rollback 3\n  shortbread policy rollback --offline --config /etc/shortbread/broker.toml"
    )]
    Rollback(RollbackArgs),
}

#[derive(Debug, Args)]
struct VersionArgs {
    /// Which version [default: the newest (activate), or the one in force before (rollback)].
    version: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct RollbackArgs {
    /// On the broker's machine, while it is stopped and nobody can sign in: change the store itself.
    /// --config then names the broker's configuration [default: broker.toml].
    #[arg(long, conflicts_with = "broker")]
    offline: bool,
    #[command(flatten)]
    which: VersionArgs,
}

/// Checks, shows or changes it.
///
/// # Errors
/// When a file has problems, or the broker cannot be reached or refuses.
pub(crate) async fn run(args: &PolicyArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        PolicyCommand::Check(args) => check::run(args, context),
        PolicyCommand::Suggest(args) => suggest::run(args, context).await,
        PolicyCommand::History { connection } => history(context, connection).await,
        PolicyCommand::Activate(args) => change(context, args, "activate").await,
        PolicyCommand::Rollback(RollbackArgs { offline: true, which }) => {
            let config = which.connection.config.as_deref().unwrap_or(Path::new("broker.toml"));
            offline::roll_back(which.version, config, context).await
        }
        PolicyCommand::Rollback(args) => change(context, &args.which, "rollback").await,
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
    let versions = serde_json::from_value::<PolicyAnswer>(answer).map(|answer| answer.versions);
    let active = versions.ok().and_then(|versions| versions.into_iter().find(|version| version.active));
    context.ui.line(&active.map_or_else(
        || "done; `shortbread policy history` shows what is in force".to_owned(),
        |version| format!("version {} is in force ({})", version.version, version.digest),
    ));
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
