//! The services as they may be: whatever their answers look like, the same end.
//!
//! The fact sheets leave open how FLOWFACT answers much of what it is asked, and Graph has its
//! moods. Each of them is a switch of the simulator; with each of them a pass with something of
//! everything must end as with none.

use contact_sync_tests::simulator::WorldBuilder;
use contact_sync_tests::simulator::flowfact::quirks::{
    BadValue, CreateAnswer, EmailForm, ErrorForm, TimestampForm, TrashOrder,
};
use contact_sync_tests::simulator::graph::quirks::{
    DisplayNameRule, LinkForm, NotesBug, RemovedReason,
};

use super::safety::{busy_in, come_to_rest, snapshot};
use super::stage::ANNA;

/// What it is called, and how a world gets it.
pub(crate) type Quirk = (&'static str, fn(WorldBuilder) -> WorldBuilder);

const FLOWFACT: [Quirk; 27] = [
    ("times as numbers", |world| {
        world.flowfact(|quirks| quirks.timestamps = TimestampForm::Numbers)
    }),
    ("no lastModifiedTimestamp", |world| {
        world.flowfact(|quirks| quirks.last_modified_member = false)
    }),
    ("create: id as text", |world| {
        world.flowfact(|quirks| quirks.create_answer = CreateAnswer::IdText)
    }),
    ("create: id as JSON", |world| {
        world.flowfact(|quirks| quirks.create_answer = CreateAnswer::IdJson)
    }),
    ("create: id in an object", |world| {
        world.flowfact(|quirks| quirks.create_answer = CreateAnswer::IdObject)
    }),
    ("create: entity", |world| {
        world.flowfact(|quirks| quirks.create_answer = CreateAnswer::Entity)
    }),
    ("create: 201", |world| {
        world.flowfact(|quirks| quirks.create_status = 201)
    }),
    ("update: 204", |world| {
        world.flowfact(|quirks| quirks.update_answers_entity = false)
    }),
    ("delete: 204", |world| {
        world.flowfact(|quirks| quirks.delete_status = 204)
    }),
    ("index lag", |world| {
        world.flowfact(|quirks| quirks.index_lag_ms = 30_000)
    }),
    ("no filter by time", |world| {
        world.flowfact(|quirks| quirks.metadata_filter = false)
    }),
    ("small pages", |world| {
        world.flowfact(|quirks| quirks.page_size_max = 3)
    }),
    ("trash: newest last", |world| {
        world.flowfact(|quirks| quirks.trash_order = TrashOrder::NewestLast)
    }),
    ("trash: no order", |world| {
        world.flowfact(|quirks| quirks.trash_order = TrashOrder::None)
    }),
    ("trash in searches", |world| {
        world.flowfact(|quirks| quirks.trashed_in_search = true)
    }),
    ("trash: 410", |world| {
        world.flowfact(|quirks| quirks.trashed_status = 410)
    }),
    ("restoring is no modification", |world| {
        world.flowfact(|quirks| quirks.restore_modifies = false)
    }),
    ("cleared fields answered", |world| {
        world.flowfact(|quirks| quirks.cleared_field_answered = true)
    }),
    ("e-mails with type", |world| {
        world.flowfact(|quirks| quirks.emails = EmailForm::Typed)
    }),
    ("address parts null", |world| {
        world.flowfact(|quirks| quirks.address_nulls = true)
    }),
    ("unknown list values stored", |world| {
        world.flowfact(|quirks| quirks.unknown_list_value = BadValue::Stored)
    }),
    ("recalculation", |world| {
        world.flowfact(|quirks| quirks.recalculation_ms = Some(5_000))
    }),
    ("token as text", |world| {
        world.flowfact(|quirks| quirks.token_quoted = false)
    }),
    ("errors as text", |world| {
        world.flowfact(|quirks| quirks.errors = ErrorForm::Text)
    }),
    ("errors as message", |world| {
        world.flowfact(|quirks| quirks.errors = ErrorForm::Message)
    }),
    ("hidden: 403", |world| {
        world.flowfact(|quirks| quirks.hidden_status = 403)
    }),
    ("schemas in small pages", |world| {
        world.flowfact(|quirks| quirks.schema_page_size = 1)
    }),
];

const GRAPH: [Quirk; 20] = [
    ("display name kept", |world| {
        world.graph(|quirks| quirks.display_name = DisplayNameRule::Kept)
    }),
    ("display name always anew", |world| {
        world.graph(|quirks| quirks.display_name = DisplayNameRule::FollowsAll)
    }),
    ("given name not required", |world| {
        world.graph(|quirks| quirks.given_name_required = false)
    }),
    ("no e-mail slots", |world| {
        world.graph(|quirks| quirks.email_slots = false)
    }),
    ("notes unharmed", |world| {
        world.graph(|quirks| quirks.notes = NotesBug::Nowhere)
    }),
    ("default folder listed", |world| {
        world.graph(|quirks| quirks.default_folder_listed = true)
    }),
    ("Deleted Items readable", |world| {
        world.graph(|quirks| quirks.deleted_items_readable = true)
    }),
    ("filter sees one folder", |world| {
        world.graph(|quirks| quirks.property_filter_spans_folders = false)
    }),
    ("small pages", |world| {
        world.graph(|quirks| quirks.page_size_max = 2)
    }),
    ("sticky pages", |world| {
        world.graph(|quirks| quirks.page_size_sticky = true)
    }),
    ("links as requested", |world| {
        world.graph(|quirks| quirks.delta_links = LinkForm::AsRequested)
    }),
    ("removed: changed", |world| {
        world.graph(|quirks| quirks.removed_reason = RemovedReason::Changed)
    }),
    ("removed in the first round", |world| {
        world.graph(|quirks| quirks.removed_in_first_round = true)
    }),
    ("empty pages", |world| {
        world.graph(|quirks| quirks.empty_page_every = Some(2))
    }),
    ("entries repeated", |world| {
        world.graph(|quirks| quirks.entries_repeated = true)
    }),
    ("entries replayed", |world| {
        world.graph(|quirks| quirks.entries_replayed = 5)
    }),
    ("entries reordered", |world| {
        world.graph(|quirks| quirks.entries_reordered = true)
    }),
    ("delta late", |world| {
        world.graph(|quirks| quirks.delta_delay_ms = 30_000)
    }),
    ("tokens expire at once", |world| {
        world.graph(|quirks| quirks.generations_kept = Some(1))
    }),
    ("conflicts for no reason", |world| {
        world.graph(|quirks| quirks.spontaneous_conflict_every = Some(3))
    }),
];

/// Contacts as people know them: names by side, with position and department. The writing of an
/// e-mail or of an empty field is the quirk's.
pub(crate) fn names(stage: &super::stage::Stage) -> [Vec<String>; 4] {
    let (crm, trash, mailbox, deleted) = snapshot(&stage.world);
    [crm, trash, mailbox, deleted].map(|contacts| {
        let mut names: Vec<String> = contacts
            .iter()
            .map(|contact| {
                let contact: serde_json::Value = serde_json::from_str(contact).unwrap_or_default();
                let members = [
                    "firstName",
                    "lastName",
                    "position",
                    "department",
                    "givenName",
                    "surname",
                    "jobTitle",
                    "displayName",
                ];
                let text = |name: &&str| contact[*name].to_string();
                members
                    .iter()
                    .map(text)
                    .collect::<Vec<_>>()
                    .join(" ")
                    .replace("[]", "null")
            })
            .collect();
        names.sort();
        names
    })
}

pub(crate) fn all_end_the_same(quirks: &[Quirk]) {
    let mut plain = busy_in(|world| world);
    come_to_rest(&mut plain, "no quirk");
    let expected = names(&plain);
    for (name, quirk) in quirks {
        let mut stage = busy_in(*quirk);
        come_to_rest(&mut stage, name);
        assert_eq!(names(&stage), expected, "{name}");
        stage.check_quiet(name);
    }
    assert!(!plain.links(ANNA).is_empty());
}

#[test]
fn flowfact_as_it_may_be_ends_the_same() {
    all_end_the_same(&FLOWFACT);
}

#[test]
fn graph_as_it_may_be_ends_the_same() {
    // Over Exchange Web Services those remain that are the mailbox's own, whoever writes to it.
    all_end_the_same(&GRAPH);
}
