//! `shortbread workflows`: who proves to be whom, what they are granted, what stops them, and how much of it lives.

mod view;

use clap::{Args, Subcommand};
use shortbread_protocol::admin::{WorkflowAnswer, WorkflowsAnswer};
use shortbread_protocol::names::WorkflowName;

use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;

const PATH: &str = "/api/v1/workflows";

/// Show the workflows of the policy: identity, owners, grants, what stops them, and how many of their tokens live.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread workflows list
  shortbread workflows show release-notes
  shortbread workflows show release-notes --json")]
pub(crate) struct WorkflowsArgs {
    #[command(subcommand)]
    command: WorkflowsCommand,
}

#[derive(Debug, Subcommand)]
enum WorkflowsCommand {
    /// Every workflow of the policy in force, by name.
    #[command(after_help = "Examples:\n  shortbread workflows list\n  shortbread workflows list --json")]
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// One workflow: who proves to be it, and each of its grants with all conditions.
    #[command(
        after_help = "Examples:\n  shortbread workflows show release-notes\n  shortbread report rights --since 30d"
    )]
    Show {
        /// Its name.
        #[arg(value_name = "NAME")]
        name: WorkflowName,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Shows them.
///
/// # Errors
/// When the broker cannot be reached or refuses, or the policy knows no such workflow.
pub(crate) async fn run(args: &WorkflowsArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        WorkflowsCommand::List { connection } => list(context, connection).await,
        WorkflowsCommand::Show { name, connection } => show(context, connection, name).await,
    }
}

async fn list(context: &Context, connection: &Connection) -> Result<(), Failure> {
    let mut session = Session::open(context, connection, "policy.read")?;
    let answer: WorkflowsAnswer = session.document(PATH).await?;
    let ui = context.ui;
    if ui.is_json() {
        ui.json(&answer);
        return Ok(());
    }
    match (answer.policy, answer.workflows.as_slice()) {
        (0, _) => {
            ui.line("no policy is in force: nobody is granted anything");
            ui.remark("`shortbread policy activate` puts one in force");
        }
        (_, []) => ui.line("the policy names no workflow"),
        (version, workflows) => {
            ui.table(&view::HEAD, workflows.iter().map(|body| view::row(body, answer.now)).collect());
            ui.line(&format!(
                "by version {version} of the policy; `shortbread workflows show NAME` has the grants"
            ));
        }
    }
    Ok(())
}

async fn show(context: &Context, connection: &Connection, name: &WorkflowName) -> Result<(), Failure> {
    let mut session = Session::open(context, connection, "policy.read")?;
    let answer: WorkflowAnswer = session.document(&format!("{PATH}/{name}")).await?;
    let ui = context.ui;
    if ui.is_json() {
        ui.json(&answer);
        return Ok(());
    }
    view::rows(&answer).iter().for_each(|row| ui.pieces(row));
    ui.remark(
        "granted against used: `shortbread report rights --since 30d`; what it did: `shortbread audit tail`",
    );
    Ok(())
}
