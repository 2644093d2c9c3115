//! What does a certificate say, does its chain hold, and which key belongs to it?
//!
//! Bytes come in, facts go out: no file is read here and no clock. [`chain`] reads what a CA sent or what lies
//! on disk, [`key`] makes and reads private keys, [`bundle`] finds both in whatever files people have, [`request`] asks for a certificate (PKCS #10).

pub mod bundle;
pub mod chain;
pub mod key;
pub mod request;

mod facts;
mod pem;
mod signature;
