//! Why a contact, or one of its values, is or is not in the mailbox, and what to do.
//!
//! Goal: an explanation says what is so, and never anything else than what the next pass then does.
//! Method: the same stages as everywhere, asked before a pass is played; no explanation may write.

use contact_sync_guest::contact::{Field, Slot};
use contact_sync_guest::explain::{self, Answer, Explanation, Place, PlacedValue, Standing};
use contact_sync_guest::outside::Method;
use contact_sync_guest::report::{Failure, Operation, Severity};
use contact_sync_tests::simulator::{Access, Fault, Matcher, World};
use serde_json::{Value, json};

use super::stage::{
    ANNA, BERND, Edit, PAUSE_MS, Person, Scenario, Stage, Variant, crm, in_the_readme, outlook,
    with_mailbox,
};

fn erika() -> Value {
    json!({"firstName": ["Erika"], "lastName": ["Muster"], "company": ["Muster GmbH"],
           "emails": ["erika@muster.example"],
           "phones": [{"type": "office", "number": "0221 / 88 99-0"}]})
}

fn max() -> Value {
    json!({"givenName": "Max", "surname": "Kraft", "mobilePhone": "0171 2345678"})
}

/// Asks, and makes sure that asking changed nothing anywhere.
fn ask(stage: &Stage, mailbox: &str, question: &str) -> Result<Answer, Failure> {
    let stored = stage.world.stored();
    stage.world.services(|services, _| services.take_counters());
    let answer = explain::explain(&stage.job(mailbox), &stage.outside(), question);
    let counters = stage.world.services(|services, _| services.take_counters());
    assert_eq!(counters.writes(), 0, "explaining `{question}` writes");
    assert_eq!(
        stage.world.stored(),
        stored,
        "explaining `{question}` remembers something"
    );
    if let Ok(Answer::One(explanation)) = &answer {
        in_the_readme(explanation.findings.iter().map(|told| told.code.as_str()));
    }
    answer
}

fn one(stage: &Stage, question: &str) -> Explanation {
    match ask(stage, ANNA, question) {
        Ok(Answer::One(explanation)) => *explanation,
        other => panic!("`{question}`: {other:#?}"),
    }
}

/// Where the contact stands, and the code that says why. Whatever is not as people expect says what
/// to do about it.
fn standing(stage: &Stage, question: &str) -> (Standing, String) {
    let explanation = one(stage, question);
    let why = explanation.findings.first().expect("a reason");
    assert!(
        why.severity == Severity::Note || why.remedy.is_some(),
        "what to do about {}",
        why.code
    );
    (explanation.standing, why.code.clone())
}

fn people() -> [Person; 2] {
    [crm("erika", &[ANNA], erika()), outlook(ANNA, "max", max())]
}

// ---- whom a question means ----------------------------------------------------------------------

#[test]
fn contact_is_found_by_its_ids_and_by_what_people_know() {
    for variant in [Variant::AccountField, Variant::SyncEntry] {
        let stage = Scenario::new().before(people()).stage(variant);
        for question in [
            stage.crm_id("erika").as_str(),
            stage.mailbox_id(ANNA, "erika").as_str(),
            "Erika Muster",
            "  muster   ERIKA ",
            "rika",
            "muster gmbh",
            "Erika@Muster.example",
            "+49 221 88990",
            "0221/88990",
        ] {
            let found = one(&stage, question);
            let crm_id = found.contact.crm_id.as_ref().map(ToString::to_string);
            assert_eq!(crm_id, Some(stage.crm_id("erika")), "{question}");
            let mailbox_id = found.contact.mailbox_id.as_ref().map(ToString::to_string);
            assert_eq!(
                mailbox_id,
                Some(stage.mailbox_id(ANNA, "erika")),
                "{question}"
            );
            assert_eq!(found.contact.label, "Erika Muster, Muster GmbH");
            assert_eq!(found.standing, Standing::Linked, "{question}");
        }
    }
}

#[test]
fn several_who_may_be_meant_are_listed_and_the_exact_name_wins() {
    let with_name = |last: &str| json!({"firstName": ["Ute"], "lastName": [last]});
    let stage = Scenario::new()
        .before([
            crm("kurz", &[ANNA], with_name("Stark")),
            crm("lang", &[], with_name("Starkow")),
        ])
        .stage(Variant::AccountField);
    let Ok(Answer::Several(names, total)) = ask(&stage, ANNA, "ute") else {
        panic!("there are two");
    };
    assert_eq!((names.len(), total), (2, 2));
    for name in &names {
        let id = name.crm_id.as_ref().expect("an id to ask again with");
        assert_eq!(one(&stage, id.as_str()).contact.crm_id, name.crm_id);
    }
    let exact = one(&stage, "ute stark");
    let crm_id = exact.contact.crm_id.map(|id| id.to_string());
    assert_eq!(crm_id, Some(stage.crm_id("kurz")));
}

/// Many of one name cost no more than a few, and no more are listed than people can read.
#[test]
fn more_than_can_be_listed_are_counted() {
    let stage = Scenario::new().ballast(60).stage(Variant::AccountField);
    let Ok(Answer::Several(names, total)) = ask(&stage, ANNA, "ballast") else {
        panic!("there are many");
    };
    assert_eq!((names.len(), total), (explain::LISTED_MAX, 60));
}

#[test]
fn nobody_is_told_as_nobody() {
    let stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    let too_long = "x".repeat(explain::QUESTION_BYTES_MAX + 1);
    for question in [
        "",
        "Nie Gesehen",
        "nobody@nowhere.example",
        "00000000-0000-0000-0000-000000000000",
        "../../admin",
        "a/b?c#d\u{7}",
        too_long.as_str(),
    ] {
        let answer = ask(&stage, ANNA, question);
        assert!(
            matches!(answer, Err(Failure::NotFound(_))),
            "{question}: {answer:?}"
        );
    }
}

#[test]
fn contact_is_explained_in_a_handful_of_requests() {
    let stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    stage.world.services(|services, _| services.take_counters());
    let before = stage
        .world
        .services(|services, _| services.counters().requests);
    one_uncounted(&stage, "Erika Muster");
    let after = stage
        .world
        .services(|services, _| services.counters().requests);
    assert!(after - before <= 2, "{} requests", after - before);
}

fn one_uncounted(stage: &Stage, question: &str) {
    explain::explain(&stage.job(ANNA), &stage.outside(), question).expect("an answer");
}

// ---- where a contact stands ---------------------------------------------------------------------

#[test]
fn pair_in_step_is_in_step() {
    let stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    let explanation = one(&stage, "erika");
    assert_eq!(explanation.findings[0].code, "in-step");
    assert!(explanation.operations.is_empty());
    assert_eq!(explanation.retry_at, None);
}

#[test]
fn contact_without_marker_takes_no_part_in_this_mailbox() {
    for variant in Variant::FEEDS {
        let stage = Scenario::new()
            .mailboxes(&[ANNA, BERND])
            .before([crm("erika", &[BERND], erika())])
            .stage(variant);
        let expected = (Standing::NotMarked, "not-marked".to_owned());
        assert_eq!(standing(&stage, "erika"), expected, "{variant:?}");
        let Ok(Answer::One(in_berns)) = ask(&stage, BERND, "erika") else {
            panic!("Bernd knows Erika");
        };
        assert_eq!(in_berns.standing, Standing::Linked, "{variant:?}");
    }
}

#[test]
fn contacts_that_no_pass_has_seen_are_new() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    stage.edit(&Edit::CrmNew("erika", &[ANNA], erika()));
    stage.edit(&Edit::OutlookNew(ANNA, "max", max()));
    let new = |code: &str| (Standing::New, code.to_owned());
    assert_eq!(standing(&stage, &stage.crm_id("erika")), new("marker-set"));
    let max = stage.mailbox_id(ANNA, "max");
    assert_eq!(standing(&stage, &max), new("new-in-mailbox"));
}

/// Nothing is remembered, and still the question has an answer.
#[test]
fn contact_is_explained_before_the_first_pass() {
    let mut stage = Stage::new(with_mailbox(World::builder(), ANNA).build(), |_| {});
    stage.edit(&Edit::OutlookNew(ANNA, "max", max()));
    stage.edit(&Edit::CrmNew("erika", &[], erika()));
    let max = stage.mailbox_id(ANNA, "max");
    assert_eq!(standing(&stage, &max).0, Standing::New);
    assert_eq!(
        standing(&stage, &stage.crm_id("erika")).0,
        Standing::NotMarked
    );
}

#[test]
fn new_contact_that_resembles_somebody_is_told_who() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[], erika())])
        .stage(Variant::AccountField);
    let card = json!({"givenName": "Erika", "surname": "Muster",
        "emailAddresses": [{"address": "erika@muster.example", "name": "E"}]});
    stage.edit(&Edit::OutlookNew(ANNA, "karte", card));
    let id = stage.mailbox_id(ANNA, "karte");
    let explanation = one(&stage, &id);
    let why = &explanation.findings[0];
    assert_eq!(
        (explanation.standing, why.code.as_str()),
        (Standing::New, "same-person")
    );
    assert!(
        why.message.contains(&stage.crm_id("erika")),
        "{}",
        why.message
    );
    let played = stage.pass(ANNA);
    assert!(
        played
            .operations
            .iter()
            .any(|operation| operation.reason == "same-person")
    );
}

#[test]
fn question_about_who_is_who_names_the_candidates() {
    let twin = |phone: &str| {
        json!({"firstName": ["Erika"], "lastName": ["Muster"],
               "emails": ["erika@muster.example"], "department": [phone]})
    };
    let mut stage = Scenario::new()
        .before([crm("eins", &[], twin("a")), crm("zwei", &[], twin("b"))])
        .stage(Variant::AccountField);
    let card = json!({"givenName": "Erika", "surname": "Muster",
        "emailAddresses": [{"address": "erika@muster.example", "name": "E"}]});
    stage.edit(&Edit::OutlookNew(ANNA, "karte", card));
    let id = stage.mailbox_id(ANNA, "karte");
    // Before a pass has asked, and after.
    for round in 0..2 {
        let explanation = one(&stage, &id);
        assert_eq!(explanation.standing, Standing::Ambiguous, "round {round}");
        let why = &explanation.findings[0];
        for name in ["eins", "zwei"] {
            assert!(why.message.contains(&stage.crm_id(name)), "{}", why.message);
        }
        assert!(
            why.remedy
                .as_deref()
                .is_some_and(|remedy| remedy.contains("pair"))
        );
        stage.pass(ANNA);
        stage.world.advance_ms(PAUSE_MS);
    }
    // It waits, and is found by its name among the others.
    let Ok(Answer::Several(names, 3)) = ask(&stage, ANNA, "erika muster") else {
        panic!("two in the CRM and one in the mailbox");
    };
    assert!(
        names
            .iter()
            .any(|name| name.mailbox_id.is_some() && name.crm_id.is_none())
    );
}

#[test]
fn pair_at_rest_is_explained_and_so_is_the_way_back() {
    let mut stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    stage.edit(&Edit::Unmark("erika", ANNA));
    stage.world.advance_ms(60_000);
    assert_eq!(
        standing(&stage, "erika"),
        (Standing::Linked, "marker-removed".to_owned())
    );
    stage.pass(ANNA);
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"jobTitle": "Leitung"}),
    ));
    let explanation = one(&stage, "erika");
    assert_eq!(explanation.standing, Standing::Detached);
    assert_eq!(explanation.findings[0].code, "detached");
    let position = explanation
        .values
        .iter()
        .find(|value| value.field == Field::Position);
    let position = position.expect("both copies are shown");
    assert_eq!(
        (position.place, position.crm.as_deref()),
        (Place::Apart, None)
    );
    stage.edit(&Edit::Mark("erika", ANNA));
    assert_eq!(
        standing(&stage, "erika"),
        (Standing::Detached, "marker-set-again".to_owned())
    );
}

#[test]
fn forgotten_pair_is_found_by_the_name_it_had() {
    let mut stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    stage.edit(&Edit::CrmDelete("erika"));
    stage.world.advance_ms(60_000);
    let explanation = one(&stage, "erika");
    assert_eq!(explanation.findings[0].code, "deleted-in-crm");
    assert_eq!(explanation.operations.len(), 1);
    stage.pass(ANNA);
    assert_eq!(
        standing(&stage, "Erika Muster"),
        (Standing::Tombstone, "tombstone".to_owned())
    );
    stage.edit(&Edit::CrmRestore("erika"));
    assert_eq!(
        standing(&stage, "Erika Muster"),
        (Standing::Tombstone, "restored-in-crm".to_owned())
    );
}

#[test]
fn held_pairs_say_what_they_wait_for() {
    let mut stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookMove(ANNA, "erika"));
    stage.edit(&Edit::CrmDelete("max"));
    stage.edit(&Edit::CrmPurge("max"));
    for _ in 0..2 {
        let held = |code: &str| (Standing::Held, code.to_owned());
        assert_eq!(standing(&stage, "erika"), held("moved-in-mailbox"));
        assert_eq!(
            standing(&stage, &stage.crm_id("max")),
            held("vanished-in-crm")
        );
        stage.world.advance_ms(60_000);
        stage.pass(ANNA);
    }
    // Back in the folder: what an earlier pass noted says nothing any more.
    stage.edit(&Edit::OutlookMoveBack(ANNA, "erika"));
    assert_eq!(standing(&stage, "erika").0, Standing::Linked);
}

#[test]
fn damaged_link_is_told_and_is_no_deletion() {
    let stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    let id = stage.crm_id("erika");
    let mut stored = stage.world.stored();
    stored.insert(format!("m/anna-makler-example/pair/{id}"), b"{".to_vec());
    stage.world.set_stored(stored);
    assert_eq!(
        standing(&stage, &id),
        (Standing::Held, "link-unreadable".to_owned())
    );
}

#[test]
fn what_the_guard_holds_back_awaits_approval() {
    let mut stage = Scenario::new().ballast(30).stage(Variant::AccountField);
    let links = stage.links(ANNA);
    for link in links.iter().take(12) {
        stage.world.mailbox_delete(ANNA, link.mailbox_id.as_str());
    }
    stage.world.advance_ms(60_000);
    stage.pass(ANNA);
    let id = links[0].crm_id.as_str();
    assert_eq!(
        standing(&stage, id),
        (Standing::AwaitingApproval, "awaiting-approval".to_owned())
    );
    assert_eq!(
        one(&stage, id).operations.len(),
        1,
        "what would be destroyed is listed"
    );
}

#[test]
fn create_whose_answer_was_lost_is_an_open_intent_on_both_sides() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    stage.edit(&Edit::OutlookNew(ANNA, "max", max()));
    let before = stage.world.crm_ids();
    stage.world.services(|services, _| {
        let create = Matcher::of(Method::Post, "/entity-service/schemas");
        services.faults.next(create, Fault::LostAfter);
    });
    stage.world.advance_ms(60_000);
    stage.pass(ANNA);
    let copy = stage
        .world
        .crm_ids()
        .into_iter()
        .find(|id| !before.contains(id));
    let max = stage.mailbox_id(ANNA, "max");
    for id in [max.as_str(), copy.expect("it was created").as_str()] {
        assert_eq!(
            standing(&stage, id),
            (Standing::OpenIntent, "open-intent".to_owned()),
            "{id}"
        );
    }
}

#[test]
fn refused_contact_says_when_it_is_tried_again() {
    let mut stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    let id = stage.crm_id("erika");
    stage
        .world
        .services(|services, now| services.flowfact.grant(&id, Access::ReadOnly, now));
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"jobTitle": "Leitung"}),
    ));
    stage.world.advance_ms(60_000);
    stage.pass(ANNA);
    let explanation = one(&stage, "erika");
    assert_eq!(explanation.standing, Standing::Quarantined);
    assert_eq!(explanation.findings[0].code, "refused");
    let retry_at = explanation.retry_at.expect("a time");
    let now = stage.outside().now();
    assert!(
        (1..=24 * 3_600_000).contains(&retry_at.since_ms(now)),
        "{retry_at:?}"
    );
}

// ---- value by value -----------------------------------------------------------------------------

fn value<'a>(explanation: &'a Explanation, text: &str) -> &'a PlacedValue {
    let holds = |side: &Option<String>| side.as_ref().is_some_and(|side| side.contains(text));
    let mut found = explanation.values.iter();
    let found = found.find(|value| holds(&value.crm) || holds(&value.mailbox));
    found.unwrap_or_else(|| panic!("{text} in {:#?}", explanation.values))
}

fn full() -> Value {
    let phone = |kind: &str, number: &str| json!({"type": kind, "number": number});
    json!({
        "firstName": ["Erika"], "lastName": ["Muster"],
        "phones": [
            phone("office", "0221 889901"), phone("office", "0221 889902"),
            phone("office", "0221 889903"), phone("mobile", "bitte nicht anrufen"),
            phone("fax", "0221 889909"),
        ],
        "emails": ["a@muster.example", "b@muster.example", "c@muster.example",
            "d@muster.example"],
        "position": ["Leitung", "Vertretung"],
    })
}

#[test]
fn every_value_says_where_it_is() {
    let stage = Scenario::new()
        .before([crm("erika", &[ANNA], full())])
        .stage(Variant::AccountField);
    let explanation = one(&stage, "erika");
    for (text, place, slots) in [
        ("889901", Place::Both, &[Slot::BusinessPhone1][..]),
        ("889902", Place::Both, &[Slot::BusinessPhone2]),
        ("889903", Place::NoRoom, &[]),
        ("bitte nicht", Place::Unreadable, &[]),
        ("889909", Place::CrmOnly, &[]),
        ("c@muster", Place::Both, &[Slot::Email3]),
        ("d@muster", Place::NoRoom, &[]),
        ("Leitung", Place::Both, &[]),
        ("Vertretung", Place::CrmOnly, &[]),
        ("Muster", Place::Both, &[]),
    ] {
        let found = value(&explanation, text);
        assert_eq!(
            (found.place, found.slots.as_slice()),
            (place, slots),
            "{text}"
        );
    }
    let codes: Vec<&str> = explanation
        .findings
        .iter()
        .map(|found| found.code.as_str())
        .collect();
    for code in [
        "no-slot-left",
        "unreadable-phone",
        "unknown-type",
        "never-synced",
    ] {
        assert!(codes.contains(&code), "{code} of {codes:?}");
    }
    let told = explanation
        .findings
        .iter()
        .filter(|found| found.code == "no-slot-left");
    assert_eq!(told.count(), 2, "one for each value without room");
}

#[test]
fn edits_are_shown_as_what_the_next_pass_changes() {
    let mut stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    stage.edit(&Edit::Crm("erika", json!({"position": ["Leitung"]})));
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"mobilePhone": "0171 9999999"}),
    ));
    let explanation = one(&stage, "erika");
    assert_eq!(value(&explanation, "Leitung").place, Place::Changing);
    assert_eq!(value(&explanation, "9999999").place, Place::Changing);
    assert_eq!(value(&explanation, "88 99-0").place, Place::Both);
    assert_eq!(explanation.operations.len(), 2);
}

#[test]
fn locked_field_and_field_without_counterpart_are_told() {
    let stage = Scenario::new()
        .before(people())
        .stage(Variant::AccountField);
    let id = stage.crm_id("erika");
    stage
        .world
        .services(|services, now| services.flowfact.lock(&id, "emails", true, now));
    let mut job = stage.job(ANNA);
    let contact_sync_guest::job::CrmAccess::Flowfact(access) = &mut job.crm;
    access.fields.insert(Field::Company, None);
    let Ok(Answer::One(explanation)) = explain::explain(&job, &stage.outside(), &id) else {
        panic!("there is one");
    };
    let told = |code: &str| {
        let mut found = explanation.findings.iter();
        found
            .find(|found| found.code == code)
            .and_then(|found| found.field)
    };
    assert_eq!(told("locked-field"), Some(Field::Emails));
    assert_eq!(told("field-takes-no-part"), Some(Field::Company));
    assert_eq!(value(&explanation, "GmbH").place, Place::NoPart);
}

// ---- an explanation and the next pass -----------------------------------------------------------

/// Operations without their state.
fn told(operations: &[Operation]) -> Vec<String> {
    let lines = operations.iter().map(|operation| {
        format!(
            "{:?} {:?} {} {:?}",
            operation.side, operation.action, operation.reason, operation.changes
        )
    });
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines
}

/// Whatever people do to Erika: what is explained is what the pass then does.
#[test]
fn what_is_explained_is_what_the_next_pass_does() {
    type Deeds = fn() -> Vec<Edit>;
    let deeds: [(&str, Deeds); 11] = [
        ("nothing", Vec::new),
        ("edit in the CRM", || {
            vec![Edit::Crm("erika", json!({"company": ["Kraft AG"]}))]
        }),
        ("edit in the mailbox", || {
            vec![Edit::Outlook(ANNA, "erika", json!({"jobTitle": "x"}))]
        }),
        ("conflict", || {
            vec![
                Edit::Crm("erika", json!({"position": ["CRM"]})),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Outlook"})),
            ]
        }),
        ("cleared", || {
            vec![Edit::Crm("erika", json!({"phones": []}))]
        }),
        ("deleted in the CRM", || vec![Edit::CrmDelete("erika")]),
        ("deleted in the mailbox", || {
            vec![Edit::OutlookDelete(ANNA, "erika")]
        }),
        ("deleted in the CRM, edited in the mailbox", || {
            vec![
                Edit::CrmDelete("erika"),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "x"})),
            ]
        }),
        ("deleted in the mailbox, edited in the CRM", || {
            vec![
                Edit::OutlookDelete(ANNA, "erika"),
                Edit::Crm("erika", json!({"position": ["x"]})),
            ]
        }),
        ("unmarked", || vec![Edit::Unmark("erika", ANNA)]),
        ("moved", || vec![Edit::OutlookMove(ANNA, "erika")]),
    ];
    for (name, edits) in deeds {
        for variant in Variant::FEEDS {
            let mut stage = Scenario::new().before(people()).stage(variant);
            for edit in edits() {
                stage.edit(&edit);
            }
            stage.world.advance_ms(60_000);
            let explained = told(&one(&stage, &stage.crm_id("erika")).operations);
            let played = stage.pass(ANNA);
            assert_eq!(explained, told(&played.operations), "{name}, {variant:?}");
        }
    }
}
