//! `shortbread audit tail`: the newest entries, and what comes.

use std::time::Duration;

use clap::Args;
use serde_json::Value;
use shortbread_protocol::admin::{AuditAnswer, AuditEntryBody};

use super::line::{kind, line, outcome};
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
    filter: Filter,
    #[command(flatten)]
    connection: Connection,
}

/// Which entries; each filter leaves out what does not fit.
#[derive(Clone, Debug, Default, Args)]
#[command(next_help_heading = "Which")]
struct Filter {
    /// Only entries of a workflow.
    #[arg(long, value_name = "NAME")]
    workflow: Option<String>,
    /// Only entries about a tool.
    #[arg(long, value_name = "NAME")]
    tool: Option<String>,
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
    let own = session.subject().replacen(':', "/", 1);
    let wanted = |entry: &&AuditEntryBody| args.filter.wants(&entry.event, &own);
    let limit = usize::from(args.limit);
    let asked = args.filter.ask(limit);
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

impl Filter {
    /// How many entries to ask for, so that enough are left.
    fn ask(&self, limit: usize) -> usize {
        let parts = [&self.workflow, &self.tool, &self.outcome, &self.kind, &self.reason];
        match (parts.iter().any(|part| part.is_some()), self.all) {
            (true, _) => MOST,
            (false, true) => limit,
            (false, false) => (limit + SPARE).min(MOST),
        }
    }

    fn wants(&self, event: &Value, own: &str) -> bool {
        let fits = |wanted: &Option<String>, fits: &dyn Fn(&str) -> bool| wanted.as_deref().is_none_or(fits);
        (self.all || !is_sign_in(event, own))
            && fits(&self.workflow, &|name| is_of(event, name))
            && fits(&self.tool, &|name| is_about(event, name))
            && fits(&self.outcome, &|wanted| outcome(event) == wanted)
            && fits(&self.kind, &|wanted| {
                let full = event.get("type").and_then(Value::as_str);
                kind(event) == wanted || full == Some(wanted)
            })
            && fits(&self.reason, &|code| has_reason(event, code))
    }
}

/// Whether it is this operator's token for nothing but reading the log.
fn is_sign_in(event: &Value, own: &str) -> bool {
    let asked = event.pointer("/data/requested").and_then(Value::as_array);
    kind(event) == "token.minted"
        && event.get("subject").and_then(Value::as_str) == Some(own)
        && asked.is_some_and(|asked| matches!(&asked[..], [one] if one == "shortbread/audit.read"))
}

fn is_of(event: &Value, workflow: &str) -> bool {
    let named = |pointer| event.pointer(pointer).and_then(Value::as_str) == Some(workflow);
    let subject = event.get("subject").and_then(Value::as_str).unwrap_or_default();
    subject.strip_prefix("workflow/") == Some(workflow) || named("/data/workflow")
}

fn is_about(event: &Value, tool: &str) -> bool {
    let named = |pointer| event.pointer(pointer).and_then(Value::as_str) == Some(tool);
    let listed = |pointer| {
        let verbs = event.pointer(pointer).and_then(Value::as_array).into_iter().flatten();
        verbs.filter_map(Value::as_str).any(|verb| verb.split_once('/').is_some_and(|(of, _)| of == tool))
    };
    named("/data/tool") || named("/data/segment/tool") || listed("/data/requested") || listed("/data/granted")
}

fn has_reason(event: &Value, code: &str) -> bool {
    let listed = event.pointer("/data/reasons").and_then(Value::as_array).into_iter().flatten();
    let single = ["/data/reason", "/data/observed"].into_iter().filter_map(|pointer| event.pointer(pointer));
    listed.chain(single).any(|reason| reason.as_str() == Some(code))
}

fn say(context: &Context, entry: &AuditEntryBody) {
    if context.ui.is_json() {
        context.ui.json_line(&entry.event);
    } else {
        context.ui.pieces(&line(&entry.event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn filter(change: impl FnOnce(&mut Filter)) -> Filter {
        let mut filter = Filter::default();
        change(&mut filter);
        filter
    }

    #[test]
    fn each_filter_leaves_out_what_does_not_fit() {
        let call = json!({
            "type": "dev.shortbread.call.decision.v1", "subject": "workflow/demo",
            "data": {"outcome": "deny", "reasons": ["not_granted"], "tool": "github", "verb": "issues.write", "workflow": "demo"},
        });
        let own = "operator/alice";
        let some = |text: &str| Some(text.to_owned());
        for (filter, wanted) in [
            (filter(|_| {}), true),
            (filter(|f| f.workflow = some("demo")), true),
            (filter(|f| f.workflow = some("dem")), false),
            (filter(|f| f.tool = some("github")), true),
            (filter(|f| f.tool = some("git")), false),
            (filter(|f| f.outcome = some("deny")), true),
            (filter(|f| f.outcome = some("allow")), false),
            (filter(|f| f.kind = some("call.decision")), true),
            (filter(|f| f.kind = some("dev.shortbread.call.decision.v1")), true),
            (filter(|f| f.kind = some("call")), false),
            (filter(|f| f.reason = some("not_granted")), true),
            (filter(|f| f.reason = some("granted")), false),
        ] {
            assert_eq!(filter.wants(&call, own), wanted, "{filter:?}");
        }
        let asked =
            json!({"type": "dev.shortbread.token.refused.v1", "data": {"requested": ["github/issues.read"]}});
        assert!(filter(|f| f.tool = some("github")).wants(&asked, own));
        assert!(!filter(|f| f.tool = some("github")).wants(&json!(null), own));
    }

    #[test]
    fn own_sign_ins_are_left_out_unless_asked_for() {
        let minted = |subject: &str, asked: &[&str]| {
            json!({
                "type": "dev.shortbread.token.minted.v1", "subject": subject, "data": {"outcome": "allow", "requested": asked},
            })
        };
        let own = minted("operator/alice", &["shortbread/audit.read"]);
        let (plain, all) = (Filter::default(), filter(|f| f.all = true));
        assert!(!plain.wants(&own, "operator/alice") && all.wants(&own, "operator/alice"));
        assert!(plain.wants(&own, "operator/bob"), "another's is of interest");
        let more = minted("operator/alice", &["shortbread/audit.read", "shortbread/revocations.revoke"]);
        assert!(plain.wants(&more, "operator/alice"));
    }
}
