//! The signature chain: from the token key over every block to the proof at its end.

use std::fmt;

use shortbread_protocol::biscuit::{Container, Flaw, MAX_TOKEN_TEXT, Proof, SignedBlock, put_signed_payload};
use shortbread_protocol::keys::{self, PublicKey};
use shortbread_protocol::reason::Reason;
use shortbread_protocol::revocations::SelectorKind;
use thiserror::Error;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;

use crate::scope::Scope;

/// Why a token is turned away before any call is looked at.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// Not a token in its one spelling, or outside the profile.
    #[error(transparent)]
    Flaw(#[from] Flaw),
    /// No key may have signed it.
    #[error("no key of the key document has the name that the token gives")]
    UnknownKey,
    /// The key that it names belongs to another issuer.
    #[error("outside profile sb1: the token names another issuer than its key")]
    Issuer,
    /// A signature does not fit.
    #[error("a signature of the token does not fit")]
    Signature,
}

impl TokenError {
    /// The stable reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Flaw(Flaw::Malformed(_)) => Reason::TokenMalformed,
            Self::Flaw(Flaw::Violation(_)) | Self::Issuer => Reason::ProfileViolation,
            Self::UnknownKey => Reason::UnknownKey,
            Self::Signature => Reason::BadSignature,
        }
    }
}

/// Which token key has a name, for a broker.
pub trait TokenKeys {
    /// The broker's public URL.
    fn issuer(&self) -> &str;
    /// The key of this name, if what it signed may be relied on now.
    fn token_key(&self, name: &str) -> Option<PublicKey>;
}

/// The bytes of a token, out of its text.
///
/// # Errors
/// When it is too long or not canonical base64url with padding.
pub fn decode(token: &str) -> Result<Vec<u8>, Flaw> {
    if token.len() > MAX_TOKEN_TEXT {
        return Err(Flaw::TOO_LARGE);
    }
    URL_SAFE.decode(token).map_err(|_| Flaw::Malformed("it is not base64url with padding"))
}

/// The text of a token.
#[must_use]
pub fn encode(token: &[u8]) -> String {
    URL_SAFE.encode(token)
}

/// A token that is signed, within the profile, and compiled. Only [`Token::open`] makes one.
#[derive(Clone)]
pub struct Token {
    scope: Scope,
    sealed: bool,
}

impl Token {
    /// Profile check, then signatures, for the key that the token names.
    ///
    /// # Errors
    /// When the bytes are no token, break the profile, or are not signed by that key.
    pub fn open(bytes: &[u8], keys: &impl TokenKeys) -> Result<Self, TokenError> {
        let container = Container::read(bytes)?;
        let scope = scope(&container)?;
        if scope.id(SelectorKind::Issuer) != Some(keys.issuer()) {
            return Err(TokenError::Issuer);
        }
        let key = scope
            .id(SelectorKind::Key)
            .and_then(|name| keys.token_key(name))
            .ok_or(TokenError::UnknownKey)?;
        verify(&container, key)?;
        Ok(Self { scope, sealed: matches!(container.proof, Proof::Sealed(_)) })
    }

    /// What it allows.
    #[must_use]
    pub const fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Whether it can be narrowed further.
    #[must_use]
    pub const fn is_sealed(&self) -> bool {
        self.sealed
    }
}

/// Shows names, never bytes that could be used.
impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Token").field("id", &self.scope.id(SelectorKind::Token)).finish_non_exhaustive()
    }
}

/// Reads what a token says without believing it: for showing it to people.
///
/// # Errors
/// When the bytes are no token or break the profile.
pub fn peek(bytes: &[u8]) -> Result<Scope, Flaw> {
    scope(&Container::read(bytes)?)
}

/// Whether the signatures fit, from this key to the proof at the end, whatever the blocks say: for holding the chain
/// alone against another library. What passes may be outside the profile; [`Token::open`] is the way in.
///
/// # Errors
/// When the bytes have no such envelope, or a signature does not fit.
#[doc(hidden)]
pub fn check_signatures(bytes: &[u8], token_key: PublicKey) -> Result<(), TokenError> {
    verify(&Container::read(bytes)?, token_key)
}

fn scope(container: &Container<'_>) -> Result<Scope, Flaw> {
    let blocks: Vec<&[u8]> = container.blocks.iter().map(|signed| signed.block).collect();
    let signatures: Vec<&[u8; 64]> = container.blocks.iter().map(|signed| signed.signature).collect();
    Scope::compile(&blocks, &signatures)
}

fn verify(container: &Container<'_>, token_key: PublicKey) -> Result<(), TokenError> {
    if is_signed(container, token_key) { Ok(()) } else { Err(TokenError::Signature) }
}

fn is_signed(container: &Container<'_>, token_key: PublicKey) -> bool {
    let longest = container.blocks.iter().map(|signed| signed.block.len()).max().unwrap_or_default();
    let mut payload = Vec::with_capacity(longest + 36 + 64);
    let mut last: Option<&SignedBlock<'_>> = None;
    for signed in &container.blocks {
        payload.clear();
        put_signed_payload(&mut payload, signed.block, signed.next_key);
        let fits = match last {
            None => token_key.verifies(&payload, signed.signature),
            Some(last) => keys::verifies(last.next_key, &payload, signed.signature),
        };
        if !fits {
            return false;
        }
        last = Some(signed);
    }
    let Some(last) = last else { return false };
    match container.proof {
        Proof::NextSecret(secret) => keys::public_of(secret) == *last.next_key,
        Proof::Sealed(seal) => {
            payload.extend_from_slice(last.signature);
            keys::verifies(last.next_key, &payload, seal)
        }
    }
}
