//! Sites and rows for tests, from a few words.

use std::sync::Arc;

use crate::certificate::{Certificate, Fingerprint};
use crate::name::Name;
use crate::names::Names;
use crate::panel::{OnPanel, PanelSite, Projection, Row, RowKind};
use crate::site::{Current, Listen, Pair, Place, Server, Site};
use crate::window::Window;

/// The moment at which the tests ask.
pub(crate) const NOW: &str = "2026-02-01T00:00:00Z";

/// Returns a site whose file holds `NUMBER until DAY`, `self` or `-`; with `ours`, it is of our lineage, with
/// `bad key`, nginx would refuse it.
pub(crate) fn site(domain: &str, file: &str) -> Site {
    let entry = entry(domain);
    let current = certificate(file).map(|certificate| Current {
        certificate: certificate.into(),
        path: entry.files.certificate.clone(),
        version: file.contains("ours").then_some(1),
        key_fits: !file.contains("bad key"),
    });
    let place = |line| Place {
        file: entry.vhost.clone(),
        line,
    };
    let server = Server {
        place: place(1),
        names: vec![domain.to_owned()],
        listens: vec![Listen {
            address: ([0, 0, 0, 0], 443).into(),
            tls: true,
            quic: false,
            default_server: false,
            proxy_protocol: false,
        }],
        pair: Some(Pair {
            certificate: entry.files.certificate.clone(),
            key: entry.files.key.clone(),
            place: place(3),
            inherited: false,
        }),
        ..Server::default()
    };
    let wanted = Names::from(entry.domain.clone());
    Site {
        servers: vec![server.into()],
        current,
        panel: OnPanel::Yes(Arc::new(entry)),
        ..Site::new(wanted)
    }
}

/// Returns a site's entry without a certificate.
pub(super) fn entry(domain: &str) -> PanelSite {
    PanelSite {
        id: Some(1),
        domain: Name::parse(domain).unwrap(),
        kind: "php".into(),
        user: "john".into(),
        document_root: "/home/john/htdocs/a.test".into(),
        vhost: format!("/etc/nginx/sites-enabled/{domain}.conf").into(),
        files: Projection::of("/etc/nginx/ssl-certificates".as_ref(), domain),
        row: None,
        findings: Vec::new(),
    }
}

/// Returns a row written as `TYPE: CERTIFICATE, NOTE…`; `-` is none.
pub(super) fn row(text: &str) -> Option<Row> {
    let (kind, rest) = text.split_once(": ")?;
    let read = certificate(rest);
    let ends = rest.split("ends ").nth(1);
    Some(Row {
        id: 7,
        borrowed: rest.contains("borrowed"),
        kind: match kind {
            "1" => RowKind::SelfSigned,
            "2" => RowKind::Issued,
            "3" => RowKind::Imported,
            _ => RowKind::Other,
        },
        expires_at: match (ends, rest.contains("no date")) {
            (_, true) => None,
            (Some(day), _) => Some(moment(day)),
            (None, _) => read.as_ref().map(|read| read.valid.end()),
        },
        certificate: read
            .map(Arc::new)
            .ok_or("there is no certificate in it".to_owned()),
        key_fits: !rest.contains("other key"),
    })
}

fn certificate(text: &str) -> Option<Certificate> {
    let (number, end) = if text.starts_with("self") {
        (0, "2036-01-01T00:00:00Z".parse().unwrap())
    } else {
        let (number, rest) = text.split_once(" until ")?;
        let day = rest.split([',', ' ']).next()?;
        (number.parse().unwrap(), moment(day))
    };
    let start = format!("2026-01-{:02}T00:00:00Z", number + 1);
    Some(Certificate {
        names: vec![
            Name::parse("a.test").unwrap(),
            Name::parse("*.test").unwrap(),
        ],
        valid: Window::new(start.parse().unwrap(), end).unwrap(),
        issuer: "Practice CA".into(),
        serial: format!("{number:02x}"),
        sha256: Fingerprint([number; 32]),
        id: None,
        self_signed: number == 0,
    })
}

fn moment(day: &str) -> jiff::Timestamp {
    format!("2026-{day}T00:00:00Z").parse().unwrap()
}
