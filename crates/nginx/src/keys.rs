//! Where does the private key of an open order lie, so that a crash does not lose it?

use std::path::PathBuf;

use renewal::name::Name;
use renewal::ports::HostFailure;
use renewal::secret::Secret;

use crate::file::{self, Access, FileError};
use crate::settings::Settings;

/// Keeps the key of a site's order, for root alone.
pub(crate) fn keep(settings: &Settings, domain: &Name, key: &Secret) -> Result<(), HostFailure> {
    file::make_folders(&settings.state.join(FOLDER), FOLDER_MODE)?;
    file::replace(
        &path(settings, domain),
        key.reveal().as_bytes(),
        Access::PRIVATE,
    )?;
    Ok(())
}

/// Returns the key that was kept.
pub(crate) fn kept(settings: &Settings, domain: &Name) -> Result<Option<Secret>, HostFailure> {
    match file::read(&path(settings, domain), FILE_BYTES_MAX) {
        Ok(bytes) => Ok(String::from_utf8(bytes).ok().map(Secret::new)),
        Err(error) if error.is_missing() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Forgets the key; it is in `archive/` now.
pub(crate) fn forget(settings: &Settings, domain: &Name) -> Result<(), FileError> {
    file::remove(&path(settings, domain))
}

/// A name has no slash and is not `.` or `..`, so it is a file's name.
fn path(settings: &Settings, domain: &Name) -> PathBuf {
    settings.state.join(FOLDER).join(format!("{domain}.key"))
}

const FOLDER: &str = "orders";

/// For root alone.
const FOLDER_MODE: u32 = 0o700;

/// An RSA key of 4096 bits has 3 KiB.
const FILE_BYTES_MAX: u64 = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn a_key_is_kept_for_root_alone_until_it_is_forgotten() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            state: folder.path().join("state"),
            ..Settings::default()
        };
        let domain = Name::parse("a.test").unwrap();
        assert_eq!(kept(&settings, &domain).unwrap(), None);
        for key in ["one", "two"] {
            let key = Secret::new(key.into());
            keep(&settings, &domain, &key).unwrap();
            assert_eq!(kept(&settings, &domain).unwrap(), Some(key));
        }
        let mode = |path: PathBuf| path.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(settings.state.join("orders")), 0o700);
        assert_eq!(mode(settings.state.join("orders/a.test.key")), 0o600);
        forget(&settings, &domain).unwrap();
        assert_eq!(kept(&settings, &domain).unwrap(), None);
        forget(&settings, &domain).unwrap();
    }
}
