//! The program: exit codes, what goes where, and that one mailbox's trouble stops no other.
//!
//! Method: the real program as its own process, with guests of a few lines as its plugin.

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use contact_sync_host::store::{Acquired, SqliteStore, Store};
use serde_json::{Value, json};

use super::guest::Guest;

/// A folder with a configuration and a plugin.
struct Folder {
    folder: tempfile::TempDir,
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl Folder {
    fn new(guest: Guest) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mailbox = |id: &str| {
            format!(
                "[[tenant.mailbox]]\nid = \"{id}\"\naddress = \"{id}@muster.example\"\n\
                 [tenant.mailbox.office365]\ntenant = \"t\"\nclient-id = \"app\"\n\
                 client-secret = {{ env = \"UNSET\" }}\n"
            )
        };
        let tenant = |id: &str, mailboxes: &[&str]| {
            let mailboxes: String = mailboxes.iter().map(|id| mailbox(id)).collect();
            format!(
                "[[tenant]]\nid = \"{id}\"\n[tenant.flowfact]\n\
                 token = {{ env = \"UNSET\" }}\n{mailboxes}"
            )
        };
        let config = [
            "store = \"data/store.db\"\n".into(),
            tenant("a", &["m1", "m2"]),
            tenant("b", &["m3"]),
        ];
        fs::write(folder.path().join("contact-sync.toml"), config.concat()).unwrap();
        fs::write(folder.path().join("plugin.wasm"), guest.build()).unwrap();
        Self { folder }
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        let output = program(self.folder.path())
            .args(["--plugin", "plugin.wasm"])
            .args(arguments)
            .output();
        ran(output.unwrap())
    }

    fn store(&self) -> PathBuf {
        self.folder.path().join("data/store.db")
    }
}

fn program(folder: &Path) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_contact-sync"));
    program
        .current_dir(folder)
        .env("XDG_CACHE_HOME", folder.join("cache"))
        .env_remove("RUST_LOG");
    program
}

fn ran(output: Output) -> Ran {
    Ran {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

fn lines(text: &str) -> Vec<Value> {
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A guest whose passes end with this outcome: 0 complete, 1 needs approval.
fn passes(outcome: u8) -> Guest {
    Guest::new()
        .export(
            "sync@0.1|[static]pass.open",
            "(i32.store offset=24 (i32.const 0)
               (call $_ex_contact-sync:plugin~sync@0.1/pass_new (i32.const 7)))
             i32.const 16",
        )
        .export(
            "sync@0.1|[method]pass.advance",
            &format!(
                "(i32.store8 offset=1024 (i32.const 0) (i32.const 2))
                 (i32.store8 offset=1032 (i32.const 0) (i32.const {outcome}))
                 i32.const 1024"
            ),
        )
        .export("sync@0.1|status", "i32.const 16")
}

/// The help names every command and exit code, and is no error; a wrong option is one.
#[test]
fn help_and_usage() {
    let folder = tempfile::tempdir().unwrap();
    let help = ran(program(folder.path()).arg("--help").output().unwrap());
    assert_eq!((help.code, help.stderr.as_str()), (Some(0), ""));
    for word in [
        "check",
        "preview",
        "sync",
        "status",
        "pair",
        "explain",
        "rebind",
        "suspend",
        "approve",
        "reject",
        "export-csv",
        "history",
        "restore",
        "proxy",
        "Exit codes",
        "130",
    ] {
        assert!(help.stdout.contains(word), "{word}");
    }
    let wrong = ran(program(folder.path()).arg("--tennant").output().unwrap());
    assert_eq!((wrong.code, wrong.stdout.as_str()), (Some(1), ""));
    let nobody = ran(program(folder.path()).arg("pair").output().unwrap());
    assert_eq!(nobody.code, Some(1));
}

/// A mistake in the configuration ends everything before anything is done, with its place and hint.
#[test]
fn a_broken_configuration_is_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("contact-sync.toml"), "store = 7\n").unwrap();
    let ran = ran(program(folder.path())
        .args(["sync", "--json"])
        .output()
        .unwrap());
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(2), ""));
    assert_eq!(
        ran.stderr,
        "error: contact-sync.toml:1:1: `tenant` is missing in the file\n\n\
         hint: add a `[[tenant]]`; `contact-sync example-config` shows one\n\
         error: contact-sync.toml:1:9: `store` has a value that it cannot have\n\n\
         hint: write a text in quotes\n"
    );
}

/// The proxy prints where it listens, a line for each mailbox, and Ctrl-C is its usual end.
#[cfg(unix)]
#[test]
fn the_proxy_prints_addresses_and_ends_with_ctrl_c() {
    let folder = Folder::new(passes(0));
    let mut proxy = program(folder.folder.path())
        .args([
            "proxy",
            "--plugin",
            "plugin.wasm",
            "--json",
            "--tenant",
            "a",
        ])
        .args(["--secret-file", "proxy-secret"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let printed = BufReader::new(proxy.stdout.take().unwrap()).lines();
    let printed: Vec<Value> = printed
        .take(2)
        .map(|line| serde_json::from_str(&line.unwrap()).unwrap())
        .collect();
    // Printed before it can be stopped: it says so on standard error once it can.
    let mut told = String::new();
    BufReader::new(proxy.stderr.take().unwrap())
        .read_line(&mut told)
        .unwrap();
    assert_eq!(told, "note: signing in for 2 mailboxes; Ctrl-C stops it\n");
    let signal = Command::new("kill")
        .args(["-INT", &proxy.id().to_string()])
        .status();
    assert!(signal.unwrap().success());
    assert_eq!(proxy.wait().unwrap().code(), Some(0));
    for (line, mailbox) in printed.iter().zip(["m1", "m2"]) {
        assert_eq!(
            (&line["tenant"], &line["mailbox"]),
            (&json!("a"), &json!(mailbox))
        );
        let crm = line["crm"]["url"].as_str().unwrap();
        let base = crm.strip_suffix("/crm").unwrap();
        assert!(base.starts_with("http://127.0.0.1:"), "{base}");
        let endpoint = json!({ "service": "graph", "url": format!("{base}/mailbox") });
        assert_eq!(line["endpoint"], endpoint);
    }
    assert_ne!(printed[0]["crm"], printed[1]["crm"]);
    assert!(folder.folder.path().join("proxy-secret").exists());
}

/// The printed example is the documented file.
#[test]
fn the_example_is_printed() {
    let folder = tempfile::tempdir().unwrap();
    let example = ran(program(folder.path())
        .arg("example-config")
        .output()
        .unwrap());
    assert_eq!(example.code, Some(0));
    assert_eq!(example.stdout, contact_sync_host::config::EXAMPLE);
}

/// A sync of all mailboxes: a result each, on standard output; phases on standard error.
#[test]
fn a_sync_does_every_mailbox() {
    let folder = Folder::new(passes(0));
    let ran = folder.run(&["sync"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for place in ["a/m1: complete", "a/m2: complete", "b/m3: complete"] {
        assert!(ran.stdout.contains(place), "{}", ran.stdout);
    }
    let json = lines(&folder.run(&["sync", "--json", "--tenant", "a"]).stdout);
    assert_eq!(json.len(), 2);
    assert_eq!(
        (&json[0]["tenant"], &json[1]["mailbox"]),
        (&"a".into(), &"m2".into())
    );
    assert_eq!(json[0]["outcome"], "complete");
    assert_eq!(json[0]["counts"]["crm"]["created"], 0);

    let some = folder.run(&["status", "--mailbox", "m2", "--mailbox", "m3"]);
    assert!(
        some.stdout.starts_with("a/m2: last complete pass: never"),
        "{}",
        some.stdout
    );
    assert!(
        some.stdout.contains("b/m3: ") && !some.stdout.contains("m1"),
        "{}",
        some.stdout
    );
}

/// A preview writes nothing, not even an empty store.
#[test]
fn a_preview_leaves_nothing_behind() {
    let folder = Folder::new(passes(0));
    let ran = folder.run(&["preview"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout
            .contains("a/m1: a sync would carry out 0 operations"),
        "{}",
        ran.stdout
    );
    assert!(!folder.store().exists());
    folder.run(&["sync"]);
    assert!(folder.store().exists());
}

/// A pass that waits for a person is exit code 3, on all mailboxes alike.
#[test]
fn approval_is_exit_code_3() {
    let folder = Folder::new(passes(1));
    let ran = folder.run(&["sync", "--json"]);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    assert_eq!(
        lines(&ran.stdout)[2]["outcome"]["needs-approval"]["links"],
        0
    );
}

/// A guest that asks about one contact, in the list `T7`, and takes any answer.
fn asks() -> Guest {
    passes(1)
        .text("T7Erikaover-limitc-1deleted-in-crm")
        .export(
            "approval@0.1|request",
            // request-page, its request, and one entry at 2048.
            "(i32.store8 offset=24 (i32.const 0) (i32.const 1))
             (i32.store offset=28 (i32.const 0) (i32.const 4096))
             (i32.store offset=32 (i32.const 0) (i32.const 2))
             (i32.store offset=40 (i32.const 0) (i32.const 1))
             (i32.store offset=52 (i32.const 0) (i32.const 9))
             (i32.store offset=56 (i32.const 0) (i32.const 4103))
             (i32.store offset=60 (i32.const 0) (i32.const 10))
             (i32.store offset=68 (i32.const 0) (i32.const 2048))
             (i32.store offset=72 (i32.const 0) (i32.const 1))
             (i32.store8 offset=2052 (i32.const 0) (i32.const 1))
             (i32.store8 offset=2053 (i32.const 0) (i32.const 2))
             (i32.store8 offset=2056 (i32.const 0) (i32.const 1))
             (i32.store offset=2060 (i32.const 0) (i32.const 4113))
             (i32.store offset=2064 (i32.const 0) (i32.const 3))
             (i32.store offset=2080 (i32.const 0) (i32.const 4098))
             (i32.store offset=2084 (i32.const 0) (i32.const 5))
             (i32.store offset=2096 (i32.const 0) (i32.const 4116))
             (i32.store offset=2100 (i32.const 0) (i32.const 14))
             i32.const 16",
        )
        .export("approval@0.1|answer", "i32.const 16")
}

/// A sync names the command that shows the list; the list names who would lose what, and the
/// commands that answer it.
#[test]
fn approval_is_asked_for_with_the_list_and_the_commands() {
    let folder = Folder::new(asks());
    let one = ["--tenant", "b", "--mailbox", "m3"];
    let synced = folder.run(&["sync", "--tenant", "b"]);
    let command = "contact-sync approve --tenant b --mailbox m3";
    let hint = format!("hint: see the list and answer it: {command}\n");
    assert!(synced.stdout.contains(&hint), "{}", synced.stdout);

    let listed = folder.run(&["approve", one[0], one[1]]);
    assert_eq!(listed.code, Some(3), "{}", listed.stderr);
    assert_eq!(
        listed.stdout,
        "\
b/m3: waits for your approval: more at once than the guard lets pass
  would delete 1 in the mailbox, of 9 linked contacts; none of it is done, everything else is

The list T7
  Erika [c-1]
    delete in mailbox (deleted-in-crm)

To carry it out:   contact-sync approve --tenant b --mailbox m3 T7
To bring it back:  contact-sync reject --tenant b --mailbox m3 T7
"
    );
    let json = lines(&folder.run(&["reject", "--json", one[0], one[1]]).stdout);
    assert_eq!(json[0]["request"]["token"], "T7");
    assert_eq!(json[0]["verdict"], Value::Null);
    assert_eq!(json[0]["entries"][0]["contact"]["crm-id"], "c-1");
    assert_eq!(json[0]["entries"][0]["action"], "delete");
    assert_eq!(json[0]["entries"][0]["emptied"], Value::Null);

    let approved = folder.run(&["approve", "T7", one[2], one[3]]);
    assert_eq!(approved.code, Some(0), "{}", approved.stderr);
    let start = "b/m3: approved; the next sync carries it out:\n";
    assert!(approved.stdout.starts_with(start), "{}", approved.stdout);
    let rejected = folder.run(&["reject", "T7", "--json", one[2], one[3]]);
    assert_eq!(rejected.code, Some(0), "{}", rejected.stderr);
    assert_eq!(lines(&rejected.stdout)[0]["verdict"], "reject");
}

/// Where nothing waits there is nothing to answer.
#[test]
fn nothing_waits_for_an_approval() {
    let folder = Folder::new(passes(0).export("approval@0.1|request", "i32.const 16"));
    let ran = folder.run(&["approve", "--mailbox", "m3"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(ran.stdout, "b/m3: nothing waits for your approval\n");
    for (command, word) in [("approve", "carries"), ("reject", "brings")] {
        let help = folder.run(&[command, "--help"]);
        assert!(help.stdout.contains("Examples:"), "{}", help.stdout);
        assert!(help.stdout.contains(word), "{}", help.stdout);
    }
}

/// A crash, and a tenant in which another host works, stop no other mailbox; the exit code is the
/// gravest.
#[tokio::test]
async fn trouble_with_one_stops_no_other() {
    let folder = Folder::new(passes(0));
    let store = SqliteStore::open(&folder.store()).unwrap();
    let held = store
        .acquire("a", "process 7 of another machine", 60_000)
        .await
        .unwrap();
    assert!(matches!(held, Acquired::Lease(_)));
    let ran = folder.run(&["sync", "--json"]);
    assert_eq!(ran.code, Some(4));
    let json = lines(&ran.stdout);
    assert_eq!(
        (&json[0]["error"]["code"], &json[1]["error"]["code"]),
        (&"busy".into(), &"busy".into())
    );
    assert_eq!(json[2]["outcome"], "complete");
    assert!(
        ran.stderr
            .contains("error: a/m1: another pass of tenant `a` is running, in process 7")
    );

    let crashing = Folder::new(Guest::new());
    let ran = crashing.run(&["check"]);
    assert_eq!(ran.code, Some(4));
    for place in ["a/m1", "a/m2", "b/m3"] {
        assert!(
            ran.stderr
                .contains(&format!("error: {place}: the plugin crashed")),
            "{}",
            ran.stderr
        );
    }
    crashing.run(&["sync", "--mailbox", "m3"]);
    let status = crashing.run(&["status", "--mailbox", "m3", "--verbose"]);
    assert_eq!(
        status.code,
        Some(4),
        "the status of a plugin that crashes is a crash"
    );
}

/// What is named must be there, and be one where one is meant.
#[test]
fn names_are_checked() {
    let folder = Folder::new(passes(0));
    for (arguments, message, hint) in [
        (
            &["sync", "--tenant", "c"][..],
            "there is no tenant `c`",
            "known: a, b",
        ),
        (
            &["sync", "--mailbox", "m9"],
            "there is no mailbox `m9`",
            "known: m1, m2, m3",
        ),
        (
            &["pair", "c", "m"],
            "`pair` is for one mailbox",
            "name it with",
        ),
        (
            &["approve", "0123"],
            "an answer is for one mailbox",
            "name it with",
        ),
        (
            &["export-csv"],
            "`export-csv` is for one tenant",
            "name it with",
        ),
        (
            &["explain", "Erika"],
            "`explain` is for one tenant",
            "name it with",
        ),
        (
            &["rebind", "--yes"],
            "`rebind` is for one mailbox",
            "name it with",
        ),
        (
            &["rebind", "--mailbox", "m1"],
            "`rebind` asks whether you are sure, and nobody can answer here",
            "say it with `--yes`",
        ),
    ] {
        let ran = folder.run(arguments);
        assert_eq!(
            (ran.code, ran.stdout.as_str()),
            (Some(1), ""),
            "{arguments:?}"
        );
        let expected = format!("error: {message}\n\nhint: {hint}");
        assert!(ran.stderr.starts_with(&expected), "{}", ran.stderr);
    }
    let missing = ran(program(folder.folder.path())
        .args(["--plugin", "nowhere.wasm", "status"])
        .output()
        .unwrap());
    assert_eq!(missing.code, Some(1));
    assert!(
        missing
            .stderr
            .starts_with("error: cannot read the plugin `nowhere.wasm`")
    );
    fs::write(folder.folder.path().join("text.wasm"), "text").unwrap();
    let text = ran(program(folder.folder.path())
        .args(["--plugin", "text.wasm", "status"])
        .output()
        .unwrap());
    assert_eq!(text.code, Some(1));
    assert!(
        text.stderr
            .starts_with("error: this is no WebAssembly component"),
        "{}",
        text.stderr
    );
}

/// The CSV goes to standard output or a file, part by part, and nothing else goes with it.
#[test]
fn csv_is_data_and_nothing_else() {
    let guest = Guest::new().text("Name\\0d\\0aErika\\0d\\0a").export(
        "contacts@0.1|export-csv",
        "(i32.store offset=24 (i32.const 0) (i32.const 4096))
         (i32.store offset=28 (i32.const 0) (i32.const 13))
         (i32.store offset=32 (i32.const 0) (i32.const 1))
         i32.const 16",
    );
    let folder = Folder::new(guest);
    let ran = folder.run(&["export-csv", "--tenant", "a"]);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(0), "Name\r\nErika\r\n")
    );
    assert_eq!(ran.stderr, "exported 1 contacts\n");
    folder.run(&["export-csv", "--tenant", "b", "--out", "all.csv"]);
    let written = fs::read_to_string(folder.folder.path().join("all.csv")).unwrap();
    assert_eq!(written, "Name\r\nErika\r\n");
}

/// What a pass is told, as a file: in the words of the configuration, and without its secrets.
#[test]
fn a_job_is_printed_for_one_mailbox() {
    let folder = Folder::new(Guest::new());
    let printed = folder.run(&["job", "--tenant", "a", "--mailbox", "m1"]);
    assert_eq!(printed.code, Some(0), "{}", printed.stderr);
    assert!(!printed.stdout.contains("secret") && !printed.stdout.contains("UNSET"));
    let job: Value = serde_json::from_str(&printed.stdout).unwrap();
    assert_eq!(job["tenant"]["id"], "a");
    assert_eq!(job["mailbox"]["office365"]["user"], "m1@muster.example");
    let read = contact_sync_job::Job::from_json(&printed.stdout).unwrap();
    assert_eq!(read.to_json().unwrap(), printed.stdout.trim_end());

    let several = folder.run(&["job", "--tenant", "a"]);
    assert_eq!(several.code, Some(1));
    assert!(several.stderr.contains("--mailbox"), "{}", several.stderr);
}

/// The plugin for other hosts, needing no configuration; what is no plugin is not composed.
#[test]
fn components_are_written_for_other_hosts() {
    let place = tempfile::tempdir().unwrap();
    let written = ran(program(place.path())
        .args(["component", "--out", "new/components"])
        .output()
        .unwrap());
    assert_eq!(written.code, Some(0), "{}", written.stderr);
    assert_eq!(written.stdout.lines().count(), 3, "{}", written.stdout);
    for name in [
        "contact-sync",
        "contact-sync-with-store",
        "contact-sync-cli",
    ] {
        let path = format!("new/components/{name}.wasm");
        assert!(written.stdout.contains(&path), "{}", written.stdout);
        let bytes = fs::read(place.path().join(path)).unwrap();
        assert!(bytes.starts_with(b"\0asm"));
    }

    fs::write(place.path().join("wrong.wasm"), b"no component").unwrap();
    let refused = ran(program(place.path())
        .args(["component", "--out", "other", "--plugin", "wrong.wasm"])
        .output()
        .unwrap());
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stderr.contains("this is no WebAssembly component"),
        "{}",
        refused.stderr
    );
    assert!(!place.path().join("other").exists());
}

/// All mailboxes of a tenant are asked about a contact, and a question leaves nothing behind.
#[test]
fn a_contact_is_explained_for_every_mailbox() {
    let guest = Guest::new().export("contacts@0.1|explain", "i32.const 16");
    let folder = Folder::new(guest);
    let ran = folder.run(&["explain", "Erika", "--tenant", "a"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout.contains("a/m1: : a pair\n") && ran.stdout.contains("a/m2: : a pair\n"),
        "{}",
        ran.stdout
    );
    let json = lines(
        &folder
            .run(&["explain", "Erika", "--mailbox", "m3", "--json"])
            .stdout,
    );
    assert_eq!(json[0]["explanation"]["standing"], "linked");
    assert!(!folder.store().exists());
    let help = folder.run(&["explain", "--help"]).stdout;
    assert!(help.contains("contact-sync explain erika@"), "{help}");
}

/// What is said of a whole mailbox is confirmed, and by `rebind` asked for.
#[test]
fn a_mailbox_is_rebound_and_suspended() {
    let guest = Guest::new()
        .export("setup@0.1|rebind", "i32.const 16")
        .export("setup@0.1|suspend", "i32.const 16");
    let folder = Folder::new(guest);
    let ran = folder.run(&["rebind", "--yes", "--mailbox", "m1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stdout
            .starts_with("a/m1: the next pass may be of another mailbox")
    );
    let json = lines(
        &folder
            .run(&["rebind", "--yes", "--mailbox", "m1", "--json"])
            .stdout,
    );
    assert_eq!(json[0]["rebound"], true);
    let json = lines(&folder.run(&["suspend", "--json"]).stdout);
    let suspended: Vec<_> = json.iter().map(|line| &line["suspended"]).collect();
    assert_eq!(suspended, [true, true, true]);
    for command in ["rebind", "suspend"] {
        let help = folder.run(&[command, "--help"]).stdout;
        assert!(
            help.contains(&format!("contact-sync {command} --mailbox koeln")),
            "{help}"
        );
    }
}

/// An empty history is no error; what it does not hold cannot be brought back.
#[test]
fn a_history_that_holds_nothing_is_told() {
    let folder = Folder::new(passes(0).export("archive@0.1|entries", "i32.const 16"));
    let history = folder.run(&["history", "--tenant", "a"]);
    assert_eq!(history.code, Some(0), "{}", history.stderr);
    assert_eq!(history.stdout, "a/m1: 0 entries\na/m2: 0 entries\n");
    let json = lines(&folder.run(&["history", "--json", "--since", "2d"]).stdout);
    assert_eq!(json.len(), 3);
    assert_eq!(json[0]["entries"], Value::Array(Vec::new()));
    let wrong = folder.run(&["history", "--since", "soon"]);
    assert_eq!(wrong.code, Some(1));

    let nothing = folder.run(&["restore", "mustermann", "--tenant", "a"]);
    assert_eq!((nothing.code, nothing.stdout.as_str()), (Some(1), ""));
    let told = "error: the history holds nothing of `mustermann`\n\nhint: ";
    assert!(nothing.stderr.starts_with(told), "{}", nothing.stderr);
    let unnamed = folder.run(&["restore", "mustermann"]);
    assert!(unnamed.stderr.contains("--tenant"), "{}", unnamed.stderr);
}

/// A hostile plugin shows nobody another screen: its last words are shown as what they are.
#[test]
fn last_words_move_no_cursor() {
    let guest = Guest::with_imports(&["wasi:cli/stderr@0.2.12"])
        .text("\\1b[2J\\1b]0;title\\07gone\\0d\\e2\\80\\aeback")
        .export(
            "sync@0.1|[static]pass.open",
            "(call $wasi:io~streams@0.2/[method]output-stream.blocking-write-and-flush
               (call $wasi:cli~stderr@0.2/get-stderr ) (i32.const 4096) (i32.const 26)
               (i32.const 64)) unreachable",
        )
        .export("sync@0.1|status", "i32.const 16");
    let folder = Folder::new(guest);
    let ran = folder.run(&["sync", "--mailbox", "m3"]);
    assert!(ran.stderr.contains("the plugin crashed"), "{}", ran.stderr);
    let shown = folder.run(&["status", "--mailbox", "m3", "--verbose"]);
    assert!(shown.stderr.contains("gone"), "{}", shown.stderr);
    let moves =
        |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
    assert!(!shown.stderr.contains(moves), "{:?}", shown.stderr);
}

/// Lists that never end, and numbers that lead nowhere, end in what there is.
#[test]
fn lists_without_end_are_ended() {
    for number in ["0", "-1"] {
        let guest = passes(0)
            .export(
                "sync@0.1|[method]pass.advance",
                "(i32.store8 offset=1024 (i32.const 0) (i32.const 2))
                 (i32.store offset=1188 (i32.const 0) (i32.const -1)) i32.const 1024",
            )
            .export(
                "sync@0.1|[method]pass.operations",
                &format!(
                    "(i32.store (i32.const 8192) (i32.const {number}))
                     (i32.store offset=512 (i32.const 0) (i32.const 8192))
                     (i32.store offset=516 (i32.const 0) (i32.const 1)) i32.const 512"
                ),
            );
        let ran = Folder::new(guest).run(&["preview", "--mailbox", "m3"]);
        assert_eq!(ran.code, Some(0), "{number}: {}", ran.stderr);
    }
}
