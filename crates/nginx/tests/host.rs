//! Does a real nginx, on this host, get and serve what it should, and is everything put back when it does not?

#[cfg(test)]
mod host {
    mod cost;
    mod challenge;
    mod deploy;
    mod look;
    mod rig;
}
