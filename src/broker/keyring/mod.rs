//! The broker's keys: read from their files, held against the key document, and which of them signs now. All choice of
//! keys is made here; whoever signs asks for the key each time, so that a rotation needs no restart.

mod begin;
mod error;
mod files;
mod gate;
mod halves;
mod in_force;
mod known;

pub use begin::BeginError;
pub use error::{AdoptError, KeyringError};
pub use files::{DEV_MARK, is_example, passphrase, public_half, read_encrypted, read_private, read_public};
pub use gate::{Candidate, LATEST, Since, Turn, UNREPORTED, choose, turns};
pub use in_force::{InForce, KeyState, LEAST_OVERLAP};

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use shortbread_protocol::clock::Clock;
use shortbread_protocol::key_document::{DocumentKey, KeyDocument, KeyPurpose};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::names::KeyName;
use shortbread_protocol::revocations::SelectorKind;
use shortbread_verifier::chain::TokenKeys;

use self::halves::{Halves, configured};
use self::in_force::{held, since};
use self::known::Known;
use crate::config::Keys;
use crate::signer::Signer;
use crate::store::{KeyRecord, Revocations};

/// Counts the verifiers that report and do not report this document version yet.
pub type Behind = Box<dyn Fn(u64) -> usize + Send + Sync>;

/// How long a count of verifiers is relied on.
const RECOUNT: Duration = Duration::from_secs(1);

/// A count of verifiers that are behind a document version, and when it was made on the monotonic clock.
struct Counted {
    version: u64,
    at: Duration,
    behind: usize,
}

/// What a head is signed with: the key, and the document that names it.
pub struct HeadKeys {
    /// The key.
    pub signer: Arc<dyn Signer>,
    /// The document's version and SHA-256.
    pub document: (u64, [u8; 32]),
}

/// The keys a broker works with.
pub struct Keyring {
    issuer: String,
    root: PublicKey,
    keys: Keys,
    dev: bool,
    clock: Arc<dyn Clock>,
    current: ArcSwap<InForce>,
    behind: OnceLock<Behind>,
    counted: ArcSwapOption<Counted>,
    /// Key documents are put in force one after the other.
    pub(crate) turn: tokio::sync::Mutex<()>,
}

impl Keyring {
    /// Reads and checks every key file, where no document but that of the file was ever published. `dev` lets sample and
    /// dev keys pass.
    ///
    /// # Errors
    /// Names the file and what to do.
    pub fn read(keys: &Keys, issuer: &str, dev: bool, clock: Arc<dyn Clock>) -> Result<Self, KeyringError> {
        Self::open(keys, issuer, dev, clock, &[])
    }

    /// The same after documents were published: the one with the highest version counts, whether it is in the file or
    /// among these.
    ///
    /// # Errors
    /// Names the file and what to do.
    pub fn open(
        keys: &Keys,
        issuer: &str,
        dev: bool,
        clock: Arc<dyn Clock>,
        published: &[KeyRecord],
    ) -> Result<Self, KeyringError> {
        let root = read_public(&keys.root, dev)?;
        let now = clock.now().seconds();
        let Known { history, published } = Known::read(keys, issuer, &root, published, now)?;
        let Some((document, _)) = history.last().cloned() else {
            // The file is an error where there is nothing else.
            return Err(KeyringError::Lower { found: 0, published: 0 });
        };
        let signed = published.get(&document.version).cloned().unwrap_or_default();
        let halves = Halves::find(keys, &document, dev)?;
        let held = held(&document, &halves, &[], &|key| since(&history, key));
        let lacking = KeyPurpose::BROKER.into_iter().find(|purpose| {
            !held.iter().any(|held| held.listed.purpose == *purpose && held.listed.is_valid(now))
        });
        if let Some(purpose) = lacking {
            return Err(halves.lacking(keys, purpose));
        }
        let hash = KeyDocument::hash(&signed);
        let current = InForce { document, signed, hash, held, history, published };
        Ok(Self {
            issuer: issuer.to_owned(),
            root,
            keys: keys.clone(),
            dev,
            clock,
            current: ArcSwap::from_pointee(current),
            behind: OnceLock::new(),
            counted: ArcSwapOption::empty(),
            turn: tokio::sync::Mutex::new(()),
        })
    }

    /// Says how verifiers that report are counted. Before it is said, none reports.
    pub fn ask(&self, behind: Behind) {
        // Said once, when the broker is put together; what was said first stays.
        let _ = self.behind.set(behind);
    }

    /// The document in force, with what belongs to it.
    #[must_use]
    pub fn current(&self) -> Arc<InForce> {
        self.current.load_full()
    }

    /// The public half of the offline root key.
    #[must_use]
    pub const fn root(&self) -> &PublicKey {
        &self.root
    }

    /// Where the key document lies; what else the root key signs lies beside it.
    #[must_use]
    pub fn place(&self) -> &std::path::Path {
        &self.keys.document
    }

    /// A key document that was published, in its exact bytes.
    #[must_use]
    pub fn published(&self, version: u64) -> Option<Arc<[u8]>> {
        self.current.load().published.get(&version).cloned()
    }

    /// The key that signs tokens now; `None` when none is valid. A key that is revoked by name signs only where there is
    /// no other: then the exchange is refused, by its name.
    #[must_use]
    pub fn token(&self, list: &Revocations) -> Option<Arc<dyn Signer>> {
        self.signer(KeyPurpose::Token, &|name| is_revoked(list, name))
    }

    /// Every token key that is valid now, whether or not it is the one that signs new tokens.
    #[must_use]
    pub fn token_signers(&self) -> Vec<Arc<dyn Signer>> {
        let now = self.clock.now().seconds();
        let current = self.current.load();
        let valid = current.of(KeyPurpose::Token).filter(|held| held.listed.is_valid(now));
        valid.map(|held| Arc::clone(&held.signer)).collect()
    }

    /// What heads of the revocation list are signed with now, and the document they name: both of one moment.
    #[must_use]
    pub fn heads(&self) -> Option<HeadKeys> {
        let current = self.current.load();
        let now = self.clock.now().seconds();
        let held = current.signs(KeyPurpose::Revocation, &|_| false, &|version| self.behind(version), now)?;
        let document = (current.document.version, current.hash);
        Some(HeadKeys { signer: Arc::clone(&held.signer), document })
    }

    /// Whose heads verifiers believe now.
    #[must_use]
    pub fn head_keys(&self) -> Vec<PublicKey> {
        let now = self.clock.now().seconds();
        let current = self.current.load();
        current
            .document
            .of(KeyPurpose::Revocation)
            .filter(|key| key.is_valid(now))
            .map(|key| key.key)
            .collect()
    }

    /// The key that signs checkpoints of the audit log now.
    #[must_use]
    pub fn audit(&self) -> Option<Arc<dyn Signer>> {
        self.signer(KeyPurpose::Audit, &|_| false)
    }

    /// Every key of the document in force and what it does now.
    #[must_use]
    pub fn states(&self, list: &Revocations) -> Vec<KeyState> {
        let now = self.clock.now().seconds();
        self.current.load().states(&|name| is_revoked(list, name), &|version| self.behind(version), now)
    }

    /// Checks a document that is to follow the one in force, and finds the private halves of its keys. Nothing changes.
    /// Reads files, and may take some tenths of a second where they are encrypted.
    ///
    /// # Errors
    /// With the rule that it breaks; what to do is said with it.
    pub fn prepare(&self, signed: &[u8]) -> Result<InForce, AdoptError> {
        let (current, now) = (self.current.load_full(), self.clock.now().seconds());
        let document = KeyDocument::open(signed, &self.issuer, &self.root)?;
        document.follows(&current.document)?;
        document.complete(now)?;
        let halves = Halves::find(&self.keys, &document, self.dev)?;
        let mut history = current.history.clone();
        history.push((document.clone(), now));
        let held = held(&document, &halves, &current.held, &|key| since(&history, key));
        let signed: Arc<[u8]> = signed.into();
        let mut published = current.published.clone();
        published.insert(document.version, Arc::clone(&signed));
        let next = InForce { hash: KeyDocument::hash(&signed), document, signed, held, history, published };
        self.able(&next, &current, now)?;
        Ok(next)
    }

    /// Puts a document in force that was prepared and stored.
    pub(crate) fn adopt(&self, next: InForce) {
        self.current.store(Arc::new(next));
    }

    // Whether the broker could go on: the newest key of each purpose is here, and the one that signs meanwhile lasts.
    fn able(&self, next: &InForce, current: &InForce, now: u64) -> Result<(), AdoptError> {
        for purpose in KeyPurpose::BROKER {
            let living = next.document.of(purpose).filter(|key| now < key.not_after);
            let newest = living.max_by_key(|key| key.not_before);
            if let Some(key) = newest
                && !next.held.iter().any(|held| held.listed == *key)
            {
                let folder = configured(&self.keys, purpose).parent().unwrap_or(std::path::Path::new("."));
                let (name, folder) = (key.name.clone(), folder.display().to_string());
                return Err(AdoptError::NoHalf { purpose, name, folder });
            }
            let signs = current.signs(purpose, &|_| false, &|version| self.behind(version), now);
            let Some(signs) = signs else { continue };
            let shortened = next.document.of(purpose).find(|key| {
                key.key == signs.listed.key
                    && key.not_after < signs.listed.not_after
                    && key.not_after < now + LEAST_OVERLAP
            });
            if let Some(key) = shortened {
                return Err(AdoptError::Overlap { purpose, name: key.name.clone(), least: LEAST_OVERLAP });
            }
        }
        Ok(())
    }

    fn signer(&self, purpose: KeyPurpose, revoked: &dyn Fn(&KeyName) -> bool) -> Option<Arc<dyn Signer>> {
        let current = self.current.load();
        let now = self.clock.now().seconds();
        let held = current.signs(purpose, revoked, &|version| self.behind(version), now)?;
        Some(Arc::clone(&held.signer))
    }

    // Counted once a second at most: while a key waits, every exchange asks.
    fn behind(&self, version: u64) -> usize {
        let Some(behind) = self.behind.get() else { return 0 };
        let now = self.clock.monotonic();
        let fresh = |counted: &&Arc<Counted>| counted.version == version && now < counted.at + RECOUNT;
        if let Some(counted) = self.counted.load().as_ref().filter(fresh) {
            return counted.behind;
        }
        let behind = behind(version);
        self.counted.store(Some(Arc::new(Counted { version, at: now, behind })));
        behind
    }
}

/// The token keys of the document in force that are valid now, for checking the broker's own tokens.
impl TokenKeys for Keyring {
    fn issuer(&self) -> &str {
        &self.issuer
    }

    fn token_key(&self, name: &str) -> Option<PublicKey> {
        let now = self.clock.now().seconds();
        let current = self.current.load();
        let named = |listed: &&DocumentKey| listed.name.as_str() == name && listed.is_valid(now);
        current.document.of(KeyPurpose::Token).find(named).map(|listed| listed.key)
    }
}

fn is_revoked(list: &Revocations, name: &KeyName) -> bool {
    list.entry(SelectorKind::Key, name.as_str()).is_some()
}

#[cfg(test)]
mod tests;
