//! How does the answer to a challenge come to stand where the CA asks for it?
//!
//! | way | module | how |
//! | --- | --- | --- |
//! | webroot | [`webroot`] | a file in each folder where nginx would look for it |
//! | standalone | [`standalone`] | a listener of our own, while challenges are open |
//! | stateless | – | nginx computes it; nothing is to be done |

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use renewal::challenge::Way;
use renewal::finding::{Finding, FindingName};
use renewal::site::{ChallengeFolder, Site};

use crate::host::blocking;
use crate::settings::Settings;

mod standalone;
mod webroot;

/// The answers that are in place, and what was made for them.
pub(crate) struct Challenges {
    settings: Arc<Settings>,
    standalone: standalone::Standalone,
    /// The folders that we made on the way to a token, outermost first, by where they begin. They stay for the
    /// next one.
    made: Mutex<HashMap<ChallengeFolder, Made>>,
}

/// Locked while a way is made: who comes meanwhile would find folders that nginx may not enter yet.
type Made = Arc<Mutex<Vec<&'static str>>>;

impl Challenges {
    /// Starts with none.
    pub(crate) fn new(settings: Arc<Settings>) -> Self {
        Self {
            standalone: standalone::Standalone::new(settings.http01_port),
            settings,
            made: Mutex::default(),
        }
    }

    /// Puts an answer in place. Safe to repeat.
    pub(crate) async fn present(
        &self,
        site: &Site,
        way: Way,
        token: &str,
        answer: &str,
    ) -> Result<(), Finding> {
        check(token)?;
        match way {
            Way::Stateless | Way::InsertStateless => Ok(()),
            Way::Standalone => self.standalone.present(token, answer),
            Way::Webroot => {
                let folders = folders(site);
                let (token, answer) = (token.to_owned(), answer.to_owned());
                let owner = self.settings.http01_owner;
                let made: Vec<Made> = folders.iter().map(|folder| self.made(folder)).collect();
                blocking(move || {
                    let write = |(folder, made): (&ChallengeFolder, &Made)| {
                        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                        made.extend(webroot::put(folder, owner, &token, &answer)?);
                        Ok(())
                    };
                    at_least_one(folders.iter().zip(&made), write)
                })
                .await
            }
        }
    }

    fn made(&self, folder: &ChallengeFolder) -> Made {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(made.entry(folder.clone()).or_default())
    }

    /// Takes an answer away.
    pub(crate) async fn withdraw(&self, site: &Site, way: Way, token: &str) {
        if check(token).is_err() {
            return;
        }
        match way {
            Way::Stateless | Way::InsertStateless => {}
            Way::Standalone => self.standalone.withdraw(token),
            Way::Webroot => {
                let (folders, token) = (folders(site), token.to_owned());
                blocking(move || {
                    for folder in &folders {
                        webroot::take(folder, &token);
                    }
                })
                .await;
            }
        }
    }

    /// Removes the folders that were made for answers and are empty.
    pub(crate) async fn tidy(&self) {
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        if made.is_empty() {
            return;
        }
        blocking(move || {
            for (folder, made) in &made {
                let made = made.lock().unwrap_or_else(PoisonError::into_inner);
                webroot::tidy(folder, &made);
            }
        })
        .await;
    }
}

/// Writes to every folder; it is enough when one could be written, for only one of them answers.
fn at_least_one<T>(
    folders: impl IntoIterator<Item = T>,
    write: impl Fn(T) -> Result<(), Finding>,
) -> Result<(), Finding> {
    let mut failure = None;
    let mut written = 0;
    for folder in folders {
        match write(folder) {
            Ok(()) => written += 1,
            Err(finding) => {
                tracing::warn!(detail = finding.detail, "{}", finding.explanation);
                failure = failure.or(Some(finding));
            }
        }
    }
    match failure {
        Some(finding) if written == 0 => Err(finding),
        None if written == 0 => Err(Finding::new(
            FindingName::WebrootMissing,
            "The site has no document root, so there is no place for a challenge file.",
        )
        .fix("Give its server block a root, or choose http01.mode = \"stateless\".")),
        _ => Ok(()),
    }
}

/// Returns the folders in which the site's server blocks would look, once each.
fn folders(site: &Site) -> Vec<ChallengeFolder> {
    let mut folders: Vec<ChallengeFolder> = Vec::new();
    for folder in site
        .servers
        .iter()
        .filter_map(|server| server.challenge_folder.as_ref())
    {
        if !folders.contains(folder) {
            folders.push(folder.clone());
        }
    }
    folders
}

/// A token becomes a file's name, so it must be what RFC 8555 section 8.3 says: base64url.
fn check(token: &str) -> Result<(), Finding> {
    let plain = token
        .bytes()
        .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
    if plain && !token.is_empty() && token.len() <= TOKEN_BYTES_MAX {
        return Ok(());
    }
    let finding = Finding::new(
        FindingName::OrderRejected,
        "The CA sent a token that is none, and it is not used.",
    );
    Err(finding.detail(format!(
        "the token is {:?}",
        token.chars().take(80).collect::<String>()
    )))
}

/// The longest name of a file.
const TOKEN_BYTES_MAX: usize = 255;

#[cfg(test)]
mod tests {
    use super::check;

    #[test]
    fn a_token_that_would_leave_the_folder_is_refused() {
        assert!(check("evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA").is_ok());
        for token in [
            "",
            ".",
            "..",
            "../x",
            "a/b",
            "a b",
            "a\0",
            "ä",
            &"x".repeat(256),
        ] {
            assert!(check(token).is_err(), "{token:?}");
        }
    }
}
