//! Keeps the revocation list fresh: the broker pushes each head, or it is asked for; where it does not answer its mirrors
//! are. Everything that comes is judged by [`Trust`]; a broker, mirror or network that lies can only make the list older.

mod breaker;
mod config;
mod error;
mod fetch;
mod follow;
mod frames;
mod glass;
mod ladder;
mod poll;
mod source;
mod status;
mod stream;
mod telemetry;
#[cfg(test)]
mod tests;

pub use breaker::BreakerState;
pub use config::{BreakerConfig, FeedConfig};
pub use error::FeedError;
pub use frames::{Frame, FrameError, Frames, MAX_FRAME, PackedDelta};
pub use status::{FeedHandle, FeedStatus, SourceStatus};

use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::random::Random;
use tokio::task::JoinSet;

use crate::list::Trust;
use follow::Core;
use poll::Poll;

// How often it is looked at what time alone changes: the age of the list.
const LOOK: Duration = Duration::from_secs(1);

/// What a poll came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A head came that is older than the one in force, as a cache on the way may hold it for a moment.
    Older,
    /// Nothing new.
    Unchanged,
    /// A later head is in force.
    Applied {
        /// Its sequence.
        seq: u64,
    },
}

/// Follows one broker and its mirrors.
#[derive(Debug)]
pub struct Feed {
    core: Arc<Core>,
    poll: Poll,
}

impl Feed {
    /// A feed that has not asked yet.
    ///
    /// # Errors
    /// When an address is no `https` URL (or `http`, where allowed), or TLS cannot be set up.
    pub fn new(trust: Arc<Trust>, config: &FeedConfig, random: Arc<dyn Random>) -> Result<Self, FeedError> {
        let core = Arc::new(Core::new(trust, config, random)?);
        let poll = Poll::new(Arc::clone(&core));
        Ok(Self { core, poll })
    }

    /// How it stands now.
    #[must_use]
    pub fn status(&self) -> FeedStatus {
        self.handle().status()
    }

    /// What tells how it stands once it runs.
    #[must_use]
    pub fn handle(&self) -> FeedHandle {
        FeedHandle(Arc::clone(&self.core))
    }

    /// Follows the list until `cancel` is ready, whatever fails meanwhile. Each change of the source, and of what still
    /// passes, is logged once. When it returns nothing of it is left: once the trust is dropped too, its state directory
    /// is free.
    pub async fn run(self, cancel: impl Future<Output = ()> + Send) {
        tokio::pin!(cancel);
        loop {
            // Dropping it ends its tasks.
            let mut tasks = self.begin();
            tokio::select! {
                biased;
                () = &mut cancel => {
                    tasks.shutdown().await;
                    return self.core.rest().await;
                }
                _ = tasks.join_next() => {}
            }
            // None of them ends by itself: one has panicked, and the list must be followed all the same.
            tracing::error!("following the revocation list broke off; it is begun again");
            tokio::select! {
                biased;
                () = &mut cancel => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Asks once, without the stream: the broker and, where it gives no list that is young enough, its mirrors; all of
    /// them for a break-glass head too.
    ///
    /// # Errors
    /// When nobody gave a list, or what was given was not taken.
    pub async fn step(&mut self) -> Result<Step, FeedError> {
        let (step, ()) = tokio::join!(self.poll.round(), glass::ask_all(&self.core));
        step
    }

    /// How long to wait before the next step: about the interval, never the same twice.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.poll.delay()
    }

    fn begin(&self) -> JoinSet<()> {
        let mut tasks = JoinSet::new();
        let core = || Arc::clone(&self.core);
        if self.core.config.stream {
            tasks.spawn(stream::run(core()));
        }
        tasks.spawn(Poll::new(core()).run());
        for at in 0..self.core.sources().count() {
            tasks.spawn(glass::run(core(), at));
        }
        let watched = core();
        tasks.spawn(async move {
            loop {
                watched.ladder.look();
                tokio::time::sleep(LOOK).await;
            }
        });
        tasks
    }
}
