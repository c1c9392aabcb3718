//! A report, from the audit log as it is now: read in pages, away from the threads that answer, two at a time.

use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::admin::{CasesBody, FiguresAnswer, NextBody, OpenCaseBody};
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::reason::Reason;
use thiserror::Error;

use crate::broker::Broker;
use crate::cases::check::check;
use crate::cases::labelled_by;
use crate::policy::Policy;
use crate::report::{Ask, AskError, Figures, Question};
use crate::signals::Looked;
use crate::store::StoreError;

/// The most entries that a report looks at.
const MAX_ENTRIES: u64 = 2_000_000;
/// How many entries are read at a time: the longest that there may be are 32 MiB then.
const PAGE: usize = 512;
/// How long it may take: within the time that a request has.
const BUDGET: Duration = Duration::from_secs(8);
/// How long a report waits for its turn.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many labelled cases that do not hold an answer names.
const MAX_OPEN: usize = 50;

/// Why there is no report.
#[derive(Debug, Error)]
pub enum ReportError {
    /// What is asked for is not sound.
    #[error(transparent)]
    Ask(#[from] AskError),
    /// Others are being made.
    #[error("two reports are being made already; try again in a few seconds")]
    Busy,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The counting broke off.
    #[error("the report broke off; try again, and give an operator the decision id if it stays")]
    Broken,
}

impl ReportError {
    /// The stable reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Ask(_) => Reason::RequestMalformed,
            Self::Busy => Reason::Overloaded,
            Self::Store(_) => Reason::StoreUnavailable,
            Self::Broken => Reason::Internal,
        }
    }
}

/// Reads the log and counts.
///
/// # Errors
/// When others are being made, or the store fails.
pub async fn make(broker: &Broker, ask: Ask) -> Result<FiguresAnswer, ReportError> {
    let turn = tokio::time::timeout(PATIENCE, broker.reports.acquire()).await;
    let Ok(Ok(_turn)) = turn else { return Err(ReportError::Busy) };
    let started = broker.clock.monotonic();
    let place = broker.store.audit_place(ask.begins()).await?;
    let size = broker.store.audit_size();
    let first = place.max(size.saturating_sub(MAX_ENTRIES));
    let mut cut = (first > place).then(|| {
        format!(
            "the oldest {} entries were not looked at, for a report reads {MAX_ENTRIES} at most; ask for a shorter period",
            first - place
        )
    });
    let begins = ask.begins();
    let (mut figures, mut next) = (Figures::new(ask), first);
    while next < size {
        let page = broker.store.audit_tail(next, PAGE).await?;
        let (Some(oldest), Some(last)) = (page.first(), page.last()) else { break };
        if next == first && oldest.idx > first && oldest.at > begins {
            cut = Some(format!("what happened before {} was pruned; ask for a later period", oldest.at));
        }
        let (reached, at) = (last.idx + 1, last.at);
        let counted = tokio::task::spawn_blocking(move || {
            page.iter().for_each(|entry| figures.feed(&entry.body));
            figures
        });
        figures = counted.await.map_err(|_| ReportError::Broken)?;
        next = reached;
        if next < size && broker.clock.monotonic().saturating_sub(started) > BUDGET {
            cut = Some(too_long(size - next, at));
            break;
        }
    }
    let mut answer = figures.finish(cut);
    if let (Some(review), Some(policy)) = (answer.review.as_mut(), broker.policy.in_force()) {
        let told = tokio::task::spawn_blocking(move || cases(&policy)).await;
        review.cases = told.map_err(|_| ReportError::Broken)?;
        let open = review.cases.as_ref().map_or(0, |cases| cases.open.len() as u64 + cases.unnamed);
        if open > 0 {
            let why = format!("the policy in force does not keep {open} labelled cases: see how it came in");
            review.next.insert(0, NextBody { why, command: "shortbread policy history".to_owned() });
        }
    }
    Ok(answer)
}

/// What there is for a question, at once; where that is too old, or nothing, it is made in the background. Must be called
/// within the runtime.
#[must_use]
pub fn look(broker: &Arc<Broker>, question: &Question) -> Looked {
    let (looked, turn) = broker.signals.look(question, broker.clock.monotonic());
    if let Some(turn) = turn {
        let broker = Arc::clone(broker);
        tokio::spawn(async move {
            // The present second belongs to the period too.
            let ask = turn.question().ask(broker.clock.now().seconds() + 1);
            let made = match make(&broker, ask).await {
                Err(ReportError::Busy) => return turn.put_off(),
                made => made.map_err(|error| error.to_string()),
            };
            turn.done(made, broker.clock.now(), broker.clock.monotonic());
        });
    }
    looked
}

/// How the labelled cases of a policy come out under it.
fn cases(policy: &Policy) -> Option<CasesBody> {
    let labelled = labelled_by(policy).ok()?;
    let mut told = CasesBody { labelled: labelled.len() as u64, ..CasesBody::default() };
    for case in &labelled {
        if let Some(mechanism) = case.label.as_ref().and_then(|label| label.mechanism) {
            *told.mechanisms.entry(mechanism.as_str().to_owned()).or_default() += 1;
        }
        let Some(checked) = check(policy, case).filter(|checked| !checked.passed) else { continue };
        if told.open.len() == MAX_OPEN {
            told.unnamed += 1;
            continue;
        }
        told.open.push(OpenCaseBody {
            id: checked.id,
            expected: checked.expected.as_str().to_owned(),
            got: checked.got.as_str().to_owned(),
            mechanism: checked.mechanism.map(str::to_owned),
            note: checked.note,
        });
    }
    Some(told)
}

fn too_long(left: u64, at: Timestamp) -> String {
    format!(
        "the newest {left} entries, from {at} on, were not looked at: the time was up; ask for a shorter period"
    )
}
