//! Where is CloudPanel on this host?

use std::path::{Path, PathBuf};
use std::time::Duration;

/// The places of a panel, and how long it is waited for.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its database.
    pub database: PathBuf,
    /// The folder with the homes of its users and of its sites' users.
    pub home: PathBuf,
    /// nginx's folder, with `sites-enabled/` and `ssl-certificates/`.
    pub nginx: PathBuf,
    /// The list of this machine's users.
    pub passwd: PathBuf,
    /// The panel's own program, for what is not to be done to its database.
    pub program: PathBuf,
    /// Where the kernel lists processes.
    pub proc: PathBuf,
    /// Where copies of the database are kept.
    pub backups: PathBuf,
    /// How long it is waited for while the panel holds the database.
    pub patience: Duration,
}

impl Settings {
    /// Takes the places that follow from the database's, as the panel is installed.
    #[must_use]
    pub fn at(database: PathBuf, nginx: PathBuf, backups: PathBuf) -> Self {
        let home = database.ancestors().nth(HOME_ABOVE_DATABASE);
        Self {
            home: home.unwrap_or(Path::new("/home")).to_owned(),
            database,
            nginx,
            passwd: "/etc/passwd".into(),
            program: "/usr/bin/clpctl".into(),
            proc: "/proc".into(),
            backups,
            patience: PATIENCE,
        }
    }

    /// Returns the folder of the files that certificates are projected to.
    #[must_use]
    pub fn certificates(&self) -> PathBuf {
        self.nginx.join("ssl-certificates")
    }

    /// Returns the folder of the vhosts.
    #[must_use]
    pub fn vhosts(&self) -> PathBuf {
        self.nginx.join("sites-enabled")
    }

    /// Returns the folder of the panel's program.
    #[must_use]
    pub fn app(&self) -> PathBuf {
        let app = self.database.ancestors().nth(APP_ABOVE_DATABASE);
        app.unwrap_or(Path::new("/home/clp/htdocs/app"))
            .join("files")
    }

    /// Returns the document root of the panel itself, where challenges for its own domain are answered.
    #[must_use]
    pub fn own_root(&self) -> PathBuf {
        self.app().join("public")
    }
}

/// `/home` above `/home/clp/htdocs/app/data/db.sq3`.
const HOME_ABOVE_DATABASE: usize = 5;

/// `/home/clp/htdocs/app` above the same.
const APP_ABOVE_DATABASE: usize = 2;

/// The panel's own changes take milliseconds; what holds the database longer is stuck.
const PATIENCE: Duration = Duration::from_secs(5);
