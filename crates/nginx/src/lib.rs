//! nginx

pub mod conf;
