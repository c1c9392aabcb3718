//! Policy as code: read, checked, compiled once, then decided by a pure function.

pub mod model;
