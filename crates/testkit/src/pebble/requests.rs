//! How many requests did the test CA get, and of which kind?

/// Requests by kind.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Requests {
    /// Reads of the directory.
    pub directory: usize,
    /// Nonces asked for, rather than taken from a reply.
    pub new_nonce: usize,
    /// Accounts made or looked up.
    pub new_account: usize,
    /// Orders made.
    pub new_order: usize,
    /// Orders looked at.
    pub order: usize,
    /// Authorizations looked at.
    pub authorization: usize,
    /// Challenges answered or looked at.
    pub challenge: usize,
    /// Certificates asked to be made.
    pub finalize: usize,
    /// Certificates fetched.
    pub certificate: usize,
    /// Renewal information (ARI) asked for.
    pub renewal_info: usize,
    /// Everything else.
    pub other: usize,
}

impl Requests {
    /// Counts the lines `METHOD /path -> calling handler()`. Two questions that the fixture itself asks, about a
    /// certificate and about roots, are left out.
    pub(super) fn in_log(log: &str) -> Self {
        let mut requests = Self::default();
        for path in log.lines().filter_map(path) {
            match requests.count(path) {
                Some(count) => *count += 1,
                None => continue,
            }
        }
        requests
    }

    /// Returns the sum.
    #[must_use]
    pub fn total(&self) -> usize {
        self.of_orders()
            + self.directory
            + self.new_nonce
            + self.new_account
            + self.renewal_info
            + self.other
    }

    /// Returns the sum of those that an order needs.
    #[must_use]
    pub fn of_orders(&self) -> usize {
        let looked = self.order + self.authorization + self.challenge;
        self.new_order + looked + self.finalize + self.certificate
    }

    fn count(&mut self, path: &str) -> Option<&mut usize> {
        let first = path.split('/').nth(1).unwrap_or_default();
        Some(match first {
            "roots" | "intermediates" | "cert-status-by-serial" => return None,
            "dir" => &mut self.directory,
            "nonce-plz" => &mut self.new_nonce,
            "sign-me-up" => &mut self.new_account,
            "order-plz" => &mut self.new_order,
            "my-order" => &mut self.order,
            "authZ" => &mut self.authorization,
            "chalZ" => &mut self.challenge,
            "finalize-order" => &mut self.finalize,
            "certZ" => &mut self.certificate,
            _ if path.contains("renewalInfo") => &mut self.renewal_info,
            _ => &mut self.other,
        })
    }
}

/// Takes the path out of `… POST /order-plz -> calling handler()`.
fn path(line: &str) -> Option<&str> {
    let (request, _) = line.split_once(" -> calling handler()")?;
    request.rsplit_once(' ').map(|(_, path)| path)
}
