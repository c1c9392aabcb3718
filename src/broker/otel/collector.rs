//! One request to the collector: guarded, bounded, made once.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Request, Response};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, RetryPolicy, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use reqwest::{Client, Url};
use thiserror::Error;

use super::{OtelError, headers};
use crate::config;
use crate::identity::{FetchError, client, destination};

/// The program, in the collector's words.
const SERVICE: &str = "shortbread";

/// Where OTLP/HTTP takes spans.
const TRACES: &str = "/v1/traces";

/// Why a batch was not taken.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(super) enum Refused {
    /// No connection, a bad certificate, a forbidden address, or no answer in time.
    #[error("the collector could not be reached in time")]
    Unreachable,
    /// Another answer than success.
    #[error("the collector answered with status {0}")]
    Status(u16),
}

impl Refused {
    /// Whether the same batch may be taken later (OTLP 1.9, "Failures").
    pub(super) const fn may_pass(self) -> bool {
        matches!(self, Self::Unreachable | Self::Status(429 | 502 | 503 | 504))
    }
}

/// Where spans go.
pub(super) struct Collector {
    exporter: SpanExporter,
    answered: Arc<AtomicU16>,
    host: String,
    timeout: Duration,
    /// What made the spans.
    pub(super) scope: InstrumentationScope,
}

// The exporter would show its headers.
impl fmt::Debug for Collector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collector({})", self.host)
    }
}

impl Collector {
    /// For this process, which the collector knows by `instance`.
    pub(super) fn new(config: &config::Otel, instance: &str) -> Result<Self, OtelError> {
        let (mut url, reach) = destination(&config.endpoint, true).map_err(|error| match error {
            FetchError::Address => OtelError::Address,
            other => OtelError::Endpoint(other),
        })?;
        if url.query().is_some() {
            return Err(OtelError::Endpoint(FetchError::Url));
        }
        url.set_path(&format!("{}{TRACES}", url.path().trim_end_matches('/')));
        let timeout = config.timeout.0;
        let client = client(reach, timeout).map_err(OtelError::Endpoint)?;
        let headers = config.headers_file.as_deref().map_or(Ok(HeaderMap::new()), headers::read)?;
        let answered = Arc::new(AtomicU16::new(0));
        let sender = Sender { client, headers, answered: Arc::clone(&answered) };
        let mut exporter = exporter(&url, timeout, sender)?;
        exporter.set_resource(&resource(instance));
        let scope = InstrumentationScope::builder(SERVICE).with_version(env!("CARGO_PKG_VERSION")).build();
        let host = url.host_str().unwrap_or_default().to_owned();
        Ok(Self { exporter, answered, host, timeout, scope })
    }

    /// Its name, as logs may have it.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// Sends spans, once.
    pub(super) async fn send(&self, spans: Vec<SpanData>) -> Result<(), Refused> {
        self.answered.store(0, Ordering::Relaxed);
        match tokio::time::timeout(self.timeout, self.exporter.export(spans)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(match self.answered.load(Ordering::Relaxed) {
                // An answer that broke off is none.
                0 | 200..=299 => Refused::Unreachable,
                status => Refused::Status(status),
            }),
            Err(_) => Err(Refused::Unreachable),
        }
    }
}

fn exporter(url: &Url, timeout: Duration, sender: Sender) -> Result<SpanExporter, OtelError> {
    let builder = SpanExporter::builder()
        .with_http()
        .with_http_client(sender)
        .with_endpoint(url.as_str())
        .with_protocol(Protocol::HttpBinary)
        .with_timeout(timeout)
        // The carrier knows when to come again.
        .with_retry_policy(RetryPolicy::disabled());
    builder.build().map_err(|error| OtelError::Exporter(error.to_string()))
}

fn resource(instance: &str) -> Resource {
    let facts = [
        KeyValue::new("service.name", SERVICE),
        KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
        KeyValue::new("service.instance.id", instance.to_owned()),
    ];
    Resource::builder_empty().with_attributes(facts).build()
}

/// Our own client under the exporter: its guards, our headers, and the status that the exporter keeps to itself.
struct Sender {
    client: Client,
    headers: HeaderMap,
    answered: Arc<AtomicU16>,
}

impl fmt::Debug for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sender")
    }
}

impl HttpClient for Sender {
    fn send_bytes<'s, 'f>(
        &'s self,
        mut request: Request<Bytes>,
    ) -> BoxFuture<'f, Result<Response<Bytes>, HttpError>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            request.headers_mut().extend(self.headers.clone());
            let answer = self.client.send_bytes(request).await?;
            self.answered.store(answer.status().as_u16(), Ordering::Relaxed);
            Ok(answer)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collector_is_at_this_host_or_behind_tls() {
        let new = |endpoint: &str| {
            let config: config::Otel = toml::from_str(&format!("endpoint = {endpoint:?}")).unwrap();
            Collector::new(&config, "1")
        };
        for good in ["http://127.0.0.1:4318", "http://localhost:4318/", "https://otel.example/tenant/SECRET/"]
        {
            let collector = new(good).unwrap();
            assert!(!format!("{collector:?}").contains("SECRET"));
        }
        for bad in [
            "http://otel.example:4318",
            "http://10.0.0.1:4318",
            "https://169.254.169.254",
            "https://x/?key=1",
            "grpc://x",
            "",
        ] {
            let told = new(bad).unwrap_err().to_string();
            assert!(
                told.contains("[otel]") && (told.contains("use https") || bad.contains("169.254")),
                "{told}"
            );
        }
    }
}
