//! Compiled once, kept on disk: half a second becomes a fifth of a millisecond.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

/// The component, compiled for this engine. A cache that cannot be read or written costs time, no
/// more.
pub(super) fn compiled(
    engine: &Engine,
    bytes: &[u8],
    folder: Option<&Path>,
) -> wasmtime::Result<Component> {
    let Some(folder) = folder else {
        return Component::from_binary(engine, bytes);
    };
    let path = folder.join(file_name(engine, bytes));
    if let Some(component) = load(engine, &path) {
        return Ok(component);
    }
    let component = Component::from_binary(engine, bytes)?;
    if let Err(error) = keep(folder, &path, &component.serialize()?) {
        tracing::warn!(path = %path.display(), %error, "the compiled plugin cannot be kept");
    }
    Ok(component)
}

#[expect(
    unsafe_code,
    reason = "machine code from a folder that only this user can write to"
)]
fn load(engine: &Engine, path: &Path) -> Option<Component> {
    if !path.is_file() || !is_ours(path) {
        return None;
    }
    // SAFETY: the file was written by `keep`, whole or not at all, into a folder that nobody else
    // can write to, and its name says for which component and which engine. The engine checks its
    // own version and settings once more.
    unsafe { Component::deserialize_file(engine, path) }.ok()
}

/// Written aside and renamed, so that nobody ever sees half of it.
fn keep(folder: &Path, path: &Path, compiled: &[u8]) -> io::Result<()> {
    create_private(folder)?;
    let aside: PathBuf = path.with_extension(format!("{}.tmp", std::process::id()));
    fs::write(&aside, compiled)?;
    fs::rename(&aside, path)
}

fn file_name(engine: &Engine, bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let digest = Sha256::digest(bytes);
    let (first, _) = digest.split_at(16);
    let digest = first
        .iter()
        .fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    format!("{digest:032x}-{:016x}.cwasm", hasher.finish())
}

#[cfg(unix)]
fn create_private(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
}

#[cfg(not(unix))]
fn create_private(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)
}

/// Whether nobody but the folder's owner can have put the file there.
#[cfg(unix)]
fn is_ours(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    let closed =
        |path: &Path| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o022 == 0);
    path.parent().is_some_and(closed) && closed(path)
}

#[cfg(not(unix))]
fn is_ours(_path: &Path) -> bool {
    true
}
