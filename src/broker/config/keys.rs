//! `[keys]`: where the keys lie, and what opens them.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use zeroize::Zeroizing;

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
