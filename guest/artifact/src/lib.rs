//! The component as a build product, and the adapters that make a program of it.
//!
//! The build script compiles them for `wasm32-wasip2` with a nested cargo; this crate carries the
//! bytes. `CONTACT_SYNC_PLUGIN=FILE` carries that file for the component and compiles the adapters
//! alone.

mod composition;

pub use composition::{CompositionError, as_program, with_store};

/// The component.
pub const COMPONENT: &[u8] = include_bytes!(env!("CONTACT_SYNC_COMPONENT"));

/// Where the component was when this crate was built.
pub const COMPONENT_PATH: &str = env!("CONTACT_SYNC_COMPONENT");

/// The adapter that keeps a store in a folder: `guest/adapters/file-store`.
pub const FILE_STORE: &[u8] = include_bytes!(env!("CONTACT_SYNC_FILE_STORE"));

/// The adapter that drives a plugin from a command line: `guest/adapters/command`.
pub const COMMAND: &[u8] = include_bytes!(env!("CONTACT_SYNC_COMMAND"));
