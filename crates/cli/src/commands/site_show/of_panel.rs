//! What does CloudPanel say of a site?

use jiff::Timestamp;
use renewal::panel::{PanelSite, Row, RowKind};
use serde_json::{Value, json};

use crate::output::when;

/// Returns it for programs.
pub(super) fn document(panel: &PanelSite) -> Value {
    let row = panel.row.as_ref().map(|row| {
        json!({
            "type": kind(row),
            "expires_at": row.expires_at,
            "sha256": row.certificate.as_ref().ok().map(|read| read.sha256),
            "key_fits": row.key_fits,
        })
    });
    json!({
        "type": panel.kind,
        "user": panel.user,
        "certificate": panel.files.certificate,
        "key": panel.files.key,
        "record": row,
    })
}

/// Returns it for people, each line with its label: what the site is, and what is recorded of its certificate.
pub(super) fn lines(panel: Option<&PanelSite>, now: Timestamp) -> Vec<(&'static str, String)> {
    let Some(panel) = panel else {
        return Vec::new();
    };
    let site = match panel.id {
        Some(_) => format!("{} site of the user {}", panel.kind, panel.user),
        None => "the panel itself".to_owned(),
    };
    let record = match (&panel.row, panel.id) {
        (Some(row), _) => {
            let end = row.expires_at.map_or_else(
                || "without a date".to_owned(),
                |at| format!("ends {}", when::date_and_distance(at, now)),
            );
            format!("its record: {}, {end}", kind(row))
        }
        (None, Some(_)) => "its record: no certificate".to_owned(),
        (None, None) => "its certificate is in files alone".to_owned(),
    };
    vec![("CloudPanel", site), ("", record)]
}

fn kind(row: &Row) -> &'static str {
    match row.kind {
        RowKind::SelfSigned => "self-signed",
        RowKind::Issued => "issued by a CA",
        RowKind::Imported => "imported",
        RowKind::Other => "of an unknown type",
    }
}

#[cfg(test)]
mod tests {
    use super::lines;
    use renewal::panel::{PanelSite, Projection, Row, RowKind};

    #[test]
    fn a_site_and_the_panel_itself_are_told_in_two_lines() {
        let now = "2026-02-01T00:00:00Z".parse().unwrap();
        let mut panel = PanelSite {
            id: Some(1),
            domain: crate::testing::name("a.test"),
            kind: "php".into(),
            user: "john".into(),
            document_root: "/home/john/htdocs/a.test".into(),
            vhost: "/etc/nginx/sites-enabled/a.test.conf".into(),
            files: Projection::of("/etc/nginx/ssl-certificates".as_ref(), "a.test"),
            row: Some(Row {
                id: 1,
                borrowed: false,
                kind: RowKind::Issued,
                expires_at: Some("2026-03-01T00:00:00Z".parse().unwrap()),
                certificate: Err("it is broken".into()),
                key_fits: false,
            }),
            findings: Vec::new(),
        };
        let told = |panel: &PanelSite| lines(Some(panel), now).into_iter().map(|(_, text)| text);
        let told = |panel: &PanelSite| told(panel).collect::<Vec<_>>();
        let both = told(&panel);
        assert_eq!(both[0], "php site of the user john");
        let begin = "its record: issued by a CA, ends 2026-03-01";
        assert!(both[1].starts_with(begin), "{both:?}");
        panel.row = None;
        assert_eq!(told(&panel)[1], "its record: no certificate");
        panel.id = None;
        assert_eq!(told(&panel)[0], "the panel itself");
    }
}
