//! What the audit log says, for people: entries in words, the story of a trace, and which entries somebody wants to see. Pure.

mod entry;
mod filter;
mod tell;

pub use self::entry::{decider, kind, outcome, reasons, what};
pub use self::filter::Filter;
pub use self::tell::{Told, begins, relative, tell, trace};
