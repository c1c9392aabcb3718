//! `shortbread revocations`: what is revoked, how fresh the list is, and a copy of it for others to serve.

mod list;
mod publish;
mod status;

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::cli::Connection;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::published;

/// Show what is revoked and how fresh the published list is, and mirror it.
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
    /// How fresh the published list is. It needs no key.
    #[command(
        after_help = "Examples:\n  shortbread revocations status\n  shortbread revocations status --root keys/root.pub.pem"
    )]
    Status {
        /// The broker's public root key: check the signatures too [default: SHORTBREAD_ROOT, then the client config].
        #[arg(long, value_name = "FILE")]
        root: Option<PathBuf>,
        #[command(flatten)]
        connection: Connection,
    },
    Publish(publish::PublishArgs),
}

/// Shows it.
///
/// # Errors
/// When the broker cannot be reached or refuses; `status` also when the list must not be relied on any more.
pub(crate) async fn run(args: &RevocationsArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        RevocationsCommand::List { connection } => list::list(context, connection).await,
        RevocationsCommand::Status { root, connection } => {
            let settings = Settings::of(context, connection)?;
            let (broker, root) = (settings.broker()?, settings.root(root.as_deref())?);
            let work = published::head(&broker, root.as_ref());
            status::status(context, &context.ui.wait("fetching the list", work).await?)
        }
        RevocationsCommand::Publish(args) => publish::run(args, context).await,
    }
}
