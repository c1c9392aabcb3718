//! Files as commands read and write them: small, and private where they hold secrets.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, BufWriter, Read as _, Write as _};
use std::path::{Path, PathBuf};

use shortbread_broker::config::Passphrase;
use shortbread_broker::proof::{Held, read_held};
use shortbread_protocol::keys::{KeyError, PrivateKey, PublicKey};

use crate::failure::Failure;

/// The most bytes that are read of a file or of standard input.
const LIMIT: u64 = 16 * 1024 * 1024;

/// Reads a file of at most 16 MiB.
///
/// # Errors
/// When it cannot be read or is larger.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let failed = |cause: String| {
        Failure::new(
            format!("{} cannot be read: {cause}", path.display()),
            "Check the path and its permissions.",
        )
    };
    capped(File::open(path).map_err(|e| failed(e.to_string()))?).map_err(failed)
}

/// Reads a file as text.
///
/// # Errors
/// As [`read`], and when it is not UTF-8.
pub(crate) fn read_text(path: &Path) -> Result<String, Failure> {
    String::from_utf8(read(path)?)
        .map_err(|_| Failure::new(format!("{} is not a text file", path.display()), "Check the path."))
}

/// What an argument stands for: itself, standard input (`-`), or a file (`@FILE`). White space around it goes.
///
/// # Errors
/// When the file or standard input cannot be read as text.
pub(crate) fn argument(value: &str) -> Result<String, Failure> {
    let text = match value.strip_prefix('@') {
        Some(path) => read_text(Path::new(path))?,
        None if value == "-" => stdin()?,
        None => value.to_owned(),
    };
    Ok(text.trim().to_owned())
}

/// The text of a file, or of standard input for `-`.
///
/// # Errors
/// When it cannot be read as text.
pub(crate) fn file_or_stdin(path: &Path) -> Result<String, Failure> {
    let text = if path.as_os_str() == "-" { stdin()? } else { read_text(path)? };
    Ok(text.trim().to_owned())
}

fn stdin() -> Result<String, Failure> {
    let failed = |cause| Failure::new(format!("standard input cannot be read: {cause}"), "Pipe the text in.");
    let bytes = capped(std::io::stdin().lock()).map_err(failed)?;
    String::from_utf8(bytes).map_err(|_| failed("it is not text".to_owned()))
}

fn capped(reader: impl std::io::Read) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    reader.take(LIMIT + 1).read_to_end(&mut bytes).map_err(|e| e.to_string())?;
    if bytes.len() as u64 > LIMIT { Err("it has more than 16 MiB".to_owned()) } else { Ok(bytes) }
}

/// Reads a private key, with the passphrase of an encrypted one.
///
/// # Errors
/// When the file is not there or holds something else, or the passphrase is another one; contents are never shown.
pub(crate) fn private_key(path: &Path, passphrase: Option<&Passphrase>) -> Result<PrivateKey, Failure> {
    let pem = zeroize::Zeroizing::new(read_text(path)?);
    let key = match passphrase {
        Some(passphrase) => PrivateKey::from_encrypted_pem(&pem, passphrase.as_bytes()),
        None => PrivateKey::from_pem(&pem),
    };
    key.map_err(|error| {
        let fix = match error {
            KeyError::Encrypted => "Set SHORTBREAD_KEY_PASSPHRASE for this command.",
            KeyError::Passphrase => "Correct SHORTBREAD_KEY_PASSPHRASE or the passphrase file.",
            _ => "Name the file of the private key, the one without .pub; `shortbread keys generate` makes a new one.",
        };
        Failure::new(format!("{} is {error}", path.display()), fix)
    })
}

/// Reads a public key.
///
/// # Errors
/// When the file is not there or holds something else.
pub(crate) fn public_key(path: &Path) -> Result<PublicKey, Failure> {
    PublicKey::from_pem(&read_text(path)?).map_err(|error| {
        Failure::new(format!("{} is {error}", path.display()), "Name the .pub.pem file of the key.")
    })
}

/// Writes a new file and never over an old one; a folder that is missing is made, for its owner alone.
///
/// # Errors
/// When it is there already or cannot be written.
pub(crate) fn create(path: &Path, contents: &[u8], private: bool) -> Result<(), Failure> {
    let failed = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => Failure::new(
            format!("{} is there already", path.display()),
            "Choose another name, or move it away first.",
        ),
        _ => Failure::new(
            format!("{} cannot be written: {error}", path.display()),
            "Check the path and its permissions.",
        ),
    };
    make_folder(path).map_err(|e| failed(&e))?;
    let mut file = options(private).create_new(true).open(path).map_err(|e| failed(&e))?;
    file.write_all(contents).and_then(|()| file.sync_all()).map_err(|e| failed(&e))
}

/// Puts a private file (mode 0600) in place of whatever is there, all at once.
///
/// # Errors
/// When it or its directory cannot be written.
pub(crate) fn replace_private(path: &Path, contents: &[u8]) -> Result<(), Failure> {
    let mut fresh = Fresh::create(path)?;
    fresh.put(contents)?;
    fresh.finish()
}

/// A private file (mode 0600) that takes its place, over whatever is there, once it is whole; nothing is left of one that
/// is not.
pub(crate) struct Fresh {
    path: PathBuf,
    fresh: PathBuf,
    file: BufWriter<File>,
    placed: bool,
}

impl Fresh {
    /// Begins it beside its place.
    ///
    /// # Errors
    /// When it cannot be written there.
    pub(crate) fn create(path: &Path) -> Result<Self, Failure> {
        let mut fresh = path.as_os_str().to_owned();
        fresh.push(format!(".{}.new", std::process::id()));
        let fresh = PathBuf::from(fresh);
        let open = || {
            make_folder(&fresh)?;
            options(true).create_new(true).open(&fresh)
        };
        let file = BufWriter::with_capacity(1 << 20, open().map_err(|error| unwritten(path, &error))?);
        Ok(Self { path: path.to_owned(), fresh, file, placed: false })
    }

    /// Writes on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn put(&mut self, contents: &[u8]) -> Result<(), Failure> {
        self.with(|file| file.write_all(contents))
    }

    /// Lets something write on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub(crate) fn with(
        &mut self,
        write: impl FnOnce(&mut BufWriter<File>) -> std::io::Result<()>,
    ) -> Result<(), Failure> {
        write(&mut self.file).map_err(|error| unwritten(&self.path, &error))
    }

    /// Puts it in its place.
    ///
    /// # Errors
    /// When it cannot be written or moved there.
    pub(crate) fn finish(mut self) -> Result<(), Failure> {
        let place = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        place
            .and_then(|()| fs::rename(&self.fresh, &self.path))
            .map_err(|error| unwritten(&self.path, &error))?;
        self.placed = true;
        Ok(())
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        if !self.placed {
            // The leftover is of no use to anyone; the error that matters is the first one.
            let _ = fs::remove_file(&self.fresh);
        }
    }
}

fn unwritten(path: &Path, error: &std::io::Error) -> Failure {
    let fix = "Check the path and its permissions.";
    Failure::new(format!("{} cannot be written: {error}", path.display()), fix)
}

/// Opens a file that is read from its beginning to its end.
///
/// # Errors
/// When it is not there or may not be read.
pub(crate) fn stream(path: &Path) -> Result<BufReader<File>, Failure> {
    let failed = |cause| {
        let what = format!("{} cannot be read: {cause}", path.display());
        Failure::new(what, "Check the path and its permissions.")
    };
    let file = File::open(path).and_then(|file| {
        if file.metadata()?.is_dir() { Err(std::io::ErrorKind::IsADirectory.into()) } else { Ok(file) }
    });
    file.map(|file| BufReader::with_capacity(1 << 20, file)).map_err(|error| failed(error.to_string()))
}

/// Reads checkpoints that were kept outside, as anchors write them.
///
/// # Errors
/// When a file is not read, or holds none.
pub(crate) fn checkpoints(paths: &[PathBuf]) -> Result<Vec<Held>, Failure> {
    let mut all = Vec::new();
    for path in paths {
        let read = read_held(stream(path)?).map_err(|error| {
            let fix = "Give the file that the broker's anchors wrote: signed checkpoints one after another, or its log in JSON.";
            Failure::new(format!("{}: {error}", path.display()), fix)
        })?;
        if read.is_empty() {
            let fix = "Give the file that the broker's anchors wrote, or leave --checkpoint out.";
            return Err(Failure::new(format!("{} holds no checkpoint", path.display()), fix));
        }
        all.extend(read);
    }
    Ok(all)
}

/// Whether others than the owner may read the file.
pub(crate) fn is_open_to_others(path: &Path) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        fs::metadata(path).is_ok_and(|meta| meta.permissions().mode() & 0o077 != 0)
    }
    #[cfg(not(unix))]
    {
        let _ = path;
        false
    }
}

fn options(private: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(if private { 0o600 } else { 0o644 });
    }
    #[cfg(not(unix))]
    let _ = private;
    options
}

fn make_folder(of: &Path) -> std::io::Result<()> {
    let Some(folder) = of.parent().filter(|folder| !folder.as_os_str().is_empty()) else {
        return Ok(());
    };
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt as _;
        builder.mode(0o700);
    }
    builder.create(folder)
}
