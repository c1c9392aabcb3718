//! Checks Shortbread tokens offline, inside the tool service.

pub mod decision;
#[cfg(feature = "feed")]
pub mod feed;
pub mod list;
#[cfg(feature = "tower")]
pub mod tower;
