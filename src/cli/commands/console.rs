//! `shortbread console`: a link that signs in to the pages for operators, and who is signed in there.

use clap::{Args, Subcommand};
use shortbread_protocol::admin::{ConsoleLinkAnswer, ConsoleSessionBody, ConsoleSessionsAnswer};
use shortbread_protocol::clock::Timestamp;

use crate::cli::Connection;
use crate::client::{Session, sign_in};
use crate::config::Settings;
use crate::context::Context;
use crate::failure::Failure;
use crate::ui::{Piece, Style};

/// Open the console: pages for operators, in any browser.
///
/// Prints a link that signs you in once, within 60 seconds. Whoever opens it first acts as you, so pass it to no one.
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Examples:
  shortbread console
  shortbread console approvals/apr_019ab2
  shortbread console sessions
  shortbread console sign-out ses_019ab2"
)]
pub(crate) struct ConsoleArgs {
    #[command(subcommand)]
    command: Option<ConsoleCommand>,
    /// The page to begin with, such as approvals/apr_019ab2 or switch.
    #[arg(value_name = "PAGE")]
    page: Option<String>,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Subcommand)]
enum ConsoleCommand {
    Sessions(SessionsArgs),
    SignOut(SignOutArgs),
}

/// Your sessions: where you are signed in.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  shortbread console sessions\n  shortbread console sessions --json")]
struct SessionsArgs {
    #[command(flatten)]
    connection: Connection,
}

/// End one of your sessions, as on a phone that is lost.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  shortbread console sign-out ses_019ab2")]
struct SignOutArgs {
    /// The session, as `sessions` lists it.
    session: String,
    #[command(flatten)]
    connection: Connection,
}

/// Does what is asked.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub(crate) async fn run(args: &ConsoleArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        None => link(args, context).await,
        Some(ConsoleCommand::Sessions(args)) => sessions(args, context).await,
        Some(ConsoleCommand::SignOut(args)) => {
            let path = format!("/api/v1/console/sessions/{}", plain(&args.session, "session")?);
            open(&args.connection, context).await?.delete(&path).await?;
            context.ui.line(&format!("session {} is over", args.session));
            Ok(())
        }
    }
}

// Every operator may, whatever they are granted: whichever verb signs in.
async fn open<'c>(connection: &Connection, context: &'c Context) -> Result<Session<'c>, Failure> {
    let settings = Settings::of(context, connection)?;
    let verb = sign_in(context, &settings.broker()?, &settings.signer()?).await?;
    Session::open(context, connection, verb)
}

async fn link(args: &ConsoleArgs, context: &Context) -> Result<(), Failure> {
    let page = args.page.as_deref().map(|page| plain(page.trim_start_matches('/'), "page")).transpose()?;
    let mut session = open(&args.connection, context).await?;
    let mut answer: ConsoleLinkAnswer = session.post("/api/v1/console/links", &serde_json::json!({})).await?;
    if let Some(page) = page {
        let page = page.strip_prefix("console/").unwrap_or(page);
        answer.url.push_str(&format!("?to=/console/{page}"));
    }
    let ui = context.ui;
    if ui.is_json() {
        ui.json(&answer);
        return Ok(());
    }
    ui.line(&answer.url);
    ui.remark(&format!("signs you in as {}, once, within {} seconds", answer.operator, answer.expires_in));
    Ok(())
}

async fn sessions(args: &SessionsArgs, context: &Context) -> Result<(), Failure> {
    let answer: ConsoleSessionsAnswer =
        open(&args.connection, context).await?.get("/api/v1/console/sessions").await?;
    let ui = context.ui;
    if ui.is_json() {
        ui.json(&answer);
        return Ok(());
    }
    if answer.sessions.is_empty() {
        ui.line("you are signed in nowhere; `shortbread console` prints a link");
        return Ok(());
    }
    ui.table(&["session", "by", "signed in", "used", "ends"], answer.sessions.iter().map(row).collect());
    Ok(())
}

fn row(body: &ConsoleSessionBody) -> Vec<Piece> {
    let at = |seconds| (Style::Plain, Timestamp::from_seconds(seconds).to_string());
    vec![
        (Style::Bold, body.session.clone()),
        (Style::Plain, body.means.clone()),
        at(body.signed_in),
        at(body.used),
        at(body.ends),
    ]
}

// What goes into a path as it is.
fn plain<'t>(text: &'t str, what: &str) -> Result<&'t str, Failure> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.".contains(&byte);
    if !text.is_empty() && text.bytes().all(good) && !text.contains("//") {
        return Ok(text);
    }
    Err(Failure::usage(format!("{text:?} is no {what}: letters, digits and / - _ . alone")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_into_a_path_is_plain() {
        assert!(plain("approvals/apr_01", "page").is_ok());
        for bad in ["", "a b", "//evil.example", "a?b", "\u{202e}"] {
            assert!(plain(bad, "page").is_err(), "{bad:?}");
        }
    }
}
