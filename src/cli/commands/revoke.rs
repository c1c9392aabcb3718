//! `shortbread revoke`: the switch.

mod wait;

use clap::{Args, ValueEnum};
use shortbread_protocol::admin::{ChangeAnswer, RevokeBody};
use shortbread_protocol::revocations::Cause;

use self::wait::{Patience, wait};
use super::change::say;
use crate::cli::Connection;
use crate::client::Session;
use crate::context::Context;
use crate::failure::Failure;
use crate::selectors::{SelectorArgs, bodies, reason};

/// What is left when the broker does not answer.
const LAST_RESORT: &str = "Nothing was confirmed as revoked. If the broker is lost, the offline root key stops everything: \
                           `shortbread break-glass --help`.";

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
    /// Wait until every verifier reports that it enforces it, or none that conforms can allow a write any more; at most
    /// so long, where a time is given.
    #[arg(long, value_name = "TIMEOUT", num_args = 0..=1, require_equals = true, default_missing_value = Patience::BOUND, value_parser = Patience::parse, conflicts_with = "dry_run")]
    wait: Option<Patience>,
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
    let answer: ChangeAnswer =
        session.post("/api/v1/revocations", &body).await.map_err(|failure| failure.also(LAST_RESORT))?;
    if !context.ui.is_json() {
        let done = if args.dry_run { "would revoke" } else { "revoked" };
        say(context, done, &selectors, &answer);
        if answer.touched.tokens == 0 && !answer.touched.uncounted && answer.warnings.is_empty() {
            context.ui.remark("no living token is concerned; check the spelling if you expected some");
        }
    }
    let waited = match args.wait {
        Some(patience) => Some(wait(context, &args.connection, &selectors, &answer, patience).await),
        None => None,
    };
    if context.ui.is_json() {
        let mut value = serde_json::to_value(&answer).unwrap_or_default();
        if let (Some(Ok(waited)), Some(members)) = (&waited, value.as_object_mut()) {
            members.insert("waited".to_owned(), waited.clone());
        }
        // What was done is said, even when the wait for it was in vain.
        context.ui.json(&value);
    }
    waited.transpose().map(drop)
}
