//! The broker's keys, read from their files and held against the key document.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyDocumentError, KeyPurpose};
use shortbread_protocol::keys::{KeyError, PrivateKey, PublicKey};
use shortbread_verifier::chain::TokenKeys;
use thiserror::Error;

use crate::config::Keys;
use crate::signer::{LocalSigner, Signer};

/// Public halves of the sample keys in `keys.example`, and the mark of keys that `dev` makes.
const EXAMPLES: [&str; 6] = [
    include_str!("../../keys.example/token.pub.pem"),
    include_str!("../../keys.example/revocation.pub.pem"),
    include_str!("../../keys.example/audit.pub.pem"),
    include_str!("../../keys.example/root.pub.pem"),
    include_str!("../../keys.example/operator.pub.pem"),
    include_str!("../../keys.example/workflow.pub.pem"),
];

/// The first line of a key file that `dev` makes.
pub const DEV_MARK: &str = "# made by `shortbread dev`; the broker refuses it elsewhere";

/// Why the broker does not start with these keys.
#[derive(Debug, Error)]
pub enum KeyringError {
    /// The file cannot be read.
    #[error(
        "the key file {path} cannot be read: {cause}; make one with `shortbread keys generate` or correct [keys]"
    )]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Others may read it.
    #[error("the key file {path} can be read by others; run `chmod 600 {path}`")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// Not a key of the right kind.
    #[error("{path}: {cause}")]
    Kind {
        /// The file.
        path: PathBuf,
        /// What it should be.
        cause: KeyError,
    },
    /// A sample key.
    #[error("{path} is a sample key that everyone knows; make your own with `shortbread keys generate`")]
    Example {
        /// The file.
        path: PathBuf,
    },
    /// A key that `dev` made.
    #[error(
        "{path} was made by `shortbread dev` and is refused here; make your own with `shortbread keys generate`"
    )]
    Dev {
        /// The file.
        path: PathBuf,
    },
    /// The key document is not believed.
    #[error("{path}: {cause}; `shortbread init` makes the first one")]
    Document {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: KeyDocumentError,
    },
    /// A key that the document does not have.
    #[error(
        "the {purpose} key {path} is not in the key document, or not valid now; sign a document that has it"
    )]
    Unlisted {
        /// What the key is for.
        purpose: &'static str,
        /// The file.
        path: PathBuf,
    },
}

/// The keys a broker works with.
pub struct Keyring {
    /// Signs tokens.
    pub token: Arc<dyn Signer>,
    /// Signs heads.
    pub revocation: Arc<dyn Signer>,
    /// What the token key signs is valid until here, in seconds since the epoch.
    token_until: u64,
    /// What the root key signed, read.
    pub document: KeyDocument,
    /// What the root key signed, in its exact bytes.
    pub signed: Vec<u8>,
}

impl Keyring {
    /// Reads and checks every key file. `dev` lets sample and dev keys pass.
    ///
    /// # Errors
    /// Names the file and what to do.
    pub fn read(keys: &Keys, issuer: &str, dev: bool, now: Timestamp) -> Result<Self, KeyringError> {
        let root = read_public(&keys.root, dev)?;
        let signed = read(&keys.document)?;
        let document = KeyDocument::open(&signed, issuer, &root)
            .map_err(|cause| KeyringError::Document { path: keys.document.clone(), cause })?;
        let signer = |path: &Path, purpose: KeyPurpose| {
            let key = read_private(path, dev)?;
            let listed = document.of(purpose).find(|listed| listed.key == key.public() && valid(listed, now));
            let listed = listed
                .ok_or_else(|| KeyringError::Unlisted { purpose: purpose.as_str(), path: path.to_owned() })?;
            Ok::<_, KeyringError>((Arc::new(LocalSigner::new(listed.name.clone(), key)), listed.not_after))
        };
        let (token, token_until) = signer(&keys.token, KeyPurpose::Token)?;
        let (revocation, _) = signer(&keys.revocation, KeyPurpose::Revocation)?;
        // The audit key signs nothing yet; a broker without it would fail later, at a worse time.
        signer(&keys.audit, KeyPurpose::Audit)?;
        Ok(Self { token, revocation, token_until, document, signed })
    }

    /// Whether a verifier would still believe what the token key signs.
    #[must_use]
    pub fn can_sign_tokens(&self, now: Timestamp) -> bool {
        now.seconds() < self.token_until
    }
}

/// The token keys of a key document, for checking the broker's own tokens.
impl TokenKeys for Keyring {
    fn issuer(&self) -> &str {
        &self.document.issuer
    }

    fn token_key(&self, name: &str) -> Option<PublicKey> {
        self.document
            .of(KeyPurpose::Token)
            .find(|listed| listed.name.as_str() == name)
            .map(|listed| listed.key)
    }
}

const fn valid(key: &DocumentKey, now: Timestamp) -> bool {
    key.not_before <= now.seconds() && now.seconds() < key.not_after
}

fn read(path: &Path) -> Result<Vec<u8>, KeyringError> {
    std::fs::read(path).map_err(|cause| KeyringError::Unreadable { path: path.to_owned(), cause })
}

fn text(path: &Path, dev: bool) -> Result<String, KeyringError> {
    let text = String::from_utf8_lossy(&read(path)?).into_owned();
    match text.strip_prefix(DEV_MARK) {
        Some(_) if !dev => Err(KeyringError::Dev { path: path.to_owned() }),
        Some(pem) => Ok(pem.to_owned()),
        None => Ok(text),
    }
}

/// Reads a public key file.
///
/// # Errors
/// When it is no public key, or one that is not for use here.
pub fn read_public(path: &Path, dev: bool) -> Result<PublicKey, KeyringError> {
    let key = PublicKey::from_pem(&text(path, dev)?)
        .map_err(|cause| KeyringError::Kind { path: path.to_owned(), cause })?;
    refuse_example(path, key, dev)
}

/// Reads a private key file that only its owner may read.
///
/// # Errors
/// When it is no private key, others may read it, or it is not for use here.
pub fn read_private(path: &Path, dev: bool) -> Result<PrivateKey, KeyringError> {
    refuse_open(path)?;
    let key = PrivateKey::from_pem(&text(path, dev)?)
        .map_err(|cause| KeyringError::Kind { path: path.to_owned(), cause })?;
    refuse_example(path, key.public(), dev)?;
    Ok(key)
}

fn refuse_example(path: &Path, key: PublicKey, dev: bool) -> Result<PublicKey, KeyringError> {
    if !dev && is_example(&key) { Err(KeyringError::Example { path: path.to_owned() }) } else { Ok(key) }
}

/// Whether a key is one of the samples that everyone knows.
#[must_use]
pub fn is_example(key: &PublicKey) -> bool {
    EXAMPLES.iter().any(|pem| PublicKey::from_pem(pem) == Ok(*key))
}

#[cfg(unix)]
fn refuse_open(path: &Path) -> Result<(), KeyringError> {
    use std::os::unix::fs::PermissionsExt as _;
    let metadata =
        std::fs::metadata(path).map_err(|cause| KeyringError::Unreadable { path: path.to_owned(), cause })?;
    if metadata.permissions().mode() & 0o077 == 0 {
        Ok(())
    } else {
        Err(KeyringError::Open { path: path.to_owned() })
    }
}

#[cfg(not(unix))]
fn refuse_open(_: &Path) -> Result<(), KeyringError> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::setup::{make_keys, write_public};
    use shortbread_protocol::random::SeededRandom;
    use std::time::Duration;

    #[test]
    fn a_token_key_signs_no_longer_than_verifiers_believe_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let keys = Keys {
            token: at("token.pem"),
            revocation: at("revocation.pem"),
            audit: at("audit.pem"),
            root: at("root.pub.pem"),
            document: at("document.txt"),
        };
        make_keys(&keys, &SeededRandom::new(1), false).unwrap();
        let now = Timestamp::from_seconds(1_795_176_000);
        let listed = |purpose, path: &Path, not_after| DocumentKey {
            purpose,
            name: purpose.as_str().parse().unwrap(),
            key: read_private(path, false).unwrap().public(),
            not_before: 1,
            not_after,
        };
        let soon = now.seconds() + 100;
        let document = KeyDocument {
            version: 1,
            issuer: "https://broker.acme.example".to_owned(),
            break_glass: 0,
            keys: vec![
                listed(KeyPurpose::Token, &keys.token, soon),
                listed(KeyPurpose::Revocation, &keys.revocation, soon + 1),
                listed(KeyPurpose::Audit, &keys.audit, soon + 1),
            ],
        };
        let root = read_private(&at("root.pem"), false).unwrap();
        write_public(&keys.document, document.sign(&root).as_bytes()).unwrap();
        let keyring = Keyring::read(&keys, &document.issuer, false, now).unwrap();
        assert!(keyring.can_sign_tokens(now.plus(Duration::from_secs(99))));
        assert!(!keyring.can_sign_tokens(now.plus(Duration::from_secs(100))));
        let late = Keyring::read(&keys, &document.issuer, false, now.plus(Duration::from_secs(100)));
        assert!(matches!(late, Err(KeyringError::Unlisted { purpose: "token", .. })));
    }
}
