//! Damaged rows of the store: whichever it is, nobody is deleted, nobody is doubled, and nothing
//! panics.
//!
//! Method: a mailbox about which everything is remembered that can be remembered at rest: pairs,
//! a detached one, a tombstone, a moved contact, a question, an answer, the guard's list, the
//! journal. Then each row in turn is cut short, emptied, replaced by nonsense, or written by a
//! newer version; whatever a person or a host may call next is called, and two days pass.

use std::collections::{BTreeMap, BTreeSet};

use contact_sync_guest::approval;
use contact_sync_guest::explain;
use contact_sync_guest::journal;
use contact_sync_guest::links::Memory;
use contact_sync_guest::pass::Mode;
use contact_sync_guest::setup;
use contact_sync_tests::simulator::RequestKind as Kind;
use serde_json::{Value, json};

use super::stage::{
    ANNA, DAY_MS, Edit, Ending, PAUSE_MS, Person, Played, Scenario, Stage, State, Variant, crm,
    ending, writes,
};

/// Deleted in the CRM, as many as the guard does not let pass.
const DELETED: [&str; 6] = ["d0", "d1", "d2", "d3", "d4", "d5"];

/// Rows of a kind that are damaged, where they are of no contact: there are many that are alike.
const OF_EACH_KIND: usize = 2;

fn person(name: &str) -> Value {
    json!({"firstName": [name], "lastName": ["Muster"], "emails": [format!("{name}@muster.example")]})
}

fn remembering() -> Stage {
    let names = ["edited", "unmarked", "moved", "gone"];
    let people: Vec<Person> = names
        .into_iter()
        .chain(DELETED)
        .map(|name| crm(name, &[ANNA], person(name)))
        .collect();
    let mut stage = Scenario::new()
        .ballast(0)
        .before(people)
        .stage(Variant::AccountField);
    let step = |stage: &mut Stage, edits: Vec<Edit>| {
        for edit in &edits {
            stage.edit(edit);
        }
        stage.world.advance_ms(PAUSE_MS);
        stage.pass(ANNA)
    };
    let namesake = |name| {
        let fields = json!({"givenName": "edited", "surname": "Muster", "nickName": name,
            "emailAddresses": [{"address": "zwilling@muster.example"}]});
        Edit::OutlookNew(ANNA, name, fields)
    };
    step(
        &mut stage,
        vec![
            Edit::OutlookDelete(ANNA, "gone"),
            Edit::Unmark("unmarked", ANNA),
            Edit::OutlookMove(ANNA, "moved"),
            Edit::Crm("edited", json!({"position": ["Leitung"]})),
            Edit::Outlook(ANNA, "edited", json!({"jobTitle": "Vertrieb"})),
            Edit::CrmNew(
                "twin",
                &[],
                json!({"firstName": ["edited"], "lastName": ["Muster"],
                "emails": ["zwilling@muster.example"]}),
            ),
            Edit::CrmNew(
                "triplet",
                &[],
                json!({"firstName": ["edited"], "lastName": ["Muster"],
                "emails": ["zwilling@muster.example"]}),
            ),
            namesake("asked"),
        ],
    );
    let played = step(&mut stage, DELETED.map(Edit::CrmDelete).into());
    let waits = Ending::NeedsApproval("over-limit");
    assert_eq!(ending(&played.report.outcome), waits, "{played:#?}");
    let (crm_id, mailbox_id) = (stage.crm_id("twin"), stage.mailbox_id(ANNA, "asked"));
    let pair = setup::pair(
        &stage.job(ANNA),
        &stage.outside(),
        &contact_sync_guest::contact::MailboxId::new(mailbox_id),
        Some(contact_sync_guest::contact::CrmId::new(crm_id)),
    );
    pair.expect("the question is answered");
    stage
}

/// All that reads the store and is no pass: an answer or a failure, never a panic.
fn look(stage: &Stage) {
    let (job, outside) = (stage.job(ANNA), stage.outside());
    drop(setup::status(&job, &outside));
    drop(approval::request(&job, &outside, None, 100));
    let memory = Memory::new(stage.outside(), &job.mailbox.id);
    drop(journal::entries(&memory, None, 100));
    for name in ["edited", "unmarked", "moved", "gone", "d0"] {
        drop(explain::explain(&job, &outside, &stage.crm_id(name)));
    }
}

fn destroyed(played: &Played) -> bool {
    let written = writes(&played.counters);
    written.contains_key(&Kind::FlowfactDelete) || written.contains_key(&Kind::GraphDelete)
}

fn damages(row: &[u8]) -> Vec<(&'static str, Vec<u8>)> {
    let half = row.get(..row.len() / 2).unwrap_or_default().to_vec();
    let mut damages = vec![
        ("cut short", half),
        ("emptied", Vec::new()),
        ("nonsense", b"?".to_vec()),
        ("without members", b"{}".to_vec()),
    ];
    if let Ok(Value::Object(mut members)) = serde_json::from_slice(row) {
        members.insert("of-a-newer-version".to_owned(), json!(["?"]));
        let row = serde_json::to_vec(&members).expect("it was JSON");
        damages.push(("newer", row));
    }
    damages
}

#[test]
fn any_damaged_row_deletes_nobody_and_doubles_nobody() {
    let rows = remembering().world.stored();
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    for (number, (key, row)) in rows.iter().enumerate() {
        let kind = key.split('/').nth(2).unwrap_or_default();
        let count = taken.entry(kind).or_default();
        *count += 1;
        let is_of_a_contact = ["pair", "at"].contains(&kind);
        if is_of_a_contact || *count <= OF_EACH_KIND {
            for (damage, damaged) in damages(row) {
                survives(number, &damaged, &format!("row {number}, {key}: {damage}"));
            }
        }
    }
    for kind in [
        "answer", "at", "journal", "pair", "pending", "request", "state",
    ] {
        assert!(taken.contains_key(kind), "no row of {kind}: {taken:?}");
    }
}

/// Damages the row at this place, and lets two days pass.
fn survives(number: usize, damaged: &[u8], context: &str) {
    let mut stage = remembering();
    let mut stored = stage.world.stored();
    // Another run draws other keys of passes: the same place in the order is the same row.
    let key = stored.keys().nth(number).cloned().expect("as many rows");
    stored.insert(key, damaged.to_vec());
    stage.world.set_stored(stored);
    look(&stage);
    stage.pass_in(ANNA, Mode::Preview);
    for _ in 0..2 {
        stage.world.advance_ms(DAY_MS);
        let played = stage.pass(ANNA);
        assert!(!destroyed(&played), "{context}: {played:#?}");
        look(&stage);
    }
    for name in ["edited", "unmarked", "moved"] {
        stage.check(context, &State::Crm(name, json!({"firstName": [name]})));
    }
    assert_eq!(doubles(&stage), Vec::<String>::new(), "{context}");
}

/// Addresses that two contacts of one side have: nobody but the twins has another one's.
fn doubles(stage: &Stage) -> Vec<String> {
    let world = &stage.world;
    let crm = world.crm_ids().into_iter().map(|id| world.crm_fields(&id));
    let crm = crm
        .flatten()
        .map(|fields| format!("CRM {}", fields["emails"]));
    let mailbox = world.mailbox_ids(ANNA).into_iter();
    let mailbox = mailbox.filter_map(|id| world.mailbox_contact(ANNA, &id));
    let mailbox = mailbox.map(|contact| format!("mailbox {}", contact["emailAddresses"]));
    let mut seen = BTreeSet::new();
    crm.chain(mailbox)
        .filter(|held| !held.contains("zwilling"))
        .filter(|held| !seen.insert(held.clone()))
        .collect()
}
