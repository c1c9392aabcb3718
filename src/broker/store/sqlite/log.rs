//! The store's side of the audit log: entries, tree, checkpoints, and what goes of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::log::{Hash, TilePlace};

use super::unit::{Failure, Unit};
use super::{Sqlite, checkpoints, read, retention};
use crate::store::tree::{self, Tiles as _};
use crate::store::{StoreError, StoredCheckpoint, StoredEntry};

impl Sqlite {
    pub(in crate::store) async fn audit_tail(
        &self,
        from: u64,
        limit: usize,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        self.readers.read(move |conn| read::audit_tail(conn, from, limit)).await
    }

    pub(in crate::store) async fn audit_place(&self, at: Timestamp) -> Result<u64, StoreError> {
        self.readers.read(move |conn| checkpoints::place(conn, at)).await
    }

    pub(in crate::store) async fn log_roots(&self, sizes: Vec<u64>) -> Result<Vec<Hash>, StoreError> {
        let read = move |conn: &Connection| sizes.iter().map(|size| tree::root(conn, *size)).collect();
        self.readers.read(read).await
    }

    pub(in crate::store) async fn log_inclusion(
        &self,
        size: u64,
        index: u64,
    ) -> Result<Vec<Hash>, StoreError> {
        self.readers.read(move |conn| tree::inclusion(conn, size, index)).await
    }

    pub(in crate::store) async fn log_consistency(
        &self,
        from: u64,
        to: u64,
    ) -> Result<Vec<Hash>, StoreError> {
        self.readers.read(move |conn| tree::consistency(conn, from, to)).await
    }

    pub(in crate::store) async fn log_tile(&self, place: TilePlace) -> Result<Vec<Hash>, StoreError> {
        self.readers.read(move |conn| conn.hashes(place)).await
    }

    pub(in crate::store) async fn keep_checkpoint(&self, new: StoredCheckpoint) -> Result<bool, StoreError> {
        self.write(move |unit| checkpoints::keep(unit, &new)).await
    }

    pub(in crate::store) async fn last_checkpoint(&self) -> Result<Option<StoredCheckpoint>, StoreError> {
        self.readers.read(checkpoints::last).await
    }

    pub(in crate::store) async fn checkpoints(
        &self,
        after: u64,
        limit: u16,
    ) -> Result<Vec<StoredCheckpoint>, StoreError> {
        self.readers.read(move |conn| checkpoints::all(conn, after, limit)).await
    }

    pub(in crate::store) async fn audit_places(&self, id: String) -> Result<Vec<u64>, StoreError> {
        self.readers.read(move |conn| read::audit_places(conn, &id)).await
    }

    pub(in crate::store) async fn oldest_prunable(&self) -> Result<Option<Timestamp>, StoreError> {
        self.readers.read(retention::oldest).await
    }

    pub(in crate::store) async fn prune_log(
        &self,
        before: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let shared = Arc::clone(&self.shared);
        let work = move |unit: &mut Unit<'_>| {
            let step = retention::step(unit, before, now)?;
            // Wiped once for many steps, when it is next asked for.
            shared.traces.fetch_or(step.inputs, Ordering::Relaxed);
            Ok(step.more)
        };
        self.write(work).await
    }

    pub(in crate::store) async fn wipe_traces(&self) -> Result<bool, StoreError> {
        if self.has_traces() {
            self.shared.wipe.store(true, Ordering::Relaxed);
            self.write(|_| Ok::<_, Failure<StoreError>>(())).await?;
        }
        Ok(!self.has_traces())
    }

    pub(in crate::store) async fn audit_by_decision(
        &self,
        id: String,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        self.readers.read(move |conn| read::audit_by_key(conn, &id)).await
    }

    pub(in crate::store) async fn audit_by_trace(
        &self,
        trace: [u8; 16],
    ) -> Result<Vec<StoredEntry>, StoreError> {
        self.readers.read(move |conn| read::audit_by_key(conn, &trace)).await
    }
}
