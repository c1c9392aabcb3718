//! What is signed or crosses a wire: names, facts, keys, revocation lists, bodies, reasons. No I/O.

pub mod access;
pub mod address;
pub mod admin;
pub mod alternatives;
pub mod biscuit;
pub mod call;
pub mod clock;
pub mod constraint;
pub mod dpop;
pub mod event;
pub mod facts;
pub mod json;
pub mod jws;
pub mod key_document;
pub mod keys;
pub mod log;
pub mod names;
pub mod normalise;
pub mod note;
pub mod oauth;
pub mod observe;
pub mod random;
pub mod reason;
pub mod revocations;
pub mod text;
pub mod verifiers;
