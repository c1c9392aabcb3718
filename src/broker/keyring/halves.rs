//! Finds the private halves of a key document's keys: in the configured files and, so that a rotation needs no change of
//! the configuration, in the files beside them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::keys::{PrivateKey, PublicKey};

use super::error::KeyringError;
use super::files::{is_encrypted, is_no_key, passphrase, public_half, read_encrypted, read_public};
use crate::config::{Keys, Passphrase};

/// What was found.
pub(super) struct Halves {
    keys: Vec<(KeyPurpose, PrivateKey)>,
    // A configured file that is not there is told only where nothing stands in for it.
    absent: BTreeMap<&'static str, KeyringError>,
}

impl Halves {
    /// Looks for the private halves of all keys that the document names.
    ///
    /// # Errors
    /// When a configured file is there and cannot be used, or one beside it that the document names.
    pub(super) fn find(keys: &Keys, document: &KeyDocument, dev: bool) -> Result<Self, KeyringError> {
        let passphrase = passphrase(keys)?;
        let mut found = Self { keys: Vec::new(), absent: BTreeMap::new() };
        for purpose in KeyPurpose::BROKER {
            let search = Search { document, purpose, dev, passphrase: passphrase.as_ref() };
            let path = configured(keys, purpose);
            match search.named(path) {
                Ok(key) => found.keys.push((purpose, key)),
                Err(error @ KeyringError::Unreadable { .. }) => {
                    found.absent.insert(purpose.as_str(), error);
                }
                Err(error) => return Err(error),
            }
            for beside in neighbours(path).into_iter().filter(|beside| beside != path) {
                found.keys.extend(search.beside(&beside)?.map(|key| (purpose, key)));
            }
        }
        Ok(found)
    }

    /// The private half of a key. One key has one purpose.
    pub(super) fn of(&self, listed: &DocumentKey) -> Option<&PrivateKey> {
        let fits = |(purpose, half): &&(KeyPurpose, PrivateKey)| {
            *purpose == listed.purpose && half.public() == listed.key
        };
        self.keys.iter().find(fits).map(|(_, half)| half)
    }

    /// Why there is no key for a purpose.
    pub(super) fn lacking(mut self, keys: &Keys, purpose: KeyPurpose) -> KeyringError {
        let unlisted = || KeyringError::Unlisted {
            purpose: purpose.as_str(),
            path: configured(keys, purpose).to_owned(),
        };
        self.absent.remove(purpose.as_str()).unwrap_or_else(unlisted)
    }
}

/// The configured file of a purpose. Approvers' keys are not the broker's.
pub(super) fn configured(keys: &Keys, purpose: KeyPurpose) -> &Path {
    match purpose {
        KeyPurpose::Token => &keys.token,
        KeyPurpose::Revocation => &keys.revocation,
        KeyPurpose::Audit | KeyPurpose::Approver => &keys.audit,
    }
}

struct Search<'a> {
    document: &'a KeyDocument,
    purpose: KeyPurpose,
    dev: bool,
    passphrase: Option<&'a Passphrase>,
}

impl Search<'_> {
    fn named(&self, path: &Path) -> Result<PrivateKey, KeyringError> {
        read_encrypted(path, self.dev, self.passphrase)
    }

    // Other people's keys may lie here too: what is not in the document is not looked into further than needed to tell.
    fn beside(&self, path: &Path) -> Result<Option<PrivateKey>, KeyringError> {
        if let Ok(public) = read_public(&public_half(path), true) {
            return if self.names(&public) { self.named(path).map(Some) } else { Ok(None) };
        }
        match self.named(path) {
            Ok(key) => Ok(Some(key).filter(|key| self.names(&key.public()))),
            // Whose it is cannot be told without a passphrase that is somebody else's.
            Err(_) if is_encrypted(path) => Ok(None),
            Err(error) if is_no_key(&error) => Ok(None),
            Err(
                KeyringError::Unreadable { .. } | KeyringError::Example { .. } | KeyringError::Dev { .. },
            ) => Ok(None),
            // Open to others: an error only if it is ours.
            Err(error) => {
                let ours = std::fs::read_to_string(path).ok().and_then(|pem| PrivateKey::from_pem(&pem).ok());
                if ours.is_some_and(|key| self.names(&key.public())) { Err(error) } else { Ok(None) }
            }
        }
    }

    fn names(&self, key: &PublicKey) -> bool {
        self.document.of(self.purpose).any(|listed| listed.key == *key)
    }
}

fn neighbours(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let private = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        name.ends_with(".pem") && !name.ends_with(".pub.pem") && path.is_file()
    };
    entries.filter_map(Result::ok).map(|entry| folder.join(entry.file_name())).filter(private).collect()
}
