//! Where does the private key of an open order lie, so that a crash does not lose it?

use std::path::PathBuf;

use renewal::name::Name;
use renewal::ports::HostFailure;
use renewal::secret::Secret;

use crate::file::{self, Access, Beside, FileError, Unsynced};
use crate::settings::Settings;

/// Keeps the keys of sites' orders, for root alone; returns an answer for each, in order.
pub(crate) fn keep(settings: &Settings, keys: &[(Name, Secret)]) -> Vec<Result<(), HostFailure>> {
    let mut unsynced = Unsynced::default();
    let folder = settings.state.join(FOLDER);
    let made = file::make_folders(&folder, FOLDER_MODE, &mut unsynced);
    let drafts: Vec<_> = keys
        .iter()
        .map(|(domain, key)| {
            let path = path(settings, domain);
            Beside::write(
                &path,
                key.reveal().as_bytes(),
                Access::PRIVATE,
                &mut unsynced,
            )
        })
        .collect();
    let written = made.and_then(|()| unsynced.sync());
    let kept: Vec<_> = drafts
        .into_iter()
        .map(|draft| draft.and_then(Beside::put_in_place))
        .collect();
    let synced = written.and_then(|()| file::sync_folder(&folder));
    kept.into_iter()
        .map(|one| match (&synced, one) {
            (Ok(()), one) => one.map_err(HostFailure::from),
            (Err(error), _) => Err(HostFailure(error.finding())),
        })
        .collect()
}

/// Returns the key that was kept.
pub(crate) fn kept(settings: &Settings, domain: &Name) -> Result<Option<Secret>, HostFailure> {
    match file::read_secret(&path(settings, domain), FILE_BYTES_MAX) {
        Ok(key) => Ok(Some(key)),
        // It is missing, or a crash of the disk made something else of it.
        Err(error) if error.is_missing() || error.errno().is_none() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Forgets the key, if it is still there: it is in `archive/` now.
pub(crate) fn forget(settings: &Settings, domain: &Name) -> Result<(), FileError> {
    file::remove(&path(settings, domain))
}

/// Returns the key's file. A name has no slash and is not `.` or `..`, so it is a file's name.
pub(crate) fn path(settings: &Settings, domain: &Name) -> PathBuf {
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
            let [kept_so] = keep(&settings, &[(domain.clone(), key.clone())])
                .try_into()
                .unwrap();
            kept_so.unwrap();
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
