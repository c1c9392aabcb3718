//! Keys, one purpose each, and their files: PKCS#8 version 1 (private, RFC 5958) and SPKI (public, RFC 8410) in PEM;
//! with the feature `encrypted-keys`, private keys under a passphrase too (PBES2, RFC 8018).
//!
//! # Which signatures are accepted
//! The strict rule, the same in every build and the same as biscuit-auth 6.0.0 (ed25519-dalek's `verify_strict`). With
//! `A` the key, `L` the order of the base point `B`, and `k` the SHA-512 of `R`, `A` (both as given) and the message:
//! - `A` is the encoding of a point that is not of small order. Its `y` is taken modulo `p`, as dalek does.
//! - `s < L`, so nobody can make a second signature out of one.
//! - `R` is, byte for byte, the canonical encoding of `sB - kA`, without the cofactor, and not of small order.
//!
//! Points with a part of small order are allowed: whoever has the secret half may make such a key, and gains nothing
//! but a second key. RFC 8032 lets implementations differ in these points; a verifier that differs from the next one
//! lets a holder make tokens that are good in one place and not in another. So `dalek` and, with the feature
//! `aws-lc`, `aws_lc` give the same answer for any bytes, and the tests here hold them to it.

#[cfg(feature = "aws-lc")]
mod aws_lc;
mod dalek;
#[cfg(feature = "encrypted-keys")]
mod encrypted;
mod es256;
mod small_order;
#[cfg(test)]
mod tests;

#[cfg(feature = "encrypted-keys")]
pub use encrypted::MAX_PASSPHRASE;
pub use es256::Es256Key;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::pkcs8::spki::EncodePublicKey as _;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{
    DecodePrivateKey as _, DecodePublicKey as _, EncodePrivateKey as _, KeypairBytes, PublicKeyBytes,
};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use zeroize::{Zeroize as _, Zeroizing};

use crate::random::{Random, RandomError};

#[cfg(feature = "aws-lc")]
use aws_lc as backend;
#[cfg(not(feature = "aws-lc"))]
use dalek as backend;

/// A key text that is not what it should be. It never shows the text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum KeyError {
    /// Not an Ed25519 private key in PKCS#8 PEM.
    #[error("not an Ed25519 private key in PKCS#8 PEM (it begins with -----BEGIN PRIVATE KEY-----)")]
    Private,
    /// Not an Ed25519 public key in SPKI PEM.
    #[error("not an Ed25519 public key in SPKI PEM (it begins with -----BEGIN PUBLIC KEY-----)")]
    Public,
    /// A private key under a passphrase, read without one.
    #[error(
        "an encrypted private key: give its passphrase (SHORTBREAD_KEY_PASSPHRASE, or a file that its owner alone may read)"
    )]
    Encrypted,
    /// The passphrase is another one.
    #[error("an encrypted private key that the given passphrase does not open")]
    Passphrase,
    /// Encrypted in a way that is not read here.
    #[error(
        "a private key encrypted in a way that is not read here; encrypt it with PBES2 (scrypt or PBKDF2 with SHA-2, and AES-CBC)"
    )]
    Cipher,
    /// Not 32 bytes of a point that can verify.
    #[error("not an Ed25519 public key")]
    Point,
    /// Not the coordinates of a point of P-256.
    #[error("not a P-256 public key")]
    Es256,
}

/// A public Ed25519 key: a point of the curve that is not of small order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(backend::Public);

impl PublicKey {
    /// From its 32 bytes (RFC 8032).
    ///
    /// # Errors
    /// When they are no point, or one of small order.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, KeyError> {
        let bytes = bytes.try_into().map_err(|_| KeyError::Point)?;
        backend::Public::new(bytes).map(Self).ok_or(KeyError::Point)
    }

    /// From SPKI PEM.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        let key = PublicKeyBytes::from_public_key_pem(pem.trim()).map_err(|_| KeyError::Public)?;
        Self::from_bytes(&key.0)
    }

    /// As SPKI PEM, ending in a newline.
    #[must_use]
    pub fn to_pem(&self) -> String {
        PublicKeyBytes(*self.as_bytes()).to_public_key_pem(LineEnding::LF).unwrap_or_default()
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.bytes()
    }

    /// Whether this key made `signature` over `message`, by the strict rule of this module.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        self.0.verifies(message, signature)
    }

    /// The RFC 7638 thumbprint of the key as a JWK (SHA-256, base64url).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        thumbprint(self.as_bytes())
    }
}

/// The RFC 7638 thumbprint of these bytes as an Ed25519 key, whether or not they are one.
#[must_use]
pub fn thumbprint(key: &[u8; 32]) -> String {
    let x = URL_SAFE_NO_PAD.encode(key);
    let jwk = format!(r#"{{"crv":"Ed25519","kty":"OKP","x":"{x}"}}"#);
    URL_SAFE_NO_PAD.encode(Sha256::digest(jwk))
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", hex::encode(self.as_bytes()))
    }
}

/// Whether these bytes are a [`PublicKey`] that made `signature` over `message`. For a key that is used once: it costs
/// less than [`PublicKey::from_bytes`] and [`PublicKey::verifies`], and says the same.
#[must_use]
pub fn verifies(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    backend::verifies(key, message, signature)
}

/// The public half of 32 secret bytes, for a secret that signs nothing here.
#[must_use]
pub fn public_of(seed: &[u8; 32]) -> [u8; 32] {
    backend::public_of(seed)
}

/// Whether a PEM text holds a private key under a passphrase.
#[must_use]
pub fn is_encrypted(pem: &str) -> bool {
    pem.contains("-----BEGIN ENCRYPTED PRIVATE KEY-----")
}

/// A private Ed25519 key. `Debug` hides it; memory is wiped when it is dropped.
#[derive(Clone)]
pub struct PrivateKey(backend::Secret);

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
        Self(backend::Secret::new(seed))
    }

    /// From PKCS#8 PEM, version 1 or 2.
    ///
    /// # Errors
    /// When the text is anything else.
    pub fn from_pem(pem: &str) -> Result<Self, KeyError> {
        if is_encrypted(pem) {
            return Err(KeyError::Encrypted);
        }
        Self::of_pair(KeypairBytes::from_pkcs8_pem(pem.trim()).map_err(|_| KeyError::Private)?)
    }

    fn of_pair(mut pair: KeypairBytes) -> Result<Self, KeyError> {
        let key = Self::from_seed(&pair.secret_key);
        pair.secret_key.zeroize();
        let fits = pair.public_key.as_ref().is_none_or(|public| public.0 == *key.public().as_bytes());
        if fits { Ok(key) } else { Err(KeyError::Private) }
    }

    /// As PKCS#8 version 1 PEM, which every OpenSSL since 1.1.1 reads.
    #[must_use]
    pub fn to_pem(&self) -> Zeroizing<String> {
        let mut pair = KeypairBytes { secret_key: *self.0.seed(), public_key: None };
        let pem = pair.to_pkcs8_pem(LineEnding::LF).unwrap_or_else(|_| Zeroizing::new(String::new()));
        pair.secret_key.zeroize();
        pem
    }

    /// The secret bytes.
    #[must_use]
    pub fn seed(&self) -> Zeroizing<[u8; 32]> {
        Zeroizing::new(*self.0.seed())
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.public())
    }

    /// Signs (RFC 8032, no prehash).
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", hex::encode(self.public().as_bytes()))
    }
}
