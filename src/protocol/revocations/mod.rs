//! The signed revocation list: what stands in it and its exact bytes.

mod selector;

pub use selector::{Selector, SelectorError, SelectorKind};
