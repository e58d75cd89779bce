//! The component as a build product.
//!
//! The build script compiles the guest for `wasm32-wasip2` with a nested cargo; this crate carries
//! the bytes. `CONTACT_SYNC_PLUGIN=FILE` carries that file instead and compiles nothing.

/// The component.
pub const COMPONENT: &[u8] = include_bytes!(env!("CONTACT_SYNC_COMPONENT"));

/// Where the component was when this crate was built.
pub const COMPONENT_PATH: &str = env!("CONTACT_SYNC_COMPONENT");
