//! The laws of the contract's section 4, over generated records.
//!
//! Goal: no edit is lost, invented, or written where nobody asked for it. Method: two records of
//! one person are drawn from small pools, so that values meet: the same number in several writings
//! and types, blank and unreadable entries, more values than slots. They are merged as a first
//! pair, as a pass does, and remembered; then users edit one side or both, and the laws are checked
//! with no other knowledge than the values' canonical forms.

mod can_fail;
mod canonical;
mod generated;

use contact_sync_guest::contact::{
    CrmAddress, CrmEmail, CrmFields, CrmKind, CrmPhone, Field, FieldSet, Shape, Slot, View,
    address, birthday, email, phone, text,
};
use contact_sync_guest::mapping::{
    Base, Shown, changed_in_crm, changed_in_mailbox, changes, emptied, remember,
};
use contact_sync_guest::plan::merge::{Input, Merged, agree, merge, relink};
use contact_sync_guest::report::Side;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use serde_json::Value;
use std::collections::BTreeSet;

const REGION: &str = "DE";

/// What stays the same from pass to pass.
#[derive(Clone, Debug)]
struct Setting {
    shape: Shape,
    winner: Side,
    fields: FieldSet,
    locked: FieldSet,
}

impl Setting {
    fn input<'a>(
        &'a self,
        base: Option<&'a Base>,
        crm: &'a CrmFields,
        view: &'a View,
    ) -> Input<'a> {
        Input {
            base,
            crm,
            view,
            fields: &self.fields,
            locked: &self.locked,
            shape: self.shape,
            region: REGION,
            winner: self.winner,
        }
    }

    fn remember(&self, merged: &Merged) -> Base {
        remember(&merged.crm, &merged.view, &merged.slots, &self.fields)
    }
}

/// A pair that was merged, written and read back.
#[derive(Clone, Debug)]
struct Pair {
    setting: Setting,
    crm: CrmFields,
    view: View,
    base: Base,
}

fn setting() -> impl Strategy<Value = Setting> {
    let few = prop::collection::btree_set(prop::sample::select(Field::ALL.to_vec()), 0..2);
    (any::<bool>(), any::<bool>(), few.clone(), few).prop_map(
        |(server, crm_wins, absent, locked)| Setting {
            shape: Shape {
                other_phone: server,
                keeps_gaps: server,
            },
            winner: if crm_wins { Side::Crm } else { Side::Mailbox },
            fields: FieldSet::from(Field::ALL)
                .difference(&absent)
                .copied()
                .collect(),
            locked,
        },
    )
}

fn records() -> impl Strategy<Value = (Setting, CrmFields, View)> {
    setting().prop_flat_map(|setting| {
        let view = generated::view(setting.shape);
        (Just(setting), generated::crm(), view)
    })
}

fn pair() -> impl Strategy<Value = Pair> {
    records().prop_map(|(setting, crm, view)| {
        let merged = merge(setting.input(None, &crm, &view));
        let base = setting.remember(&merged);
        Pair {
            setting,
            crm: merged.crm,
            view: merged.view,
            base,
        }
    })
}

fn pair_and_view_edits() -> impl Strategy<Value = (Pair, View)> {
    (pair(), prop::collection::vec(generated::view_edit(), 0..4)).prop_map(|(pair, edits)| {
        let edited = generated::edit_view(&pair.view, &edits, pair.setting.shape);
        (pair, edited)
    })
}

fn pair_and_crm_edits() -> impl Strategy<Value = (Pair, CrmFields)> {
    (pair(), prop::collection::vec(generated::crm_edit(), 0..4)).prop_map(|(pair, edits)| {
        let edited = generated::edit_crm(&pair.crm, &edits);
        (pair, edited)
    })
}

fn pair_and_all_edits() -> impl Strategy<Value = (Pair, CrmFields, View)> {
    (
        pair_and_crm_edits(),
        prop::collection::vec(generated::view_edit(), 0..4),
    )
        .prop_map(|((pair, crm), edits)| {
            let view = generated::edit_view(&pair.view, &edits, pair.setting.shape);
            (pair, crm, view)
        })
}

/// A law that is broken on purpose is given more records, always the same ones, and need not be
/// shrunk to the smallest of them.
fn config() -> ProptestConfig {
    let usual = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    if can_fail::is_asked() {
        ProptestConfig {
            cases: 20_000,
            max_shrink_iters: 0,
            rng_seed: RngSeed::Fixed(1),
            ..usual
        }
    } else {
        usual
    }
}

proptest! {
    #![proptest_config(config())]

    /// Quiet: what a merge wrote, the next one leaves alone; nobody is said to have changed
    /// anything.
    #[test]
    fn a_merged_pair_is_quiet(pair in pair()) {
        let Pair { setting, crm, view, base } = &pair;
        let merged = merge(setting.input(Some(base), crm, view));
        prop_assert_eq!(&merged.crm, crm);
        prop_assert_eq!(&merged.view, view);
        prop_assert_eq!(&merged.conflicts, &vec![]);
        prop_assert_eq!(changed_in_crm(base, crm, &setting.fields, REGION), FieldSet::new());
        prop_assert_eq!(changed_in_mailbox(base, view, &setting.fields, REGION), FieldSet::new());
        prop_assert_eq!(&setting.remember(&merge(setting.input(Some(base), crm, view))), base);
        // And as if nothing was remembered: matching again writes nothing either.
        let without_locks = Setting { locked: FieldSet::new(), ..setting.clone() };
        if setting.locked.is_empty() {
            prop_assert!(agree(without_locks.input(None, crm, view)));
        }
    }

    /// GetPut and Locality, from the mailbox: only the CRM is written, only in the fields edited.
    #[test]
    fn an_edit_in_the_mailbox_writes_the_crm_alone((pair, edited) in pair_and_view_edits()) {
        let Pair { setting, crm, base, .. } = &pair;
        let merged = merge(setting.input(Some(base), crm, &edited));
        prop_assert_eq!(&merged.view, &edited);
        prop_assert_eq!(&merged.conflicts, &vec![]);
        let edited_fields = changed_in_mailbox(base, &edited, &setting.fields, REGION);
        for change in changes(crm, &merged.crm) {
            prop_assert!(edited_fields.contains(&change.field), "{change:?}");
            prop_assert!(!setting.locked.contains(&change.field), "{change:?}");
        }
        if edited_fields.is_empty() {
            prop_assert_eq!(&merged.crm, crm);
        }
        let base = setting.remember(&merged).keeping(base);
        prop_assert!(agree(setting.input(Some(&base), &merged.crm, &merged.view)));
    }

    /// PutGet, from the mailbox: the CRM then says what the view says.
    #[test]
    fn what_the_mailbox_says_the_crm_says((pair, edited) in pair_and_view_edits()) {
        let Pair { setting, crm, base, .. } = &pair;
        let merged = merge(setting.input(Some(base), crm, &edited));
        for field in setting.fields.difference(&setting.locked) {
            let held = merged.slots.held().contains(field);
            if held || !base.fields.contains(field) || is_old_stand_in(*field, base, &edited) {
                continue;
            }
            let said = mailbox_values(*field, &edited);
            let heard = crm_values(*field, &merged.crm);
            if is_list(*field) {
                for value in &said {
                    let is_heard = heard.iter().any(|other| fits(*field, other, value, setting));
                    // One that waited with another type keeps it.
                    let waited = crm_values(*field, crm).iter().any(|other| other.1 == value.1);
                    prop_assert!(is_heard || waited, "{field:?}: {value:?} is not in {heard:?}");
                }
                // What was cleared is gone.
                let then = mailbox_values(*field, &base.view);
                let cleared = then.iter().filter(|value| {
                    !said.iter().any(|other| other.1 == value.1)
                        && !unreadable_in_mailbox(*field, &edited)
                });
                for value in cleared {
                    let count = |values: &[(String, String)]| {
                        values.iter().filter(|other| other.1 == value.1).count()
                    };
                    let before = count(&crm_values(*field, crm)).max(1);
                    prop_assert!(count(&heard) < before, "{field:?}: {value:?} is still there");
                }
            } else if said != mailbox_values(*field, &base.view)
                && !unreadable(*field, &edited, crm)
            {
                let count = |fields: &CrmFields| all_values(*field, fields);
                if let Some(value) = said.first() {
                    prop_assert_eq!(heard.first(), Some(value));
                } else {
                    // Another one may come first now, which has been waiting behind it.
                    prop_assert_eq!(count(&merged.crm) + 1, count(crm));
                }
            }
        }
    }

    /// Preservation: what has no place in the mailbox survives what happens there, to the last
    /// byte.
    #[test]
    fn what_has_no_slot_survives((pair, edited) in pair_and_view_edits()) {
        let Pair { setting, crm, view, base } = &pair;
        let merged = merge(setting.input(Some(base), crm, &edited));
        for field in [Field::Phones, Field::Emails, Field::Addresses] {
            let in_mailbox: BTreeSet<String> = mailbox_values(field, view)
                .into_iter()
                .chain(mailbox_values(field, &base.view))
                .map(|value| value.1)
                .collect();
            let after = entries(field, &merged.crm);
            for (entry, canonical) in entries(field, crm) {
                let has_slot = canonical.is_some_and(|canonical| in_mailbox.contains(&canonical));
                if !has_slot {
                    prop_assert!(after.iter().any(|(other, _)| *other == entry), "{entry}");
                }
            }
            // Members without a place in Exchange belong to what they are members of.
            let notes_before = notes(field, crm);
            let notes_after = notes(field, &merged.crm);
            prop_assert!(notes_after.is_subset(&notes_before));
            let lost = notes_before.difference(&notes_after).count();
            let cleared = entries(field, crm).len().saturating_sub(after.len());
            prop_assert!(lost <= cleared + added(field, crm, &merged.crm));
        }
    }

    /// GetPut, value by value: an edit of one value leaves the others as somebody wrote them, and
    /// what belongs to them with them.
    #[test]
    fn values_that_nobody_edited_stay_to_the_last_byte((pair, edited) in pair_and_view_edits()) {
        let Pair { setting, crm, base, .. } = &pair;
        let merged = merge(setting.input(Some(base), crm, &edited));
        for field in [Field::Phones, Field::Emails, Field::Addresses] {
            let (then, now) = (mailbox_values(field, &base.view), mailbox_values(field, &edited));
            let shown = |values: &[(String, String)], canonical: &str| -> BTreeSet<String> {
                let same = values.iter().filter(|value| value.1 == canonical);
                same.map(|value| value.0.clone()).collect()
            };
            let after: Vec<String> =
                entries(field, &merged.crm).into_iter().map(|(entry, _)| entry).collect();
            for (entry, canonical) in entries(field, crm) {
                let Some(canonical) = canonical else { continue };
                let rooms_then = shown(&then, &canonical);
                if !rooms_then.is_empty() && rooms_then == shown(&now, &canonical) {
                    prop_assert!(after.contains(&entry), "{entry} is not in {after:?}");
                }
            }
        }
    }

    /// Preservation, whatever happens on both sides: what nobody touched and has no slot is there.
    #[test]
    fn what_has_no_slot_survives_conflicts((pair, crm, view) in pair_and_all_edits()) {
        let Pair { setting, base, .. } = &pair;
        let merged = merge(setting.input(Some(base), &crm, &view));
        for field in [Field::Phones, Field::Emails, Field::Addresses] {
            let mailbox: Vec<(String, String)> = [&pair.view, &base.view, &view]
                .into_iter()
                .flat_map(|view| mailbox_values(field, view))
                .collect();
            let before = entries(field, &pair.crm);
            let after = entries(field, &merged.crm);
            for known in entries(field, &crm).iter().filter(|entry| before.contains(entry)) {
                let has_slot = |canonical: &String| mailbox.iter().any(|it| it.1 == *canonical);
                if !known.1.as_ref().is_some_and(has_slot) {
                    prop_assert!(after.contains(known), "{} is not in {after:?}", known.0);
                }
            }
        }
    }

    /// GetPut and Locality, from the CRM: only the mailbox is written, only in the fields edited.
    #[test]
    fn an_edit_in_the_crm_writes_the_mailbox_alone((pair, edited) in pair_and_crm_edits()) {
        let Pair { setting, view, base, .. } = &pair;
        let merged = merge(setting.input(Some(base), &edited, view));
        prop_assert_eq!(&merged.crm, &edited);
        prop_assert_eq!(&merged.conflicts, &vec![]);
        let edited_fields = changed_in_crm(base, &edited, &setting.fields, REGION);
        for change in changes(view, &merged.view) {
            // A company's stand-in for a given name follows the other names.
            let follows = change.field == Field::FirstName && !edited_fields.is_empty();
            prop_assert!(follows || edited_fields.contains(&change.field), "{change:?}");
        }
        if edited_fields.is_empty() {
            prop_assert_eq!(&merged.view, view);
        }
        let base = setting.remember(&merged).keeping(base);
        prop_assert!(agree(setting.input(Some(&base), &merged.crm, &merged.view)));
    }

    /// What a CRM user changed is in the mailbox, or the user is told.
    #[test]
    fn what_the_crm_says_the_mailbox_says_or_somebody_is_told(
        (pair, edited) in pair_and_crm_edits(),
    ) {
        let Pair { setting, crm, view, base } = &pair;
        let merged = merge(setting.input(Some(base), &edited, view));
        for field in setting.fields.iter().filter(|field| is_list(**field)) {
            let told = merged.findings.iter().any(|finding| finding.field == Some(*field));
            let said = crm_values(*field, &edited);
            let heard = mailbox_values(*field, &merged.view);
            let in_base = crm_values(*field, &base.crm);
            for value in said.iter().filter(|value| !in_base.contains(value)) {
                let is_there = heard.iter().any(|other| other.1 == value.1);
                prop_assert!(is_there || told, "{field:?}: {value:?} is not in {heard:?}");
            }
            let cleared = crm_values(*field, crm).into_iter().filter(|value| {
                !said.iter().any(|other| other.1 == value.1) && !unreadable_in_crm(*field, &edited)
            });
            for value in cleared.filter(|value| in_base.contains(value)) {
                let is_there = heard.iter().any(|other| other.1 == value.1);
                let held = merged.slots.held().contains(field);
                prop_assert!(!is_there || held, "{field:?}: {value:?}");
            }
        }
        // Numbers reach Exchange in canonical form only.
        for (slot, number) in &merged.view.phones {
            let kept = view.phones.values().any(|before| before == number);
            let read = phone::read(number, REGION);
            let is_canonical = read.is_some_and(|read| read.international() == number);
            prop_assert!(kept || is_canonical, "{slot:?} {number}");
        }
    }

    /// Both edit: both then agree, the next pass is quiet, and no value disappears that nobody
    /// removed, unless the journal gets it.
    #[test]
    fn edits_of_both_sides_converge((pair, crm, view) in pair_and_all_edits()) {
        let Pair { setting, base, .. } = &pair;
        let merged = merge(setting.input(Some(base), &crm, &view));
        let next = setting.remember(&merged).keeping(base);
        if merged.slots.held().is_empty() {
            prop_assert!(agree(setting.input(Some(&next), &merged.crm, &merged.view)));
        }
        for change in changes(&crm, &merged.crm) {
            prop_assert!(!setting.locked.contains(&change.field), "{change:?}");
        }
        let lost: Vec<&str> =
            merged.conflicts.iter().filter_map(|conflict| conflict.lost.as_deref()).collect();
        for field in &setting.fields {
            if is_old_stand_in(*field, base, &view) {
                continue;
            }
            let then_crm = crm_values(*field, &base.crm);
            let then_mailbox = mailbox_values(*field, &base.view);
            let (now_crm, now_mailbox) = (crm_values(*field, &crm), mailbox_values(*field, &view));
            let after: BTreeSet<String> = crm_values(*field, &merged.crm)
                .into_iter()
                .chain(mailbox_values(*field, &merged.view))
                .map(|value| value.1)
                .collect();
            for (kind, canonical) in now_crm.iter().chain(&now_mailbox) {
                let mut then = then_crm.iter().chain(&then_mailbox);
                let is_new = !then.any(|value| value.1 == *canonical);
                let stands_for = |lost: &&str| canonical_of(*field, lost).contains(canonical);
                let in_journal = lost.iter().any(stands_for);
                let merged_address = *field == Field::Addresses;
                if is_new && !in_journal && !merged_address {
                    prop_assert!(after.contains(canonical), "{field:?}: {kind} {canonical}");
                }
            }
        }
    }

    /// Marked again: nothing that is on either side is removed from it.
    #[test]
    fn relinking_removes_nothing((pair, crm, view) in pair_and_all_edits()) {
        let Pair { setting, base, .. } = &pair;
        let merged = relink(setting.input(Some(base), &crm, &view));
        prop_assert_eq!(emptied(&crm, &merged.crm), FieldSet::new());
        let mut emptied_in_view = emptied(&view, &merged.view);
        if is_stand_in(&view) || is_old_stand_in(Field::FirstName, base, &view) {
            // A company that became a person needs no stand-in for a given name.
            emptied_in_view.remove(&Field::FirstName);
        }
        prop_assert_eq!(emptied_in_view, FieldSet::new());
    }

    /// The services may reorder lists and refuse what they were sent: that is nobody's edit.
    #[test]
    fn what_services_do_is_no_edit(
        (setting, crm, view) in records(),
        reorder in any::<[bool; 3]>(),
        refused in prop::collection::btree_set(0_usize..12, 0..3),
    ) {
        let merged = merge(setting.input(None, &crm, &view));
        let mut crm = merged.crm.clone();
        if reorder[0] { crm.phones.reverse(); }
        if reorder[1] { crm.emails.reverse(); }
        if reorder[2] { crm.addresses.reverse(); }
        let mut view = merged.view.clone();
        let slots: Vec<Slot> = view.phones.keys().copied().collect();
        for (index, slot) in slots.iter().enumerate() {
            if refused.contains(&index) {
                let kept = view.phones[slot].chars().take(8).collect::<String>();
                view.phones.insert(*slot, kept);
            }
        }
        let base = remember(&crm, &view, &merged.slots, &setting.fields);
        prop_assert_eq!(changed_in_crm(&base, &crm, &setting.fields, REGION), FieldSet::new());
        prop_assert_eq!(changed_in_mailbox(&base, &view, &setting.fields, REGION), FieldSet::new());
        prop_assert!(agree(setting.input(Some(&base), &crm, &view)));
    }

    /// Total: whatever is remembered, however little it has to do with the records.
    #[test]
    fn nothing_breaks_a_merge((pair, ..) in pair_and_all_edits(), (_, crm, view) in records()) {
        let Pair { setting, base, .. } = &pair;
        let merged = merge(setting.input(Some(base), &crm, &view));
        let stored = serde_json::to_string(base).expect("JSON");
        prop_assert_eq!(&serde_json::from_str::<Base>(&stored).expect("a base"), base);
        let shown = changes(&crm, &merged.crm).into_iter().chain(changes(&view, &merged.view));
        for text in shown.flat_map(|change| [change.before, change.after]).flatten() {
            prop_assert!(text.len() <= 1_000);
        }
        for finding in &merged.findings {
            prop_assert!(finding.message.len() <= 1_000);
            prop_assert!(finding.remedy.as_ref().is_none_or(|remedy| remedy.len() <= 500));
        }
        prop_assert!(merged.crm.label().len() <= 200 && merged.view.label().len() <= 200);
    }
}

// ---- what the laws know of values ---------------------------------------------------------------

fn is_list(field: Field) -> bool {
    matches!(field, Field::Phones | Field::Emails | Field::Addresses)
}

/// Readable values that take part, as (type, canonical form).
fn crm_values(field: Field, fields: &CrmFields) -> Vec<(String, String)> {
    match field {
        Field::Phones => fields
            .phones
            .iter()
            .filter_map(|entry| match entry {
                CrmPhone::Readable { kind, number, .. } => {
                    let phone = phone::read(number, REGION)?;
                    Some((word(kind)?, phone.international().to_owned()))
                }
                CrmPhone::Opaque(_) => None,
            })
            .collect(),
        Field::Emails => fields
            .emails
            .iter()
            .filter_map(|entry| match entry {
                CrmEmail::Plain(text) | CrmEmail::Typed { address: text, .. } => {
                    Some((String::new(), email::canonical(text)?))
                }
                CrmEmail::Opaque(_) => None,
            })
            .collect(),
        Field::Addresses => fields
            .addresses
            .iter()
            .filter_map(|entry| match entry {
                CrmAddress::Readable { kind, address, .. } if *kind != CrmKind::Mobile => {
                    Some((word(kind)?, address::canonical(address)?))
                }
                _ => None,
            })
            .collect(),
        Field::Birthday => {
            let first = fields
                .birthday
                .first()
                .and_then(birthday::Birthday::from_crm);
            first
                .map(|day| (String::new(), day.to_string()))
                .into_iter()
                .collect()
        }
        _ => {
            let first = fields.texts.get(&field).and_then(|values| values.first());
            let text = first
                .and_then(Value::as_str)
                .map(|text| single(field, text));
            text.filter(|text| !text.is_empty())
                .map(|text| (String::new(), text))
                .into_iter()
                .collect()
        }
    }
}

fn mailbox_values(field: Field, view: &View) -> Vec<(String, String)> {
    let room = |slot: &Slot| room(*slot).to_owned();
    match field {
        Field::Phones => view
            .phones
            .iter()
            .filter_map(|(slot, text)| {
                Some((
                    room(slot),
                    phone::read(text, REGION)?.international().to_owned(),
                ))
            })
            .collect(),
        Field::Emails => view
            .emails
            .values()
            .filter_map(|entry| Some((String::new(), email::canonical(&entry.address)?)))
            .collect(),
        Field::Addresses => view
            .addresses
            .iter()
            .filter_map(|(slot, entry)| Some((room(slot), address::canonical(entry)?)))
            .collect(),
        Field::Birthday => {
            let day = view
                .birthday
                .as_deref()
                .and_then(birthday::Birthday::from_mailbox);
            day.map(|day| (String::new(), day.to_string()))
                .into_iter()
                .collect()
        }
        // The given name of a company is the company's, for want of another.
        Field::FirstName if is_stand_in(view) => Vec::new(),
        _ => {
            let text = view.texts.get(&field).map(|text| single(field, text));
            text.filter(|text| !text.is_empty())
                .map(|text| (String::new(), text))
                .into_iter()
                .collect()
        }
    }
}

fn is_stand_in(view: &View) -> bool {
    let text = |field| view.texts.get(&field).map(|text| text::canonical(text));
    let given = text(Field::FirstName);
    text(Field::LastName).is_none() && given == text(Field::Company)
}

/// The company was renamed, and the given name that stood in for it was not.
fn is_old_stand_in(field: Field, base: &Base, view: &View) -> bool {
    let given = |view: &View| view.texts.get(&field).cloned();
    field == Field::FirstName && is_stand_in(&base.view) && given(&base.view) == given(view)
}

fn single(field: Field, text: &str) -> String {
    match field {
        Field::Website => text::website_canonical(text),
        _ => text::canonical(text),
    }
}

/// The canonical forms that a text shown to people may stand for.
fn canonical_of(field: Field, shown: &str) -> BTreeSet<String> {
    let without_type = shown.rsplit_once(" (").map_or(shown, |(value, _)| value);
    let mut forms = BTreeSet::from([single(field, shown), shown.to_lowercase()]);
    for text in [shown, without_type] {
        forms.extend(phone::read(text, REGION).map(|phone| phone.international().to_owned()));
        forms.extend(email::canonical(text));
    }
    forms
}

fn word(kind: &CrmKind) -> Option<String> {
    let word = match kind {
        CrmKind::Office => "business",
        CrmKind::Private => "home",
        CrmKind::Mobile => "mobile",
        CrmKind::Other | CrmKind::Untyped => "other",
        CrmKind::Unknown(_) => return None,
    };
    Some(word.to_owned())
}

fn room(slot: Slot) -> &'static str {
    match slot {
        Slot::BusinessPhone1 | Slot::BusinessPhone2 | Slot::BusinessAddress => "business",
        Slot::HomePhone1 | Slot::HomePhone2 | Slot::HomeAddress => "home",
        Slot::MobilePhone => "mobile",
        Slot::OtherPhone | Slot::OtherAddress => "other",
        Slot::Email1 | Slot::Email2 | Slot::Email3 => "",
    }
}

fn fits(
    field: Field,
    crm: &(String, String),
    mailbox: &(String, String),
    setting: &Setting,
) -> bool {
    let borrows = field == Field::Phones
        && !setting.shape.other_phone
        && crm.0 == "other"
        && matches!(mailbox.0.as_str(), "business" | "home");
    crm.1 == mailbox.1 && (crm.0 == mailbox.0 || borrows)
}

/// All entries of a list as JSON, with their canonical form where they take part.
fn entries(field: Field, fields: &CrmFields) -> Vec<(String, Option<String>)> {
    let one = |fields: CrmFields| crm_values(field, &fields).pop().map(|value| value.1);
    match field {
        Field::Phones => fields
            .phones
            .iter()
            .map(|entry| {
                let phones = vec![entry.clone()];
                (
                    json(entry),
                    one(CrmFields {
                        phones,
                        ..CrmFields::default()
                    }),
                )
            })
            .collect(),
        Field::Emails => fields
            .emails
            .iter()
            .map(|entry| {
                let emails = vec![entry.clone()];
                (
                    json(entry),
                    one(CrmFields {
                        emails,
                        ..CrmFields::default()
                    }),
                )
            })
            .collect(),
        _ => fields
            .addresses
            .iter()
            .map(|entry| {
                let addresses = vec![entry.clone()];
                (
                    json(entry),
                    one(CrmFields {
                        addresses,
                        ..CrmFields::default()
                    }),
                )
            })
            .collect(),
    }
}

fn json(entry: &impl serde::Serialize) -> String {
    serde_json::to_string(entry).expect("JSON")
}

/// The marks that the generator puts into each entry's other members.
fn notes(field: Field, fields: &CrmFields) -> BTreeSet<String> {
    entries(field, fields)
        .into_iter()
        .filter_map(|(json, _)| {
            let start = json.find("mark-")?;
            Some(json[start..].chars().take_while(|c| *c != '"').collect())
        })
        .collect()
}

/// Entries that a merge added.
fn added(field: Field, before: &CrmFields, after: &CrmFields) -> usize {
    entries(field, after)
        .iter()
        .filter(|(json, _)| !json.contains("mark-"))
        .count()
        .saturating_sub(
            entries(field, before)
                .iter()
                .filter(|(json, _)| !json.contains("mark-"))
                .count(),
        )
}

/// How many values the CRM has in a field of which only the first takes part.
fn all_values(field: Field, fields: &CrmFields) -> usize {
    match field {
        Field::Birthday => fields.birthday.len(),
        _ => fields.texts.get(&field).map_or(0, Vec::len),
    }
}

fn unreadable_in_mailbox(field: Field, view: &View) -> bool {
    let shown = view.shown(field).len();
    shown != mailbox_values(field, view).len()
}

fn unreadable_in_crm(field: Field, fields: &CrmFields) -> bool {
    fields.shown(field).len() != crm_values(field, fields).len()
}

fn unreadable(field: Field, view: &View, crm: &CrmFields) -> bool {
    let mailbox = !view.shown(field).is_empty() && mailbox_values(field, view).is_empty();
    let in_crm = !crm.shown(field).is_empty() && crm_values(field, crm).is_empty();
    mailbox || in_crm
}

#[test]
fn a_change_shows_what_goes_and_what_comes() {
    let phones = |numbers: &[&str]| {
        let entry = |number: &&str| CrmPhone::Readable {
            kind: CrmKind::Office,
            number: (*number).to_owned(),
            rest: serde_json::Map::new(),
        };
        CrmFields {
            phones: numbers.iter().map(entry).collect(),
            ..CrmFields::default()
        }
    };
    let shown = changes(&phones(&["1", "2", "2"]), &phones(&["2", "3"]));
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].before.as_deref(), Some("1 (office); 2 (office)"));
    assert_eq!(shown[0].after.as_deref(), Some("3 (office)"));
    assert_eq!(
        emptied(&phones(&["1"]), &phones(&[""])),
        FieldSet::from([Field::Phones])
    );
}
