//! `site:renew-certificates` and the `lets-encrypt:` commands.

use std::sync::Arc;

use reconcile::pass::{self, Request, RunError};
use reconcile::world::{Ending, Stop, World as _};
use renewal::name::Name;
use renewal::names::Names;
use renewal::plan::Wish;
use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{InstallCertificate, RenewCertificates};
use crate::commands::{Session, find_site, runtime};
use crate::config::Config;
use crate::errors::CommandError;
use crate::nearest::nearest;
use crate::output::document::ReportDocument;
use crate::output::report::{Manner, to_text};
use crate::output::verdict::exit_code;
use crate::wire::{Access, Wiring};

/// Renews what is due.
///
/// # Errors
///
/// When the run could not begin.
pub fn renew(
    session: &Session,
    config: &Config,
    command: &str,
    arguments: &RenewCertificates,
) -> Result<u8, CommandError> {
    let named = !arguments.domains.is_empty();
    let request = Request {
        wish: Wish {
            only: named.then(|| arguments.domains.iter().cloned().collect()),
            force: arguments.force,
            first: false,
        },
        dry_run: arguments.dry_run,
        wait: arguments.wait,
    };
    run(session, config, command, &request, None)
}

/// Obtains the first certificate of a site.
///
/// # Errors
///
/// When the run could not begin.
pub fn install(
    session: &Session,
    config: &Config,
    arguments: &InstallCertificate,
) -> Result<u8, CommandError> {
    let names = with_more_names(session, config, arguments)?;
    let request = Request {
        wish: Wish {
            only: Some([arguments.domain.clone()].into()),
            force: false,
            first: true,
        },
        dry_run: false,
        wait: arguments.wait,
    };
    run(
        session,
        config,
        "lets-encrypt:install:certificate",
        &request,
        names.as_ref(),
    )
}

/// Returns the names that were given and those of the certificate that the site has; `None` when none were given.
///
/// Names are only ever added: a certificate for fewer names would leave visitors of the others with a warning.
fn with_more_names(
    session: &Session,
    config: &Config,
    arguments: &InstallCertificate,
) -> Result<Option<Names>, CommandError> {
    if arguments.names.is_empty() {
        return Ok(None);
    }
    let look = crate::wire::look(config, session.clock)?;
    let site = find_site(&look, &arguments.domain)?;
    let given = std::iter::once(&arguments.domain).chain(&arguments.names);
    let present = site
        .current
        .as_ref()
        .filter(|current| !current.certificate.self_signed);
    let kept = present.map_or(&[][..], |_| site.wanted.as_slice());
    Ok(Names::new(kept.iter().chain(given).cloned()))
}

fn run(
    session: &Session,
    config: &Config,
    command: &str,
    request: &Request,
    names: Option<&Names>,
) -> Result<u8, CommandError> {
    let access = if request.dry_run {
        Access::Look
    } else {
        Access::Change
    };
    if access == Access::Change {
        session.start_logs(config);
    }
    let world = Arc::new(Wiring::new(session, config, command, access, names)?);
    let done = runtime()?.block_on(async {
        let (sender, stop) = Stop::channel();
        tokio::spawn(stop_on_signal(sender));
        pass::run(&world, request, &stop).await
    });
    let pass = done.map_err(could_not_begin)?;
    let report = &pass.report;
    let console = &session.console;
    let code = exit_code(report);
    if console.json {
        console.document(&ReportDocument::new(command, report))?;
    } else if !console.quiet || code != 0 {
        let all = request.wish.only.is_some() || request.dry_run || console.verbose;
        console.result(&to_text(
            report,
            Manner {
                all,
                width: console.width,
            },
        ))?;
    }
    // The process ends now. Giving back what was seen of ten thousand sites, piece by piece, would only cost time.
    std::mem::forget((pass, world.host().configuration()));
    Ok(code)
}

/// Wishes for the end when the terminal or the system does; at a second signal orders are broken off at once.
pub(super) async fn stop_on_signal(sender: tokio::sync::watch::Sender<Ending>) {
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
    );
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        // Without handlers the default stands: the signal ends the process, and the next run finishes its work.
        std::future::pending::<()>().await;
        return;
    };
    for ending in [Ending::Soon, Ending::Now] {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        match ending {
            Ending::Now => tracing::info!("asked again to end; orders in flight are broken off"),
            Ending::NotWished | Ending::Soon => {
                tracing::info!(
                    "asked to end; orders in flight have some seconds to come to theirs"
                );
            }
        }
        // Everyone may be gone already.
        let _ = sender.send(ending);
    }
    // Kept, or nobody could be told any more.
    sender.closed().await;
}

pub(super) fn could_not_begin(error: RunError) -> CommandError {
    match error {
        RunError::Lease(held) => held.into(),
        RunError::Host(failure) => failure.into(),
        RunError::Memory(failure) => failure.into(),
        RunError::NoSuchSite {
            name,
            known,
            unread,
        } => {
            if let Some(finding) = unread.first() {
                // It may well be there.
                let hidden = CommandError::mend(format!(
                    "No site {name} was seen on this host, but not all of nginx's configuration could be read, so \
                     nothing was done."
                ));
                return hidden
                    .cause(finding.detail.clone())
                    .hint(finding.fix.clone())
                    .finding(finding.name);
            }
            let error = CommandError::usage(format!(
                "There is no site {name} on this host, so nothing was done."
            ));
            match nearest(name.as_str(), known.iter().map(Name::as_str)) {
                Some(near) => error.hint(format!("did you mean {near}?")),
                None => error,
            }
            .hint("clpctl site:list lists the sites")
        }
        other => CommandError::defect("The run ended otherwise than it can.").because(&other),
    }
}
