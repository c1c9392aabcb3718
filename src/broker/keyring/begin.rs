//! The first document of a start: what the file brings is published like any other, and nothing goes back.

use serde_json::json;
use shortbread_protocol::event::{Decision, EventType};

use super::{Keyring, KeyringError};
use crate::audit::Scribe;
use crate::store::{KeyError, KeyRecord, Store};

impl Keyring {
    /// Keeps the document in force as published, where it came from the file, with its audit entry.
    ///
    /// # Errors
    /// When the last signed head names a higher version than there is, or the store fails.
    pub(crate) async fn begin(
        &self,
        store: &Store,
        scribe: &Scribe,
        decision: &Decision,
    ) -> Result<(), BeginError> {
        let current = self.current();
        let version = current.document.version;
        // A store from before documents were kept in it still knows the last head.
        if let Some(published) =
            store.head().and_then(|head| named(&head.bytes)).filter(|named| *named > version)
        {
            return Err(KeyringError::Lower { found: version, published }.into());
        }
        let kept = store.key_documents().await.map_err(KeyError::from)?;
        if kept.last().is_some_and(|last| last.version >= version) {
            return Ok(());
        }
        let data = json!({
            "outcome": "done", "operator": "file", "version": version, "before": kept.last().map(|last| last.version),
            "sha256": hex::encode(current.hash), "stage": "record", "error_class": null,
        });
        let audit = scribe.entry(EventType::KeyRotated, decision, "operator/file".to_owned(), data);
        let (signed, by) = (current.signed.to_vec(), "file".to_owned());
        store.publish_keys(KeyRecord { version, signed, by, at: decision.at }, audit).await?;
        Ok(())
    }
}

/// Why the keys of a start are not put in force.
#[derive(Debug, thiserror::Error)]
pub enum BeginError {
    /// What verifiers know is not here.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The store says no.
    #[error(transparent)]
    Store(#[from] KeyError),
}

// The version of the key document in a head of our own.
fn named(head: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(head).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("keys "))?;
    line.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use shortbread_protocol::clock::{Clock as _, ManualClock, Timestamp};
    use shortbread_protocol::random::SeededRandom;
    use zeroize::Zeroizing;

    use super::*;
    use crate::broker::begin;
    use crate::config::Keys;
    use crate::setup::{make_document, make_keys};
    use crate::store::{Meta, Options, StoreKind};

    const ISSUER: &str = "https://broker.acme.example";

    #[tokio::test]
    async fn a_start_keeps_the_document_once_and_never_goes_back() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let keys = Keys {
            token: at("token.pem"),
            revocation: at("revocation.pem"),
            audit: at("audit.pem"),
            root: at("root.pub.pem"),
            document: at("document.txt"),
            ..Keys::default()
        };
        let clock = Arc::new(ManualClock::at(Timestamp::from_seconds(1_795_176_000)));
        let random = SeededRandom::new(3);
        make_keys(&keys, &random, false).unwrap();
        make_document(&keys, ISSUER, clock.now(), false).unwrap();
        let hmac_secret = Zeroizing::new([7; 32]);
        let meta =
            Meta { kind: StoreKind::Broker, issuer: ISSUER.to_owned(), created: clock.now(), hmac_secret };
        let store = Store::create(&at("store.db"), &meta, &Options::default()).unwrap();
        let scribe = Scribe::new(ISSUER);
        let decision = begin(&*clock, &random, None).unwrap();
        let keyring = Keyring::read(&keys, ISSUER, false, clock.clone()).unwrap();
        for _ in 0..2 {
            keyring.begin(&store, &scribe, &decision).await.unwrap();
            let kept = store.key_documents().await.unwrap();
            assert_eq!((kept.len(), kept[0].version, kept[0].by.as_str()), (1, 1, "file"));
            assert_eq!(store.audit_size(), 1);
        }
        // A store that signed heads before it kept documents: its last head names one that is not here.
        store.next_head(clock.now(), |_| Some(b"o\nf\nkeys 2 x\n".to_vec())).await.unwrap();
        let refused = keyring.begin(&store, &scribe, &decision).await;
        let lower = BeginError::Keyring(KeyringError::Lower { found: 1, published: 2 });
        assert_eq!(refused.unwrap_err().to_string(), lower.to_string());
    }

    #[test]
    fn the_version_is_read_out_of_a_head() {
        assert_eq!(named(b"o\nf\nseq 1\nkeys 7 abc=\n\nsig"), Some(7));
        assert_eq!(named(b"o\nf\nseq 1\n"), None);
        assert_eq!(named(b"\xff"), None);
    }
}
