//! The secret that notices are signed with, and the signature of Standard Webhooks.

use std::fmt;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use thiserror::Error;
use zeroize::Zeroizing;

use crate::private::is_private;

/// What a secret begins with.
const PREFIX: &str = "whsec_";

/// How long a secret is, in bytes.
const LENGTH: std::ops::RangeInclusive<usize> = 24..=64;

/// Why a file for the webhook is not taken.
#[derive(Debug, Error)]
pub enum SecretError {
    /// It cannot be read.
    #[error("the file {path} of [webhook] cannot be read: {cause}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        cause: std::io::Error,
    },
    /// Others may read it.
    #[error("the file {path} of [webhook] can be read by others; run `chmod 600 {path}`")]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// Not a secret of Standard Webhooks.
    #[error(
        "{path} holds no webhook secret: it must be `whsec_` and base64 of 24 to 64 random bytes; make one with \
         `(umask 077; echo whsec_$(head -c 32 /dev/urandom | base64) > {path})`"
    )]
    Form {
        /// The file.
        path: PathBuf,
    },
}

/// A signing secret. It is shown nowhere and wiped when it is dropped.
pub(super) struct Secret(Zeroizing<Vec<u8>>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// From its file, which its owner alone may read.
    pub(super) fn read(path: &Path) -> Result<Self, SecretError> {
        let text = read(path)?;
        Self::parse(&text).ok_or_else(|| SecretError::Form { path: path.to_owned() })
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = STANDARD.decode(text.strip_prefix(PREFIX)?).ok().map(Zeroizing::new)?;
        LENGTH.contains(&bytes.len()).then_some(Self(bytes))
    }

    /// The value of `webhook-signature`: over the id, the seconds since the epoch, and the exact body.
    pub(super) fn sign(&self, id: &str, timestamp: u64, body: &[u8]) -> String {
        // HMAC takes a key of any length.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.0) else { return String::new() };
        mac.update(format!("{id}.{timestamp}.").as_bytes());
        mac.update(body);
        format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
    }
}

/// What stands in a file that its owner alone may read, without the blanks around it.
pub(super) fn read(path: &Path) -> Result<Zeroizing<String>, SecretError> {
    let unreadable = |cause| SecretError::Unreadable { path: path.to_owned(), cause };
    refuse_open(path)?;
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(unreadable)?;
    Ok(Zeroizing::new(text.trim().to_owned()))
}

fn refuse_open(path: &Path) -> Result<(), SecretError> {
    match is_private(path) {
        Ok(true) => Ok(()),
        Ok(false) => Err(SecretError::Open { path: path.to_owned() }),
        Err(cause) => Err(SecretError::Unreadable { path: path.to_owned(), cause }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_signature_is_that_of_the_specification() {
        // The example of standardwebhooks.com.
        let secret = Secret::parse("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let body = br#"{"test": 2432232314}"#;
        assert_eq!(
            secret.sign("msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, body),
            "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
        );
    }

    #[test]
    fn only_secrets_of_the_right_form_are_taken() {
        let of = |bytes: usize| format!("whsec_{}", STANDARD.encode(vec![7; bytes]));
        for good in [24, 32, 64] {
            assert!(Secret::parse(&of(good)).is_some(), "{good}");
        }
        for bad in [of(23), of(65), of(32).replace("whsec_", ""), "whsec_".to_owned(), "whsec_!".to_owned()] {
            assert!(Secret::parse(&bad).is_none(), "{bad}");
        }
        assert_eq!(format!("{:?}", Secret::parse(&of(24)).unwrap()), "Secret");
    }

    #[cfg(unix)]
    #[test]
    fn a_secret_that_others_may_read_is_none() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, format!("whsec_{}\n", STANDARD.encode([7; 32]))).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(Secret::read(&path), Err(SecretError::Open { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(Secret::read(&path).is_ok());
        assert!(matches!(Secret::read(&folder.path().join("none")), Err(SecretError::Unreadable { .. })));
        std::fs::write(&path, "hunter2").unwrap();
        let told = Secret::read(&path).unwrap_err().to_string();
        assert!(!told.contains("hunter2") && told.contains("whsec_"), "{told}");
    }
}
