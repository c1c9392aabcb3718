//! Flow 1: identity -> workflow -> policy -> revocation check -> mint -> record -> answer.

mod answer;
mod aside;
mod child;
mod draft;
mod entry;
mod flow;
mod form;
mod input;
mod parent;
mod proof;
mod record;
mod refusal;
mod request;
mod retry;
mod standing;
mod targets;
mod watched;

pub(crate) use aside::is_operators;
pub(crate) use flow::unproved;
pub use flow::{Context, Sent, exchange};
pub(crate) use form::Form;
pub(crate) use parent::operations;
pub use record::Trail;
pub use refusal::Refusal;
pub use request::GrantType;
