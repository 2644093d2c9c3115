//! Whose command is it, when it is not ours, or not ours to do as this user?
//!
//! CloudPanel has a `clpctl` of its own. A command that we do not know is handed to it whole: this process
//! becomes that one, so arguments, environment, streams, signals and the exit code are its own. That must never lead
//! back here, and nothing is left in the environment to tell: so a link to ourselves, a script that starts us, and a
//! process above us that is the panel's program with the same words are looked for instead.
//!
//! CloudPanel's user `clp` may do anything by sudo, and its jobs run as that user. What needs root is started so.

use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::arguments::{Command, CommandLine};
use crate::environment::Environment;
use crate::errors::{AS_ROOT, CommandError};
use crate::wire::users;

/// Becomes the CloudPanel program, with the same words; returns only when that cannot be.
#[must_use]
pub fn hand_on(command: &str, words: &[OsString], environment: &Environment) -> CommandError {
    let program = environment.cloudpanel();
    let own = std::env::current_exe().ok();
    let words = words.get(1..).unwrap_or_default();
    if !is_another(&program, own.as_deref())
        || starts_us(&program, own.as_deref())
        || is_above(Path::new("/proc"), &program, words)
    {
        return CommandLine::unknown(command);
    }
    let cause = become_another(program.as_os_str(), words);
    CommandError::mend(format!(
        "“{command}” is no command of ours, and {} could not be started.",
        program.display()
    ))
    .because(&cause)
}

/// Becomes this very program as root when CloudPanel's user starts a command of the panel's that needs root; returns
/// what stood in the way, if that is to be.
#[must_use]
pub fn as_root(command: &Command, words: &[OsString]) -> Option<CommandError> {
    let panels = matches!(
        command,
        Command::RenewAll(_)
            | Command::InstallCertificate(_)
            | Command::SiteInstall(_)
            | Command::RenewCertificates(_)
    );
    let user = rustix::process::geteuid().as_raw();
    let is_clp = || users::ids(PANEL_USER, None).is_ok_and(|(clp, _)| clp == user);
    if !panels || user == 0 || !is_clp() {
        return None;
    }
    let own = match std::env::current_exe() {
        Ok(own) => own,
        Err(cause) => return Some(not_as_root(&cause)),
    };
    let mut sudo: Vec<OsString> = vec!["-n".into(), "--".into(), own.into()];
    sudo.extend(words.iter().skip(1).cloned());
    Some(not_as_root(&become_another(OsStr::new("sudo"), &sudo)))
}

fn not_as_root(cause: &std::io::Error) -> CommandError {
    CommandError::mend("This needs root, and sudo could not be started, so nothing was done.")
        .because(cause)
        .hint(AS_ROOT)
}

/// Turns this process into another program; returns why that cannot be.
fn become_another(program: &OsStr, words: &[OsString]) -> std::io::Error {
    #[expect(
        clippy::disallowed_methods,
        reason = "this process turns into the other program; nothing is started and waited for"
    )]
    let mut other = std::process::Command::new(program);
    other.args(words).exec()
}

/// Says whether the program is a script that names us where it names programs: it would go round for ever.
fn starts_us(program: &Path, own: Option<&Path>) -> bool {
    let mut text = Vec::new();
    let read = std::fs::File::open(program)
        .and_then(|file| file.take(SCRIPT_BYTES).read_to_end(&mut text));
    if read.is_err() || !text.starts_with(b"#!") {
        return false;
    }
    let is_us =
        |word: &[u8]| word == OUR_NAME || own.is_some_and(|own| own.as_os_str().as_bytes() == word);
    let lines = text.split(|byte| *byte == b'\n');
    lines
        .filter(|line| !line.trim_ascii_start().starts_with(b"#"))
        .flat_map(|line| line.split(|byte| b" \t;&|()\"'`".contains(byte)))
        .any(is_us)
}

/// Says whether one of the processes above this one is the program, started with the same words.
fn is_above(proc: &Path, program: &Path, words: &[OsString]) -> bool {
    let mut process = rustix::process::getppid().map(|pid| pid.as_raw_nonzero().get());
    for _ in 0..PROCESSES_LOOKED_AT {
        let Some(pid) = process.filter(|pid| *pid > 1) else {
            return false;
        };
        let folder = proc.join(pid.to_string());
        let line = std::fs::read(folder.join("cmdline")).unwrap_or_default();
        let line = line.strip_suffix(b"\0").unwrap_or(&line);
        let line: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        // The kernel puts the interpreter, and perhaps an option of it, before a script.
        let started = line
            .iter()
            .take(INTERPRETER_WORDS + 1)
            .position(|word| *word == program.as_os_str().as_bytes());
        if let Some(at) = started
            && line[at + 1..]
                .iter()
                .copied()
                .eq(words.iter().map(|word| word.as_bytes()))
        {
            return true;
        }
        process = parent(&folder);
    }
    false
}

/// Returns the process above one (proc(5): the second field may hold spaces and brackets).
fn parent(folder: &Path) -> Option<i32> {
    let stat = std::fs::read_to_string(folder.join("stat")).ok()?;
    let (_, after_name) = stat.rsplit_once(')')?;
    after_name.split_whitespace().nth(1)?.parse().ok()
}

/// Says whether `program` is there and is not this very program.
fn is_another(program: &Path, own: Option<&Path>) -> bool {
    let Ok(other) = std::fs::metadata(program) else {
        return false;
    };
    let same = own
        .and_then(|own| std::fs::metadata(own).ok())
        .is_some_and(|own| (own.dev(), own.ino()) == (other.dev(), other.ino()));
    other.is_file() && !same
}

/// CloudPanel's user; its sudoers file lets it do anything.
const PANEL_USER: &str = "clp";

/// What we are called, and CloudPanel's program too.
const OUR_NAME: &[u8] = b"clpctl";

/// More than any wrapper has.
const SCRIPT_BYTES: u64 = 64 << 10;

/// Deeper nests no shell.
const PROCESSES_LOOKED_AT: usize = 64;

/// `/bin/sh -e SCRIPT`.
const INTERPRETER_WORDS: usize = 2;

#[cfg(test)]
mod tests {
    use super::{is_another, starts_us};
    use std::path::Path;

    #[test]
    fn a_script_that_starts_us_is_told_from_the_panels_wrapper() {
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        let own = Path::new("/usr/sbin/clpctl");
        let check = |text: &str| {
            let mut file = std::fs::File::create(&script).unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
            starts_us(&script, Some(own))
        };
        assert!(check("#!/bin/sh\nexec /usr/sbin/clpctl \"$@\"\n"));
        assert!(check("#!/bin/sh\ntrue; clpctl \"$@\"\n"));
        assert!(!check(
            "#!/bin/bash\n# clpctl\nsudo /usr/bin/clpctlWrapper \"$@\"\n"
        ));
        assert!(!check("\x7fELF /usr/sbin/clpctl "));
        assert!(!check(""));
        assert!(!starts_us(&folder.path().join("none"), Some(own)));
    }

    #[test]
    fn a_link_to_ourselves_is_ourselves() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("own");
        let other = folder.path().join("other");
        let link = folder.path().join("link");
        std::fs::File::create(&own).unwrap();
        std::fs::File::create(&other).unwrap();
        std::os::unix::fs::symlink(&own, &link).unwrap();
        assert!(is_another(&other, Some(&own)));
        assert!(!is_another(&link, Some(&own)));
        assert!(!is_another(&folder.path().join("none"), Some(&own)));
        assert!(
            !is_another(folder.path(), Some(&own)),
            "a folder is no program"
        );
    }
}
