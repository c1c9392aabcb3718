//! The requests: no redirects, a time limit, and never more bytes than there may be.

use std::error::Error as _;
use std::time::Duration;

use reqwest::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use reqwest::{Client, Response, StatusCode, redirect};
use shortbread_protocol::key_document::MAX_KEY_DOCUMENT;
use shortbread_protocol::revocations::{DeltaRef, FileRef, MAX_HEAD};

use super::{FeedConfig, FeedError, checked, is_loopback};

const MAX_ETAG: usize = 128;
const SNAPSHOT_PATIENCE: u32 = 12;

/// Where heads and files are served.
#[derive(Debug)]
pub(super) struct Source {
    http: Client,
    base: String,
    timeout: Duration,
}

pub(super) enum Fetched {
    Unchanged,
    New { bytes: Vec<u8>, etag: Option<HeaderValue> },
}

struct Ask {
    what: &'static str,
    path: String,
    limit: u64,
    timeout: Duration,
}

impl Source {
    pub(super) fn new(config: &FeedConfig) -> Result<Self, FeedError> {
        let url = checked(config)?;
        let mut http = Client::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(config.timeout)
            .read_timeout(config.timeout);
        if is_loopback(&url) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|e| failed("revocation list", &e))?;
        let base = url.as_str().trim_end_matches('/').to_owned();
        Ok(Self { http, base, timeout: config.timeout })
    }

    pub(super) fn url(&self) -> &str {
        &self.base
    }

    /// The head, unless it still is the one with this tag.
    pub(super) async fn head(&self, etag: Option<&HeaderValue>) -> Result<Fetched, FeedError> {
        let (what, path) = ("revocation head", "head".to_owned());
        let ask = Ask { what, path, limit: MAX_HEAD as u64, timeout: self.timeout };
        let response = self.send(&ask, etag).await?;
        if response.status() == StatusCode::NOT_MODIFIED && etag.is_some() {
            return Ok(Fetched::Unchanged);
        }
        let etag = response.headers().get(ETAG).filter(|tag| tag.len() <= MAX_ETAG).cloned();
        Ok(Fetched::New { bytes: read(&ask, response).await?, etag })
    }

    pub(super) async fn keys(&self, version: u64) -> Result<Vec<u8>, FeedError> {
        let (what, path) = ("key document", format!("keys/{version}"));
        let ask = Ask { what, path, limit: MAX_KEY_DOCUMENT as u64, timeout: self.timeout };
        read(&ask, self.send(&ask, None).await?).await
    }

    pub(super) async fn snapshot(&self, file: &FileRef) -> Result<Vec<u8>, FeedError> {
        let path = format!("snapshot/{}-{}", file.seq, hex::encode(file.sha256));
        let timeout = self.timeout.saturating_mul(SNAPSHOT_PATIENCE);
        let ask = Ask { what: "revocation list", path, limit: file.bytes, timeout };
        read(&ask, self.send(&ask, None).await?).await
    }

    pub(super) async fn delta(&self, delta: &DeltaRef) -> Result<Vec<u8>, FeedError> {
        let (to, hash) = (delta.to.seq, hex::encode(delta.to.sha256));
        let path = format!("delta/{}-{to}-{hash}", delta.from);
        let ask = Ask { what: "revocation delta", path, limit: delta.to.bytes, timeout: self.timeout };
        read(&ask, self.send(&ask, None).await?).await
    }

    async fn send(&self, ask: &Ask, etag: Option<&HeaderValue>) -> Result<Response, FeedError> {
        let url = format!("{}/revocations/{}", self.base, ask.path);
        let mut request = self.http.get(url).timeout(ask.timeout);
        if let Some(etag) = etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        request.send().await.map_err(|e| failed(ask.what, &e))
    }
}

async fn read(ask: &Ask, mut response: Response) -> Result<Vec<u8>, FeedError> {
    let (what, limit) = (ask.what, ask.limit);
    if response.status() != StatusCode::OK {
        return Err(FeedError::Status { what, status: response.status() });
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failed(what, &e))? {
        let length = (bytes.len() as u64).saturating_add(chunk.len() as u64);
        if length > limit {
            return Err(FeedError::TooLarge { what, limit });
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

/// The error with its causes: the first one alone says only that the request failed.
fn failed(what: &'static str, error: &reqwest::Error) -> FeedError {
    let mut cause = error.to_string();
    let mut next = error.source();
    while let Some(error) = next {
        cause = format!("{cause}: {error}");
        next = error.source();
    }
    FeedError::Http { what, cause }
}
