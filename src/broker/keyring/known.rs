//! The key documents that led here: those that were published, and the one of the file where it is newer.

use std::collections::BTreeMap;
use std::sync::Arc;

use shortbread_protocol::key_document::KeyDocument;
use shortbread_protocol::keys::PublicKey;

use super::error::KeyringError;
use super::files::read;
use crate::config::Keys;
use crate::store::KeyRecord;

/// Documents in order, with the second of each activation, and the bytes of every one that was published.
#[derive(Default)]
pub(super) struct Known {
    pub(super) history: Vec<(KeyDocument, u64)>,
    pub(super) published: BTreeMap<u64, Arc<[u8]>>,
}

impl Known {
    /// What the store has, and what the file adds now.
    ///
    /// # Errors
    /// When the last document is not believed, or the file is not what may follow it.
    pub(super) fn read(
        keys: &Keys,
        issuer: &str,
        root: &PublicKey,
        records: &[KeyRecord],
        now: u64,
    ) -> Result<Self, KeyringError> {
        let mut known = Self::default();
        let last = records.last().map_or(0, |last| last.version);
        for record in records {
            known.published.insert(record.version, record.signed.as_slice().into());
            match KeyDocument::open(&record.signed, issuer, root) {
                Ok(document) => known.history.push((document, record.at.seconds())),
                // One by an earlier root key names no key that this one vouches for.
                Err(_) if record.version != last => {}
                Err(cause) => return Err(KeyringError::Published { version: record.version, cause }),
            }
        }
        // Without any other, the file must be there.
        if known.history.is_empty() || keys.document.exists() {
            known.take_file(keys, issuer, root, now)?;
        }
        Ok(known)
    }

    fn take_file(
        &mut self,
        keys: &Keys,
        issuer: &str,
        root: &PublicKey,
        now: u64,
    ) -> Result<(), KeyringError> {
        let path = || keys.document.clone();
        let signed = read(&keys.document)?;
        let document = KeyDocument::open(&signed, issuer, root)
            .map_err(|cause| KeyringError::Document { path: path(), cause })?;
        let version = document.version;
        match self.published.get(&version) {
            Some(published) if **published != *signed => {
                return Err(KeyringError::Equivocation { path: path(), version });
            }
            Some(_) => return Ok(()),
            None => {}
        }
        if let Some((last, _)) = self.history.last() {
            if version < last.version {
                return Ok(());
            }
            // By hand any higher version may be brought, as after a store was lost; what must not go back does not.
            let next = KeyDocument { version: last.version + 1, ..document.clone() };
            next.follows(last).map_err(|cause| KeyringError::Succession { path: path(), cause })?;
        }
        self.published.insert(version, signed.into());
        self.history.push((document, now));
        Ok(())
    }
}
