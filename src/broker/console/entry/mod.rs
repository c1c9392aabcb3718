//! Into the console and out of it.

pub(super) mod bounce;
pub(super) mod cookie;
pub(super) mod enter;
pub(super) mod link;
pub(super) mod oidc;
pub(super) mod out;
pub(super) mod sessions;
pub(super) mod sign_in;
