//! How does an order become a certificate? (RFC 8555 section 7.1.6)
//!
//! ```text
//! place or take up ─► pending ─► prove ─► ready ─► finalize ─► processing ─► valid ─► download
//!                        └──────────────────┴────────────────────┴─► invalid
//! ```
//!
//! An order may come in any of these states: Let's Encrypt returns an open one for the same names, and an earlier
//! run may have been cut off anywhere.

use std::time::Duration;

use futures_util::future::join;
use http::Uri;
use jiff::SignedDuration;
use renewal::finding::{Finding, FindingName};
use renewal::ports::{Issued, OrderDesk, OrderFailure, OrderRequest, Waiting};
use renewal::retry::Blame;
use tokio::time::Instant;
use x509::chain::Chain;

use crate::bounds::ISSUANCE_LONGEST;
use crate::client::{Client, Told};
use crate::diagnosis;
use crate::error::RequestError;
use crate::failure;
use crate::order::{Order, OrderStatus, Placed};

/// An order that the CA works on.
struct Asked {
    order: Order,
    /// How long the CA wants to be left alone.
    wish: Option<SignedDuration>,
    /// How long it took to take the work on.
    reply: Duration,
}

impl Asked {
    /// An order as it was found, without asking for anything.
    fn found(order: Order) -> Self {
        Self {
            order,
            wish: None,
            reply: Duration::ZERO,
        }
    }
}

impl Client {
    /// Obtains a certificate.
    pub(crate) async fn obtain<D: OrderDesk>(
        &self,
        request: &OrderRequest,
        desk: &D,
    ) -> Result<Issued, OrderFailure> {
        let told = |waiting: Waiting| desk.waiting(waiting);
        let placed = match self.take_up(request, &told).await? {
            Some(placed) => placed,
            None => self.place_new(request, desk, &told).await?,
        };
        let resumed = placed.resumed;
        match self.fulfil(placed, request, desk, &told).await {
            // An order that an earlier run left behind may have died since; it is not what was asked for.
            Err(failure)
                if resumed
                    && !failure.resumable
                    && failure.failed_names.is_empty()
                    && failure.blame == Blame::Ca =>
            {
                let placed = self.place_new(request, desk, &told).await?;
                self.fulfil(placed, request, desk, &told).await
            }
            other => other,
        }
    }

    async fn place_new<D: OrderDesk>(
        &self,
        request: &OrderRequest,
        desk: &D,
        told: Told<'_>,
    ) -> Result<Placed, OrderFailure> {
        let placed = self.place(request, told).await.map_err(|error| {
            // There is no order to take up.
            OrderFailure {
                resumable: false,
                ..error.into()
            }
        })?;
        desk.placed(&placed.uri.to_string());
        Ok(placed)
    }

    /// Looks at the order of an earlier run; `None` when it is of no use.
    async fn take_up(
        &self,
        request: &OrderRequest,
        told: Told<'_>,
    ) -> Result<Option<Placed>, OrderFailure> {
        let Some(url) = &request.resume else {
            return Ok(None);
        };
        told(Waiting::Order);
        let directory = self.directory(told).await?;
        let Ok(uri) = directory.origins.read(url) else {
            return Ok(None);
        };
        let order = match self.look_at_order(&uri, told).await {
            Ok((order, _)) => order,
            // What answers in another way than ACME's will not fulfil it either.
            Err(error) if error.passes() && !error.makes_no_sense() => return Err(error.into()),
            Err(_) => return Ok(None),
        };
        let useful = order.is_for(&request.names);
        if useful && order.status == OrderStatus::Invalid {
            // A failure that nobody heard of counts as much as any other: a new order would only add to it.
            return match self.unheard_failure(&order, request, told).await? {
                Some(failure) => Err(failure),
                None => Ok(None),
            };
        }
        Ok(useful.then_some(Placed {
            uri,
            order,
            resumed: true,
        }))
    }

    async fn fulfil<D: OrderDesk>(
        &self,
        placed: Placed,
        request: &OrderRequest,
        desk: &D,
        told: Told<'_>,
    ) -> Result<Issued, OrderFailure> {
        let Placed {
            uri,
            order,
            resumed,
        } = placed;
        let asked = match order.status {
            OrderStatus::Pending => {
                // The certificate request is made while the CA is waited for.
                let proofs = self.prove(&order, request, desk, told);
                let (proofs, csr) = join(proofs, async { csr(request) }).await;
                let proofs = proofs?;
                on_record(desk).await?;
                // RFC 8555 section 7.1.6: with all authorizations valid it is ready. Asking would cost a request.
                let finalized = async { self.finalize_surely(&uri, &order, &csr?, told).await };
                join(finalized, proofs.withdraw(desk)).await.0?
            }
            OrderStatus::Ready => {
                // Where the names were validated before, nothing was presented that waited for it.
                on_record(desk).await?;
                self.finalize_surely(&uri, &order, &csr(request)?, told)
                    .await?
            }
            OrderStatus::Processing | OrderStatus::Valid | OrderStatus::Invalid => {
                Asked::found(order)
            }
        };
        let order = self.settle(&uri, asked, resumed, told).await?;
        let certificate = order.certificate.as_deref();
        let certificate = certificate
            .ok_or_else(|| failure::malformed("the order is valid and names no certificate"))?;
        let directory = self.directory(told).await?;
        let certificate = directory
            .origins
            .read(certificate)
            .map_err(failure::malformed)?;
        let issued = match self.download(&certificate, told).await {
            Ok(issued) => issued,
            Err(error @ RequestError::Malformed { .. }) => {
                return Err(unusable(&error.to_string()));
            }
            Err(error) => return Err(not_shown(error, resumed)),
        };
        if resumed && !fits(&issued, request) {
            return Err(OrderFailure {
                resumable: false,
                ..unusable("it is for another key")
            });
        }
        Ok(issued)
    }

    /// Finalizes, also when the CA does not call the order ready yet, or has had the request already.
    async fn finalize_surely(
        &self,
        uri: &Uri,
        order: &Order,
        csr: &[u8],
        told: Told<'_>,
    ) -> Result<Asked, OrderFailure> {
        let directory = self.directory(told).await?;
        let finalize = order.finalize.as_deref();
        let finalize =
            finalize.ok_or_else(|| failure::malformed("the order names no URL to finalize it"))?;
        let finalize = directory
            .origins
            .read(finalize)
            .map_err(failure::malformed)?;
        let mut poll = self.issuance.poll(READY_LONGEST, Duration::ZERO);
        let mut wish = None;
        loop {
            let asked_at = Instant::now();
            match self.finalize(&finalize, csr, told).await {
                Ok((order, wish)) => {
                    let reply = asked_at.elapsed();
                    return Ok(Asked { order, wish, reply });
                }
                Err(error) if error.refused_as("orderNotReady").is_some() => {}
                Err(error) => return Err(error.into()),
            }
            let (order, again) = self.look_at_order(uri, told).await?;
            if order.status != OrderStatus::Pending && order.status != OrderStatus::Ready {
                return Ok(Asked::found(order));
            }
            if !poll.wait(wish).await {
                return Err(failure::slow(
                    "the names are validated, but the order is not ready",
                ));
            }
            wish = again;
        }
    }

    /// Waits until the CA has signed or refused.
    async fn settle(
        &self,
        uri: &Uri,
        asked: Asked,
        resumed: bool,
        told: Told<'_>,
    ) -> Result<Order, OrderFailure> {
        let Asked {
            mut order,
            mut wish,
            reply,
        } = asked;
        let mut poll = self.issuance.poll(ISSUANCE_LONGEST, reply);
        let mut asked = false;
        loop {
            match order.status {
                OrderStatus::Valid => {
                    if asked {
                        poll.done();
                    }
                    return Ok(order);
                }
                OrderStatus::Invalid => {
                    let problem = order.error.unwrap_or_default();
                    tracing::info!(target: "acme", order = %uri, "refused: {problem}");
                    return Err(failure::diagnosed(diagnosis::order(&problem), None));
                }
                OrderStatus::Processing | OrderStatus::Pending | OrderStatus::Ready => {}
            }
            if !poll.wait(wish).await {
                return Err(failure::slow("it has not signed the certificate"));
            }
            asked = true;
            (order, wish) = self
                .look_at_order(uri, told)
                .await
                .map_err(|error| not_shown(error, resumed))?;
        }
    }
}

/// Makes what the CA is to sign.
async fn on_record<D: OrderDesk>(desk: &D) -> Result<(), OrderFailure> {
    let recorded = desk.recorded().await;
    recorded.map_err(|error| failure::present(error.0))
}

fn csr(request: &OrderRequest) -> Result<Vec<u8>, OrderFailure> {
    x509::request::request(&request.key, &request.names).map_err(|error| {
        let finding = Finding::new(FindingName::OrderRejected, error.to_string());
        OrderFailure::new(Blame::Host, finding)
    })
}

fn fits(issued: &Issued, request: &OrderRequest) -> bool {
    issued.chains.iter().any(|pem| {
        let chain = Chain::read(pem.as_bytes());
        chain.is_ok_and(|chain| x509::key::fits(&request.key, chain.leaf_der()).unwrap_or(false))
    })
}

/// The CA has what is asked for, and does not show it. It may the next time, and another order would cost another
/// certificate; but no order is taken up for ever.
fn not_shown(error: RequestError, resumed: bool) -> OrderFailure {
    let mut failure = OrderFailure::from(error);
    failure.resumable |= !resumed;
    failure
}

fn unusable(why: &str) -> OrderFailure {
    let finding = Finding::new(
        FindingName::CertificateRejected,
        "the CA sent something that is no certificate for us",
    )
    .detail(why)
    .fix("Nothing: what is served stays served, and clpctl asks again.");
    OrderFailure {
        resumable: true,
        ..OrderFailure::new(Blame::Ca, finding)
    }
}

/// Between validation and readiness a CA only has to notice.
const READY_LONGEST: Duration = Duration::from_secs(30);
