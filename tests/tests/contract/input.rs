//! Bad input: each is told, costs no other contact anything, and loses nothing.

use contact_sync_guest::links::Link;
use contact_sync_guest::outside::Method;
use contact_sync_guest::report::{Failure, Outcome};
use contact_sync_tests::simulator::{Fault, Matcher, RequestKind as Kind};
use serde_json::{Value, json};

use super::stage::{
    ANNA, Asking, DAY_MS, Edit, Ending, Expect, OFF, PAUSE_MS, Scenario, State, Variant, asking,
    crm, ending, writes,
};

fn person(more: &Value) -> Value {
    let mut person = json!({"firstName": ["Erika"], "lastName": ["Muster"]});
    let members = more.as_object().cloned().unwrap_or_default();
    for (name, value) in members {
        person[name] = value;
    }
    person
}

/// A CRM contact that Exchange cannot hold wholly: exported, told about, and unharmed in the CRM,
/// also when it is edited in the mailbox afterwards.
fn does_not_fit(fields: Value, findings: &'static [&'static str], shown: Value) {
    Scenario::new()
        .only(&[Variant::AccountField, Variant::FullRead])
        .then(
            [Edit::CrmNew("erika", &[ANNA], fields.clone())],
            ANNA,
            Expect {
                operations: &["mailbox create erika: marker-set"],
                writes: &[(Kind::GraphCreate, 1)],
                findings,
                state: vec![
                    State::Outlook(ANNA, "erika", shown),
                    State::Crm("erika", fields.clone()),
                ],
                ..Expect::default()
            },
        )
        .then(
            [Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}))],
            ANNA,
            Expect {
                operations: &["crm update erika: edited-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                // Told once.
                findings: &[],
                state: vec![State::Crm("erika", fields)],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn thirty_numbers() {
    let phones: Vec<Value> = (0..30)
        .map(|number| {
            json!({"type": "office", "number": format!("0221 8899{number:02}"),
            "note": format!("{number}")})
        })
        .collect();
    does_not_fit(
        person(&json!({"phones": phones})),
        &["no-slot-left"; 28],
        json!({"businessPhones": ["+49 221 889900", "+49 221 889901"]}),
    );
}

#[test]
pub(crate) fn third_business_number_and_fourth_address() {
    does_not_fit(
        person(&json!({
            "phones": [
                {"type": "office", "number": "0221 889900"}, {"type": "office",
                    "number": "0221 889901"},
                {"type": "office", "number": "0221 889902"},
            ],
            "emails": ["a@muster.example", "b@muster.example", "c@muster.example",
                "d@muster.example"],
        })),
        &["no-slot-left", "no-slot-left"],
        json!({"businessPhones": ["+49 221 889900", "+49 221 889901"]}),
    );
}

#[test]
fn number_that_is_none() {
    does_not_fit(
        person(&json!({"phones": [
            {"type": "office", "number": "siehe Notiz"}, {"type": "mobile",
                "number": "0171/1234567 privat"},
        ]})),
        &["unreadable-phone", "unreadable-phone"],
        json!({"businessPhones": null, "mobilePhone": null}),
    );
}

#[test]
fn address_that_is_none() {
    does_not_fit(
        person(&json!({"emails": ["keine", "erika@muster.example"]})),
        &["unreadable-email"],
        json!({"surname": "Muster"}),
    );
}

#[test]
fn birthday_of_1899() {
    // 31 December 1899, midnight in Berlin.
    does_not_fit(
        person(&json!({"birthday": [-2_208_992_400_000_i64]})),
        &["unreadable-birthday"],
        json!({"birthday": null}),
    );
}

#[test]
fn emoji_and_combining_characters_are_one_text() {
    let mut stage = Scenario::new()
        .before([crm(
            "zoe",
            &[ANNA],
            // Decomposed: e and a combining diaeresis.
            json!({"firstName": ["Zoe\u{308} 👩‍👩‍👧"], "lastName": ["Mu\u{308}ller"],
                "company": ["Büro 🏠"]}),
        )])
        .stage(Variant::AccountField);
    let contact = stage
        .world
        .mailbox_contact(ANNA, &stage.mailbox_id(ANNA, "zoe"))
        .expect("exported");
    assert!(
        contact["givenName"]
            .as_str()
            .is_some_and(|name| name.contains("👩‍👩‍👧")),
        "{contact}"
    );
    // The other writing of the same name is no edit.
    stage.edit(&Edit::Outlook(
        ANNA,
        "zoe",
        json!({"surname": "M\u{fc}ller"}),
    ));
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    assert!(writes(&played.counters).is_empty(), "{played:#?}");
    stage.check(
        "unharmed",
        &State::Crm("zoe", json!({"lastName": ["Mu\u{308}ller"]})),
    );
    stage.check_quiet("emoji");
}

#[test]
fn contact_without_any_name_is_synced() {
    Scenario::new()
        .then(
            [
                Edit::OutlookNew(ANNA, "nummer", json!({"mobilePhone": "0171 2345678"})),
                Edit::OutlookNew(ANNA, "leer", json!({})),
            ],
            ANNA,
            Expect {
                operations: &[
                    "crm create leer: new-in-mailbox",
                    "crm create nummer: new-in-mailbox",
                ],
                writes: &[(Kind::FlowfactCreate, 2)],
                state: vec![State::CrmCount(2)],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn company_without_person_is_exported_and_is_no_person_when_it_comes_back() {
    Scenario::new()
        .then(
            [Edit::CrmNew(
                "firma",
                &[ANNA],
                json!({"company": ["Muster GmbH"]}),
            )],
            ANNA,
            Expect {
                operations: &["mailbox create firma: marker-set"],
                writes: &[(Kind::GraphCreate, 1)],
                state: vec![State::Outlook(
                    ANNA,
                    "firma",
                    json!({"companyName": "Muster GmbH"}),
                )],
                ..Expect::default()
            },
        )
        .then(
            [Edit::Outlook(
                ANNA,
                "firma",
                json!({"businessPhones": ["0221 88990"]}),
            )],
            ANNA,
            Expect {
                operations: &["crm update firma: edited-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1)],
                state: vec![State::Crm(
                    "firma",
                    json!({"firstName": null, "company": ["Muster GmbH"]}),
                )],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn distribution_lists_are_no_contacts() {
    Scenario::new()
        .then(
            [Edit::Do(Box::new(|stage| {
                stage.world.services(|services, now| {
                    services.graph.create_group(ANNA, "Alle Makler", now);
                });
            }))],
            ANNA,
            Expect::default(),
        )
        .check();
}

// ---- answers that are none ----------------------------------------------------------------------

/// A whole service answers nonsense: the pass ends with a clear message, and nothing is lost.
#[test]
fn nonsense_in_place_of_a_page_ends_the_pass_and_loses_nothing() {
    let huge = format!("{{\"value\":[{}]}}", "1,".repeat(1_000_000)).into_bytes();
    let bodies = [
        ("html", b"<html><body>Wartung</body></html>".to_vec()),
        ("empty", Vec::new()),
        ("other", b"[]".to_vec()),
        ("huge", huge),
    ];
    let requests = [
        asking(Asking::Changes),
        Matcher::url("/search-service/"),
        Matcher::url("/recovery/entities"),
    ];
    for requests in requests {
        for (name, body) in &bodies {
            let context = format!("{name} from {requests:?}");
            let mut stage = Scenario::new()
                .before([crm("erika", &[ANNA], person(&json!({})))])
                .stage(Variant::AccountField);
            stage.edit(&Edit::Crm("erika", json!({"position": ["Leitung"]})));
            stage.edit(&Edit::Outlook(
                ANNA,
                "erika",
                json!({"department": "Verkauf"}),
            ));
            stage.world.services(|services, _| {
                let fault = Fault::Garbled { body: body.clone() };
                services.faults.script(requests.clone(), 0, u32::MAX, fault);
            });
            stage.world.advance_ms(60_000);
            let played = stage.pass(ANNA);
            match &played.report.outcome {
                Outcome::Stopped(Failure::Protocol(problem)) => {
                    assert!(!problem.problem.message.is_empty(), "{context}");
                    assert!(problem.problem.remedy.is_some(), "{context}");
                    assert!(!problem.problem.message.contains("Wartung"), "{context}");
                }
                other => panic!("{context}: {other:?}"),
            }
            assert!(writes(&played.counters).is_empty(), "{context}");
            stage.world.services(|services, _| services.faults.clear());
            stage.world.advance_ms(PAUSE_MS);
            let played = stage.pass(ANNA);
            assert_eq!(
                ending(&played.report.outcome),
                Ending::Complete,
                "{context}"
            );
            stage.check(
                &context,
                &State::Crm("erika", json!({"department": ["Verkauf"]})),
            );
            stage.check(
                &context,
                &State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
            );
        }
    }
}

/// One contact's answer is nonsense, or two megabytes: it is told of, and the others go on.
#[test]
fn nonsense_in_place_of_one_contact_costs_no_other() {
    let huge = format!("{{\"id\":\"{}\"}}", "x".repeat(2_000_000)).into_bytes();
    for (name, body) in [("html", b"<html>Fehler</html>".to_vec()), ("huge", huge)] {
        let mut stage = Scenario::new()
            .before([
                crm("erika", &[ANNA], person(&json!({}))),
                crm(
                    "max",
                    &[ANNA],
                    json!({"firstName": ["Max"], "lastName": ["Kraft"]}),
                ),
            ])
            .stage(Variant::AccountField);
        stage.edit(&Edit::Outlook(
            ANNA,
            "erika",
            json!({"jobTitle": "Leitung"}),
        ));
        stage.edit(&Edit::Outlook(ANNA, "max", json!({"jobTitle": "Leitung"})));
        let id = stage.crm_id("erika");
        stage.world.services(|services, _| {
            let fault = Fault::Garbled { body };
            services
                .faults
                .script(Matcher::of(Method::Get, &id), 0, u32::MAX, fault);
        });
        let played = stage.pass(ANNA);
        assert_eq!(ending(&played.report.outcome), Ending::Complete, "{name}");
        assert_eq!(played.codes(), ["crm-unreadable"], "{name}: {played:#?}");
        stage.check(name, &State::Crm("max", json!({"position": ["Leitung"]})));
        stage.world.services(|services, _| services.faults.clear());
        stage.world.advance_ms(DAY_MS);
        stage.pass(ANNA);
        stage.check(name, &State::Crm("erika", json!({"position": ["Leitung"]})));
        stage.check_quiet(name);
    }
}

/// Somebody pasted a book into a field, more than the store takes in one piece: it is told of, and
/// the others go on. Once it is shortened, it goes on as well.
#[test]
fn contact_as_large_as_a_book_costs_no_other() {
    let book = "x".repeat(2_000_000);
    for (side, code) in [("crm", "crm-unreadable"), ("mailbox", "mailbox-unreadable")] {
        let mut stage = Scenario::new()
            .before([
                crm("erika", &[ANNA], person(&json!({}))),
                crm(
                    "max",
                    &[ANNA],
                    json!({"firstName": ["Max"], "lastName": ["Kraft"]}),
                ),
            ])
            .stage(Variant::AccountField);
        let write = |text: &str| match side {
            "crm" => Edit::Crm("erika", json!({"position": [text]})),
            _ => Edit::Outlook(ANNA, "erika", json!({"jobTitle": text})),
        };
        stage.edit(&write(&book));
        stage.edit(&Edit::Outlook(ANNA, "max", json!({"jobTitle": "Leitung"})));
        let played = stage.pass(ANNA);
        assert_eq!(ending(&played.report.outcome), Ending::Complete, "{side}");
        assert_eq!(played.codes(), [code], "{side}");
        stage.check(side, &State::Crm("max", json!({"position": ["Leitung"]})));
        stage.edit(&write("Vertrieb"));
        stage.world.advance_ms(DAY_MS);
        stage.pass(ANNA);
        stage.check(
            side,
            &State::Crm("erika", json!({"position": ["Vertrieb"]})),
        );
        let title = json!({"jobTitle": "Vertrieb"});
        stage.check(side, &State::Outlook(ANNA, "erika", title));
        stage.check_quiet(side);
    }
}

#[test]
fn service_that_cannot_be_reached_ends_the_pass_with_a_message() {
    for requests in [asking(Asking::Anything), Matcher::url("/flowfact/")] {
        let mut stage = Scenario::new().stage(Variant::AccountField);
        stage.world.services(|services, _| {
            services
                .faults
                .script(requests.clone(), 0, u32::MAX, Fault::LostBefore);
        });
        let played = stage.pass(ANNA);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::Stopped("unreachable"),
            "{requests:?}"
        );
        assert!(writes(&played.counters).is_empty());
    }
}

#[test]
fn mailbox_that_is_switched_off_deletes_nothing() {
    for (name, switch_off) in OFF {
        let mut stage = Scenario::new().stage(Variant::AccountField);
        stage.world.services(|services, _| switch_off(services));
        for wait_ms in [0, DAY_MS] {
            stage.world.advance_ms(wait_ms);
            let played = stage.pass(ANNA);
            assert!(
                matches!(played.report.outcome, Outcome::Stopped(_)),
                "{name}: {played:#?}"
            );
            assert!(writes(&played.counters).is_empty(), "{name}");
        }
        assert!(stage.links(ANNA).iter().all(Link::is_linked));
    }
}
