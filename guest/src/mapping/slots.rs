//! Which CRM value stands in which slot.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use super::rooms::field_of;
use crate::contact::{
    CrmAddress, CrmEmail, CrmFields, CrmKind, CrmPhone, Field, FieldSet, Slot, View, address, email,
};

/// Which CRM value stands in which slot.
///
/// Equal values find each other without it (contract, section 4, steps 1 and 2). It is needed where
/// they differ: a value that one side rewrote, shortened or cannot show.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlotTable {
    /// The position of the CRM value in its list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) places: BTreeMap<Slot, usize>,
    /// What stood at these positions when it was written: found again by this in the record as read
    /// back, and not kept any longer.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) contents: BTreeMap<Slot, String>,
    /// Slots whose CRM address could not be found again for certain: held and asked once the
    /// mailbox changes them.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) unsure: BTreeSet<Slot>,
    /// Fields with one value whose first CRM value has no slot: the mailbox cleared the one before.
    #[serde(default, skip_serializing_if = "FieldSet::is_empty")]
    pub(crate) waiting: FieldSet,
    /// Whether the given name in the mailbox is the company's, for want of another.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) stand_in: bool,
    /// Fields on which nothing was done because something is to be asked.
    #[serde(default, skip_serializing_if = "FieldSet::is_empty")]
    pub(crate) held: FieldSet,
}

impl SlotTable {
    /// Fields on which nothing was done because something is to be asked: their base stays.
    pub fn held(&self) -> &FieldSet {
        &self.held
    }

    /// Notes that a slot holds the value at `position` of the CRM's list.
    pub(crate) fn seat(&mut self, slot: Slot, position: usize, fields: &CrmFields) {
        self.places.insert(slot, position);
        self.contents
            .insert(slot, content_at(slot, position, fields));
    }

    /// This table for the records as they were read back: lists may have been reordered, shortened
    /// and rewritten by the services.
    pub(crate) fn found_again(&self, crm: &CrmFields, view: &View) -> Self {
        let mut found = Self {
            waiting: self.waiting.clone(),
            stand_in: self.stand_in,
            ..Self::default()
        };
        for (slot, position) in &self.places {
            if !is_taken(*slot, view) {
                continue;
            }
            match self.position_in(*slot, *position, crm) {
                Some(position) => {
                    found.places.insert(*slot, position);
                }
                None if field_of(*slot) == Field::Addresses => {
                    found.unsure.insert(*slot);
                }
                None => {}
            }
        }
        let unsure = self.unsure.iter().filter(|slot| is_taken(**slot, view));
        found.unsure.extend(unsure);
        found
    }

    /// By equal content, then by position, if nothing else that is remembered stands there.
    fn position_in(&self, slot: Slot, position: usize, crm: &CrmFields) -> Option<usize> {
        let count = super::values::crm_len(field_of(slot), crm);
        let Some(content) = self.contents.get(&slot) else {
            // A table that was remembered before belongs to the record that it was remembered with.
            return (position < count).then_some(position);
        };
        if content_at(slot, position, crm) == *content {
            return Some(position);
        }
        let mut equal = (0..count).filter(|index| content_at(slot, *index, crm) == *content);
        if let Some(index) = equal.next() {
            return Some(index);
        }
        let of_others = content_at(slot, position, crm);
        let is_anothers = self
            .contents
            .iter()
            .any(|(other, content)| *other != slot && *content == of_others);
        (position < count && !is_anothers && kind_of(content) == kind_of(&of_others))
            .then_some(position)
    }
}

/// What stands at a position of the list that a slot belongs to: its type and its content.
fn content_at(slot: Slot, position: usize, fields: &CrmFields) -> String {
    let content = match field_of(slot) {
        Field::Phones => fields.phones.get(position).map(|phone| match phone {
            CrmPhone::Readable { kind, number, .. } => {
                let mut content = typed(kind);
                content.extend(number.chars().filter(|c| c.is_alphanumeric()));
                content
            }
            CrmPhone::Opaque(value) => format!("{SEPARATOR}{value}"),
        }),
        Field::Emails => fields.emails.get(position).map(|email| match email {
            CrmEmail::Plain(text) | CrmEmail::Typed { address: text, .. } => {
                let canonical = email::canonical(text);
                format!("{SEPARATOR}{}", canonical.as_ref().unwrap_or(text))
            }
            CrmEmail::Opaque(value) => format!("{SEPARATOR}{value}"),
        }),
        _ => fields.addresses.get(position).map(|entry| match entry {
            CrmAddress::Readable { kind, address, .. } => {
                typed(kind) + &address::canonical(address).unwrap_or_default()
            }
            CrmAddress::Opaque(value) => format!("{SEPARATOR}{value}"),
        }),
    };
    content.unwrap_or_default()
}

/// A type, and what parts it from the content.
fn typed(kind: &CrmKind) -> String {
    let name = match kind {
        CrmKind::Office => "office",
        CrmKind::Private => "private",
        CrmKind::Mobile => "mobile",
        CrmKind::Other => "other",
        CrmKind::Untyped => "",
        CrmKind::Unknown(name) => return format!("?{name}{SEPARATOR}"),
    };
    let mut typed = name.to_owned();
    typed.push(SEPARATOR);
    typed
}

const SEPARATOR: char = '\u{1f}';

fn kind_of(content: &str) -> &str {
    content.split_once(SEPARATOR).map_or("", |(kind, _)| kind)
}

fn is_taken(slot: Slot, view: &View) -> bool {
    match field_of(slot) {
        Field::Phones => view.phones.contains_key(&slot),
        Field::Emails => view.emails.contains_key(&slot),
        _ => view.addresses.contains_key(&slot),
    }
}
