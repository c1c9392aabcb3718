//! ES256, for proofs and assertions of others: ECDSA over P-256 with SHA-256 (RFC 7518, section 3.4). Nothing of ours
//! is signed with it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::EncodedPoint;
use p256::ecdsa::VerifyingKey;
use sha2::{Digest as _, Sha256};

use super::KeyError;

/// A public P-256 key that is a point of the curve.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Es256Key(VerifyingKey);

impl Es256Key {
    /// From the coordinates of a JWK (RFC 7518, section 6.2.1): big-endian, 32 bytes each.
    ///
    /// # Errors
    /// When a coordinate is not below the field's prime, or they are no point of the curve.
    pub fn from_xy(x: &[u8; 32], y: &[u8; 32]) -> Result<Self, KeyError> {
        let point = EncodedPoint::from_affine_coordinates(x.into(), y.into(), false);
        VerifyingKey::from_encoded_point(&point).map(Self).map_err(|_| KeyError::Es256)
    }

    /// Whether this key made `signature` (`r` and `s`, big-endian) over `message`.
    ///
    /// Whoever sees a signature can make the other one with `n - s`, and RFC 7518 allows both: a signature is proof
    /// of its message, and never a name for it.
    #[must_use]
    pub fn verifies(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        backend::verifies(&self.0, message, signature)
    }

    /// The RFC 7638 thumbprint of the key as a JWK (SHA-256, base64url).
    #[must_use]
    pub fn thumbprint(&self) -> String {
        let point = self.0.to_encoded_point(false);
        let encode = |coordinate: Option<_>| coordinate.map_or_else(String::new, base64url);
        let (x, y) = (encode(point.x()), encode(point.y()));
        let jwk = format!(r#"{{"crv":"P-256","kty":"EC","x":"{x}","y":"{y}"}}"#);
        URL_SAFE_NO_PAD.encode(Sha256::digest(jwk))
    }
}

impl fmt::Debug for Es256Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Es256Key({})", self.thumbprint())
    }
}

#[cfg(feature = "aws-lc")]
use aws_lc as backend;
#[cfg(not(feature = "aws-lc"))]
use rust as backend;

#[cfg(feature = "aws-lc")]
mod aws_lc {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED, UnparsedPublicKey};
    use p256::ecdsa::VerifyingKey;

    pub(super) fn verifies(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
        let point = key.to_encoded_point(false);
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(message, signature).is_ok()
    }
}

#[cfg(any(test, not(feature = "aws-lc")))]
mod rust {
    use p256::ecdsa::signature::Verifier as _;
    use p256::ecdsa::{Signature, VerifyingKey};

    pub(super) fn verifies(key: &VerifyingKey, message: &[u8], signature: &[u8; 64]) -> bool {
        Signature::from_slice(signature).is_ok_and(|signature| key.verify(message, &signature).is_ok())
    }
}

fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use p256::Scalar;
    use p256::ecdsa::Signature;
    use proptest::prelude::*;

    // Fails when not all say the same.
    #[track_caller]
    fn accepted(key: &Es256Key, message: &[u8], signature: &[u8; 64]) -> bool {
        let answer = key.verifies(message, signature);
        assert_eq!(rust::verifies(&key.0, message, signature), answer);
        answer
    }

    fn bytes<const N: usize>(text: &str) -> [u8; N] {
        URL_SAFE_NO_PAD.decode(text).unwrap().try_into().unwrap()
    }

    fn number(text: &str) -> [u8; 32] {
        hex::decode(text).unwrap().try_into().unwrap()
    }

    // RFC 7515, appendix A.3.
    fn example() -> (Es256Key, &'static [u8], [u8; 64]) {
        let x = bytes("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU");
        let y = bytes("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0");
        let message = b"eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
        let signature =
            bytes("DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q");
        (Es256Key::from_xy(&x, &y).unwrap(), message, signature)
    }

    #[test]
    fn the_signature_of_rfc_7515_appendix_a3_fits() {
        let (key, message, signature) = example();
        assert!(accepted(&key, message, &signature));
        assert!(!accepted(&key, &message[1..], &signature));
    }

    #[test]
    fn thumbprint_of_rfc_9449_section_6_1() {
        let x = bytes("l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs");
        let y = bytes("9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA");
        let key = Es256Key::from_xy(&x, &y).unwrap();
        assert_eq!(key.thumbprint(), "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I");
        assert_eq!(format!("{key:?}"), "Es256Key(0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I)");
    }

    #[test]
    fn what_is_no_point_is_no_key() {
        let (x, y) = (
            bytes("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
            bytes("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        );
        // The field's prime (SEC 2, section 2.4.2): as a coordinate it would be another spelling of 0.
        let prime = number("ffffffff00000001000000000000000000000000ffffffffffffffffffffffff");
        let zero = [0; 32];
        for (x, y) in
            [(y, x), (x, x), (zero, zero), (x, zero), (zero, y), (prime, y), (x, prime), ([0xff; 32], y)]
        {
            assert_eq!(Es256Key::from_xy(&x, &y), Err(KeyError::Es256));
        }
    }

    #[test]
    fn numbers_out_of_range_sign_nothing() {
        let (key, message, signature) = example();
        // The order of the group (SEC 2, section 2.4.2).
        let order = number("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
        for half in [0..32, 32..64] {
            for out in [[0; 32], order, [0xff; 32]] {
                let mut changed = signature;
                changed[half.clone()].copy_from_slice(&out);
                assert!(!accepted(&key, message, &changed));
            }
        }
        assert!(!accepted(&key, message, &[0; 64]));
    }

    #[test]
    fn both_spellings_of_s_fit() {
        let (key, message, signature) = example();
        let parsed = Signature::from_slice(&signature).unwrap();
        let negated: Scalar = -*parsed.s();
        let mut other = signature;
        other[32..].copy_from_slice(&negated.to_bytes());
        assert_ne!(other, signature);
        assert!(accepted(&key, message, &other));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

        #[test]
        fn any_other_bit_does_not_fit(at in 0..64_usize, bit in 0..8_u8) {
            let (key, message, mut signature) = example();
            signature[at] ^= 1 << bit;
            prop_assert!(!accepted(&key, message, &signature));
        }
    }
}
