//! Where is an account kept?
//!
//! At `ACCOUNTS/clpctl/HOST/PATH/account.json`, beside the accounts of certbot, which looks only below names of
//! hosts. The file holds the private key, so it is readable by root alone.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use renewal::policy::Ca;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What is kept of an account.
#[derive(Clone, Deserialize, Serialize)]
pub(crate) struct Record {
    pub(crate) directory: String,
    /// Missing until the CA has answered.
    pub(crate) url: Option<String>,
    /// PKCS #8 in PEM.
    pub(crate) key: Zeroizing<String>,
    /// The key that replaces it, while a change is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next_key: Option<Zeroizing<String>>,
    #[serde(default)]
    pub(crate) contact: Vec<String>,
    pub(crate) created_at: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) deactivated_at: Option<Timestamp>,
}

/// The file of the account at one CA.
#[derive(Clone, Debug)]
pub(crate) struct AccountFile {
    path: PathBuf,
}

impl AccountFile {
    /// Names the file below `accounts`, such as `/etc/letsencrypt/accounts`.
    pub(crate) fn new(accounts: &Path, ca: &Ca) -> Self {
        let rest = ca.0.split_once("://").map_or(&*ca.0, |(_, rest)| rest);
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        let folder = accounts.join("clpctl").join(slug(host)).join(slug(path));
        Self {
            path: folder.join("account.json"),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads the account; `None` when there is none yet.
    pub(crate) fn read(&self) -> Result<Option<Record>, AccountError> {
        self.tidy();
        let text = match fs::read(&self.path) {
            Ok(text) => Zeroizing::new(text),
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("read", &error)),
        };
        let mode = fs::metadata(&self.path)
            .map_err(|error| self.failed("read", &error))?
            .permissions()
            .mode();
        if mode & 0o077 != 0 {
            tracing::warn!(target: "acme", file = %self.path.display(), "others could read the account's key; they cannot any more");
            let only_us = Permissions::from_mode(FILE_MODE);
            fs::set_permissions(&self.path, only_us)
                .map_err(|error| self.failed("protect", &error))?;
        }
        let record = serde_json::from_slice(&text);
        record.map(Some).map_err(|error| {
            // serde_json may quote what it read, and that may be the key.
            self.unusable(format!(
                "line {}, column {} makes no sense",
                error.line(),
                error.column()
            ))
        })
    }

    /// Writes the first record. When another process was faster, its record counts.
    pub(crate) fn create(&self, record: &Record) -> Result<Record, AccountError> {
        let fresh = self.write_beside(record)?;
        let linked = fs::hard_link(&fresh, &self.path);
        fs::remove_file(&fresh).map_err(|error| self.failed("write", &error))?;
        match linked {
            Ok(()) => {
                self.sync_folder()?;
                Ok(record.clone())
            }
            Err(error) if error.kind() == ErrorKind::AlreadyExists => self
                .read()?
                .ok_or_else(|| self.unusable("it came and went")),
            Err(error) => Err(self.failed("write", &error)),
        }
    }

    /// Writes a changed record in one step.
    pub(crate) fn replace(&self, record: &Record) -> Result<(), AccountError> {
        let fresh = self.write_beside(record)?;
        #[expect(
            clippy::disallowed_methods,
            reason = "the folder is synced on the next line"
        )]
        fs::rename(&fresh, &self.path).map_err(|error| self.failed("write", &error))?;
        self.sync_folder()
    }

    /// Forgets the account; its key is gone then.
    pub(crate) fn remove(&self) -> Result<(), AccountError> {
        fs::remove_file(&self.path).map_err(|error| self.failed("remove", &error))?;
        self.sync_folder()
    }

    pub(crate) fn unusable(&self, why: impl std::fmt::Display) -> AccountError {
        AccountError::Unusable {
            path: self.path.clone(),
            why: why.to_string(),
        }
    }

    /// Removes what processes left that died while they wrote: it holds a key.
    fn tidy(&self) {
        let entries = fs::read_dir(self.folder()).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name();
            let process = name.to_str().and_then(|name| name.strip_prefix(BESIDE));
            let is_dead = |process: &str| {
                let number = process.parse::<u32>();
                number.is_ok() && !Path::new("/proc").join(process).exists()
            };
            if process.is_some_and(is_dead) {
                // Whoever only looks may not.
                let _ = fs::remove_file(entry.path());
            }
        }
    }

    fn write_beside(&self, record: &Record) -> Result<PathBuf, AccountError> {
        let failed = |error: &std::io::Error| self.failed("write", error);
        make_folders(self.folder()).map_err(|error| failed(&error))?;
        let fresh = self
            .folder()
            .join(format!("{BESIDE}{}", std::process::id()));
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(failed(&error)),
            Ok(()) | Err(_) => {}
        }
        // Large enough from the start: where a buffer grows, its old place keeps a copy.
        let mut text = Zeroizing::new(Vec::with_capacity(RECORD_BYTES));
        serde_json::to_writer_pretty(&mut *text, record).map_err(|error| self.unusable(error))?;
        text.push(b'\n');
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(FILE_MODE);
        let written = options.open(&fresh).and_then(|mut file| {
            file.write_all(&text)?;
            file.sync_all()
        });
        match written {
            Ok(()) => Ok(fresh),
            Err(error) => {
                drop(fs::remove_file(&fresh));
                Err(failed(&error))
            }
        }
    }

    fn sync_folder(&self) -> Result<(), AccountError> {
        let synced = File::open(self.folder()).and_then(|folder| folder.sync_all());
        synced.map_err(|error| self.failed("write", &error))
    }

    fn folder(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    fn failed(&self, what: &'static str, error: &std::io::Error) -> AccountError {
        AccountError::File {
            what,
            path: self.path.clone(),
            kind: error.kind(),
            cause: error.to_string(),
        }
    }
}

/// The account's file cannot be used.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AccountError {
    /// The disk or the rights.
    #[error("cannot {what} the account's file {}: {cause}", .path.display())]
    File {
        /// What could not be done.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What kind of fault it is.
        kind: ErrorKind,
        /// Why, in the system's words.
        cause: String,
    },
    /// What stands in it.
    #[error("the account's file {} cannot be used: {why}", .path.display())]
    Unusable {
        /// The file.
        path: PathBuf,
        /// Why.
        why: String,
    },
}

/// Makes a folder and those above it, and has the disk remember them: an account that a power failure takes away takes
/// its open orders with it.
fn make_folders(folder: &Path) -> std::io::Result<()> {
    let missing: Vec<&Path> = folder
        .ancestors()
        .take_while(|above| !above.exists())
        .collect();
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(FOLDER_MODE).create(folder)?;
    for above in missing.into_iter().filter_map(Path::parent) {
        File::open(above)?.sync_all()?;
    }
    Ok(())
}

/// Makes a folder's name of a part of a URL.
fn slug(text: &str) -> String {
    let kept = |c: char| {
        if c.is_ascii_alphanumeric() || c == '.' || c == '-' {
            c
        } else {
            '_'
        }
    };
    let slug: String = text.trim_matches('/').chars().map(kept).collect();
    match slug.trim_start_matches('.') {
        "" => "default".to_owned(),
        slug => slug.to_owned(),
    }
}

/// Beside the file; the number of the process that writes follows.
const BESIDE: &str = ".account.json.";

/// Root alone.
const FILE_MODE: u32 = 0o600;

/// A record with two RSA-4096 keys and a few addresses, in bytes.
const RECORD_BYTES: usize = 16 << 10;
const FOLDER_MODE: u32 = 0o700;

#[cfg(test)]
mod tests {
    use super::{AccountFile, BESIDE, File, Record, Zeroizing, fs};
    use renewal::policy::Ca;
    use std::os::unix::fs::PermissionsExt as _;
    use std::path::Path;

    fn file(accounts: &Path, directory: &str) -> AccountFile {
        AccountFile::new(accounts, &Ca(directory.into()))
    }

    fn record(key: &str) -> Record {
        Record {
            directory: "https://ca.test/directory".into(),
            url: None,
            key: Zeroizing::new(key.into()),
            next_key: None,
            contact: vec![],
            created_at: "2026-02-01T00:00:00Z".parse().unwrap(),
            deactivated_at: None,
        }
    }

    #[test]
    fn each_ca_has_its_place() {
        let path = |directory| {
            file(Path::new("/a"), directory)
                .path()
                .display()
                .to_string()
        };
        assert_eq!(
            path("https://acme-v02.api.letsencrypt.org/directory"),
            "/a/clpctl/acme-v02.api.letsencrypt.org/directory/account.json"
        );
        assert_eq!(
            path("https://127.0.0.1:14000/dir"),
            "/a/clpctl/127.0.0.1_14000/dir/account.json"
        );
        assert_eq!(
            path("https://ca.test"),
            "/a/clpctl/ca.test/default/account.json"
        );
        assert_eq!(
            path("https://ca.test/../../x"),
            "/a/clpctl/ca.test/_.._x/account.json"
        );
    }

    #[test]
    fn a_record_is_written_once_and_then_replaced_and_only_root_reads_it() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path(), "https://ca.test/directory");
        assert!(file.read().unwrap().is_none());
        assert_eq!(*file.create(&record("one")).unwrap().key, "one");
        assert_eq!(
            *file.create(&record("two")).unwrap().key,
            "one",
            "the first counts"
        );
        file.replace(&record("three")).unwrap();
        assert_eq!(*file.read().unwrap().unwrap().key, "three");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(file.path()), 0o600);
        assert_eq!(mode(file.path().parent().unwrap()), 0o700);
        let left: Vec<_> = std::fs::read_dir(file.path().parent().unwrap())
            .unwrap()
            .collect();
        assert_eq!(left.len(), 1, "nothing else is left: {left:?}");
    }

    #[test]
    fn what_a_process_left_that_died_while_it_wrote_goes_and_what_one_writes_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path(), "https://ca.test/directory");
        file.create(&record("one")).unwrap();
        // No process has the first number: Linux counts to 4194304.
        let dead = format!("{BESIDE}4194305");
        let alive = format!("{BESIDE}{}", std::process::id());
        for name in [dead.as_str(), &alive, ".account.json.old"] {
            File::create(file.folder().join(name)).unwrap();
        }
        assert_eq!(file.read().unwrap().unwrap().key.as_str(), "one");
        let mut left: Vec<_> = fs::read_dir(file.folder())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        left.sort();
        let mut expected = vec![
            alive,
            ".account.json.old".to_owned(),
            "account.json".to_owned(),
        ];
        expected.sort();
        assert_eq!(left, expected);
    }

    #[test]
    fn a_damaged_file_is_named_and_its_content_not_shown() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path(), "https://ca.test/directory");
        file.create(&record("SECRET")).unwrap();
        let text = std::fs::read_to_string(file.path())
            .unwrap()
            .replace("\"key\": \"SECRET\"", "\"key\": [\"SECRET\"]");
        #[expect(clippy::disallowed_methods, reason = "the test damages the file")]
        std::fs::write(file.path(), text).unwrap();
        let Err(error) = file.read() else {
            panic!("it was read")
        };
        let error = error.to_string();
        assert!(
            error.contains("account.json") && !error.contains("SECRET"),
            "{error}"
        );
    }
}
