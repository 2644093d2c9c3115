//! Whose command is it, when it is not ours?
//!
//! CloudPanel has a `clpctl` of its own. A command that we do not know is handed to it whole: this process
//! becomes that one, so streams, signals and the exit code are its own.

use std::ffi::OsString;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;

use crate::arguments::CommandLine;
use crate::environment::{Environment, HANDED_ON};
use crate::errors::CommandError;

/// Becomes the CloudPanel program, with the same words; returns only when that cannot be.
#[must_use]
pub fn hand_on(command: &str, words: &[OsString], environment: &Environment) -> CommandError {
    let program = environment.cloudpanel();
    let own = std::env::current_exe().ok();
    if environment.was_handed_on() || !is_another(&program, own.as_deref()) {
        return CommandLine::unknown(command);
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "this process turns into the other program; nothing is started and waited for"
    )]
    let mut other = std::process::Command::new(&program);
    let cause = other.args(words.iter().skip(1)).env(HANDED_ON, "1").exec();
    CommandError::mend(format!(
        "“{command}” is no command of ours, and {} could not be started.",
        program.display()
    ))
    .because(&cause)
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

#[cfg(test)]
mod tests {
    use super::is_another;

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
