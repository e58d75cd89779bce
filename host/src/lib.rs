//! The wasmtime host.

pub mod credentials;
mod egress;
mod plugin;
pub mod store;

pub use egress::Network;
pub use plugin::{Limits, PluginError};
pub use plugin::wit::contact_sync::plugin::types;
