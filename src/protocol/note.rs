//! C2SP signed notes: a short text and the signatures under it. Used for heads and key documents.
//!
//! Format: <https://c2sp.org/signed-note>, signature type 0x01 (Ed25519).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::keys::{PrivateKey, PublicKey};

const MARK: &str = "\u{2014} "; // an em dash and a space begin a signature line
const ED25519: u8 = 1;
const MAX_SIGNATURES: usize = 16;

/// Why a note is not believed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum NoteError {
    /// It has more bytes than the reader allows.
    #[error("it is too large")]
    TooLarge,
    /// Not a note.
    #[error("it is not a signed note")]
    Malformed,
    /// No key that is trusted for this name signed it.
    #[error("none of its signatures is by a trusted key")]
    Unsigned,
    /// A trusted key's signature is there and wrong.
    #[error("a signature by a trusted key does not fit the text")]
    BadSignature,
}

/// Signs a text that ends in a newline, under a key name without spaces or `+`.
#[must_use]
pub fn sign(text: &str, name: &str, key: &PrivateKey) -> String {
    attach(text, name, &key.public(), &key.sign(text.as_bytes()))
}

/// Puts a signature of the text, made elsewhere, under it.
#[must_use]
pub fn attach(text: &str, name: &str, key: &PublicKey, signature: &[u8; 64]) -> String {
    let mut line = key_hash(name, key).to_vec();
    line.extend_from_slice(signature);
    format!("{text}\n{MARK}{name} {}\n", STANDARD.encode(line))
}

/// Reads a note of at most `limit` bytes and gives the text once one of `keys` is found to have signed it under `name`.
/// Signatures by unknown keys are ignored.
///
/// # Errors
/// When it is too large, no note, or not signed as asked.
pub fn open<'a>(note: &'a [u8], name: &str, keys: &[PublicKey], limit: usize) -> Result<&'a str, NoteError> {
    if note.len() > limit {
        return Err(NoteError::TooLarge);
    }
    let note = std::str::from_utf8(note).map_err(|_| NoteError::Malformed)?;
    let split = note.rfind("\n\n").ok_or(NoteError::Malformed)?;
    let (text, signatures) = (note.get(..=split), note.get(split + 2..));
    let (text, signatures) = text.zip(signatures).ok_or(NoteError::Malformed)?;
    let lines = signatures.strip_suffix('\n').ok_or(NoteError::Malformed)?;
    if text.chars().any(|c| c < ' ' && c != '\n') || lines.split('\n').count() > MAX_SIGNATURES {
        return Err(NoteError::Malformed);
    }
    let mut believed = false;
    for line in lines.split('\n') {
        believed |= check_line(line, text, name, keys)?;
    }
    if believed { Ok(text) } else { Err(NoteError::Unsigned) }
}

/// A number as notes spell it: plain digits, no sign, no leading zero.
pub(crate) fn number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text.len() == 1 || !text.starts_with('0'));
    plain.then(|| text.parse().ok()).flatten()
}

fn check_line(line: &str, text: &str, name: &str, keys: &[PublicKey]) -> Result<bool, NoteError> {
    let (signer, encoded) =
        line.strip_prefix(MARK).and_then(|rest| rest.split_once(' ')).ok_or(NoteError::Malformed)?;
    let bytes = STANDARD.decode(encoded).map_err(|_| NoteError::Malformed)?;
    let (hash, signature) = bytes.split_first_chunk::<4>().ok_or(NoteError::Malformed)?;
    let known = |key: &&PublicKey| signer == name && key_hash(name, key) == *hash;
    let Some(key) = keys.iter().find(known) else {
        return Ok(false);
    };
    let signature = signature.try_into().map_err(|_| NoteError::Malformed)?;
    if key.verifies(text.as_bytes(), signature) { Ok(true) } else { Err(NoteError::BadSignature) }
}

fn key_hash(name: &str, key: &PublicKey) -> [u8; 4] {
    let hash = Sha256::new().chain_update(name).chain_update([b'\n', ED25519]).chain_update(key.as_bytes());
    hash.finalize().first_chunk().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signed_is_opened_and_changed_is_not() {
        let (key, other) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]));
        let note = sign("a\nb\n", "origin/x", &key);
        assert_eq!(open(note.as_bytes(), "origin/x", &[other.public(), key.public()], 1024), Ok("a\nb\n"));
        assert_eq!(open(note.as_bytes(), "origin/x", &[other.public()], 1024), Err(NoteError::Unsigned));
        assert_eq!(open(note.as_bytes(), "origin/y", &[key.public()], 1024), Err(NoteError::Unsigned));
        assert_eq!(open(note.as_bytes(), "origin/x", &[key.public()], 8), Err(NoteError::TooLarge));
        let changed = note.replace("a\n", "c\n");
        assert_eq!(open(changed.as_bytes(), "origin/x", &[key.public()], 1024), Err(NoteError::BadSignature));
    }

    #[test]
    fn a_second_signature_is_ignored_when_its_key_is_unknown() {
        let (key, other) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]));
        let line = sign("a\n", "n", &other).lines().last().unwrap_or_default().to_owned();
        let note = format!("{}{line}\n", sign("a\n", "n", &key));
        assert_eq!(open(note.as_bytes(), "n", &[key.public()], 1024), Ok("a\n"));
    }

    #[test]
    fn the_example_key_hash_of_the_specification_rule() {
        // SHA-256(name || 0x0A || 0x01 || key), first four bytes.
        let key = PrivateKey::from_seed(&[3; 32]).public();
        let by_hand = Sha256::digest([b"n\n\x01".as_slice(), key.as_bytes()].concat());
        assert_eq!(key_hash("n", &key), by_hand[..4]);
    }
}
