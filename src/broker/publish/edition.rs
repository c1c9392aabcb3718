//! What the next head will point at: a snapshot that is written rarely, and deltas that lead from it, and from what
//! readers had a moment ago, to the list as it stands.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use shortbread_protocol::revocations::MAX_DELTA;
use tokio::task::{JoinHandle, spawn_blocking};

use super::file::{DeltaFile, SnapshotFile};
use super::{delta, snapshot};
use crate::store::Revocations;

/// How many earlier contents a head leads on from, beside its snapshot: with that one, the most that a head may name.
const RECENT: usize = 7;

/// A new snapshot is due when the delta from the last one has more bytes than this, or than an eighth of it, ...
const LONG: u64 = 256 * 1024;
/// ... but for fewer than this it is never worth it.
const SHORT: u64 = 4 * 1024;

/// What changed more keys than this is written down on a thread that may block.
const MANY: usize = 1000;

/// How long a file is served after the last head that named it.
const GRACE: Duration = Duration::from_secs(60);
/// The most old snapshots, old deltas, and bytes of old deltas that are kept at all.
const OLD_SNAPSHOTS: usize = 2;
const OLD_DELTAS: usize = 256;
const OLD_BYTES: usize = 8 * 1024 * 1024;

/// Writing did not come to its end: the program is stopping, or ran out of memory.
#[derive(Debug)]
pub(super) struct Broken;

/// The files of one head, all leading to the same contents.
#[derive(Debug)]
pub(super) struct Edition {
    pub(super) contents: u64,
    pub(super) base: Arc<SnapshotFile>,
    /// At most eight; the one from the base is first, unless the base has these contents itself.
    pub(super) deltas: Vec<Arc<DeltaFile>>,
}

/// What the publisher works with, one at a time.
#[derive(Debug, Default)]
pub(super) struct Desk {
    /// The last time that signing was begun and came to its end.
    pub(super) signed: u64,
    published: Option<Arc<Edition>>,
    // Contents of earlier heads, newest first.
    recent: VecDeque<u64>,
    renewal: Option<JoinHandle<SnapshotFile>>,
    pub(super) old: Old,
    #[cfg(test)]
    pub(super) hold: Arc<tokio::sync::Mutex<()>>,
}

impl Desk {
    /// The files for the list as it stands. Only where no delta can lead to it, as after a start, the whole list is
    /// written down now.
    pub(super) async fn edition(
        &mut self,
        list: &Arc<Revocations>,
        origin: &Arc<str>,
    ) -> Result<Arc<Edition>, Broken> {
        let contents = list.changed_seq();
        let base = self.newest_base(contents).await;
        if let (Some(published), Some(base)) = (&self.published, &base)
            && published.contents == contents
            && Arc::ptr_eq(&published.base, base)
        {
            return Ok(Arc::clone(published));
        }
        if let Some(base) = base
            && let Some(deltas) = self.deltas(list, origin, base.reference.seq).await?
        {
            return Ok(Arc::new(Edition { contents, base, deltas }));
        }
        let (whole, name) = (Arc::clone(list), Arc::clone(origin));
        let base = spawn_blocking(move || snapshot::write(&whole, &name)).await.map_err(|_| Broken)?;
        let deltas = self.deltas(list, origin, contents).await?.unwrap_or_default();
        Ok(Arc::new(Edition { contents, base: Arc::new(base), deltas }))
    }

    /// These files are named by the head that is served now.
    pub(super) fn publish(&mut self, edition: &Arc<Edition>, now: Duration) {
        if let Some(last) = self.published.replace(Arc::clone(edition))
            && !Arc::ptr_eq(&last, edition)
        {
            if last.contents != edition.contents {
                self.recent.push_front(last.contents);
                self.recent.truncate(RECENT);
            }
            self.old.retire(&last, edition, now);
        }
        self.old.sweep(now);
    }

    /// Has a new snapshot written where no one waits for it, if it is time. The next head but one names it.
    pub(super) fn renew(&mut self, list: &Arc<Revocations>, origin: &Arc<str>) {
        let Some(published) = self.published.as_ref().filter(|_| self.renewal.is_none()) else { return };
        let base = published.base.reference;
        let long = (base.bytes / 8).clamp(SHORT, LONG);
        let way = published.deltas.first().filter(|delta| delta.reference.from == base.seq);
        if way.is_some_and(|way| way.reference.to.bytes > long) || list.fades(base.seq) {
            let (list, origin) = (Arc::clone(list), Arc::clone(origin));
            #[cfg(test)]
            let hold = Arc::clone(&self.hold);
            self.renewal = Some(spawn_blocking(move || {
                #[cfg(test)]
                let _held = hold.blocking_lock();
                snapshot::write(&list, &origin)
            }));
        }
    }

    // The one that was written meanwhile, else the one that is served.
    async fn newest_base(&mut self, contents: u64) -> Option<Arc<SnapshotFile>> {
        let served = self.published.as_ref().map(|published| Arc::clone(&published.base));
        if let Some(renewal) = self.renewal.take_if(|renewal| renewal.is_finished()) {
            // Ready, so this does not wait; one that broke off is begun again.
            let least = served.as_ref().map_or(0, |base| base.reference.seq);
            match renewal.await {
                Ok(base) if (least + 1..=contents).contains(&base.reference.seq) => {
                    return Some(Arc::new(base));
                }
                _ => {}
            }
        }
        served
    }

    /// `None` when none leads from the base that readers would take.
    async fn deltas(
        &self,
        list: &Arc<Revocations>,
        origin: &Arc<str>,
        base: u64,
    ) -> Result<Option<Vec<Arc<DeltaFile>>>, Broken> {
        let contents = list.changed_seq();
        let last = self.published.as_ref().map(|published| published.contents);
        let recent = last.into_iter().chain(self.recent.iter().copied());
        let recent: Vec<u64> = recent.filter(|from| *from < contents && *from != base).take(RECENT).collect();
        let many = list.touched_since(base) > MANY;
        let (list, origin) = (Arc::clone(list), Arc::clone(origin));
        let write = move || lead(&list, &origin, base, &recent);
        if many { spawn_blocking(write).await.map_err(|_| Broken) } else { Ok(write()) }
    }
}

fn lead(list: &Revocations, origin: &str, base: u64, recent: &[u64]) -> Option<Vec<Arc<DeltaFile>>> {
    let write = |from: u64| {
        let delta = delta::write(list, from, origin)?;
        (delta.reference.to.bytes <= MAX_DELTA).then(|| Arc::new(delta))
    };
    let mut deltas = Vec::with_capacity(RECENT + 1);
    if base < list.changed_seq() {
        deltas.push(write(base)?);
    }
    deltas.extend(recent.iter().filter_map(|from| write(*from)));
    Some(deltas)
}

/// Files that the served head does not name any more, for those who read an older one moments ago. Newest first.
#[derive(Debug, Default)]
pub(super) struct Old {
    pub(super) snapshots: VecDeque<(Duration, Arc<SnapshotFile>)>,
    pub(super) deltas: VecDeque<(Duration, Arc<DeltaFile>)>,
}

impl Old {
    fn retire(&mut self, last: &Edition, next: &Edition, now: Duration) {
        if last.base.reference != next.base.reference {
            self.snapshots.push_front((now, Arc::clone(&last.base)));
        }
        let named = |old: &&Arc<DeltaFile>| next.deltas.iter().any(|new| new.reference == old.reference);
        for delta in last.deltas.iter().filter(|old| !named(old)) {
            self.deltas.push_front((now, Arc::clone(delta)));
        }
    }

    fn sweep(&mut self, now: Duration) {
        self.snapshots.retain(|(since, _)| now.saturating_sub(*since) < GRACE);
        self.snapshots.truncate(OLD_SNAPSHOTS);
        self.deltas.retain(|(since, _)| now.saturating_sub(*since) < GRACE);
        self.deltas.truncate(OLD_DELTAS);
        let mut bytes = 0;
        let fits = |(_, delta): &&(Duration, Arc<DeltaFile>)| {
            bytes += delta.file.bytes().len();
            bytes <= OLD_BYTES
        };
        let fitting = self.deltas.iter().take_while(fits).count();
        self.deltas.truncate(fitting);
    }
}
