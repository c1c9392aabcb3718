//! `shortbread approvals`: what waits for a person, what exactly would run, and the vote.

mod fold;
mod list;
mod narrow;
mod show;
mod view;
mod vote;
mod watch;

use clap::{Args, Subcommand};
use shortbread_protocol::admin::ApprovalAnswer;
use shortbread_protocol::call::Args as CallArgs;

use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;

const PATH: &str = "/api/v1/approvals";

/// Decide what waits for a person: see what exactly would run, approve it or a part of it, or deny it.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread approvals list
  shortbread approvals show apr_0193a5c7e1f27d3a9b4c5d6e7f809112
  shortbread approvals approve apr_0193a5c7e1f27d3a9b4c5d6e7f809112
  shortbread approvals deny apr_0193a5c7e1f27d3a9b4c5d6e7f809112 --reason \"wrong customer\"
  shortbread approvals watch")]
pub(crate) struct ApprovalsArgs {
    #[command(subcommand)]
    command: ApprovalsCommand,
}

#[derive(Debug, Subcommand)]
enum ApprovalsCommand {
    List(list::ListArgs),
    Show(show::ShowArgs),
    Approve(vote::ApproveArgs),
    Deny(vote::DenyArgs),
    Watch(watch::WatchArgs),
}

/// Lists, shows, decides or follows.
///
/// # Errors
/// When the broker cannot be reached or refuses, or what it shows is not what a vote would bind.
pub(crate) async fn run(args: &ApprovalsArgs, context: &Context) -> Result<(), Failure> {
    match &args.command {
        ApprovalsCommand::List(args) => list::run(args, context).await,
        ApprovalsCommand::Show(args) => show::run(args, context).await,
        ApprovalsCommand::Approve(args) => vote::approve(args, context).await,
        ApprovalsCommand::Deny(args) => vote::deny(args, context).await,
        ApprovalsCommand::Watch(args) => watch::run(args, context).await,
    }
}

/// Whoever may decide may read.
fn session<'c>(context: &'c Context, connection: &Connection) -> Result<Session<'c>, Failure> {
    Session::open_either(context, connection, "approvals.decide", "approvals.read")
}

/// Reads an approval's id.
///
/// # Errors
/// Says how it is written.
fn parse_id(text: &str) -> Result<String, String> {
    let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    let id = text.strip_prefix("apr_").is_some_and(|rest| (1..=60).contains(&rest.len()) && plain(rest));
    if id {
        Ok(text.to_owned())
    } else {
        Err("an approval's id is apr_ and letters and digits; `shortbread approvals list` has them"
            .to_owned())
    }
}

/// Reads a request, and makes sure that it is what a vote would bind.
///
/// # Errors
/// When the broker cannot be reached or refuses, or shows something else.
async fn fetch(session: &mut Session<'_>, id: &str) -> Result<ApprovalAnswer, Failure> {
    let answer: ApprovalAnswer = session.get(&format!("{PATH}/{id}")).await?;
    check(&answer, id)?;
    Ok(answer)
}

/// Whether what is shown is what its digest names, and each call's arguments are what the token would be good for.
fn check(answer: &ApprovalAnswer, id: &str) -> Result<(), Failure> {
    let other = |what: String| {
        let fix = "Do not vote for it. If this program and the broker are of one version, somebody may have changed \
                   what is shown: tell those who run the broker. `shortbread --version` says what this is.";
        Failure::new(what, fix)
    };
    if answer.approval.approval_id != id || answer.shown.approval_id != id {
        return Err(other(format!("the broker shows another request than {id}")));
    }
    if answer.shown.digest() != answer.digest {
        return Err(other(format!(
            "what the broker shows of {id} is not what the digest {} stands for",
            answer.digest
        )));
    }
    for call in &answer.shown.calls {
        let args = CallArgs::from_members(call.args.clone()).ok().and_then(|args| args.digest());
        if args.map(hex) != Some(call.args_sha256.clone()) {
            return Err(other(format!(
                "the arguments shown of call {} of {id} are not those that would be approved",
                call.place
            )));
        }
    }
    Ok(())
}

fn hex(bytes: [u8; 32]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// A request for two calls, or for a verb.
    pub(crate) fn answer(calls: bool) -> ApprovalAnswer {
        let args = json!({ "amount": 1200, "charge": "ch_1" });
        let digest = CallArgs::from_members(args.as_object().unwrap().clone()).unwrap().digest().unwrap();
        let call = |place: u32| json!({ "place": place, "operation": "payments/refunds.create", "access": "privileged", "args": args, "args_sha256": hex(digest) });
        let right = json!({
            "operation": "github/issues.write", "access": "write",
            "constraints": { "repo": { "eq": "acme/web" }, "title": { "any": true } },
        });
        let mut shown = json!({
            "approval_id": "apr_1", "principal": "workflow:refund-desk", "holder": "hOlDeR", "intent": "refund",
            "task": "t-1", "release": "v42", "ttl": 300,
        });
        if calls {
            shown["calls"] = json!([call(0), call(1)]);
        } else {
            shown["rights"] = json!([right]);
        }
        let shown: shortbread_protocol::approval::Shown = serde_json::from_value(shown).unwrap();
        let verb = if calls { "payments/refunds.create" } else { "github/issues.write" };
        serde_json::from_value(json!({
            "approval": short("apr_1", "pending", if calls { 2 } else { 0 }), "digest": shown.digest(), "shown": shown,
            "demands": [{
                "asked": ["oncall"], "members": ["bob", "carol"], "next": "leads", "quorum": 2, "have": 1,
                "sla_seconds": 300, "verbs": [verb],
            }],
            "votes": [{ "operator": "carol", "at": 1010, "note": "seen the ticket", "counts": true }],
            "owners": ["alice"], "decision_id": "dec_1", "trace_id": "0af7651916cd43dd8448eb211c80319c", "now": 1100,
        }))
        .unwrap()
    }

    /// A row of the list.
    pub(crate) fn short(id: &str, state: &str, calls: u32) -> Value {
        json!({
            "approval_id": id, "state": state, "principal": "workflow:refund-desk", "intent": "refund", "task": "t-1",
            "verbs": [if calls > 0 { "payments/refunds.create" } else { "github/issues.write" }], "calls": calls,
            "access": "privileged", "asked": 1000, "escalates": 1300, "expires": 1900, "late": false,
            "approvers": ["oncall"], "votes": "1/2",
        })
    }

    #[test]
    fn what_is_shown_must_be_what_a_vote_binds() {
        let good = answer(true);
        assert!(check(&good, "apr_1").is_ok() && check(&answer(false), "apr_1").is_ok());
        assert!(check(&good, "apr_2").is_err());
        let mut other = good.clone();
        other.shown.ttl += 1;
        let told = check(&other, "apr_1").unwrap_err();
        assert!(
            told.to_string().contains("is not what the digest") && told.fix().starts_with("Do not vote"),
            "{told}"
        );
        let mut args = good;
        args.shown.calls[1].args.insert("amount".to_owned(), 9.into());
        args.digest = args.shown.digest();
        assert!(check(&args, "apr_1").unwrap_err().to_string().contains("call 1"));
    }

    #[test]
    fn ids_can_stand_in_a_path() {
        assert!(parse_id("apr_0193a5c7e1f27d3a9b4c5d6e7f809112").is_ok());
        for bad in ["", "apr_", "dec_1", "apr_../x", "apr_1?x", &format!("apr_{}", "x".repeat(61))] {
            assert!(parse_id(bad).is_err(), "{bad}");
        }
    }
}
