//! What a plugin remembers, in files of one folder.
//!
//! An adapter for hosts that have a folder and no store: composed with a plugin, it turns
//! `contact-sync:plugin/store` into `wasi:filesystem`. Nothing here needs WASI, so that the suite
//! that every store passes runs against this one natively.
//!
//! The folder holds numbered logs: `00000001.log`, `00000002.log`, … A log belongs to one run, its
//! writer; the number is the fencing token. Whoever wants to write creates the file of the next
//! number, which only one can do (WASI 0.2 has no locks), reads what all logs before it hold, and
//! says in its own where it goes on. A writer that finds the file of the next number has been taken
//! over: what it appends from then on counts for nobody, and it says `lease-lost`. So a run may be
//! killed at any byte and leaves no lock behind, and a run that was only slow cannot do harm.
//!
//! | file | does |
//! |---|---|
//! | [`store`] | the calls of `wit/store.wit`, with their limits |
//! | `folder` | which logs there are, who may write, compaction |
//! | `log` | one file: records with checksums, what a torn or a damaged one looks like |
//!
//! Not here: what the values mean.

#[cfg(target_arch = "wasm32")]
mod component;
mod folder;
mod log;
pub mod store;

pub use folder::{Acquired, Folder, FolderError, Reader, Wanted, Writer};
