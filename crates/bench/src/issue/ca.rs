//! When did the CA get its first order, and when was the last certificate fetched?
//!
//! Read off pebble's log while it grows, for its own times are in whole seconds; the same way for every client.

use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Someone who reads the CA's log as it is written.
pub(super) struct Watch {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Option<f64>>,
}

impl Watch {
    /// Begins to read.
    pub(super) fn start(log: &Path) -> std::io::Result<Self> {
        let mut log = File::open(log)?;
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut seen = Seen::default();
            let mut text = String::new();
            loop {
                let last = stopped.load(Ordering::Relaxed);
                text.clear();
                // What is cut inside a letter is read again; pebble's log is plain ASCII anyway.
                let _ = log.read_to_string(&mut text);
                seen.lines(&text, Instant::now());
                if last {
                    return seen.phase().map(|phase| phase.as_secs_f64());
                }
                thread::sleep(INTERVAL);
            }
        });
        Ok(Self { stop, thread })
    }

    /// Returns the seconds between the first order and the last certificate, if both were seen.
    pub(super) fn finish(self) -> Option<f64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().ok().flatten()
    }
}

#[derive(Default)]
struct Seen {
    first_order: Option<Instant>,
    last_certificate: Option<Instant>,
}

impl Seen {
    fn lines(&mut self, text: &str, now: Instant) {
        if text.contains("/order-plz -> calling handler()") {
            self.first_order.get_or_insert(now);
        }
        if text.contains(" /certZ/") {
            self.last_certificate = Some(now);
        }
    }

    fn phase(&self) -> Option<Duration> {
        self.last_certificate?
            .checked_duration_since(self.first_order?)
    }
}

/// How often the log is looked at: little beside the half second that a hundred orders take.
const INTERVAL: Duration = Duration::from_millis(1);
