//! A desk that answers challenges over HTTP itself, as a web server would.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use acme::{Authorities, Settings};
use renewal::certificate::KeyType;
use renewal::finding::{Finding, FindingName};
use renewal::name::Name;
use renewal::names::Names;
use renewal::policy::Ca;
use renewal::ports::{OrderDesk, OrderRequest, PresentError, Waiting};

/// Answers challenges, and remembers what it was told.
pub(crate) struct Desk {
    /// Where it listens.
    pub(crate) port: u16,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    answers: HashMap<String, String>,
    fault: Fault,
    placed: Vec<String>,
    recorded: bool,
    waiting: Vec<Waiting>,
    presented: usize,
    withdrawn: usize,
}

/// How the desk misbehaves.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) enum Fault {
    /// It does not.
    #[default]
    None,
    /// It cannot put answers in place.
    CannotPresent,
    /// It answers with this status.
    Status(u16),
    /// It answers with a key authorization of another account.
    WrongAnswer,
}

impl Desk {
    /// Starts to listen, for as long as the test's process lives.
    pub(crate) fn open() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let port = listener.local_addr().expect("it listens").port();
        let state: Arc<Mutex<State>> = Arc::default();
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let shared = Arc::clone(&shared);
                std::thread::spawn(move || answer(&stream, &shared));
            }
        });
        Self { port, state }
    }

    pub(crate) fn misbehave(&self, fault: Fault) {
        self.state().fault = fault;
    }

    pub(crate) fn placed(&self) -> Vec<String> {
        self.state().placed.clone()
    }

    pub(crate) fn waiting(&self) -> Vec<Waiting> {
        self.state().waiting.clone()
    }

    /// How often an answer was put in place, how often one was taken away, and how many are left.
    pub(crate) fn counts(&self) -> (usize, usize, usize) {
        let state = self.state();
        (state.presented, state.withdrawn, state.answers.len())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no thread panics here")
    }
}

impl OrderDesk for Desk {
    fn placed(&self, url: &str) {
        let mut state = self.state();
        let last = state.waiting.last();
        let early = matches!(last, Some(Waiting::Order | Waiting::Until(_)));
        assert!(early, "{last:?}: nothing else is asked before it is kept");
        state.placed.push(url.to_owned());
    }

    async fn recorded(&self) -> Result<(), PresentError> {
        self.state().recorded = true;
        Ok(())
    }

    fn waiting(&self, waiting: Waiting) {
        let mut state = self.state();
        let known = state.recorded || state.placed.is_empty();
        assert!(
            waiting != Waiting::Issuance || known,
            "it is finalized before it is on record"
        );
        state.waiting.push(waiting);
    }

    async fn present(
        &self,
        _: &Name,
        token: &str,
        key_authorization: &str,
    ) -> Result<(), PresentError> {
        let mut state = self.state();
        if state.fault == Fault::CannotPresent {
            return Err(PresentError(Finding::new(
                FindingName::WebrootNotWritable,
                "no",
            )));
        }
        state.presented += 1;
        state
            .answers
            .insert(token.to_owned(), key_authorization.to_owned());
        Ok(())
    }

    async fn withdraw(&self, _: &Name, token: &str) {
        let mut state = self.state();
        state.withdrawn += 1;
        state.answers.remove(token);
    }
}

/// A desk for one order whose challenges another one answers.
pub(crate) struct Both<'a>(pub(crate) &'a Desk, pub(crate) Desk);

impl OrderDesk for Both<'_> {
    fn placed(&self, url: &str) {
        OrderDesk::placed(&self.1, url);
    }
    async fn recorded(&self) -> Result<(), PresentError> {
        OrderDesk::recorded(&self.1).await
    }
    fn waiting(&self, waiting: Waiting) {
        OrderDesk::waiting(&self.1, waiting);
    }
    async fn present(&self, name: &Name, token: &str, answer: &str) -> Result<(), PresentError> {
        self.0.present(name, token, answer).await
    }
    async fn withdraw(&self, name: &Name, token: &str) {
        self.0.withdraw(name, token).await;
    }
}

fn answer(stream: &TcpStream, state: &Mutex<State>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    lines.take_while(|line| !line.is_empty()).for_each(drop);
    let token = request
        .split(' ')
        .nth(1)
        .and_then(|path| path.rsplit('/').next())
        .unwrap_or_default();
    let (status, body) = {
        let state = state.lock().expect("no thread panics here");
        match (state.fault, state.answers.get(token)) {
            (Fault::Status(status), _) => (status, String::new()),
            (Fault::WrongAnswer, _) => (
                200,
                format!("{token}.LPJNul-wow4m6DsqxbninhsWHlwfp0JecwQzYpOLmCQ"),
            ),
            (Fault::None | Fault::CannotPresent, Some(answer)) => (200, answer.clone()),
            (Fault::None | Fault::CannotPresent, None) => (404, String::new()),
        }
    };
    let mut stream = stream;
    let head = format!(
        "HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    // The CA may be gone already: that is its business.
    drop(stream.write_all((head + &body).as_bytes()));
}

/// The way to the CA whose root is in `bundle`.
pub(crate) fn authorities(accounts: &Path, bundle: &Path) -> Authorities {
    let roots = std::fs::read(bundle).expect("the bundle is there");
    authorities_from(accounts, &roots)
}

/// The way to the CA whose root this is.
pub(crate) fn authorities_from(accounts: &Path, roots: &[u8]) -> Authorities {
    let settings = Settings {
        user_agent: "clpctl/0.0.0-test".to_owned(),
        roots: acme::roots(roots).expect("it holds a root"),
        accounts: accounts.to_owned(),
        contact: vec!["admin@example.com".to_owned()],
        own_addresses: Vec::new(),
    };
    #[expect(clippy::disallowed_methods, reason = "the CA's clock is the real one")]
    Authorities::new(settings, jiff::Timestamp::now).expect("the settings are good")
}

pub(crate) fn names(names: &str) -> Names {
    let names = names
        .split(' ')
        .map(|name| Name::parse(name).expect("it is a name"));
    Names::new(names).expect("there is one")
}

/// An order for `wanted` with a new key.
pub(crate) fn request(directory: &str, wanted: &str) -> OrderRequest {
    OrderRequest {
        ca: Ca(directory.into()),
        names: names(wanted),
        key: x509::key::generate(KeyType::EcdsaP256).expect("the system has randomness"),
        profile: None,
        replaces: None,
        resume: None,
    }
}
