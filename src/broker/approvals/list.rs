//! The queue, a page at a time.

use shortbread_protocol::admin::{ApprovalState, ApprovalsAnswer};
use thiserror::Error;

use super::DecideError;
use super::show::{short, tallied};
use crate::approval::Wait;
use crate::broker::Broker;
use crate::policy::model::Principal;
use crate::store::ApprovalsWanted;

/// The most requests of one page.
const MOST: usize = 500;

/// Which page of which requests.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// `open`, `closed`, or one state; open ones unless told.
    pub state: Option<String>,
    /// Of this principal alone, as `workflow:refund-desk`.
    pub principal: Option<String>,
    /// Where the page before said that this one begins.
    pub after: Option<String>,
    /// At most so many: 1 to 500, 100 unless told.
    pub limit: Option<usize>,
}

/// Why there is no such page.
#[derive(Debug, Error)]
pub enum ListError {
    /// What was asked for is not understood.
    #[error("{0}")]
    Malformed(String),
    /// It could not be read.
    #[error(transparent)]
    Decide(#[from] DecideError),
}

/// A page of requests.
///
/// # Errors
/// When the page is not understood or the store fails.
pub async fn list(broker: &Broker, page: &Page) -> Result<ApprovalsAnswer, ListError> {
    let wanted = wanted(page)?;
    let limit = wanted.limit;
    let (stored, open) = broker.store.approvals(wanted).await.map_err(DecideError::Store)?;
    let now = broker.clock.now();
    let last = stored.last().filter(|_| stored.len() == limit).map(|last| {
        let moment = if last.record.state.is_open() {
            last.record.due
        } else {
            last.record.closed.unwrap_or_default()
        };
        format!("{}-{}", moment.millis(), last.record.id)
    });
    let mut approvals = Vec::with_capacity(stored.len());
    for stored in stored {
        let Ok(wait) = Wait::read(stored) else { continue };
        let tally = tallied(broker, &wait, now)?;
        approvals.push(short(&wait, tally.as_ref(), now));
    }
    Ok(ApprovalsAnswer { approvals, open, now: now.seconds(), next: last })
}

fn wanted(page: &Page) -> Result<ApprovalsWanted, ListError> {
    let malformed = |detail: String| ListError::Malformed(detail);
    let states = states(page.state.as_deref().unwrap_or("open")).map_err(malformed)?;
    let principal = page.principal.as_deref().map(str::parse::<Principal>).transpose();
    let principal = principal.map_err(|error| malformed(format!("principal: {error}")))?;
    let after = page.after.as_deref().map(|after| {
        let (moment, id) = after.split_once('-')?;
        Some((moment.parse().ok()?, id.to_owned()))
    });
    let after = match after {
        Some(None) => return Err(malformed("after: send what the page before named as `next`".to_owned())),
        other => other.flatten(),
    };
    let limit = page.limit.unwrap_or(100);
    if !(1..=MOST).contains(&limit) {
        return Err(malformed(format!("limit: 1 to {MOST}")));
    }
    Ok(ApprovalsWanted { states, principal: principal.map(|principal| principal.to_string()), after, limit })
}

fn states(word: &str) -> Result<Vec<ApprovalState>, String> {
    let of = |open: bool| ApprovalState::ALL.into_iter().filter(|state| state.is_open() == open).collect();
    match word {
        "open" => Ok(of(true)),
        "closed" => Ok(of(false)),
        word => {
            let one = ApprovalState::ALL.into_iter().find(|state| state.as_str() == word);
            let all: Vec<&str> = ApprovalState::ALL.into_iter().map(ApprovalState::as_str).collect();
            one.map(|one| vec![one]).ok_or_else(|| {
                format!("state: {word:?} is none; use open, closed or one of {}", all.join(", "))
            })
        }
    }
}
