//! What is Office 365's own: answers and habits that Exchange Web Services cannot have.
//!
//! An entry of the feed holds the contact itself, and can be late; the contacts folder need not
//! have a name; a person needs a given name; a move leaves a contact its id. Over Exchange Web
//! Services the feed names ids alone, each contact is read when it is needed, and `over_ews` says
//! the rest.

use std::cell::RefCell;
use std::rc::Rc;

use contact_sync_guest::outside::Response;
use contact_sync_guest::setup;
use contact_sync_tests::simulator::Place;
use serde_json::{Value, json};

use super::mended::answer_outlives;
use super::mended_protocols::{erika, pass_with};
use super::stage::{ANNA, Edit, PAUSE_MS, Scenario, State, Variant, crm};
use super::tools::checked;

/// A late entry shows what a contact held before later edits: it is no edit back to that.
#[test]
fn replayed_entry_with_old_content_is_no_edit() {
    let mut stage = Scenario::new()
        .before([crm("erika", &[ANNA], erika())])
        .stage(Variant::AccountField);
    let old: Rc<RefCell<Vec<Value>>> = Rc::default();
    let entries = |response: &Response| -> Value {
        serde_json::from_slice(&response.body).expect("delta is JSON")
    };
    stage.edit(&Edit::Outlook(ANNA, "erika", json!({"jobTitle": "Alt"})));
    stage.world.advance_ms(PAUSE_MS);
    let kept = Rc::clone(&old);
    pass_with(&mut stage, move |request, response| {
        if request.url.contains("/delta") {
            let page = entries(&response);
            let page = page["value"].as_array().expect("a list").iter().cloned();
            kept.borrow_mut().extend(page);
        }
        Ok(response)
    });
    assert_eq!(old.borrow().len(), 1, "the edit and nothing else");
    stage.world.advance_ms(PAUSE_MS);
    stage.edit(&Edit::Outlook(
        ANNA,
        "erika",
        json!({"jobTitle": "Leitung"}),
    ));
    stage.pass(ANNA);
    stage.world.advance_ms(PAUSE_MS);
    // Once behind the echo, once behind an edit that is news.
    for title in [None, Some("Vertrieb")] {
        if let Some(title) = title {
            stage.edit(&Edit::Outlook(ANNA, "erika", json!({ "jobTitle": title })));
        }
        stage.world.advance_ms(PAUSE_MS);
        let late = Rc::clone(&old);
        pass_with(&mut stage, move |request, mut response| {
            if request.url.contains("/delta") {
                let mut page = entries(&response);
                let values = page["value"].as_array_mut().expect("a list");
                values.extend(late.borrow().iter().cloned());
                response.body = page.to_string().into_bytes();
            }
            Ok(response)
        });
        let title = title.unwrap_or("Leitung");
        stage.check("late", &State::Crm("erika", json!({"position": [title]})));
        stage.check(
            "late",
            &State::Outlook(ANNA, "erika", json!({"jobTitle": title})),
        );
    }
    stage.check_quiet("late");
}

/// Exchange may want a given name, and nothing is invented: the contact waits, and says for what.
#[test]
fn person_with_a_surname_alone_waits_for_a_first_name() {
    let mut stage = Scenario::new().stage(Variant::AccountField);
    stage.edit(&Edit::CrmNew(
        "erika",
        &[ANNA],
        json!({"lastName": ["Muster"]}),
    ));
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    let told = played.findings.first().expect("it is told");
    assert_eq!(told.code, "refused", "{played:#?}");
    assert!(told.message.contains("given name"), "{}", told.message);
    let remedy = told.remedy.as_deref();
    assert!(
        remedy.is_some_and(|remedy| remedy.contains("first name")),
        "{remedy:?}"
    );
    stage.edit(&Edit::Crm("erika", json!({"firstName": ["Erika"]})));
    stage.world.advance_ms(60_000);
    stage.pass(ANNA);
    let expected = json!({"givenName": "Erika", "surname": "Muster"});
    stage.check("named", &State::Outlook(ANNA, "erika", expected));
    stage.check_quiet("named");
}

/// Where the folder has no well-known name, a contact in it tells its id; an empty one has none.
#[test]
fn check_finds_the_contacts_folder_without_its_well_known_name() {
    let stage = Scenario::new()
        .ballast(0)
        .world(|builder| builder.graph(|quirks| quirks.contacts_alias = false))
        .stage(Variant::AccountField);
    let (ready, codes) = checked(&stage, |_| {});
    assert!(!ready && codes == ["mailbox-unreachable"], "{codes:?}");
    let checkup = setup::check(&stage.job(ANNA), &stage.outside()).expect("the job is sound");
    let told = checkup
        .findings
        .iter()
        .find(|found| found.code == "mailbox-unreachable");
    let remedy = told.and_then(|found| found.remedy.as_deref());
    assert!(
        remedy.is_some_and(|remedy| remedy.contains("create a contact")),
        "{told:?}"
    );
    stage
        .world
        .mailbox_create(ANNA, &json!({"givenName": "Max", "surname": "Kraft"}));
    assert_eq!(checked(&stage, |_| {}), (true, Vec::new()));
}

#[test]
fn answer_outlives_a_mailbox_contact_that_was_moved() {
    answer_outlives(
        |stage| {
            let id = stage.handle(ANNA, "erika");
            if stage.world.mailbox_place(ANNA, &id) == Place::Contacts {
                stage.edit(&Edit::OutlookMove(ANNA, "erika"));
            }
            stage.pass(ANNA)
        },
        |stage| stage.edit(&Edit::OutlookMoveBack(ANNA, "erika")),
        "moved-in-mailbox",
    );
}
