//! `shortbread revocations`: what is revoked, and how fresh the list is.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::json;
use shortbread_protocol::admin::{RevocationBody, RevocationsAnswer};
use shortbread_protocol::clock::{FOREVER, Timestamp};

use crate::cli::Connection;
use crate::client::Session;
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::published::{self, HeadLines};
use crate::text::span;
use crate::ui::{Piece, Style};

/// Show what is revoked and how fresh the published list is.
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
}

/// Shows it.
///
/// # Errors
/// When the broker cannot be reached or refuses; `status` also when the list must not be relied on any more.
pub(crate) async fn run(args: &RevocationsArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        RevocationsCommand::List { connection } => list(context, connection).await,
        RevocationsCommand::Status { root, connection } => {
            let settings = Settings::of(context, connection)?;
            let (broker, root) = (settings.broker()?, settings.root(root.as_deref())?);
            let work = published::head(&broker, root.as_ref());
            status(context, &context.ui.wait("fetching the list", work).await?)
        }
    }
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

fn status(context: &Context, head: &HeadLines) -> Result<(), Failure> {
    let (ui, now) = (context.ui, context.now());
    let age = now.since(Timestamp::from_seconds(head.issued)).as_secs();
    let expired = now.seconds() >= head.expires;
    if ui.is_json() {
        ui.json(&json!({
            "seq": head.seq, "issued": head.issued, "age": age, "expires": head.expires, "expired": expired,
            "global": head.global, "keys": head.keys, "signature_checked": head.checked,
        }));
    } else {
        let ends = Timestamp::from_seconds(head.expires);
        let left =
            if expired { "over".to_owned() } else { format!("in {}", span(ends.since(now).as_secs())) };
        let stopped = match head.global {
            0 => "no".to_owned(),
            before if before >= FOREVER => "yes, until lifted".to_owned(),
            before => format!("what was issued before {}", Timestamp::from_seconds(before)),
        };
        let checked = if head.checked { "good" } else { "not checked; name the root key with --root" };
        ui.pairs(&[
            ("list", head.seq.to_string()),
            ("signed", format!("{} ({} ago)", Timestamp::from_seconds(head.issued), span(age))),
            ("expires", format!("{ends} ({left})")),
            ("all stopped", stopped),
            ("key document", format!("version {}", head.keys)),
            ("signature", checked.to_owned()),
        ]);
    }
    if expired {
        let fix = "Verifiers deny everything until a new list is signed. Run `shortbread doctor`.";
        return Err(Failure::new("the published revocation list is over", fix));
    }
    Ok(())
}
