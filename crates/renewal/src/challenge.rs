//! By which ways can HTTP-01 be answered for a site, and which is tried first?
//!
//! | way | works when | costs |
//! | --- | --- | --- |
//! | stateless | our line stands first in every block that answers port 80 for the site | nothing: no file, no reload |
//! | webroot | nginx would serve a file from below the document root | a file per name |
//! | standalone | nothing listens on the port | a listener while orders run |
//! | stateless, after inserting the line | the vhost may be edited | one reload for all sites that need it |

use std::net::SocketAddr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::finding::{Finding, FindingName, Severity};
use crate::policy::Http01Mode;
use crate::site::{Server, Site, Source};

/// A way to answer HTTP-01 challenges (RFC 8555 section 8.3).
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Way {
    /// nginx computes the answer from a line in the vhost.
    Stateless,
    /// nginx serves a file of ours.
    Webroot,
    /// A listener of ours answers.
    Standalone,
    /// As [`Way::Stateless`], once the line has been inserted.
    InsertStateless,
}

impl Way {
    /// Returns the word people read.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stateless => "stateless",
            Self::Webroot => "webroot",
            Self::Standalone => "standalone",
            Self::InsertStateless => "stateless, once its line is in the vhost",
        }
    }
}

/// Lists the ways that could work for `site`, the one to try first at the front.
///
/// `port` is where the CA knocks; `thumbprint` is our account's (RFC 7638), with which a stateless line must
/// agree; `edit` says whether vhosts may be edited.
#[must_use]
pub fn ways(site: &Site, port: u16, thumbprint: &str, edit: bool) -> Vec<Way> {
    let answering: Vec<&Server> = site
        .servers
        .iter()
        .map(AsRef::as_ref)
        .filter(|server| listens_on(server, port))
        .collect();
    let prepared = !answering.is_empty()
        && answering
            .iter()
            .all(|server| server.stateless.as_deref() == Some(thumbprint));
    let possible = |way: Way| match way {
        Way::Stateless => prepared,
        Way::Webroot => site
            .servers
            .iter()
            .any(|server| server.challenge_folder.is_some()),
        Way::Standalone => answering.is_empty(),
        Way::InsertStateless => edit && !answering.is_empty() && !prepared,
    };
    let order: &[Way] = match site.policy.http01 {
        Http01Mode::Auto => &[
            Way::Stateless,
            Way::Webroot,
            Way::Standalone,
            Way::InsertStateless,
        ],
        Http01Mode::Stateless => &[Way::Stateless, Way::InsertStateless],
        Http01Mode::Webroot => &[Way::Webroot],
        Http01Mode::Standalone => &[Way::Standalone],
    };
    order.iter().copied().filter(|way| possible(*way)).collect()
}

/// Lists the ways that could work for `site` while no nginx runs.
///
/// Our own listener would be in the way of an nginx that is started meanwhile, so it takes the port only for sites
/// that are set to it, or whose vhost leaves the port alone.
#[must_use]
pub fn ways_without_nginx(site: &Site, port: u16) -> Vec<Way> {
    let standalone = match site.policy.http01 {
        Http01Mode::Standalone => true,
        Http01Mode::Auto => !site.servers.iter().any(|server| listens_on(server, port)),
        Http01Mode::Stateless | Http01Mode::Webroot => false,
    };
    standalone.then_some(Way::Standalone).into_iter().collect()
}

/// Says that our line, without which the site's challenges were not answered, is not in its vhost any more.
///
/// `line_at` is when it was put there; `edit` says whether the next renewal may put it there again.
#[must_use]
pub fn line_lost(site: &Site, line_at: Option<Timestamp>, edit: bool) -> Option<Finding> {
    let at = line_at?;
    if site.servers.iter().any(|server| server.stateless.is_some()) {
        return None;
    }
    let who = match site.source {
        Source::Cloudpanel => "CloudPanel",
        Source::Nginx => "Somebody",
    };
    let place = site
        .vhost()
        .map_or_else(String::new, |place| format!("{place}: "));
    let fix = if edit {
        "Nothing: where challenges are still not answered without it, the next renewal puts it there again."
    } else {
        "Allow clpctl to put it there again (edit = true in the table [nginx]), or change what stops the challenge: clpctl site:doctor names it."
    };
    Some(
        Finding::new(
            FindingName::VhostChanged,
            format!(
                "{who} has written the vhost anew, and clpctl's challenge line is gone from it."
            ),
        )
        .severity(Severity::Warning)
        .detail(format!(
            "{place}the line was put there on {at}, for challenges were not answered without it"
        ))
        .fix(fix),
    )
}

/// Says whether the block answers plain HTTP on `port`.
#[must_use]
pub fn listens_on(server: &Server, port: u16) -> bool {
    server
        .listens
        .iter()
        .any(|listen| listen.address.port() == port && !listen.tls && !listen.quic)
}

/// One probe: what the CA would fetch for `name`, and what it must get.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Probe {
    /// The name to fetch from.
    pub name: crate::name::Name,
    /// The random token in the path.
    pub token: String,
    /// The body that must come back.
    pub expected: String,
}

/// One address at which a probe got its answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reached {
    /// The name.
    pub name: crate::name::Name,
    /// The address from DNS.
    pub address: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::line_lost;
    use crate::name::Name;
    use crate::names::Names;
    use crate::policy::EditVhosts;
    use crate::site::{Site, Source};
    use expect_test::{Expect, expect};

    fn check(source: Source, edit: EditVhosts, expect: Expect) {
        let site = Site {
            source,
            ..Site::new(Names::from(Name::parse("a.test").unwrap()))
        };
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        assert_eq!(line_lost(&site, None, true), None);
        let finding = line_lost(&site, Some(at), edit.allows(&site)).unwrap();
        expect.assert_eq(&format!("{}\n{}", finding.explanation, finding.fix));
    }

    #[test]
    fn a_line_that_somebody_took_away_is_noticed() {
        check(
            Source::Cloudpanel,
            EditVhosts::NotThePanels,
            expect![[r#"
            CloudPanel has written the vhost anew, and clpctl's challenge line is gone from it.
            Allow clpctl to put it there again (edit = true in the table [nginx]), or change what stops the challenge: clpctl site:doctor names it."#]],
        );
        check(
            Source::Nginx,
            EditVhosts::NotThePanels,
            expect![[r#"
            Somebody has written the vhost anew, and clpctl's challenge line is gone from it.
            Nothing: where challenges are still not answered without it, the next renewal puts it there again."#]],
        );
        check(
            Source::Nginx,
            EditVhosts::None,
            expect![[r#"
            Somebody has written the vhost anew, and clpctl's challenge line is gone from it.
            Allow clpctl to put it there again (edit = true in the table [nginx]), or change what stops the challenge: clpctl site:doctor names it."#]],
        );
    }
}
