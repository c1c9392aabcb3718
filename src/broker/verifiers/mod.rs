//! What running verifiers tell the broker: leases, reports, goodbyes; and what operators are told of it.

mod ages;
mod chores;
mod claim;
mod forget;
mod lease;
mod message;
mod observe;
mod status;

pub use ages::ages;
pub use chores::{chores, tend};
pub use claim::claim;
pub use forget::{ForgetError, forget};
pub use lease::lease;
pub use message::{Pace, Spoken, goodbye, hear, report};
pub use status::{LISTED, MAX_WAIT, Question, StatusError, status};
