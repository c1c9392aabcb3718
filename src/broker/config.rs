//! `broker.toml`: every default works, unknown keys are refused, secrets stand in files.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

/// Why a configuration is refused.
#[derive(Debug, Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("the configuration {path} cannot be read: {cause}; name another with --config")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Not TOML of this form.
    #[error("{path}:{line}: {cause}")]
    Malformed {
        /// The file.
        path: PathBuf,
        /// The line, counted from one.
        line: usize,
        /// What is wrong, as the parser says.
        cause: String,
    },
    /// A value that cannot be.
    #[error("{path}: {cause}")]
    Value {
        /// The file.
        path: PathBuf,
        /// What is wrong and what to write instead.
        cause: String,
    },
}

impl ConfigError {
    fn malformed(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        // Something that is missing has no place of its own.
        let before = text.bytes().take(error.span().map_or(0, |span| span.start));
        let line = before.filter(|b| *b == b'\n').count() + 1;
        let message = error.message().lines().collect::<Vec<_>>().join(" ");
        // A value that is wrong is told by its key, which is what one looks for in the file.
        let key = text.lines().nth(line - 1).and_then(|line| line.split_once('=')).map(|(key, _)| key.trim());
        let cause = match key {
            Some(key) if error.span().is_some() && !message.contains(key) => format!("{key}: {message}"),
            _ => message,
        };
        Self::Malformed { path: path.to_owned(), line, cause }
    }
}

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
}

/// Key files: PKCS#8 PEM, readable by the broker's user alone.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Keys {
    /// Signs tokens.
    pub token: PathBuf,
    /// Signs heads of the revocation list.
    pub revocation: PathBuf,
    /// Signs checkpoints of the audit log.
    pub audit: PathBuf,
    /// The public half of the offline root key.
    pub root: PathBuf,
    /// The key document that the root key signed.
    pub document: PathBuf,
    /// What encrypted key files are opened with: a file that its owner alone may read. Otherwise the environment says it.
    pub passphrase_file: Option<PathBuf>,
    /// What the environment said.
    #[serde(skip)]
    pub passphrase: Option<Passphrase>,
}

impl Default for Keys {
    fn default() -> Self {
        let at = |name: &str| Path::new("keys").join(name);
        Self {
            token: at("token.pem"),
            revocation: at("revocation.pem"),
            audit: at("audit.pem"),
            root: at("root.pub.pem"),
            document: at("key-document.txt"),
            passphrase_file: None,
            passphrase: None,
        }
    }
}

/// What encrypted key files are opened with. Never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Passphrase(Zeroizing<String>);

impl Passphrase {
    /// Takes it as it is; the newline at the end of a file is not part of it.
    #[must_use]
    pub fn new(text: String) -> Self {
        let text = Zeroizing::new(text);
        Self(Zeroizing::new(text.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase")
    }
}

/// Where the record is kept.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StorePlace {
    /// An SQLite file.
    pub sqlite: PathBuf,
    /// How much space is kept for revocations, lifts, heads and operators' sign-ins when nothing else fits.
    pub reserve: Size,
}

impl Default for StorePlace {
    fn default() -> Self {
        Self { sqlite: PathBuf::from("shortbread.db"), reserve: Size(64 << 20) }
    }
}

/// A number of bytes, as `64MiB` or `1GiB`; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit = match text.strip_prefix(digits).unwrap_or_default() {
            "" if digits == "0" => Some(1),
            "KiB" => Some(1 << 10),
            "MiB" => Some(1 << 20),
            "GiB" => Some(1 << 30),
            _ => None,
        };
        let whole = digits.bytes().all(|b| b.is_ascii_digit());
        let bytes = unit.filter(|_| whole).and_then(|unit| digits.parse::<u64>().ok()?.checked_mul(unit));
        bytes.map(Self).ok_or_else(|| format!("{text:?} is no size such as 64MiB, 1GiB or 0"))
    }
}

impl TryFrom<String> for Size {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
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

/// How much the broker takes on.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Exchanges per second and client address.
    pub exchanges_per_second: u32,
    /// Failed authentications per minute and client address.
    pub failures_per_minute: u32,
    /// Requests of the admin API per second and client address.
    pub admin_per_second: u32,
    /// Requests in flight.
    pub in_flight: usize,
    /// Connections at a time from one address, which may be a proxy's.
    pub connections: usize,
    /// DPoP proofs of exchanges that are remembered at a time, each for about a minute; at most 21 bytes each.
    pub proofs: usize,
    /// Streams of the revocation list at a time and client address, which may be a proxy's. In all there are 2,048, and of
    /// the last quarter an address has 16.
    pub streams: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            exchanges_per_second: 200,
            failures_per_minute: 60,
            admin_per_second: 50,
            in_flight: 1024,
            connections: 1024,
            proofs: 1_000_000,
            streams: 512,
        }
    }
}

/// Where operators are told what happens, as Standard Webhooks has it.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Webhook {
    /// Where notices are posted. Some receivers take whoever knows their URL: name a file for those.
    pub url: Option<String>,
    /// A file with that URL, for its owner's eyes alone.
    pub url_file: Option<PathBuf>,
    /// A file with the signing secret, `whsec_` and base64 of 24 to 64 bytes, for its owner's eyes alone.
    pub secret_file: PathBuf,
    /// Whether the receiver may live at a private address, or on this host and there without TLS.
    #[serde(default)]
    pub allow_private: bool,
    /// Which notices are posted; absent: all.
    pub events: Option<Vec<String>>,
}

// The URL may be a secret.
impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook")
            .field("url_file", &self.url_file)
            .field("secret_file", &self.secret_file)
            .field("allow_private", &self.allow_private)
            .field("events", &self.events)
            .finish_non_exhaustive()
    }
}

/// When an issuer or a webhook that fails is left alone, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Breakers {
    /// How many failures in a row open a breaker: 2 to 100.
    pub failures: u32,
    /// How long it stays open before one trial, in milliseconds: an hour at most.
    pub open_ms: u64,
}

impl Default for Breakers {
    fn default() -> Self {
        Self { failures: 3, open_ms: 60_000 }
    }
}

impl Breakers {
    fn check(self) -> Result<(), String> {
        if !(2..=100).contains(&self.failures) {
            return Err("[breakers] failures must be 2 to 100; leave it out for 3".to_owned());
        }
        if !(1..=3_600_000).contains(&self.open_ms) {
            return Err(
                "[breakers] open_ms must be 1 to 3600000, an hour; leave it out for a minute".to_owned()
            );
        }
        Ok(())
    }
}

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

/// A range of addresses: `10.0.0.0/8`, or one address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AddressRange {
    base: IpAddr,
    bits: u8,
}

impl AddressRange {
    /// Whether an address lies inside.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let (base, other, width) = match (self.base, address.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits()), u128::from(b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits(), b.to_bits(), 128),
            _ => return false,
        };
        let shift = u32::from(width - self.bits);
        base.checked_shr(shift) == other.checked_shr(shift)
    }
}

impl FromStr for AddressRange {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no address or range such as 10.0.0.0/8");
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse::<u8>().map_err(|_| wrong())?)),
            None => (text, None),
        };
        let base: IpAddr = address.parse().map_err(|_| wrong())?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        match bits.unwrap_or(width) {
            bits if bits <= width => Ok(Self { base, bits }),
            _ => Err(wrong()),
        }
    }
}

impl TryFrom<String> for AddressRange {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
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
