//! What is done with bytes that a stranger chose, and what must hold whatever they are. The fuzzer runs these functions
//! with bytes that it grows by coverage, the tests (`tests/e2e/any_bytes.rs`) with bytes that they damage at random.

mod identity;
mod lists;
mod push;
mod text;
mod token;

/// One reader of bytes.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// Panics when a promise is broken.
    pub run: fn(&[u8]),
    /// Honest inputs to begin with.
    pub seeds: fn() -> Vec<Vec<u8>>,
}

/// All of them.
pub const ALL: [Target; 12] = [
    Target { name: "token", run: token::read, seeds: token::tokens },
    Target { name: "chain", run: token::chain, seeds: token::chains },
    Target { name: "head", run: lists::head, seeds: lists::heads },
    Target { name: "keys", run: lists::keys, seeds: lists::documents },
    Target { name: "snapshot", run: lists::snapshot, seeds: lists::snapshots },
    Target { name: "delta", run: lists::delta, seeds: lists::deltas },
    Target { name: "break_glass", run: lists::break_glass, seeds: lists::stops },
    Target { name: "stream", run: push::stream, seeds: push::streams },
    Target { name: "dpop", run: identity::dpop, seeds: identity::proofs },
    Target { name: "jwt", run: identity::jwt, seeds: identity::assertions },
    Target { name: "policy", run: text::policy, seeds: text::policies },
    Target { name: "args", run: text::args, seeds: text::calls },
];

/// The moment at which everything is decided, in seconds since the epoch.
const NOW: u64 = 1_795_176_060;
const ISSUER: &str = "https://broker.acme.example";

// The first byte says how the rest is meant: as it came, or as something that a key of ours signs first.
const AS_IT_CAME: u8 = b'0';
const SIGNED: u8 = b'1';

fn prefixed(mode: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    [&[mode], bytes.as_ref()].concat()
}
