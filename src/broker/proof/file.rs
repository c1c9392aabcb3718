//! The proof that lies beside an export: JSON Lines, read once from its beginning to its end.
//!
//! ```text
//! {"v":1,"origin":"b.example/log","first":0,"next":2,"size":2,"prefix":[],"suffix":[]}
//! "leaf hash of the first entry in base64"
//! "leaf hash of the second"
//! {"checkpoint":"the signed checkpoint over `size` entries"}
//! {"keys":"a signed key document"}
//! ```
//! `prefix` holds the roots of the whole subtrees before the first entry, `suffix` those between `next` and `size`. Key
//! documents may stand there several times, so that checkpoints by earlier keys are checked too.

use std::io::{self, BufRead, Read as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use shortbread_protocol::key_document::{KeyDocument, KeyDocumentError, KeyPurpose};
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::log;
use thiserror::Error;

use super::checkpoint::hash;
use super::tree::{Hash, Range, subtrees};

/// The version of the format.
pub const VERSION: u32 = 1;
const MAX_LINE: u64 = 128 * 1024;
/// The most key documents.
const MAX_KEYS: usize = 1024;

/// Why nothing can be proved with a file.
#[derive(Debug, Error)]
pub enum ProofError {
    /// A file is not read.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// Not a proof, or one that breaks off.
    #[error("line {line} of the proof is wrong: {what}")]
    Line {
        /// From 1.
        line: u64,
        /// What should stand there.
        what: &'static str,
    },
    /// It is of another log.
    #[error("the proof is of the log {found}, not of {wanted}")]
    Origin {
        /// As it says.
        found: String,
        /// As was asked for.
        wanted: String,
    },
    /// No key document that the pinned root key signed names audit keys.
    #[error("no key document of the proof is by the root key: {0}")]
    Keys(KeyDocumentError),
    /// A key document is of another broker.
    #[error("a key document of the proof is of {found}, whose log is not {wanted}")]
    Issuer {
        /// Its issuer.
        found: String,
        /// The log.
        wanted: String,
    },
}

/// The first line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// [`VERSION`].
    pub v: u32,
    /// Which log.
    pub origin: String,
    /// The place of the export's first entry.
    pub first: u64,
    /// The place after its last entry.
    pub next: u64,
    /// How many entries the checkpoint covers.
    pub size: u64,
    /// The roots of the subtrees before `first`, in base64.
    pub prefix: Vec<String>,
    /// The roots of the subtrees from `next` up to `size`, in base64.
    pub suffix: Vec<String>,
}

/// What stands after the leaves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The newest checkpoint, a signed note.
    pub checkpoint: String,
    /// Key documents, signed notes.
    pub keys: Vec<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum TailLine {
    Checkpoint(String),
    Keys(String),
}

impl Head {
    /// For the entries from `first` up to `next` of a log with a checkpoint over `size`.
    #[must_use]
    pub fn new(origin: &str, places: [u64; 3], prefix: &[Hash], suffix: &[Hash]) -> Self {
        let [first, next, size] = places;
        let encode = |hashes: &[Hash]| hashes.iter().map(|hash| STANDARD.encode(hash)).collect();
        let (prefix, suffix) = (encode(prefix), encode(suffix));
        Self { v: VERSION, origin: origin.to_owned(), first, next, size, prefix, suffix }
    }

    /// Writes the line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        write_line(to, self)
    }

    /// The tree before the first entry, and the subtrees after the last.
    pub(super) fn around(&self) -> Option<(Range, Vec<(u32, Hash)>)> {
        let decode = |texts: &[String]| texts.iter().map(|text| hash(text)).collect::<Option<Vec<Hash>>>();
        let ordered =
            self.first <= self.next && self.next <= self.size && self.size <= i64::MAX.unsigned_abs();
        let (prefix, suffix) = (decode(&self.prefix)?, decode(&self.suffix)?);
        let after = subtrees(self.next, if ordered { self.size } else { self.next });
        let levels = after.into_iter().map(|(level, _)| level).collect::<Vec<_>>();
        let fits = ordered && levels.len() == suffix.len();
        fits.then_some((Range::new(self.first, prefix)?, levels.into_iter().zip(suffix).collect()))
    }
}

/// Writes one leaf's line.
///
/// # Errors
/// When it cannot be written.
pub fn write_leaf(to: &mut impl Write, leaf: &Hash) -> io::Result<()> {
    writeln!(to, "\"{}\"", STANDARD.encode(leaf))
}

impl Tail {
    /// Writes the lines.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        write_line(to, &TailLine::Checkpoint(self.checkpoint.clone()))?;
        self.keys.iter().try_for_each(|keys| write_line(to, &TailLine::Keys(keys.clone())))
    }
}

fn write_line(to: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    let mut bytes = serde_json::to_vec(line)?;
    bytes.push(b'\n');
    to.write_all(&bytes)
}

/// The audit keys of key documents that the root key signed for this log: those of the newest, and those of all.
///
/// # Errors
/// When one of them is not by the root key, or of another broker, or there is none.
pub fn keys_of(
    documents: &[String],
    root: &PublicKey,
    origin: &str,
) -> Result<(KeyDocument, Vec<PublicKey>), ProofError> {
    let mut newest: Option<KeyDocument> = None;
    let mut all = Vec::new();
    for signed in documents {
        // Its issuer is looked up before it is believed; then it is opened for that issuer.
        let text = signed.split("\n\n").next().unwrap_or_default();
        let issuer = text.lines().find_map(|line| line.strip_prefix("issuer ")).unwrap_or_default();
        let document = KeyDocument::open(signed.as_bytes(), issuer, root).map_err(ProofError::Keys)?;
        if !log::is_origin_of(origin, &log::origin(issuer)) {
            return Err(ProofError::Issuer { found: issuer.to_owned(), wanted: origin.to_owned() });
        }
        all.extend(document.of(KeyPurpose::Audit).map(|key| key.key));
        if newest.as_ref().is_none_or(|known| known.version < document.version) {
            newest = Some(document);
        }
    }
    let newest = newest.ok_or(ProofError::Keys(KeyDocumentError::Line("absence: there is none, and it")))?;
    Ok((newest, all))
}

/// A proof as it is read.
pub(super) struct Proof<R> {
    pub(super) head: Head,
    from: R,
    line: u64,
    left: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Proof<R> {
    /// Reads the first line.
    pub(super) fn open(from: R) -> Result<Self, ProofError> {
        let head = Head {
            v: 0,
            origin: String::new(),
            first: 0,
            next: 0,
            size: 0,
            prefix: Vec::new(),
            suffix: Vec::new(),
        };
        let mut proof = Self { head, from, line: 0, left: 0, buffer: Vec::new() };
        proof.read()?;
        let head: Option<Head> = serde_json::from_slice(&proof.buffer).ok();
        let head = head.filter(|head| head.v == VERSION && head.around().is_some());
        proof.head = head.ok_or_else(|| proof.wrong("the first line of a proof of this version"))?;
        proof.left = proof.head.next - proof.head.first;
        Ok(proof)
    }

    /// The next leaf, until there are none.
    pub(super) fn leaf(&mut self) -> Result<Option<Hash>, ProofError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.read()?;
        let text = self.buffer.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
        // The decoder wants room for a padding that there is not.
        let mut hash = [0; 33];
        let decoded = text.and_then(|text| STANDARD.decode_slice(text, &mut hash).ok());
        let found = hash.first_chunk::<32>().filter(|_| decoded == Some(32)).copied();
        found.map(Some).ok_or_else(|| self.wrong("a leaf's hash (32 bytes in base64, in quotes)"))
    }

    /// What follows the leaves.
    pub(super) fn tail(mut self) -> Result<Tail, ProofError> {
        let mut tail = Tail::default();
        let mut checkpoint = None;
        while self.more()? {
            match serde_json::from_slice::<TailLine>(&self.buffer) {
                Ok(TailLine::Checkpoint(note)) if checkpoint.is_none() => checkpoint = Some(note),
                Ok(TailLine::Keys(signed)) if tail.keys.len() < MAX_KEYS => tail.keys.push(signed),
                _ => return Err(self.wrong("one checkpoint and key documents, after the leaves")),
            }
        }
        tail.checkpoint = checkpoint.ok_or_else(|| self.wrong("a checkpoint; the proof breaks off"))?;
        Ok(tail)
    }

    fn read(&mut self) -> Result<(), ProofError> {
        if self.more()? { Ok(()) } else { Err(self.wrong("more lines; the proof breaks off")) }
    }

    fn more(&mut self) -> Result<bool, ProofError> {
        self.buffer.clear();
        self.line += 1;
        let read = self.from.by_ref().take(MAX_LINE).read_until(b'\n', &mut self.buffer)?;
        match self.buffer.pop() {
            None => Ok(false),
            Some(b'\n') => Ok(true),
            Some(_) if read as u64 == MAX_LINE => Err(self.wrong("a line of at most 128 KiB")),
            Some(_) => Err(self.wrong("a whole line; the proof breaks off")),
        }
    }

    fn wrong(&self, what: &'static str) -> ProofError {
        ProofError::Line { line: self.line, what }
    }
}
