//! The plugin and its adapters as one component, as `wac` would make it.
//!
//! The plugin's bytes stand in it unchanged.

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};

use crate::{COMMAND, FILE_STORE};

/// What a plugin asks its store by.
const STORE: &str = "contact-sync:plugin/store@0.1.0";

/// Why a plugin cannot be composed with the adapters.
#[derive(Debug, thiserror::Error)]
#[error("the plugin cannot be composed: {0}")]
pub struct CompositionError(String);

/// The plugin, its store plugged in, with its own exports.
pub fn with_store(plugin: &[u8]) -> Result<Vec<u8>, CompositionError> {
    let mut composition = Composition::default();
    let store = composition.add("contact-sync:file-store", FILE_STORE)?;
    let plugin = composition.add("contact-sync:plugin", plugin)?;
    composition.connect(&store, &plugin, is_store)?;
    composition.export_all(&plugin)?;
    composition.encoded()
}

/// The command, driving the plugin, and opening the folder that its store is in.
pub fn as_program(plugin: &[u8]) -> Result<Vec<u8>, CompositionError> {
    let mut composition = Composition::default();
    let store = composition.add("contact-sync:file-store", FILE_STORE)?;
    let plugin = composition.add("contact-sync:plugin", plugin)?;
    let command = composition.add("contact-sync:command", COMMAND)?;
    composition.connect(&store, &plugin, is_store)?;
    composition.connect(&plugin, &command, |_| true)?;
    composition.connect(&store, &command, |name| !is_store(name))?;
    composition.export_all(&command)?;
    composition.encoded()
}

fn is_store(name: &str) -> bool {
    name == STORE
}

/// Components that are about to be one.
#[derive(Default)]
struct Composition {
    graph: CompositionGraph,
}

/// One of them.
struct Part {
    node: NodeId,
    imports: Vec<String>,
    exports: Vec<String>,
}

impl Composition {
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<Part, CompositionError> {
        let types = self.graph.types_mut();
        let package = Package::from_bytes(name, None, bytes.to_vec(), types);
        let package = package.map_err(|error| CompositionError(format!("{name}: {error:#}")))?;
        let world = &types[package.ty()];
        let imports = world.imports.keys().cloned().collect();
        let exports = world.exports.keys().cloned().collect();
        let package = self.graph.register_package(package);
        let package = package.map_err(|error| CompositionError(format!("{name}: {error}")))?;
        let node = self.graph.instantiate(package);
        Ok(Part {
            node,
            imports,
            exports,
        })
    }

    /// Gives one component what it imports and the other exports, by their equal names.
    fn connect(
        &mut self,
        from: &Part,
        to: &Part,
        is_wanted: impl Fn(&str) -> bool,
    ) -> Result<(), CompositionError> {
        let exports = from.exports.iter();
        let shared = exports.filter(|name| to.imports.contains(name) && is_wanted(name));
        let mut is_connected = false;
        for name in shared {
            let export = self.alias(from, name)?;
            let connected = self.graph.set_instantiation_argument(to.node, name, export);
            connected.map_err(|error| CompositionError(format!("{error:#}")))?;
            is_connected = true;
        }
        if is_connected {
            return Ok(());
        }
        let exports = from.exports.join(", ");
        Err(CompositionError(format!(
            "one part imports nothing that the other exports: {exports}"
        )))
    }

    fn export_all(&mut self, of: &Part) -> Result<(), CompositionError> {
        for name in &of.exports {
            let export = self.alias(of, name)?;
            let exported = self.graph.export(export, name);
            exported.map_err(|error| CompositionError(error.to_string()))?;
        }
        Ok(())
    }

    fn alias(&mut self, of: &Part, name: &str) -> Result<NodeId, CompositionError> {
        let alias = self.graph.alias_instance_export(of.node, name);
        alias.map_err(|error| CompositionError(error.to_string()))
    }

    fn encoded(&self) -> Result<Vec<u8>, CompositionError> {
        let encoded = self.graph.encode(EncodeOptions::default());
        encoded.map_err(|error| CompositionError(format!("{error:#}")))
    }
}
