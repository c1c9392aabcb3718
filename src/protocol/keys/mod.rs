//! Keys, one purpose each, and their files: PKCS#8 version 1 (private, RFC 5958) and SPKI (public, RFC 8410) in PEM.

mod es256;

pub use es256::Es256Key;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::spki::EncodePublicKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, KeypairBytes,
};
use ed25519_dalek::{Signer as _, SigningKey, Verifier as _, VerifyingKey};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::random::{Random, RandomError};

/// A key text that is not what it should be. It never shows the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not an Ed25519 private key in PKCS#8 PEM.
    #[error("not an Ed25519 private key in PKCS#8 PEM (it begins with -----BEGIN PRIVATE KEY-----)")]
    Private,
    /// Not an Ed25519 public key in SPKI PEM.
    #[error("not an Ed25519 public key in SPKI PEM (it begins with -----BEGIN PUBLIC KEY-----)")]
    Public,
    /// Not 32 bytes of a point that can verify.
    #[error("not an Ed25519 public key")]
    Point,
    /// Not the coordinates of a point of P-256.
    #[error("not a P-256 public key")]
    Es256,
}

/// The canonical encodings of the eight points of small order: y is 1, -1, 0 twice, and two values twice each.
const SMALL_ORDER: [[u8; 32]; 8] = {
    const FOUR: [u8; 32] = [0; 32];
    const EIGHT: [[u8; 32]; 2] = [
        [
            0x26, 0xe8, 0x95, 0x8f, 0xc2, 0xb2, 0x27, 0xb0, 0x45, 0xc3, 0xf4, 0x89, 0xf2, 0xef, 0x98, 0xf0,
            0xd5, 0xdf, 0xac, 0x05, 0xd3, 0xc6, 0x33, 0x39, 0xb1, 0x38, 0x02, 0x88, 0x6d, 0x53, 0xfc, 0x05,
        ],
        [
            0xc7, 0x17, 0x6a, 0x70, 0x3d, 0x4d, 0xd8, 0x4f, 0xba, 0x3c, 0x0b, 0x76, 0x0d, 0x10, 0x67, 0x0f,
            0x2a, 0x20, 0x53, 0xfa, 0x2c, 0x39, 0xcc, 0xc6, 0x4e, 0xc7, 0xfd, 0x77, 0x92, 0xac, 0x03, 0x7a,
        ],
    ];
    let mut one = [0; 32];
    one[0] = 1;
    let mut two = [0xff; 32];
    (two[0], two[31]) = (0xec, 0x7f);
    let [eight, other] = EIGHT;
    [one, two, FOUR, negated(FOUR), eight, negated(eight), other, negated(other)]
};

// The sign of x is the highest bit.
const fn negated(mut point: [u8; 32]) -> [u8; 32] {
    point[31] |= 0x80;
    point
}

/// A public Ed25519 key that is a valid point of full order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// From its 32 bytes (RFC 8032).
    ///
    /// # Errors
    /// When they are no point, or one of small order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes: &[u8; 32] = bytes.try_into().map_err(|_| KeyError::Point)?;
        let key = VerifyingKey::from_bytes(bytes).map_err(|_| KeyError::Point)?;
        if key.is_weak() { Err(KeyError::Point) } else { Ok(Self(key)) }
    }

    /// From SPKI PEM.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = VerifyingKey::from_public_key_pem(pem.trim()).map_err(|_| KeyError::Public)?;
        Self::from_bytes(key.as_bytes())
    }

    /// As SPKI PEM, ending in a newline.
    #[must_use]
    pub fn to_pem(&self) -> String {
        self.0.to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }

    /// Whether this key made `signature` over `message`, by the strict rule: canonical `s` and `R`,
    /// no point of small order.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        // The equation gives `R` in its one canonical encoding and compares bytes, so no other spelling passes. What
        // is left of the strict rule is that neither point is of small order: the key never is, and `R` would have
        // one of eight encodings. Asking that first spares decompressing `R`, a tenth of the whole.
        let small = SMALL_ORDER.iter().any(|point| signature.starts_with(point));
        !small && self.0.verify(message, &ed25519_dalek::Signature::from_bytes(signature)).is_ok()
    }

    /// The RFC 7638 thumbprint of the key as a JWK (SHA-256, base64url).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let x = URL_SAFE_NO_PAD.encode(self.as_bytes());
        let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
        URL_SAFE_NO_PAD.encode(Sha256::digest(jwk))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(self.as_bytes()))
    }
}

/// A private Ed25519 key. `Debug` hides it; memory is wiped when it is dropped.
#[derive(Clone)]
pub struct PrivateKey(SigningKey);

impl PrivateKey {
    /// A new key.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        let mut seed = Zeroizing::new([0; 32]);
        random.fill(&mut *seed)?;
        Ok(Self::from_seed(&seed))
    }

    /// From the 32 secret bytes (RFC 8032).
    #[must_use]
    pub fn from_seed(seed: &[u8; 32]) -> Self {
        Self(SigningKey::from_bytes(seed))
    }

    /// From PKCS#8 PEM, version 1 or 2.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        SigningKey::from_pkcs8_pem(pem.trim()).map(Self).map_err(|_| KeyError::Private)
    }

    /// As PKCS#8 version 1 PEM, which every OpenSSL since 1.1.1 reads.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        pair.to_pkcs8_pem(LineEnding::LF).unwrap_or_else(|_| Zeroizing::new(String::new()))
    }

    /// The secret bytes.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(self.0.to_bytes())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// Signs (RFC 8032, no prehash).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", hex::encode(self.0.verifying_key().as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;
    use proptest::prelude::*;
    use sha2::Sha512;

    #[test]
    fn pem_goes_both_ways_and_is_version_1() {
        let key = PrivateKey::generate(&SeededRandom::new(7)).unwrap();
        let pem = key.to_pem();
        assert_eq!(pem.lines().nth(1).map(str::len), Some(64), "{}", pem.lines().count());
        assert_eq!(PrivateKey::from_pem(&pem).unwrap().public(), key.public());
        assert_eq!(PublicKey::from_pem(&key.public().to_pem()), Ok(key.public()));
        assert_eq!(PublicKey::from_pem(&pem), Err(KeyError::Public));
    }

    #[test]
    fn small_order_points_are_no_keys() {
        assert_eq!(PublicKey::from_bytes(&[0; 32]), Err(KeyError::Point));
        let mut one = [0; 32];
        one[0] = 1;
        assert_eq!(PublicKey::from_bytes(&one), Err(KeyError::Point));
    }

    #[test]
    fn the_points_of_small_order_are_all_there() {
        let different: std::collections::BTreeSet<_> = SMALL_ORDER.into_iter().collect();
        assert_eq!(different.len(), 8);
        for point in SMALL_ORDER {
            let key = VerifyingKey::from_bytes(&point).unwrap();
            assert!(key.is_weak() && key.to_edwards().compress().to_bytes() == point);
        }
    }

    #[test]
    fn a_signature_with_a_neutral_commitment_is_refused() {
        // R is the neutral element and s is k times the secret scalar: the equation holds, and only strictness refuses.
        let (key, message) = (SigningKey::from_bytes(&[7; 32]), b"message");
        let hash = Sha512::new()
            .chain_update(SMALL_ORDER[0])
            .chain_update(key.verifying_key())
            .chain_update(message);
        let secret = key.to_scalar();
        let one = secret * secret.invert();
        let bits =
            hash.finalize().into_iter().rev().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1));
        let k = bits.fold(one - one, |k, bit| if bit == 1 { k + k + one } else { k + k });
        let mut signature = [0; 64];
        signature[..32].copy_from_slice(&SMALL_ORDER[0]);
        signature[32..].copy_from_slice(&(k * secret).to_bytes());
        let dalek = ed25519_dalek::Signature::from_bytes(&signature);
        assert!(key.verifying_key().verify(message, &dalek).is_ok());
        assert!(key.verifying_key().verify_strict(message, &dalek).is_err());
        assert!(!PublicKey(key.verifying_key()).verifies(message, &signature));
    }

    proptest! {
        #[test]
        fn verification_is_the_strict_one(
            seed: [u8; 32],
            message: [u8; 16],
            at in 0..64_usize,
            flip: u8,
            small in proptest::option::of(0..8_usize),
        ) {
            let key = PrivateKey::from_seed(&seed);
            let mut signature = key.sign(&message);
            if let Some(small) = small {
                signature[..32].copy_from_slice(&SMALL_ORDER[small]);
            }
            signature[at] ^= flip;
            let dalek = ed25519_dalek::Signature::from_bytes(&signature);
            let strict = key.0.verifying_key().verify_strict(&message, &dalek);
            prop_assert_eq!(key.public().verifies(&message, &signature), strict.is_ok());
        }
    }

    #[test]
    fn thumbprint_of_rfc_8037_appendix_a3() {
        let key = PublicKey::from_bytes(
            &URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap(),
        );
        assert_eq!(key.unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    }

    #[test]
    fn debug_shows_no_secret() {
        let key = PrivateKey::from_seed(&[0x11; 32]);
        assert!(!format!("{key:?}").contains(&"11".repeat(16)));
    }
}
