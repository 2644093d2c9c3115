//! Would the CA's question be answered? Looked at before the CA is asked for anything.

use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::StreamExt as _;
use renewal::challenge::{Probe, Reached, Way, listens_on, ways, ways_without_nginx};
use renewal::dead_names::Stumbled;
use renewal::finding::{Finding, FindingName, Severity};
use renewal::policy::Http01Mode;
use renewal::ports::{Authority as _, Preflight as _};
use renewal::site::{Site, Source};

use crate::answers::Answers;
use crate::world::World;

/// What was found out about a site.
#[derive(Clone, Debug)]
pub(crate) enum Checked {
    /// Challenges can be answered by this way: a probe came through, at these addresses.
    Works(Way, Vec<Reached>),
    /// None works yet; the line could be inserted. Holds what the other ways stumbled over.
    NeedsLine(Vec<Finding>),
    /// This way works for the site's domain, and for these names none does.
    Partly(Way, Vec<Stumbled>),
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
    answers: &Answers,
    site: &Site,
    thumbprint: &str,
    possible: Possible,
) -> Checked {
    let settings = world.settings();
    let port = settings.http_port;
    let mut stumbled: Vec<Finding> = Vec::new();
    let mut partly = None;
    let ways = match possible {
        Possible::ByNginx { line_may_help } => ways(
            site,
            port,
            thumbprint,
            settings.edit.allows(site) && line_may_help,
        ),
        Possible::WithoutNginx => ways_without_nginx(site, port),
    };
    for way in ways.iter().copied() {
        if way == Way::InsertStateless && !stumbled.is_empty() {
            break;
        }
        // Before the line is in, the probe for it shows at least whether requests arrive.
        match probe(world, answers, site, way, thumbprint).await {
            Ok(at) if way == Way::InsertStateless => return Checked::Works(Way::Stateless, at),
            Ok(at) => return Checked::Works(way, at),
            Err(mut names) => {
                names.iter_mut().for_each(|name| say_unclaimed(site, name));
                // The first way is the one people set up: what stops it is the cause.
                if stumbled.is_empty() {
                    stumbled = all(&names);
                }
                let domain_came_through = names.iter().all(|(name, _)| name != site.domain());
                if partly.is_none() && domain_came_through && way != Way::InsertStateless {
                    partly = Some((way, names));
                }
            }
        }
    }
    // Where the domain is answered by the panel's own vhost, a line of ours would do nothing for an alias.
    if let (Some((way, names)), Source::Cloudpanel) = (&partly, site.source) {
        return Checked::Partly(*way, names.clone());
    }
    if ways.contains(&Way::InsertStateless)
        && stumbled.iter().all(|finding| is_curable(finding.name))
    {
        return Checked::NeedsLine(stumbled);
    }
    if let Some((way, names)) = partly {
        return Checked::Partly(way, names);
    }
    if ways.is_empty() {
        // Nothing of ours answers; what the CA would see all the same is the cause.
        let seen = probe(world, answers, site, Way::InsertStateless, thumbprint).await;
        stumbled = all(&seen.err().unwrap_or_default());
        stumbled.push(no_way(site, port, settings.edit.allows(site)));
    } else if !settings.edit.allows(site)
        && ways_with_edit(site, port, thumbprint)
        && let [first, others @ ..] = stumbled.as_mut_slice()
        && first.name.line_may_cure()
        && others.iter().all(|finding| is_curable(finding.name))
    {
        first.fix.push_str(OR_ALLOW);
    }
    Checked::Hopeless(stumbled)
}

/// Says of a name at which a web server did not answer as it should that no server block of the site has it.
fn say_unclaimed(site: &Site, (name, findings): &mut Stumbled) {
    let claims = |written: &String| {
        let written = written.to_ascii_lowercase();
        // What a pattern or a variable stands for, nginx alone knows.
        written.starts_with(['~', '$'])
            || written.ends_with(".*")
            || written.strip_prefix('.').unwrap_or(&written) == name.as_str()
            || (written.strip_prefix('*').or(Some(&*written)))
                .is_some_and(|end| end.starts_with('.') && name.as_str().ends_with(end))
    };
    let claimed = site
        .servers
        .iter()
        .any(|server| server.names.iter().any(claims));
    let Some(symptom) = findings
        .first()
        .filter(|finding| finding.name.line_may_cure())
    else {
        return;
    };
    let nameless = site.servers.iter().all(|server| server.names.is_empty());
    if claimed || nameless {
        return;
    }
    let place = site
        .vhost()
        .map_or_else(String::new, |place| format!(" in {}", place.file.display()));
    let finding = Finding::new(
        FindingName::NameNotServed,
        format!("No server_name of the site is {name}, so nginx answers the CA by another server block."),
    )
    .severity(Severity::Fatal)
    .detail(format!("there: {}", symptom.explanation))
    .fix(format!("Add {name} to the site's server_name{place} (on a CloudPanel host in its Vhost editor), or do not ask for it."));
    findings.insert(0, finding);
}

/// Says whether a line in the vhost may cure it: it does where the block with our line is the one for all other names.
fn is_curable(name: FindingName) -> bool {
    name.line_may_cure() || name == FindingName::NameNotServed
}

/// Says whether the line could be put into the vhost, if that were allowed.
fn ways_with_edit(site: &Site, port: u16, thumbprint: &str) -> bool {
    ways(site, port, thumbprint, true).contains(&Way::InsertStateless)
}

/// Fetches a probe for every wanted name, as the CA would, with the answer made available by `way`; returns where it
/// came through.
///
/// # Errors
///
/// What the CA would stumble over for each name that does not come through, the cause first.
pub(crate) async fn probe<W: World>(
    world: &W,
    answers: &Answers,
    site: &Site,
    way: Way,
    thumbprint: &str,
) -> Result<Vec<Reached>, Vec<Stumbled>> {
    // Made before the stream is: a closure inside it would have to work for every lifetime.
    let probes: Vec<_> = site
        .wanted
        .iter()
        .map(|name| async move {
            let token = probe_token(name.as_str());
            let expected = format!("{token}.{thumbprint}");
            if let Err(error) = answers.present(world, site, way, &token, &expected).await {
                return Err((name.clone(), vec![error.0]));
            }
            let probe = Probe {
                name: name.clone(),
                token,
                expected,
            };
            let reached = world.preflight().probe(&probe).await;
            answers.withdraw(world, site, way, &probe.token).await;
            reached.map_err(|findings| (name.clone(), findings))
        })
        .collect();
    let results: Vec<_> = futures_util::stream::iter(probes)
        .buffer_unordered(PROBES_AT_ONCE)
        .collect()
        .await;
    let (mut reached, mut stumbled) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(at) => reached.extend(at),
            Err(name) => stumbled.push(name),
        }
    }
    if stumbled.is_empty() {
        Ok(reached)
    } else {
        Err(stumbled)
    }
}

/// Returns the findings about all names.
pub(crate) fn all(stumbled: &[Stumbled]) -> Vec<Finding> {
    let findings = stumbled.iter().flat_map(|(_, findings)| findings);
    findings.cloned().collect()
}

/// Asks whether CAA records forbid the site's names to its CA; nothing when the CA does not say what it is called.
pub(crate) async fn forbidden<W: World>(world: &W, site: &Site) -> Vec<Finding> {
    match world.authority().issuer(&site.policy.ca).await {
        Ok(issuer) => world.preflight().forbidden(&site.wanted, &issuer).await,
        // The order itself says what is wrong with the CA.
        Err(_) => Vec::new(),
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

/// Says why the site's mode of answering leaves no way, and what would open one.
fn no_way(site: &Site, port: u16, edit: bool) -> Finding {
    let vhost = site.vhost().map_or_else(
        || "the vhost".to_owned(),
        |place| format!("the vhost ({place})"),
    );
    let mode = site.policy.http01;
    let listens = site.servers.iter().any(|server| listens_on(server, port));
    let silent = format!("no server block of {vhost} listens on port {port}");
    let (why, fix) = match mode {
        Http01Mode::Auto => (
            format!(
                "{vhost} has no folder from which nginx would serve a challenge on port {port}, and may not be edited"
            ),
            format!(
                "set nginx.edit = true, or give the server block that listens on port {port} a root"
            ),
        ),
        Http01Mode::Webroot => (
            format!(
                "{vhost} has no folder from which nginx would serve a challenge on port {port}"
            ),
            format!(
                "give the server block that listens on port {port} a root, or let clpctl choose another way"
            ),
        ),
        Http01Mode::Standalone => (
            format!(
                "nginx itself listens on port {port} for the site, by {vhost}, so clpctl cannot"
            ),
            format!(
                "take “listen {port}” out of the site's server blocks, or let clpctl choose another way"
            ),
        ),
        Http01Mode::Stateless if !listens => (
            format!("{silent}, so there is none for the line that answers"),
            format!(
                "add “listen {port};” to a server block of the site, or let clpctl choose another way"
            ),
        ),
        Http01Mode::Stateless if !edit => (
            format!(
                "the line that answers is not in every server block of {vhost} that listens on port {port}, and may not be inserted"
            ),
            "set nginx.edit = true, or let clpctl choose another way".to_owned(),
        ),
        Http01Mode::Stateless => (
            format!(
                "the line that answers was put into {vhost} lately and did not help, so it is not tried again today"
            ),
            "mend what the other findings name, or let clpctl choose another way".to_owned(),
        ),
    };
    let (set, how) = match mode {
        Http01Mode::Auto => ("", ""),
        Http01Mode::Webroot => ("http01.mode is “webroot”, and ", OTHERWISE),
        Http01Mode::Standalone => ("http01.mode is “standalone”, and ", OTHERWISE),
        Http01Mode::Stateless => ("http01.mode is “stateless”, and ", OTHERWISE),
    };
    Finding::new(
        FindingName::ChallengeNotFound,
        format!("no way of answering the CA is open for {}", site.domain()),
    )
    .detail(format!("{set}{why}"))
    .fix(format!("{fix}{how}"))
}

/// How a mode that was set is given up.
const OTHERWISE: &str = ": http01.mode = \"auto\"";

/// What else a person can do about a vhost that stops the challenge.
const OR_ALLOW: &str = " Or allow clpctl to answer by a line of its own in the vhost: edit = true in the table [nginx].";

/// Names of one site that are looked at at once.
const PROBES_AT_ONCE: usize = 8;

#[cfg(test)]
mod tests {
    use super::{Checked, Possible, check};
    use crate::answers::Answers;
    use crate::fakes::FakeWorld;
    use expect_test::{Expect, expect};
    use renewal::policy::{EditVhosts, Http01Mode};
    use renewal::ports::{Host as _, Known};

    /// Shows why no way is open for a site that has no folder, in this mode.
    async fn why(
        mode: Http01Mode,
        on_port_80: bool,
        line_may_help: bool,
        edit: bool,
        expect: Expect,
    ) {
        let mut world = FakeWorld::new(&["a.test/10"]);
        std::sync::Arc::get_mut(&mut world).unwrap().settings.edit = if edit {
            EditVhosts::All
        } else {
            EditVhosts::None
        };
        world.host.change(|state| {
            state.http01 = mode;
            state.without_folder.insert("a.test".to_owned());
            if !on_port_80 {
                state.off_port_80.insert("a.test".to_owned());
            }
        });
        let mut site = world
            .host
            .look(&Known::new())
            .await
            .unwrap()
            .sites
            .remove(0);
        std::sync::Arc::make_mut(&mut site.servers[0]).challenge_folder = None;
        let possible = Possible::ByNginx { line_may_help };
        let Checked::Hopeless(findings) =
            check(&*world, &Answers::default(), &site, "thumbprint", possible).await
        else {
            panic!("a way is open");
        };
        let last = findings.last().unwrap();
        expect.assert_eq(&format!("{}\n{}", last.detail, last.fix));
    }

    #[tokio::test]
    async fn each_mode_says_what_is_wrong_for_it_and_what_to_change() {
        why(Http01Mode::Auto, true, true, false, expect![[r#"
            the vhost (/etc/nginx/a.test.conf:1) has no folder from which nginx would serve a challenge on port 80, and may not be edited
            set nginx.edit = true, or give the server block that listens on port 80 a root"#]]).await;
        why(Http01Mode::Webroot, true, true, true, expect![[r#"
            http01.mode is “webroot”, and the vhost (/etc/nginx/a.test.conf:1) has no folder from which nginx would serve a challenge on port 80
            give the server block that listens on port 80 a root, or let clpctl choose another way: http01.mode = "auto""#]]).await;
        why(Http01Mode::Standalone, true, true, true, expect![[r#"
            http01.mode is “standalone”, and nginx itself listens on port 80 for the site, by the vhost (/etc/nginx/a.test.conf:1), so clpctl cannot
            take “listen 80” out of the site's server blocks, or let clpctl choose another way: http01.mode = "auto""#]]).await;
        why(Http01Mode::Stateless, false, true, true, expect![[r#"
            http01.mode is “stateless”, and no server block of the vhost (/etc/nginx/a.test.conf:1) listens on port 80, so there is none for the line that answers
            add “listen 80;” to a server block of the site, or let clpctl choose another way: http01.mode = "auto""#]]).await;
        why(Http01Mode::Stateless, true, true, false, expect![[r#"
            http01.mode is “stateless”, and the line that answers is not in every server block of the vhost (/etc/nginx/a.test.conf:1) that listens on port 80, and may not be inserted
            set nginx.edit = true, or let clpctl choose another way: http01.mode = "auto""#]]).await;
        why(Http01Mode::Stateless, true, false, true, expect![[r#"
            http01.mode is “stateless”, and the line that answers was put into the vhost (/etc/nginx/a.test.conf:1) lately and did not help, so it is not tried again today
            mend what the other findings name, or let clpctl choose another way: http01.mode = "auto""#]]).await;
    }
}
