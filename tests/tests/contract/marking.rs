//! Section 2: who takes part: markers, suspending, identity, the other engine.

use contact_sync_guest::job::{CrmAccess, Job, Marker, NativeSync};
use contact_sync_guest::links::Link;
use contact_sync_guest::setup;
use contact_sync_tests::simulator::{MarkerKind, Place, RequestKind as Kind, World};
use serde_json::{Value, json};

use super::stage::{
    ANNA, BERND, DAY_MS, Edit, Ending, Expect, PAUSE_MS, Scenario, Stage, Stands, State, Variant,
    crm, ending, play, with_mailbox, writes,
};
use contact_sync_guest::pass::Mode;

fn erika() -> Value {
    json!({"firstName": ["Erika"], "lastName": ["Mustermann"], "emails": ["erika@muster.example"]})
}

fn linked() -> Scenario {
    Scenario::new().before([crm("erika", &[ANNA], erika())])
}

/// The same mailbox, whose marker is now kept among the tags.
fn with_tag_marker(stage: &Stage) -> Job {
    let mut job = stage.job(ANNA);
    stage.world.services(|services, _| {
        services
            .flowfact
            .schema
            .allow("tags", "outlook-anna", "Outlook Anna");
    });
    let CrmAccess::Flowfact(access) = &mut job.crm;
    access.marker = Marker::FieldValue {
        field: "tags".to_owned(),
        value: "outlook-anna".to_owned(),
    };
    job
}

fn tags(stage: &Stage) -> Vec<Value> {
    let ids = stage.world.crm_ids();
    let tags = ids.iter().map(|id| {
        stage
            .world
            .services(|services, _| services.flowfact.values(id, "tags"))
    });
    tags.map(Value::Array).collect()
}

#[test]
fn new_place_of_the_marker_is_filled_from_the_links_and_detaches_nobody() {
    let mut stage = linked().stage(Variant::AccountField);
    let job = with_tag_marker(&stage);
    let played = play(&stage.world, job.clone(), Mode::Sync);
    assert_eq!(ending(&played.report.outcome), Ending::Complete);
    assert!(
        tags(&stage)
            .iter()
            .all(|tags| *tags == json!(["outlook-anna"])),
        "{:?}",
        tags(&stage)
    );
    for _ in 0..3 {
        stage.world.advance_ms(PAUSE_MS);
        let played = play(&stage.world, job.clone(), Mode::Sync);
        assert!(writes(&played.counters).is_empty(), "{played:#?}");
    }
    stage.learn();
    assert!(stage.links(ANNA).iter().all(Link::is_linked));
}

#[test]
fn new_place_of_the_marker_is_filled_although_the_pass_breaks_off() {
    for step in [3, 6, 12, 20, 30, 40, 60, 80] {
        let stage = linked().ballast(30).stage(Variant::AccountField);
        let job = with_tag_marker(&stage);
        stage.world.crash_after(step);
        let _ = stage
            .world
            .run(|| play(&stage.world, job.clone(), Mode::Sync));
        for _ in 0..3 {
            stage.world.advance_ms(PAUSE_MS);
            let played = play(&stage.world, job.clone(), Mode::Sync);
            assert_eq!(
                ending(&played.report.outcome),
                Ending::Complete,
                "step {step}: {played:#?}"
            );
        }
        assert!(stage.links(ANNA).iter().all(Link::is_linked), "step {step}");
        assert!(
            tags(&stage)
                .iter()
                .all(|tags| *tags == json!(["outlook-anna"])),
            "step {step}"
        );
    }
}

#[test]
fn sync_entries_in_place_of_a_field_are_filled_from_the_links() {
    let stage = linked().stage(Variant::AccountField);
    let mut job = stage.job(ANNA);
    let account = stage
        .world
        .services(|services, _| services.flowfact.account_id(ANNA));
    let CrmAccess::Flowfact(access) = &mut job.crm;
    access.marker = Marker::SyncEntry(account.clone().expect("Anna has a mail account"));
    for _ in 0..4 {
        let played = play(&stage.world, job.clone(), Mode::Sync);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::Complete,
            "{played:#?}"
        );
        stage.world.advance_ms(PAUSE_MS);
    }
    assert!(
        stage
            .links(ANNA)
            .iter()
            .all(|link| link.is_linked() && link.marker_seen)
    );
    assert_eq!(stage.links(ANNA).len(), 5);
}

/// A marker that no pass has seen on a link was not taken away: it is set.
#[test]
pub(crate) fn marker_that_was_never_seen_is_set_not_taken_for_removed() {
    let person = json!({
        "givenName": "Erika", "surname": "Mustermann",
        "emailAddresses": [{"address": "erika@muster.example", "name": "Erika"}],
    });
    let mut stage = Scenario::new()
        .before([crm("erika", &[], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookNew(ANNA, "erika", person));
    let played = stage.pass(ANNA);
    assert_eq!(played.operations.len(), 2, "{played:#?}");
    // Somebody takes it away before any pass has read it.
    stage.world.advance_ms(1_000);
    stage.edit(&Edit::Unmark("erika", ANNA));
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    stage.check("after", &State::Markers("erika", &[ANNA]));
    stage.check(
        "after",
        &State::Standing(ANNA, "erika", Some(Stands::Linked)),
    );
    stage.check_quiet("marker set");
}

#[test]
fn source_of_markers_that_cannot_be_read_detaches_nobody() {
    use contact_sync_tests::simulator::flowfact::quirks::Reach;
    for reach in [Reach::Forbidden, Reach::Missing] {
        let mut stage = linked().stage(Variant::SyncEntry);
        stage
            .world
            .services(|services, _| services.flowfact.quirks.sync_entries = reach);
        for wait_ms in [0, PAUSE_MS, DAY_MS] {
            stage.world.advance_ms(wait_ms);
            let played = stage.pass(ANNA);
            assert!(writes(&played.counters).is_empty(), "{played:#?}");
        }
        assert!(stage.links(ANNA).iter().all(Link::is_linked), "{reach:?}");
    }
}

// ---- suspending ---------------------------------------------------------------------------------

#[test]
fn every_deletion_after_switching_on_needs_approval_and_edits_go_on() {
    linked()
        .before([crm(
            "max",
            &[ANNA],
            json!({"firstName": ["Max"], "lastName": ["Kraft"], "emails": ["max@kraft.example"]}),
        )])
        .only(&[Variant::AccountField, Variant::FullRead])
        .then(
            [
                Edit::Do(Box::new(|stage| {
                    setup::suspend(&stage.job(ANNA), &stage.outside())
                        .expect("it can be suspended");
                })),
                Edit::CrmDelete("erika"),
                Edit::Crm("max", json!({"position": ["Leitung"]})),
            ],
            ANNA,
            Expect {
                operations: &[
                    "mailbox delete erika: deleted-in-crm [held-back]",
                    "mailbox update max: edited-in-crm",
                ],
                writes: &[(Kind::GraphUpdate, 1)],
                ending: Ending::NeedsApproval("switched-on"),
                state: vec![
                    State::Place(ANNA, "erika", Place::Contacts),
                    State::Outlook(ANNA, "max", json!({"jobTitle": "Leitung"})),
                    State::Pending(ANNA, &["awaiting-approval"]),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn suspending_deletes_nothing_and_switching_on_goes_on_where_it_was() {
    linked()
        .then(
            [
                Edit::Do(Box::new(|stage| {
                    setup::suspend(&stage.job(ANNA), &stage.outside())
                        .expect("it can be suspended");
                })),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
            ],
            ANNA,
            Expect {
                operations: &["crm update erika: edited-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                ..Expect::default()
            },
        )
        .then(
            // The first pass was the cautious one.
            [Edit::CrmDelete("erika")],
            ANNA,
            Expect {
                operations: &["mailbox delete erika: deleted-in-crm"],
                writes: &[(Kind::GraphDelete, 1)],
                ..Expect::default()
            },
        )
        .check();
}

// ---- identity -----------------------------------------------------------------------------------

#[test]
fn configuration_that_points_to_another_mailbox_stops_the_pass() {
    let stage = linked()
        .mailboxes(&[ANNA, BERND])
        .stage(Variant::AccountField);
    stage.world.advance_ms(DAY_MS);
    let mut job = stage.job(BERND);
    job.mailbox.id = stage.job(ANNA).mailbox.id;
    let played = play(&stage.world, job, Mode::Sync);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::Stopped("wrong-identity")
    );
    assert!(writes(&played.counters).is_empty());
}

#[test]
fn second_configuration_of_one_mailbox_is_refused() {
    let stage = linked().stage(Variant::AccountField);
    let mut job = stage.job(ANNA);
    job.mailbox.id = "anna-again".to_owned();
    let played = play(&stage.world, job, Mode::Sync);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::Stopped("wrong-identity")
    );
    assert!(writes(&played.counters).is_empty());
}

#[test]
fn second_configuration_is_refused_although_the_first_has_only_begun() {
    let mut broken_off = 0;
    for step in 0.. {
        let world = with_mailbox(World::builder(), ANNA).build();
        for number in 0..30 {
            let name = format!("Neu {number}");
            world.mailbox_create(ANNA, &json!({"givenName": "N", "surname": name}));
        }
        world.crash_after(step);
        if world
            .run(|| play(&world, world.job(ANNA), Mode::Sync))
            .is_ok()
        {
            break;
        }
        if !world.stored().keys().any(|key| key.contains("/pair/")) {
            continue;
        }
        broken_off += 1;
        let mut job = world.job(ANNA);
        job.mailbox.id = "anna-again".to_owned();
        let played = play(&world, job, Mode::Sync);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::Stopped("wrong-identity"),
            "broken off after {step} steps"
        );
    }
    assert!(broken_off > 2, "the first pass ended before it had begun");
}

const NEW: &str = "anna@neu.example";

/// Anna's job after her mailbox has moved to another one, which is still empty.
fn migrate(stage: &Stage) -> Job {
    stage
        .world
        .services(|services, _| services.graph.add_mailbox(NEW, "Anna"));
    super::stage::in_office_365(stage.job(ANNA), NEW)
}

/// A mailbox that was migrated: the same contacts, with other ids, in another mailbox.
#[test]
fn rebinding_moves_the_links_to_the_migrated_mailbox() {
    let mut stage = linked()
        .before([crm(
            "max",
            &[ANNA],
            json!({"firstName": ["Max"], "lastName": ["Kraft"], "emails": ["max@kraft.example"]}),
        )])
        .ballast(0)
        .stage(Variant::AccountField);
    let job = migrate(&stage);
    let moved: Vec<Value> = stage
        .world
        .mailbox_ids(ANNA)
        .iter()
        .filter_map(|id| stage.world.mailbox_contact(ANNA, id))
        .collect();
    for contact in &moved {
        let mut contact = contact.clone();
        // One was edited on the way.
        if contact["surname"] == json!("Kraft") {
            contact["jobTitle"] = json!("Leitung");
        }
        stage.world.mailbox_create(NEW, &contact);
    }
    stage.world.advance_ms(PAUSE_MS);
    setup::rebind(&job, &stage.outside()).expect("there is something to rebind");
    let played = play(&stage.world, job.clone(), Mode::Sync);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::Complete,
        "{played:#?}"
    );
    assert_eq!(
        writes(&played.counters).into_iter().collect::<Vec<_>>(),
        [(Kind::FlowfactUpdate, 1)],
        "{played:#?}"
    );
    assert_eq!(stage.links(ANNA).len(), 2);
    let there = stage.world.mailbox_ids(NEW);
    assert!(
        stage
            .links(ANNA)
            .iter()
            .all(|link| there.contains(&link.mailbox_id.to_string()))
    );
    stage.check(
        "rebound",
        &State::Crm("max", json!({"position": ["Leitung"]})),
    );
    stage.world.advance_ms(PAUSE_MS);
    let played = play(&stage.world, job, Mode::Sync);
    assert!(writes(&played.counters).is_empty(), "{played:#?}");
    stage.learn();
}

#[test]
fn rebinding_deletes_nothing_without_approval() {
    let stage = linked().ballast(0).stage(Variant::AccountField);
    let job = migrate(&stage);
    setup::rebind(&job, &stage.outside()).expect("there is something to rebind");
    let played = play(&stage.world, job, Mode::Sync);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::NeedsApproval("rebound"),
        "{played:#?}"
    );
    assert!(writes(&played.counters).is_empty(), "{played:#?}");
}

// ---- the other engine ---------------------------------------------------------------------------

#[test]
fn native_sync_must_be_known_to_be_off() {
    use contact_sync_tests::simulator::flowfact::quirks::Reach;
    let cases: [(bool, Reach, NativeSync, Ending); 5] = [
        (false, Reach::Open, NativeSync::Ask, Ending::Complete),
        (
            true,
            Reach::Open,
            NativeSync::Ask,
            Ending::Stopped("other-engine"),
        ),
        (
            false,
            Reach::Forbidden,
            NativeSync::Ask,
            Ending::Stopped("other-engine"),
        ),
        (
            false,
            Reach::Missing,
            NativeSync::Ask,
            Ending::Stopped("other-engine"),
        ),
        (false, Reach::Forbidden, NativeSync::Off, Ending::Complete),
    ];
    for (on, reach, native_sync, expected) in cases {
        let world = with_mailbox(World::builder(), ANNA)
            .marker(MarkerKind::AccountField)
            .flowfact(|quirks| quirks.mail_accounts = reach)
            .build();
        world.services(|services, _| services.flowfact.set_native_sync(ANNA, on));
        world.mailbox_create(ANNA, &json!({"givenName": "Max", "surname": "Kraft"}));
        let mut job = world.job(ANNA);
        job.policy.native_sync = native_sync;
        let played = play(&world, job, Mode::Sync);
        assert_eq!(
            ending(&played.report.outcome),
            expected,
            "{on} {reach:?} {native_sync:?}"
        );
        let written = usize::from(expected == Ending::Complete);
        assert_eq!(
            world.crm_ids().len(),
            written,
            "{on} {reach:?} {native_sync:?}"
        );
    }
}

// ---- at rest, and marked again under another CRM contact ----------------------------------------

/// Detached, then deleted in the CRM: the mailbox contact stays where it is, and becomes the other
/// half of the same person's new CRM contact instead of being doubled.
#[test]
fn contact_at_rest_without_crm_contact_is_a_candidate_for_an_export() {
    for variant in [Variant::AccountField, Variant::Tag, Variant::SyncEntry] {
        let person = || json!({"firstName": ["Ute"], "lastName": ["Stark"], "emails": ["ute@stark.example"]});
        let mut stage = Scenario::new()
            .before([crm("ute", &[ANNA], person())])
            .stage(variant);
        let context = format!("{variant:?}");
        stage.edit(&Edit::Unmark("ute", ANNA));
        stage.world.advance_ms(60_000);
        stage.pass(ANNA);
        stage.edit(&Edit::CrmDelete("ute"));
        stage.world.advance_ms(60_000);
        let played = stage.pass(ANNA);
        assert!(writes(&played.counters).is_empty(), "{played:#?}");
        stage.check(&context, &State::CrmCount(0));
        let mut again = person();
        again["position"] = json!(["Leitung"]);
        stage.edit(&Edit::CrmNew("neu", &[ANNA], again));
        stage.world.advance_ms(60_000);
        let played = stage.pass(ANNA);
        assert_eq!(
            played.written(Kind::GraphCreate),
            0,
            "{context}: {played:#?}"
        );
        stage.check(&context, &State::OutlookCount(ANNA, 1));
        stage.check(
            &context,
            &State::Standing(ANNA, "neu", Some(Stands::Linked)),
        );
        stage.check(&context, &State::Standing(ANNA, "ute", None));
        let expected = json!({"jobTitle": "Leitung"});
        stage.check(&context, &State::Outlook(ANNA, "ute", expected));
        stage.check_quiet(&context);
    }
}

/// Somebody else is exported as ever, and the one at rest stays at rest.
#[test]
fn contact_at_rest_is_nobody_elses_export() {
    let mut stage = Scenario::new()
        .before([crm(
            "ute",
            &[ANNA],
            json!({"firstName": ["Ute"], "lastName": ["Stark"], "emails": ["ute@stark.example"]}),
        )])
        .stage(Variant::AccountField);
    stage.edit(&Edit::Unmark("ute", ANNA));
    stage.world.advance_ms(60_000);
    stage.pass(ANNA);
    stage.edit(&Edit::CrmNew(
        "rolf",
        &[ANNA],
        json!({"firstName": ["Rolf"], "lastName": ["Stark"], "emails": ["ute@stark.example"]}),
    ));
    // As long as Ute is in the CRM, and after.
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    assert_eq!(played.written(Kind::GraphCreate), 1, "{played:#?}");
    stage.edit(&Edit::CrmDelete("ute"));
    stage.world.advance_ms(60_000);
    stage.pass(ANNA);
    stage.check(
        "else",
        &State::Standing(ANNA, "ute", Some(Stands::Detached)),
    );
    stage.check("else", &State::OutlookCount(ANNA, 2));
    stage.check_quiet("else");
}
