//! The bare signature operations under a check and a mint, with the same library and over the same bytes.

use std::hint::black_box;

use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use shortbread_protocol::biscuit::{Container, Proof, signed_payload};
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::random::{Random as _, SystemRandom};

use crate::Outcome;

/// One token of one block, taken apart.
pub struct Raw {
    token_key: VerifyingKey,
    signing: SigningKey,
    payload: Vec<u8>,
    signature: Signature,
    next_secret: [u8; 32],
}

impl Raw {
    pub fn of(token: &[u8], key: &PrivateKey) -> Outcome<Self> {
        let container = Container::read(token)?;
        let ([block], Proof::NextSecret(secret)) = (&container.blocks[..], &container.proof) else {
            return Err("the raw operations are those of an open token of one block".into());
        };
        Ok(Self {
            token_key: VerifyingKey::from_bytes(key.public().as_bytes())?,
            signing: SigningKey::from_bytes(&key.seed()),
            payload: signed_payload(block.block, block.next_key),
            signature: Signature::from_bytes(block.signature),
            next_secret: **secret,
        })
    }

    /// A strict verification and a public key from its secret: no check of such a token can do less.
    pub fn check(&self) -> usize {
        let signed = self.token_key.verify_strict(&self.payload, &self.signature).is_ok();
        let public = SigningKey::from_bytes(black_box(&self.next_secret)).verifying_key();
        usize::from(signed) + usize::from(public.as_bytes()[0])
    }

    /// A fresh key and a signature: no mint can do less.
    pub fn mint(&self) -> usize {
        let mut seed = [0; 32];
        let filled = SystemRandom.fill(&mut seed).is_ok();
        let public = SigningKey::from_bytes(&seed).verifying_key();
        let signature = self.signing.sign(black_box(&self.payload));
        usize::from(filled) + usize::from(public.as_bytes()[0]) + usize::from(signature.to_bytes()[0])
    }

    /// The key that tokens verify under.
    pub fn public(&self) -> Outcome<PublicKey> {
        Ok(PublicKey::from_bytes(self.token_key.as_bytes())?)
    }
}
