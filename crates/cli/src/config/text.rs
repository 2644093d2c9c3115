//! Can the configuration file be read, and is it TOML?

use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::problem::Place;
use crate::errors::{AS_ROOT, CommandError};

/// A configuration file that is TOML.
pub(super) struct Parsed<'t> {
    path: PathBuf,
    text: &'t str,
    /// Where each line begins: places are asked for by the thousand.
    lines: Vec<usize>,
    /// Its tables.
    pub(super) table: DeTable<'t>,
}

impl Parsed<'_> {
    /// Returns the place at which a span begins.
    pub(super) fn place(&self, span: &Range<usize>) -> Place {
        place(&self.path, self.text, &self.lines, span.start)
    }
}

/// Reads the file; a missing one is an error only when it `must` exist.
pub(super) fn read(path: &Path, must: bool) -> Result<Option<String>, CommandError> {
    let refuse = |what: &str| {
        Err(CommandError::usage(format!(
            "The configuration file {} {what}, so nothing was done.",
            path.display()
        )))
    };
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(cause) if cause.kind() == std::io::ErrorKind::NotFound && !must => return Ok(None),
        Err(cause) => return Err(unreadable(path, &cause)),
    };
    // A pipe or a device could keep us waiting for ever.
    if !metadata.is_file() {
        return refuse("is not a file");
    }
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).map_err(|cause| unreadable(path, &cause))?;
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| unreadable(path, &cause))?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > BYTES_MAX) {
        return refuse("is larger than 1 MiB");
    }
    match String::from_utf8(bytes) {
        Ok(text) => Ok(Some(text)),
        Err(error) => {
            let good = error.utf8_error().valid_up_to();
            let before = &error.as_bytes()[..good];
            let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
            refuse(&format!("is not UTF-8 (line {line})"))
        }
    }
}

/// Reads the text as TOML.
pub(super) fn parse<'t>(path: &Path, text: &'t str) -> Result<Parsed<'t>, CommandError> {
    let breaks = text.match_indices('\n').map(|(at, _)| at + 1);
    let lines: Vec<usize> = std::iter::once(0).chain(breaks).collect();
    match DeTable::parse(text) {
        Ok(table) => Ok(Parsed {
            path: path.to_owned(),
            text,
            lines,
            table: table.into_inner(),
        }),
        Err(error) => {
            let start = error.span().map_or(0, |span| span.start);
            let place = place(path, text, &lines, start);
            let cause = format!("{place}: {}", error.message());
            Err(
                CommandError::usage("The configuration file is not TOML, so nothing was done.")
                    .cause(cause),
            )
        }
    }
}

fn unreadable(path: &Path, cause: &std::io::Error) -> CommandError {
    let error = CommandError::usage(format!(
        "The configuration file {} cannot be read, so nothing was done.",
        path.display()
    ));
    let error = error.because(cause);
    if cause.kind() == std::io::ErrorKind::PermissionDenied {
        error.hint(AS_ROOT)
    } else {
        error
    }
}

fn place(path: &Path, text: &str, lines: &[usize], at: usize) -> Place {
    let line = lines.partition_point(|start| *start <= at).max(1);
    let before = text.get(lines[line - 1]..at).unwrap_or_default();
    Place {
        file: path.to_owned(),
        line,
        column: before.chars().count() + 1,
    }
}

/// A configuration with a thousand sites has a tenth of this.
const BYTES_MAX: u64 = 1 << 20;
