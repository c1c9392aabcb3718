//! How an instance proves which verifier it is.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use shortbread_protocol::clock::Timestamp;
use shortbread_protocol::jws;
use shortbread_protocol::keys::PrivateKey;
use shortbread_protocol::names::VerifierName;
use shortbread_protocol::random::Random;

use super::client::ReportError;

// As much as the broker reads of a request.
const MAX_TOKEN: usize = 32 * 1024;

/// What a lease is asked for with. `Debug` shows no secret.
#[derive(Clone)]
pub enum Identity {
    /// The key that the policy registers for the verifier (`[[identities]] verifier = …, key = …`).
    Key {
        /// The verifier's name.
        verifier: VerifierName,
        /// Its key.
        key: Box<PrivateKey>,
    },
    /// A token of an issuer that the policy names; asked for whenever a lease is, on a thread that may block.
    Token(Arc<dyn Fn() -> io::Result<String> + Send + Sync>),
}

impl Identity {
    /// The key that the policy registers for a verifier.
    #[must_use]
    pub fn key(verifier: VerifierName, key: PrivateKey) -> Self {
        Self::Key { verifier, key: Box::new(key) }
    }

    /// A token in a file that the platform keeps fresh, such as a projected service account token.
    #[must_use]
    pub fn token_file(path: impl Into<PathBuf>) -> Self {
        let path = path.into();
        Self::Token(Arc::new(move || std::fs::read_to_string(&path).map(|text| text.trim().to_owned())))
    }

    /// The assertion of a lease. May block.
    pub(super) fn assertion(
        &self,
        audience: &str,
        now: Timestamp,
        random: &dyn Random,
    ) -> Result<String, ReportError> {
        match self {
            Self::Key { verifier, key } => {
                Ok(jws::assertion(&format!("verifier:{verifier}"), audience, key, now, random)?)
            }
            Self::Token(token) => {
                let token = token().map_err(|cause| ReportError::Identity(cause.to_string()))?;
                if token.is_empty() || token.len() > MAX_TOKEN {
                    return Err(ReportError::Identity("it is empty or longer than 32 KiB".to_owned()));
                }
                Ok(token)
            }
        }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key { verifier, .. } => {
                f.debug_struct("Key").field("verifier", verifier).finish_non_exhaustive()
            }
            Self::Token(_) => f.write_str("Token"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shortbread_protocol::random::SeededRandom;

    #[test]
    fn a_token_is_read_when_it_is_needed_and_a_missing_one_is_named() {
        let tmp = tempfile::tempdir().unwrap();
        let path = tmp.path().join("token");
        let (identity, now) = (Identity::token_file(&path), Timestamp::from_seconds(1));
        let ask = || identity.assertion("https://b.example", now, &SeededRandom::new(1));
        assert!(matches!(ask(), Err(ReportError::Identity(_))));
        std::fs::write(&path, "abc.def.ghi\n").unwrap();
        assert_eq!(ask().unwrap(), "abc.def.ghi");
        std::fs::write(&path, "\n").unwrap();
        assert!(ask().is_err());
        assert!(!format!("{identity:?}").contains("abc"));
    }
}
