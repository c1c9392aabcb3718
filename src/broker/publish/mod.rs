//! The signed revocation list as it is served: a new head at least every five seconds and with every change, over a
//! snapshot that is written rarely and deltas that lead from it to the list as it stands.

mod delta;
mod edition;
mod file;
mod frames;
mod history;
mod published;
mod snapshot;
#[cfg(test)]
mod tests;

pub use file::{DeltaFile, File, SnapshotFile};
pub use published::Published;
pub(crate) use snapshot::cause;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex as Lock, PoisonError};
use std::time::Duration;

use shortbread_protocol::clock::Clock;
use shortbread_protocol::note;
use shortbread_protocol::revocations::{Head, origin};
use thiserror::Error;
use tokio::sync::{Mutex, watch};

use self::edition::{Broken, Desk, Edition};
use self::history::History;
use crate::keyring::{HeadKeys, Keyring};
use crate::store::{HeadError, HeadFacts, Revocations, Store};
use crate::telemetry;

/// How long until the next head is due.
pub const PERIOD: Duration = Duration::from_secs(5);

/// How long a head may be relied on: at least as long as the longest window of a verifier.
const LIFE: u64 = 900;

/// Tries to sign a head while the list keeps changing.
const TRIES: usize = 16;

/// How often the age of the head is told to those who collect metrics.
const TICK: Duration = Duration::from_secs(1);

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
    /// The program is stopping, or out of memory.
    #[error("the revocation list could not be written down: the program is stopping or out of memory")]
    Broken,
}

impl From<Broken> for PublishError {
    fn from(Broken: Broken) -> Self {
        Self::Broken
    }
}

/// Signs and keeps what is served.
pub struct Publisher {
    store: Store,
    keyring: Arc<Keyring>,
    clock: Arc<dyn Clock>,
    origin: Arc<str>,
    current: watch::Sender<Option<Arc<Published>>>,
    history: Lock<History>,
    desk: Mutex<Desk>,
    // How many times signing was begun; moved on only at the desk.
    begun: AtomicU64,
}

impl Publisher {
    /// For the broker of this issuer. Each head is signed with what the keyring says at that moment.
    #[must_use]
    pub fn new(store: Store, keyring: Arc<Keyring>, clock: Arc<dyn Clock>, issuer: &str) -> Self {
        let origin = origin(issuer);
        let mut history = History::default();
        // The last head before a restart: whoever has it can take its stream up again.
        if let Some(last) = store.head()
            && let Ok(head) = Head::open(&last.bytes, &origin, &keyring.head_keys())
        {
            history.note(head.seq, head.contents());
        }
        let (current, history) = (watch::Sender::new(None), Lock::new(history));
        let (desk, begun) = (Mutex::default(), AtomicU64::new(0));
        Self { store, keyring, clock, origin: origin.into(), current, history, desk, begun }
    }

    /// What is served now; nothing before the first head.
    #[must_use]
    pub fn current(&self) -> Option<Arc<Published>> {
        self.current.borrow().clone()
    }

    /// What is served now and whatever will be; who is slow sees the newest alone.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Published>>> {
        self.current.subscribe()
    }

    /// The contents that an earlier head stood for, when that is still known.
    #[must_use]
    pub fn contents_of(&self, head: u64) -> Option<u64> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner).contents(head)
    }

    /// Signs a new head over the list as it stands. Once this returns, every change that was confirmed before is in
    /// the head that is served. Those who come while another is signed share the next: however many ask, nobody waits
    /// for more than two.
    ///
    /// # Errors
    /// When the store or the key fails; what was served stays.
    pub async fn publish(&self) -> Result<Arc<Published>, PublishError> {
        let before = self.begun.load(Ordering::SeqCst);
        let mut desk = self.desk.lock().await;
        // Begun after this was asked for, so it looked at everything that was confirmed before.
        if desk.signed > before
            && let Some(current) = self.current()
        {
            return Ok(current);
        }
        let turn = self.begun.fetch_add(1, Ordering::SeqCst) + 1;
        for _ in 0..TRIES {
            let list = self.store.mirror();
            let edition = desk.edition(&list, &self.origin).await?;
            // Asked for each try: a key document may come into force in between.
            let keys = self.keyring.heads().ok_or(PublishError::Key)?;
            match self.sign(&edition, keys).await {
                Ok(head) => {
                    desk.signed = turn;
                    return Ok(self.serve(&mut desk, &head, &edition, &list));
                }
                Err(HeadError::Declined) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(PublishError::Busy)
    }

    /// Tells those who collect metrics how old the head is, until it is dropped.
    pub async fn report_age(&self) {
        loop {
            if let Some(current) = self.current() {
                telemetry::head_age(self.clock.now().since(current.issued));
            }
            tokio::time::sleep(TICK).await;
        }
    }

    async fn sign(
        &self,
        edition: &Arc<Edition>,
        HeadKeys { signer, document: keys }: HeadKeys,
    ) -> Result<Arc<crate::store::Head>, HeadError> {
        let (origin, edition) = (Arc::clone(&self.origin), Arc::clone(edition));
        let sign = move |facts: HeadFacts| {
            // A change got in between: the head would point at a list without it.
            if facts.revocations.changed_seq() != edition.contents {
                return None;
            }
            let issued = facts.issued.seconds();
            let head = Head {
                seq: facts.seq,
                issued,
                next: issued + PERIOD.as_secs(),
                expires: issued + LIFE,
                global: facts.revocations.global(),
                snapshot: edition.base.reference,
                deltas: edition.deltas.iter().map(|delta| delta.reference).collect(),
                keys,
            };
            let text = head.text(&origin);
            let signature = signer.sign(text.as_bytes()).ok()?;
            Some(note::attach(&text, &origin, &signer.public(), &signature).into_bytes())
        };
        self.store.next_head(self.clock.now(), sign).await
    }

    fn serve(
        &self,
        desk: &mut Desk,
        head: &crate::store::Head,
        edition: &Arc<Edition>,
        list: &Arc<Revocations>,
    ) -> Arc<Published> {
        desk.publish(edition, self.clock.monotonic());
        let published = Arc::new(Published::new(head, edition, &desk.old));
        self.history.lock().unwrap_or_else(PoisonError::into_inner).note(head.seq, edition.contents);
        self.current.send_replace(Some(Arc::clone(&published)));
        desk.renew(list, &self.origin);
        telemetry::published(published.seq, edition.base.reference.bytes);
        published
    }
}
