//! When would the CAs like certificates renewed? Asked when it is time to, many at once.

use std::collections::HashMap;
use std::sync::Arc;

use futures_util::StreamExt as _;
use renewal::name::Name;
use renewal::plan::Remembered;
use renewal::ports::{
    Authority as _, Clock as _, Event, Memory as _, MemoryFailure, Observer as _,
};
use renewal::retry::Blame;
use renewal::site::Site;
use renewal::suggestion::Suggestion;
use tracing::Instrument as _;

use crate::world::World;

/// Asks about each of `sites` whose answer is too old, and remembers what is answered.
///
/// A CA that does not answer costs nothing but the question: the rules by lifetime go on.
pub(crate) async fn poll<W: World>(
    world: &W,
    sites: &[Arc<Site>],
    remembered: &mut HashMap<Name, Remembered>,
) -> Result<(), MemoryFailure> {
    let now = world.clock().now();
    let questions: Vec<_> = sites
        .iter()
        .filter(|site| site.policy.managed && !site.is_imported())
        .filter_map(|site| {
            let certificate = &site.current.as_ref()?.certificate;
            let id = certificate
                .id
                .as_ref()
                .filter(|_| !certificate.self_signed)?;
            let known = remembered
                .get(site.domain())
                .and_then(|known| known.suggestion.as_ref());
            let wanted = Suggestion::wanted(known, id, certificate.valid.end(), now);
            wanted.then(|| (Arc::clone(site), id.clone(), known.cloned()))
        })
        .collect();
    let questions: Vec<_> = questions
        .into_iter()
        .map(|(site, id, known)| async move {
            let about = tracing::info_span!("suggestion", domain = %site.domain());
            let asked = world.authority().suggestion(&site.policy.ca, &id);
            let answer = asked.instrument(about).await;
            world.observer().saw(Event::Asked(site.domain()));
            let suggestion = match answer {
                Ok(Some(answer)) => Suggestion::answered(known.as_ref(), &id, answer, now),
                Ok(None) => Suggestion::unanswered(known.as_ref(), &id, true, now),
                Err(failure) => {
                    let lasting = failure.blame == Blame::Ca;
                    tracing::debug!(domain = %site.domain(), %failure, "no suggested window");
                    Suggestion::unanswered(known.as_ref(), &id, lasting, now)
                }
            };
            (site.domain().clone(), suggestion)
        })
        .collect();
    let learnt: Vec<(Name, Suggestion)> = futures_util::stream::iter(questions)
        .buffer_unordered(QUESTIONS_AT_ONCE)
        .collect()
        .await;
    if learnt.is_empty() {
        return Ok(());
    }
    world.memory().remember_suggestions(&learnt)?;
    for (domain, suggestion) in learnt {
        remembered.entry(domain).or_default().suggestion = Some(suggestion);
    }
    Ok(())
}

/// Questions are small and the CA's limit for them is a thousand a second; this is politeness.
const QUESTIONS_AT_ONCE: usize = 16;
