//! Faults that a review of the engine's lower floors found: each a scenario that was red before.

use std::cell::Cell;
use std::rc::Rc;

use contact_sync_guest::contact::CrmId;
use contact_sync_guest::job::{Matching, Policy};
use contact_sync_guest::links::{Memory, bucket_of};
use contact_sync_guest::outside::{Method, Outside, Request, Response, SendError, Write};
use contact_sync_guest::pass::{self, Mode, Step};
use contact_sync_guest::report::{Finding, Outcome};
use contact_sync_tests::simulator::flowfact::quirks::TrashOrder;
use contact_sync_tests::simulator::{Dialect, Fault, Matcher, Meddled, Place, WorldBuilder};
use serde_json::{Value, json};

use crate::DIALECT;

use super::meddling::{asks_for_changes, lost_position, of_messages, refused_item, says};
use super::safety::come_to_rest;
use super::stage::{
    ANNA, Asking, DAY_MS, Edit, Ending, PAUSE_MS, Scenario, Stage, State, Variant, asking, crm,
    ending, writes,
};

/// One pass of Anna's mailbox, with answers changed on the way.
pub(crate) fn pass_with(
    stage: &mut Stage,
    meddle: impl Fn(&Request, Response) -> Result<Response, SendError> + 'static,
) -> (Outcome, Vec<Finding>) {
    let outside = Rc::new(Meddled::new(&stage.world, meddle));
    let mut pass = pass::open(stage.job(ANNA), Mode::Sync, outside).expect("a sound job");
    for _ in 0..10_000 {
        match pass.advance() {
            Step::Working(_) => {}
            Step::Waiting(ms, _) => stage.world.advance_ms(i64::from(ms)),
            Step::Done(report) => {
                stage.learn();
                return (report.outcome, pass.findings().to_vec());
            }
        }
    }
    panic!("the pass does not end");
}

/// Changes the answers to some items of a batch: by method and path.
fn of_batch(
    request: &Request,
    mut response: Response,
    change: impl Fn(&str, &str, &mut Value),
) -> Response {
    if !request.url.ends_with("/$batch") {
        return response;
    }
    let asked: Value = serde_json::from_slice(request.body.as_deref().unwrap_or_default())
        .expect("a batch is JSON");
    let mut answered: Value = serde_json::from_slice(&response.body).expect("and its answer");
    for item in asked["requests"].as_array().expect("a list") {
        let answers = answered["responses"].as_array_mut().expect("a list");
        let answer = answers.iter_mut().find(|answer| answer["id"] == item["id"]);
        let text = |name: &str| item[name].as_str().unwrap_or_default().to_owned();
        if let Some(answer) = answer {
            change(&text("method"), &text("url"), answer);
        }
    }
    response.body = answered.to_string().into_bytes();
    response
}

pub(crate) fn erika() -> Value {
    json!({"firstName": ["Erika"], "lastName": ["Muster"], "emails": ["erika@muster.example"]})
}

fn max() -> Value {
    json!({"firstName": ["Max"], "lastName": ["Kraft"], "emails": ["max@kraft.example"]})
}

// ---- the store's limits -------------------------------------------------------------------------

/// What is remembered of a large company: 40 KiB in each of the 256 buckets, ten MiB in all.
fn remember_a_large_company(stage: &Stage) {
    let mut rows = stage.world.stored();
    for bucket in 0..=u8::MAX {
        let people: Vec<_> = (0..200)
            .map(|number| json!({"i": format!("absent-{bucket}-{number}"), "l": "x".repeat(170)}))
            .collect();
        let key = format!("m/anna-makler-example/candidate/{bucket:02x}");
        rows.insert(key, serde_json::to_vec(&people).expect("it is JSON"));
    }
    stage.world.set_stored(rows);
}

/// `wit/store.wit`: one call carries at most 8 MiB, in either direction. The digests of some 40,000
/// contacts are more than that.
#[test]
fn what_is_remembered_of_a_large_company_fits_through_the_store() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    remember_a_large_company(&stage);
    let mut touched = std::collections::BTreeSet::new();
    for number in 0.. {
        let fields = json!({"lastName": [format!("Neu{number}")]});
        touched.insert(bucket_of(&CrmId::new(stage.world.crm_create(&fields))));
        if touched.len() == 256 {
            break;
        }
    }
    stage.world.advance_ms(PAUSE_MS);
    // The feeds touch every bucket; a mailbox contact that is new asks for all of them.
    stage
        .world
        .mailbox_create(ANNA, &json!({"givenName": "Neu", "surname": "Neu0"}));
    let played = stage.pass(ANNA);
    assert_eq!(played.report.outcome, Outcome::Complete, "{played:#?}");
    let bytes: usize = stage
        .rows("m/anna-makler-example/candidate/")
        .values()
        .map(Vec::len)
        .sum();
    assert!(
        bytes > 8 * 1024 * 1024,
        "too small to prove anything: {bytes}"
    );
    stage.world.advance_ms(DAY_MS);
    let played = stage.pass(ANNA);
    assert_eq!(played.report.outcome, Outcome::Complete, "{played:#?}");
}

/// A commit too large for one call is cut, and its last write stays the last.
#[test]
fn commit_of_many_bytes_is_cut_and_read_back() {
    let stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    let memory = Memory::new(stage.outside(), "anna");
    let writes: Vec<Write> = (0..24)
        .map(|number| {
            Write::Set(
                format!("m/anna/pair/{number:02}"),
                vec![b'x'; 1024 * 1024 - 64],
            )
        })
        .collect();
    memory.commit(writes).expect("in several commits");
    // Eight values with their keys stay just below the limit.
    assert_eq!(memory.commits(), 3, "no more commits than needed");
    let ids: Vec<_> = (0..24)
        .map(|number| CrmId::new(format!("{number:02}")))
        .collect();
    let links = memory.links(&ids).expect("in several reads");
    assert_eq!(links.len(), 24);
}

// ---- one contact that a service cannot read -----------------------------------------------------

/// Reads of this contact, or of all where it is empty, fail within their batch.
fn failing_reads(
    id: &str,
    status: u16,
) -> impl Fn(&Request, Response) -> Result<Response, SendError> + 'static {
    let path = format!("/contacts/{id}");
    let code = match status {
        500 => "ErrorInternalServerError",
        _ => "ErrorItemCorrupt",
    };
    let id = id.to_owned();
    move |request, response| match DIALECT {
        Dialect::Graph => Ok(of_batch(request, response, |method, url, answer| {
            if method == "GET" && url.replace("%3D", "=").contains(&path) {
                answer["status"] = json!(status);
                answer["body"] = json!({"error": {"code": "ErrorInternalServerError"}});
            }
        })),
        Dialect::Ews => Ok(of_messages(request, response, "GetItem", |asked, _| {
            let is_meant = id.is_empty() || asked == id;
            is_meant.then(|| refused_item("GetItem", code))
        })),
    }
}

/// Contract, 7.8: the version of one contact cannot be read, lastingly; the others go on.
#[test]
fn contact_whose_version_cannot_be_read_stops_no_pass() {
    for status in [500, 503] {
        for edits in [
            vec![Edit::Crm("erika", json!({"position": ["Leitung"]}))],
            vec![Edit::CrmDelete("erika")],
        ] {
            let mut stage = Scenario::new()
                .before([crm("erika", &[ANNA], erika()), crm("max", &[ANNA], max())])
                .stage(Variant::Tag);
            for edit in &edits {
                stage.edit(edit);
            }
            stage.edit(&Edit::Crm("max", json!({"position": ["Vertrieb"]})));
            stage.world.advance_ms(PAUSE_MS);
            let id = stage.mailbox_id(ANNA, "erika");
            let (outcome, findings) = pass_with(&mut stage, failing_reads(&id, status));
            assert_eq!(outcome, Outcome::Complete, "{status}: {findings:#?}");
            assert_eq!(findings.len(), 1, "{findings:#?}");
            let done = State::Outlook(ANNA, "max", json!({"jobTitle": "Vertrieb"}));
            stage.check("the others go on", &done);
            assert_eq!(stage.pending(ANNA).len(), 1);
            stage.world.advance_ms(DAY_MS);
            stage.pass(ANNA);
            assert!(stage.pending(ANNA).is_empty(), "tried again");
            stage.check_quiet("afterwards");
        }
    }
}

// ---- the trash ----------------------------------------------------------------------------------

/// Somebody without marker, created and deleted.
fn come_and_go(stage: &Stage, count: usize) {
    for number in 0..count {
        let fields = json!({"lastName": [format!("Weg{number}")]});
        let id = stage.world.crm_create(&fields);
        stage.world.advance_ms(1_000);
        stage.world.crm_delete(&id);
    }
}

fn is_deleted_in_the_mailbox(stage: &mut Stage, context: &str) {
    let played = stage.pass(ANNA);
    assert_eq!(played.report.outcome, Outcome::Complete, "{context}");
    let place = State::Place(ANNA, "erika", Place::DeletedItems);
    stage.check(context, &place);
}

#[test]
fn deletion_behind_the_first_page_of_small_ones_is_seen() {
    let mut stage = Scenario::new()
        .world(|builder| builder.flowfact(|quirks| quirks.page_size_max = 3))
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::CrmDelete("erika"));
    come_and_go(&stage, 8);
    stage.world.advance_ms(PAUSE_MS);
    is_deleted_in_the_mailbox(&mut stage, "small pages");
    stage.check_quiet("small pages");
}

/// An old date on a page of a trash without order says nothing about the other pages.
#[test]
fn deletion_in_a_trash_without_order_is_seen() {
    let mut stage = Scenario::new()
        .world(|builder| {
            builder.flowfact(|quirks| {
                quirks.trash_order = TrashOrder::None;
                quirks.page_size_max = 5;
            })
        })
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    // Ids are random, and the trash shows them in their order: enough before hers.
    while stage
        .world
        .crm_trash()
        .iter()
        .filter(|id| **id < stage.crm_id("erika"))
        .count()
        < 6
    {
        come_and_go(&stage, 1);
    }
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    stage.world.advance_ms(PAUSE_MS);
    stage.edit(&Edit::CrmDelete("erika"));
    is_deleted_in_the_mailbox(&mut stage, "no order");
    stage.check_quiet("no order");
}

/// The trash is read at a pass's beginning: what is deleted before its end is news to the next one.
#[test]
fn deletion_during_a_long_pass_is_seen_by_the_next_one() {
    let mut stage = Scenario::new()
        .world(|builder| builder.flowfact(|quirks| quirks.page_size_max = 3))
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    let (world, id) = (Rc::clone(&stage.world), stage.crm_id("erika"));
    let later = stage.world.crm_create(&json!({"lastName": ["Später"]}));
    let is_done = Cell::new(false);
    pass_with(&mut stage, move |request, response| {
        if asks_for_changes(request) && !is_done.replace(true) {
            world.crm_delete(&id);
            world.advance_ms(60_000);
            world.crm_delete(&later);
            world.advance_ms(3_600_000);
        }
        Ok(response)
    });
    stage.world.advance_ms(60_000);
    come_and_go(&stage, 2);
    is_deleted_in_the_mailbox(&mut stage, "long pass");
    stage.check_quiet("long pass");
}

// ---- clocks that jump ---------------------------------------------------------------------------

const YEAR_MS: i64 = 365 * DAY_MS;

/// Changes a stored row, which must be there.
fn change_row(stage: &Stage, prefix: &str, change: impl Fn(&mut Value)) {
    let mut rows = stage.world.stored();
    let mut changed = 0;
    for (_, row) in rows.iter_mut().filter(|(key, _)| key.starts_with(prefix)) {
        let mut value: Value = serde_json::from_slice(row).expect("a row is JSON");
        change(&mut value);
        *row = value.to_string().into_bytes();
        changed += 1;
    }
    assert_eq!(changed, 1, "rows like {prefix}");
    stage.world.set_stored(rows);
}

fn plus_a_year(value: &mut Value) {
    *value = json!(value.as_i64().expect("a time") + YEAR_MS);
}

const STATE: &str = "m/anna-makler-example/state";

#[test]
fn crm_contact_from_the_future_does_not_blind_the_feed() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    let other = stage.world.crm_create(&json!({"lastName": ["Morgen"]}));
    stage.world.advance_ms(YEAR_MS);
    stage
        .world
        .crm_edit(&other, &json!({"department": ["Zukunft"]}));
    // The search has it, too, before the clock is set right.
    stage
        .world
        .services(|services, now| services.flowfact.recalculate("nobody", now));
    stage.world.advance_ms(-YEAR_MS);
    for position in ["Leitung", "Vertrieb"] {
        stage.world.advance_ms(PAUSE_MS);
        stage.pass(ANNA);
        stage.edit(&Edit::Crm("erika", json!({"position": [position]})));
        stage.world.advance_ms(60_000);
        stage.pass(ANNA);
        let seen = State::Outlook(ANNA, "erika", json!({"jobTitle": position}));
        stage.check("the feed goes on", &seen);
    }
    stage.check_quiet("from the future");
}

#[test]
fn full_read_that_is_still_to_come_is_due() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    change_row(&stage, STATE, |state| plus_a_year(&mut state["last_full"]));
    stage.pass(ANNA);
    let now = stage.world.now().0;
    let rows = stage.rows(STATE);
    let state: Value =
        serde_json::from_slice(rows.values().next().expect("a state")).expect("JSON");
    assert!(
        state["last_full"].as_i64().is_some_and(|last| last <= now),
        "{state}"
    );
}

/// Max is refused once; then the clock is set right by a year.
#[test]
fn retry_that_a_wrong_clock_has_put_off_for_a_year_is_due() {
    let mut stage = Scenario::new()
        .before([crm("max", &[ANNA], max())])
        .stage(Variant::Tag);
    stage.edit(&Edit::Crm("max", json!({"position": ["Vertrieb"]})));
    stage.world.advance_ms(PAUSE_MS);
    pass_with(&mut stage, failing_reads("", 500));
    change_row(&stage, "m/anna-makler-example/pending/", |row| {
        plus_a_year(&mut row["not_before"]);
    });
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    let done = State::Outlook(ANNA, "max", json!({"jobTitle": "Vertrieb"}));
    stage.check("tried again", &done);
    stage.check_quiet("tried again");
}

/// An import whose answer is lost.
fn lose_an_import(world: fn(WorldBuilder) -> WorldBuilder, policy: fn(&mut Policy)) -> Stage {
    let mut stage = Scenario::new()
        .world(world)
        .policy(policy)
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookNew(
        ANNA,
        "max",
        json!({"givenName": "Max", "surname": "Kraft",
               "emailAddresses": [{"address": "max@kraft.example", "name": "Max"}]}),
    ));
    stage.world.advance_ms(60_000);
    stage.world.services(|services, _| {
        let create = Matcher::of(Method::Post, "/entity-service/schemas/contacts");
        services.faults.next(create, Fault::LostAfter);
    });
    stage.pass(ANNA);
    assert_eq!(stage.rows(INTENT).len(), 1, "no answer was lost");
    stage
}

const INTENT: &str = "m/anna-makler-example/intent/";

fn is_imported_once(mut stage: Stage, context: &str) {
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, context);
    stage.check(context, &State::CrmCount(1));
    stage.check(context, &State::OutlookCount(ANNA, 1));
    stage.check_quiet(context);
}

#[test]
fn intent_of_a_wrong_clock_is_settled() {
    let mut stage = lose_an_import(|world| world, |_| {});
    change_row(&stage, INTENT, |intent| plus_a_year(&mut intent["at"]));
    // Its source is edited, so that it is no longer equal to its copy by chance.
    stage.edit(&Edit::Outlook(ANNA, "max", json!({"jobTitle": "Vertrieb"})));
    is_imported_once(stage, "wrong clock");
}

/// The company has given the sync another user since; what the former one made is still ours.
#[test]
fn intent_of_another_user_of_the_crm_is_settled() {
    // Nothing else would pair the two.
    let stage = lose_an_import(|world| world, |policy| policy.matching = Matching::Off);
    change_row(&stage, STATE, |state| {
        state["crm"]["user"] = json!("another");
    });
    is_imported_once(stage, "another user");
}

// ---- rows that cannot be read -------------------------------------------------------------------

fn damage_rows(stage: &Stage, prefix: &str) {
    let mut rows = stage.world.stored();
    let damaged = rows.iter_mut().filter(|(key, _)| key.starts_with(prefix));
    let count = damaged.map(|(_, row)| *row = b"?".to_vec()).count();
    assert!(count > 0, "no rows like {prefix}");
    stage.world.set_stored(rows);
}

/// Nobody knows what was about to be created: until its copy must have shown, nothing is.
#[test]
fn intent_that_cannot_be_read_creates_nobody_twice() {
    let mut stage = lose_an_import(
        |world| world.flowfact(|quirks| quirks.index_lag_ms = 300_000),
        |_| {},
    );
    damage_rows(&stage, INTENT);
    stage.edit(&Edit::Outlook(ANNA, "max", json!({"jobTitle": "Vertrieb"})));
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    assert_eq!(played.codes(), ["row-unreadable"], "{played:#?}");
    assert!(stage.rows(INTENT).is_empty(), "told of once, then removed");
    is_imported_once(stage, "damaged intent");
}

#[test]
fn pending_row_that_cannot_be_read_makes_the_pass_read_everything() {
    let mut stage = Scenario::new()
        .before([crm("max", &[ANNA], max())])
        .stage(Variant::Tag);
    stage.edit(&Edit::Crm("max", json!({"position": ["Vertrieb"]})));
    stage.world.advance_ms(PAUSE_MS);
    pass_with(&mut stage, failing_reads("", 500));
    damage_rows(&stage, "m/anna-makler-example/pending/");
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    assert_eq!(played.codes(), ["row-unreadable"], "{played:#?}");
    let done = State::Outlook(ANNA, "max", json!({"jobTitle": "Vertrieb"}));
    stage.check("read anew", &done);
    stage.check_quiet("read anew");
}

// ---- feeds --------------------------------------------------------------------------------------

/// A service that forgets each new position is not asked for ever.
#[test]
fn position_that_is_lost_each_time_ends_the_pass() {
    let mut stage = Scenario::new()
        .world(|builder| {
            let builder = builder.ews(|quirks| quirks.changes_max = 2);
            builder.graph(|quirks| quirks.page_size_max = 2)
        })
        .stage(Variant::AccountField);
    let statuses: &[u16] = match DIALECT {
        Dialect::Graph => &[400, 410],
        // The loss is told within an answer like any other.
        Dialect::Ews => &[200],
    };
    for status in statuses.iter().copied() {
        let (outcome, _) = pass_with(&mut stage, move |request, mut response| {
            let names_position = says(request, "token") || says(request, "<m:SyncState>");
            if asks_for_changes(request) && names_position {
                response.status = status;
                response.body = match DIALECT {
                    Dialect::Graph => b"{}".to_vec(),
                    Dialect::Ews => lost_position(),
                };
            }
            Ok(response)
        });
        assert_eq!(ending(&outcome), Ending::Stopped("protocol"), "{status}");
    }
    stage.world.advance_ms(PAUSE_MS);
    stage.check_quiet("afterwards");
}

/// An edit and its reversal in one reading come to nothing.
#[test]
fn edit_that_is_reversed_while_it_is_read_is_not_written() {
    let mut stage = Scenario::new()
        .world(|builder| builder.flowfact(|quirks| quirks.page_size_max = 3))
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::Crm("erika", json!({"position": ["Leitung"]})));
    for number in 0..4 {
        stage.world.advance_ms(1_000);
        let fields = json!({"lastName": [format!("Neu{number}")]});
        stage.world.crm_create(&fields);
    }
    stage.world.advance_ms(1_000);
    let (world, id) = (Rc::clone(&stage.world), stage.crm_id("erika"));
    let is_done = Cell::new(false);
    stage.world.take_counters();
    pass_with(&mut stage, move |request, response| {
        let shows_edit = request.url.contains("/search-service/")
            && String::from_utf8_lossy(&response.body).contains("Leitung");
        if shows_edit && !is_done.replace(true) {
            world.crm_edit(&id, &json!({"position": []}));
        }
        Ok(response)
    });
    stage.check(
        "reversed",
        &State::Outlook(ANNA, "erika", json!({"jobTitle": null})),
    );
    let written = writes(&stage.world.take_counters());
    assert!(written.is_empty(), "written and taken back: {written:?}");
    stage.check_quiet("reversed");
}

/// A new contact that cannot be read is told of once, and tried again before the daily full read.
#[test]
fn new_mailbox_contact_that_cannot_be_read_is_tried_again() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    stage.edit(&Edit::OutlookNew(
        ANNA,
        "max",
        json!({"givenName": "Max", "surname": "Kraft"}),
    ));
    stage.world.advance_ms(60_000);
    // Over Graph the feed shows the contact itself; over EWS it is read by the id that it names.
    let (kind, sound, spoilt) = match DIALECT {
        Dialect::Graph => ("/delta", "\"givenName\":\"Max\"", "\"givenName\":7"),
        Dialect::Ews => ("<m:GetItem>", "ChangeKey=", "ChangeKind="),
    };
    let spoil = move |request: &Request, mut response: Response| {
        if says(request, kind) {
            let text = String::from_utf8(response.body).expect("JSON and XML are text");
            assert!(text.contains(sound), "something to spoil: {text}");
            response.body = text.replace(sound, spoilt).into_bytes();
        }
        Ok(response)
    };
    let (outcome, findings) = pass_with(&mut stage, spoil);
    assert_eq!(outcome, Outcome::Complete);
    let codes: Vec<&str> = findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect();
    assert_eq!(codes, ["mailbox-unreadable"]);
    stage.check("put off", &State::Pending(ANNA, &["mailbox-unreadable"]));
    stage.world.advance_ms(2 * PAUSE_MS);
    stage.pass(ANNA);
    stage.check("imported", &State::CrmCount(1));
    stage.check_quiet("imported");
}

/// What was counted up and down is counted anew by a full read.
#[test]
fn links_are_counted_anew_by_a_full_read() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika()), crm("max", &[ANNA], max())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::Unmark("max", ANNA));
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    change_row(&stage, STATE, |state| {
        state["links"] = json!(99);
        state["detached"] = json!(99);
    });
    // Its last look is at the counts.
    stage.check_quiet("counted");
}

// ---- bounded steps ------------------------------------------------------------------------------

/// `sync.wit`: a step sends at most a hundred requests, however many answers were lost in however
/// many folders.
#[test]
fn many_open_intents_are_settled_in_bounded_steps() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    for folder in 0..20 {
        let id = stage
            .world
            .mailbox_create(ANNA, &json!({"givenName": "Weg"}));
        stage
            .world
            .mailbox_move(ANNA, &id, &format!("Ordner {folder}"));
    }
    for number in 0..40 {
        let name = json!({"firstName": ["Nina"], "lastName": [format!("Neu{number}")]});
        let id = stage.world.crm_create(&name);
        stage.world.crm_mark(&id, ANNA);
    }
    stage.world.advance_ms(60_000);
    stage.world.services(|services, _| {
        let creates = asking(Asking::Creates);
        let broken = Fault::Refused {
            status: 504,
            retry_after_s: None,
            body: String::new(),
        };
        services.faults.script(creates, 0, u32::MAX, broken);
    });
    stage.pass(ANNA);
    assert_eq!(stage.rows(INTENT).len(), 40, "no answers were lost");
    stage.world.services(|services, _| services.faults.clear());
    stage.world.advance_ms(60_000);
    let outside = Rc::clone(&stage.world) as Rc<dyn Outside>;
    let mut pass = pass::open(stage.job(ANNA), Mode::Sync, outside).expect("the job is sound");
    loop {
        stage.world.take_counters();
        let step = pass.advance();
        let requests = stage.world.take_counters().requests;
        assert!(requests <= 100, "{requests} requests in one step");
        match step {
            Step::Working(_) => {}
            Step::Waiting(ms, _) => stage.world.advance_ms(i64::from(ms)),
            Step::Done(_) => break,
        }
    }
    stage.world.advance_ms(PAUSE_MS);
    come_to_rest(&mut stage, "settled");
    stage.check("settled", &State::OutlookCount(ANNA, 40));
}
