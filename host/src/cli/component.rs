//! `component`: the plugin for hosts that are not this one.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use contact_sync_artifact::{CompositionError, as_program, with_store};

use super::{End, Stop};

pub(super) const HELP: &str = "\
Examples:
  contact-sync component --out components
  contact-sync job --mailbox koeln > state/job.json
  wasmtime run -S http --dir state::/state components/contact-sync-cli.wasm sync /state/job.json

Such a host adds no credentials to requests: its job leads to a proxy that does.";

/// Why a plugin cannot be composed.
const MISFIT: &str = "leave `--plugin` out to take the built-in one";

pub(super) async fn write(plugin: &[u8], out: &Path) -> Result<End, Stop> {
    // First what is the same for every tenant: the adapters are composed around the result.
    let plugin = contact_sync_host::prepare(plugin).await?;
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

fn misfit(error: &CompositionError) -> Stop {
    Stop::Message(End::Internal, error.to_string(), Some(MISFIT.to_owned()))
}
