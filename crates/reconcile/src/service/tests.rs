//! The service over a world of fakes.
