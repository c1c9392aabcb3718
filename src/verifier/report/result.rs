//! What became of a call, said once it is known: how its task came out, and what it cost.

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::verifiers::{MAX_COST_MICROS, TaskOutcome};
use thiserror::Error;

use super::record;
use super::recorder::Recorder;
use crate::decision::{Call, Decision};

/// What became of an allowed call. At least one of outcome and cost is said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaskResult {
    /// When it became known.
    pub at: Timestamp,
    /// How the task came out.
    pub outcome: Option<TaskOutcome>,
    /// What the call cost, in millionths of the unit that the team counts in; at most [`MAX_COST_MICROS`].
    pub cost_micros: Option<u64>,
}

/// Why a result is not on record.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum ResultError {
    /// There was no call: it was denied, or its decision has no id.
    #[error("only an allowed call whose decision has an id has a result")]
    NoCall,
    /// Neither outcome nor cost.
    #[error("the result says neither how the task came out nor what the call cost")]
    Empty,
    /// More than any figure may be.
    #[error("a cost of {0} millionths is more than 2^53, the most that one record may say")]
    Cost(u64),
    /// There is no room, or no disk; it is counted as lost.
    #[error("the result cannot be recorded: there is no room or no disk for it")]
    Unrecorded,
}

impl Recorder {
    /// Says what became of a call that was allowed, as a record of its own in the same trace, which waits and is uploaded
    /// as decisions are. It counts as no call. `call` needs no arguments.
    ///
    /// It may be said whenever it is known, up to seven days after `at`: by the service itself, or by an evaluation that
    /// was given the decision. Of one decision each outcome counts once, and the figure that came with it first; a task
    /// that was completed and later corrected has both.
    ///
    /// # Errors
    /// When there was no such call, nothing sound is said of it, or there is no room, whatever the backpressure.
    pub fn result(
        &self,
        decision: &Decision,
        call: &Call<'_>,
        result: &TaskResult,
    ) -> Result<(), ResultError> {
        if !decision.is_allowed() {
            return Err(ResultError::NoCall);
        }
        if result.outcome.is_none() && result.cost_micros.is_none() {
            return Err(ResultError::Empty);
        }
        if let Some(cost) = result.cost_micros.filter(|cost| *cost > MAX_COST_MICROS) {
            return Err(ResultError::Cost(cost));
        }
        let record = record::of_result(decision, call, result).ok_or(ResultError::NoCall)?;
        self.keep(record).map_err(|_| ResultError::Unrecorded)
    }
}
