//! Section 5, `conflict = newest`: by users' edit times, with two mailboxes around one CRM.
//!
//! Goal: whoever edited last wins, whichever pass comes first and however late. Method: a day as a
//! list of moments, people and passes alike; at its end everybody holds what the last one wrote.

use contact_sync_guest::contact::CrmId;
use contact_sync_guest::job::{ConflictWinner, Policy};
use contact_sync_guest::links::Memory;
use contact_sync_guest::outside::Method;
use contact_sync_tests::simulator::{Fault, Matcher};
use serde_json::{Value, json};

use super::stage::{ANNA, BERND, Edit, PAUSE_MS, Scenario, Stage, State, Variant, crm, outlook};

fn newest(policy: &mut Policy) {
    policy.conflict = ConflictWinner::Newest;
}

/// Something that happens at a minute of the day.
#[derive(Clone, Copy)]
enum Moment {
    /// Somebody sets the position in the CRM.
    Crm(i64, &'static str),
    /// Somebody sets the department in the CRM.
    CrmOther(i64, &'static str),
    /// Somebody sets the position in a mailbox.
    Outlook(i64, &'static str, &'static str),
    /// Somebody sets the department in a mailbox.
    OutlookOther(i64, &'static str, &'static str),
    /// A pass of a mailbox.
    Pass(i64, &'static str),
}

use Moment::{Crm, CrmOther, Outlook, OutlookOther, Pass};

impl Moment {
    fn minute(self) -> i64 {
        match self {
            Crm(minute, _)
            | CrmOther(minute, _)
            | Outlook(minute, ..)
            | OutlookOther(minute, ..)
            | Pass(minute, _) => minute,
        }
    }
}

fn erika() -> Value {
    json!({"firstName": ["Erika"], "lastName": ["Muster"], "emails": ["erika@muster.example"],
           "position": ["Anfang"]})
}

fn stage() -> Stage {
    Scenario::new()
        .mailboxes(&[ANNA, BERND])
        .policy(newest)
        .before([crm("erika", &[ANNA, BERND], erika())])
        .stage(Variant::AccountField)
}

fn play(stage: &mut Stage, day: &[Moment]) {
    let mut minute = 0;
    for moment in day {
        assert!(moment.minute() >= minute, "a day goes by in its order");
        stage.world.advance_ms((moment.minute() - minute) * 60_000);
        minute = moment.minute();
        match *moment {
            Crm(_, text) => stage.edit(&Edit::Crm("erika", json!({"position": [text]}))),
            CrmOther(_, text) => stage.edit(&Edit::Crm("erika", json!({"department": [text]}))),
            Outlook(_, mailbox, text) => {
                stage.edit(&Edit::Outlook(mailbox, "erika", json!({"jobTitle": text})));
            }
            OutlookOther(_, mailbox, text) => {
                stage.edit(&Edit::Outlook(
                    mailbox,
                    "erika",
                    json!({"department": text}),
                ));
            }
            Pass(_, mailbox) => {
                stage.pass(mailbox);
            }
        }
    }
}

/// Passes until everybody has heard of everything.
fn come_to_rest(stage: &mut Stage) {
    for mailbox in [ANNA, BERND, ANNA, BERND] {
        stage.world.advance_ms(PAUSE_MS);
        stage.pass(mailbox);
    }
}

fn holds(stage: &Stage, context: &str, text: &str) {
    stage.check(context, &State::Crm("erika", json!({"position": [text]})));
    for mailbox in [ANNA, BERND] {
        let expected = json!({"jobTitle": text});
        stage.check(context, &State::Outlook(mailbox, "erika", expected));
    }
}

/// What happened, when, and whose value stays. Minutes count from midnight: 600 is ten o'clock.
const DAYS: [(&str, &[Moment], &str); 13] = [
    (
        "Anna at ten, Bernd at half past; Anna's pass first",
        &[
            Outlook(600, ANNA, "A"),
            Outlook(630, BERND, "B"),
            Pass(640, ANNA),
            Pass(650, BERND),
        ],
        "B",
    ),
    (
        "the same, Bernd's pass first",
        &[
            Outlook(600, ANNA, "A"),
            Outlook(630, BERND, "B"),
            Pass(640, BERND),
            Pass(650, ANNA),
        ],
        "B",
    ),
    (
        "Anna's pass long after her edit, Bernd's edit in between",
        &[
            Outlook(600, ANNA, "A"),
            Outlook(630, BERND, "B"),
            Pass(900, ANNA),
            Pass(910, BERND),
        ],
        "B",
    ),
    (
        "Bernd at ten, Anna at half past; Bernd's pass a day late",
        &[
            Outlook(600, BERND, "B"),
            Outlook(630, ANNA, "A"),
            Pass(640, ANNA),
            Pass(2_100, BERND),
        ],
        "A",
    ),
    (
        "the CRM between them",
        &[
            Outlook(600, ANNA, "A"),
            Crm(615, "C"),
            Outlook(630, BERND, "B"),
            Pass(640, ANNA),
            Pass(650, BERND),
        ],
        "B",
    ),
    (
        "the CRM after both",
        &[
            Outlook(600, ANNA, "A"),
            Outlook(610, BERND, "B"),
            Crm(630, "C"),
            Pass(640, ANNA),
            Pass(650, BERND),
        ],
        "C",
    ),
    (
        "the CRM after Anna's pass",
        &[
            Outlook(600, ANNA, "A"),
            Pass(610, ANNA),
            Outlook(620, BERND, "B"),
            Crm(630, "C"),
            Pass(640, BERND),
        ],
        "C",
    ),
    (
        "the CRM before Bernd, and Anna's pass brought something else later",
        &[
            Crm(600, "C"),
            Outlook(620, BERND, "B"),
            OutlookOther(630, ANNA, "Verkauf"),
            Pass(640, ANNA),
            Pass(650, BERND),
        ],
        "B",
    ),
    (
        "the CRM after Bernd, and Anna's pass brought something else later",
        &[
            Outlook(600, BERND, "B"),
            Crm(620, "C"),
            OutlookOther(630, ANNA, "Verkauf"),
            Pass(640, ANNA),
            Pass(650, BERND),
        ],
        "C",
    ),
    (
        "Anna's value is old, although somebody edits another field in the CRM later",
        &[
            Outlook(600, ANNA, "A"),
            Pass(610, ANNA),
            Outlook(630, BERND, "B"),
            CrmOther(700, "Einkauf"),
            Pass(710, BERND),
        ],
        "B",
    ),
    (
        "under two minutes apart: the CRM's",
        &[
            Outlook(600, ANNA, "A"),
            Outlook(601, BERND, "B"),
            Pass(640, ANNA),
            Pass(650, BERND),
        ],
        "A",
    ),
    (
        "cleared by Anna at ten, edited by Bernd at half past",
        &[
            Outlook(600, ANNA, ""),
            Outlook(630, BERND, "B"),
            Pass(640, ANNA),
            Pass(650, BERND),
        ],
        "B",
    ),
    (
        "three edits of one value, passes late",
        &[
            Outlook(600, ANNA, "A1"),
            Pass(610, ANNA),
            Outlook(620, BERND, "B"),
            Outlook(630, ANNA, "A2"),
            Pass(640, ANNA),
            Pass(650, BERND),
        ],
        "A2",
    ),
];

#[test]
fn last_edit_wins_whichever_pass_comes_first() {
    for (name, day, expected) in DAYS {
        let mut stage = stage();
        play(&mut stage, day);
        come_to_rest(&mut stage);
        holds(&stage, name, expected);
        stage.check_quiet(name);
    }
}

/// Two values of one list have two times.
#[test]
fn each_value_of_a_list_has_its_own_time() {
    let numbers =
        |mobile: &str, office: &str| json!({"mobilePhone": mobile, "businessPhones": [office]});
    let mut fields = erika();
    fields["phones"] = json!([{"type": "mobile", "number": "0171 1000000"},
        {"type": "office", "number": "0221 100000"}]);
    let mut stage = Scenario::new()
        .mailboxes(&[ANNA, BERND])
        .policy(newest)
        .before([crm("erika", &[ANNA, BERND], fields)])
        .stage(Variant::AccountField);
    let edit = |stage: &mut Stage, mailbox, mobile: &str, office: &str| {
        stage.edit(&Edit::Outlook(mailbox, "erika", numbers(mobile, office)));
        stage.world.advance_ms(30 * 60_000);
    };
    edit(&mut stage, ANNA, "0171 2000000", "0221 100000");
    stage.pass(ANNA);
    edit(&mut stage, BERND, "0171 3000000", "0221 300000");
    // After Bernd, and of the office number alone.
    let phones = json!([{"type": "mobile", "number": "0171 2000000"},
        {"type": "office", "number": "0221 400000"}]);
    stage.edit(&Edit::Crm("erika", json!({"phones": phones})));
    stage.world.advance_ms(30 * 60_000);
    stage.pass(BERND);
    come_to_rest(&mut stage);
    let expected = json!([{"type": "mobile", "number": "0171 3000000"},
        {"type": "office", "number": "0221 400000"}]);
    stage.check("values", &State::Crm("erika", json!({"phones": expected})));
    stage.check_quiet("values");
}

/// A contact that a pass imported is as old as it was in its mailbox.
#[test]
fn imported_value_carries_the_time_of_its_mailbox() {
    let card = |title: &str| {
        json!({"givenName": "Max", "surname": "Kraft", "jobTitle": title,
            "emailAddresses": [{"address": "max@kraft.example", "name": "Max"}]})
    };
    let mut stage = Scenario::new()
        .mailboxes(&[ANNA, BERND])
        .policy(newest)
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookNew(ANNA, "max", card("alt")));
    stage.world.advance_ms(30 * 60_000);
    stage.edit(&Edit::OutlookNew(BERND, "max", card("neu")));
    stage.world.advance_ms(30 * 60_000);
    come_to_rest(&mut stage);
    stage.check("first pair", &State::CrmCount(1));
    stage.check(
        "first pair",
        &State::Crm("max", json!({"position": ["neu"]})),
    );
    stage.check_quiet("first pair");
}

/// The answer of a write is lost: the value is there, and so is its time.
#[test]
fn time_of_a_write_whose_answer_was_lost_is_known() {
    let mut stage = stage();
    play(
        &mut stage,
        &[Outlook(600, ANNA, "A"), Outlook(630, BERND, "B")],
    );
    stage.world.services(|services, _| {
        let update = Matcher::of(Method::Patch, "/entity-service/");
        services.faults.script(update, 0, 8, Fault::LostAfter);
    });
    play(&mut stage, &[Pass(30, ANNA)]);
    stage.world.services(|services, _| services.faults.clear());
    play(&mut stage, &[Pass(30, BERND)]);
    come_to_rest(&mut stage);
    holds(&stage, "lost", "B");
}

fn rows(stage: &Stage) -> usize {
    stage.rows("crm/edited/").len()
}

/// Rows go with their contact, and are not kept where nobody asks for them.
#[test]
fn times_are_forgotten_with_their_contact() {
    let mut stage = stage();
    play(&mut stage, &[Outlook(600, ANNA, "A"), Pass(610, ANNA)]);
    assert_eq!(rows(&stage), 1 + 8, "the ballast was imported");
    stage.edit(&Edit::OutlookDelete(ANNA, "erika"));
    stage.world.advance_ms(60_000);
    stage.pass(ANNA);
    assert_eq!(rows(&stage), 8);
    let crm_id = CrmId::new(stage.crm_id("erika"));
    let memory = Memory::new(stage.outside(), "anna-makler-example");
    assert_eq!(
        memory.edited(&crm_id),
        Ok(contact_sync_guest::links::Edited::default())
    );
}

#[test]
fn nothing_is_kept_where_another_side_wins() {
    let mut stage = Scenario::new()
        .before([outlook(
            ANNA,
            "max",
            json!({"givenName": "Max", "surname": "Kraft"}),
        )])
        .stage(Variant::AccountField);
    stage.edit(&Edit::Outlook(ANNA, "max", json!({"jobTitle": "Leitung"})));
    stage.world.advance_ms(60_000);
    stage.pass(ANNA);
    assert_eq!(rows(&stage), 0);
}

/// A row that cannot be read says nothing: the CRM's own time counts, and nothing breaks.
#[test]
fn damaged_times_say_nothing() {
    let mut stage = stage();
    play(&mut stage, &[Outlook(600, ANNA, "A"), Pass(610, ANNA)]);
    let mut stored = stage.world.stored();
    for (key, value) in &mut stored {
        if key.starts_with("crm/edited/") {
            value.truncate(3);
        }
    }
    stage.world.set_stored(stored);
    play(&mut stage, &[Outlook(30, BERND, "B"), Pass(40, BERND)]);
    come_to_rest(&mut stage);
    holds(&stage, "damaged", "B");
    stage.check_quiet("damaged");
}
