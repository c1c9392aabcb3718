//! What a recorder is told, and what it tells.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::report::spool::SpoolError;

/// What happens to a decision for which there is no room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backpressure {
    /// The call goes on, and the record is dropped and counted as lost. The end of the process, or a power cut, can lose
    /// the records of the last 100 ms.
    #[default]
    BestEffort,
    /// The call is denied. An allowed call has its record in the system's hands before it goes on: the end of the process
    /// loses none, and a power cut can lose those of the last 100 ms, 1,024 at most. Needs a directory.
    Required,
}

/// Where decisions are kept until they are uploaded, and how many.
#[derive(Clone, Debug)]
pub struct RecorderConfig {
    /// What happens when there is no room.
    pub backpressure: Backpressure,
    /// A directory of its own, for this instance alone; without one everything is kept in memory.
    pub dir: Option<PathBuf>,
    /// The most bytes in it. A decision takes about 400.
    pub max_bytes: u64,
    /// The most records in memory: those that are not in the directory yet, or all where there is none.
    pub queue: usize,
}

impl Default for RecorderConfig {
    /// Best effort, in memory: 8,192 decisions. With a directory 64 MiB, which is about 160,000.
    fn default() -> Self {
        Self { backpressure: Backpressure::BestEffort, dir: None, max_bytes: 64 << 20, queue: 8192 }
    }
}

/// Why decisions cannot be recorded as configured.
#[derive(Debug, Error)]
pub enum RecorderError {
    /// Every decision is to be recorded, and there is no place that outlives the process.
    #[error(
        "decisions that are required to be recorded need a directory; name one, or record with best effort"
    )]
    NoDirectory,
    /// The directory cannot be used.
    #[error(transparent)]
    Spool(#[from] SpoolError),
    /// The system gave no thread.
    #[error("cannot start the thread that writes decisions: {0}")]
    Thread(io::Error),
}

/// What there is to know about recorded decisions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RecorderStatus {
    /// How many wait to be uploaded.
    pub waiting: u64,
    /// How many were not recorded, for want of room or disk.
    pub lost: u64,
    /// How many were on disk and could not be read again.
    pub damaged: u64,
    /// How many bytes are on disk.
    pub bytes: u64,
    /// How many the broker has.
    pub uploaded: u64,
    /// How many the broker refused for good, by what is wrong with them.
    pub refused: BTreeMap<String, u64>,
    /// What is wrong with the disk, while something is.
    pub disk: Option<String>,
}
