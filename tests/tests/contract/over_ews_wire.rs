//! Exchange Web Services on bad days: what its servers say, and what stands in the way.
//!
//! Contract, section 7: nothing gets lost. Goal: whatever an Exchange Server answers, or something
//! on the way in its place, passes end as without it, or stop and say why, with bounded work.
//! Method: the simulator's switches, each a fact with its evidence, and answers replaced on the
//! way.

use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use std::rc::Rc;

use contact_sync_guest::outside::{Request, Response};
use contact_sync_guest::report::{Failure, Outcome};
use contact_sync_tests::simulator::ews::quirks::{
    BirthdayForm, Busy, BusyForm, IllegalCharacters, PrefixStyle, SearchKey,
};
use contact_sync_tests::simulator::{Fault, Matcher, RequestKind as Kind, Simulator};
use serde_json::{Value, json};

use super::crashes;
use super::meddling::{of_messages, refused_item, says};
use super::mended_protocols;
use super::quirks::{Quirk, all_end_the_same, names};
use super::safety::{busy_in, come_to_rest};
use super::stage::{
    ANNA, Asking, DAY_MS, Edit, Ending, PAUSE_MS, Scenario, Stage, State, Variant, asking, crm,
    ending, outlook, writes,
};

fn erika() -> Value {
    json!({"firstName": ["Erika"], "lastName": ["Muster"], "emails": ["erika@muster.example"]})
}

fn max() -> Value {
    json!({"givenName": "Max", "surname": "Kraft", "mobilePhone": "0171 2345678"})
}

/// Every so-manieth request is answered so, with a pause of two seconds.
fn now_and_then(form: BusyForm) -> Busy {
    Busy {
        every: 3,
        form,
        back_off_ms: 2_000,
    }
}

const EXCHANGE_SERVER: [Quirk; 16] = [
    ("other prefixes", |world| {
        world.ews(|quirks| quirks.prefixes = PrefixStyle::Others)
    }),
    ("no prefixes", |world| {
        world.ews(|quirks| quirks.prefixes = PrefixStyle::Default)
    }),
    ("raw illegal characters", |world| {
        world.ews(|quirks| quirks.illegal_characters = IllegalCharacters::Raw)
    }),
    ("byte order mark", |world| {
        world.ews(|quirks| quirks.byte_order_mark = true)
    }),
    ("busy: fault", |world| {
        world.ews(|quirks| quirks.busy = Some(now_and_then(BusyForm::Fault)))
    }),
    ("busy: in the answer", |world| {
        world.ews(|quirks| quirks.busy = Some(now_and_then(BusyForm::InAnswer)))
    }),
    ("busy: 503", |world| {
        world.ews(|quirks| quirks.busy = Some(now_and_then(BusyForm::ServiceUnavailable)))
    }),
    ("small pages", |world| {
        world.ews(|quirks| quirks.changes_max = 2)
    }),
    ("phantom item", |world| {
        world.ews(|quirks| quirks.phantom_item = true)
    }),
    ("change keys move", |world| {
        world.ews(|quirks| quirks.change_key_moves_every = Some(2))
    }),
    ("conflicts for no reason", |world| {
        world.ews(|quirks| quirks.spontaneous_conflict_every = Some(3))
    }),
    ("search key left out", |world| {
        world.ews(|quirks| quirks.search_key = SearchKey::LeftOut)
    }),
    ("whole properties", |world| {
        world.ews(|quirks| quirks.whole_properties = true)
    }),
    ("birthdays at local midnight", |world| {
        world.ews(|quirks| quirks.birthday = BirthdayForm::LocalMidnight)
    }),
    ("e-mail names left behind", |world| {
        world.ews(|quirks| quirks.email_name_left_behind = true)
    }),
    ("small searches", |world| {
        world.ews(|quirks| {
            quirks.find_max = 1;
            quirks.find_restricted_max = 1;
        })
    }),
];

#[test]
fn exchange_server_as_it_may_be_ends_the_same() {
    all_end_the_same(&EXCHANGE_SERVER);
}

// ---- pauses -------------------------------------------------------------------------------------

/// The pause that a server names is kept before anything else is asked of it, and then everything
/// is done: nothing is lost by it, and nobody is created twice.
#[test]
fn pause_that_a_busy_server_names_is_kept() {
    const BACK_OFF_MS: u32 = 7_000;
    const EVERY: usize = 3;
    for form in [BusyForm::Fault, BusyForm::InAnswer] {
        let mut stage = Scenario::new().ballast(0).stage(Variant::AccountField);
        stage.edit(&Edit::CrmNew("erika", &[ANNA], erika()));
        stage.edit(&Edit::OutlookNew(ANNA, "max", max()));
        stage.world.services(|services, _| {
            services.ews.quirks.busy = Some(Busy {
                every: EVERY as u64,
                form,
                back_off_ms: BACK_OFF_MS,
            });
            services.log.record(true);
        });
        let played = stage.pass(ANNA);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::Complete,
            "{form:?} {played:#?}"
        );
        let records = stage.world.services(|services, _| services.log.take());
        let of_mailbox = records.iter().filter(|record| !record.batched);
        let of_mailbox = of_mailbox.filter(|record| record.target.contains("/EWS/"));
        let at: Vec<_> = of_mailbox.map(|record| record.at).collect();
        let refused = at.iter().skip(EVERY - 1).step_by(EVERY);
        let next = at.iter().skip(EVERY).step_by(EVERY);
        let mut pauses = 0;
        for (refused, next) in refused.zip(next) {
            let pause_ms = next.since_ms(*refused);
            assert!(
                pause_ms >= i64::from(BACK_OFF_MS),
                "{form:?}: {pause_ms} ms"
            );
            pauses += 1;
        }
        assert!(pauses > 1, "{form:?}: a server that was busy");
        stage
            .world
            .services(|services, _| services.ews.quirks.busy = None);
        stage.world.advance_ms(PAUSE_MS);
        come_to_rest(&mut stage, "busy");
        stage.check("busy", &State::CrmCount(2));
        stage.check("busy", &State::OutlookCount(ANNA, 2));
        stage.check_quiet("busy");
    }
}

/// A server that stays busy is left alone: the pass ends, says so, and the next one goes on.
#[test]
fn server_that_stays_busy_ends_the_pass_in_bounded_time() {
    for form in [
        BusyForm::Fault,
        BusyForm::InAnswer,
        BusyForm::ServiceUnavailable,
    ] {
        let mut stage = Scenario::new()
            .before([crm("erika", &[ANNA], erika())])
            .stage(Variant::AccountField);
        stage.edit(&Edit::Outlook(
            ANNA,
            "erika",
            json!({"jobTitle": "Leitung"}),
        ));
        stage.world.services(|services, _| {
            services.ews.quirks.busy = Some(Busy {
                every: 1,
                form,
                back_off_ms: 30_000,
            });
        });
        let played = stage.pass(ANNA);
        assert!(
            matches!(
                played.report.outcome,
                Outcome::Stopped(Failure::Throttled(_) | Failure::Unreachable(_))
            ),
            "{form:?} {played:#?}"
        );
        assert!(writes(&played.counters).is_empty(), "{form:?}");
        // Twenty pauses in a row, and three repetitions before each.
        let requests = played.counters.requests;
        assert!(requests < 100, "{form:?} {:?}", played.counters);
        stage
            .world
            .services(|services, _| services.ews.quirks.busy = None);
        stage.world.advance_ms(PAUSE_MS);
        stage.pass(ANNA);
        stage.check(
            "later",
            &State::Crm("erika", json!({"position": ["Leitung"]})),
        );
        stage.check_quiet("later");
    }
}

// ---- syncs --------------------------------------------------------------------------------------

/// A sync without end, and with nothing in it, is given up after bounded work; what it was to tell
/// is told by the next one.
#[test]
fn sync_without_end_stops_the_pass_and_loses_nothing() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"jobTitle": "Leitung"}),
    ));
    let endless = |services: &mut Simulator, never_ends| {
        services.ews.quirks.sync_never_ends = never_ends;
    };
    stage.world.services(|services, _| endless(services, true));
    let played = stage.pass(ANNA);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::Stopped("protocol"),
        "{played:#?}"
    );
    assert!(writes(&played.counters).is_empty());
    assert!(
        played.counters.of(Kind::EwsSync) <= 200,
        "{:?}",
        played.counters
    );
    stage.world.services(|services, _| endless(services, false));
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    stage.check(
        "later",
        &State::Crm("erika", json!({"position": ["Leitung"]})),
    );
    stage.check_quiet("later");
}

/// A state that the server forgets makes the pass read everything: the edit is found, nobody is
/// new, nobody is gone.
#[test]
pub(crate) fn state_that_expired_is_no_news_about_anybody() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"jobTitle": "Leitung"}),
    ));
    stage
        .world
        .services(|services, _| services.graph.expire_delta_tokens(ANNA));
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::Complete,
        "{played:#?}"
    );
    let written: Vec<_> = writes(&played.counters).into_iter().collect();
    assert_eq!(written, [(Kind::FlowfactUpdate, 1)]);
    stage.check(
        "expired",
        &State::Crm("erika", json!({"position": ["Leitung"]})),
    );
    stage.check_quiet("expired");
}

/// An item that the sync reports and no read finds is nobody: the pass goes on, and so does its
/// position (mustang#966).
#[test]
fn phantom_item_is_nobody() {
    let mut stage = Scenario::new()
        .world(|world| world.ews(|quirks| quirks.phantom_item = true))
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookNew(ANNA, "max", max()));
    for wait_ms in [60_000, DAY_MS] {
        stage.world.advance_ms(wait_ms);
        let played = stage.pass(ANNA);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::Complete,
            "{played:#?}"
        );
        assert!(played.findings.is_empty(), "{played:#?}");
    }
    stage.check("phantom", &State::CrmCount(1));
    stage.check_quiet("phantom");
}

/// Groups share the folder, and are no contacts: neither imported, nor told of, nor in the way.
#[test]
fn distribution_list_is_no_contact() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    stage.world.services(|services, now| {
        services.graph.create_group(ANNA, "Kunden", now);
    });
    stage.edit(&Edit::OutlookNew(ANNA, "max", max()));
    for wait_ms in [60_000, DAY_MS] {
        stage.world.advance_ms(wait_ms);
        let played = stage.pass(ANNA);
        assert!(played.findings.is_empty(), "{played:#?}");
    }
    stage.check("group", &State::CrmCount(1));
    stage.check_quiet("group");
}

// ---- answers that are none ----------------------------------------------------------------------

/// An answer about another item than the one that was asked for is an answer about none: nothing is
/// read, written or deleted on the strength of it.
#[test]
fn answer_about_another_item_is_no_answer() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    stage.edit(&Edit::OutlookNew(ANNA, "max", max()));
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"jobTitle": "Leitung"}),
    ));
    let another = |stage: &Stage, answers: bool| {
        stage
            .world
            .services(|services, _| services.ews.quirks.answers_another = answers);
    };
    another(&stage, true);
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    assert!(writes(&played.counters).is_empty(), "{played:#?}");
    stage.check("another", &State::CrmCount(1));
    another(&stage, false);
    stage.world.advance_ms(DAY_MS);
    stage.pass(ANNA);
    stage.check("later", &State::CrmCount(2));
    stage.check(
        "later",
        &State::Crm("erika", json!({"position": ["Leitung"]})),
    );
    stage.check_quiet("later");
}

/// Bodies that no Exchange Server sends, and what stands in front of one may.
fn hostile() -> Vec<(&'static str, Vec<u8>)> {
    let deep = "<a>".repeat(100_000);
    let mut laughs = String::from("<?xml version=\"1.0\"?><!DOCTYPE l [<!ENTITY a \"ha\">");
    for (name, of) in ["b", "c", "d", "e", "f", "g"]
        .into_iter()
        .zip(["a", "b", "c", "d", "e", "f"])
    {
        let entity = format!("&{of};").repeat(10);
        write!(laughs, "<!ENTITY {name} \"{entity}\">").expect("a text takes all");
    }
    laughs.push_str("]><l>&g;</l>");
    let other_space = "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body>\
        <m:GetItemResponse xmlns:m=\"http://example.test/\"/></s:Body></s:Envelope>";
    let empty = "<s:Envelope xmlns:s=\"http://schemas.xmlsoap.org/soap/envelope/\"><s:Body/>\
        </s:Envelope>";
    vec![
        ("nothing", Vec::new()),
        (
            "a page of a proxy",
            b"<html><body>Please sign in<br></body></html>".to_vec(),
        ),
        ("deep nesting", deep.into_bytes()),
        ("billion laughs", laughs.into_bytes()),
        (
            "no UTF-8",
            vec![b'<', b'a', b'>', 0xff, 0xfe, 0xfd, b'<', b'/', b'a', b'>'],
        ),
        ("another namespace", other_space.as_bytes().to_vec()),
        ("no operation", empty.as_bytes().to_vec()),
        ("JSON", b"{\"value\": []}".to_vec()),
    ]
}

const ASKED: [&str; 5] = [
    "m:SyncFolderItems",
    "m:GetItem",
    "m:CreateItem",
    "m:UpdateItem",
    "m:DeleteItem",
];

/// Whatever comes in place of whichever answer, once: in the end both sides are as without it. What
/// was asked for has happened, and nobody knows.
#[test]
fn answer_that_is_none_loses_nothing() {
    let mut plain = busy_in(|world| world);
    come_to_rest(&mut plain, "no fault");
    let expected = names(&plain);
    for operation in ASKED {
        for (name, body) in hostile() {
            let context = format!("{operation}: {name}");
            let mut stage = busy_in(|world| world);
            let struck = stage.world.services(|services, _| {
                let fault = Fault::Garbled { body: body.clone() };
                services.faults.next(Matcher::saying(operation), fault);
                services.faults.struck()
            });
            come_to_rest(&mut stage, &context);
            let now = stage.world.services(|services, _| services.faults.struck());
            assert_eq!(now, struck + 1, "{context}: the fault strikes");
            assert_eq!(names(&stage), expected, "{context}");
            stage.check_quiet(&context);
        }
    }
}

/// The same with the true answer, cut off somewhere.
#[test]
fn answer_that_breaks_off_loses_nothing() {
    let mut plain = busy_in(|world| world);
    come_to_rest(&mut plain, "no fault");
    let expected = names(&plain);
    for operation in [
        "SyncFolderItems",
        "GetItem",
        "CreateItem",
        "UpdateItem",
        "DeleteItem",
    ] {
        for percent in [10, 50, 90, 99] {
            let context = format!("{operation}, {percent} %");
            let mut stage = busy_in(|world| world);
            let is_cut = Rc::new(Cell::new(false));
            let cut = Rc::clone(&is_cut);
            let element = format!("<m:{operation}");
            mended_protocols::pass_with(&mut stage, move |request, mut response| {
                if says(request, &element) && !cut.replace(true) {
                    response.body.truncate(response.body.len() * percent / 100);
                }
                Ok(response)
            });
            assert!(is_cut.get(), "{context}: the answer is cut");
            stage.world.advance_ms(PAUSE_MS);
            come_to_rest(&mut stage, &context);
            assert_eq!(names(&stage), expected, "{context}");
            stage.check_quiet(&context);
        }
    }
}

/// A server that breaks a request off in the middle has carried out a part of it, and says of the
/// rest that it was not tried: the next pass does what is left, and nothing twice.
#[test]
fn request_that_the_server_breaks_off_is_taken_up_again() {
    let mut plain = busy_in(|world| world);
    come_to_rest(&mut plain, "no fault");
    let expected = names(&plain);
    for stops_after in [0, 1] {
        let context = format!("after {stops_after}");
        let mut stage = busy_in(|world| world);
        let stop_after = |stage: &Stage, items| {
            stage
                .world
                .services(|services, _| services.ews.quirks.batch_stops_after = items);
        };
        stop_after(&stage, Some(stops_after));
        let played = stage.pass(ANNA);
        let has_stopped = matches!(ending(&played.report.outcome), Ending::Stopped(_));
        let mut usage = played.report.counts.usage.iter();
        let has_tried_again = usage.any(|usage| usage.retries > 0);
        let has_struck = has_stopped || played.report.more || has_tried_again;
        assert!(has_struck, "{context}: {played:#?}");
        stop_after(&stage, None);
        stage.world.advance_ms(PAUSE_MS);
        come_to_rest(&mut stage, &context);
        assert_eq!(names(&stage), expected, "{context}");
        stage.check_quiet(&context);
    }
}

/// Whoever is sought in other folders may be there as long as nobody can look: a search that is
/// refused, broken or answered by something else deletes nobody.
#[test]
fn search_that_fails_deletes_nobody() {
    let imported = json!({"givenName": "Max", "surname": "Kraft", "mobilePhone": "0171 2345678"});
    for (name, body) in hostile() {
        let mut stage = Scenario::new()
            .before([
                crm("erika", &[ANNA], erika()),
                outlook(ANNA, "max", imported.clone()),
            ])
            .stage(Variant::AccountField);
        for person in ["erika", "max"] {
            stage.edit(&Edit::OutlookMove(ANNA, person));
        }
        stage.world.services(|services, _| {
            let fault = Fault::Garbled { body };
            let search = Matcher::saying("m:FindItem");
            services.faults.script(search, 0, u32::MAX, fault);
        });
        stage.world.advance_ms(60_000);
        let played = stage.pass(ANNA);
        assert!(writes(&played.counters).is_empty(), "{name}: {played:#?}");
        stage.check(name, &State::CrmCount(2));
        stage.world.services(|services, _| services.faults.clear());
        stage.world.advance_ms(DAY_MS);
        stage.pass(ANNA);
        let held = &["moved-in-mailbox", "moved-in-mailbox"];
        stage.check(name, &State::Pending(ANNA, held));
        for person in ["erika", "max"] {
            stage.edit(&Edit::OutlookMoveBack(ANNA, person));
        }
        come_to_rest(&mut stage, name);
        stage.check(name, &State::CrmCount(2));
        stage.check(name, &State::OutlookCount(ANNA, 2));
        stage.check_quiet(name);
    }
}

/// A first pass that something else answers than an Exchange Server stops before anything is done.
#[test]
fn first_answer_that_is_none_stops_the_pass() {
    for (name, body) in hostile() {
        let mut stage = Scenario::new().ballast(0).stage(Variant::AccountField);
        stage.edit(&Edit::OutlookNew(ANNA, "max", max()));
        stage.world.services(|services, _| {
            let all = asking(Asking::Anything);
            services
                .faults
                .script(all, 0, u32::MAX, Fault::Garbled { body });
        });
        let played = stage.pass(ANNA);
        let has_stopped = matches!(ending(&played.report.outcome), Ending::Stopped(_));
        assert!(has_stopped, "{name}: {played:#?}");
        assert!(writes(&played.counters).is_empty(), "{name}");
        assert!(
            played.counters.requests < 30,
            "{name}: {:?}",
            played.counters
        );
        stage.world.services(|services, _| services.faults.clear());
        stage.world.advance_ms(PAUSE_MS);
        stage.pass(ANNA);
        stage.check(name, &State::CrmCount(1));
    }
}

/// The crash at every step of `crashes` strikes what is written to an Exchange Server too: each of
/// these requests is a step of its scenarios.
#[test]
fn crashes_strike_what_is_written_to_an_exchange_server() {
    let mut written = std::collections::BTreeMap::new();
    for scenario in [crashes::edits as fn() -> Stage, crashes::deletions] {
        for (kind, count) in scenario().pass(ANNA).counters.kinds {
            *written.entry(kind).or_insert(0) += count;
        }
    }
    for kind in [Kind::EwsCreate, Kind::EwsUpdate, Kind::EwsDelete] {
        assert!(written.contains_key(&kind), "{kind:?}: {written:?}");
    }
}

/// Of several items in one request one is refused: it alone waits, and is told of.
#[test]
pub(crate) fn refusal_of_one_item_of_a_request_is_its_own() {
    let person = |name: &str| json!({"firstName": [name], "lastName": ["Muster"]});
    let mut stage = Scenario::new()
        .before([
            crm("a", &[ANNA], person("A")),
            crm("b", &[ANNA], person("B")),
        ])
        .stage(Variant::AccountField);
    for name in ["a", "b"] {
        stage.edit(&Edit::Crm(name, json!({"position": ["Leitung"]})));
    }
    stage.world.advance_ms(60_000);
    let first: Rc<RefCell<Option<String>>> = Rc::default();
    let refuse = move |request: &Request, response: Response| {
        Ok(of_messages(request, response, "UpdateItem", |asked, _| {
            let mut first = first.borrow_mut();
            let first = first.get_or_insert_with(|| asked.to_owned());
            (asked == first.as_str()).then(|| refused_item("UpdateItem", "ErrorPropertyUpdate"))
        }))
    };
    let (outcome, findings) = mended_protocols::pass_with(&mut stage, refuse);
    assert_eq!(outcome, Outcome::Complete, "{findings:#?}");
    let codes: Vec<&str> = findings.iter().map(|told| told.code.as_str()).collect();
    assert_eq!(codes, ["refused"]);
    assert_eq!(stage.pending(ANNA).len(), 1);
    stage.world.advance_ms(DAY_MS);
    stage.pass(ANNA);
    stage.check_quiet("later");
}

/// A contact that the server does not let go is told of and waits; the others are deleted.
#[test]
fn refusal_of_one_deletion_is_its_own() {
    let person = |name: &str| json!({"firstName": [name], "lastName": ["Muster"]});
    let mut stage = Scenario::new()
        .ballast(12)
        .before([
            crm("a", &[ANNA], person("A")),
            crm("b", &[ANNA], person("B")),
        ])
        .stage(Variant::AccountField);
    for name in ["a", "b"] {
        stage.edit(&Edit::CrmDelete(name));
    }
    let undeletable = |stage: &Stage, id: Option<String>| {
        stage
            .world
            .services(|services, _| services.ews.quirks.undeletable = id);
    };
    undeletable(&stage, Some(stage.mailbox_id(ANNA, "a")));
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    assert_eq!(played.codes(), ["refused"], "{played:#?}");
    stage.check("refused", &State::OutlookCount(ANNA, 1));
    undeletable(&stage, None);
    stage.world.advance_ms(DAY_MS);
    stage.pass(ANNA);
    stage.check("later", &State::OutlookCount(ANNA, 0));
    stage.check_quiet("later");
}

/// A contact that cannot be read is held: that the server refuses it says nothing about where it
/// is, whatever the code; only "not found" of this very item does.
#[test]
pub(crate) fn contact_whose_read_is_refused_is_not_deleted() {
    for code in [
        "ErrorItemCorrupt",
        "ErrorAccessDenied",
        "ErrorInvalidIdMalformed",
        "ErrorNew",
    ] {
        let mut stage = Scenario::new()
            .before([crm("erika", &[ANNA], erika())])
            .stage(Variant::AccountField);
        stage.edit(&Edit::Outlook(
            ANNA,
            "erika",
            json!({"jobTitle": "Leitung"}),
        ));
        stage.world.advance_ms(60_000);
        let id = stage.mailbox_id(ANNA, "erika");
        let refuse = move |request: &Request, response: Response| {
            Ok(of_messages(request, response, "GetItem", |asked, _| {
                (asked == id).then(|| refused_item("GetItem", code))
            }))
        };
        let (outcome, findings) = mended_protocols::pass_with(&mut stage, refuse);
        assert_eq!(outcome, Outcome::Complete, "{code}: {findings:#?}");
        stage.check(code, &State::Pending(ANNA, &["mailbox-unreadable"]));
        stage.check(code, &State::CrmCount(1));
        stage.world.advance_ms(DAY_MS);
        stage.pass(ANNA);
        stage.check(code, &State::Crm("erika", json!({"position": ["Leitung"]})));
        stage.check_quiet(code);
    }
}

/// A deletion takes no version, so each contact is read right before it and compared: an edit that
/// came at any time before that read saves the contact, and restores its other half.
#[test]
pub(crate) fn edit_right_before_a_deletion_saves_the_contact() {
    let mut saved = 0;
    for reads in 1..8 {
        let mut stage = Scenario::new()
            .before([crm("erika", &[ANNA], erika())])
            .stage(Variant::AccountField);
        stage.edit(&Edit::CrmDelete("erika"));
        stage.world.advance_ms(60_000);
        let (world, handle) = (Rc::clone(&stage.world), stage.handle(ANNA, "erika"));
        let (count, later) = (Cell::new(0), Rc::new(Cell::new(false)));
        let is_read_later = Rc::clone(&later);
        mended_protocols::pass_with(&mut stage, move |request, response| {
            if says(request, "<m:GetItem>") {
                count.set(count.get() + 1);
                is_read_later.set(is_read_later.get() || count.get() > reads);
                if count.get() == reads {
                    world.mailbox_edit(ANNA, &handle, &json!({"jobTitle": "Leitung"}));
                }
            }
            let is_done = says(request, "<m:DeleteItem") && count.get() >= reads;
            assert!(
                !(is_done && is_read_later.get()),
                "deleted although it was edited"
            );
            Ok(response)
        });
        // Edited after the last look, which is the known window (contract, 7.5), or not at all.
        if !later.get() {
            break;
        }
        saved += 1;
        stage.world.advance_ms(PAUSE_MS);
        come_to_rest(&mut stage, "edited");
        stage.check(
            "edited",
            &State::Crm("erika", json!({"position": ["Leitung"]})),
        );
        let edited = json!({"jobTitle": "Leitung"});
        stage.check("edited", &State::Outlook(ANNA, "erika", edited));
        stage.check_quiet("edited");
    }
    assert!(saved > 0, "a look right before the deletion");
}

/// Characters that no XML may hold come back from Exchange, and never go there: what is left of the
/// text is a value like any other, on both sides, and nothing is written for ever.
#[test]
fn characters_that_xml_forbids_break_nothing() {
    for form in [
        IllegalCharacters::Referenced,
        IllegalCharacters::Raw,
        IllegalCharacters::LeftOut,
    ] {
        let mut stage = Scenario::new()
            .world(move |world| world.ews(|quirks| quirks.illegal_characters = form))
            .before([crm("erika", &[ANNA], erika())])
            .stage(Variant::AccountField);
        let title = json!({"jobTitle": "Leitung\u{b} Nord\u{1f}", "department": "\u{0}"});
        stage.edit(&Edit::Outlook(ANNA, "erika", title));
        stage.world.advance_ms(60_000);
        stage.pass(ANNA);
        stage.world.advance_ms(PAUSE_MS);
        stage.edit(&Edit::Crm(
            "erika",
            json!({"company": ["Haus\u{b}bau \u{fffe}GmbH"]}),
        ));
        stage.world.advance_ms(60_000);
        let played = stage.pass(ANNA);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::Complete,
            "{form:?} {played:#?}"
        );
        let found = stage
            .world
            .crm_fields(&stage.crm_id("erika"))
            .expect("is there");
        let position = found["position"][0].as_str().expect("a text");
        assert!(
            position.starts_with("Leitung") && position.contains("Nord"),
            "{form:?} {position:?}"
        );
        let held = stage
            .world
            .mailbox_contact(ANNA, &stage.handle(ANNA, "erika"));
        let company = held.expect("is there")["companyName"].clone();
        let company = company.as_str().expect("a text");
        assert!(
            company.starts_with("Haus") && company.ends_with("GmbH"),
            "{form:?} {company:?}"
        );
        stage.check_quiet("illegal");
    }
}

// ---- what it costs ------------------------------------------------------------------------------

/// Contacts of the first sync that is counted.
const CONTACTS: usize = 1_000;

/// `SyncFolderItems` may name 512 contacts (Microsoft, `maxchangesreturned.md`); pages of two
/// hundred keep what a step holds small.
const SYNCS: u64 = 5;

/// `GetItem` reads fifty of them.
const READS: u64 = 20;

/// `GetFolder` says whose folder it is, and that the mailbox can be read.
const FOLDERS_MAX: u64 = 2;

#[test]
fn first_sync_asks_for_pages_and_not_for_contacts() {
    let mut stage = Scenario::new().ballast(0).stage(Variant::AccountField);
    for number in 0..CONTACTS {
        let properties = json!({"givenName": "Vor", "surname": format!("Nach{number}")});
        stage.world.mailbox_create(ANNA, &properties);
    }
    stage.world.services(|services, _| {
        services.log.record(true);
        services.log.take();
    });
    let played = stage.pass(ANNA);
    assert_eq!(played.counters.of(Kind::FlowfactCreate), CONTACTS as u64);
    let records = stage.world.services(|services, _| services.log.take());
    let asked = |operation: &str| {
        let element = format!("<m:{operation}");
        let says = |record: &&contact_sync_tests::simulator::Record| {
            !record.batched && String::from_utf8_lossy(&record.body).contains(&element)
        };
        records.iter().filter(says).count() as u64
    };
    assert_eq!(asked("SyncFolderItems"), SYNCS);
    assert_eq!(asked("GetItem"), READS);
    assert!(asked("GetFolder") <= FOLDERS_MAX, "{}", asked("GetFolder"));
    let quiet = {
        stage.world.advance_ms(PAUSE_MS);
        stage.pass(ANNA);
        stage.world.advance_ms(PAUSE_MS);
        stage.pass(ANNA)
    };
    assert_eq!(quiet.counters.of(Kind::EwsSync), 1, "{:?}", quiet.counters);
    assert_eq!(quiet.counters.of(Kind::EwsRead), 0, "{:?}", quiet.counters);
}
