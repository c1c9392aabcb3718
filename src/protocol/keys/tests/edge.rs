//! Keys and signatures at the edges of the rule, built with the curve's own arithmetic.

use curve25519_dalek::constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION};
use curve25519_dalek::edwards::{CompressedEdwardsY, EdwardsPoint};
use curve25519_dalek::scalar::Scalar;
use sha2::{Digest as _, Sha512};

/// The order of the base point, little-endian (RFC 8032, section 5.1).
pub(super) const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// A secret scalar, as good as any.
pub(super) const SECRET: u64 = 0x5b6f_7274_6272_6561;

/// All encodings that dalek takes for points of small order: eight canonical ones, and those with `y` not below `p` or
/// a sign on `x = 0`.
pub(super) fn small() -> Vec<[u8; 32]> {
    let mut all: Vec<[u8; 32]> = EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect();
    all.extend(signed_zero());
    all.extend(
        unreduced().into_iter().filter(|bytes| point(bytes).is_some_and(|point| point.is_small_order())),
    );
    assert_eq!(all.len(), 14);
    all
}

/// The two points with `x = 0`, as if it had a sign.
fn signed_zero() -> [[u8; 32]; 2] {
    [EIGHT_TORSION[0], EIGHT_TORSION[4]].map(|point| {
        let mut bytes = point.compress().to_bytes();
        bytes[31] |= 0x80;
        bytes
    })
}

/// Every `y` that is not below `p`, with either sign; half of them are no points.
pub(super) fn unreduced() -> Vec<[u8; 32]> {
    let with = |low, high| {
        let mut bytes = [0xff; 32];
        (bytes[0], bytes[31]) = (low, high);
        bytes
    };
    (0xed..=0xff).flat_map(|low| [with(low, 0x7f), with(low, 0xff)]).collect()
}

pub(super) fn point(bytes: &[u8; 32]) -> Option<EdwardsPoint> {
    CompressedEdwardsY(*bytes).decompress()
}

/// The public key of the secret, with a part of small order.
pub(super) fn mixed(torsion: usize) -> EdwardsPoint {
    ED25519_BASEPOINT_POINT * Scalar::from(SECRET) + EIGHT_TORSION[torsion]
}

pub(super) fn challenge(r: &[u8; 32], key: &[u8; 32], message: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(r).chain_update(key).chain_update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

pub(super) fn joined(r: &[u8; 32], s: &[u8; 32]) -> [u8; 64] {
    [&r[..], s].concat().try_into().unwrap()
}

/// `R` for the number `r` and a part of small order, and an `s` that cancels everything but parts of small order.
pub(super) fn signature(key: &[u8; 32], secret: u64, r: u64, torsion: usize, message: &[u8]) -> [u8; 64] {
    let commitment =
        (ED25519_BASEPOINT_POINT * Scalar::from(r) + EIGHT_TORSION[torsion]).compress().to_bytes();
    with_commitment(key, secret, r, &commitment, message)
}

/// The same with `R` as it is written.
pub(super) fn with_commitment(
    key: &[u8; 32],
    secret: u64,
    r: u64,
    commitment: &[u8; 32],
    message: &[u8],
) -> [u8; 64] {
    let s = Scalar::from(r) + challenge(commitment, key, message) * Scalar::from(secret);
    joined(commitment, &s.to_bytes())
}

/// The signature with `times` the order added to its `s`, where that fits into 32 bytes.
pub(super) fn shifted(signature: &[u8; 64], times: usize) -> Option<[u8; 64]> {
    let mut changed = *signature;
    for _ in 0..times {
        let mut carry = 0u16;
        for (byte, order) in changed[32..].iter_mut().zip(ORDER) {
            let sum = u16::from(*byte) + u16::from(order) + carry;
            (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
        }
        if carry > 0 {
            return None;
        }
    }
    Some(changed)
}

/// Whether `sB = R + kA`, with or without the cofactor: what lenient rules ask.
pub(super) fn equation(key: &[u8; 32], message: &[u8], signature: &[u8; 64], cofactor: bool) -> bool {
    let (r, s) = (signature[..32].try_into().unwrap(), signature[32..].try_into().unwrap());
    let (Some(a), Some(commitment)) = (point(key), point(&r)) else {
        return false;
    };
    let difference = ED25519_BASEPOINT_POINT * Scalar::from_bytes_mod_order(s)
        - a * challenge(&r, key, message)
        - commitment;
    difference == EIGHT_TORSION[0] || cofactor && difference.is_small_order()
}
