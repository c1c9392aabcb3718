//! What is served, all of one moment.

use std::sync::Arc;

use bytes::Bytes;
use sha2::{Digest as _, Sha256};
use shortbread_protocol::clock::Timestamp;

use super::edition::{Edition, Old};
use super::file::{DeltaFile, SnapshotFile};
use super::frames::Frames;
use crate::store::Head;

/// A head and every file that is served beside it.
#[derive(Debug)]
pub struct Published {
    /// The head's number.
    pub seq: u64,
    /// When it was signed.
    pub issued: Timestamp,
    /// The number of the last change of contents.
    pub contents: u64,
    /// Its exact bytes.
    pub head: Bytes,
    /// Its entity tag: the hash of the bytes, quoted.
    pub etag: String,
    /// The snapshot that the head names, then older ones.
    pub snapshots: Vec<Arc<SnapshotFile>>,
    /// The deltas that the head names, then older ones.
    pub deltas: Vec<Arc<DeltaFile>>,
    frames: Frames,
}

impl Published {
    pub(super) fn new(head: &Head, edition: &Edition, old: &Old) -> Self {
        let snapshots = std::iter::once(&edition.base).chain(old.snapshots.iter().map(|(_, file)| file));
        let deltas = edition.deltas.iter().chain(old.deltas.iter().map(|(_, file)| file));
        Self {
            seq: head.seq,
            issued: head.issued,
            contents: edition.contents,
            head: head.bytes.clone().into(),
            etag: format!("\"{}\"", hex::encode(Sha256::digest(&head.bytes))),
            snapshots: snapshots.cloned().collect(),
            deltas: deltas.cloned().collect(),
            frames: Frames::new(head.seq, &head.bytes, edition.deltas.len()),
        }
    }

    /// A snapshot by its sequence and hash.
    #[must_use]
    pub fn snapshot(&self, seq: u64, sha256: &[u8; 32]) -> Option<&Arc<SnapshotFile>> {
        let named = |file: &&Arc<SnapshotFile>| (file.reference.seq, &file.reference.sha256) == (seq, sha256);
        self.snapshots.iter().find(named)
    }

    /// A delta by where it begins, where it leads, and its hash.
    #[must_use]
    pub fn delta(&self, from: u64, to: u64, sha256: &[u8; 32]) -> Option<&Arc<DeltaFile>> {
        let named = |file: &&Arc<DeltaFile>| {
            let reference = &file.reference;
            (reference.from, reference.to.seq, &reference.to.sha256) == (from, to, sha256)
        };
        self.deltas.iter().find(named)
    }

    /// What a stream sends whose reader has these contents, as far as is known: the head, and right behind it the
    /// delta that leads to its contents, where they are others and there is one.
    #[must_use]
    pub fn frame(&self, has: Option<u64>) -> Bytes {
        let Some(has) = has.filter(|has| *has != self.contents) else { return self.frames.head() };
        let leads =
            |delta: &Arc<DeltaFile>| (delta.reference.from, delta.reference.to.seq) == (has, self.contents);
        match self.deltas.iter().position(leads) {
            Some(place) => self
                .deltas
                .get(place)
                .map_or_else(|| self.frames.head(), |delta| self.frames.with(place, delta)),
            None => self.frames.head(),
        }
    }
}
