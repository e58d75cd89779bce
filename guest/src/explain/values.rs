//! Value by value: what is where, and what has no place.
//!
//! Values are matched by the ties that a merge uses, and where each one ends up is read from what
//! the merge came to: nothing is decided here a second time.

use std::collections::BTreeSet;

use crate::contact::{CrmAddress, CrmFields, CrmPhone, Field, Slot, View, address, text};
use crate::mapping::rooms::Room;
use crate::mapping::ties::{self, Records, Tie};
use crate::mapping::values::{self as of, Key, Single};
use crate::mapping::{LISTS, names};
use crate::plan::merge::Merged;
use crate::plan::{Pair, Rules};

/// Bytes of a value as it is shown (`types.wit`, `change`).
const SHOWN_BYTES_MAX: usize = 1_000;

/// One value of a contact, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlacedValue {
    /// Of which field.
    pub field: Field,
    /// As the CRM writes it; `None` where the CRM does not hold it.
    pub crm: Option<String>,
    /// As the mailbox writes it; `None` where the mailbox does not hold it.
    pub mailbox: Option<String>,
    /// The slots in which it stands, or will stand after the next pass. Empty for a field that has
    /// no slots of its own.
    pub slots: Vec<Slot>,
    /// Where it is.
    pub place: Place,
}

/// Where a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// Equal on both sides.
    Both,
    /// The next pass writes it, or clears it.
    Changing,
    /// Only in the CRM: the mailbox contact has no slot for it.
    NoRoom,
    /// Only in the CRM: a type, or a further value, that takes no part in the sync.
    CrmOnly,
    /// Different on the two sides, and nobody has edited it since: a service did not take it.
    Apart,
    /// Cannot be read as what it should be: stays where it is, and is never copied.
    Unreadable,
    /// The field takes no part in the sync.
    NoPart,
}

/// All values of both records, given what a merge makes of them.
pub(super) fn placed(pair: &Pair, merged: &Merged, rules: &Rules<'_>) -> Vec<PlacedValue> {
    let table = Table {
        pair,
        after_crm: &merged.crm,
        after_view: &merged.view,
        rules,
    };
    table.values()
}

/// All values of two records that go their own way.
pub(super) fn side_by_side(pair: &Pair, rules: &Rules<'_>) -> Vec<PlacedValue> {
    let (crm, view) = (pair.crm_fields(), pair.view());
    let table = Table {
        pair,
        after_crm: crm,
        after_view: view,
        rules,
    };
    table.values()
}

struct Table<'a> {
    pair: &'a Pair,
    after_crm: &'a CrmFields,
    after_view: &'a View,
    rules: &'a Rules<'a>,
}

impl Table<'_> {
    fn values(&self) -> Vec<PlacedValue> {
        let mut values = Vec::new();
        for field in Field::ALL {
            let mut of_field = if LISTS.contains(&field) {
                self.list(field)
            } else {
                self.single(field)
            };
            if !self.rules.fields.contains(&field) {
                for value in &mut of_field {
                    value.place = Place::NoPart;
                }
            }
            values.append(&mut of_field);
        }
        values
    }

    fn single(&self, field: Field) -> Vec<PlacedValue> {
        let (crm_before, view_before) = (self.pair.crm_fields(), self.pair.view());
        let base = self.pair.link.as_ref().map(|link| &link.base);
        let stood_in = names::is_stand_in(view_before, base, Some(crm_before));
        let stands_in = names::is_stand_in(self.after_view, base, Some(self.after_crm));
        let crm = Single::of_crm(field, crm_before);
        let mailbox = names::single_of_mailbox(field, view_before, stood_in);
        let crm_after = Single::of_crm(field, self.after_crm);
        let mailbox_after = names::single_of_mailbox(field, self.after_view, stands_in);
        let place = if crm.is_opaque() || mailbox.is_opaque() {
            Place::Unreadable
        } else if !crm.same(&crm_after) || !mailbox.same(&mailbox_after) {
            Place::Changing
        } else if crm.same(&mailbox) {
            Place::Both
        } else if mailbox == Single::Empty {
            Place::NoRoom
        } else {
            Place::Apart
        };
        let mut values = Vec::new();
        if crm != Single::Empty || mailbox != Single::Empty {
            values.push(PlacedValue {
                field,
                crm: shown_single(&crm),
                mailbox: shown_single(&mailbox),
                slots: Vec::new(),
                place,
            });
        }
        let others = of::crm_values(field, crm_before).iter().skip(1);
        values.extend(others.filter(|value| !of::is_blank(value)).map(|value| {
            let text = value
                .as_str()
                .map_or_else(|| value.to_string(), text::canonical);
            PlacedValue {
                field,
                crm: Some(text::shortened(&text, SHOWN_BYTES_MAX)),
                mailbox: None,
                slots: Vec::new(),
                place: Place::CrmOnly,
            }
        }));
        values
    }

    fn list(&self, field: Field) -> Vec<PlacedValue> {
        let (crm, view) = (self.pair.crm_fields(), self.pair.view());
        let region = self.rules.region;
        let records = Records {
            field,
            base: self.pair.link.as_ref().map(|link| &link.base),
            region,
        };
        let crm_after: BTreeSet<Key> = of::of_crm(field, self.after_crm, region)
            .into_iter()
            .map(|value| value.key)
            .collect();
        let view_after = of::of_mailbox(field, self.after_view, region);
        let slots_after = |key: &Key| -> Vec<Slot> {
            let equal = view_after.iter().filter(|value| value.key == *key);
            equal.flat_map(|value| value.slots.clone()).collect()
        };
        let ties = ties::of_both(records, crm, view, self.rules.shape);
        let mut values: Vec<PlacedValue> = ties
            .iter()
            .filter(|tie| tie.crm.is_some() || tie.mailbox.is_some())
            .map(|tie| {
                let here = tie.crm.as_ref();
                let there = tie.mailbox.as_ref();
                let mut slots = there.map(|value| value.slots.clone()).unwrap_or_default();
                if slots.is_empty() {
                    slots = here
                        .map(|value| slots_after(&value.key))
                        .unwrap_or_default();
                }
                PlacedValue {
                    field,
                    crm: here.map(|value| with_type(&value.content.shown(), value.room)),
                    mailbox: there.map(|value| shown(&value.content.shown())),
                    slots,
                    place: place(tie, &crm_after, |key| !slots_after(key).is_empty()),
                }
            })
            .collect();
        values.extend(untypable(field, crm));
        values
    }
}

/// Where the value of a tie ends up.
fn place(tie: &Tie, crm_after: &BTreeSet<Key>, is_in_view_after: impl Fn(&Key) -> bool) -> Place {
    let crm = tie.crm.as_ref().map(|value| &value.key);
    let mailbox = tie.mailbox.as_ref().map(|value| &value.key);
    if crm.is_some_and(Key::is_opaque) || mailbox.is_some_and(Key::is_opaque) {
        return Place::Unreadable;
    }
    let goes = crm.is_some_and(|key| !crm_after.contains(key))
        || mailbox.is_some_and(|key| !is_in_view_after(key));
    let comes = (crm != mailbox)
        && (crm.is_some_and(&is_in_view_after)
            || mailbox.is_some_and(|key| crm_after.contains(key)));
    match (crm, mailbox) {
        _ if goes || comes => Place::Changing,
        (Some(crm), Some(mailbox)) if crm == mailbox => Place::Both,
        (Some(_), None) => Place::NoRoom,
        _ => Place::Apart,
    }
}

/// Entries of the CRM whose type has no room in a mailbox contact.
fn untypable(field: Field, crm: &CrmFields) -> Vec<PlacedValue> {
    let phones = crm.phones.iter().filter_map(|phone| match phone {
        CrmPhone::Readable { kind, number, .. } => Some((Field::Phones, kind, number.clone())),
        CrmPhone::Opaque(_) => None,
    });
    let addresses = crm.addresses.iter().filter_map(|entry| match entry {
        CrmAddress::Readable { kind, address, .. } => {
            Some((Field::Addresses, kind, address::one_line(address)))
        }
        CrmAddress::Opaque(_) => None,
    });
    phones
        .chain(addresses)
        .filter(|(at, kind, text)| {
            *at == field && Room::of_kind(field, kind).is_none() && !text.trim().is_empty()
        })
        .map(|(field, _, text)| PlacedValue {
            field,
            crm: Some(shown(&text)),
            mailbox: None,
            slots: Vec::new(),
            place: Place::CrmOnly,
        })
        .collect()
}

fn shown_single(single: &Single) -> Option<String> {
    match single {
        Single::Empty => None,
        Single::Readable { written: text, .. } | Single::Opaque(text) => Some(shown(text)),
    }
}

fn with_type(text: &str, room: Option<Room>) -> String {
    match room {
        Some(Room::Email) | None => shown(text),
        Some(room) => shown(&format!("{text} ({})", room.word())),
    }
}

fn shown(value: &str) -> String {
    text::shortened(&text::canonical(value), SHOWN_BYTES_MAX)
}
