//! What a pass is told: for whom, between which two address books, by which rules.
//!
//! The types are a crate of their own, so that the command and the host read and write a job's file
//! by the same schema.

pub use contact_sync_job::*;
