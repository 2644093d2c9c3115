//! Is a lab a network of its own, and does nothing of it stay?

use std::net::{TcpListener, TcpStream};

use super::{HOST, Lab, Servers, Zones};
use crate::program::Program;

fn ask(name: &str) -> String {
    let server = format!("@{}", Servers::resolver().ip());
    let output = Program::new("kdig").args(["+short", &server, name]).run();
    output.stdout.trim().to_owned()
}

#[test]
fn a_lab_is_a_network_of_its_own_and_goes_away() {
    let before = std::fs::read_link("/proc/thread-self/ns/net").unwrap();
    let mut zones = Zones::default();
    zones.set("a.example.net", &["A 93.184.215.7"]);
    let mut lab = Lab::start(zones);
    assert_ne!(
        std::fs::read_link("/proc/thread-self/ns/net").unwrap(),
        before
    );
    let _listener = TcpListener::bind((HOST, 80)).unwrap();
    assert!(lab.outside(|| TcpStream::connect((HOST, 80)).is_ok()));
    assert_eq!(ask("a.example.net"), HOST);
    lab.dns(|zones| {
        zones.set("a.example.net", &["CNAME b.example.net."]);
        zones.set("b.example.net", &["A 93.184.215.8"]);
    });
    assert_eq!(ask("a.example.net"), "b.example.net.\n93.184.215.8");
    drop(lab);
    assert_eq!(
        std::fs::read_link("/proc/thread-self/ns/net").unwrap(),
        before
    );
}
