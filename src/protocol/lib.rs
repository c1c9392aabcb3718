//! What is signed or crosses a wire: names, facts, keys, revocation lists, bodies, reasons. No I/O.

pub mod access;
pub mod clock;
pub mod constraint;
pub mod keys;
pub mod names;
pub mod random;
pub mod reason;
pub mod revocations;
