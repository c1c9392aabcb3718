//! What all sources share: a head is offered, and what it asks for is fetched and offered too.

use std::sync::{self, Arc, PoisonError};
use std::time::Duration;

use reqwest::StatusCode;
use shortbread_protocol::random::Random;
use shortbread_protocol::revocations::DeltaRef;
use tokio::sync::{Mutex, Notify, Semaphore};
use tokio::time::timeout;

use super::config::FeedConfig;
use super::error::FeedError;
use super::fetch::Fetch;
use super::frames::PackedDelta;
use super::ladder::Ladder;
use super::source::{Gate, Source};
use super::telemetry;
use crate::list::{Next, Refused, Seen, Trust};

// Key document, once more when its bytes differ, snapshot, delta, and the head again after a key document.
const MAX_ROUNDS: usize = 6;

// A process may hold a thousand verifiers that hear of a change at one moment: they take turns rather than have the
// runtime start a thread for each.
static OFFERS: Semaphore = Semaphore::const_new(16);

// More than a feed ever has under way.
const MOST_UNDER_WAY: u32 = 64;

/// What the parts of a feed share.
#[derive(Debug)]
pub(super) struct Core {
    pub(super) trust: Arc<Trust>,
    pub(super) config: FeedConfig,
    pub(super) broker: Source,
    pub(super) mirrors: Vec<Source>,
    pub(super) stream: Gate,
    pub(super) ladder: Ladder,
    pub(super) random: Chance,
    /// The stream is lost: ask.
    pub(super) lost: Notify,
    /// The broker answers again: open the stream.
    pub(super) back: Notify,
    /// Two sources need not fetch the same files at one time.
    turn: Mutex<()>,
    /// The head that was offered last: the trust waits for its files. Held while one of them is offered.
    offered: Arc<sync::Mutex<Option<Arc<Vec<u8>>>>>,
    /// Offers that have begun: they run to their end even where nobody waits for them.
    under_way: Arc<Semaphore>,
}

/// Randomness, which has nothing to show.
pub(super) struct Chance(pub(super) Arc<dyn Random>);

impl std::fmt::Debug for Chance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Chance")
    }
}

/// Deltas that came unasked, right behind their head.
pub(super) trait Pushed: Send {
    /// The one that is here already.
    fn here(&mut self) -> Option<PackedDelta>;
    /// The one that this head names, if it comes next and soon.
    fn soon(&mut self, named: &DeltaRef) -> impl Future<Output = Option<PackedDelta>> + Send;
}

/// Nothing is pushed: the head was asked for.
pub(super) struct Asked;

impl Pushed for Asked {
    fn here(&mut self) -> Option<PackedDelta> {
        None
    }

    async fn soon(&mut self, _: &DeltaRef) -> Option<PackedDelta> {
        None
    }
}

impl Core {
    pub(super) fn new(
        trust: Arc<Trust>,
        config: &FeedConfig,
        random: Arc<dyn Random>,
    ) -> Result<Self, FeedError> {
        telemetry::describe();
        let broker = Source::new("broker".to_owned(), config, &config.base_url)?;
        let mirror = |(at, url): (usize, &String)| Source::new(format!("mirror-{}", at + 1), config, url);
        let mirrors = config.mirrors.iter().enumerate().map(mirror).collect::<Result<_, _>>()?;
        Ok(Self {
            ladder: Ladder::new(Arc::clone(&trust), config.windows),
            trust,
            config: config.clone(),
            broker,
            mirrors,
            stream: Gate::new("stream".to_owned(), config),
            random: Chance(random),
            lost: Notify::new(),
            back: Notify::new(),
            turn: Mutex::new(()),
            offered: Arc::default(),
            under_way: Arc::new(Semaphore::new(MOST_UNDER_WAY as usize)),
        })
    }

    /// The broker, then the mirrors.
    pub(super) fn sources(&self) -> impl Iterator<Item = &Source> {
        std::iter::once(&self.broker).chain(&self.mirrors)
    }

    /// Whether the list in force is young enough for the source that just gave it to be a good one.
    pub(super) fn is_fresh(&self) -> bool {
        let state = self.trust.state();
        state.is_followed(Seen::now(self.trust.clock()), self.config.stale)
    }

    /// Offers a head and fetches what it asks for, until it is in force. Gives the sequence if it was not before.
    pub(super) async fn settle(
        &self,
        fetch: &Fetch,
        head: Vec<u8>,
        pushed: &mut impl Pushed,
    ) -> Result<Option<u64>, FeedError> {
        // A source that takes its time holds the others up no longer than one that does not answer.
        let _turn = timeout(self.config.timeout, self.turn.lock()).await;
        let before = self.trust.state();
        let (seq, contents) = (before.seq(), before.contents());
        drop(before);
        let head = Arc::new(head);
        let mut next = self.offer_head(&head, pushed.here()).await?;
        for _ in 0..MAX_ROUNDS {
            next = match next {
                Next::Nothing => return Ok(self.settled(seq, contents)),
                Next::Keys { version, .. } => {
                    let keys = fetch.keys(version).await?;
                    self.hop(move |trust| Ok(trust.offer_keys(&keys)?)).await?;
                    self.offer_head(&head, None).await?
                }
                Next::Snapshot(file) => {
                    let body = fetch.snapshot(&file).await?;
                    self.offer_file(&head, move |trust| Ok(trust.offer_snapshot(&body.unpack()?)?)).await?
                }
                Next::Delta(named) => {
                    let came = pushed.soon(&named).await;
                    match self.offer_pushed(&head, came, named).await {
                        Some(next) => next,
                        None => self.delta(fetch, &head, named).await?,
                    }
                }
            }
        }
        Err(FeedError::Unsettled)
    }

    /// Fetches a delta and offers it. Where the source answers, but has no such delta, the whole list leads there too.
    async fn delta(&self, fetch: &Fetch, head: &Arc<Vec<u8>>, named: DeltaRef) -> Result<Next, FeedError> {
        let came = async {
            let body = fetch.delta(&named).await?;
            self.offer_file(head, move |trust| Ok(trust.offer_delta(&body.unpack()?)?)).await
        };
        let error = match came.await {
            Ok(next) => return Ok(next),
            Err(error) => error,
        };
        if !error.is_about_the_file() {
            return Err(error);
        }
        match self.hop(move |trust| Ok(trust.instead_of(&named))).await? {
            Some(whole) => {
                tracing::debug!(
                    error.class = error.code(),
                    "the whole list is fetched, for want of a delta: {error}"
                );
                Ok(Next::Snapshot(whole))
            }
            None => Err(error),
        }
    }

    /// Offers a head, and the delta behind it if that is what it asks for: most changes take one turn.
    pub(super) async fn offer_head(
        &self,
        head: &Arc<Vec<u8>>,
        came: Option<PackedDelta>,
    ) -> Result<Next, FeedError> {
        let (head, last) = (Arc::clone(head), Arc::clone(&self.offered));
        let offered = self.hop(move |trust| {
            let mut last = lock(&last);
            *last = Some(Arc::clone(&head));
            let next = trust.offer_head(&head)?;
            match (next, came) {
                (Next::Delta(named), Some(delta)) => Ok(take(trust, &delta, named).unwrap_or(next)),
                _ => Ok(next),
            }
        });
        offered.await.inspect_err(refused)
    }

    async fn offer_pushed(
        &self,
        head: &Arc<Vec<u8>>,
        came: Option<PackedDelta>,
        named: DeltaRef,
    ) -> Option<Next> {
        let delta = came?;
        self.offer_file(head, move |trust| {
            take(trust, &delta, named).ok_or(FeedError::Packed { what: "delta" })
        })
        .await
        .ok()
    }

    /// Offers a file that a head asked for. When another head was offered meanwhile, this one is offered once more
    /// before, for it may be older by then.
    pub(super) async fn offer_file(
        &self,
        head: &Arc<Vec<u8>>,
        offer: impl FnOnce(&Trust) -> Result<Next, FeedError> + Send + 'static,
    ) -> Result<Next, FeedError> {
        let (head, last) = (Arc::clone(head), Arc::clone(&self.offered));
        let offered = self.hop(move |trust| {
            let mut last = lock(&last);
            if last.as_ref().is_some_and(|last| Arc::ptr_eq(last, &head)) {
                return offer(trust);
            }
            *last = Some(Arc::clone(&head));
            match trust.offer_head(&head)? {
                Next::Nothing => Ok(Next::Nothing),
                _ => offer(trust),
            }
        });
        offered.await
    }

    fn settled(&self, seq: u64, contents: u64) -> Option<u64> {
        let state = self.trust.state();
        if state.contents() != contents
            && contents != 0
            && let Some(issued) = state.issued()
        {
            let now = self.trust.clock().now();
            let since = now.millis().saturating_sub(issued.saturating_mul(1000));
            telemetry::propagated(Duration::from_millis(since));
        }
        (state.seq() != seq).then(|| state.seq())
    }

    /// Offers write to the disk and may decode 48 MiB: not on a thread that answers calls.
    pub(super) async fn hop<T: Send + 'static>(
        &self,
        offer: impl FnOnce(&Trust) -> Result<T, FeedError> + Send + 'static,
    ) -> Result<T, FeedError> {
        let stopping = |_| FeedError::Stopping;
        let under_way = Arc::clone(&self.under_way).acquire_owned().await.map_err(stopping)?;
        let turn = OFFERS.acquire().await.map_err(stopping)?;
        let trust = Arc::clone(&self.trust);
        let offered = tokio::task::spawn_blocking(move || {
            let offered = offer(&trust);
            drop(trust);
            drop((turn, under_way));
            offered
        });
        offered.await.map_err(|_| FeedError::Stopping)?
    }

    /// Waits until no offer is under way.
    pub(super) async fn rest(&self) {
        drop(self.under_way.acquire_many(MOST_UNDER_WAY).await);
    }
}

fn lock<T>(mutex: &sync::Mutex<T>) -> sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Puts a delta in force that came with its head. `None` when it is another, or is not what its name says: then it is
/// fetched.
fn take(trust: &Trust, delta: &PackedDelta, named: DeltaRef) -> Option<Next> {
    let bytes = if delta.is(&named) { delta.unpack(named.to.bytes)? } else { return None };
    trust.offer_delta(&bytes).ok()
}

/// Counts a head that was not taken.
pub(super) fn refused(error: &FeedError) {
    if let FeedError::Refused(refused) = error {
        telemetry::head_refused(refused.code());
    }
}

impl FeedError {
    /// Whether the source is there and can answer, but not with this file.
    fn is_about_the_file(&self) -> bool {
        match self {
            Self::Status { status, .. } => {
                !status.is_server_error() && *status != StatusCode::TOO_MANY_REQUESTS
            }
            Self::TooLarge { .. } | Self::Packed { .. } | Self::Refused(_) => true,
            _ => false,
        }
    }

    /// Whether the source is merely behind, as a cache is for a moment: also behind a change of keys.
    pub(super) const fn is_older(&self) -> bool {
        matches!(self, Self::Refused(Refused::Older { .. } | Refused::KeysOlder { .. }))
    }
}
