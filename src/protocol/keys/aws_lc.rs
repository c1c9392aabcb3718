//! Ed25519 by aws-lc: the fastest, where it is in the tree already. It wants a C compiler.
//!
//! It differs from ed25519-dalek's strict rule in two points, and is held to that rule here: it takes keys and `R` of
//! small order, and it refuses keys whose `y` is not below `p`, which dalek reduces. Everything else is the same in
//! both: `s` below the order, no cofactor, `R` computed and compared as bytes.

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use zeroize::Zeroizing;

use super::{dalek, small_order};

/// A key to verify with. The library decompresses it in every verification: what it calls a parsed key spares two
/// allocations, less than a hundredth of the whole, so the bytes are all that is kept.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Public([u8; 32]);

impl Public {
    pub(super) fn new(bytes: &[u8; 32]) -> Option<Self> {
        dalek::Public::new(bytes).map(|key| Self(*key.bytes()))
    }

    pub(super) const fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        verifies(&self.0, message, signature)
    }
}

/// The same for bytes that may be no key at all; they are looked at once.
pub(super) fn verifies(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    if !is_reduced(key) {
        return dalek::verifies(key, message, signature);
    }
    !small_order::begins(key)
        && !small_order::begins(signature)
        && UnparsedPublicKey::new(&ED25519, key).verify(message, signature).is_ok()
}

/// A key to sign with, its public half derived once. The library wipes its own memory when it is freed.
///
/// Without memory there is no pair. Ed25519 is deterministic, so dalek then gives the very same bytes.
#[derive(Clone)]
pub(super) struct Secret {
    seed: Zeroizing<[u8; 32]>,
    pair: Option<Ed25519KeyPair>,
}

impl Secret {
    pub(super) fn new(seed: &[u8; 32]) -> Self {
        Self { seed: Zeroizing::new(*seed), pair: pair(seed) }
    }

    pub(super) fn seed(&self) -> &[u8; 32] {
        &self.seed
    }

    pub(super) fn public(&self) -> Public {
        Public(public(self.pair.as_ref()).unwrap_or_else(|| dalek::public_of(&self.seed)))
    }

    pub(super) fn sign(&self, message: &[u8]) -> [u8; 64] {
        let signed = self.pair.as_ref().and_then(|pair| pair.try_sign(message).ok());
        let bytes = signed.and_then(|signature| signature.as_ref().try_into().ok());
        bytes.unwrap_or_else(|| dalek::Secret::new(&self.seed).sign(message))
    }
}

/// The public half of a secret that is used once.
pub(super) fn public_of(seed: &[u8; 32]) -> [u8; 32] {
    public(pair(seed).as_ref()).unwrap_or_else(|| dalek::public_of(seed))
}

fn pair(seed: &[u8; 32]) -> Option<Ed25519KeyPair> {
    Ed25519KeyPair::from_seed_unchecked(seed).ok()
}

fn public(pair: Option<&Ed25519KeyPair>) -> Option<[u8; 32]> {
    pair?.public_key().as_ref().try_into().ok()
}

// Whether `y` is below `p = 2^255 - 19`.
fn is_reduced(bytes: &[u8; 32]) -> bool {
    let [lowest, middle @ .., highest] = bytes;
    *lowest < 0xed || highest & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reduced_is_what_is_below_the_prime() {
        for sign in [0, 0x80] {
            let mut prime = [0xff; 32];
            (prime[0], prime[31]) = (0xed, 0x7f | sign);
            assert!(!is_reduced(&prime));
            for at in 0..32 {
                let mut less = prime;
                less[at] -= 1;
                assert!(is_reduced(&less), "{at}");
            }
            prime[0] = 0xff;
            assert!(!is_reduced(&prime));
        }
        assert!(small_order::POINTS.iter().all(is_reduced));
    }
}
