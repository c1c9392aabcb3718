//! The signed revocation list as it is served: a new head at least every five seconds and with every change,
//! over snapshots that are named by their hash.

mod snapshot;

pub(crate) use snapshot::cause;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use sha2::{Digest as _, Sha256};
use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::note;
use shortbread_protocol::revocations::{FileRef, Head, origin};
use thiserror::Error;
use tokio::sync::Mutex;

use crate::keyring::{HeadKeys, Keyring};
use crate::store::{HeadError, Store};

/// How long until the next head is due.
pub const PERIOD: Duration = Duration::from_secs(5);

/// How long a head may be relied on: at least as long as the longest window of a verifier.
const LIFE: u64 = 900;

/// How many snapshots are kept for those who read an older head moments ago.
const KEPT: usize = 8;

/// Tries to sign a head while the list keeps changing.
const TRIES: usize = 16;

/// No new head could be published.
#[derive(Debug, Error)]
pub enum PublishError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] HeadError),
    /// No revocation key is valid.
    #[error(
        "the key document in force has no revocation key that is valid now; sign and activate one that has"
    )]
    Key,
    /// The list changed faster than it could be written down.
    #[error("the revocation list changed {TRIES} times while its head was being signed; try again")]
    Busy,
}

/// What is served, all of one moment.
#[derive(Debug)]
pub struct Published {
    /// The head's number.
    pub seq: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// Its exact bytes.
    pub head: Vec<u8>,
    /// Its entity tag: the hash of the bytes, quoted.
    pub etag: String,
    /// Snapshots, newest first.
    pub snapshots: Vec<Arc<SnapshotFile>>,
}

/// A snapshot under its name.
#[derive(Debug)]
pub struct SnapshotFile {
    /// What the head says of it.
    pub reference: FileRef,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Signs and keeps what is served.
pub struct Publisher {
    store: Store,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    origin: String,
    current: ArcSwapOption<Published>,
    turn: Mutex<()>,
}

impl Publisher {
    /// For the broker of this issuer. Each head is signed with what the keyring says at that moment.
    #[must_use]
    pub fn new(store: Store, keyring: Arc<Keyring>, clock: Arc<dyn Clock>, issuer: &str) -> Self {
        let origin = origin(issuer);
        Self { store, keyring, clock, origin, current: ArcSwapOption::empty(), turn: Mutex::new(()) }
    }

    /// What is served now; nothing before the first head.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Published>> {
        self.current.load_full()
    }

    /// Signs a new head over the list as it stands. Once this returns, every change that was confirmed before is in
    /// the head that is served.
    ///
    /// # Errors
    /// When the store or the key fails; what was served stays.
    pub async fn publish(&self) -> Result<Arc<Published>, PublishError> {
        let _turn = self.turn.lock().await;
        if self.keyring.heads().is_none() {
            return Err(PublishError::Key);
        }
        for _ in 0..TRIES {
            let snapshot = self.snapshot();
            match self.sign(&snapshot).await {
                Ok(head) => return Ok(self.serve(head, snapshot)),
                Err(HeadError::Declined) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PublishError::Busy)
    }

    // The one that is served, unless the list has changed since.
    fn snapshot(&self) -> Arc<SnapshotFile> {
        let list = self.store.mirror();
        let kept = self.current().and_then(|current| current.snapshots.first().cloned());
        match kept {
            Some(kept) if kept.reference.seq == list.changed_seq() => kept,
            _ => Arc::new(snapshot::write(&list, &self.origin)),
        }
    }

    async fn sign(&self, snapshot: &SnapshotFile) -> Result<Arc<crate::store::Head>, HeadError> {
        let (origin, reference) = (self.origin.clone(), snapshot.reference);
        let keyring = Arc::clone(&self.keyring);
        let sign = move |facts: crate::store::HeadFacts| {
            // A change got in between: the head would point at a list without it.
            if facts.revocations.changed_seq() != reference.seq {
                return None;
            }
            let HeadKeys { signer, document: keys } = keyring.heads()?;
            let issued = facts.issued.seconds();
            let head = Head {
                seq: facts.seq,
                issued,
                next: issued + PERIOD.as_secs(),
                expires: issued + LIFE,
                global: facts.revocations.global(),
                snapshot: reference,
                deltas: Vec::new(),
                keys,
            };
            let text = head.text(&origin);
            let signature = signer.sign(text.as_bytes()).ok()?;
            Some(note::attach(&text, &origin, &signer.public(), &signature).into_bytes())
        };
        self.store.next_head(self.clock.now(), sign).await
    }

    fn serve(&self, head: Arc<crate::store::Head>, snapshot: Arc<SnapshotFile>) -> Arc<Published> {
        let mut snapshots = vec![Arc::clone(&snapshot)];
        if let Some(current) = self.current() {
            let older = current.snapshots.iter().filter(|kept| kept.reference != snapshot.reference);
            snapshots.extend(older.take(KEPT - 1).cloned());
        }
        let etag = format!("\"{}\"", hex::encode(Sha256::digest(&head.bytes)));
        let published = Arc::new(Published {
            seq: head.seq,
            issued: head.issued,
            head: head.bytes.clone(),
            etag,
            snapshots,
        });
        self.current.store(Some(Arc::clone(&published)));
        crate::telemetry::published(published.seq, snapshot.reference.bytes);
        published
    }
}
