//! The revocation list as a verifier holds it: what it learned, how old that is, and that it never goes back.

mod dir;
mod disk;
mod floor;
mod head;
mod ids;
mod judge;
mod overlay;
mod ratchet;
mod refused;
mod restore;
mod set;
mod state;
mod take;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod trust;
mod watched;

pub use floor::FloorError;
pub use ratchet::Status;
pub use refused::Refused;
pub use set::RevocationSet;
pub use state::{Age, State, TokenKey};
pub(crate) use state::{MAX_DRIFT, Seen};
pub use trust::{Next, Pin, Trust};
