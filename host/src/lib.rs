//! The wasmtime host.

pub mod store;
