//! How does a secret stay out of logs, and out of memory that is given back?

use zeroize::Zeroizing;

/// A private key in PEM. It cannot be printed: `Debug` says nothing, and there is no `Display`. Its memory is wiped when
/// it is dropped, that of each clone too.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text in, as it is: no copy of it is left behind.
    #[must_use]
    pub fn new(pem: String) -> Self {
        Self(Zeroizing::new(pem))
    }

    /// Returns the text. Each call is a place where it could leak, so there are few.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(pem: Zeroizing<String>) -> Self {
        Self(pem)
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_secret_is_not_printed() {
        let secret = super::Secret::new("-----BEGIN PRIVATE KEY-----".to_owned());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
