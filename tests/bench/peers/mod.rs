//! The same question put to other libraries: may this token's holder make this call, and is the token not revoked?

mod jwt;
mod stock;
mod tenuo;

pub use jwt::Jwts;
pub use stock::Stock;
pub use tenuo::{Warrant, Warrants};
