//! One token has one spelling: whatever else is done to its bytes, it is refused, and always for the same reason.

use proptest::prelude::*;
use shortbread_protocol::biscuit::{
    Container, Proof, SignedBlock, Symbols, seal_payload, signed_payload, write_container,
};
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::reason::Reason;
use shortbread_verifier::chain::{decode, encode};

use super::generate::spec;
use super::model::{Alt, Block, Call, Spec, Val, native, open, plain_authority, root, signed};
use super::stock;

fn narrowed() -> Spec {
    let block = |verb: &str| Block {
        facts: Vec::new(),
        checks: vec![vec![Alt::of(vec![("operation", vec![Val::text("github"), Val::text(verb)])])]],
    };
    Spec { blocks: vec![plain_authority(), block("issues.read"), block("issues.write")], sealed: false }
}

fn reason(bytes: &[u8]) -> Option<Reason> {
    open(bytes).err()
}

#[test]
fn every_truncation_is_malformed() {
    for sealed in [false, true] {
        let bytes = Spec { sealed, ..narrowed() }.ours();
        for length in 0..bytes.len() {
            assert_eq!(reason(&bytes[..length]), Some(Reason::TokenMalformed), "{length} of {}", bytes.len());
        }
        for more in [&[0][..], &[0x2a, 0], &bytes] {
            assert_eq!(reason(&[&bytes, more].concat()), Some(Reason::TokenMalformed));
        }
    }
}

#[test]
fn every_flipped_byte_is_refused() {
    for sealed in [false, true] {
        let bytes = Spec { sealed, ..narrowed() }.ours();
        // The hint which key signed is the only part that no signature covers.
        let hint = 1..6;
        for at in 0..bytes.len() {
            for bit in [at % 7, 7] {
                let mut flipped = bytes.clone();
                flipped[at] ^= 1 << bit;
                match reason(&flipped) {
                    None => {
                        let unsigned = hint.contains(&at) && stock::read(&flipped).is_ok();
                        assert!(unsigned, "byte {at}, bit {bit}");
                    }
                    Some(
                        Reason::TokenMalformed
                        | Reason::ProfileViolation
                        | Reason::BadSignature
                        | Reason::UnknownKey,
                    ) => {}
                    Some(other) => panic!("byte {at}, bit {bit}: {other}"),
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_accepted_after_damage_decides_as_before(spec in spec(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4)) {
        let bytes = spec.ours();
        let mut damaged = bytes.clone();
        for (at, value) in &damage {
            let at = at.index(damaged.len());
            damaged[at] = *value;
        }
        if let Ok(token) = open(&damaged) {
            let call = Call::of("github", "issues.read", "{}");
            prop_assert_eq!(native(&token, &call), native(&open(&bytes).unwrap(), &call));
            prop_assert!(stock::read(&damaged).is_ok());
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(open(&bytes).is_err());
    }
}

/// One field of a protobuf message: its key, its number or length, and its contents.
type Field<'a> = (Vec<u8>, Vec<u8>, &'a [u8]);

fn fields(message: &[u8]) -> Option<Vec<Field<'_>>> {
    let mut fields = Vec::new();
    let mut rest = message;
    while !rest.is_empty() {
        let (key, after) = varint(rest)?;
        let (number, after) = varint(after)?;
        let value = number.iter().rev().fold(0usize, |value, byte| value << 7 | usize::from(byte & 0x7f));
        let length = match key.first()? & 7 {
            0 => 0,
            2 => value,
            _ => return None,
        };
        let (contents, after) = after.split_at_checked(length)?;
        fields.push((key, number, contents));
        rest = after;
    }
    Some(fields)
}

fn varint(bytes: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let length = bytes.iter().take(9).position(|byte| byte & 0x80 == 0)? + 1;
    let (number, rest) = bytes.split_at(length);
    Some((number.to_vec(), rest))
}

fn shortest(mut value: usize) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(u8::try_from(value & 0x7f).unwrap() | 0x80);
        value >>= 7;
    }
    out.push(u8::try_from(value).unwrap());
    out
}

// The same number, one byte longer.
fn padded(number: &[u8]) -> Vec<u8> {
    let (last, start) = number.split_last().unwrap();
    [start, &[last | 0x80, 0]].concat()
}

/// Every message that a lenient reader takes for this one: padded numbers and lengths, and unknown fields, at every depth.
fn respelled(message: &[u8]) -> Vec<Vec<u8>> {
    let Some(fields) = fields(message).filter(|fields| !fields.is_empty()) else {
        return Vec::new();
    };
    let mut spellings = vec![[message, &[0x78, 1]].concat(), [message, &[0x7a, 1, 0]].concat()];
    let whole = |field: &Field<'_>| [&field.0[..], &field.1, field.2].concat();
    for (at, (key, number, contents)) in fields.iter().enumerate() {
        let text = !contents.is_empty() && contents.iter().all(|byte| (b' '..0x7f).contains(byte));
        let inner = if text { Vec::new() } else { respelled(contents) };
        let changed = inner.iter().map(|inner| [&key[..], &shortest(inner.len()), inner].concat());
        let here =
            [[&padded(key)[..], number, contents].concat(), [&key[..], &padded(number), contents].concat()];
        for spelling in changed.chain(here) {
            let parts = fields.iter().enumerate();
            spellings.push(
                parts.flat_map(|(n, field)| if n == at { spelling.clone() } else { whole(field) }).collect(),
            );
        }
    }
    spellings
}

#[test]
fn another_spelling_of_the_same_token_is_malformed() {
    for sealed in [false, true] {
        let bytes = Spec { sealed, ..narrowed() }.ours();
        let spellings = respelled(&bytes);
        assert!(spellings.len() > 500, "{}", spellings.len());
        for spelling in &spellings {
            assert_eq!(reason(spelling), Some(Reason::TokenMalformed), "{spelling:02x?}");
        }
        // Stock libraries take many of them, which is why a token's bytes are no name for it there.
        assert!(spellings.iter().any(|spelling| stock::read(spelling).is_ok()));
    }
}

#[test]
fn another_spelling_is_malformed_even_when_the_broker_signed_it() {
    let block = plain_authority().bytes(Symbols::default());
    for spelling in respelled(&block) {
        assert_eq!(reason(&signed(&root(), &[spelling], false)), Some(Reason::TokenMalformed));
    }
}

#[test]
fn blocks_out_of_their_order_are_refused() {
    let bytes = narrowed().ours();
    let read = Container::read(&bytes).unwrap();
    let (a, b, c) = (read.blocks[0], read.blocks[1], read.blocks[2]);
    let proof = read.proof;
    for blocks in
        [&[a, c, b][..], &[a, c], &[a, b], &[a], &[b, c], &[b, a, c], &[a, b, b, c], &[a, a, b, c], &[c]]
    {
        let refused = reason(&write_container(read.root_key_id, blocks, &proof));
        let expected = [Reason::BadSignature, Reason::ProfileViolation, Reason::TokenMalformed];
        assert!(refused.is_some_and(|reason| expected.contains(&reason)), "{refused:?}");
    }
    assert_eq!(reason(&write_container(None, &[a, b, c], &proof)), None);
    // A block that refuses something cannot be cut off by one who has only the longer token.
    let cut = write_container(read.root_key_id, &[a, b], &proof);
    assert_eq!(reason(&cut), Some(Reason::BadSignature));
}

#[test]
fn another_root_key_is_refused() {
    let blocks = [plain_authority().bytes(Symbols::default())];
    assert_eq!(
        reason(&signed(&PrivateKey::from_seed(&[0x22; 32]), &blocks, false)),
        Some(Reason::BadSignature)
    );
    assert_eq!(reason(&signed(&root(), &blocks, false)), None);
}

#[test]
fn a_weak_key_signs_nothing() {
    // The neutral element: under a lenient rule its signature over anything is itself and zero.
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut forged = [0; 64];
    forged[0] = 1;
    for weak in [neutral, [0; 32], [0xff; 32]] {
        let block = plain_authority().bytes(Symbols::default());
        let signature = root().sign(&signed_payload(&block, &weak));
        let authority = SignedBlock { block: &block, next_key: &weak, signature: &signature };
        let next = *PrivateKey::from_seed(&[1; 32]).public().as_bytes();
        let empty = Block::default().bytes(Symbols::default());
        let added = SignedBlock { block: &empty, next_key: &next, signature: &forged };
        for bytes in [
            write_container(None, &[authority, added], &Proof::NextSecret(&[1; 32])),
            write_container(None, &[authority], &Proof::Sealed(&forged)),
            write_container(None, &[authority], &Proof::NextSecret(&[1; 32])),
        ] {
            assert_eq!(reason(&bytes), Some(Reason::BadSignature));
        }
    }
}

// The order of Ed25519's base point, little-endian (RFC 8032).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

#[test]
fn a_signature_has_one_spelling() {
    let bytes = Spec { sealed: true, ..narrowed() }.ours();
    let read = Container::read(&bytes).unwrap();
    let added = |signature: &[u8; 64]| {
        let (mut changed, mut carry) = (*signature, 0u16);
        for (byte, order) in changed[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        changed
    };
    let other = added(read.blocks[0].signature);
    let mut blocks = read.blocks.clone();
    blocks[0] = SignedBlock { signature: &other, ..blocks[0] };
    assert_eq!(reason(&write_container(read.root_key_id, &blocks, &read.proof)), Some(Reason::BadSignature));
    let Proof::Sealed(seal) = read.proof else { panic!("it is sealed") };
    let other = added(seal);
    let resealed = write_container(read.root_key_id, &read.blocks, &Proof::Sealed(&other));
    assert_eq!(reason(&resealed), Some(Reason::BadSignature));
    // The seal of a shorter chain does not seal this one.
    let secret = PrivateKey::from_seed(&[3; 32]);
    let shorter = secret.sign(&seal_payload(&read.blocks[1]));
    let resealed = write_container(read.root_key_id, &read.blocks, &Proof::Sealed(&shorter));
    assert_eq!(reason(&resealed), Some(Reason::BadSignature));
}

#[test]
fn other_algorithms_are_outside_the_profile() {
    let bytes = narrowed().ours();
    let key = bytes.windows(6).position(|w| w[0] == 0x12 && w[2..] == [0x08, 0, 0x12, 0x20]).unwrap();
    let mut other = bytes.clone();
    other[key + 3] = 1;
    assert_eq!(reason(&other), Some(Reason::ProfileViolation));
}

#[test]
fn a_text_has_one_spelling() {
    let text = encode(&narrowed().ours());
    assert!(decode(&text).is_ok());
    let standard = text.replace('-', "+").replace('_', "/");
    let long = "A".repeat(11_000);
    let mut bad =
        vec![format!("{text} "), format!("\n{text}"), format!("{text}="), format!("{text}AAA"), long];
    bad.extend((standard != text).then_some(standard));
    bad.extend(text.strip_suffix('=').map(str::to_owned));
    for text in bad {
        assert!(decode(&text).is_err(), "{text}");
    }
}
