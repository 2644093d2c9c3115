//! Who is right, for everything that files and record can hold?

use std::sync::Arc;

use expect_test::{Expect, expect};
use jiff::Timestamp;

use crate::panel::fixture::{NOW, row, site};
use crate::panel::{OnPanel, PanelSite, Stand, stand};

/// A case is one line: what the file holds, what the record holds. Certificates are `NUMBER until DAY`, `self`, or
/// `-` for none; then come notes.
#[track_caller]
fn check(case: &str, expect: Expect) {
    let (file, record) = case.split_once('|').unwrap();
    let mut site = site("a.test", file.trim());
    let OnPanel::Yes(panel) = &site.panel else {
        panic!("a site of the panel's");
    };
    site.panel = OnPanel::Yes(Arc::new(PanelSite {
        row: row(record.trim()),
        ..PanelSite::clone(panel)
    }));
    let now: Timestamp = NOW.parse().unwrap();
    let said = match stand(&site, now) {
        Stand::Same => "the same".to_owned(),
        Stand::RecordBehind(what) => format!("write the record: {what}"),
        Stand::FilesBehind(what) => format!("take over: {what}"),
        Stand::Apart(what) => format!("apart: {what}"),
    };
    expect.assert_eq(&said);
}

#[test]
fn what_agrees_is_left_alone() {
    check("1 until 05-01 | 2: 1 until 05-01", expect!["the same"]);
    check("1 until 05-01 ours | 2: 1 until 05-01", expect!["the same"]);
    check("self | 1: self", expect!["the same"]);
    check("1 until 05-01 | -", expect!["the same"]);
    check(
        "1 until 05-01 ours | -",
        expect!["write the record: the record has no certificate for the site"],
    );
}

#[test]
fn what_we_deployed_and_did_not_record_is_recorded() {
    check(
        "2 until 05-01 ours | 2: 1 until 03-01",
        expect![
            "write the record: the file holds serial 02 until 2026-05-01T00:00:00Z, the record serial 01 until 2026-03-01T00:00:00Z"
        ],
    );
    check(
        "2 until 05-01 ours | 1: self",
        expect![[
            r#"write the record: the file holds serial 02 until 2026-05-01T00:00:00Z, the record serial 00 until 2036-01-01T00:00:00Z"#
        ]],
    );
    check(
        "2 until 05-01 ours | 2: broken",
        expect![[
            r#"write the record: the record's certificate cannot be read: there is no certificate in it"#
        ]],
    );
}

#[test]
fn a_record_with_our_certificate_and_something_wrong_beside_it_is_mended() {
    check(
        "2 until 05-01 ours | 2: 2 until 05-01, other key",
        expect![[
            r#"write the record: the record's private key does not belong to its certificate"#
        ]],
    );
    check(
        "2 until 05-01 ours | 2: 2 until 05-01, ends 03-01",
        expect![[
            r#"write the record: the record says that it ends on 2026-03-01T00:00:00Z, and it ends on 2026-05-01T00:00:00Z"#
        ]],
    );
    check(
        "2 until 05-01 ours | 2: 2 until 05-01, no date",
        expect![[
            r#"write the record: the record has no date for its end, which is 2026-05-01T00:00:00Z"#
        ]],
    );
    check(
        "2 until 05-01 ours | 2: 2 until 05-01, borrowed",
        expect!["write the record: the record is another site's"],
    );
    check(
        "2 until 05-01 | 2: 2 until 05-01, other key",
        expect!["apart: the record's private key does not belong to its certificate"],
    );
}

#[test]
fn what_the_panel_renewed_by_itself_is_taken_over() {
    for file in ["1 until 03-01 ours", "1 until 03-01"] {
        check(
            &format!("{file} | 2: 2 until 05-01"),
            expect![
                "take over: the file holds serial 01 until 2026-03-01T00:00:00Z, the record serial 02 until 2026-05-01T00:00:00Z"
            ],
        );
    }
    check(
        "- | 2: 2 until 05-01",
        expect!["take over: there is no such file, or none that can be read"],
    );
    check(
        "3 until 06-01 bad key | 2: 2 until 05-01",
        expect![
            "take over: the file holds serial 03 until 2026-06-01T00:00:00Z, the record serial 02 until 2026-05-01T00:00:00Z"
        ],
    );
}

#[test]
fn nothing_bad_is_taken_over() {
    check(
        "1 until 03-01 | 2: 2 until 05-01, other key",
        expect![[
            r#"apart: the file holds serial 01 until 2026-03-01T00:00:00Z, the record serial 02 until 2026-05-01T00:00:00Z"#
        ]],
    );
    check(
        "1 until 03-01 | 2: 2 until 05-01, borrowed",
        expect![[
            r#"apart: the file holds serial 01 until 2026-03-01T00:00:00Z, the record serial 02 until 2026-05-01T00:00:00Z"#
        ]],
    );
    check(
        "1 until 03-01 | 1: self",
        expect![[
            r#"apart: the file holds serial 01 until 2026-03-01T00:00:00Z, the record serial 00 until 2036-01-01T00:00:00Z"#
        ]],
    );
    check(
        "- | 2: 2 until 02-01",
        expect!["apart: there is no such file, or none that can be read"],
    );
    check(
        "1 until 03-01 | 2: broken",
        expect!["apart: the record's certificate cannot be read: there is no certificate in it"],
    );
}

#[test]
fn what_a_person_imported_is_neither_overwritten_nor_taken_over() {
    check(
        "1 until 03-01 ours | 3: 2 until 05-01",
        expect![[
            r#"apart: the file holds serial 01 until 2026-03-01T00:00:00Z, the record serial 02 until 2026-05-01T00:00:00Z"#
        ]],
    );
    check(
        "2 until 05-01 | 3: 2 until 05-01, ends 03-01",
        expect!["the same"],
    );
    check(
        "3 until 06-01 ours | 3: 2 until 05-01",
        expect![[
            r#"write the record: the file holds serial 03 until 2026-06-01T00:00:00Z, the record serial 02 until 2026-05-01T00:00:00Z"#
        ]],
    );
}
