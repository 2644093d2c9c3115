//! What do the systemd units say?
//!
//! A service that waits by itself, or a timer that starts one run twice a day. Either may do what renewing needs
//! and little else; each restriction, and each that is missing, has its reason beside it.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::config::values::Reload;

/// Which way runs are started.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Variant {
    /// By a service that waits until something is due.
    Service,
    /// By a timer.
    Timer,
}

/// The units of one variant.
#[derive(Clone, Debug)]
pub struct Units {
    variant: Variant,
    files: Vec<(&'static str, String)>,
}

impl Units {
    /// Makes the units for this program and configuration.
    #[must_use]
    pub fn new(variant: Variant, program: &Path, config: &Config) -> Self {
        let files = match variant {
            Variant::Service => vec![(SERVICE, service(program, config))],
            Variant::Timer => vec![(SERVICE, one_run(program, config)), (TIMER, timer())],
        };
        Self { variant, files }
    }

    /// Returns the files: name and text.
    #[must_use]
    pub fn files(&self) -> &[(&'static str, String)] {
        &self.files
    }

    /// Returns the command that makes systemd take the units up.
    #[must_use]
    pub fn next(&self) -> String {
        let unit = match self.variant {
            Variant::Service => SERVICE,
            Variant::Timer => TIMER,
        };
        format!("systemctl daemon-reload && systemctl enable --now {unit}")
    }
}

fn service(program: &Path, config: &Config) -> String {
    format!(
        "# Written by `clpctl service:install`; a change is lost when that runs again.\n\
         # Make your own in a drop-in: systemctl edit {SERVICE}\n\
         [Unit]\n\
         Description=Keep the TLS certificates of this host's sites alive\n\
         Documentation=man:clpctl(1)\n\
         Wants=network-online.target\n\
         # After nginx, so that at boot there is a master process to signal.\n\
         After=network-online.target nss-lookup.target nginx.service\n\n\
         [Service]\n\
         # Ready when the sites have been looked at once; a pass that hangs is noticed and restarted.\n\
         Type=notify\n\
         WatchdogSec=10min\n\
         ExecStart={}\n\
         # Looks again at once.\n\
         ExecReload=/bin/kill -HUP $MAINPID\n\
         Restart=on-failure\n\
         RestartSec=30s\n\
         # Time to finish a deployment that has begun.\n\
         TimeoutStopSec=90s\n\
         {}\n\
         [Install]\n\
         WantedBy=multi-user.target\n",
        command(program, config, "service:run"),
        hardening(config),
    )
}

fn one_run(program: &Path, config: &Config) -> String {
    format!(
        "# Written by `clpctl service:install --timer`; a change is lost when that runs again.\n\
         # Make your own in a drop-in: systemctl edit {SERVICE}\n\
         [Unit]\n\
         Description=Renew the TLS certificates that are due on this host\n\
         Documentation=man:clpctl(1)\n\
         Wants=network-online.target\n\
         After=network-online.target nss-lookup.target nginx.service\n\n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={}\n\
         # The CA may ask for a wait of some minutes; a run that takes an hour is stuck.\n\
         TimeoutStartSec=1h\n\
         # The next run of the timer is the retry.\n\
         SuccessExitStatus=3\n\
         {}",
        command(program, config, "site:renew-certificates"),
        hardening(config),
    )
}

fn timer() -> String {
    "# Written by `clpctl service:install --timer`; a change is lost when that runs again.\n\
     [Unit]\n\
     Description=Renew the TLS certificates that are due, twice a day\n\
     Documentation=man:clpctl(1)\n\n\
     [Timer]\n\
     OnCalendar=*-*-* 00/12:00:00\n\
     # Not all hosts of the world at the same second: Let's Encrypt asks for it.\n\
     RandomizedDelaySec=12h\n\
     # A host that was off runs what it missed.\n\
     Persistent=true\n\n\
     [Install]\n\
     WantedBy=timers.target\n"
        .to_owned()
}

fn hardening(config: &Config) -> String {
    let paths: Vec<String> = writable(config)
        .iter()
        .map(|path| {
            format!(
                "ReadWritePaths={}\n",
                quote(&format!("-{}", path.display()))
            )
        })
        .collect();
    let reload = match config.nginx.reload {
        // systemctl speaks to systemd through a socket, which the families below allow.
        Reload::Auto | Reload::Signal | Reload::Systemd => "",
        Reload::Command(_) => {
            "# nginx.reload is a command: if it needs more than this, allow it in a drop-in.\n"
        }
    };
    format!(
        "\n# What it may write. The rest of the system is read-only.\n\
         ProtectSystem=strict\n\
         {}\
         # Document roots lie there, and challenge files go into them.\n\
         ReadWritePaths=-/home -/var/www -/srv\n\
         # nginx -t opens nginx's logs and its pid file, and makes its temporary folders.\n\
         ReadWritePaths=-/var/log/nginx -/var/lib/nginx -/run\n\
         PrivateTmp=true\n\
         UMask=0077\n\n\
         # Who it may be. It runs as root because keys are root's and nginx's master is; of root's rights it keeps:\n\
         #   CHOWN FOWNER       challenge files belong to the owner of the document root\n\
         #   DAC_OVERRIDE       document roots are closed to others\n\
         #   KILL               SIGHUP to nginx's master process\n\
         #   NET_BIND_SERVICE   nginx -t, and answering on port 80 where nothing else does\n\
         CapabilityBoundingSet=CAP_CHOWN CAP_FOWNER CAP_DAC_OVERRIDE CAP_KILL CAP_NET_BIND_SERVICE\n\
         NoNewPrivileges=true\n\
         RestrictSUIDSGID=true\n\
         LockPersonality=true\n\
         RestrictRealtime=true\n\
         RestrictNamespaces=true\n\n\
         # What it may reach.\n\
         {reload}\
         RestrictAddressFamilies=AF_INET AF_INET6 AF_UNIX AF_NETLINK\n\
         PrivateDevices=true\n\
         ProtectClock=true\n\
         ProtectHostname=true\n\
         ProtectKernelLogs=true\n\
         ProtectKernelModules=true\n\
         ProtectKernelTunables=true\n\
         ProtectControlGroups=true\n\
         SystemCallArchitectures=native\n\
         SystemCallFilter=@system-service\n\
         SystemCallErrorNumber=EPERM\n\
         PrivateMounts=true\n\
         {}",
        paths.concat(),
        what_remains(),
    )
}

/// Says why each thing that `systemd-analyze security` counts as exposure is there.
fn what_remains() -> String {
    let lines = REMAINS
        .iter()
        .map(|(what, why)| format!("#   {what}: {why}\n"));
    format!(
        "\n# What `systemd-analyze security` counts nevertheless, and why it must be:\n{}",
        lines.collect::<String>()
    )
}

/// Returns the folders that the configuration makes us write to, none inside another.
fn writable(config: &Config) -> BTreeSet<PathBuf> {
    let folder = |path: &Path| path.parent().unwrap_or(path).to_owned();
    let mut all = BTreeSet::from([
        config.paths.letsencrypt.clone(),
        config.paths.state.clone(),
        folder(&config.paths.log),
        folder(&config.paths.acme_log),
        // Vhosts, and CloudPanel's ssl-certificates.
        folder(&config.nginx.config),
    ]);
    all.extend(config.host.cloudpanel_database.as_deref().map(folder));
    let inside = |path: &PathBuf| {
        all.iter()
            .any(|other| other != path && path.starts_with(other))
    };
    all.iter().filter(|path| !inside(path)).cloned().collect()
}

fn command(program: &Path, config: &Config, name: &str) -> String {
    let mut words = vec![quote_argument(&program.display().to_string())];
    if let Some(file) = config
        .file
        .as_deref()
        .filter(|file| *file != Path::new(crate::config::FILE_USUAL))
    {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        words.push(quote_argument(&format!("--config={}", file.display())));
    }
    words.push(name.to_owned());
    words.join(" ")
}

/// Quotes a word for a command line, where `$` means something (systemd.service(5)).
fn quote_argument(word: &str) -> String {
    quote(&word.replace('$', "$$"))
}

/// Quotes a word for a unit file, where `%` means something (systemd.syntax(7), systemd.unit(5)).
fn quote(word: &str) -> String {
    let word = word.replace('%', "%%");
    if word.contains(|c: char| c.is_whitespace() || "\"'\\".contains(c)) {
        format!("\"{}\"", word.replace('\\', "\\\\").replace('"', "\\\""))
    } else {
        word
    }
}

/// The names are those of `systemd-analyze security --json`.
const REMAINS: [(&str, &str); 18] = [
    (
        "UserOrDynamicUser",
        "keys are root's, and so is nginx's master process",
    ),
    (
        "CapabilityBoundingSet_CAP_CHOWN_FSETID_SETFCAP",
        "challenge files belong to the owner of the document root",
    ),
    (
        "CapabilityBoundingSet_CAP_DAC_FOWNER_IPC_OWNER",
        "document roots are closed to others",
    ),
    (
        "CapabilityBoundingSet_CAP_KILL",
        "nginx's master process is signalled",
    ),
    (
        "CapabilityBoundingSet_CAP_NET_BIND_SERVICE_BROADCAST_RAW)",
        "port 80 is answered where nothing else does",
    ),
    ("SystemCallFilter_privileged", "chown, as above"),
    (
        "SystemCallFilter_resources",
        "nginx -t sets the limits that its configuration asks for",
    ),
    (
        "MemoryDenyWriteExecute",
        "nginx -t loads modules that compile as they go (PCRE, Lua)",
    ),
    ("PrivateNetwork", "CA, DNS and nginx are on the network"),
    (
        "IPAddressDeny",
        "CAs and the sites' own addresses are anywhere",
    ),
    ("RestrictAddressFamilies_AF_INET_INET6", "the network again"),
    (
        "RestrictAddressFamilies_AF_UNIX",
        "systemd is told, and asked, through sockets",
    ),
    (
        "RestrictAddressFamilies_AF_NETLINK",
        "the host's own addresses are asked of the kernel",
    ),
    ("ProtectHome", "document roots are in homes"),
    (
        "ProtectProc",
        "nginx's workers, who are other users, are looked at",
    ),
    ("ProcSubset", "the ports that are taken stand in /proc/net"),
    (
        "PrivateUsers",
        "owners of document roots are users of the host",
    ),
    (
        "RootDirectoryOrRootImage",
        "what is managed is the host itself",
    ),
];

const SERVICE: &str = "clpctl.service";
const TIMER: &str = "clpctl.timer";

#[cfg(test)]
mod tests {
    use super::{Units, Variant, quote};
    use crate::config::{Config, Flags, load};
    use crate::environment::Environment;
    use expect_test::expect;
    use std::ffi::OsString;
    use std::path::Path;

    fn config(variables: &[(&str, &str)]) -> Config {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("clpctl.toml");
        std::fs::File::create(&path).unwrap();
        let variables = variables
            .iter()
            .map(|(name, value)| (OsString::from(name), OsString::from(value)));
        let mut config =
            load(Some(&path), &Environment::new(variables), &Flags::default()).unwrap();
        config.file = None;
        config
    }

    #[test]
    fn the_paths_follow_the_configuration() {
        let config = config(&[
            ("CLPCTL_PATHS_LETSENCRYPT", "/srv/tls store"),
            (
                "CLPCTL_PATHS_ACME_LOG",
                "/home/cloudpanel/logs/acme/acme.log",
            ),
        ]);
        let units = Units::new(Variant::Service, Path::new("/opt/50%/clpctl"), &config);
        let text = &units.files()[0].1;
        let lines: Vec<&str> = text
            .lines()
            .filter(|line| line.starts_with("ReadWritePaths=") || line.starts_with("ExecStart="))
            .collect();
        expect![[r#"
            ExecStart=/opt/50%%/clpctl service:run
            ReadWritePaths=-/etc/nginx
            ReadWritePaths=-/home/cloudpanel/logs
            ReadWritePaths=-/home/clp/htdocs/app/data
            ReadWritePaths="-/srv/tls store"
            ReadWritePaths=-/var/lib/clpctl
            ReadWritePaths=-/home -/var/www -/srv
            ReadWritePaths=-/var/log/nginx -/var/lib/nginx -/run"#]]
        .assert_eq(&lines.join("\n"));
    }

    #[test]
    fn words_are_quoted_for_systemd() {
        assert_eq!(quote("/a b\"c"), "\"/a b\\\"c\"");
        assert_eq!(quote("50%$"), "50%%$");
        assert_eq!(super::quote_argument("50%$"), "50%%$$");
    }

    #[test]
    #[expect(
        clippy::disallowed_methods,
        reason = "systemd's own check is what is tested"
    )]
    fn systemd_accepts_the_units() {
        for variant in [Variant::Service, Variant::Timer] {
            let folder = tempfile::tempdir().unwrap();
            // systemd-analyze wants a program that exists.
            let units = Units::new(variant, Path::new("/bin/true"), &config(&[]));
            let paths: Vec<_> = units
                .files()
                .iter()
                .map(|(name, text)| {
                    let path = folder.path().join(name);
                    std::io::Write::write_all(
                        &mut std::fs::File::create(&path).unwrap(),
                        text.as_bytes(),
                    )
                    .unwrap();
                    path
                })
                .collect();
            let output = std::process::Command::new("systemd-analyze")
                .args(["verify", "--man=no", "--recursive-errors=no"])
                .args(&paths)
                .output()
                .expect("systemd-analyze checks the units; install the package systemd");
            let text = String::from_utf8_lossy(&output.stderr);
            let ours: Vec<&str> = text
                .lines()
                .filter(|line| line.contains("clpctl"))
                .collect();
            assert!(
                ours.is_empty() && output.status.success(),
                "{variant:?}: {text}"
            );
        }
    }
}
