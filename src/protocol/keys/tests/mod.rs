//! Keys and their files, and the same answers from whatever makes and checks signatures.

mod acceptance;
mod edge;

use std::collections::BTreeSet;

use curve25519_dalek::constants::EIGHT_TORSION;
use proptest::prelude::*;

use super::*;
use crate::random::SeededRandom;

fn bytes<const N: usize>(hexed: &str) -> [u8; N] {
    hex::decode(hexed).unwrap().try_into().unwrap()
}

#[test]
fn pem_goes_both_ways_and_is_version_1() {
    let key = PrivateKey::generate(&SeededRandom::new(7)).unwrap();
    let pem = key.to_pem();
    assert_eq!(pem.lines().nth(1).map(str::len), Some(64), "{}", pem.lines().count());
    assert_eq!(PrivateKey::from_pem(&pem).unwrap().public(), key.public());
    assert_eq!(PublicKey::from_pem(&key.public().to_pem()), Ok(key.public()));
    assert_eq!(PublicKey::from_pem(&pem), Err(KeyError::Public));
}

#[test]
fn a_public_half_in_a_file_must_be_the_secrets_own() {
    let (key, other) = (PrivateKey::from_seed(&[1; 32]), PrivateKey::from_seed(&[2; 32]));
    let version_2 = |public: PublicKey| {
        let public_key = Some(PublicKeyBytes(*public.as_bytes()));
        KeypairBytes { secret_key: *key.seed(), public_key }.to_pkcs8_pem(LineEnding::LF).unwrap()
    };
    assert_eq!(PrivateKey::from_pem(&version_2(key.public())).unwrap().public(), key.public());
    assert_eq!(PrivateKey::from_pem(&version_2(other.public())).err(), Some(KeyError::Private));
}

#[test]
fn small_order_points_are_no_keys() {
    for point in small_order::POINTS {
        assert_eq!(PublicKey::from_bytes(&point), Err(KeyError::Point));
        assert_eq!(
            PublicKey::from_pem(&PublicKeyBytes(point).to_public_key_pem(LineEnding::LF).unwrap()),
            Err(KeyError::Point)
        );
    }
    assert_eq!(PublicKey::from_bytes(&[0; 31]), Err(KeyError::Point));
}

#[test]
fn the_points_of_small_order_are_all_there() {
    let known: BTreeSet<_> = small_order::POINTS.into_iter().collect();
    assert_eq!(known, EIGHT_TORSION.iter().map(|point| point.compress().to_bytes()).collect());
    for point in known {
        assert!(small_order::begins(&point) && small_order::begins(&[point, [7; 32]].concat()));
        assert!(!small_order::begins(&[[7; 32], point].concat()));
    }
}

#[test]
fn signatures_of_rfc_8032_section_7_1() {
    for (seed, public, message, signature) in [
        (
            "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
            "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
            &[][..],
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24655141438e7a100b",
        ),
        (
            "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
            "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
            &[0x72],
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00",
        ),
    ] {
        let key = PrivateKey::from_seed(&bytes(seed));
        assert_eq!(key.public().as_bytes(), &bytes(public));
        assert_eq!(key.sign(message), bytes(signature));
        assert!(key.public().verifies(message, &bytes(signature)));
        assert!(!key.public().verifies(b"other", &bytes(signature)));
    }
}

proptest! {
    #[test]
    fn all_backends_make_the_same_keys_and_signatures(seed: [u8; 32], message: Vec<u8>) {
        let dalek = dalek::Secret::new(&seed);
        let (public, signature) = (*dalek.public().bytes(), dalek.sign(&message));
        prop_assert_eq!(dalek::public_of(&seed), public);
        #[cfg(feature = "aws-lc")]
        {
            let aws_lc = aws_lc::Secret::new(&seed);
            prop_assert_eq!(*aws_lc.public().bytes(), public);
            prop_assert_eq!(aws_lc::public_of(&seed), public);
            prop_assert_eq!(aws_lc.sign(&message), signature);
            prop_assert_eq!(aws_lc.seed(), &seed);
        }
        let key = PrivateKey::from_seed(&seed);
        let copy = key.clone();
        prop_assert_eq!(*copy.public().as_bytes(), public);
        prop_assert_eq!(public_of(&seed), public);
        prop_assert_eq!(key.sign(&message), signature);
        prop_assert_eq!(*key.seed(), seed);
    }
}

#[test]
fn thumbprint_of_rfc_8037_appendix_a3() {
    let key = PublicKey::from_bytes(
        &URL_SAFE_NO_PAD.decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo").unwrap(),
    );
    assert_eq!(key.unwrap().thumbprint(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
}

#[test]
fn debug_shows_no_secret() {
    let key = PrivateKey::from_seed(&[0x11; 32]);
    assert!(!format!("{key:?}").contains(&"11".repeat(16)));
}
