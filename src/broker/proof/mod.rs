//! Proof that an export of the audit log is the log that was signed, checked with no broker at hand: raw entries, the
//! hashes of the log's leaves as the public tiles gave them, a signed checkpoint, and checkpoints that were kept outside.
//!
//! It shares no code with what writes the log: only the public formats (RFC 6962, C2SP tlog-checkpoint and signed-note).

mod align;
mod checkpoint;
mod coverage;
mod file;
mod growth;
mod lines;
mod report;
mod restored;
#[cfg(test)]
mod tests;
mod tree;
mod verify;
mod walk;

pub use checkpoint::{CheckpointError, Claim, Held, MAX_CHECKPOINT, MAX_HELD, read_held};
pub use coverage::Coverage;
pub use file::{Head, ProofError, Tail, VERSION, keys_of, write_leaf};
pub use report::{Fault, Finding, Mark, Named, Outside, Report};
pub use restored::{Lost, Restore};
pub use tree::{Hash, Range, leaf, node, subtrees};
pub use verify::{Asked, Trust, verify};
