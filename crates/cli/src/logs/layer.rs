//! Which event goes into which log?

use std::sync::{Mutex, PoisonError};

use tracing::span::{Attributes, Id};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;

use super::files::LogFile;
use super::line::Fields;
use crate::clock::SystemClock;

/// Writes events to log files.
pub(super) struct LogLayer {
    all: Option<Mutex<LogFile>>,
    acme: Option<Mutex<LogFile>>,
    clock: SystemClock,
    level: Level,
}

impl LogLayer {
    pub(super) fn new(
        all: Option<LogFile>,
        acme: Option<LogFile>,
        clock: SystemClock,
        level: Level,
    ) -> Self {
        Self {
            all: all.map(Mutex::new),
            acme: acme.map(Mutex::new),
            clock,
            level,
        }
    }

    fn wants(&self, metadata: &Metadata<'_>) -> bool {
        // The conversation with the CA is kept whole, whatever the level: it is what support asks for.
        is_acme(metadata) || (*metadata.level() <= self.level && is_ours(metadata))
    }
}

/// Which site the events inside a span are about.
struct About(Fields);

impl<S: Subscriber + for<'span> LookupSpan<'span>> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.wants(metadata)
    }

    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let mut fields = Fields::default();
        attributes.record(&mut fields);
        if let Some(span) = context.span(id) {
            span.extensions_mut().insert(About(fields));
        }
    }

    fn on_event(&self, event: &Event<'_>, context: Context<'_, S>) {
        let metadata = event.metadata();
        let mut fields = Fields::default();
        event.record(&mut fields);
        for span in context.event_scope(event).into_iter().flatten() {
            if let Some(About(outer)) = span.extensions().get() {
                fields.inherit_domain(outer);
            }
        }
        let line = fields.to_line(self.clock.now(), *metadata.level());
        // Nobody can be told that the log is full: that would be logged.
        let write = |file: &Mutex<LogFile>| {
            let _ = file
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .append(&line);
        };
        if is_acme(metadata) {
            self.acme.iter().for_each(write);
        }
        if *metadata.level() <= self.level {
            self.all.iter().for_each(write);
        }
    }
}

/// Makes the layer the process's own; the first one stays.
pub(super) fn install(layer: LogLayer) {
    let _ = tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer));
}

/// The crate `acme` and its modules, or anything that says so.
fn is_acme(metadata: &Metadata<'_>) -> bool {
    metadata.target().split("::").next() == Some("acme")
}

/// Libraries say things that mean nothing to our users, and that nobody checked for secrets.
fn is_ours(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    OURS.contains(&root)
}

/// Our crates.
const OURS: [&str; 10] = [
    "cli",
    "clpctl",
    "acme",
    "nginx",
    "doctor",
    "store",
    "cloudpanel",
    "reconcile",
    "renewal",
    "testca",
];

#[cfg(test)]
mod tests {
    use super::LogLayer;
    use crate::clock::SystemClock;
    use crate::logs::files::LogFile;
    use tracing::Level;
    use tracing_subscriber::layer::SubscriberExt;

    #[test]
    fn events_are_lines_secrets_are_left_out_and_the_ca_has_its_own_log() {
        let folder = tempfile::tempdir().unwrap();
        let (all, acme) = (folder.path().join("all"), folder.path().join("acme"));
        let open = |path| Some(LogFile::open(path, 0o600, 1 << 20, 1).unwrap());
        let layer = LogLayer::new(open(&all), open(&acme), SystemClock::default(), Level::INFO);
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(
                domain = "a.test",
                attempt = 2,
                detail = "two words\nand a line",
                "ordering"
            );
            tracing::debug!("too small");
            tracing::error!(target: "hyper", "a stranger");
            tracing::debug!(target: "acme", token = "abc", body = "LoqXcYV8q5ONbJQxbmR7SCTNo3tiAXDfowyjxAjEuX0", "POST new-order");
            let about = tracing::info_span!(target: "reconcile", "order", domain = %"b.test");
            about.in_scope(|| {
                tracing::info!(target: "acme::order", nonce = %"abc", "placed");
                tracing::info!(domain = "c.test", "about another");
            });
        });
        let read = |path| std::fs::read_to_string(path).unwrap();
        let plain = |text: String| {
            let lines = text
                .lines()
                .map(|line| line.split_once(' ').unwrap().1.to_owned());
            lines.collect::<Vec<_>>()
        };
        let text = read(&all);
        assert!(
            text.split(' ')
                .next()
                .unwrap()
                .parse::<jiff::Timestamp>()
                .is_ok(),
            "{text}"
        );
        assert_eq!(
            plain(text),
            [
                "INFO domain=a.test ordering attempt=2 detail=\"two words\\nand a line\"",
                "INFO domain=b.test placed nonce=…",
                "INFO domain=c.test about another"
            ]
        );
        assert_eq!(
            plain(read(&acme)),
            [
                "DEBUG POST new-order token=… body=…",
                "INFO domain=b.test placed nonce=…"
            ]
        );
    }
}
