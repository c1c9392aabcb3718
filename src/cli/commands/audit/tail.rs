//! `shortbread audit tail`: the newest entries, and what comes.

use std::time::Duration;

use clap::Args;
use shortbread_broker::story::Filter;
use shortbread_protocol::admin::{AuditAnswer, AuditEntryBody};

use super::line::line;
use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;

/// How often `--follow` asks for what is new.
const POLL: Duration = Duration::from_secs(1);
/// The most entries of one answer.
const MOST: usize = 500;
/// How many entries more are asked for, where some may be left out.
const SPARE: usize = 30;
/// How many answers are looked through for as many entries as are wanted.
const MAX_PAGES: usize = 200;

/// The newest entries.
///
/// Your own sign-ins to read the log, which every reading adds, are left out unless --all is given. Filters look back until
/// as many are found as are wanted, at the newest 100,000 entries at most, and with --follow at all that come.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  shortbread audit tail --limit 50\n  shortbread audit tail --follow --json\n  shortbread audit tail --workflow release-notes --outcome deny\n  shortbread audit tail --follow --type call.decision --tool github"
)]
pub(super) struct TailArgs {
    /// How many.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// Go on with what comes, until interrupted.
    #[arg(long)]
    follow: bool,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Which entries; each filter leaves out what does not fit.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which")]
struct FilterArgs {
    /// Only entries of a workflow.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only entries with a declared purpose.
    #[arg(long, value_name = "NAME")]
    intent: Option<String>,
    /// Only entries about a tool.
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
    /// Only entries with an access.
    #[arg(long, value_name = "ACCESS", value_parser = ["read", "write", "privileged"])]
    access: Option<String>,
    /// Only entries of a release.
    #[arg(long, value_name = "VERSION")]
    release: Option<String>,
    /// Only entries with an outcome: allow, deny or done.
    #[arg(long, value_name = "OUTCOME", value_parser = ["allow", "deny", "done"])]
    outcome: Option<String>,
    /// Only entries of a type, such as call.decision or token.refused.
    #[arg(long = "type", value_name = "TYPE")]
    kind: Option<String>,
    /// Only entries with a reason code.
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    /// Your own sign-ins to read the log too.
    #[arg(long)]
    all: bool,
}

/// Shows them.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub(super) async fn run(args: &TailArgs, context: &Context) -> Result<(), Failure> {
    let mut session = Session::open(context, &args.connection, "audit.read")?;
    let filter = args.filter.filter(session.subject().replacen(':', "/", 1));
    let wanted = |entry: &&AuditEntryBody| filter.wants(&entry.event);
    let limit = usize::from(args.limit);
    let asked = ask(&filter, limit);
    // Without a place to go on from, the broker answers the newest entries.
    let mut answer: AuditAnswer = session.get(&format!("/api/v1/audit?limit={asked}")).await?;
    let mut after = None;
    let found = answer.entries.iter().filter(wanted).count();
    let earlier = match answer.entries.first() {
        Some(first) => earlier(&mut session, first.index, limit.saturating_sub(found), &wanted).await?,
        None => Vec::new(),
    };
    earlier.iter().for_each(|entry| say(context, entry));
    let mut over = found.saturating_sub(limit);
    loop {
        answer.entries.iter().filter(wanted).skip(over).for_each(|entry| say(context, entry));
        after = answer.next.or_else(|| answer.entries.last().map(|entry| entry.index)).or(after);
        if !args.follow {
            return Ok(());
        }
        over = 0;
        tokio::time::sleep(POLL).await;
        let place = after.map(|index| format!("&after={index}")).unwrap_or_default();
        answer = session.get(&format!("/api/v1/audit?limit={asked}{place}")).await?;
    }
}

/// The last `missing` entries that are wanted of those before a place, oldest first.
async fn earlier(
    session: &mut Session<'_>,
    mut before: u64,
    missing: usize,
    wanted: &impl Fn(&&AuditEntryBody) -> bool,
) -> Result<Vec<AuditEntryBody>, Failure> {
    let mut found: Vec<AuditEntryBody> = Vec::new();
    for _ in 0..MAX_PAGES {
        if found.len() >= missing || before == 0 {
            break;
        }
        let from = before.saturating_sub(MOST as u64);
        let asked = before - from;
        let answer: AuditAnswer = session.get(&format!("/api/v1/audit?limit={asked}&after={from}")).await?;
        let page = answer.entries.into_iter().filter(|entry| entry.index < before);
        let mut page: Vec<AuditEntryBody> = page.collect();
        if page.is_empty() {
            // What came earlier was pruned.
            break;
        }
        page.retain(|entry| wanted(&entry));
        page.append(&mut found);
        found = page;
        before = from;
    }
    Ok(found.split_off(found.len().saturating_sub(missing)))
}

impl FilterArgs {
    fn filter(&self, own: String) -> Filter {
        let Self { workflow, intent, tool, access, release, outcome, kind, reason, all } = self.clone();
        let reader = (!all).then_some(own);
        Filter { workflow, intent, tool, access, release, outcome, kind, reason, reader }
    }
}

/// How many entries to ask for, so that enough are left.
fn ask(filter: &Filter, limit: usize) -> usize {
    match (filter.narrows(), &filter.reader) {
        (true, _) => MOST,
        (false, None) => limit,
        (false, Some(_)) => (limit + SPARE).min(MOST),
    }
}

fn say(context: &Context, entry: &AuditEntryBody) {
    if context.ui.is_json() {
        context.ui.json_line(&entry.event);
    } else {
        context.ui.pieces(&line(&entry.event));
    }
}
