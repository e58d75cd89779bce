//! Each world is asked about bugs on purpose: a comparison that finds nothing compares nothing.

use contact_sync_guest::mutation::{Mutant, run_with};
use std::thread;

use super::{lists, people, rooms, singles, table};

#[test]
fn every_world_notices_a_bug() {
    let worlds: [(fn(), Mutant); 11] = [
        (
            table::every_pair_meets_the_fate_of_the_table,
            Mutant::RebuiltFromView,
        ),
        (
            table::every_pair_meets_the_fate_of_the_table,
            Mutant::UnseenMarkerRemoved,
        ),
        (
            singles::every_single_value_ends_as_the_contract_says,
            Mutant::ConflictUntold,
        ),
        (
            lists::every_list_of_emails_ends_as_the_contract_says,
            Mutant::SlotsBeforeValues,
        ),
        (
            lists::every_list_of_emails_ends_as_the_contract_says,
            Mutant::OpaqueTakenForEmpty,
        ),
        (
            lists::every_list_without_room_for_all_ends_as_the_contract_says,
            Mutant::NoRoomUntold,
        ),
        (
            lists::every_list_without_room_for_all_ends_as_the_contract_says,
            Mutant::WaitingTakesFreedSlot,
        ),
        (
            lists::every_list_without_room_for_all_ends_as_the_contract_says,
            Mutant::SlotlessDropped,
        ),
        (
            rooms::every_number_of_every_type_ends_as_the_contract_says,
            Mutant::TypeForgotten,
        ),
        (
            rooms::every_number_of_every_type_ends_as_the_contract_says,
            Mutant::WritingsCompared,
        ),
        (
            people::every_small_crowd_is_matched_as_the_contract_says,
            Mutant::FirstCandidateWins,
        ),
    ];
    for (world, mutant) in worlds {
        // A thread of its own: the bug is switched on in it alone, and ends with it.
        let broken = thread::spawn(move || run_with(Some(mutant), world));
        assert!(broken.join().is_err(), "no world notices {mutant:?}");
    }
}
