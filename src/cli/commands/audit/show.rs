//! `shortbread audit show`: the whole story of a trace, or of what a decision or a token belongs to.

use clap::Args;
use serde_json::Value;
use shortbread_broker::story::{kind, trace};
use shortbread_protocol::admin::{AuditAnswer, AuditEntryBody};
use shortbread_protocol::clock::Timestamp;

use super::{is_id, story};
use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;

/// How many pages of the log are looked through for a token, from the second on in which it was issued.
const PAGES: usize = 4;
/// A token's entry is written within this many milliseconds of the time in its id.
const AROUND: u64 = 5000;

/// The whole story of a trace in order of time: exchange, calls, refusals, revocations. Given a decision or a token, the
/// story that it belongs to.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  shortbread audit show dec_0193a5c7e1f27d3a9b4c5d6e7f809112\n  shortbread audit show tok_0193a5c7e1f27d3a9b4c5d6e7f809112 --full\n  shortbread audit show 0af7651916cd43dd8448eb211c80319c --json"
)]
pub(super) struct ShowArgs {
    /// The trace id, a decision's id (dec_…) or a token's (tok_…).
    id: String,
    /// Every entry's particulars under its line.
    #[arg(long)]
    full: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Shows it.
///
/// # Errors
/// When the broker cannot be reached or refuses, or nothing bears the id.
pub(super) async fn run(args: &ShowArgs, context: &Context) -> Result<(), Failure> {
    let id = args.id.as_str();
    if !is_id(id) {
        return Err(Failure::usage(
            "give a decision id (dec_…), a token id (tok_…) or a trace id (32 hex digits)",
        ));
    }
    let issued = id.starts_with("tok_").then(|| issued(id)).transpose()?;
    let mut session = Session::open(context, &args.connection, "audit.read")?;
    let named = match issued {
        Some(issued) => minted(&mut session, id, issued).await?,
        None => session.document::<AuditAnswer>(&format!("/api/v1/audit/{id}")).await?.entries,
    };
    if named.is_empty() {
        return Err(Failure::new(
            format!("no entry of the audit log bears {id}"),
            "Check the spelling of the id.",
        ));
    }
    if context.ui.is_json() {
        named.iter().for_each(|entry| context.ui.json_line(&entry.event));
        return Ok(());
    }
    let trace = named.iter().find_map(|entry| trace(&entry.event)).filter(|trace| trace != id);
    let entries = match trace {
        Some(trace) => session.document::<AuditAnswer>(&format!("/api/v1/audit/{trace}")).await?.entries,
        None => named,
    };
    for told in story::tell(&entries, id) {
        context.ui.pieces(&told.line);
        if let Some(event) = told.event.filter(|_| args.full) {
            let indent = " ".repeat(told.indent);
            for line in serde_json::to_string_pretty(event).unwrap_or_default().lines() {
                context.ui.line(&format!("{indent}{line}"));
            }
        }
    }
    Ok(())
}

/// When a token was issued, as its id says.
fn issued(token: &str) -> Result<Timestamp, Failure> {
    let time = token.get(4..16).and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let time = time.filter(|_| token.len() == 36).map(Timestamp::from_millis);
    time.ok_or_else(|| Failure::usage("a token's id is tok_ and 32 hex digits"))
}

// A token's entry is found without looking through the whole log.
async fn minted(
    session: &mut Session<'_>,
    token: &str,
    issued: Timestamp,
) -> Result<Vec<AuditEntryBody>, Failure> {
    let since = Timestamp::from_millis(issued.millis().saturating_sub(AROUND));
    let mut path = format!("/api/v1/audit/export?since={since}");
    for _ in 0..PAGES {
        let page = session.page(&path).await?;
        let lines = page.lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
        let events = lines.map(|line| serde_json::from_slice::<Value>(line).unwrap_or_default());
        let ours = |event: &Value| {
            kind(event) == "token.minted"
                && event.pointer("/data/token").and_then(Value::as_str) == Some(token)
        };
        if let Some((index, event)) = (page.from..).zip(events).find(|(_, event)| ours(event)) {
            return Ok(vec![AuditEntryBody { index, event }]);
        }
        if page.next >= page.end {
            break;
        }
        path = format!("/api/v1/audit/export?from={}", page.next);
    }
    Ok(Vec::new())
}
