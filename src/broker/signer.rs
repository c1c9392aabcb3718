//! Who signs tokens: a key in memory today, a hardware or cloud key behind the same trait later.

use shortbread_protocol::biscuit::key_id;
use shortbread_protocol::keys::{PrivateKey, PublicKey};
use shortbread_protocol::names::KeyName;
use thiserror::Error;

/// The signer cannot sign now.
#[derive(Clone, Copy, Debug, Error)]
#[error("the signing key is not available")]
pub struct SignerError;

/// Something that signs with an Ed25519 key.
pub trait Signer: Send + Sync {
    /// The key's name in the key document.
    fn name(&self) -> &KeyName;
    /// The public half.
    fn public(&self) -> PublicKey;
    /// What its tokens carry as a hint which key signed them: [`key_id`] of the public half.
    fn hint(&self) -> u32;
    /// Signs a message (RFC 8032).
    ///
    /// # Errors
    /// When the key cannot be reached.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError>;
}

/// A key in this process's memory.
#[derive(Debug)]
pub struct LocalSigner {
    name: KeyName,
    key: PrivateKey,
    public: PublicKey,
    hint: u32,
}

impl LocalSigner {
    /// Takes the key under its name.
    #[must_use]
    pub fn new(name: KeyName, key: PrivateKey) -> Self {
        let public = key.public();
        Self { name, key, hint: key_id(&public), public }
    }
}

impl Signer for LocalSigner {
    fn name(&self) -> &KeyName {
        &self.name
    }

    fn public(&self) -> PublicKey {
        self.public
    }

    fn hint(&self) -> u32 {
        self.hint
    }

    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignerError> {
        Ok(self.key.sign(message))
    }
}
