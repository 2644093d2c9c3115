//! What could a link among the vhosts that leads nowhere be meant to lead to?

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A link that leads nowhere.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct LinkSeen {
    /// The link.
    pub link: PathBuf,
    /// Where it leads.
    pub leads_to: PathBuf,
    /// Whether it stands in a folder of enabled vhosts, where a link is all that a vhost is lost with.
    pub among_enabled: bool,
    /// A vhost of its name that is there, as the link would name it, and that no other link enables.
    pub target: Option<PathBuf>,
}

/// Looks around a link; `None` when it is none.
#[must_use]
pub fn observe(link: &Path) -> Option<LinkSeen> {
    let leads_to = link.read_link().ok()?;
    let folder = link.parent()?;
    let among_enabled = folder.file_name().is_some_and(|name| name == ENABLED);
    let available = folder.parent()?.join(AVAILABLE);
    let names = [leads_to.file_name(), link.file_name()];
    let candidate = |name: &std::ffi::OsStr| {
        let path = available.join(name);
        let there = path
            .metadata()
            .is_ok_and(|meta| meta.is_file() && meta.len() > 0);
        (there && among_enabled && !is_enabled(folder, &path)).then(|| {
            if leads_to.is_absolute() {
                path.clone()
            } else {
                Path::new("..").join(AVAILABLE).join(name)
            }
        })
    };
    let target = names.into_iter().flatten().find_map(candidate);
    Some(LinkSeen {
        link: link.to_owned(),
        target,
        among_enabled,
        leads_to,
    })
}

/// Says whether another link of the folder leads to the vhost: a second one would only make its names overlap.
fn is_enabled(folder: &Path, vhost: &Path) -> bool {
    let vhost = vhost.canonicalize().ok();
    let links = folder.read_dir().into_iter().flatten().flatten();
    vhost.is_some()
        && links
            .filter_map(|link| link.path().canonicalize().ok())
            .any(|leads_to| Some(leads_to) == vhost)
}

/// The two folders of Debian's nginx, and of CloudPanel.
const ENABLED: &str = "sites-enabled";
const AVAILABLE: &str = "sites-available";

#[cfg(test)]
mod tests {
    use super::observe;
    use std::os::unix::fs::symlink;
    use std::path::{Path, PathBuf};

    /// Says where the link `a.conf`, which leads to `target`, could lead, after `make` was at the folders.
    fn check(target: &str, make: impl Fn(&Path)) -> Option<PathBuf> {
        let nginx = tempfile::tempdir().unwrap();
        for folder in ["sites-enabled", "sites-available"] {
            std::fs::create_dir(nginx.path().join(folder)).unwrap();
        }
        make(nginx.path());
        let link = nginx.path().join("sites-enabled/a.conf");
        symlink(target, &link).unwrap();
        let seen = observe(&link).unwrap();
        assert!(seen.among_enabled);
        let target = seen.target?;
        Some(
            target
                .strip_prefix(nginx.path())
                .unwrap_or(&target)
                .to_owned(),
        )
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "a test writes the files that people would"
    )]
    fn write(folder: &Path, path: &str) {
        std::fs::write(folder.join(path), "server { }").unwrap();
    }

    #[test]
    fn a_vhost_of_the_same_name_is_meant_unless_it_is_enabled() {
        let there = |folder: &Path| write(folder, "sites-available/a.conf");
        let found = Some(PathBuf::from("sites-available/a.conf"));
        assert_eq!(check("/old/place/a.conf", there), found);
        let relative = Some(PathBuf::from("../sites-available/a.conf"));
        assert_eq!(check("../old/a.conf", there), relative);
        assert_eq!(check("/nowhere", |_| {}), None);
        let enabled = |folder: &Path| {
            there(folder);
            symlink(
                "../sites-available/a.conf",
                folder.join("sites-enabled/b.conf"),
            )
            .unwrap();
        };
        assert_eq!(check("/old/place/a.conf", enabled), None);
    }
}
