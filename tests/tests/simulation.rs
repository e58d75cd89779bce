//! Section 9: the whole engine in worlds drawn from seeds, in virtual time.
//!
//! `cargo run --release --bin simulate -- --help` plays any number of worlds; here is a fixed set
//! of them, and the proof that the simulation itself can fail.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use contact_sync_tests::simulation::{
    Census, MUTANTS, Sabotage, Verdict, generate, play, run, run_with_mutant, shrink,
};

/// Worlds that every `cargo test` plays.
const WORLDS: u64 = 3_000;

/// Within so many worlds an engine that does wrong must be caught.
const SABOTAGED_WORLDS_MAX: u64 = 2_000;

/// Within so many worlds a broken promise must be noticed.
const NOTICED_WORLDS_MAX: u64 = 500;

/// What must have happened in these worlds, each at least once: what the contract's section 9
/// names.
const HAPPENINGS: [&str; 59] = [
    "1 mailboxes",
    "2 mailboxes",
    "3 mailboxes",
    "CRM: BringBack",
    "CRM: Delete",
    "CRM: Edit",
    "CRM: Enter",
    "CRM: Hide",
    "CRM: Mark",
    "CRM: Purge",
    "CRM: Show",
    "CRM: Touch",
    "CRM: Unmark",
    "FLOWFACT answers 403",
    "FLOWFACT answers 404",
    "Office 365 answers 410",
    "answer: Approve",
    "answer: Reject",
    "clock jumps back",
    "clock jumps forward",
    "mailboxes of both services",
    "marker: AccountField",
    "marker: SyncEntry",
    "marker: Tag",
    "oddity: Birthdays",
    "oddity: ByteOrderMark",
    "oddity: CutTexts",
    "oddity: DeltaDelay",
    "oddity: DeltaReordered",
    "oddity: DeltaRepeats",
    "oddity: DeltaReplay",
    "oddity: EmailNameLeft",
    "oddity: HiddenForbidden",
    "oddity: Illegal",
    "oddity: IndexLag",
    "oddity: KeysMove",
    "oddity: PhantomItem",
    "oddity: Prefixes",
    "oddity: SearchKeys",
    "oddity: ShortMemory",
    "oddity: SilentRestore",
    "oddity: SpontaneousConflicts",
    "oddity: TrashNewestLast",
    "oddity: TrashUnordered",
    "oddity: WholeProperties",
    "server: BatchStops",
    "server: Busy, Fault",
    "server: Busy, InAnswer",
    "server: Busy, ServiceUnavailable",
    "server: StoreAway",
    "store: LeaseLost",
    "trouble: EntriesOutOfReach",
    "trouble: EntryVanishes",
    "trouble: FieldLost",
    "trouble: FieldsBack",
    "trouble: StoreLost",
    "trouble: StoreOlder",
    "during a pass, CRM: Edit",
    "during a pass, CRM: Delete",
];

/// Where a mailbox can be.
const MAILBOX_SERVICES: [&str; 2] = ["Office 365", "Exchange Server"];

/// What must have happened in mailboxes of each kind.
const IN_MAILBOXES: [&str; 16] = [
    " answers 404",
    " answers 412",
    ", crash",
    ", trouble: DeltaExpires",
    ", trouble: Suspend",
    ": BringBack",
    ": Copy",
    ": Delete",
    ": Edit",
    ": Enter",
    ": Move",
    ": Purge",
    ": Recreate",
    ": Touch",
    "during a pass, Edit",
    "during a pass, Move",
];

/// What must have gone wrong on the way to each service.
const FAULTS: [&str; 8] = [
    "429 with Retry-After",
    "429 without Retry-After",
    "5xx after the effect",
    "5xx with Retry-After",
    "5xx without Retry-After",
    "create that takes effect late",
    "lost after the effect",
    "lost before the effect",
];

/// All that must have happened, by the names of the census.
fn happenings() -> BTreeSet<String> {
    let mut names: BTreeSet<String> = HAPPENINGS.iter().map(ToString::to_string).collect();
    for service in MAILBOX_SERVICES {
        for what in IN_MAILBOXES {
            names.insert(match what.strip_prefix("during a pass, ") {
                Some(deed) => format!("during a pass, {service}: {deed}"),
                None => format!("{service}{what}"),
            });
        }
    }
    for service in MAILBOX_SERVICES.into_iter().chain(["FLOWFACT"]) {
        let faults = FAULTS.iter();
        names.extend(faults.map(|fault| format!("{service}, fault: {fault}")));
    }
    names
}

/// Plays worlds on all cores until one fails; and what happened in them.
fn first_failing(
    seeds: Range<u64>,
    play_seed: impl Fn(u64) -> Verdict + Sync,
) -> (Option<(u64, Verdict)>, Census) {
    let next = AtomicU64::new(seeds.start);
    let played = Mutex::new((None, Census::new()));
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let verdict = play_seed(seed);
                    let mut played = played.lock().expect("nobody panics");
                    for (name, times) in &verdict.census {
                        *played.1.entry(name.clone()).or_default() += times;
                    }
                    if !verdict.violations.is_empty() {
                        next.store(seeds.end, Ordering::Relaxed);
                        played.0 = Some((seed, verdict));
                        return;
                    }
                }
            });
        }
    });
    played.into_inner().expect("nobody panics")
}

fn first_caught(sabotage: Sabotage) -> Option<(u64, Verdict)> {
    first_failing(0..SABOTAGED_WORLDS_MAX, |seed| run(seed, Some(sabotage))).0
}

#[test]
fn worlds_end_as_the_contract_says() {
    let (failing, census) = first_failing(0..WORLDS, |seed| run(seed, None));
    if let Some((seed, verdict)) = failing {
        let rule = verdict.violations.first().map_or("", |found| found.rule);
        let short = shrink(&generate(seed), rule, None);
        panic!(
            "seed {seed}: {:#?}\n{short}\ncargo run --release --bin simulate -- --seed {seed} \
             --verbose",
            verdict.violations
        );
    }
    for name in happenings() {
        assert!(census.contains_key(&name), "never: {name}: {census:#?}");
    }
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
        Sabotage::NoLinks,
        Sabotage::NoVersions,
    ] {
        let caught = first_caught(sabotage);
        assert!(caught.is_some(), "{sabotage:?} is not caught");
    }
}

#[test]
fn broken_promises_are_noticed() {
    for mutant in MUTANTS {
        let worlds = 0..NOTICED_WORLDS_MAX;
        let (noticed, _) = first_failing(worlds, |seed| run_with_mutant(seed, mutant));
        assert!(noticed.is_some(), "{mutant:?} is not noticed");
    }
}

#[test]
fn failing_history_is_made_shorter_and_still_fails() {
    let sabotage = Sabotage::LosesCrmUpdates;
    let (seed, verdict) = first_caught(sabotage).expect("a failing world");
    let rule = verdict.violations.first().map_or("", |found| found.rule);
    let history = generate(seed);
    let short = shrink(&history, rule, Some(sabotage));
    assert!(short.size() < history.size(), "{short}");
    let again = play(&short, Some(sabotage));
    assert!(
        again.violations.iter().any(|found| found.rule == rule),
        "{short}"
    );
}
