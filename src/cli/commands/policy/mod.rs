//! `shortbread policy`: checking and testing a file, which version is in force, and putting another one there.

mod check;
mod diff;
mod junit;
mod load;
mod markdown;
mod offline;
mod remote;
mod replay;
mod suggest;
mod test;

use std::path::Path;

use clap::{Args, Subcommand};
use shortbread_protocol::admin::{ActivateBody, PolicyAnswer, PolicyVersionBody, RollbackBody, TrialBody};
use shortbread_protocol::clock::Timestamp;

use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::text::parse_long_span;
use crate::ui::{Piece, Style};

/// Check and test a policy file, show the policy's versions and choose the one in force.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread policy check policy.toml
  shortbread policy suggest --workflow release-notes
  shortbread policy test cases.toml
  shortbread policy diff active next.toml
  shortbread policy replay --policy next.toml --since 7d
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
    /// Hold a policy file against labelled cases: who asks for what, and what should come of it.
    #[command(after_help = test::HELP)]
    Test(test::TestArgs),
    /// Compare two policies in effects: who gains or loses what.
    #[command(after_help = diff::HELP)]
    Diff(diff::DiffArgs),
    /// Decide recorded cases again under a policy file, show what changes, and judge it.
    #[command(after_help = replay::HELP)]
    Replay(replay::ReplayArgs),
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
    /// Put a version in force, for everyone or for some workflows on trial.
    #[command(
        after_help = "Examples:\n  shortbread policy activate\n  shortbread policy activate 7 --watch 30m\n  shortbread policy activate --for workflow=release-notes --watch 30m"
    )]
    Activate(ActivateArgs),
    /// Take an open trial back, or go back to a version that was once in force.
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
struct ActivateArgs {
    /// Try it on this workflow alone, written workflow=NAME; may be given several times.
    #[arg(long = "for", value_name = "workflow=NAME", value_parser = workflow)]
    workflows: Vec<String>,
    /// Take it back by itself when it passes a limit of [rollback] within this span, 7d at most.
    #[arg(long, value_name = "SPAN", value_parser = parse_long_span)]
    watch: Option<u64>,
    /// A changed decision that is meant, by the id that `policy replay` gives it; may be given several times.
    #[arg(long, value_name = "ID")]
    accept: Vec<String>,
    #[command(flatten)]
    which: VersionArgs,
}

#[derive(Debug, Args)]
struct RollbackArgs {
    /// On the broker's machine, while it is stopped and nobody can sign in: change the store itself.
    /// --config then names the broker's configuration [default: broker.toml].
    #[arg(long, conflicts_with = "broker")]
    offline: bool,
    /// A labelled case that the earlier version may let through all the same; may be given several times.
    #[arg(long, value_name = "ID", conflicts_with = "offline")]
    accept: Vec<String>,
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
        PolicyCommand::Test(args) => test::run(args, context),
        PolicyCommand::Diff(args) => diff::run(args, context).await,
        PolicyCommand::Replay(args) => replay::run(args, context).await,
        PolicyCommand::History { connection } => history(context, connection).await,
        PolicyCommand::Activate(args) => activate(context, args).await,
        PolicyCommand::Rollback(RollbackArgs { offline: true, which, .. }) => {
            let config = which.connection.config.as_deref().unwrap_or(Path::new("broker.toml"));
            offline::roll_back(which.version, config, context).await
        }
        PolicyCommand::Rollback(args) => {
            let body = RollbackBody { version: args.which.version, accept: args.accept.clone() };
            change(context, &args.which.connection, "rollback", &body).await
        }
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
        answer.trial.iter().for_each(|trial| say(context, trial));
    }
    Ok(())
}

async fn activate(context: &Context, args: &ActivateArgs) -> Result<(), Failure> {
    let ActivateArgs { workflows, watch, accept, which } = args;
    let (version, workflows, accept) = (which.version, workflows.clone(), accept.clone());
    let body = ActivateBody { version, workflows, watch: *watch, accept };
    change(context, &which.connection, "activate", &body).await
}

fn workflow(text: &str) -> Result<String, String> {
    match text.split_once('=') {
        Some(("workflow", name)) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err("write it as workflow=NAME, such as workflow=release-notes".to_owned()),
    }
}

async fn change(
    context: &Context,
    connection: &Connection,
    act: &str,
    body: &impl serde::Serialize,
) -> Result<(), Failure> {
    let mut session = Session::open(context, connection, &format!("policy.{act}"))?;
    // Read as JSON: what matters is that the change was made, whatever a newer broker says about it.
    let answer: serde_json::Value = session.post(&format!("/api/v1/policy/{act}"), body).await?;
    if context.ui.is_json() {
        context.ui.json(&answer);
        return Ok(());
    }
    let Ok(answer) = serde_json::from_value::<PolicyAnswer>(answer) else {
        context.ui.line("done; `shortbread policy history` shows what is in force");
        return Ok(());
    };
    if let Some(active) = answer.versions.iter().find(|version| version.active) {
        context.ui.line(&format!("version {} is in force ({})", active.version, active.digest));
    }
    answer.trial.iter().for_each(|trial| say(context, trial));
    Ok(())
}

/// What is tried, and how it ends.
fn say(context: &Context, trial: &TrialBody) {
    let TrialBody { version, before, workflows, watched_until, told_only, .. } = trial;
    let until = watched_until.map(|until| Timestamp::from_seconds(until).to_string());
    context.ui.line(&match (workflows.as_slice(), until) {
        ([], Some(until)) => format!("it is watched until {until}; a breach of [rollback] goes back to version {before}"),
        ([], None) => return,
        (some, Some(until)) => format!(
            "version {version} is tried on {} and watched until {until}; a breach of [rollback] takes it back",
            some.join(", ")
        ),
        (some, None) => format!("version {version} is tried on {}", some.join(", ")),
    });
    if let Some(why) = told_only {
        let said = format!("a breach is told for you to decide and takes nothing back by itself: {why}");
        context.ui.pieces(&[(Style::Warn, "! ".to_owned()), (Style::Plain, said)]);
    }
    if !workflows.is_empty() {
        context.ui.line(&format!(
            "`shortbread policy activate {version}` puts it in force for everyone, `shortbread policy rollback` takes it back"
        ));
    }
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
