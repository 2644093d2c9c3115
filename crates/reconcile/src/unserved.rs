//! Does nginx serve what the panel wrote, though nothing is due?
//!
//! The panel reloads nginx in the background and looks at nothing: a reload that nginx refused leaves visitors with the
//! certificate of before, until that ends. To look at each site would cost a handshake each in every run. But whatever
//! was there when nginx took up its configuration is what it serves, so only files that are younger are looked at; for
//! the others `site:show` and `site:doctor` look.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use renewal::finding::{Finding, FindingName};
use renewal::plan::Wish;
use renewal::ports::{Clock as _, Host as _};
use renewal::site::{Current, Site};

use crate::world::World;

/// Returns what is to be said of the panel's sites that the wish is about, each with its place in the list.
pub(crate) async fn find<W: World>(
    world: &W,
    sites: &[Arc<Site>],
    wish: &Wish,
) -> Vec<(usize, Finding)> {
    let all = sites.iter().enumerate();
    let asked: Vec<(usize, &Site, &Current)> = all
        .filter(|(_, site)| site.panel.site().is_some() && wish.includes(site.domain()))
        .filter_map(|(place, site)| Some((place, &**site, site.current.as_ref()?)))
        // A pair that does not fit would not be served, and is said as such.
        .filter(|(_, _, current)| current.key_fits)
        .collect();
    let files: Vec<&Path> = asked.iter().map(|(_, _, current)| &*current.path).collect();
    let now = world.clock().now();
    let younger = world.host().changed_since_reload(&files, now).await;
    let looks: Vec<_> =
        asked
            .iter()
            .zip(younger)
            .filter_map(|(asked, younger)| younger.then_some(*asked))
            .map(|(place, site, current)| async move {
                Some((place, look(world, site, current).await?))
            })
            .collect();
    let mut looks = futures_util::stream::iter(looks).buffered(AT_ONCE);
    let mut found = Vec::new();
    while let Some(one) = looks.next().await {
        found.extend(one);
    }
    found
}

/// Looks at one site; a finding when another certificate is served than the file holds.
async fn look<W: World>(world: &W, site: &Site, current: &Current) -> Option<Finding> {
    let expected = Some(current.certificate.sha256);
    let served = world.host().served(site, expected, Duration::ZERO).await;
    let other = served
        .iter()
        .find(|served| !served.ok && served.sha256.is_some())?;
    let by = other.answered_by.as_ref();
    let by = by.map_or_else(String::new, |block| format!(", from {block}"));
    Some(
        Finding::new(
            FindingName::CertificateNotServed,
            format!(
                "The certificate of {} was replaced on disk, and nginx was not reloaded since.",
                site.domain()
            ),
        )
        .detail(format!(
            "{} serves the certificate {}{by}; {} holds {}",
            other.address,
            other.sha256?,
            current.path.display(),
            current.certificate.sha256
        ))
        .fix("Let nginx take it up: nginx -t && systemctl reload nginx. If nginx refuses, mend the line that it names."),
    )
}

/// Each is a handshake with our own nginx.
const AT_ONCE: usize = 16;
