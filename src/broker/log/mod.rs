//! The audit log as others see it: a Merkle tree whose root is signed within a second of every change, proofs against it,
//! and copies of the checkpoints where whoever owns the store cannot reach them.
//!
//! A checkpoint is signed by the audit key of the key document in force. No two of one size have different roots, none is
//! smaller than the one before, and before the next is signed it is looked whether the tree still begins with the last: a
//! tree that was changed behind the broker's back is not signed any more.

mod aging;
mod anchor;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use bytes::Bytes;
use metrics::gauge;
use sha2::{Digest as _, Sha256};
use shortbread_protocol::clock::{Clock, Timestamp};
use shortbread_protocol::log::{self, Checkpoint, Hash, Proof, TilePlace};
use shortbread_protocol::note;
use thiserror::Error;
use tokio::sync::{Mutex, Semaphore, SemaphorePermit};

use self::aging::Aging;
use self::anchor::Anchors;
use crate::config;
use crate::keyring::Keyring;
use crate::notices::Notices;
use crate::store::{Store, StoreError, StoredCheckpoint};

/// How often it is looked whether the log grew: within a second of a change its checkpoint is signed.
const PACE: Duration = Duration::from_millis(750);

/// How often what is too old is pruned.
const TIDY: Duration = Duration::from_secs(60);

/// The most steps of one pruning: more than can have become too old since the last.
const MAX_PRUNINGS: usize = 4096;

/// How many of those who check the log from outside read the store at a time: half of its readers stay for others.
const READERS: usize = 2;

/// How often, and after what time, it is looked again whether an entry that was read is counted.
const GLIMPSES: u32 = 50;
const GLIMPSE: Duration = Duration::from_millis(10);

/// Why there is no newer checkpoint, or no answer from the tree.
#[derive(Clone, Debug, Error)]
pub enum LogError {
    /// The store failed, or has no room.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No audit key is valid, or its holder does not sign.
    #[error("the key document in force has no audit key that signs now; sign and activate one that has")]
    Key,
    /// The tree does not begin with what was signed last.
    #[error(
        "the tree over the audit log no longer begins with its checkpoint of {0} entries: the store was changed from outside; \
         keep a copy of it, run `shortbread audit verify`, and restore a backup"
    )]
    Changed(u64),
    /// The log is empty.
    #[error("the audit log has no entry yet")]
    Empty,
}

/// How far the log is signed and anchored.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// How many entries were recorded, pruned ones included.
    pub entries: u64,
    /// How many of them the newest checkpoint covers; 0 before the first.
    pub signed: u64,
    /// When that was signed.
    pub at: Option<Timestamp>,
    /// Why none could be signed the last time; `None`: it could.
    pub failing: Option<Arc<LogError>>,
    /// Whether the file of anchors took nothing the last time.
    pub unanchored: bool,
}

/// A checkpoint that is served.
#[derive(Clone, Debug)]
pub struct Signed {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// When it was signed.
    pub at: Timestamp,
    /// The signed note.
    pub note: Bytes,
    /// Its entity tag.
    pub etag: String,
}

impl Signed {
    fn new(checkpoint: Checkpoint, at: Timestamp, note: Vec<u8>) -> Arc<Self> {
        let etag = format!("\"{}\"", hex::encode(Sha256::digest(&note)));
        Arc::new(Self { checkpoint, at, note: note.into(), etag })
    }
}

/// Signs checkpoints and answers from the tree.
pub struct Log {
    store: Store,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    origin: String,
    keep: Option<Duration>,
    current: ArcSwapOption<Signed>,
    // Why none could be signed the last time, and whether the anchors' file took nothing.
    failing: ArcSwapOption<LogError>,
    unanchored: AtomicBool,
    // One at a time signs.
    desk: Mutex<()>,
    anchors: Mutex<Anchors>,
    aging: Mutex<Aging>,
    readers: Semaphore,
}

impl Log {
    /// Takes up the last checkpoint of the store, and signs one over what came since where that can be done.
    ///
    /// # Errors
    /// When the store fails, or its last checkpoint cannot be read.
    pub async fn load(
        store: Store,
        keyring: Arc<Keyring>,
        clock: Arc<dyn Clock>,
        notices: Arc<Notices>,
        config: &config::Log,
    ) -> Result<Self, StoreError> {
        let origin = store.log_origin().to_owned();
        let log = Self {
            anchors: Mutex::new(Anchors::new(config, notices)),
            keep: config.keep.map(|keep| keep.0),
            current: ArcSwapOption::empty(),
            failing: ArcSwapOption::empty(),
            unanchored: AtomicBool::new(false),
            desk: Mutex::default(),
            aging: Mutex::default(),
            readers: Semaphore::new(READERS),
            store,
            keyring,
            clock,
            origin,
        };
        log.take_up().await?;
        log.look_at_clock();
        if let Err(error) = log.sign().await {
            tracing::error!(error = %error, "no checkpoint of the audit log could be signed");
        }
        Ok(log)
    }

    // Checkpoints are dated no earlier than those before them: what came later must not pass for earlier.
    fn look_at_clock(&self) {
        let ahead = self.current().map(|last| last.at).filter(|at| at.since(self.clock.now()) > aging::DAY);
        if let Some(at) = ahead {
            tracing::error!(
                checkpoint = %at,
                "the newest checkpoint of the audit log is dated more than a day after this host's clock: the clock is wrong now, or \
                 was; until that date new entries count as arrived then, are found by it, and are pruned that much later"
            );
        }
    }

    // The store's last checkpoint is served. It fits the tree: the store was opened. One under the origin from before a
    // restore is not: the next, under the new one, is the first.
    async fn take_up(&self) -> Result<Option<Checkpoint>, StoreError> {
        let Some(last) = self.store.last_checkpoint().await? else { return Ok(None) };
        let Ok(checkpoint) = Checkpoint::unverified(&last.note, &self.origin) else { return Ok(None) };
        self.current.store(Some(Signed::new(checkpoint, last.at, last.note)));
        Ok(Some(checkpoint))
    }

    /// What its checkpoints are signed under.
    #[must_use]
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The newest checkpoint; nothing before the first.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Signed>> {
        self.current.load_full()
    }

    /// How far it is signed and anchored.
    #[must_use]
    pub fn progress(&self) -> Progress {
        let current = self.current();
        Progress {
            // Looked at last: nothing is signed that is not recorded.
            entries: self.store.audit_size(),
            signed: current.as_ref().map_or(0, |signed| signed.checkpoint.size),
            at: current.map(|signed| signed.at),
            failing: self.failing.load_full(),
            unanchored: self.unanchored.load(Ordering::Relaxed),
        }
    }

    /// A checkpoint that covers everything that was recorded before this was called.
    ///
    /// # Errors
    /// When none can be signed now; the last one stays.
    pub async fn sign(&self) -> Result<Arc<Signed>, LogError> {
        let _desk = self.desk.lock().await;
        let size = self.store.audit_size();
        let last = self.current();
        if let Some(last) = last.as_ref().filter(|last| last.checkpoint.size >= size) {
            return Ok(Arc::clone(last));
        }
        if size == 0 {
            return Err(LogError::Empty);
        }
        let before = last.as_ref().map_or(0, |last| last.checkpoint.size);
        let roots = self.store.log_roots(vec![before, size]).await?;
        let [begins, root] = roots.as_slice() else { return Err(LogError::Changed(before)) };
        if last.is_some_and(|last| last.checkpoint.root != *begins) {
            return Err(LogError::Changed(before));
        }
        let checkpoint = Checkpoint { size, root: *root };
        let (at, note) = (self.clock.now(), self.note(&checkpoint)?);
        // Not shown to anyone before it is kept.
        if self.store.keep_checkpoint(StoredCheckpoint { size, at, note: note.clone() }).await? {
            let signed = Signed::new(checkpoint, at, note);
            self.current.store(Some(Arc::clone(&signed)));
            return Ok(signed);
        }
        // Whoever asked for it the last time did not wait until it was kept.
        let kept = self.take_up().await? == Some(checkpoint);
        self.current().filter(|_| kept).ok_or(LogError::Changed(before))
    }

    fn note(&self, checkpoint: &Checkpoint) -> Result<Vec<u8>, LogError> {
        let signer = self.keyring.audit().ok_or(LogError::Key)?;
        let text = checkpoint.text(&self.origin);
        let signature = signer.sign(text.as_bytes()).map_err(|_| LogError::Key)?;
        Ok(note::attach(&text, &self.origin, &signer.public(), &signature).into_bytes())
    }

    /// Proves that an entry of a decision stands in the log: the first, or the one at `index`. Nothing when the decision
    /// has no such entry, or none any more.
    ///
    /// # Errors
    /// When the store fails, or no checkpoint covers the entry and none can be signed.
    pub async fn proof(&self, decision: &str, index: Option<u64>) -> Result<Option<Proof>, LogError> {
        let places = {
            let _turn = self.turn().await;
            self.store.audit_places(decision).await?
        };
        let Some(index) = places.into_iter().find(|place| index.is_none_or(|index| index == *place)) else {
            return Ok(None);
        };
        // Nobody who waits for the one that signs keeps others from reading.
        let signed = self.covering(index).await?;
        let _turn = self.turn().await;
        let hashes = self.store.log_inclusion(signed.checkpoint.size, index).await?;
        let checkpoint = String::from_utf8_lossy(&signed.note).into_owned();
        Ok(Some(Proof { index, hashes, checkpoint }))
    }

    /// A checkpoint that covers the entry at this place.
    async fn covering(&self, index: u64) -> Result<Arc<Signed>, LogError> {
        let covers = |signed: &Arc<Signed>| signed.checkpoint.size > index;
        for _ in 0..GLIMPSES {
            if let Some(signed) = self.current().filter(covers) {
                return Ok(signed);
            }
            let signed = self.sign().await?;
            if covers(&signed) {
                return Ok(signed);
            }
            // Who reads sees an entry a moment before it is counted.
            tokio::time::sleep(GLIMPSE).await;
        }
        self.current().filter(covers).ok_or(LogError::Empty)
    }

    /// Proves that the newest checkpoint continues the tree over the first `from` entries. Nothing when it has fewer.
    ///
    /// # Errors
    /// When the store fails, or there is no checkpoint yet.
    pub async fn consistency(&self, from: u64) -> Result<Option<(Vec<Hash>, Arc<Signed>)>, LogError> {
        let signed = self.current().ok_or(LogError::Empty)?;
        if from > signed.checkpoint.size {
            return Ok(None);
        }
        let _turn = self.turn().await;
        let hashes = self.store.log_consistency(from, signed.checkpoint.size).await?;
        Ok(Some((hashes, signed)))
    }

    /// The hashes of a tile. Nothing when the newest checkpoint has no such tile, or none so wide.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn tile(&self, place: TilePlace) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.covers(place) {
            return Ok(None);
        }
        let _turn = self.turn().await;
        Ok(Some(self.store.log_tile(place).await?.concat()))
    }

    /// The entries below a tile of level 0, each behind its length in two bytes. Nothing when the newest checkpoint has no
    /// such tile, or its entries were pruned.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn bundle(&self, place: TilePlace) -> Result<Option<Vec<u8>>, StoreError> {
        if place.level != 0 || !self.covers(place) {
            return Ok(None);
        }
        let (from, width) = (place.n * log::WIDTH, usize::try_from(place.width).unwrap_or_default());
        let entries = self.store.audit_tail(from, width).await?;
        if entries.len() != width || entries.first().is_none_or(|first| first.idx != from) {
            return Ok(None);
        }
        let mut bundle = Vec::new();
        for entry in entries {
            // No entry is longer than two bytes can say.
            bundle.extend(u16::try_from(entry.body.len()).unwrap_or(u16::MAX).to_be_bytes());
            bundle.extend(entry.body);
        }
        Ok(Some(bundle))
    }

    fn covers(&self, place: TilePlace) -> bool {
        let size = self.current().map_or(0, |signed| signed.checkpoint.size);
        place.width > 0 && place.width <= TilePlace::width_in(place.level, place.n, size)
    }

    async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.readers.acquire().await.ok()
    }

    /// Signs what is new, anchors what is due and prunes what is too old, until it is dropped.
    pub async fn chores(&self) {
        tokio::join!(self.follow(), self.tidy());
    }

    async fn follow(&self) {
        let mut failing = false;
        loop {
            tokio::time::sleep(PACE).await;
            match self.round().await {
                Ok(()) if failing => {
                    failing = false;
                    tracing::info!("checkpoints of the audit log are signed again");
                }
                Ok(()) => {}
                Err(error) if !failing => {
                    failing = true;
                    tracing::error!(error = %error, "no checkpoint of the audit log could be signed; it is tried again");
                }
                Err(_) => {}
            }
            gauge!("shortbread_log_failing").set(f64::from(u8::from(failing)));
            // Whoever reads for long hinders it; then it is tried again the next time.
            if let Err(error) = self.store.wipe_traces().await {
                tracing::debug!(error = %error, "the store's log could not be emptied of what was erased");
            }
        }
    }

    /// Signs a checkpoint where the log grew, and anchors the newest where that is due.
    ///
    /// # Errors
    /// When none could be signed; what was signed before is anchored all the same.
    pub async fn round(&self) -> Result<(), LogError> {
        let signed = match self.sign().await {
            Ok(_) | Err(LogError::Empty) => Ok(()),
            Err(error) => Err(error),
        };
        if let Some(current) = self.current() {
            let mut anchors = self.anchors.lock().await;
            anchors.take(&current, self.clock.monotonic()).await;
            self.unanchored.store(anchors.is_failing(), Ordering::Relaxed);
        }
        self.failing.store(signed.as_ref().err().cloned().map(Arc::new));
        signed
    }

    async fn tidy(&self) {
        loop {
            tokio::time::sleep(TIDY).await;
            self.prune().await;
        }
    }

    /// Removes entries that are too old, in steps between which others may write, and thins out old checkpoints. What a
    /// clock that went too far calls too old goes slowly.
    pub async fn prune(&self) {
        if let Err(error) = self.prune_due().await {
            tracing::warn!(error = %error, "the audit log could not be pruned");
        }
    }

    async fn prune_due(&self) -> Result<(), StoreError> {
        let mut now = self.clock.now();
        let mut before = None;
        if let Some(keep) = self.keep {
            let oldest = self.store.oldest_prunable().await?;
            let mut aging = self.aging.lock().await;
            let until = aging.before(now.minus(keep), oldest, self.clock.monotonic());
            // Nor is the time believed of which checkpoints are thinned out.
            now = now.min(until.plus(keep));
            before = Some(until);
        }
        for _ in 0..MAX_PRUNINGS {
            if !self.store.prune_log(before, now).await? {
                break;
            }
        }
        Ok(())
    }
}
