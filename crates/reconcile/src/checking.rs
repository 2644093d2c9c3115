//! Would the CA's question be answered? Looked at before the CA is asked for anything.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use renewal::challenge::{Probe, Way, ways, ways_without_nginx};
use renewal::finding::{Finding, FindingName};
use renewal::ports::{Host as _, Preflight as _};
use renewal::site::Site;

use crate::world::World;

/// What was found out about a site.
#[derive(Clone, Debug)]
pub(crate) enum Checked {
    /// Challenges can be answered by this way: a probe came through.
    Works(Way),
    /// None works yet; the line could be inserted. Holds what the other ways stumbled over.
    NeedsLine(Vec<Finding>),
    /// None works; holds why, the cause first.
    Hopeless(Vec<Finding>),
}

/// Who could answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Possible {
    /// nginx, or a listener of ours beside it.
    ByNginx {
        /// False while our line is known not to help.
        line_may_help: bool,
    },
    /// No nginx runs.
    WithoutNginx,
}

/// Finds the first way by which a probe comes through for every wanted name.
pub(crate) async fn check<W: World>(
    world: &W,
    site: &Site,
    thumbprint: &str,
    possible: Possible,
) -> Checked {
    let settings = world.settings();
    let port = settings.http_port;
    let mut stumbled: Vec<Finding> = Vec::new();
    let ways = match possible {
        Possible::ByNginx { line_may_help } => {
            ways(site, port, thumbprint, settings.edit && line_may_help)
        }
        Possible::WithoutNginx => ways_without_nginx(site, port),
    };
    for way in ways.iter().copied() {
        if way == Way::InsertStateless && !stumbled.is_empty() {
            break;
        }
        // Before the line is in, the probe for it shows at least whether requests arrive.
        match probe(world, site, way, thumbprint).await {
            Ok(()) if way == Way::InsertStateless => return Checked::Works(Way::Stateless),
            Ok(()) => return Checked::Works(way),
            // The first way is the one people set up: what stops it is the cause.
            Err(findings) if stumbled.is_empty() => stumbled = findings,
            Err(_) => {}
        }
    }
    if ways.contains(&Way::InsertStateless)
        && stumbled.iter().all(|finding| finding.name.line_may_cure())
    {
        return Checked::NeedsLine(stumbled);
    }
    if ways.is_empty() {
        // Nothing of ours answers; what the CA would see all the same is the cause.
        let seen = probe(world, site, Way::InsertStateless, thumbprint).await;
        stumbled = seen.err().unwrap_or_default();
        stumbled.push(no_way(site, port));
    }
    Checked::Hopeless(stumbled)
}

/// Fetches a probe for every wanted name, as the CA would, with the answer made available by `way`.
///
/// # Errors
///
/// What the CA would stumble over, the cause first.
pub(crate) async fn probe<W: World>(
    world: &W,
    site: &Site,
    way: Way,
    thumbprint: &str,
) -> Result<(), Vec<Finding>> {
    // Made before the stream is: a closure inside it would have to work for every lifetime.
    let probes: Vec<_> = site
        .wanted
        .iter()
        .map(|name| async move {
            let token = probe_token(name.as_str());
            let expected = format!("{token}.{thumbprint}");
            if let Err(error) = world.host().present(site, way, &token, &expected).await {
                return Err(vec![error.0]);
            }
            let probe = Probe {
                name: name.clone(),
                token,
                expected,
            };
            let reached = world.preflight().probe(&probe).await;
            world.host().withdraw(site, way, &probe.token).await;
            reached.map(|_| ())
        })
        .collect();
    let results: Vec<_> = futures_util::stream::iter(probes)
        .buffer_unordered(PROBES_AT_ONCE)
        .collect()
        .await;
    let findings: Vec<Finding> = results
        .into_iter()
        .filter_map(Result::err)
        .flatten()
        .collect();
    if findings.is_empty() {
        Ok(())
    } else {
        Err(findings)
    }
}

/// Makes a token that no CA and no other probe uses.
///
/// It need not be unguessable: it proves nothing to anyone but us.
fn probe_token(name: &str) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    let name: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
        .collect();
    format!("clpctl-probe-{}-{count}-{}", std::process::id(), name)
}

fn no_way(site: &Site, port: u16) -> Finding {
    let place = site
        .vhost()
        .map_or_else(String::new, |place| format!(" ({place})"));
    Finding::new(
        FindingName::ChallengeNotFound,
        format!("no way of answering the CA is open for {}", site.domain()),
    )
    .detail(format!(
        "the vhost{place} has no folder from which nginx would serve a challenge on port {port}, and may not be edited"
    ))
    .fix("set nginx.edit = true, or give the server block that listens on port 80 a root")
}

/// Names of one site that are looked at at once.
const PROBES_AT_ONCE: usize = 8;
