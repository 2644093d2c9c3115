//! What is shown, step by step?

use std::time::Duration;

use crate::commands::Session;
use crate::console::{FAINT, LABEL};
use crate::errors::CommandError;

use super::sites;
use super::stage::Stage;

/// Plays the whole piece.
pub(super) async fn play(session: &Session, stage: &Stage) -> Result<(), CommandError> {
    let say = |text: &str| session.console.say(text);
    say(&format!(
        "Four sites on an nginx of their own ({}), a practice CA, and nothing outside {}.",
        stage.addresses(),
        stage.folder().display()
    ));

    heading(
        session,
        1,
        "No site has a certificate that a browser would trust",
    );
    stage.clpctl(session, &["site:list"], 0).await?;

    heading(
        session,
        2,
        "Each gets its first one: ordered side by side, deployed together, and looked at",
    );
    // Nobody can wait for sixty days here, so the CA hands out one certificate that is old already.
    stage
        .ca()
        .age_next(sites::PROXY, Duration::from_hours(20 * 24));
    let mut words = vec!["site:renew-certificates"];
    for domain in sites::ALL {
        words.extend(["--domain", domain]);
    }
    stage.clpctl(session, &words, 0).await?;
    say("");
    stage.clpctl(session, &["site:list"], 0).await?;

    unattended(session, stage).await
}

/// What happens when nobody watches.
async fn unattended(session: &Session, stage: &Stage) -> Result<(), CommandError> {
    let say = |text: &str| session.console.say(text);
    heading(
        session,
        3,
        "The unattended run renews what is due, and touches nothing else",
    );
    stage
        .clpctl(session, &["site:renew-certificates"], 0)
        .await?;

    heading(
        session,
        4,
        "A second run has nothing to do: no order, no reload, no changed file",
    );
    let before = stage.ca().requests().total();
    stage
        .clpctl(session, &["site:renew-certificates"], 0)
        .await?;
    let asked = stage.ca().requests().total() - before;
    say(&format!(
        "{FAINT}The CA counted {asked} requests: when it would like the newest certificate renewed.{FAINT:#}"
    ));

    heading(
        session,
        5,
        "One site's DNS name disappears, and its renewal is tried",
    );
    stage.forget_name(sites::STATIC);
    stage
        .clpctl(
            session,
            &[
                "site:renew-certificates",
                "--domain",
                sites::STATIC,
                "--force",
            ],
            1,
        )
        .await?;
    say("");
    stage.clpctl(session, &["site:list"], 0).await?;
    say("");
    say(
        "The site goes on with the certificate it has, the CA was not asked, and the others did not notice.",
    );
    Ok(())
}

fn heading(session: &Session, number: u32, text: &str) {
    session
        .console
        .say(&format!("\n{LABEL}{number}. {text}{LABEL:#}"));
}
