//! What a pass replaced in a record, put back where nobody has edited it since (contract, 7.2).
//!
//! Value by value: a value that was replaced takes the place of the one that replaced it, a value
//! that was removed is added again. A value that only came stays: putting back removes nothing.

use std::collections::BTreeMap;

use super::LISTS;
use super::rooms::Room;
use super::shown::shown_in_one_line;
use super::values::{self, Single, crm_values};
use crate::contact::{CrmFields, Field, FieldSet, Shape, Slot, View};

/// A record with what was put back into it, and what was not.
#[derive(Clone, Debug, PartialEq)]
pub struct Back<T> {
    /// The record, as it is to be.
    pub record: T,
    /// Fields into which something was put back.
    pub done: FieldSet,
    /// Fields that hold it already.
    pub already: FieldSet,
    /// Fields in which somebody has edited since: what they hold now.
    pub in_the_way: Vec<(Field, Option<String>)>,
    /// Fields in which values stay that the pass added.
    pub added: FieldSet,
}

/// What the record held `before`, put back into `current` where it still holds what it held
/// `after`. Of `fields` only.
pub fn in_crm(
    current: &CrmFields,
    (before, after): (&CrmFields, &CrmFields),
    fields: &FieldSet,
    region: &str,
) -> Back<CrmFields> {
    let mut back = Back::of(current.clone());
    for field in fields {
        let change = if LISTS.contains(field) {
            let list = |record| crm_idents(*field, record, region);
            change_of_list(&list(current), &list(before), &list(after))
        } else {
            let single = |record| Single::of_crm(*field, record);
            change_of_single(&single(current), &single(before), &single(after))
        };
        let put = |record: &mut CrmFields, moves: &[Move]| {
            put_into_crm(record, *field, before, moves);
            true
        };
        let holds = || shown_in_one_line(current, *field);
        back.take(*field, change, holds, put);
    }
    back
}

/// The same for the mailbox.
pub fn in_mailbox(
    current: &View,
    (before, after): (&View, &View),
    fields: &FieldSet,
    region: &str,
    shape: Shape,
) -> Back<View> {
    let mut back = Back::of(current.clone());
    for field in fields {
        let change = if LISTS.contains(field) {
            let list = |record| mailbox_idents(*field, record, region);
            change_of_list(&list(current), &list(before), &list(after))
        } else {
            let single = |record| Single::of_mailbox(*field, record);
            change_of_single(&single(current), &single(before), &single(after))
        };
        let put = |record: &mut View, moves: &[Move]| {
            let slots = |record| mailbox_slots(*field, record, region);
            let places = (slots(current), slots(before));
            put_into_view(record, *field, before, moves, &places, shape)
        };
        let holds = || shown_in_one_line(current, *field);
        back.take(*field, change, holds, put);
    }
    if !back.done.is_empty() {
        if current.display_name == after.display_name {
            back.record.display_name.clone_from(&before.display_name);
        }
        if current.file_as == after.file_as {
            back.record.file_as.clone_from(&before.file_as);
        }
    }
    back
}

/// What is to be done about one field.
#[derive(Debug, PartialEq)]
enum Change {
    /// Nothing was lost, or it is back.
    Already,
    /// Somebody has edited it since.
    InTheWay,
    /// Only values came.
    Added,
    /// These are put back.
    Put {
        moves: Vec<Move>,
        /// Other values came, and stay.
        are_added: bool,
        /// Of others somebody has edited what they were replaced by.
        are_edited: bool,
    },
}

/// The value at one place of the record as it was, and the place that it takes in the record as it
/// is; `None`: one more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Move {
    from: usize,
    to: Option<usize>,
}

impl<T: Clone> Back<T> {
    fn of(record: T) -> Self {
        Self {
            record,
            done: FieldSet::new(),
            already: FieldSet::new(),
            in_the_way: Vec::new(),
            added: FieldSet::new(),
        }
    }

    fn take(
        &mut self,
        field: Field,
        change: Change,
        holds: impl Fn() -> Option<String>,
        put: impl FnOnce(&mut T, &[Move]) -> bool,
    ) {
        match change {
            Change::Already => drop(self.already.insert(field)),
            Change::InTheWay => self.in_the_way.push((field, holds())),
            Change::Added => drop(self.added.insert(field)),
            Change::Put {
                moves,
                are_added,
                are_edited,
            } => {
                let mut record = self.record.clone();
                let has_room = put(&mut record, &moves);
                if has_room {
                    self.record = record;
                    self.done.insert(field);
                }
                if are_edited || !has_room {
                    self.in_the_way.push((field, holds()));
                }
                if are_added {
                    self.added.insert(field);
                }
            }
        }
    }
}

fn change_of_single(current: &Single, before: &Single, after: &Single) -> Change {
    if current.same(before) {
        Change::Already
    } else if *before == Single::Empty {
        Change::Added
    } else if current.same(after) {
        let to = (*current != Single::Empty).then_some(0);
        let moves = vec![Move { from: 0, to }];
        Change::Put {
            moves,
            are_added: false,
            are_edited: false,
        }
    } else {
        Change::InTheWay
    }
}

/// Values of a list by what they mean, in their order; `None` takes no part.
type Idents = Vec<Option<String>>;

fn change_of_list(current: &Idents, before: &Idents, after: &Idents) -> Change {
    let gone = without(before, after);
    let mut came = without(after, before);
    if gone.is_empty() {
        return if came.is_empty() {
            Change::Already
        } else {
            Change::Added
        };
    }
    let mut free: Vec<usize> = (0..current.len()).collect();
    let mut moves = Vec::new();
    let mut is_missing = false;
    for (from, ident) in gone {
        // It may have come back by another hand.
        if take_equal(current, &mut free, &ident).is_some() {
            continue;
        }
        let replaced = came
            .iter()
            .position(|(at, other)| *at == from && room(other) == room(&ident))
            .or_else(|| {
                came.iter()
                    .position(|(_, other)| room(other) == room(&ident))
            })
            .map(|index| came.remove(index));
        let to = match replaced {
            Some((_, ident)) => {
                let place = take_equal(current, &mut free, &ident);
                if place.is_none() {
                    is_missing = true;
                    continue;
                }
                place
            }
            None => None,
        };
        moves.push(Move { from, to });
    }
    match (moves.is_empty(), is_missing) {
        (true, true) => Change::InTheWay,
        (true, false) => Change::Already,
        (false, are_edited) => Change::Put {
            moves,
            are_added: !came.is_empty(),
            are_edited,
        },
    }
}

/// Values of one list that another lacks, with their places, each as often as it lacks it.
fn without(values: &Idents, others: &Idents) -> Vec<(usize, String)> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for other in others.iter().flatten() {
        *counts.entry(other).or_default() += 1;
    }
    let mut missing = Vec::new();
    for (index, value) in values.iter().enumerate() {
        let Some(value) = value else { continue };
        match counts.get_mut(value.as_str()) {
            Some(count) if *count > 0 => *count -= 1,
            _ => missing.push((index, value.clone())),
        }
    }
    missing
}

fn take_equal(current: &Idents, free: &mut Vec<usize>, ident: &str) -> Option<usize> {
    let found = free.iter().position(|at| {
        let value = current.get(*at).and_then(Option::as_deref);
        value == Some(ident)
    })?;
    Some(free.remove(found))
}

/// What stands before the value in an ident.
fn room(ident: &str) -> &str {
    ident.split('|').next().unwrap_or_default()
}

fn crm_idents(field: Field, record: &CrmFields, region: &str) -> Idents {
    (0..values::crm_len(field, record))
        .map(|position| {
            let (room, content) = values::crm_entry(field, record, position, region)?;
            Some(format!("{room:?}|{:?}", content.key()))
        })
        .collect()
}

fn mailbox_idents(field: Field, view: &View, region: &str) -> Idents {
    let entries = values::mailbox_entries(field, view, region).into_iter();
    entries
        .map(|(slot, content)| Some(format!("{:?}|{:?}", Room::of_slot(slot), content.key())))
        .collect()
}

fn mailbox_slots(field: Field, view: &View, region: &str) -> Vec<Slot> {
    let entries = values::mailbox_entries(field, view, region).into_iter();
    entries.map(|(slot, _)| slot).collect()
}

fn put_into_crm(record: &mut CrmFields, field: Field, before: &CrmFields, moves: &[Move]) {
    match field {
        Field::Phones => put_into_list(&mut record.phones, &before.phones, moves),
        Field::Emails => put_into_list(&mut record.emails, &before.emails, moves),
        Field::Addresses => put_into_list(&mut record.addresses, &before.addresses, moves),
        Field::Birthday => put_into_list(&mut record.birthday, &before.birthday, moves),
        _ => {
            let values = record.texts.entry(field).or_default();
            put_into_list(values, crm_values(field, before), moves);
        }
    }
}

fn put_into_list<T: Clone>(list: &mut Vec<T>, before: &[T], moves: &[Move]) {
    let value = |of: &Move| before.get(of.from).cloned();
    // First what takes a place: what is inserted moves the places behind it.
    for of in moves {
        if let (Some(place), Some(value)) = (of.to.and_then(|to| list.get_mut(to)), value(of)) {
            *place = value;
        }
    }
    for of in moves.iter().filter(|of| of.to.is_none()) {
        if let Some(value) = value(of) {
            list.insert(of.from.min(list.len()), value);
        }
    }
}

/// Whether there was room for all.
fn put_into_view(
    record: &mut View,
    field: Field,
    before: &View,
    moves: &[Move],
    (current_slots, before_slots): &(Vec<Slot>, Vec<Slot>),
    shape: Shape,
) -> bool {
    if !LISTS.contains(&field) {
        record.take(field, before);
        return true;
    }
    let mut places = Vec::new();
    for Move { from, to } in moves {
        let Some(slot) = before_slots.get(*from) else {
            continue;
        };
        let place = match to.and_then(|to| current_slots.get(to)) {
            Some(place) => Some(*place),
            None => free_slot(*slot, field, shape, |slot| {
                current_slots.contains(slot) || places.iter().any(|(_, taken)| taken == slot)
            }),
        };
        let Some(place) = place else { return false };
        places.push((*slot, place));
    }
    for (from, to) in places {
        match field {
            Field::Phones => move_value(&before.phones, from, &mut record.phones, to),
            Field::Emails => move_value(&before.emails, from, &mut record.emails, to),
            _ => move_value(&before.addresses, from, &mut record.addresses, to),
        }
    }
    true
}

/// Where a value that stood in this slot may stand now. The first free slot of its room where the
/// mailbox keeps no gaps, else its own if that is free.
fn free_slot(
    slot: Slot,
    field: Field,
    shape: Shape,
    is_taken: impl Fn(&Slot) -> bool,
) -> Option<Slot> {
    if shape.keeps_gaps && !is_taken(&slot) {
        return Some(slot);
    }
    let mut slots = Room::of_slot(slot).slots(field, shape).iter();
    slots.find(|slot| !is_taken(slot)).copied()
}

fn move_value<T: Clone>(
    before: &BTreeMap<Slot, T>,
    from: Slot,
    record: &mut BTreeMap<Slot, T>,
    to: Slot,
) {
    if let Some(value) = before.get(&from) {
        record.insert(to, value.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    use crate::contact::{CrmEmail, CrmKind, CrmPhone, Members};
    use Slot::{BusinessPhone1 as B1, BusinessPhone2 as B2, HomePhone1 as H1};

    const GRAPH: Shape = Shape {
        other_phone: false,
        keeps_gaps: false,
    };

    fn phones(numbers: &[&str]) -> CrmFields {
        let phones = numbers.iter().map(|number| CrmPhone::Readable {
            kind: CrmKind::Office,
            number: (*number).to_owned(),
            rest: Members::from_iter([("note".to_owned(), json!(number))]),
        });
        CrmFields {
            phones: phones.collect(),
            ..CrmFields::default()
        }
    }

    fn numbers(fields: &CrmFields) -> Vec<&str> {
        let numbers = fields.phones.iter().filter_map(|phone| match phone {
            CrmPhone::Readable { number, .. } => Some(number.as_str()),
            CrmPhone::Opaque(_) => None,
        });
        numbers.collect()
    }

    const A: &str = "0221 88990";
    const B: &str = "0221 99880";
    const C: &str = "0221 77770";
    const D: &str = "0221 66660";

    /// What a list holds now, held before and after; what it is to hold, and what is said.
    #[test]
    fn lists_get_back_what_was_replaced_and_keep_what_came() {
        type Case<'a> = (
            &'a [&'a str],
            &'a [&'a str],
            &'a [&'a str],
            &'a [&'a str],
            &'a str,
        );
        let cases: [Case; 9] = [
            (&[B], &[A], &[B], &[A], "done"),
            (&["+49 221 99880"], &[A], &[B], &[A], "done"),
            (&[B, C], &[A, C], &[B, C], &[A, C], "done"),
            (&[B, D], &[A, C], &[B, C], &[A, D], "done"),
            (&[A], &[A], &[B], &[A], "already"),
            (&[D], &[A], &[B], &[D], "in the way"),
            (&[A, B], &[A], &[A, B], &[A, B], "added"),
            (&[C], &[A, C], &[C], &[A, C], "done"),
            (&[C, D], &[A], &[], &[A, C, D], "done"),
        ];
        for (current, before, after, expected, said) in cases {
            let fields = FieldSet::from([Field::Phones]);
            let pair = (&phones(before), &phones(after));
            let back = in_crm(&phones(current), pair, &fields, "DE");
            assert_eq!(
                numbers(&back.record),
                expected,
                "{current:?} {before:?} {after:?}"
            );
            let found = if !back.done.is_empty() {
                "done"
            } else if !back.already.is_empty() {
                "already"
            } else if !back.in_the_way.is_empty() {
                "in the way"
            } else {
                "added"
            };
            assert_eq!(found, said, "{current:?} {before:?} {after:?}");
        }
    }

    #[test]
    fn of_two_replaced_values_the_one_that_nobody_edited_comes_back() {
        let fields = FieldSet::from([Field::Phones]);
        let pair = (&phones(&[A, B]), &phones(&[C, D]));
        let back = in_crm(&phones(&[C, "0221 55550"]), pair, &fields, "DE");
        assert_eq!(numbers(&back.record), [A, "0221 55550"]);
        assert_eq!((back.done.len(), back.in_the_way.len()), (1, 1));
    }

    #[test]
    fn members_of_a_value_come_back_with_it() {
        let fields = FieldSet::from([Field::Phones]);
        let back = in_crm(&phones(&[B]), (&phones(&[A]), &phones(&[B])), &fields, "DE");
        assert_eq!(back.record, phones(&[A]));
    }

    #[test]
    fn single_values_come_back_where_they_are_as_written() {
        let text = |text: &str| {
            let mut fields = CrmFields::default();
            if !text.is_empty() {
                let values = vec![json!(text), json!("second")];
                fields.texts.insert(Field::Position, values);
            }
            fields
        };
        let fields = FieldSet::from([Field::Position]);
        let back = |current: &str, before: &str, after: &str| {
            in_crm(&text(current), (&text(before), &text(after)), &fields, "DE")
        };
        assert_eq!(
            back(" Leitung ", "Vertrieb", "Leitung").record,
            text("Vertrieb")
        );
        assert_eq!(back("Leitung", "", "Leitung").record, text("Leitung"));
        assert_eq!(back("Leitung", "", "Leitung").added, fields);
        assert_eq!(back("Chefin", "Vertrieb", "Leitung").in_the_way.len(), 1);
        assert_eq!(back("Vertrieb", "Vertrieb", "Leitung").already, fields);
    }

    #[test]
    fn slots_of_a_mailbox_get_back_what_stood_in_them() {
        let view = |numbers: &[(Slot, &str)]| View {
            phones: numbers
                .iter()
                .map(|(slot, number)| (*slot, (*number).to_owned()))
                .collect(),
            ..View::default()
        };
        let fields = FieldSet::from([Field::Phones]);
        let back = |current: &[_], before: &[_], after: &[_]| {
            let (current, before, after) = (view(current), view(before), view(after));
            in_mailbox(&current, (&before, &after), &fields, "DE", GRAPH)
        };
        let found = back(
            &[(B1, B), (H1, C)],
            &[(B1, A), (H1, C)],
            &[(B1, B), (H1, C)],
        );
        assert_eq!(found.record, view(&[(B1, A), (H1, C)]));
        // Gaps close: what stood in the second slot is in the first now.
        let found = back(&[(B1, B)], &[(B1, A), (B2, B)], &[(B1, B)]);
        assert_eq!(found.record, view(&[(B1, B), (B2, A)]));
        // Somebody has filled the room since.
        let found = back(&[(B1, C), (B2, D)], &[(B1, A)], &[]);
        assert_eq!(found.record, view(&[(B1, C), (B2, D)]));
        assert_eq!(found.in_the_way.len(), 1);
    }

    #[test]
    fn nothing_that_is_no_value_of_its_kind_is_lost() {
        let record = |values: Vec<Value>| CrmFields {
            emails: values.into_iter().map(CrmEmail::Opaque).collect(),
            ..CrmFields::default()
        };
        let fields = FieldSet::from([Field::Emails]);
        let (odd, other) = (json!({"x": 1}), json!({"y": 2}));
        let back = in_crm(
            &record(vec![odd.clone(), other.clone()]),
            (&record(vec![odd.clone()]), &record(vec![other.clone()])),
            &fields,
            "DE",
        );
        assert_eq!(back.record, record(vec![odd, other]));
    }
}
