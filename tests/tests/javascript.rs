//! The shipped component in a host that is not ours: Node.js.
//!
//! Goal: nothing depends on our own host. Method: the component is transpiled by jco, WASI is the
//! shim from npm, the store a few lines of JavaScript (`tests/javascript/`); credentials come from
//! the proxy. What Node.js reports is compared with what the simulator holds.

#![expect(
    clippy::print_stderr,
    reason = "whoever runs the tests is told what was left out"
)]

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use contact_sync_host::proxy::{Proxy, ProxySecret};
use contact_sync_host::store::system_clock;
use contact_sync_host::types::{Crm, Endpoint, GraphUser, Job, Marker};
use contact_sync_tests::office::{Premises, now, tenant};
use contact_sync_tests::people::Sizes;
use contact_sync_tests::simulator::Dialect;
use serde_json::{Map, Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

const ANNA: &str = "anna@makler.example";
const BERND: &str = "bernd@makler.example";

const SIZES: Sizes = Sizes {
    crm: 30,
    mailbox: 30,
    shared: 10,
};

/// Node.js with the transpiled component.
struct JavaScript {
    scripts: PathBuf,
    work: TempDir,
}

impl JavaScript {
    /// `None` where this machine lacks Node.js or the packages; that is no excuse for `.ci/run`.
    fn ready() -> Option<Self> {
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("javascript");
        let missing = if Command::new("node").arg("--version").output().is_err() {
            "Node.js is not installed"
        } else if !scripts.join("node_modules").is_dir() {
            "its packages are not installed: `npm ci --ignore-scripts` in tests/javascript"
        } else {
            let work = TempDir::new().expect("a folder");
            return Some(Self { scripts, work });
        };
        assert!(std::env::var_os("CI").is_none(), "{missing}");
        eprintln!("left out: {missing}");
        None
    }

    fn transpile(&self) {
        let component = contact_sync_artifact::COMPONENT_PATH.as_ref();
        let transpiled = self.node("transpile.mjs", &[component, &self.plugin()]);
        assert!(transpiled.status.success(), "{transpiled:?}");
    }

    fn node(&self, script: &str, arguments: &[&Path]) -> Output {
        Command::new("node")
            .arg(self.scripts.join(script))
            .args(arguments)
            .output()
            .expect("Node.js runs")
    }

    fn plugin(&self) -> PathBuf {
        self.work.path().join("plugin")
    }

    /// A pass, in a process of its own: all that the next one knows is in the file of the store.
    fn sync(&self, job: &Job) -> Value {
        let spelled = in_jco_spelling(job).to_string();
        let job = self.work.path().join("job.json");
        fs::write(&job, spelled).expect("a job");
        let state = self.work.path().join("state.log");
        let ran = self.node("host.mjs", &[&self.plugin(), &job, &state]);
        assert!(ran.status.success(), "{ran:?}");
        serde_json::from_slice(&ran.stdout).expect("a report")
    }
}

impl JavaScript {
    /// The script of the README, word for word, where the README says that it is.
    fn run_readme(&self) -> Output {
        let readme = include_str!("../../README.md");
        let script = readme.split("```js\n").nth(1).expect("a script");
        let script = script.split("```").next().expect("its end");
        let work = self.work.path();
        fs::write(work.join("pass.mjs"), script).expect("the script");
        fs::copy(self.scripts.join("store.mjs"), work.join("store.mjs")).expect("the store");
        let packages = self.scripts.join("node_modules");
        std::os::unix::fs::symlink(packages, work.join("node_modules")).expect("the packages");
        let node = Command::new("node")
            .arg("pass.mjs")
            .current_dir(work)
            .output();
        node.expect("Node.js runs")
    }
}

/// A job, as jco spells the records and variants of `wit/types.wit`.
fn in_jco_spelling(job: &Job) -> Value {
    let Crm::Flowfact(flowfact) = &job.crm;
    let Marker::FieldValue(marker) = &flowfact.marker else {
        panic!("the office's markers are in a field");
    };
    let endpoint = match &job.mailbox.endpoint {
        Endpoint::Graph(graph) => {
            let GraphUser::User(user) = &graph.user else {
                panic!("the application acts for a user");
            };
            json!({ "tag": "graph", "val": {
                "baseUrl": graph.base_url,
                "user": { "tag": "user", "val": user },
                "trustIfMatch": graph.trust_if_match,
            } })
        }
        Endpoint::Ews(ews) => json!({ "tag": "ews", "val": {
            "url": ews.url,
            "autodiscover": ews.autodiscover,
            "impersonate": ews.impersonate,
            "askSearchKey": ews.ask_search_key,
        } }),
    };
    json!({
        "tenant": { "id": job.tenant.id, "region": job.tenant.region },
        "crm": { "tag": "flowfact", "val": {
            "baseUrl": flowfact.base_url,
            "schema": flowfact.schema,
            "fields": [],
            "marker": {
                "tag": "field-value",
                "val": { "field": marker.field, "value": marker.value },
            },
        } },
        "mailbox": { "id": job.mailbox.id, "address": job.mailbox.address, "endpoint": endpoint },
        "policy": {
            "conflict": "crm",
            "deleteEdit": "keep-edit",
            "onCrmDelete": "delete-in-mailbox",
            "onMailboxDelete": "delete-in-crm",
            "onUnmark": "keep",
            "matching": "email-or-phone",
            "guard": { "contactsMax": 10, "contactsPercentMax": 10 },
            "journalDays": 30,
            "nativeSync": "ask",
            "crmNotFound": "hold",
        },
    })
}

/// A proxy for all mailboxes, and the jobs that lead to it.
struct Proxied {
    jobs: Vec<Job>,
    address: SocketAddr,
    server: JoinHandle<()>,
}

impl Proxied {
    async fn start(premises: &Premises, listen: SocketAddr, secret: &Path) -> Self {
        let tenant = tenant(premises.folder(), system_clock()).await;
        let tenant = tenant.expect("a sound configuration");
        let secret = ProxySecret::from_file(secret).expect("a secret");
        let proxy = Proxy::bind(listen, &secret, tenant.mailboxes()).await;
        let proxy = proxy.expect("a free port");
        Self {
            jobs: proxy
                .entrances()
                .iter()
                .map(|way| way.job().clone())
                .collect(),
            address: proxy.address(),
            server: tokio::spawn(proxy.serve(std::future::pending())),
        }
    }

    /// Another process at the same place.
    async fn restarted(self, premises: &Premises, secret: &Path) -> Self {
        self.server.abort();
        // Cancelled, as it should be; its port is free by then.
        drop(self.server.await);
        Self::start(premises, self.address, secret).await
    }
}

/// An office in which both sides hold people already, ten of them the same.
async fn premises() -> Premises {
    let mailboxes = [(ANNA, Dialect::Graph), (BERND, Dialect::Ews)];
    let premises = Premises::open_mixed(7, &mailboxes, "").await;
    let premises = premises.expect("premises");
    let mut services = premises.services();
    services.populate(ANNA, 7, SIZES, now());
    let eva = json!({ "givenName": "Eva", "surname": "Proxynova" });
    services.graph.create(ANNA, &object(&eva), now());
    let ute = json!({ "givenName": "Ute", "surname": "Serverhof" });
    services.graph.create(BERND, &object(&ute), now());
    drop(services);
    premises
}

/// The same contact, another field on each side.
fn edit_both(premises: &Premises) {
    let mut services = premises.services();
    let hers = services.graph.find(ANNA, "surname", "Proxynova");
    let job_title = object(&json!({ "jobTitle": "Prokuristin" }));
    let edited = services
        .graph
        .edit(ANNA, &hers.expect("hers"), &job_title, now());
    assert!(edited);
    let id = services.flowfact.find("lastName", "Proxynova");
    let company = json!(["Nova GmbH"]);
    let edited = services
        .flowfact
        .edit(&id.expect("Eva"), "company", company, now());
    assert!(edited);
}

fn object(value: &Value) -> Map<String, Value> {
    value.as_object().expect("an object").clone()
}

fn requests(report: &Value) -> u64 {
    let usage = report.pointer("/counts/usage").and_then(Value::as_array);
    usage
        .expect("usage")
        .iter()
        .filter_map(|service| service["requests"].as_u64())
        .sum()
}

/// The values of a contact's field in the CRM, wherever a contact of this family name is.
fn in_crm(premises: &Premises, family_name: &str, field: &str) -> Vec<Value> {
    let services = premises.services();
    let id = services.flowfact.find("lastName", family_name);
    services.flowfact.values(&id.expect("she is there"), field)
}

/// The limits of `wit/store.wit`, in the words of who implements them there.
#[test]
fn the_store_of_node_keeps_its_promises() {
    let Some(javascript) = JavaScript::ready() else {
        return;
    };
    let tested = Command::new("node")
        .args(["--test", "store.test.mjs"])
        .current_dir(&javascript.scripts)
        .output();
    let tested = tested.expect("Node.js runs");
    assert!(
        tested.status.success(),
        "{}",
        String::from_utf8_lossy(&tested.stdout)
    );
}

/// First sync, quiet pass, edits of both sides, a proxy that was restarted, a token that is
/// refused, and a mailbox that signs in by NTLM; each pass in a process of its own.
#[tokio::test(flavor = "multi_thread")]
async fn node_keeps_two_mailboxes_and_the_crm_in_step() {
    let Some(javascript) = JavaScript::ready() else {
        return;
    };
    javascript.transpile();
    let premises = premises().await;
    let secret = premises.folder().join("proxy-secret");
    let proxied = Proxied::start(&premises, ([127, 0, 0, 1], 0).into(), &secret).await;
    let [anna, bernd] = proxied.jobs.clone().try_into().expect("two mailboxes");

    let first = javascript.sync(&anna);
    assert_eq!(first["outcome"]["tag"], "complete", "{first}");
    let created = first["counts"]["crm"]["created"].as_u64();
    assert_eq!(created, Some(21), "hers that were not in the CRM: {first}");
    assert_eq!(premises.services().flowfact.contact_count(), 51);
    assert!(premises.services().take_counters().writes() > 0);

    let second = javascript.sync(&anna);
    assert_eq!(second["operationsTotal"], 0, "{second}");
    assert_eq!(premises.services().take_counters().writes(), 0);

    edit_both(&premises);
    premises.services().graph.revoke_tokens();
    let proxied = proxied.restarted(&premises, &secret).await;
    assert_eq!(proxied.jobs[0], anna, "jobs outlive a proxy");
    let third = javascript.sync(&anna);
    assert_eq!(third["outcome"]["tag"], "complete", "{third}");
    assert_eq!(in_crm(&premises, "Proxynova", "position"), ["Prokuristin"]);

    let hers = premises.services().graph.find(ANNA, "surname", "Proxynova");
    let hers = premises
        .services()
        .graph
        .contact(ANNA, &hers.expect("hers"));
    assert_eq!(hers.expect("hers")["companyName"], "Nova GmbH");
    javascript.sync(&anna);
    let quiet = javascript.sync(&anna);
    assert_eq!(quiet["operationsTotal"], 0, "{quiet}");
    assert!(
        requests(&quiet) <= 3,
        "its position outlived the proxy: {quiet}"
    );

    let his = javascript.sync(&bernd);
    assert_eq!(his["outcome"]["tag"], "complete", "{his}");
    assert_eq!(his["counts"]["crm"]["created"], 1, "{his}");
    assert_eq!(in_crm(&premises, "Serverhof", "firstName"), ["Ute"]);

    let readme = javascript.run_readme();
    let told = String::from_utf8_lossy(&readme.stdout);
    assert!(told.starts_with("{ tag: 'complete' }"), "{readme:?}");
}
