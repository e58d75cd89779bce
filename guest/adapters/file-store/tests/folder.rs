//! A run may die at any byte.
//!
//! Goal: whatever happens to a run or to its machine, the next one finds exactly the commits that
//! had returned, or is told that it cannot. Method: logs are cut and overwritten at every byte, as
//! a crash or a bad disk would; runs overlap in every order that matters.

#![expect(
    clippy::unwrap_used,
    reason = "clippy sees tests in functions of their own only, and these help them"
)]

use std::fs;
use std::path::{Path, PathBuf};

use contact_sync_file_store::store::{
    CALL_BYTES_MAX, FOLDER_BYTES_MAX, ITEMS_MAX, KEY_BYTES_MAX, StoreError, VALUE_BYTES_MAX, Write,
};
use contact_sync_file_store::{Acquired, Folder, FolderError, Reader, Wanted, Writer};
use proptest::prelude::*;
use tempfile::TempDir;

const NOW_MS: u64 = 1_900_000_000_000;
const TTL_MS: u64 = 60_000;

fn folder(path: &Path) -> Folder {
    Folder::new(path, FOLDER_BYTES_MAX)
}

fn wanted(tenant: Option<&str>, take_over: bool) -> Wanted<'_> {
    Wanted {
        tenant,
        holder: "test",
        now_ms: NOW_MS,
        ttl_ms: TTL_MS,
        take_over,
    }
}

fn writer(path: &Path) -> Writer {
    match folder(path).acquire(wanted(Some("muster"), true)).unwrap() {
        Acquired::Writer(writer) => *writer,
        held @ Acquired::HeldBy { .. } => panic!("{held:?}"),
    }
}

fn all(reader: &Reader) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|(key, _): &(String, Vec<u8>)| key.clone());
        let page = reader.scan("", after.as_deref(), 1024).unwrap();
        all.extend(page.entries);
        if !page.more {
            return all;
        }
    }
}

fn found(path: &Path) -> Vec<(String, Vec<u8>)> {
    all(&folder(path).read().unwrap())
}

fn set(key: &str, value: &[u8]) -> Write {
    Write::Set(key.into(), value.into())
}

fn entry(key: &str, value: &[u8]) -> (String, Vec<u8>) {
    (key.into(), value.into())
}

/// The logs, in order.
fn logs(path: &Path) -> Vec<PathBuf> {
    let mut logs: Vec<_> = fs::read_dir(path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|ending| ending == "log"))
        .collect();
    logs.sort();
    logs
}

/// A folder with two commits, whose second one is the log's end, and where that begins.
fn two_commits(path: &Path) -> (PathBuf, usize) {
    let mut writer = writer(path);
    writer
        .commit(vec![set("a", b"one"), set("b", b"two")])
        .unwrap();
    let log = logs(path).pop().unwrap();
    let before = fs::read(&log).unwrap().len();
    writer
        .commit(vec![set("a", b"three"), Write::Delete("b".into())])
        .unwrap();
    (log, before)
}

#[test]
fn a_log_that_ends_at_any_byte_holds_the_commits_before() {
    let place = TempDir::new().unwrap();
    let (log, before) = two_commits(place.path());
    let whole = fs::read(&log).unwrap();
    let first = [entry("a", b"one"), entry("b", b"two")];
    assert_eq!(found(place.path()), [entry("a", b"three")]);
    for end in before..whole.len() {
        fs::write(&log, &whole[..end]).unwrap();
        assert_eq!(found(place.path()), first, "cut at {end}");
        // Zeros where the data had not reached the disk yet.
        let mut zeros = whole[..end].to_vec();
        zeros.resize(whole.len(), 0);
        fs::write(&log, zeros).unwrap();
        let zeroed = found(place.path());
        let is_last_zero = whole[end..].iter().all(|byte| *byte == 0);
        assert!(zeroed == first || is_last_zero, "zeros from {end}");
    }
}

#[test]
fn a_byte_that_changed_in_the_last_commit_undoes_it_whole() {
    let place = TempDir::new().unwrap();
    let (log, before) = two_commits(place.path());
    let whole = fs::read(&log).unwrap();
    for at in before..whole.len() {
        for bit in 0..8 {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            fs::write(&log, changed).unwrap();
            match folder(place.path()).read() {
                Ok(reader) => {
                    assert_eq!(
                        all(&reader),
                        [entry("a", b"one"), entry("b", b"two")],
                        "{at}"
                    );
                }
                Err(error) => panic!("{at}: {error}"),
            }
        }
    }
}

/// Damage that is not a torn end is never taken for one: not in an earlier commit, and not in the
/// last one of a run that ended well.
#[test]
fn a_damaged_middle_is_refused_at_every_byte() {
    let place = TempDir::new().unwrap();
    let mut writer = writer(place.path());
    writer.commit(vec![set("a", b"one")]).unwrap();
    let log = logs(place.path()).pop().unwrap();
    writer.commit(vec![set("b", b"two")]).unwrap();
    writer.release().unwrap();
    let end = fs::read(&log).unwrap().len() - 24;
    let whole = fs::read(&log).unwrap();
    for at in 0..end {
        let mut changed = whole.clone();
        changed[at] ^= 0x10;
        fs::write(&log, &changed).unwrap();
        let error = match folder(place.path()).read() {
            Ok(reader) => panic!("byte {at} changed, and nobody noticed: {:?}", all(&reader)),
            Err(error) => error,
        };
        let is_told = matches!(
            error,
            FolderError::Damaged { .. } | FolderError::Newer { .. }
        );
        assert!(
            is_told && error.to_string().contains(".log"),
            "{at}: {error}"
        );
        assert!(!error.remedy().is_empty());
        // Nothing is written over it either.
        assert!(folder(place.path()).acquire(wanted(None, true)).is_err());
    }
}

/// A run that was killed leaves a torn end; the next one goes on before it, and its commits are
/// what counts.
#[test]
fn the_next_run_goes_on_before_a_torn_end() {
    let place = TempDir::new().unwrap();
    let (log, before) = two_commits(place.path());
    let whole = fs::read(&log).unwrap();
    fs::write(&log, &whole[..before + 30]).unwrap();
    let mut next = writer(place.path());
    next.commit(vec![set("c", b"four")]).unwrap();
    let after = [entry("a", b"one"), entry("b", b"two"), entry("c", b"four")];
    assert_eq!(found(place.path()), after);
    // The dead one was only slow: what it still appends counts for nobody.
    fs::write(&log, &whole).unwrap();
    assert_eq!(found(place.path()), after);
}

#[test]
fn a_writer_that_was_taken_over_says_so_and_changes_nothing() {
    let place = TempDir::new().unwrap();
    let mut old = writer(place.path());
    old.commit(vec![set("k", b"old")]).unwrap();
    let mut new = writer(place.path());
    assert_eq!(
        old.commit(vec![set("k", b"late")]),
        Err(StoreError::LeaseLost)
    );
    assert_eq!(old.get_many(&["k".into()]), Err(StoreError::LeaseLost));
    assert_eq!(old.renew(NOW_MS), Err(StoreError::LeaseLost));
    assert_eq!(old.release(), Ok(()));
    new.commit(vec![set("n", b"new")]).unwrap();
    assert_eq!(
        found(place.path()),
        [entry("k", b"old"), entry("n", b"new")]
    );
}

#[test]
fn a_writer_that_lives_is_waited_for_and_a_dead_one_is_not() {
    let place = TempDir::new().unwrap();
    let mut first = writer(place.path());
    first.commit(vec![set("k", b"v")]).unwrap();
    let at = |now_ms| {
        let wanted = Wanted {
            now_ms,
            ..wanted(Some("muster"), false)
        };
        folder(place.path()).acquire(wanted).unwrap()
    };
    let held = at(NOW_MS + TTL_MS - 1);
    assert!(
        matches!(held, Acquired::HeldBy { ends_in_ms: 1, .. }),
        "{held:?}"
    );
    first.renew(NOW_MS + 2 * TTL_MS).unwrap();
    let held = at(NOW_MS + TTL_MS);
    assert!(matches!(held, Acquired::HeldBy { .. }), "{held:?}");
    let held = at(NOW_MS + 2 * TTL_MS);
    assert!(matches!(held, Acquired::Writer(_)), "{held:?}");
    drop(held);
    // One that ended well is not waited for.
    let mut last = writer(place.path());
    last.release().unwrap();
    assert!(matches!(at(NOW_MS), Acquired::Writer(_)));
}

/// Whoever claims first wins, also where they saw the same.
#[test]
fn only_one_of_two_claims_counts() {
    let place = TempDir::new().unwrap();
    writer(place.path()).release().unwrap();
    let taken: Vec<_> = std::thread::scope(|scope| {
        let claims: Vec<_> = (0..8)
            .map(|_| {
                scope.spawn(|| {
                    let mut wanted = wanted(Some("muster"), false);
                    // As a run sees it: a claim that has just been made is somebody's.
                    wanted.now_ms = now_ms();
                    folder(place.path()).acquire(wanted).unwrap()
                })
            })
            .collect();
        claims
            .into_iter()
            .map(|claim| claim.join().unwrap())
            .collect()
    });
    let mut writers: Vec<_> = taken
        .into_iter()
        .filter_map(|acquired| match acquired {
            Acquired::Writer(writer) => Some(writer),
            Acquired::HeldBy { .. } => None,
        })
        .collect();
    assert_eq!(writers.len(), 1);
    writers[0].commit(vec![set("k", b"v")]).unwrap();
}

/// Runs that take over from each other as fast as they can: whatever one of them was told to be
/// durable is there in the end.
#[test]
fn nothing_that_returned_is_lost_in_any_takeover() {
    let place = TempDir::new().unwrap();
    let durable: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = (0..2)
            .map(|run| {
                let place = place.path();
                scope.spawn(move || taken_over_again_and_again(place, run))
            })
            .collect();
        let joined = runs.into_iter().flat_map(|run| run.join().unwrap());
        joined.collect()
    });
    assert!(!durable.is_empty());
    let keys: std::collections::BTreeSet<_> = found(place.path())
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    let lost: Vec<_> = durable.iter().filter(|key| !keys.contains(*key)).collect();
    assert!(lost.is_empty(), "lost: {lost:?} of {}", durable.len());
}

fn taken_over_again_and_again(place: &Path, run: usize) -> Vec<String> {
    let mut durable = Vec::new();
    let mut round = 0;
    while round < 150 {
        let acquired = folder(place).acquire(wanted(None, true)).unwrap();
        let Acquired::Writer(mut writer) = acquired else {
            std::thread::yield_now();
            continue;
        };
        round += 1;
        for commit in 0..4 {
            let key = format!("{run}/{round}/{commit}");
            match writer.commit(vec![set(&key, b"v")]) {
                Ok(()) => durable.push(key),
                Err(StoreError::LeaseLost) => break,
                Err(error) => panic!("{error}"),
            }
        }
    }
    durable
}

fn now_ms() -> u64 {
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

/// A claim of which nothing more came holds nobody up for ever, and hides nothing.
#[test]
fn a_claim_that_was_not_finished_is_passed_over() {
    let place = TempDir::new().unwrap();
    let mut first = writer(place.path());
    first.commit(vec![set("k", b"v")]).unwrap();
    first.release().unwrap();
    fs::write(place.path().join("00000002.log"), b"").unwrap();
    assert_eq!(found(place.path()), [entry("k", b"v")]);
    let fresh = Wanted {
        now_ms: now_ms(),
        ..wanted(None, false)
    };
    let held = folder(place.path()).acquire(fresh).unwrap();
    assert!(matches!(held, Acquired::HeldBy { .. }), "{held:?}");
    let later = Wanted {
        now_ms: now_ms() + TTL_MS,
        ..wanted(None, false)
    };
    let Acquired::Writer(mut next) = folder(place.path()).acquire(later).unwrap() else {
        panic!("still held");
    };
    next.commit(vec![set("l", b"w")]).unwrap();
    assert_eq!(found(place.path()), [entry("k", b"v"), entry("l", b"w")]);
}

/// Compaction killed at any byte: what it had made from the logs is not begun, and they are there.
#[test]
fn a_compaction_may_be_killed_at_any_byte() {
    let place = TempDir::new().unwrap();
    let expected: Vec<_> = (0..16)
        .map(|number| {
            let key = format!("k{number:02}");
            let mut writer = writer(place.path());
            writer.commit(vec![set(&key, b"value")]).unwrap();
            writer.release().unwrap();
            entry(&key, b"value")
        })
        .collect();
    assert_eq!(found(place.path()), expected);
    let before = logs(place.path());
    let kept: Vec<_> = before.iter().map(|log| fs::read(log).unwrap()).collect();
    // So many logs are made into one by the next run.
    writer(place.path()).release().unwrap();
    let made = logs(place.path());
    assert!(made.len() < before.len(), "{made:?}");
    assert_eq!(found(place.path()), expected);
    let last = made.last().unwrap();
    let whole = fs::read(last).unwrap();
    for (log, bytes) in before.iter().zip(&kept) {
        fs::write(log, bytes).unwrap();
    }
    for end in 0..whole.len() {
        fs::write(last, &whole[..end]).unwrap();
        assert_eq!(found(place.path()), expected, "killed at {end}");
    }
    // Killed while the old ones were removed.
    fs::write(last, &whole).unwrap();
    for log in before.iter().filter(|log| *log != last) {
        fs::remove_file(log).unwrap();
        assert_eq!(found(place.path()), expected);
        let mut next = writer(place.path());
        next.release().unwrap();
        fs::remove_file(logs(place.path()).last().unwrap()).unwrap();
    }
}

/// What is out of date is given back to the disk, also in the middle of a run.
#[test]
fn a_folder_stays_as_small_as_what_it_holds() {
    let place = TempDir::new().unwrap();
    let mut writer = writer(place.path());
    for round in 0..40_u8 {
        writer
            .commit(vec![set("big", &vec![round; 500_000])])
            .unwrap();
        writer
            .commit(vec![set(&format!("small{round}"), &[round])])
            .unwrap();
    }
    let bytes: u64 = logs(place.path())
        .iter()
        .map(|log| fs::metadata(log).unwrap().len())
        .sum();
    assert!(bytes < 8_000_000, "{bytes}");
    assert_eq!(
        writer.get_many(&["big".into(), "small7".into()]).unwrap(),
        [Some(vec![39; 500_000]), Some(vec![7])]
    );
    assert_eq!(found(place.path()).len(), 41);
}

#[test]
fn a_folder_has_one_tenant() {
    let place = TempDir::new().unwrap();
    writer(place.path()).release().unwrap();
    let error = folder(place.path()).acquire(wanted(Some("other"), true));
    assert!(matches!(error, Err(FolderError::Foreign(owner)) if owner == "muster"));
    let reader = folder(place.path()).read().unwrap();
    assert!(reader.check_tenant(Some("other")).is_err());
    assert!(reader.check_tenant(Some("muster")).is_ok());
}

#[test]
fn a_log_of_a_newer_version_is_left_alone() {
    let place = TempDir::new().unwrap();
    writer(place.path()).release().unwrap();
    let log = logs(place.path()).pop().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    bytes[3] = 9;
    fs::write(&log, bytes).unwrap();
    let error = folder(place.path()).read().unwrap_err();
    assert!(
        matches!(error, FolderError::Newer { format: 9, .. }),
        "{error}"
    );
}

#[test]
fn looking_leaves_nothing_behind() {
    let place = TempDir::new().unwrap();
    assert!(found(place.path()).is_empty());
    assert!(logs(place.path()).is_empty());
    let missing = place.path().join("missing");
    let error = folder(&missing).read().unwrap_err();
    assert!(error.to_string().contains("missing"), "{error}");
}

#[test]
fn every_limit_is_met_exactly_and_refused_one_beyond() {
    let place = TempDir::new().unwrap();
    let mut writer = writer(place.path());
    let longest = "k".repeat(KEY_BYTES_MAX);
    writer
        .commit(vec![set(&longest, &vec![0; VALUE_BYTES_MAX])])
        .unwrap();
    let full: Vec<_> = (0..ITEMS_MAX)
        .map(|number| set(&format!("n{number}"), b"v"))
        .collect();
    writer.commit(full.clone()).unwrap();
    let eight: Vec<_> = (0..8)
        .map(|number| set(&format!("v{number}"), &vec![0; VALUE_BYTES_MAX]))
        .collect();
    let too_much = [
        full.into_iter().chain([set("more", b"v")]).collect(),
        eight,
        vec![set("", b"v")],
        vec![set(&format!("{longest}k"), b"v")],
        vec![set("tab\there", b"v")],
        vec![set("big", &vec![0; VALUE_BYTES_MAX + 1])],
        vec![set("twice", b"1"), Write::Delete("twice".into())],
    ];
    for writes in too_much {
        let answer = writer.commit(writes);
        assert!(matches!(answer, Err(StoreError::Refused(_))), "{answer:?}");
    }
    assert!(
        writer
            .get_many(&vec!["more".into(); ITEMS_MAX + 1])
            .is_err()
    );
    assert!(writer.scan("p", None, 0).is_err());
    assert!(writer.scan("p", None, 1025).is_err());
    assert!(writer.scan("new\nline", None, 1).is_err());
    for number in 0..9 {
        let value = vec![0; CALL_BYTES_MAX / 8];
        writer
            .commit(vec![set(&format!("w{number}"), &value)])
            .unwrap();
    }
    let wanted: Vec<_> = (0..9).map(|number| format!("w{number}")).collect();
    assert!(matches!(
        writer.get_many(&wanted),
        Err(StoreError::Refused(_))
    ));
    assert!(writer.scan("w", None, 1024).unwrap().more);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 48,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Any history of commits, runs that end well, that are killed in the middle of a commit, and
    /// compactions in between, reads as an ordinary map would.
    #[test]
    fn a_folder_is_a_map(history in proptest::collection::vec(deed(), 1..40)) {
        let place = TempDir::new().unwrap();
        let mut expected = std::collections::BTreeMap::new();
        let mut run = writer(place.path());
        for deed in history {
            match deed {
                Deed::Commit(writes) => {
                    run.commit(writes.clone()).unwrap();
                    apply(&mut expected, writes);
                }
                Deed::End => {
                    run.release().unwrap();
                    run = writer(place.path());
                }
                Deed::Kill(writes, share) => {
                    let log = logs(place.path()).pop().unwrap();
                    let before = fs::metadata(&log).unwrap().len();
                    run.commit(writes).unwrap();
                    let after = fs::metadata(&log).unwrap().len();
                    let torn = before + (after - before) * u64::from(share) / 256;
                    fs::OpenOptions::new().write(true).open(&log).unwrap().set_len(torn).unwrap();
                    run = writer(place.path());
                }
            }
        }
        let expected: Vec<_> = expected.into_iter().collect();
        prop_assert_eq!(found(place.path()), expected);
    }
}

#[derive(Clone, Debug)]
enum Deed {
    Commit(Vec<Write>),
    End,
    Kill(Vec<Write>, u8),
}

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        6 => writes().prop_map(Deed::Commit),
        1 => Just(Deed::End),
        2 => (writes(), any::<u8>()).prop_map(|(writes, share)| Deed::Kill(writes, share)),
    ]
}

fn writes() -> impl Strategy<Value = Vec<Write>> {
    let value = proptest::collection::vec(any::<u8>(), 0..40);
    let write = (0..12_u8, proptest::option::of(value));
    proptest::collection::vec(write, 1..6).prop_map(|changes| {
        let changes: std::collections::BTreeMap<_, _> = changes.into_iter().collect();
        let write = |(key, value)| match value {
            Some(value) => Write::Set(format!("k{key}"), value),
            None => Write::Delete(format!("k{key}")),
        };
        changes.into_iter().map(write).collect()
    })
}

fn apply(map: &mut std::collections::BTreeMap<String, Vec<u8>>, writes: Vec<Write>) {
    for write in writes {
        match write {
            Write::Set(key, value) => map.insert(key, value),
            Write::Delete(key) => map.remove(&key),
        };
    }
}
