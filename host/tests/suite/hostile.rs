//! What a hostile plugin tries is stopped with a typed error, and nobody else notices.
//!
//! Method: a street of two tenants on one host and one store. The same component serves both, so it
//! looks at the tenant's id: for the villain it does what a test says, for the neighbour it works
//! as it should. The neighbour runs passes while the villain is at it, and again afterwards; each
//! must end well, and its rows must be what it wrote.
//!
//! | room | what is tried there |
//! |---|---|
//! | `computing` | loops, memory, handles, the stack, waiting, a pass that never ends |
//! | `answers` | what is handed to the host: lists, texts, numbers, output |
//! | `store` | other tenants' rows, limits, writing without a lease |
//! | `outside` | requests: other origins, forged headers, bodies without end |
//! | `files` | components that are damaged or none |
//!
//! Rules and addresses by themselves are proven where they are made, in `egress`; limits that an
//! honest mistake reaches, in `plugin`.

mod answers;
mod computing;
mod files;
mod outside;
mod store;

use std::sync::Arc;
use std::time::Duration;

use contact_sync_host::config::TenantSettings;
use contact_sync_host::store::{Access, MemoryStore, Namespace, Store};
use contact_sync_host::types::Outcome;
use contact_sync_host::{Error, Host, HostSettings, Limits, Mailbox, Mode};

use super::guest::Guest;
use super::plugin::tenant_settings;

const VILLAIN: &str = "villain";
const NEIGHBOUR: &str = "neighbour";

/// Locals that a body may use.
const LOCALS: &str = "(local $a i32) (local $b i32) (local $c i32)";

/// Parameter 0 is the address of a job, which begins with the tenant's id: an `n` is the neighbour.
const JOB_IS_NEIGHBOURS: &str = "(i32.eq (i32.load8_u (i32.load (local.get 0))) (i32.const 110))";

/// Parameter 0 is a pass, and `open` has given it the first letter of the tenant's id.
const PASS_IS_NEIGHBOURS: &str = "(i32.eq (local.get 0) (i32.const 110))";

/// `result<pass, failure>`: ok, with a handle that knows whose it is.
const OPENS: &str = "(i32.store offset=24 (i32.const 0)
      (call $_ex_contact-sync:plugin~sync@0.1/pass_new
        (i32.load8_u (i32.load (local.get 0)))))
    (return (i32.const 16))";

/// `step.done` with a report of zeros: complete, nothing done.
const DONE: &str = "(i32.store8 offset=1024 (i32.const 0) (i32.const 2)) (return (i32.const 1024))";

/// `step.working` at the beginning.
const WORKING: &str = "(return (i32.const 1024))";

/// `result<overview, failure>` of zeros, and an empty list of operations or findings.
const NOTHING: &str = "(return (i32.const 16))";

const ENDLESS: &str = "(loop br 0)";

/// What a pass of the neighbour does: it writes its row, insists on `ok`, and ends.
const NEIGHBOUR_ADVANCES: &str = "
    (i32.store offset=260 (i32.const 0) (i32.const 4096))
    (i32.store offset=264 (i32.const 0) (i32.const 3))
    (i32.store offset=268 (i32.const 0) (i32.const 4099))
    (i32.store offset=272 (i32.const 0) (i32.const 4))
    (call $contact-sync:plugin~store@0.1/commit (i32.const 256) (i32.const 1) (i32.const 512))
    (if (i32.load8_u offset=512 (i32.const 0)) (then unreachable))";

/// Exports of which each is one way into a pass.
const OPEN: &str = "sync@0.1|[static]pass.open";
const ADVANCE: &str = "sync@0.1|[method]pass.advance";
const OPERATIONS: &str = "sync@0.1|[method]pass.operations";
const FINDINGS: &str = "sync@0.1|[method]pass.findings";
const STATUS: &str = "sync@0.1|status";

/// A guest that does `body` where the villain calls `export`, and otherwise what it should. Its
/// first text is taken; a test's own data begins at 8192.
fn guest(export: &str, body: &str) -> Guest {
    with(Guest::new(), export, body)
}

fn with(guest: Guest, export: &str, body: &str) -> Guest {
    let mut guest = guest.text("rowmine");
    for (name, is_neighbours, neighbour, villain) in [
        (OPEN, JOB_IS_NEIGHBOURS, OPENS.to_owned(), OPENS),
        (
            ADVANCE,
            PASS_IS_NEIGHBOURS,
            format!("{NEIGHBOUR_ADVANCES} {DONE}"),
            DONE,
        ),
        (OPERATIONS, PASS_IS_NEIGHBOURS, NOTHING.to_owned(), NOTHING),
        (FINDINGS, PASS_IS_NEIGHBOURS, NOTHING.to_owned(), NOTHING),
        (STATUS, JOB_IS_NEIGHBOURS, NOTHING.to_owned(), NOTHING),
    ] {
        let villain = if name == export { body } else { villain };
        guest = guest.export(
            name,
            &format!("{LOCALS} (if {is_neighbours} (then {neighbour})) {villain} unreachable"),
        );
    }
    guest
}

/// Time is not what stops a villain under these.
fn limits() -> Limits {
    Limits {
        memory_bytes_max: 2 * 1024 * 1024,
        handles_max: 50,
        call_bytes_max: 64 * 1024,
        step_time_max: Duration::from_mins(1),
        ..Limits::usual()
    }
}

/// Time is what stops a villain under these.
fn hasty() -> Limits {
    Limits {
        step_time_max: Duration::from_millis(250),
        ..limits()
    }
}

/// A host with two tenants.
struct Street {
    store: Arc<dyn Store>,
    villain: Mailbox,
    neighbour: Mailbox,
}

impl Street {
    async fn new(guest: Guest, limits: Limits) -> Self {
        Self::with_store(guest, limits, Arc::new(MemoryStore::default())).await
    }

    async fn with_store(guest: Guest, limits: Limits, store: Arc<dyn Store>) -> Self {
        let tenants = [VILLAIN, NEIGHBOUR].map(tenant_settings);
        Self::with_settings(guest, limits, store, tenants).await
    }

    async fn with_settings(
        guest: Guest,
        limits: Limits,
        store: Arc<dyn Store>,
        tenants: [TenantSettings; 2],
    ) -> Self {
        let host = Host::new(HostSettings {
            limits,
            ..HostSettings::usual(guest.build(), Arc::clone(&store))
        });
        let host = host.await.unwrap();
        let [villain, neighbour] = tenants.map(|settings| {
            let tenant = host.tenant(&settings).unwrap();
            tenant.mailboxes()[0].clone()
        });
        Self {
            store,
            villain,
            neighbour,
        }
    }

    /// What comes of an attack, while the neighbour works and before it works once more.
    async fn during<T>(&self, attack: impl Future<Output = T>) -> T {
        let (ended, ()) = tokio::join!(attack, self.neighbour_works());
        self.neighbour_works().await;
        ended
    }

    async fn neighbour_works(&self) {
        for _ in 0..2 {
            let mut pass = self.neighbour.open(Mode::Sync).await.unwrap();
            let report = pass.run(|_| {}).await.unwrap();
            pass.close().await;
            assert_eq!(report.outcome, Outcome::Complete);
        }
        self.neighbour.status().await.unwrap();
        assert!(self.neighbour.last_crash().await.unwrap().is_none());
        let row = ("row".to_owned(), b"mine".to_vec());
        assert_eq!(self.rows(NEIGHBOUR).await, [row]);
    }

    /// All that is stored of a tenant.
    async fn rows(&self, tenant: &str) -> Vec<(String, Vec<u8>)> {
        let access = Access::ReadOnly(tenant.to_owned());
        let space = Namespace::new(Arc::clone(&self.store), access);
        let page = space.scan(String::new(), None, 1_024).await.unwrap();
        assert!(!page.more);
        page.entries
    }

    /// A whole pass of the villain, its lists included, and its lease given back.
    async fn villains_pass(&self) -> Result<(), Error> {
        let mut pass = self.villain.open(Mode::Sync).await?;
        let ended = async {
            pass.run(|_| {}).await?;
            pass.operations(0).await?;
            pass.findings(0).await?;
            Ok(())
        };
        let ended = Box::pin(ended).await;
        pass.close().await;
        ended
    }

    /// The last words of an attack that is stopped as a crash; they are kept for the villain, and
    /// its lease is free.
    async fn stopped<T>(&self, attack: impl Future<Output = Result<T, Error>>) -> String {
        let Err(Error::Crashed(crash)) = Box::pin(self.during(attack)).await else {
            panic!("it was not stopped");
        };
        let kept = self.villain.last_crash().await.unwrap();
        assert_eq!(kept.unwrap().last_words, crash.last_words);
        crash.last_words
    }
}
