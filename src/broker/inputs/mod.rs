//! What decisions depended on: read as cases that can be decided again, and erased.

mod cases;
mod erase;

pub use cases::{Asked, CaseError, Page, of_decision, page};
pub use erase::{EraseError, erase};
