//! `[limits]`: how much the broker takes on.

use serde::Deserialize;

/// How much the broker takes on.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Exchanges per second and client address.
    pub exchanges_per_second: u32,
    /// Failed authentications per minute and client address.
    pub failures_per_minute: u32,
    /// Requests of the admin API per second and client address.
    pub admin_per_second: u32,
    /// Requests in flight.
    pub in_flight: usize,
    /// Connections at a time from one address, which may be a proxy's.
    pub connections: usize,
    /// DPoP proofs of exchanges that are remembered at a time, each for about a minute; at most 21 bytes each.
    pub proofs: usize,
    /// Streams of the revocation list at a time and client address, which may be a proxy's. In all there are 2,048, and of
    /// the last quarter an address has 16.
    pub streams: usize,
    /// Requests of one workflow that wait for a person at a time.
    pub pending_approvals: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            exchanges_per_second: 200,
            failures_per_minute: 60,
            admin_per_second: 50,
            in_flight: 1024,
            connections: 1024,
            proofs: 1_000_000,
            streams: 512,
            pending_approvals: 100,
        }
    }
}
