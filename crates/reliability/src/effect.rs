//! What can a program do to the world?
//!
//! An [`Effect`] is one system call that leaves something behind when the process dies right after it: on the disk, at
//! the CA, at nginx.

use std::fmt;
use std::path::PathBuf;

/// One change to the world, as the system call asked for it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Effect {
    /// A file is made, or emptied.
    Make {
        /// The file.
        path: PathBuf,
        /// Its permission bits, before the umask.
        mode: u32,
    },
    /// Bytes are written to a file.
    Write {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// Which.
        bytes: Vec<u8>,
    },
    /// A file is cut or grows.
    Length {
        /// The file.
        path: PathBuf,
        /// Its new length.
        length: u64,
    },
    /// A file, or the names in a folder, are synced.
    Sync(PathBuf),
    /// A whole file system is synced.
    SyncAll(PathBuf),
    /// A name is given to what had another one.
    Rename {
        /// Its name before.
        from: PathBuf,
        /// Its name after.
        to: PathBuf,
        /// Whether the two change names with each other.
        exchange: bool,
    },
    /// A file gets a second name.
    SecondName {
        /// One of its names.
        of: PathBuf,
        /// The new one.
        path: PathBuf,
    },
    /// A symbolic link is made.
    Link {
        /// The link.
        path: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A file's name is removed.
    Remove(PathBuf),
    /// A folder is made.
    MakeFolder {
        /// The folder.
        path: PathBuf,
        /// Its permission bits, before the umask.
        mode: u32,
    },
    /// A folder is removed.
    RemoveFolder(PathBuf),
    /// Permission bits are set.
    Mode {
        /// Whose.
        path: PathBuf,
        /// Which.
        mode: u32,
    },
    /// An owner is set.
    Owner(PathBuf),
    /// A file is opened, and nothing is made by that.
    Open(PathBuf),
    /// Bytes are sent to the CA.
    Request(usize),
    /// Bytes of the CA are read.
    Reply(usize),
    /// A program is started: nginx, to test or to reload.
    Program,
    /// A signal is sent: nginx is told to reload.
    Signal,
}

/// The family of an effect, for tables and for faults that make sense there.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Kind {
    /// [`Effect::Make`].
    Make,
    /// [`Effect::Write`] and [`Effect::Length`] outside SQLite's files.
    Write,
    /// The same in SQLite's files: database, write-ahead log.
    Database,
    /// [`Effect::Sync`] and [`Effect::SyncAll`].
    Sync,
    /// [`Effect::Rename`].
    Rename,
    /// [`Effect::SecondName`] and [`Effect::Link`].
    Link,
    /// [`Effect::Remove`] and [`Effect::RemoveFolder`].
    Remove,
    /// [`Effect::MakeFolder`].
    Folder,
    /// [`Effect::Mode`] and [`Effect::Owner`].
    Mode,
    /// [`Effect::Open`].
    Open,
    /// [`Effect::Request`].
    Request,
    /// [`Effect::Reply`].
    Reply,
    /// [`Effect::Program`].
    Program,
    /// [`Effect::Signal`].
    Signal,
}

impl Effect {
    /// Returns its family.
    #[must_use]
    pub fn kind(&self) -> Kind {
        match self {
            Self::Write { path, .. } | Self::Length { path, .. } if is_sqlite(path) => {
                Kind::Database
            }
            Self::Write { .. } | Self::Length { .. } => Kind::Write,
            Self::Make { .. } => Kind::Make,
            Self::Sync(_) | Self::SyncAll(_) => Kind::Sync,
            Self::Rename { .. } => Kind::Rename,
            Self::SecondName { .. } | Self::Link { .. } => Kind::Link,
            Self::Remove(_) | Self::RemoveFolder(_) => Kind::Remove,
            Self::MakeFolder { .. } => Kind::Folder,
            Self::Mode { .. } | Self::Owner(_) => Kind::Mode,
            Self::Open(_) => Kind::Open,
            Self::Request(_) => Kind::Request,
            Self::Reply(_) => Kind::Reply,
            Self::Program => Kind::Program,
            Self::Signal => Kind::Signal,
        }
    }
}

impl Kind {
    /// Every family, in the order of tables.
    pub const ALL: [Self; 14] = [
        Self::Make,
        Self::Write,
        Self::Database,
        Self::Sync,
        Self::Rename,
        Self::Link,
        Self::Remove,
        Self::Folder,
        Self::Mode,
        Self::Open,
        Self::Request,
        Self::Reply,
        Self::Program,
        Self::Signal,
    ];

    /// Returns the words for tables.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Make => "file made",
            Self::Write => "file written",
            Self::Database => "database written",
            Self::Sync => "synced",
            Self::Rename => "renamed, exchanged",
            Self::Link => "linked",
            Self::Remove => "removed",
            Self::Folder => "folder made",
            Self::Mode => "mode, owner",
            Self::Open => "file opened",
            Self::Request => "CA asked",
            Self::Reply => "CA's reply read",
            Self::Program => "nginx tested",
            Self::Signal => "nginx reloaded",
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Make { path, .. } => write!(f, "make {}", path.display()),
            Self::Write {
                path,
                offset,
                bytes,
            } => write!(
                f,
                "write {} bytes at {offset} of {}",
                bytes.len(),
                path.display()
            ),
            Self::Length { path, length } => write!(f, "set {} to {length} bytes", path.display()),
            Self::Sync(path) => write!(f, "sync {}", path.display()),
            Self::SyncAll(path) => write!(f, "sync the file system of {}", path.display()),
            Self::Rename { from, to, exchange } => {
                let word = if *exchange { "exchange" } else { "rename" };
                write!(f, "{word} {} and {}", from.display(), to.display())
            }
            Self::SecondName { of, path } => {
                write!(f, "name {} also {}", of.display(), path.display())
            }
            Self::Link { path, target } => {
                write!(f, "link {} to {}", path.display(), target.display())
            }
            Self::Remove(path) => write!(f, "remove {}", path.display()),
            Self::MakeFolder { path, .. } => write!(f, "make the folder {}", path.display()),
            Self::RemoveFolder(path) => write!(f, "remove the folder {}", path.display()),
            Self::Mode { path, mode } => write!(f, "give {} the mode {mode:o}", path.display()),
            Self::Owner(path) => write!(f, "give {} an owner", path.display()),
            Self::Open(path) => write!(f, "open {}", path.display()),
            Self::Request(length) => write!(f, "send the CA {length} bytes"),
            Self::Reply(length) => write!(f, "read {length} bytes of the CA"),
            Self::Program => write!(f, "start a program"),
            Self::Signal => write!(f, "send a signal"),
        }
    }
}

fn is_sqlite(path: &std::path::Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.contains(".db") || name.contains(".sq3")
}
