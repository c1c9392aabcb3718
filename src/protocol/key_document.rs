//! The key document: which keys a broker signs with, and for what. The offline root key signs it;
//! its public half is the one thing a verifier pins.

mod next;

pub use next::{Difference, Rotation, SuccessionError};

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::keys::{PrivateKey, PublicKey};
use crate::names::KeyName;
use crate::note::{self, NoteError};
use crate::revocations::bare;

/// The most bytes a key document may have.
pub const MAX_KEY_DOCUMENT: usize = 32 * 1024;

const FORMAT: &str = "shortbread-keys/v1";
const MAX_KEYS: usize = 128;

/// Why a key document is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyDocumentError {
    /// The note around it is not believed.
    #[error("the key document is not believed: {0}")]
    Note(#[from] NoteError),
    /// Signed, but not a key document of this form.
    #[error("the key document is not read: its {0} is wrong")]
    Line(&'static str),
}

/// What a key signs. One key has one purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyPurpose {
    /// Tokens.
    Token,
    /// Heads of the revocation list.
    Revocation,
    /// Checkpoints of the audit log.
    Audit,
    /// An approver's votes.
    Approver,
}

impl KeyPurpose {
    const ALL: [Self; 4] = [Self::Token, Self::Revocation, Self::Audit, Self::Approver];

    /// What a broker signs with; it needs a key of each.
    pub const BROKER: [Self; 3] = [Self::Token, Self::Revocation, Self::Audit];

    /// The word of this purpose.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Revocation => "revocation",
            Self::Audit => "audit",
            Self::Approver => "approver",
        }
    }
}

/// One key of the document. Times are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DocumentKey {
    /// What it signs.
    pub purpose: KeyPurpose,
    /// Its name, as it stands in tokens.
    pub name: KeyName,
    /// The key.
    pub key: PublicKey,
    /// What it signed is valid from here on.
    pub not_before: u64,
    /// What it signed is valid until here.
    pub not_after: u64,
}

impl DocumentKey {
    /// Whether what it signs may be relied on at this second.
    #[must_use]
    pub const fn is_valid(&self, now: u64) -> bool {
        self.not_before <= now && now < self.not_after
    }
}

/// What the document says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyDocument {
    /// Its number; a verifier never goes back.
    pub version: u64,
    /// The broker's public URL, as it stands in tokens.
    pub issuer: String,
    /// The lowest break-glass sequence that is still valid.
    pub break_glass: u64,
    /// The keys.
    pub keys: Vec<DocumentKey>,
}

impl KeyDocument {
    /// Signs it with the offline root key.
    #[must_use]
    pub fn sign(&self, root: &PrivateKey) -> String {
        note::sign(&self.text(), &origin(&self.issuer), root)
    }

    /// The text that is signed, for signing elsewhere.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = format!("{}\n{FORMAT}\nversion {}\n", origin(&self.issuer), self.version);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "issuer {}\nbreak-glass {}", self.issuer, self.break_glass);
        for key in &self.keys {
            let encoded = STANDARD.encode(key.key.as_bytes());
            let (purpose, name) = (key.purpose.as_str(), &key.name);
            let _ = writeln!(text, "{purpose} {name} {encoded} {} {}", key.not_before, key.not_after);
        }
        text
    }

    /// Reads a document that the pinned root key signed for this issuer.
    ///
    /// # Errors
    /// When the signature, the issuer or any line is not as it must be; unknown lines are refused.
    pub fn open(bytes: &[u8], issuer: &str, root: &PublicKey) -> Result<Self, KeyDocumentError> {
        let document = Self::parse(note::open(bytes, &origin(issuer), &[*root], MAX_KEY_DOCUMENT)?)?;
        if document.issuer == issuer { Ok(document) } else { Err(KeyDocumentError::Line("issuer")) }
    }

    /// Reads the text of a document that nobody has signed yet. It proves nothing: it is for whoever is about to sign it.
    ///
    /// # Errors
    /// When any line is not as it must be; unknown lines are refused.
    pub fn parse(text: &str) -> Result<Self, KeyDocumentError> {
        let mut lines = text.lines();
        let named = lines.next();
        if lines.next() != Some(FORMAT) {
            return Err(KeyDocumentError::Line("format"));
        }
        let mut after = |word: &'static str| {
            lines
                .next()
                .and_then(|line| line.strip_prefix(word))
                .ok_or(KeyDocumentError::Line(word.trim_end()))
        };
        let version = number(after("version ")?)?;
        let issuer = after("issuer ")?;
        if named != Some(origin(issuer).as_str()) {
            return Err(KeyDocumentError::Line("issuer"));
        }
        let break_glass = number(after("break-glass ")?)?;
        let keys = lines.map(read_key).collect::<Result<Vec<_>, _>>()?;
        let document = Self { version, issuer: issuer.to_owned(), break_glass, keys };
        document.check()?;
        Ok(document)
    }

    /// The hash under which heads and addresses name a signed document.
    #[must_use]
    pub fn hash(signed: &[u8]) -> [u8; 32] {
        Sha256::digest(signed).into()
    }

    /// The keys of a purpose.
    pub fn of(&self, purpose: KeyPurpose) -> impl Iterator<Item = &DocumentKey> {
        self.keys.iter().filter(move |key| key.purpose == purpose)
    }

    fn check(&self) -> Result<(), KeyDocumentError> {
        let doubled = self.keys.iter().enumerate().any(|(at, key)| {
            // A key with two purposes, or a name with two keys, would make `revoke --key` ambiguous.
            self.keys
                .iter()
                .take(at)
                .any(|other| other.key == key.key || (other.purpose == key.purpose && other.name == key.name))
        });
        match self.keys.len() {
            0 => Err(KeyDocumentError::Line("list of keys")),
            MAX_KEYS.. => Err(KeyDocumentError::Line("number of keys")),
            _ if doubled => Err(KeyDocumentError::Line("list of keys (one stands twice)")),
            _ => Ok(()),
        }
    }
}

/// The origin of a broker's key documents.
#[must_use]
pub fn origin(issuer: &str) -> String {
    format!("{}/keys", bare(issuer))
}

fn read_key(line: &str) -> Result<DocumentKey, KeyDocumentError> {
    let fields: Vec<&str> = line.split(' ').collect();
    let [purpose, name, key, not_before, not_after] = fields[..] else {
        return Err(KeyDocumentError::Line("key line"));
    };
    let purpose = KeyPurpose::ALL.into_iter().find(|known| known.as_str() == purpose);
    let bytes = STANDARD.decode(key).map_err(|_| KeyDocumentError::Line("key"))?;
    let read = DocumentKey {
        purpose: purpose.ok_or(KeyDocumentError::Line("key purpose"))?,
        name: name.parse().map_err(|_| KeyDocumentError::Line("key name"))?,
        key: PublicKey::from_bytes(&bytes).map_err(|_| KeyDocumentError::Line("key"))?,
        not_before: number(not_before)?,
        not_after: number(not_after)?,
    };
    if read.not_before < read.not_after { Ok(read) } else { Err(KeyDocumentError::Line("key validity")) }
}

fn number(text: &str) -> Result<u64, KeyDocumentError> {
    note::number(text).ok_or(KeyDocumentError::Line("number"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::FOREVER;

    fn document() -> KeyDocument {
        let key = |purpose, name: &str, seed| DocumentKey {
            purpose,
            name: name.parse().unwrap(),
            key: PrivateKey::from_seed(&[seed; 32]).public(),
            not_before: 1,
            not_after: FOREVER,
        };
        KeyDocument {
            version: 1,
            issuer: "https://broker.acme.example".to_owned(),
            break_glass: 0,
            keys: vec![key(KeyPurpose::Token, "k2026-11a", 2), key(KeyPurpose::Revocation, "r1", 3)],
        }
    }

    #[test]
    fn signed_is_opened_by_the_pinned_root_alone() {
        let root = PrivateKey::from_seed(&[1; 32]);
        let signed = document().sign(&root);
        let issuer = "https://broker.acme.example";
        assert_eq!(KeyDocument::open(signed.as_bytes(), issuer, &root.public()), Ok(document()));
        let other = PrivateKey::from_seed(&[9; 32]).public();
        assert!(KeyDocument::open(signed.as_bytes(), issuer, &other).is_err());
        assert!(KeyDocument::open(signed.as_bytes(), "https://other.example", &root.public()).is_err());
    }

    #[test]
    fn a_key_for_two_purposes_is_refused() {
        let root = PrivateKey::from_seed(&[1; 32]);
        let mut twice = document();
        twice.keys[1].key = twice.keys[0].key;
        let refused = KeyDocument::open(twice.sign(&root).as_bytes(), &twice.issuer, &root.public());
        assert_eq!(refused, Err(KeyDocumentError::Line("list of keys (one stands twice)")));
    }
}
