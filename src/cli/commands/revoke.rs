//! `shortbread revoke`: the switch.

use std::time::Duration;

use clap::{Args, ValueEnum};
use shortbread_protocol::admin::{ChangeAnswer, RevokeBody};
use shortbread_protocol::revocations::Cause;

use super::change::say;
use crate::cli::Connection;
use crate::client::{Broker, Session};
use crate::context::Context;
use crate::failure::Failure;
use crate::published;
use crate::selectors::{SelectorArgs, bodies, reason};
use crate::text::span;

/// How often and how long `--wait` looks for the head.
const POLL: Duration = Duration::from_millis(500);
const PATIENCE: Duration = Duration::from_secs(60);

/// Stop tokens and calls: what is named here is refused until it is lifted.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  shortbread revoke --workflow release-notes --reason \"posts to the wrong repository\"
  shortbread revoke --tool payments --access write --reason \"INC-482\" --wait
  shortbread revoke --all --issued-so-far --reason \"key leaked\" --cause compromise --dry-run")]
pub(crate) struct RevokeArgs {
    /// Why, in your words: for the audit log alone.
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Why, for the public list.
    #[arg(long, value_enum, default_value_t = CauseArg::Incident)]
    cause: CauseArg,
    /// Only what was issued so far; new tokens are good.
    #[arg(long)]
    issued_so_far: bool,
    /// Change nothing; say which living tokens, workflows and tools it would touch.
    #[arg(long)]
    dry_run: bool,
    /// Wait until the broker serves the list that carries it.
    #[arg(long, conflicts_with = "dry_run")]
    wait: bool,
    #[command(flatten)]
    what: SelectorArgs,
    #[command(flatten)]
    connection: Connection,
}

/// Causes that an operator can give.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum CauseArg {
    /// Something bad is happening.
    Incident,
    /// A planned stop.
    Freeze,
    /// A key or token leaked.
    Compromise,
    /// No longer needed.
    Retired,
}

impl From<CauseArg> for Cause {
    fn from(cause: CauseArg) -> Self {
        match cause {
            CauseArg::Incident => Self::Incident,
            CauseArg::Freeze => Self::Freeze,
            CauseArg::Compromise => Self::Compromise,
            CauseArg::Retired => Self::Retired,
        }
    }
}

/// Revokes, or says what it would hit.
///
/// # Errors
/// When the selectors make no sense, the broker refuses, or `--wait` waits in vain.
pub(crate) async fn run(args: &RevokeArgs, context: &Context) -> Result<(), Failure> {
    let selectors = args.what.selectors()?;
    let body = RevokeBody {
        selectors: bodies(&selectors),
        all: args.what.all,
        issued_so_far: args.issued_so_far,
        cause: args.cause.into(),
        reason: reason(&args.reason)?,
        dry_run: args.dry_run,
    };
    let mut session = Session::open(context, &args.connection, "revocations.revoke")?;
    let answer: ChangeAnswer = session.post("/api/v1/revocations", &body).await?;
    if !context.ui.is_json() {
        let done = if args.dry_run { "would revoke" } else { "revoked" };
        say(context, done, &selectors, &answer);
    }
    let served = if args.wait { Some(wait(context, session.broker(), &answer).await?) } else { None };
    if context.ui.is_json() {
        let mut value = serde_json::to_value(&answer).unwrap_or_default();
        if let (Some(served), Some(members)) = (served, value.as_object_mut()) {
            members.insert("served".to_owned(), served.into());
        }
        context.ui.json(&value);
    } else if let Some(seq) = served {
        context.ui.line(&format!("list {seq} is served: verifiers take it up as they poll."));
        context
            .ui
            .line("This broker does not collect their acknowledgements yet; the bound holds without them.");
    }
    Ok(())
}

// The deadline is on the monotonic clock, so that a jump of the wall clock neither ends nor prolongs it.
async fn wait(context: &Context, broker: &Broker, answer: &ChangeAnswer) -> Result<u64, Failure> {
    let Some(wanted) = answer.head.or(answer.seq) else {
        return Err(Failure::new(
            "the broker did not say which list carries the change",
            "Look at `shortbread revocations status`.",
        ));
    };
    let deadline = context.clock.monotonic() + PATIENCE;
    let poll = async {
        loop {
            let head = published::head(broker, None).await?;
            if head.seq >= wanted {
                return Ok(head.seq);
            }
            if context.clock.monotonic() >= deadline {
                return Err(Failure::new(
                    format!(
                        "the change is recorded, but list {wanted} is not served after {}: the broker still serves {}",
                        span(PATIENCE.as_secs()),
                        head.seq
                    ),
                    "The bound above still holds. Run `shortbread doctor` to see why no new list is signed.",
                ));
            }
            tokio::time::sleep(POLL).await;
        }
    };
    context.ui.wait(&format!("waiting for list {wanted}"), poll).await
}
