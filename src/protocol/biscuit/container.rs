//! The envelope: signed blocks in a chain, and the proof at its end.

use sha2::{Digest as _, Sha256};

use super::wire::{Field, message, missing, once, unknown};
use super::{Flaw, MAX_TOKEN};
use crate::keys::PublicKey;

/// The most blocks a token may have, the authority among them.
pub const MAX_BLOCKS: usize = 8;

/// One block with its signature, borrowed from the token's bytes.
#[derive(Clone, Copy, Debug)]
pub struct SignedBlock<'a> {
    /// The block's bytes.
    pub block: &'a [u8],
    /// The key that signs the next block or the proof.
    pub next_key: &'a [u8; 32],
    /// The signature of the previous key (the token key for the authority).
    pub signature: &'a [u8; 64],
}

/// What ends the chain.
#[derive(Clone, Copy)]
pub enum Proof<'a> {
    /// The secret half of the last `next_key`: whoever holds the token may add a block.
    NextSecret(&'a [u8; 32]),
    /// A signature in its place: sealed, no block can follow.
    Sealed(&'a [u8; 64]),
}

/// A token's envelope, borrowed from its bytes.
pub struct Container<'a> {
    /// A hint which token key signed. It is not signed itself.
    pub root_key_id: Option<u32>,
    /// The authority first. Never empty.
    pub blocks: Vec<SignedBlock<'a>>,
    /// What ends the chain.
    pub proof: Proof<'a>,
}

impl<'a> Container<'a> {
    /// Reads the envelope. Signatures are not checked here.
    ///
    /// # Errors
    /// When the bytes are too many, not canonical, or use what the profile leaves out.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Flaw> {
        if bytes.len() > MAX_TOKEN {
            return Err(Flaw::TOO_LARGE);
        }
        let (mut root_key_id, mut proof, mut blocks) = (None, None, Vec::new());
        message(bytes, |tag, field| match tag {
            1 => once(&mut root_key_id, field.number32()?),
            2 if !blocks.is_empty() => Err(Flaw::Malformed("a field is given twice")),
            3 if blocks.is_empty() => Err(Flaw::Malformed("it has no authority block")),
            2 | 3 if blocks.len() == MAX_BLOCKS => Err(Flaw::Violation("the token has more than 8 blocks")),
            2 | 3 => {
                blocks.push(signed_block(field)?);
                Ok(())
            }
            4 => once(&mut proof, read_proof(field)?),
            _ => Err(unknown()),
        })?;
        if blocks.is_empty() {
            return Err(Flaw::Malformed("it has no authority block"));
        }
        Ok(Self { root_key_id, blocks, proof: proof.ok_or_else(missing)? })
    }
}

/// What a block's signature covers.
#[must_use]
pub fn signed_payload(block: &[u8], next_key: &[u8; 32]) -> Vec<u8> {
    let mut payload = Vec::with_capacity(block.len() + 36);
    put_signed_payload(&mut payload, block, next_key);
    payload
}

/// Appends what a block's signature covers. The signature after it makes it what seals a token.
pub fn put_signed_payload(out: &mut Vec<u8>, block: &[u8], next_key: &[u8; 32]) {
    out.extend_from_slice(block);
    out.extend_from_slice(&[0; 4]); // the algorithm: Ed25519
    out.extend_from_slice(next_key);
}

/// What the signature that seals a token covers.
#[must_use]
pub fn seal_payload(last: &SignedBlock<'_>) -> Vec<u8> {
    let mut payload = signed_payload(last.block, last.next_key);
    payload.extend_from_slice(last.signature);
    payload
}

/// The hint that our tokens carry for stock libraries: the first four bytes of SHA-256 of the key.
#[must_use]
pub fn key_id(key: &PublicKey) -> u32 {
    let hash = Sha256::digest(key.as_bytes());
    hash.first_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes))
}

fn signed_block(field: Field<'_>) -> Result<SignedBlock<'_>, Flaw> {
    let (mut block, mut next_key, mut signature) = (None, None, None);
    message(field.bytes()?, |tag, field| match tag {
        1 => once(&mut block, field.bytes()?),
        2 => once(&mut next_key, public_key(field)?),
        3 => once(&mut signature, exactly(field)?),
        4 => Err(Flaw::Violation("a block is signed by a third party")),
        5 => Err(Flaw::Violation("a block has a newer signature version")),
        _ => Err(unknown()),
    })?;
    Ok(SignedBlock {
        block: block.ok_or_else(missing)?,
        next_key: next_key.ok_or_else(missing)?,
        signature: signature.ok_or_else(missing)?,
    })
}

fn public_key(field: Field<'_>) -> Result<&[u8; 32], Flaw> {
    let (mut algorithm, mut key) = (None, None);
    message(field.bytes()?, |tag, field| match tag {
        1 => match field.number()? {
            0 => once(&mut algorithm, ()),
            _ => Err(Flaw::Violation("a key is not an Ed25519 key")),
        },
        2 => once(&mut key, exactly(field)?),
        _ => Err(unknown()),
    })?;
    algorithm.ok_or_else(missing)?;
    key.ok_or_else(missing)
}

fn read_proof(field: Field<'_>) -> Result<Proof<'_>, Flaw> {
    let mut proof = None;
    message(field.bytes()?, |tag, field| match tag {
        1 => once(&mut proof, Proof::NextSecret(exactly(field)?)),
        2 => once(&mut proof, Proof::Sealed(exactly(field)?)),
        _ => Err(unknown()),
    })?;
    proof.ok_or_else(missing)
}

fn exactly<const N: usize>(field: Field<'_>) -> Result<&[u8; N], Flaw> {
    field.bytes()?.try_into().map_err(|_| Flaw::Malformed("a key or signature has the wrong length"))
}
