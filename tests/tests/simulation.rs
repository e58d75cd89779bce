//! Section 9: the whole engine in worlds drawn from seeds, in virtual time.
//!
//! `cargo run --release --bin simulate -- --help` plays any number of worlds; here is a fixed set of
//! them, and the proof that the simulation itself can fail.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use contact_sync_tests::simulation::{Sabotage, Verdict, generate, play, run, shrink};

/// Worlds that every `cargo test` plays.
const WORLDS: u64 = 2_000;

/// Plays worlds on all cores until one fails.
fn first_failing(
    seeds: std::ops::Range<u64>,
    sabotage: Option<Sabotage>,
) -> Option<(u64, Verdict)> {
    let next = AtomicU64::new(seeds.start);
    let failing = Mutex::new(None);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let verdict = run(seed, sabotage);
                    if !verdict.violations.is_empty() {
                        next.store(seeds.end, Ordering::Relaxed);
                        *failing.lock().expect("nobody panics") = Some((seed, verdict));
                        return;
                    }
                }
            });
        }
    });
    failing.into_inner().expect("nobody panics")
}

#[test]
fn worlds_end_as_the_contract_says() {
    let Some((seed, verdict)) = first_failing(0..WORLDS, None) else {
        return;
    };
    let rule = verdict.violations.first().map_or("", |found| found.rule);
    let short = shrink(&generate(seed), rule, None);
    panic!(
        "seed {seed}: {:#?}\n{short}\ncargo run --release --bin simulate -- --seed {seed} --verbose",
        verdict.violations
    );
}

#[test]
fn same_seed_is_the_same_world() {
    let mut digests = BTreeSet::new();
    for seed in 0..12 {
        let history = generate(seed);
        assert_eq!(history, generate(seed), "seed {seed}");
        let verdict = play(&history, None);
        assert!(verdict.requests > 0, "seed {seed} asks nothing");
        assert_eq!(verdict, play(&history, None), "seed {seed}");
        digests.insert(verdict.digest);
    }
    assert_eq!(digests.len(), 12, "worlds differ");
}

/// A simulation that cannot fail proves nothing.
#[test]
fn engines_that_do_wrong_are_caught() {
    for sabotage in [
        Sabotage::LosesCrmUpdates,
        Sabotage::LosesPhones,
        Sabotage::NoJournal,
        Sabotage::NoIntents,
        Sabotage::NoLinks,
        Sabotage::NoPending,
        Sabotage::NoVersions,
    ] {
        let caught = first_failing(0..WORLDS, Some(sabotage));
        assert!(caught.is_some(), "{sabotage:?} is not caught");
    }
}

#[test]
fn failing_history_is_made_shorter_and_still_fails() {
    let sabotage = Some(Sabotage::LosesCrmUpdates);
    let (seed, verdict) = first_failing(0..WORLDS, sabotage).expect("a failing world");
    let rule = verdict.violations.first().map_or("", |found| found.rule);
    let history = generate(seed);
    let short = shrink(&history, rule, sabotage);
    assert!(short.size() < history.size(), "{short}");
    let again = play(&short, sabotage);
    assert!(
        again.violations.iter().any(|found| found.rule == rule),
        "{short}"
    );
}
