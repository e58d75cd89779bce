//! Whether bugs on purpose are caught, over either dialect.

use std::fmt::Write as _;
use std::thread;

use contact_sync_guest::mutation::{Mutant, run_with};

/// A proof: it panics where it fails.
pub(crate) type Proof = (&'static str, fn());

/// Bugs of what speaks Exchange Web Services: no proof over Graph can see them.
pub(crate) const OF_EWS: [Mutant; 6] = [
    Mutant::LostStateIsQuiet,
    Mutant::CopyLeftBehindBelieved,
    Mutant::EmptiedPropertyLeft,
    Mutant::DeletionNotCompared,
    Mutant::FirstRefusalForAll,
    Mutant::KeyNotSearched,
];

/// The first proof that fails with this mutant.
fn caught_by(mutant: Mutant, likeliest: Vec<Proof>, all: &[Proof]) -> Option<&'static str> {
    let proofs = likeliest.into_iter().chain(all.iter().copied());
    let mut proofs = proofs.filter(|(_, proof)| {
        let proof = *proof;
        // A thread of its own: the bug is switched on in it alone, and ends with it.
        let proven = thread::spawn(move || run_with(Some(mutant), proof)).join();
        proven.is_err()
    });
    proofs.next().map(|(name, _)| name)
}

/// Each of these is caught by its likeliest proofs, or by one of all.
pub(crate) fn all_are_caught(mutants: Vec<(Mutant, Vec<Proof>)>, all: &[Proof]) {
    let mut table = String::new();
    let mut survivors = Vec::new();
    for (mutant, likeliest) in mutants {
        let caught_by = caught_by(mutant, likeliest, all);
        let shown = caught_by.unwrap_or("NOTHING");
        writeln!(table, "{:<28}{shown}", format!("{mutant:?}")).expect("a text takes all");
        if caught_by.is_none() {
            survivors.push(mutant);
        }
    }
    println!("{table}");
    assert!(survivors.is_empty(), "nothing catches {survivors:?}");
}
