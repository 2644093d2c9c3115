//! How much CPU does a probe take? Prints one line: the client's own, without DNS and web server.

fn main() {}
