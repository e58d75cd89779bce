//! Other tenants' rows, the limits, and writing without a lease.
//!
//! Keys are a guest's own; that they end in its tenant's namespace is the store's doing. So rows
//! are looked at raw, past the sandbox, and in both stores.

use contact_sync_host::store::{Acquired, Lease, SqliteStore, Store};
use contact_sync_host::{Target, Turn};

use super::*;

/// `write.set` number `number` of a commit whose writes lie at 256.
fn set(number: u32, key: (u32, u32), value: (u32, u32)) -> String {
    let at = 256 + 20 * number;
    [(4, key.0), (8, key.1), (12, value.0), (16, value.1)]
        .map(|(offset, word)| format!("(i32.store (i32.const {}) (i32.const {word}))", at + offset))
        .concat()
}

/// Commits so many writes from this address.
fn commit(from: u32, writes: u32) -> String {
    format!(
        "(call $contact-sync:plugin~store@0.1/commit
           (i32.const {from}) (i32.const {writes}) (i32.const 768))"
    )
}

/// Tells in `progress.done` how the call before it ended: 0 is `ok`, else ten and the error.
fn tell() -> String {
    format!(
        "(if (i32.load8_u (i32.const 768)) (then
           (i32.store (i32.const 1036)
             (i32.add (i32.const 10) (i32.load8_u (i32.const 772))))))
         {WORKING}"
    )
}

const OK: u32 = 0;
const REFUSED: u32 = 10;
const LEASE_LOST: u32 = 12;
const QUOTA: u32 = 13;

/// How a step's call of the store ended.
async fn told(pass: &mut contact_sync_host::Pass) -> u32 {
    match pass.advance().await.unwrap() {
        Turn::Working(progress) => progress.done,
        other => panic!("{other:?}"),
    }
}

fn roomy() -> Limits {
    Limits {
        memory_bytes_max: 8 * 1024 * 1024,
        call_bytes_max: Limits::usual().call_bytes_max,
        ..limits()
    }
}

/// What breaks a limit or a rule is refused, and nothing of it is written.
#[tokio::test]
async fn calls_beyond_the_limits_are_refused() {
    const KEYS: u32 = 300_000;
    const WRITES: u32 = 310_000;
    // Keys of two letters: all different.
    let many = format!(
        "(loop
           (i32.store8 (i32.add (i32.const {KEYS}) (i32.shl (local.get $a) (i32.const 1)))
             (i32.add (i32.const 65) (i32.div_u (local.get $a) (i32.const 50))))
           (i32.store8 (i32.add (i32.const {KEYS_NEXT}) (i32.shl (local.get $a) (i32.const 1)))
             (i32.add (i32.const 65) (i32.rem_u (local.get $a) (i32.const 50))))
           (local.set $b (i32.add (i32.const {WRITES})
             (i32.mul (local.get $a) (i32.const 20))))
           (i32.store offset=4 (local.get $b)
             (i32.add (i32.const {KEYS}) (i32.shl (local.get $a) (i32.const 1))))
           (i32.store offset=8 (local.get $b) (i32.const 2))
           (local.set $a (i32.add (local.get $a) (i32.const 1)))
           (br_if 0 (i32.lt_u (local.get $a) (i32.const 1025))))",
        KEYS_NEXT = KEYS + 1,
    );
    let megabyte = 1024 * 1024;
    let nine: String = (0..9)
        .map(|number| set(number, (8200 + number, 1), (KEYS, megabyte)))
        .collect();
    let fill = format!(
        "(drop (memory.grow (i32.const 64)))
         (memory.fill (i32.const {KEYS}) (i32.const 107) (i32.const 2000))"
    );
    let scan = |prefix: u32, length: u32, entries_max: i32| {
        format!(
            "(call $contact-sync:plugin~store@0.1/scan (i32.const {prefix}) (i32.const {length})
               (i32.const 0) (i32.const 0) (i32.const 0) (i32.const {entries_max})
               (i32.const 768))"
        )
    };
    let get_many = format!(
        "(call $contact-sync:plugin~store@0.1/get-many
           (i32.const {WRITES}) (i32.const 1025) (i32.const 768))"
    );
    for (what, body, expected) in [
        (
            "no key",
            set(0, (8200, 0), (0, 0)) + &commit(256, 1),
            REFUSED,
        ),
        (
            "a long key",
            set(0, (KEYS, 513), (0, 0)) + &commit(256, 1),
            REFUSED,
        ),
        (
            "a key with a line feed",
            set(0, (8192, 2), (0, 0)) + &commit(256, 1),
            REFUSED,
        ),
        (
            "a key with a null",
            set(0, (8194, 2), (0, 0)) + &commit(256, 1),
            REFUSED,
        ),
        (
            "a long value",
            set(0, (8200, 1), (KEYS, megabyte + 1)) + &commit(256, 1),
            REFUSED,
        ),
        ("nine long values", nine + &commit(256, 9), REFUSED),
        (
            "many writes",
            many.clone() + &commit(WRITES, 1_025),
            REFUSED,
        ),
        (
            "a key twice, behind a good one",
            set(0, (8200, 1), (0, 0))
                + &set(1, (8201, 1), (0, 0))
                + &set(2, (8201, 1), (0, 0))
                + &commit(256, 3),
            REFUSED,
        ),
        ("a scan of nothing", scan(0, 0, 0), REFUSED),
        ("a scan of all", scan(0, 0, -1), REFUSED),
        ("a scan of a control character", scan(8192, 2, 1), REFUSED),
        ("empty keys", get_many, REFUSED),
        // The same in measure.
        (
            "a key",
            set(0, (KEYS, 512), (KEYS, megabyte)) + &commit(256, 1),
            OK,
        ),
    ] {
        let body = format!("{fill} {body} {}", tell());
        let guest = guest(ADVANCE, &body)
            .item("(data (i32.const 8192) \"k\\0ak\\00\")")
            .item("(data (i32.const 8200) \"abcdefghi\")");
        let street = Street::new(guest, roomy()).await;
        let mut pass = street.villain.open(Mode::Sync).await.unwrap();
        let ended = street.during(told(&mut pass)).await;
        pass.close().await;
        assert_eq!(ended, expected, "{what}");
        let written = street.rows(VILLAIN).await.len();
        assert_eq!(written, usize::from(expected == OK), "{what}");
    }
}

/// A full namespace is the villain's own trouble.
#[tokio::test]
async fn a_full_namespace_is_one_tenants() {
    let body = set(0, (8192, 1), (8192, 100)) + &commit(256, 1) + &tell();
    let guest = guest(ADVANCE, &body).item("(data (i32.const 8192) \"k\")");
    let store = MemoryStore::new(contact_sync_host::store::system_clock(), 50);
    let street = Street::with_store(guest, limits(), Arc::new(store)).await;
    let mut pass = street.villain.open(Mode::Sync).await.unwrap();
    assert_eq!(street.during(told(&mut pass)).await, QUOTA);
    assert!(street.rows(VILLAIN).await.is_empty());
}

/// Whatever key or prefix a villain asks for, it finds its own rows and nobody else's, and what it
/// writes under another's name is its own.
#[tokio::test]
async fn nothing_of_another_tenant_is_reachable() {
    const KEYS: [&str; 9] = [
        "row",
        "neighbour",
        "neighbour/row",
        "../neighbour/row",
        "neighbour\\\\row",
        "%",
        "_ow",
        "r*' OR '1'='1",
        "\u{10ffff}",
    ];
    for store in stores() {
        let (store, _folder) = store;
        for key in KEYS {
            let length = key.replace("\\\\", "\\").len();
            // What is found by the key, and by the key as a prefix; then it is written.
            let looks = format!(
                "(i32.store (i32.const 256) (i32.const 8192))
                 (i32.store (i32.const 260) (i32.const {length}))
                 (call $contact-sync:plugin~store@0.1/get-many
                   (i32.const 256) (i32.const 1) (i32.const 768))
                 (if (i32.load8_u (i32.load (i32.const 772))) (then unreachable))
                 (call $contact-sync:plugin~store@0.1/scan (i32.const 8192) (i32.const {length})
                   (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 768))
                 (if (i32.load (i32.const 776)) (then unreachable))
                 (call $contact-sync:plugin~store@0.1/scan (i32.const 0) (i32.const 0)
                   (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 9) (i32.const 768))
                 (if (i32.load (i32.const 776)) (then unreachable))"
            );
            let theft = set(0, (8192, u32::try_from(length).unwrap()), (8192, 1));
            let body = format!("{looks} {theft} {} {}", commit(256, 1), tell());
            let guest = guest(ADVANCE, &body).item(&format!("(data (i32.const 8192) \"{key}\")"));
            let street = Street::with_store(guest, limits(), Arc::clone(&store)).await;
            street.neighbour_works().await;
            let mut pass = street.villain.open(Mode::Sync).await.unwrap();
            assert_eq!(street.during(told(&mut pass)).await, OK, "{key}");
            pass.close().await;
            let rows = street.rows(VILLAIN).await;
            assert_eq!(rows.len(), 1, "{key}");
            street.forget(VILLAIN).await;
        }
    }
}

/// Calls that only look write nothing, whatever they are called.
#[tokio::test]
async fn no_call_that_looks_can_write() {
    let body = format!(
        "(i32.store (i32.const 260) (i32.const 4096)) (i32.store (i32.const 264) (i32.const 3)) {}
         (if (i32.eqz (i32.load8_u (i32.const 768))) (then unreachable))
         (if (i32.load8_u (i32.const 772)) (then unreachable))
         (call $wasi:cli~exit@0.2/exit (i32.const 0)) unreachable",
        commit(256, 1)
    );
    let mut guest = with(
        Guest::with_imports(&["wasi:cli/exit@0.2.12"]),
        ADVANCE,
        &body,
    );
    for export in [
        "setup@0.1|check",
        "approval@0.1|request",
        "archive@0.1|entries",
        "contacts@0.1|export-csv",
        "contacts@0.1|explain",
    ] {
        guest = guest.export(export, &body);
    }
    let guest = guest.export("sync@0.1|[static]pass.restore", OPENS);
    let street = Street::new(guest, limits()).await;
    let villain = &street.villain;
    let preview = async {
        let mut pass = villain.open(Mode::Preview).await?;
        pass.run(|_| {}).await.map(drop)
    };
    let dry = async {
        let target = Target::Entry("1".into());
        let mut pass = villain.restore(&target, true).await?;
        pass.run(|_| {}).await.map(drop)
    };
    let check = async { villain.check().await.map(drop) };
    let request = async { villain.request(None, 1).await.map(drop) };
    let journal = async { villain.journal(None, 1).await.map(drop) };
    let export = async { villain.export_csv(|_| true).await.map(drop) };
    let explain = async { villain.explain("x").await.map(drop) };
    // It leaves by `exit` where the store refused it, and panics where it did not.
    let refused = |words: String| assert!(!words.starts_with("it panicked"), "{words}");
    refused(street.stopped(preview).await);
    refused(street.stopped(dry).await);
    refused(street.stopped(check).await);
    refused(street.stopped(request).await);
    refused(street.stopped(journal).await);
    refused(street.stopped(export).await);
    refused(street.stopped(explain).await);
    assert!(street.rows(VILLAIN).await.is_empty());
}

/// Whoever was taken over writes nothing more, and gives back nobody else's lease.
#[tokio::test]
async fn a_lost_lease_is_lost() {
    let body = set(0, (4096, 3), (4099, 4)) + &commit(256, 1) + &tell();
    for (store, _folder) in stores() {
        let street = Street::with_store(guest(ADVANCE, &body), limits(), Arc::clone(&store)).await;
        let mut pass = street.villain.open(Mode::Sync).await.unwrap();
        assert_eq!(told(&mut pass).await, OK);
        let before = street.rows(VILLAIN).await;
        // Given back behind its back, and taken by another host.
        let newer = takeover(&*store).await;
        assert_eq!(street.during(told(&mut pass)).await, LEASE_LOST);
        assert_eq!(street.rows(VILLAIN).await, before);
        pass.close().await;
        store.renew(&newer, 60_000).await.unwrap();
    }
}

/// Both stores, and the folder of the one that has one.
fn stores() -> [(Arc<dyn Store>, Option<tempfile::TempDir>); 2] {
    let folder = tempfile::tempdir().unwrap();
    let sqlite = SqliteStore::open(&folder.path().join("store.db")).unwrap();
    [
        (Arc::new(MemoryStore::default()), None),
        (Arc::new(sqlite), Some(folder)),
    ]
}

/// The villain's lease, in other hands: the first one has number 1.
async fn takeover(store: &dyn Store) -> Lease {
    let first = Lease {
        tenant: VILLAIN.to_owned(),
        epoch: 1,
    };
    store.release(&first).await.unwrap();
    match store
        .acquire(VILLAIN, "another host", 60_000)
        .await
        .unwrap()
    {
        Acquired::Lease(lease) => lease,
        held @ Acquired::HeldBy { .. } => panic!("{held:?}"),
    }
}

impl Street {
    /// Removes all rows of a tenant.
    async fn forget(&self, tenant: &str) {
        let taken = self
            .store
            .acquire(tenant, "the test", 60_000)
            .await
            .unwrap();
        let Acquired::Lease(lease) = taken else {
            panic!("{taken:?}");
        };
        let rows = self.rows(tenant).await.into_iter();
        let deletes = rows.map(|(key, _)| contact_sync_host::store::Write::Delete(key));
        self.store.commit(&lease, deletes.collect()).await.unwrap();
        self.store.release(&lease).await.unwrap();
    }
}
