//! The sample tokens that ship with biscuit-auth: our envelope and signature chain take those that it takes, apart
//! from the forms that profile sb1 leaves out, each named here with its reason.

use std::path::PathBuf;
use std::process::Command;

use biscuit_auth::builder::Algorithm;
use biscuit_auth::{Biscuit, PublicKey as StockKey};
use shortbread_protocol::biscuit::Flaw;
use shortbread_protocol::keys::PublicKey;
use shortbread_verifier::chain::{TokenError, check_signatures};

/// What the profile leaves out of an envelope, and the samples that have it.
const LEFT_OUT: [(&str, &[&str]); 3] = [
    ("a block is signed by a third party", &["test024_third_party.bc", "test026_public_keys_interning.bc"]),
    ("a key is not an Ed25519 key", &["test036_secp256r1.bc", "test037_secp256r1_third_party.bc"]),
    // Blocks of version 6 are signed in another way; the profile has version 3.
    (
        "a block has a newer signature version",
        &[
            "test029_reject_if.bc",
            "test030_null.bc",
            "test031_heterogeneous_equal.bc",
            "test032_laziness_closures.bc",
            "test033_typeof.bc",
            "test034_array_map.bc",
            "test035_ffi.bc",
            "test038_try_op.bc",
        ],
    ),
];

/// The samples that biscuit-auth refuses for their envelope or signatures.
const REFUSED: [(&str, TokenError); 5] = [
    ("test002_different_root_key.bc", TokenError::Signature),
    (
        "test003_invalid_signature_format.bc",
        TokenError::Flaw(Flaw::Malformed("a key or signature has the wrong length")),
    ),
    ("test004_random_block.bc", TokenError::Signature),
    ("test005_invalid_signature.bc", TokenError::Signature),
    ("test006_reordered_blocks.bc", TokenError::Signature),
];

struct Samples {
    folder: PathBuf,
    root: [u8; 32],
    names: Vec<String>,
}

impl Samples {
    fn found() -> Self {
        let folder = package().join("samples");
        let index: serde_json::Value =
            serde_json::from_slice(&std::fs::read(folder.join("samples.json")).unwrap()).unwrap();
        let root = hex::decode(index["root_public_key"].as_str().unwrap()).unwrap().try_into().unwrap();
        let cases = index["testcases"].as_array().unwrap();
        let names = cases.iter().map(|case| case["filename"].as_str().unwrap().to_owned()).collect();
        Self { folder, root, names }
    }

    fn each(&self) -> impl Iterator<Item = (&str, Vec<u8>)> {
        self.names.iter().map(|name| (name.as_str(), std::fs::read(self.folder.join(name)).unwrap()))
    }

    fn ours(&self, bytes: &[u8]) -> Result<(), TokenError> {
        check_signatures(bytes, PublicKey::from_bytes(&self.root).unwrap())
    }

    fn stock(&self, bytes: &[u8]) -> bool {
        Biscuit::from(bytes, StockKey::from_bytes(&self.root, Algorithm::Ed25519).unwrap()).is_ok()
    }
}

// Where Cargo keeps the sources of the very version that is linked here.
fn package() -> PathBuf {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml");
    let compiler = Command::new("rustc").arg("-vV").output().unwrap();
    let compiler = String::from_utf8(compiler.stdout).unwrap();
    let host = compiler.lines().find_map(|line| line.strip_prefix("host: ")).unwrap();
    // What other platforms need was not fetched by whoever built for this one.
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--offline", "--locked", "--format-version", "1", "--manifest-path", manifest])
        .args(["--filter-platform", host])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let packages = metadata["packages"].as_array().unwrap();
    let stock = packages.iter().find(|package| package["name"] == "biscuit-auth").unwrap();
    assert_eq!(stock["version"], "6.0.0");
    PathBuf::from(stock["manifest_path"].as_str().unwrap()).parent().unwrap().to_owned()
}

fn left_out(name: &str) -> Option<&'static str> {
    LEFT_OUT.iter().find(|(_, samples)| samples.contains(&name)).map(|(reason, _)| *reason)
}

#[test]
fn the_stock_samples_are_signed_for_both_or_for_neither() {
    let samples = Samples::found();
    let mut compared = 0;
    for (name, bytes) in samples.each().filter(|(name, _)| left_out(name).is_none()) {
        let (ours, stock) = (samples.ours(&bytes), samples.stock(&bytes));
        let expected =
            REFUSED.iter().find(|(refused, _)| *refused == name).map_or(Ok(()), |(_, error)| Err(*error));
        assert_eq!(ours, expected, "{name}");
        assert_eq!(ours.is_ok(), stock, "{name}");
        compared += 1;
    }
    assert_eq!(compared, 26);
}

#[test]
fn the_stock_samples_outside_the_profile_are_refused_for_that() {
    let samples = Samples::found();
    let mut refused = 0;
    for (name, bytes) in samples.each() {
        let Some(reason) = left_out(name) else { continue };
        assert!(samples.stock(&bytes), "{name}");
        assert_eq!(samples.ours(&bytes), Err(TokenError::Flaw(Flaw::Violation(reason))), "{name}");
        refused += 1;
    }
    assert_eq!(refused, LEFT_OUT.iter().map(|(_, samples)| samples.len()).sum::<usize>());
}
