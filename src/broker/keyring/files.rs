//! Key files: whose they are, who may read them, and which are nobody's secret.

use std::path::{Path, PathBuf};

use shortbread_protocol::keys::{self, KeyError, MAX_PASSPHRASE, PrivateKey, PublicKey};
use zeroize::Zeroizing;

use super::error::KeyringError;
use crate::config::{Keys, Passphrase};
use crate::private::is_private;

/// Public halves of the sample keys in `keys.example`, and the mark of keys that `dev` makes.
const EXAMPLES: [&str; 6] = [
    include_str!("../../../keys.example/token.pub.pem"),
    include_str!("../../../keys.example/revocation.pub.pem"),
    include_str!("../../../keys.example/audit.pub.pem"),
    include_str!("../../../keys.example/root.pub.pem"),
    include_str!("../../../keys.example/operator.pub.pem"),
    include_str!("../../../keys.example/workflow.pub.pem"),
];

/// The first line of a key file that `dev` makes.
pub const DEV_MARK: &str = "# made by `shortbread dev`; the broker refuses it elsewhere";

/// Where a public half lies: `NAME.pub.pem` beside `NAME.pem`.
#[must_use]
pub fn public_half(private: &Path) -> PathBuf {
    private.with_extension("pub.pem")
}

pub(super) fn read(path: &Path) -> Result<Vec<u8>, KeyringError> {
    std::fs::read(path).map_err(|cause| KeyringError::Unreadable { path: path.to_owned(), cause })
}

fn text(path: &Path, dev: bool) -> Result<Zeroizing<String>, KeyringError> {
    let bytes = Zeroizing::new(read(path)?);
    let text = Zeroizing::new(String::from_utf8_lossy(&bytes).into_owned());
    match text.strip_prefix(DEV_MARK) {
        Some(_) if !dev => Err(KeyringError::Dev { path: path.to_owned() }),
        Some(pem) => Ok(Zeroizing::new(pem.to_owned())),
        None => Ok(text),
    }
}

/// Reads a public key file.
///
/// # Errors
/// When it is no public key, or one that is not for use here.
pub fn read_public(path: &Path, dev: bool) -> Result<PublicKey, KeyringError> {
    let key = PublicKey::from_pem(&text(path, dev)?)
        .map_err(|cause| KeyringError::Kind { path: path.to_owned(), cause })?;
    refuse_example(path, key, dev)
}

/// Reads a private key file that only its owner may read.
///
/// # Errors
/// When it is no private key, others may read it, it wants a passphrase, or it is not for use here.
pub fn read_private(path: &Path, dev: bool) -> Result<PrivateKey, KeyringError> {
    read_encrypted(path, dev, None)
}

/// The same with the passphrase of encrypted files.
///
/// # Errors
/// As [`read_private`], and when the passphrase is another one.
pub fn read_encrypted(
    path: &Path,
    dev: bool,
    passphrase: Option<&Passphrase>,
) -> Result<PrivateKey, KeyringError> {
    refuse_open(path)?;
    let pem = text(path, dev)?;
    let key = match passphrase {
        Some(passphrase) => PrivateKey::from_encrypted_pem(&pem, passphrase.as_bytes()),
        None => PrivateKey::from_pem(&pem),
    };
    let key = key.map_err(|cause| KeyringError::Kind { path: path.to_owned(), cause })?;
    refuse_example(path, key.public(), dev)?;
    Ok(key)
}

/// Whether a file holds a private key under a passphrase.
pub(super) fn is_encrypted(path: &Path) -> bool {
    text(path, true).is_ok_and(|pem| keys::is_encrypted(&pem))
}

/// The passphrase of the key files: from its file, or from the environment; never from both.
///
/// # Errors
/// When both say one, the file cannot be read or can be read by others, or what it says is empty or too long.
pub fn passphrase(keys: &Keys) -> Result<Option<Passphrase>, KeyringError> {
    let passphrase = match (&keys.passphrase_file, &keys.passphrase) {
        (Some(_), Some(_)) => return Err(KeyringError::TwoPassphrases),
        (None, said) => said.clone(),
        (Some(path), None) => {
            refuse_open(path)?;
            let text = String::from_utf8(read(path)?).map_err(|_| KeyringError::Passphrase)?;
            Some(Passphrase::new(text))
        }
    };
    let sound = |said: &Passphrase| (1..=MAX_PASSPHRASE).contains(&said.as_bytes().len());
    if passphrase.as_ref().is_none_or(sound) { Ok(passphrase) } else { Err(KeyringError::Passphrase) }
}

fn refuse_example(path: &Path, key: PublicKey, dev: bool) -> Result<PublicKey, KeyringError> {
    if !dev && is_example(&key) { Err(KeyringError::Example { path: path.to_owned() }) } else { Ok(key) }
}

/// Whether a key is one of the samples that everyone knows.
#[must_use]
pub fn is_example(key: &PublicKey) -> bool {
    EXAMPLES.iter().any(|pem| PublicKey::from_pem(pem) == Ok(*key))
}

/// Whether this is what is said of a file that is no private key at all: another file in the folder.
pub(super) const fn is_no_key(error: &KeyringError) -> bool {
    matches!(error, KeyringError::Kind { cause: KeyError::Private, .. })
}

fn refuse_open(path: &Path) -> Result<(), KeyringError> {
    match is_private(path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(KeyringError::Open { path: path.to_owned() }),
        Err(cause) => Err(KeyringError::Unreadable { path: path.to_owned(), cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(path: &Path, text: &str) {
        crate::setup::write_private(path, text.as_bytes()).unwrap();
    }

    #[test]
    fn the_passphrase_comes_from_one_place_that_nobody_else_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passphrase");
        private(&path, "correct horse\n");
        let said = Some(Passphrase::new("correct horse".to_owned()));
        let of = |passphrase_file: Option<&PathBuf>, said: &Option<Passphrase>| {
            let keys = Keys {
                passphrase_file: passphrase_file.cloned(),
                passphrase: said.clone(),
                ..Keys::default()
            };
            passphrase(&keys)
        };
        let by_file = of(Some(&path), &None).unwrap().unwrap();
        assert_eq!(by_file.as_bytes(), b"correct horse");
        assert_eq!(format!("{by_file:?}"), "Passphrase");
        assert!(of(None, &None).unwrap().is_none() && of(None, &said).unwrap().is_some());
        assert!(matches!(of(Some(&path), &said), Err(KeyringError::TwoPassphrases)));
        let (empty, long) = (String::new(), "x".repeat(MAX_PASSPHRASE + 1));
        for text in [empty, long] {
            assert!(matches!(of(None, &Some(Passphrase::new(text))), Err(KeyringError::Passphrase)));
        }
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
            assert!(matches!(of(Some(&path), &None), Err(KeyringError::Open { .. })));
        }
        assert!(matches!(of(Some(&folder.path().join("no")), &None), Err(KeyringError::Unreadable { .. })));
    }

    #[test]
    fn an_encrypted_key_says_what_it_wants_and_no_secret() {
        use shortbread_protocol::random::SeededRandom;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token.pem");
        let key = PrivateKey::from_seed(&[9; 32]);
        private(&path, &key.to_encrypted_pem(b"hunter2", &SeededRandom::new(1)).unwrap());
        assert!(is_encrypted(&path));
        let without = read_private(&path, false).unwrap_err().to_string();
        assert!(without.contains("token.pem") && without.contains("SHORTBREAD_KEY_PASSPHRASE"), "{without}");
        let wrong = read_encrypted(&path, false, Some(&Passphrase::new("hunter3".to_owned()))).unwrap_err();
        let wrong = format!("{wrong} {wrong:?}");
        assert!(wrong.contains("does not open") && !wrong.contains("hunter"), "{wrong}");
        let read = read_encrypted(&path, false, Some(&Passphrase::new("hunter2\n".to_owned()))).unwrap();
        assert_eq!(read.public(), key.public());
    }
}
