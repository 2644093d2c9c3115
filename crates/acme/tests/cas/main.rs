//! The client against whole CAs: one that no one here wrote, and one that misbehaves on demand.

mod cuts;
mod cutter;
mod desk;
mod faults;
mod hostile;
mod matrix;
mod pebble;
mod peer;
mod rig;
mod texts;
