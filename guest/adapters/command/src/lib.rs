//! A plugin as a program for any WASI host.
//!
//! An adapter: composed with a plugin and a store in a folder, it exports `wasi:cli/run`. It reads
//! a job, drives the pass step by step, tells progress on standard error and findings on standard
//! output, and ends with the exit codes of the `contact-sync` program.
//!
//! | file | does |
//! |---|---|
//! | [`arguments`] | what is to be done |
//! | `component` | does it: the folder, the pass, the end |
//! | `component/human`, `component/machine` | the same results for people, and as JSON |
//!
//! Not here: credentials and which requests may leave. The stock host has neither; a proxy on
//! loopback signs in for it.

pub mod arguments;
#[cfg(target_arch = "wasm32")]
mod component;
