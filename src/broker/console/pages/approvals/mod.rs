//! Approvals: what waits for a person, the first that is due first.

pub(in crate::console) mod detail;
mod like;
pub(in crate::console) mod list;
mod narrow;
pub(in crate::console) mod vote;

use shortbread_protocol::admin::{ApprovalBody, ApprovalState};

use crate::console::show::{Until, When};
use crate::policy::builtin;

/// Either of these lets somebody look: whoever decides has to see what.
const LOOK: [&str; 2] = ["approvals.read", builtin::DECIDE];

/// What becomes of a request if nobody does anything, in words before and a countdown after.
struct Next {
    words: &'static str,
    until: Option<Until>,
    late: bool,
}

fn next(body: &ApprovalBody, now: u64) -> Next {
    let until = |at: u64| Some(Until(When::new(at, now)));
    match (body.state, body.escalates) {
        (ApprovalState::Approved, _) => {
            Next { words: "to be fetched within", until: until(body.expires), late: false }
        }
        (ApprovalState::Pending, _) if body.late => {
            Next { words: "late, expires in", until: until(body.expires), late: true }
        }
        (ApprovalState::Pending, Some(at)) => {
            Next { words: "the next group is asked in", until: until(at), late: false }
        }
        (ApprovalState::Pending, None) => {
            Next { words: "expires in", until: until(body.expires), late: false }
        }
        _ => Next { words: "", until: None, late: false },
    }
}

/// The word for a state that a style gives its colour by.
const fn tone(state: ApprovalState) -> &'static str {
    match state {
        ApprovalState::Pending => "warn",
        ApprovalState::Approved | ApprovalState::Redeemed => "good",
        ApprovalState::Denied => "bad",
        ApprovalState::Expired | ApprovalState::Cancelled => "dim",
    }
}

fn who(principal: &str) -> String {
    principal.replacen(':', " ", 1)
}
