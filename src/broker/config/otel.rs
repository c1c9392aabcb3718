//! `[otel]`: where decisions are exported as OpenTelemetry spans.

use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;

use super::Span;

/// How long one request to the collector may take at most.
const LONGEST: Duration = Duration::from_secs(60);

/// What a program without the export says to whoever configures one.
const NOT_BUILT: &str = "[otel] wants a program that can export, and this one was built without it; build it with \
                         `cargo build --release -p shortbread --features otel`, or take [otel] out";

/// Where decisions are exported, over OTLP/HTTP.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Otel {
    /// The collector's base URL, to which `/v1/traces` is added: https, or http at this host.
    pub endpoint: String,
    /// A file with headers for the collector, `Name: value` on a line each, for its owner's eyes alone.
    pub headers_file: Option<PathBuf>,
    /// How long one request may take: a minute at most.
    #[serde(default = "timeout")]
    pub timeout: Span,
}

fn timeout() -> Span {
    Span(Duration::from_secs(10))
}

impl Otel {
    /// Whether this program can do what is configured.
    ///
    /// # Errors
    /// Says what to write instead, or how to build a program that can.
    pub(crate) fn check(&self) -> Result<(), String> {
        if !cfg!(feature = "otel") {
            return Err(NOT_BUILT.to_owned());
        }
        if self.timeout.0 > LONGEST {
            return Err("[otel] timeout must be 60s or less; leave it out for 10s".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn otel(text: &str) -> Result<Otel, String> {
        toml::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn an_export_has_an_endpoint_and_no_secret_in_the_file() {
        let read = otel("endpoint = \"http://127.0.0.1:4318\"").unwrap();
        assert!(read.timeout == Span(Duration::from_secs(10)) && read.headers_file.is_none());
        for bad in ["", "endpoint = \"x\"\nheaders = \"authorization: x\"", "endpoint = \"x\"\ntimeout = 10"]
        {
            assert!(otel(bad).is_err(), "{bad}");
        }
    }

    #[cfg(feature = "otel")]
    #[test]
    fn otel_waits_a_minute_at_most() {
        let of = |timeout: &str| otel(&format!("endpoint = \"x\"\ntimeout = {timeout:?}")).unwrap().check();
        assert!(of("60s").is_ok() && of("61s").unwrap_err().contains("60s or less"));
    }

    #[cfg(not(feature = "otel"))]
    #[test]
    fn a_program_without_the_export_says_so() {
        let told = otel("endpoint = \"http://127.0.0.1:4318\"").unwrap().check().unwrap_err();
        assert!(told.contains("--features otel") && told.contains("[otel]"), "{told}");
    }
}
