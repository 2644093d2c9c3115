//! Is an edit made once, and put back byte for byte?

use std::fs;

use super::*;
use crate::conf::tls::{Files, Ports};
use crate::file::crash;
use crate::testing::put;

const TWO_SITES: &str = "server {\n  listen 80;\n  server_name a.test;\n}\nserver {\n  listen 80;\n  server_name b.test;\n}\n";

struct Case {
    folder: tempfile::TempDir,
    vhost: PathBuf,
    edits: Vec<Edit>,
}

impl Case {
    /// Two sites in one file, an edit for each.
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vhost = folder.path().join("two.conf");
        put(&vhost, TWO_SITES);
        let mut batch = Batch::default();
        let mut edits = Vec::new();
        for (line, thumbprint) in [(1, "AAA"), (5, "BBB")] {
            let change = BlockChange {
                file: vhost.clone(),
                line,
                change: Change::Stateless(thumbprint),
            };
            edits.extend(batch.add(&[change], "the challenge line").unwrap());
        }
        assert_eq!(edits.len(), 2);
        Self {
            folder,
            vhost,
            edits,
        }
    }

    fn text(&self) -> String {
        fs::read_to_string(&self.vhost).unwrap()
    }

    fn make_all(&self) -> Result<(), EditError> {
        make(&self.edits.iter().collect::<Vec<_>>())
    }

    fn unmake_all(&self) -> Result<(), EditError> {
        unmake(&self.edits.iter().collect::<Vec<_>>()).map_err(|(error, _)| error)
    }

    /// How many files lie there.
    fn files(&self) -> usize {
        fs::read_dir(self.folder.path()).unwrap().count()
    }
}

#[test]
fn two_sites_in_one_file_are_edited_one_after_the_other() {
    let case = Case::new();
    make(&[&case.edits[0]]).unwrap();
    assert!(case.text().contains(".AAA") && !case.text().contains(".BBB"));
    case.make_all().unwrap();
    let both = case.text();
    assert!(both.contains(".AAA") && both.contains(".BBB"));
    // The last may be undone alone; the first is not the last state.
    unmake(&[&case.edits[0]]).unwrap_err();
    assert_eq!(case.text(), both);
    unmake(&[&case.edits[1]]).unwrap();
    assert!(case.text().contains(".AAA") && !case.text().contains(".BBB"));
    case.unmake_all().unwrap();
    assert_eq!(case.text(), TWO_SITES);
}

#[test]
fn cut_anywhere_the_edits_can_be_finished_or_undone() {
    let done = Case::new();
    done.make_all().unwrap();
    for steps in 0.. {
        let case = Case::new();
        let (_, died) = crash::after(steps, || {
            let _ = case.make_all();
            let _ = case.unmake_all();
        });
        case.unmake_all().unwrap();
        case.unmake_all().unwrap();
        assert_eq!(case.text(), TWO_SITES, "after {steps} steps");

        let case = Case::new();
        let (made, _) = crash::after(steps, || case.make_all());
        case.make_all().unwrap();
        assert_eq!(case.text(), done.text(), "after {steps} steps");
        if !died {
            made.unwrap();
            assert_eq!(case.files(), 1);
            assert!(steps > 4);
            return;
        }
    }
}

#[test]
fn what_a_person_changed_meanwhile_is_kept() {
    let case = Case::new();
    put(&case.vhost, "# mine\n");
    let error = case.make_all().unwrap_err().to_string();
    assert!(
        error.ends_with("two.conf is not as it was when the edit was worked out"),
        "{error}"
    );
    case.unmake_all().unwrap_err();
    assert_eq!(case.text(), "# mine\n");
}

#[test]
fn owner_mode_and_the_link_to_the_file_stay() {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
    let case = Case::new();
    fs::set_permissions(&case.vhost, fs::Permissions::from_mode(0o640)).unwrap();
    case.make_all().unwrap();
    assert_eq!(case.vhost.metadata().unwrap().mode() & 0o777, 0o640);
}

#[test]
fn a_change_that_changes_nothing_is_no_edit() {
    let case = Case::new();
    case.make_all().unwrap();
    let mut batch = Batch::default();
    let change = BlockChange {
        file: case.vhost.clone(),
        line: 1,
        change: Change::Stateless("AAA"),
    };
    assert!(batch.add(&[change], "").unwrap().is_empty());
}

#[test]
fn a_site_that_cannot_be_edited_leaves_the_others_to_be_edited() {
    let case = Case::new();
    let mut batch = Batch::default();
    let files = Files {
        certificate: Path::new("/live/fullchain.pem"),
        key: Path::new("/live/privkey.pem"),
    };
    let ports = Ports {
        http: 80,
        https: 443,
    };
    let add_tls = |line| BlockChange {
        file: case.vhost.clone(),
        line,
        change: Change::AddTls(ports, files),
    };
    let error = batch.add(&[add_tls(1), add_tls(2)], "").unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("no server block begins on line 2"),
        "{error}"
    );
    let edits = batch.add(&[add_tls(5)], "TLS").unwrap();
    make(&[&edits[0]]).unwrap();
    assert_eq!(case.text().matches("listen 443 ssl;").count(), 1);
}
