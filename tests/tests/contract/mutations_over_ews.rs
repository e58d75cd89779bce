//! Bugs on purpose in what speaks Exchange Web Services: each is caught by a proof that passes
//! without it.
//!
//! Asked about are the bugs that only this dialect can have, and those of the other one that have a
//! place of their own here: versions, moves, keys, what is not found, lost answers. `DeletedItems`
//! are no matter here: whoever gets there has another id, and is searched for in live folders only.

use contact_sync_guest::mutation::Mutant;

use super::mutants::{OF_EWS, Proof, all_are_caught};
use super::{crashes, mended, over_ews, over_ews_values, over_ews_wire, safety};

/// Bugs that only this dialect can have.
fn mutants_of_ews() -> Vec<(Mutant, Vec<Proof>)> {
    use Mutant as M;
    vec![
        (
            M::LostStateIsQuiet,
            vec![(
                "state",
                over_ews_wire::state_that_expired_is_no_news_about_anybody,
            )],
        ),
        (
            M::CopyLeftBehindBelieved,
            vec![(
                "copy",
                over_ews::copy_that_is_left_behind_by_a_move_proves_nothing,
            )],
        ),
        (
            M::EmptiedPropertyLeft,
            vec![("title", over_ews_values::title_goes_by_its_property)],
        ),
        (
            M::DeletionNotCompared,
            vec![(
                "race",
                over_ews_wire::edit_right_before_a_deletion_saves_the_contact,
            )],
        ),
        (
            M::FirstRefusalForAll,
            vec![(
                "one item",
                over_ews_wire::refusal_of_one_item_of_a_request_is_its_own,
            )],
        ),
        (
            M::KeyNotSearched,
            vec![(
                "lost create",
                mended::lost_create_that_was_moved_is_held_and_not_created_again,
            )],
        ),
    ]
}

/// Bugs that both can have.
fn mutants_of_both() -> Vec<(Mutant, Vec<Proof>)> {
    use Mutant as M;
    vec![
        (
            M::VersionNotNamed,
            vec![(
                "race",
                safety::edit_in_the_mailbox_under_a_write_is_merged_not_overwritten,
            )],
        ),
        (
            M::AnyNotFoundIsDeletion,
            vec![(
                "refused",
                over_ews_wire::contact_whose_read_is_refused_is_not_deleted,
            )],
        ),
        (
            M::MovedIsDeleted,
            vec![(
                "moved",
                over_ews::contact_that_goes_to_another_folder_and_comes_back_is_merged,
            )],
        ),
        (
            M::CopiedKeyIsProof,
            vec![(
                "copy",
                safety::copy_that_a_user_made_of_a_lost_create_proves_nothing,
            )],
        ),
        (
            M::IntentNotWritten,
            vec![(
                "lost answer",
                safety::lost_answer_to_a_create_in_the_mailbox_makes_no_duplicate,
            )],
        ),
        (
            M::OpenIntentsIgnored,
            vec![(
                "lost answer",
                safety::lost_answer_to_a_create_in_the_mailbox_makes_no_duplicate,
            )],
        ),
        (
            M::DeletionNotConfirmed,
            vec![("race", safety::edit_under_a_deletion_saves_the_contact)],
        ),
        (
            M::PositionBeforeLinks,
            vec![("crash", edits_survive_a_crash)],
        ),
        (
            M::PendingForgotten,
            vec![(
                "races",
                safety::record_that_moves_on_under_every_write_is_left_pending,
            )],
        ),
        (
            M::LeaseNotChecked,
            vec![("lease", safety::nothing_is_written_once_the_lease_is_lost)],
        ),
    ]
}

fn edits_survive_a_crash() {
    crashes::check(crashes::edits);
}

#[test]
fn every_mutant_is_caught() {
    let mut mutants = mutants_of_ews();
    mutants.extend(mutants_of_both());
    let is_asked = |of_ews: &Mutant| mutants.iter().any(|(mutant, _)| mutant == of_ews);
    assert!(
        OF_EWS.iter().all(is_asked),
        "a mutant that nobody asks about"
    );
    all_are_caught(mutants, &[]);
}
