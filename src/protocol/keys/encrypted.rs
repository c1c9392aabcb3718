//! Private keys under a passphrase: PKCS#8 with PBES2 (RFC 8018). Written with scrypt (RFC 7914) and AES-256-CBC, in the
//! parameters that OpenSSL takes by itself; read with scrypt or PBKDF2 as well, as OpenSSL writes it.

use ed25519_dalek::pkcs8::KeypairBytes;
use pkcs8::der::Decode as _;
use pkcs8::der::pem::{LineEnding, PemLabel as _};
use pkcs8::pkcs5::pbes2::{Kdf, Parameters};
use pkcs8::pkcs5::scrypt::Params;
use pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncryptedPrivateKeyInfo, SecretDocument};
use zeroize::{Zeroize as _, Zeroizing};

use super::{KeyError, PrivateKey};
use crate::random::{Random, RandomError};

/// The most bytes of a passphrase.
pub const MAX_PASSPHRASE: usize = 1024;

/// scrypt with N = 2^14, r = 8, p = 1: 16 MiB and some hundredths of a second, and what OpenSSL reads within its own limit.
const COST: (u8, u32, u32) = (14, 8, 1);

/// The most that is spent on a file: a damaged one must not take all memory, or hours.
const MAX_COST: u64 = 1 << 20;
const MAX_BLOCK: u16 = 32;
const MAX_PARALLEL: u16 = 16;
const MAX_ITERATIONS: u32 = 10_000_000;

impl PrivateKey {
    /// From PKCS#8 PEM under a passphrase. A key that is not encrypted is read too, and the passphrase then not used.
    ///
    /// # Errors
    /// When the text is something else, or the passphrase is another one.
    pub fn from_encrypted_pem(pem: &str, passphrase: &[u8]) -> Result<Self, KeyError> {
        if !super::is_encrypted(pem) {
            return Self::from_pem(pem);
        }
        let (label, document) = SecretDocument::from_pem(pem.trim()).map_err(|_| KeyError::Private)?;
        let info = EncryptedPrivateKeyInfo::from_der(document.as_bytes()).map_err(|_| KeyError::Cipher)?;
        if label != EncryptedPrivateKeyInfo::PEM_LABEL || !affordable(&info) {
            return Err(KeyError::Cipher);
        }
        let plain = info.decrypt(passphrase).map_err(|error| match error {
            pkcs8::Error::EncryptedPrivateKey(pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }) => {
                KeyError::Cipher
            }
            _ => KeyError::Passphrase,
        })?;
        // A wrong passphrase gives sound padding once in a while, and then no key.
        let pair = KeypairBytes::from_pkcs8_der(plain.as_bytes()).map_err(|_| KeyError::Passphrase)?;
        Self::of_pair(pair)
    }

    /// As PKCS#8 PEM under a passphrase, which `openssl pkey` reads.
    ///
    /// # Errors
    /// When there is no randomness for salt and initial vector.
    pub fn to_encrypted_pem(
        &self,
        passphrase: &[u8],
        random: &dyn Random,
    ) -> Result<Zeroizing<String>, RandomError> {
        let (mut salt, mut iv) = ([0; 16], [0; 16]);
        random.fill(&mut salt)?;
        random.fill(&mut iv)?;
        // The parameters are constants and the plain text is 48 bytes: none of this fails.
        Ok(self.encrypted(passphrase, &salt, &iv).unwrap_or_default())
    }

    fn encrypted(&self, passphrase: &[u8], salt: &[u8], iv: &[u8; 16]) -> Option<Zeroizing<String>> {
        let mut pair = KeypairBytes { secret_key: *self.seed(), public_key: None };
        let plain = pair.to_pkcs8_der().ok();
        pair.secret_key.zeroize();
        let (log_n, r, p) = COST;
        let scrypt = Params::new(log_n, r, p, 32).ok()?;
        let parameters = Parameters::scrypt_aes256cbc(scrypt, salt, iv).ok()?;
        let encrypted_data = parameters.encrypt(passphrase, plain?.as_bytes()).ok()?;
        let info = EncryptedPrivateKeyInfo {
            encryption_algorithm: parameters.into(),
            encrypted_data: &encrypted_data,
        };
        let document = SecretDocument::try_from(&info).ok()?;
        document.to_pem(EncryptedPrivateKeyInfo::PEM_LABEL, LineEnding::LF).ok()
    }
}

fn affordable(info: &EncryptedPrivateKeyInfo<'_>) -> bool {
    match info.encryption_algorithm.pbes2().map(|parameters| &parameters.kdf) {
        Some(Kdf::Scrypt(scrypt)) => {
            // The library trusts these: a cost of 0 would make it panic.
            (2..=MAX_COST).contains(&scrypt.cost_parameter)
                && scrypt.cost_parameter.is_power_of_two()
                && scrypt.block_size <= MAX_BLOCK
                && scrypt.parallelization <= MAX_PARALLEL
        }
        Some(Kdf::Pbkdf2(pbkdf2)) => pbkdf2.iteration_count <= MAX_ITERATIONS,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    /// Made by OpenSSL 3.0: `openssl pkcs8 -topk8 -scrypt`, and the same with `-v2 aes-256-cbc`.
    const BY_OPENSSL: [&str; 2] = [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGTME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAh57UriWnjbxgICQAAC
AQgCAQEwHQYJYIZIAWUDBAEqBBBgcoTGXy6mIctwpDR7u04TBEBQ2HpkXilv/iRg
d0pAd0UDXUrBRBBWQbsZDofdEgiyvOZYnHDtulvTCBNYmFzks675mLV1cjUbWsuD
DHGBPGt2
-----END ENCRYPTED PRIVATE KEY-----
",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----
MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAicmR1RM0TSLAICCAAw
DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEHqKxRxVMkIbFk03mF/ll/8EQEFF
LN94Dfd5RoqNyWEBMH5/g+ouFY2T3w+uBwrVru8BqHPs7Akjw6ozzmYT6kUAZ+RJ
G+sK/bbP+mW4XHUU6fc=
-----END ENCRYPTED PRIVATE KEY-----
",
    ];
    const PASSPHRASE: &[u8] = b"correct-horse";
    const PUBLIC: &str = "53f3ae5c89c4bb62dc0beede5d97e0879c2e75fa84852af08622e1a7cea81bc9";

    #[test]
    fn what_openssl_wrote_is_read() {
        for pem in BY_OPENSSL {
            let key = PrivateKey::from_encrypted_pem(pem, PASSPHRASE).unwrap();
            assert_eq!(hex::encode(key.public().as_bytes()), PUBLIC);
            assert_eq!(PrivateKey::from_pem(pem).unwrap_err(), KeyError::Encrypted);
            for wrong in [&b"correct-hors"[..], b"", b"correct-horse\n"] {
                assert_eq!(PrivateKey::from_encrypted_pem(pem, wrong).unwrap_err(), KeyError::Passphrase);
            }
        }
    }

    #[test]
    fn written_is_read_again_and_shows_nothing() {
        let key = PrivateKey::from_seed(&[5; 32]);
        let random = SeededRandom::new(1);
        let (one, other) = (
            key.to_encrypted_pem(PASSPHRASE, &random).unwrap(),
            key.to_encrypted_pem(PASSPHRASE, &random).unwrap(),
        );
        assert_ne!(*one, *other, "each has a salt of its own");
        assert!(super::super::is_encrypted(&one) && one.ends_with("-----\n"));
        assert_eq!(PrivateKey::from_encrypted_pem(&one, PASSPHRASE).unwrap().public(), key.public());
        assert_eq!(PrivateKey::from_encrypted_pem(&key.to_pem(), b"unused").unwrap().public(), key.public());
        let error = PrivateKey::from_encrypted_pem(&one, b"hunter2").unwrap_err();
        assert!(!error.to_string().contains("hunter2") && error.to_string().contains("passphrase"));
    }

    #[test]
    fn a_damaged_file_costs_little_and_is_refused() {
        let cut = BY_OPENSSL[0].replace("MIGTME8GCSqG", "MIGTME8GCSqH");
        assert_eq!(PrivateKey::from_encrypted_pem(&cut, PASSPHRASE).unwrap_err(), KeyError::Cipher);
        assert_eq!(
            PrivateKey::from_encrypted_pem("-----BEGIN ENCRYPTED PRIVATE KEY-----\n", PASSPHRASE)
                .unwrap_err(),
            KeyError::Private
        );
        // 2^40 blocks of 1 KiB, none at all, and too many rounds of PBKDF2.
        let (salt, iv) = ([1; 16], [2; 16]);
        let scrypt = |cost_parameter| pkcs8::pkcs5::pbes2::ScryptParams {
            salt: &salt,
            cost_parameter,
            block_size: 8,
            parallelization: 1,
            key_length: None,
        };
        let rounds = Parameters::pbkdf2_sha256_aes256cbc(MAX_ITERATIONS + 1, &salt, &iv).unwrap();
        let huge = Parameters { kdf: scrypt(1 << 40).into(), encryption: rounds.encryption };
        let none = Parameters { kdf: scrypt(0).into(), encryption: rounds.encryption };
        for parameters in [huge, none, rounds] {
            let info =
                EncryptedPrivateKeyInfo { encryption_algorithm: parameters.into(), encrypted_data: &[0; 64] };
            let document = SecretDocument::try_from(&info).unwrap();
            let pem = document.to_pem(EncryptedPrivateKeyInfo::PEM_LABEL, LineEnding::LF).unwrap();
            assert_eq!(PrivateKey::from_encrypted_pem(&pem, PASSPHRASE).unwrap_err(), KeyError::Cipher);
        }
    }
}
