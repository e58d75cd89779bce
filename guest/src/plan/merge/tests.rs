//! Tables of merges: what both sides held and agreed on, what users edited, what both then hold.
//!
//! Phone numbers are letters here: `A` is a number in its canonical form, `a` the same number
//! written nationally, `?A` a text that holds it and cannot be read. In the CRM they follow the
//! first letter of their type (`oA`: office; `xA`: other; `-A`: none; `fA`: one that is not known),
//! in the mailbox their slot (`b1A`).

use serde_json::json;

use super::*;
use crate::contact::{
    CrmAddress, CrmEmail, CrmKind, CrmPhone, MailboxEmail, Members, PostalAddress, Slot,
};
use crate::mapping::{changed_in_crm, changed_in_mailbox, remember};

const OFFICE_365: Shape = Shape {
    other_phone: false,
    keeps_gaps: false,
};
const EXCHANGE_SERVER: Shape = Shape {
    other_phone: true,
    keeps_gaps: true,
};

const SLOTS: [(&str, Slot); 6] = [
    ("b1", Slot::BusinessPhone1),
    ("b2", Slot::BusinessPhone2),
    ("h1", Slot::HomePhone1),
    ("h2", Slot::HomePhone2),
    ("m1", Slot::MobilePhone),
    ("o1", Slot::OtherPhone),
];

const KINDS: [(&str, CrmKind); 5] = [
    ("o", CrmKind::Office),
    ("p", CrmKind::Private),
    ("m", CrmKind::Mobile),
    ("x", CrmKind::Other),
    ("-", CrmKind::Untyped),
];

fn number(word: &str) -> String {
    let letter = word.trim_start_matches('?');
    let digit = u32::from(
        letter
            .chars()
            .next()
            .expect("a letter")
            .to_ascii_uppercase(),
    ) - 64;
    match (
        word.starts_with('?'),
        letter.chars().all(char::is_uppercase),
    ) {
        (true, _) => format!("privat 10000{digit}"),
        (false, true) => format!("+49 221 10000{digit}"),
        (false, false) => format!("0221 / 10000{digit}"),
    }
}

fn word(number: &str) -> String {
    let digit = number
        .chars()
        .last()
        .and_then(|digit| digit.to_digit(10))
        .expect("a digit");
    let letter = char::from_u32(digit + 64).expect("a letter");
    match number {
        number if number.starts_with('p') => format!("?{letter}"),
        number if number.starts_with('+') => letter.to_string(),
        _ => letter.to_ascii_lowercase().to_string(),
    }
}

fn crm(text: &str) -> CrmFields {
    let phones = words(text, 1).map(|(kind, word)| {
        let found = KINDS.into_iter().find(|(name, _)| *name == kind);
        let kind = found.map_or(CrmKind::Unknown(kind.to_owned()), |(_, kind)| kind);
        let rest = Members::from_iter([("note".to_owned(), json!(word.to_uppercase()))]);
        CrmPhone::Readable {
            kind,
            number: number(word),
            rest,
        }
    });
    CrmFields {
        phones: phones.collect(),
        ..CrmFields::default()
    }
}

fn crm_text(fields: &CrmFields) -> String {
    let words = fields.phones.iter().map(|phone| {
        let CrmPhone::Readable { kind, number, .. } = phone else {
            panic!("not written here")
        };
        let name = KINDS
            .iter()
            .find(|(_, known)| known == kind)
            .map(|(name, _)| *name);
        format!("{}{}", name.unwrap_or("f"), word(number))
    });
    words.collect::<Vec<_>>().join(" ")
}

fn view(text: &str) -> View {
    let slot = |name| {
        SLOTS
            .into_iter()
            .find(|(known, _)| *known == name)
            .expect("a slot")
            .1
    };
    let phones = words(text, 2).map(|(name, word)| (slot(name), number(word)));
    View {
        phones: phones.collect(),
        ..View::default()
    }
}

fn view_text(view: &View) -> String {
    let words = SLOTS.iter().filter_map(|(name, slot)| {
        view.phones
            .get(slot)
            .map(|number| format!("{name}{}", word(number)))
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Types or slots, of `prefix_length` letters, and numbers.
fn words(text: &str, prefix_length: usize) -> impl Iterator<Item = (&str, &str)> {
    text.split_whitespace()
        .map(move |entry| entry.split_at(prefix_length))
}

/// The columns of a row.
fn columns<const N: usize>(row: &str) -> [&str; N] {
    let columns: Vec<&str> = row.split('|').map(str::trim).collect();
    columns
        .try_into()
        .unwrap_or_else(|_| panic!("{N} columns: {row}"))
}

/// The kinds of mailbox that a row is about.
fn shapes(column: &str) -> &'static [Shape] {
    match column {
        "graph" => &[OFFICE_365],
        "ews" => &[EXCHANGE_SERVER],
        "both" => &[OFFICE_365, EXCHANGE_SERVER],
        _ => panic!("no kind of mailbox: {column}"),
    }
}

fn all_fields() -> FieldSet {
    FieldSet::from(Field::ALL)
}

fn input<'a>(
    base: Option<&'a Base>,
    crm: &'a CrmFields,
    view: &'a View,
    fields: &'a FieldSet,
) -> Input<'a> {
    static NONE: FieldSet = FieldSet::new();
    Input {
        base,
        crm,
        view,
        fields,
        locked: &NONE,
        shape: OFFICE_365,
        region: "DE",
        winner: Side::Crm,
    }
}

/// The pair as it is remembered after a first merge that wrote what it could.
fn linked(crm: &CrmFields, view: &View, shape: Shape) -> (CrmFields, View, Base) {
    let fields = all_fields();
    let merged = merge(Input {
        shape,
        ..input(None, crm, view, &fields)
    });
    let base = remember(&merged.crm, &merged.view, &merged.slots, &fields);
    (merged.crm, merged.view, base)
}

/// The base after what was agreed on, given as it is remembered: what stands where is found anew.
fn base(crm: &CrmFields, view: &View) -> Base {
    let fields = all_fields();
    remember(crm, view, &SlotTable::default(), &fields)
}

fn codes(merged: &Merged) -> Vec<&str> {
    merged
        .findings
        .iter()
        .map(|finding| finding.code.as_str())
        .collect()
}

// ---- phones: a first pair -----------------------------------------------------------------------

#[test]
fn a_first_pair_is_united_as_far_as_there_is_room() {
    // CRM, mailbox; then CRM, mailbox on Office 365, mailbox on Exchange Server.
    for row in [
        " |  |  |  | ",
        // To a new mailbox contact: the canonical form reaches Exchange, the CRM stays as it is.
        "oa |  | oa | b1A | b1A",
        "oa pB mC |  | oa pB mC | b1A h1B m1C | b1A h1B m1C",
        "oA oB oC |  | oA oB oC | b1A b2B | b1A b2B",
        "mA mB |  | mA mB | m1A | m1A",
        "oA oa |  | oA oa | b1A | b1A",
        "fA |  | fA |  | ",
        "o?A |  | o?A |  | ",
        // Of type `other`: on Office 365 in what typed numbers leave free.
        "xA oB |  | xA oB | b1B b2A | b1B o1A",
        "-A |  | -A | b1A | o1A",
        "oA oB xC xD xE |  | oA oB xC xD xE | b1A b2B h1C h2D | b1A b2B o1C",
        "xA oa |  | xA oa | b1A | b1A o1A",
        // To a new CRM contact: as the user wrote it.
        " | b1a b2B h1C | oa oB pC | b1a b2B h1C | b1a b2B h1C",
        " | b1A b2a | oA | b1A b2a | b1A b2a",
        " | b1?A |  | b1?A | b1?A",
        // Both have something.
        "oa | b1A | oa | b1A | b1A",
        "oa oB | b1B b2C | oa oB oC | b1B b2C | b1B b2C",
        "mA | m1B | mA mB | m1B | m1B",
        "oA | h1B | oA pB | b1A h1B | b1A h1B",
        "oA | b1?B | oA | b1?B b2A | b1?B b2A",
        // The same number of another type: a clash, which the CRM wins here.
        "pA | b1A | pA | h1A | h1A",
        "xA | h1A | xA | h1A | o1A",
    ] {
        let [before_crm, before_view, crm_after, graph_after, ews_after] = columns(row);
        for (shape, view_after) in [(OFFICE_365, graph_after), (EXCHANGE_SERVER, ews_after)] {
            let (crm, view, base) = linked(&crm(before_crm), &view(before_view), shape);
            assert_eq!(crm_text(&crm), crm_after, "{row}");
            assert_eq!(view_text(&view), view_after, "{row} on {shape:?}");
            let fields = all_fields();
            assert!(
                agree(Input {
                    shape,
                    ..input(Some(&base), &crm, &view, &fields)
                }),
                "{row}"
            );
        }
    }
}

#[test]
fn what_does_not_fit_is_told_and_what_shares_a_slot_is_not() {
    for row in [
        "oA | ",
        "oA oa | ",
        "oA xa | ",
        "oA oB oC | no-slot-left",
        "mA mB xC | no-slot-left",
        "oA oB pC pD xE | no-slot-left",
        "oA fB | unknown-type",
        "o?A oB | unreadable-phone",
    ] {
        let [before, expected] = columns(row);
        let (crm, view, fields) = (crm(before), View::default(), all_fields());
        let merged = merge(input(None, &crm, &view, &fields));
        assert_eq!(codes(&merged).join(" "), expected, "{row}");
    }
}

// ---- phones: a linked pair ----------------------------------------------------------------------

/// What was agreed on (CRM | mailbox), what the mailbox's user made of it, and what the CRM then
/// holds. The mailbox is not written.
#[test]
fn an_edit_in_the_mailbox_reaches_the_crm() {
    for row in [
        "oa | b1A | b1B | oB | both",
        "oa | b1A | b1b | ob | both",
        "oa | b1A | b1a | oa | both",
        "oa | b1A |  |  | both",
        "oa | b1A | b1A b2B | oa oB | both",
        "oa oB | b1A b2B | b1B | oB | both",
        "oa oB | b1A b2B | b1B b2A | oa oB | both",
        "oa oB | b1A b2B | b1C b2A | oa oC | graph",
        "oa oB | b1A b2B | b2B | oB | ews",
        "oa oB | b1A b2B | b1C b2B | oC oB | both",
        // Values without a slot stay.
        "oA oB oC | b1A b2B | b1A | oA oC | both",
        "oA oB oC | b1A b2B |  | oC | both",
        "mA mB | m1A | m1C | mC mB | both",
        "mA mB | m1A | m1B | mB | both",
        "fA oB o?C | b1B |  | fA o?C | both",
        // Another room is another type; number and type merge separately.
        "oa | b1A | h1A | pa | both",
        "oa pB | b1A h1B | b1B h1A | pa oB | both",
        "xa | o1A | b1A | oa | ews",
        "xa | b1A | h1A | xa | graph",
        "-a | b1A | b1B | -B | graph",
        // Equal values share: the CRM value goes with its last slot, in all its writings.
        "oa | b1A b2A | b1A | oa | both",
        "oa | b1A b2A | b1A b2B | oa oB | both",
        "oa | b1A b2A |  |  | both",
        "oa oA | b1A | b1B | oB oB | both",
        "oa oA | b1A |  |  | both",
        // What cannot be read is neither an edit nor a clearing.
        "oa | b1A | b1?B | oa | both",
        "oa | b1A | b2?B | oa | ews",
        "oa | b1A | b1?B b2C | oa oC | both",
        "o?A | b1B | b1B b2C | o?A oC | both",
    ] {
        let [crm_before, view_before, view_edited, crm_after, mailboxes] = columns(row);
        for shape in shapes(mailboxes) {
            let (crm, view_before) = (crm(crm_before), view(view_before));
            let base = base(&crm, &view_before);
            let edited = view(view_edited);
            let fields = all_fields();
            let merged = merge(Input {
                shape: *shape,
                ..input(Some(&base), &crm, &edited, &fields)
            });
            let case = format!("{crm_before}: {view_before:?} -> {view_edited} on {shape:?}");
            assert_eq!(crm_text(&merged.crm), crm_after, "{case}");
            assert_eq!(view_text(&merged.view), view_edited, "{case}");
            assert_eq!(merged.conflicts, [], "{case}");
        }
    }
}

/// What was agreed on (CRM | mailbox), what the CRM's user made of it, and what the mailbox then
/// holds. The CRM is not written.
#[test]
fn an_edit_in_the_crm_reaches_the_mailbox() {
    for row in [
        "oA | b1A | ob | b1B | both",
        "oA | b1A | oa | b1A | both",
        "oA | b1a | oa mB | b1a m1B | both",
        "oA | b1A |  |  | both",
        "oA oB | b1A b2B | oB | b1B | graph",
        "oA oB | b1A b2B | oB | b2B | ews",
        "oA oB | b1A b2B | oB oA | b1A b2B | both",
        "oA oB | b1A b2B | oC oB | b1C b2B | both",
        "oA | b1A b2A | oB | b1B b2B | both",
        "oA | b1A | oA oa | b1A | both",
        // A freed slot is for what is added or edited now, not for what was waiting.
        "oA oB oC | b1A b2B | oA oC | b1A | both",
        "oA oB oC | b1A b2B | oA oD | b1A b2D | both",
        "oA oB oC | b1A b2B | oA oB oD | b1A b2B | both",
        "oA oC | b1A | oA oD | b1A b2D | both",
        "oA oC | b1A | oA oC oD | b1A b2D | both",
        // The type changes the room, if there is room; a swap always works.
        "oA | b1A | pA | h1A | both",
        "mA mB | m1A | mA pB | h1B m1A | both",
        "oA mB | b1A m1B | mA mB | b1A m1B | both",
        "oA mB | b1A m1B | mA oB | b1B m1A | both",
        "oA mB | b1A m1B | mC oB | b1B m1C | both",
        "oA | b1A | fA |  | both",
        "oA | b1A | xA | o1A | ews",
        "oA | b1A | xA | b1A | graph",
        // A borrowed slot is given back to a number of its type.
        "oA xB | b1A b2B | oA xB oC | b1A b2C h1B | graph",
        "xA xB xC xD | b1A b2B h1C h2D | xA xB xC xD pE | b1A b2B h1E h2D | graph",
        "xA mB | b1A m1B | xA pB | b1A h1B | graph",
        // What cannot be read is neither an edit nor a clearing.
        "oA | b1A | o?B | b1A | both",
        "oA | b1A | p?B | b1A | both",
        "oA | b1A | oA o?B | b1A | both",
        "oA oB | b1?A b2B | oC oB | b1?A b2B | ews",
    ] {
        let [crm_before, view_before, crm_edited, view_after, mailboxes] = columns(row);
        for shape in shapes(mailboxes) {
            let (crm_before, view_before) = (crm(crm_before), view(view_before));
            let mut base = base(&crm_before, &view_before);
            base.slots
                .places
                .extend(stand_in_order(&crm_before, &view_before));
            let edited = crm(crm_edited);
            let fields = all_fields();
            let merged = merge(Input {
                shape: *shape,
                ..input(Some(&base), &edited, &view_before, &fields)
            });
            let case = format!("{} -> {crm_edited} on {shape:?}", crm_text(&crm_before));
            assert_eq!(view_text(&merged.view), view_after, "{case}");
            assert_eq!(merged.crm, edited, "{case}");
            assert_eq!(merged.conflicts, [], "{case}");
        }
    }
}

/// A table in which values stand in the order of the list, as a merge leaves it.
fn stand_in_order(crm: &CrmFields, view: &View) -> Vec<(Slot, usize)> {
    let slots = view.phones.keys().copied();
    slots.zip(0..crm.phones.len()).collect()
}

/// Both sides edited. Agreed on (CRM | mailbox), both edits, and the result where the CRM wins and
/// where the mailbox wins.
#[test]
fn edits_of_both_sides_are_merged_per_value() {
    for row in [
        // Different values.
        "oA pB | b1A h1B | oC pB | b1A h1D | oC pD | b1C h1D | oC pD | b1C h1D | 0",
        "oA | b1A | oA oB | b1A b2C | oA oB oC | b1A b2C | oA oB oC | b1A b2C | 0",
        "oA | b1A | oA mB |  | mB | m1B | mB | m1B | 0",
        // The same value, the same edit.
        "oA | b1A | ob | b1B | ob | b1B | ob | b1B | 0",
        "oA | b1A |  |  |  |  |  |  | 0",
        "oA | b1A | oA oB | b1A b2B | oA oB | b1A b2B | oA oB | b1A b2B | 0",
        // The same value, another edit.
        "oA | b1A | oB | b1C | oB | b1B | oC | b1C | 1",
        "oA | b1A | oB |  | oB | b1B |  |  | 1",
        "oA | b1A |  | b1B |  |  | oB | b1B | 1",
        // Number here, type there.
        "oA | b1A | pA | b1B | pB | h1B | pB | h1B | 0",
        "oA | b1A | oB | h1A | pB | h1B | pB | h1B | 0",
        // Type here, another type there.
        "oA | b1A | pA | m1A | pA | h1A | mA | m1A | 1",
        // What waited in the CRM was added in the mailbox.
        "mA mB | m1A | mA mB | m1B | mB | m1B | mB | m1B | 0",
    ] {
        let [crm_before, view_before, crm_edited, view_edited, rest @ ..] = columns::<9>(row);
        let [crm_1, view_1, crm_2, view_2, conflicts] = rest;
        let expected_of = [
            (Side::Crm, [crm_1, view_1]),
            (Side::Mailbox, [crm_2, view_2]),
        ];
        for (winner, expected) in expected_of {
            let base = base(&crm(crm_before), &view(view_before));
            let (crm_edited, view_edited) = (crm(crm_edited), view(view_edited));
            let fields = all_fields();
            let input = Input {
                winner,
                ..input(Some(&base), &crm_edited, &view_edited, &fields)
            };
            let merged = merge(input);
            let case = format!("{row}, {winner:?} wins");
            assert_eq!(
                [crm_text(&merged.crm), view_text(&merged.view)],
                expected,
                "{case}"
            );
            assert_eq!(
                merged.conflicts.len().to_string(),
                conflicts,
                "{case}: {:?}",
                merged.conflicts
            );
            assert!(
                merged
                    .conflicts
                    .iter()
                    .all(|conflict| conflict.loser != winner),
                "{case}"
            );
        }
    }
}

#[test]
fn a_conflict_names_what_lost_and_what_stays() {
    let base = base(&crm("oA mD"), &view("b1A m1D"));
    let (crm_edited, view_edited) = (crm("ob mD"), view("b1C h1D"));
    let fields = all_fields();
    let merged = merge(input(Some(&base), &crm_edited, &view_edited, &fields));
    assert_eq!(
        merged.conflicts,
        [Conflict {
            field: Field::Phones,
            loser: Side::Mailbox,
            lost: Some(number("C")),
            kept: Some(number("b")),
        }]
    );
}

#[test]
fn every_member_of_a_value_survives() {
    let before = crm("oA oB oC");
    let agreed = view("b1A b2B");
    let base = base(&before, &agreed);
    let edited = view("b1D h1B");
    let fields = all_fields();
    let merged = merge(input(Some(&base), &before, &edited, &fields));
    let notes = merged.crm.phones.iter().map(|phone| match phone {
        CrmPhone::Readable { rest, .. } => rest["note"].as_str().unwrap_or_default(),
        CrmPhone::Opaque(_) => "",
    });
    assert_eq!(notes.collect::<Vec<_>>(), ["A", "B", "C"]);
    assert_eq!(crm_text(&merged.crm), "oD pB oC");
}

#[test]
fn thirty_numbers_cost_nothing_but_slots() {
    let phone = |index: u32| CrmPhone::Readable {
        kind: CrmKind::Office,
        number: format!("0221 {}", 500_000 + index),
        rest: Members::new(),
    };
    let many = CrmFields {
        phones: (0..30).map(phone).collect(),
        ..CrmFields::default()
    };
    let (after, view, base) = linked(&many, &View::default(), OFFICE_365);
    assert_eq!(after, many);
    assert_eq!(view.phones.len(), 2);
    let fields = all_fields();
    let merged = merge(input(Some(&base), &after, &View::default(), &fields));
    assert_eq!(merged.crm.phones, many.phones[2..]);
    assert_eq!(codes(&merged), ["no-slot-left"; 28]);
}

#[test]
fn what_a_service_rewrote_is_no_edit_and_keeps_its_slot() {
    // The mailbox shortened one number, and the CRM reordered its list.
    let merged_crm = crm("oA oB");
    let fields = all_fields();
    let empty = View::default();
    let merged = merge(input(None, &merged_crm, &empty, &fields));
    let crm_read_back = crm("oB oA");
    let mut view_read_back = merged.view.clone();
    view_read_back
        .phones
        .insert(Slot::BusinessPhone1, "+49 221 1000".to_owned());
    let base = remember(&crm_read_back, &view_read_back, &merged.slots, &fields);
    assert!(agree(input(
        Some(&base),
        &crm_read_back,
        &view_read_back,
        &fields
    )));

    let mut edited = view_read_back.clone();
    edited.phones.insert(Slot::BusinessPhone1, number("C"));
    let merged = merge(input(Some(&base), &crm_read_back, &edited, &fields));
    assert_eq!(crm_text(&merged.crm), "oB oC");
}

#[test]
fn a_borrowed_slot_belongs_to_the_value_that_stands_in_it() {
    // The same number waits as a mobile one, for which there is no slot left.
    let (before, view_before, base) = linked(&crm("mB mA xA"), &view(""), OFFICE_365);
    assert_eq!(view_text(&view_before), "b1A m1B");
    let fields = all_fields();
    let edited = view("b1C m1B");
    let merged = merge(input(Some(&base), &before, &edited, &fields));
    assert_eq!(crm_text(&merged.crm), "mB mA xC");
}

#[test]
fn an_entry_that_is_no_number_at_all_clears_none() {
    let (before, agreed) = (crm("oA mB"), view("b1A m1B"));
    let base = base(&before, &agreed);
    let mut now = crm("mB");
    now.phones.push(CrmPhone::Opaque(json!(["0221", 100_001])));
    let fields = all_fields();
    let merged = merge(input(Some(&base), &now, &agreed, &fields));
    assert_eq!((&merged.crm, &merged.view), (&now, &agreed));
    assert_eq!(codes(&merged), ["unreadable-phone"]);
}

#[test]
fn what_cannot_be_read_is_no_change() {
    let (crm_before, view_before) = (crm("oA mB"), view("b1A m1B"));
    let base = base(&crm_before, &view_before);
    let fields = all_fields();
    for (crm_now, view_now, is_change) in [
        ("oA mB", "b1A m1B", false),
        ("mb oa", "b1a m1B", false),
        ("o?A mB", "b1?C m1B", false),
        ("oA mB o?C", "b1A m1B h1?C", false),
        ("oC mB", "b1C m1B", true),
        ("pA mB", "h1A m1B", true),
        ("oA", "b1A", true),
        ("oA mB xC", "b1A m1B o1C", true),
    ] {
        let expected = FieldSet::from_iter(is_change.then_some(Field::Phones));
        let in_crm = changed_in_crm(&base, &crm(crm_now), &fields, "DE");
        assert_eq!(in_crm, expected, "{crm_now}");
        let in_mailbox = changed_in_mailbox(&base, &view(view_now), &fields, "DE");
        assert_eq!(in_mailbox, expected, "{view_now}");
    }
}

#[test]
fn a_locked_field_is_read_and_never_written() {
    let (crm, view, base) = linked(&crm("oA"), &view(""), OFFICE_365);
    let mut edited = view.clone();
    edited.phones.insert(Slot::BusinessPhone1, number("B"));
    let (fields, locked) = (all_fields(), FieldSet::from([Field::Phones]));
    for winner in [Side::Crm, Side::Mailbox] {
        let input = Input {
            locked: &locked,
            winner,
            ..input(Some(&base), &crm, &edited, &fields)
        };
        let merged = merge(input);
        assert_eq!((&merged.crm, &merged.view), (&crm, &edited));
        assert_eq!(codes(&merged), ["locked-field"]);
        let base = remember(&crm, &edited, &merged.slots, &fields);
        assert!(agree(Input {
            base: Some(&base),
            ..input
        }));
    }
}

#[test]
fn a_pair_marked_again_loses_nothing() {
    let base = base(&crm("oA pB"), &view("b1A h1B"));
    for (crm_now, view_now, crm_after, view_after) in [
        ("oA", "b1A h1B", "oA pB", "b1A h1B"),
        ("oA pB", "b1A", "oA pB", "b1A h1B"),
        ("oC pB", "b1A h1B", "oC pB", "b1C h1B"),
        ("oA pB", "b1A h1C", "oA pC", "b1A h1C"),
        ("oC pB", "b1D h1B", "oC pB", "b1C h1B"),
    ] {
        let (crm_now, view_now) = (crm(crm_now), view(view_now));
        let fields = all_fields();
        let merged = relink(input(Some(&base), &crm_now, &view_now, &fields));
        assert_eq!(crm_text(&merged.crm), crm_after);
        assert_eq!(view_text(&merged.view), view_after);
    }
}

// ---- e-mails ------------------------------------------------------------------------------------

fn emails(addresses: &[&str]) -> CrmFields {
    let plain = |address: &&str| CrmEmail::Plain((*address).to_owned());
    CrmFields {
        emails: addresses.iter().map(plain).collect(),
        ..CrmFields::default()
    }
}

fn email_view(addresses: &[(Slot, &str)]) -> View {
    let email = |address: &str| MailboxEmail {
        address: address.to_owned(),
        name: "N".to_owned(),
    };
    let emails = addresses
        .iter()
        .map(|(slot, address)| (*slot, email(address)));
    View {
        emails: emails.collect(),
        ..View::default()
    }
}

#[test]
fn e_mails_are_compared_without_case_and_keep_their_form() {
    let typed = |address: &str| CrmEmail::Typed {
        member: "value".to_owned(),
        address: address.to_owned(),
        rest: Members::from_iter([("type".to_owned(), json!("work"))]),
    };
    let before = CrmFields {
        emails: vec![typed("A@x.de")],
        ..CrmFields::default()
    };
    let agreed = email_view(&[(Slot::Email1, "a@X.de")]);
    let fields = all_fields();
    assert!(agree(input(None, &before, &agreed, &fields)));

    let base = base(&before, &agreed);
    let edited = email_view(&[(Slot::Email1, "b@x.de"), (Slot::Email2, "c@x.de")]);
    let merged = merge(input(Some(&base), &before, &edited, &fields));
    let new = CrmEmail::Typed {
        member: "value".to_owned(),
        address: "c@x.de".to_owned(),
        rest: Members::from_iter([("type".to_owned(), json!(""))]),
    };
    assert_eq!(merged.crm.emails, [typed("b@x.de"), new]);
    assert_eq!(merged.view, edited);
}

#[test]
fn an_entry_without_address_takes_its_slot_and_stays() {
    let x500 = "/o=Muster/ou=Exchange/cn=erika";
    let crm_before = emails(&["a@x.de", "b@x.de", "c@x.de"]);
    let view_before = email_view(&[(Slot::Email1, x500)]);
    let (crm, view, base) = linked(&crm_before, &view_before, OFFICE_365);
    assert_eq!(crm, crm_before);
    let addresses: Vec<&str> = view
        .emails
        .values()
        .map(|email| email.address.as_str())
        .collect();
    assert_eq!(addresses, [x500, "a@x.de", "b@x.de"]);

    // The server replaced an address by its name for it: no edit, no clearing.
    let mut edited = view.clone();
    edited.emails.insert(
        Slot::Email2,
        MailboxEmail {
            name: "Erika".to_owned(),
            ..MailboxEmail::default()
        },
    );
    let fields = all_fields();
    let merged = merge(input(Some(&base), &crm, &edited, &fields));
    assert_eq!((&merged.crm, &merged.view), (&crm, &edited));
    assert_eq!(
        codes(&merged),
        ["unreadable-email", "unreadable-email", "no-slot-left"]
    );
}

#[test]
fn gaps_close_only_where_there_are_none() {
    let addresses = ["a@x.de", "b@x.de", "c@x.de"];
    for (shape, expected) in [
        (OFFICE_365, [Slot::Email1, Slot::Email2]),
        (EXCHANGE_SERVER, [Slot::Email1, Slot::Email3]),
    ] {
        let (mut crm, view, base) = linked(&emails(&addresses), &View::default(), shape);
        crm.emails.remove(1);
        let fields = all_fields();
        let merged = merge(Input {
            shape,
            ..input(Some(&base), &crm, &view, &fields)
        });
        let slots: Vec<Slot> = merged.view.emails.keys().copied().collect();
        assert_eq!(slots, expected);
    }
}

// ---- addresses ----------------------------------------------------------------------------------

fn address(street: &str, postal_code: &str, city: &str, country: &str) -> PostalAddress {
    PostalAddress {
        street: street.to_owned(),
        postal_code: postal_code.to_owned(),
        city: city.to_owned(),
        state: String::new(),
        country: country.to_owned(),
    }
}

fn addresses(list: &[(CrmKind, PostalAddress)]) -> CrmFields {
    let entry = |(kind, address): &(CrmKind, PostalAddress)| CrmAddress::Readable {
        kind: kind.clone(),
        address: address.clone(),
        rest: Members::from_iter([("district".to_owned(), json!("Süd"))]),
    };
    CrmFields {
        addresses: list.iter().map(entry).collect(),
        ..CrmFields::default()
    }
}

fn address_view(list: &[(Slot, PostalAddress)]) -> View {
    View {
        addresses: list.iter().cloned().collect(),
        ..View::default()
    }
}

#[test]
fn an_address_is_one_value() {
    let cologne = address("Musterstr. 1", "50667", "Köln", "Deutschland");
    let bonn = address("Weg 2", "53111", "Bonn", "");
    let berlin = address("Allee 3", "10115", "Berlin", "Germany");
    let (crm, view, base) = linked(
        &addresses(&[(CrmKind::Office, cologne)]),
        &View::default(),
        OFFICE_365,
    );
    assert_eq!(
        view.addresses[&Slot::BusinessAddress].country,
        "Deutschland"
    );

    let crm_edited = addresses(&[(CrmKind::Office, bonn.clone())]);
    let view_edited = address_view(&[(Slot::BusinessAddress, berlin.clone())]);
    let fields = all_fields();
    let merged = merge(input(Some(&base), &crm_edited, &view_edited, &fields));
    assert_eq!(merged.crm, crm_edited);
    assert_eq!(
        merged.view.addresses,
        address_view(&[(Slot::BusinessAddress, bonn)]).addresses
    );
    assert_eq!(
        merged.conflicts[0].lost.as_deref(),
        Some("Allee 3, 10115 Berlin, Germany")
    );

    let merged = merge(input(Some(&base), &crm, &view_edited, &fields));
    // The CRM writes its countries in German.
    let berlin = PostalAddress {
        country: "Deutschland".to_owned(),
        ..berlin
    };
    assert_eq!(merged.crm, addresses(&[(CrmKind::Office, berlin)]));
}

#[test]
fn parts_that_one_side_filled_are_merged() {
    let short = address("Musterstr. 1", "", "Köln", "");
    let base = base(
        &addresses(&[(CrmKind::Private, short.clone())]),
        &address_view(&[(Slot::HomeAddress, short.clone())]),
    );
    let filled = address("Musterstr. 1", "50667", "Köln", "");
    let edited = address("Musterstr. 11", "", "Köln", "");
    let united = address("Musterstr. 11", "50667", "Köln", "");
    let fields = all_fields();
    for (in_crm, in_mailbox) in [(&filled, &edited), (&edited, &filled)] {
        let crm_now = addresses(&[(CrmKind::Private, in_crm.clone())]);
        let view_now = address_view(&[(Slot::HomeAddress, in_mailbox.clone())]);
        let merged = merge(input(Some(&base), &crm_now, &view_now, &fields));
        assert_eq!(merged.crm, addresses(&[(CrmKind::Private, united.clone())]));
        assert_eq!(
            merged.view,
            address_view(&[(Slot::HomeAddress, united.clone())])
        );
        assert_eq!(merged.conflicts, []);
    }
    // On a first pair the same address, written more or less fully.
    let (crm, view, _) = linked(
        &addresses(&[(CrmKind::Private, filled.clone())]),
        &address_view(&[(Slot::HomeAddress, short)]),
        OFFICE_365,
    );
    assert_eq!(crm, addresses(&[(CrmKind::Private, filled.clone())]));
    assert_eq!(view, address_view(&[(Slot::HomeAddress, filled)]));
}

#[test]
fn a_locked_address_is_not_completed() {
    let full = address("Musterstr. 1", "50667", "Köln", "");
    let in_crm = addresses(&[(CrmKind::Private, address("Musterstr. 1", "", "Köln", ""))]);
    let in_mailbox = address_view(&[(Slot::HomeAddress, full)]);
    let (fields, locked) = (all_fields(), FieldSet::from([Field::Addresses]));
    for (winner, expected) in [(Side::Crm, &[][..]), (Side::Mailbox, &["locked-field"])] {
        let input = Input {
            locked: &locked,
            winner,
            ..input(None, &in_crm, &in_mailbox, &fields)
        };
        let merged = merge(input);
        assert_eq!(merged.crm, in_crm, "{winner:?} wins");
        assert_eq!(codes(&merged), expected, "{winner:?} wins");
    }
}

#[test]
fn an_address_that_cannot_be_found_again_is_held() {
    let cologne = address("Musterstr. 1", "50667", "Köln", "");
    let bonn = address("Weg 2", "53111", "Bonn", "");
    let essen = address("Allee 3", "45127", "Essen", "");
    let trier = address("Gasse 4", "54290", "Trier", "");
    let base = base(
        &addresses(&[(CrmKind::Office, cologne.clone())]),
        &address_view(&[(Slot::BusinessAddress, cologne.clone())]),
    );
    // Which of the two is Cologne's successor?
    let crm_now = addresses(&[(CrmKind::Office, bonn), (CrmKind::Office, essen)]);
    let edited = address_view(&[(Slot::BusinessAddress, trier)]);
    let fields = all_fields();
    let merged = merge(input(Some(&base), &crm_now, &edited, &fields));
    assert_eq!((&merged.crm, &merged.view), (&crm_now, &edited));
    assert_eq!(codes(&merged), ["ambiguous-address"]);
    assert_eq!(merged.slots.held(), &FieldSet::from([Field::Addresses]));
    // What was remembered of the addresses stays, so that the edits are not forgotten.
    let next = remember(&merged.crm, &merged.view, &merged.slots, &fields).keeping(&base);
    assert_eq!(next.view.addresses, base.view.addresses);
    assert_eq!(next.crm.addresses, base.crm.addresses);
    assert_eq!(next.fields, fields);
    // Where only the CRM changed, nothing can be lost: its first address takes the slot.
    let agreed = address_view(&[(Slot::BusinessAddress, cologne)]);
    let merged = merge(input(Some(&base), &crm_now, &agreed, &fields));
    assert_eq!(merged.view.addresses[&Slot::BusinessAddress].city, "Bonn");
}

// ---- fields with one value ----------------------------------------------------------------------

fn texts(list: &[(Field, &str)]) -> (CrmFields, View) {
    let crm = list.iter().map(|(field, text)| (*field, vec![json!(text)]));
    let view = list
        .iter()
        .map(|(field, text)| (*field, (*text).to_owned()));
    (
        CrmFields {
            texts: crm.collect(),
            ..CrmFields::default()
        },
        View {
            texts: view.collect(),
            ..View::default()
        },
    )
}

#[test]
fn texts_merge_by_field() {
    // Base, CRM, mailbox; the result where the CRM wins and where the mailbox wins; conflicts.
    for (base_text, in_crm, in_mailbox, crm_wins, mailbox_wins, conflicts) in [
        (Some("A"), "A", "A", "A", "A", 0),
        (Some("A"), "B", "A", "B", "B", 0),
        (Some("A"), "A", "B", "B", "B", 0),
        (Some("A"), "B", " B ", "B", "B", 0),
        (Some("A"), "B", "C", "B", "C", 1),
        (Some("A"), "", "A", "", "", 0),
        (Some("A"), "A", "", "", "", 0),
        (Some("A"), "", "B", "", "B", 1),
        (Some("A"), "", "", "", "", 0),
        (Some(""), "A", "", "A", "A", 0),
        (None, "A", "", "A", "A", 0),
        (None, "", "A", "A", "A", 0),
        (None, "A", "B", "A", "B", 1),
    ] {
        let text = |text: &str| {
            let list = [(Field::Position, text)];
            texts(if text.is_empty() { &[] } else { &list })
        };
        let base = base_text.map(text).map(|(crm, view)| base(&crm, &view));
        let (crm_now, view_now) = (text(in_crm).0, text(in_mailbox).1);
        for (winner, expected) in [(Side::Crm, crm_wins), (Side::Mailbox, mailbox_wins)] {
            let fields = all_fields();
            let input = Input {
                winner,
                ..input(base.as_ref(), &crm_now, &view_now, &fields)
            };
            let merged = merge(input);
            let case = format!("{base_text:?}: {in_crm:?}, {in_mailbox:?}, {winner:?} wins");
            assert_eq!(merged.conflicts.len(), conflicts, "{case}");
            let (crm_expected, view_expected) = text(expected);
            assert_eq!(merged.crm, crm_expected, "{case}");
            let in_view = merged
                .view
                .texts
                .get(&Field::Position)
                .map(|text| text.trim());
            assert_eq!(
                in_view,
                view_expected
                    .texts
                    .get(&Field::Position)
                    .map(String::as_str),
                "{case}"
            );
        }
    }
}

#[test]
fn a_field_that_did_not_take_part_is_not_touched_and_later_a_first_pair() {
    let (mut crm, view) = texts(&[(Field::Position, "A")]);
    let without = FieldSet::from([Field::LastName]);
    let base = remember(&crm, &view, &SlotTable::default(), &without);
    assert!(base.crm.texts.is_empty());
    crm.texts.clear();
    assert!(agree(input(Some(&base), &crm, &view, &without)));
    // Mapped now: what the mailbox has is no edit that was cleared in the CRM.
    let fields = all_fields();
    let merged = merge(input(Some(&base), &crm, &view, &fields));
    assert_eq!(merged.crm.texts[&Field::Position], [json!("A")]);
}

#[test]
fn only_the_first_of_several_texts_takes_part() {
    let values = |list: &[&str]| CrmFields {
        texts: [(
            Field::Website,
            list.iter().map(|text| json!(text)).collect(),
        )]
        .into(),
        ..CrmFields::default()
    };
    let fields = all_fields();
    let (crm, view, base) = linked(&values(&["a.de", "b.de"]), &View::default(), OFFICE_365);
    assert_eq!(view.texts[&Field::Website], "a.de");

    let merged = merge(input(Some(&base), &crm, &View::default(), &fields));
    assert_eq!(merged.crm, values(&["b.de"]));
    // The second one now comes first, but waits: it is neither sent nor overwritten.
    let base = remember(&merged.crm, &merged.view, &merged.slots, &fields);
    let merged = merge(input(Some(&base), &merged.crm, &merged.view, &fields));
    assert_eq!(merged.view, View::default());
    let edited = texts(&[(Field::Website, "c.de")]).1;
    let merged = merge(input(Some(&base), &merged.crm, &edited, &fields));
    assert_eq!(merged.crm, values(&["c.de", "b.de"]));
    let next = remember(&merged.crm, &merged.view, &merged.slots, &fields);
    let edited = texts(&[(Field::Website, "e.de")]).1;
    let merged = merge(input(Some(&next), &merged.crm, &edited, &fields));
    assert_eq!(merged.crm, values(&["e.de", "b.de"]));
    // Edited in the CRM it takes the slot.
    let merged = merge(input(
        Some(&base),
        &values(&["d.de"]),
        &View::default(),
        &fields,
    ));
    assert_eq!(merged.view.texts[&Field::Website], "d.de");
}

#[test]
fn what_is_no_text_or_day_is_told_and_left_alone() {
    let crm = CrmFields {
        texts: [(Field::Position, vec![json!({"code": 1})])].into(),
        birthday: vec![json!("bald")],
        ..CrmFields::default()
    };
    let mut view = texts(&[(Field::Position, "Chefin")]).1;
    view.birthday = Some("1974-07-22".to_owned());
    let fields = all_fields();
    let merged = merge(input(None, &crm, &view, &fields));
    assert_eq!((&merged.crm, &merged.view), (&crm, &view));
    assert_eq!(codes(&merged), ["unreadable-text", "unreadable-birthday"]);
}

#[test]
fn a_birthday_is_written_as_each_side_keeps_it() {
    let crm = CrmFields {
        birthday: vec![json!(143_679_600)],
        ..CrmFields::default()
    };
    let (_, view, base) = linked(&crm, &View::default(), OFFICE_365);
    assert_eq!(view.birthday.as_deref(), Some("1974-07-22T11:59:00Z"));
    // Outlook's midnight is the same day.
    let fields = all_fields();
    let same = View {
        birthday: Some("1974-07-21T23:00:00Z".to_owned()),
        ..View::default()
    };
    assert!(agree(input(Some(&base), &crm, &same, &fields)));
    let edited = View {
        birthday: Some("1899-12-30T23:06:32Z".to_owned()),
        ..View::default()
    };
    let merged = merge(input(Some(&base), &crm, &edited, &fields));
    assert_eq!(merged.crm.birthday, [json!(-2_209_078_800_i64)]);
}

#[test]
fn names_are_derived_for_a_new_contact_and_follow_edits_in_the_crm() {
    let names = [(Field::FirstName, "Erika"), (Field::LastName, "Muster")];
    let (crm, view, base) = linked(&texts(&names).0, &View::default(), OFFICE_365);
    assert_eq!(view.display_name.as_deref(), Some("Erika Muster"));
    assert_eq!(view.file_as.as_deref(), Some("Muster, Erika"));

    let fields = all_fields();
    let renamed = texts(&[(Field::FirstName, "Erika"), (Field::LastName, "Beispiel")]).0;
    let merged = merge(input(Some(&base), &renamed, &view, &fields));
    assert_eq!(merged.view.display_name.as_deref(), Some("Erika Beispiel"));

    // An edit in the mailbox writes nothing there, not even what is derived.
    let mut edited = view.clone();
    edited.texts.insert(Field::LastName, "Beispiel".to_owned());
    let merged = merge(input(Some(&base), &crm, &edited, &fields));
    assert_eq!(merged.view, edited);
    assert_eq!(merged.crm, renamed);
}

#[test]
fn a_company_gets_a_given_name_in_exchange_and_none_in_the_crm() {
    let company = |name| texts(&[(Field::Company, name)]).0;
    let fields = all_fields();
    let (crm, view, base) = linked(&company("Muster GmbH"), &View::default(), OFFICE_365);
    assert_eq!(crm, company("Muster GmbH"));
    assert_eq!(view.texts[&Field::FirstName], "Muster GmbH");
    assert_eq!(view.display_name.as_deref(), Some("Muster GmbH"));

    // Renamed in the CRM: the stand-in follows.
    let merged = merge(input(Some(&base), &company("Muster AG"), &view, &fields));
    assert_eq!(merged.view.texts[&Field::FirstName], "Muster AG");
    assert_eq!(merged.view.display_name.as_deref(), Some("Muster AG"));

    // Renamed in the mailbox: what is left of the old name is no first name.
    let mut edited = view.clone();
    edited.texts.insert(Field::Company, "Muster AG".to_owned());
    let merged = merge(input(Some(&base), &crm, &edited, &fields));
    assert_eq!(merged.crm, company("Muster AG"));
    assert_eq!(merged.view, edited);
    let base_after = remember(&merged.crm, &edited, &merged.slots, &fields);
    assert!(agree(input(
        Some(&base_after),
        &merged.crm,
        &edited,
        &fields
    )));

    // It becomes a person.
    let person = texts(&[(Field::Company, "Muster GmbH"), (Field::FirstName, "Erika")]).0;
    let merged = merge(input(Some(&base), &person, &view, &fields));
    assert_eq!(merged.view.texts[&Field::FirstName], "Erika");
    assert_eq!(merged.view.display_name.as_deref(), Some("Erika"));
    // Known by the surname alone.
    let surname = [(Field::Company, "Muster GmbH"), (Field::LastName, "Muster")];
    let married = merge(input(Some(&base), &texts(&surname).0, &view, &fields));
    assert!(!married.view.texts.contains_key(&Field::FirstName));
    // And a company again.
    let base = remember(&merged.crm, &merged.view, &merged.slots, &fields);
    let merged = merge(input(Some(&base), &crm, &merged.view, &fields));
    assert_eq!(merged.view.texts[&Field::FirstName], "Muster GmbH");
    assert_eq!(merged.crm, crm);
}
