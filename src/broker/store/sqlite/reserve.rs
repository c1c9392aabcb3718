//! Space that is kept for the switch: a file beside the store that is really on the disk, and pages below the store's
//! own limit. When nothing more fits, exchanges are refused, and what revokes, lifts and signs heads goes on in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::open::private;
use super::sql::io_fault;
use crate::store::StoreError;

/// SQLite's page, in bytes.
const PAGE: u64 = 4096;

/// The reserve is given up in so many pieces, each when it is needed: whoever fills the disk could take it as well.
const PIECES: u64 = 8;

/// How much more than the reserve must be free before exchanges are recorded again, as a part of it: without it they
/// would be refused and let in by turns.
const MARGIN: u64 = 8;

/// After how many groups of the switch, a head every few seconds among them, it is first looked whether there is room
/// again, and after how many at most.
const FIRST_LOOK: u32 = 2;
const LAST_LOOK: u32 = 16;

/// In pages: rare large checkpoints keep the slowest commits short.
const CHECKPOINT_PAGES: u64 = 10_000;

/// The reserve of one store.
pub(super) struct Reserve {
    path: PathBuf,
    // None when there is none: then the store is used up to the last byte by everyone.
    file: Option<File>,
    size: u64,
    held: u64,
    limit: Option<u64>,
    admits: bool,
    look: Look,
}

/// When to look for room again, counted in groups.
struct Look {
    after: u32,
    left: u32,
}

impl Look {
    const FIRST: Self = Self { after: FIRST_LOOK, left: FIRST_LOOK };

    fn is_due(&mut self) -> bool {
        self.left = self.left.saturating_sub(1);
        if self.left > 0 {
            return false;
        }
        self.after = (self.after * 2).min(LAST_LOOK);
        self.left = self.after;
        true
    }
}

impl Reserve {
    /// Makes the reserve of `size` bytes for the store at `path`, or takes the one that is there. A disk that has no
    /// room for it is no reason not to start: the switch must work then of all times.
    ///
    /// # Errors
    /// When its file cannot be made for another reason.
    pub(super) fn make(path: &Path, size: Option<u64>, limit: Option<u32>) -> Result<Self, StoreError> {
        let name = beside(path);
        let (size, limit, unused) = (size.unwrap_or_default(), limit.map(u64::from), size.is_none());
        let mut reserve =
            Self { path: path.to_owned(), file: None, size, held: 0, limit, admits: true, look: Look::FIRST };
        if unused {
            return Ok(reserve);
        }
        if size == 0 {
            return match fs::remove_file(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => Err(io_fault(&name, &error)),
                _ => Ok(reserve),
            };
        }
        let file = private(&name, OpenOptions::new().read(true).write(true).create(true).truncate(false))?;
        reserve.held = allocated(&file).map_err(|error| io_fault(&name, &error))?.min(size);
        reserve.file = Some(file);
        match reserve.fill(size) {
            Ok(()) => {}
            Err(error) if is_short(&error) => reserve.refuse(),
            Err(error) => return Err(io_fault(&name, &error)),
        }
        reserve.tell();
        Ok(reserve)
    }

    /// Whether exchanges are recorded.
    pub(super) fn admits(&self) -> bool {
        self.admits
    }

    /// Whether a disk that is full would have more room for the switch if some of it were given up.
    pub(super) fn helps(&self, conn: &Connection) -> bool {
        let at_limit = || {
            let used = conn.pragma_query_value(None, "page_count", |row| row.get::<_, i64>(0));
            let limit = self.limit.and_then(|limit| i64::try_from(limit).ok());
            limit.zip(used.ok()).is_some_and(|(limit, used)| used >= limit)
        };
        self.held > 0 && !at_limit()
    }

    fn exists(&self) -> bool {
        self.file.is_some()
    }

    /// The most pages that the store may have, for the switch or for everything else.
    pub(super) fn pages(&self, switch: bool) -> Option<u64> {
        let kept = if switch || !self.exists() { 0 } else { self.size / PAGE };
        self.limit.map(|limit| limit.saturating_sub(kept).max(1))
    }

    /// After how many pages the log of the database is written back: the reserve takes twice what that needs.
    pub(super) fn checkpoint_pages(&self) -> u64 {
        if self.exists() { (self.size / PAGE / 2).clamp(16, CHECKPOINT_PAGES) } else { CHECKPOINT_PAGES }
    }

    /// Exchanges are refused from here on, until there is room again.
    pub(super) fn refuse(&mut self) {
        if !self.exists() {
            return;
        }
        if self.admits {
            tracing::error!(
                error.class = "store",
                store = %self.path.display(),
                "nothing more fits into the store: exchanges are refused, revocations, lifts and operators' sign-ins go on in its reserve; free some space"
            );
        }
        self.admits = false;
        self.look = Look::FIRST;
        self.tell();
    }

    /// Gives up a piece of the reserve; not when nothing of it is left.
    pub(super) fn give(&mut self) -> bool {
        self.refuse();
        let Some(file) = self.file.as_ref().filter(|_| self.held > 0) else { return false };
        let left = self.held.saturating_sub((self.size / PIECES).max(PAGE));
        if let Err(error) = file.set_len(left) {
            tracing::error!(error.class = "store", error = %error, "the store's reserve could not be cut");
            return false;
        }
        self.held = left;
        tracing::warn!(store = %self.path.display(), left, "a piece of the store's reserve was given up for the switch");
        self.tell();
        true
    }

    /// Looks now and then whether there is room for the whole reserve and some more; then exchanges are recorded again.
    pub(super) fn look(&mut self, conn: &Connection) {
        if self.admits || !self.look.is_due() || !self.has_pages(conn) {
            return;
        }
        match self.fill(self.size + self.size / MARGIN).and_then(|()| self.cut()) {
            Ok(()) => {
                self.admits = true;
                tracing::info!(store = %self.path.display(), "there is room in the store again: exchanges are recorded");
            }
            Err(error) => {
                tracing::debug!(error = %error, "there is no room for the store's reserve yet");
                // What was in the way of the switch for a moment is given back at once.
                let _ = self.keep(self.held);
            }
        }
        self.tell();
    }

    fn has_pages(&self, conn: &Connection) -> bool {
        let Some(usual) = self.pages(false) else { return true };
        let count = |pragma: &str| conn.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0));
        let used = count("page_count").and_then(|all| Ok(all - count("freelist_count")?));
        let margin = self.size / PAGE / MARGIN;
        used.is_ok_and(|used| u64::try_from(used).is_ok_and(|used| used + margin <= usual))
    }

    fn cut(&mut self) -> io::Result<()> {
        self.keep(self.size)?;
        self.held = self.size;
        Ok(())
    }

    fn keep(&self, bytes: u64) -> io::Result<()> {
        self.file.as_ref().map_or(Ok(()), |file| file.set_len(bytes))
    }

    // Bytes that no file system can leave out, and until they are on the disk.
    fn fill(&mut self, until: u64) -> io::Result<()> {
        let Some(file) = self.file.as_mut() else { return Ok(()) };
        let mut at = self.held.min(until);
        file.set_len(at)?;
        if at == until {
            return Ok(());
        }
        file.seek(SeekFrom::Start(at))?;
        let mut noise = Noise(at ^ 0x9e37_79b9_7f4a_7c15);
        let mut block = vec![0; 1 << 16];
        while at < until {
            noise.fill(&mut block);
            let piece = usize::try_from(until - at).unwrap_or(usize::MAX).min(block.len());
            let written = file.write(block.get(..piece).unwrap_or_default());
            match written {
                Ok(0) => return Err(io::ErrorKind::StorageFull.into()),
                Ok(count) => at += count as u64,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    file.set_len(self.held)?;
                    return Err(error);
                }
            }
        }
        if let Err(error) = file.sync_all() {
            file.set_len(self.held)?;
            return Err(error);
        }
        self.held = self.held.max(until.min(self.size));
        Ok(())
    }

    /// Tells the metrics how it stands.
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    pub(super) fn tell(&self) {
        metrics::gauge!("shortbread_store_reserve").set(self.held as f64);
        metrics::gauge!("shortbread_store_at_reserve").set(if self.admits { 0.0 } else { 1.0 });
    }
}

/// Gives up a piece of the reserve of a store that is not open yet, since even that takes some room; whether there was
/// one.
pub(super) fn spare(path: &Path) -> bool {
    let cut = || {
        let file = OpenOptions::new().write(true).open(beside(path))?;
        let held = file.metadata()?.len();
        file.set_len(held - held.div_ceil(PIECES))?;
        Ok::<_, io::Error>(held > 0)
    };
    cut().unwrap_or(false)
}

/// Numbers that do not compress. Nothing rests on them but space.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, block: &mut [u8]) {
        for chunk in block.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.iter_mut().zip(self.0.to_le_bytes()).for_each(|(to, from)| *to = from);
        }
    }
}

/// Where the reserve of a store lies.
fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push("-reserve");
    name.into()
}

// As much of it as is on the disk: a file with holes keeps nothing.
fn allocated(file: &File) -> io::Result<u64> {
    let metadata = file.metadata()?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt as _;
        if metadata.blocks().saturating_mul(512) < metadata.len() {
            return Ok(0);
        }
    }
    Ok(metadata.len())
}

fn is_short(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SIZE: u64 = 256 * 1024;

    fn conn(path: &Path) -> Connection {
        Connection::open(path).unwrap()
    }

    #[test]
    fn it_is_on_the_disk_and_for_nobody_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let reserve = Reserve::make(&path, Some(SIZE), None).unwrap();
        assert!(reserve.admits() && reserve.exists());
        let metadata = fs::metadata(beside(&path)).unwrap();
        assert_eq!(metadata.len(), SIZE);
        #[cfg(unix)]
        {
            use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
            assert!(metadata.blocks() * 512 >= SIZE, "{} blocks", metadata.blocks());
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
        }
        drop(reserve);
        assert!(Reserve::make(&path, Some(SIZE), None).unwrap().admits());
        drop(Reserve::make(&path, Some(SIZE / 2), None).unwrap());
        assert_eq!(fs::metadata(beside(&path)).unwrap().len(), SIZE / 2, "a smaller one is cut");
        drop(Reserve::make(&path, Some(0), None).unwrap());
        assert!(!beside(&path).exists(), "none leaves nothing");
    }

    #[test]
    fn a_file_with_holes_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        File::create(beside(&path)).unwrap().set_len(SIZE).unwrap();
        drop(Reserve::make(&path, Some(SIZE), None).unwrap());
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt as _;
            assert!(fs::metadata(beside(&path)).unwrap().blocks() * 512 >= SIZE);
        }
    }

    #[test]
    fn it_is_given_up_piece_by_piece_and_made_whole_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let mut reserve = Reserve::make(&path, Some(SIZE), None).unwrap();
        for piece in 1..=PIECES {
            assert!(reserve.give() && !reserve.admits());
            assert_eq!(fs::metadata(beside(&path)).unwrap().len(), SIZE - SIZE / PIECES * piece);
        }
        assert!(!reserve.give(), "nothing is left");
        let conn = conn(&path);
        reserve.look(&conn);
        assert!(!reserve.admits(), "not at once");
        (0..LAST_LOOK).for_each(|_| reserve.look(&conn));
        assert!(reserve.admits());
        assert_eq!(fs::metadata(beside(&path)).unwrap().len(), SIZE, "and the margin is given back");
    }

    #[test]
    fn a_limit_of_pages_keeps_the_reserve_below_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("s.db");
        let reserve = Reserve::make(&path, Some(SIZE), Some(100)).unwrap();
        assert_eq!((reserve.pages(true), reserve.pages(false)), (Some(100), Some(36)));
        assert_eq!(reserve.checkpoint_pages(), 32);
        let none = Reserve::make(&folder.path().join("t.db"), None, None).unwrap();
        assert_eq!((none.pages(false), none.checkpoint_pages()), (None, CHECKPOINT_PAGES));
    }
}
