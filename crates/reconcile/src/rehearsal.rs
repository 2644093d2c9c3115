//! What would come of an order now, as far as this host can see?
//!
//! The same looks that a pass takes before it places an order, and nothing after them: no CA is asked for anything,
//! and nothing is remembered.

use renewal::challenge::{Reached, Way};
use renewal::dead_names::leave_out;
use renewal::finding::{Finding, FindingName};
use renewal::ports::{Clock as _, Memory as _, MemoryFailure};
use renewal::retry::Attempts;
use renewal::site::Site;

use crate::answers::Answers;
use crate::checking::{Checked, Possible, all, check};
use crate::ordering::{Terms, must_wait};
use crate::world::World;

/// What would become of the CA's question.
#[derive(Clone, Debug)]
pub enum Rehearsed {
    /// It would be answered by this way: a probe came through, at these addresses.
    Answered(Way, Vec<Reached>),
    /// It would be answered once our line is in the vhost; holds what stands in the way until then.
    AfterLine(Vec<Finding>),
    /// It would be answered for the site's domain, and the names for which it would not are left out; holds what is to
    /// be said of them.
    WithoutNames(Vec<Finding>),
    /// It would not be answered; holds why, the cause first.
    Failed(Vec<Finding>),
}

/// Fetches a probe for every wanted name, by the way that a pass would choose.
///
/// Without an account there is no `thumbprint` with which a line could agree; other ways work all the same.
pub async fn way_in<W: World>(
    world: &W,
    site: &Site,
    attempts: Option<&Attempts>,
    thumbprint: Option<&str>,
    nginx_runs: bool,
) -> Rehearsed {
    let possible = if nginx_runs {
        Possible::ByNginx {
            line_may_help: Attempts::line_may_help(attempts, world.clock().now()),
        }
    } else {
        Possible::WithoutNginx
    };
    let answers = Answers::default();
    let thumbprint = thumbprint.unwrap_or(NO_ACCOUNT);
    match check(world, &answers, site, thumbprint, possible).await {
        Checked::Works(way, at) => Rehearsed::Answered(way, at),
        Checked::Partly(_, stumbled) => match leave_out(site, &stumbled, world.clock().now()) {
            Some(narrowed) => Rehearsed::WithoutNames(narrowed.findings),
            None => Rehearsed::Failed(all(&stumbled)),
        },
        Checked::NeedsLine(findings) => Rehearsed::AfterLine(findings),
        Checked::Hopeless(findings) => Rehearsed::Failed(findings),
    }
}

/// Asks what is remembered whether the CA would take an order for the site now; returns what it would say.
///
/// # Errors
///
/// When what is remembered cannot be read.
pub fn may_order<W: World>(
    world: &W,
    site: &Site,
    attempts: Option<&Attempts>,
) -> Result<Vec<Finding>, MemoryFailure> {
    let now = world.clock().now();
    let mut ledger = world.memory().ledger()?;
    // As a run would, but for writing it down.
    ledger.mend(now);
    if let Err(refusal) = ledger.allows(Terms::default().facts(site, now), now) {
        return Ok(must_wait(refusal).findings);
    }
    let told = attempts.filter(|attempts| attempts.told && attempts.retry_at > now);
    let waits = told.map(|attempts| {
        Finding::new(
            FindingName::RateLimited,
            "the CA named a moment before which it takes no order",
        )
        .detail(&attempts.cause)
        .fix(format!(
            "nothing: it is tried again after {}",
            attempts.retry_at
        ))
    });
    Ok(waits.into_iter().collect())
}

/// Stands in for a thumbprint in our own probes; none is as short.
const NO_ACCOUNT: &str = "no-account-yet";

#[cfg(test)]
mod tests {
    use super::{Rehearsed, may_order, way_in};
    use crate::fakes::FakeWorld;
    use renewal::ports::{Host as _, Known};

    #[tokio::test]
    async fn a_site_that_answers_is_ready_and_the_ca_hears_nothing() {
        let world = FakeWorld::new(&["a.test/10"]);
        let look = world.host.look(&Known::new()).await.unwrap();
        let site = &look.sites[0];
        let rehearsed = way_in(&*world, site, None, None, true).await;
        assert!(
            matches!(rehearsed, Rehearsed::Answered(..)),
            "{rehearsed:?}"
        );
        assert_eq!(may_order(&*world, site, None).unwrap(), Vec::new());
    }
}
