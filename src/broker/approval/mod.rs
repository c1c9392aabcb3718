//! Requests that wait for a person: what is kept of them, whose votes count, how they are narrowed. Pure, and what is only
//! in memory; the flows are in `exchange` (who asks) and `approvals` (who decides).

mod budget;
mod code;
mod narrow;
mod polls;
mod requested;
mod tally;
mod voters;

pub use budget::spend;
pub use code::{Code, CodeKey};
pub use narrow::{NarrowError, narrow};
pub use polls::{INTERVAL, Polls, TooSoon, Turn};
pub use requested::{Broken, Outcome, Requested, Wait, marks_of};
pub use tally::{Group, Standing, Tally, due, expires, tally};
pub use voters::{TOKEN as TOKEN_MARK, standing_of, standing_votes};

/// Where an approver looks at a request.
#[must_use]
pub fn status_uri(issuer: &str, id: &str) -> String {
    format!("{}/a/{id}", issuer.trim_end_matches('/'))
}
