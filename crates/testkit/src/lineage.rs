//! How does a lineage look that certbot made?
//!
//! [`write()`] makes one in a millisecond, with the files, links and modes that certbot leaves;
//! [`crate::certbot`] asks the real one.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use crate::certificate::{Pair, write_secret};

/// Writes a version of a lineage and points `live/` at it; version 1 also gets its `renewal/NAME.conf`.
/// Returns the folder in `live/`.
///
/// # Panics
///
/// When the files cannot be written, or the version is there already: versions are written once.
pub fn write(letsencrypt: &Path, name: &str, version: u32, pair: &Pair) -> PathBuf {
    let (archive, live) = (
        letsencrypt.join("archive").join(name),
        letsencrypt.join("live").join(name),
    );
    let renewal = letsencrypt.join("renewal");
    for folder in [&archive, &live, &renewal] {
        fs::create_dir_all(folder).expect("the folders of a lineage can be made");
    }
    let texts = [
        ("cert", &pair.leaf),
        ("chain", &pair.chain),
        ("fullchain", &pair.fullchain()),
        ("privkey", &pair.key),
    ];
    for (kind, text) in texts {
        let file = archive.join(format!("{kind}{version}.pem"));
        assert!(!file.exists(), "{} is there already", file.display());
        match kind {
            "privkey" => write_secret(&file, text),
            _ => fs::write(&file, text),
        }
        .expect("a file of a lineage can be written");
        let link = live.join(format!("{kind}.pem"));
        if link.is_symlink() {
            fs::remove_file(&link).expect("an old link can be removed");
        }
        symlink(format!("../../archive/{name}/{kind}{version}.pem"), link)
            .expect("a link can be made");
    }
    if version == 1 {
        fs::write(
            renewal.join(format!("{name}.conf")),
            parameters(&archive, &live),
        )
        .expect("the file can be written");
    }
    live
}

/// What `renewal/NAME.conf` says, in certbot 2's form.
fn parameters(archive: &Path, live: &Path) -> String {
    let (archive, live) = (archive.display(), live.display());
    format!(
        "\
version = 2.1.0
archive_dir = {archive}
cert = {live}/cert.pem
privkey = {live}/privkey.pem
chain = {live}/chain.pem
fullchain = {live}/fullchain.pem

# Options used in the renewal process
[renewalparams]
account = 00000000000000000000000000000000
authenticator = webroot
server = https://ca.invalid/directory
key_type = ecdsa
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::{Authority, Days};
    use crate::{certbot, openssl};

    #[test]
    fn certbot_accepts_a_lineage_of_two_versions() {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new("Practice");
        let letsencrypt = folder.path().join("letsencrypt");
        write(
            &letsencrypt,
            "a.test",
            1,
            &authority.issue(&["a.test"], Days::left(10)),
        );
        let second = authority.issue(&["a.test", "www.a.test"], Days::left(80));
        let live = write(&letsencrypt, "a.test", 2, &second);
        assert!(openssl::key_fits(
            &live.join("fullchain.pem"),
            &live.join("privkey.pem")
        ));
        let listed = certbot::certificates(&letsencrypt);
        assert!(listed.contains("Domains: a.test www.a.test"), "{listed}");
        assert!(!listed.contains("invalid"), "{listed}");
    }
}
