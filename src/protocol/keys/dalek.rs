//! Ed25519 by ed25519-dalek: pure Rust, wherever the verifier is built.

use ed25519_dalek::{Signature, Signer as _, SigningKey, Verifier as _, VerifyingKey};

use super::small_order;

/// A key to verify with, decompressed.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Public(VerifyingKey);

impl Public {
    pub(super) fn new(bytes: &[u8; 32]) -> Option<Self> {
        VerifyingKey::from_bytes(bytes).ok().filter(|key| !key.is_weak()).map(Self)
    }

    pub(super) fn bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        // The equation gives `R` in its one canonical encoding and compares bytes, so no other spelling passes. What
        // is left of the strict rule is that neither point is of small order: the key never is, and `R` would have
        // one of eight encodings. Asking that first spares decompressing `R`, a tenth of the whole.
        !small_order::begins(signature) && self.0.verify(message, &Signature::from_bytes(signature)).is_ok()
    }
}

/// The same, for a key that is used once.
pub(super) fn verifies(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    Public::new(key).is_some_and(|key| key.verifies(message, signature))
}

/// A key to sign with. Wiped when it is dropped.
#[derive(Clone)]
pub(super) struct Secret(SigningKey);

impl Secret {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    #[cfg(not(feature = "aws-lc"))]
    pub(super) fn seed(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    pub(super) fn public(&self) -> Public {
        Public(self.0.verifying_key())
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// The public half of a secret that is used once.
pub(super) fn public_of(seed: &[u8; 32]) -> [u8; 32] {
    *Secret::new(seed).public().bytes()
}
