//! The files that a head points at: named by their hash, never changed, held once however many read them.

use std::io::Write as _;
use std::sync::OnceLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use shortbread_protocol::revocations::{DeltaRef, FileRef};

/// Files below this many bytes are sent as they are: they fit into one packet.
const LEAST: usize = 1024;

/// The most bytes of a compressed delta that a stream carries; a longer one is fetched by those who need it.
const MOST_SENT: usize = 48 * 1024;

/// A file's bytes, and the same compressed where that pays.
#[derive(Debug)]
pub struct File {
    bytes: Bytes,
    gzip: OnceLock<Option<Bytes>>,
}

impl File {
    pub(super) fn new(bytes: Vec<u8>) -> Self {
        Self { bytes: bytes.into(), gzip: OnceLock::new() }
    }

    /// The bytes.
    #[must_use]
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whether [`Self::gzip`] answers at once. Else it compresses first, which takes about a second for 20 MB.
    #[must_use]
    pub fn is_compressed(&self) -> bool {
        self.gzip.get().is_some() || !self.may_pay()
    }

    /// The bytes compressed (RFC 1952), if that saves more than an eighth. Done once.
    pub fn gzip(&self) -> Option<&Bytes> {
        if !self.may_pay() {
            return None;
        }
        let shorter = || Some(gzip(&self.bytes)).filter(|gzip| gzip.len() < self.bytes.len() / 8 * 7);
        self.gzip.get_or_init(shorter).as_ref()
    }

    // Packed records are hashes, which do not compress.
    fn may_pay(&self) -> bool {
        let text = self.bytes.iter().position(|byte| *byte == b'\n').unwrap_or(self.bytes.len());
        self.bytes.len() >= LEAST && text > self.bytes.len() / 8
    }
}

/// A snapshot under its name.
#[derive(Debug)]
pub struct SnapshotFile {
    /// What the head says of it.
    pub reference: FileRef,
    /// What is served.
    pub file: File,
}

impl SnapshotFile {
    pub(super) fn new(seq: u64, bytes: Vec<u8>) -> Self {
        Self { reference: FileRef::of(seq, &bytes), file: File::new(bytes) }
    }
}

/// A delta under its name.
#[derive(Debug)]
pub struct DeltaFile {
    /// What the head says of it.
    pub reference: DeltaRef,
    /// What is served.
    pub file: File,
}

impl DeltaFile {
    pub(super) fn new(from: u64, seq: u64, bytes: Vec<u8>) -> Self {
        Self { reference: DeltaRef { from, to: FileRef::of(seq, &bytes) }, file: File::new(bytes) }
    }

    /// As a stream's `delta` event carries it: `FROM-TO-HASH BASE64`, of the compressed bytes. `None` when it is too
    /// long for that.
    pub(super) fn line(&self) -> Option<String> {
        let DeltaRef { from, to } = self.reference;
        // What is longer by far need not be compressed to know it.
        if self.file.bytes.len() > 64 * MOST_SENT {
            return None;
        }
        let gzip = gzip(&self.file.bytes);
        let line = || format!("{from}-{}-{} {}", to.seq, hex::encode(to.sha256), STANDARD.encode(&gzip));
        (gzip.len() <= MOST_SENT).then(line)
    }
}

// The same bytes give the same: without time and name.
fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::default());
    // Writing to memory cannot fail.
    let _ = encoder.write_all(bytes);
    encoder.finish().unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use flate2::read::GzDecoder;
    use sha2::{Digest as _, Sha256};

    use super::*;

    fn unzip(bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
        out
    }

    #[test]
    fn text_is_compressed_and_packed_records_are_not() {
        let text = [&b"workflow ".repeat(500)[..], b"\n"].concat();
        let file = File::new(text.clone());
        assert!(!file.is_compressed());
        assert_eq!(unzip(file.gzip().unwrap()), text);
        assert!(file.is_compressed());
        let packed: Vec<u8> = (0..2000_u32).flat_map(|n| Sha256::digest(n.to_be_bytes())).collect();
        let file = File::new([b"{\"ids\":3}\n", &packed[..]].concat());
        assert!(file.is_compressed() && file.gzip().is_none(), "nothing is tried");
        assert!(File::new(b"{}\n".to_vec()).gzip().is_none(), "too short");
    }

    #[test]
    fn a_delta_travels_in_one_line_unless_it_is_long() {
        let delta = DeltaFile::new(3, 7, b"{}\n".to_vec());
        let line = delta.line().unwrap();
        let (name, body) = line.split_once(' ').unwrap();
        assert_eq!(name, format!("3-7-{}", hex::encode(Sha256::digest(b"{}\n"))));
        assert_eq!(unzip(&STANDARD.decode(body).unwrap()), b"{}\n");
        let packed: Vec<u8> = (0..2000_u32).flat_map(|n| Sha256::digest(n.to_be_bytes())).collect();
        assert_eq!(DeltaFile::new(3, 7, packed).line(), None);
    }
}
