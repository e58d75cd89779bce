//! Compiles the guest into the component with a nested cargo, and its adapters too.
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

/// Package, library, and by which name this crate's code knows the component.
const GUEST: Made = Made {
    package: "contact-sync-guest",
    library: "contact_sync_guest",
    variable: "CONTACT_SYNC_COMPONENT",
};
const ADAPTERS: [Made; 2] = [
    Made {
        package: "contact-sync-file-store",
        library: "contact_sync_file_store",
        variable: "CONTACT_SYNC_FILE_STORE",
    },
    Made {
        package: "contact-sync-command",
        library: "contact_sync_command",
        variable: "CONTACT_SYNC_COMMAND",
    },
];
const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "component";

/// What every component is made from, relative to the workspace.
const SOURCES: [&str; 6] = [
    "Cargo.lock",
    "Cargo.toml",
    "guest/job/Cargo.toml",
    "guest/job/src",
    "rust-toolchain.toml",
    "wit",
];
/// What the plugin alone is made from.
const GUEST_SOURCES: [&str; 2] = ["guest/Cargo.toml", "guest/src"];
/// What the adapters alone are made from.
const ADAPTER_SOURCES: [&str; 1] = ["guest/adapters"];

/// One component.
#[derive(Clone, Copy)]
struct Made {
    package: &'static str,
    library: &'static str,
    variable: &'static str,
}

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=CONTACT_SYNC_PLUGIN");
    let workspace = workspace()?;
    watch(&workspace, &SOURCES);
    watch(&workspace, &ADAPTER_SOURCES);
    ensure_target()?;
    let plugin = if let Some(given) = env::var_os("CONTACT_SYNC_PLUGIN") {
        given_component(Path::new(&given))?
    } else {
        watch(&workspace, &GUEST_SOURCES);
        built_component(&workspace, GUEST)?
    };
    tell(GUEST, &plugin);
    for adapter in ADAPTERS {
        tell(adapter, &built_component(&workspace, adapter)?);
    }
    Ok(())
}

fn tell(made: Made, component: &Path) {
    let component = component.display();
    println!("cargo::rerun-if-changed={component}");
    println!("cargo::rustc-env={}={component}", made.variable);
}

fn workspace() -> Result<PathBuf, Box<dyn Error>> {
    let artifact = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let workspace = artifact.ancestors().nth(2);
    let workspace = workspace.ok_or("guest/artifact is not where it belongs in the workspace")?;
    Ok(workspace.to_owned())
}

fn watch(workspace: &Path, sources: &[&str]) {
    for source in sources {
        let source = workspace.join(source);
        println!("cargo::rerun-if-changed={}", source.display());
    }
}

fn given_component(given: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let found = fs::canonicalize(given)
        .map_err(|error| format!("CONTACT_SYNC_PLUGIN names `{}`: {error}", given.display()))?;
    Ok(found)
}

fn built_component(workspace: &Path, made: Made) -> Result<PathBuf, Box<dyn Error>> {
    let target_folder = PathBuf::from(env::var("OUT_DIR")?).join("target");
    let built = build(workspace, &target_folder, made.package)?.output()?;
    if !built.status.success() {
        let said = String::from_utf8_lossy(&built.stderr);
        let package = made.package;
        return Err(format!("the component of {package} does not compile:\n{said}").into());
    }
    let file = format!("{}.wasm", made.library);
    Ok(target_folder.join(TARGET).join(PROFILE).join(file))
}

fn build(workspace: &Path, target_folder: &Path, package: &str) -> Result<Command, Box<dyn Error>> {
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
            package,
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
