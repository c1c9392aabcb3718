//! The bare signature operations under a check, a mint and a proof, with the same library and over the same bytes.

use std::hint::black_box;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey, UnparsedPublicKey};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use shortbread_protocol::biscuit::{Container, Proof, signed_payload};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::random::{Random as _, SystemRandom};

use crate::Outcome;

/// One open token, taken apart.
pub struct Raw {
    token_key: ParsedPublicKey,
    first: Signed,
    /// Each later block with the key that the one before it names.
    later: Vec<([u8; 32], Signed)>,
    next_secret: [u8; 32],
}

struct Signed {
    payload: Vec<u8>,
    signature: [u8; 64],
}

impl Raw {
    pub fn of(token: &[u8], key: &PrivateKey) -> Outcome<Self> {
        let container = Container::read(token)?;
        let mut keys = container.blocks.iter().map(|block| *block.next_key);
        let mut signed = container.blocks.iter().map(|block| Signed {
            payload: signed_payload(block.block, block.next_key),
            signature: *block.signature,
        });
        let (Some(first), Proof::NextSecret(secret)) = (signed.next(), &container.proof) else {
            return Err("the raw operations are those of an open token".into());
        };
        Ok(Self {
            token_key: ParsedPublicKey::new(&ED25519, key.public().as_bytes())?,
            first,
            later: keys.by_ref().zip(signed).collect(),
            next_secret: **secret,
        })
    }

    /// A verification for each block and a public key from its secret: no check of such a token can do less.
    pub fn check(&self) -> usize {
        let held = self.token_key.verify_sig(&self.first.payload, &self.first.signature).is_ok()
            && self.later.iter().all(|(key, signed)| verified(key, &signed.payload, &signed.signature));
        if held { 1 + first_of_public(black_box(&self.next_secret)) } else { 0 }
    }
}

/// What a mint cannot do without, over the bytes of a token that was minted.
pub struct RawMint {
    signing: Ed25519KeyPair,
    payload: Vec<u8>,
}

impl RawMint {
    pub fn of(token: &[u8], key: &PrivateKey) -> Outcome<Self> {
        let Raw { first, .. } = Raw::of(token, key)?;
        Ok(Self { signing: Ed25519KeyPair::from_seed_unchecked(&key.seed()[..])?, payload: first.payload })
    }

    /// A fresh key and a signature: no mint can do less.
    pub fn mint(&self) -> usize {
        let mut seed = [0; 32];
        let filled = SystemRandom.fill(&mut seed).is_ok();
        let signature = self.signing.sign(black_box(&self.payload));
        usize::from(filled) + first_of_public(&seed) + usize::from(signature.as_ref()[0])
    }
}

/// A proof by an Ed25519 key, taken apart.
pub struct RawProof {
    key: [u8; 32],
    signed: Signed,
}

impl RawProof {
    pub fn of(proof: &str, key: &PrivateKey) -> Outcome<Self> {
        let (payload, signature) = proof.rsplit_once('.').ok_or("a proof has three parts")?;
        let signature = URL_SAFE_NO_PAD.decode(signature)?;
        let signature = signature.try_into().map_err(|_| "a signature has 64 bytes")?;
        let signed = Signed { payload: payload.as_bytes().to_vec(), signature };
        Ok(Self { key: *key.public().as_bytes(), signed })
    }

    /// One verification: the key comes with the proof.
    pub fn check(&self) -> usize {
        usize::from(verified(&self.key, &self.signed.payload, &self.signed.signature))
    }
}

fn verified(key: &[u8; 32], payload: &[u8], signature: &[u8; 64]) -> bool {
    UnparsedPublicKey::new(&ED25519, key).verify(payload, signature).is_ok()
}

fn first_of_public(seed: &[u8; 32]) -> usize {
    Ed25519KeyPair::from_seed_unchecked(seed).map_or(0, |pair| usize::from(pair.public_key().as_ref()[0]))
}
