//! `shortbread approvals approve` and `deny`: a vote for exactly what was shown.

use clap::Args;
use shortbread_protocol::admin::{ApprovalAnswer, ApprovalState, ApproveBody, DenyBody, NarrowBody};

use super::narrow::{self, NarrowArgs};
use super::{PATH, fetch, parse_id, session, show};
use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::selectors::reason;

/// Approve a request, or a part of it. The vote is for exactly what was shown and for nothing else.
///
/// On a terminal it shows the request and asks. Elsewhere the digest has to be given that `show` names: nobody approves what
/// they have not seen.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread approvals approve apr_0193a5c7e1f27d3a9b4c5d6e7f809112
  shortbread approvals approve apr_0193a5c7e1f27d3a9b4c5d6e7f809112 --drop-call 2 --note \"the third is a duplicate\"
  shortbread approvals approve apr_0193a5c7e1f27d3a9b4c5d6e7f809112 --constrain \"github/issues.write repo=acme/web\" --ttl 5m")]
pub(super) struct ApproveArgs {
    #[command(flatten)]
    which: Which,
    /// In your words, for whoever looks at it later; at most 500 characters.
    #[arg(long, value_name = "TEXT")]
    note: Option<String>,
    /// On a terminal: show it, and do not ask.
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    narrow: NarrowArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Deny a request. One vote is enough, and nothing of it runs.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread approvals deny apr_0193a5c7e1f27d3a9b4c5d6e7f809112 --reason \"wrong customer\"
  shortbread approvals deny apr_0193a5c7e1f27d3a9b4c5d6e7f809112 --digest 9f86d0… --reason \"wrong customer\"")]
pub(super) struct DenyArgs {
    #[command(flatten)]
    which: Which,
    /// Why, in your words; at most 500 characters. Whoever asked is told.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    #[command(flatten)]
    connection: Connection,
}

#[derive(Debug, Args)]
struct Which {
    /// Its id, apr_….
    #[arg(value_parser = parse_id)]
    id: String,
    /// What you looked at, as `show` names it: the vote is refused if the request is not that any more.
    #[arg(long, value_name = "DIGEST", value_parser = parse_digest)]
    digest: Option<String>,
}

fn parse_digest(text: &str) -> Result<String, String> {
    let text = text.strip_prefix("sha256:").unwrap_or(text).to_ascii_lowercase();
    let whole = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if whole {
        Ok(text)
    } else {
        Err("a digest is 64 hex digits; `shortbread approvals show ID` names it".to_owned())
    }
}

/// Approves.
///
/// # Errors
/// When it makes no sense, is not confirmed, or the broker cannot be reached or refuses.
pub(super) async fn approve(args: &ApproveArgs, context: &Context) -> Result<(), Failure> {
    let note = args.note.as_deref().map(note).transpose()?;
    let id = &args.which.id;
    may_vote(&args.which, context, "approve")?;
    let mut session = session(context, &args.connection)?;
    let look = args.which.digest.is_none() || args.narrow.needs_shown();
    let seen = if look { Some(open(&mut session, id).await?) } else { None };
    let narrow = args.narrow.body(seen.as_ref().map(|seen| &seen.shown))?;
    let digest = match (&args.which.digest, &seen) {
        (Some(digest), _) => digest.clone(),
        (None, Some(seen)) => {
            show::print(context, seen, false);
            let less = narrow.as_ref().map(|less| format!(", {}", narrow::words(less))).unwrap_or_default();
            if !args.yes {
                confirm(context, &format!("approve {id}{less}"))?;
            }
            seen.digest.clone()
        }
        (None, None) => return Err(blind(id, "approve")),
    };
    let body = ApproveBody { digest, narrow: narrow.clone(), note };
    let answer: ApprovalAnswer = session.post(&format!("{PATH}/{id}/approve"), &body).await?;
    if context.ui.is_json() {
        context.ui.json(&answer);
    } else {
        said(context, &answer, narrow.as_ref());
    }
    Ok(())
}

/// Denies.
///
/// # Errors
/// When it makes no sense, is not confirmed, or the broker cannot be reached or refuses.
pub(super) async fn deny(args: &DenyArgs, context: &Context) -> Result<(), Failure> {
    let (reason, id) = (reason(&args.reason)?, &args.which.id);
    may_vote(&args.which, context, "deny")?;
    let mut session = session(context, &args.connection)?;
    let digest = match &args.which.digest {
        Some(digest) => digest.clone(),
        None => {
            let seen = open(&mut session, id).await?;
            show::print(context, &seen, false);
            confirm(context, &format!("deny {id}"))?;
            seen.digest
        }
    };
    let body = DenyBody { digest, reason };
    let answer: ApprovalAnswer = session.post(&format!("{PATH}/{id}/deny"), &body).await?;
    if context.ui.is_json() {
        context.ui.json(&answer);
    } else {
        said(context, &answer, None);
    }
    Ok(())
}

fn note(text: &str) -> Result<String, Failure> {
    let text = text.trim();
    match text.chars().count() {
        0 => Err(Failure::usage("--note is empty; leave it out, or say something")),
        1..=500 => Ok(text.to_owned()),
        _ => Err(Failure::usage("--note has more than 500 characters")),
    }
}

fn may_vote(which: &Which, context: &Context, verb: &str) -> Result<(), Failure> {
    if which.digest.is_some() || context.ui.can_ask() { Ok(()) } else { Err(blind(&which.id, verb)) }
}

fn blind(id: &str, verb: &str) -> Failure {
    Failure::usage(format!(
        "nobody votes for what they have not seen: look at `shortbread approvals show {id}`, then {verb} it with \
         --digest and the digest that stands there, or on a terminal, which shows it and asks"
    ))
}

/// The request, if something is left to decide.
async fn open(session: &mut Session<'_>, id: &str) -> Result<ApprovalAnswer, Failure> {
    let answer = fetch(session, id).await?;
    match answer.approval.state {
        ApprovalState::Pending => Ok(answer),
        state => {
            let fix = format!("`shortbread approvals show {id}` says how it ended.");
            Err(Failure::new(format!("{id} is {} already: nothing is left to decide", state.as_str()), fix))
        }
    }
}

fn confirm(context: &Context, what: &str) -> Result<(), Failure> {
    let answer = context.ui.ask(&format!("To {what}, type yes: "));
    if answer.as_deref().map(str::trim) == Some("yes") {
        return Ok(());
    }
    Err(Failure::new("nothing was decided: it was not confirmed", "Type yes to the question to go on."))
}

fn said(context: &Context, answer: &ApprovalAnswer, narrow: Option<&NarrowBody>) {
    let (ui, body) = (context.ui, &answer.approval);
    ui.line(&format!("{}: {}", body.approval_id, outcome(answer)));
    if narrow.is_some() && body.state == ApprovalState::Pending {
        ui.line(&format!(
            "it asks for less now, and earlier votes do not count any more; its digest is {}",
            answer.digest
        ));
    }
}

fn outcome(answer: &ApprovalAnswer) -> String {
    let body = &answer.approval;
    match body.state {
        ApprovalState::Pending => {
            format!(
                "your vote counts, {} are there; {} decide on",
                body.votes.replacen('/', " of ", 1),
                body.approvers.join(", ")
            )
        }
        ApprovalState::Approved => "approved; the client fetches its token now".to_owned(),
        ApprovalState::Redeemed => "approved, and the client has its token".to_owned(),
        ApprovalState::Denied => "denied; nothing of it runs, and whoever asked is told".to_owned(),
        ApprovalState::Expired => "expired before it was decided".to_owned(),
        ApprovalState::Cancelled => "taken back by who made it".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::answer;
    use super::*;

    #[test]
    fn a_digest_is_whole_or_wrong_usage() {
        let digest = answer(true).digest;
        assert_eq!(parse_digest(&format!("sha256:{}", digest.to_uppercase())), Ok(digest));
        for bad in ["", "12", &"g".repeat(64), &"a".repeat(63)] {
            assert!(parse_digest(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn what_came_of_a_vote_is_said() {
        let mut answer = answer(true);
        assert_eq!(outcome(&answer), "your vote counts, 1 of 2 are there; oncall decide on");
        answer.approval.state = ApprovalState::Approved;
        assert!(outcome(&answer).starts_with("approved;"));
    }
}
