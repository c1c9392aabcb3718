//! Files that nobody else reads, and files that appear whole or not at all.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::Path;

use super::SetupError;

/// Writes a new file that its owner alone may read; an existing one is left as it is and is an error.
///
/// # Errors
/// When the file is there, or cannot be written.
pub fn write_private(path: &Path, bytes: &[u8]) -> Result<(), SetupError> {
    let failed = |cause| SetupError::File { path: path.to_owned(), cause };
    folder(path).map_err(failed)?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

/// Writes a file that anyone may read, over one that is there.
///
/// # Errors
/// When it cannot be written.
pub fn write_public(path: &Path, bytes: &[u8]) -> Result<(), SetupError> {
    let failed = |cause| SetupError::File { path: path.to_owned(), cause };
    folder(path).map_err(failed)?;
    let draft = path.with_extension("new");
    fs::write(&draft, bytes).and_then(|()| fs::rename(&draft, path)).map_err(failed)
}

fn folder(path: &Path) -> std::io::Result<()> {
    let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}
