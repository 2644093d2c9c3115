//! `site:doctor`: what would make the next renewal fail, or keeps a certificate from being served; with `--fix`, mended.

use clap::Args;
use doctor::examine;
use renewal::finding::Severity;
use renewal::name::Name;
use renewal::panel::join;
use renewal::ports::{Host as _, Look, Memory as _, Panel as _};
use renewal::site::Site;

use crate::arguments::site_name;
use crate::commands::{Session, find_site, runtime};
use crate::config::Config;
use crate::errors::{CommandError, Kind};
use crate::output::examination::{ExaminationDocument, exit_code, to_text};
use crate::wire::{Access, Wiring};
use reconcile::world::World as _;

use self::eyes::HostEyes;
use self::gate::Gate;

mod eyes;
mod fixing;
mod gate;

/// The options of `site:doctor`.
#[derive(Args, Debug)]
#[command(
    after_help = "Nothing is spent at the CA, and without --fix nothing is changed.\n\nExamples:\n  clpctl site:doctor\n  clpctl site:doctor --domain=example.com\n  clpctl site:doctor --fix --dry-run\n  clpctl site:doctor --json"
)]
pub struct Arguments {
    /// Look at this site only, by any of its names; may be given several times
    #[arg(long, visible_alias = "domainName", value_name = "DOMAIN", value_parser = site_name)]
    pub domain: Vec<Name>,
    /// Mend what can be mended safely, one after the other; what nginx refuses is undone
    #[arg(long)]
    pub fix: bool,
    /// With --fix: only show what would be mended
    #[arg(long, requires = "fix")]
    pub dry_run: bool,
}

/// Examines the sites; 1 when something must be mended.
///
/// # Errors
///
/// When there is no such site, or this host cannot be looked at.
pub fn run(session: &Session, config: &Config, arguments: &Arguments) -> Result<u8, CommandError> {
    if arguments.fix {
        return fixing::run(session, config, arguments);
    }
    let world = Wiring::new(session, config, COMMAND, Access::Look, None)?;
    let runtime = runtime()?;
    let examined = runtime.block_on(async {
        // What was read before need not be read again; without it looking is merely slower.
        let known = world.memory().known().unwrap_or_default();
        let mut look = world.host().look(&known).await?;
        let inventory = world.panel().inventory(&known).await;
        join(&mut look, inventory, world.clock().now());
        let sites = chosen(&look, &arguments.domain)?;
        let remembered = world.memory().remembered()?;
        let eyes = HostEyes::new(&world, config, &look, &sites, &remembered);
        let gate = Gate::open(&world, config, None).await;
        let examination = examine(&eyes, &sites).await;
        world.host().tidy().await;
        gate.close(&world).await;
        Ok::<_, CommandError>(examination)
    });
    // Whatever hangs on a dead file system must not hold up the end.
    runtime.shutdown_background();
    let examination = examined?;
    let console = &session.console;
    if console.json {
        console.document(&ExaminationDocument::new(COMMAND, &examination))?;
    } else {
        console.result(&to_text(&examination, console.width))?;
    }
    Ok(exit_code(&examination))
}

/// Returns the sites that were asked for, in their order on the host; all without a wish.
fn chosen(look: &Look, domains: &[Name]) -> Result<Vec<Site>, CommandError> {
    let blind = look
        .findings
        .iter()
        .find(|finding| finding.severity == Severity::Fatal);
    if let (Some(finding), true, false) = (blind, look.sites.is_empty(), domains.is_empty()) {
        let error = "The site was not found, for none is seen.";
        return Err(CommandError::from_finding(Kind::Mend, error, finding));
    }
    let wanted = domains
        .iter()
        .map(|name| find_site(look, name).map(Site::domain))
        .collect::<Result<Vec<_>, _>>()?;
    let is_wanted = |site: &&Site| wanted.is_empty() || wanted.contains(&site.domain());
    Ok(look.sites.iter().filter(is_wanted).cloned().collect())
}

const COMMAND: &str = "site:doctor";

#[cfg(test)]
mod tests {
    use super::chosen;
    use crate::testing::{name, site};
    use renewal::finding::{Finding, FindingName};
    use renewal::ports::Look;

    #[test]
    fn sites_are_chosen_by_any_name_and_once() {
        let mut look = Look {
            sites: vec![site("a.test www.a.test", None), site("b.test", None)],
            ..Look::default()
        };
        let domains = |look: &Look, wanted: &[&str]| {
            let wanted: Vec<_> = wanted.iter().map(|text| name(text)).collect();
            chosen(look, &wanted).map(|sites| {
                let shown: Vec<_> = sites.iter().map(|site| site.domain().to_string()).collect();
                shown.join(" ")
            })
        };
        assert_eq!(domains(&look, &[]).unwrap(), "a.test b.test");
        assert_eq!(domains(&look, &["www.a.test", "a.test"]).unwrap(), "a.test");
        assert!(domains(&look, &["c.test"]).is_err());
        look.sites.clear();
        look.findings
            .push(Finding::new(FindingName::NginxConfigInvalid, "e"));
        assert_eq!(domains(&look, &[]).unwrap(), "");
        let error = domains(&look, &["a.test"]).unwrap_err().to_text();
        assert!(error.contains("nginx-config-invalid"), "{error}");
    }
}
