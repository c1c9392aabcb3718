//! The requests: no redirects, a time limit, and never more bytes than there may be.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, RETRY_AFTER};
use reqwest::{Client as Http, Response, StatusCode, redirect};
use serde::de::DeserializeOwned;
use shortbread_protocol::json;
use shortbread_protocol::random::RandomError;
use shortbread_protocol::reason::Reason;
use shortbread_protocol::verifiers::{LEASE, LeaseAnswer, LeaseBody};
use thiserror::Error;

use super::ReporterConfig;
use crate::net::{self, with_causes};

// An answer to a batch names at most 64 records, an answer to a lease the tools of one verifier.
const MAX_ANSWER: usize = 64 * 1024;

/// Why the broker does not have what it was to be told. It is told again.
#[derive(Debug, Error)]
pub enum ReportError {
    /// The address cannot be used.
    #[error("cannot report to {url:?}: {cause}")]
    Address {
        /// The address given.
        url: String,
        /// What is wrong with it.
        cause: &'static str,
    },
    /// Another reporter follows the same list.
    #[error("this trust is reported already; make one reporter for each")]
    Taken,
    /// No answer, or one that broke off.
    #[error("the {what} had no answer: {cause}")]
    Http {
        /// What was sent.
        what: &'static str,
        /// What went wrong.
        cause: String,
    },
    /// The broker said no. Redirects are not followed.
    #[error("the {what} was refused: {status}, {}", reason.map_or("without a reason code", Reason::code))]
    Refused {
        /// What was sent.
        what: &'static str,
        /// The status of the answer.
        status: StatusCode,
        /// Why.
        reason: Option<Reason>,
        /// When to come back.
        retry_after: Option<Duration>,
    },
    /// An answer that is none of ours.
    #[error("the answer to the {0} is not what a broker answers")]
    Answer(&'static str),
    /// The verifier's identity could not be had.
    #[error("the token that proves this verifier's identity cannot be had: {0}")]
    Identity(String),
    /// There is no randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// What waits on disk cannot be read.
    #[error("decisions that wait on disk cannot be read: {0}")]
    Disk(std::io::Error),
    /// The runtime is shutting down.
    #[error("the program is stopping")]
    Stopping,
}

impl ReportError {
    /// A stable code, for logs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Address { .. } => "address",
            Self::Taken => "taken",
            Self::Http { .. } => "http",
            Self::Refused { reason: Some(reason), .. } => reason.code(),
            Self::Refused { .. } => "status",
            Self::Answer(_) => "answer",
            Self::Identity(_) => "identity",
            Self::Random(_) => "random",
            Self::Disk(_) => "disk",
            Self::Stopping => "stopping",
        }
    }

    /// Whether the instance has to begin again with another lease.
    pub(super) const fn ends_lease(&self) -> bool {
        matches!(self, Self::Refused { reason: Some(Reason::InstanceUnknown | Reason::MessageReplayed), .. })
    }

    pub(super) const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

/// Where the broker is.
#[derive(Clone, Debug)]
pub(super) struct Client {
    http: Http,
    base: String,
}

impl Client {
    pub(super) fn new(config: &ReporterConfig) -> Result<Self, ReportError> {
        let refuse = |cause| ReportError::Address { url: net::redacted(&config.base_url), cause };
        let url = net::checked(&config.base_url, config.allow_http).map_err(refuse)?;
        let mut http = Http::builder()
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(config.timeout)
            .timeout(config.timeout);
        if net::is_loopback(&url) {
            http = http.no_proxy();
        }
        let http = http.build().map_err(|e| failed("lease", &e))?;
        Ok(Self { http, base: url.as_str().trim_end_matches('/').to_owned() })
    }

    pub(super) fn url(&self) -> &str {
        &self.base
    }

    pub(super) async fn lease(&self, body: &LeaseBody) -> Result<LeaseAnswer, ReportError> {
        // Plain texts always serialise.
        let body = serde_json::to_vec(body).unwrap_or_default();
        self.post("lease", LEASE, "application/json", body).await
    }

    /// Sends a signed message.
    pub(super) async fn send<A: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
        message: String,
    ) -> Result<A, ReportError> {
        self.post(what, path, "application/jose", message.into_bytes()).await
    }

    async fn post<A: DeserializeOwned>(
        &self,
        what: &'static str,
        path: &str,
        kind: &'static str,
        body: Vec<u8>,
    ) -> Result<A, ReportError> {
        let request = self.http.post(format!("{}{path}", self.base)).header(CONTENT_TYPE, kind).body(body);
        let response = request.send().await.map_err(|e| failed(what, &e))?;
        let status = response.status();
        let seconds = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        let retry_after = seconds.map(Duration::from_secs);
        let body = read(what, response).await?;
        if status != StatusCode::OK {
            let reason =
                json::object(&body).ok().and_then(|body| Reason::from_code(body.get("reason")?.as_str()?));
            return Err(ReportError::Refused { what, status, reason, retry_after });
        }
        json::read_as(&body).map_err(|_| ReportError::Answer(what))
    }
}

async fn read(what: &'static str, mut response: Response) -> Result<Vec<u8>, ReportError> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|e| failed(what, &e))? {
        if bytes.len() + chunk.len() > MAX_ANSWER {
            return Err(ReportError::Answer(what));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

fn failed(what: &'static str, error: &reqwest::Error) -> ReportError {
    ReportError::Http { what, cause: with_causes(error) }
}
