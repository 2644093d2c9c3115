//! How is a database opened that the panel works on at the same time?
//!
//! To look: read-only, so that not even a journal is made. A database in WAL mode that nobody has open has neither
//! `-wal` nor `-shm`, and reading it the usual way would make both; it is then read as a file that does not change, and
//! read again when it did. Where a writer died in the middle of a transaction, SQLite must undo that before anybody can
//! read: it is let do so, as the panel's own next look would.
//!
//! To write: as whoever runs us, which is root. The panel runs as the database's owner and could not use a journal
//! of root's. SQLite itself gives the files that it makes beside a database to the database's owner when root
//! makes them (`robustFchown` in `os_unix.c`), from the moment they exist; [`Writing::is_whole`] looks whether it
//! did. A child process that becomes that user would have to be allowed to (`CAP_SETUID`), and would hold the same
//! locks.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use renewal::finding::{Finding, FindingName, Severity};
use rusqlite::{Connection, ErrorCode, OpenFlags, ffi};

/// The database could not be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Trouble {
    /// There is none.
    #[error("{} is not there", .0.display())]
    Missing(PathBuf),
    /// The file itself.
    #[error("{}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: io::Error,
    },
    /// SQLite.
    #[error("{}: {cause}", path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// Why.
        cause: rusqlite::Error,
    },
    /// It has a form that is not known.
    #[error("{0}")]
    Form(String),
    /// It is not as it was when the change was worked out.
    #[error("{0}")]
    Changed(String),
    /// Something else stands in the way.
    #[error("{0}")]
    Other(String),
}

impl Trouble {
    /// Says that it is only held by somebody else now.
    pub(crate) fn is_busy(&self) -> bool {
        let Self::Database { cause, .. } = self else {
            return false;
        };
        matches!(
            cause.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
        )
    }

    /// Says that a writer died in the middle of a transaction, which somebody who may write must undo.
    fn is_half_done(&self) -> bool {
        let Self::Database { cause, .. } = self else {
            return false;
        };
        let code = cause.sqlite_error().map(|error| error.extended_code);
        matches!(
            code,
            Some(ffi::SQLITE_READONLY_ROLLBACK | ffi::SQLITE_READONLY_RECOVERY)
        )
    }

    fn is_denied(&self) -> bool {
        match self {
            Self::File { cause, .. } => cause.kind() == io::ErrorKind::PermissionDenied,
            Self::Missing(_)
            | Self::Database { .. }
            | Self::Form(_)
            | Self::Changed(_)
            | Self::Other(_) => false,
        }
    }

    /// Says it to people: what cannot be done, why, and what to do.
    pub(crate) fn finding(&self, name: FindingName, explanation: &str) -> Finding {
        let severity = if self.is_busy() {
            Severity::Warning
        } else {
            name.usual_severity()
        };
        let code = match self {
            Self::Database { cause, .. } => cause.sqlite_error_code(),
            Self::Missing(_)
            | Self::File { .. }
            | Self::Form(_)
            | Self::Changed(_)
            | Self::Other(_) => None,
        };
        let fix = match code {
            _ if self.is_busy() => {
                "Nothing, if it happens once: the next run tries again. Else look who holds it: fuser -v on the file."
            }
            _ if self.is_denied() => "Run it as root: sudo clpctl …",
            Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
                "Bring it back from a backup: CloudPanel's are in /home/clp/backups, clpctl's in cloudpanel/ in its state folder."
            }
            Some(ErrorCode::DiskFull) => "Make room on its file system: df -h.",
            Some(ErrorCode::ReadOnly) => {
                "Mount its file system for writing; after a disk error, look at dmesg first."
            }
            _ => "Mend what the detail names; the next run tries again.",
        };
        Finding::new(name, explanation)
            .severity(severity)
            .detail(self.to_string())
            .fix(fix)
    }
}

/// Makes errors of SQLite name the file.
pub(crate) fn of(path: &Path) -> impl Fn(rusqlite::Error) -> Trouble + Copy + '_ {
    move |cause| Trouble::Database {
        path: path.to_owned(),
        cause,
    }
}

/// Reads the database by `work`, which may be called more than once.
pub(crate) fn read<T>(
    path: &Path,
    patience: Duration,
    mut work: impl FnMut(&Connection) -> Result<T, Trouble>,
) -> Result<T, Trouble> {
    let is_wal = is_wal(path)?;
    for _ in 0..QUIET_TRIES {
        let before = Quiet::of(path);
        let Some(before) = before.filter(|_| is_wal) else {
            break;
        };
        let uri = uri(path, "mode=ro&immutable=1");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI;
        let connection = Connection::open_with_flags(uri, flags).map_err(of(path))?;
        let answer = work(&connection);
        if Quiet::of(path) == Some(before) {
            return answer;
        }
    }
    let connection =
        Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).map_err(of(path))?;
    connection.busy_timeout(patience).map_err(of(path))?;
    match work(&connection) {
        Err(trouble) if trouble.is_half_done() => {}
        done => return done,
    }
    let writing = Writing::open(path, patience)?;
    let only_look = writing.connection.pragma_update(None, "query_only", true);
    only_look.map_err(of(path))?;
    work(&writing.connection)
}

/// What a database looks like that nobody has open for writing.
#[derive(Debug, Eq, PartialEq)]
struct Quiet {
    inode: u64,
    modified: (i64, i64),
    size: u64,
}

impl Quiet {
    /// Looks at it; `None` while there is a journal beside it.
    fn of(path: &Path) -> Option<Self> {
        let journal = ["-wal", "-journal"].iter().any(|end| {
            let size = beside(path, end).metadata().map(|facts| facts.len());
            size.is_ok_and(|size| size > 0)
        });
        let facts = path.metadata().ok().filter(|_| !journal)?;
        Some(Self {
            inode: facts.ino(),
            modified: (facts.mtime(), facts.mtime_nsec()),
            size: facts.size(),
        })
    }
}

/// Says whether the header names WAL (<https://www.sqlite.org/fileformat2.html>, section 1.3.3).
fn is_wal(path: &Path) -> Result<bool, Trouble> {
    let wrong = |cause: io::Error| match cause.kind() {
        io::ErrorKind::NotFound => Trouble::Missing(path.to_owned()),
        _ => Trouble::File {
            path: path.to_owned(),
            cause,
        },
    };
    let mut header = [0; HEADER_BYTES];
    let mut file = File::open(path).map_err(wrong)?;
    match file.read_exact(&mut header) {
        Ok(()) => Ok(header[READ_VERSION] == WAL),
        // SQLite itself says what is wrong with a file that is too short.
        Err(cause) if cause.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(cause) => Err(wrong(cause)),
    }
}

/// A database that is open for writing.
pub(crate) struct Writing {
    pub(crate) connection: Connection,
    path: PathBuf,
}

impl Writing {
    /// Opens it; nothing is made where there is none.
    pub(crate) fn open(path: &Path, patience: Duration) -> Result<Self, Trouble> {
        let wrong = of(path);
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE;
        let connection = Connection::open_with_flags(path, flags).map_err(wrong)?;
        connection.busy_timeout(patience).map_err(wrong)?;
        if connection.is_readonly("main").map_err(wrong)? {
            return Err(Trouble::Other(format!(
                "{} may only be read",
                path.display()
            )));
        }
        Ok(Self {
            connection,
            path: path.to_owned(),
        })
    }

    /// Says whether all that is beside the database belongs to its owner; mends what does not.
    pub(crate) fn is_whole(&self) -> Result<(), Trouble> {
        let facts = |path: &Path| {
            path.metadata().map_err(|cause| Trouble::File {
                path: path.to_owned(),
                cause,
            })
        };
        let database = facts(&self.path)?;
        for end in ["-journal", "-wal", "-shm"] {
            let path = beside(&self.path, end);
            let Ok(made) = facts(&path) else { continue };
            if (made.uid(), made.gid()) != (database.uid(), database.gid()) {
                std::os::unix::fs::chown(&path, Some(database.uid()), Some(database.gid()))
                    .map_err(|cause| Trouble::File { path, cause })?;
            }
        }
        Ok(())
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(end);
    name.into()
}

/// Writes a path as SQLite's URI (<https://www.sqlite.org/uri.html>, section 3.2).
fn uri(path: &Path, query: &str) -> String {
    let mut uri = "file:".to_owned();
    for byte in path.as_os_str().as_bytes() {
        match byte {
            b'/' | b'.' | b'-' | b'_' => uri.push(char::from(*byte)),
            byte if byte.is_ascii_alphanumeric() => uri.push(char::from(*byte)),
            byte => uri.push_str(&format!("%{byte:02X}")),
        }
    }
    format!("{uri}?{query}")
}

/// The read version is the byte at this offset, and says WAL by this number.
const READ_VERSION: usize = 19;
const WAL: u8 = 2;
const HEADER_BYTES: usize = 20;

/// A database that changes each time is one that somebody has open, so its journal is there the next time.
const QUIET_TRIES: usize = 3;

#[cfg(test)]
mod tests;
