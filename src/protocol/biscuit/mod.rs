//! Biscuit's wire format (version 3 blocks), as far as profile sb1 goes: a reader that accepts one spelling only
//! and a writer that makes it. Nothing here judges a token; the verifier does.
//!
//! Format: the Biscuit specification and its `schema.proto`; signatures are Ed25519 over a block's bytes,
//! the next key's algorithm (little-endian `i32`) and the next key.

mod container;
mod interner;
pub mod print;
mod program;
mod read;
mod symbols;
mod wire;
mod write;

pub use container::{
    Container, MAX_BLOCKS, Proof, SignedBlock, key_id, put_signed_payload, seal_payload, signed_payload,
};
pub use program::{Binary, Check, Fact, Op, Predicate, Program, Query, Span, Term, Unary};
pub use read::read_block;
pub use symbols::{Sym, Symbols};
pub use write::{Alternative, BlockWriter, Expr, Value, write_container};

use thiserror::Error;

/// The longest token, in bytes before base64.
pub const MAX_TOKEN: usize = 8 * 1024;

/// The longest token as text.
pub const MAX_TOKEN_TEXT: usize = MAX_TOKEN.div_ceil(3) * 4;

/// Why bytes are not a token of the profile's form.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Flaw {
    /// Not the one canonical spelling of a Biscuit.
    #[error("not a Biscuit token: {0}")]
    Malformed(&'static str),
    /// A Biscuit, but with something that profile sb1 leaves out.
    #[error("outside profile sb1: {0}")]
    Violation(&'static str),
}

impl Flaw {
    /// More bytes than [`MAX_TOKEN`].
    pub const TOO_LARGE: Self = Self::Violation("the token has more than 8 KiB (8192 bytes)");
}
