//! Faults that a review found, each as the story in which it showed.

use std::rc::Rc;

use contact_sync_guest::contact::{CrmId, MailboxId};
use contact_sync_guest::job::OnMailboxDelete;
use contact_sync_guest::outside::{Method, Outside};
use contact_sync_guest::pass::{self, Mode, Step};
use contact_sync_guest::report::Phase;
use contact_sync_guest::setup;
use contact_sync_tests::simulator::{Access, Fault, Matcher, Place, RequestKind as Kind};
use serde_json::{Value, json};

use super::safety::come_to_rest;
use super::stage::{
    ANNA, Asking, DAY_MS, Edit, Expect, PAUSE_MS, Played, Scenario, Stage, Stands, State, Variant,
    asking, crm, play, with_mailbox,
};

fn erika() -> Value {
    json!({"firstName": ["Erika"], "lastName": ["Muster"], "emails": ["erika@muster.example"]})
}

/// The same person, as somebody types her into Outlook.
fn card() -> Value {
    json!({"givenName": "Erika", "surname": "Muster",
           "emailAddresses": [{"address": "erika@muster.example", "name": "Erika Muster"}]})
}

fn linked() -> Scenario {
    Scenario::new().before([crm("erika", &[ANNA], erika())])
}

fn failing(status: u16) -> Fault {
    Fault::Refused {
        status,
        retry_after_s: None,
        body: String::new(),
    }
}

fn pair(stage: &Stage, crm: &str, mailbox: &str) {
    let crm_id = CrmId::new(stage.crm_id(crm));
    let mailbox_id = MailboxId::new(stage.mailbox_id(ANNA, mailbox));
    setup::pair(
        &stage.job(ANNA),
        &stage.outside(),
        &mailbox_id,
        Some(crm_id),
    )
    .expect("both are free");
}

/// A pass, and what somebody does before this phase of it.
pub(crate) fn pass_with(
    stage: &mut Stage,
    phase: Phase,
    meanwhile: impl FnOnce(&Stage),
) -> Vec<String> {
    let outside = Rc::clone(&stage.world) as Rc<dyn Outside>;
    let mut pass = pass::open(stage.job(ANNA), Mode::Sync, outside).expect("the job is sound");
    let mut meanwhile = Some(meanwhile);
    for _ in 0..10_000 {
        match pass.advance() {
            Step::Working(progress) if progress.phase == phase => {
                if let Some(act) = meanwhile.take() {
                    act(stage);
                }
            }
            Step::Working(_) => {}
            Step::Waiting(ms, _) => stage.world.advance_ms(i64::from(ms)),
            Step::Done(_) => {
                assert!(meanwhile.is_none(), "the phase did not come");
                stage.learn();
                let operations = pass.operations().iter();
                return operations.map(|operation| stage.told(operation)).collect();
            }
        }
    }
    panic!("no end");
}

// ---- answers ------------------------------------------------------------------------------------

/// Two CRM contacts that the new mailbox contact may be, and a person's answer: the second one.
pub(crate) fn answered() -> Stage {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    let person = || json!({"lastName": ["Muster"], "emails": ["erika@muster.example"]});
    stage.edit(&Edit::CrmNew("eins", &[], person()));
    stage.edit(&Edit::CrmNew("zwei", &[], person()));
    stage.edit(&Edit::OutlookNew(ANNA, "erika", card()));
    let played = stage.pass(ANNA);
    assert_eq!(played.codes(), ["ambiguous-match"]);
    stage.world.advance_ms(PAUSE_MS);
    pair(&stage, "zwei", "erika");
    stage
}

/// As long as it lasts nothing is created and the answer stays; then it is acted on.
pub(crate) fn answer_outlives(
    during: impl Fn(&mut Stage) -> Played,
    after: impl Fn(&mut Stage),
    code: &str,
) {
    let mut stage = answered();
    for round in 0..3 {
        let played = during(&mut stage);
        let codes: &[&str] = if round == 0 { &[code] } else { &[] };
        assert_eq!(played.codes(), codes, "{played:#?}");
        stage.check(code, &State::CrmCount(2));
        stage.check(code, &State::OutlookCount(ANNA, stage_count(&stage)));
        stage.world.advance_ms(PAUSE_MS);
    }
    after(&mut stage);
    stage.world.advance_ms(DAY_MS);
    stage.pass(ANNA);
    stage.check(code, &State::Standing(ANNA, "zwei", Some(Stands::Linked)));
    stage.check(code, &State::Markers("eins", &[]));
    stage.check(code, &State::CrmCount(2));
    stage.check_quiet(code);
}

fn stage_count(stage: &Stage) -> usize {
    let id = stage.handle(ANNA, "erika");
    usize::from(stage.world.mailbox_place(ANNA, &id) == Place::Contacts)
}

#[test]
fn answer_outlives_a_mailbox_contact_that_cannot_be_read() {
    answer_outlives(
        |stage| {
            stage.world.services(|services, _| {
                let reads = asking(Asking::Reads);
                services.faults.script(reads, 0, u32::MAX, failing(500));
            });
            let played = stage.pass(ANNA);
            stage.world.services(|services, _| services.faults.clear());
            played
        },
        |_| {},
        "mailbox-unreadable",
    );
}

#[test]
fn answer_outlives_a_crm_contact_that_cannot_be_read() {
    answer_outlives(
        |stage| {
            let id = stage.crm_id("zwei");
            stage.world.services(|services, _| {
                let matcher = Matcher::of(Method::Get, &id);
                services.faults.script(matcher, 0, u32::MAX, failing(500));
            });
            let played = stage.pass(ANNA);
            stage.world.services(|services, _| services.faults.clear());
            played
        },
        |_| {},
        "crm-unreadable",
    );
}

#[test]
fn answer_outlives_a_crm_contact_that_is_hidden() {
    let grant = |stage: &Stage, access| {
        let id = stage.crm_id("zwei");
        stage
            .world
            .services(|services, now| services.flowfact.grant(&id, access, now));
    };
    answer_outlives(
        move |stage| {
            grant(stage, Access::Hidden);
            stage.pass(ANNA)
        },
        move |stage| grant(stage, Access::Full),
        "vanished-in-crm",
    );
}

/// The new contact of a lost create was moved before anybody knew whose it is.
#[test]
pub(crate) fn lost_create_that_was_moved_is_held_and_not_created_again() {
    let mut stage = Scenario::new()
        .world(|builder| builder.graph(|quirks| quirks.moved_contact_unseen = false))
        .stage(Variant::AccountField);
    stage.edit(&Edit::CrmNew("erika", &[ANNA], erika()));
    stage.world.services(|services, _| {
        let creates = asking(Asking::Creates);
        services.faults.script(creates, 0, 1, Fault::LostAfter);
    });
    stage.pass(ANNA);
    let created = stage
        .world
        .services(|services, _| services.graph.find(ANNA, "surname", "Muster"))
        .expect("the create had its effect");
    stage.world.mailbox_move(ANNA, &created, "Privat");
    let mut told = Vec::new();
    for _ in 0..3 {
        stage.world.advance_ms(PAUSE_MS);
        let played = stage.pass(ANNA);
        assert_eq!(played.counters.writes(), 0, "{played:#?}");
        told.extend(played.findings);
    }
    assert_eq!(told.len(), 1, "{told:#?}");
    assert_eq!(told[0].code, "moved-in-mailbox");
    stage.world.mailbox_move_back(ANNA, &created);
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "moved back");
    stage.check("moved back", &State::OutlookCount(ANNA, 1));
    stage.check("moved back", &State::CrmCount(1));
    stage.check_quiet("moved back");
}

// ---- back under a new id, while the CRM contact is a tombstone ----------------------------------

fn back() -> Expect {
    Expect {
        state: vec![
            State::CrmCount(1),
            State::OutlookCount(ANNA, 1),
            State::Standing(ANNA, "erika", Some(Stands::Linked)),
            State::Markers("erika", &[ANNA]),
            State::Pending(ANNA, &[]),
        ],
        ..Expect::default()
    }
}

#[test]
fn person_typed_in_again_is_linked_with_the_crm_contact_that_was_forgotten() {
    linked()
        .then(
            [
                Edit::Unmark("erika", ANNA),
                Edit::OutlookDelete(ANNA, "erika"),
            ],
            ANNA,
            Expect {
                operations: &["crm forget erika: marker-removed"],
                ..Expect::default()
            },
        )
        .then(
            [Edit::OutlookNew(ANNA, "neu", card())],
            ANNA,
            Expect {
                operations: &[
                    "crm pair erika: back-in-folder",
                    "crm mark erika: back-in-folder",
                ],
                writes: &[(Kind::FlowfactUpdate, 1)],
                ..back()
            },
        )
        .check();
}

#[test]
fn person_typed_in_again_is_linked_with_the_crm_contact_that_was_only_unmarked() {
    linked()
        .policy(|policy| policy.on_mailbox_delete = OnMailboxDelete::Unmark)
        .then(
            [Edit::OutlookDelete(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &["crm unmark erika: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                ..Expect::default()
            },
        )
        .then(
            [Edit::OutlookNew(ANNA, "neu", card())],
            ANNA,
            Expect {
                operations: &[
                    "crm pair erika: back-in-folder",
                    "crm mark erika: back-in-folder",
                ],
                writes: &[(Kind::FlowfactUpdate, 1)],
                ..back()
            },
        )
        .check();
}

#[test]
fn person_back_on_both_sides_is_linked_and_not_created_twice() {
    linked()
        .then(
            [Edit::OutlookDelete(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &["crm delete erika: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactDelete, 1)],
                ..Expect::default()
            },
        )
        .then(
            [
                Edit::CrmRestore("erika"),
                Edit::OutlookNew(ANNA, "neu", card()),
            ],
            ANNA,
            Expect {
                operations: &["crm pair erika: back-in-folder"],
                ..back()
            },
        )
        .check();
}

// ---- what an index says -------------------------------------------------------------------------

/// An edit that the index shows only after the pass that deleted the contact.
#[test]
fn trashed_contact_that_the_search_still_shows_is_not_created_again() {
    linked()
        .world(|builder| {
            builder.flowfact(|quirks| {
                quirks.trashed_in_search = true;
                quirks.index_lag_ms = 240_000;
            })
        })
        .then(
            [
                Edit::OutlookDelete(ANNA, "erika"),
                Edit::Crm("erika", json!({"salutation": ["Frau"]})),
            ],
            ANNA,
            Expect {
                operations: &["crm delete erika: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactDelete, 1)],
                ..Expect::default()
            },
        )
        .then([], ANNA, Expect::default())
        .then(
            [Edit::Wait(DAY_MS)],
            ANNA,
            Expect {
                state: vec![
                    State::OutlookCount(ANNA, 0),
                    State::Standing(ANNA, "erika", Some(Stands::Tombstone)),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn trashed_contact_that_carries_the_marker_is_not_exported_by_a_first_pass() {
    let world = with_mailbox(contact_sync_tests::simulator::World::builder(), ANNA)
        .flowfact(|quirks| quirks.trashed_in_search = true)
        .build();
    let id = world.crm_create(&erika());
    world.crm_mark(&id, ANNA);
    world.crm_delete(&id);
    world.advance_ms(PAUSE_MS);
    for _ in 0..3 {
        let played = play(&world, world.job(ANNA), Mode::Sync);
        assert_eq!(world.mailbox_ids(ANNA).len(), 0, "{played:#?}");
        world.advance_ms(DAY_MS);
    }
}

#[test]
fn contact_unmarked_or_deleted_during_the_pass_is_not_exported() {
    type Act = fn(&Stage);
    let acts: [Act; 2] = [
        |stage| stage.world.crm_unmark(&stage.crm_id("erika"), ANNA),
        |stage| stage.world.crm_delete(&stage.crm_id("erika")),
    ];
    for variant in Variant::FEEDS {
        for act in acts {
            let mut stage = Scenario::new()
                .before([crm("erika", &[], erika())])
                .stage(variant);
            stage.edit(&Edit::Mark("erika", ANNA));
            stage.world.advance_ms(60_000);
            let operations = pass_with(&mut stage, Phase::Execute, act);
            let place = format!("{variant:?}");
            assert_eq!(
                operations,
                ["mailbox create erika: marker-set [put-off]"],
                "{place}"
            );
            stage.check(&place, &State::OutlookCount(ANNA, 0));
            stage.world.advance_ms(PAUSE_MS);
            come_to_rest(&mut stage, &place);
            stage.check(&place, &State::OutlookCount(ANNA, 0));
        }
    }
}

#[test]
fn marker_that_is_there_after_all_detaches_nobody() {
    for variant in Variant::FEEDS {
        let mut stage = linked().stage(variant);
        stage.edit(&Edit::Unmark("erika", ANNA));
        stage.world.advance_ms(60_000);
        let id = stage.crm_id("erika");
        if variant == Variant::SyncEntry {
            // Markers beside the contact are asked for in turn: a full read of the slice.
            stage.world.advance_ms(PAUSE_MS);
        }
        let operations = pass_with(&mut stage, Phase::Execute, |stage| {
            stage.world.crm_mark(&id, ANNA);
        });
        let place = format!("{variant:?}");
        assert_eq!(
            operations,
            ["crm detach erika: marker-removed [put-off]"],
            "{place}"
        );
        let linked = State::Standing(ANNA, "erika", Some(Stands::Linked));
        stage.check(&place, &linked);
        stage.world.advance_ms(PAUSE_MS);
        come_to_rest(&mut stage, &place);
        stage.check(&place, &linked);
        stage.check_quiet(&place);
    }
}

#[test]
fn contact_that_left_the_folder_again_is_not_restored_in_the_crm() {
    let mut stage = linked()
        .world(|builder| builder.graph(|quirks| quirks.returned_contact_lost = false))
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookDelete(ANNA, "erika"));
    stage.pass(ANNA);
    stage.world.advance_ms(PAUSE_MS);
    let id = stage.handle(ANNA, "erika");
    stage.world.mailbox_move_back(ANNA, &id);
    let operations = pass_with(&mut stage, Phase::Execute, |stage| {
        stage.world.mailbox_delete(ANNA, &id);
    });
    assert_eq!(operations, ["crm restore erika: back-in-folder [put-off]"]);
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "left again");
    stage.check("left again", &State::CrmTrashed("erika"));
    stage.check_quiet("left again");
}

/// A page of a full read is old by the time that the plan is made.
#[test]
fn contact_that_left_the_folder_again_during_a_full_read_is_not_restored_in_the_crm() {
    let mut stage = linked().stage(Variant::AccountField);
    stage.edit(&Edit::OutlookDelete(ANNA, "erika"));
    stage.pass(ANNA);
    stage.world.advance_ms(DAY_MS);
    let id = stage.handle(ANNA, "erika");
    stage.world.mailbox_move_back(ANNA, &id);
    let operations = pass_with(&mut stage, Phase::Plan, |stage| {
        stage.world.mailbox_delete(ANNA, &id);
    });
    // Known to be there by a new id, it was to be brought back until it was looked at again.
    let is_put_off = |operation: &String| operation.ends_with("[put-off]");
    assert!(operations.iter().all(is_put_off), "{operations:?}");
    stage.check("left again", &State::CrmTrashed("erika"));
    stage.check_quiet("left again");
}

// ---- questions ----------------------------------------------------------------------------------

/// Erika's contact is gone, and two new ones may be her.
fn successors() -> Stage {
    let mut stage = linked().stage(Variant::AccountField);
    stage.edit(&Edit::OutlookPurge(ANNA, "erika"));
    for (name, job) in [("a", "Leitung"), ("b", "Vertrieb")] {
        let mut card = card();
        card["jobTitle"] = json!(job);
        stage.edit(&Edit::OutlookNew(ANNA, name, card));
    }
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    stage.check("asked", &State::CrmCount(1));
    assert!(played.operations.is_empty(), "{played:#?}");
    assert_eq!(stage.pending(ANNA).len(), 3, "{played:#?}");
    stage.world.advance_ms(PAUSE_MS);
    stage
}

#[test]
fn question_about_a_successor_keeps_the_crm_contact() {
    let mut stage = successors();
    for _ in 0..3 {
        stage.pass(ANNA);
        stage.world.advance_ms(DAY_MS);
        stage.check("waiting", &State::CrmCount(1));
    }
    pair(&stage, "erika", "b");
    stage.pass(ANNA);
    stage.check(
        "answered",
        &State::Crm("erika", json!({"position": ["Vertrieb"]})),
    );
    come_to_rest(&mut stage, "answered");
    // The other one is somebody else.
    stage.check("answered", &State::CrmCount(2));
    stage.check("answered", &State::OutlookCount(ANNA, 2));
    stage.check_quiet("answered");
}

#[test]
fn contact_whose_successors_are_all_new_people_is_deleted() {
    let mut stage = successors();
    for name in ["a", "b"] {
        let id = MailboxId::new(stage.mailbox_id(ANNA, name));
        setup::pair(&stage.job(ANNA), &stage.outside(), &id, None).expect("it is free");
    }
    stage.pass(ANNA);
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "new");
    stage.check("new", &State::CrmTrashed("erika"));
    stage.check("new", &State::CrmCount(2));
    stage.check_quiet("new");
}

// ---- open intents -------------------------------------------------------------------------------

/// Contacts that are all alike, and as many lost answers: which copy is whose does not matter.
#[test]
fn lost_creates_of_alike_contacts_are_all_adopted() {
    for (imports, lost, page_size) in [(2, 2, 1_000), (3, 3, 1_000), (3, 2, 1_000), (3, 3, 2)] {
        let mut stage = Scenario::new()
            .world(move |builder| builder.flowfact(|quirks| quirks.page_size_max = page_size))
            .stage(Variant::AccountField);
        for name in ["a", "b", "c"].into_iter().take(imports) {
            stage.edit(&Edit::OutlookNew(
                ANNA,
                name,
                json!({"givenName": "Max", "surname": "Kraft"}),
            ));
        }
        stage.world.services(|services, _| {
            let matcher = Matcher::of(Method::Post, "/entity-service/schemas");
            services.faults.script(matcher, 0, lost, Fault::LostAfter);
        });
        stage.pass(ANNA);
        let place = format!("{lost} of {imports} lost");
        stage.check(&place, &State::CrmCount(imports));
        stage.world.advance_ms(PAUSE_MS);
        come_to_rest(&mut stage, &place);
        stage.check(&place, &State::CrmCount(imports));
        stage.check(&place, &State::OutlookCount(ANNA, imports));
        stage.check_quiet(&place);
    }
}

/// Somebody copied the lost create: nobody knows which it is, and it is asked once, for as long as
/// it takes.
#[test]
fn copies_of_an_ambiguous_create_are_held_until_somebody_says_which() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    stage.edit(&Edit::OutlookNew(ANNA, "erika", card()));
    stage.world.services(|services, _| {
        let matcher = Matcher::of(Method::Post, "/entity-service/schemas");
        services.faults.next(matcher, Fault::LostAfter);
    });
    stage.pass(ANNA);
    stage.check("created", &State::CrmCount(1));
    let copy = stage.world.services(|services, now| {
        let fields = erika().as_object().cloned().unwrap_or_default();
        services.flowfact.create_by_api_user(fields, now)
    });
    let mut told = 0;
    for _ in 0..8 {
        stage.world.advance_ms(PAUSE_MS);
        let played = stage.pass(ANNA);
        told += played.findings.len();
        stage.check("held", &State::CrmCount(2));
        stage.check("held", &State::OutlookCount(ANNA, 1));
    }
    assert_eq!(told, 1, "told once is enough");
    let mailbox_id = MailboxId::new(stage.mailbox_id(ANNA, "erika"));
    let copy_id = CrmId::new(copy);
    setup::pair(
        &stage.job(ANNA),
        &stage.outside(),
        &mailbox_id,
        Some(copy_id),
    )
    .expect("both are free");
    stage.pass(ANNA);
    stage.world.advance_ms(PAUSE_MS);
    assert!(stage.rows("m/anna-makler-example/intent/").is_empty());
    let links = stage.links(ANNA);
    assert!(
        links.iter().any(|link| link.mailbox_id == mailbox_id),
        "{links:#?}"
    );
}

// ---- the same contact under a new id ------------------------------------------------------------

/// The feed tells of the removal now, and of the new contact some other time.
#[test]
fn contact_with_our_key_is_looked_for_before_the_crm_contact_is_deleted() {
    let mut stage = linked()
        .world(|builder| builder.graph(|quirks| quirks.moved_contact_unseen = true))
        .stage(Variant::AccountField);
    let id = stage.handle(ANNA, "erika");
    let copy = stage.world.mailbox_copy(ANNA, &id);
    stage.world.mailbox_move(ANNA, &copy, "Privat");
    stage.world.mailbox_move_back(ANNA, &copy);
    stage.world.mailbox_purge(ANNA, &id);
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    assert_eq!(played.counters.writes(), 0, "{played:#?}");
    stage.check("key", &State::CrmCount(1));
    let links = stage.links(ANNA);
    assert!(
        links
            .iter()
            .any(|link| link.mailbox_id.as_str() == stage.known_as(ANNA, &copy)),
        "{links:#?}"
    );
}

#[test]
fn contact_with_our_key_in_another_folder_was_moved_and_not_deleted() {
    let mut stage = linked()
        .world(|builder| builder.graph(|quirks| quirks.moved_contact_unseen = false))
        .stage(Variant::AccountField);
    let id = stage.handle(ANNA, "erika");
    let copy = stage.world.mailbox_copy(ANNA, &id);
    stage.world.mailbox_move(ANNA, &copy, "Privat");
    stage.world.mailbox_purge(ANNA, &id);
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    assert_eq!(played.counters.writes(), 0, "{played:#?}");
    assert_eq!(played.codes(), ["moved-in-mailbox"]);
    stage.check("moved", &State::CrmCount(1));
    stage.check("moved", &State::Pending(ANNA, &["moved-in-mailbox"]));
    stage.world.mailbox_move_back(ANNA, &copy);
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "moved back");
    stage.check("moved back", &State::CrmCount(1));
    stage.check("moved back", &State::OutlookCount(ANNA, 1));
    stage.check_quiet("moved back");
}

// ---- held ---------------------------------------------------------------------------------------

#[test]
fn vanished_in_the_crm_and_deleted_in_the_mailbox_is_forgotten() {
    linked()
        .then(
            [
                Edit::CrmDelete("erika"),
                Edit::CrmPurge("erika"),
                Edit::OutlookDelete(ANNA, "erika"),
            ],
            ANNA,
            Expect {
                operations: &["crm forget erika: vanished-and-deleted"],
                state: vec![
                    State::Standing(ANNA, "erika", Some(Stands::Tombstone)),
                    State::Pending(ANNA, &[]),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn tombstone_that_is_marked_again_is_held_while_its_contact_is_in_another_folder() {
    linked()
        .policy(|policy| policy.on_mailbox_delete = OnMailboxDelete::Unmark)
        .world(|builder| builder.graph(|quirks| quirks.returned_contact_lost = false))
        .then(
            [Edit::OutlookDelete(ANNA, "erika")],
            ANNA,
            Expect {
                operations: &["crm unmark erika: deleted-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                ..Expect::default()
            },
        )
        .then(
            [Edit::OutlookMove(ANNA, "erika"), Edit::Mark("erika", ANNA)],
            ANNA,
            Expect {
                findings: &["moved-in-mailbox"],
                state: vec![State::Pending(ANNA, &["moved-in-mailbox"])],
                ..Expect::default()
            },
        )
        .then(
            [Edit::OutlookMoveBack(ANNA, "erika"), Edit::Wait(DAY_MS)],
            ANNA,
            Expect {
                operations: &["crm pair erika: back-in-folder"],
                ..back()
            },
        )
        .check();
}

#[test]
fn contact_that_is_gone_from_the_trash_is_told_once_and_not_asked_for_with_every_pass() {
    let mut stage = linked().stage(Variant::AccountField);
    stage.edit(&Edit::CrmDelete("erika"));
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"jobTitle": "Leitung"}),
    ));
    stage.world.advance_ms(60_000);
    stage.world.services(|services, _| {
        let matcher = Matcher::of(Method::Post, "/recovery/entities");
        services.faults.script(matcher, 0, u32::MAX, failing(404));
    });
    let played = stage.pass(ANNA);
    assert_eq!(played.codes(), ["cannot-be-restored"], "{played:#?}");
    assert!(!played.report.more, "{played:#?}");
    for _ in 0..3 {
        stage.world.advance_ms(PAUSE_MS);
        let played = stage.pass(ANNA);
        assert!(played.operations.is_empty(), "{played:#?}");
        assert!(played.findings.is_empty(), "{played:#?}");
        stage.check("held", &State::Pending(ANNA, &["cannot-be-restored"]));
    }
    // As the finding says.
    stage.edit(&Edit::OutlookDelete(ANNA, "erika"));
    stage.edit(&Edit::OutlookNew(ANNA, "neu", card()));
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    stage.check("entered again", &State::Pending(ANNA, &[]));
    stage.check("entered again", &State::CrmCount(1));
    stage.check("entered again", &State::CrmTrashed("erika"));
    stage.check_quiet("entered again");
}

// ---- retries ------------------------------------------------------------------------------------

/// The CRM refuses a contact; somebody enters the person there by hand.
#[test]
fn refused_import_is_weighed_against_whoever_is_new_in_the_crm() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    stage.edit(&Edit::OutlookNew(ANNA, "erika", card()));
    stage.edit(&Edit::OutlookNew(
        ANNA,
        "max",
        json!({"givenName": "Max", "surname": "Kraft"}),
    ));
    stage.world.services(|services, _| {
        let matcher = Matcher::of(Method::Post, "/entity-service/schemas");
        services.faults.script(matcher, 0, u32::MAX, failing(400));
    });
    let played = stage.pass(ANNA);
    assert_eq!(stage.pending(ANNA), ["refused", "refused"], "{played:#?}");
    let name = "von Hand";
    stage.edit(&Edit::CrmNew(name, &[ANNA], erika()));
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    // Nobody is tried again before their time.
    assert_eq!(played.counters.writes(), 0, "{played:#?}");
    stage.check("paired", &State::Standing(ANNA, name, Some(Stands::Linked)));
    stage.check("paired", &State::OutlookCount(ANNA, 2));
    stage.check("paired", &State::Pending(ANNA, &["refused"]));
    stage.world.services(|services, _| services.faults.clear());
    stage.world.advance_ms(DAY_MS);
    come_to_rest(&mut stage, "allowed");
    stage.check("allowed", &State::CrmCount(2));
    stage.check_quiet("allowed");
}

// ---- set-up -------------------------------------------------------------------------------------

#[test]
fn switching_off_a_rebound_mailbox_does_not_take_the_rebinding_back() {
    let stage = linked().stage(Variant::AccountField);
    let caution = |stage: &Stage| {
        let rows = stage.rows("m/anna-makler-example/state");
        let row = rows.values().next().expect("a pass has ended");
        let row: Value = serde_json::from_slice(row).expect("the state is JSON");
        row["caution"].clone()
    };
    let job = stage.job(ANNA);
    setup::rebind(&job, &stage.outside()).expect("there is something to rebind");
    setup::suspend(&job, &stage.outside()).expect("it can be suspended");
    assert_eq!(caution(&stage), json!("rebound"));
}
