//! Follows the broker's stream of heads. What it says is verified like everything else; a stream that lies can only
//! make the list older.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use reqwest::Response;
use shortbread_protocol::revocations::DeltaRef;
use tokio::time::{sleep, timeout};

use super::error::FeedError;
use super::fetch::failed;
use super::follow::{Core, Pushed};
use super::frames::{Frame, Frames, PackedDelta};
use crate::pace::{Backoff, spread};

/// The first wait before a stream is opened again.
const FIRST: Duration = Duration::from_millis(250);

/// How long a head waits for the delta behind it.
const BEHIND: Duration = Duration::from_millis(250);
/// Within this after the broker answers again its streams are opened: spread, so that a thousand do not come at once.
const RETURN: Duration = Duration::from_millis(500);
/// A stream that brought so many heads is no flicker.
const STEADY: u32 = 2;

/// Opens the stream, follows it to its end, and opens it again.
pub(super) async fn run(core: Arc<Core>) {
    let (mut backoff, random) = (Backoff::new(FIRST), Arc::clone(&core.random.0));
    loop {
        let wait = if core.stream.permits() {
            let Err(error) = follow(&core, &mut backoff).await;
            core.stream.failed(&error);
            core.ladder.lost(&error);
            core.lost.notify_one();
            backoff.next(&*random)
        } else {
            spread(core.config.breaker.cool_down, 0.25, 0.5, &*random)
        };
        if timeout(wait, core.back.notified()).await.is_ok() {
            backoff.reset();
            sleep(spread(RETURN, 0.0, 1.0, &*random)).await;
        }
    }
}

/// Follows one stream; says why it ended.
async fn follow(core: &Core, backoff: &mut Backoff) -> Result<std::convert::Infallible, FeedError> {
    let fetch = &core.broker.fetch;
    let mut reader = Reader::new(fetch.stream(core.trust.state().seq()).await?);
    let mut quiet = std::pin::pin!(sleep(core.config.silence));
    let mut heads = 0_u32;
    loop {
        let frame = tokio::select! {
            frame = reader.next() => frame?,
            () = &mut quiet => return Err(FeedError::Silent),
        };
        // A delta without a head that asks for it: what it leads to is here already.
        let Frame::Head(head) = frame else { continue };
        let applied = match core.settle(fetch, head, &mut reader).await {
            Ok(applied) => applied,
            // A mirror may have been ahead. It counts as silence.
            Err(error) if error.is_older() => continue,
            Err(error) => return Err(error),
        };
        if !core.is_fresh() {
            return Err(FeedError::Stale);
        }
        if applied.is_some() || heads == 0 {
            heads = heads.saturating_add(1);
            quiet.set(sleep(core.config.silence));
            core.stream.succeeded();
            core.ladder.pushed("stream");
        }
        if heads >= STEADY {
            backoff.reset();
        }
    }
}

/// The events of an answer.
struct Reader {
    response: Response,
    frames: Frames,
    chunk: Bytes,
    /// Read ahead, while a delta was looked for.
    ahead: Option<Result<Frame, FeedError>>,
}

impl Reader {
    fn new(response: Response) -> Self {
        Self { response, frames: Frames::default(), chunk: Bytes::new(), ahead: None }
    }

    /// The next event. Nothing is lost when the wait for it is given up.
    async fn next(&mut self) -> Result<Frame, FeedError> {
        loop {
            if let Some(frame) = self.ahead.take().or_else(|| self.buffered()) {
                return frame;
            }
            let chunk = self.response.chunk().await.map_err(|e| failed("stream of revocations", &e))?;
            self.chunk = chunk.ok_or(FeedError::Ended)?;
        }
    }

    /// The next event, if it came already.
    fn buffered(&mut self) -> Option<Result<Frame, FeedError>> {
        let mut rest: &[u8] = &self.chunk;
        let frame = self.frames.read(&mut rest);
        let used = self.chunk.len() - rest.len();
        self.chunk.advance(used);
        frame.map_err(FeedError::from).transpose()
    }

    /// Keeps what is not a delta for the next turn.
    fn sort(&mut self, came: Result<Frame, FeedError>) -> Option<PackedDelta> {
        match came {
            Ok(Frame::Delta(delta)) => Some(delta),
            other => {
                self.ahead = Some(other);
                None
            }
        }
    }
}

impl Pushed for Reader {
    fn here(&mut self) -> Option<PackedDelta> {
        let came = self.ahead.take().or_else(|| self.buffered())?;
        self.sort(came)
    }

    async fn soon(&mut self, named: &DeltaRef) -> Option<PackedDelta> {
        let came = timeout(BEHIND, self.next()).await.ok()?;
        self.sort(came).filter(|delta| delta.is(named))
    }
}
