//! Keeps the revocation list fresh: polls the head and fetches what it asks for. Everything fetched is judged by
//! [`Trust`]; a broker, mirror or network that lies can only make the list older.

mod fetch;
mod pace;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::HeaderValue;
use reqwest::{StatusCode, Url};
use shortbread_protocol::random::Random;
use thiserror::Error;

use crate::list::{Age, Next, Refused, Trust};
use fetch::{Fetched, Source};
use pace::Pace;

// Key document, once more when its bytes differ, snapshot, and the head again after each.
const MAX_ROUNDS: usize = 5;

// With a list that is older than this although the broker answers, something on the way holds heads back.
const STALE: u64 = 60;

/// Where the list comes from and how often it is asked for.
#[derive(Clone, Debug)]
pub struct FeedConfig {
    /// The broker's URL, or a mirror's: what stands before `/revocations/head`.
    pub base_url: String,
    /// The time between two polls, give or take a quarter. A revocation takes effect about this much later.
    pub interval: Duration,
    /// How long an answer may stay away, and the longest pause within one. A snapshot may take twelve times as long.
    pub timeout: Duration,
    /// Allows `http` for hosts other than this machine. The lists are signed, so this gives away only what is
    /// revoked, and lets those on the way hold it back.
    pub allow_http: bool,
}

impl FeedConfig {
    /// Polls every 2 s with a timeout of 5 s, over `https` unless the host is this machine.
    #[must_use]
    pub fn new(base_url: impl Into<String>) -> Self {
        let (interval, timeout) = (Duration::from_secs(2), Duration::from_secs(5));
        Self { base_url: base_url.into(), interval, timeout, allow_http: false }
    }
}

/// What a poll came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Nothing new.
    Unchanged,
    /// A later head is in force.
    Applied {
        /// Its sequence.
        seq: u64,
    },
    /// A head came that is older than the one in force, as a cache on the way may hold it for a moment.
    Older,
}

/// Why a poll failed. The list stays as it is and gets older.
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
    /// It was fetched but not taken.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// The head kept asking for more.
    #[error("the head asks for one key document after another")]
    Unsettled,
    /// The runtime is shutting down.
    #[error("the list was not applied: the program is stopping")]
    Stopping,
}

/// Follows one broker or mirror.
#[derive(Debug)]
pub struct Feed {
    trust: Arc<Trust>,
    source: Source,
    pace: Pace,
    etag: Option<HeaderValue>,
    condition: Condition,
}

/// What was last logged; said again only when it changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Starting,
    Following,
    Stale,
    Failing(&'static str),
}

impl Feed {
    /// A feed that has not polled yet.
    ///
    /// # Errors
    /// When the address is no `https` URL (or `http`, where allowed), or TLS cannot be set up.
    pub fn new(trust: Arc<Trust>, config: &FeedConfig, random: Arc<dyn Random>) -> Result<Self, FeedError> {
        let source = Source::new(config)?;
        let pace = Pace::new(config.interval, random);
        Ok(Self { trust, source, pace, etag: None, condition: Condition::Starting })
    }

    /// Polls until `cancel` is ready. Errors are logged when they begin and when they end; the status of the trust
    /// tells the rest.
    pub async fn run(mut self, cancel: impl Future<Output = ()> + Send) {
        tokio::pin!(cancel);
        loop {
            let turn = async {
                // The outcome is noted inside.
                let _ = self.step().await;
                tokio::time::sleep(self.delay()).await;
            };
            tokio::select! {
                biased;
                () = &mut cancel => return,
                () = turn => {}
            }
        }
    }

    /// Polls once, and fetches and applies what a new head asks for.
    ///
    /// # Errors
    /// When anything was not had or not taken; the next [`delay`](Self::delay) is longer then.
    pub async fn step(&mut self) -> Result<Step, FeedError> {
        let result = match self.poll().await {
            Err(FeedError::Refused(Refused::Older { .. })) => Ok(Step::Older),
            other => other,
        };
        self.pace.note(result.is_ok());
        self.log(&result);
        result
    }

    /// How long to wait before the next step: the interval, longer after errors (30 s at most), never the same twice.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.pace.delay()
    }

    async fn poll(&mut self) -> Result<Step, FeedError> {
        let Fetched::New { bytes: head, etag } = self.source.head(self.etag.as_ref()).await? else {
            return Ok(Step::Unchanged);
        };
        let before = self.trust.state().seq();
        for _ in 0..MAX_ROUNDS {
            let offered = head.clone();
            match self.offer(move |trust| trust.offer_head(&offered)).await? {
                Next::Keys { version, .. } => {
                    let keys = self.source.keys(version).await?;
                    self.offer(move |trust| trust.offer_keys(&keys)).await?;
                }
                Next::Snapshot(file) => {
                    let snapshot = self.source.snapshot(&file).await?;
                    if let Next::Delta(delta) =
                        self.offer(move |trust| trust.offer_snapshot(&snapshot)).await?
                    {
                        let delta = self.source.delta(&delta).await?;
                        self.offer(move |trust| trust.offer_delta(&delta)).await?;
                    }
                }
                Next::Delta(delta) => {
                    let delta = self.source.delta(&delta).await?;
                    self.offer(move |trust| trust.offer_delta(&delta)).await?;
                }
                Next::Nothing => {
                    // Only now: until a head is in force it must be served again.
                    self.etag = etag;
                    let seq = self.trust.state().seq();
                    return Ok(if seq == before { Step::Unchanged } else { Step::Applied { seq } });
                }
            }
        }
        Err(FeedError::Unsettled)
    }

    /// Offers write to the disk and may decode 48 MiB: not on a thread that answers calls.
    async fn offer<T: Send + 'static>(
        &self,
        offer: impl FnOnce(&Trust) -> Result<T, Refused> + Send + 'static,
    ) -> Result<T, FeedError> {
        let trust = Arc::clone(&self.trust);
        let judged = tokio::task::spawn_blocking(move || offer(&trust)).await;
        Ok(judged.map_err(|_| FeedError::Stopping)??)
    }

    fn log(&mut self, result: &Result<Step, FeedError>) {
        let condition = match (result, self.trust.age()) {
            (Err(error), _) => Condition::Failing(error.code()),
            (Ok(_), Age::Seconds(0..=STALE)) => Condition::Following,
            (Ok(_), _) => Condition::Stale,
        };
        if std::mem::replace(&mut self.condition, condition) == condition {
            return;
        }
        let (seq, url) = (self.trust.state().seq(), self.source.url());
        match result {
            Err(error) if error.code() == "equivocation" => {
                tracing::error!(list.seq = seq, feed.url = %url, error.class = error.code(), "{error}");
            }
            Err(error) => {
                tracing::warn!(list.seq = seq, feed.url = %url, error.class = error.code(), "the revocation list is not renewed: {error}");
            }
            Ok(_) if condition == Condition::Stale => {
                tracing::warn!(list.seq = seq, feed.url = %url, "the revocation list is not renewed: the broker answers, but with no newer head");
            }
            Ok(_) => tracing::info!(list.seq = seq, feed.url = %url, "the revocation list is followed"),
        }
    }
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
            Self::Refused(refused) => refused.code(),
            Self::Unsettled => "unsettled",
            Self::Stopping => "stopping",
        }
    }
}

/// The address, if it may be followed: without credentials, query or fragment, and without `http` to other machines.
fn checked(config: &FeedConfig) -> Result<Url, FeedError> {
    let refuse = |cause| FeedError::Address { url: redacted(&config.base_url), cause };
    let url = Url::parse(&config.base_url).map_err(|_| refuse("it is not a URL"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err(refuse("it must not hold a user name or password"));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(refuse("it must not have a query or fragment"));
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if config.allow_http || is_loopback(&url) => Ok(url),
        "http" => Err(refuse("use https; http is for this machine alone, unless it is allowed expressly")),
        _ => Err(refuse("use https")),
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

// What stands before an `@` may be a password.
fn redacted(url: &str) -> String {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest).chars().take(256).collect()
}
