//! `shortbread keys activate`: sends a signed key document to the broker.

use std::path::PathBuf;

use clap::Args;
use shortbread_protocol::admin::{KeyBody, KeyDocumentBody, KeysAnswer};

use super::until;
use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::files;
use crate::ui::Style;

/// Put a signed key document in force. The broker goes on without a restart and publishes a list that names it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread keys activate keys/key-document-2.txt
  shortbread keys activate keys/key-document-2.txt --json")]
pub(super) struct ActivateArgs {
    /// The document that `keys sign` wrote.
    #[arg(value_name = "FILE")]
    document: PathBuf,
    #[command(flatten)]
    connection: Connection,
}

/// Activates it.
///
/// # Errors
/// When the broker cannot be reached or refuses the document.
pub(super) async fn run(args: &ActivateArgs, context: &Context) -> Result<(), Failure> {
    let document = files::read_text(&args.document)?;
    let mut session = Session::open(context, &args.connection, "keys.rotate")?;
    let answer: KeysAnswer = session.post("/api/v1/keys/document", &KeyDocumentBody { document }).await?;
    if context.ui.is_json() {
        context.ui.json(&answer);
        return Ok(());
    }
    context.ui.heading(&format!("key document {} is in force", answer.version));
    let row = |key: &KeyBody| {
        [key.purpose.clone(), key.name.clone(), key.state.clone(), until(key.not_after)]
            .map(|cell| (Style::Plain, cell))
            .to_vec()
    };
    context.ui.table(&["purpose", "name", "state", "until"], answer.keys.iter().map(row).collect());
    if answer.keys.iter().any(|key| key.state == "waits") {
        context.ui.line(
            "A key that waits signs once all verifiers that report know the document, a minute at least and a quarter of an hour at most; `shortbread keys list` shows when.",
        );
    }
    Ok(())
}
