//! Values that several tests need.

use jiff::Timestamp;
use renewal::certificate::{Certificate, Fingerprint};
use renewal::name::Name;
use renewal::names::Names;
use renewal::report::{Outcome, Report, Served, SiteReport};
use renewal::site::{Current, Listen, Place, Server, Site};
use renewal::window::Window;

/// The moment at which all tests play.
pub(crate) fn now() -> Timestamp {
    time("2026-02-01T12:00:00Z")
}

pub(crate) fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

/// Reads names between blanks.
pub(crate) fn names(text: &str) -> Names {
    Names::new(text.split_whitespace().map(name)).unwrap()
}

/// A certificate for names between blanks, valid for 90 days, that ends on a day.
pub(crate) fn certificate(covers: &str, end: &str) -> Certificate {
    let end = time(&format!("{end}T00:00:00Z"));
    Certificate {
        names: names(covers).iter().cloned().collect(),
        valid: Window::new(end - jiff::SignedDuration::from_hours(90 * 24), end).unwrap(),
        issuer: "R11".to_owned(),
        serial: "04ab12".to_owned(),
        sha256: Fingerprint([0xab; 32]),
        id: None,
        self_signed: false,
    }
}

/// A site behind nginx with a certificate that ends on a day, or without one.
pub(crate) fn site(wanted: &str, end: Option<&str>) -> Site {
    let wanted = names(wanted);
    let domain = wanted.domain().to_string();
    let listen = Listen {
        address: "0.0.0.0:443".parse().unwrap(),
        tls: true,
        quic: false,
        default_server: false,
        proxy_protocol: false,
    };
    let server = Server {
        place: Place {
            file: format!("/etc/nginx/sites-enabled/{domain}.conf").into(),
            line: 3,
        },
        names: wanted.iter().map(ToString::to_string).collect(),
        listens: vec![listen],
        document_root: Some(format!("/home/{domain}/htdocs").into()),
        ..Server::default()
    };
    let covers: Vec<&str> = wanted.iter().map(Name::as_str).collect();
    let current = end.map(|end| Current {
        certificate: certificate(&covers.join(" "), end).into(),
        path: format!("/etc/letsencrypt/live/{domain}/fullchain.pem").into(),
        version: Some(3),
        key_fits: true,
    });
    Site {
        servers: vec![server.into()],
        current,
        ..Site::new(wanted)
    }
}

/// What came of one site, without a certificate.
pub(crate) fn site_report(wanted: &str, outcome: Outcome) -> SiteReport {
    SiteReport {
        names: names(wanted),
        outcome,
        reason: "a third of its life is left".to_owned(),
        due_at: None,
        retry_at: None,
        certificate: None,
        served: Vec::new(),
        findings: Vec::new(),
    }
}

/// What came of a run of three seconds.
pub(crate) fn report(sites: Vec<SiteReport>) -> Report {
    Report {
        started_at: now(),
        finished_at: now() + jiff::SignedDuration::from_secs(3),
        reloads: 0,
        sites,
        findings: Vec::new(),
        wake_at: None,
    }
}

/// What an address served: the certificate of [`certificate`].
pub(crate) fn served(address: &str) -> Served {
    Served {
        address: address.parse().unwrap(),
        sha256: Some(Fingerprint([0xab; 32])),
        ok: true,
        error: None,
        answered_by: None,
    }
}

/// What an address served when no handshake came about.
pub(crate) fn not_served(address: &str, error: &str) -> Served {
    Served {
        sha256: None,
        ok: false,
        error: Some(error.to_owned()),
        ..served(address)
    }
}
