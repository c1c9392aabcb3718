//! The head: a small signed text that says where the list stands. Pushed and polled; never goes back.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::keys::{PrivateKey, PublicKey};
use crate::note::{self, NoteError};

/// The most bytes a head may have, signatures included.
pub const MAX_HEAD: usize = 4096;

const FORMAT: &str = "shortbread-revocations/v1";
const MAX_DELTAS: usize = 8;

/// Why a head is refused.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum HeadError {
    /// The note around it is not believed.
    #[error("the revocation head is not believed: {0}")]
    Note(#[from] NoteError),
    /// Signed, but not a head of this origin and form.
    #[error("the revocation head is not read: its {0} is wrong")]
    Line(&'static str),
}

/// A file that a head points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileRef {
    /// The sequence of the last change it holds.
    pub seq: u64,
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// How many bytes it has.
    pub bytes: u64,
}

impl FileRef {
    /// What a head says of this file, whose last change has this sequence.
    #[must_use]
    pub fn of(seq: u64, bytes: &[u8]) -> Self {
        Self { seq, sha256: Sha256::digest(bytes).into(), bytes: bytes.len() as u64 }
    }

    /// Whether these are the bytes of the file.
    #[must_use]
    pub fn fits(&self, bytes: &[u8]) -> bool {
        *self == Self::of(self.seq, bytes)
    }
}

/// A delta that a head points at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeltaRef {
    /// The sequence it builds on.
    pub from: u64,
    /// Where it leads.
    pub to: FileRef,
}

/// What a head says. Times are seconds since the epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// This head's own number; the next one is higher.
    pub seq: u64,
    /// When it was signed.
    pub issued: u64,
    /// When the next one is due.
    pub next: u64,
    /// When it must not be relied on any more.
    pub expires: u64,
    /// Everything issued before this is dead; 0 for nothing.
    pub global: u64,
    /// The whole list.
    pub snapshot: FileRef,
    /// Ways to get there from earlier lists; at most eight.
    pub deltas: Vec<DeltaRef>,
    /// The key document in force: its version and SHA-256.
    pub keys: (u64, [u8; 32]),
}

/// The origin of a broker's lists: its issuer without the scheme, and `/revocations`.
#[must_use]
pub fn origin(issuer: &str) -> String {
    format!("{}/revocations", bare(issuer))
}

pub(crate) fn bare(issuer: &str) -> &str {
    issuer.split_once("://").map_or(issuer, |(_, rest)| rest).trim_end_matches('/')
}

impl Head {
    /// Signs it for an origin.
    #[must_use]
    pub fn sign(&self, origin: &str, key: &PrivateKey) -> String {
        note::sign(&self.text(origin), origin, key)
    }

    /// The text that is signed, for signing elsewhere.
    #[must_use]
    pub fn text(&self, origin: &str) -> String {
        let mut text = format!("{origin}\n{FORMAT}\n");
        // Writing to a String cannot fail.
        let _ = writeln!(text, "seq {}\nissued {}\nnext {}", self.seq, self.issued, self.next);
        let _ = writeln!(text, "expires {}\nglobal {}", self.expires, self.global);
        let _ = writeln!(text, "snapshot {}", file(&self.snapshot));
        for delta in &self.deltas {
            let _ = writeln!(text, "delta {} {}", delta.from, file(&delta.to));
        }
        let _ = writeln!(text, "keys {} {}", self.keys.0, STANDARD.encode(self.keys.1));
        text
    }

    /// The sequence of the last change that the list behind this head holds.
    #[must_use]
    pub fn contents(&self) -> u64 {
        self.deltas.iter().map(|delta| delta.to.seq).fold(self.snapshot.seq, u64::max)
    }

    /// Reads a head that one of the revocation keys signed for this origin.
    ///
    /// # Errors
    /// When the signature, the origin or any line is not as it must be; unknown lines are refused.
    pub fn open(bytes: &[u8], origin: &str, keys: &[PublicKey]) -> Result<Self, HeadError> {
        Self::read(note::open(bytes, origin, keys, MAX_HEAD)?, origin)
    }

    /// What a head says before anyone has looked at its signature: for those who only carry it on.
    ///
    /// # Errors
    /// As [`open`](Self::open), but for signatures.
    pub fn peek(bytes: &[u8], origin: &str) -> Result<Self, HeadError> {
        if bytes.len() > MAX_HEAD {
            return Err(NoteError::TooLarge.into());
        }
        let note = std::str::from_utf8(bytes).map_err(|_| NoteError::Malformed)?;
        let text = note.rfind("\n\n").and_then(|split| note.get(..=split)).ok_or(NoteError::Malformed)?;
        Self::read(text, origin)
    }

    fn read(text: &str, origin: &str) -> Result<Self, HeadError> {
        let mut lines = Lines::of(text);
        lines.exactly(origin, "origin")?;
        lines.exactly(FORMAT, "format")?;
        let seq = lines.number("seq")?;
        let issued = lines.number("issued")?;
        let next = lines.number("next")?;
        let expires = lines.number("expires")?;
        let global = lines.number("global")?;
        let snapshot = lines.fields("snapshot").and_then(|fields| read_file(fields, "snapshot"))?;
        let deltas = lines.deltas()?;
        let keys = read_keys(lines.fields("keys")?)?;
        lines.end()?;
        if issued > next || next > expires {
            return Err(HeadError::Line("order of times"));
        }
        Ok(Self { seq, issued, next, expires, global, snapshot, deltas, keys })
    }
}

/// The lines of a signed text, each of which must be as it is asked for.
pub(super) struct Lines<'a>(std::str::Lines<'a>);

impl<'a> Lines<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        Self(text.lines())
    }

    pub(super) fn end(&mut self) -> Result<(), HeadError> {
        self.0.next().map_or(Ok(()), |_| Err(HeadError::Line("end")))
    }

    pub(super) fn exactly(&mut self, expected: &str, what: &'static str) -> Result<(), HeadError> {
        (self.0.next() == Some(expected)).then_some(()).ok_or(HeadError::Line(what))
    }

    fn fields(&mut self, word: &'static str) -> Result<&'a str, HeadError> {
        let line = self.0.next().and_then(|line| line.strip_prefix(word));
        line.and_then(|rest| rest.strip_prefix(' ')).ok_or(HeadError::Line(word))
    }

    pub(super) fn number(&mut self, word: &'static str) -> Result<u64, HeadError> {
        self.fields(word).and_then(|text| number(text, word))
    }

    fn deltas(&mut self) -> Result<Vec<DeltaRef>, HeadError> {
        let mut deltas = Vec::new();
        while self.0.clone().next().is_some_and(|line| line.starts_with("delta ")) {
            let (from, to) = self.fields("delta")?.split_once(' ').ok_or(HeadError::Line("delta"))?;
            deltas.push(DeltaRef { from: number(from, "delta")?, to: read_file(to, "delta")? });
        }
        if deltas.len() > MAX_DELTAS { Err(HeadError::Line("delta")) } else { Ok(deltas) }
    }
}

fn file(file: &FileRef) -> String {
    format!("{} {} {}", file.seq, STANDARD.encode(file.sha256), file.bytes)
}

fn read_file(fields: &str, what: &'static str) -> Result<FileRef, HeadError> {
    let mut fields = fields.split(' ');
    let mut next = || fields.next().ok_or(HeadError::Line(what));
    let (seq, hash, bytes) = (next()?, next()?, next()?);
    if fields.next().is_some() {
        return Err(HeadError::Line(what));
    }
    Ok(FileRef { seq: number(seq, what)?, sha256: read_hash(hash, what)?, bytes: number(bytes, what)? })
}

fn read_keys(fields: &str) -> Result<(u64, [u8; 32]), HeadError> {
    let (version, hash) = fields.split_once(' ').ok_or(HeadError::Line("keys"))?;
    Ok((number(version, "keys")?, read_hash(hash, "keys")?))
}

fn read_hash(text: &str, what: &'static str) -> Result<[u8; 32], HeadError> {
    let bytes = STANDARD.decode(text).map_err(|_| HeadError::Line(what))?;
    bytes.try_into().map_err(|_| HeadError::Line(what))
}

fn number(text: &str, what: &'static str) -> Result<u64, HeadError> {
    note::number(text).ok_or(HeadError::Line(what))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ORIGIN: &str = "broker.acme.example/revocations";

    fn head() -> Head {
        Head {
            seq: 18_342,
            issued: 1_795_348_800,
            next: 1_795_348_805,
            expires: 1_795_349_700,
            global: 0,
            snapshot: FileRef { seq: 18_300, sha256: [7; 32], bytes: 964_523 },
            deltas: vec![DeltaRef { from: 18_300, to: FileRef { seq: 18_342, sha256: [8; 32], bytes: 312 } }],
            keys: (4, [9; 32]),
        }
    }

    #[test]
    fn written_is_read_again() {
        let key = PrivateKey::from_seed(&[1; 32]);
        let signed = head().sign(ORIGIN, &key);
        assert_eq!(Head::open(signed.as_bytes(), ORIGIN, &[key.public()]), Ok(head()));
        assert_eq!(origin("https://broker.acme.example/"), ORIGIN);
        assert!(signed.len() < 1024);
        assert_eq!(Head::peek(signed.as_bytes(), ORIGIN), Ok(head()));
        assert!(Head::peek(signed.as_bytes(), "other/revocations").is_err());
        assert!(Head::peek(head().text(ORIGIN).as_bytes(), ORIGIN).is_err(), "no note");
    }

    #[test]
    fn every_changed_line_is_refused_even_when_signed() {
        let key = PrivateKey::from_seed(&[1; 32]);
        let signed = head().sign(ORIGIN, &key);
        let text = signed.split("\n\n").next().unwrap_or_default().to_owned() + "\n";
        for (from, to) in [
            ("seq 1", "seq 01"),
            ("seq 18342\n", ""),
            ("/v1", "/v2"),
            ("global 0\n", "global 0\nextra 1\n"),
            ("next", "nxt"),
            ("issued 1795348800", "issued 1795349801"),
            ("keys 4 ", "keys -4 "),
            (" 312", " 312 1"),
            ("broker", "other"),
            ("global 0", "global 99999999999999999999"),
        ] {
            let changed = text.replacen(from, to, 1);
            assert_ne!(changed, text, "{from}");
            let note = note::sign(&changed, ORIGIN, &key);
            assert!(
                matches!(Head::open(note.as_bytes(), ORIGIN, &[key.public()]), Err(HeadError::Line(_))),
                "{from}"
            );
        }
    }
}
