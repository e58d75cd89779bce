//! Each law is broken by a bug on purpose: a law that cannot fail says nothing.
//!
//! The bugs are there only where the feature `mutations` is, as in a test run of the workspace.

#[cfg(not(feature = "mutations"))]
pub(crate) fn is_asked() -> bool {
    false
}

#[cfg(feature = "mutations")]
pub(crate) use with_mutants::is_asked;

#[cfg(feature = "mutations")]
mod with_mutants {
    use contact_sync_guest::mutation::{Mutant, run_with};
    use std::cell::Cell;
    use std::thread;

    thread_local! {
        static ASKED: Cell<bool> = const { Cell::new(false) };
    }

    pub(crate) fn is_asked() -> bool {
        ASKED.get()
    }

    fn fails(mutant: Mutant, law: fn()) -> bool {
        let broken = thread::spawn(move || {
            ASKED.set(true);
            run_with(Some(mutant), law);
        });
        broken.join().is_err()
    }

    #[test]
    fn every_law_can_be_broken() {
        let laws: [(fn(), Mutant); 11] = [
            (crate::a_merged_pair_is_quiet, Mutant::WritingsCompared),
            (
                crate::an_edit_in_the_mailbox_writes_the_crm_alone,
                Mutant::ViewRewritten,
            ),
            (
                crate::what_the_mailbox_says_the_crm_says,
                Mutant::TypeForgotten,
            ),
            (crate::what_has_no_slot_survives, Mutant::CrmRewritten),
            (
                crate::values_that_nobody_edited_stay_to_the_last_byte,
                Mutant::SlotsBeforeValues,
            ),
            (
                crate::what_has_no_slot_survives_conflicts,
                Mutant::CrmRewritten,
            ),
            (
                crate::an_edit_in_the_crm_writes_the_mailbox_alone,
                Mutant::CrmRewritten,
            ),
            (
                crate::what_the_crm_says_the_mailbox_says_or_somebody_is_told,
                Mutant::NoRoomUntold,
            ),
            (crate::edits_of_both_sides_converge, Mutant::ConflictUntold),
            (
                crate::relinking_removes_nothing,
                Mutant::OpaqueTakenForEmpty,
            ),
            (crate::what_services_do_is_no_edit, Mutant::ViewRewritten),
        ];
        for (number, (law, mutant)) in laws.into_iter().enumerate() {
            assert!(fails(mutant, law), "law {number} holds with {mutant:?}");
        }
    }
}
