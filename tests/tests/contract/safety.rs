//! Section 7.3 to 7.8: lost answers, crashes, races, leases, damage, one bad contact.

use std::rc::Rc;

use contact_sync_guest::job::Matching;
use contact_sync_guest::outside::{Method, Outside};
use contact_sync_guest::pass::{self, Mode, Step};
use contact_sync_guest::report::{Outcome, Phase};
use contact_sync_tests::simulator::{
    Access, Fault, Matcher, RequestKind as Kind, StoreFault, World, WorldBuilder,
};
use serde_json::{Value, json};

use super::stage::{
    ANNA, Asking, DAY_MS, Edit, Ending, Expect, PAUSE_MS, Scenario, Stage, Stands, State, Variant,
    asking, crm, ending, play, with_mailbox, writes,
};

fn erika() -> Value {
    json!({"firstName": ["Erika"], "lastName": ["Muster"], "emails": ["erika@muster.example"],
           "phones": [{"type": "office", "number": "0221 / 88 99-0"}]})
}

fn max() -> Value {
    json!({"givenName": "Max", "surname": "Kraft",
           "emailAddresses": [{"address": "max@kraft.example", "name": "Max"}]})
}

/// Runs passes until two in a row have written nothing and nothing is pending.
pub(crate) fn come_to_rest(stage: &mut Stage, context: &str) {
    let mut quiet = 0;
    for _ in 0..14 {
        let played = stage.pass(ANNA);
        let is_quiet = writes(&played.counters).is_empty() && stage.pending(ANNA).is_empty();
        quiet = if is_quiet { quiet + 1 } else { 0 };
        if quiet == 2 {
            return;
        }
        stage.world.advance_ms(PAUSE_MS);
    }
    panic!("{context}: no rest; pending: {:?}", stage.pending(ANNA));
}

/// What both sides hold, whatever their ids.
pub(crate) fn snapshot(world: &World) -> (Vec<String>, Vec<String>, Vec<String>, Vec<String>) {
    let texts = |mut texts: Vec<String>| {
        texts.sort();
        texts
    };
    let without = |value: Value| {
        let mut value = value;
        if let Some(object) = value.as_object_mut() {
            object.remove("identifier");
        }
        value.to_string()
    };
    world.services(|services, _| {
        let crm = services.flowfact.contacts().into_values();
        let trash = services.flowfact.trash().into_values();
        let mailbox = services.graph.contacts(ANNA).into_values();
        let deleted = services.graph.deleted_contacts(ANNA).into_values();
        (
            texts(crm.map(Value::Object).map(without).collect()),
            texts(trash.map(Value::Object).map(without).collect()),
            texts(
                mailbox
                    .map(|contact| Value::Object(contact).to_string())
                    .collect(),
            ),
            texts(
                deleted
                    .map(|contact| Value::Object(contact).to_string())
                    .collect(),
            ),
        )
    })
}

// ---- lost answers -------------------------------------------------------------------------------

fn lost() -> [(&'static str, Fault); 5] {
    [
        ("lost before", Fault::LostBefore),
        ("lost after", Fault::LostAfter),
        ("504 after", Fault::RefusedAfter { status: 504 }),
        ("timeout after", Fault::Slow { delay_ms: 600_000 }),
        (
            "garbled",
            Fault::Garbled {
                body: b"<html>gateway</html>".to_vec(),
            },
        ),
    ]
}

/// One create whose answer is lost, of what `edits` ask for; `again` edits its source within the
/// settling time.
fn lose_answer(
    scenario: impl Fn() -> Scenario,
    edits: &[fn() -> Edit],
    again: fn() -> Edit,
    requests: &Matcher,
    (crm, mailbox): (usize, usize),
) {
    for (name, fault) in lost() {
        let mut stage = scenario().stage(Variant::AccountField);
        for edit in edits {
            stage.edit(&edit());
        }
        stage.world.advance_ms(60_000);
        stage.world.services(|services, _| {
            services
                .faults
                .script(requests.clone(), 0, 1, fault.clone());
        });
        stage.pass(ANNA);
        let intents = stage.rows("m/anna-makler-example/intent/");
        assert_eq!(
            intents.len(),
            1,
            "{name}: it was no create whose answer was lost"
        );
        let struck = stage.world.services(|services, _| services.faults.struck());
        assert_eq!(struck, 1, "{name}: nothing was lost");
        // Within the settling time nobody knows: nothing is created for it.
        let before = (
            stage.world.crm_ids().len(),
            stage.world.mailbox_ids(ANNA).len(),
        );
        stage.world.advance_ms(60_000);
        stage.edit(&again());
        stage.pass(ANNA);
        let after = (
            stage.world.crm_ids().len(),
            stage.world.mailbox_ids(ANNA).len(),
        );
        assert_eq!(before, after, "{name}: created although it may be there");
        stage.world.advance_ms(PAUSE_MS);
        come_to_rest(&mut stage, name);
        stage.check(name, &State::CrmCount(crm));
        stage.check(name, &State::OutlookCount(ANNA, mailbox));
        assert!(
            stage
                .links(ANNA)
                .iter()
                .filter(|link| link.is_linked())
                .count()
                == 4 + crm,
            "{name}"
        );
        stage.check_quiet(name);
    }
}

#[test]
pub(crate) fn lost_answer_to_a_create_in_the_mailbox_makes_no_duplicate() {
    lose_answer(
        Scenario::new,
        &[|| Edit::CrmNew("erika", &[ANNA], erika())],
        || Edit::Crm("erika", json!({"position": ["Leitung"]})),
        &asking(Asking::Creates),
        (1, 1),
    );
}

#[test]
pub(crate) fn lost_answer_to_a_create_in_the_crm_makes_no_duplicate() {
    lose_answer(
        Scenario::new,
        &[|| Edit::OutlookNew(ANNA, "max", max())],
        || Edit::Outlook(ANNA, "max", json!({"jobTitle": "Leitung"})),
        &Matcher::of(Method::Post, "/entity-service/schemas"),
        (1, 1),
    );
}

#[test]
pub(crate) fn lost_answer_to_a_create_that_the_index_shows_late_makes_no_duplicate() {
    lose_answer(
        || {
            Scenario::new()
                .world(|builder| builder.flowfact(|quirks| quirks.index_lag_ms = 240_000))
        },
        &[|| Edit::OutlookNew(ANNA, "max", max())],
        || Edit::Outlook(ANNA, "max", json!({"jobTitle": "Leitung"})),
        &Matcher::of(Method::Post, "/entity-service/schemas"),
        (1, 1),
    );
}

/// The create of a pair that has lost its mailbox half: name and address say nothing here.
#[test]
fn lost_answer_to_a_create_of_an_edit_that_outlives_a_deletion_makes_no_duplicate() {
    lose_answer(
        || {
            Scenario::new().before([crm(
                "erika",
                &[ANNA],
                json!({"firstName": ["Erika"], "lastName": ["Muster"]}),
            )])
        },
        &[
            || Edit::Crm("erika", json!({"lastName": ["Kraft"]})),
            || Edit::OutlookDelete(ANNA, "erika"),
        ],
        || Edit::Crm("erika", json!({"position": ["Leitung"]})),
        &asking(Asking::Creates),
        (1, 1),
    );
}

#[test]
pub(crate) fn copy_that_a_user_made_of_a_lost_create_proves_nothing() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    stage.edit(&Edit::CrmNew("erika", &[ANNA], erika()));
    stage.world.services(|services, _| {
        let creates = asking(Asking::Creates);
        services.faults.script(creates, 0, 1, Fault::LostAfter);
    });
    stage.pass(ANNA);
    let created = stage
        .world
        .services(|services, _| services.graph.find(ANNA, "surname", "Muster"));
    let created = created.expect("the create had its effect");
    stage.world.mailbox_copy(ANNA, &created);
    for _ in 0..4 {
        stage.world.advance_ms(PAUSE_MS);
        let played = stage.pass(ANNA);
        assert!(writes(&played.counters).is_empty(), "{played:#?}");
    }
    assert_eq!(
        stage.pending(ANNA).len(),
        3,
        "all three are held: {:?}",
        stage.pending(ANNA)
    );
}

// ---- crashes ------------------------------------------------------------------------------------

/// Something of everything, on both sides.
fn busy() -> Stage {
    busy_in(|builder| builder)
}

/// The same in a world with quirks.
pub(crate) fn busy_in(world: fn(WorldBuilder) -> WorldBuilder) -> Stage {
    let person = |name: &'static str| {
        crm(
            name,
            &[ANNA],
            json!({"firstName": [name], "lastName": ["Muster"],
                "emails": [format!("{name}@muster.example")]}),
        )
    };
    let mut stage = Scenario::new()
        .world(world)
        .ballast(12)
        .before([
            person("a"),
            person("b"),
            person("c"),
            person("d"),
            person("e"),
            person("f"),
            person("g"),
        ])
        .stage(Variant::AccountField);
    for edit in [
        Edit::CrmNew("erika", &[ANNA], erika()),
        Edit::OutlookNew(ANNA, "max", max()),
        Edit::Crm("a", json!({"position": ["Leitung"]})),
        Edit::Outlook(ANNA, "b", json!({"jobTitle": "Leitung"})),
        Edit::Crm("c", json!({"position": ["Leitung"]})),
        Edit::Outlook(
            ANNA,
            "c",
            json!({"jobTitle": "Vertrieb", "department": "Verkauf"}),
        ),
        Edit::CrmDelete("d"),
        Edit::OutlookDelete(ANNA, "e"),
        Edit::CrmDelete("f"),
        Edit::Outlook(ANNA, "f", json!({"jobTitle": "Leitung"})),
        Edit::Unmark("g", ANNA),
    ] {
        stage.edit(&edit);
    }
    stage.world.advance_ms(60_000);
    stage
}

#[test]
fn pass_that_dies_at_any_step_is_taken_up_and_ends_the_same() {
    let mut whole = busy();
    let first = whole.world.steps();
    whole.pass(ANNA);
    let steps = whole.world.steps() - first;
    come_to_rest(&mut whole, "no crash");
    let expected = snapshot(&whole.world);
    for step in 0..steps {
        let mut stage = busy();
        let job = stage.job(ANNA);
        stage.world.crash_after(step);
        let crashed = stage.world.run(|| play(&stage.world, job, Mode::Sync));
        assert!(crashed.is_err(), "step {step} of {steps}");
        stage.world.advance_ms(PAUSE_MS);
        come_to_rest(&mut stage, &format!("step {step} of {steps}"));
        assert_eq!(snapshot(&stage.world), expected, "step {step} of {steps}");
    }
}

#[test]
fn first_pass_that_dies_at_any_step_is_taken_up_without_duplicates() {
    let world = || {
        let world = with_mailbox(World::builder(), ANNA).build();
        for number in 0..3 {
            let name = format!("Karte {number}");
            world.mailbox_create(ANNA, &json!({"givenName": "K", "surname": name}));
            let id = world.crm_create(
                &json!({"firstName": ["E"], "lastName": [format!("Eintrag {number}")]}),
            );
            world.crm_mark(&id, ANNA);
        }
        world
    };
    let whole = world();
    play(&whole, whole.job(ANNA), Mode::Sync);
    let expected = snapshot(&whole);
    for step in 0..whole.steps() {
        let world = world();
        world.crash_after(step);
        let crashed = world.run(|| play(&world, world.job(ANNA), Mode::Sync));
        assert!(crashed.is_err(), "step {step}");
        for _ in 0..4 {
            world.advance_ms(PAUSE_MS);
            play(&world, world.job(ANNA), Mode::Sync);
        }
        assert_eq!(snapshot(&world), expected, "step {step}");
    }
}

// ---- the lease ----------------------------------------------------------------------------------

#[test]
fn lost_lease_ends_a_pass_at_once_and_the_next_one_ends_the_same() {
    let mut whole = busy();
    let calls = |stage: &Stage| {
        let counters = stage.world.store_counters();
        counters.reads + counters.commits
    };
    let first = calls(&whole);
    whole.pass(ANNA);
    let calls = u32::try_from(calls(&whole) - first).expect("few calls");
    come_to_rest(&mut whole, "no loss");
    let expected = snapshot(&whole.world);
    let mut requests = 0;
    for skip in 0..calls {
        let mut stage = busy();
        stage.world.fail_store(skip, StoreFault::LeaseLost);
        let played = stage.pass(ANNA);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::Stopped("lease-lost"),
            "call {skip}"
        );
        // One call of the store later, no fewer requests: nothing was sent after the loss.
        assert!(played.counters.requests >= requests, "call {skip}");
        requests = played.counters.requests;
        if skip == 0 {
            assert_eq!(requests, 0, "nothing is sent without a lease");
        }
        stage.world.fail_store(0, StoreFault::LeaseRegained);
        stage.world.advance_ms(PAUSE_MS);
        come_to_rest(&mut stage, &format!("lease lost at call {skip}"));
        assert_eq!(snapshot(&stage.world), expected, "call {skip}");
    }
}

/// The lease is asked for before each batch, also where nothing else is asked of the store: of a
/// first pair nothing is written down before it is sent.
#[test]
pub(crate) fn nothing_is_written_once_the_lease_is_lost() {
    let leader = json!({"position": ["Leitung"]});
    let card = json!({"givenName": "Erika", "surname": "Muster", "jobTitle": "Leitung",
        "emailAddresses": [{"address": "erika@muster.example", "name": "Erika"}]});
    let linked: &[&str] = &[ANNA];
    for (markers, edit) in [
        (linked, Edit::Crm("erika", leader)),
        (&[], Edit::OutlookNew(ANNA, "erika", card)),
    ] {
        let mut stage = Scenario::new()
            .before([crm("erika", markers, erika())])
            .stage(Variant::AccountField);
        stage.edit(&edit);
        stage.world.advance_ms(60_000);
        stage.world.services(|services, _| services.take_counters());
        let outcome = play_with(&mut stage, |stage| {
            stage.world.fail_store(0, StoreFault::LeaseLost);
        });
        assert_eq!(ending(&outcome), Ending::Stopped("lease-lost"));
        let counters = stage.world.services(|services, _| services.take_counters());
        assert!(
            writes(&counters).is_empty(),
            "marked for {markers:?}: {counters:?}"
        );
    }
}

#[test]
fn busy_store_is_asked_again_and_a_commit_that_happened_is_repeated_without_harm() {
    for fault in [StoreFault::UnavailableBefore, StoreFault::UnavailableAfter] {
        for skip in [0, 3, 7, 12, 16, 20, 24] {
            let mut stage = busy();
            stage.world.fail_store(skip, fault);
            let played = stage.pass(ANNA);
            assert_eq!(
                ending(&played.report.outcome),
                Ending::Complete,
                "{fault:?} {skip}"
            );
            come_to_rest(&mut stage, &format!("{fault:?} {skip}"));
        }
    }
}

// ---- damage -------------------------------------------------------------------------------------

/// A link row that cannot be read is matched anew: nothing is deleted, nothing is created.
#[test]
fn damaged_link_is_found_again_and_is_never_a_deletion() {
    type Edits = fn() -> Vec<Edit>;
    let edits: [(&str, Edits); 4] = [
        ("nothing", Vec::new),
        ("crm", || {
            vec![Edit::Crm("erika", json!({"position": ["Leitung"]}))]
        }),
        ("mailbox", || {
            vec![Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"}))]
        }),
        ("both", || {
            vec![
                Edit::Crm("erika", json!({"position": ["Leitung"]})),
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
            ]
        }),
    ];
    for variant in [Variant::AccountField, Variant::SyncEntry] {
        for matching in [Matching::EmailOrPhone, Matching::Off] {
            for (name, edits) in edits {
                let context = format!("{name}, {matching:?}, {variant:?}");
                let mut stage = Scenario::new()
                    .policy(match matching {
                        Matching::Off => |policy| policy.matching = Matching::Off,
                        Matching::EmailOrPhone => |_| {},
                    })
                    .before([crm("erika", &[ANNA], erika())])
                    .stage(variant);
                let mut rows = stage.world.stored();
                let key = format!("m/anna-makler-example/pair/{}", stage.crm_id("erika"));
                assert!(rows.insert(key, b"{\"crm_id\":".to_vec()).is_some());
                stage.world.set_stored(rows);
                for edit in edits() {
                    stage.edit(&edit);
                }
                for _ in 0..2 {
                    stage.world.advance_ms(DAY_MS);
                    stage.pass(ANNA);
                }
                stage.check(&context, &State::CrmCount(1));
                stage.check(&context, &State::OutlookCount(ANNA, 1));
                stage.check(
                    &context,
                    &State::Standing(ANNA, "erika", Some(Stands::Linked)),
                );
                if !edits().is_empty() {
                    stage.check(
                        &context,
                        &State::Crm("erika", json!({"position": ["Leitung"]})),
                    );
                    stage.check(
                        &context,
                        &State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
                    );
                }
                let damaged = stage.rows("m/anna-makler-example/pair/");
                assert_eq!(damaged.len(), stage.links(ANNA).len(), "{context}");
            }
        }
    }
}

/// The same between two daily full reads.
#[test]
fn damaged_link_whose_contact_is_edited_makes_the_pass_read_everything() {
    let mut stage = Scenario::new()
        .policy(|policy| policy.matching = Matching::Off)
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    let mut rows = stage.world.stored();
    let key = format!("m/anna-makler-example/pair/{}", stage.crm_id("erika"));
    rows.insert(key, b"?".to_vec());
    stage.world.set_stored(rows);
    stage.edit(&Edit::Crm("erika", json!({"position": ["Leitung"]})));
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    assert_eq!(played.codes(), ["link-unreadable"], "{played:#?}");
    let expected = [(Kind::GraphUpdate, 1)];
    assert_eq!(
        writes(&played.counters).into_iter().collect::<Vec<_>>(),
        expected,
        "{played:#?}"
    );
    stage.check(
        "found again",
        &State::Standing(ANNA, "erika", Some(Stands::Linked)),
    );
    stage.check(
        "found again",
        &State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
    );
}

#[test]
fn damaged_state_is_refused_not_taken_for_a_first_pass() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    for damage in [&b"{\"format\":99}"[..], b"{\"format\":1}", b"?"] {
        let mut rows = stage.world.stored();
        rows.insert("m/anna-makler-example/state".to_owned(), damage.to_vec());
        stage.world.set_stored(rows);
        let played = stage.pass(ANNA);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::Stopped("state-unreadable")
        );
        assert!(writes(&played.counters).is_empty());
    }
}

// ---- feeds --------------------------------------------------------------------------------------

#[test]
fn expired_position_makes_the_pass_read_everything_and_confirm_what_is_missing() {
    Scenario::new()
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
        .then(
            [
                Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
                Edit::OutlookDelete(ANNA, "max"),
                Edit::OutlookMove(ANNA, "ute"),
                Edit::Services(|services| services.graph.expire_delta_tokens(ANNA)),
            ],
            ANNA,
            Expect {
                operations: &[
                    "crm update erika: edited-in-mailbox",
                    "crm delete max: deleted-in-mailbox",
                ],
                writes: &[(Kind::FlowfactUpdate, 1), (Kind::FlowfactDelete, 1)],
                findings: &["moved-in-mailbox"],
                state: vec![State::Crm("ute", json!({"lastName": ["Stark"]}))],
                ..Expect::default()
            },
        )
        .check();
}

#[test]
fn change_that_the_index_shows_late_is_not_missed_and_own_writes_are_no_edits() {
    Scenario::new()
        .only(&[Variant::AccountField])
        .world(|builder| builder.flowfact(|quirks| quirks.index_lag_ms = 120_000))
        .before([crm("erika", &[ANNA], erika())])
        .then(
            [
                Edit::Outlook(ANNA, "erika", json!({"department": "Verkauf"})),
                Edit::Crm("erika", json!({"position": ["Leitung"]})),
            ],
            ANNA,
            Expect {
                // The record is read before it is written: the CRM's edit is seen there.
                operations: &["crm update erika: edited-in-mailbox"],
                writes: &[(Kind::FlowfactUpdate, 1), (Kind::GraphUpdate, 1)],
                state: vec![
                    State::Crm(
                        "erika",
                        json!({"position": ["Leitung"], "department": ["Verkauf"]}),
                    ),
                    State::Outlook(
                        ANNA,
                        "erika",
                        json!({"jobTitle": "Leitung", "department": "Verkauf"}),
                    ),
                ],
                ..Expect::default()
            },
        )
        .check();
    let mut stage = Scenario::new()
        .world(|builder| builder.flowfact(|quirks| quirks.index_lag_ms = 120_000))
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::Crm("erika", json!({"position": ["Leitung"]})));
    // Passes every minute: the first ones do not see it, and their position must not pass it by.
    for _ in 0..4 {
        stage.world.advance_ms(60_000);
        // Somebody else is edited meanwhile, so that the position moves on.
        let other = stage.links(ANNA)[0].crm_id.to_string();
        stage.world.crm_edit(
            &other,
            &json!({"department": [stage.world.now().0.to_string()]}),
        );
        stage.pass(ANNA);
    }
    stage.check(
        "late",
        &State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
    );
}

// ---- races --------------------------------------------------------------------------------------

/// Plays a pass, and lets somebody act between planning and executing.
fn play_with(stage: &mut Stage, meanwhile: impl FnOnce(&Stage)) -> Outcome {
    let outside = Rc::clone(&stage.world) as Rc<dyn Outside>;
    let mut pass = pass::open(stage.job(ANNA), Mode::Sync, outside).expect("the job is sound");
    let mut meanwhile = Some(meanwhile);
    for _ in 0..10_000 {
        match pass.advance() {
            Step::Working(progress) if progress.phase == Phase::Execute => {
                if let Some(act) = meanwhile.take() {
                    act(stage);
                }
            }
            Step::Working(_) => {}
            Step::Waiting(ms, _) => stage.world.advance_ms(i64::from(ms)),
            Step::Done(report) => {
                assert!(meanwhile.is_none(), "nothing was executed");
                stage.learn();
                return report.outcome;
            }
        }
    }
    panic!("no end");
}

#[test]
pub(crate) fn edit_in_the_mailbox_under_a_write_is_merged_not_overwritten() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::Crm("erika", json!({"position": ["Leitung"]})));
    stage.world.advance_ms(60_000);
    let id = stage.handle(ANNA, "erika");
    let outcome = play_with(&mut stage, |stage| {
        stage
            .world
            .mailbox_edit(ANNA, &id, &json!({"department": "Verkauf"}));
    });
    assert_eq!(outcome, Outcome::Complete);
    let both = json!({"jobTitle": "Leitung", "department": "Verkauf"});
    stage.check("merged", &State::Outlook(ANNA, "erika", both));
    stage.check(
        "merged",
        &State::Crm("erika", json!({"department": ["Verkauf"]})),
    );
    stage.check_quiet("merged");
}

#[test]
pub(crate) fn edit_in_the_crm_under_a_write_is_merged_not_overwritten() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"jobTitle": "Leitung"}),
    ));
    stage.world.advance_ms(60_000);
    let id = stage.crm_id("erika");
    play_with(&mut stage, |stage| {
        stage
            .world
            .crm_edit(&id, &json!({"department": ["Verkauf"]}));
    });
    stage.check(
        "merged",
        &State::Crm(
            "erika",
            json!({"position": ["Leitung"], "department": ["Verkauf"]}),
        ),
    );
    stage.check(
        "merged",
        &State::Outlook(
            ANNA,
            "erika",
            json!({"jobTitle": "Leitung", "department": "Verkauf"}),
        ),
    );
    stage.check_quiet("merged");
}

/// Planned deletions are confirmed again when they are carried out.
#[test]
pub(crate) fn edit_under_a_deletion_saves_the_contact() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookDelete(ANNA, "erika"));
    stage.world.advance_ms(60_000);
    let id = stage.crm_id("erika");
    play_with(&mut stage, |stage| {
        stage
            .world
            .crm_edit(&id, &json!({"department": ["Verkauf"]}));
    });
    stage.check(
        "saved",
        &State::Crm("erika", json!({"department": ["Verkauf"]})),
    );
    assert!(
        stage.rows("crm/deletion/").is_empty(),
        "nobody took it away"
    );
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "saved");
    stage.check(
        "saved",
        &State::Outlook(ANNA, "erika", json!({"department": "Verkauf"})),
    );
    stage.check_quiet("saved");

    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::CrmDelete("erika"));
    stage.world.advance_ms(60_000);
    let id = stage.handle(ANNA, "erika");
    play_with(&mut stage, |stage| {
        stage
            .world
            .mailbox_edit(ANNA, &id, &json!({"department": "Verkauf"}));
    });
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "saved");
    stage.check(
        "saved",
        &State::Crm("erika", json!({"department": ["Verkauf"]})),
    );
    stage.check_quiet("saved");
}

#[test]
fn contact_back_in_the_folder_under_a_deletion_is_not_deleted() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookDelete(ANNA, "erika"));
    stage.world.advance_ms(60_000);
    let id = stage.handle(ANNA, "erika");
    play_with(&mut stage, |stage| stage.world.mailbox_move_back(ANNA, &id));
    stage.check("back", &State::CrmCount(1));
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "back");
    stage.check(
        "back",
        &State::Standing(ANNA, "erika", Some(Stands::Linked)),
    );
    stage.check_quiet("back");
}

#[test]
fn contact_restored_in_the_crm_under_a_deletion_is_not_deleted() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::CrmDelete("erika"));
    stage.world.advance_ms(60_000);
    let id = stage.crm_id("erika");
    play_with(&mut stage, |stage| stage.world.crm_restore(&id));
    stage.check(
        "restored",
        &State::Outlook(ANNA, "erika", json!({"surname": "Muster"})),
    );
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "restored");
    stage.check(
        "restored",
        &State::Standing(ANNA, "erika", Some(Stands::Linked)),
    );
    stage.check_quiet("restored");
}

#[test]
pub(crate) fn record_that_moves_on_under_every_write_is_left_pending() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::Crm("erika", json!({"position": ["Leitung"]})));
    let conflict_every = |stage: &Stage, every| {
        stage.world.services(|services, _| {
            services.graph.quirks.spontaneous_conflict_every = every;
            services.ews.quirks.spontaneous_conflict_every = every;
        });
    };
    conflict_every(&stage, Some(1));
    let played = stage.pass(ANNA);
    assert_eq!(played.written(Kind::GraphUpdate), 3, "{played:#?}");
    assert_eq!(ending(&played.report.outcome), Ending::Complete);
    assert!(played.report.more);
    assert_eq!(stage.pending(ANNA), ["edited-meanwhile"]);
    conflict_every(&stage, None);
    stage.pass(ANNA);
    stage.check(
        "later",
        &State::Outlook(ANNA, "erika", json!({"jobTitle": "Leitung"})),
    );
    stage.check_quiet("later");
}

// ---- throttling ---------------------------------------------------------------------------------

fn refused(status: u16, retry_after_s: Option<u32>) -> Fault {
    Fault::Refused {
        status,
        retry_after_s,
        body: String::new(),
    }
}

#[test]
fn long_pause_is_the_hosts_to_wait_and_the_pass_goes_on_where_it_was() {
    for requests in [asking(Asking::Anything), Matcher::url("/flowfact/")] {
        for skip in 0..4 {
            let mut stage = busy();
            stage.world.services(|services, _| {
                services
                    .faults
                    .script(requests.clone(), skip, 1, refused(429, Some(120)));
            });
            let played = stage.pass(ANNA);
            assert_eq!(played.waits, [120_000], "{requests:?} {skip}");
            assert_eq!(
                ending(&played.report.outcome),
                Ending::Complete,
                "{requests:?} {skip}"
            );
            come_to_rest(&mut stage, &format!("{requests:?} {skip}"));
        }
    }
}

#[test]
fn pause_longer_than_a_pass_waits_ends_it_and_the_next_one_goes_on() {
    let mut stage = busy();
    stage.world.services(|services, _| {
        let updates = asking(Asking::Updates);
        let busy = refused(429, Some(3_600));
        services.faults.script(updates, 0, 1, busy);
    });
    let played = stage.pass(ANNA);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::Stopped("throttled"),
        "{played:#?}"
    );
    stage.world.advance_ms(3_700_000);
    come_to_rest(&mut stage, "later");
}

#[test]
fn service_that_throttles_forever_ends_the_pass() {
    let mut stage = busy();
    stage.world.services(|services, _| {
        let requests = asking(Asking::Anything);
        let busy = refused(429, Some(60));
        services.faults.script(requests, 0, u32::MAX, busy);
    });
    let played = stage.pass(ANNA);
    assert_eq!(ending(&played.report.outcome), Ending::Stopped("throttled"));
    assert!(played.waits.len() <= 20, "{:?}", played.waits);
}

/// Inside a batch single requests are throttled: those and no others are sent again.
#[test]
fn throttled_item_of_a_batch_is_sent_again_and_only_it() {
    let mut stage = Scenario::new().ballast(20).stage(Variant::AccountField);
    let links = stage.links(ANNA);
    for link in &links {
        stage
            .world
            .crm_edit(link.crm_id.as_str(), &json!({"position": ["Leitung"]}));
    }
    stage.world.services(|services, _| {
        services.graph.quirks.batch_unchained_max = 3;
        services.graph.quirks.retry_after_s = Some(1);
    });
    let played = stage.pass(ANNA);
    assert_eq!(ending(&played.report.outcome), Ending::Complete);
    let told = played.counters.statuses.get(&200).copied().unwrap_or(0);
    assert!(told > 0);
    for id in stage.world.mailbox_ids(ANNA) {
        let contact = stage.world.mailbox_contact(ANNA, &id).unwrap_or_default();
        assert_eq!(contact["jobTitle"], json!("Leitung"));
    }
    stage.check_quiet("batch");
}

// ---- one bad contact ----------------------------------------------------------------------------

#[test]
fn refused_contact_stops_no_other_and_is_retried_with_growing_pauses() {
    let mut stage = Scenario::new()
        .before([
            crm("erika", &[ANNA], erika()),
            crm(
                "max",
                &[ANNA],
                json!({"firstName": ["Max"], "lastName": ["Kraft"]}),
            ),
        ])
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
    stage.edit(&Edit::Outlook(ANNA, "max", json!({"jobTitle": "Leitung"})));
    let played = stage.pass(ANNA);
    assert_eq!(ending(&played.report.outcome), Ending::Complete);
    stage.check(
        "refused",
        &State::Crm("max", json!({"position": ["Leitung"]})),
    );
    assert_eq!(played.codes(), ["refused"], "{played:#?}");
    // Two days of passes, one every quarter of an hour.
    let mut tries = 0;
    let mut told = 0;
    for _ in 0..(48 * 4) {
        stage.world.advance_ms(15 * 60_000);
        let played = stage.pass(ANNA);
        tries += played.counters.of(Kind::FlowfactUpdate);
        told += played.findings.len();
    }
    assert!((5..=12).contains(&tries), "tried {tries} times in two days");
    assert_eq!(told, 0, "told once is enough");
    stage
        .world
        .services(|services, now| services.flowfact.grant(&id, Access::Full, now));
    stage.world.advance_ms(DAY_MS);
    stage.pass(ANNA);
    stage.check(
        "allowed",
        &State::Crm("erika", json!({"position": ["Leitung"]})),
    );
    stage.check_quiet("allowed");
}

/// A service that fails for one contact only: it is not the service that is down.
#[test]
fn contact_for_which_the_service_fails_stops_no_other() {
    for status in [500, 503] {
        let mut stage = Scenario::new()
            .before([
                crm("erika", &[ANNA], erika()),
                crm(
                    "max",
                    &[ANNA],
                    json!({"firstName": ["Max"], "lastName": ["Kraft"]}),
                ),
            ])
            .stage(Variant::AccountField);
        let id = stage.crm_id("erika");
        stage.edit(&Edit::Outlook(
            ANNA,
            "erika",
            json!({"jobTitle": "Leitung"}),
        ));
        stage.edit(&Edit::Outlook(ANNA, "max", json!({"jobTitle": "Leitung"})));
        stage.world.services(|services, _| {
            let matcher = Matcher::of(Method::Patch, &id);
            services
                .faults
                .script(matcher, 0, u32::MAX, refused(status, None));
        });
        for _ in 0..3 {
            stage.pass(ANNA);
            stage.world.advance_ms(PAUSE_MS);
        }
        stage.check(
            "failing",
            &State::Crm("max", json!({"position": ["Leitung"]})),
        );
        stage.world.services(|services, _| services.faults.clear());
        stage.world.advance_ms(DAY_MS);
        come_to_rest(&mut stage, "failing");
        stage.check(
            "later",
            &State::Crm("erika", json!({"position": ["Leitung"]})),
        );
    }
}
