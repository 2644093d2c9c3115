//! How does the program talk to people and to other programs?
//!
//! Results go to standard output, everything else to standard error. This is the only module that writes to
//! either, so that colour, width and a reader who went away are dealt with once.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};

use crate::arguments::{Color, Global};
use crate::environment::Environment;
use crate::errors::{CommandError, Kind};

/// The two streams, and how the user wants them used.
#[derive(Clone)]
pub struct Console {
    out: Stream,
    err: Stream,
    /// Whether results are JSON documents.
    pub json: bool,
    /// Whether only results and errors are written.
    pub quiet: bool,
    /// Whether more is said.
    pub verbose: bool,
    /// The columns of standard output; `None` when it is no terminal, so that lines are not cut.
    pub width: Option<usize>,
    /// Whether standard error is a terminal, so that progress can be drawn.
    pub draws: bool,
}

type Stream = Arc<Mutex<Box<dyn Write + Send>>>;

impl Console {
    /// Opens the streams of the process.
    #[must_use]
    pub fn new(global: &Global, environment: &Environment) -> Self {
        let (out, err) = (io::stdout(), io::stderr());
        let width = out.is_terminal().then(|| {
            let asked = || rustix::termios::tcgetwinsize(io::stdout()).ok();
            let columns = || asked().map(|size| usize::from(size.ws_col));
            environment
                .columns()
                .or_else(columns)
                .filter(|columns| *columns > 0)
                .unwrap_or(COLUMNS_USUAL)
        });
        let draws = err.is_terminal() && environment.get("TERM") != Some("dumb");
        let out_choice = choice(global.color, environment, out.is_terminal());
        let err_choice = choice(global.color, environment, err.is_terminal());
        Self {
            out: stream(AutoStream::new(out, out_choice)),
            err: stream(AutoStream::new(err, err_choice)),
            json: global.json,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            width,
            draws,
        }
    }

    /// Writes to memory, for tests; returns what was written to each stream.
    #[must_use]
    pub fn captured(json: bool) -> (Self, Captured, Captured) {
        let (out, err) = (Captured::default(), Captured::default());
        let console = Self {
            out: stream(out.clone()),
            err: stream(err.clone()),
            json,
            quiet: false,
            verbose: false,
            width: None,
            draws: false,
        };
        (console, out, err)
    }

    /// Writes a result.
    ///
    /// # Errors
    ///
    /// When the reader went away, or the disk behind a redirection is full.
    pub fn result(&self, text: &str) -> Result<(), CommandError> {
        let written = write_all(&self.out, text);
        written.map_err(|cause| {
            let mut error = CommandError::file("The result could not be written.", &cause);
            if cause.kind() == io::ErrorKind::BrokenPipe {
                error.kind = Kind::ReaderGone;
            }
            error
        })
    }

    /// Writes a document as JSON, indented, with a line end.
    ///
    /// # Errors
    ///
    /// As [`Console::result`].
    pub fn document(&self, document: &impl serde::Serialize) -> Result<(), CommandError> {
        let text = serde_json::to_string_pretty(document).map_err(|cause| {
            CommandError::defect("A result could not be written as JSON.").because(&cause)
        })?;
        self.result(&(text + "\n"))
    }

    /// Writes a line about what goes on, unless only results are wanted.
    pub fn say(&self, line: &str) {
        if !self.quiet {
            self.insist(line);
        }
    }

    /// Writes a line that must be seen even with `--quiet`.
    pub fn warn(&self, text: &str) {
        self.insist(&format!("{WARNING}warning:{WARNING:#} {text}"));
    }

    /// Writes an error: for people, and as a document when JSON was asked for.
    pub fn error(&self, error: &CommandError) {
        if error.kind == Kind::ReaderGone {
            return;
        }
        if self.json {
            // The error itself is what matters; a reader who went away cannot be told.
            let _ = self.document(&error.to_json());
        }
        let mut text = String::new();
        for (label, line) in error.lines() {
            let style = if label == "error" { ERROR } else { LABEL };
            let line = line.replace('\n', "\n  ");
            text.push_str(&format!("{style}{label}:{style:#} {line}\n"));
        }
        let _ = write_all(&self.err, &text);
    }

    fn insist(&self, line: &str) {
        // Nobody can be told that nobody listens.
        let _ = write_all(&self.err, &format!("{line}\n"));
    }
}

/// What was written to a stream that is kept in memory.
#[derive(Clone, Default)]
pub struct Captured(Arc<Mutex<Vec<u8>>>);

impl Captured {
    /// Returns it as text, without colours.
    #[must_use]
    pub fn text(&self) -> String {
        let bytes = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        anstream::adapter::strip_str(&String::from_utf8_lossy(&bytes)).to_string()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn stream(writer: impl Write + Send + 'static) -> Stream {
    Arc::new(Mutex::new(Box::new(writer)))
}

fn write_all(stream: &Stream, text: &str) -> io::Result<()> {
    let mut stream = stream
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

fn choice(color: Color, environment: &Environment, terminal: bool) -> anstream::ColorChoice {
    match color {
        Color::Always => anstream::ColorChoice::AlwaysAnsi,
        Color::Auto if terminal && !environment.no_color() => anstream::ColorChoice::AlwaysAnsi,
        Color::Auto | Color::Never => anstream::ColorChoice::Never,
    }
}

/// What failed.
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
/// What deserves attention.
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
/// What is well.
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
/// What introduces something.
pub(crate) const LABEL: Style = Style::new().bold();
/// What may be overlooked.
pub(crate) const FAINT: Style = Style::new().dimmed();

/// The columns of a terminal that does not say.
const COLUMNS_USUAL: usize = 80;
