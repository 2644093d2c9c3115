//! `site:revoke-certificate`: takes a certificate back at its CA, once another one is served.
//!
//! A revoked certificate that is served frightens visitors away, so the replacement comes first, and nothing is revoked
//! when there is none. A key that somebody else may have is burnt from the moment that somebody says so.
//!
//! When the CA cannot be asked after the replacement, the revocation stays wanted: the same command takes it up, and
//! replaces nothing a second time.

use std::collections::HashSet;
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use reconcile::pass::{self, Request};
use reconcile::world::{Stop, World as _};
use renewal::certificate::{Certificate, Fingerprint};
use renewal::choice::Decided;
use renewal::name::Name;
use renewal::plan::Wish;
use renewal::ports::{HistoryEntry, Host as _, Memory as _, Note};
use renewal::report::{Outcome, Report};
use renewal::revocation::{RevocationReason, Revoked};
use renewal::secret::Secret;
use renewal::site::Site;
use rustls::pki_types::CertificateDer;
use serde_json::json;

use super::by_hand::{begin, not_done, with_world};
use crate::arguments::site_name;
use crate::commands::Session;
use crate::commands::renew::could_not_begin;
use crate::config::Config;
use crate::console::GOOD;
use crate::errors::CommandError;
use crate::output::document::ReportDocument;
use crate::output::report::{Manner, to_text};
use crate::output::verdict::exit_code;
use crate::wire::{Access, Wiring};

/// The options of `site:revoke-certificate`.
#[derive(Args, Clone, Debug)]
#[command(
    // --version is a version of the lineage here.
    disable_version_flag = true,
    after_help = "The site gets another certificate with another key first; nothing is revoked unless that one is served.\n\
    With the reason keyCompromise the key is never used again on this host.\n\n\
    Examples:\n  \
    clpctl site:revoke-certificate --domain=example.com --reason=keyCompromise\n  \
    clpctl site:revoke-certificate --domain=example.com --version=2 --reason=superseded"
)]
pub struct Arguments {
    /// The site, by any of its names
    #[arg(long, visible_alias = "domainName", value_name = "DOMAIN", value_parser = site_name)]
    pub domain: Name,
    /// Why: unspecified, keyCompromise, superseded or cessationOfOperation
    #[arg(long, value_name = "REASON", default_value = "unspecified")]
    pub reason: RevocationReason,
    /// Revoke this version of the lineage [default: the one that is served]
    #[arg(long, value_name = "N")]
    pub version: Option<u32>,
    /// Wait while another run is at work, instead of giving up
    #[arg(long)]
    pub wait: bool,
}

/// The certificate that is to be revoked.
struct Target {
    domain: Name,
    lineage: String,
    ca: renewal::policy::Ca,
    certificate: Certificate,
    der: CertificateDer<'static>,
    key: Option<Secret>,
    public_key: Fingerprint,
    /// Whether it is what the site serves, so that another one has to come first.
    served: bool,
    decided: Decided,
}

/// Replaces and revokes.
///
/// # Errors
///
/// Says what stood in the way. After a failure of the CA the replacement is served already.
pub fn run(session: &Session, config: &Config, arguments: &Arguments) -> Result<u8, CommandError> {
    let (target, replaced, code) = with_world(
        session,
        config,
        COMMAND,
        Access::Change,
        async |world, stop| {
            let target = find(&world, arguments, &stop).await?;
            if burns(arguments.reason) {
                // From now on, whatever comes of the rest.
                remember(&world, &target, arguments.reason, None).await?;
            }
            let mut replaced = None;
            if target.served {
                let report = replace(&world, &target, arguments, &stop).await?;
                let code = exit_code(&report);
                let in_place = is_replaced(&report);
                replaced = Some(report);
                if !in_place {
                    return Ok((target, replaced, code.max(1)));
                }
            }
            revoke(&world, &target, arguments.reason).await?;
            Ok((target, replaced, 0))
        },
    )?;
    tell(session, arguments, &target, replaced.as_ref(), code)
}

/// Finds what is to be revoked: what was asked for, what an earlier call left unfinished, else what is served.
async fn find(
    world: &Arc<Wiring>,
    arguments: &Arguments,
    stop: &Stop,
) -> Result<Target, CommandError> {
    let by_hand = begin(world, &arguments.domain, arguments.wait, stop).await?;
    let site = by_hand.site();
    let decided = world.host().decided(&site.lineage).await;
    let decided = decided.map_err(|failure| not_done(NOT_REVOKED, &failure))?;
    let current = site.current.as_ref();
    let served = current.map(|current| current.certificate.sha256);
    let version = arguments
        .version
        .or_else(|| unfinished(world, site, &decided, served))
        .or_else(|| current.and_then(|current| current.version));
    let unreadable = |why: String| CommandError::mend(NOT_REVOKED_NOTHING_DONE).cause(why);
    let (chain, key) = match version {
        Some(version) => {
            let member = world.host().member(&site.lineage, version);
            let member = member.map_err(unreadable)?;
            (member.chain, Some(member.key))
        }
        None => foreign(site)?,
    };
    let certificate = chain.leaf.clone();
    if certificate.self_signed {
        return Err(CommandError::mend(NOT_REVOKED_NOTHING_DONE)
            .cause("it is self-signed, so there is no CA that could take it back"));
    }
    let der = chain.leaf_der().clone();
    let public_key =
        x509::key::public_fingerprint(&der).map_err(|error| unreadable(error.to_string()))?;
    Ok(Target {
        domain: site.domain().clone(),
        lineage: site.lineage.clone(),
        ca: site.policy.ca.clone(),
        served: served == Some(certificate.sha256),
        certificate,
        der,
        key,
        public_key,
        decided,
    })
}

/// Returns the version whose revocation is still wanted although another certificate is served already.
fn unfinished(
    world: &Wiring,
    site: &Site,
    decided: &Decided,
    served: Option<Fingerprint>,
) -> Option<u32> {
    let wanted = |leaf| {
        let known = decided.revoked(leaf);
        served != Some(leaf) && known.is_some_and(|revoked| revoked.done_at.is_none())
    };
    let versions = world.host().versions(&site.lineage).ok()?;
    let mut numbers = versions.iter().filter_map(|version| {
        let facts = version.state.as_ref().ok()?;
        wanted(facts.certificate.sha256).then_some(version.number)
    });
    numbers.next()
}

/// Reads the certificate of a site whose vhost names files that are no lineage's.
fn foreign(site: &Site) -> Result<(x509::chain::Chain, Option<Secret>), CommandError> {
    let nothing = || CommandError::mend(NOT_REVOKED_NOTHING_DONE);
    let current = site
        .current
        .as_ref()
        .ok_or_else(|| nothing().cause("the site has no certificate"))?;
    let text = std::fs::read(&current.path).map_err(|cause| nothing().because(&cause))?;
    let chain = x509::chain::Chain::read(&text).map_err(|error| nothing().because(&error))?;
    let pairs = site
        .servers
        .iter()
        .filter_map(|server| server.pair.as_ref());
    let key = pairs
        .filter(|pair| pair.certificate == current.path)
        .find_map(|pair| std::fs::read_to_string(&pair.key).ok());
    Ok((chain, key.map(Secret::new)))
}

/// Gets the site another certificate.
async fn replace(
    world: &Arc<Wiring>,
    target: &Target,
    arguments: &Arguments,
    stop: &Stop,
) -> Result<Report, CommandError> {
    let request = Request {
        wish: Wish {
            only: Some(HashSet::from([target.domain.clone()])),
            force: true,
            first: true,
        },
        dry_run: false,
        wait: arguments.wait,
    };
    let pass = pass::run(world, &request, stop).await;
    Ok(pass.map_err(could_not_begin)?.report)
}

/// Says whether another certificate was seen on every address.
fn is_replaced(report: &Report) -> bool {
    let replaced = |outcome| matches!(outcome, Outcome::Issued | Outcome::Renewed);
    report
        .sites
        .iter()
        .all(|site| replaced(site.outcome) && site.served.iter().all(|served| served.ok))
        && !report.sites.is_empty()
}

async fn revoke(
    world: &Arc<Wiring>,
    target: &Target,
    reason: RevocationReason,
) -> Result<(), CommandError> {
    remember(world, target, reason, None).await?;
    let asked = world
        .authority()
        .revoke(&target.ca, &target.der, target.key.as_ref(), reason)
        .await;
    if let Err(failure) = asked {
        let what = if target.served {
            "The site serves another certificate, but the CA did not revoke the old one."
        } else {
            "The CA did not revoke the certificate."
        };
        let mut error = CommandError::from(failure).hint(format!(
            "once that is mended, the same command goes on with it: clpctl {COMMAND} --domain={} --reason={reason}",
            target.domain
        ));
        what.clone_into(&mut error.error);
        return Err(error);
    }
    let now = world.clock().now();
    remember(world, target, reason, Some(now)).await?;
    let entry = HistoryEntry {
        at: now,
        domain: Some(target.domain.clone()),
        what: "revoked".to_owned(),
        detail: format!("serial {}, {reason}", target.certificate.serial),
    };
    Ok(world.memory().note(&[Note::History(&entry)])?)
}

/// Writes down how far the revocation is.
async fn remember(
    world: &Arc<Wiring>,
    target: &Target,
    reason: RevocationReason,
    done_at: Option<Timestamp>,
) -> Result<(), CommandError> {
    let leaf = target.certificate.sha256;
    let mut decided = target.decided.clone();
    let before = decided.revoked(leaf).cloned();
    decided.revoked.retain(|revoked| revoked.leaf != leaf);
    // Nothing makes a burnt key good again, whatever reason is given later.
    let burnt = before.as_ref().filter(|before| before.burns_key());
    decided.revoked.push(Revoked {
        leaf,
        key: target.public_key,
        reason: burnt.map_or(reason, |before| before.reason),
        wanted_at: before.map_or_else(|| world.clock().now(), |before| before.wanted_at),
        done_at,
    });
    let written = world.host().decide(&target.lineage, &decided).await;
    written.map_err(|failure| not_done(NOT_REVOKED, &failure))
}

fn burns(reason: RevocationReason) -> bool {
    reason == RevocationReason::KeyCompromise
}

fn tell(
    session: &Session,
    arguments: &Arguments,
    target: &Target,
    replaced: Option<&Report>,
    code: u8,
) -> Result<u8, CommandError> {
    let console = &session.console;
    let certificate = &target.certificate;
    if console.json {
        console.document(&json!({
            "command": COMMAND,
            "domain": target.domain,
            "reason": arguments.reason.as_str(),
            "revoked": code == 0,
            "serial": certificate.serial,
            "sha256": certificate.sha256,
            "replacement": replaced.map(|report| ReportDocument::new(COMMAND, report)),
        }))?;
        return Ok(code);
    }
    let width = console.width;
    if let Some(report) = replaced {
        console.result(&to_text(report, Manner { all: true, width }))?;
    }
    let serial = &certificate.serial;
    console.result(&if code == 0 {
        format!(
            "{GOOD}revoked{GOOD:#}  The certificate with serial {serial} ({}).\n",
            arguments.reason
        )
    } else {
        "Nothing was revoked, for no other certificate is served yet.\n".to_owned()
    })?;
    Ok(code)
}

const COMMAND: &str = "site:revoke-certificate";

const NOT_REVOKED: &str = "The certificate was not revoked";

const NOT_REVOKED_NOTHING_DONE: &str = "The certificate was not revoked, and nothing was done.";
