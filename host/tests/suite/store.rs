//! Every store keeps the same promises.
//!
//! Method: one suite of checks, run against each adapter with a clock that the checks turn, so that
//! leases expire without waiting. SQLite is opened twice on one file: two hosts on one machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use contact_sync_host::store::{
    Access, Acquired, CALL_BYTES_MAX, Clock, Crash, ITEMS_MAX, KEY_BYTES_MAX, Lease, MemoryStore,
    NAMESPACE_BYTES_MAX_DEFAULT, Namespace, SqliteStore, Store, StoreError, VALUE_BYTES_MAX, Write,
};

use super::folder_store::FolderStore;

const TTL_MS: u64 = 60_000;

/// Two hosts on one store.
struct Hosts {
    first: Arc<dyn Store>,
    second: Arc<dyn Store>,
    now_ms: Arc<AtomicU64>,
    _folder: Option<tempfile::TempDir>,
}

impl Hosts {
    fn memory(namespace_bytes_max: u64) -> Self {
        let (clock, now_ms) = hand_clock();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock, namespace_bytes_max));
        Self {
            first: Arc::clone(&store),
            second: store,
            now_ms,
            _folder: None,
        }
    }

    fn sqlite(namespace_bytes_max: u64) -> Self {
        let (clock, now_ms) = hand_clock();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("new").join("store.db");
        let open = || -> Arc<dyn Store> {
            let clock = Arc::clone(&clock);
            Arc::new(SqliteStore::open_with(&path, clock, namespace_bytes_max).unwrap())
        };
        Self {
            first: open(),
            second: open(),
            now_ms,
            _folder: Some(folder),
        }
    }

    fn folder(namespace_bytes_max: u64) -> Self {
        let (clock, now_ms) = hand_clock();
        let folder = tempfile::tempdir().unwrap();
        let open = || -> Arc<dyn Store> {
            let clock = Arc::clone(&clock);
            let path = folder.path();
            Arc::new(FolderStore::new(path, clock, namespace_bytes_max))
        };
        Self {
            first: open(),
            second: open(),
            now_ms,
            _folder: Some(folder),
        }
    }

    fn advance(&self, ms: u64) {
        self.now_ms.fetch_add(ms, Ordering::SeqCst);
    }
}

fn hand_clock() -> (Clock, Arc<AtomicU64>) {
    let now_ms = Arc::new(AtomicU64::new(1_800_000_000_000));
    let read = Arc::clone(&now_ms);
    (Arc::new(move || read.load(Ordering::SeqCst)), now_ms)
}

async fn take(store: &Arc<dyn Store>, tenant: &str) -> Lease {
    match store.acquire(tenant, "test", TTL_MS).await.unwrap() {
        Acquired::Lease(lease) => lease,
        held @ Acquired::HeldBy { .. } => panic!("{held:?}"),
    }
}

async fn namespace(store: &Arc<dyn Store>, tenant: &str) -> Namespace {
    let lease = take(store, tenant).await;
    Namespace::new(Arc::clone(store), Access::Fenced(lease))
}

fn set(key: &str, value: &[u8]) -> Write {
    Write::Set(key.into(), value.into())
}

fn keys(entries: &[(String, Vec<u8>)]) -> Vec<&str> {
    entries.iter().map(|(key, _)| key.as_str()).collect()
}

/// What was written is read, in the order asked for, and a delete of nothing is no error.
async fn writes_are_read(hosts: Hosts) {
    let space = namespace(&hosts.first, "a").await;
    space
        .commit(vec![
            set("k1", b"one"),
            set("k2", b""),
            Write::Delete("k3".into()),
        ])
        .await
        .unwrap();
    let values = space
        .get_many(vec!["k2".into(), "k3".into(), "k1".into()])
        .await
        .unwrap();
    assert_eq!(values, [Some(vec![]), None, Some(b"one".to_vec())]);

    space
        .commit(vec![set("k1", b"two"), Write::Delete("k2".into())])
        .await
        .unwrap();
    let values = space
        .get_many(vec!["k1".into(), "k2".into()])
        .await
        .unwrap();
    assert_eq!(values, [Some(b"two".to_vec()), None]);
}

/// Keys come in the order of their bytes, in pages, and a prefix is only a prefix.
async fn scans_are_ordered_and_paged(hosts: Hosts) {
    let space = namespace(&hosts.first, "a").await;
    let written = [
        "l/ä",
        "l/Z",
        "l/a",
        "l",
        "l0",
        "k/9",
        "l/a/b",
        "l/\u{10FFFF}",
    ];
    space
        .commit(written.iter().map(|key| set(key, b"v")).collect())
        .await
        .unwrap();

    let page = space.scan("l/".into(), None, 1024).await.unwrap();
    assert_eq!(
        keys(&page.entries),
        ["l/Z", "l/a", "l/a/b", "l/ä", "l/\u{10FFFF}"]
    );
    assert!(!page.more);

    let page = space.scan("l/".into(), None, 2).await.unwrap();
    assert_eq!(keys(&page.entries), ["l/Z", "l/a"]);
    assert!(page.more);
    let page = space
        .scan("l/".into(), Some("l/a".into()), 3)
        .await
        .unwrap();
    assert_eq!(keys(&page.entries), ["l/a/b", "l/ä", "l/\u{10FFFF}"]);
    assert!(!page.more, "a page that ends with the range says so");

    // An `after` that no longer exists, one before the range, and one behind it.
    let page = space
        .scan("l/".into(), Some("l/Zz".into()), 1)
        .await
        .unwrap();
    assert_eq!(keys(&page.entries), ["l/a"]);
    let page = space.scan("l/".into(), Some("a".into()), 1).await.unwrap();
    assert_eq!(keys(&page.entries), ["l/Z"]);
    let page = space.scan("l/".into(), Some("m".into()), 1).await.unwrap();
    assert!(page.entries.is_empty() && !page.more);

    let all = space.scan(String::new(), None, 1024).await.unwrap();
    assert_eq!(all.entries.len(), written.len());
}

/// A scan stops short of 8 MiB, and goes on from there without a gap.
async fn a_scan_stays_below_its_bytes(hosts: Hosts) {
    let space = namespace(&hosts.first, "a").await;
    let value = vec![7; VALUE_BYTES_MAX];
    for number in 0..10 {
        space
            .commit(vec![set(&format!("big/{number}"), &value)])
            .await
            .unwrap();
    }
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = space
            .scan("big/".into(), after.clone(), 1024)
            .await
            .unwrap();
        let bytes: usize = page
            .entries
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        assert!(bytes <= CALL_BYTES_MAX && !page.entries.is_empty());
        seen.extend(page.entries.into_iter().map(|(key, _)| key));
        after = seen.last().cloned();
        if !page.more {
            break;
        }
    }
    assert_eq!(
        seen,
        (0..10)
            .map(|number| format!("big/{number}"))
            .collect::<Vec<_>>()
    );

    let wanted = (0..10).map(|number| format!("big/{number}")).collect();
    assert!(matches!(
        space.get_many(wanted).await,
        Err(StoreError::Refused(_))
    ));
}

/// Every limit of `wit/store.wit` is refused one beyond, and met exactly.
async fn limits_are_the_same_everywhere(hosts: Hosts) {
    let space = namespace(&hosts.first, "a").await;
    let longest = "k".repeat(KEY_BYTES_MAX);
    space.commit(vec![set(&longest, b"v")]).await.unwrap();
    assert_eq!(
        space.get_many(vec![longest.clone()]).await.unwrap(),
        [Some(b"v".to_vec())]
    );
    let full: Vec<_> = (0..ITEMS_MAX)
        .map(|number| set(&format!("n{number}"), b"v"))
        .collect();
    space.commit(full.clone()).await.unwrap();
    space
        .commit(vec![set("max", &vec![0; VALUE_BYTES_MAX])])
        .await
        .unwrap();

    let one_more: Vec<_> = full.into_iter().chain([set("more", b"v")]).collect();
    let eight: Vec<_> = (0..8)
        .map(|number| set(&format!("v{number}"), &vec![0; VALUE_BYTES_MAX]))
        .collect();
    let too_much = [
        one_more,
        eight,
        vec![set("", b"v")],
        vec![set(&format!("{longest}k"), b"v")],
        vec![set("tab\there", b"v")],
        vec![set("big", &vec![0; VALUE_BYTES_MAX + 1])],
        vec![set("twice", b"1"), Write::Delete("twice".into())],
    ];
    for writes in too_much {
        let key = writes
            .last()
            .map(|write| format!("{write:?}").chars().take(40).collect::<String>());
        let answer = space.commit(writes).await;
        assert!(
            matches!(answer, Err(StoreError::Refused(_))),
            "{key:?}: {answer:?}"
        );
    }
    assert!(
        space
            .get_many(vec!["more".into(); ITEMS_MAX + 1])
            .await
            .is_err()
    );
    assert!(space.get_many(vec![String::new()]).await.is_err());
    assert!(space.scan("p".into(), None, 0).await.is_err());
    assert!(space.scan("p".into(), None, 1025).await.is_err());
    assert!(space.scan("new\nline".into(), None, 1).await.is_err());
    assert_eq!(
        space
            .get_many(vec!["more".into(), "twice".into()])
            .await
            .unwrap(),
        [None, None]
    );
}

/// One tenant's keys are nothing to another, and looking does not write.
async fn namespaces_are_apart(hosts: Hosts) {
    let first = namespace(&hosts.first, "a").await;
    let second = namespace(&hosts.first, "b").await;
    first.commit(vec![set("k", b"a")]).await.unwrap();
    assert_eq!(second.get_many(vec!["k".into()]).await.unwrap(), [None]);
    assert!(
        second
            .scan(String::new(), None, 10)
            .await
            .unwrap()
            .entries
            .is_empty()
    );

    let looking =
        |tenant: &str| Namespace::new(Arc::clone(&hosts.second), Access::ReadOnly(tenant.into()));
    assert_eq!(
        looking("a").get_many(vec!["k".into()]).await.unwrap(),
        [Some(b"a".to_vec())]
    );
    assert!(matches!(
        looking("a").commit(vec![set("k", b"x")]).await,
        Err(StoreError::Refused(_))
    ));
    assert_eq!(
        looking("nobody").get_many(vec!["k".into()]).await.unwrap(),
        [None]
    );
}

/// A live lease cannot be taken; after it expires it can, and then every call of the old holder
/// answers `lease-lost` and has no effect.
async fn a_takeover_fences_the_old_holder(hosts: Hosts) {
    let old_lease = take(&hosts.first, "a").await;
    let old = Namespace::new(Arc::clone(&hosts.first), Access::Fenced(old_lease.clone()));
    old.commit(vec![set("k", b"old")]).await.unwrap();

    hosts.advance(TTL_MS - 1);
    let held = hosts.second.acquire("a", "late", TTL_MS).await.unwrap();
    assert_eq!(
        held,
        Acquired::HeldBy {
            holder: "test".into(),
            ends_in_ms: 1
        }
    );
    hosts.first.renew(&old_lease, TTL_MS).await.unwrap();
    hosts.advance(TTL_MS - 1);
    assert!(matches!(
        hosts.second.acquire("a", "late", TTL_MS).await.unwrap(),
        Acquired::HeldBy { .. }
    ));

    // Expired but not taken: nobody else can have written, so the holder may go on.
    hosts.advance(1);
    old.commit(vec![set("k", b"still")]).await.unwrap();

    let new = namespace(&hosts.second, "a").await;
    assert_eq!(
        old.commit(vec![set("k", b"late")]).await,
        Err(StoreError::LeaseLost)
    );
    assert_eq!(
        old.get_many(vec!["k".into()]).await,
        Err(StoreError::LeaseLost)
    );
    assert_eq!(
        old.scan("k".into(), None, 1).await,
        Err(StoreError::LeaseLost)
    );
    assert_eq!(
        hosts.first.renew(&old_lease, TTL_MS).await,
        Err(StoreError::LeaseLost)
    );
    hosts.first.release(&old_lease).await.unwrap();
    assert_eq!(
        new.get_many(vec!["k".into()]).await.unwrap(),
        [Some(b"still".to_vec())]
    );
    new.commit(vec![set("k", b"new")]).await.unwrap();
}

/// A lease that was given back is free at once, and no longer good for anything.
async fn a_released_lease_is_free(hosts: Hosts) {
    let lease = take(&hosts.first, "a").await;
    hosts.first.release(&lease).await.unwrap();
    let released = Namespace::new(Arc::clone(&hosts.first), Access::Fenced(lease.clone()));
    assert_eq!(
        released.commit(vec![set("k", b"v")]).await,
        Err(StoreError::LeaseLost)
    );
    let next = take(&hosts.second, "a").await;
    assert!(next.epoch > lease.epoch);
}

/// A commit over the quota writes nothing at all; making room is always allowed.
async fn a_full_namespace_takes_nothing(hosts: Hosts) {
    let space = namespace(&hosts.first, "a").await;
    space.commit(vec![set("k1", &[1; 600])]).await.unwrap();
    let answer = space
        .commit(vec![set("k1", b"small"), set("k2", &[2; 1200])])
        .await;
    assert!(matches!(answer, Err(StoreError::Quota(_))), "{answer:?}");
    let values = space
        .get_many(vec!["k1".into(), "k2".into()])
        .await
        .unwrap();
    assert_eq!(values, [Some(vec![1; 600]), None]);
    space.commit(vec![set("k2", &[2; 390])]).await.unwrap();
    space
        .commit(vec![Write::Delete("k1".into())])
        .await
        .unwrap();
    space.commit(vec![set("k3", &[3; 600])]).await.unwrap();
}

/// The last words of a crashed pass stay with the tenant, one per mailbox.
async fn last_words_are_kept(hosts: Hosts) {
    let crash = |at, words: &str| Crash {
        at,
        last_words: words.into(),
    };
    hosts
        .first
        .keep_crash("a", "m1", crash(1, "first"))
        .await
        .unwrap();
    hosts
        .first
        .keep_crash("a", "m1", crash(2, "second"))
        .await
        .unwrap();
    hosts
        .first
        .keep_crash("a", "m2", crash(3, "other"))
        .await
        .unwrap();
    assert_eq!(
        hosts.second.last_crash("a", "m1").await.unwrap(),
        Some(crash(2, "second"))
    );
    assert_eq!(hosts.second.last_crash("b", "m1").await.unwrap(), None);
}

macro_rules! every_store {
    ($($check:ident($namespace_bytes_max:expr);)*) => {
        mod memory {
            $(#[tokio::test] async fn $check() {
                super::$check(super::Hosts::memory($namespace_bytes_max)).await;
            })*
        }
        mod folder {
            $(#[tokio::test] async fn $check() {
                super::$check(super::Hosts::folder($namespace_bytes_max)).await;
            })*
        }
        mod sqlite {
            $(#[tokio::test] async fn $check() {
                super::$check(super::Hosts::sqlite($namespace_bytes_max)).await;
            })*
        }
    };
}

every_store! {
    writes_are_read(super::NAMESPACE_BYTES_MAX_DEFAULT);
    scans_are_ordered_and_paged(super::NAMESPACE_BYTES_MAX_DEFAULT);
    a_scan_stays_below_its_bytes(super::NAMESPACE_BYTES_MAX_DEFAULT);
    limits_are_the_same_everywhere(super::NAMESPACE_BYTES_MAX_DEFAULT);
    namespaces_are_apart(super::NAMESPACE_BYTES_MAX_DEFAULT);
    a_takeover_fences_the_old_holder(super::NAMESPACE_BYTES_MAX_DEFAULT);
    a_released_lease_is_free(super::NAMESPACE_BYTES_MAX_DEFAULT);
    a_full_namespace_takes_nothing(1_000);
    last_words_are_kept(super::NAMESPACE_BYTES_MAX_DEFAULT);
}

/// The adapter of other hosts keeps the limits itself: there, nobody is in front of it.
#[test]
fn the_folder_has_the_limits_of_every_store() {
    use contact_sync_file_store::store;
    assert_eq!(store::KEY_BYTES_MAX, KEY_BYTES_MAX);
    assert_eq!(store::VALUE_BYTES_MAX, VALUE_BYTES_MAX);
    assert_eq!(store::ITEMS_MAX, ITEMS_MAX);
    assert_eq!(store::CALL_BYTES_MAX, CALL_BYTES_MAX);
    assert_eq!(store::FOLDER_BYTES_MAX, NAMESPACE_BYTES_MAX_DEFAULT);
}

/// A file of a newer format is left alone, and the message names it.
#[test]
fn a_newer_file_is_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    drop(SqliteStore::open(&path).unwrap());
    let connection = rusqlite::Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", 7).unwrap();
    let error = SqliteStore::open(&path).err().unwrap().to_string();
    assert!(
        error.contains("store.db") && error.contains("format 7"),
        "{error}"
    );
}

/// What was committed is there after the store was closed and opened again, and only its owner can
/// read the file.
#[cfg(unix)]
#[tokio::test]
async fn a_file_outlives_its_process_and_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.db");
    {
        let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
        namespace(&store, "a")
            .await
            .commit(vec![set("k", b"v")])
            .await
            .unwrap();
    }
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(&path).unwrap());
    let space = Namespace::new(store, Access::ReadOnly("a".into()));
    assert_eq!(
        space.get_many(vec!["k".into()]).await.unwrap(),
        [Some(b"v".to_vec())]
    );
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
}
