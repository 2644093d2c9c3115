//! Which key and which chain are in these files, in whatever order people keep them?
//!
//! Shops and panels hand out certificates in every mix: the key first, the chain inside the certificate's file, the root
//! at the top, the same certificate twice. [`Bundle::read`] takes all files together: the leaf is the certificate that
//! the key belongs to, and above it each issuer follows the one that it signed. What belongs to neither is left out and
//! counted.

use renewal::secret::Secret;
use rustls_pki_types::pem::SectionKind;
use zeroize::Zeroizing;

use crate::chain::{Chain, ChainError, links};
use crate::facts::{self, FactsError, called};
use crate::key::{self, Form, KeyError};
use crate::pem::{self, PemError};

/// A private key and the chain of its certificate.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The key, alone, in PEM.
    pub key: Secret,
    /// The chain, leaf first.
    pub chain: Chain,
    /// How many certificates belong to no link of it.
    pub left_out: usize,
}

/// A file, by the name that people know it by.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// How it is called in messages.
    pub name: &'a str,
    /// What is in it.
    pub text: &'a [u8],
}

impl Bundle {
    /// Reads everything that is in the files.
    ///
    /// # Errors
    ///
    /// Says which check failed, and in which file; never shows what stands there.
    pub fn read(files: &[Source<'_>]) -> Result<Self, BundleError> {
        let found = Found::in_files(files)?;
        let (key, leaf) = found.pair()?;
        let (ders, left_out) = found.chain_above(leaf);
        let text: String = ders
            .iter()
            .map(|der| pem::encode("CERTIFICATE", der))
            .collect();
        Ok(Self {
            key: key.text.clone(),
            chain: Chain::read(text.as_bytes())?,
            left_out,
        })
    }
}

struct Key {
    text: Secret,
    public: Vec<u8>,
}

/// All keys and certificates, each once.
#[derive(Default)]
struct Found {
    keys: Vec<Key>,
    certificates: Vec<Vec<u8>>,
}

impl Found {
    fn in_files(files: &[Source<'_>]) -> Result<Self, BundleError> {
        let mut found = Self::default();
        for file in files {
            let of_file = |cause: Fault| BundleError::File {
                file: file.name.to_owned(),
                cause,
            };
            if key::is_encrypted(file.text) {
                return Err(of_file(KeyError::Encrypted.into()));
            }
            let text = pem::Text::new(file.text).map_err(|error| of_file(error.into()))?;
            for block in text.blocks() {
                let (kind, der) = block.map_err(|error| of_file(error.into()))?;
                found.take_in(kind, der).map_err(of_file)?;
            }
        }
        Ok(found)
    }

    fn take_in(&mut self, kind: SectionKind, der: Vec<u8>) -> Result<(), Fault> {
        let form = match kind {
            SectionKind::Certificate => {
                facts::parse(&der).map_err(|cause| Fault::Certificate {
                    position: self.certificates.len() + 1,
                    cause,
                })?;
                if !self.certificates.contains(&der) {
                    self.certificates.push(der);
                }
                return Ok(());
            }
            SectionKind::PrivateKey => Form::Pkcs8,
            SectionKind::RsaPrivateKey => Form::Pkcs1,
            SectionKind::EcPrivateKey => Form::Sec1,
            _ => return Ok(()),
        };
        let text = key::to_pem(form, &Zeroizing::new(der));
        let pair = key::read(&text)?;
        let public = pair.public_key_raw().to_vec();
        if self.keys.iter().all(|known| known.public != public) {
            self.keys.push(Key { text, public });
        }
        Ok(())
    }

    /// Finds the one key and the one certificate that belong together.
    fn pair(&self) -> Result<(&Key, usize), BundleError> {
        if self.keys.is_empty() {
            return Err(BundleError::NoKey);
        }
        if self.certificates.is_empty() {
            return Err(BundleError::NoCertificate);
        }
        let mut pairs = Vec::new();
        for (index, der) in self.certificates.iter().enumerate() {
            let Ok(certificate) = facts::parse(der) else {
                continue;
            };
            let public = &certificate.public_key().subject_public_key.data;
            let key = self.keys.iter().find(|key| key.public == **public);
            pairs.extend(key.map(|key| (key, index)));
        }
        let Some((key, first)) = pairs.first().copied() else {
            return Err(BundleError::KeyDoesNotFit(self.subjects()));
        };
        if pairs.iter().any(|(other, _)| other.public != key.public) {
            return Err(BundleError::TwoLeaves);
        }
        // A renewal may have kept the key: the newest is meant.
        let newest = pairs.iter().map(|(_, index)| *index);
        let newest = newest.max_by_key(|index| self.end_of(*index));
        Ok((key, newest.unwrap_or(first)))
    }

    fn end_of(&self, index: usize) -> Option<i64> {
        let certificate = facts::parse(&self.certificates[index]).ok()?;
        Some(certificate.validity().not_after.timestamp())
    }

    /// Follows the issuers from the leaf upwards; returns also how many certificates are no part of that.
    fn chain_above(&self, leaf: usize) -> (Vec<&[u8]>, usize) {
        let mut rest: Vec<&[u8]> = self.certificates.iter().map(Vec::as_slice).collect();
        let mut chain = vec![rest.remove(leaf)];
        while let Some(last) = chain.last()
            && let Some(next) = rest.iter().position(|issuer| links(last, issuer))
        {
            chain.push(rest.remove(next));
        }
        (chain, rest.len())
    }

    fn subjects(&self) -> String {
        let names: Vec<String> = self
            .certificates
            .iter()
            .filter_map(|der| {
                let certificate = facts::parse(der).ok()?;
                let name = called(certificate.subject());
                // Let's Encrypt's leaves have an empty subject.
                let san = || facts::facts(&certificate, der).ok()?.names.first().cloned();
                let name = match name.is_empty() {
                    true => san().map_or(name, |san| san.to_string()),
                    false => name,
                };
                Some(format!("“{name}”"))
            })
            .collect();
        names.join(", ")
    }
}

/// The files hold no key with its certificate.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// What stands in one of them.
    #[error("{file}: {cause}")]
    File {
        /// The file.
        file: String,
        /// What is wrong with it.
        cause: Fault,
    },
    /// Nothing to prove the certificate with.
    #[error("there is no private key in it")]
    NoKey,
    /// Nothing to serve.
    #[error("there is no certificate in it")]
    NoCertificate,
    /// nginx would refuse the pair.
    #[error("the private key belongs to none of the certificates: {0}")]
    KeyDoesNotFit(String),
    /// It is not said which one is meant.
    #[error("there are several certificates with their keys in it; give one")]
    TwoLeaves,
    /// The chain as a whole.
    #[error(transparent)]
    Chain(#[from] ChainError),
}

/// What is wrong with one file.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// It is no PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// A key in it.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A certificate in it.
    #[error("certificate {position} is not usable: {cause}")]
    Certificate {
        /// Which, counted from 1 over all files.
        position: usize,
        /// Why.
        cause: FactsError,
    },
}

#[cfg(test)]
mod tests;
