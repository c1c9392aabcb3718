//! Decisions as OpenTelemetry spans: what stands in the audit log is told to a collector, where `[otel]` names one.
//!
//! Nothing waits for the collector. Entries that it cannot take in time are dropped here and counted; the audit log has
//! them all. Built with the feature `otel`; without it, whoever configures an export is refused.

#[cfg(feature = "otel")]
mod carrier;
#[cfg(feature = "otel")]
mod collector;
#[cfg(feature = "otel")]
mod headers;
#[cfg(feature = "otel")]
mod queue;
#[cfg(feature = "otel")]
mod span;
#[cfg(feature = "otel")]
#[cfg(test)]
mod tests;

use std::path::PathBuf;

use shortbread_protocol::clock::Clock;
use shortbread_protocol::random::{Random, RandomError};
use thiserror::Error;

use crate::config;
use crate::identity::FetchError;
use crate::store::Store;

/// Why nothing can be exported as it is configured.
#[derive(Debug, Error)]
pub enum OtelError {
    /// A value that cannot be, or a program without the export.
    #[error("{0}")]
    Config(String),
    /// Its URL.
    #[error("the endpoint of [otel] cannot be used: {0}; use https, or http at this host, without a query")]
    Endpoint(FetchError),
    /// Its host is at an address to which nothing is sent.
    #[error("the endpoint of [otel] cannot be used: its host is at a link-local or reserved address")]
    Address,
    /// Its headers cannot be read.
    #[error("the file {path} of [otel] cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Others may read its headers.
    #[error("the file {path} of [otel] can be read by others; run `chmod 600 {path}`")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// A line that is no header.
    #[error("{path}:{line}: no header; write `Name: value` on a line each, as in `Authorization: Bearer …`")]
    Header {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: usize,
    },
    /// The exporter did not take what was checked before.
    #[error("the export of [otel] cannot be set up: {0}")]
    Exporter(String),
    /// There is no randomness.
    #[error(transparent)]
    Random(#[from] RandomError),
}

/// The export, where there is one. Dropping it ends it at once.
#[derive(Debug, Default)]
pub struct Otel {
    #[cfg(feature = "otel")]
    carrier: Option<carrier::Carrier>,
}

impl Otel {
    /// Has every entry that the store logs from now on exported, where `[otel]` says so. Wants a Tokio runtime then.
    ///
    /// # Errors
    /// When it cannot be done as it is configured. Whether the collector answers is not asked.
    pub fn start(
        config: Option<&config::Otel>,
        store: &Store,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, OtelError> {
        let Some(config) = config else { return Ok(Self::default()) };
        config.check().map_err(OtelError::Config)?;
        Self::export(config, store, clock, random)
    }

    #[cfg(feature = "otel")]
    fn export(
        config: &config::Otel,
        store: &Store,
        clock: &dyn Clock,
        random: &dyn Random,
    ) -> Result<Self, OtelError> {
        let instance = shortbread_protocol::random::id("", clock.now(), random)?;
        let collector = collector::Collector::new(config, &instance)?;
        let carrier = carrier::Carrier::start(collector);
        store.tell(carrier.sink());
        Ok(Self { carrier: Some(carrier) })
    }

    // The configuration was refused before.
    #[cfg(not(feature = "otel"))]
    fn export(_: &config::Otel, _: &Store, _: &dyn Clock, _: &dyn Random) -> Result<Self, OtelError> {
        Ok(Self::default())
    }

    /// Sends what waits, for two seconds at most. Nothing is exported afterwards.
    pub async fn finish(&self) {
        #[cfg(feature = "otel")]
        if let Some(carrier) = &self.carrier {
            carrier.finish().await;
        }
    }
}
