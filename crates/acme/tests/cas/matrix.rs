//! What comes of each of a CA's refusals at each step of the protocol?
//!
//! A cell is one text said at one step, again and again, in a run that would otherwise go well. It must end in bounded
//! time, with the finding that the words mean, without a second order and without an answer left behind; and the next
//! run, with the CA mended, must get the certificate.

use std::time::Duration;

use renewal::finding::FindingName;
use testca::{Endpoint, Fault, FinalizationFault, ProblemKind};

use crate::rig::Rig;
use crate::texts::Text;

/// The steps of an order, in their order. The order itself is looked at while the CA signs.
pub(crate) const STEPS: [Endpoint; 9] = [
    Endpoint::Directory,
    Endpoint::NewNonce,
    Endpoint::NewAccount,
    Endpoint::NewOrder,
    Endpoint::Authorization,
    Endpoint::Challenge,
    Endpoint::Finalize,
    Endpoint::Order,
    Endpoint::Certificate,
];

/// Plays one cell.
pub(crate) async fn cell(step: Endpoint, text: &Text) -> Result<Duration, String> {
    let mut faults = vec![Fault::new(text.effect.clone()).at(step)];
    if step == Endpoint::Order {
        faults.push(Fault::new(FinalizationFault::Processing { polls: 2 }));
    }
    let rig = Rig::with(faults).await;
    let (run, failure) = rig.fails_and_is_mended("a.test").await?;
    let found = failure.findings[0].name;
    if !right(step, text).contains(&found) {
        return Err(format!("{found}: {failure:?}"));
    }
    let took = run.took;
    if took > longest(step, text) {
        return Err(format!("it took {took:?}"));
    }
    // The mended run orders anew unless the order can be taken up.
    let allowed = 1 + u64::from(!failure.resumable);
    if step != Endpoint::NewOrder && rig.orders() > allowed {
        return Err(format!("{} orders; {failure:?}", rig.orders()));
    }
    if rig.ca.issued() > 1 {
        return Err(format!("{} certificates", rig.ca.issued()));
    }
    Ok(took)
}

/// Says whether a cell ends within seconds. In the others the words mean that the CA is still at work, and it is waited
/// for.
pub(crate) fn is_quick(step: Endpoint, text: &Text) -> bool {
    match text.kind {
        Some(ProblemKind::Malformed) => step != Endpoint::Challenge,
        Some(ProblemKind::OrderNotReady) => step != Endpoint::Finalize,
        _ => true,
    }
}

fn right(step: Endpoint, text: &Text) -> Vec<FindingName> {
    let busy = text.status >= 500 || text.status == 429;
    match step {
        // A reply to HEAD has no words.
        Endpoint::NewNonce if busy => vec![FindingName::CaBusy],
        Endpoint::NewNonce => vec![FindingName::OrderRejected],
        // It was told to look already, as it seems; what it saw is waited for.
        Endpoint::Challenge | Endpoint::Finalize if !is_quick(step, text) => {
            vec![FindingName::CaBusy]
        }
        _ => text.right.clone(),
    }
}

fn longest(step: Endpoint, text: &Text) -> Duration {
    match step {
        Endpoint::Challenge if !is_quick(step, text) => {
            acme::bounds::VALIDATION_LONGEST + Duration::from_secs(30)
        }
        Endpoint::Finalize if !is_quick(step, text) => Duration::from_secs(60),
        // A few waits of a second, on a machine that is busy with other tests.
        _ => Duration::from_secs(30),
    }
}
