//! Tells the broker that this instance runs, how far its list has come, and what it decided.
//!
//! Nothing here is needed for a decision, and nothing here can hold one up: the list is followed and calls are decided
//! whether or not the broker hears of it. The one exception is asked for by name: with [`Backpressure::Required`] a call
//! is allowed only when its decision is on record.

mod backoff;
mod client;
mod identity;
mod link;
mod record;
mod recorder;
mod reporter;
mod result;
mod spool;
#[cfg(test)]
mod tests;
mod upload;
mod watch;

pub use client::ReportError;
pub use identity::Identity;
pub(crate) use link::Link;
pub use recorder::{Backpressure, Recorder, RecorderConfig, RecorderError, RecorderStatus};
pub use reporter::{Reporter, ReporterConfig};
pub use result::{ResultError, TaskResult};
pub use spool::SpoolError;
