//! What does each command do? One file per command.

use std::path::PathBuf;

use renewal::name::Name;
use renewal::ports::Look;
use renewal::site::Site;

use crate::arguments::{Cli, Command, Global, RenewCertificates};
use crate::clock::{SystemClock, parse_offset};
use crate::config::{self, Config, Flags};
use crate::console::Console;
use crate::environment::Environment;
use crate::errors::CommandError;
use crate::nearest::nearest;

pub mod account;
pub mod completions;
pub mod config_show;
pub mod demo;
pub mod explain;
pub mod fleet_simulate;
pub mod host_adopt;
pub mod host_audit;
pub mod man;
pub mod renew;
pub mod service_install;
pub mod service_run;
pub mod service_status;
pub mod site_doctor;
pub mod site_install;
pub mod site_list;
pub mod site_logs;
pub mod site_revoke;
pub mod site_rollback;
pub mod site_show;

pub(crate) mod mending;

mod by_hand;
mod limits;

/// What every command has at hand.
#[derive(Clone)]
pub struct Session {
    /// Where results and messages go.
    pub console: Console,
    /// What time it is.
    pub clock: SystemClock,
    /// The variables of the process.
    pub environment: Environment,
    /// How often `-v` was given.
    pub verbosity: u8,
    config_file: Option<PathBuf>,
}

impl Session {
    /// Gathers what the global options and the environment say.
    ///
    /// # Errors
    ///
    /// When the clock's offset in the environment is none.
    pub fn new(
        console: Console,
        global: &Global,
        environment: &Environment,
    ) -> Result<Self, CommandError> {
        let shifted = environment
            .get("CLPCTL_CLOCK_OFFSET")
            .map(parse_offset)
            .transpose();
        let shifted =
            shifted.map_err(|what| CommandError::usage(format!("CLPCTL_CLOCK_OFFSET: {what}")))?;
        let offset = global.clock_offset.or(shifted).unwrap_or_default();
        Ok(Self {
            console,
            clock: SystemClock::shifted(offset),
            environment: environment.clone(),
            verbosity: global.verbose,
            config_file: global.config.clone(),
        })
    }

    /// Reads the configuration, with the options of the command laid over it.
    ///
    /// # Errors
    ///
    /// As [`config::load`].
    pub fn config(&self, flags: &Flags) -> Result<Config, CommandError> {
        config::load(self.config_file.as_deref(), &self.environment, flags)
    }

    /// Starts writing logs; for commands that change something.
    pub fn start_logs(&self, config: &Config) {
        crate::logs::start(config, self.clock, &self.console, self.verbosity);
    }
}

/// Does what was asked; returns the exit code.
///
/// # Errors
///
/// When a command could not do its work at all. What came of single sites is in the exit code.
pub fn dispatch(cli: &Cli, session: &Session) -> Result<u8, CommandError> {
    let config = || session.config(&cli.command.flags());
    match &cli.command {
        Command::RenewCertificates(arguments) => {
            renew::renew(session, &config()?, "site:renew-certificates", arguments)
        }
        Command::RenewAll(all) => renew::renew(
            session,
            &config()?,
            "lets-encrypt:renew:certificates",
            &RenewCertificates::from(all),
        ),
        Command::InstallCertificate(arguments) => renew::install(session, &config()?, arguments),
        Command::SiteInstall(arguments) => site_install::run(session, &config()?, arguments),
        Command::SiteList(arguments) => site_list::run(session, &config()?, arguments),
        Command::SiteShow(arguments) => site_show::run(session, &config()?, arguments),
        Command::SiteDoctor(arguments) => site_doctor::run(session, &config()?, arguments),
        Command::SiteLogs(arguments) => site_logs::run(session, &config()?, arguments),
        Command::SiteRollback(arguments) => site_rollback::run(session, &config()?, arguments),
        Command::SiteRevoke(arguments) => site_revoke::run(session, &config()?, arguments),
        Command::HostAdopt(arguments) => host_adopt::run(session, &config()?, arguments),
        Command::HostAudit(arguments) => host_audit::run(session, &config()?, arguments),
        Command::AccountShow(_) => account::show(session, &config()?),
        Command::AccountRollover(_) => account::roll_over(session, &config()?),
        Command::AccountDeactivate(_) => account::deactivate(session, &config()?),
        Command::ServiceRun(_) => service_run::run(session, &config()?),
        Command::ServiceStatus(_) => service_status::run(session, &config()?),
        Command::ServiceInstall(arguments) => service_install::run(session, &config()?, arguments),
        Command::FleetSimulate(arguments) => fleet_simulate::run(session, arguments),
        Command::Explain(arguments) => explain::run(session, arguments),
        Command::Demo(arguments) => demo::run(session, arguments),
        Command::ConfigShow(_) => config_show::run(session, &config()?),
        Command::Completions(arguments) => completions::run(session, arguments),
        Command::Man(arguments) => man::run(session, arguments),
    }
}

/// Finds the site that has this name, as its domain or as another of its names.
///
/// # Errors
///
/// Names the nearest site when none has it.
pub fn find_site<'a>(look: &'a Look, name: &Name) -> Result<&'a Site, CommandError> {
    let by_domain = look.sites.iter().find(|site| site.domain() == name);
    let by_name = || {
        look.sites
            .iter()
            .find(|site| site.wanted.iter().any(|wanted| wanted == name))
    };
    let by_server = || {
        let written = |site: &&Site| {
            site.servers
                .iter()
                .any(|server| server.names.iter().any(|known| known == name.as_str()))
        };
        look.sites.iter().find(written)
    };
    by_domain
        .or_else(by_name)
        .or_else(by_server)
        .ok_or_else(|| {
            let error = CommandError::usage(format!(
                "There is no site {name} on this host, so nothing was done."
            ));
            let known = look
                .sites
                .iter()
                .flat_map(|site| site.wanted.iter().map(Name::as_str));
            match nearest(name.as_str(), known) {
                Some(known) => error.hint(format!("did you mean {known}?")),
                None => error,
            }
            .hint("clpctl site:list lists the sites")
        })
}

/// Makes the runtime in which a command waits for many things at once.
///
/// # Errors
///
/// When the kernel gives no threads.
pub fn runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    runtime.map_err(|cause| {
        CommandError::mend("The runtime could not be started, so nothing was done.").because(&cause)
    })
}

#[cfg(test)]
mod tests {
    use super::find_site;
    use crate::testing::{name, site};
    use expect_test::expect;
    use renewal::ports::Look;

    #[test]
    fn a_site_is_found_by_any_of_its_names_and_the_nearest_one_is_named() {
        let look = Look {
            sites: vec![
                site("a.example www.a.example", None),
                site("shop.example", None),
            ],
            ..Look::default()
        };
        let found = |text| find_site(&look, &name(text)).map(|site| site.domain().to_string());
        assert_eq!(found("www.a.example").unwrap(), "a.example");
        expect![[r#"
            error: There is no site shpo.example on this host, so nothing was done.
            hint: did you mean shop.example?
            hint: clpctl site:list lists the sites
        "#]]
        .assert_eq(&found("shpo.example").unwrap_err().to_text());
        expect![[r#"
            error: There is no site zzz.test on this host, so nothing was done.
            hint: clpctl site:list lists the sites
        "#]]
        .assert_eq(&found("zzz.test").unwrap_err().to_text());
    }
}
