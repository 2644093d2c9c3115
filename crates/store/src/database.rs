//! Where is the memory of this host, and may it be used?
//!
//! One SQLite file in WAL mode, so that viewers read while a run writes. Every commit is synced
//! (`synchronous = FULL`): an order or a deployment that was written down is still known after a power cut.
//!
//! # Invariants
//!
//! - A file from a newer clpctl, or one that is not ours, is refused and not changed.
//! - The file is readable by its owner alone from the moment it exists.
//! - A viewer ([`Database::open_read_only`]) changes nothing and makes nothing.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use renewal::ports::MemoryFailure;
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use self::commits::Commits;
use self::trouble::{Answer, Trouble};
use crate::folder;

mod schema;
mod commits;
mod memory;
mod sites;
mod files;
mod spent;
mod journal;
mod history;
mod column;
mod trouble;

/// The memory of one host. Cheap to share; the calls take turns.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    commits: Commits,
}

impl Database {
    /// Opens the file at `path` to read and write; makes it and its folder when they are missing.
    ///
    /// What no longer matters at `now` is forgotten.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the folder or the file, and how to go on.
    pub fn open(path: &Path, now: Timestamp) -> Result<Self, OpenError> {
        create(path)?;
        let failed = |trouble| OpenError::of(path, trouble);
        let mut connection = connect(path).map_err(failed)?;
        schema::check(&connection, path)?;
        if connection
            .is_readonly("main")
            .map_err(|e| failed(e.into()))?
        {
            return Err(OpenError::NotWritable {
                path: path.to_owned(),
                cause: "it may only be read".to_owned(),
            });
        }
        schema::prepare(&mut connection).map_err(failed)?;
        forget(&mut connection, now).map_err(failed)?;
        Ok(Self::new(path, connection))
    }

    /// Opens the file at `path` to read what a run wrote, also while one works. A missing file reads as empty.
    ///
    /// Every method that would change something fails.
    ///
    /// # Errors
    ///
    /// Says what is wrong with the file, and how to go on.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        let failed = |trouble| OpenError::of(path, trouble);
        let empty = match std::fs::metadata(path) {
            Ok(metadata) => metadata.len() == 0,
            Err(error) if error.kind() == io::ErrorKind::NotFound => true,
            Err(error) => return Err(failed(Trouble(error.to_string(), None))),
        };
        let connection = if empty {
            let mut connection = Connection::open_in_memory().map_err(|e| failed(e.into()))?;
            schema::prepare(&mut connection).map_err(failed)?;
            connection
        } else {
            let connection = connect(path).map_err(failed)?;
            schema::check(&connection, path)?;
            if schema::version(&connection).map_err(failed)? < schema::KNOWN {
                return Err(OpenError::Older {
                    path: path.to_owned(),
                });
            }
            connection
        };
        connection
            .pragma_update(None, "query_only", true)
            .map_err(|e| failed(e.into()))?;
        Ok(Self::new(path, connection))
    }

    fn new(path: &Path, connection: Connection) -> Self {
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Self {
            path: path.to_owned(),
            commits: Commits::new(connection),
        }
    }

    /// Reads; `what` completes “cannot …”.
    fn read<T>(
        &self,
        what: &str,
        read: impl FnOnce(&Connection) -> Answer<T>,
    ) -> Result<T, MemoryFailure> {
        self.commits
            .read(read)
            .map_err(|trouble| self.failure(what, trouble))
    }

    /// Writes in one synced commit; nothing is written when anything fails. `what` completes “cannot …”.
    fn write<T>(
        &self,
        what: &str,
        write: impl FnOnce(&Connection) -> Answer<T>,
    ) -> Result<T, MemoryFailure> {
        self.commits
            .write(write)
            .map_err(|trouble| self.failure(what, trouble))
    }

    fn failure(&self, what: &str, trouble: Trouble) -> MemoryFailure {
        let Trouble(cause, code) = trouble;
        MemoryFailure {
            what: format!("cannot {what} {}", self.path.display()),
            cause: if is_corrupt(code) {
                format!("{cause}; {}", how_to_go_on(&self.path))
            } else if is_full(code, &self.path) {
                format!("the disk is full ({cause})")
            } else {
                cause
            },
        }
    }
}

/// The memory cannot be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder is missing and cannot be made.
    #[error("the state directory {} cannot be made: {cause}", .path.display())]
    Directory {
        /// The folder.
        path: PathBuf,
        /// Why not.
        cause: io::Error,
    },
    /// The file cannot be made or written.
    #[error("{} cannot be written: {cause}; clpctl has to run as the user who owns it, usually root", .path.display())]
    NotWritable {
        /// The file.
        path: PathBuf,
        /// Why not.
        cause: String,
    },
    /// A newer clpctl wrote it.
    #[error("{} was written by a newer clpctl (its form is {found}, this clpctl knows {known}); nothing was changed; install that clpctl again, or {}", .path.display(), how_to_go_on(.path))]
    Newer {
        /// The file.
        path: PathBuf,
        /// The version of its form.
        found: i64,
        /// The newest version this clpctl knows.
        known: i64,
    },
    /// An older clpctl wrote it, and it may only be read.
    #[error("{} was written by an older clpctl; any run of site:renew-certificates brings it up to date", .path.display())]
    Older {
        /// The file.
        path: PathBuf,
    },
    /// It is another program's database.
    #[error("{} is a database, but not clpctl's; nothing was changed; `paths.state` names the folder to use", .path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// Its content is damaged.
    #[error("{} is damaged: {cause}; {}", .path.display(), how_to_go_on(.path))]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        cause: String,
    },
    /// There is no room for it.
    #[error("{} cannot be written: the disk is full ({cause})", .path.display())]
    Full {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        cause: String,
    },
    /// Something else.
    #[error("{} cannot be opened: {cause}", .path.display())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        cause: String,
    },
}

impl OpenError {
    fn of(path: &Path, trouble: Trouble) -> Self {
        let path = path.to_owned();
        let Trouble(cause, code) = trouble;
        match code {
            code if is_corrupt(code) => Self::Corrupt { path, cause },
            Some(ErrorCode::ReadOnly) => Self::NotWritable { path, cause },
            code if is_full(code, &path) => Self::Full { path, cause },
            Some(_) | None => Self::Failed { path, cause },
        }
    }
}

/// Says whether the trouble comes from a full disk, which SQLite calls an I/O error when it is the shared memory
/// that finds no room.
fn is_full(code: Option<ErrorCode>, path: &Path) -> bool {
    match code {
        Some(ErrorCode::DiskFull) => true,
        Some(ErrorCode::SystemIoFailure) => {
            rustix::fs::statvfs(path).is_ok_and(|disk| disk.f_bavail * disk.f_frsize < ROOM_LEAST)
        }
        Some(_) | None => false,
    }
}

/// Makes the folder and an empty file, so that SQLite never makes one that others may read.
fn create(path: &Path) -> Result<(), OpenError> {
    let folder = folder::of(path);
    folder::create(folder).map_err(|cause| OpenError::Directory {
        path: folder.to_owned(),
        cause,
    })?;
    let not_writable = |error: io::Error| OpenError::NotWritable {
        path: path.to_owned(),
        cause: error.to_string(),
    };
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(FILE_MODE);
    match options.open(path) {
        Ok(_) => File::open(folder)
            .and_then(|folder| folder.sync_all())
            .map_err(not_writable),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(not_writable(error)),
    }
}

/// Opens an existing file. Viewers too may write as far as SQLite is concerned: a reader of a WAL database
/// that may not write would leave `-wal` and `-shm` behind.
fn connect(path: &Path) -> Answer<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "cache_size", -CACHE_KIBIBYTES)?;
    Ok(connection)
}

/// Forgets full buckets of the ledger, and sites that nobody has asked about for a year.
fn forget(connection: &mut Connection, now: Timestamp) -> Answer<()> {
    let long_ago = now.checked_sub(FORGOTTEN_AFTER).unwrap_or(Timestamp::MIN);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    spent::forget(&transaction, now)?;
    sites::forget(&transaction, long_ago)?;
    transaction.commit()?;
    Ok(())
}

fn is_corrupt(code: Option<ErrorCode>) -> bool {
    matches!(
        code,
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
    )
}

fn how_to_go_on(path: &Path) -> String {
    let path = path.display();
    format!(
        "moving it aside is safe (mv {path} {path}.old; also {path}-wal and {path}-shm): the next run reads sites \
         and certificates anew, and only the history and the count of used-up CA limits are lost"
    )
}

/// History and orders are root's business alone.
const FILE_MODE: u32 = 0o600;

/// How long a call waits for another process that writes; commits take milliseconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// Tables are read whole, from one end to the other, and seldom twice: more would only be filled, not used.
const CACHE_KIBIBYTES: i64 = 4 * 1024;

/// More than there are different statements.
const STATEMENTS_KEPT: usize = 48;

/// A managed site is asked about daily, so one that was not for this long is gone.
const FORGOTTEN_AFTER: SignedDuration = SignedDuration::from_hours(400 * 24);

/// SQLite's shared memory grows by so many bytes at once.
const ROOM_LEAST: u64 = 32 << 10;
