//! Checks Shortbread tokens offline, inside the tool service.

pub mod chain;
pub mod narrow;
pub mod scope;
pub mod vectors;
