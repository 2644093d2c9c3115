//! Which blocks does a PEM text hold?
//!
//! Strict about what counts, lenient about what people do to such files: text between the blocks, CRLF, blanks
//! at either end of a line, a byte order mark.

use rustls_pki_types::pem::{self, PemObject as _, SectionKind};
use zeroize::Zeroizing;

/// One block, decoded.
pub(crate) type Block = (SectionKind, Vec<u8>);

/// A private key, decoded; wiped when it is dropped.
pub(crate) type Key = (SectionKind, Zeroizing<Vec<u8>>);

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

    /// Decodes the first private key, and leaves no copy of it behind, as a general reader would.
    pub(crate) fn private_key(&self) -> Result<Option<Key>, PemError> {
        let mut lines = self.0.split(|byte| *byte == b'\n');
        let begins = |line: &[u8]| {
            let kind = PRIVATE_KEYS
                .iter()
                .find(|(begin, ..)| line == begin.as_bytes());
            kind.copied()
        };
        let Some((_, end, kind)) = lines.find_map(begins) else {
            return Ok(None);
        };
        let mut body = Zeroizing::new(Vec::with_capacity(self.0.len()));
        for line in lines {
            if line == end.as_bytes() {
                return decode(&body).map(|der| Some((kind, der)));
            }
            body.extend_from_slice(line);
        }
        Err(PemError::Damaged(NO_END))
    }

    /// Decodes block after block.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = Result<Block, PemError>> {
        Block::pem_slice_iter(&self.0)
            .map(|block| block.map_err(|error| PemError::Damaged(describe(&error))))
    }
}

fn decode(body: &[u8]) -> Result<Zeroizing<Vec<u8>>, PemError> {
    use base64::Engine as _;
    // Large enough from the start: where a buffer grows, its old place keeps a copy.
    let mut der = Zeroizing::new(Vec::with_capacity(body.len()));
    base64::engine::general_purpose::STANDARD
        .decode_vec(body, &mut der)
        .map_err(|_| PemError::Damaged(NO_BASE64))?;
    Ok(der)
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
        pem::Error::MissingSectionEnd { .. } => NO_END,
        pem::Error::IllegalSectionStart { .. } => "its BEGIN line is not closed",
        pem::Error::Base64Decode(_) => NO_BASE64,
        _ => "it cannot be read",
    }
}

const NO_END: &str = "its END line is missing";
const NO_BASE64: &str = "what stands in it is not base64";

/// How a private key begins and ends (RFC 5958, RFC 8017, RFC 5915).
const PRIVATE_KEYS: [(&str, &str, SectionKind); 3] = [
    (
        "-----BEGIN PRIVATE KEY-----",
        "-----END PRIVATE KEY-----",
        SectionKind::PrivateKey,
    ),
    (
        "-----BEGIN RSA PRIVATE KEY-----",
        "-----END RSA PRIVATE KEY-----",
        SectionKind::RsaPrivateKey,
    ),
    (
        "-----BEGIN EC PRIVATE KEY-----",
        "-----END EC PRIVATE KEY-----",
        SectionKind::EcPrivateKey,
    ),
];

/// A chain of ten RSA-4096 certificates has a quarter of this.
const TEXT_BYTES_MAX: usize = 128 * 1024;

/// RFC 7468 section 2.
const LINE_CHARACTERS: usize = 64;

/// What some editors put in front (UTF-8).
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
