//! One site of the fleet.

use std::sync::Arc;

use jiff::Timestamp;
use renewal::certificate::{Certificate, CertificateId, Fingerprint};
use renewal::name::Name;
use renewal::names::Names;
use renewal::plan::Remembered;
use renewal::site::{Current, Site, Undeployed};
use renewal::window::Window;

use crate::fleet::dice::Dice;
use crate::fleet::trouble::Troubles;
use crate::fleet::{Scenario, moment, since_start};

/// A site, what is remembered of it, and what befalls it.
pub(super) struct Member {
    pub(super) site: Site,
    pub(super) names: Vec<String>,
    pub(super) remembered: Remembered,
    pub(super) troubles: Troubles,
    /// The moment of its next pass that counts.
    pub(super) next_pass: i64,
    /// Since when it waits for its first certificate and is whole.
    pub(super) whole_since: Option<i64>,
    /// When its certificate was revoked, until it is replaced.
    pub(super) revoked_at: Option<i64>,
}

impl Member {
    pub(super) fn new(number: u32, scenario: &Scenario, dice: &mut Dice, arrives_at: i64) -> Self {
        // Of those that come at once some are customers below one domain of the hoster's.
        let together = number % 20 == 1 && number % 200 < 80;
        let domain = if together {
            format!("c{number}.hoster.test")
        } else {
            format!("s{number}.test")
        };
        let mut names = vec![domain.clone()];
        if !together {
            let aliases = ["www", "shop", "mail"];
            let count = usize::try_from(dice.below(4)).unwrap_or(0);
            names.extend(
                aliases[..count]
                    .iter()
                    .map(|alias| format!("{alias}.{domain}")),
            );
        }
        let parsed = names.iter().filter_map(|name| Name::parse(name).ok());
        let wanted = Names::new(parsed).unwrap_or_else(|| unreachable!("{domain} is a name"));
        let troubles_dice = Dice::new(scenario.seed ^ TROUBLES, u64::from(number));
        Self {
            site: Site {
                ..Site::new(wanted)
            },
            names,
            remembered: Remembered::default(),
            troubles: Troubles::new(troubles_dice, scenario.broken_percent, arrives_at),
            next_pass: arrives_at,
            whole_since: None,
            revoked_at: None,
        }
    }

    /// Serves a certificate from the beginning.
    pub(super) fn serve(&mut self, issued: (u64, i64, i64)) {
        self.obtain(issued);
        self.deploy();
    }

    /// Has a certificate in the archive.
    pub(super) fn obtain(&mut self, (id, begin, end): (u64, i64, i64)) {
        let mut sha256 = [0; 32];
        sha256[..8].copy_from_slice(&id.to_le_bytes());
        let Ok(valid) = Window::new(moment(begin), moment(end)) else {
            return;
        };
        self.site.undeployed = Some(Undeployed {
            certificate: Arc::new(Certificate {
                names: self.site.wanted.as_slice().to_vec(),
                valid,
                issuer: "Simulated CA".to_owned(),
                serial: format!("{id:x}"),
                sha256: Fingerprint(sha256),
                id: Some(CertificateId(format!("simulated.{id}"))),
                self_signed: false,
            }),
            path: "fullchain.pem".into(),
            version: u32::try_from(id).unwrap_or(u32::MAX),
        });
    }

    /// Serves what is in the archive; returns when that expires.
    pub(super) fn deploy(&mut self) -> Option<i64> {
        let undeployed = self.site.undeployed.take()?;
        self.site.current = Some(Current {
            certificate: undeployed.certificate,
            path: undeployed.path,
            version: Some(undeployed.version),
            key_fits: true,
        });
        self.end()
    }

    /// Notes that it waits without being at fault.
    pub(super) fn note_whole(&mut self, now: i64) {
        if self.site.current.is_none() && self.troubles.at(now).is_none() {
            self.whole_since.get_or_insert(now);
        }
    }

    /// Returns when what it serves expires.
    pub(super) fn end(&self) -> Option<i64> {
        let current = self.site.current.as_ref()?;
        Some(since_start(current.certificate.valid.end()))
    }

    /// Returns what the CA calls the certificate that it serves, and when that expires.
    pub(super) fn certificate_id(&self) -> Option<(CertificateId, Timestamp)> {
        let certificate = &self.site.current.as_ref()?.certificate;
        Some((certificate.id.clone()?, certificate.valid.end()))
    }

    /// Returns the CA's number of the certificate that it serves.
    pub(super) fn id(&self) -> Option<u64> {
        id_of(&self.certificate_id()?.0)
    }
}

/// Reads the CA's number from an identifier.
pub(super) fn id_of(id: &CertificateId) -> Option<u64> {
    id.0.strip_prefix("simulated.")?.parse().ok()
}

/// Makes the troubles' dice differ from the others of the same site.
const TROUBLES: u64 = 0x5bd1_e995;
