//! The broker's part of the break-glass head: it is read from the file beside the key document, obeyed, and passed on. Only
//! the offline root key makes one; the broker can neither make nor lift it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use shortbread_protocol::clock::FOREVER;
use shortbread_protocol::event::{Decision, EventType};
use shortbread_protocol::revocations::{BreakGlass, HeadError, MAX_HEAD, origin};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::audit::Scribe;
use crate::keyring::Keyring;
use crate::store::{BreakGlassRecord, Store, StoreError};

/// The file's name, beside the key document.
pub const FILE: &str = "break-glass.txt";

/// Why a break-glass file is not taken. What was taken before stays.
#[derive(Debug, Error)]
pub enum BreakGlassError {
    /// It is there and cannot be read.
    #[error("{path} cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Not signed by the root key for this broker.
    #[error("{path} is not taken: {cause}; make it with `shortbread break-glass`, by this broker's root key")]
    Head {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: HeadError,
    },
    /// From before the lowest one that still counts.
    #[error(
        "{path} is not taken: its sequence is {seq}, and key document {version} lets only {lowest} and above count; make a new one with `shortbread break-glass`"
    )]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Its sequence.
        seq: u64,
        /// The key document in force.
        version: u64,
        /// The lowest sequence that it lets count.
        lowest: u64,
    },
    /// From before the one that is in force.
    #[error(
        "{path} is not taken: its sequence is {seq}, and {known} was seen already; an old one never comes back"
    )]
    Older {
        /// The file.
        path: PathBuf,
        /// Its sequence.
        seq: u64,
        /// The sequence in force.
        known: u64,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What is served.
#[derive(Debug)]
pub struct Served {
    /// What it says.
    pub head: BreakGlass,
    /// Its exact bytes.
    pub bytes: Bytes,
    /// Its entity tag: the hash of the bytes, quoted.
    pub etag: String,
}

/// Follows the file, and holds the highest head that was seen.
pub struct BreakGlassWatch {
    path: PathBuf,
    origin: String,
    keyring: Arc<Keyring>,
    store: Store,
    scribe: Scribe,
    current: ArcSwapOption<Served>,
    looked: Mutex<Option<Look>>,
}

/// What a file looked like when it was last read, and which document it was judged by.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    length: u64,
    document: u64,
}

impl BreakGlassWatch {
    /// With what the store has seen; the file is looked at later.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn load(
        store: Store,
        keyring: Arc<Keyring>,
        issuer: &str,
        scribe: Scribe,
    ) -> Result<Self, StoreError> {
        let kept = store.break_glass().await?;
        let origin = origin(issuer);
        let served = kept.and_then(|kept| {
            let head = BreakGlass::open(&kept.signed, &origin, keyring.root());
            // Under another root key nobody believes it any more; that it stopped everything still holds here.
            head.ok().map(|head| Arc::new(Served::new(head, kept.signed)))
        });
        let (path, current) = (keyring.place().with_file_name(FILE), ArcSwapOption::from(served));
        Ok(Self { path, origin, keyring, store, scribe, current, looked: Mutex::new(None) })
    }

    /// What is served: the highest head that was seen.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Served>> {
        self.current.load_full()
    }

    /// Looks whether the file changed, and takes what it holds if it is newer than what was seen. Says whether it was.
    ///
    /// # Errors
    /// When what the file holds is not taken. Nothing changes then, and the same file is not told of twice.
    pub async fn look(&self, decision: &Decision) -> Result<bool, BreakGlassError> {
        let mut looked = self.looked.lock().await;
        let unreadable = |cause| BreakGlassError::Unreadable { path: self.path.clone(), cause };
        let document = self.keyring.current().document.version;
        let look = match tokio::fs::metadata(&self.path).await {
            Ok(file) => Look { modified: file.modified().ok(), length: file.len(), document },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                *looked = None;
                return Ok(false);
            }
            Err(error) => return Err(unreadable(error)),
        };
        if *looked == Some(look) {
            return Ok(false);
        }
        let bytes = self.read(look.length).await.map_err(unreadable)?;
        let taken = self.take(bytes, decision).await;
        // What the store refused is tried again; what the file holds is not told of again and again.
        if !matches!(taken, Err(BreakGlassError::Store(_))) {
            *looked = Some(look);
        }
        taken
    }

    async fn read(&self, length: u64) -> std::io::Result<Vec<u8>> {
        // The note's reader refuses what is too large; this keeps it from being read at all.
        if length > MAX_HEAD as u64 { Ok(vec![0; MAX_HEAD + 1]) } else { tokio::fs::read(&self.path).await }
    }

    async fn take(&self, bytes: Vec<u8>, decision: &Decision) -> Result<bool, BreakGlassError> {
        let path = || self.path.clone();
        let head = BreakGlass::open(&bytes, &self.origin, self.keyring.root())
            .map_err(|cause| BreakGlassError::Head { path: path(), cause })?;
        let current = self.keyring.current();
        let (version, lowest) = (current.document.version, current.document.break_glass);
        if head.seq < lowest {
            return Err(BreakGlassError::Invalid { path: path(), seq: head.seq, version, lowest });
        }
        if self.current().is_some_and(|known| known.bytes == bytes) {
            return Ok(false);
        }
        let signed = bytes.clone();
        let record = BreakGlassRecord { seq: head.seq, global: head.global, signed, at: decision.at };
        if !self.store.keep_break_glass(record, self.audited(&head, decision)).await? {
            let known = self.store.break_glass().await?.map_or(0, |kept| kept.seq);
            return Err(BreakGlassError::Older { path: path(), seq: head.seq, known });
        }
        self.current.store(Some(Arc::new(Served::new(head, bytes))));
        tracing::warn!(
            break_glass.seq = head.seq,
            break_glass.global = head.global,
            "the offline root key speaks: a break-glass head is in force"
        );
        Ok(true)
    }

    fn audited(&self, head: &BreakGlass, decision: &Decision) -> crate::store::AuditEntry {
        let kind = if head.global == 0 { EventType::RevocationLifted } else { EventType::RevocationSet };
        let before = match head.global {
            0 => serde_json::Value::Null,
            FOREVER => "until lifted".into(),
            seconds => seconds.into(),
        };
        let data = json!({
            "outcome": "done", "operator": "root key", "reason": "break glass", "break_glass_seq": head.seq,
            "entries": [{ "what": "all", "before": before }], "signed_at": head.issued, "stage": "record",
            "error_class": null,
        });
        self.scribe.entry(kind, decision, "root key".to_owned(), data)
    }
}

impl Served {
    fn new(head: BreakGlass, bytes: Vec<u8>) -> Self {
        let etag = format!("\"{}\"", hex::encode(Sha256::digest(&bytes)));
        Self { head, bytes: bytes.into(), etag }
    }
}
