//! Whatever bytes come, every reader of them ends, never panics, and believes nothing that nobody signed. The same
//! functions are fuzzed for longer by `scripts/fuzz`.

use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::TestRunner;

#[path = "../fuzz/targets/mod.rs"]
#[expect(unreachable_pub, reason = "it is a library of its own as well")]
mod targets;

/// What is done to honest bytes.
#[derive(Clone, Debug)]
enum Edit {
    Flip(Index, u8),
    Put(Index, u8),
    Insert(Index, Vec<u8>),
    Remove(Index, usize),
    Repeat(Index, usize),
    Cut(Index),
    /// One more or one less, as in a length.
    Step(Index, bool),
    /// The same varint, one byte longer.
    Pad(Index),
    /// Goes on as another seed does.
    Splice(Index, Index, Index),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<Index>;
    let piece = prop_oneof![
        prop::collection::vec(any::<u8>(), 1..6),
        prop::sample::select(vec![
            "\n", "\n\n", "\"", "{", "}", "[[", "]]", ".", "=", "\\u0000", "-0", "1e9", " ", "\r\n",
            "\u{2014}"
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
    ];
    prop_oneof![
        (at(), 0u8..8).prop_map(|(at, bit)| Edit::Flip(at, bit)),
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Put(at, byte)),
        (at(), piece).prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (at(), 1usize..80).prop_map(|(at, count)| Edit::Remove(at, count)),
        (at(), 1usize..80).prop_map(|(at, count)| Edit::Repeat(at, count)),
        at().prop_map(Edit::Cut),
        (at(), any::<bool>()).prop_map(|(at, up)| Edit::Step(at, up)),
        at().prop_map(Edit::Pad),
        (at(), at(), at()).prop_map(|(at, other, from)| Edit::Splice(at, other, from)),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: &Edit, seeds: &[Vec<u8>]) {
    if bytes.is_empty() {
        return;
    }
    let length = bytes.len();
    let span = |at: &Index, count: usize| {
        let at = at.index(length);
        at..(at + count).min(length)
    };
    match edit {
        Edit::Flip(at, bit) => bytes[at.index(length)] ^= 1 << bit,
        Edit::Put(at, byte) => bytes[at.index(length)] = *byte,
        Edit::Insert(at, piece) => drop(bytes.splice(span(at, 0), piece.iter().copied())),
        Edit::Remove(at, count) => drop(bytes.drain(span(at, *count))),
        Edit::Repeat(at, count) => {
            let piece = bytes[span(at, *count)].to_vec();
            drop(bytes.splice(span(at, 0), piece));
        }
        Edit::Cut(at) => bytes.truncate(at.index(length)),
        Edit::Step(at, up) => {
            let byte = &mut bytes[at.index(length)];
            *byte = if *up { byte.wrapping_add(1) } else { byte.wrapping_sub(1) };
        }
        Edit::Pad(at) => {
            let at = at.index(length);
            bytes[at] |= 0x80;
            bytes.insert(at + 1, 0);
        }
        Edit::Splice(at, other, from) => {
            let other = &seeds[other.index(seeds.len())];
            bytes.truncate(at.index(length));
            bytes.extend_from_slice(&other[from.index(other.len() + 1).min(other.len())..]);
        }
    }
}

fn bytes(seeds: Vec<Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let edits = prop::collection::vec(edit(), 0..5);
    let damaged = (any::<Index>(), edits).prop_map(move |(seed, edits)| {
        let mut bytes = seeds[seed.index(seeds.len())].clone();
        edits.iter().for_each(|edit| apply(&mut bytes, edit, &seeds));
        bytes
    });
    prop_oneof![15 => damaged, 1 => prop::collection::vec(any::<u8>(), 0..300)]
}

fn hold(name: &str, cases: u32) {
    let target = targets::ALL.into_iter().find(|target| target.name == name).expect("a target");
    let config = ProptestConfig { cases, failure_persistence: None, ..ProptestConfig::default() };
    let seeds = (target.seeds)();
    seeds.iter().for_each(|seed| (target.run)(seed));
    TestRunner::new(config)
        .run(&bytes(seeds), |bytes| {
            (target.run)(&bytes);
            Ok(())
        })
        .unwrap_or_else(|failure| panic!("{name}: {failure}"));
}

#[test]
fn tokens() {
    hold("token", 20_000);
}

#[test]
fn chains() {
    hold("chain", 20_000);
}

#[test]
fn heads() {
    hold("head", 20_000);
}

#[test]
fn key_documents() {
    hold("keys", 20_000);
}

#[test]
fn snapshots() {
    hold("snapshot", 20_000);
}

#[test]
fn streams() {
    hold("stream", 20_000);
}

#[test]
fn proofs() {
    hold("dpop", 20_000);
}

#[test]
fn assertions() {
    hold("jwt", 20_000);
}

#[test]
fn policies() {
    hold("policy", 4_000);
}

#[test]
fn arguments() {
    hold("args", 20_000);
}
