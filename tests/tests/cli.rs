//! The component under a host that is not ours: the stock `wasmtime`.
//!
//! Goal: the shipped bytes, composed with the two adapters, do a whole sync under the wasmtime
//! command line, remember it in a folder, end with the documented exit codes, and lose nothing when
//! they are killed. Method: the real `wasmtime` of the pinned version against the simulator on
//! loopback, which takes any caller as signed in: that host adds no credentials.
//!
//! `.ci/run` installs it. Elsewhere these tests say that they are skipped where it is missing.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees tests in functions of their own only, and these help them"
)]
#![expect(clippy::print_stderr, reason = "a test that is skipped says so")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{SystemTime, UNIX_EPOCH};

use contact_sync_artifact::{COMPONENT, as_program, with_store};
use contact_sync_file_store::store::{FOLDER_BYTES_MAX, StoreError, Write};
use contact_sync_file_store::{Acquired, Folder, Wanted, Writer};
use contact_sync_tests::office::{Premises, now};
use contact_sync_tests::simulator::{Interruption, Moment};
use serde_json::{Map, Value, json};
use tempfile::TempDir;

const ANNA: &str = "anna@makler.example";
const VERSION: &str = "wasmtime 48.0.8";
const VARIABLE: &str = "CONTACT_SYNC_WASMTIME";
const PROGRAM: &str = "contact-sync-cli.wasm";
const WITH_STORE: &str = "contact-sync-with-store.wasm";

/// A story is told again with a death at every so many requests; odd, so that deaths before and
/// after an effect fall on every kind of request.
const STRIDE: usize = 3;

/// The pinned `wasmtime`; `None` where it is missing and nobody promised that it is there.
fn wasmtime() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let usual = || target.join("tools/bin/wasmtime");
    let path = std::env::var_os(VARIABLE).map_or_else(usual, PathBuf::from);
    let version = Command::new(&path).arg("--version").output();
    let version = version.map(|told| String::from_utf8_lossy(&told.stdout).into_owned());
    match version {
        Ok(version) if version.starts_with(VERSION) => Some(path),
        told => {
            let why = format!(
                "no {VERSION} at {} ({VARIABLE} names another)",
                path.display()
            );
            assert!(std::env::var_os("CI").is_none(), "{why}: {told:?}");
            eprintln!("SKIPPED: {why}");
            None
        }
    }
}

/// The components, as `contact-sync component` writes them.
fn components() -> &'static Path {
    static COMPONENTS: OnceLock<PathBuf> = OnceLock::new();
    COMPONENTS.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("components");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join(PROGRAM), as_program(COMPONENT).unwrap()).unwrap();
        fs::write(folder.join(WITH_STORE), with_store(COMPONENT).unwrap()).unwrap();
        folder
    })
}

/// A company, its services, and a folder to remember in.
struct Stage {
    wasmtime: PathBuf,
    premises: Premises,
    state: TempDir,
}

/// How a run ended, and what it said.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Stage {
    async fn open() -> Option<Self> {
        let wasmtime = wasmtime()?;
        let premises = Premises::open(7, &[ANNA]).await.expect("premises");
        let stage = Self {
            wasmtime,
            premises,
            state: TempDir::new().unwrap(),
        };
        stage.begin_anew();
        Some(stage)
    }

    /// Empty services, and nothing remembered.
    fn begin_anew(&self) {
        self.premises.clear(7, &[ANNA]).expect("the same premises");
        self.premises.services().set_authentication(false);
        for entry in fs::read_dir(self.state.path()).unwrap() {
            fs::remove_file(entry.unwrap().path()).unwrap();
        }
        self.write_job("muster-immobilien", &json!({}));
    }

    fn write_job(&self, tenant: &str, policy: &Value) {
        let address = self.premises.address();
        let marker = self.premises.services().flowfact.account_id(ANNA);
        let job = json!({
            "tenant": {"id": tenant},
            "flowfact": {"base-url": format!("http://{address}/flowfact")},
            "mailbox": {
                "id": "anna",
                "address": ANNA,
                "marker": {"field": "synchronisation", "value": marker},
                "office365": {"base-url": format!("http://{address}/graph/v1.0")},
            },
            "policy": policy,
        });
        let path = self.state.path().join("job.json");
        fs::write(path, serde_json::to_string_pretty(&job).unwrap()).unwrap();
    }

    /// Contacts that only the CRM has, marked, and others that only the mailbox has.
    fn furnish(&self, marked: usize, in_mailbox: usize) {
        let mut services = self.premises.services();
        for number in 0..marked {
            let id = services.flowfact.create(in_crm(number), now());
            services.flowfact.set_marker(&id, ANNA, now());
        }
        for number in marked..marked + in_mailbox {
            services.graph.create(ANNA, &in_outlook(number), now());
        }
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.wasmtime);
        let folder = format!("{}::/state", self.state.path().display());
        command
            .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
            .args(["run", "-S", "http", "--dir", &folder])
            .stdin(Stdio::null());
        command
    }

    /// The program with a command and the job.
    fn program(&self, words: &[&str]) -> Command {
        let (name, rest) = words.split_first().expect("a command");
        let mut command = self.command();
        command.arg(components().join(PROGRAM));
        command.args([name, "/state/job.json"]).args(rest);
        command
    }

    fn run(&self, words: &[&str]) -> Ran {
        told(&self.program(words).output().unwrap())
    }

    /// The one JSON object that a run prints.
    fn run_json(&self, words: &[&str]) -> Value {
        let ran = self.run(&[words, &["--json"]].concat());
        serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"))
    }

    fn logs(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.state.path()).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut logs: Vec<_> = paths
            .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
            .collect();
        logs.sort();
        logs
    }

    /// Holds the folder, as a run that is still at work does.
    fn hold(&self) -> Writer {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        let wanted = Wanted {
            tenant: Some("muster-immobilien"),
            holder: "test",
            now_ms: u64::try_from(since.as_millis()).unwrap(),
            ttl_ms: 60_000,
            take_over: false,
        };
        let folder = Folder::new(self.state.path(), FOLDER_BYTES_MAX);
        match folder.acquire(wanted).unwrap() {
            Acquired::Writer(writer) => *writer,
            held @ Acquired::HeldBy { .. } => panic!("{held:?}"),
        }
    }

    /// How often each person is on the two sides.
    fn people(&self, count: usize) -> Vec<(usize, usize)> {
        let services = self.premises.services();
        let crm = services.flowfact.contacts();
        let outlook = services.graph.contacts(ANNA);
        let having = |contacts: Vec<String>, email: &str| {
            let holding = contacts.into_iter().filter(|text| text.contains(email));
            holding.count()
        };
        (0..count)
            .map(|number| {
                let email = email(number);
                let crm = crm.values().map(|fields| json!(fields).to_string());
                let outlook = outlook.values().map(|fields| json!(fields).to_string());
                (
                    having(crm.collect(), &email),
                    having(outlook.collect(), &email),
                )
            })
            .collect()
    }
}

fn told(output: &Output) -> Ran {
    Ran {
        code: output.status.code(),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// The README's three commands: a first sync, and a second one that goes on where it ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_second_sync_goes_on_from_what_the_first_remembered() {
    let Some(stage) = Stage::open().await else {
        return;
    };
    stage.furnish(6, 4);
    let checked = stage.run(&["check"]);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(
        checked.out.contains("muster-immobilien/anna: ready"),
        "{checked:?}"
    );

    let synced = stage.run(&["sync"]);
    assert_eq!(synced.code, Some(0), "{synced:?}");
    assert!(
        synced.out.starts_with("muster-immobilien/anna: complete"),
        "{synced:?}"
    );
    assert!(
        synced.err.contains("reading FLOWFACT"),
        "progress is on stderr: {synced:?}"
    );
    assert_eq!(stage.people(10), [(1, 1); 10]);

    // What the services show late is read; then there is nothing to do.
    stage.run(&["sync"]);
    stage.premises.services().take_counters();
    let again = stage.run_json(&["sync"]);
    assert_eq!(again["outcome"], "complete", "{again}");
    let counters = stage.premises.services().take_counters();
    assert_eq!(counters.writes(), 0);
    assert!(counters.requests <= 3, "{} requests", counters.requests);
    assert!(
        again["counts"]["store-commits"].as_u64() <= Some(1),
        "{again}"
    );

    let status = stage.run_json(&["status"]);
    assert_eq!(
        (&status["links"], &status["held"]),
        (&json!(10), &json!(0)),
        "{status}"
    );
    let csv = stage.run(&["export-csv"]);
    assert_eq!(
        (csv.code, csv.out.matches("@muster.example").count()),
        (Some(0), 10)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn looking_writes_nothing_anywhere() {
    let Some(stage) = Stage::open().await else {
        return;
    };
    stage.furnish(2, 2);
    stage.premises.services().take_counters();
    let preview = stage.run_json(&["preview"]);
    assert_eq!(preview["outcome"], "complete");
    let operations = preview["operations"].as_array().unwrap();
    let creates = operations.iter().filter(|one| one["action"] == "create");
    assert_eq!(creates.count(), 4, "{preview}");
    for words in [
        ["check"],
        ["status"],
        ["history"],
        ["approve"],
        ["export-csv"],
    ] {
        let ran = stage.run(&words);
        assert_eq!(ran.code, Some(0), "{words:?} {ran:?}");
    }
    assert_eq!(stage.premises.services().take_counters().writes(), 0);
    let left = fs::read_dir(stage.state.path()).unwrap().count();
    assert_eq!(left, 1, "the job, and nothing else");
}

/// What the guard holds back is a question with an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_mass_deletion_waits_for_an_answer() {
    let Some(stage) = Stage::open().await else {
        return;
    };
    stage.furnish(15, 0);
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    let ids: Vec<_> = stage
        .premises
        .services()
        .flowfact
        .contacts()
        .into_keys()
        .collect();
    for id in ids.iter().take(12) {
        stage.premises.services().flowfact.delete(id, now());
    }
    let asked = stage.run(&["sync"]);
    assert_eq!(asked.code, Some(3), "{asked:?}");
    assert!(asked.out.contains("waits for your approval"), "{asked:?}");
    assert_eq!(stage.premises.services().graph.contacts(ANNA).len(), 15);

    let question = stage.run(&["approve"]);
    assert_eq!(question.code, Some(3), "{question:?}");
    let question = stage.run_json(&["approve"]);
    assert_eq!(question["entries"].as_array().unwrap().len(), 12);
    let token = question["request"]["token"].as_str().unwrap();
    assert_eq!(stage.run(&["approve", "another-list"]).code, Some(4));
    let answered = stage.run(&["approve", token]);
    assert_eq!(answered.code, Some(0), "{answered:?}");
    let carried_out = stage.run(&["sync"]);
    assert_eq!(carried_out.code, Some(0), "{carried_out:?}");
    assert_eq!(stage.premises.services().graph.contacts(ANNA).len(), 3);

    let history = stage.run_json(&["history"]);
    let lost = history["entries"].as_array().unwrap();
    assert_eq!(lost.len(), 12, "{history}");
    let entry = lost[0]["id"].as_str().unwrap();
    let dry = stage.run(&["restore", "--entry", entry, "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{dry:?}");
    assert_eq!(stage.premises.services().graph.contacts(ANNA).len(), 3);
    let restored = stage.run(&["restore", "--entry", entry]);
    assert_eq!(restored.code, Some(0), "{restored:?}");
    assert_eq!(stage.premises.services().graph.contacts(ANNA).len(), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_is_told_with_its_exit_code() {
    let Some(stage) = Stage::open().await else {
        return;
    };
    let usage = stage.run(&["sink"]);
    assert_eq!(usage.code, Some(1), "{usage:?}");
    assert!(
        usage.err.contains("`sink`") && usage.err.contains("--help"),
        "{usage:?}"
    );

    let job = stage.state.path().join("job.json");
    let text = fs::read_to_string(&job).unwrap();
    fs::write(&job, text.replace("\"office365\"", "\"office\"")).unwrap();
    let wrong = stage.run(&["sync"]);
    assert_eq!(wrong.code, Some(2), "{wrong:?}");
    let names = ["/state/job.json: line ", "`office`", "hint:"];
    assert!(
        names.iter().all(|name| wrong.err.contains(name)),
        "{wrong:?}"
    );
    fs::write(&job, text.replace("\"id\": \"anna\"", "\"id\": \"No Id\"")).unwrap();
    let refused = stage.run(&["sync"]);
    assert_eq!(
        refused.code,
        Some(2),
        "the plugin refuses the job: {refused:?}"
    );
    fs::remove_file(&job).unwrap();
    let missing = stage.run(&["sync"]);
    assert_eq!(missing.code, Some(2), "{missing:?}");
    assert!(missing.err.contains("job.json"), "{missing:?}");

    // Signed in by nobody.
    fs::write(&job, &text).unwrap();
    stage.premises.services().set_authentication(true);
    let checked = stage.run(&["check"]);
    assert_eq!(checked.code, Some(4), "{checked:?}");
    let broken = stage.run_json(&["sync"]);
    assert_eq!(
        broken["outcome"]["stopped"]["code"], "sign-in-refused",
        "{broken}"
    );
    assert_eq!(stage.run(&["sync"]).code, Some(4));
    stage.premises.services().set_authentication(false);

    // No folder at all: a job from elsewhere.
    let folder = format!("{}::/job", stage.state.path().display());
    let mut nowhere = Command::new(&stage.wasmtime);
    let nowhere = nowhere
        .env("XDG_CACHE_HOME", env!("CARGO_TARGET_TMPDIR"))
        .args(["run", "-S", "http", "--dir", &folder])
        .arg(components().join(PROGRAM))
        .args(["sync", "/job/job.json"]);
    let nowhere = told(&nowhere.output().unwrap());
    assert_eq!(nowhere.code, Some(4), "{nowhere:?}");
    assert!(nowhere.err.contains("::/state"), "{nowhere:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_one_tenants_and_one_runs_at_a_time() {
    let Some(stage) = Stage::open().await else {
        return;
    };
    stage.furnish(2, 2);
    assert_eq!(stage.run(&["sync"]).code, Some(0));

    stage.write_job("somebody-else", &json!({}));
    for words in [["sync"], ["preview"], ["status"]] {
        let foreign = stage.run(&words);
        assert_eq!(foreign.code, Some(2), "{foreign:?}");
        assert!(foreign.err.contains("`muster-immobilien`"), "{foreign:?}");
    }
    stage.write_job("muster-immobilien", &json!({}));

    let mut other = stage.hold();
    let busy = stage.run(&["sync", "--no-wait"]);
    assert_eq!(busy.code, Some(4), "{busy:?}");
    assert!(
        busy.err.contains("another run") && busy.err.contains("--take-over"),
        "{busy:?}"
    );
    let busy = stage.run_json(&["sync", "--no-wait"]);
    assert_eq!(busy["error"]["code"], "busy", "{busy}");
    assert_eq!(stage.run(&["preview"]).code, Some(0), "looking is free");
    let taken = stage.run(&["sync", "--take-over"]);
    assert_eq!(taken.code, Some(0), "{taken:?}");
    let late = vec![Write::Set("late".into(), Vec::new())];
    assert_eq!(other.commit(late), Err(StoreError::LeaseLost));
    let next = stage.run(&["sync", "--no-wait"]);
    assert_eq!(
        next.code,
        Some(0),
        "whoever ends well leaves nothing behind: {next:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_memory_is_refused_and_said() {
    let Some(stage) = Stage::open().await else {
        return;
    };
    stage.furnish(3, 3);
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    let log = stage.logs().pop().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    fs::write(&log, &bytes).unwrap();
    stage.premises.services().take_counters();
    let damaged = stage.run(&["sync"]);
    assert_eq!(damaged.code, Some(4), "{damaged:?}");
    let names = [".log", "damaged", "hint:"];
    assert!(
        names.iter().all(|name| damaged.err.contains(name)),
        "{damaged:?}"
    );
    assert_eq!(stage.premises.services().take_counters().requests, 0);
    assert_eq!(fs::read(&log).unwrap(), bytes, "left as it is");

    // As the hint says: without memory nothing is deleted, and nobody doubled.
    fs::remove_file(&log).unwrap();
    let anew = stage.run(&["sync"]);
    assert_eq!(anew.code, Some(0), "{anew:?}");
    assert_eq!(stage.people(6), [(1, 1); 6]);
}

/// A run that is killed at any request loses nothing and doubles nothing, and the next one goes on.
///
/// A create that was announced and did not happen is settled only ten minutes later (contract,
/// 7.3), and this host's clock cannot be turned: such a contact waits, and the run says so.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_may_be_killed_at_any_request() {
    let Some(stage) = Stage::open().await else {
        return;
    };
    // Nobody is matched: a copy whose answer was lost would else be recognised by its address.
    let policy = json!({"matching": "off"});
    let begin = || {
        stage.begin_anew();
        stage.write_job("muster-immobilien", &policy);
        stage.furnish(6, 4);
    };
    begin();
    stage.premises.services().take_counters();
    assert_eq!(stage.run(&["sync"]).code, Some(0));
    let requests = stage.premises.services().take_counters().requests;
    assert!(requests >= 10, "{requests} requests are no story");

    let moments = [Moment::Before, Moment::After].into_iter().cycle();
    let mut settled = 0;
    for (skip, moment) in (0..requests).step_by(STRIDE).zip(moments) {
        begin();
        kill_at(&stage, skip, moment);
        let place = format!("killed {moment:?} the effect of request {skip} of {requests}");
        for _ in 0..2 {
            let next = stage.run(&["sync", "--take-over"]);
            assert_eq!(next.code, Some(0), "{place}: {next:?}");
        }
        let status = stage.run_json(&["status"]);
        let waiting = status["pending"].as_u64().unwrap() + status["held"].as_u64().unwrap();
        let people = stage.people(10);
        let is_whole = |person: &(usize, usize)| *person == (1, 1);
        let is_waiting = |person: &(usize, usize)| [(1, 0), (0, 1)].contains(person);
        assert!(
            people
                .iter()
                .all(|person| is_whole(person) || is_waiting(person)),
            "{place}: lost or doubled: {people:?}"
        );
        assert!(
            people.iter().all(is_whole) || waiting > 0,
            "{place}: {people:?} {status}"
        );
        settled += usize::from(people.iter().all(is_whole));
    }
    assert!(settled > 1, "most deaths are settled at once");
}

/// A sync whose process is killed by a signal around a request.
fn kill_at(stage: &Stage, skip: u64, moment: Moment) {
    let child = Arc::new(Mutex::new(None));
    let victim = Arc::clone(&child);
    {
        // Whoever is to kill it waits until it is there.
        let mut held = child.lock().unwrap();
        let kill = move || {
            let mut victim = victim.lock().unwrap();
            let victim: &mut Option<std::process::Child> = &mut victim;
            victim.as_mut().unwrap().kill().unwrap();
        };
        stage.premises.services().interruption = Some(Interruption::new(skip, moment, kill));
        let mut command = stage.program(&["sync"]);
        let command = command.stdout(Stdio::null()).stderr(Stdio::null());
        *held = Some(command.spawn().unwrap());
    }
    loop {
        // Whoever kills it needs the lock too.
        if let Some(status) = child.lock().unwrap().as_mut().unwrap().try_wait().unwrap() {
            assert_eq!(status.code(), None, "ended by itself: {status}");
            break;
        }
        std::thread::yield_now();
    }
    stage.premises.services().disconnect();
}

/// The component with a store runs without any program around it.
#[tokio::test(flavor = "multi_thread")]
async fn the_component_with_a_store_can_be_invoked() {
    let Some(stage) = Stage::open().await else {
        return;
    };
    stage.furnish(2, 1);
    let address = stage.premises.address();
    let account = stage.premises.services().flowfact.account_id(ANNA).unwrap();
    let job = format!(
        "{{tenant: {{id: \"muster-immobilien\", region: \"DE\"}}, \
         crm: flowfact({{base-url: \"http://{address}/flowfact\", schema: \"contacts\", \
         fields: [], marker: field-value({{field: \"synchronisation\", value: \"{account}\"}})}}), \
         mailbox: {{id: \"anna\", address: \"{ANNA}\", endpoint: graph({{\
         base-url: \"http://{address}/graph/v1.0\", user: user(\"{ANNA}\"), \
         trust-if-match: false}})}}, \
         policy: {{conflict: crm, delete-edit: keep-edit, on-crm-delete: delete-in-mailbox, \
         on-mailbox-delete: delete-in-crm, on-unmark: keep, matching: email-or-phone, \
         guard: {{contacts-max: 10, contacts-percent-max: 10}}, journal-days: 30, \
         native-sync: ask, crm-not-found: hold}}}}"
    );
    let invoke = |function: &str| {
        let mut command = stage.command();
        let call = format!("contact-sync:plugin/{function}@0.1.0({job})");
        command
            .args(["--invoke", &call])
            .arg(components().join(WITH_STORE));
        told(&command.output().unwrap())
    };
    let checked = invoke("setup.check");
    assert!(checked.out.starts_with("ok({ready: true"), "{checked:?}");
    let synced = invoke("sync.run");
    assert!(
        synced.out.starts_with("ok({outcome: complete"),
        "{synced:?}"
    );
    assert_eq!(stage.people(3), [(1, 1); 3]);
    let status = invoke("sync.status");
    assert!(status.out.contains("links: 3,"), "{status:?}");
    // Nobody gave the right back; who asks the program to wait or to take over goes on.
    let next = stage.run(&["sync", "--take-over"]);
    assert_eq!(next.code, Some(0), "{next:?}");
}

/// Composed is not changed.
#[test]
fn the_plugin_stands_in_what_is_composed_byte_for_byte() {
    for composed in [
        with_store(COMPONENT).unwrap(),
        as_program(COMPONENT).unwrap(),
    ] {
        let found = composed
            .windows(COMPONENT.len())
            .any(|bytes| bytes == COMPONENT);
        assert!(found);
    }
}

#[test]
fn what_is_no_plugin_cannot_be_composed() {
    let truncated = &COMPONENT[..COMPONENT.len() / 2];
    let foreign = contact_sync_artifact::FILE_STORE;
    for wrong in [truncated, foreign, b"no component"] {
        let error = as_program(wrong).unwrap_err().to_string();
        assert!(
            error.starts_with("the plugin cannot be composed: "),
            "{error}"
        );
    }
}

fn email(number: usize) -> String {
    format!("person{number}@muster.example")
}

fn in_crm(number: usize) -> Map<String, Value> {
    object(&json!({
        "firstName": [format!("Vor{number}")],
        "lastName": [format!("Nach{number}")],
        "company": ["Muster GmbH"],
        "emails": [email(number)],
    }))
}

fn in_outlook(number: usize) -> Map<String, Value> {
    object(&json!({
        "givenName": format!("Vor{number}"),
        "surname": format!("Nach{number}"),
        "companyName": "Muster GmbH",
        "emailAddresses": [{"name": email(number), "address": email(number)}],
    }))
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}
