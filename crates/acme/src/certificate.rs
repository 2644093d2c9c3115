//! How does the certificate come home? (RFC 8555 section 7.4.2)

use std::time::Duration;

use http::Uri;
use renewal::ports::{Issued, Waiting};
use x509::chain::Chain;

use crate::client::{Client, Question, Told};
use crate::error::RequestError;
use crate::http::{Patience, Reply};
use crate::problem::link;

impl Client {
    /// Downloads the chain.
    ///
    /// Alternates are asked for only when the CA's first choice does not hold: each costs a request, and nobody
    /// needs them otherwise.
    pub(crate) async fn download(&self, uri: &Uri, told: Told<'_>) -> Result<Issued, RequestError> {
        told(Waiting::Download);
        let mut reply = self.fetch(uri, told).await?;
        let first = match Chain::read(&reply.body) {
            Ok(chain) => chain,
            Err(_) => {
                // Cut short on the way, perhaps: it is there to be fetched again.
                tokio::time::sleep(BEFORE_ANOTHER).await;
                reply = self.fetch(uri, told).await?;
                chain(uri, &reply)?
            }
        };
        // Written anew, so that nothing but certificates ever reaches the disk.
        let mut chains = vec![first.pem()];
        if first.fault().is_some() {
            let directory = self.directory(told).await?;
            for alternate in link(&reply.headers, "alternate").take(ALTERNATES_MAX) {
                let Ok(alternate) = directory.origins.read(&alternate) else {
                    continue;
                };
                if let Ok(reply) = self.fetch(&alternate, told).await
                    && let Ok(chain) = chain(&alternate, &reply)
                {
                    chains.push(chain.pem());
                }
            }
        }
        Ok(Issued { chains })
    }

    async fn fetch(&self, uri: &Uri, told: Told<'_>) -> Result<Reply, RequestError> {
        let question = Question {
            uri,
            payload: "",
            accept: "application/pem-certificate-chain",
            patience: Patience::Work,
        };
        self.signed(question, told).await
    }
}

fn chain(uri: &Uri, reply: &Reply) -> Result<Chain, RequestError> {
    Chain::read(&reply.body).map_err(|error| RequestError::Malformed {
        call: uri.to_string(),
        cause: format!("it is no chain: {error}"),
    })
}

const BEFORE_ANOTHER: Duration = Duration::from_secs(1);

/// Let's Encrypt has had two at most.
const ALTERNATES_MAX: usize = 4;
