//! The audit log as others see it: signed checkpoints, tiles of the Merkle tree, proofs of inclusion.
//!
//! Formats: <https://c2sp.org/tlog-checkpoint>, <https://c2sp.org/tlog-tiles>, <https://c2sp.org/tlog-proof>. The tree is
//! that of RFC 6962 over SHA-256, and an entry's exact bytes are its leaf.

mod tile;

pub use tile::{TilePlace, WIDTH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

use crate::keys::PublicKey;
use crate::note::{self, NoteError, number};
use crate::revocations::bare;

/// A hash of the tree.
pub type Hash = [u8; 32];

/// The most bytes a signed checkpoint may have: room for the signatures of some witnesses.
pub const MAX_CHECKPOINT: usize = 8192;

/// The most bytes a proof of inclusion may have.
pub const MAX_PROOF: usize = MAX_CHECKPOINT + 64 * 45 + 128;

const PROOF: &str = "c2sp.org/tlog-proof@v1";

/// The origin of a broker's audit log: its address without the scheme, and the name that its checkpoints are signed under.
#[must_use]
pub fn origin(issuer: &str) -> String {
    format!("{}/log", bare(issuer))
}

/// The origin of the same log after a restore that lost entries which may have been signed, or may have: one origin never
/// has two roots of one size. `restore` is the id of the restore's entry.
#[must_use]
pub fn origin_after(issuer: &str, restore: &str) -> String {
    format!("{}@{restore}", origin(issuer))
}

/// Whether a log that began under the origin `first` is, or once was, signed under `origin`.
#[must_use]
pub fn is_origin_of(origin: &str, first: &str) -> bool {
    origin
        .strip_prefix(first)
        .is_some_and(|rest| rest.is_empty() || rest.strip_prefix('@').is_some_and(is_id))
}

/// The id of the restore after which a log got this origin; nothing for its first.
#[must_use]
pub fn restore_of(origin: &str) -> Option<&str> {
    origin.rsplit_once("/log@").map(|(_, restore)| restore).filter(|restore| is_id(restore))
}

/// The origin under which a log began that has this one now.
#[must_use]
pub fn first_origin(origin: &str) -> &str {
    restore_of(origin).and_then(|restore| origin.strip_suffix(restore)?.strip_suffix('@')).unwrap_or(origin)
}

fn is_id(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

/// Why a checkpoint or a proof is not believed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum LogError {
    /// The note is none, or nobody who is trusted signed it.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// It is of another log.
    #[error("it is of another log")]
    OtherOrigin,
    /// It does not have the form that it should have.
    #[error("it is no {0}")]
    Malformed(&'static str),
}

/// That the log had so many entries, and the root of the tree over them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// How many entries.
    pub size: u64,
    /// The root of the tree over them.
    pub root: Hash,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self, origin: &str) -> String {
        format!("{origin}\n{}\n{}\n", self.size, STANDARD.encode(self.root))
    }

    /// Reads a signed checkpoint once one of `keys` is found to have signed it for this origin.
    ///
    /// # Errors
    /// When it is too large, none, of another log, or not signed as asked.
    pub fn open(signed: &[u8], origin: &str, keys: &[PublicKey]) -> Result<Self, LogError> {
        Self::parse(note::open(signed, origin, keys, MAX_CHECKPOINT)?, origin)
    }

    /// What a checkpoint says, whoever signed it: for one's own, which were signed before they were kept.
    ///
    /// # Errors
    /// When it is too large, none, or of another log.
    pub fn unverified(signed: &[u8], origin: &str) -> Result<Self, LogError> {
        if signed.len() > MAX_CHECKPOINT {
            return Err(NoteError::TooLarge.into());
        }
        let text = std::str::from_utf8(signed).map_err(|_| NoteError::Malformed)?;
        let end = text.rfind("\n\n").ok_or(NoteError::Malformed)?;
        Self::parse(text.get(..=end).ok_or(NoteError::Malformed)?, origin)
    }

    // Lines after the third are extensions, which no checkpoint of ours has.
    fn parse(text: &str, origin: &str) -> Result<Self, LogError> {
        let mut lines = text.lines();
        if lines.next() != Some(origin) {
            return Err(LogError::OtherOrigin);
        }
        let malformed = LogError::Malformed("checkpoint");
        let size = lines.next().and_then(number).ok_or(malformed)?;
        let root = lines.next().and_then(read_hash).ok_or(malformed)?;
        if lines.next().is_some() { Err(malformed) } else { Ok(Self { size, root }) }
    }
}

/// That an entry stands at a place of the log, against a checkpoint. Says nothing until it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The entry's place, from 0.
    pub index: u64,
    /// The hashes beside the way from the leaf to the root, from the leaf up (RFC 6962, section 2.1.1).
    pub hashes: Vec<Hash>,
    /// The signed checkpoint, as it came.
    pub checkpoint: String,
}

impl Proof {
    /// The text, as it is handed on.
    #[must_use]
    pub fn text(&self) -> String {
        let hashes: String = self.hashes.iter().map(|hash| STANDARD.encode(hash) + "\n").collect();
        format!("{PROOF}\nindex {}\n{hashes}\n{}", self.index, self.checkpoint)
    }

    /// Reads a proof; its checkpoint is not opened.
    ///
    /// # Errors
    /// When it does not have the form.
    pub fn read(text: &str) -> Result<Self, LogError> {
        let malformed = LogError::Malformed("proof of inclusion");
        if text.len() > MAX_PROOF {
            return Err(NoteError::TooLarge.into());
        }
        let (head, checkpoint) = text.split_once("\n\n").ok_or(malformed)?;
        let mut lines = head.lines();
        if lines.next() != Some(PROOF) {
            return Err(malformed);
        }
        let mut line = lines.next().ok_or(malformed)?;
        if line.starts_with("extra ") {
            // Not authenticated, and none of ours has any.
            line = lines.next().ok_or(malformed)?;
        }
        let index = line.strip_prefix("index ").and_then(number).ok_or(malformed)?;
        let hashes = lines.map(read_hash).collect::<Option<Vec<_>>>().ok_or(malformed)?;
        if hashes.len() > 64 {
            return Err(malformed);
        }
        Ok(Self { index, hashes, checkpoint: checkpoint.to_owned() })
    }
}

fn read_hash(line: &str) -> Option<Hash> {
    STANDARD.decode(line).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::PrivateKey;

    const ORIGIN: &str = "broker.acme.example/log";

    #[test]
    fn a_checkpoint_is_read_as_it_was_signed() {
        assert_eq!(origin("https://broker.acme.example"), ORIGIN);
        assert_eq!(origin("https://acme.example/broker/"), "acme.example/broker/log");
        let (key, other) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]).public());
        let checkpoint = Checkpoint { size: 109_482, root: [7; 32] };
        let text = checkpoint.text(ORIGIN);
        assert_eq!(text, format!("{ORIGIN}\n109482\nBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwcHBwc=\n"));
        let signed = note::sign(&text, ORIGIN, &key);
        let open = |signed: &str| Checkpoint::open(signed.as_bytes(), ORIGIN, &[key.public()]);
        assert_eq!(open(&signed), Ok(checkpoint));
        assert_eq!(Checkpoint::unverified(signed.as_bytes(), ORIGIN), Ok(checkpoint));
        assert_eq!(open(&signed.replace("109482", "109483")), Err(LogError::Note(NoteError::BadSignature)));
        let stranger = Checkpoint::open(signed.as_bytes(), ORIGIN, &[other]);
        assert_eq!(stranger, Err(LogError::Note(NoteError::Unsigned)));
        for wrong in ["x/log\n1\n", "broker.acme.example/log\n01\n", "broker.acme.example/log\n1\nAAAA\n"] {
            let text = if wrong.ends_with("1\n") {
                text.replace(&format!("{ORIGIN}\n109482\n"), wrong)
            } else {
                wrong.to_owned()
            };
            assert!(open(&note::sign(&text, ORIGIN, &key)).is_err(), "{text}");
        }
        assert!(open(&note::sign(&format!("{text}more\n"), ORIGIN, &key)).is_err());
    }

    #[test]
    fn a_restored_log_has_an_origin_of_its_own() {
        let after = origin_after("https://broker.acme.example", "dec_01AB");
        assert_eq!(
            (after.as_str(), restore_of(&after)),
            ("broker.acme.example/log@dec_01AB", Some("dec_01AB"))
        );
        assert!(first_origin(&after) == ORIGIN && first_origin(ORIGIN) == ORIGIN);
        assert!(is_origin_of(&after, ORIGIN) && is_origin_of(ORIGIN, ORIGIN) && restore_of(ORIGIN).is_none());
        for other in
            ["x/log", "x.broker.acme.example/log", "broker.acme.example/log@", "broker.acme.example/log@a b"]
        {
            assert!(!is_origin_of(other, ORIGIN), "{other}");
        }
        for other in
            ["broker.acme.example/log@a@b", "broker.acme.example/log@a/log@b", "broker.acme.example/logs"]
        {
            assert!(!is_origin_of(other, ORIGIN), "{other}");
        }
        // A signature line ends its name at a blank.
        let signed = note::sign(
            &Checkpoint { size: 1, root: [0; 32] }.text(&after),
            &after,
            &PrivateKey::from_seed(&[1; 32]),
        );
        let keys = [PrivateKey::from_seed(&[1; 32]).public()];
        assert!(Checkpoint::open(signed.as_bytes(), &after, &keys).is_ok());
        assert!(Checkpoint::open(signed.as_bytes(), ORIGIN, &keys).is_err());
    }

    #[test]
    fn a_proof_is_read_as_it_was_written() {
        let checkpoint = note::sign("a\n1\nb\n", "a", &PrivateKey::from_seed(&[1; 32]));
        for hashes in [vec![], vec![[1; 32]], vec![[1; 32], [2; 32]]] {
            let proof = Proof { index: 73_894, hashes, checkpoint: checkpoint.clone() };
            assert_eq!(Proof::read(&proof.text()), Ok(proof.clone()));
            let extra = proof.text().replace("index", "extra AAAA\nindex");
            assert_eq!(Proof::read(&extra), Ok(proof));
        }
        for wrong in [
            "",
            "c2sp.org/tlog-proof@v1\n\n",
            "c2sp.org/tlog-proof@v1\nindex 01\n\nx",
            "c2sp.org/tlog-proof@v1\nindex 1\nAA==\n\nx",
        ] {
            assert!(Proof::read(wrong).is_err(), "{wrong}");
        }
    }
}
