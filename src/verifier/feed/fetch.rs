//! The requests: no redirects, a time limit, and never more bytes than there may be.

use std::time::Duration;

use reqwest::header::{
    ACCEPT, ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
};
use reqwest::{Client, Response, StatusCode, redirect};
use shortbread_protocol::key_document::MAX_KEY_DOCUMENT;
use shortbread_protocol::revocations::{DeltaRef, FileRef, MAX_HEAD};
use tokio::time::timeout;

use super::config::FeedConfig;
use super::error::FeedError;
use super::frames::gunzip;
use crate::net::{is_loopback, with_causes};

const MAX_ETAG: usize = 128;
const SNAPSHOT_PATIENCE: u32 = 12;
/// How long a connection is kept without a request: shorter than any server lets it be, so that none is met half closed.
const IDLE: Duration = Duration::from_secs(4);
const EVENTS: &str = "text/event-stream";
// What gzip adds to bytes that it cannot make shorter.
const GZIP_MORE: u64 = 1024;

/// Where heads and files are served.
#[derive(Debug)]
pub(super) struct Fetch {
    http: Client,
    base: String,
    timeout: Duration,
}

/// An answer to a question that names what is known already.
pub(super) enum Fetched {
    Unchanged,
    New { bytes: Vec<u8>, etag: Option<HeaderValue> },
}

/// A file, perhaps compressed.
pub(super) struct Body {
    what: &'static str,
    bytes: Vec<u8>,
    gzip: bool,
    limit: u64,
}

struct Ask {
    what: &'static str,
    path: String,
    limit: u64,
    timeout: Duration,
}

impl Fetch {
    pub(super) fn new(config: &FeedConfig, address: &str) -> Result<Self, FeedError> {
        let url = config.checked(address)?;
        let mut http = Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(config.timeout)
            .pool_idle_timeout(IDLE)
            .tcp_nodelay(true);
        if is_loopback(&url) {
            http = http.no_proxy();
        }
        if url.scheme() == "http" {
            // Nothing to check certificates for, and a process may hold a thousand feeds.
            http = http.tls_certs_only([]);
        }
        let http = http.build().map_err(|e| failed("revocation list", &e))?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { http, base, timeout: config.timeout })
    }

    pub(super) fn url(&self) -> &str {
        &self.base
    }

    /// The head, unless it still is the one with this tag; an answer is waited for this long.
    pub(super) async fn head(
        &self,
        etag: Option<&HeaderValue>,
        patience: Duration,
    ) -> Result<Fetched, FeedError> {
        let ask = self.ask("revocation head", "head".to_owned(), MAX_HEAD as u64);
        let ask = Ask { timeout: patience.min(self.timeout), ..ask };
        self.unless_known(&ask, etag).await
    }

    /// The break-glass head, unless it still is the one with this tag; `None` where there is none.
    pub(super) async fn break_glass(&self, etag: Option<&HeaderValue>) -> Result<Option<Fetched>, FeedError> {
        let ask = self.ask("break-glass head", "break-glass".to_owned(), MAX_HEAD as u64);
        match self.unless_known(&ask, etag).await {
            Err(FeedError::Status { status: StatusCode::NOT_FOUND, .. }) => Ok(None),
            other => other.map(Some),
        }
    }

    pub(super) async fn keys(&self, version: u64) -> Result<Vec<u8>, FeedError> {
        let ask = self.ask("key document", format!("keys/{version}"), MAX_KEY_DOCUMENT as u64);
        self.read(&ask, self.send(&ask, HeaderMap::new()).await?, ask.limit).await
    }

    pub(super) async fn snapshot(&self, file: &FileRef) -> Result<Body, FeedError> {
        let path = format!("snapshot/{}-{}", file.seq, hex::encode(file.sha256));
        let ask = self.ask("revocation list", path, file.bytes);
        self.file(Ask { timeout: self.timeout.saturating_mul(SNAPSHOT_PATIENCE), ..ask }).await
    }

    pub(super) async fn delta(&self, delta: &DeltaRef) -> Result<Body, FeedError> {
        let (to, hash) = (delta.to.seq, hex::encode(delta.to.sha256));
        let path = format!("delta/{}-{to}-{hash}", delta.from);
        self.file(self.ask("revocation delta", path, delta.to.bytes)).await
    }

    /// Opens the stream of events. `seq` is the head in force, after which it goes on.
    pub(super) async fn stream(&self, seq: u64) -> Result<Response, FeedError> {
        let what = "stream of revocations";
        let url = format!("{}/revocations/stream", self.base);
        let mut request = self.http.get(url).header(ACCEPT, EVENTS);
        if seq > 0 {
            request = request.header("last-event-id", seq);
        }
        let slow = |_| FeedError::Http { what, cause: "no answer in time".to_owned() };
        let response = timeout(self.timeout, request.send()).await.map_err(slow)?;
        let response = response.map_err(|e| failed(what, &e))?;
        if response.status() != StatusCode::OK {
            return Err(FeedError::Status { what, status: response.status() });
        }
        let kind = response.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        match kind.and_then(|kind| kind.split(';').next()) {
            Some(kind) if kind.trim().eq_ignore_ascii_case(EVENTS) => Ok(response),
            _ => Err(FeedError::Http { what, cause: format!("the answer is not {EVENTS}") }),
        }
    }

    fn ask(&self, what: &'static str, path: String, limit: u64) -> Ask {
        Ask { what, path, limit, timeout: self.timeout }
    }

    async fn unless_known(&self, ask: &Ask, etag: Option<&HeaderValue>) -> Result<Fetched, FeedError> {
        let known = etag.map(|etag| (IF_NONE_MATCH, etag.clone()));
        let response = self.send(ask, known.into_iter().collect()).await?;
        if response.status() == StatusCode::NOT_MODIFIED && etag.is_some() {
            return Ok(Fetched::Unchanged);
        }
        let etag = response.headers().get(ETAG).filter(|tag| tag.len() <= MAX_ETAG).cloned();
        Ok(Fetched::New { bytes: self.read(ask, response, ask.limit).await?, etag })
    }

    async fn file(&self, ask: Ask) -> Result<Body, FeedError> {
        let accept = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("gzip"))]);
        let response = self.send(&ask, accept).await?;
        let encoding = response.headers().get(CONTENT_ENCODING);
        let gzip = encoding.is_some_and(|encoding| encoding.as_bytes().eq_ignore_ascii_case(b"gzip"));
        let most = if gzip { ask.limit.saturating_add(ask.limit / 1024 + GZIP_MORE) } else { ask.limit };
        let bytes = self.read(&ask, response, most).await?;
        Ok(Body { what: ask.what, bytes, gzip, limit: ask.limit })
    }

    async fn send(&self, ask: &Ask, headers: HeaderMap) -> Result<Response, FeedError> {
        let url = format!("{}/revocations/{}", self.base, ask.path);
        let request = self.http.get(url).headers(headers).timeout(ask.timeout);
        // A large file may take long once it comes; that it comes is not waited for longer than for any other.
        let slow = |_| FeedError::Http { what: ask.what, cause: "no answer in time".to_owned() };
        let response = timeout(self.timeout.min(ask.timeout), request.send()).await.map_err(slow)?;
        response.map_err(|e| failed(ask.what, &e))
    }

    async fn read(&self, ask: &Ask, mut response: Response, limit: u64) -> Result<Vec<u8>, FeedError> {
        let what = ask.what;
        if response.status() != StatusCode::OK {
            return Err(FeedError::Status { what, status: response.status() });
        }
        let mut bytes = Vec::new();
        let paused = |_| FeedError::Http { what, cause: "the answer paused for too long".to_owned() };
        while let Some(chunk) =
            timeout(self.timeout, response.chunk()).await.map_err(paused)?.map_err(|e| failed(what, &e))?
        {
            let length = (bytes.len() as u64).saturating_add(chunk.len() as u64);
            if length > limit {
                return Err(FeedError::TooLarge { what, limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }
}

impl Body {
    /// The bytes themselves. May take a while for a large list.
    pub(super) fn unpack(self) -> Result<Vec<u8>, FeedError> {
        if !self.gzip {
            return Ok(self.bytes);
        }
        gunzip(&self.bytes, self.limit).ok_or(FeedError::Packed { what: self.what })
    }
}

pub(super) fn failed(what: &'static str, error: &reqwest::Error) -> FeedError {
    FeedError::Http { what, cause: with_causes(error) }
}
