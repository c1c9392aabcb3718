//! The client config: which broker, and which operator's key signs in. `login` and `dev` write it.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use shortbread_broker::config::Passphrase;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::names::OperatorName;

use crate::cli::Connection;
use crate::client::{Broker, Signer};
use crate::context::{Context, Env, PASSPHRASE};
use crate::failure::Failure;
use crate::files;

/// What the file `client.toml` holds. No secret: the key is named by its path.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClientConfig {
    /// The broker's public URL.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) broker: Option<String>,
    /// The operator's private key, by its absolute path.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
    /// The operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) operator: Option<OperatorName>,
    /// The public root key of the broker, by its absolute path, with which the key document is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) root: Option<PathBuf>,
}

impl ClientConfig {
    /// Where it stands: `SHORTBREAD_CONFIG`, else under `XDG_CONFIG_HOME`, else under `~/.config`.
    ///
    /// # Errors
    /// When none of the variables, nor `HOME`, says where.
    pub(crate) fn path(env: &Env) -> Result<PathBuf, Failure> {
        if let Some(path) = env("SHORTBREAD_CONFIG") {
            return Ok(path.into());
        }
        // The XDG rule: a relative path there is to be ignored.
        let xdg = env("XDG_CONFIG_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let base = xdg.or_else(|| env("HOME").map(|home| Path::new(&home).join(".config")));
        base.map(|base| base.join("shortbread").join("client.toml")).ok_or_else(|| {
            Failure::new(
                "no place for the client config is known: HOME is not set",
                "Set SHORTBREAD_CONFIG to a path.",
            )
        })
    }

    /// Reads a config; `None` when there is no such file.
    ///
    /// # Errors
    /// When the file is there and cannot be read, or has an unknown or malformed field.
    pub(crate) fn read(path: &Path) -> Result<Option<Self>, Failure> {
        // Whatever else keeps it from being looked at comes out when it is read.
        if matches!(path.try_exists(), Ok(false)) {
            return Ok(None);
        }
        let text = files::read_text(path)?;
        let config = toml::from_str(&text).map_err(|error| {
            let what = format!("{} is not a client config: {}", path.display(), error.message());
            Failure::new(what, "Correct the file, or write it anew with `shortbread login`.")
        })?;
        Ok(Some(config))
    }

    /// Writes it, readable by its owner alone, in place of an older one.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn write(&self, path: &Path) -> Result<(), Failure> {
        let text = toml::to_string(self).map_err(|error| {
            Failure::new(format!("the client config cannot be written: {error}"), "Use paths that are text.")
        })?;
        files::replace_private(path, text.as_bytes())
    }
}

/// What flags, environment and file say together, flags first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Settings {
    /// Where the file is or would be.
    pub(crate) path: PathBuf,
    /// Whether it is there.
    pub(crate) found: bool,
    pub(crate) values: ClientConfig,
    passphrase: Option<Passphrase>,
}

impl Settings {
    /// Puts them together.
    ///
    /// # Errors
    /// When the config file or a variable is malformed. A file that was named and is not there is an error too.
    pub(crate) fn load(connection: &Connection, env: &Env) -> Result<Self, Failure> {
        let path = connection.config.clone().map_or_else(|| ClientConfig::path(env), Ok)?;
        let settings = Self::at(path, connection.broker.as_deref(), env)?;
        if connection.config.is_some() && !settings.found {
            return Err(Failure::new(
                format!("{} is not there", settings.path.display()),
                "Check the path, or write one with `shortbread login`.",
            ));
        }
        Ok(settings)
    }

    /// Puts them together with the file at `path`, which may be missing.
    ///
    /// # Errors
    /// When the config file or a variable is malformed.
    pub(crate) fn at(path: PathBuf, broker: Option<&str>, env: &Env) -> Result<Self, Failure> {
        let file = ClientConfig::read(&path)?;
        let found = file.is_some();
        let mut values = file.unwrap_or_default();
        if let Some(broker) = broker.map(str::to_owned).or_else(|| env("SHORTBREAD_BROKER")) {
            values.broker = Some(broker);
        }
        if let Some(key) = env("SHORTBREAD_KEY") {
            values.key = Some(key.into());
        }
        if let Some(root) = env("SHORTBREAD_ROOT") {
            values.root = Some(root.into());
        }
        if let Some(operator) = env("SHORTBREAD_OPERATOR") {
            let named = operator.parse().map_err(|error| {
                Failure::new(format!("SHORTBREAD_OPERATOR: {error}"), "Correct the variable or unset it.")
            })?;
            values.operator = Some(named);
        }
        let passphrase = env(PASSPHRASE).map(Passphrase::new);
        Ok(Self { path, found, values, passphrase })
    }

    /// For a command.
    ///
    /// # Errors
    /// As [`Settings::load`].
    pub(crate) fn of(context: &Context, connection: &Connection) -> Result<Self, Failure> {
        Self::load(connection, &context.env)
    }

    /// The broker to talk to.
    ///
    /// # Errors
    /// When none is set or its URL cannot be used.
    pub(crate) fn broker(&self) -> Result<Broker, Failure> {
        Broker::new(self.values.broker.as_deref().ok_or_else(|| self.missing("broker"))?)
    }

    /// The operator's key under the operator's name. Without a name, the key's file name is taken for it.
    ///
    /// # Errors
    /// When no key is set, it cannot be read, or no name can be told.
    pub(crate) fn signer(&self) -> Result<Signer, Failure> {
        let path = self.values.key.as_deref().ok_or_else(|| self.missing("key"))?;
        let name =
            self.values.operator.clone().or_else(|| name_of(path)).ok_or_else(|| self.missing("operator"))?;
        Ok(Signer::operator(&name, files::private_key(path, self.passphrase.as_ref())?))
    }

    /// The root key that was named by a flag, else by the settings.
    ///
    /// # Errors
    /// When the file is no public key.
    pub(crate) fn root(&self, flag: Option<&Path>) -> Result<Option<PublicKey>, Failure> {
        flag.or(self.values.root.as_deref()).map(files::public_key).transpose()
    }

    fn missing(&self, what: &str) -> Failure {
        let there = if self.found { "does not say it" } else { "is not there" };
        Failure::new(
            format!("no {what} is set: {} {there}", self.path.display()),
            format!(
                "Run `shortbread login`, or set SHORTBREAD_{}; `shortbread dev` writes a config of its own.",
                what.to_uppercase()
            ),
        )
    }
}

/// The operator that a key file such as `keys/alice.pem` is named after.
pub(crate) fn name_of(key: &Path) -> Option<OperatorName> {
    key.file_stem()?.to_str()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    fn env(of: &[(&str, &str)]) -> Env {
        let map: HashMap<String, String> =
            of.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Box::new(move |name| map.get(name).cloned())
    }

    fn config() -> ClientConfig {
        ClientConfig {
            broker: Some("https://broker.acme.example".to_owned()),
            key: Some("/keys/alice.pem".into()),
            operator: Some("alice".parse().unwrap()),
            root: None,
        }
    }

    #[test]
    fn written_is_read_again_and_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a/b/client.toml");
        assert_eq!(ClientConfig::read(&path).unwrap(), None);
        config().write(&path).unwrap();
        config().write(&path).unwrap();
        assert_eq!(ClientConfig::read(&path).unwrap(), Some(config()));
        assert!(!files::is_open_to_others(&path));
        assert_eq!(std::fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "no leftovers");
    }

    #[test]
    fn unknown_fields_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.toml");
        std::fs::write(&path, "brokr = \"x\"\n").unwrap();
        assert!(ClientConfig::read(&path).unwrap_err().to_string().contains("brokr"));
    }

    #[test]
    fn the_path_follows_the_environment() {
        let path = |of: &[(&str, &str)]| ClientConfig::path(&env(of)).map(|path| path.display().to_string());
        assert_eq!(path(&[("SHORTBREAD_CONFIG", "x.toml"), ("HOME", "/h")]).unwrap(), "x.toml");
        assert_eq!(path(&[("XDG_CONFIG_HOME", "/x"), ("HOME", "/h")]).unwrap(), "/x/shortbread/client.toml");
        assert_eq!(
            path(&[("XDG_CONFIG_HOME", "x"), ("HOME", "/h")]).unwrap(),
            "/h/.config/shortbread/client.toml"
        );
        assert!(path(&[]).is_err());
    }

    #[test]
    fn flags_go_before_environment_and_environment_before_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("client.toml");
        config().write(&path).unwrap();
        let mut connection = Connection { broker: None, config: Some(path) };
        let variables = env(&[("SHORTBREAD_BROKER", "https://b"), ("SHORTBREAD_OPERATOR", "bob")]);
        let settings = Settings::load(&connection, &variables).unwrap();
        assert_eq!(settings.values.broker.as_deref(), Some("https://b"));
        assert_eq!(settings.values.operator, Some("bob".parse().unwrap()));
        assert_eq!(settings.values.key, config().key);
        connection.broker = Some("https://c".to_owned());
        assert_eq!(
            Settings::load(&connection, &variables).unwrap().values.broker.as_deref(),
            Some("https://c")
        );
        connection.config = Some(dir.path().join("other.toml"));
        assert!(Settings::load(&connection, &variables).is_err());
    }

    #[test]
    fn a_key_is_named_after_its_operator() {
        assert_eq!(name_of(Path::new("keys/alice.pem")), Some("alice".parse().unwrap()));
        assert_eq!(name_of(Path::new("keys/Alice Smith.pem")), None);
    }
}
