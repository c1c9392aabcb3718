//! `shortbread audit`: who did what, and what was decided.

mod case;
mod erase;

use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::Value;
use shortbread_protocol::admin::{AuditAnswer, AuditEntryBody};

use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::text::count;
use crate::ui::{Piece, Style};

/// How often `--follow` asks for what is new.
const POLL: Duration = Duration::from_secs(1);

/// Read the audit log: who did what, and what was decided; make cases of decisions, and erase what they depended on.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread audit tail --follow
  shortbread audit show dec_0193a5c7e1f27d3a9b4c5d6e7f809112
  shortbread audit case dec_0193a5c7e1f27d3a9b4c5d6e7f809112 --expect deny >> cases.jsonl
  shortbread audit erase --subject repo:acme/web:environment:prod --reason \"request 17\" --dry-run")]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// The newest entries.
    #[command(
        after_help = "Examples:\n  shortbread audit tail --limit 50\n  shortbread audit tail --follow --json"
    )]
    Tail {
        /// How many.
        #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
        limit: u16,
        /// Go on with what comes, until interrupted.
        #[arg(long)]
        follow: bool,
        #[command(flatten)]
        connection: Connection,
    },
    /// Every entry of a decision or a trace.
    #[command(
        after_help = "Examples:\n  shortbread audit show dec_0193a5c7e1f27d3a9b4c5d6e7f809112\n  shortbread audit show 0af7651916cd43dd8448eb211c80319c --json"
    )]
    Show {
        /// The decision's id, or the trace id.
        id: String,
        #[command(flatten)]
        connection: Connection,
    },
    Case(case::CaseArgs),
    Erase(erase::EraseArgs),
}

/// Shows entries.
///
/// # Errors
/// When the broker cannot be reached or refuses, or nothing bears the id.
pub(crate) async fn run(args: &AuditArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        AuditCommand::Tail { limit, follow, connection } => tail(context, connection, *limit, *follow).await,
        AuditCommand::Show { id, connection } => show(context, connection, id).await,
        AuditCommand::Case(args) => case::run(args, context).await,
        AuditCommand::Erase(args) => erase::run(args, context).await,
    }
}

async fn tail(context: &Context, connection: &Connection, limit: u16, follow: bool) -> Result<(), Failure> {
    let mut session = Session::open(context, connection, "audit.read")?;
    // Without a place to go on from, the broker answers the newest entries.
    let mut answer: AuditAnswer = session.get(&format!("/api/v1/audit?limit={limit}")).await?;
    let mut after = None;
    loop {
        answer.entries.iter().for_each(|entry| say(context, entry));
        after = answer.next.or_else(|| answer.entries.last().map(|entry| entry.index)).or(after);
        if !follow {
            return Ok(());
        }
        tokio::time::sleep(POLL).await;
        let place = after.map(|index| format!("&after={index}")).unwrap_or_default();
        answer = session.get(&format!("/api/v1/audit?limit={limit}{place}")).await?;
    }
}

async fn show(context: &Context, connection: &Connection, id: &str) -> Result<(), Failure> {
    if !is_id(id) {
        return Err(Failure::usage("give a decision id (dec_…) or a trace id (32 hex digits)"));
    }
    let mut session = Session::open(context, connection, "audit.read")?;
    let answer: AuditAnswer = session.get(&format!("/api/v1/audit/{id}")).await?;
    for entry in &answer.entries {
        say(context, entry);
        if !context.ui.is_json() {
            for line in serde_json::to_string_pretty(&entry.event).unwrap_or_default().lines() {
                context.ui.line(&format!("  {line}"));
            }
        }
    }
    if answer.entries.is_empty() {
        return Err(Failure::new(
            format!("no entry of the audit log bears {id}"),
            "Check the spelling of the id.",
        ));
    }
    Ok(())
}

/// Whether this can be an id, and stand in a URL as it is.
fn is_id(id: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=64).contains(&id.len()) && id.bytes().all(plain)
}

fn say(context: &Context, entry: &AuditEntryBody) {
    if context.ui.is_json() {
        context.ui.json_line(&entry.event);
    } else {
        context.ui.pieces(&line(&entry.event));
    }
}

/// Time, outcome, who, what, why, and the id to ask on with.
fn line(event: &Value) -> Vec<Piece> {
    let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let kind = text("/type");
    let kind = kind.strip_prefix("dev.shortbread.").unwrap_or(&kind);
    let kind = kind.strip_suffix(".v1").unwrap_or(kind).replace('.', " ");
    let outcome = match text("/data/outcome") {
        said if !said.is_empty() => said,
        _ => if kind == "token refused" { "deny" } else { "allow" }.to_owned(),
    };
    let style = if ["allow", "done"].contains(&outcome.as_str()) { Style::Good } else { Style::Bad };
    let mut pieces = vec![
        (Style::Dim, format!("{:<24}  ", text("/time"))),
        (style, format!("{outcome:<5}  ")),
        (Style::Bold, text("/subject")),
        (Style::Plain, format!("  {kind}")),
    ];
    let (what, why) = (what(event), reasons(event));
    if !what.is_empty() {
        pieces.push((Style::Plain, format!(" {what}")));
    }
    if !why.is_empty() {
        pieces.push((Style::Plain, format!("  ({why})")));
    }
    pieces.push((Style::Dim, format!("  {}", text("/id"))));
    pieces
}

/// What it was about: verbs, what is revoked or a version, whichever the entry has.
fn what(event: &Value) -> String {
    let list = |pointer: &str, name: fn(&Value) -> Option<String>| {
        let items = event.pointer(pointer).and_then(Value::as_array);
        items
            .map(|items| items.iter().filter_map(name).collect::<Vec<_>>().join(", "))
            .filter(|text| !text.is_empty())
    };
    let version =
        || event.pointer("/data/version").and_then(Value::as_u64).map(|version| format!("version {version}"));
    list("/data/granted", operation)
        .or_else(|| list("/data/requested", operation))
        .or_else(|| list("/data/entries", revoked))
        .or_else(|| event.pointer("/data").and_then(operation))
        .or_else(|| tripped(event))
        .or_else(version)
        .or_else(|| erased(event))
        .or_else(|| event.pointer("/data/operation").and_then(Value::as_str).map(str::to_owned))
        .unwrap_or_default()
}

fn operation(item: &Value) -> Option<String> {
    if let Some(text) = item.as_str() {
        return Some(text.to_owned());
    }
    let tool = item.get("tool")?.as_str()?;
    let verbs: Vec<&str> = match item.get("actions").and_then(Value::as_array) {
        Some(actions) => actions.iter().filter_map(Value::as_str).collect(),
        None => item.get("verb").and_then(Value::as_str).into_iter().collect(),
    };
    Some(verbs.iter().map(|verb| format!("{tool}/{verb}")).collect::<Vec<_>>().join(", "))
}

// What a tripwire revoked: a task, which its entry names on its own.
fn tripped(event: &Value) -> Option<String> {
    event.pointer("/data/tripwire")?;
    let task = event.pointer("/data/task")?.as_str()?;
    let refusals = event.pointer("/data/count").and_then(Value::as_u64).unwrap_or_default();
    Some(format!("task {task}, refused {refusals} times"))
}

fn erased(event: &Value) -> Option<String> {
    event.pointer("/data/sub_sha256")?;
    let inputs = event.pointer("/data/count").and_then(Value::as_u64)?;
    Some(count(inputs, "input"))
}

fn revoked(item: &Value) -> Option<String> {
    item.get("what")?.as_str().map(str::to_owned)
}

fn reasons(event: &Value) -> String {
    if let Some(reason) = event.pointer("/data/reason").and_then(Value::as_str) {
        return reason.to_owned();
    }
    let reasons = event.pointer("/data/reasons").and_then(Value::as_array);
    reasons.map(|all| all.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(event: &Value) -> String {
        line(event).into_iter().map(|(_, text)| text).collect()
    }

    #[test]
    fn entries_read_as_lines() {
        let minted = json!({
            "id": "dec_1", "type": "dev.shortbread.token.minted.v1", "time": "2026-11-20T12:00:00.123Z",
            "subject": "workflow/demo",
            "data": {"outcome": "allow", "granted": [{"tool": "github", "verb": "issues.read"}]},
        });
        assert_eq!(
            read(&minted),
            "2026-11-20T12:00:00.123Z  allow  workflow/demo  token minted github/issues.read  dec_1"
        );
        let refused = json!({
            "id": "dec_2", "type": "dev.shortbread.token.refused.v1", "time": "2026-11-20T12:00:00Z",
            "subject": "unknown", "data": {"reason": "identity.invalid"},
        });
        assert_eq!(
            read(&refused),
            "2026-11-20T12:00:00Z      deny   unknown  token refused  (identity.invalid)  dec_2"
        );
        let set = json!({
            "id": "dec_3", "type": "dev.shortbread.revocation.set.v1", "time": "t", "subject": "operator/alice",
            "data": {"entries": [{"what": "workflow demo", "before": null}], "reason": "why", "outcome": "done"},
        });
        assert!(read(&set).contains("revocation set workflow demo  (why)"));
        let call = json!({
            "id": "dec_4", "type": "dev.shortbread.call.decision.v1", "time": "t", "subject": "workflow/demo",
            "data": {"outcome": "deny", "reasons": ["not_granted"], "tool": "github", "verb": "issues.write"},
        });
        assert!(read(&call).contains("call decision github/issues.write  (not_granted)"));
        let tripped = json!({
            "id": "dec_5", "type": "dev.shortbread.revocation.set.v1", "time": "t", "subject": "tripwire/w",
            "data": {"entries": 1, "outcome": "done", "task": "t-7", "count": 3, "tripwire": {"name": "w"}},
        });
        assert!(read(&tripped).contains("revocation set task t-7, refused 3 times"));
        let erased = json!({
            "id": "dec_6", "type": "dev.shortbread.audit.erased.v1", "time": "t", "subject": "operator/alice",
            "data": {"outcome": "done", "count": 2, "sub_sha256": "00", "reason": "request 17"},
        });
        assert!(read(&erased).contains("audit erased 2 inputs  (request 17)"), "{}", read(&erased));
        assert!(!read(&json!(null)).is_empty(), "an entry of a newer form is still shown");
    }
}
