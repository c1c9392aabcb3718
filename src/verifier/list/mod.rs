//! The revocation list as a verifier holds it: what it learned, how old that is, and that it never goes back.

mod floor;
mod head;
mod ids;
mod overlay;
mod ratchet;
mod refused;
mod restore;
mod set;
mod state;
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
pub(crate) use state::Seen;
pub use state::{Age, State, TokenKey};
pub use trust::{Next, Pin, Trust};
