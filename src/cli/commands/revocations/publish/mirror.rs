//! The files of a mirror: each is checked before it stands in its place, and the head comes last.

use std::path::{Path, PathBuf};

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::key_document::{KeyDocument, KeyPurpose, MAX_KEY_DOCUMENT};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::revocations::{
    BreakGlass, DeltaRef, FileRef, Head, MAX_DELTA, MAX_HEAD, MAX_SNAPSHOT, origin,
};

use super::disk;
use crate::client::Broker;
use crate::failure::Failure;

const FIX: &str = "Check that the root key is this broker's, and that nobody stands between you and it.";

/// A folder that holds a broker's list as it is served.
pub(super) struct Mirror {
    folder: PathBuf,
    issuer: String,
    origin: String,
    root: Option<PublicKey>,
}

/// What was done for one head.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Written {
    pub(super) seq: u64,
    /// The sequence of the last change of contents.
    pub(super) contents: u64,
    /// New files beside the head, and their bytes.
    pub(super) files: u64,
    pub(super) bytes: u64,
    /// Old files that went.
    pub(super) removed: u64,
    /// Whether there is a break-glass head.
    pub(super) break_glass: bool,
    /// Whether signatures were checked.
    pub(super) checked: bool,
}

impl Mirror {
    /// Below a folder, for the broker of this issuer.
    pub(super) fn new(dir: &Path, issuer: &str, root: Option<PublicKey>) -> Self {
        let (issuer, origin) = (issuer.to_owned(), origin(issuer));
        Self { folder: dir.join("revocations"), issuer, origin, root }
    }

    pub(super) const fn checks_signatures(&self) -> bool {
        self.root.is_some()
    }

    /// Puts a head and all it names in place; `None` when a file that it names is not served any more.
    ///
    /// # Errors
    /// When anything does not hold together or cannot be written; what was served stays.
    pub(super) async fn bring(
        &self,
        broker: &Broker,
        bytes: &[u8],
        now: Timestamp,
    ) -> Result<Option<Written>, Failure> {
        let head = Head::peek(bytes, &self.origin).map_err(|error| Failure::new(error.to_string(), FIX))?;
        let last = self.last()?;
        self.rises(&head, bytes, last.as_ref())?;
        let mut written = Written {
            seq: head.seq,
            contents: head.contents(),
            checked: self.checks_signatures(),
            ..Written::default()
        };
        // First of all: it must reach verifiers whatever else fails.
        written.break_glass = self.break_glass(broker).await?;
        if !self.keys(broker, &head, bytes, &mut written).await? {
            return Ok(None);
        }
        let known = last.as_ref().map(|(last, _)| files(last)).unwrap_or_default();
        for named in files(&head) {
            let (path, file) = &named;
            let stands = known.contains(&named) && disk::size(&self.folder.join(path)) == Some(file.bytes);
            if !stands && !self.file(broker, path, file, &mut written).await? {
                return Ok(None);
            }
        }
        disk::put(&self.folder.join("head"), bytes)?;
        let named: Vec<String> = files(&head).into_iter().map(|(path, _)| path).collect();
        for (path, _) in known.iter().filter(|(path, _)| !named.contains(path)) {
            disk::touch(&self.folder.join(path), now);
        }
        written.removed = disk::prune(&self.folder, &named, now);
        Ok(Some(written))
    }

    /// The head that stands there.
    fn last(&self) -> Result<Option<(Head, Vec<u8>)>, Failure> {
        let path = self.folder.join("head");
        let Some(bytes) = disk::read(&path)? else { return Ok(None) };
        let head = Head::peek(&bytes, &self.origin).map_err(|error| {
            let fix = "Name the folder of this broker's mirror, or an empty one.";
            Failure::new(format!("{} is not a list of {}: {error}", path.display(), self.origin), fix)
        })?;
        Ok(Some((head, bytes)))
    }

    // A mirror never goes back, as a verifier does not: whoever serves an old head holds revocations back.
    fn rises(&self, head: &Head, bytes: &[u8], last: Option<&(Head, Vec<u8>)>) -> Result<(), Failure> {
        let Some((last, known)) = last else { return Ok(()) };
        if head.seq < last.seq {
            let what =
                format!("the broker serves list {}, but the mirror has list {} already", head.seq, last.seq);
            let fix = "A cache on the way may be behind, or the broker's store was restored from an old copy: \
                       look at both before you empty the mirror.";
            return Err(Failure::new(what, fix));
        }
        if head.seq == last.seq && bytes != known.as_slice() {
            let what = format!("the broker signed two different lists with the number {}", head.seq);
            return Err(Failure::new(what, "Two brokers sign with one key: stop one of them."));
        }
        Ok(())
    }

    async fn keys(
        &self,
        broker: &Broker,
        head: &Head,
        bytes: &[u8],
        written: &mut Written,
    ) -> Result<bool, Failure> {
        let (version, hash) = head.keys;
        let path = format!("keys/{version}");
        let place = self.folder.join(&path);
        let here = disk::read(&place)?.filter(|here| KeyDocument::hash(here) == hash);
        let (document, new) = match here {
            Some(here) => (here, false),
            None => match broker.file(&format!("/revocations/{path}"), MAX_KEY_DOCUMENT as u64).await? {
                Some(fetched) => (fetched, true),
                None => return Ok(false),
            },
        };
        if KeyDocument::hash(&document) != hash {
            return Err(Failure::new("the key document is not the one that the list names", FIX));
        }
        if let Some(root) = &self.root {
            let failed = |error: String| Failure::new(error, FIX);
            let document = KeyDocument::open(&document, &self.issuer, root)
                .map_err(|error| failed(error.to_string()))?;
            let keys: Vec<PublicKey> = document.of(KeyPurpose::Revocation).map(|key| key.key).collect();
            Head::open(bytes, &self.origin, &keys).map_err(|error| failed(error.to_string()))?;
        }
        if new {
            disk::put(&place, &document)?;
            written.count(&document);
        }
        Ok(true)
    }

    async fn file(
        &self,
        broker: &Broker,
        path: &str,
        file: &FileRef,
        written: &mut Written,
    ) -> Result<bool, Failure> {
        let place = self.folder.join(path);
        if disk::read(&place)?.is_some_and(|here| file.fits(&here)) {
            return Ok(true);
        }
        let most = if path.starts_with("delta") { MAX_DELTA } else { MAX_SNAPSHOT };
        let Some(fetched) = broker.file(&format!("/revocations/{path}"), file.bytes.min(most)).await? else {
            return Ok(false);
        };
        if !file.fits(&fetched) {
            return Err(Failure::new(
                format!("/revocations/{path} is not the file that the list names"),
                FIX,
            ));
        }
        disk::put(&place, &fetched)?;
        written.count(&fetched);
        Ok(true)
    }

    /// What the offline root key said, if it ever spoke. A broker that has forgotten it takes nothing away.
    async fn break_glass(&self, broker: &Broker) -> Result<bool, Failure> {
        let place = self.folder.join("break-glass");
        let here = disk::read(&place)?;
        let Some(fetched) = broker.file("/revocations/break-glass", MAX_HEAD as u64).await? else {
            return Ok(here.is_some());
        };
        if here.as_ref() == Some(&fetched) {
            return Ok(true);
        }
        if let Some(root) = &self.root {
            let open = |bytes: &[u8]| BreakGlass::open(bytes, &self.origin, root);
            let offered = open(&fetched).map_err(|error| Failure::new(error.to_string(), FIX))?;
            if here.as_deref().is_some_and(|here| open(here).is_ok_and(|here| here.seq > offered.seq)) {
                return Ok(true);
            }
        }
        disk::put(&place, &fetched)?;
        Ok(true)
    }
}

impl Written {
    fn count(&mut self, bytes: &[u8]) {
        self.files += 1;
        self.bytes += bytes.len() as u64;
    }
}

/// The files that a head names, by their addresses below `revocations`.
fn files(head: &Head) -> Vec<(String, FileRef)> {
    let hex = |file: &FileRef| file.sha256.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let snapshot = (format!("snapshot/{}-{}", head.snapshot.seq, hex(&head.snapshot)), head.snapshot);
    let delta =
        |delta: &DeltaRef| (format!("delta/{}-{}-{}", delta.from, delta.to.seq, hex(&delta.to)), delta.to);
    std::iter::once(snapshot).chain(head.deltas.iter().map(delta)).collect()
}
