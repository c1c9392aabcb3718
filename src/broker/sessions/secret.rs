//! A secret that a browser holds: told once, kept as a hash.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};
use shortbread_protocol::random::{Random, RandomError};
use zeroize::Zeroizing;

/// 32 random bytes as 43 characters of base64url.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// A new one.
    ///
    /// # Errors
    /// When there is no randomness.
    pub fn new(random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0; 32]);
        random.fill(&mut *bytes)?;
        Ok(Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(*bytes))))
    }

    /// The one that follows another, which nobody can tell who does not have this too.
    #[must_use]
    pub fn derive(&self, other: &str) -> Self {
        let digest = Sha256::new().chain_update(hash(&self.0)).chain_update(hash(other)).finalize();
        Self(Zeroizing::new(URL_SAFE_NO_PAD.encode(digest)))
    }

    /// What is handed out.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether this is it, in a time that says nothing about where they differ.
    #[must_use]
    pub fn is(&self, shown: &str) -> bool {
        hash(&self.0) == hash(shown)
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        hash(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

/// What of a secret is kept. Whoever compares hashes learns nothing about the secret from how long it takes.
pub(super) fn hash(shown: &str) -> [u8; 32] {
    Sha256::digest(shown.as_bytes()).into()
}
