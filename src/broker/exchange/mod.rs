//! Flow 1: identity -> workflow -> policy -> revocation check -> mint -> record -> answer.

mod answer;
mod aside;
mod budget;
mod child;
mod deferral;
mod draft;
mod entry;
mod exact;
mod flow;
mod form;
mod input;
mod issue;
mod parent;
mod place;
mod proof;
mod record;
mod refusal;
mod request;
mod retry;
mod standing;
mod targets;
mod watched;

pub(crate) use aside::is_operators;
pub use deferral::{LONGEST as LONGEST_WAIT, cancel};
pub(crate) use flow::unproved;
pub use flow::{Asked, Context, Sent, exchange};
pub(crate) use form::Form;
pub(crate) use parent::operations;
pub use place::{Patience, Place};
pub use record::Trail;
pub use refusal::Refusal;
pub use request::GrantType;
pub(crate) use standing::{Bearer, reason as revoked, standing};
