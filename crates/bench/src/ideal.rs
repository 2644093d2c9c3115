//! How fast could any client be against this CA?
//!
//! The ideal client does what an order needs and nothing else: keys and requests (CSRs) are made before the clock
//! starts, each order in flight has one connection that is kept, nonces come from the reply before, and its own
//! listener answers challenges at once. Nothing is written, deployed, logged or looked up. It shares no code with the
//! client it is compared with.

mod answer;
mod connection;
mod order;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use rcgen::{CertificateParams, DistinguishedName, KeyPair};
use serde::{Deserialize, Serialize};

use self::connection::{Connection, Trust};
use self::order::{Account, OrderError};
use crate::measure::own_cpu;

/// What the ideal client is to do.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The CA's directory.
    #[arg(long)]
    pub(crate) directory: String,
    /// The root that the CA's own HTTPS certificate leads to.
    #[arg(long)]
    pub(crate) bundle: PathBuf,
    /// Where challenges are answered.
    #[arg(long)]
    pub(crate) listen: SocketAddr,
    /// How many certificates, of one name each.
    #[arg(long)]
    pub(crate) count: usize,
    /// How many orders at a time.
    #[arg(long)]
    pub(crate) in_flight: usize,
}

/// What it did: the orders alone, without what was made before.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Outcome {
    /// From the first order to the last certificate, in seconds.
    pub(crate) wall: f64,
    /// User and system time within, in seconds.
    pub(crate) cpu: f64,
}

/// Runs and prints the [`Outcome`] as JSON.
pub(crate) fn main(options: &Options) -> ExitCode {
    match run(options) {
        Ok(outcome) => {
            let text = serde_json::to_string(&outcome).unwrap_or_default();
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<Outcome, OrderError> {
    let root = fs::read(&options.bundle).map_err(OrderError::Io)?;
    let trust = Trust::new(&root)?;
    let prepared: Vec<_> = (0..options.count).map(request).collect();
    let mut first = Connection::open(&trust, &options.directory)?;
    let account = Account::register(&mut first, &options.directory)?;
    let answers = answer::listen(options.listen, account.thumbprint())?;
    let connect = |_| {
        let mut connection = Connection::open(&trust, &options.directory)?;
        let nonce = account.nonce(&mut connection)?;
        Ok((connection, nonce))
    };
    let sessions: Vec<_> = (0..options.in_flight)
        .map(connect)
        .collect::<Result<_, OrderError>>()?;

    let next = AtomicUsize::new(0);
    let (account, prepared, answers, next) = (&account, &prepared, &answers, &next);
    let (start, spent) = (Instant::now(), own_cpu());
    thread::scope(|scope| {
        let work = |(connection, nonce)| {
            scope.spawn(move || -> Result<(), OrderError> {
                let mut session = account.session(connection, nonce);
                while let Some((name, request)) = prepared.get(next.fetch_add(1, Ordering::Relaxed))
                {
                    session.certificate(name, request, answers)?;
                }
                Ok(())
            })
        };
        let running: Vec<_> = sessions.into_iter().map(work).collect();
        running
            .into_iter()
            .try_for_each(|one| one.join().map_err(|_| OrderError::Panicked)?)
    })?;
    Ok(Outcome {
        wall: start.elapsed().as_secs_f64(),
        cpu: own_cpu() - spent,
    })
}

/// A name and its request (CSR) for a key of its own.
fn request(index: usize) -> (String, Vec<u8>) {
    let name = format!("ideal-{index}.test");
    let key = KeyPair::generate().expect("the machine has randomness");
    let mut params = CertificateParams::new([name.clone()]).expect("the name is plain ASCII");
    // The names stand in the extension; a subject of another name is refused by strict CAs.
    params.distinguished_name = DistinguishedName::new();
    let request = params
        .serialize_request(&key)
        .expect("a P-256 key signs any request");
    (name, request.der().to_vec())
}

#[cfg(test)]
mod tests {
    use super::{Options, run};
    use testkit::pebble::Pebble;
    use testkit::port::Port;

    #[test]
    fn certificates_are_obtained_with_few_requests() {
        let (listen, unused) = (Port::free(), Port::free());
        let pebble = Pebble::settings(listen.number(), unused.number()).start();
        let options = Options {
            directory: pebble.directory(),
            bundle: pebble.ca_bundle(),
            listen: listen.v4(),
            count: 5,
            in_flight: 2,
        };
        let outcome =
            run(&options).unwrap_or_else(|error| panic!("{error}\n{:?}", pebble.health()));
        assert!(outcome.wall > 0.0 && outcome.cpu > 0.0);
        let requests = pebble.requests();
        let done = (requests.new_order, requests.finalize, requests.certificate);
        assert_eq!(done, (5, 5, 5));
        assert_eq!(
            requests.new_nonce, 3,
            "one for the account, and one for each connection"
        );
    }
}
