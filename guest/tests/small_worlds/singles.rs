//! Fields with one value: every base, both sides, who wins, locks, and how a pair came about.

use contact_sync_guest::contact::{CrmFields, Field, FieldSet, Shape, View};
use contact_sync_guest::mapping::{Base, remember};
use contact_sync_guest::plan::merge::{Conflict, Input, merge, relink};
use contact_sync_guest::report::Side;
use serde_json::{Value, json};

/// Nothing, two writings of one value, and another one.
const TEXTS: [Option<&str>; 4] = [None, Some("A"), Some(" A "), Some("B")];

/// How a pair came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Past {
    /// Nothing is remembered.
    First,
    /// Linked, but this field took no part so far.
    NewField,
    Linked,
    /// Linked; the CRM's value has been waiting since the mailbox cleared the one before it.
    Waiting,
    /// Detached, and marked again.
    Again,
}

#[derive(Clone, Copy, Debug)]
struct World {
    past: Past,
    base_crm: Option<&'static str>,
    base_view: Option<&'static str>,
    crm: Option<&'static str>,
    view: Option<&'static str>,
    winner: Side,
    is_locked: bool,
    takes_part: bool,
}

/// What both sides hold afterwards, whether a value lost, and whether people are told.
#[derive(Clone, Debug, PartialEq)]
struct End {
    crm: Option<String>,
    view: Option<String>,
    loser: Option<Side>,
    told: bool,
}

/// The contract, sections 4 and 5, for one value.
fn expected(world: &World) -> End {
    let canonical = |text: Option<&str>| text.map(|text| text.trim().to_owned());
    let written = canonical;
    let kept = |text: Option<&str>| text.map(str::to_owned);
    let unchanged = End {
        crm: kept(world.crm),
        view: kept(world.view),
        loser: None,
        told: false,
    };
    let remembers = matches!(world.past, Past::Linked | Past::Waiting | Past::Again);
    let (base_crm, base_view) = match world.past {
        _ if !remembers => (None, None),
        _ => (canonical(world.base_crm), canonical(world.base_view)),
    };
    let (crm, view) = (canonical(world.crm), canonical(world.view));
    // A value that waits is none of the mailbox's business until somebody edits it.
    let waits = world.past == Past::Waiting && crm.is_some() && crm == base_crm;
    let (crm_seen, base_crm) = if waits { (None, None) } else { (crm, base_crm) };
    if !world.takes_part || crm_seen == view {
        return unchanged;
    }
    let to_view = |loser| End {
        view: written(world.crm),
        loser,
        ..unchanged.clone()
    };
    // An edit in the mailbox of a locked field stays there, and is told.
    let stays_there = End {
        told: true,
        ..unchanged.clone()
    };
    let taken_over = |loser| End {
        crm: written(world.view),
        loser,
        ..unchanged.clone()
    };
    let to_crm = |loser| {
        if world.is_locked {
            stays_there
        } else {
            taken_over(loser)
        }
    };
    let crm_changed = crm_seen != base_crm;
    let view_changed = view != base_view;
    match (crm_changed, view_changed) {
        // Linked again: what is missing is filled, and nothing is removed.
        _ if world.past == Past::Again && view.is_none() => to_view(None),
        _ if world.past == Past::Again && crm_seen.is_none() => to_crm(None),
        (false, false) => unchanged,
        (true, false) => to_view(None),
        (false, true) => to_crm(None),
        (true, true) if world.winner == Side::Crm => to_view(Some(Side::Mailbox)),
        (true, true) => to_crm(Some(Side::Crm)),
    }
}

fn worlds() -> Vec<World> {
    let mut worlds = Vec::new();
    for past in [
        Past::First,
        Past::NewField,
        Past::Linked,
        Past::Waiting,
        Past::Again,
    ] {
        for number in 0..256_usize {
            let text = |place: u32| TEXTS[number / 4_usize.pow(place) % 4];
            for switches in 0..8_u8 {
                worlds.push(World {
                    past,
                    base_crm: text(0),
                    base_view: text(1),
                    crm: text(2),
                    view: text(3),
                    winner: if switches & 1 == 0 {
                        Side::Crm
                    } else {
                        Side::Mailbox
                    },
                    is_locked: switches & 2 != 0,
                    takes_part: switches & 4 != 0,
                });
            }
        }
    }
    worlds
}

// ---- the engine ---------------------------------------------------------------------------------

/// Values around the field that nobody edits: they must stay as they are.
fn crm_with(text: Option<&str>) -> CrmFields {
    let mut fields = CrmFields::default();
    fields
        .texts
        .insert(Field::LastName, vec![json!(" Muster "), json!("?")]);
    if let Some(text) = text {
        fields.texts.insert(Field::Position, vec![json!(text)]);
    }
    fields
}

fn view_with(text: Option<&str>) -> View {
    let mut view = View {
        display_name: Some("Tante Erika".to_owned()),
        file_as: Some("Muster".to_owned()),
        ..View::default()
    };
    view.texts.insert(Field::LastName, "Muster".to_owned());
    view.texts
        .extend(text.map(|text| (Field::Position, text.to_owned())));
    view
}

fn ended(world: &World) -> (End, CrmFields, View) {
    let all = FieldSet::from(Field::ALL);
    let mut others = all.clone();
    others.remove(&Field::Position);
    let none = FieldSet::new();
    let only = FieldSet::from([Field::Position]);
    let slots = match world.past {
        Past::Waiting => json!({"waiting": ["position"]}),
        _ => json!({}),
    };
    let base = Base {
        crm: crm_with(world.base_crm),
        view: view_with(world.base_view),
        slots: serde_json::from_value(slots).unwrap(),
        fields: if world.past == Past::NewField {
            others.clone()
        } else {
            all.clone()
        },
    };
    let (crm, view) = (crm_with(world.crm), view_with(world.view));
    let input = Input {
        base: (world.past != Past::First).then_some(&base),
        crm: &crm,
        view: &view,
        fields: if world.takes_part { &all } else { &others },
        locked: if world.is_locked { &only } else { &none },
        shape: Shape {
            other_phone: false,
            keeps_gaps: false,
        },
        region: "DE",
        winner: world.winner,
    };
    let merged = if world.past == Past::Again {
        relink(input)
    } else {
        merge(input)
    };
    let first = merged
        .crm
        .texts
        .get(&Field::Position)
        .and_then(|values| values.first());
    let [loser, none] = [0, 1].map(|index| merged.conflicts.get(index).map(|c: &Conflict| c.loser));
    assert_eq!(none, None, "one field, one conflict: {world:?}");
    let end = End {
        crm: first.and_then(Value::as_str).map(str::to_owned),
        view: merged.view.texts.get(&Field::Position).cloned(),
        loser,
        told: merged
            .findings
            .iter()
            .any(|finding| finding.code == "locked-field"),
    };
    (end, merged.crm, merged.view)
}

#[test]
pub(crate) fn every_single_value_ends_as_the_contract_says() {
    for world in worlds() {
        let (end, mut crm, mut view) = ended(&world);
        assert_eq!(end, expected(&world), "{world:#?}");
        // Locality: that field alone, to the last byte.
        crm.texts.remove(&Field::Position);
        view.texts.remove(&Field::Position);
        assert_eq!((crm, view), (crm_with(None), view_with(None)), "{world:#?}");
    }
}

/// Of several values in the CRM the first takes part; the others stay behind it, and what comes
/// first when the mailbox clears it waits.
#[test]
fn values_behind_the_first_stay_where_they_are() {
    let lists: [&[&str]; 5] = [&[], &["A"], &["A", "B"], &["B", "A"], &["A", "A", "B"]];
    let all = FieldSet::from(Field::ALL);
    let none = FieldSet::new();
    for list in lists {
        for edit in [None, Some("A"), Some("C")] {
            let crm = crm_of(list);
            let nothing = View::default();
            let input = |base| Input {
                base,
                crm: &crm,
                view: &nothing,
                fields: &all,
                locked: &none,
                shape: Shape {
                    other_phone: false,
                    keeps_gaps: false,
                },
                region: "DE",
                winner: Side::Crm,
            };
            let first = merge(input(None));
            let base = remember(&first.crm, &first.view, &first.slots, &all);
            let mut view = first.view.clone();
            view.texts.remove(&Field::Position);
            view.texts
                .extend(edit.map(|text| (Field::Position, text.to_owned())));
            let merged = merge(Input {
                crm: &first.crm,
                view: &view,
                ..input(Some(&base))
            });
            let behind = list.get(1..).unwrap_or_default();
            let expected: Vec<&str> = edit.into_iter().chain(behind.iter().copied()).collect();
            assert_eq!(merged.crm, crm_of(&expected), "{list:?} {edit:?}");
            assert_eq!(merged.view, view, "{list:?} {edit:?}");
            let next = remember(&merged.crm, &merged.view, &merged.slots, &all);
            let (crm, view) = (&merged.crm, &merged.view);
            let quiet = merge(Input {
                crm,
                view,
                ..input(Some(&next))
            });
            assert_eq!((&quiet.crm, &quiet.view), (crm, view), "{list:?} {edit:?}");
        }
    }
}

fn crm_of(texts: &[&str]) -> CrmFields {
    let mut fields = CrmFields::default();
    if !texts.is_empty() {
        let values = texts.iter().map(|text| json!(text)).collect();
        fields.texts.insert(Field::Position, values);
    }
    fields
}
