//! The repository checks itself.
//!
//! Goal: what the house has agreed on stays true without anybody having to look. Method: every file
//! is read, and cargo is asked for the guest's dependencies.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Lines of code longer than this do not fit beside another file.
const LINE_CHARACTERS_MAX: usize = 100;

/// Functions longer than this do more than one thing.
const FUNCTION_LINES_MAX: usize = 70;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("tests/ lies in the workspace")
        .into()
}

/// All files below a folder that are part of the house: neither built nor git's own.
fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the repository") {
        let path = entry.expect("an entry").path();
        let is_foreign = ["target", ".git", "node_modules"]
            .iter()
            .any(|name| path.ends_with(name));
        if path.is_dir() && !is_foreign {
            walk(&path, found);
        } else if path.is_file() {
            found.push(path);
        }
    }
}

/// Files with this ending, by their paths in the repository, with their texts.
fn files(ending: &str) -> Vec<(PathBuf, String)> {
    let root = root();
    let mut found = Vec::new();
    walk(&root, &mut found);
    let files: Vec<_> = found
        .into_iter()
        .filter(|path| path.to_string_lossy().ends_with(ending))
        .filter_map(|path| {
            let name = path.strip_prefix(&root).ok()?.to_owned();
            (!name.starts_with("wit/deps")).then_some(())?;
            Some((name, fs::read_to_string(path).ok()?))
        })
        .collect();
    assert!(!files.is_empty(), "no files end with {ending}");
    files
}

#[test]
fn lines_fit_beside_another_file() {
    let mut long = Vec::new();
    for (path, text) in files(".rs").into_iter().chain(files(".wit")) {
        for (number, line) in text.lines().enumerate() {
            // Addresses, texts for people and rows of tables are not broken.
            let is_whole = ["http", "\"", "//! |", "/// |"]
                .iter()
                .any(|sign| line.contains(sign));
            if line.chars().count() > LINE_CHARACTERS_MAX && !is_whole {
                long.push(format!("{}:{}", path.display(), number + 1));
            }
        }
    }
    assert!(
        long.is_empty(),
        "lines over {LINE_CHARACTERS_MAX} characters: {long:#?}"
    );
}

#[test]
fn functions_do_one_thing() {
    let mut long = Vec::new();
    // A table of cases is as long as it has cases.
    let is_test = |path: &Path| {
        let below_tests = path
            .iter()
            .any(|part| part == "tests" || part == "tests.rs");
        below_tests && !path.starts_with("tests/src")
    };
    for (path, text) in files(".rs").into_iter().filter(|(path, _)| !is_test(path)) {
        let mut begun: Option<(usize, usize)> = None;
        let code = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let head = line.trim_start();
            let is_function = [
                "fn ",
                "pub fn ",
                "pub(super) fn ",
                "pub(crate) fn ",
                "async fn ",
            ]
            .iter()
            .any(|word| head.starts_with(word));
            if is_function && begun.is_none() {
                begun = Some((number, indent));
            }
            let ends = head == "}" || head.ends_with('}') || head.ends_with(';');
            if let Some((first, at)) = begun
                && indent == at
                && ends
            {
                let lines = number - first + 1;
                if lines > FUNCTION_LINES_MAX {
                    long.push(format!("{}:{} ({lines})", path.display(), first + 1));
                }
                begun = None;
            }
        }
    }
    assert!(
        long.is_empty(),
        "functions over {FUNCTION_LINES_MAX} lines: {long:#?}"
    );
}

#[test]
fn text_is_plain() {
    for (path, text) in files(".rs")
        .into_iter()
        .chain(files(".md"))
        .chain(files(".wit"))
    {
        let odd = text.chars().find(|character| {
            (character.is_control() && *character != '\n') || *character == '\u{feff}'
        });
        assert_eq!(odd, None, "{} holds a control character", path.display());
        assert!(
            text.ends_with('\n'),
            "{} does not end with a line break",
            path.display()
        );
    }
}

#[test]
fn modules_are_files_of_their_own_name() {
    let named: Vec<_> = files(".rs")
        .into_iter()
        .map(|(path, _)| path)
        .filter(|path| path.file_name().is_some_and(|name| name == "mod.rs"))
        .collect();
    assert!(named.is_empty(), "{named:?}");
}

/// The interface is the contract with hosts that we do not know: nothing in it goes unexplained.
#[test]
fn every_item_of_the_interface_is_documented() {
    let heads = [
        "record ",
        "variant ",
        "enum ",
        "resource ",
        "interface ",
        "world ",
    ];
    let mut bare = Vec::new();
    for (path, text) in files(".wit") {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        for (number, line) in lines.iter().enumerate() {
            let is_item =
                heads.iter().any(|head| line.starts_with(head)) || line.contains(": func(");
            let is_documented = number > 0 && lines[number - 1].starts_with("///");
            if is_item && !is_documented {
                bare.push(format!("{}:{} {line}", path.display(), number + 1));
            }
        }
    }
    assert!(bare.is_empty(), "{bare:#?}");
}

/// The engine, the planner and the mapping know mailboxes by their shape alone: what a server
/// speaks is known to its protocol and to set-up.
#[test]
fn no_room_of_the_engine_knows_a_dialect() {
    let rooms = [
        "approval", "execute", "explain", "journal", "links", "mapping", "pass", "plan",
    ];
    let dialects = [
        "Endpoint::",
        "Service::Graph",
        "Service::Ews",
        "mailbox::graph",
        "mailbox::ews",
    ];
    let mut known = Vec::new();
    for (path, text) in files(".rs") {
        let is_of = |room: &&str| {
            path.starts_with(format!("guest/src/{room}"))
                || path == Path::new(&format!("guest/src/{room}.rs"))
        };
        if !rooms.iter().any(is_of) {
            continue;
        }
        let named = dialects.iter().filter(|dialect| text.contains(**dialect));
        known.extend(named.map(|dialect| format!("{}: {dialect}", path.display())));
    }
    assert!(known.is_empty(), "{known:#?}");
}

/// Otherwise another plugin is proven by the native tests than the one that is shipped.
#[test]
fn the_guest_has_the_same_dependencies_natively_and_as_a_component() {
    let features = |target: &str| -> BTreeSet<String> {
        let tree = Command::new(env!("CARGO"))
            .args([
                "tree",
                "--locked",
                "--package",
                "contact-sync-guest",
                "--target",
                target,
            ])
            .args([
                "--edges",
                "normal,no-proc-macro",
                "--prefix",
                "none",
                "--format",
                "{p} {f}",
            ])
            .current_dir(root())
            .output()
            .expect("cargo tree runs");
        assert!(
            tree.status.success(),
            "{}",
            String::from_utf8_lossy(&tree.stderr)
        );
        let text = String::from_utf8(tree.stdout).expect("names are text");
        text.lines().map(|line| line.replace(" (*)", "")).collect()
    };
    let native = features("x86_64-unknown-linux-gnu");
    let component = features("wasm32-wasip2");
    // Which locks `heapless`, below `phonenumber`, stands on is decided by the machine.
    let is_lock = |line: &str| {
        let locks = [
            "lock_api",
            "scopeguard",
            "spin",
            "atomic-polyfill",
            "critical-section",
        ];
        locks
            .iter()
            .any(|name| line.split(' ').next() == Some(name))
    };
    let lost: Vec<_> = native
        .difference(&component)
        .filter(|line| !is_lock(line))
        .collect();
    assert!(
        lost.is_empty(),
        "only natively, or with other features: {lost:#?}"
    );
    // The component's face, and where its memory comes from.
    let is_of_component = |line: &str| {
        let own = ["wit-bindgen", "bitflags", "talc", "allocator-api2"];
        own.iter().any(|name| line.starts_with(name))
    };
    let added: Vec<_> = component
        .difference(&native)
        .filter(|line| !is_of_component(line) && !is_lock(line))
        .collect();
    assert!(
        added.is_empty(),
        "only as a component, or with other features: {added:#?}"
    );
}
