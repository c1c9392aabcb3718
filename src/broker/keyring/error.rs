//! Why the broker does not start with its keys, or does not take a key document.

use std::path::PathBuf;

use shortbread_protocol::key_document::{KeyDocumentError, KeyPurpose, SuccessionError};
use shortbread_protocol::keys::KeyError;
use shortbread_protocol::names::KeyName;
use thiserror::Error;

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
    /// The last published key document is not believed.
    #[error(
        "key document {version} in the store is not believed: {cause}; correct `issuer` and [keys] root, which signed it"
    )]
    Published {
        /// Its version.
        version: u64,
        /// Why.
        cause: KeyDocumentError,
    },
    /// The file and the store have another document of one version.
    #[error(
        "{path} is not the key document {version} that was published; put the published one back, or sign one with a higher version"
    )]
    Equivocation {
        /// The file.
        path: PathBuf,
        /// The version of both.
        version: u64,
    },
    /// A document from before the one that verifiers know.
    #[error(
        "key document {published} was published, and there is only {found} here: verifiers would refuse it; put {published} or a higher one into [keys] document"
    )]
    Lower {
        /// The highest version there is.
        found: u64,
        /// The version that was published.
        published: u64,
    },
    /// A file that does not follow what was published.
    #[error("{path}: {cause}")]
    Succession {
        /// The file.
        path: PathBuf,
        /// The rule it breaks.
        cause: SuccessionError,
    },
    /// A key that the document does not have.
    #[error(
        "the {purpose} key {path} is not in the key document, or not valid now, and no key beside it is; sign a document that has it"
    )]
    Unlisted {
        /// What the key is for.
        purpose: &'static str,
        /// The file.
        path: PathBuf,
    },
    /// Two passphrases.
    #[error(
        "the passphrase of the keys is said twice: by a passphrase file and by SHORTBREAD_KEY_PASSPHRASE; leave one out"
    )]
    TwoPassphrases,
    /// A passphrase that is none.
    #[error("the passphrase of the keys is empty or longer than 1024 bytes")]
    Passphrase,
}

/// Why a key document is not put in force.
#[derive(Debug, Error)]
pub enum AdoptError {
    /// Not signed by the root key for this broker, or not a key document.
    #[error("{0}; sign it with `shortbread keys sign`, by this broker's root key")]
    Document(#[from] KeyDocumentError),
    /// It does not follow the one in force.
    #[error("the key document is not put in force: {0}")]
    Succession(#[from] SuccessionError),
    /// The broker lacks the private half of the key that would sign.
    #[error(
        "the key document is not put in force: its newest {} key {name} has no private half here; put {name}.pem beside the broker's other keys (it is looked for in {folder}), or take it out of the document", purpose.as_str()
    )]
    NoHalf {
        /// What the key is for.
        purpose: KeyPurpose,
        /// Its name.
        name: KeyName,
        /// Where it was looked for.
        folder: String,
    },
    /// What the key signs until verifiers know the document would die early.
    #[error(
        "the key document is not put in force: the {} key {name} signs until verifiers know the document, and would end before what it signs; give it at least {least} s from now (`keys rotate --overlap`), or drop it at once with --drop {name}", purpose.as_str()
    )]
    Overlap {
        /// What the key is for.
        purpose: KeyPurpose,
        /// Its name.
        name: KeyName,
        /// How long it has to be good from now on, in seconds.
        least: u64,
    },
    /// A key file that cannot be used.
    #[error("the key document is not put in force: {0}")]
    Keyring(#[from] KeyringError),
}
