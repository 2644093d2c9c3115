//! Which blocks does a PEM text hold?
//!
//! Strict about what counts, lenient about what people do to such files: text between the blocks, CRLF, blanks
//! at either end of a line, a byte order mark.

use rustls_pki_types::pem::{self, PemObject as _, SectionKind};
use zeroize::Zeroizing;

/// One block, decoded.
pub(crate) type Block = (SectionKind, Vec<u8>);

/// A PEM text whose lines are tidied. It may hold a key.
pub(crate) struct Text(Zeroizing<Vec<u8>>);

impl Text {
    /// Drops what surrounds each line.
    pub(crate) fn new(text: &[u8]) -> Result<Self, PemError> {
        if text.len() > TEXT_BYTES_MAX {
            return Err(PemError::TooLong(text.len()));
        }
        let text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        let mut tidy = Zeroizing::new(Vec::with_capacity(text.len() + 1));
        for line in text.split(|byte| *byte == b'\n') {
            tidy.extend_from_slice(line.trim_ascii());
            tidy.push(b'\n');
        }
        Ok(Self(tidy))
    }

    /// Decodes block after block.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Result<Block, PemError>> {
        Block::pem_slice_iter(&self.0)
            .map(|block| block.map_err(|error| PemError::Damaged(describe(&error))))
    }
}

/// Encodes one block, in lines of 64 characters (RFC 7468 section 2).
pub(crate) fn encode(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    // It may be a key.
    let body = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(der));
    let mut text = String::with_capacity(body.len() + body.len() / LINE_CHARACTERS + 64);
    text.push_str("-----BEGIN ");
    text.push_str(label);
    text.push_str("-----\n");
    let mut rest = body.as_str();
    while !rest.is_empty() {
        let (line, more) = rest.split_at(rest.len().min(LINE_CHARACTERS));
        text.push_str(line);
        text.push('\n');
        rest = more;
    }
    text.push_str("-----END ");
    text.push_str(label);
    text.push_str("-----\n");
    text
}

/// The text is no PEM.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PemError {
    /// Nobody has a chain or a key this long.
    #[error("it has {0} bytes, and {TEXT_BYTES_MAX} are allowed")]
    TooLong(usize),
    /// A block begins and never ends, or what stands in it is not base64.
    #[error("a PEM block is damaged: {0}")]
    Damaged(&'static str),
}

/// Says what is wrong without showing what stands there: it may be a key.
fn describe(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "its END line is missing",
        pem::Error::IllegalSectionStart { .. } => "its BEGIN line is not closed",
        pem::Error::Base64Decode(_) => "what stands in it is not base64",
        _ => "it cannot be read",
    }
}

/// A chain of ten RSA-4096 certificates has a quarter of this.
const TEXT_BYTES_MAX: usize = 128 * 1024;

/// RFC 7468 section 2.
const LINE_CHARACTERS: usize = 64;

/// What some editors put in front (UTF-8).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
