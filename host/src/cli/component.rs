//! `component`: the plugin for hosts that are not this one.
//!
//! The plugin's bytes stand unchanged inside of whatever is composed with it.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use contact_sync_artifact::{COMMAND, FILE_STORE};
use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, NodeId};

use super::{End, Stop};

pub(super) const HELP: &str = "\
Examples:
  contact-sync component --out components
  contact-sync job --mailbox koeln > state/job.json
  wasmtime run -S http --dir state::/state components/contact-sync-cli.wasm sync /state/job.json

Such a host adds no credentials to requests: its job leads to a proxy that does.";

/// What a plugin asks its store by.
const STORE: &str = "contact-sync:plugin/store@0.1.0";

/// Why a plugin cannot be composed.
const MISFIT: &str = "leave `--plugin` out to take the built-in one";

pub(super) async fn write(plugin: &[u8], out: &Path) -> Result<End, Stop> {
    let plugin = ready(plugin).await?;
    let with_store = with_store(&plugin).map_err(|error| misfit(&error))?;
    let command = as_program(&plugin).map_err(|error| misfit(&error))?;
    let files: [(&str, &[u8], &str); 3] = [
        (
            "contact-sync.wasm",
            &plugin,
            "the plugin: for a host that has a store",
        ),
        (
            "contact-sync-with-store.wasm",
            &with_store,
            "with a store in the folder /state: for `wasmtime run --invoke`",
        ),
        (
            "contact-sync-cli.wasm",
            &command,
            "a program: for `wasmtime run … sync /state/job.json`; try `--help`",
        ),
    ];
    let unwritable = |path: &Path, error: &io::Error| {
        let message = format!("cannot write `{}`: {error}", path.display());
        Stop::Message(End::Internal, message, None)
    };
    fs::create_dir_all(out).map_err(|error| unwritable(out, &error))?;
    for (name, bytes, what) in files {
        let path = out.join(name);
        fs::write(&path, bytes).map_err(|error| unwritable(&path, &error))?;
        writeln!(io::stdout(), "{}  {what}", path.display())?;
    }
    Ok(End::Complete)
}

/// The plugin as it is shipped.
#[expect(clippy::unused_async, reason = "preparing a plugin runs it")]
async fn ready(plugin: &[u8]) -> Result<Vec<u8>, Stop> {
    Ok(plugin.to_vec())
}

/// The plugin, its store plugged in, with its own exports.
fn with_store(plugin: &[u8]) -> Result<Vec<u8>, String> {
    let mut composition = Composition::default();
    let store = composition.add("contact-sync:file-store", FILE_STORE)?;
    let plugin = composition.add("contact-sync:plugin", plugin)?;
    composition.connect(&store, &plugin, is_store)?;
    composition.export_all(&plugin)?;
    composition.encoded()
}

/// The command, driving the plugin, and opening the folder that its store is in.
fn as_program(plugin: &[u8]) -> Result<Vec<u8>, String> {
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

fn misfit(error: &str) -> Stop {
    let message = format!("the plugin cannot be composed: {error}");
    Stop::Message(End::Internal, message, Some(MISFIT.to_owned()))
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
    fn add(&mut self, name: &str, bytes: &[u8]) -> Result<Part, String> {
        let types = self.graph.types_mut();
        let package = Package::from_bytes(name, None, bytes.to_vec(), types);
        let package = package.map_err(|error| format!("{name}: {error:#}"))?;
        let world = &types[package.ty()];
        let imports = world.imports.keys().cloned().collect();
        let exports = world.exports.keys().cloned().collect();
        let package = self.graph.register_package(package);
        let package = package.map_err(|error| format!("{name}: {error}"))?;
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
    ) -> Result<(), String> {
        let exports = from.exports.iter();
        let shared = exports.filter(|name| to.imports.contains(name) && is_wanted(name));
        let mut is_connected = false;
        for name in shared {
            let export = self.alias(from, name)?;
            let connected = self.graph.set_instantiation_argument(to.node, name, export);
            connected.map_err(|error| format!("{error:#}"))?;
            is_connected = true;
        }
        if is_connected {
            return Ok(());
        }
        let exports = from.exports.join(", ");
        Err(format!(
            "one part imports nothing that the other exports: {exports}"
        ))
    }

    fn export_all(&mut self, of: &Part) -> Result<(), String> {
        for name in &of.exports {
            let export = self.alias(of, name)?;
            let exported = self.graph.export(export, name);
            exported.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn alias(&mut self, of: &Part, name: &str) -> Result<NodeId, String> {
        let alias = self.graph.alias_instance_export(of.node, name);
        alias.map_err(|error| error.to_string())
    }

    fn encoded(&self) -> Result<Vec<u8>, String> {
        let encoded = self.graph.encode(EncodeOptions::default());
        encoded.map_err(|error| format!("{error:#}"))
    }
}
