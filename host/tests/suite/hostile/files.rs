//! Components that are damaged, of another kind, or none: refused with what is wrong and what to
//! do, before any tenant runs.

use std::fs;
use std::mem::discriminant;
use std::path::Path;

use contact_sync_host::PluginError;

use super::*;

async fn load(plugin: Vec<u8>) -> Result<Host, PluginError> {
    let store = Arc::new(MemoryStore::default());
    let settings = HostSettings {
        limits: hasty(),
        ..HostSettings::usual(plugin, store)
    };
    Host::new(settings).await
}

fn sound() -> Vec<u8> {
    guest(STATUS, NOTHING).build()
}

/// A refusal is one line for people, and says what to do.
fn readable(error: &PluginError) {
    let text = error.to_string();
    assert!(text.len() < 1_300, "{}", text.len());
    assert!(!error.remedy().is_empty(), "{text}");
}

/// A file that was cut off, wherever: behind a section, in a section's head, within a number.
#[tokio::test]
async fn every_beginning_of_a_component_is_refused() {
    let whole = sound();
    let short = 0..64.min(whole.len());
    let spread = (64..whole.len()).step_by(whole.len() / 150 + 1);
    let long = whole.len() - 40..whole.len();
    for length in short.chain(spread).chain(long) {
        let Err(error) = load(whole[..length].to_vec()).await else {
            panic!("{length} of {} bytes are a component", whole.len());
        };
        readable(&error);
        // Cut off behind a whole section it is a component, with fewer exports or none.
        assert!(
            !matches!(error, PluginError::Start(_) | PluginError::Engine(_)),
            "{error:?}"
        );
    }
}

/// A byte that has tipped over makes a component that is refused, or one that can be called: never
/// anything else. What it answers then is its own.
#[tokio::test]
async fn a_damaged_component_is_refused_or_contained() {
    let whole = sound();
    let (mut refused, mut loaded) = (0, 0);
    // Steele and Vigna's SplitMix64: the same damage in every run.
    let mut state = 5_u64;
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        usize::try_from((mixed ^ (mixed >> 27)) >> 33).unwrap()
    };
    for _ in 0..300 {
        let mut damaged = whole.clone();
        let place = next() % damaged.len();
        damaged[place] ^= 1 << (next() % 8);
        match load(damaged).await {
            Err(error) => {
                readable(&error);
                refused += 1;
            }
            Ok(host) => {
                let tenant = host.tenant(&tenant_settings(VILLAIN)).unwrap();
                let called = tenant.mailboxes()[0].status().await;
                assert!(
                    matches!(called, Ok(_) | Err(Error::Crashed(_))),
                    "{called:?}"
                );
                loaded += 1;
            }
        }
    }
    assert!(
        refused > 50 && loaded > 5,
        "{refused} refused, {loaded} loaded"
    );
}

/// What is no component is told from what is none of ours, and from one that does not fit.
#[tokio::test]
async fn each_kind_of_misfit_is_named() {
    let none = PluginError::NotAComponent(String::new());
    let misfit = PluginError::Misfit(String::new());
    let text = |text: &str| wat::parse_str(text).unwrap();
    let long = "a".repeat(100_000);
    let empty_face = "(instance $i) (export \"contact-sync:plugin/sync@0.1.0\" (instance $i))";
    for (what, bytes, expected) in [
        ("an empty file", Vec::new(), &none),
        ("a null", vec![0], &none),
        ("text", b"(component)".to_vec(), &none),
        (
            "machine code",
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
            &none,
        ),
        ("zeros", vec![0; 10_000], &none),
        (
            "a module with our name",
            text("(module (func (export \"contact-sync:plugin/sync@0.1.0\")))"),
            &none,
        ),
        ("a component", text("(component)"), &PluginError::NoPlugin),
        (
            "a component of nearly our name",
            text(
                "(component (instance $i) (export \"contact-sync:plug/sync@0.1.0\" (instance $i)))",
            ),
            &PluginError::NoPlugin,
        ),
        (
            "our name without a version",
            text("(component (instance $i) (export \"contact-sync:plugin/sync\" (instance $i)))"),
            &PluginError::NoPlugin,
        ),
        (
            "our name and nothing behind it",
            text(&format!("(component {empty_face})")),
            &misfit,
        ),
        (
            "a wish of its own",
            text(&format!(
                "(component (import \"{long}\" (func)) {empty_face})",
            )),
            &misfit,
        ),
    ] {
        let Err(error) = load(bytes).await else {
            panic!("{what} fits");
        };
        assert_eq!(
            discriminant(&error),
            discriminant(expected),
            "{what}: {error:?}"
        );
        readable(&error);
    }
}

/// A plugin of our version whose records are others is refused when it is loaded, not when the
/// first of them is read.
#[tokio::test]
async fn a_record_that_differs_is_found_when_loaded() {
    for (file, ours, theirs) in [
        ("types.wit", "more: bool,", "more: u32,"),
        ("sync.wit", "held-back: u32,", "held-back: u64,"),
        (
            "sync.wit",
            "status: func(job: job)",
            "status: func(job: job, twice: bool)",
        ),
        ("store.wit", "quota(string)", "quota(u32)"),
    ] {
        let folder = tempfile::tempdir().unwrap();
        copy(Path::new("../wit"), folder.path());
        let path = folder.path().join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(ours), "{ours}");
        fs::write(&path, text.replacen(ours, theirs, 1)).unwrap();
        let refused = load(Guest::of_folder(folder.path()).build()).await.err();
        let Some(error @ (PluginError::Misfit(_) | PluginError::Start(_))) = refused else {
            panic!("{theirs}: {refused:?}");
        };
        readable(&error);
        assert!(
            error.to_string().contains("type mismatch"),
            "{theirs}: {error}"
        );
    }
}

/// Versions are read as Cargo and the component model read them, and told by their numbers.
#[tokio::test]
async fn versions_are_told_by_their_numbers() {
    let long = format!("0.2.0-{}", "a".repeat(50_000));
    for (version, told, remedy) in [
        ("0.0.9", "version 0.0.9 ", "take a newer plugin"),
        ("0.2.7", "version 0.2.7 ", "take a newer host"),
        ("1.0.0", "version 1.0.0 ", "take a newer host"),
        (&long, "version 0.2.0 ", "take a newer host"),
    ] {
        let name = format!("contact-sync:plugin/sync@{version}");
        let text = format!("(component (instance $i) (export \"{name}\" (instance $i)))");
        let refused = load(wat::parse_str(&text).unwrap()).await.err();
        let Some(error @ PluginError::Version { .. }) = refused else {
            panic!("{told}: {refused:?}");
        };
        readable(&error);
        assert!(error.to_string().contains(told), "{error}");
        assert!(
            error.remedy().starts_with(remedy),
            "{told}: {}",
            error.remedy()
        );
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &target);
        } else {
            fs::copy(&path, target).unwrap();
        }
    }
}
