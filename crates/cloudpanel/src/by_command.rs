//! How is a certificate recorded where the table has a form that is not known?
//!
//! By the panel's documented command, `site:install:certificate`. It costs something, which is said: the command deletes
//! the site's earlier certificates, the panel shows the new one as imported, and does not renew it by itself any more.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use renewal::finding::{Finding, FindingName, Severity};
use renewal::ports::RecordChange;

use crate::database::Trouble;
use crate::settings::Settings;

/// Records it, and says what that costs.
pub(crate) fn install(settings: &Settings, change: &RecordChange) -> Result<Finding, Trouble> {
    if is_ourselves(&settings.program) {
        return Err(Trouble::Other(format!(
            "{} is clpctl itself, and not CloudPanel's program",
            settings.program.display()
        )));
    }
    let folder = &settings.backups;
    std::fs::create_dir_all(folder).map_err(|cause| file(folder, cause))?;
    let key = Given::write(folder, "install.key", change.pair.key.reveal())?;
    let certificate = Given::write(folder, "install.crt", &change.pair.leaf)?;
    let chain = Given::write(folder, "install.chain", &change.pair.issuers)?;
    let option = |name: &str, given: &Given| format!("--{name}={}", given.0.display());
    let mut arguments = vec![
        "site:install:certificate".to_owned(),
        format!("--domainName={}", change.site.domain),
        option("privateKey", &key),
        option("certificate", &certificate),
    ];
    if !change.pair.issuers.is_empty() {
        arguments.push(option("certificateChain", &chain));
    }
    #[expect(
        clippy::disallowed_methods,
        reason = "the panel's own program is started here and nowhere else"
    )]
    let output = Command::new(&settings.program)
        .args(&arguments)
        .stdin(Stdio::null())
        .output()
        .map_err(|cause| file(&settings.program, cause))?;
    if !output.status.success() {
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        return Err(Trouble::Other(format!(
            "{} {} ended with {}: {}",
            settings.program.display(),
            arguments[0],
            output.status,
            String::from_utf8_lossy(&said).trim()
        )));
    }
    Ok(Finding::new(
        FindingName::PanelSchemaUnknown,
        "The certificate was recorded by CloudPanel's own command, for its table has a form that clpctl does not know.",
    )
    .severity(Severity::Warning)
    .detail(
        "CloudPanel shows it as imported, does not renew it if clpctl should stop, and has deleted the site's earlier certificates.",
    )
    .fix("Look for a newer clpctl."))
}

/// Says whether the program is the one that runs: it would only call itself.
fn is_ourselves(program: &Path) -> bool {
    let number = |path: &Path| path.metadata().map(|facts| (facts.dev(), facts.ino())).ok();
    number(program).is_some_and(|other| number(Path::new("/proc/self/exe")) == Some(other))
}

/// A file for the panel's program, for root alone; gone afterwards.
struct Given(PathBuf);

impl Given {
    fn write(folder: &Path, name: &str, text: &str) -> Result<Self, Trouble> {
        let given = Self(folder.join(name));
        let wrong = |cause| file(&given.0, cause);
        let mut opened: File = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&given.0)
            .map_err(wrong)?;
        opened.write_all(text.as_bytes()).map_err(wrong)?;
        Ok(given)
    }
}

impl Drop for Given {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn file(path: &Path, cause: io::Error) -> Trouble {
    Trouble::File {
        path: path.to_owned(),
        cause,
    }
}
