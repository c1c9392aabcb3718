//! `shortbread revocations`: what is revoked, how fresh the list is, who enforces it, and a copy of it for others to serve.

mod ages;
mod list;
mod publish;
mod status;
pub(crate) mod view;

use clap::{Args, Subcommand};
use serde_json::json;
use shortbread_protocol::admin::StatusAnswer;

use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;

/// Show what is revoked, how fresh the published list is, and who enforces it; and mirror it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread revocations list
  shortbread revocations status --root keys/root.pub.pem
  shortbread revocations publish /srv/mirror --watch")]
pub(crate) struct RevocationsArgs {
    #[command(subcommand)]
    command: RevocationsCommand,
}

#[derive(Debug, Subcommand)]
enum RevocationsCommand {
    /// What is revoked, newest first: by whom, when and why.
    #[command(after_help = "Examples:\n  shortbread revocations list\n  shortbread revocations list --json")]
    List {
        #[command(flatten)]
        connection: Connection,
    },
    /// How fresh the published list is, and who enforces it already. The first needs no key.
    #[command(
        after_help = "Examples:\n  shortbread revocations status\n  shortbread revocations status --watch\n  shortbread revocations status --check --json"
    )]
    Status(status::StatusArgs),
    /// How old the lists of verifiers were, minute by minute, since the broker started and for a day at most.
    #[command(after_help = "Examples:\n  shortbread revocations ages\n  shortbread revocations ages --json")]
    Ages {
        #[command(flatten)]
        connection: Connection,
    },
    Publish(publish::PublishArgs),
    /// Wait no more for an instance of a verifier that is silent or gone. Should it come back, it is known again.
    #[command(after_help = "Examples:\n  shortbread revocations forget Zk3vQ1aB")]
    Forget {
        /// The instance, as `status` shows it, or the beginning of it.
        // One thumbprint in 64 begins with a hyphen.
        #[arg(value_name = "INSTANCE", allow_hyphen_values = true)]
        instance: String,
        #[command(flatten)]
        connection: Connection,
    },
}

/// Shows it.
///
/// # Errors
/// When the broker cannot be reached or refuses; `status` also when the list must not be relied on any more.
pub(crate) async fn run(args: &RevocationsArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        RevocationsCommand::List { connection } => list::list(context, connection).await,
        RevocationsCommand::Status(args) => status::run(args, context).await,
        RevocationsCommand::Ages { connection } => ages::run(context, connection).await,
        RevocationsCommand::Publish(args) => publish::run(args, context).await,
        RevocationsCommand::Forget { instance, connection } => forget(context, connection, instance).await,
    }
}

async fn forget(context: &Context, connection: &Connection, wanted: &str) -> Result<(), Failure> {
    let mut session = Session::open(context, connection, "revocations.read")?;
    let status: StatusAnswer = session.get("/api/v1/revocations/status").await?;
    let found: Vec<_> = status.listed.iter().filter(|body| body.instance.starts_with(wanted)).collect();
    let [body] = found.as_slice() else {
        let what = if found.is_empty() { "no instance" } else { "more than one instance" };
        return Err(Failure::new(
            format!("{what} that is listed begins with {wanted}"),
            "Write it as `shortbread revocations status` shows it, or with more of its letters.",
        ));
    };
    let mut session = Session::open(context, connection, "revocations.revoke")?;
    session.delete(&format!("/api/v1/verifiers/{}", body.instance)).await?;
    if context.ui.is_json() {
        context.ui.json(&json!({ "forgotten": body.instance }));
    } else {
        context.ui.line(&format!("{} is forgotten: nobody waits for it any more", view::name(body)));
    }
    Ok(())
}
