//! Pure: what is remembered, what was read and the policy become operations.

pub mod matching;
pub mod merge;
