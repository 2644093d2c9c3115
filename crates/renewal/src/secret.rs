//! How does a secret stay out of logs?

/// A private key in PEM. It cannot be printed: `Debug` says nothing, and there is no `Display`.
#[derive(Clone, Eq, PartialEq)]
pub struct Secret(String);

impl Secret {
    /// Takes the text in.
    #[must_use]
    pub fn new(pem: String) -> Self {
        Self(pem)
    }

    /// Returns the text. Each call is a place where it could leak, so there are few.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
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
