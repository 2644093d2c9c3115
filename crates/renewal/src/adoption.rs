//! What of another client's work does clpctl take over, and what stays with that client?
//!
//! Another client manages lineages of its own ([`Managed`]). A site whose certificate is one of them is taken over, with
//! the settings that differ from ours. The rest stays: no site serves it, or clpctl could not renew it. Taking over
//! orders nothing: the certificate is renewed when it is due, as if clpctl had obtained it.

use std::fmt;
use std::path::PathBuf;

use jiff::SignedDuration;
use serde::{Deserialize, Serialize};

use crate::certificate::{Fingerprint, KeyType};
use crate::name::Name;
use crate::policy::Ca;
use crate::site::Site;

/// Another program that obtains certificates here.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub enum Client {
    /// certbot.
    #[serde(rename = "certbot")]
    Certbot,
    /// acme.sh.
    #[serde(rename = "acme.sh")]
    AcmeSh,
    /// CloudPanel's own client.
    #[serde(rename = "cloudpanel")]
    Cloudpanel,
}

impl Client {
    /// Returns what it is called.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Certbot => "certbot",
            Self::AcmeSh => "acme.sh",
            Self::Cloudpanel => "CloudPanel",
        }
    }
}

impl fmt::Display for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A lineage that another client renews, as its files describe it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Managed {
    /// What the client calls it.
    pub name: String,
    /// The file that describes it.
    pub place: PathBuf,
    /// The names of its certificate.
    pub names: Vec<Name>,
    /// Its newest leaf; `None` when it cannot be read.
    pub leaf: Option<Fingerprint>,
    /// The directory of its CA.
    pub ca: Option<Ca>,
    /// What the client calls the account.
    pub account: Option<String>,
    /// The kind of its next key.
    pub key_type: Option<KeyType>,
    /// The CA's name for the kind of certificate.
    pub profile: Option<String>,
    /// How long before its end it is renewed, when somebody set that.
    pub before_expiry: Option<SignedDuration>,
    /// How control over the names is proved.
    pub proof: Proof,
    /// Whether the client renews it by itself.
    pub renews: bool,
    /// Programs that the client runs around a renewal: when, and what.
    pub hooks: Vec<(String, String)>,
    /// What else a person should know.
    pub notes: Vec<String>,
}

/// How another client proves control over names.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Proof {
    /// Over HTTP, as clpctl does.
    Http,
    /// In another way, in the client's words.
    Other(String),
}

/// The settings of a site that has to keep what another client did.
#[derive(Clone, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// The CA's directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<Ca>,
    /// The kind of key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_type: Option<KeyType>,
    /// The kind of certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// How many days before its end it is renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_expiry_days: Option<i64>,
    /// Whether it has to be listed to be managed at all.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub listed: bool,
}

impl Settings {
    /// Says whether nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What becomes of one lineage.
#[derive(Clone, Debug)]
pub struct Decision<'a> {
    /// The lineage.
    pub managed: &'a Managed,
    /// The sites that serve it, each with the settings that differ; else why it stays.
    pub outcome: Result<Vec<(&'a Site, Settings)>, Stays>,
}

/// Why a lineage stays with the other client.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Stays {
    /// Mail, another web server, or nothing any more.
    #[error("no site of nginx serves its certificate")]
    NoSite,
    /// Its certificate is missing or damaged.
    #[error("its certificate cannot be read")]
    Unreadable,
    /// clpctl could not renew it.
    #[error("control over its names is proved by {0}, and clpctl proves it over HTTP alone")]
    NotHttp(String),
    /// The same.
    #[error("{0} is a wildcard, which a CA gives for a DNS record alone")]
    Wildcard(Name),
}

impl Stays {
    /// Says whether the certificate would end if the other client did not run any more.
    #[must_use]
    pub fn needs_client(&self, managed: &Managed) -> bool {
        match self {
            Self::NoSite | Self::NotHttp(_) | Self::Wildcard(_) => managed.renews,
            // It is lost already.
            Self::Unreadable => false,
        }
    }
}

/// Says what becomes of each lineage.
#[must_use]
pub fn decide<'a>(sites: &'a [Site], managed: &'a [Managed]) -> Vec<Decision<'a>> {
    managed
        .iter()
        .map(|managed| Decision {
            managed,
            outcome: decide_one(sites, managed),
        })
        .collect()
}

fn decide_one<'a>(
    sites: &'a [Site],
    managed: &Managed,
) -> Result<Vec<(&'a Site, Settings)>, Stays> {
    let leaf = managed.leaf.ok_or(Stays::Unreadable)?;
    let serves = |site: &&Site| {
        let current = site.current.as_ref();
        current.is_some_and(|current| current.certificate.sha256 == leaf)
    };
    let serving: Vec<&Site> = sites.iter().filter(serves).collect();
    // Since an earlier takeover clpctl may have renewed it, where the client keeps copies of its own.
    let renewed = |site: &&Site| {
        let ours = site
            .current
            .as_ref()
            .is_some_and(|current| current.version.is_some());
        ours && site.wanted.iter().all(|name| managed.names.contains(name))
    };
    let serving = if serving.is_empty() {
        sites.iter().filter(renewed).collect()
    } else {
        serving
    };
    if serving.is_empty() {
        return Err(Stays::NoSite);
    }
    if let Proof::Other(how) = &managed.proof {
        return Err(Stays::NotHttp(how.clone()));
    }
    if let Some(wildcard) = managed
        .names
        .iter()
        .find(|name| name.as_str().starts_with("*."))
    {
        return Err(Stays::Wildcard(wildcard.clone()));
    }
    let settings = |site: &Site| differing(site, managed);
    Ok(serving
        .into_iter()
        .map(|site| (site, settings(site)))
        .collect())
}

/// Returns what of the lineage's parameters is not what the site has already.
fn differing(site: &Site, managed: &Managed) -> Settings {
    let policy = &site.policy;
    // Certificates for trying things out are not worth being kept so.
    let ca = managed.ca.clone().filter(|ca| !ca.is_staging());
    let before = managed.before_expiry;
    Settings {
        directory: ca.filter(|ca| *ca != policy.ca),
        key_type: managed.key_type.filter(|kind| *kind != policy.key_type),
        profile: managed
            .profile
            .clone()
            .filter(|profile| policy.profile.as_ref() != Some(profile)),
        before_expiry_days: before
            .filter(|before| policy.before_expiry != Some(*before))
            .map(|before| before.as_hours() / 24),
        listed: !policy.managed,
    }
}

#[cfg(test)]
mod tests {
    use super::{Managed, Proof, decide};
    use crate::certificate::{Certificate, Fingerprint, KeyType};
    use crate::name::Name;
    use crate::names::Names;
    use crate::policy::{Ca, Policy};
    use crate::site::{Current, Site};
    use crate::window::Window;
    use expect_test::{Expect, expect};

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    fn site(domain: &str, leaf: u8) -> Site {
        let certificate = Certificate {
            names: vec![name(domain)],
            valid: Window::new(
                "2026-01-01T00:00:00Z".parse().unwrap(),
                "2026-04-01T00:00:00Z".parse().unwrap(),
            )
            .unwrap(),
            issuer: "R11".into(),
            serial: "01".into(),
            sha256: Fingerprint([leaf; 32]),
            id: None,
            self_signed: false,
        };
        Site {
            current: Some(Current {
                certificate: certificate.into(),
                path: format!("/live/{domain}/fullchain.pem").into(),
                version: Some(1),
                key_fits: true,
            }),
            ..Site::new(Names::from(name(domain)))
        }
    }

    fn managed(names: &str, leaf: Option<u8>) -> Managed {
        Managed {
            name: names.split(' ').next().unwrap().into(),
            place: "/renewal/x.conf".into(),
            names: names.split(' ').map(name).collect(),
            leaf: leaf.map(|leaf| Fingerprint([leaf; 32])),
            ca: Some(Policy::default().ca),
            account: None,
            key_type: Some(KeyType::EcdsaP256),
            profile: None,
            before_expiry: None,
            proof: Proof::Http,
            renews: true,
            hooks: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// The host serves a.test with leaf 1 and b.test with leaf 2.
    #[track_caller]
    fn check(managed: Managed, expect: Expect) {
        let sites = [site("a.test", 1), site("b.test", 2), site("c.test", 2)];
        let managed = [managed];
        let decisions = decide(&sites, &managed);
        expect.assert_eq(&match &decisions[0].outcome {
            Ok(sites) => sites
                .iter()
                .map(|(site, settings)| {
                    let settings = serde_json::to_string(settings).unwrap();
                    format!("{} {settings}", site.domain())
                })
                .collect::<Vec<_>>()
                .join(", "),
            Err(stays) => format!("{stays} (needed: {})", stays.needs_client(&managed[0])),
        });
    }

    #[test]
    fn every_site_that_serves_it_is_taken_over() {
        check(managed("a.test", Some(1)), expect!["a.test {}"]);
        check(
            managed("b.test c.test", Some(2)),
            expect!["b.test {}, c.test {}"],
        );
    }

    #[test]
    fn a_site_that_clpctl_renewed_since_is_still_taken_over() {
        check(managed("a.test www.a.test", Some(9)), expect!["a.test {}"]);
        check(
            managed("www.a.test", Some(9)),
            expect!["no site of nginx serves its certificate (needed: true)"],
        );
    }

    #[test]
    fn what_differs_is_kept() {
        let other = Managed {
            ca: Some(Ca("https://ca.test/directory".into())),
            key_type: Some(KeyType::Rsa4096),
            profile: Some("shortlived".into()),
            before_expiry: Some(jiff::SignedDuration::from_hours(20 * 24)),
            ..managed("a.test", Some(1))
        };
        check(
            other,
            expect![[
                r#"a.test {"directory":"https://ca.test/directory","key_type":"rsa-4096","profile":"shortlived","before_expiry_days":20}"#
            ]],
        );
        let staging = Ca("https://acme-staging-v02.api.letsencrypt.org/directory".into());
        let staging = Managed {
            ca: Some(staging),
            ..managed("a.test", Some(1))
        };
        check(staging, expect!["a.test {}"]);
    }

    #[test]
    fn what_clpctl_does_not_serve_or_cannot_renew_stays() {
        check(
            managed("mail.test", Some(9)),
            expect!["no site of nginx serves its certificate (needed: true)"],
        );
        check(
            managed("a.test", None),
            expect!["its certificate cannot be read (needed: false)"],
        );
        let dns = Managed {
            proof: Proof::Other("dns-cloudflare".into()),
            ..managed("a.test", Some(1))
        };
        check(
            dns,
            expect![
                "control over its names is proved by dns-cloudflare, and clpctl proves it over HTTP alone (needed: true)"
            ],
        );
        check(
            managed("a.test *.a.test", Some(1)),
            expect![
                "*.a.test is a wildcard, which a CA gives for a DNS record alone (needed: true)"
            ],
        );
        let off = Managed {
            renews: false,
            ..managed("mail.test", Some(9))
        };
        check(
            off,
            expect!["no site of nginx serves its certificate (needed: false)"],
        );
    }
}
