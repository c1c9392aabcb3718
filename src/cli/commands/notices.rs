//! `shortbread notices`: what operators were never told over the webhook.

use clap::{Args, Subcommand};
use shortbread_protocol::admin::{DroppedNoticeBody, DroppedNoticesAnswer};
use shortbread_protocol::clock::Timestamp;

use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::ui::{Piece, Style};

/// Show what did not reach the webhook.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread notices dropped
  shortbread notices dropped --limit 1000 --json")]
pub(crate) struct NoticesArgs {
    #[command(subcommand)]
    command: NoticesCommand,
}

#[derive(Debug, Subcommand)]
enum NoticesCommand {
    Dropped(DroppedArgs),
}

/// Notices that the receiver did not take within three days, that came after it answered 410 Gone, or for which there was
/// no room. What was given up last comes first; the newest thousand are kept.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread notices dropped
  shortbread notices dropped --limit 1000 --json")]
struct DroppedArgs {
    /// How many at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    #[command(flatten)]
    connection: Connection,
}

/// Shows them.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub(crate) async fn run(args: &NoticesArgs, context: &Context) -> Result<(), Failure> {
    let NoticesCommand::Dropped(args) = &args.command;
    let mut session = Session::open(context, &args.connection, "status.read")?;
    let path = format!("/api/v1/notices/dropped?limit={}", args.limit);
    let answer: DroppedNoticesAnswer = session.document(&path).await?;
    let ui = context.ui;
    if ui.is_json() {
        ui.json(&answer);
        return Ok(());
    }
    if answer.dropped.is_empty() {
        ui.line("no notice was given up");
        return Ok(());
    }
    ui.table(&["told at", "given up at", "why", "what"], answer.dropped.iter().map(row).collect());
    ui.remark("the audit log has all that they tell of: `shortbread audit tail`");
    Ok(())
}

fn row(body: &DroppedNoticeBody) -> Vec<Piece> {
    let at = |seconds| (Style::Plain, Timestamp::from_seconds(seconds).to_string());
    let text = body.notice.get("text").and_then(serde_json::Value::as_str);
    let what = text.unwrap_or(&body.kind).to_owned();
    vec![at(body.at), at(body.dropped), (Style::Warn, body.why.meaning().to_owned()), (Style::Plain, what)]
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_notice_is_told_in_its_own_words_or_at_least_by_its_kind() {
        let body = |notice| -> DroppedNoticeBody {
            let body = json!({
                "id": "ntc_1", "kind": "revocation.set", "at": 1000, "dropped": 2000, "why": "gone", "notice": notice,
            });
            serde_json::from_value(body).unwrap()
        };
        let cells =
            |body: &DroppedNoticeBody| row(body).into_iter().map(|(_, text)| text).collect::<Vec<_>>();
        let told = cells(&body(json!({ "text": "alice revoked workflow demo" })));
        assert_eq!(told[2..], ["the receiver answered 410 Gone", "alice revoked workflow demo"]);
        assert_eq!(cells(&body(json!(null)))[3], "revocation.set");
    }
}
