//! Phone numbers of several types: number and type merge apart from each other.
//!
//! Two numbers, three types, at most three entries on both sides together. Where the mailbox has
//! no slot for type `other`, such a number stands in a business or home slot and keeps its type.

use contact_sync_guest::contact::{
    CrmFields, CrmKind, CrmPhone, Field, FieldSet, Members, Shape, Slot, View,
};
use contact_sync_guest::mapping::{Base, remember};
use contact_sync_guest::plan::merge::{Input, merge};
use contact_sync_guest::report::Side;
use serde_json::json;
use std::collections::BTreeMap;

/// A room by its letter: business, home, mobile, other.
type Room = char;

/// A number by its letter.
type Number = char;

/// Slots in the order of a mailbox, with the room that each is in.
const SLOTS: [(Slot, Room); 5] = [
    (Slot::BusinessPhone1, 'b'),
    (Slot::BusinessPhone2, 'b'),
    (Slot::HomePhone1, 'h'),
    (Slot::MobilePhone, 'm'),
    (Slot::OtherPhone, 'o'),
];

/// Entries of the CRM, in their order.
type Entries = Vec<(Number, Room)>;

/// Numbers by the index of their slot.
type Slots = BTreeMap<usize, Number>;

#[derive(Debug)]
struct World {
    /// One number, its type, and its slot.
    base: Option<(Room, usize)>,
    crm: Entries,
    view: Slots,
    is_server: bool,
    winner: Side,
}

#[derive(Debug, PartialEq)]
struct End {
    crm: Entries,
    view: Slots,
    losers: Vec<Side>,
}

// ---- the contract -------------------------------------------------------------------------------

/// A value of one side: its number, its room, and its places there.
#[derive(Clone, Debug)]
struct Found {
    number: Number,
    room: Room,
    places: Vec<usize>,
}

#[derive(Clone, Debug, Default)]
struct Token {
    then: Option<(Room, usize)>,
    crm: Option<Found>,
    view: Option<Found>,
}

/// What becomes of a token's number, or of its type.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Verdict {
    Keep,
    To(Side),
}

const BASE_NUMBER: Number = 'p';

fn distinct(all: impl Iterator<Item = (usize, Number, Room)>) -> Vec<Found> {
    let mut values: Vec<Found> = Vec::new();
    for (place, number, room) in all {
        let same = |found: &&mut Found| found.number == number && found.room == room;
        match values.iter_mut().find(same) {
            Some(found) => found.places.push(place),
            None => values.push(Found {
                number,
                room,
                places: vec![place],
            }),
        }
    }
    values
}

fn take(left: &mut Vec<Found>, fits: impl Fn(&Found) -> bool) -> Option<Found> {
    let index = left.iter().position(fits)?;
    Some(left.remove(index))
}

/// A number of type `other` may stand in these, where it has no slot of its own.
fn agrees(world: &World, crm: Room, view: Room) -> bool {
    crm == view || (!world.is_server && crm == 'o' && matches!(view, 'b' | 'h'))
}

fn tokens(world: &World) -> Vec<Token> {
    let entries = world.crm.iter().enumerate();
    let mut crm = distinct(entries.map(|(place, (number, room))| (place, *number, *room)));
    let slots = world.view.iter();
    let mut view = distinct(slots.map(|(slot, number)| (*slot, *number, SLOTS[*slot].1)));
    let mut base = Token {
        then: world.base,
        ..Token::default()
    };
    if let Some((kind, slot)) = world.base {
        let equal = |room: Room| move |now: &Found| now.number == BASE_NUMBER && now.room == room;
        let moved = |now: &Found| now.number == BASE_NUMBER;
        base.crm = take(&mut crm, equal(kind)).or_else(|| take(&mut crm, moved));
        base.view = take(&mut view, equal(SLOTS[slot].1)).or_else(|| take(&mut view, moved));
    }
    let mut new = added_alike(world, &mut crm, &mut view);
    if let Some((kind, slot)) = world.base {
        if base.crm.is_none() {
            let in_place = |now: &Found| now.room == kind && now.places.contains(&0);
            base.crm = take(&mut crm, in_place).or_else(|| take(&mut crm, |now| now.room == kind));
        }
        if base.view.is_none() {
            let loose = |now: &Found| !world.is_server && now.room == SLOTS[slot].1;
            let in_place = take(&mut view, |now| now.places.contains(&slot));
            base.view = in_place.or_else(|| take(&mut view, loose));
        }
        new.insert(0, base);
    }
    new.extend(crm.into_iter().map(|now| Token {
        crm: Some(now),
        ..Token::default()
    }));
    new.extend(view.into_iter().map(|now| Token {
        view: Some(now),
        ..Token::default()
    }));
    new
}

/// The same number new on both sides is one, in the nearest rooms first.
fn added_alike(world: &World, crm: &mut Vec<Found>, view: &mut Vec<Found>) -> Vec<Token> {
    let mut new = Vec::new();
    for distance in 0..3 {
        crm.retain(|now| {
            let near = |other: &Found| match distance {
                0 => now.room == other.room,
                1 => agrees(world, now.room, other.room),
                _ => true,
            };
            let Some(other) = take(view, |it| it.number == now.number && near(it)) else {
                return true;
            };
            new.push(Token {
                then: None,
                crm: Some(now.clone()),
                view: Some(other),
            });
            false
        });
    }
    new
}

fn three_way(world: &World, crm_changed: bool, view_changed: bool) -> (Verdict, Option<Side>) {
    match (crm_changed, view_changed, world.winner) {
        (false, false, _) => (Verdict::Keep, None),
        (true, false, _) => (Verdict::To(Side::Mailbox), None),
        (false, true, _) => (Verdict::To(Side::Crm), None),
        (true, true, Side::Crm) => (Verdict::To(Side::Mailbox), Some(Side::Mailbox)),
        (true, true, Side::Mailbox) => (Verdict::To(Side::Crm), Some(Side::Crm)),
    }
}

fn settle_number(world: &World, token: &Token) -> (Verdict, Option<Side>) {
    let number = |found: &Option<Found>| found.as_ref().map(|found| found.number);
    let (crm, view) = (number(&token.crm), number(&token.view));
    let then = token.then.map(|_| BASE_NUMBER);
    if crm == view {
        return (Verdict::Keep, None);
    }
    three_way(world, crm != then, view != then)
}

fn settle_type(world: &World, token: &Token) -> (Verdict, Option<Side>) {
    let (Some(crm), Some(view)) = (&token.crm, &token.view) else {
        return (Verdict::Keep, None);
    };
    if agrees(world, crm.room, view.room) {
        return (Verdict::Keep, None);
    }
    let crm_changed = token.then.is_none_or(|(kind, _)| kind != crm.room);
    let view_changed = token
        .then
        .is_none_or(|(_, slot)| SLOTS[slot].1 != view.room);
    three_way(world, crm_changed, view_changed)
}

/// The slots that a value of this type may take, its own ones first.
fn room_of(world: &World, kind: Room) -> Vec<usize> {
    let own = |room: Room| (0..SLOTS.len()).filter(move |slot| SLOTS[*slot].1 == room);
    match kind {
        'o' if !world.is_server => own('b').chain(own('h')).collect(),
        kind => own(kind).collect(),
    }
}

fn expected(world: &World) -> End {
    let tokens = tokens(world);
    let mut losers = Vec::new();
    let mut settled = Vec::new();
    for token in &tokens {
        let (number, first) = settle_number(world, token);
        let (kind, second) = settle_type(world, token);
        losers.extend(first.into_iter().chain(second));
        settled.push((number, kind));
    }
    End {
        crm: crm_after(world, &tokens, &settled),
        view: view_after(world, &tokens, &settled),
        losers,
    }
}

fn crm_after(world: &World, tokens: &[Token], settled: &[(Verdict, Verdict)]) -> Entries {
    let mut entries: Vec<Option<(Number, Room)>> = world.crm.iter().copied().map(Some).collect();
    for (token, (number, kind)) in tokens.iter().zip(settled) {
        let Some(now) = &token.crm else {
            let new = token
                .view
                .as_ref()
                .filter(|_| *number == Verdict::To(Side::Crm));
            entries.extend(new.map(|view| Some((view.number, view.room))));
            continue;
        };
        for place in &now.places {
            let mut entry = Some((now.number, now.room));
            if *number == Verdict::To(Side::Crm) {
                entry = token.view.as_ref().map(|view| (view.number, now.room));
            }
            if let (Some(entry), Some(view), Verdict::To(Side::Crm)) =
                (&mut entry, &token.view, kind)
            {
                entry.1 = view.room;
            }
            entries[*place] = entry;
        }
    }
    entries.into_iter().flatten().collect()
}

fn view_after(world: &World, tokens: &[Token], settled: &[(Verdict, Verdict)]) -> Slots {
    let to_mailbox = Verdict::To(Side::Mailbox);
    let mut slots: BTreeMap<usize, Number> = BTreeMap::new();
    let mut movers = Vec::new();
    let mut newcomers = Vec::new();
    for (token, (number, kind)) in tokens.iter().zip(settled) {
        let (crm, view) = (&token.crm, &token.view);
        match (crm, view) {
            (Some(crm), Some(view)) => {
                let told = if *number == to_mailbox {
                    crm.number
                } else {
                    view.number
                };
                if *kind == to_mailbox {
                    movers.push((crm.room, told, view.places.clone(), token.then));
                } else {
                    slots.extend(view.places.iter().map(|slot| (*slot, told)));
                }
            }
            (None, Some(view)) if *number != to_mailbox => {
                slots.extend(view.places.iter().map(|slot| (*slot, view.number)));
            }
            (Some(crm), None) if *number == to_mailbox => {
                newcomers.push((crm.room, crm.number, token.then));
            }
            _ => {}
        }
    }
    // Who has no room where its type belongs stays where it is, and takes a place from others.
    loop {
        let mut wanted: BTreeMap<Room, usize> = BTreeMap::new();
        let stays = movers.iter().position(|(kind, ..)| {
            let count = wanted.entry(*kind).or_default();
            *count += 1;
            let slots_of = room_of(world, *kind).into_iter();
            let own = slots_of.filter(|slot| SLOTS[*slot].1 == *kind);
            *count > own.filter(|slot| !slots.contains_key(slot)).count()
        });
        let Some(stays) = stays else { break };
        let (_, number, places, _) = movers.remove(stays);
        slots.extend(places.into_iter().map(|slot| (slot, number)));
    }
    newcomers.sort_by_key(|(kind, ..)| *kind == 'o' && !world.is_server);
    let movers = movers
        .into_iter()
        .map(|(kind, number, _, then)| (kind, number, then));
    for (kind, number, then) in movers.chain(newcomers) {
        let room = room_of(world, kind);
        // Equal values share a slot.
        if room.iter().any(|slot| slots.get(slot) == Some(&number)) {
            continue;
        }
        let had = then
            .map(|(_, slot)| slot)
            .filter(|slot| room.contains(slot));
        if let Some(slot) = had
            .into_iter()
            .chain(room)
            .find(|slot| !slots.contains_key(slot))
        {
            slots.insert(slot, number);
        }
    }
    if !world.is_server && slots != world.view {
        close_gap(&mut slots);
    }
    slots
}

/// Two business slots: the second number moves up.
fn close_gap(slots: &mut Slots) {
    if !slots.contains_key(&0)
        && let Some(number) = slots.remove(&1)
    {
        slots.insert(0, number);
    }
}

// ---- the engine ---------------------------------------------------------------------------------

fn text(number: Number, is_sent: bool) -> String {
    let last = if number == 'p' { 1 } else { 2 };
    if is_sent {
        format!("+49 221 10000{last}")
    } else {
        format!("0221 / 10 00 0{last}")
    }
}

fn crm_fields(entries: &[(Number, Room)]) -> CrmFields {
    let entry = |(number, room): &(Number, Room)| CrmPhone::Readable {
        kind: match room {
            'b' => CrmKind::Office,
            'h' => CrmKind::Private,
            'm' => CrmKind::Mobile,
            _ => CrmKind::Other,
        },
        number: text(*number, false),
        rest: Members::new(),
    };
    CrmFields {
        phones: entries.iter().map(entry).collect(),
        ..CrmFields::default()
    }
}

fn view_of(slots: &Slots) -> View {
    let slots = slots.iter();
    View {
        phones: slots
            .map(|(slot, number)| (SLOTS[*slot].0, text(*number, true)))
            .collect(),
        ..View::default()
    }
}

fn number_of(written: &str) -> Number {
    if written.ends_with('1') { 'p' } else { 'q' }
}

fn entries_of(fields: &CrmFields) -> Entries {
    let entries = fields.phones.iter().map(|phone| match phone {
        CrmPhone::Readable { kind, number, .. } => {
            let room = match kind {
                CrmKind::Office => 'b',
                CrmKind::Private => 'h',
                CrmKind::Mobile => 'm',
                _ => 'o',
            };
            (number_of(number), room)
        }
        CrmPhone::Opaque(value) => panic!("{value}"),
    });
    entries.collect()
}

fn slots_of(view: &View) -> Slots {
    let index = |slot: &Slot| SLOTS.iter().position(|(known, _)| known == slot).unwrap();
    let phones = view.phones.iter();
    phones
        .map(|(slot, written)| (index(slot), number_of(written)))
        .collect()
}

fn check(world: &World) {
    let fields = FieldSet::from([Field::Phones]);
    let base = world.base.map(|(kind, slot)| {
        let places = json!({"places": BTreeMap::from([(SLOTS[slot].0, 0)])});
        Base {
            crm: crm_fields(&[(BASE_NUMBER, kind)]),
            view: view_of(&[(slot, BASE_NUMBER)].into()),
            slots: serde_json::from_value(places).unwrap(),
            fields: fields.clone(),
        }
    });
    let (crm, view) = (crm_fields(&world.crm), view_of(&world.view));
    let none = FieldSet::new();
    let input = Input {
        base: base.as_ref(),
        crm: &crm,
        view: &view,
        fields: &fields,
        locked: &none,
        shape: Shape {
            other_phone: world.is_server,
            keeps_gaps: world.is_server,
        },
        region: "DE",
        winner: world.winner,
    };
    let merged = merge(input);
    let end = End {
        crm: entries_of(&merged.crm),
        view: slots_of(&merged.view),
        losers: merged
            .conflicts
            .iter()
            .map(|conflict| conflict.loser)
            .collect(),
    };
    assert_eq!(end, expected(world), "{world:#?}\n{:#?}", tokens(world));
    let next = remember(&merged.crm, &merged.view, &merged.slots, &fields);
    let again = merge(Input {
        base: Some(&next),
        crm: &merged.crm,
        view: &merged.view,
        ..input
    });
    assert_eq!(
        (&again.crm, &again.view),
        (&merged.crm, &merged.view),
        "{world:#?}"
    );
}

/// All views of at most two numbers. Where gaps close, there are none.
fn views(is_server: bool) -> Vec<Slots> {
    let slots = if is_server { 0..5 } else { 0..4 };
    let one = |slot: usize| ['p', 'q'].map(|number| (slot, number));
    let singles: Vec<(usize, Number)> = slots.flat_map(one).collect();
    let mut views = vec![Slots::new()];
    for first in &singles {
        views.push([*first].into());
        let later = singles.iter().filter(|second| second.0 > first.0);
        views.extend(later.map(|second| Slots::from([*first, *second])));
    }
    views.retain(|view| is_server || !view.contains_key(&1) || view.contains_key(&0));
    views
}

fn lists() -> Vec<Entries> {
    let numbers = ['p', 'q'].into_iter();
    let singles: Entries = numbers
        .flat_map(|number| ['b', 'm', 'o'].map(|room| (number, room)))
        .collect();
    let mut lists = vec![Vec::new()];
    for first in &singles {
        lists.push(vec![*first]);
        lists.extend(singles.iter().map(|second| vec![*first, *second]));
    }
    lists
}

#[test]
pub(crate) fn every_number_of_every_type_ends_as_the_contract_says() {
    let mut count = 0;
    for is_server in [false, true] {
        let other_slot = if is_server { 4 } else { 0 };
        for base in [
            None,
            Some(('b', 0)),
            Some(('m', 3)),
            Some(('o', other_slot)),
        ] {
            for crm in lists() {
                for view in views(is_server) {
                    if crm.len() + view.len() > 3 {
                        continue;
                    }
                    for winner in [Side::Crm, Side::Mailbox] {
                        count += 1;
                        let (crm, view) = (crm.clone(), view.clone());
                        check(&World {
                            base,
                            crm,
                            view,
                            is_server,
                            winner,
                        });
                    }
                }
            }
        }
    }
    assert!(count > 5_000, "{count} worlds");
}
