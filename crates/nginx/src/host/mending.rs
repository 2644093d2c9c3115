//! How are safe fixes made on this host, one at a time?

use std::time::Duration;

use renewal::finding::Finding;
use renewal::fix::{Remedy, is_blamed};
use renewal::ports::{Change, Host as _, HostFailure};
use renewal::site::Site;
use tokio::time::Instant;

use super::{NginxHost, RELOAD_PATIENCE, blocking};
use crate::conf::read::Disk;
use crate::fixes::{self, Draft};
use crate::reload;
use crate::tuning::{Tuning, tuning};

/// What came of a fix.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Made {
    /// It is made, and nginx accepts it.
    Kept,
    /// nginx refused it, so all is as it was; holds what nginx said.
    Undone(Finding),
}

impl NginxHost {
    /// Works out what a remedy changes, to be shown and to be made; nothing is touched. Our own line needs the `site` and
    /// the `thumbprint` of its account.
    ///
    /// # Errors
    ///
    /// When the files are not as they were when the remedy was decided, or may not be edited.
    pub async fn draft(
        &self,
        remedy: &Remedy,
        site: Option<&Site>,
        thumbprint: Option<&str>,
    ) -> Result<Draft, HostFailure> {
        if let (Remedy::ChallengeLine, Some(site), Some(thumbprint)) = (remedy, site, thumbprint) {
            let mut edits = Vec::new();
            for switch in self
                .prepare(&[Change::Stateless { site, thumbprint }])
                .await
            {
                edits.extend(switch?.edits);
            }
            return Ok(Draft::of_edits(edits));
        }
        let remedy = remedy.clone();
        blocking(move || fixes::draft(&remedy)).await
    }

    /// Makes a drafted fix and has nginx test it; undoes it, to the byte, when nginx refuses it.
    ///
    /// Where nginx refused its configuration before, the fix stays unless nginx now complains about what was changed.
    ///
    /// # Errors
    ///
    /// When it could not be made, which leaves all as it was, or could not be undone.
    pub async fn make(&self, draft: &Draft) -> Result<Made, HostFailure> {
        let refused_before = self.test().await.is_err();
        let (settings, making) = (self.settings.clone(), draft.clone());
        blocking(move || fixes::make(&settings, &making)).await?;
        let refusal = self.test().await.err().filter(|HostFailure(said)| {
            !refused_before || is_blamed(&said.detail, draft.touched())
        });
        let (settings, made) = (self.settings.clone(), draft.clone());
        match refusal {
            None => {
                blocking(move || fixes::keep(&settings, &made)).await?;
                Ok(Made::Kept)
            }
            Some(HostFailure(said)) => {
                blocking(move || fixes::unmake(&settings, &made)).await?;
                Ok(Made::Undone(said))
            }
        }
    }

    /// Takes back the lines of fixes that were kept, for nginx did not take up what it had accepted.
    ///
    /// # Errors
    ///
    /// When a file was changed by somebody else meanwhile.
    pub async fn take_back(&self, drafts: &[Draft]) -> Result<(), HostFailure> {
        let drafts = drafts.to_owned();
        blocking(move || fixes::take_back(&drafts)).await
    }

    /// Returns once nginx has taken up what it was told to, says that it cannot, or does not within half a minute; how
    /// long that took, and what it complained about.
    pub async fn taken_up(&self) -> (Duration, Vec<String>) {
        let begun = Instant::now();
        let refused = async {
            while !self
                .complaints
                .read()
                .iter()
                .any(|line| line.starts_with(FATAL))
            {
                tokio::time::sleep(PAUSE).await;
            }
            // nginx tries five times to bind an address, and may succeed.
            tokio::time::sleep(BIND_TRIES).await;
        };
        tokio::select! {
            () = self.old_workers.gone(RELOAD_PATIENCE) => {}
            () = refused => {}
        }
        (begun.elapsed(), self.complaints.read())
    }

    /// Ends the fix in the midst of which an earlier run died: it stays when nginx accepts what it finds, and is undone
    /// otherwise. Says whether there was one.
    pub(super) async fn end_unfinished_fix(&self) -> Result<bool, HostFailure> {
        let settings = self.settings.clone();
        let Some(draft) = blocking(move || fixes::unfinished(&settings)).await? else {
            return Ok(false);
        };
        let accepted = self.test().await.is_ok();
        let settings = self.settings.clone();
        blocking(move || {
            if accepted {
                fixes::keep(&settings, &draft)
            } else {
                fixes::unmake(&settings, &draft)
            }
        })
        .await?;
        Ok(true)
    }

    /// Reads what the configuration says about limits, logs and TLS.
    pub async fn tuning(&self) -> Tuning {
        let build = self.build().await.unwrap_or_default();
        let prefix = self.settings.prefix.clone().unwrap_or(build.prefix);
        let config = self.settings.config.clone();
        blocking(move || tuning(&Disk, &config, &prefix)).await
    }

    /// Returns the process number of the master, when it is known.
    pub async fn master(&self) -> Option<u32> {
        let pid = reload::master(&self.settings).await.ok()?;
        u32::try_from(pid.as_raw_nonzero().get()).ok()
    }
}

/// What ends a reload.
const FATAL: &str = "[emerg]";

/// How often the log is looked at meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// nginx waits half a second between its tries.
const BIND_TRIES: Duration = Duration::from_secs(3);
