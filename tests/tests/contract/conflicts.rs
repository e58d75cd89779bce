//! Section 5: three-way, per field and value; and section 3's rule for new ids.

use contact_sync_guest::job::{ConflictWinner, Matching, Policy};
use contact_sync_tests::simulator::RequestKind as Kind;
use serde_json::{Value, json};

use super::stage::{ANNA, Edit, Expect, Scenario, Stage, Stands, State, Variant, crm, outlook};

fn erika() -> Value {
    json!({
        "firstName": ["Erika"], "lastName": ["Muster"], "position": ["Assistenz"],
        "emails": ["erika@muster.example"],
        "phones": [{"type": "office", "number": "0221 / 88 99-0", "note": "Zentrale"}],
        "addresses": [{"type": "office", "street": "Ring 1", "zipcode": "50667", "city": "Köln"}],
    })
}

fn linked() -> Scenario {
    Scenario::new().before([crm("erika", &[ANNA], erika())])
}

#[test]
fn other_fields_edited_on_both_sides_are_merged() {
    linked()
        .then(
            [
                Edit::Crm("erika", json!({"position": ["Leitung"]})),
                Edit::Outlook(
                    ANNA,
                    "erika",
                    json!({"department": "Verkauf",
                    "mobilePhone": "0171 2345678"}),
                ),
            ],
            ANNA,
            Expect {
                operations: &[
                    "crm update erika: edited-on-both-sides",
                    "mailbox update erika: edited-on-both-sides",
                ],
                writes: &[(Kind::FlowfactUpdate, 1), (Kind::GraphUpdate, 1)],
                state: vec![
                    State::Crm(
                        "erika",
                        json!({"position": ["Leitung"], "department": ["Verkauf"], "phones": [
                            {"type": "office", "number": "0221 / 88 99-0", "note": "Zentrale"},
                            {"type": "mobile", "number": "0171 2345678"},
                        ]}),
                    ),
                    State::Outlook(
                        ANNA,
                        "erika",
                        json!({"jobTitle": "Leitung", "department": "Verkauf",
                            "mobilePhone": "0171 2345678"}),
                    ),
                ],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn other_values_of_one_list_edited_on_both_sides_are_merged() {
    linked()
        .then(
            [
                Edit::Crm(
                    "erika",
                    json!({"emails": ["erika@muster.example",
                    "e.muster@kraft.example"]}),
                ),
                Edit::Outlook(
                    ANNA,
                    "erika",
                    json!({"emailAddresses": [{"address": "chefin@muster.example",
                        "name": "Erika"}]}),
                ),
            ],
            ANNA,
            Expect {
                operations: &[
                    "crm update erika: edited-on-both-sides",
                    "mailbox update erika: edited-on-both-sides",
                ],
                writes: &[(Kind::FlowfactUpdate, 1), (Kind::GraphUpdate, 1)],
                state: vec![State::Crm(
                    "erika",
                    json!({"emails": ["chefin@muster.example", "e.muster@kraft.example"]}),
                )],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn same_edit_on_both_sides_is_no_conflict() {
    linked()
        .then(
            [
                Edit::Crm("erika", json!({"position": ["Leitung"]})),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
            ],
            ANNA,
            Expect {
                ..Expect::default()
            },
        )
        .check();
}

/// Who edits when, and whose value stays. Minutes between the two edits.
struct Clash {
    policy: fn(&mut Policy),
    crm_first: bool,
    minutes: i64,
    kept: &'static str,
}

fn mailbox(policy: &mut Policy) {
    policy.conflict = ConflictWinner::Mailbox;
}

fn newest(policy: &mut Policy) {
    policy.conflict = ConflictWinner::Newest;
}

#[test]
pub(crate) fn winner_of_a_conflict_is_the_tenants_choice_and_the_loser_is_in_the_journal() {
    let clash = |policy, crm_first, minutes, kept| Clash {
        policy,
        crm_first,
        minutes,
        kept,
    };
    let cases = [
        clash(|_| {}, true, 30, "CRM"),
        clash(|_| {}, false, 30, "CRM"),
        clash(mailbox, false, 30, "Outlook"),
        clash(newest, true, 30, "Outlook"),
        clash(newest, false, 30, "CRM"),
        // Two clocks, and an index in between: too close to tell.
        clash(newest, true, 1, "CRM"),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        let mut stage = linked().policy(case.policy).stage(Variant::AccountField);
        let in_crm = Edit::Crm("erika", json!({"position": ["CRM"]}));
        let in_outlook = Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Outlook"}));
        let (first, second) = if case.crm_first {
            (in_crm, in_outlook)
        } else {
            (in_outlook, in_crm)
        };
        stage.edit(&first);
        stage.world.advance_ms(case.minutes * 60_000);
        stage.edit(&second);
        stage.world.advance_ms(60_000);
        let played = stage.pass(ANNA);
        assert_eq!(played.codes(), ["conflict"], "case {number}: {played:#?}");
        assert_eq!(played.report.counts.conflicts, 1);
        let context = format!("case {number}");
        stage.check(
            &context,
            &State::Crm("erika", json!({"position": [case.kept]})),
        );
        stage.check(
            &context,
            &State::Outlook(ANNA, "erika", json!({"jobTitle": case.kept})),
        );
        let lost = if case.kept == "CRM" { "Outlook" } else { "CRM" };
        let journal = journal(&stage);
        assert_eq!(journal.len(), 1, "{context}");
        assert!(journal[0].contains(lost), "{context}: {journal:?}");
        stage.check_quiet(&context);
    }
}

fn journal(stage: &Stage) -> Vec<String> {
    let rows = stage.rows("m/anna-makler-example/journal/").into_values();
    rows.map(|row| String::from_utf8(row).expect("the journal is JSON"))
        .collect()
}

/// Cleared here, edited there: a conflict as well, not a silent loss.
#[test]
fn clearing_against_an_edit_is_a_conflict() {
    linked()
        .then(
            [
                Edit::Crm("erika", json!({"position": []})),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
            ],
            ANNA,
            Expect {
                operations: &["mailbox update erika: edited-on-both-sides"],
                writes: &[(Kind::GraphUpdate, 1)],
                findings: &["conflict"],
                state: vec![State::Outlook(ANNA, "erika", json!({"jobTitle": null}))],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn address_whose_empty_parts_were_filled_on_one_side_is_merged_by_parts() {
    let full = |street: &str, state: Option<&str>| {
        let mut address = json!({"street": street, "postalCode": "50667", "city": "Köln"});
        if let Some(state) = state {
            address["state"] = json!(state);
        }
        address
    };
    linked()
        .then(
            [
                Edit::Crm(
                    "erika",
                    json!({"addresses": [{"type": "office", "street": "Ring 2",
                        "zipcode": "50667", "city": "Köln"}]}),
                ),
                Edit::Outlook(
                    ANNA,
                    "erika",
                    json!({"businessAddress": full("Ring 1", Some("NRW"))}),
                ),
            ],
            ANNA,
            Expect {
                operations: &[
                    "crm update erika: edited-on-both-sides",
                    "mailbox update erika: edited-on-both-sides",
                ],
                writes: &[(Kind::FlowfactUpdate, 1), (Kind::GraphUpdate, 1)],
                state: vec![State::Outlook(
                    ANNA,
                    "erika",
                    json!({"businessAddress": full("Ring 2", Some("NRW"))}),
                )],
                ..Expect::default()
            },
        )
        .check();
}

/// What was deleted is in the journal, whole.
#[test]
pub(crate) fn deleted_records_are_in_the_journal_whole() {
    let mut stage = linked().stage(Variant::AccountField);
    stage.edit(&Edit::OutlookDelete(ANNA, "erika"));
    stage.pass(ANNA);
    let journal = journal(&stage);
    assert_eq!(journal.len(), 1);
    for value in [
        "Zentrale",
        "0221 / 88 99-0",
        "Ring 1",
        "erika@muster.example",
    ] {
        assert!(journal[0].contains(value), "{value} of {journal:?}");
    }
}

// ---- the same contact under a new id ------------------------------------------------------------

#[test]
fn contact_entered_again_is_the_same_where_it_equals_the_base() {
    Scenario::new()
        // It is recognised by what it holds, not as a person.
        .policy(|policy| policy.matching = Matching::Off)
        .before([outlook(
            ANNA,
            "max",
            json!({"givenName": "Max", "surname": "Kraft", "mobilePhone": "0171 2345678"}),
        )])
        .then(
            [Edit::OutlookRecreate(ANNA, "max")],
            ANNA,
            Expect {
                operations: &[],
                state: vec![
                    State::CrmCount(1),
                    State::Standing(ANNA, "max", Some(Stands::Linked)),
                    State::OutlookCount(ANNA, 1),
                ],
                ..Expect::default()
            },
        )
        .check();
}

/// Moved by an old client, with another id and an edit, but with our key.
#[test]
fn contact_with_our_key_is_the_same_although_it_was_edited() {
    let mut stage = linked().stage(Variant::AccountField);
    let id = stage.handle(ANNA, "erika");
    let copy = stage.world.mailbox_copy(ANNA, &id);
    stage.world.mailbox_purge(ANNA, &id);
    stage.world.mailbox_edit(
        ANNA,
        &copy,
        &json!({"givenName": "Ute", "surname": "Kraft", "emailAddresses": [],
            "businessPhones": ["0228 123456"]}),
    );
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    assert_eq!(
        super::stage::writes(&played.counters)
            .into_iter()
            .collect::<Vec<_>>(),
        [(Kind::FlowfactUpdate, 1)],
        "{played:#?}"
    );
    stage.check(
        "key",
        &State::Crm(
            "erika",
            json!({"firstName": ["Ute"], "lastName": ["Kraft"]}),
        ),
    );
    stage.check("key", &State::CrmCount(1));
    stage.check("key", &State::Standing(ANNA, "erika", Some(Stands::Linked)));
    assert_eq!(
        stage
            .links(ANNA)
            .iter()
            .filter(|link| link.mailbox_id.as_str() == stage.known_as(ANNA, &copy))
            .count(),
        1
    );
}

/// Two that equal the base: nobody knows which, and nobody is linked at random.
#[test]
fn two_contacts_that_equal_the_base_are_not_taken_for_it() {
    let max = || json!({"givenName": "Max", "surname": "Kraft"});
    let mut stage = Scenario::new()
        .before([outlook(ANNA, "max", max())])
        .stage(Variant::AccountField);
    let id = stage.mailbox_id(ANNA, "max");
    stage.world.mailbox_purge(ANNA, &id);
    for name in ["eins", "zwei"] {
        stage.edit(&Edit::OutlookNew(ANNA, name, max()));
    }
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    // Whatever is made of them: nobody is linked at random, and nothing is lost.
    let relinked = stage.links(ANNA).iter().any(|link| {
        link.crm_id.as_str() == stage.crm_id("max")
            && link.is_linked()
            && link.mailbox_id.as_str() != id
    });
    assert!(!relinked, "{played:#?}");
}
