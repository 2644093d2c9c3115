//! Is the panel renewing by itself at this moment?
//!
//! Its nightly run holds no lock that could be asked for, so it is known by its processes: a wrapper, sudo and PHP, each
//! with the panel's program and the command among its words. Ours is called alike and started by the same words, so the
//! program's path tells them apart.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// Returns the command by which the panel obtains certificates now, with the process.
pub(crate) fn renewal(proc: &Path, program: &Path) -> Option<String> {
    let own = std::process::id();
    let entries = std::fs::read_dir(proc).ok()?;
    entries.flatten().find_map(|entry| {
        let pid: u32 = entry.file_name().to_str()?.parse().ok()?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        let command = panels_command(&line, program).filter(|_| pid != own)?;
        // A container's panel is seen from its host too, and is not the one of this machine.
        let space = |process: &Path| std::fs::read_link(process.join("ns/pid")).ok();
        let elsewhere = space(&entry.path()) != space(&proc.join("self"));
        if elsewhere {
            return None;
        }
        Some(format!("process {pid}, {command}"))
    })
}

/// Returns the command of a process's words, when they are the panel's program and a command that obtains certificates.
fn panels_command(line: &[u8], program: &Path) -> Option<&'static str> {
    let words: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
    words.windows(2).find_map(|pair| {
        let path = Path::new(OsStr::from_bytes(pair[0]));
        let is_the_panels = path == program
            || path.ends_with("files/bin/clpctl")
            || path.ends_with("clpctlWrapper");
        let known = COMMANDS.iter().find(|known| known.as_bytes() == pair[1]);
        known.copied().filter(|_| is_the_panels)
    })
}

/// The panel's commands that obtain certificates and write them into files and database.
const COMMANDS: [&str; 4] = [
    "lets-encrypt:renew:certificates",
    "lets-encrypt:renew:custom-domain:certificate",
    "lets-encrypt:install:certificate",
    "site:install:certificate",
];

#[cfg(test)]
mod tests {
    use super::panels_command;
    use std::path::Path;

    #[track_caller]
    fn check(line: &str, expected: Option<&str>) {
        let line = line.replace(' ', "\0") + "\0";
        let found = panels_command(line.as_bytes(), Path::new("/usr/bin/clpctl"));
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn the_panels_processes_are_told_from_ours() {
        let renew = Some("lets-encrypt:renew:certificates");
        check(
            "/bin/bash /usr/bin/clpctl lets-encrypt:renew:certificates",
            renew,
        );
        check(
            "sudo /usr/bin/clpctlWrapper lets-encrypt:renew:certificates",
            renew,
        );
        check(
            "/usr/bin/php8.1 -c php.ini /home/clp/htdocs/app/files/bin/clpctl lets-encrypt:renew:certificates",
            renew,
        );
        check("/usr/sbin/clpctl lets-encrypt:renew:certificates", None);
        check(
            "sudo -n -- /usr/sbin/clpctl lets-encrypt:renew:certificates",
            None,
        );
        check("vim /usr/bin/clpctl", None);
        check("/bin/bash /usr/bin/clpctl db:backup", None);
        check(
            "bash -c /usr/bin/clpctl_lets-encrypt:renew:certificates",
            None,
        );
        check("", None);
    }
}
