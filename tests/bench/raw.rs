//! The bare signature operations under a check and a mint, with the same library and over the same bytes.

use std::hint::black_box;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use shortbread_protocol::biscuit::{Container, Proof, signed_payload};
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::random::{Random as _, SystemRandom};

use crate::Outcome;

/// One token of one block, taken apart.
pub struct Raw {
    token_key: ParsedPublicKey,
    signing: Ed25519KeyPair,
    payload: Vec<u8>,
    signature: [u8; 64],
    next_secret: [u8; 32],
}

impl Raw {
    pub fn of(token: &[u8], key: &PrivateKey) -> Outcome<Self> {
        let container = Container::read(token)?;
        let ([block], Proof::NextSecret(secret)) = (&container.blocks[..], &container.proof) else {
            return Err("the raw operations are those of an open token of one block".into());
        };
        Ok(Self {
            token_key: ParsedPublicKey::new(&ED25519, key.public().as_bytes())?,
            signing: Ed25519KeyPair::from_seed_unchecked(&key.seed()[..])?,
            payload: signed_payload(block.block, block.next_key),
            signature: *block.signature,
            next_secret: **secret,
        })
    }

    /// A verification and a public key from its secret: no check of such a token can do less.
    pub fn check(&self) -> usize {
        let signed = self.token_key.verify_sig(&self.payload, &self.signature).is_ok();
        usize::from(signed) + first_of_public(black_box(&self.next_secret))
    }

    /// A fresh key and a signature: no mint can do less.
    pub fn mint(&self) -> usize {
        let mut seed = [0; 32];
        let filled = SystemRandom.fill(&mut seed).is_ok();
        let signature = self.signing.sign(black_box(&self.payload));
        usize::from(filled) + first_of_public(&seed) + usize::from(signature.as_ref()[0])
    }

    /// The key that tokens verify under.
    pub fn public(&self) -> Outcome<PublicKey> {
        Ok(PublicKey::from_bytes(self.token_key.as_ref())?)
    }
}

fn first_of_public(seed: &[u8; 32]) -> usize {
    Ed25519KeyPair::from_seed_unchecked(seed).map_or(0, |pair| usize::from(pair.public_key().as_ref()[0]))
}
