//! `site:install:certificate`: serves a certificate that was made elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use reconcile::by_hand::ByHand;
use reconcile::world::World as _;
use renewal::acceptance::{Candidate, Rejection, accept};
use renewal::choice::How;
use renewal::name::Name;
use renewal::ports::{Host as _, Issued};
use renewal::report::Report;
use x509::bundle::{Bundle, BundleError, Source};

use super::by_hand::{begin, not_done, tell, unchanged, with_world};
use crate::arguments::site_name;
use crate::commands::Session;
use crate::commands::renew::could_not_begin;
use crate::config::Config;
use crate::errors::CommandError;
use crate::wire::{Access, Wiring};

/// The options of `site:install:certificate`; their spelling is CloudPanel's.
#[derive(Args, Clone, Debug)]
#[command(
    after_help = "The files may hold key and certificates in any order, and all may be one and the same file. What is\n\
    installed is watched: its end is told in good time, and it is renewed only when somebody asks for it, with\n\
    site:renew-certificates --domain=… --force or lets-encrypt:install:certificate.\n\n\
    Examples:\n  \
    clpctl site:install:certificate --domainName=www.example.com --privateKey=private.key --certificate=certificate.crt --certificateChain=chain.crt\n  \
    clpctl site:install:certificate --domainName=www.example.com --privateKey=all.pem --certificate=all.pem"
)]
pub struct Arguments {
    /// The site
    #[arg(long = "domainName", visible_alias = "domain", value_name = "DOMAIN", value_parser = site_name)]
    pub domain: Name,
    /// The file of the private key
    #[arg(long = "privateKey", value_name = "FILE")]
    pub private_key: PathBuf,
    /// The file of the certificate; the chain may stand in it too
    #[arg(long, value_name = "FILE")]
    pub certificate: PathBuf,
    /// The file of the certificates of its issuers
    #[arg(long = "certificateChain", value_name = "FILE")]
    pub chain: Option<PathBuf>,
    /// Wait while another run is at work, instead of giving up
    #[arg(long)]
    pub wait: bool,
}

/// Installs the certificate.
///
/// # Errors
///
/// Says which check failed; then nothing was changed.
pub fn run(session: &Session, config: &Config, arguments: &Arguments) -> Result<u8, CommandError> {
    let bundle = read(arguments)?;
    if bundle.left_out > 0 {
        session.console.say(&format!(
            "{} of the certificates belong to no link of the chain and were left out.",
            bundle.left_out
        ));
    }
    let report = with_world(
        session,
        config,
        COMMAND,
        Access::Change,
        async |world, stop| {
            let by_hand = begin(&world, &arguments.domain, arguments.wait, &stop).await?;
            install(&world, by_hand, &bundle).await
        },
    )?;
    tell(session, COMMAND, &report)
}

async fn install(
    world: &Arc<Wiring>,
    by_hand: ByHand<Wiring>,
    bundle: &Bundle,
) -> Result<Report, CommandError> {
    let host = world.host();
    let refused = |failure| not_done(NOT_INSTALLED, &failure);
    let now = world.clock().now();
    let site = by_hand.site();
    let key = x509::key::public_fingerprint(bundle.chain.leaf_der())
        .map_err(|error| CommandError::mend(unchanged(NOT_INSTALLED)).because(&error))?;
    if host.burnt_keys().map_err(refused)?.contains(&key) {
        return Err(CommandError::mend(unchanged(NOT_INSTALLED))
            .cause("its private key was revoked here as compromised, and is never used again")
            .hint("have the certificate made anew with another key"));
    }
    let candidate = Candidate {
        certificate: &bundle.chain.leaf,
        key_fits: true,
        chain_fault: bundle.chain.fault_with(world.roots()),
    };
    let current = site.current.as_ref();
    let current = current.map(|current| &*current.certificate);
    let again = current.is_some_and(|current| current.sha256 == bundle.chain.leaf.sha256);
    accept(&candidate, &site.wanted, current.filter(|_| !again), now).map_err(rejected)?;
    let issued = Issued {
        chains: vec![bundle.chain.pem()],
    };
    let staged = host.stage(site, &bundle.key, &issued, now).await;
    let staged = staged.map_err(refused)?;
    let newest = staged.version;
    let served = by_hand.serve(How::Imported, &staged, newest).await;
    served.map_err(could_not_begin)
}

fn read(arguments: &Arguments) -> Result<Bundle, CommandError> {
    let files = [
        Some(("--privateKey", &arguments.private_key)),
        Some(("--certificate", &arguments.certificate)),
        arguments
            .chain
            .as_ref()
            .map(|path| ("--certificateChain", path)),
    ];
    let mut texts = Vec::new();
    for (option, path) in files.into_iter().flatten() {
        texts.push((path.display().to_string(), read_file(option, path)?));
    }
    let sources: Vec<Source<'_>> = texts
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    Bundle::read(&sources).map_err(|error| {
        let made = CommandError::mend(unchanged(NOT_INSTALLED)).because(&error);
        match error {
            BundleError::KeyDoesNotFit(_) => {
                made.hint("give the key with which this certificate was asked for")
            }
            _ => made,
        }
    })
}

fn read_file(option: &str, path: &Path) -> Result<Vec<u8>, CommandError> {
    let unreadable = |cause: &std::io::Error| {
        CommandError::file(
            format!(
                "{option}: {} cannot be read, so nothing was done.",
                path.display()
            ),
            cause,
        )
    };
    let length = std::fs::metadata(path)
        .map_err(|cause| unreadable(&cause))?
        .len();
    if length > FILE_BYTES_MAX {
        return Err(CommandError::mend(format!(
            "{option}: {} has {length} bytes, and no key or chain has so many, so nothing was done.",
            path.display()
        )));
    }
    std::fs::read(path).map_err(|cause| unreadable(&cause))
}

fn rejected(rejection: Rejection) -> CommandError {
    let made = CommandError::mend(unchanged(NOT_INSTALLED)).because(&rejection);
    match rejection {
        Rejection::Chain(_) => made.hint(
            "give the certificates of its issuers with --certificateChain; its CA offers them",
        ),
        Rejection::NameNotCovered(name) => made.hint(format!(
            "have it made for {name} too, or take the name out of the site's vhost and [[site]]"
        )),
        Rejection::Older { .. } => made.hint(
            "an earlier certificate of this site is served again by site:rollback-certificate",
        ),
        _ => made,
    }
}

const COMMAND: &str = "site:install:certificate";

const NOT_INSTALLED: &str = "The certificate was not installed";

/// A chain of ten RSA-4096 certificates has a fifth of this.
const FILE_BYTES_MAX: u64 = 128 * 1024;
