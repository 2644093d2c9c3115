//! How do results look, to people and to programs?
//!
//! Everything here is a pure function from values to text or JSON; [`Console`](crate::console::Console) writes it.

pub mod audit;
pub mod document;
pub mod examination;
pub mod findings;
pub mod fixes;
pub mod report;
pub mod table;
pub mod verdict;
pub mod when;
pub mod wrap;
