//! `shortbread revocations`: what is revoked, how fresh the list is, who enforces it.

mod status;
pub(crate) mod view;

use clap::{Args, Subcommand};
use serde_json::json;
use shortbread_protocol::admin::{RevocationBody, RevocationsAnswer, StatusAnswer};
use shortbread_protocol::clock::{FOREVER, Timestamp};

use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::text::span;
use crate::ui::{Piece, Style};

/// Show what is revoked, how fresh the published list is, and who enforces it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread revocations list
  shortbread revocations status --root keys/root.pub.pem")]
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
        RevocationsCommand::List { connection } => list(context, connection).await,
        RevocationsCommand::Status(args) => status::run(args, context).await,
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

async fn list(context: &Context, connection: &Connection) -> Result<(), Failure> {
    let mut session = Session::open(context, connection, "revocations.read")?;
    let answer: RevocationsAnswer = session.get("/api/v1/revocations").await?;
    let ui = context.ui;
    if ui.is_json() {
        ui.json(&answer);
        return Ok(());
    }
    if answer.revocations.is_empty() {
        ui.line("nothing is revoked");
    } else {
        let rows = answer.revocations.iter().map(row).collect();
        ui.table(&["what", "which tokens", "by", "at", "cause", "why"], rows);
    }
    let signed = Timestamp::from_seconds(answer.issued);
    ui.line(&format!("list {}, signed {} ago", answer.head, span(context.now().since(signed).as_secs())));
    Ok(())
}

fn row(entry: &RevocationBody) -> Vec<Piece> {
    let what =
        if entry.value.is_empty() { entry.kind.clone() } else { format!("{} {}", entry.kind, entry.value) };
    let which = if entry.before >= FOREVER {
        "all, until lifted".to_owned()
    } else {
        format!("issued before {}", Timestamp::from_seconds(entry.before))
    };
    // Causes are single words of a closed list.
    let cause = json!(entry.cause).as_str().unwrap_or_default().to_owned();
    let at = Timestamp::from_seconds(entry.at).to_string();
    let mut cells = vec![(Style::Bold, what)];
    cells.extend(
        [which, entry.operator.clone(), at, cause, entry.reason.clone()].map(|cell| (Style::Plain, cell)),
    );
    cells
}
