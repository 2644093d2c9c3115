//! What comes of a run whose connections are cut?

use std::time::Duration;

use crate::cutter::{Cuts, Cutter};
use crate::rig::{Rig, issued};

/// Returns how many bytes a whole run sends and receives.
pub(crate) async fn length() -> u64 {
    let (rig, cutter) = between(Cuts::Once(u64::MAX)).await;
    let request = rig.request("a.test");
    let run = rig.run(&request).await;
    issued(&run.outcome, &request).expect("nothing is cut");
    cutter.passed()
}

/// Plays a run. One cut must not be noticed; where all connections are cut, the run may fail, in bounded time, and the
/// next one, past the proxy, must get the certificate.
pub(crate) async fn play(cuts: Cuts) -> Result<(), String> {
    let (rig, cutter) = between(cuts).await;
    let request = rig.request("a.test");
    let first = rig.run(&request).await;
    if first.took > LONGEST {
        return Err(format!("it took {:?}", first.took));
    }
    match cuts {
        Cuts::Once(_) => issued(&first.outcome, &request)?,
        Cuts::Each(_) => {
            if let Err(failure) = &first.outcome {
                assert!(!failure.findings.is_empty());
                drop(cutter);
                let (past, _cutter) = between(Cuts::Once(u64::MAX)).await;
                let request = past.request("a.test");
                issued(&past.run(&request).await.outcome, &request)?;
                return Ok(());
            }
        }
    }
    match rig.ca.issued() {
        1 => Ok(()),
        several => Err(format!("{several} certificates")),
    }
}

/// A CA behind a proxy. It gives an open order back, as Let's Encrypt does, when it is asked for the same once more.
async fn between(cuts: Cuts) -> (Rig, Cutter) {
    let mut cutter = Cutter::bind().await;
    let port = cutter.port;
    let rig = Rig::new(|options| {
        options.advertised_port = Some(port);
        options.reuse_orders = true;
    })
    .await;
    cutter.start(rig.ca.address(), cuts);
    (rig, cutter)
}

/// A few waits of seconds after connections that are lost, on a busy machine.
const LONGEST: Duration = Duration::from_secs(60);
