//! The signed revocation list: what stands in it and its exact bytes.

mod break_glass;
mod contents;
mod delta;
mod head;
mod selector;
mod snapshot;

pub use break_glass::BreakGlass;
pub use contents::{Cause, Entry, ListFileError, Removed, RevokedId};
pub use delta::{Delta, MAX_DELTA};
pub(crate) use head::bare;
pub use head::{DeltaRef, FileRef, Head, HeadError, MAX_HEAD, origin};
pub use selector::{Selector, SelectorError, SelectorKind};
pub use snapshot::{MAX_SNAPSHOT, Snapshot, SnapshotView};
