//! Checks Shortbread tokens offline, inside the tool service.

pub mod decision;
pub mod list;
