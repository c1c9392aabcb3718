//! From a path to connections that may be used, or a refusal that says what to do.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, OptionalExtension as _, params};
use zeroize::Zeroizing;

use super::inputs;
use super::mend::mend;
use super::reserve::{self, Reserve};
use super::schema::{self, Schema};
use super::sql::{Int, fault, io_fault, moment, strange};
use crate::store::{Meta, Options, StoreError, StoreKind};

/// How long to wait for another program's lock before [`StoreError::Locked`].
pub(super) const BUSY: Duration = Duration::from_secs(2);
const STATEMENTS: usize = 64;

/// A store that is open and held.
pub(super) struct Opened {
    pub(super) path: PathBuf,
    pub(super) conn: Connection,
    pub(super) lock: File,
    pub(super) meta: Meta,
    pub(super) reserve: Reserve,
}

pub(super) fn create(path: &Path, meta: &Meta, options: &Options) -> Result<Opened, StoreError> {
    let path = settled(path)?;
    writable(path.parent().unwrap_or(&path))?;
    let lock = lock(&path)?;
    if path.exists() {
        writable(&path)?;
    } else {
        private(&path, OpenOptions::new().write(true).create_new(true))?;
    }
    let mut conn = connect(&path)?;
    let runner = schema::runner();
    let schema = schema::check(&conn, &path, &runner)?;
    if schema != Schema::Empty && read_meta(&conn).map_err(|error| fault(&path, &error))?.is_some() {
        return Err(StoreError::AlreadyInitialised { path });
    }
    tune(&conn, options).map_err(|error| fault(&path, &error))?;
    if schema != Schema::Current {
        schema::apply(&mut conn, &path, &runner)?;
    }
    write_meta(&conn, meta).map_err(|error| fault(&path, &error))?;
    let reserve = Reserve::make(&path, options.reserve, options.max_pages)?;
    Ok(Opened { path, conn, lock, meta: meta.clone(), reserve })
}

pub(super) fn open(path: &Path, options: &Options) -> Result<Opened, StoreError> {
    loop {
        match try_open(path, options) {
            // A store is opened with room to spare or not at all, and whoever presses the switch has to open it.
            Err(StoreError::Full { path }) if reserve::spare(&path) => {}
            done => return done,
        }
    }
}

fn try_open(path: &Path, options: &Options) -> Result<Opened, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing { path: path.to_owned() });
    }
    let path = settled(path)?;
    writable(&path)?;
    writable(path.parent().unwrap_or(&path))?;
    if !path.is_file() {
        return Err(StoreError::NotADatabase { path });
    }
    let lock = lock(&path)?;
    let mut conn = connect(&path)?;
    let runner = schema::runner();
    let schema = schema::check(&conn, &path, &runner)?;
    match schema {
        Schema::Empty => return Err(StoreError::NotInitialised { path }),
        Schema::Behind { found, needed } if !options.migrate => {
            return Err(StoreError::NeedsMigration { path, found, needed });
        }
        Schema::Behind { .. } | Schema::Current => {}
    }
    let Some(meta) = read_meta(&conn).map_err(|error| fault(&path, &error))? else {
        return Err(StoreError::NotInitialised { path });
    };
    if meta.kind == StoreKind::Dev && !options.dev {
        return Err(StoreError::Dev { path });
    }
    tune(&conn, options).map_err(|error| fault(&path, &error))?;
    if schema != Schema::Current {
        schema::apply(&mut conn, &path, &runner)?;
    }
    mend(&conn, &path, &meta.issuer)?;
    let reserve = Reserve::make(&path, options.reserve, options.max_pages)?;
    Ok(Opened { path, conn, lock, meta, reserve })
}

/// A connection that cannot write.
pub(super) fn reader(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(BUSY)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(conn)
}

// One name per file, so that two spellings of a path meet at one lock.
pub(super) fn settled(path: &Path) -> Result<PathBuf, StoreError> {
    if path.exists() {
        return fs::canonicalize(path).map_err(|error| io_fault(path, &error));
    }
    let (Some(name), Some(folder)) = (path.file_name(), path.parent()) else {
        return Err(StoreError::Failed { path: path.to_owned(), cause: "it does not name a file".into() });
    };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    fs::canonicalize(folder).map(|folder| folder.join(name)).map_err(|error| StoreError::Failed {
        path: path.to_owned(),
        cause: format!("its folder cannot be used: {error}"),
    })
}

// Asked by mode as well, since a superuser could write all the same and that is not what the mode says.
fn writable(path: &Path) -> Result<(), StoreError> {
    let mode = fs::metadata(path).map_err(|error| io_fault(path, &error))?.permissions();
    if mode.readonly() { Err(StoreError::ReadOnly { path: path.to_owned() }) } else { Ok(()) }
}

pub(super) fn lock(path: &Path) -> Result<File, StoreError> {
    let mut name = path.as_os_str().to_owned();
    name.push(".lock");
    let file = private(Path::new(&name), OpenOptions::new().write(true).create(true).truncate(false))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::InUse { path: path.to_owned() }),
        Err(TryLockError::Error(error)) => Err(io_fault(path, &error)),
    }
}

pub(super) fn private(path: &Path, options: &mut OpenOptions) -> Result<File, StoreError> {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(options, 0o600);
    options.open(path).map_err(|error| io_fault(path, &error))
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let open = || {
        let conn = Connection::open_with_flags(path, flags)?;
        conn.busy_timeout(BUSY)?;
        Ok(conn)
    };
    open().map_err(|error| fault(path, &error))
}

fn tune(conn: &Connection, options: &Options) -> rusqlite::Result<()> {
    conn.pragma_update(None, "journal_mode", "WAL")?;
    let mode: String = conn.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(strange(0, &mode));
    }
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "foreign_keys", true)?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    conn.pragma_update(None, "trusted_schema", false)?;
    conn.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    inputs::overwriting(conn, false)?;
    if let Some(pages) = options.max_pages {
        conn.pragma_update(None, "max_page_count", pages)?;
    }
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    Ok(())
}

fn write_meta(conn: &Connection, meta: &Meta) -> rusqlite::Result<()> {
    let sql = "INSERT INTO meta (one, kind, issuer, created, hmac_secret) VALUES (1, ?1, ?2, ?3, ?4)";
    let created = Int(meta.created.millis());
    conn.execute(sql, params![meta.kind.as_str(), meta.issuer, created, meta.hmac_secret.as_slice()])
        .map(drop)
}

pub(super) fn read_meta(conn: &Connection) -> rusqlite::Result<Option<Meta>> {
    let sql = "SELECT kind, issuer, created, hmac_secret FROM meta";
    conn.query_row(sql, [], |row| {
        let kind = match row.get_ref(0)?.as_str()? {
            "dev" => StoreKind::Dev,
            "broker" => StoreKind::Broker,
            other => return Err(strange(0, other)),
        };
        let hmac_secret = Zeroizing::new(row.get(3)?);
        Ok(Meta { kind, issuer: row.get(1)?, created: moment(row, 2)?, hmac_secret })
    })
    .optional()
}
