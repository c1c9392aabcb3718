//! Why a source gave no newer list.

use reqwest::StatusCode;
use thiserror::Error;

use super::frames::FrameError;
use crate::list::Refused;

/// Why a source gave nothing newer. The list stays as it is and gets older.
#[derive(Debug, Error)]
pub enum FeedError {
    /// The address cannot be used.
    #[error("cannot follow the revocation list at {url:?}: {cause}")]
    Address {
        /// The address given.
        url: String,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// No answer, or one that broke off.
    #[error("the {what} cannot be fetched: {cause}")]
    Http {
        /// What was asked for.
        what: &'static str,
        /// What went wrong.
        cause: String,
    },
    /// An answer that is none. Redirects are not followed.
    #[error("the {what} cannot be fetched: the answer is {status}")]
    Status {
        /// What was asked for.
        what: &'static str,
        /// The status of the answer.
        status: StatusCode,
    },
    /// More bytes than there may be.
    #[error("the {what} has more than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        what: &'static str,
        /// The most bytes it may have.
        limit: u64,
    },
    /// Said to be compressed, but not so.
    #[error("the {what} cannot be decompressed")]
    Packed {
        /// What was asked for.
        what: &'static str,
    },
    /// It was fetched but not taken.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// An answer, but the list that it leads to is old.
    #[error("it answers, but the list that it leads to is too old: something holds newer heads back")]
    Stale,
    /// The head kept asking for more.
    #[error("the head asks for one key document after another")]
    Unsettled,
    /// The stream is no stream of events that can be read.
    #[error("the stream cannot be read: {0}")]
    Stream(#[from] FrameError),
    /// The stream ended, as when the broker stops.
    #[error("the stream ended")]
    Ended,
    /// The stream brought no newer head in time.
    #[error("the stream brought no newer head in time")]
    Silent,
    /// Every source failed a moment ago and is left alone until its cool-down is over.
    #[error("every source failed a moment ago; they are asked again soon")]
    Resting,
    /// The runtime is shutting down.
    #[error("the list was not applied: the program is stopping")]
    Stopping,
}

impl FeedError {
    /// A stable code, for logs and metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Address { .. } => "address",
            Self::Http { .. } => "http",
            Self::Status { .. } => "status",
            Self::TooLarge { .. } => "too_large",
            Self::Packed { .. } => "packed",
            Self::Refused(refused) => refused.code(),
            Self::Stale => "stale",
            Self::Unsettled => "unsettled",
            Self::Stream(_) => "stream",
            Self::Ended => "ended",
            Self::Silent => "silent",
            Self::Resting => "resting",
            Self::Stopping => "stopping",
        }
    }
}
