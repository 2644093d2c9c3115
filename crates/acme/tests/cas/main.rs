//! The client against whole CAs: one that no one here wrote, and one that misbehaves on demand.

mod desk;
mod pebble;
mod faults;
mod peer;
