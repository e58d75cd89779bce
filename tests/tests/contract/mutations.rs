//! Bugs on purpose: each is caught by a proof that passes without it.
//!
//! A mutant breaks one promise of the contract in this thread's engine (see the guest's
//! `mutation`). For each of them the proofs are run, the likeliest first, until one fails; a mutant
//! that survives all of them is a hole in the proofs. All proofs are tests of their own, here and
//! in the rooms beside: without a mutant they pass.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

use contact_sync_guest::contact::{CrmFields, CrmKind, CrmPhone, Field, FieldSet, Members};
use contact_sync_guest::contact::{Shape, Slot, View};
use contact_sync_guest::job::CrmAccess;
use contact_sync_guest::mapping::Base;
use contact_sync_guest::mutation::Mutant;
use contact_sync_guest::outside::Request;
use contact_sync_guest::pass::{self, Mode, Step};
use contact_sync_guest::plan::merge::{Input, merge};
use contact_sync_guest::report::Side;
use contact_sync_tests::simulator::Meddled;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::mutants::{OF_EWS, Proof, all_are_caught};
use super::stage::{ANNA, Edit, PAUSE_MS, Scenario, Stage, State, Variant, crm, play};
use super::{conflicts, crashes, guard, halves, hub, input, marking, matching, pairs, safety};

/// All proofs that are asked about a mutant which its likeliest ones do not catch.
const PROOFS: [Proof; 12] = [
    ("echo", own_write_is_no_edit),
    ("rewritten", what_a_service_rewrites_is_no_edit),
    ("swap", first_of_two_numbers_is_cleared),
    ("slots", shortened_number_is_edited),
    ("opaque", text_in_place_of_a_number_clears_nothing),
    ("lost field", field_that_is_mapped_no_longer_is_not_cleared),
    ("mailbox 404", not_found_of_the_mailbox_is_no_deletion),
    ("replayed", replayed_entry_brings_nobody_back),
    ("crash among edits", edits_survive_a_crash),
    ("crash among deletions", deletions_survive_a_crash),
    ("crash among returns", returns_survive_a_crash),
    ("crash among moves", moves_survive_a_crash),
];

/// Each mutant, and the proofs that are asked first.
fn mutants() -> Vec<(Mutant, Vec<Proof>)> {
    use Mutant as M;
    vec![
        (M::PositionBeforeLinks, vec![("crash", edits_survive_a_crash)]),
        (M::PendingForgotten, vec![("races", safety::record_that_moves_on_under_every_write_is_left_pending)]),
        (M::EchoTakenForEdit, vec![("echo", own_write_is_no_edit)]),
        (M::HalfForgotten, vec![("half", halves::edit_after_a_half_done_task_clashes_with_nothing)]),
        (M::FormerBaseKept, vec![("copy", halves::copy_that_lacks_a_value_clears_nothing)]),
        (M::BaseAsSent, vec![("rewritten", what_a_service_rewrites_is_no_edit)]),
        (M::GuardMiscounts, vec![("limit", guard::as_many_as_the_limit_are_carried_out_and_one_more_none)]),
        (M::GuardWindowForgotten, vec![("24 hours", guard::what_was_carried_out_in_the_last_24_hours_counts)]),
        (M::EmptySideBelieved, vec![("empty", guard::side_that_suddenly_shows_nothing_loses_the_other_nothing)]),
        (M::SlotTableIgnored, vec![("slots", shortened_number_is_edited)]),
        (M::SlotsBeforeValues, vec![("swap", first_of_two_numbers_is_cleared)]),
        (M::WaitingTakesFreedSlot, vec![("waiting", freed_slot_stays_free)]),
        (M::OpaqueTakenForEmpty, vec![("opaque", text_in_place_of_a_number_clears_nothing)]),
        (M::LostFieldTakenForCleared, vec![("lost field", field_that_is_mapped_no_longer_is_not_cleared)]),
        (M::LettersDialled, vec![("letters", number_with_a_letter_is_not_sent)]),
        (M::AnyNotFoundIsDeletion, vec![("mailbox 404", not_found_of_the_mailbox_is_no_deletion)]),
        (M::DeletedItemsAreMoved, vec![("deleted", pairs::deleted_in_the_mailbox_is_deleted_softly_in_the_crm)]),
        (M::MovedIsDeleted, vec![("moved", pairs::moved_to_another_folder_is_held_and_merged_when_it_comes_back)]),
        (M::VanishedIsDeleted, vec![("vanished", pairs::vanished_in_the_crm_is_held_by_a_full_read_too)]),
        (M::RebuiltFromView, vec![("restored", pairs::edit_in_the_mailbox_outlives_a_deletion_in_the_crm)]),
        (M::ReplayedEntryImported, vec![("replayed", replayed_entry_brings_nobody_back)]),
        (M::TombstoneForgotten, vec![("back", pairs::back_in_the_folder_restores_the_crm_contact)]),
        (M::UnseenMarkerRemoved, vec![("marker", marking::marker_that_was_never_seen_is_set_not_taken_for_removed)]),
        (M::MarkerOfCauseKept, vec![("hub", hub::restored_contact_loses_the_marker_of_the_mailbox_that_deleted_it)]),
        (M::IntentNotWritten, vec![("lost answer", safety::lost_answer_to_a_create_in_the_crm_makes_no_duplicate)]),
        (M::OpenIntentsIgnored, vec![("lost answer", safety::lost_answer_to_a_create_in_the_mailbox_makes_no_duplicate)]),
        (M::SettledAtOnce, vec![("late index", safety::lost_answer_to_a_create_that_the_index_shows_late_makes_no_duplicate)]),
        (M::CopiedKeyIsProof, vec![("copy", safety::copy_that_a_user_made_of_a_lost_create_proves_nothing)]),
        (M::DeletionNotInJournal, vec![("journal", conflicts::deleted_records_are_in_the_journal_whole)]),
        (M::ConflictNotInJournal, vec![("journal", conflicts::winner_of_a_conflict_is_the_tenants_choice_and_the_loser_is_in_the_journal)]),
        (M::CrmNotReadBeforeWrite, vec![("race", safety::edit_in_the_crm_under_a_write_is_merged_not_overwritten)]),
        (M::DeletionNotConfirmed, vec![("race", safety::edit_under_a_deletion_saves_the_contact)]),
        (M::VersionNotNamed, vec![("race", safety::edit_in_the_mailbox_under_a_write_is_merged_not_overwritten)]),
        (M::LeaseNotChecked, vec![("lease", safety::nothing_is_written_once_the_lease_is_lost)]),
        (M::WritingsCompared, vec![("one number", matching::shared_number_makes_a_pair_however_it_is_written)]),
        (M::CrmRewritten, vec![("swap", first_of_two_numbers_is_cleared)]),
        (M::ViewRewritten, vec![("writing", numbers_stay_as_they_were_written)]),
        (M::SlotlessDropped, vec![("waiting", freed_slot_stays_free)]),
        (M::FirstCandidateWins, vec![("question", matching::several_candidates_are_a_question_and_nothing_is_created)]),
        (M::TypeForgotten, vec![("type", number_in_another_place_has_another_type)]),
        (M::NoRoomUntold, vec![("no room", input::third_business_number_and_fourth_address)]),
        (M::ConflictUntold, vec![("journal", conflicts::winner_of_a_conflict_is_the_tenants_choice_and_the_loser_is_in_the_journal)]),
    ]
}

fn deletions_survive_a_crash() {
    crashes::check(crashes::deletions);
}

fn edits_survive_a_crash() {
    crashes::check(crashes::edits);
}

fn moves_survive_a_crash() {
    crashes::check(crashes::moves);
}

fn returns_survive_a_crash() {
    crashes::check(crashes::returns);
}

#[test]
fn every_mutant_is_caught() {
    all_are_caught(mutants(), &PROOFS);
}

#[test]
fn every_mutant_has_its_turn_once() {
    let mut names: Vec<Mutant> = mutants().into_iter().map(|(mutant, _)| mutant).collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
    // Those of the other dialect alone have their turn in `mutations_over_ews`.
    let all = Mutant::COUNT - OF_EWS.len();
    assert_eq!(count, all, "a mutant that nobody asks about");
    assert!(names.iter().all(|mutant| !OF_EWS.contains(mutant)));
}

// ---- proofs of what no other room proves --------------------------------------------------------

fn erika(fields: &Value) -> Scenario {
    let mut person = json!({"firstName": ["Erika"], "lastName": ["Muster"],
                            "emails": ["erika@muster.example"]});
    for (name, value) in fields.as_object().into_iter().flatten() {
        person[name] = value.clone();
    }
    Scenario::new().before([crm("erika", &[ANNA], person)])
}

fn act(stage: &mut Stage, edits: impl IntoIterator<Item = Edit>) {
    for edit in edits {
        stage.edit(&edit);
    }
    stage.world.advance_ms(60_000);
    stage.pass(ANNA);
    stage.world.advance_ms(PAUSE_MS);
}

#[test]
fn own_write_is_no_edit() {
    let mut stage = erika(&json!({"position": ["Leitung"]})).stage(Variant::AccountField);
    act(
        &mut stage,
        [Edit::Crm("erika", json!({"position": ["Vertrieb"]}))],
    );
    act(
        &mut stage,
        [Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Verkauf"}))],
    );
    stage.check(
        "edited",
        &State::Crm("erika", json!({"position": ["Verkauf"]})),
    );
    stage.check(
        "edited",
        &State::Outlook(ANNA, "erika", json!({"jobTitle": "Verkauf"})),
    );
    stage.check_quiet("edited");
}

#[test]
fn what_a_service_rewrites_is_no_edit() {
    let mut stage = erika(&json!({}))
        .world(|builder| {
            builder.flowfact(|quirks| {
                quirks.text_length_max.insert("position".to_owned(), 5);
            })
        })
        .stage(Variant::AccountField);
    act(
        &mut stage,
        [Edit::Outlook(
            ANNA,
            "erika",
            json!({"jobTitle": "Vertriebsleitung"}),
        )],
    );
    stage.check("cut", &State::Crm("erika", json!({"position": ["Vertr"]})));
    stage.check_quiet("cut");
    let whole = json!({"jobTitle": "Vertriebsleitung"});
    stage.check("cut", &State::Outlook(ANNA, "erika", whole));
}

fn numbers(numbers: &[(&str, &str)]) -> Value {
    let entry =
        |(number, note): &(&str, &str)| json!({"type": "office", "number": number, "note": note});
    json!({"phones": numbers.iter().map(entry).collect::<Vec<_>>()})
}

const FIRST: (&str, &str) = ("0221 889901", "eins");
const SECOND: (&str, &str) = ("0221 889902", "zwei");
const THIRD: (&str, &str) = ("0221 889903", "drei");

#[test]
fn first_of_two_numbers_is_cleared() {
    let mut stage = erika(&numbers(&[FIRST, SECOND])).stage(Variant::AccountField);
    let left = json!({"businessPhones": ["+49 221 889902"]});
    act(&mut stage, [Edit::Outlook(ANNA, "erika", left)]);
    stage.check("cleared", &State::Crm("erika", numbers(&[SECOND])));
    stage.check_quiet("cleared");
}

#[test]
fn numbers_stay_as_they_were_written() {
    let national = json!({"businessPhones": ["0221 / 88 99-01"]});
    let mut stage = erika(&numbers(&[FIRST])).stage(Variant::AccountField);
    act(&mut stage, [Edit::Outlook(ANNA, "erika", national.clone())]);
    act(
        &mut stage,
        [Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}))],
    );
    act(
        &mut stage,
        [Edit::Crm("erika", json!({"department": ["Verkauf"]}))],
    );
    stage.check("written", &State::Outlook(ANNA, "erika", national));
    stage.check("written", &State::Crm("erika", numbers(&[FIRST])));
    stage.check_quiet("written");
}

#[test]
fn number_in_another_place_has_another_type() {
    let mut stage = erika(&numbers(&[FIRST])).stage(Variant::AccountField);
    let (number, note) = FIRST;
    let at_home = json!({"businessPhones": [], "homePhones": ["+49 221 889901"]});
    act(&mut stage, [Edit::Outlook(ANNA, "erika", at_home)]);
    let private = json!({"phones": [{"type": "private", "number": number, "note": note}]});
    stage.check("moved", &State::Crm("erika", private));
    stage.check_quiet("moved");
}

#[test]
fn freed_slot_stays_free() {
    let mut stage = erika(&numbers(&[FIRST, SECOND, THIRD])).stage(Variant::AccountField);
    let left = json!({"businessPhones": ["+49 221 889902"]});
    act(&mut stage, [Edit::Outlook(ANNA, "erika", left.clone())]);
    stage.check("cleared", &State::Crm("erika", numbers(&[SECOND, THIRD])));
    stage.check("cleared", &State::Outlook(ANNA, "erika", left));
    stage.check_quiet("cleared");
}

#[test]
fn text_in_place_of_a_number_clears_nothing() {
    let mut stage = erika(&numbers(&[FIRST])).stage(Variant::AccountField);
    let text = json!({"businessPhones": ["siehe Notiz"]});
    act(&mut stage, [Edit::Outlook(ANNA, "erika", text.clone())]);
    stage.check("opaque", &State::Crm("erika", numbers(&[FIRST])));
    stage.check("opaque", &State::Outlook(ANNA, "erika", text));
    stage.check_quiet("opaque");
}

/// A value that the mailbox could not hold whole is known by its slot alone.
#[test]
fn shortened_number_is_edited() {
    let phone = |number: &str| CrmFields {
        phones: vec![CrmPhone::Readable {
            kind: CrmKind::Office,
            number: number.to_owned(),
            rest: Members::from_iter([("note".to_owned(), json!("Zentrale"))]),
        }],
        ..CrmFields::default()
    };
    let view = |number: &str| View {
        phones: [(Slot::BusinessPhone1, number.to_owned())].into(),
        ..View::default()
    };
    let fields = FieldSet::from([Field::Phones]);
    let places = BTreeMap::from([(Slot::BusinessPhone1, 0)]);
    let base = Base {
        crm: phone("0221 889901234"),
        view: view("+49 221 88990"),
        slots: serde_json::from_value(json!({"places": places})).expect("a table"),
        fields: fields.clone(),
    };
    let edited = view("+49 221 777777");
    let merged = merge(Input {
        base: Some(&base),
        crm: &base.crm,
        view: &edited,
        fields: &fields,
        locked: &FieldSet::new(),
        shape: Shape {
            other_phone: false,
            keeps_gaps: false,
        },
        region: "DE",
        winner: Side::Crm,
    });
    assert_eq!(merged.crm, phone("+49 221 777777"));
    assert_eq!(merged.view, edited);
}

#[test]
fn field_that_is_mapped_no_longer_is_not_cleared() {
    let mut stage = erika(&json!({"position": ["Leitung"]})).stage(Variant::AccountField);
    for edit in [
        json!({"department": "Verkauf"}),
        json!({"department": "Vertrieb"}),
    ] {
        stage.edit(&Edit::Outlook(ANNA, "erika", edit));
        stage.world.advance_ms(60_000);
        let mut job = stage.job(ANNA);
        let CrmAccess::Flowfact(access) = &mut job.crm;
        access.fields.insert(Field::Position, None);
        play(&stage.world, job, Mode::Sync);
        stage.world.advance_ms(PAUSE_MS);
        stage.check(
            "lost",
            &State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
        );
        stage.check(
            "lost",
            &State::Crm("erika", json!({"position": ["Leitung"]})),
        );
    }
    stage.pass(ANNA);
    stage.check_quiet("mapped again");
}

#[test]
fn number_with_a_letter_is_not_sent() {
    let number = json!({"phones": [{"type": "office", "number": "0221 88990 W"}]});
    let mut stage = erika(&number).stage(Variant::AccountField);
    stage.check(
        "told",
        &State::Outlook(ANNA, "erika", json!({"businessPhones": null})),
    );
    stage.check("told", &State::Crm("erika", number));
    stage.check_quiet("told");
}

/// Entries of the feed are delayed and replayed: an old one says nothing about now.
#[test]
fn replayed_entry_brings_nobody_back() {
    let mut stage = erika(&json!({})).stage(Variant::AccountField);
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"jobTitle": "Leitung"}),
    ));
    let seen: Rc<RefCell<Vec<Value>>> = Rc::default();
    let heard = Rc::clone(&seen);
    play_tampered(&stage, move |request, told| {
        if request.url.contains("/contacts/delta") {
            heard
                .borrow_mut()
                .extend(told["value"].as_array().into_iter().flatten().cloned());
        }
    });
    assert!(!seen.borrow().is_empty(), "the feed says nothing");
    act(&mut stage, [Edit::OutlookDelete(ANNA, "erika")]);
    stage.check("deleted", &State::CrmTrashed("erika"));
    play_tampered(&stage, move |request, told| {
        if request.url.contains("/contacts/delta") {
            told["value"] = json!(*seen.borrow());
        }
    });
    stage.check("replayed", &State::CrmTrashed("erika"));
    stage.check_quiet("replayed");
}

/// The mailbox says of one contact what it would say of a mailbox that it does not keep, and
/// answers about another one: the same user may flip between the two
/// (<https://github.com/microsoftgraph/microsoft-graph-docs-contrib/issues/4341>).
#[test]
fn not_found_of_the_mailbox_is_no_deletion() {
    let anton = json!({"firstName": ["Anton"], "lastName": ["Kraft"]});
    let scenario = erika(&json!({})).before([crm("anton", &[ANNA], anton)]);
    let mut stage = scenario.stage(Variant::AccountField);
    for name in ["anton", "erika"] {
        stage.edit(&Edit::OutlookMove(ANNA, name));
    }
    let id = stage.mailbox_id(ANNA, "anton");
    let flips: Rc<Cell<u32>> = Rc::default();
    let count = Rc::clone(&flips);
    play_tampered(&stage, move |request, told| {
        let asked = request.body.as_deref().unwrap_or_default();
        let asked: Value = serde_json::from_slice(asked).unwrap_or_default();
        let is_about = |request: &&Value| {
            let url = request["url"].as_str().unwrap_or_default();
            percent_decode_str(url).decode_utf8_lossy().contains(&id)
        };
        let about = asked["requests"]
            .as_array()
            .into_iter()
            .flatten()
            .find(is_about);
        let answers = told["responses"].as_array_mut().into_iter().flatten();
        for answer in answers.filter(|answer| about.is_some_and(|it| it["id"] == answer["id"])) {
            answer["status"] = json!(404);
            answer["body"] = json!({"error": {"code": "MailboxNotEnabledForRESTAPI"}});
            count.set(count.get() + 1);
        }
    });
    assert!(flips.get() > 0, "nothing was asked about");
    stage.check("flipped", &State::CrmCount(2));
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    stage.check("flipped", &State::CrmCount(2));
}

/// Plays a pass that is told something else than what the services say.
fn play_tampered(stage: &Stage, tamper: impl Fn(&Request, &mut Value) + 'static) {
    stage.world.advance_ms(60_000);
    let outside = Rc::new(Meddled::new(&stage.world, move |request, mut response| {
        if let Ok(mut told) = serde_json::from_slice(&response.body) {
            tamper(request, &mut told);
            response.body = told.to_string().into_bytes();
        }
        Ok(response)
    }));
    let mut pass = pass::open(stage.job(ANNA), Mode::Sync, outside).expect("the job is sound");
    while !matches!(pass.advance(), Step::Done(_)) {}
    stage.world.advance_ms(PAUSE_MS);
}
