//! What crosses the host's borders: its stores, its configuration, its plugin, its program.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "clippy sees tests in functions of their own only, and these help them"
)]

mod suite {
    mod config;
    mod folder_store;
    mod guest;
    mod hostile;
    mod plugin;
    mod prepared;
    mod program;
    mod store;
}
