//! Signals: figures over time, of all segments or of some, with the figures of each plot below it.

mod ages;
mod filter;
mod model;
pub(in crate::console) mod page;
