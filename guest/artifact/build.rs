//! Compiles the guest into the component with a nested cargo.
//!
//! Its target folder is its own: the outer cargo holds the lock of the other one while it waits for
//! this script. Nothing of the outer build may leak in either: flags made for the host machine, a
//! wrapper such as clippy's, or a profile would yield another component than the one that is
//! tested.

use std::env;
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const GUEST: &str = "contact-sync-guest";
const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "component";

/// What the component is made from, relative to the workspace.
const SOURCES: [&str; 6] = [
    "Cargo.lock",
    "Cargo.toml",
    "guest/Cargo.toml",
    "guest/src",
    "rust-toolchain.toml",
    "wit",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=CONTACT_SYNC_PLUGIN");
    let component = match env::var_os("CONTACT_SYNC_PLUGIN") {
        Some(given) => given_component(Path::new(&given))?,
        None => built_component()?,
    };
    println!("cargo::rerun-if-changed={}", component.display());
    println!(
        "cargo::rustc-env=CONTACT_SYNC_COMPONENT={}",
        component.display()
    );
    Ok(())
}

fn given_component(given: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let found = fs::canonicalize(given)
        .map_err(|error| format!("CONTACT_SYNC_PLUGIN names `{}`: {error}", given.display()))?;
    Ok(found)
}

fn built_component() -> Result<PathBuf, Box<dyn Error>> {
    let artifact = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let workspace = artifact
        .ancestors()
        .nth(2)
        .ok_or("guest/artifact is not where it belongs in the workspace")?;
    for source in SOURCES {
        println!(
            "cargo::rerun-if-changed={}",
            workspace.join(source).display()
        );
    }
    ensure_target()?;
    let target_folder = PathBuf::from(env::var("OUT_DIR")?).join("target");
    let built = guest_build(workspace, &target_folder)?.output()?;
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr);
        return Err(format!("the component does not compile:\n{said}").into());
    }
    Ok(target_folder
        .join(TARGET)
        .join(PROFILE)
        .join("contact_sync_guest.wasm"))
}

fn guest_build(workspace: &Path, target_folder: &Path) -> Result<Command, Box<dyn Error>> {
    let mut cargo = Command::new(env::var_os("CARGO").ok_or("cargo did not say where it is")?);
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(is_of_outer_build) {
            cargo.env_remove(name);
        }
    }
    cargo
        .current_dir(workspace)
        .args([
            "rustc",
            "--locked",
            "--package",
            GUEST,
            "--lib",
            "--crate-type",
            "cdylib",
        ])
        .args(["--target", TARGET, "--profile", PROFILE, "--target-dir"])
        .arg(target_folder);
    Ok(cargo)
}

fn is_of_outer_build(name: &str) -> bool {
    name == "RUSTFLAGS"
        || name == "RUSTC"
        || name == "RUSTDOC"
        || name.starts_with("RUSTC_")
        || (name.starts_with("CARGO") && name != "CARGO_HOME")
}

/// The target's standard library is a component of the toolchain that rustup adds on request only.
fn ensure_target() -> Result<(), Box<dyn Error>> {
    if has_target()? {
        return Ok(());
    }
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    if added && has_target()? {
        return Ok(());
    }
    Err(format!("the Rust target {TARGET} is missing; run: rustup target add {TARGET}").into())
}

fn has_target() -> Result<bool, Box<dyn Error>> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let printed = Command::new(rustc)
        .args(["--print", "target-libdir", "--target", TARGET])
        .output()?;
    Ok(printed.status.success() && Path::new(String::from_utf8(printed.stdout)?.trim()).is_dir())
}
