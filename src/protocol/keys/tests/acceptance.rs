//! Which signatures are accepted: the same whoever asks, and the same as dalek's strict rule.

use ed25519_dalek::{Signature, VerifyingKey};
use proptest::prelude::*;

use super::super::{PrivateKey, PublicKey, dalek, verifies};
use super::edge::{
    ORDER, SECRET, equation, joined, mixed, point, shifted, signature, small, unreduced, with_commitment,
};

#[cfg(feature = "aws-lc")]
use super::super::aws_lc;

/// Whether it is accepted; fails when not all say the same.
#[track_caller]
fn accepted(key: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    let parsed = VerifyingKey::from_bytes(key);
    let strict =
        parsed.is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok());
    let answers = [
        ("PublicKey", PublicKey::from_bytes(key).is_ok_and(|key| key.verifies(message, signature))),
        ("verifies", verifies(key, message, signature)),
        ("dalek", dalek::verifies(key, message, signature)),
    ];
    #[cfg(feature = "aws-lc")]
    let answers = [&answers[..], &[("aws-lc", aws_lc::verifies(key, message, signature))]].concat();
    for (who, answer) in answers {
        assert_eq!(answer, strict, "{who}: {key:02x?} {message:02x?} {signature:02x?}");
    }
    strict
}

fn messages() -> impl Iterator<Item = [u8; 2]> {
    (0..=u16::MAX).map(u16::to_le_bytes)
}

#[test]
fn a_key_of_small_order_verifies_nothing() {
    let commitments = small().into_iter().chain([mixed(0).compress().to_bytes()]);
    let commitments: Vec<_> = commitments.collect();
    let mut lenient = 0;
    for key in small() {
        assert!(PublicKey::from_bytes(&key).is_err());
        // As if the secret were 0, which it is but for the part of small order.
        for commitment in &commitments {
            for r in [0, SECRET] {
                for message in messages().take(16) {
                    let forged = with_commitment(&key, 0, r, commitment, &message);
                    lenient += usize::from(equation(&key, &message, &forged, false));
                    assert!(!accepted(&key, &message, &forged));
                }
            }
        }
    }
    assert!(lenient > 500, "{lenient} forgeries would pass a lenient rule");
}

#[test]
fn a_commitment_of_small_order_is_refused() {
    let mut lenient = 0;
    for torsion in 0..8 {
        let key = mixed(torsion).compress().to_bytes();
        for commitment in small() {
            for message in messages().take(24) {
                let forged = with_commitment(&key, SECRET, 0, &commitment, &message);
                lenient += usize::from(equation(&key, &message, &forged, false));
                assert!(!accepted(&key, &message, &forged));
            }
        }
    }
    assert!(lenient > 300, "{lenient} signatures would pass a lenient rule");
}

#[test]
fn parts_of_small_order_must_cancel_out() {
    // Every pair of a key and a commitment, and for each a message whose challenge makes the parts of small order
    // cancel out, and one where they do not.
    for of_key in 0..8 {
        let key = mixed(of_key).compress().to_bytes();
        for of_commitment in 0..8 {
            let (mut cancelled, mut left) = (0, 0);
            for message in messages().take(64) {
                let signed = signature(&key, SECRET, 77, of_commitment, &message);
                let (exact, cofactored) =
                    (equation(&key, &message, &signed, false), equation(&key, &message, &signed, true));
                assert!(cofactored);
                assert_eq!(accepted(&key, &message, &signed), exact);
                if exact { cancelled += 1 } else { left += 1 }
            }
            assert!(left > 0 || (of_key, of_commitment) == (0, 0));
            // Odd parts of a commitment never cancel out against an even part of the key.
            let can = (0..8).any(|k| (of_commitment + k * of_key) % 8 == 0);
            assert_eq!(cancelled > 0, can, "{of_key} {of_commitment}");
        }
    }
}

#[test]
fn keys_that_are_not_reduced_are_the_same_everywhere() {
    let (mut points, mut small) = (0, 0);
    for key in unreduced() {
        let known = PublicKey::from_bytes(&key).is_ok();
        let read = point(&key);
        assert_eq!(known, read.is_some_and(|point| !point.is_small_order()));
        points += usize::from(read.is_some());
        small += usize::from(read.is_some_and(|point| point.is_small_order()));
        for message in messages().take(8) {
            for secret in [0, SECRET] {
                assert!(!accepted(&key, &message, &signature(&key, secret, 77, 0, &message)));
            }
        }
    }
    assert_eq!((points, small), (24, 4));
}

#[test]
fn another_spelling_of_s_is_refused() {
    let key = mixed(0).compress().to_bytes();
    for message in messages().take(8) {
        let signed = signature(&key, SECRET, 77, 0, &message);
        assert!(accepted(&key, &message, &signed));
        let others: Vec<_> = (1..=16).map_while(|times| shifted(&signed, times)).collect();
        assert!(others.len() >= 14);
        for other in others {
            assert!(equation(&key, &message, &other, false));
            assert!(!accepted(&key, &message, &other));
        }
        for bit in [0x10, 0x20, 0x40, 0x80, 0xe0] {
            let mut high = signed;
            high[63] ^= bit;
            assert!(!accepted(&key, &message, &high));
        }
    }
}

#[test]
fn numbers_at_the_edge_of_their_range_get_one_answer() {
    let mut below = ORDER;
    below[0] -= 1;
    let key = mixed(0).compress().to_bytes();
    for s in [[0; 32], below, ORDER, [0xff; 32]] {
        assert!(!accepted(&key, b"message", &joined(&key, &s)));
    }
}

/// A key: honest, with a part of small order, of small order, not reduced, or any bytes.
fn keys() -> impl Strategy<Value = [u8; 32]> {
    prop_oneof![
        4 => (0..8_usize).prop_map(|torsion| mixed(torsion).compress().to_bytes()),
        1 => proptest::sample::select(small()),
        1 => proptest::sample::select(unreduced()),
        1 => any::<[u8; 32]>(),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn all_say_the_same_about_odd_signatures(
        key in keys(),
        message: [u8; 2],
        torsion in 0..8_usize,
        commitment in proptest::option::weighted(0.2, keys()),
        times in prop_oneof![4 => Just(0), 1 => 1..16_usize],
        flip in proptest::option::weighted(0.3, (0..64_usize, 0..8_u8)),
    ) {
        let signed = match commitment {
            Some(commitment) => with_commitment(&key, SECRET, 77, &commitment, &message),
            None => signature(&key, SECRET, 77, torsion, &message),
        };
        let mut signed = shifted(&signed, times).unwrap_or(signed);
        if let Some((at, bit)) = flip {
            signed[at] ^= 1 << bit;
        }
        accepted(&key, &message, &signed);
    }

    #[test]
    fn all_say_the_same_about_damaged_signatures(
        seed: [u8; 32],
        message: [u8; 16],
        damage in proptest::collection::vec((0..112_usize, any::<u8>()), 0..3),
    ) {
        let secret = PrivateKey::from_seed(&seed);
        let (key, signed) = (*secret.public().as_bytes(), secret.sign(&message));
        let mut whole = [&key[..], &message, &signed].concat();
        for (at, value) in damage {
            whole[at] = value;
        }
        let unchanged = whole == [&key[..], &message, &signed].concat();
        let (key, rest) = whole.split_first_chunk::<32>().unwrap();
        let (message, signed) = rest.split_last_chunk::<64>().unwrap();
        prop_assert_eq!(accepted(key, message, signed), unchanged);
    }
}
