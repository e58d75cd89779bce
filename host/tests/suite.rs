//! What crosses the host's borders: its stores, its configuration, its plugin, its program.

mod suite {
    mod config;
    mod guest;
    mod plugin;
    mod program;
    mod store;
}
