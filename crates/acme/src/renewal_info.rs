//! When would the CA like a certificate renewed? (RFC 9773 section 4)

use http::Uri;
use jiff::Timestamp;
use renewal::certificate::CertificateId;
use renewal::finding::{Finding, FindingName};
use renewal::ports::OrderFailure;
use renewal::retry::Blame;
use renewal::suggestion::Answer;
use renewal::window::Window;
use serde::Deserialize;

use crate::chances::Persistence;
use crate::client::Client;
use crate::error::RequestError;

impl Client {
    /// Asks; `None` when the CA's directory has no renewal information.
    pub(crate) async fn suggestion(
        &self,
        id: &CertificateId,
    ) -> Result<Option<Answer>, OrderFailure> {
        let quiet = |_| {};
        let directory = self.directory(&quiet).await?;
        let Some(base) = &directory.renewal_info else {
            return Ok(None);
        };
        let uri: Uri = format!("{}/{}", base.to_string().trim_end_matches('/'), id.0)
            .parse()
            .map_err(|_| senseless("the certificate's identifier is no part of a URL"))?;
        let reply = match self.get(&uri, Persistence::Little, &quiet).await {
            Ok(reply) => reply,
            Err(error) => return Err(unanswered(error)),
        };
        let document: Document = serde_json::from_slice(&reply.body).map_err(senseless)?;
        let window = document.suggested_window;
        Ok(Some(Answer {
            window: Window::new(window.start, window.end).map_err(senseless)?,
            explanation: document.explanation_url,
            retry_after: self.wish(&reply),
        }))
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    suggested_window: Ends,
    #[serde(rename = "explanationURL")]
    explanation_url: Option<String>,
}

#[derive(Deserialize)]
struct Ends {
    start: Timestamp,
    end: Timestamp,
}

/// RFC 9773 section 4.3.3: an answer that makes no sense is a lasting error.
fn senseless(why: impl std::fmt::Display) -> OrderFailure {
    let finding = Finding::new(
        FindingName::OrderRejected,
        "the CA's renewal information makes no sense",
    )
    .detail(why.to_string())
    .fix("Nothing: the certificate is renewed by its age instead.");
    OrderFailure::new(Blame::Ca, finding)
}

/// Tells what passes from what lasts, which is what the blame stands for here.
fn unanswered(error: RequestError) -> OrderFailure {
    let lasts = error.makes_no_sense() || !error.passes();
    OrderFailure {
        blame: if lasts { Blame::Ca } else { Blame::Network },
        ..error.into()
    }
}
