//! How does a test give the program a machine's folders of its own?
//!
//! In a private mount namespace: what is mounted over `/etc/cron.d` and its like is seen by the program alone, and gone
//! with it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use testkit::host::Host;
use testkit::program::{Output, Program};

use crate::disk;

/// A machine whose folders are the test's own.
pub(crate) struct Machine<'h> {
    host: &'h Host,
    folder: PathBuf,
}

impl<'h> Machine<'h> {
    /// A machine without any timer or job; `systemctl` is a stand-in that writes down what it is asked.
    pub(crate) fn new(host: &'h Host) -> Self {
        let folder = host.folder().join("machine");
        for mounted in MOUNTED {
            fs::create_dir_all(folder.join(mounted.trim_start_matches('/'))).expect("it is ours");
        }
        let machine = Self { host, folder };
        let script = format!(
            "#!/bin/sh\necho \"$@\" >> {}\n",
            machine.asked_file().display()
        );
        let bin = machine.folder.join("bin");
        fs::create_dir_all(&bin).expect("it is ours");
        let systemctl = bin.join("systemctl");
        disk::put(&systemctl, script);
        fs::set_permissions(&systemctl, fs::Permissions::from_mode(0o755)).expect("it is ours");
        machine
    }

    /// Puts a file into one of the machine's folders, such as `/etc/cron.d/certbot`.
    pub(crate) fn put(&self, path: &str, text: &str) {
        let path = self.path(path);
        fs::create_dir_all(path.parent().expect("it is a file")).expect("it is ours");
        disk::put(&path, text);
    }

    /// Returns where a file of the machine's folders really is.
    pub(crate) fn path(&self, path: &str) -> PathBuf {
        self.folder.join(path.trim_start_matches('/'))
    }

    /// Returns what `systemctl` was asked.
    pub(crate) fn asked(&self) -> String {
        fs::read_to_string(self.asked_file()).unwrap_or_default()
    }

    /// Runs the program there, with `--json`.
    pub(crate) fn run(&self, words: &[&str]) -> Output {
        let binds: String = MOUNTED
            .iter()
            // What the machine has not, nobody finds there; a test makes no folders on it.
            .filter(|mounted| Path::new(mounted).is_dir())
            .map(|mounted| {
                format!(
                    "mount --bind {} {mounted} && ",
                    self.path(mounted).display()
                )
            })
            .collect();
        let config = format!("--config={}", self.host.config().display());
        Program::new("unshare")
            .args(["--mount", "sh", "-c"])
            .arg(format!("{binds}exec \"$@\""))
            .args(["sh", env!("CARGO_BIN_EXE_clpctl"), &config, "--json"])
            .args(words)
            .env("HOME", self.host.folder())
            .env("PATH", search_path(&self.folder.join("bin")))
            .limit(std::time::Duration::from_secs(120))
            .run()
    }

    fn asked_file(&self) -> PathBuf {
        self.folder.join("systemctl.asked")
    }
}

fn search_path(first: &Path) -> String {
    format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", first.display())
}

/// The folders that are the test's own. `/run` holds the mark that systemd runs.
const MOUNTED: [&str; 4] = [
    "/etc/cron.d",
    "/etc/systemd/system",
    "/var/spool/cron",
    "/run",
];
