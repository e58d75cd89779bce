//! Section 7.1: how much may be destroyed before a person is asked.

use std::collections::BTreeMap;

use contact_sync_guest::job::OnUnmark;
use contact_sync_guest::links::Link;
use contact_sync_tests::simulator::RequestKind as Kind;
use serde_json::{Value, json};

use super::stage::{
    ANNA, DAY_MS, Ending, PAUSE_MS, Played, Scenario, Stage, Variant, ending, writes,
};

/// So many contacts that ten are the limit.
const LINKS: usize = 40;
const LIMIT: usize = 10;

fn stage() -> Stage {
    Scenario::new().ballast(LINKS).stage(Variant::AccountField)
}

/// What people do to many contacts.
type Hand = fn(&Stage, &str, &str);

fn delete_in_crm(stage: &Stage, crm: &str, _: &str) {
    stage.world.crm_delete(crm);
}

fn delete_in_mailbox(stage: &Stage, _: &str, mailbox: &str) {
    stage.world.mailbox_delete(ANNA, mailbox);
}

fn unmark(stage: &Stage, crm: &str, _: &str) {
    stage.world.crm_unmark(crm, ANNA);
}

fn clear_in_crm(stage: &Stage, crm: &str, _: &str) {
    stage.world.crm_edit(crm, &json!({"emails": []}));
}

fn clear_in_mailbox(stage: &Stage, _: &str, mailbox: &str) {
    stage
        .world
        .mailbox_edit(ANNA, mailbox, &json!({"emailAddresses": []}));
}

const HANDS: [(&str, Hand, Kind); 4] = [
    ("deletions in the CRM", delete_in_crm, Kind::GraphDelete),
    (
        "deletions in the mailbox",
        delete_in_mailbox,
        Kind::FlowfactDelete,
    ),
    ("cleared in the CRM", clear_in_crm, Kind::GraphUpdate),
    (
        "cleared in the mailbox",
        clear_in_mailbox,
        Kind::FlowfactUpdate,
    ),
];

/// Does something to the contacts from `first` on, then a pass.
fn act(stage: &mut Stage, hand: Hand, first: usize, count: usize) -> Played {
    let pairs: Vec<(String, String)> = stage
        .links(ANNA)
        .iter()
        .map(|link| (link.crm_id.to_string(), link.mailbox_id.to_string()))
        .collect();
    for (crm, mailbox) in pairs.iter().skip(first).take(count) {
        hand(stage, crm, mailbox);
    }
    stage.world.advance_ms(60_000);
    let played = stage.pass(ANNA);
    stage.world.advance_ms(PAUSE_MS);
    played
}

fn written(played: &Played, kind: Kind) -> u64 {
    writes(&played.counters).get(&kind).copied().unwrap_or(0)
}

#[test]
pub(crate) fn as_many_as_the_limit_are_carried_out_and_one_more_none() {
    for (name, hand, kind) in HANDS {
        let mut at_limit = stage();
        let played = act(&mut at_limit, hand, 0, LIMIT);
        assert_eq!(ending(&played.report.outcome), Ending::Complete, "{name}");
        assert_eq!(written(&played, kind), LIMIT as u64, "{name}");

        let mut over = stage();
        let played = act(&mut over, hand, 0, LIMIT + 1);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::NeedsApproval("over-limit"),
            "{name}"
        );
        assert!(
            writes(&played.counters).is_empty(),
            "{name}: {:?}",
            writes(&played.counters)
        );
        assert_eq!(
            over.pending(ANNA),
            vec!["awaiting-approval"; LIMIT + 1],
            "{name}"
        );
        over.check_quiet(name);
    }
}

#[test]
fn detachings_count_too() {
    let mut stage = stage();
    let played = act(&mut stage, unmark, 0, LIMIT + 1);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::NeedsApproval("over-limit")
    );
    assert!(stage.links(ANNA).iter().all(Link::is_linked));
}

#[test]
fn deletions_that_an_unmarking_asks_for_count_as_deletions() {
    let mut stage = Scenario::new()
        .ballast(LINKS)
        .policy(|policy| policy.on_unmark = OnUnmark::DeleteFromMailbox)
        .stage(Variant::AccountField);
    let played = act(&mut stage, unmark, 0, LIMIT + 1);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::NeedsApproval("over-limit")
    );
    assert!(writes(&played.counters).is_empty());
}

#[test]
pub(crate) fn what_was_carried_out_in_the_last_24_hours_counts() {
    for (name, hand, kind) in HANDS {
        let mut stage = stage();
        act(&mut stage, hand, 0, LIMIT - 2);
        // Three more: one too many within a day.
        let played = act(&mut stage, hand, LIMIT - 2, 3);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::NeedsApproval("over-limit"),
            "{name}"
        );
        assert!(writes(&played.counters).is_empty(), "{name}");
        // A day later it is three.
        stage.world.advance_ms(DAY_MS + 3_600_000);
        let played = stage.pass(ANNA);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::Complete,
            "{name}: {played:#?}"
        );
        assert_eq!(written(&played, kind), 3, "{name}");
        assert!(stage.pending(ANNA).is_empty(), "{name}");
        stage.check_quiet(name);
    }
}

/// One kind over its limit holds back no other, and everything else is carried out.
#[test]
fn everything_else_is_carried_out() {
    let mut stage = stage();
    let pairs = stage.links(ANNA);
    for link in pairs.iter().take(LIMIT + 1) {
        stage.world.crm_delete(link.crm_id.as_str());
    }
    let other = &pairs[LIMIT + 1];
    stage
        .world
        .crm_edit(other.crm_id.as_str(), &json!({"position": ["Leitung"]}));
    let deleted = &pairs[LIMIT + 2];
    stage
        .world
        .mailbox_delete(ANNA, deleted.mailbox_id.as_str());
    stage
        .world
        .mailbox_create(ANNA, &json!({"givenName": "Neu", "surname": "Hinzu"}));
    let played = stage.pass(ANNA);
    let expected = [
        (Kind::FlowfactCreate, 1),
        (Kind::FlowfactDelete, 1),
        (Kind::GraphUpdate, 1),
    ];
    assert_eq!(
        writes(&played.counters).into_iter().collect::<Vec<_>>(),
        expected,
        "{played:#?}"
    );
    assert_eq!(
        ending(&played.report.outcome),
        Ending::NeedsApproval("over-limit")
    );
}

/// Only the field that would be emptied too often is withheld, not the other edits of its contacts.
#[test]
fn other_edits_of_a_contact_whose_field_is_withheld_are_carried_out() {
    let mut stage = stage();
    let pairs = stage.links(ANNA);
    for link in pairs.iter().take(LIMIT + 1) {
        let edit = json!({"emailAddresses": [], "jobTitle": "Leitung"});
        stage
            .world
            .mailbox_edit(ANNA, link.mailbox_id.as_str(), &edit);
    }
    let played = stage.pass(ANNA);
    assert_eq!(
        written(&played, Kind::FlowfactUpdate),
        (LIMIT + 1) as u64,
        "{played:#?}"
    );
    let fields = stage
        .world
        .crm_fields(pairs[0].crm_id.as_str())
        .unwrap_or_default();
    assert_eq!(fields["position"], json!(["Leitung"]));
    assert_ne!(
        fields.get("emails").cloned().unwrap_or(Value::Null),
        Value::Null
    );
    stage.check_quiet("withheld");
}

/// What would be emptied is put back on both sides when the user takes it back.
#[test]
fn what_people_take_back_needs_no_approval_any_more() {
    let mut stage = stage();
    let pairs = stage.links(ANNA);
    for link in pairs.iter().take(LIMIT + 1) {
        stage.world.crm_delete(link.crm_id.as_str());
    }
    stage.pass(ANNA);
    for link in pairs.iter().take(LIMIT + 1) {
        stage.world.crm_restore(link.crm_id.as_str());
    }
    stage.world.advance_ms(PAUSE_MS);
    let played = stage.pass(ANNA);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::Complete,
        "{played:#?}"
    );
    assert!(writes(&played.counters).is_empty(), "{played:#?}");
    assert!(stage.pending(ANNA).is_empty());
    stage.check_quiet("taken back");
}

#[test]
fn half_of_few_links_is_the_limit() {
    for (links, allowed) in [(2, 1), (4, 2), (8, 4)] {
        let mut stage = Scenario::new().ballast(links).stage(Variant::AccountField);
        let played = act(&mut stage, delete_in_crm, 0, allowed);
        assert_eq!(
            ending(&played.report.outcome),
            Ending::Complete,
            "{allowed} of {links}"
        );
        let mut stage = Scenario::new().ballast(links).stage(Variant::AccountField);
        let played = act(&mut stage, delete_in_crm, 0, allowed + 1);
        // Of two contacts, two are all of them.
        let reason = if allowed + 1 == links {
            "side-empty"
        } else {
            "over-limit"
        };
        assert_eq!(
            ending(&played.report.outcome),
            Ending::NeedsApproval(reason),
            "{links}"
        );
    }
}

#[test]
pub(crate) fn side_that_suddenly_shows_nothing_loses_the_other_nothing() {
    let mut stage = Scenario::new().ballast(30).stage(Variant::AccountField);
    for id in stage.world.mailbox_ids(ANNA) {
        stage.world.mailbox_delete(ANNA, &id);
    }
    stage.world.advance_ms(DAY_MS);
    let played = stage.pass(ANNA);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::NeedsApproval("side-empty")
    );
    assert!(writes(&played.counters).is_empty());
    assert_eq!(stage.world.crm_ids().len(), 30);
}

/// A store that is gone, beside address books that are in step: pairs, and nothing else.
#[test]
fn lost_memory_pairs_and_deletes_nothing() {
    let mut stage = stage();
    stage.world.set_stored(BTreeMap::new());
    let gone = stage.world.mailbox_ids(ANNA);
    stage.world.mailbox_delete(ANNA, &gone[0]);
    let played = stage.pass(ANNA);
    assert_eq!(
        ending(&played.report.outcome),
        Ending::Complete,
        "{played:#?}"
    );
    // What was deleted while nobody remembered is created again: never the other way round.
    assert_eq!(
        writes(&played.counters).into_iter().collect::<Vec<_>>(),
        [(Kind::GraphCreate, 1)]
    );
    assert_eq!(stage.links(ANNA).len(), LINKS);
    assert_eq!(stage.world.crm_ids().len(), LINKS);
    stage.world.advance_ms(PAUSE_MS);
    stage.check_quiet("lost memory");
}

/// A store that is older than the services.
#[test]
fn older_memory_pairs_and_deletes_nothing() {
    let mut stage = Scenario::new().ballast(6).stage(Variant::AccountField);
    let old = stage.world.stored();
    stage.world.mailbox_create(
        ANNA,
        &json!({"givenName": "Neu", "surname": "Hinzu", "mobilePhone": "0171 1"}),
    );
    let id = stage
        .world
        .crm_create(&json!({"firstName": ["Erika"], "lastName": ["Muster"]}));
    stage.world.crm_mark(&id, ANNA);
    stage.pass(ANNA);
    stage.world.advance_ms(PAUSE_MS);
    stage.pass(ANNA);
    stage.world.set_stored(old);
    stage.world.advance_ms(DAY_MS);
    let played = stage.pass(ANNA);
    assert!(writes(&played.counters).is_empty(), "{played:#?}");
    assert_eq!(stage.links(ANNA).len(), 8);
}
