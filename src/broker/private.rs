//! Files that nobody but their owner may read.

use std::io;
use std::path::Path;

/// Whether only its owner may read a file. Where a system knows no such thing, every file passes.
///
/// # Errors
/// When it is not there or cannot be looked at.
#[cfg(unix)]
pub(crate) fn is_private(path: &Path) -> io::Result<bool> {
    use std::os::unix::fs::PermissionsExt as _;
    Ok(std::fs::metadata(path)?.permissions().mode() & 0o077 == 0)
}

#[cfg(not(unix))]
pub(crate) fn is_private(path: &Path) -> io::Result<bool> {
    std::fs::metadata(path).map(|_| true)
}
