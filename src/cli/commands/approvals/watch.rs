//! `shortbread approvals watch`: each request as it comes, and what becomes of it.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::Args;
use serde_json::json;
use shortbread_protocol::admin::{ApprovalAnswer, ApprovalBody, ApprovalState, ApprovalsAnswer, ClosedBody};

use super::list::what;
use super::{PATH, session, view};
use crate::cli::Connection;
use crate::client::Session;
use crate::commands::revocations::view::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::server::stop_signal;
use crate::text::parse_span;
use crate::ui::{Piece, Style};

/// How often the queue is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How many are looked at; those that are due later are left for later.
const MOST: usize = 500;

/// Follow the queue: a line for each new request, vote, escalation and decision. Ends when it is interrupted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread approvals watch
  shortbread approvals watch --for 30m --json")]
pub(super) struct WatchArgs {
    /// End after so long: seconds, or 90s, 10m, 1h.
    #[arg(long = "for", value_name = "SPAN", value_parser = parse_span)]
    bound: Option<u64>,
    #[command(flatten)]
    connection: Connection,
}

/// Follows it.
///
/// # Errors
/// When the broker refuses, or could not be reached from the start.
pub(super) async fn run(args: &WatchArgs, context: &Context) -> Result<(), Failure> {
    let mut watch = Watch { context, session: session(context, &args.connection)?, known: None, lost: false };
    tokio::select! {
        failure = watch.follow() => Err(failure),
        () = over(args.bound) => Ok(()),
        () = stop_signal() => Ok(()),
    }
}

async fn over(bound: Option<u64>) {
    match bound {
        Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
        None => std::future::pending().await,
    }
}

/// What was seen so far.
struct Watch<'c> {
    context: &'c Context,
    session: Session<'c>,
    known: Option<BTreeMap<String, ApprovalBody>>,
    lost: bool,
}

impl Watch<'_> {
    /// Until the broker refuses.
    async fn follow(&mut self) -> Failure {
        loop {
            match self.look().await {
                Ok(()) => {
                    if std::mem::take(&mut self.lost) {
                        self.context.ui.remark("the broker answers again");
                    }
                }
                // A broker that is restarted comes back; one that refuses does not change its mind.
                Err(failure) if self.known.is_none() || matches!(failure, Failure::Refused(_)) => {
                    return failure;
                }
                Err(failure) => {
                    if !std::mem::replace(&mut self.lost, true) {
                        self.context.ui.remark(&format!("{failure}; it is tried again"));
                    }
                }
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn look(&mut self) -> Result<(), Failure> {
        let answer: ApprovalsAnswer = self.session.poll(&format!("{PATH}?state=open&limit={MOST}")).await?;
        let whole = answer.next.is_none();
        let now: BTreeMap<String, ApprovalBody> =
            answer.approvals.into_iter().map(|body| (body.approval_id.clone(), body)).collect();
        let before = self.known.take();
        for (id, body) in &now {
            let old = before.as_ref().and_then(|before| before.get(id));
            changes(old, body, before.is_none())
                .into_iter()
                .for_each(|event| self.say(answer.now, event, body, None));
        }
        if before.is_none() && now.is_empty() {
            self.context.ui.remark("nothing waits for a decision; each request is shown as it comes");
        }
        // Of a queue that is longer than what was looked at, nothing can be said about what is not there.
        let gone = before.into_iter().flatten().filter(|(id, _)| whole && !now.contains_key(id));
        let gone: BTreeMap<String, ApprovalBody> = gone.collect();
        let ids: Vec<String> = gone.keys().cloned().collect();
        self.known = Some(now.into_iter().chain(gone).collect());
        for id in ids {
            let ended: ApprovalAnswer = self.session.poll(&format!("{PATH}/{id}")).await?;
            self.known.as_mut().and_then(|known| known.remove(&id));
            self.say(answer.now, ended.approval.state.as_str(), &ended.approval, ended.closed.as_ref());
        }
        Ok(())
    }

    fn say(&self, now: u64, event: &str, body: &ApprovalBody, closed: Option<&ClosedBody>) {
        let ui = self.context.ui;
        if ui.is_json() {
            return ui.json_line(&json!({ "event": event, "at": now, "approval": body, "closed": closed }));
        }
        let mut pieces = line(now, event, body);
        let said = |text: String| (Style::Plain, text);
        pieces.extend(closed.and_then(|closed| closed.by.as_ref()).map(|by| said(format!("  by {by}"))));
        pieces.extend(closed.and_then(|closed| closed.reason.as_ref()).map(|why| said(format!("  {why:?}"))));
        ui.pieces(&pieces);
    }
}

/// What became of a request between two looks.
fn changes(old: Option<&ApprovalBody>, new: &ApprovalBody, first: bool) -> Vec<&'static str> {
    let Some(old) = old else {
        return vec![if first { "waiting" } else { "requested" }];
    };
    let mut events = Vec::new();
    if old.votes != new.votes {
        events.push("vote");
    }
    if old.approvers != new.approvers {
        events.push("escalated");
    } else if new.late && !old.late {
        events.push("late");
    }
    if old.state != new.state {
        events.push(new.state.as_str());
    }
    events
}

fn line(now: u64, event: &str, body: &ApprovalBody) -> Vec<Piece> {
    let style = match event {
        "denied" | "late" => Style::Bad,
        "approved" | "redeemed" => Style::Good,
        "requested" | "waiting" | "escalated" => Style::Warn,
        _ => Style::Plain,
    };
    let who = body.principal.strip_prefix("workflow:").unwrap_or(&body.principal);
    let mut pieces = vec![
        (Style::Dim, format!("{}  ", clock(now))),
        (style, format!("{event:<9}  ")),
        (Style::Bold, body.approval_id.clone()),
        (Style::Plain, format!("  {who} asks for {} ({})", what(body), body.access)),
    ];
    if body.state == ApprovalState::Pending {
        let (style, left) = view::left(body, now);
        pieces.push((Style::Plain, format!("  {} votes, {}, ", body.votes, body.approvers.join(", "))));
        pieces.push((style, left));
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::super::tests::short;
    use super::*;

    fn body(state: &str) -> ApprovalBody {
        serde_json::from_value(short("apr_1", state, 2)).unwrap()
    }

    #[test]
    fn each_change_is_told_once() {
        let old = body("pending");
        assert_eq!(changes(None, &old, true), ["waiting"]);
        assert_eq!(changes(None, &old, false), ["requested"]);
        assert!(changes(Some(&old), &old, false).is_empty());
        let new = ApprovalBody { votes: "2/2".to_owned(), ..body("approved") };
        assert_eq!(changes(Some(&old), &new, false), ["vote", "approved"]);
        let leads = ApprovalBody { approvers: vec!["leads".to_owned()], late: true, ..body("pending") };
        assert_eq!(changes(Some(&old), &leads, false), ["escalated"]);
        assert_eq!(changes(Some(&old), &ApprovalBody { late: true, ..old.clone() }, false), ["late"]);
    }

    #[test]
    fn a_line_says_who_asks_for_what_and_how_long_is_left() {
        let text: String =
            line(1048, "requested", &body("pending")).into_iter().map(|(_, text)| text).collect();
        assert_eq!(
            text,
            "00:17:28  requested  apr_1  refund-desk asks for payments/refunds.create, 2 calls (privileged)  1/2 votes, oncall, escalates in 4m 12s"
        );
    }
}
