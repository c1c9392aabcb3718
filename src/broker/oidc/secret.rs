//! The console's secret at the provider.

use std::fmt;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use zeroize::Zeroizing;

use super::error::SetupError;
use crate::private::is_private;

/// A client's secret. It is shown nowhere and wiped when it is dropped.
pub(super) struct Secret(Zeroizing<String>);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// From its file, which its owner alone may read.
    pub(super) fn read(path: &Path) -> Result<Self, SetupError> {
        let unreadable = |cause| SetupError::Unreadable { path: path.to_owned(), cause };
        if !is_private(path).map_err(unreadable)? {
            return Err(SetupError::Open { path: path.to_owned() });
        }
        let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(unreadable)?;
        let secret = text.trim();
        if secret.is_empty() || secret.chars().any(char::is_control) {
            return Err(SetupError::Form { path: path.to_owned() });
        }
        Ok(Self(Zeroizing::new(secret.to_owned())))
    }

    /// `client_secret_basic`: both parts are encoded as in a form first (RFC 6749, section 2.3.1).
    pub(super) fn basic(&self, client_id: &str) -> Option<HeaderValue> {
        let encoded = |text: &str| form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>();
        let pair = Zeroizing::new(format!("{}:{}", encoded(client_id), *Zeroizing::new(encoded(&self.0))));
        let text = Zeroizing::new(format!("Basic {}", STANDARD.encode(pair.as_bytes())));
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_secret_is_one_line_of_a_private_file_and_shown_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let read = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            Secret::read(&path)
        };
        let secret = read("hun:ter 2%\n", 0o600).unwrap();
        assert_eq!(format!("{secret:?}"), "Secret");
        let basic = secret.basic("a b").unwrap();
        assert_eq!(basic.to_str().unwrap(), format!("Basic {}", STANDARD.encode("a+b:hun%3Ater+2%25")));
        assert!(!format!("{basic:?}").contains("Basic"));
        assert!(matches!(read("hunter2", 0o640), Err(SetupError::Open { .. })));
        for bad in ["", " \n", "one\ntwo"] {
            assert!(matches!(read(bad, 0o600), Err(SetupError::Form { .. })), "{bad:?}");
        }
        let absent = Secret::read(&folder.path().join("none"));
        assert!(matches!(absent, Err(SetupError::Unreadable { .. })));
    }
}
