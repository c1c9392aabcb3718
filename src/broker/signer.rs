//! Who signs: a key in memory today, a hardware or cloud key behind the same trait later.
//!
//! The keyring holds one signer for each key of the key document that this broker has, each for one purpose (tokens, heads
//! of the revocation list, checkpoints of the audit log), and nobody else makes one. A signer that lives elsewhere is put in
//! where the keyring now reads a private file ([`crate::keyring`]): it brings its name in the document, its public half,
//! and [`Signer::sign`]. It may block for some milliseconds: a head is signed on the store's writer, a token on the thread
//! of its exchange. It must not answer from a queue or retry for long, for then revocations wait with it: an error at
//! once is better, since nothing is lost by it. Verifiers know public keys alone, so moving a key between files and
//! hardware changes nothing for them.

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
    /// Signs a message (RFC 8032, no prehash). The same message may be signed again.
    ///
    /// # Errors
    /// When the key cannot be reached; nothing is answered or published then.
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
