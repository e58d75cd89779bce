//! Section 6: the same person, questions and answers.

use contact_sync_guest::contact::{CrmId, MailboxId};
use contact_sync_guest::job::{ConflictWinner, Matching};
use contact_sync_guest::report::Failure;
use contact_sync_guest::setup;
use contact_sync_tests::simulator::RequestKind as Kind;
use serde_json::{Value, json};

use super::stage::{ANNA, Edit, Expect, PAUSE_MS, Scenario, Stage, Stands, State, Variant, crm};

fn person(first: &str, last: &str, email: &str) -> Value {
    let mut fields = json!({"firstName": [first], "lastName": [last]});
    if !email.is_empty() {
        fields["emails"] = json!([email]);
    }
    fields
}

fn card(first: &str, last: &str, email: &str) -> Value {
    let mut properties = json!({"givenName": first, "surname": last});
    if !email.is_empty() {
        properties["emailAddresses"] = json!([{"address": email, "name": first}]);
    }
    properties
}

/// Address books that are there before the first pass, which is the one under test.
fn first_pass(people: impl IntoIterator<Item = Edit>, expect: Expect) -> Scenario {
    Scenario::new().ballast(0).then(people, ANNA, expect)
}

/// The same in a later pass.
fn later_pass(people: impl IntoIterator<Item = Edit>, expect: Expect) -> Scenario {
    Scenario::new().then(people, ANNA, expect)
}

// ---- who is the same ----------------------------------------------------------------------------

#[test]
fn shared_address_and_equal_names_make_a_pair_that_is_filled_from_both_sides() {
    let people = || {
        let mut in_crm = person("Erika", "Muster", "erika@muster.example");
        in_crm["position"] = json!(["Leitung"]);
        let mut in_outlook = card("Erika", "Muster", "ERIKA@muster.example");
        in_outlook["department"] = json!("Verkauf");
        in_outlook["mobilePhone"] = json!("0171 2345678");
        [
            Edit::CrmNew("erika", &[], in_crm),
            Edit::OutlookNew(ANNA, "erika", in_outlook),
        ]
    };
    let expect = || Expect {
        operations: &[
            "crm pair erika: same-person",
            "crm update erika: same-person",
            "mailbox update erika: same-person",
            "crm mark erika: same-person",
        ],
        writes: &[(Kind::FlowfactUpdate, 2), (Kind::GraphUpdate, 1)],
        state: vec![
            State::Crm(
                "erika",
                json!({"position": ["Leitung"], "department": ["Verkauf"],
                       "emails": ["erika@muster.example"],
                       "phones": [{"type": "mobile", "number": "0171 2345678"}]}),
            ),
            State::Outlook(
                ANNA,
                "erika",
                json!({"jobTitle": "Leitung", "mobilePhone": "0171 2345678"}),
            ),
            State::Markers("erika", &[ANNA]),
            State::CrmCount(1),
            State::OutlookCount(ANNA, 1),
        ],
        ..Expect::default()
    };
    first_pass(people(), expect()).check();
    later_pass(people(), expect()).check();
}

#[test]
pub(crate) fn shared_number_makes_a_pair_however_it_is_written() {
    first_pass(
        [
            Edit::CrmNew(
                "erika",
                &[],
                json!({"firstName": ["Erika"], "phones": [{"type": "mobile",
                    "number": "0171/234 56 78"}]}),
            ),
            Edit::OutlookNew(
                ANNA,
                "erika",
                json!({"givenName": "Erika", "surname": "Muster",
                    "mobilePhone": "+49 171 2345678"}),
            ),
        ],
        Expect {
            operations: &[
                "crm pair erika: same-person",
                "crm update erika: same-person",
                "crm mark erika: same-person",
            ],
            writes: &[(Kind::FlowfactUpdate, 2)],
            state: vec![
                // Unwritten values stay byte for byte.
                State::Crm(
                    "erika",
                    json!({"lastName": ["Muster"], "phones": [{"type": "mobile",
                        "number": "0171/234 56 78"}]}),
                ),
                State::CrmCount(1),
            ],
            ..Expect::default()
        },
    )
    .check();
}

#[test]
fn shared_number_of_two_people_with_other_names_makes_no_pair() {
    let phones = json!([{"type": "office", "number": "0221 88990"}]);
    first_pass(
        [
            Edit::CrmNew(
                "erika",
                &[],
                json!({"firstName": ["Erika"], "lastName": ["Muster"], "phones": phones}),
            ),
            Edit::OutlookNew(
                ANNA,
                "max",
                json!({"givenName": "Max", "surname": "Muster", "businessPhones": ["0221 88990"]}),
            ),
        ],
        Expect {
            operations: &["crm create max: new-in-mailbox"],
            writes: &[(Kind::FlowfactCreate, 1)],
            state: vec![State::CrmCount(2), State::Markers("erika", &[])],
            ..Expect::default()
        },
    )
    .check();
}

#[test]
fn person_and_company_with_one_number_make_no_pair() {
    let phones = json!([{"type": "office", "number": "0221 88990"}]);
    first_pass(
        [
            Edit::CrmNew(
                "firma",
                &[],
                json!({"company": ["Muster GmbH"], "phones": phones}),
            ),
            Edit::OutlookNew(
                ANNA,
                "max",
                json!({"givenName": "Max", "surname": "Kraft", "companyName": "Muster GmbH",
                       "businessPhones": ["0221 88990"]}),
            ),
        ],
        Expect {
            operations: &["crm create max: new-in-mailbox"],
            writes: &[(Kind::FlowfactCreate, 1)],
            state: vec![State::CrmCount(2)],
            ..Expect::default()
        },
    )
    .check();
}

#[test]
fn companies_with_one_number_make_a_pair() {
    let phones = json!([{"type": "office", "number": "0221 88990"}]);
    first_pass(
        [
            Edit::CrmNew(
                "firma",
                &[ANNA],
                json!({"company": ["Muster GmbH"], "phones": phones}),
            ),
            Edit::OutlookNew(
                ANNA,
                "firma",
                json!({"givenName": "Muster GmbH", "companyName": "Muster GmbH",
                       "businessPhones": ["0221 88990"]}),
            ),
        ],
        Expect {
            operations: &["crm pair firma: same-person"],
            state: vec![
                State::CrmCount(1),
                State::Crm("firma", json!({"firstName": null})),
            ],
            ..Expect::default()
        },
    )
    .check();
}

#[test]
fn name_that_only_one_side_knows_is_no_disagreement() {
    first_pass(
        [
            Edit::CrmNew(
                "erika",
                &[],
                json!({"lastName": ["Muster"], "emails": ["erika@muster.example"]}),
            ),
            Edit::OutlookNew(
                ANNA,
                "erika",
                card("Erika", "Muster", "erika@muster.example"),
            ),
        ],
        Expect {
            operations: &[
                "crm pair erika: same-person",
                "crm update erika: same-person",
                "crm mark erika: same-person",
            ],
            writes: &[(Kind::FlowfactUpdate, 2)],
            state: vec![State::Crm("erika", json!({"firstName": ["Erika"]}))],
            ..Expect::default()
        },
    )
    .check();
}

#[test]
fn among_several_the_only_one_of_the_same_name_wins() {
    first_pass(
        [
            Edit::CrmNew(
                "erika",
                &[],
                person("Erika", "Muster", "familie@muster.example"),
            ),
            Edit::CrmNew(
                "nachname",
                &[],
                json!({"lastName": ["Muster"], "emails": ["familie@muster.example"]}),
            ),
            Edit::OutlookNew(
                ANNA,
                "erika",
                card("Erika", "Muster", "familie@muster.example"),
            ),
        ],
        Expect {
            operations: &["crm pair erika: same-person", "crm mark erika: same-person"],
            writes: &[(Kind::FlowfactUpdate, 1)],
            state: vec![State::CrmCount(2), State::Markers("nachname", &[])],
            ..Expect::default()
        },
    )
    .check();
}

#[test]
pub(crate) fn several_candidates_are_a_question_and_nothing_is_created() {
    let people = || {
        [
            Edit::CrmNew(
                "eins",
                &[],
                json!({"lastName": ["Muster"], "emails": ["info@muster.example"]}),
            ),
            Edit::CrmNew(
                "zwei",
                &[],
                json!({"lastName": ["Muster"], "emails": ["info@muster.example"]}),
            ),
            Edit::OutlookNew(
                ANNA,
                "erika",
                card("Erika", "Muster", "info@muster.example"),
            ),
        ]
    };
    let expect = || Expect {
        findings: &["ambiguous-match"],
        state: vec![
            State::CrmCount(2),
            State::Pending(ANNA, &["ambiguous-match"]),
        ],
        ..Expect::default()
    };
    first_pass(people(), expect())
        .then([], ANNA, Expect::default())
        .check();
    later_pass(people(), expect())
        .then([], ANNA, Expect::default())
        .check();
}

#[test]
fn one_candidate_of_two_people_is_a_question_to_both() {
    first_pass(
        [
            Edit::CrmNew(
                "muster",
                &[],
                json!({"lastName": ["Muster"], "emails": ["familie@muster.example"]}),
            ),
            Edit::OutlookNew(
                ANNA,
                "erika",
                card("Erika", "Muster", "familie@muster.example"),
            ),
            Edit::OutlookNew(ANNA, "max", card("Max", "Muster", "familie@muster.example")),
        ],
        Expect {
            findings: &["match-taken", "match-taken"],
            state: vec![
                State::CrmCount(1),
                State::Pending(ANNA, &["match-taken", "match-taken"]),
            ],
            ..Expect::default()
        },
    )
    .check();
}

#[test]
fn contact_without_address_and_number_is_paired_by_all_its_names() {
    let people = || {
        [
            Edit::CrmNew(
                "erika",
                &[],
                json!({"firstName": ["Erika"], "lastName": ["Muster"], "company": ["Muster GmbH"]}),
            ),
            Edit::OutlookNew(
                ANNA,
                "erika",
                json!({"givenName": "Erika", "surname": "Muster", "companyName": "Muster GmbH"}),
            ),
        ]
    };
    let expect = || Expect {
        operations: &["crm pair erika: same-person", "crm mark erika: same-person"],
        writes: &[(Kind::FlowfactUpdate, 1)],
        state: vec![State::CrmCount(1)],
        ..Expect::default()
    };
    first_pass(people(), expect()).check();
    later_pass(people(), expect()).check();
}

#[test]
fn namesake_is_asked_about_in_the_first_pass_only() {
    let people = || {
        let mut in_outlook = card("Erika", "Muster", "");
        in_outlook["companyName"] = json!("Kraft AG");
        [
            Edit::CrmNew(
                "erika",
                &[],
                person("Erika", "Muster", "erika@muster.example"),
            ),
            Edit::OutlookNew(ANNA, "andere", in_outlook),
        ]
    };
    first_pass(
        people(),
        Expect {
            findings: &["namesake"],
            state: vec![State::CrmCount(1), State::Pending(ANNA, &["namesake"])],
            ..Expect::default()
        },
    )
    .check();
    later_pass(
        people(),
        Expect {
            operations: &["crm create andere: new-in-mailbox"],
            writes: &[(Kind::FlowfactCreate, 1)],
            state: vec![State::CrmCount(2)],
            ..Expect::default()
        },
    )
    .check();
}

/// A marked contact that may be somebody in the mailbox is not exported either.
#[test]
fn marked_contact_with_several_candidates_is_not_exported() {
    first_pass(
        [
            Edit::CrmNew(
                "muster",
                &[ANNA],
                json!({"lastName": ["Muster"], "emails": ["familie@muster.example"]}),
            ),
            Edit::OutlookNew(
                ANNA,
                "erika",
                card("Erika", "Muster", "familie@muster.example"),
            ),
            Edit::OutlookNew(ANNA, "max", card("Max", "Muster", "familie@muster.example")),
        ],
        Expect {
            findings: &["ambiguous-match", "match-taken", "match-taken"],
            state: vec![State::CrmCount(1), State::OutlookCount(ANNA, 2)],
            ..Expect::default()
        },
    )
    .check();
}

/// The open question's contact is a candidate for whoever is marked later.
#[test]
fn contact_marked_while_a_question_is_open_is_not_exported_beside_it() {
    later_pass(
        [
            Edit::CrmNew(
                "eins",
                &[],
                json!({"lastName": ["Muster"], "emails": ["info@muster.example"]}),
            ),
            Edit::CrmNew(
                "zwei",
                &[],
                json!({"lastName": ["Muster"], "emails": ["info@muster.example"]}),
            ),
            Edit::OutlookNew(
                ANNA,
                "erika",
                card("Erika", "Muster", "info@muster.example"),
            ),
        ],
        Expect {
            findings: &["ambiguous-match"],
            ..Expect::default()
        },
    )
    .then(
        [Edit::Mark("eins", ANNA)],
        ANNA,
        Expect {
            findings: &["match-taken"],
            state: vec![State::OutlookCount(ANNA, 1), State::CrmCount(2)],
            ..Expect::default()
        },
    )
    .check();
}

/// A copy of a linked contact is a contact of its own: linked contacts are no candidates.
#[test]
fn copy_of_a_linked_contact_is_imported_as_a_contact_of_its_own() {
    Scenario::new()
        .before([crm(
            "erika",
            &[ANNA],
            person("Erika", "Muster", "erika@muster.example"),
        )])
        .then(
            [Edit::OutlookCopy(ANNA, "erika", "kopie")],
            ANNA,
            Expect {
                operations: &["crm create kopie: new-in-mailbox"],
                writes: &[(Kind::FlowfactCreate, 1)],
                state: vec![State::CrmCount(2), State::OutlookCount(ANNA, 2)],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn detached_contacts_are_no_candidates() {
    Scenario::new()
        .before([crm(
            "erika",
            &[ANNA],
            person("Erika", "Muster", "erika@muster.example"),
        )])
        .then(
            [Edit::Unmark("erika", ANNA)],
            ANNA,
            Expect {
                operations: &["crm detach erika: marker-removed"],
                ..Expect::default()
            },
        )
        .then(
            [Edit::OutlookNew(
                ANNA,
                "neu",
                card("Erika", "Muster", "erika@muster.example"),
            )],
            ANNA,
            Expect {
                operations: &["crm create neu: new-in-mailbox"],
                writes: &[(Kind::FlowfactCreate, 1)],
                state: vec![State::CrmCount(2)],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn nobody_is_matched_where_matching_is_off() {
    first_pass(
        [
            Edit::CrmNew(
                "erika",
                &[],
                person("Erika", "Muster", "erika@muster.example"),
            ),
            Edit::OutlookNew(
                ANNA,
                "auch",
                card("Erika", "Muster", "erika@muster.example"),
            ),
        ],
        Expect {
            operations: &["crm create auch: new-in-mailbox"],
            writes: &[(Kind::FlowfactCreate, 1)],
            state: vec![State::CrmCount(2)],
            ..Expect::default()
        },
    )
    .policy(|policy| policy.matching = Matching::Off)
    .check();
}

#[test]
fn clash_on_a_first_pair_follows_the_tenants_choice() {
    for (winner, kept) in [
        (ConflictWinner::Crm, "Leitung"),
        (ConflictWinner::Mailbox, "Vertrieb"),
    ] {
        let mut in_crm = person("Erika", "Muster", "erika@muster.example");
        in_crm["position"] = json!(["Leitung"]);
        let mut in_outlook = card("Erika", "Muster", "erika@muster.example");
        in_outlook["jobTitle"] = json!("Vertrieb");
        let mut stage = Scenario::new()
            .ballast(0)
            .policy(match winner {
                ConflictWinner::Mailbox => |policy| policy.conflict = ConflictWinner::Mailbox,
                _ => |_| {},
            })
            .stage(Variant::AccountField);
        stage.edit(&Edit::CrmNew("erika", &[ANNA], in_crm));
        stage.edit(&Edit::OutlookNew(ANNA, "erika", in_outlook));
        let played = stage.pass(ANNA);
        assert_eq!(played.codes(), ["conflict"], "{played:#?}");
        stage.check("clash", &State::Crm("erika", json!({"position": [kept]})));
        stage.check(
            "clash",
            &State::Outlook(ANNA, "erika", json!({"jobTitle": kept})),
        );
        assert_eq!(stage.rows("m/anna-makler-example/journal/").len(), 1);
        stage.check_quiet("clash");
    }
}

/// Order does not matter: whoever comes first in the services' lists decides nothing.
#[test]
fn all_candidates_are_weighed_together() {
    let crm_people = [
        Edit::CrmNew(
            "eins",
            &[],
            json!({"lastName": ["Muster"], "emails": ["a@muster.example", "b@muster.example"]}),
        ),
        Edit::CrmNew(
            "zwei",
            &[],
            json!({"firstName": ["Max"], "lastName": ["Muster"], "emails": ["b@muster.example"]}),
        ),
    ];
    let cards = [
        Edit::OutlookNew(ANNA, "max", card("Max", "Muster", "b@muster.example")),
        Edit::OutlookNew(ANNA, "erika", card("Erika", "Muster", "a@muster.example")),
    ];
    let mut ends = Vec::new();
    for reversed in [false, true] {
        let mut stage = Scenario::new().ballast(0).stage(Variant::AccountField);
        let order: Vec<&Edit> = crm_people.iter().chain(&cards).collect();
        let order: Vec<&Edit> = if reversed {
            order.into_iter().rev().collect()
        } else {
            order
        };
        for edit in order {
            stage.edit(edit);
        }
        let played = stage.pass(ANNA);
        let mut told: Vec<String> = played
            .operations
            .iter()
            .map(|operation| stage.told(operation))
            .collect();
        told.sort();
        ends.push((told, stage.pending(ANNA), played.codes().join(" ")));
    }
    assert_eq!(ends[0], ends[1]);
}

// ---- answers ------------------------------------------------------------------------------------

fn question() -> Stage {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    for edit in [
        Edit::CrmNew(
            "eins",
            &[],
            json!({"lastName": ["Muster"], "emails": ["info@muster.example"]}),
        ),
        Edit::CrmNew(
            "zwei",
            &[],
            json!({"lastName": ["Muster"], "emails": ["info@muster.example"]}),
        ),
        Edit::OutlookNew(
            ANNA,
            "erika",
            card("Erika", "Muster", "info@muster.example"),
        ),
    ] {
        stage.edit(&edit);
    }
    let played = stage.pass(ANNA);
    assert_eq!(played.codes(), ["ambiguous-match"]);
    stage.world.advance_ms(PAUSE_MS);
    stage
}

fn answer(stage: &Stage, crm: Option<&str>) -> Result<(), Failure> {
    let mailbox_id = MailboxId::new(stage.mailbox_id(ANNA, "erika"));
    let crm_id = crm.map(|name| CrmId::new(stage.crm_id(name)));
    setup::pair(&stage.job(ANNA), &stage.outside(), &mailbox_id, crm_id).map(|_| ())
}

#[test]
fn answer_of_a_person_makes_the_pair() {
    let mut stage = question();
    answer(&stage, Some("zwei")).expect("both are free");
    let played = stage.pass(ANNA);
    assert_eq!(played.counters.writes(), 2, "{played:#?}");
    stage.check(
        "paired",
        &State::Standing(ANNA, "zwei", Some(Stands::Linked)),
    );
    stage.check(
        "paired",
        &State::Crm("zwei", json!({"firstName": ["Erika"]})),
    );
    stage.check("paired", &State::Markers("zwei", &[ANNA]));
    stage.check("paired", &State::Markers("eins", &[]));
    stage.check("paired", &State::Pending(ANNA, &[]));
    stage.check_quiet("paired");
}

/// Nobody asked about them: whoever pairs them has typed their ids.
#[test]
fn ids_that_nobody_asked_about_are_looked_for_before_they_are_remembered() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    stage.edit(&Edit::CrmNew("max", &[], person("Max", "Kraft", "")));
    let ute = json!({"givenName": "Ute", "surname": "Stark"});
    stage.edit(&Edit::OutlookNew(ANNA, "ute", ute));
    stage.edit(&Edit::OutlookNew(ANNA, "gone", json!({"givenName": "Go"})));
    stage.learn();
    stage.edit(&Edit::OutlookPurge(ANNA, "gone"));
    let before = stage.world.stored();
    let max = CrmId::new(stage.crm_id("max"));
    let ute = MailboxId::new(stage.mailbox_id(ANNA, "ute"));
    let gone = MailboxId::new(stage.mailbox_id(ANNA, "gone"));
    let pair = |mailbox_id: &MailboxId, crm_id: Option<CrmId>| {
        setup::pair(&stage.job(ANNA), &stage.outside(), mailbox_id, crm_id)
    };
    for mistyped in [&gone, &MailboxId::new("nobody")] {
        for crm_id in [Some(max.clone()), None] {
            let refused = pair(mistyped, crm_id);
            assert!(matches!(refused, Err(Failure::NotFound(_))), "{refused:?}");
        }
    }
    let refused = pair(&ute, Some(CrmId::new("nobody")));
    assert!(matches!(refused, Err(Failure::NotFound(_))), "{refused:?}");
    assert_eq!(stage.world.stored(), before, "nothing is remembered");
    pair(&ute, Some(max)).expect("both are there");
    stage.pass(ANNA);
    let linked = State::Standing(ANNA, "max", Some(Stands::Linked));
    stage.check("paired", &linked);
    stage.check_quiet("paired");
}

#[test]
fn answer_that_it_is_somebody_new_creates_it() {
    let mut stage = question();
    answer(&stage, None).expect("it is free");
    let played = stage.pass(ANNA);
    assert_eq!(played.counters.writes(), 1, "{played:#?}");
    stage.check("created", &State::CrmCount(3));
    stage.check("created", &State::Pending(ANNA, &[]));
    stage.check_quiet("created");
}

#[test]
fn answer_survives_until_a_pass_that_comes_to_its_end() {
    let mut stage = question();
    answer(&stage, Some("zwei")).expect("both are free");
    stage.world.crash_after(8);
    let job = stage.job(ANNA);
    let crashed = stage
        .world
        .run(|| super::stage::play(&stage.world, job, contact_sync_guest::pass::Mode::Sync));
    assert!(crashed.is_err());
    stage.pass(ANNA);
    stage.check(
        "paired",
        &State::Standing(ANNA, "zwei", Some(Stands::Linked)),
    );
    stage.check_quiet("paired");
}

#[test]
fn answer_about_somebody_who_is_gone_is_told_and_dropped() {
    let mut stage = question();
    answer(&stage, Some("zwei")).expect("both are free");
    stage.edit(&Edit::CrmDelete("zwei"));
    stage.world.advance_ms(PAUSE_MS);
    let played = stage.pass(ANNA);
    assert!(
        played.codes().contains(&"pairing-impossible"),
        "{played:#?}"
    );
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    // Only one candidate is left.
    stage.world.advance_ms(super::stage::DAY_MS);
    stage.pass(ANNA);
    stage.check(
        "paired",
        &State::Standing(ANNA, "eins", Some(Stands::Linked)),
    );
    stage.check_quiet("paired");
}

#[test]
fn contacts_that_have_a_partner_cannot_be_paired() {
    let mut stage = Scenario::new()
        .before([crm(
            "erika",
            &[ANNA],
            person("Erika", "Muster", "erika@muster.example"),
        )])
        .stage(Variant::AccountField);
    stage.edit(&Edit::CrmNew("max", &[], person("Max", "Kraft", "")));
    let job = stage.job(ANNA);
    let erika = MailboxId::new(stage.mailbox_id(ANNA, "erika"));
    let refused = setup::pair(
        &job,
        &stage.outside(),
        &erika,
        Some(CrmId::new(stage.crm_id("max"))),
    );
    assert!(matches!(refused, Err(Failure::NotFound(_))), "{refused:?}");
    let other = MailboxId::new("another");
    let refused = setup::pair(
        &job,
        &stage.outside(),
        &other,
        Some(CrmId::new(stage.crm_id("erika"))),
    );
    assert!(matches!(refused, Err(Failure::NotFound(_))), "{refused:?}");
    stage.check_quiet("refused");
}
