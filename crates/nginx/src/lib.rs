//! nginx

pub mod conf;
pub mod look;
