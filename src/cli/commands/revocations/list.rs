//! `shortbread revocations list`: what is revoked, newest first.

use serde_json::json;
use shortbread_protocol::admin::{RevocationBody, RevocationsAnswer};
use shortbread_protocol::clock::{FOREVER, Timestamp};

use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::text::span;
use crate::ui::{Piece, Style};

pub(super) async fn list(context: &Context, connection: &Connection) -> Result<(), Failure> {
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
