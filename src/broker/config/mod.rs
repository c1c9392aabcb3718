//! `broker.toml`: every default works, unknown keys are refused, secrets stand in files.

mod address;
mod console;
mod error;
mod keys;
mod limits;
mod log;
mod otel;
mod store;
mod webhook;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use address::AddressRange;
pub use console::{Console, Provider};
pub use error::ConfigError;
pub use keys::{Keys, Passphrase};
pub use limits::Limits;
pub use log::{Log, Span};
pub use otel::Otel;
pub use store::{Size, StorePlace};
pub use webhook::{Breakers, Webhook};

/// The broker's configuration.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The public URL; equal to `iss`.
    pub issuer: String,
    /// Where HTTP is served.
    #[serde(default = "listen")]
    pub listen: SocketAddr,
    /// The policy file, taken in as a new version when it changed.
    #[serde(default = "policy")]
    pub policy: PathBuf,
    /// One key per purpose.
    #[serde(default)]
    pub keys: Keys,
    /// Where the record is kept.
    #[serde(default)]
    pub store: StorePlace,
    /// What stands before the broker, and where its metrics are.
    #[serde(default)]
    pub network: Network,
    /// How much it takes on.
    #[serde(default)]
    pub limits: Limits,
    /// When a source that fails is left alone.
    #[serde(default)]
    pub breakers: Breakers,
    /// Where operators are told what happens.
    #[serde(default)]
    pub webhook: Option<Webhook>,
    /// How people sign in to the console.
    #[serde(default)]
    pub console: Console,
    /// How long the audit log is kept, and where its checkpoints go.
    #[serde(default)]
    pub log: Log,
    /// Where decisions are exported as OpenTelemetry spans; absent: nowhere.
    #[serde(default)]
    pub otel: Option<Otel>,
}

/// What stands before the broker.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// Whose `X-Forwarded-For` counts: addresses or ranges such as `10.0.0.0/8`.
    pub trusted_proxies: Vec<AddressRange>,
    /// Where metrics are served; absent: nowhere.
    pub metrics: Option<SocketAddr>,
}

impl Default for Network {
    fn default() -> Self {
        Self { trusted_proxies: Vec::new(), metrics: Some(SocketAddr::from(([127, 0, 0, 1], 8701))) }
    }
}

// The URL may be a secret.

fn listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 8700))
}

fn policy() -> PathBuf {
    PathBuf::from("policy.toml")
}

impl Config {
    /// Reads a file. Relative paths in it start at its folder.
    ///
    /// # Errors
    /// When it cannot be read, has an unknown key, or a value that cannot be.
    pub fn read(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path)
            .map_err(|cause| ConfigError::Unreadable { path: path.to_owned(), cause })?;
        let mut config: Self =
            toml::from_str(&text).map_err(|error| ConfigError::malformed(path, &text, &error))?;
        config.check().map_err(|cause| ConfigError::Value { path: path.to_owned(), cause })?;
        config.rebase(path.parent().unwrap_or(Path::new("")));
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        check_issuer(&self.issuer)?;
        self.breakers.check()?;
        self.console.check()?;
        self.log.check(self.webhook.is_some())?;
        self.otel.as_ref().map_or(Ok(()), Otel::check)?;
        if self.webhook.as_ref().is_some_and(|webhook| webhook.url.is_some() == webhook.url_file.is_some()) {
            return Err("[webhook] wants either url or url_file".to_owned());
        }
        if self.limits.exchanges_per_second == 0
            || self.limits.failures_per_minute == 0
            || self.limits.in_flight == 0
            || self.limits.proofs == 0
            || self.limits.streams == 0
            || self.limits.connections == 0
        {
            return Err("a limit of 0 would refuse everything; leave it out for the default".to_owned());
        }
        Ok(())
    }

    fn rebase(&mut self, folder: &Path) {
        let keys = &mut self.keys;
        for path in [
            &mut self.policy,
            &mut self.store.sqlite,
            &mut keys.token,
            &mut keys.revocation,
            &mut keys.audit,
            &mut keys.root,
            &mut keys.document,
        ] {
            *path = folder.join(&*path);
        }
        if let Some(path) = &mut keys.passphrase_file {
            *path = folder.join(&*path);
        }
        self.console.rebase(folder);
        if let Some(path) = &mut self.log.anchor_file {
            *path = folder.join(&*path);
        }
        if let Some(otel) = &mut self.otel {
            otel.headers_file = otel.headers_file.take().map(|path| folder.join(path));
        }
        if let Some(webhook) = &mut self.webhook {
            webhook.secret_file = folder.join(&webhook.secret_file);
            webhook.url_file = webhook.url_file.take().map(|path| folder.join(path));
        }
    }
}

/// An issuer is an https URL without a query, a fragment or a slash at its end; http only on loopback.
///
/// # Errors
/// Says what to write instead.
pub fn check_issuer(issuer: &str) -> Result<(), String> {
    let plain =
        !issuer.ends_with('/') && issuer.bytes().all(|b| b.is_ascii_graphic() && !b"?#\"\\<>@".contains(&b));
    let host = issuer.strip_prefix("https://").or_else(|| {
        let rest = issuer.strip_prefix("http://")?;
        ["127.0.0.1", "localhost", "[::1]"].iter().any(|local| is_host(rest, local)).then_some(rest)
    });
    if plain && host.is_some_and(|host| !host.is_empty()) {
        Ok(())
    } else {
        Err(format!(
            "issuer {issuer:?} is not a URL like https://broker.acme.example (no slash at the end; http only on loopback)"
        ))
    }
}

// The whole host, not the beginning of another: `localhost.example` is anywhere.
fn is_host(rest: &str, host: &str) -> bool {
    rest.strip_prefix(host).is_some_and(|after| after.is_empty() || after.starts_with([':', '/']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_works_and_unknown_keys_do_not() {
        let config: Config = toml::from_str(r#"issuer = "https://broker.acme.example""#).unwrap();
        assert!(config.check().is_ok());
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("broker.toml");
        std::fs::write(&file, "issuer = \"https://x\"\nlissen = 1").unwrap();
        let told = Config::read(&file).unwrap_err().to_string();
        assert!(told.contains("broker.toml:2: unknown field `lissen`") && !told.contains('\n'), "{told}");
        for bad in ["http://broker.example", "https://x/", "https://", "broker", "https://x?y", "https://u@x"]
        {
            assert!(check_issuer(bad).is_err(), "{bad}");
        }
        assert!(check_issuer("http://localhost.example").is_err());
        assert!(check_issuer("http://127.0.0.1.example:80").is_err());
        assert!(check_issuer("http://127.0.0.1:8700").is_ok());
    }

    #[test]
    fn sizes_are_read() {
        let store = |text: &str| toml::from_str::<StorePlace>(&format!("reserve = {text:?}"));
        for (text, bytes) in [("64MiB", 64 << 20), ("512KiB", 512 << 10), ("1GiB", 1 << 30), ("0", 0)] {
            assert_eq!(store(text).unwrap().reserve, Size(bytes), "{text}");
        }
        for bad in ["", "64", "64MB", "-1MiB", "1.5GiB", "MiB", "99999999999GiB", "64 MiB"] {
            assert!(store(bad).is_err(), "{bad}");
        }
        assert_eq!(StorePlace::default().reserve, Size(64 << 20));
    }

    #[test]
    fn ranges_hold_what_they_say() {
        let range: AddressRange = "10.1.0.0/16".parse().unwrap();
        assert!(range.contains("10.1.2.3".parse().unwrap()) && !range.contains("10.2.0.0".parse().unwrap()));
        assert!(range.contains("::ffff:10.1.2.3".parse().unwrap()));
        let all: AddressRange = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("1.2.3.4".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
        assert!("10.0.0.0/33".parse::<AddressRange>().is_err() && "x".parse::<AddressRange>().is_err());
    }
}
