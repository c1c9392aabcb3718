//! Fetching a small public document without being led astray: https, no redirect, no proxy, guarded addresses,
//! bounded size and time.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use http::HeaderValue;
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, RequestBuilder, Response, redirect, retry};
use thiserror::Error;
use zeroize::Zeroizing;

use super::address::{Reach, destination};
use super::jwks::MAX_BODY;

/// How long one request may take in all.
const TIMEOUT: Duration = Duration::from_secs(3);

/// A document, and how long its server says it stays fresh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The document.
    pub body: Vec<u8>,
    /// `max-age` of `Cache-Control`; zero for `no-store` and `no-cache`.
    pub max_age: Option<Duration>,
}

/// Why a document could not be had.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum FetchError {
    /// Not an absolute URL, or one with a user name, password or fragment.
    #[error("the URL is not one that can be fetched")]
    Url,
    /// Plain http to anywhere but this host (and there only with `allow_private`).
    #[error("the URL is not https")]
    NotHttps,
    /// The host is, or resolves to, an address that may not be reached.
    #[error("the host is at a private or reserved address; set `allow_private` if that is meant")]
    Address,
    /// The server sent the request elsewhere.
    #[error("the server answered with a redirect, which is not followed")]
    Redirected,
    /// Any other answer than 200.
    #[error("the server answered with status {0}")]
    Status(u16),
    /// More than 256 KiB.
    #[error("the answer is larger than 256 KiB")]
    TooLarge,
    /// More than 3 s.
    #[error("the answer took longer than 3 s")]
    TimedOut,
    /// No connection, a bad certificate, a broken answer.
    #[error("the server could not be reached or its answer broke off")]
    Failed,
}

/// Where documents come from. `allow_private` lets a request go to private networks and this host.
pub trait Fetch: Send + Sync {
    /// Fetches one document: 256 KiB and 3 s at most, no redirect followed.
    fn fetch<'a>(&'a self, url: &'a str, allow_private: bool) -> BoxFuture<'a, Result<Fetched, FetchError>>;

    /// Posts a form, within the same bounds, and gives the body of an answer of 200. Whoever only fetches cannot.
    fn post<'a>(&'a self, form: Form<'a>) -> BoxFuture<'a, Result<Zeroizing<Vec<u8>>, FetchError>> {
        let _ = form;
        Box::pin(async { Err(FetchError::Failed) })
    }
}

/// A form to be posted. It may hold a code or a secret, so that nothing of it is shown.
pub struct Form<'a> {
    /// Where to.
    pub url: &'a str,
    /// As in [`Fetch::fetch`].
    pub allow_private: bool,
    /// The body, `application/x-www-form-urlencoded`.
    pub body: Zeroizing<String>,
    /// The value of `Authorization`.
    pub authorization: Option<HeaderValue>,
}

impl fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form").field("url", &self.url).finish_non_exhaustive()
    }
}

/// The real network.
#[derive(Clone, Debug)]
pub struct HttpFetch {
    public: Client,
    private: Client,
    loopback: Client,
}

impl HttpFetch {
    /// Clients that trust the certificates this machine trusts.
    ///
    /// # Errors
    /// When TLS cannot be set up, for instance because the machine has no root certificates.
    pub fn new() -> Result<Self, FetchError> {
        Self::within(TIMEOUT)
    }

    /// With another limit for one request.
    pub(super) fn within(timeout: Duration) -> Result<Self, FetchError> {
        Ok(Self {
            public: client(Reach::Public, timeout)?,
            private: client(Reach::Private, timeout)?,
            loopback: client(Reach::Loopback, timeout)?,
        })
    }

    fn client(&self, reach: Reach) -> &Client {
        match reach {
            Reach::Public => &self.public,
            Reach::Private => &self.private,
            Reach::Loopback => &self.loopback,
        }
    }

    async fn get(&self, url: &str, allow_private: bool) -> Result<Fetched, FetchError> {
        let (url, reach) = destination(url, allow_private)?;
        let answer = sent(self.client(reach).get(url)).await?;
        let max_age = answer.headers().get(CACHE_CONTROL).and_then(|value| max_age(value.to_str().ok()?));
        Ok(Fetched { body: body(answer).await?, max_age })
    }
}

async fn sent(request: RequestBuilder) -> Result<Response, FetchError> {
    let answer = request.header(ACCEPT, "application/json").send().await;
    let answer = answer.map_err(|error| failure(&error))?;
    match answer.status().as_u16() {
        200 => Ok(answer),
        300..=399 => Err(FetchError::Redirected),
        other => Err(FetchError::Status(other)),
    }
}

impl Fetch for HttpFetch {
    fn fetch<'a>(&'a self, url: &'a str, allow_private: bool) -> BoxFuture<'a, Result<Fetched, FetchError>> {
        Box::pin(self.get(url, allow_private))
    }

    fn post<'a>(&'a self, form: Form<'a>) -> BoxFuture<'a, Result<Zeroizing<Vec<u8>>, FetchError>> {
        Box::pin(async move {
            let (url, reach) = destination(form.url, form.allow_private)?;
            let request =
                self.client(reach).post(url).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
            let request = match form.authorization {
                Some(value) => request.header(AUTHORIZATION, value),
                None => request,
            };
            let answer = sent(request.body(form.body.as_bytes().to_vec())).await?;
            body(answer).await.map(Zeroizing::new)
        })
    }
}

/// A client whose requests go no further than this, follow no redirect, are made once and end in time.
pub(crate) fn client(reach: Reach, timeout: Duration) -> Result<Client, FetchError> {
    Client::builder()
        .user_agent(concat!("shortbread/", env!("CARGO_PKG_VERSION")))
        .https_only(reach != Reach::Loopback)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        // A proxy would resolve names out of the guard's sight.
        .no_proxy()
        .dns_resolver(Arc::new(Guard(reach)))
        .timeout(timeout)
        .pool_max_idle_per_host(1)
        .build()
        .map_err(|_| FetchError::Failed)
}

async fn body(mut answer: Response) -> Result<Vec<u8>, FetchError> {
    let announced = answer.content_length().unwrap_or_default();
    if announced > MAX_BODY as u64 {
        return Err(FetchError::TooLarge);
    }
    let mut body = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| failure(&error))? {
        if body.len() + chunk.len() > MAX_BODY {
            return Err(FetchError::TooLarge);
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn max_age(directives: &str) -> Option<Duration> {
    let mut found = None;
    for directive in directives.split(',').map(str::trim) {
        if directive.eq_ignore_ascii_case("no-store") || directive.eq_ignore_ascii_case("no-cache") {
            return Some(Duration::ZERO);
        }
        if let Some((name, seconds)) = directive.split_once('=')
            && name.eq_ignore_ascii_case("max-age")
        {
            found = seconds.trim_matches('"').parse().ok().map(Duration::from_secs);
        }
    }
    found
}

fn failure(error: &reqwest::Error) -> FetchError {
    let mut source: Option<&(dyn StdError + 'static)> = error.source();
    while let Some(inner) = source {
        if let Some(known) = inner.downcast_ref::<FetchError>() {
            return *known;
        }
        source = inner.source();
    }
    if error.is_timeout() { FetchError::TimedOut } else { FetchError::Failed }
}

/// A resolver that refuses a name as soon as one of its addresses may not be reached.
struct Guard(Reach);

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let reach = self.0;
        Box::pin(async move {
            let found: io::Result<Vec<SocketAddr>> =
                tokio::net::lookup_host((name.as_str(), 0)).await.map(Iterator::collect);
            let found = found?;
            if found.iter().any(|address| !reach.permits(address.ip())) {
                return Err(FetchError::Address.into());
            }
            Ok(Box::new(found.into_iter()) as Addrs)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_takes_three_seconds_and_256_kib_at_most() {
        assert_eq!((TIMEOUT, MAX_BODY), (Duration::from_secs(3), 256 * 1024));
    }

    #[test]
    fn cache_control_is_read() {
        assert_eq!(max_age("public, Max-Age=300"), Some(Duration::from_secs(300)));
        assert_eq!(max_age("max-age=300, no-cache"), Some(Duration::ZERO));
        assert_eq!(max_age("s-maxage=5"), None);
        assert_eq!(max_age("max-age=soon"), None);
    }
}
