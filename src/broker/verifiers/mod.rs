//! What running verifiers tell the broker: leases, reports, goodbyes; and what operators are told of it.

mod chores;
mod forget;
mod lease;
mod message;

pub use chores::tend;
pub use forget::{ForgetError, forget};
pub use lease::lease;
pub use message::{Pace, Spoken, goodbye, hear, report};
