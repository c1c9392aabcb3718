//! The broker keeps the uses, for all instances of a tool service.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use shortbread_protocol::call::Args;
use shortbread_protocol::random::Random;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::{Claim, ClaimAnswer};

use super::{Unclaimed, Use};
use crate::pace::Backoff;
use crate::report::{Link, ReportError};

/// How long a call waits for the broker, in all.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long one message waits for its answer.
const TRY: Duration = Duration::from_secs(1);
/// The first wait after a failure; then twice as long each time.
const WAIT: Duration = Duration::from_millis(100);

const NO_LEASE: Unclaimed = Unclaimed::Unavailable(
    "this tool service has no lease with the broker at the moment, which keeps its use",
);
const SILENT: Unclaimed = Unclaimed::Unavailable("the broker, which keeps its use, gave no answer in time");
const REFUSED: Unclaimed = Unclaimed::Unavailable("the broker, which keeps its use, refused to say");
const NO_RANDOM: Unclaimed = Unclaimed::Unavailable("there is no randomness to name this attempt with");
const NO_NAME: Unclaimed = Unclaimed::Unavailable("the tool or verb has a name that no broker knows");

/// Asks the broker whether a token was used. The reporter says under which lease: give the same one to
/// [`Reporter::uses`](crate::report::Reporter::uses) and to [`Verifier::uses_broker`](crate::Verifier::uses_broker).
///
/// A call waits for an answer, for 3 s at most. An answer that was lost is asked for again under the name of the same
/// attempt, so that the use is not lost with it.
#[derive(Debug, Default)]
pub struct BrokerUses {
    link: Mutex<Option<Arc<Link>>>,
}

impl BrokerUses {
    /// Asks nobody until a reporter has a lease.
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// The lease from now on; `None` while there is none.
    pub(crate) fn link(&self, link: Option<Link>) {
        *self.link.lock().unwrap_or_else(PoisonError::into_inner) = link.map(Arc::new);
    }

    fn linked(&self) -> Result<Arc<Link>, Unclaimed> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner).clone().ok_or(NO_LEASE)
    }

    /// Whether there is a lease to ask under.
    pub(crate) fn ready(&self) -> Result<(), Unclaimed> {
        self.linked().map(drop)
    }

    /// Claims a use, and waits for the answer.
    pub(crate) async fn claim(&self, wanted: &Use<'_>) -> Result<(), Unclaimed> {
        let link = self.linked()?;
        let claim = attempt(wanted, link.random())?;
        insist([PATIENCE, WAIT], link.random(), || link.claim(&claim)).await
    }
}

/// A new attempt at a call.
fn attempt(wanted: &Use<'_>, random: &dyn Random) -> Result<Claim, Unclaimed> {
    let mut name = [0; 16];
    random.fill(&mut name).map_err(|_| NO_RANDOM)?;
    Ok(Claim {
        token: wanted.token.to_owned(),
        attempt: hex::encode(name),
        tool: wanted.call.tool.parse().map_err(|_| NO_NAME)?,
        verb: wanted.call.verb.parse().map_err(|_| NO_NAME)?,
        args_sha256: wanted.call.args.and_then(Args::digest).map(hex::encode),
    })
}

/// Sends the same claim until there is an answer, for so long at most.
async fn insist<F>(
    [patience, wait]: [Duration; 2],
    random: &dyn Random,
    send: impl Fn() -> F,
) -> Result<(), Unclaimed>
where
    F: Future<Output = Result<ClaimAnswer, ReportError>>,
{
    let mut waits = Backoff::new(wait);
    let answered = async {
        loop {
            match tokio::time::timeout(TRY, send()).await {
                Ok(Ok(_)) => return Ok(()),
                Ok(Err(error)) if !may_pass(&error) => return Err(error),
                Ok(Err(_)) | Err(_) => tokio::time::sleep(waits.next(random)).await,
            }
        }
    };
    match tokio::time::timeout(patience, answered).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error)) => Err(unclaimed(&error)),
        Err(_) => {
            tracing::warn!(
                "a call was refused, for the broker did not say in time whether its token was used"
            );
            Err(SILENT)
        }
    }
}

/// Whether the same attempt may get another answer: there was none, or the broker was not able to give one.
fn may_pass(error: &ReportError) -> bool {
    match error {
        ReportError::Http { .. } => true,
        // A later message overtook it.
        ReportError::Refused { reason: Some(Reason::MessageReplayed), .. } => true,
        ReportError::Refused { status, .. } => status.is_server_error(),
        _ => false,
    }
}

fn unclaimed(error: &ReportError) -> Unclaimed {
    match error {
        ReportError::Refused { reason: Some(Reason::AlreadyUsed), .. } => Unclaimed::Used,
        ReportError::Refused {
            reason: Some(reason @ (Reason::Revoked(_) | Reason::RevokedAll | Reason::RevokedBlock)),
            ..
        } => Unclaimed::Revoked(*reason),
        error => {
            tracing::warn!(
                error.class = error.code(),
                "a call was refused, for its use was not claimed: {error}"
            );
            REFUSED
        }
    }
}

#[cfg(test)]
mod tests;
