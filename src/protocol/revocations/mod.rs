//! The signed revocation list: what stands in it and its exact bytes.

mod head;
mod selector;
mod snapshot;

pub(crate) use head::bare;
pub use head::{DeltaRef, FileRef, Head, HeadError, MAX_HEAD, origin};
pub use selector::{Selector, SelectorError, SelectorKind};
pub use snapshot::{Cause, Entry, MAX_SNAPSHOT, RevokedId, Snapshot, SnapshotError};
