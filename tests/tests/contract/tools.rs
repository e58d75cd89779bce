//! What else people ask for: preview, check, status, the export.

use std::collections::BTreeMap;

use contact_sync_guest::contact::Field;
use contact_sync_guest::export;
use contact_sync_guest::job::{CrmAccess, Marker};
use contact_sync_guest::pass::Mode;
use contact_sync_guest::setup;
use contact_sync_tests::simulator::flowfact::quirks::Reach;
use contact_sync_tests::simulator::{Access, RequestKind as Kind, World};
use serde_json::{Value, json};

use super::stage::{
    ANNA, Edit, Ending, OFF, PAUSE_MS, Scenario, State, Variant, crm, ending, in_the_readme, writes,
};

fn erika() -> Value {
    json!({"firstName": ["Erika"], "lastName": ["Muster"], "emails": ["erika@muster.example"]})
}

// ---- preview ------------------------------------------------------------------------------------

/// A preview prints the very list that the pass carries out, and changes nothing anywhere.
#[test]
fn preview_says_what_the_pass_does_and_does_nothing() {
    for variant in [Variant::AccountField, Variant::SyncEntry] {
        let mut stage = Scenario::new()
            .before([
                crm("erika", &[ANNA], erika()),
                crm(
                    "max",
                    &[ANNA],
                    json!({"firstName": ["Max"], "lastName": ["Kraft"]}),
                ),
            ])
            .stage(variant);
        for edit in [
            Edit::Crm("erika", json!({"position": ["Leitung"]})),
            Edit::OutlookDelete(ANNA, "max"),
            Edit::OutlookNew(ANNA, "neu", json!({"givenName": "Neu", "surname": "Hinzu"})),
        ] {
            stage.edit(&edit);
        }
        stage.world.advance_ms(60_000);
        let stored = stage.world.stored();
        let preview = stage.pass_in(ANNA, Mode::Preview);
        assert_eq!(ending(&preview.report.outcome), Ending::Complete);
        assert!(writes(&preview.counters).is_empty(), "{preview:#?}");
        assert_eq!(stage.world.stored(), stored, "a preview remembers nothing");
        let played = stage.pass(ANNA);
        let list = |operations: &[contact_sync_guest::report::Operation]| {
            let told = operations.iter();
            told.map(|operation| {
                (
                    operation.side,
                    operation.action,
                    operation.reason,
                    operation.changes.clone(),
                )
            })
            .collect::<Vec<_>>()
        };
        assert_eq!(list(&preview.operations), list(&played.operations));
        assert_eq!(preview.operations.len(), 3);
    }
}

/// What a sync would say of a value without room, or of one that loses, a preview says before it.
#[test]
fn preview_foretells_what_does_not_fit_and_who_loses() {
    let numbers = ["0221 11111", "0221 22222", "0221 33333"];
    let office = numbers.map(|number| json!({"type": "office", "number": number}));
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    for edit in [
        Edit::Crm("erika", json!({"phones": office, "position": ["Leitung"]})),
        Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Vertrieb"})),
    ] {
        stage.edit(&edit);
    }
    stage.world.advance_ms(60_000);
    let preview = stage.pass_in(ANNA, Mode::Preview);
    let codes: Vec<_> = (preview.findings.iter())
        .map(|finding| finding.code.as_str())
        .collect();
    assert_eq!(codes, ["no-slot-left", "conflict"]);
    let played = stage.pass(ANNA);
    assert_eq!(preview.findings, played.findings);
    assert_eq!(preview.report.counts.conflicts, 1);
    assert_eq!(played.report.counts.conflicts, 1);
    let after = stage.pass_in(ANNA, Mode::Preview);
    assert!(after.findings.is_empty(), "told once: {:?}", after.findings);
}

/// Every linked contact that was read is counted once: written, or unchanged.
#[test]
fn echoes_are_counted_as_unchanged() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::Crm("erika", json!({"position": ["Leitung"]})));
    stage.world.advance_ms(60_000);
    let counts = stage.pass(ANNA).report.counts;
    assert_eq!((counts.crm.read, counts.crm.unchanged), (1, 1));
    assert_eq!((counts.mailbox.updated, counts.mailbox.unchanged), (1, 0));
    stage.world.advance_ms(60_000);
    let counts = stage.pass(ANNA).report.counts;
    assert_eq!((counts.mailbox.read, counts.mailbox.unchanged), (1, 1));
}

/// Of a mailbox that no pass has seen, a preview may be the very first thing.
#[test]
fn preview_of_a_first_pass_leaves_no_trace() {
    let world = super::stage::with_mailbox(World::builder(), ANNA).build();
    world.mailbox_create(ANNA, &json!({"givenName": "Max", "surname": "Kraft"}));
    let played = super::stage::play(&world, world.job(ANNA), Mode::Preview);
    assert_eq!(played.operations.len(), 1);
    assert!(world.stored().is_empty());
    assert!(world.crm_ids().is_empty());
}

// ---- status -------------------------------------------------------------------------------------

#[test]
fn status_counts_what_is_remembered() {
    let mut stage = Scenario::new()
        .before([
            crm("erika", &[ANNA], erika()),
            crm(
                "max",
                &[ANNA],
                json!({"firstName": ["Max"], "lastName": ["Kraft"]}),
            ),
            crm(
                "ute",
                &[ANNA],
                json!({"firstName": ["Ute"], "lastName": ["Stark"]}),
            ),
        ])
        .stage(Variant::AccountField);
    stage.edit(&Edit::Unmark("max", ANNA));
    stage.edit(&Edit::OutlookMove(ANNA, "ute"));
    stage.pass(ANNA);
    let requests = stage
        .world
        .services(|services, _| services.counters().requests);
    let overview = setup::status(&stage.job(ANNA), &stage.outside()).expect("there is a state");
    assert_eq!(
        (
            overview.links,
            overview.detached,
            overview.held,
            overview.pending
        ),
        (6, 1, 1, 1)
    );
    assert!(overview.last_complete.is_some());
    let after = stage
        .world
        .services(|services, _| services.counters().requests);
    assert_eq!(requests, after, "the status is read from the store alone");
}

#[test]
fn status_says_how_much_waits_for_approval() {
    let mut stage = Scenario::new().ballast(30).stage(Variant::AccountField);
    for link in stage.links(ANNA).iter().take(12) {
        stage.world.crm_delete(link.crm_id.as_str());
    }
    stage.pass(ANNA);
    let overview = setup::status(&stage.job(ANNA), &stage.outside()).expect("there is a state");
    assert_eq!((overview.held_back, overview.held), (12, 12));
}

#[test]
fn status_of_a_mailbox_without_a_pass_is_empty() {
    let world = super::stage::with_mailbox(World::builder(), ANNA).build();
    let stage = super::stage::Stage::new(world, |_| {});
    let overview =
        setup::status(&stage.job(ANNA), &stage.outside()).expect("nothing is no failure");
    assert_eq!(overview, setup::Overview::default());
}

// ---- check --------------------------------------------------------------------------------------

/// What `check` says of a job: whether it is ready, and the codes of warnings and errors.
pub(crate) fn checked(
    stage: &super::stage::Stage,
    change: impl FnOnce(&mut contact_sync_guest::job::Job),
) -> (bool, Vec<String>) {
    let mut job = stage.job(ANNA);
    change(&mut job);
    stage.world.services(|services, _| services.take_counters());
    let checkup = setup::check(&job, &stage.outside()).expect("the job is sound");
    let counters = stage.world.services(|services, _| services.take_counters());
    assert!(writes(&counters).is_empty(), "a check writes nothing");
    in_the_readme(checkup.findings.iter().map(|told| told.code.as_str()));
    assert!(
        checkup
            .findings
            .iter()
            .all(|finding| !finding.message.is_empty())
    );
    let codes = checkup
        .findings
        .iter()
        .filter(|finding| finding.severity > contact_sync_guest::report::Severity::Note)
        .map(|finding| {
            assert!(
                finding.remedy.is_some(),
                "what to do about {}",
                finding.code
            );
            finding.code.clone()
        });
    (checkup.ready, codes.collect())
}

#[test]
fn check_finds_nothing_wrong_with_a_sound_set_up() {
    for variant in [Variant::AccountField, Variant::Tag] {
        let stage = Scenario::new().ballast(0).stage(variant);
        assert_eq!(checked(&stage, |_| {}), (true, Vec::new()), "{variant:?}");
    }
}

/// Whether entries can be read shows only where there is a contact to ask for.
fn with_entries() -> super::stage::Stage {
    let stage = Scenario::new().stage(Variant::SyncEntry);
    let id = stage.world.crm_ids().remove(0);
    stage
        .world
        .crm_edit(&id, &json!({"department": ["Verkauf"]}));
    stage
}

#[test]
fn check_says_that_sync_entries_are_seen_late() {
    let stage = with_entries();
    assert_eq!(
        checked(&stage, |_| {}),
        (true, vec!["marker-seen-late".to_owned()])
    );
}

/// In an empty CRM nobody can be asked for an entry: that is no mistake in the configuration.
#[test]
fn check_of_an_empty_crm_does_not_miss_its_sync_entries() {
    let stage = Scenario::new().ballast(0).stage(Variant::SyncEntry);
    let late = || vec!["marker-seen-late".to_owned()];
    assert_eq!(checked(&stage, |_| {}), (true, late()));
    let (ready, codes) = checked(&stage, |job| {
        let CrmAccess::Flowfact(access) = &mut job.crm;
        access.marker = Marker::SyncEntry("nobody's".to_owned());
    });
    assert!(
        !ready && codes.contains(&"marker-not-found".to_owned()),
        "{codes:?}"
    );
}

#[test]
fn check_names_a_marker_that_is_not_there_and_the_other_engine() {
    let stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    let (ready, codes) = checked(&stage, |job| {
        let CrmAccess::Flowfact(access) = &mut job.crm;
        access.marker = Marker::FieldValue {
            field: "nirgends".to_owned(),
            value: "x".to_owned(),
        };
    });
    assert!(!ready);
    assert!(codes.contains(&"marker-not-found".to_owned()), "{codes:?}");
    stage
        .world
        .services(|services, _| services.flowfact.set_native_sync(ANNA, true));
    assert_eq!(
        checked(&stage, |_| {}),
        (false, vec!["other-engine".to_owned()])
    );
}

#[test]
fn check_says_which_service_cannot_be_used() {
    use contact_sync_tests::simulator::{Fault, Matcher};
    for (name, switch_off) in OFF {
        let stage = Scenario::new().ballast(0).stage(Variant::AccountField);
        stage.world.services(|services, _| switch_off(services));
        let (ready, codes) = checked(&stage, |_| {});
        assert!(
            !ready && codes == ["mailbox-unreachable"],
            "{name}: {codes:?}"
        );
    }
    let stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    stage.world.services(|services, _| {
        let fault = Fault::Refused {
            status: 401,
            retry_after_s: None,
            body: String::new(),
        };
        services
            .faults
            .script(Matcher::url("/flowfact/"), 0, u32::MAX, fault);
    });
    let (ready, codes) = checked(&stage, |_| {});
    assert!(!ready && codes == ["crm-unreachable"], "{codes:?}");
}

#[test]
fn check_says_that_deletions_cannot_be_confirmed_without_the_trash() {
    let stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    stage.world.services(|services, _| {
        use contact_sync_tests::simulator::{Fault, Matcher};
        let fault = Fault::Refused {
            status: 403,
            retry_after_s: None,
            body: String::new(),
        };
        services
            .faults
            .script(Matcher::url("/recovery/"), 0, u32::MAX, fault);
    });
    let (_, codes) = checked(&stage, |_| {});
    assert!(codes.contains(&"trash-unreadable".to_owned()), "{codes:?}");
}

#[test]
fn check_proposes_the_fields_that_the_schema_has() {
    let stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    let checkup = setup::check(&stage.job(ANNA), &stage.outside()).expect("the job is sound");
    let named: Vec<Field> = checkup
        .fields
        .iter()
        .filter(|(_, name)| name.is_some())
        .map(|(field, _)| *field)
        .collect();
    assert_eq!(named.len(), Field::ALL.len(), "{named:?}");
    assert!(!checkup.markers.is_empty());
    assert_eq!(checkup.address.as_deref(), Some(ANNA));
}

/// A field that is mapped for the first time is treated as in a first pair: nothing is emptied.
#[test]
fn field_that_is_mapped_later_is_filled_from_both_sides() {
    let scenario = Scenario::new().before([crm("erika", &[ANNA], erika())]);
    let mut stage = scenario.stage(Variant::AccountField);
    let without = |stage: &super::stage::Stage| {
        let mut job = stage.job(ANNA);
        let CrmAccess::Flowfact(access) = &mut job.crm;
        access.fields.insert(Field::Position, None);
        access.fields.insert(Field::Department, None);
        job
    };
    stage.world.set_stored(BTreeMap::new());
    for _ in 0..2 {
        super::stage::play(&stage.world, without(&stage), Mode::Sync);
        stage.world.advance_ms(PAUSE_MS);
    }
    stage.edit(&Edit::Crm("erika", json!({"position": ["Leitung"]})));
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"department": "Verkauf"}),
    ));
    let played = super::stage::play(&stage.world, without(&stage), Mode::Sync);
    assert!(writes(&played.counters).is_empty(), "{played:#?}");
    stage.world.advance_ms(PAUSE_MS);
    stage.learn();
    let played = stage.pass(ANNA);
    assert_eq!(
        played.written(Kind::GraphUpdate) + played.counters.of(Kind::FlowfactUpdate),
        2,
        "{played:#?}"
    );
    stage.check(
        "mapped",
        &State::Crm(
            "erika",
            json!({"position": ["Leitung"], "department": ["Verkauf"]}),
        ),
    );
    stage.check(
        "mapped",
        &State::Outlook(
            ANNA,
            "erika",
            json!({"jobTitle": "Leitung", "department": "Verkauf"}),
        ),
    );
    stage.check_quiet("mapped");
}

/// The same where both sides hold something else in it: a clash, not a silent loss.
#[test]
fn field_that_is_mapped_later_and_differs_is_a_conflict() {
    let mut fields = erika();
    fields["position"] = json!(["Leitung"]);
    let mut stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    stage.edit(&Edit::CrmNew("erika", &[ANNA], fields));
    let without = |stage: &super::stage::Stage| {
        let mut job = stage.job(ANNA);
        let CrmAccess::Flowfact(access) = &mut job.crm;
        access.fields.insert(Field::Position, None);
        job
    };
    super::stage::play(&stage.world, without(&stage), Mode::Sync);
    stage.world.advance_ms(PAUSE_MS);
    stage.learn();
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"jobTitle": "Vertrieb"}),
    ));
    super::stage::play(&stage.world, without(&stage), Mode::Sync);
    stage.world.advance_ms(PAUSE_MS);
    let played = stage.pass(ANNA);
    assert_eq!(played.codes(), ["conflict"], "{played:#?}");
    stage.check(
        "mapped",
        &State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
    );
    assert_eq!(
        stage.rows("m/anna-makler-example/journal/").len(),
        1,
        "what lost is kept"
    );
}

/// A field that is hidden from one pass to the next is absent, not empty.
#[test]
fn field_that_the_schema_loses_empties_nothing() {
    let mut fields = erika();
    fields["position"] = json!(["Leitung"]);
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], fields)])
        .stage(Variant::AccountField);
    stage
        .world
        .services(|services, _| services.flowfact.schema.remove("position"));
    for _ in 0..2 {
        stage.world.advance_ms(26 * 3_600_000);
        let played = stage.pass(ANNA);
        assert!(writes(&played.counters).is_empty(), "{played:#?}");
    }
    stage.check(
        "hidden",
        &State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
    );
}

// ---- the export ---------------------------------------------------------------------------------

fn exported(stage: &super::stage::Stage, contacts_max: u32) -> (String, u32, u32) {
    let (mut csv, mut after, mut parts, mut contacts) = (String::new(), None, 0, 0);
    loop {
        let part = export::part(
            &stage.job(ANNA),
            &stage.outside(),
            after.as_deref(),
            contacts_max,
        )
        .expect("the CRM can be read");
        csv.push_str(&part.text);
        parts += 1;
        contacts += part.contacts;
        match part.next {
            Some(next) => after = Some(next),
            None => return (csv, parts, contacts),
        }
    }
}

#[test]
fn export_holds_every_contact_and_every_value() {
    let mut stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    let phones: Vec<Value> = (0..30)
        .map(|number| {
            json!({"type": "office", "number": format!("0221 8899{number:02}"),
            "note": format!("Notiz {number}")})
        })
        .collect();
    stage.edit(&Edit::CrmNew(
        "erika",
        &[],
        json!({"firstName": ["Erika"], "lastName": ["Muster; \"von\""], "phones": phones,
               "tags": ["owner"], "salutation": ["01"]}),
    ));
    for number in 0..25 {
        stage
            .world
            .crm_create(&json!({"lastName": [format!("Nummer {number}")]}));
    }
    let (csv, parts, contacts) = exported(&stage, 10);
    assert_eq!(contacts, 26);
    assert_eq!(parts, 3, "parts of at most ten");
    for number in 0..30 {
        assert!(
            csv.contains(&format!("0221 8899{number:02}")),
            "number {number}"
        );
        assert!(csv.contains(&format!("Notiz {number}")), "note {number}");
    }
    for value in [
        "Muster; \"\"von\"\"",
        "owner",
        "Notiz zu erika",
        "Nummer 24",
    ] {
        assert!(csv.contains(value), "{value} in {csv}");
    }
    let (whole, _, _) = exported(&stage, 500);
    let lines = |csv: &str| csv.lines().filter(|line| line.contains("Nummer")).count();
    assert_eq!(lines(&whole), lines(&csv));
    stage.world.services(|services, _| services.take_counters());
}

#[test]
fn export_of_hidden_contacts_leaves_the_others_whole() {
    let mut stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    stage.edit(&Edit::CrmNew("erika", &[], erika()));
    stage.edit(&Edit::CrmNew("max", &[], json!({"lastName": ["Kraft"]})));
    let id = stage.crm_id("max");
    stage
        .world
        .services(|services, now| services.flowfact.grant(&id, Access::Hidden, now));
    let (csv, _, contacts) = exported(&stage, 100);
    assert_eq!(contacts, 1);
    assert!(csv.contains("erika@muster.example") && !csv.contains("Kraft"));
}

/// Where markers cannot be asked for, the check says so instead of a pass that marks nothing.
#[test]
fn check_of_sync_entries_that_nobody_may_read_is_not_ready() {
    let stage = with_entries();
    stage
        .world
        .services(|services, _| services.flowfact.quirks.sync_entries = Reach::Forbidden);
    let (ready, codes) = checked(&stage, |_| {});
    assert!(!ready, "{codes:?}");
}
