//! How was this host's nginx built?

use std::path::PathBuf;
use std::time::Duration;

use crate::command::{self, CommandError};
use crate::settings::Settings;

/// What `nginx -V` says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Build {
    /// Where relative document roots begin.
    pub(crate) prefix: PathBuf,
    /// Where the master writes its number; relative to the prefix.
    pub(crate) pid: PathBuf,
    /// Where errors go that no directive sends elsewhere; relative to the prefix.
    pub(crate) error_log: PathBuf,
}

impl Default for Build {
    /// nginx's own defaults.
    fn default() -> Self {
        Self {
            prefix: "/usr/local/nginx".into(),
            pid: "logs/nginx.pid".into(),
            error_log: "logs/error.log".into(),
        }
    }
}

impl Build {
    /// Asks nginx.
    pub(crate) async fn ask(settings: &Settings) -> Result<Self, CommandError> {
        let output = command::run(&settings.binary, ["-V"], LIMIT).await?;
        Ok(Self::read(&output.said))
    }

    fn read(said: &str) -> Self {
        let option = |name: &str| {
            let mut words = said.split_whitespace();
            words
                .find_map(|word| word.strip_prefix(name))
                .map(PathBuf::from)
        };
        let default = Self::default();
        Self {
            prefix: option("--prefix=").unwrap_or(default.prefix),
            pid: option("--pid-path=").unwrap_or(default.pid),
            error_log: option("--error-log-path=").unwrap_or(default.error_log),
        }
    }
}

/// It takes milliseconds.
const LIMIT: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use super::Build;

    #[test]
    fn prefix_and_files_are_read() {
        let said = "nginx version: nginx/1.22.1\nconfigure arguments: --prefix=/usr/share/nginx --error-log-path=/var/log/nginx/error.log --pid-path=/run/nginx.pid --with-debug";
        let build = Build {
            prefix: "/usr/share/nginx".into(),
            pid: "/run/nginx.pid".into(),
            error_log: "/var/log/nginx/error.log".into(),
        };
        assert_eq!(Build::read(said), build);
        assert_eq!(Build::read("nothing"), Build::default());
    }
}
