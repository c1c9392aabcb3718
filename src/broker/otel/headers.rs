//! The headers that a collector wants, as a token: from a file that its owner alone may read.

use std::path::Path;

use http::{HeaderMap, HeaderName, HeaderValue};
use zeroize::Zeroizing;

use super::OtelError;
use crate::private::is_private;

/// Reads `Name: value` lines; empty ones and those that begin with `#` say nothing.
///
/// # Errors
/// When the file cannot be read, others may read it, or a line is no header.
pub(super) fn read(path: &Path) -> Result<HeaderMap, OtelError> {
    let unreadable = |cause| OtelError::Unreadable { path: path.to_owned(), cause };
    if !is_private(path).map_err(unreadable)? {
        return Err(OtelError::Open { path: path.to_owned() });
    }
    let text = std::fs::read_to_string(path).map(Zeroizing::new).map_err(unreadable)?;
    let mut headers = HeaderMap::new();
    for (at, line) in text.lines().map(str::trim).enumerate() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        // What stands there may be a secret: its place is told, not its text.
        let wrong = || OtelError::Header { path: path.to_owned(), line: at + 1 };
        let (name, value) = header(line).ok_or_else(wrong)?;
        headers.append(name, value);
    }
    Ok(headers)
}

fn header(line: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = line.split_once(':')?;
    let mut value = HeaderValue::from_str(value.trim()).ok().filter(|value| !value.is_empty())?;
    value.set_sensitive(true);
    Some((name.trim().parse().ok()?, value))
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn headers_are_read_from_a_private_file_and_shown_nowhere() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("headers");
        let write = |text: &str, mode| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            read(&path)
        };
        let headers = write("# ours\n\nAuthorization: Bearer hunter%202\nx-team: a\n", 0o600).unwrap();
        assert_eq!((headers.len(), headers["authorization"].to_str().unwrap()), (2, "Bearer hunter%202"));
        assert!(!format!("{headers:?}").contains("hunter"));
        assert!(matches!(write("x: y", 0o640), Err(OtelError::Open { .. })));
        for bad in ["x: y\nhunter2", "x: y\nhunter2:", "x: y\nhun ter: 2", "x: y\nhunter: \u{7f}2"] {
            let told = write(bad, 0o600).unwrap_err().to_string();
            assert!(told.contains("headers:2: no header") && !told.contains("hun"), "{told}");
        }
        let absent = read(&folder.path().join("none"));
        assert!(matches!(absent, Err(OtelError::Unreadable { .. })));
    }
}
