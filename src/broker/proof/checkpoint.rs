//! Checkpoints (C2SP tlog-checkpoint): what one says, who signed it, and files of those that were kept outside.

use std::io::{BufRead, Read as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::keys::PublicKey;
use shortbread_protocol::note::{self, NoteError};
use thiserror::Error;

use super::tree::Hash;

/// The most bytes of one checkpoint.
pub const MAX_CHECKPOINT: usize = 16 * 1024;
/// The most checkpoints that are held against a log at a time.
pub const MAX_HELD: usize = 100_000;
/// The most bytes of a line in a file of checkpoints.
const MAX_LINE: u64 = 256 * 1024;
/// How a signature line begins.
const SIGNED_BY: &str = "\u{2014} ";

/// Why something is no checkpoint, or not one to rely on.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum CheckpointError {
    /// The note around it is not believed.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// Not the lines of a checkpoint.
    #[error("it is not a checkpoint: its {0} is wrong")]
    Line(&'static str),
    /// A file of checkpoints that is not one.
    #[error("line {line} is neither part of a checkpoint nor a JSON line of the log")]
    Strange {
        /// From 1.
        line: u64,
    },
    /// A note in a file of checkpoints is none.
    #[error("the checkpoint that ends in line {line} is not read: {cause}")]
    Unread {
        /// From 1.
        line: u64,
        /// What is wrong with it.
        cause: Box<Self>,
    },
    /// More than [`MAX_HELD`].
    #[error("there are more than {MAX_HELD} checkpoints; keep a part of them, the newest included")]
    TooMany,
    /// The file is not read.
    #[error("it is not read: {0}")]
    File(String),
}

/// What a checkpoint says of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Which log.
    pub origin: String,
    /// How many entries it had.
    pub size: u64,
    /// The root over them.
    pub root: Hash,
}

/// A checkpoint that was kept outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// What it says, whoever signed it.
    pub claim: Claim,
    /// The signed note.
    pub note: String,
    /// When it was kept, where the file says so.
    pub at: Option<Timestamp>,
}

impl Claim {
    /// Reads a checkpoint without asking who signed it.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(note: &str) -> Result<Self, CheckpointError> {
        let (text, _) = note.split_once("\n\n").ok_or(NoteError::Malformed)?;
        Self::parse(text)
    }

    /// Reads a checkpoint of this log that one of the keys signed.
    ///
    /// # Errors
    /// When it is none, of another log, or signed by none of them.
    pub fn open(note: &str, origin: &str, keys: &[PublicKey]) -> Result<Self, CheckpointError> {
        let claim = Self::parse(note::open(note.as_bytes(), origin, keys, MAX_CHECKPOINT)?)?;
        if claim.origin == origin { Ok(claim) } else { Err(CheckpointError::Line("origin")) }
    }

    // Lines after the third are extensions.
    fn parse(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.lines();
        let origin =
            lines.next().filter(|origin| !origin.is_empty()).ok_or(CheckpointError::Line("origin"))?;
        let size = lines.next().and_then(number).ok_or(CheckpointError::Line("size"))?;
        let root = lines.next().and_then(hash).ok_or(CheckpointError::Line("root"))?;
        Ok(Self { origin: origin.to_owned(), size, root })
    }
}

/// A hash in base64, in its one spelling.
pub(super) fn hash(text: &str) -> Option<Hash> {
    let bytes: Hash = STANDARD.decode(text).ok()?.try_into().ok()?;
    (STANDARD.encode(bytes) == text).then_some(bytes)
}

fn number(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text && *number <= i64::MAX.unsigned_abs())
}

/// Reads checkpoints as anchors write them: signed notes one after another, or JSON lines of which some have a `note`.
///
/// # Errors
/// When a line belongs to neither, a note is no checkpoint, or there are too many.
pub fn read_held(mut from: impl BufRead) -> Result<Vec<Held>, CheckpointError> {
    let (mut held, mut open, mut line) = (Vec::new(), Open::default(), String::new());
    for count in 1.. {
        line.clear();
        let read = from.by_ref().take(MAX_LINE).read_line(&mut line);
        let read = read.map_err(|error| CheckpointError::File(error.to_string()))?;
        let text = line.trim_end_matches(['\n', '\r']);
        if read == 0 || !text.starts_with(SIGNED_BY) {
            held.extend(open.close().map(|note| keep(note, None, count - 1)).transpose()?);
        }
        if held.len() > MAX_HELD {
            return Err(CheckpointError::TooMany);
        }
        if read == 0 {
            break;
        }
        if open.is_empty() && text.starts_with('{') {
            held.extend(logged(text, count)?);
        } else if !open.take(text) {
            return Err(CheckpointError::Strange { line: count });
        }
    }
    if open.is_empty() { Ok(held) } else { Err(CheckpointError::Line("end: it breaks off")) }
}

fn keep(note: String, at: Option<Timestamp>, line: u64) -> Result<Held, CheckpointError> {
    let claim =
        Claim::read(&note).map_err(|cause| CheckpointError::Unread { line, cause: Box::new(cause) })?;
    Ok(Held { claim, note, at })
}

// A line of the broker's log. Most of them hold no checkpoint.
fn logged(text: &str, line: u64) -> Result<Option<Held>, CheckpointError> {
    // A crash leaves half a line.
    let Ok(value) = serde_json::from_str::<Value>(text) else { return Ok(None) };
    let text = |names: [&str; 2]| names.iter().find_map(|name| value.pointer(name)?.as_str());
    let Some(note) = text(["/note", "/fields/note"]).filter(|note| note.contains("\n\n\u{2014} ")) else {
        return Ok(None);
    };
    let at = text(["/timestamp", "/time"]).and_then(moment);
    keep(note.to_owned(), at, line).map(Some)
}

// Logs write more digits than milliseconds.
fn moment(text: &str) -> Option<Timestamp> {
    let whole = text.strip_suffix('Z')?.split('.').next()?;
    format!("{whole}Z").parse().ok()
}

/// A note of which not all lines were read yet.
#[derive(Default)]
struct Open {
    note: String,
    // Its text is over: signatures follow.
    signed: bool,
}

impl Open {
    fn is_empty(&self) -> bool {
        self.note.is_empty()
    }

    /// One more line; answers whether it can stand there.
    fn take(&mut self, text: &str) -> bool {
        match (self.is_empty(), text.is_empty(), text.starts_with(SIGNED_BY)) {
            // Between notes.
            (true, true, _) => return true,
            (true, _, true) => return false,
            (false, true, _) if !self.signed => self.signed = true,
            (false, _, signature) if signature != self.signed => return false,
            _ => {}
        }
        self.note.push_str(text);
        self.note.push('\n');
        self.note.len() <= MAX_CHECKPOINT
    }

    /// The note, if all of it was read: what comes next is no signature.
    fn close(&mut self) -> Option<String> {
        let whole = self.signed && !self.note.ends_with("\n\n");
        whole.then(|| std::mem::take(self).note)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shortbread_protocol::keys::PrivateKey;

    fn signed(size: u64) -> String {
        let text = format!("b.example/log\n{size}\n{}\n", STANDARD.encode([7; 32]));
        note::sign(&text, "b.example/log", &PrivateKey::from_seed(&[5; 32]))
    }

    #[test]
    fn a_checkpoint_is_believed_of_its_log_and_key_alone() {
        let key = PrivateKey::from_seed(&[5; 32]).public();
        let claim = Claim::open(&signed(3), "b.example/log", &[key]).unwrap();
        assert_eq!((claim.size, claim.root), (3, [7; 32]));
        assert!(Claim::open(&signed(3), "c.example/log", &[key]).is_err());
        let other = PrivateKey::from_seed(&[6; 32]).public();
        assert_eq!(Claim::open(&signed(3), "b.example/log", &[other]), Err(NoteError::Unsigned.into()));
        for bad in ["", "x", "o\n1\n\n\u{2014} a", "o\n01\nAA==\n\n", "o\n1\nAA==\n\n", "o\n-1\n\n\n\n"] {
            assert!(Claim::read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn kept_ones_are_read_in_every_form_that_they_are_kept_in() {
        let log = serde_json::json!({"timestamp": "2026-11-20T12:00:00.123456Z", "fields": {"message": "m", "note": signed(3)}});
        let flat = serde_json::json!({"note": signed(4), "time": "2026-11-20T12:00:01Z"});
        let text = format!("{}{}\n{}{log}\n{{\"a\":1}}\n{{\"no\n{flat}\n", signed(1), signed(2), "\n");
        let held = read_held(text.as_bytes()).unwrap();
        let sizes: Vec<u64> = held.iter().map(|held| held.claim.size).collect();
        assert_eq!(sizes, [1, 2, 3, 4]);
        assert_eq!(held[2].at, "2026-11-20T12:00:00Z".parse().ok());
        assert_eq!(held[0].note, signed(1));
        let key = PrivateKey::from_seed(&[5; 32]).public();
        assert!(held.iter().all(|held| Claim::open(&held.note, "b.example/log", &[key]).is_ok()));
        assert_eq!(read_held(&b""[..]).unwrap(), []);
        let crlf = signed(1).replace('\n', "\r\n");
        assert_eq!(read_held(crlf.as_bytes()).unwrap().len(), 1, "a mail program changes line ends");
    }

    #[test]
    fn what_is_no_file_of_checkpoints_is_named() {
        for bad in ["\u{2014} x y\n", "hello\n\u{2014} x\n", "a\nb\n\n\u{2014} x y\n", "hello"] {
            assert!(read_held(bad.as_bytes()).is_err(), "{bad:?}");
        }
        let (whole, key) = (signed(1), PrivateKey::from_seed(&[5; 32]).public());
        for end in 1..whole.len() - 1 {
            let read = read_held(&whole.as_bytes()[..end]).unwrap_or_default();
            let believed = read.iter().any(|held| Claim::open(&held.note, "b.example/log", &[key]).is_ok());
            assert!(!believed, "it breaks off after {end} bytes");
        }
        assert!(read_held(&[0xff, 0xfe, b'\n'][..]).is_err());
    }
}
