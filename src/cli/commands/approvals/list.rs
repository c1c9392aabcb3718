//! `shortbread approvals list`: what waits, the most urgent first.

use clap::Args;
use shortbread_protocol::admin::{ApprovalBody, ApprovalsAnswer};
use shortbread_protocol::names::WorkflowName;

use super::{PATH, session, view};
use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::text::{count, encoded};
use crate::ui::{Piece, Style};

const STATES: [&str; 9] =
    ["open", "closed", "pending", "approved", "denied", "expired", "cancelled", "redeemed", "all"];
/// How many are asked for at once with --all.
const PAGE: u16 = 500;
/// How many verbs are named before they are counted.
const NAMED: usize = 2;

/// What waits for a decision, the most urgent first; with --state, what was decided, the newest first.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread approvals list
  shortbread approvals list --workflow refund-desk --state denied
  shortbread approvals list --state all --all --json")]
pub(super) struct ListArgs {
    /// How far they came; open is pending and approved, closed all else.
    #[arg(long, value_name = "STATE", default_value = "open", value_parser = STATES)]
    state: String,
    /// Only requests of a workflow.
    #[arg(long, value_name = "NAME")]
    workflow: Option<WorkflowName>,
    /// How many at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=500))]
    limit: u16,
    /// All of them, however many there are.
    #[arg(long, conflicts_with = "limit")]
    all: bool,
    #[command(flatten)]
    connection: Connection,
}

/// Lists them.
///
/// # Errors
/// When the broker cannot be reached or refuses.
pub(super) async fn run(args: &ListArgs, context: &Context) -> Result<(), Failure> {
    let mut session = session(context, &args.connection)?;
    let limit = if args.all { PAGE } else { args.limit };
    let workflow =
        args.workflow.as_ref().map(|name| format!("&principal=workflow:{name}")).unwrap_or_default();
    let path = |state: &str| format!("{PATH}?state={state}&limit={limit}{workflow}");
    // Open ones and closed ones come in orders of their own.
    let (first, second) =
        if args.state == "all" { ("open", Some("closed")) } else { (args.state.as_str(), None) };
    let mut answer = pages(&mut session, &path(first), args.all).await?;
    if let Some(second) = second {
        let closed = pages(&mut session, &path(second), args.all).await?;
        answer.approvals.extend(closed.approvals);
        answer.next = answer.next.or(closed.next);
    }
    let ui = context.ui;
    if ui.is_json() {
        ui.json(&answer);
        return Ok(());
    }
    if answer.approvals.is_empty() {
        let narrowed = args.state != "open" || args.workflow.is_some();
        ui.line(if narrowed { "no request is like that" } else { "nothing waits for a decision" });
        ui.remark("`shortbread approvals watch` shows each request as it comes, `list --state all` those that were decided too");
        return Ok(());
    }
    let head = ["id", "state", "who", "what", "access", "votes", "time left", "asked"];
    ui.table(&head, answer.approvals.iter().map(|body| row(body, answer.now)).collect());
    let open = if answer.open == 1 {
        "1 request is open".to_owned()
    } else {
        format!("{} are open", count(answer.open, "request"))
    };
    ui.line(&format!("{open}; `shortbread approvals show ID` says what exactly would run"));
    if answer.next.is_some() {
        ui.remark("there are more: --all shows every one");
    }
    Ok(())
}

/// One page, or all of them as one.
pub(super) async fn pages(
    session: &mut Session<'_>,
    path: &str,
    all: bool,
) -> Result<ApprovalsAnswer, Failure> {
    let mut answer: ApprovalsAnswer = session.get(path).await?;
    while let Some(next) = answer.next.take_if(|_| all) {
        let page: ApprovalsAnswer = session.get(&format!("{path}&after={}", encoded(&next))).await?;
        let (now, open) = (page.now, page.open);
        answer.approvals.extend(page.approvals);
        // A cursor that stays where it is would never end.
        answer = ApprovalsAnswer {
            approvals: answer.approvals,
            open,
            now,
            next: page.next.filter(|after| *after != next),
        };
    }
    Ok(answer)
}

fn row(body: &ApprovalBody, now: u64) -> Vec<Piece> {
    let plain = |text: String| (Style::Plain, text);
    vec![
        (Style::Bold, body.approval_id.clone()),
        view::state(body.state),
        plain(body.principal.strip_prefix("workflow:").unwrap_or(&body.principal).to_owned()),
        plain(what(body)),
        plain(body.access.to_string()),
        plain(if body.votes.is_empty() { "-".to_owned() } else { body.votes.clone() }),
        view::left(body, now),
        plain(if body.state.is_open() { body.approvers.join(", ") } else { "-".to_owned() }),
    ]
}

/// `payments/refunds.create, 3 calls`.
pub(super) fn what(body: &ApprovalBody) -> String {
    let mut parts: Vec<String> = body.verbs.iter().take(NAMED).cloned().collect();
    let more = body.verbs.len().saturating_sub(NAMED);
    if more > 0 {
        parts.push(format!("{more} more"));
    }
    if body.calls > 0 {
        parts.push(count(body.calls.into(), "call"));
    }
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::tests::short;
    use super::*;

    #[test]
    fn what_is_asked_for_is_said_in_short() {
        let mut body: ApprovalBody = serde_json::from_value(short("apr_1", "pending", 3)).unwrap();
        assert_eq!(what(&body), "payments/refunds.create, 3 calls");
        body.verbs = ["a/x", "a/y", "a/z", "b/x"].map(str::to_owned).to_vec();
        body.calls = 0;
        assert_eq!(what(&body), "a/x, a/y, 2 more");
        let cells: Vec<String> = row(&body, 1100).into_iter().map(|(_, text)| text).collect();
        assert_eq!(cells[6..], ["escalates in 3m 20s", "oncall"]);
    }

    #[test]
    fn a_cursor_cannot_change_the_query() {
        assert_eq!(encoded("a_1&x=%\n"), "a_1%26x%3D%25%0A");
    }
}
