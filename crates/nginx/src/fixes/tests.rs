//! Is a fix made as it says, and undone whole?

use std::path::Path;

use expect_test::expect;
use renewal::fix::{Amendment, Remedy};
use renewal::site::Place;

use super::{draft, keep, make, unfinished, unmake};
use crate::file::crash;
use crate::settings::Settings;
use crate::testing::put;

const BEFORE: &str =
    "worker_processes 1;\nevents {\n    worker_connections 32; # few\n}\nhttp { }\n";

fn raise(file: &Path) -> Remedy {
    let at = |line| Place {
        file: file.to_owned(),
        line,
    };
    Remedy::Lines(vec![
        Amendment::Arguments {
            at: at(3),
            directive: "worker_connections".to_owned(),
            arguments: vec!["1024".to_owned()],
        },
        Amendment::Behind {
            at: at(2),
            directive: "events".to_owned(),
            statement: "worker_rlimit_nofile 4096;".to_owned(),
        },
    ])
}

#[test]
fn a_fix_is_shown_in_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nginx.conf");
    put(&file, BEFORE);
    let draft = draft(&raise(&file)).unwrap();
    let shown = &draft.shown[0];
    let place = shown.place.rsplit('/').next().unwrap();
    expect![[r#"
        nginx.conf:3
        -    worker_connections 32; # few
        }
        +    worker_connections 1024; # few
        }
        worker_rlimit_nofile 4096;"#]]
    .assert_eq(&format!("{place}\n-{}\n+{}", shown.before, shown.after));
}

#[test]
fn a_run_that_dies_in_a_fix_leaves_a_way_back() {
    for steps in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("nginx.conf");
        put(&file, BEFORE);
        let settings = Settings {
            state: folder.path().join("state"),
            ..Settings::default()
        };
        let draft = draft(&raise(&file)).unwrap();
        let (made, _) = crash::after(steps, || make(&settings, &draft));
        if made.is_ok() {
            assert_ne!(std::fs::read_to_string(&file).unwrap(), BEFORE);
            assert_eq!(unfinished(&settings).unwrap(), Some(draft.clone()));
            keep(&settings, &draft).unwrap();
            assert_eq!(unfinished(&settings).unwrap(), None);
            return;
        }
        if let Some(left) = unfinished(&settings).unwrap() {
            assert_eq!(left, draft);
            unmake(&settings, &left).unwrap();
        }
        assert_eq!(std::fs::read_to_string(&file).unwrap(), BEFORE, "{steps}");
        assert_eq!(unfinished(&settings).unwrap(), None);
    }
}

#[test]
fn a_file_that_changed_since_it_was_looked_at_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("nginx.conf");
    put(&file, "\nevents { }\n");
    let failure = draft(&raise(&file)).unwrap_err();
    assert!(
        failure.0.detail.contains("no single “worker_connections”"),
        "{failure}"
    );
}
