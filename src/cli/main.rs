//! The program `shortbread`.
fn main() {}
