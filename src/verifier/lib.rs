//! Checks Shortbread tokens offline, inside the tool service.
