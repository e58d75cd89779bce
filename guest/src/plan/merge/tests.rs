//! Tables of merges: what both sides held and agreed on, what users edited, what both then hold.
//!
//! Phone numbers are letters here: `A` is a number in its canonical form, `a` the same number written
//! nationally, `?A` a text that holds it and cannot be read. In the CRM they follow their type
//! (`office A`, `- A` for none), in the mailbox their slot (`b1 A`).

use serde_json::json;

use super::*;
use crate::contact::{
    CrmAddress, CrmEmail, CrmKind, CrmPhone, MailboxEmail, Members, PostalAddress, Slot,
};
use crate::mapping::remember;

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
    ("office", CrmKind::Office),
    ("private", CrmKind::Private),
    ("mobile", CrmKind::Mobile),
    ("other", CrmKind::Other),
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
    let phones = words(text).map(|(kind, word)| {
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
        format!("{} {}", name.unwrap_or("unknown"), word(number))
    });
    words.collect::<Vec<_>>().join(", ")
}

fn view(text: &str) -> View {
    let slot = |name| {
        SLOTS
            .into_iter()
            .find(|(known, _)| *known == name)
            .expect("a slot")
            .1
    };
    let phones = words(text).map(|(name, word)| (slot(name), number(word)));
    View {
        phones: phones.collect(),
        ..View::default()
    }
}

fn view_text(view: &View) -> String {
    let words = SLOTS.iter().filter_map(|(name, slot)| {
        view.phones
            .get(slot)
            .map(|number| format!("{name} {}", word(number)))
    });
    words.collect::<Vec<_>>().join(", ")
}

fn words(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.split(", ")
        .filter(|entry| !entry.is_empty())
        .map(|entry| entry.split_once(' ').expect("a type or slot, and a number"))
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

// ---- phones: a first pair ---------------------------------------------------------------------------

#[test]
fn a_first_pair_is_united_as_far_as_there_is_room() {
    // CRM, mailbox; then CRM, mailbox on Office 365, mailbox on Exchange Server.
    for (before_crm, before_view, crm_after, graph_after, ews_after) in [
        ("", "", "", "", ""),
        // To a new mailbox contact: the canonical form reaches Exchange, the CRM stays as it is.
        ("office a", "", "office a", "b1 A", "b1 A"),
        (
            "office a, private B, mobile C",
            "",
            "office a, private B, mobile C",
            "b1 A, h1 B, m1 C",
            "b1 A, h1 B, m1 C",
        ),
        (
            "office A, office B, office C",
            "",
            "office A, office B, office C",
            "b1 A, b2 B",
            "b1 A, b2 B",
        ),
        (
            "mobile A, mobile B",
            "",
            "mobile A, mobile B",
            "m1 A",
            "m1 A",
        ),
        (
            "office A, office a",
            "",
            "office A, office a",
            "b1 A",
            "b1 A",
        ),
        ("fax A", "", "unknown A", "", ""),
        ("office ?A", "", "office ?A", "", ""),
        // Of type `other`: on Office 365 in what typed numbers leave free.
        (
            "other A, office B",
            "",
            "other A, office B",
            "b1 B, b2 A",
            "b1 B, o1 A",
        ),
        ("- A", "", "- A", "b1 A", "o1 A"),
        (
            "office A, office B, other C, other D, other E",
            "",
            "office A, office B, other C, other D, other E",
            "b1 A, b2 B, h1 C, h2 D",
            "b1 A, b2 B, o1 C",
        ),
        (
            "other A, office a",
            "",
            "other A, office a",
            "b1 A",
            "b1 A, o1 A",
        ),
        // To a new CRM contact: as the user wrote it.
        (
            "",
            "b1 a, b2 B, h1 C",
            "office a, office B, private C",
            "b1 a, b2 B, h1 C",
            "b1 a, b2 B, h1 C",
        ),
        ("", "b1 A, b2 a", "office A", "b1 A, b2 a", "b1 A, b2 a"),
        ("", "b1 ?A", "", "b1 ?A", "b1 ?A"),
        // Both have something.
        ("office a", "b1 A", "office a", "b1 A", "b1 A"),
        (
            "office a, office B",
            "b1 B, b2 C",
            "office a, office B, office C",
            "b1 B, b2 C",
            "b1 B, b2 C",
        ),
        ("mobile A", "m1 B", "mobile A, mobile B", "m1 B", "m1 B"),
        (
            "office A",
            "h1 B",
            "office A, private B",
            "b1 A, h1 B",
            "b1 A, h1 B",
        ),
        (
            "office A",
            "b1 ?B",
            "office A",
            "b1 ?B, b2 A",
            "b1 ?B, b2 A",
        ),
        // The same number of another type: a clash, which the CRM wins here.
        ("private A", "b1 A", "private A", "h1 A", "h1 A"),
        ("other A", "h1 A", "other A", "h1 A", "o1 A"),
    ] {
        for (shape, view_after) in [(OFFICE_365, graph_after), (EXCHANGE_SERVER, ews_after)] {
            let (crm, view, base) = linked(&crm(before_crm), &view(before_view), shape);
            let case = format!("{before_crm} | {before_view} on {shape:?}");
            assert_eq!(crm_text(&crm), crm_after, "{case}");
            assert_eq!(view_text(&view), view_after, "{case}");
            let fields = all_fields();
            assert!(
                agree(Input {
                    shape,
                    ..input(Some(&base), &crm, &view, &fields)
                }),
                "{case}"
            );
        }
    }
}

// ---- phones: a linked pair --------------------------------------------------------------------------

/// What was agreed on (CRM | mailbox), what the mailbox's user made of it, and what the CRM then
/// holds. The mailbox is not written.
#[test]
fn an_edit_in_the_mailbox_reaches_the_crm() {
    let both = [OFFICE_365, EXCHANGE_SERVER];
    for (crm_before, view_before, view_edited, crm_after, shapes) in [
        ("office a", "b1 A", "b1 B", "office B", &both[..]),
        ("office a", "b1 A", "b1 b", "office b", &both),
        ("office a", "b1 A", "b1 a", "office a", &both),
        ("office a", "b1 A", "", "", &both),
        (
            "office a",
            "b1 A",
            "b1 A, b2 B",
            "office a, office B",
            &both,
        ),
        (
            "office a, office B",
            "b1 A, b2 B",
            "b1 B",
            "office B",
            &both,
        ),
        (
            "office a, office B",
            "b1 A, b2 B",
            "b1 B, b2 A",
            "office a, office B",
            &both,
        ),
        (
            "office a, office B",
            "b1 A, b2 B",
            "b1 C, b2 A",
            "office a, office C",
            &both[..1],
        ),
        (
            "office a, office B",
            "b1 A, b2 B",
            "b2 B",
            "office B",
            &both[1..],
        ),
        (
            "office a, office B",
            "b1 A, b2 B",
            "b1 C, b2 B",
            "office C, office B",
            &both,
        ),
        // Values without a slot stay.
        (
            "office A, office B, office C",
            "b1 A, b2 B",
            "b1 A",
            "office A, office C",
            &both,
        ),
        (
            "office A, office B, office C",
            "b1 A, b2 B",
            "",
            "office C",
            &both,
        ),
        (
            "mobile A, mobile B",
            "m1 A",
            "m1 C",
            "mobile C, mobile B",
            &both,
        ),
        ("mobile A, mobile B", "m1 A", "m1 B", "mobile B", &both),
        (
            "fax A, office B, office ?C",
            "b1 B",
            "",
            "unknown A, office ?C",
            &both,
        ),
        // Another room is another type; number and type merge separately.
        ("office a", "b1 A", "h1 A", "private a", &both),
        (
            "office a, private B",
            "b1 A, h1 B",
            "b1 B, h1 A",
            "private a, office B",
            &both,
        ),
        ("other a", "o1 A", "b1 A", "office a", &both[1..]),
        ("other a", "b1 A", "h1 A", "other a", &both[..1]),
        ("- a", "b1 A", "b1 B", "- B", &both[..1]),
        // Equal values share: the CRM value goes with its last slot, in all its writings.
        ("office a", "b1 A, b2 A", "b1 A", "office a", &both),
        (
            "office a",
            "b1 A, b2 A",
            "b1 A, b2 B",
            "office a, office B",
            &both,
        ),
        ("office a", "b1 A, b2 A", "", "", &both),
        (
            "office a, office A",
            "b1 A",
            "b1 B",
            "office B, office B",
            &both,
        ),
        ("office a, office A", "b1 A", "", "", &both),
        // What cannot be read is neither an edit nor a clearing.
        ("office a", "b1 A", "b1 ?B", "office a", &both),
        (
            "office a",
            "b1 A",
            "b1 ?B, b2 C",
            "office a, office C",
            &both,
        ),
        (
            "office ?A",
            "b1 B",
            "b1 B, b2 C",
            "office ?A, office B, office C",
            &both,
        ),
    ] {
        for shape in shapes {
            let (crm, view_before) = (crm(crm_before), view(view_before));
            let base = base(&crm, &view_before);
            let edited = view(view_edited);
            let fields = all_fields();
            let merged = merge(Input {
                shape: *shape,
                ..input(Some(&base), &crm, &edited, &fields)
            });
            let case = format!("{crm_before}: {view_before:?} -> {view_edited} on {shape:?}");
            if crm_before != "office ?A" {
                assert_eq!(crm_text(&merged.crm), crm_after, "{case}");
            }
            assert_eq!(view_text(&merged.view), view_edited, "{case}");
            assert_eq!(merged.conflicts, [], "{case}");
        }
    }
}

/// What was agreed on (CRM | mailbox), what the CRM's user made of it, and what the mailbox then
/// holds. The CRM is not written.
#[test]
fn an_edit_in_the_crm_reaches_the_mailbox() {
    let both = [OFFICE_365, EXCHANGE_SERVER];
    for (crm_before, view_before, crm_edited, view_after, shapes) in [
        ("office A", "b1 A", "office b", "b1 B", &both[..]),
        ("office A", "b1 A", "office a", "b1 A", &both),
        (
            "office A",
            "b1 a",
            "office a, mobile B",
            "b1 a, m1 B",
            &both,
        ),
        ("office A", "b1 A", "", "", &both),
        (
            "office A, office B",
            "b1 A, b2 B",
            "office B",
            "b1 B",
            &both[..1],
        ),
        (
            "office A, office B",
            "b1 A, b2 B",
            "office B",
            "b2 B",
            &both[1..],
        ),
        (
            "office A, office B",
            "b1 A, b2 B",
            "office B, office A",
            "b1 A, b2 B",
            &both,
        ),
        (
            "office A, office B",
            "b1 A, b2 B",
            "office C, office B",
            "b1 C, b2 B",
            &both,
        ),
        ("office A", "b1 A, b2 A", "office B", "b1 B, b2 B", &both),
        ("office A", "b1 A", "office A, office a", "b1 A", &both),
        // A freed slot is for what is added or edited now, not for what was waiting.
        (
            "office A, office B, office C",
            "b1 A, b2 B",
            "office A, office C",
            "b1 A",
            &both,
        ),
        (
            "office A, office B, office C",
            "b1 A, b2 B",
            "office A, office D",
            "b1 A, b2 D",
            &both,
        ),
        (
            "office A, office B, office C",
            "b1 A, b2 B",
            "office A, office B, office D",
            "b1 A, b2 B",
            &both,
        ),
        (
            "office A, office C",
            "b1 A",
            "office A, office D",
            "b1 A, b2 D",
            &both,
        ),
        (
            "office A, office C",
            "b1 A",
            "office A, office C, office D",
            "b1 A, b2 D",
            &both,
        ),
        // The type changes the room, if there is room; a swap always works.
        ("office A", "b1 A", "private A", "h1 A", &both),
        (
            "office A, mobile B",
            "b1 A, m1 B",
            "mobile A, mobile B",
            "b1 A, m1 B",
            &both,
        ),
        (
            "office A, mobile B",
            "b1 A, m1 B",
            "mobile A, office B",
            "b1 B, m1 A",
            &both,
        ),
        (
            "office A, mobile B",
            "b1 A, m1 B",
            "mobile C, office B",
            "b1 B, m1 C",
            &both,
        ),
        ("office A", "b1 A", "fax A", "", &both),
        ("office A", "b1 A", "other A", "o1 A", &both[1..]),
        ("office A", "b1 A", "other A", "b1 A", &both[..1]),
        // A borrowed slot is given back to a number of its type.
        (
            "office A, other B",
            "b1 A, b2 B",
            "office A, other B, office C",
            "b1 A, b2 C, h1 B",
            &both[..1],
        ),
        (
            "other A, other B, other C, other D",
            "b1 A, b2 B, h1 C, h2 D",
            "other A, other B, other C, other D, private E",
            "b1 A, b2 B, h1 E, h2 D",
            &both[..1],
        ),
        (
            "other A, mobile B",
            "b1 A, m1 B",
            "other A, private B",
            "b1 A, h1 B",
            &both[..1],
        ),
        // What cannot be read is neither an edit nor a clearing.
        ("office A", "b1 A", "office ?B", "b1 A", &both),
        ("office A", "b1 A", "private ?B", "b1 A", &both),
        ("office A", "b1 A", "office A, office ?B", "b1 A", &both),
        (
            "office A, office B",
            "b1 ?A, b2 B",
            "office C, office B",
            "b1 ?A, b2 B",
            &both[1..],
        ),
    ] {
        for shape in shapes {
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
    let none = "";
    for (before, edits, crm_wins, mailbox_wins, conflicts) in [
        // Different values.
        (
            ["office A, private B", "b1 A, h1 B"],
            ["office C, private B", "b1 A, h1 D"],
            ["office C, private D", "b1 C, h1 D"],
            ["office C, private D", "b1 C, h1 D"],
            0,
        ),
        (
            ["office A", "b1 A"],
            ["office A, office B", "b1 A, b2 C"],
            ["office A, office B, office C", "b1 A, b2 C"],
            ["office A, office B, office C", "b1 A, b2 C"],
            0,
        ),
        (
            ["office A", "b1 A"],
            ["office A, mobile B", ""],
            ["mobile B", "m1 B"],
            ["mobile B", "m1 B"],
            0,
        ),
        // The same value, the same edit.
        (
            ["office A", "b1 A"],
            ["office b", "b1 B"],
            ["office b", "b1 B"],
            ["office b", "b1 B"],
            0,
        ),
        (
            ["office A", "b1 A"],
            [none, none],
            [none, none],
            [none, none],
            0,
        ),
        (
            ["office A", "b1 A"],
            ["office A, office B", "b1 A, b2 B"],
            ["office A, office B", "b1 A, b2 B"],
            ["office A, office B", "b1 A, b2 B"],
            0,
        ),
        // The same value, another edit.
        (
            ["office A", "b1 A"],
            ["office B", "b1 C"],
            ["office B", "b1 B"],
            ["office C", "b1 C"],
            1,
        ),
        (
            ["office A", "b1 A"],
            ["office B", none],
            ["office B", "b1 B"],
            [none, none],
            1,
        ),
        (
            ["office A", "b1 A"],
            [none, "b1 B"],
            [none, none],
            ["office B", "b1 B"],
            1,
        ),
        // Number here, type there.
        (
            ["office A", "b1 A"],
            ["private A", "b1 B"],
            ["private B", "h1 B"],
            ["private B", "h1 B"],
            0,
        ),
        (
            ["office A", "b1 A"],
            ["office B", "h1 A"],
            ["private B", "h1 B"],
            ["private B", "h1 B"],
            0,
        ),
        // Type here, another type there.
        (
            ["office A", "b1 A"],
            ["private A", "m1 A"],
            ["private A", "h1 A"],
            ["mobile A", "m1 A"],
            1,
        ),
        // What waited in the CRM was added in the mailbox.
        (
            ["mobile A, mobile B", "m1 A"],
            ["mobile A, mobile B", "m1 B"],
            ["mobile B", "m1 B"],
            ["mobile B", "m1 B"],
            0,
        ),
    ] {
        for (winner, expected) in [(Side::Crm, crm_wins), (Side::Mailbox, mailbox_wins)] {
            let base = base(&crm(before[0]), &view(before[1]));
            let (crm_edited, view_edited) = (crm(edits[0]), view(edits[1]));
            let fields = all_fields();
            let input = Input {
                winner,
                ..input(Some(&base), &crm_edited, &view_edited, &fields)
            };
            let merged = merge(input);
            let case = format!("{before:?} -> {edits:?}, {winner:?} wins");
            assert_eq!(
                [crm_text(&merged.crm), view_text(&merged.view)],
                expected,
                "{case}"
            );
            assert_eq!(
                merged.conflicts.len(),
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
    let base = base(&crm("office A, mobile D"), &view("b1 A, m1 D"));
    let (crm_edited, view_edited) = (crm("office b, mobile D"), view("b1 C, h1 D"));
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
    let before = crm("office A, office B, office C");
    let agreed = view("b1 A, b2 B");
    let base = base(&before, &agreed);
    let edited = view("b1 D, h1 B");
    let fields = all_fields();
    let merged = merge(input(Some(&base), &before, &edited, &fields));
    let notes = merged.crm.phones.iter().map(|phone| match phone {
        CrmPhone::Readable { rest, .. } => rest["note"].as_str().unwrap_or_default(),
        CrmPhone::Opaque(_) => "",
    });
    assert_eq!(notes.collect::<Vec<_>>(), ["A", "B", "C"]);
    assert_eq!(crm_text(&merged.crm), "office D, private B, office C");
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
    let merged_crm = crm("office A, office B");
    let fields = all_fields();
    let empty = View::default();
    let merged = merge(input(None, &merged_crm, &empty, &fields));
    let crm_read_back = crm("office B, office A");
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
    assert_eq!(crm_text(&merged.crm), "office B, office C");
}

#[test]
fn a_locked_field_is_read_and_never_written() {
    let (crm, view, base) = linked(&crm("office A"), &view(""), OFFICE_365);
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
    let base = base(&crm("office A, private B"), &view("b1 A, h1 B"));
    for (crm_now, view_now, crm_after, view_after) in [
        (
            "office A",
            "b1 A, h1 B",
            "office A, private B",
            "b1 A, h1 B",
        ),
        (
            "office A, private B",
            "b1 A",
            "office A, private B",
            "b1 A, h1 B",
        ),
        (
            "office C, private B",
            "b1 A, h1 B",
            "office C, private B",
            "b1 C, h1 B",
        ),
        (
            "office A, private B",
            "b1 A, h1 C",
            "office A, private C",
            "b1 A, h1 C",
        ),
        (
            "office C, private B",
            "b1 D, h1 B",
            "office C, private B",
            "b1 C, h1 B",
        ),
    ] {
        let (crm_now, view_now) = (crm(crm_now), view(view_now));
        let fields = all_fields();
        let merged = relink(input(Some(&base), &crm_now, &view_now, &fields));
        assert_eq!(crm_text(&merged.crm), crm_after);
        assert_eq!(view_text(&merged.view), view_after);
    }
}

// ---- e-mails ----------------------------------------------------------------------------------------

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

// ---- addresses --------------------------------------------------------------------------------------

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

// ---- fields with one value --------------------------------------------------------------------------

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
    // And a company again.
    let base = remember(&merged.crm, &merged.view, &merged.slots, &fields);
    let merged = merge(input(Some(&base), &crm, &merged.view, &fields));
    assert_eq!(merged.view.texts[&Field::FirstName], "Muster GmbH");
    assert_eq!(merged.crm, crm);
}
