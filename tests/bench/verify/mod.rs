//! The check and the mint, beside the signatures they cannot do without and beside peers, in the same run.
//!
//! The same is asked of all, from the text in the header to the decision: who, which tool and verb, not expired, signed,
//! not revoked; five rights; no conditions on arguments.

mod again;
mod bench;
mod dpop;
mod honest;
mod memory;
mod mint;
mod parts;
mod ring;
mod sight;
mod slowest;
mod threads;

pub use bench::{Bench, Files};
pub use memory::{child as memory_child, run as in_a_child};

use shortbread_protocol::access::Access;

use crate::Outcome;
use crate::figure::Figure;
use crate::progress;

pub const ISSUER: &str = "https://broker.acme.example";
pub const AUDIENCE: &str = "https://tools.acme.example/github";
pub const TOOL: &str = "github";
/// The five rights of the token, and the one that is used.
pub const VERBS: [(&str, Access); 5] = [
    ("issues.read", Access::Read),
    ("pulls.read", Access::Read),
    ("code.read", Access::Read),
    ("issues.write", Access::Write),
    ("pulls.write", Access::Write),
];
pub const CALLED: &str = "issues.write";

/// How many revoked ids a large list holds.
pub const MILLION: u32 = 1_000_000;

pub fn measure() -> Outcome<Vec<Figure>> {
    let bench = Bench::new()?;
    let mut figures = Vec::new();
    let groups: [(&str, fn(&Bench) -> Outcome<Vec<Figure>>); 9] = [
        ("memory", memory::measure),
        ("first sight", sight::measure),
        ("seen before", again::measure),
        ("parts of a check", parts::measure),
        ("proofs", dpop::measure),
        ("mint", mint::measure),
        ("two threads", threads::measure),
        ("honest calls under load", honest::measure),
        ("hostile bytes", slowest::measure),
    ];
    for (name, group) in groups {
        progress::say(name);
        figures.extend(group(&bench)?);
    }
    Ok(figures)
}
