//! Prepared and compiled once, kept on disk: more than a second becomes a few milliseconds.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use wasmtime::Engine;
use wasmtime::component::Component;

use super::{Limits, prepared};

/// Bytes of the digest that stands in front of a kept file.
const DIGEST_BYTES: usize = 32;

/// What a kept file is: another one for each way of making it.
const FORMAT: &str = "digest, then the machine code of the prepared component";

/// Machine code that this process has made, or found as it had been kept.
pub(super) struct Compiled(Vec<u8>);

impl Compiled {
    /// The component, for an engine with the settings that it was compiled for.
    #[expect(unsafe_code, reason = "machine code that this program has made")]
    pub(super) fn component(&self, engine: &Engine) -> wasmtime::Result<Component> {
        // SAFETY: the bytes are what `Engine::precompile_component` returned, in this process, or
        // in one that kept them in a folder that nobody else can write to, with their digest. The
        // engine checks its own version and settings once more.
        unsafe { Component::deserialize(engine, &self.0) }
    }
}

/// The component, prepared and compiled for this engine. A cache that cannot be read or written
/// costs time, no more; so does a component that cannot be prepared.
pub(super) async fn compiled(
    engine: &Engine,
    bytes: &[u8],
    folder: Option<&Path>,
    limits: &Limits,
) -> wasmtime::Result<Compiled> {
    let kept = folder.map(|folder| (folder, folder.join(file_name(engine, bytes))));
    if let Some(compiled) = kept.as_ref().and_then(|(_, path)| load(engine, path)) {
        return Ok(compiled);
    }
    let compiled = match prepared::prepared(engine, bytes, limits).await {
        Ok(prepared) => engine.precompile_component(&prepared)?,
        Err(reason) => {
            // What is wrong with the component itself is told first.
            let plain = engine.precompile_component(bytes)?;
            tracing::warn!(
                reason,
                "the plugin cannot be prepared: each sandbox does it for itself"
            );
            plain
        }
    };
    if let Some((folder, path)) = &kept
        && let Err(error) = keep(folder, path, &compiled)
    {
        tracing::warn!(path = %path.display(), %error, "the compiled plugin cannot be kept");
    }
    Ok(Compiled(compiled))
}

/// What is damaged, also by one bit, is made anew: it would run.
fn load(engine: &Engine, path: &Path) -> Option<Compiled> {
    if !path.is_file() || !is_ours(path) {
        return None;
    }
    let mut kept = fs::read(path).ok()?;
    let digest = kept.get(..DIGEST_BYTES)?;
    let machine_code = kept.get(DIGEST_BYTES..)?;
    if Sha256::digest(machine_code).as_slice() != digest {
        return None;
    }
    kept.drain(..DIGEST_BYTES);
    let compiled = Compiled(kept);
    compiled.component(engine).is_ok().then_some(compiled)
}

/// Written aside and renamed, so that nobody ever sees half of it.
fn keep(folder: &Path, path: &Path, compiled: &[u8]) -> io::Result<()> {
    create_private(folder)?;
    let aside: PathBuf = path.with_extension(format!("{}.tmp", std::process::id()));
    let digest = Sha256::digest(compiled);
    fs::write(&aside, [digest.as_slice(), compiled].concat())?;
    fs::rename(&aside, path)
}

fn file_name(engine: &Engine, bytes: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    FORMAT.hash(&mut hasher);
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
