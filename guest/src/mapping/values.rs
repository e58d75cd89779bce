//! The values of both shapes, read: what each means, which room it is in, where it stands.
//!
//! Blank entries and entries of unknown types take no part and do not appear here.

use serde_json::Value;

use super::rooms::Room;
use crate::contact::phone::{self, Phone};
use crate::contact::{
    CrmAddress, CrmEmail, CrmFields, CrmPhone, Field, PostalAddress, Slot, View, address, birthday,
    email, text,
};
use crate::mutation::{self, Mutant};

/// What a value is when it is compared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Key {
    /// Its canonical form.
    Readable(String),
    /// Its text, where it cannot be read as its kind.
    Opaque(String),
}

impl Key {
    pub(crate) fn is_opaque(&self) -> bool {
        matches!(self, Self::Opaque(_))
    }

    /// Its canonical form, or its text.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::Readable(text) | Self::Opaque(text) => text,
        }
    }
}

/// What a value holds, to be written to the other side.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Content {
    /// As its user wrote it, and as it was read.
    Phone {
        written: String,
        phone: Phone,
    },
    Email(String),
    Address(PostalAddress),
    /// What cannot be read, for people.
    Opaque(String),
}

impl Content {
    fn phone(written: &str, region: &str) -> Self {
        phone::read(written, region).map_or_else(
            || Self::Opaque(written.to_owned()),
            |phone| Self::Phone {
                written: written.trim().to_owned(),
                phone,
            },
        )
    }

    fn email(written: &str) -> Self {
        match email::canonical(written) {
            Some(_) => Self::Email(written.trim().to_owned()),
            None => Self::Opaque(written.to_owned()),
        }
    }

    pub(crate) fn key(&self) -> Key {
        match self {
            Self::Phone { written, .. } if mutation::is_on(Mutant::WritingsCompared) => {
                Key::Readable(written.clone())
            }
            Self::Phone { phone, .. } => Key::Readable(phone.international().to_owned()),
            Self::Email(written) => Key::Readable(email::canonical(written).unwrap_or_default()),
            Self::Address(address) => {
                Key::Readable(address::canonical(address).unwrap_or_default())
            }
            Self::Opaque(text) => Key::Opaque(text.clone()),
        }
    }

    /// In one line, for people.
    pub(crate) fn shown(&self) -> String {
        match self {
            Self::Phone { written: text, .. } | Self::Email(text) | Self::Opaque(text) => {
                text::canonical(text)
            }
            Self::Address(address) => address::one_line(address),
        }
    }
}

/// Equal values of one room in the CRM: one value, perhaps in several writings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct CrmValue {
    /// `None` for an entry of which nothing can be read, not even a type.
    pub(crate) room: Option<Room>,
    pub(crate) key: Key,
    pub(crate) content: Content,
    /// Where its writings stand in the list.
    pub(crate) positions: Vec<usize>,
}

/// Equal values of one room in the mailbox: one value, perhaps in several slots.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct MailboxValue {
    pub(crate) room: Room,
    pub(crate) key: Key,
    pub(crate) content: Content,
    pub(crate) slots: Vec<Slot>,
}

/// The values of a list field that take part, in the order of the list.
pub(crate) fn of_crm(field: Field, fields: &CrmFields, region: &str) -> Vec<CrmValue> {
    let mut values: Vec<CrmValue> = Vec::new();
    for position in 0..crm_len(field, fields) {
        let Some((room, content)) = crm_entry(field, fields, position, region) else {
            continue;
        };
        let key = content.key();
        match values
            .iter_mut()
            .find(|value| value.room == room && value.key == key)
        {
            Some(value) => value.positions.push(position),
            None => values.push(CrmValue {
                room,
                key,
                content,
                positions: vec![position],
            }),
        }
    }
    values
}

/// The values of a list field that take part, in the order of their slots.
pub(crate) fn of_mailbox(field: Field, view: &View, region: &str) -> Vec<MailboxValue> {
    let mut values: Vec<MailboxValue> = Vec::new();
    for (slot, content) in mailbox_entries(field, view, region) {
        let room = Room::of_slot(slot);
        let key = content.key();
        if mutation::is_on(Mutant::OpaqueTakenForEmpty) && key.is_opaque() {
            continue;
        }
        match values
            .iter_mut()
            .find(|value| value.room == room && value.key == key)
        {
            Some(value) => value.slots.push(slot),
            None => values.push(MailboxValue {
                room,
                key,
                content,
                slots: vec![slot],
            }),
        }
    }
    values
}

/// How many entries the CRM's list has, those that take no part included.
pub(crate) fn crm_len(field: Field, fields: &CrmFields) -> usize {
    match field {
        Field::Phones => fields.phones.len(),
        Field::Emails => fields.emails.len(),
        Field::Addresses => fields.addresses.len(),
        _ => 0,
    }
}

pub(crate) fn crm_entry(
    field: Field,
    fields: &CrmFields,
    position: usize,
    region: &str,
) -> Option<(Option<Room>, Content)> {
    match field {
        Field::Phones => match fields.phones.get(position)? {
            CrmPhone::Readable { number, .. } if number.trim().is_empty() => None,
            CrmPhone::Readable { kind, number, .. } => Some((
                Some(Room::of_kind(field, kind)?),
                Content::phone(number, region),
            )),
            CrmPhone::Opaque(value) => opaque_entry(value),
        },
        Field::Emails => match fields.emails.get(position)? {
            CrmEmail::Plain(address) | CrmEmail::Typed { address, .. } => {
                let content = Content::email(address);
                (!address.trim().is_empty()).then_some((Some(Room::Email), content))
            }
            CrmEmail::Opaque(value) => opaque_entry(value),
        },
        Field::Addresses => match fields.addresses.get(position)? {
            CrmAddress::Readable { kind, address, .. } => {
                address::canonical(address)?;
                Some((
                    Some(Room::of_kind(field, kind)?),
                    Content::Address(address.clone()),
                ))
            }
            CrmAddress::Opaque(value) => opaque_entry(value),
        },
        _ => None,
    }
}

fn opaque_entry(value: &Value) -> Option<(Option<Room>, Content)> {
    (!is_blank(value)).then(|| (None, Content::Opaque(value.to_string())))
}

pub(crate) fn mailbox_entries(field: Field, view: &View, region: &str) -> Vec<(Slot, Content)> {
    match field {
        Field::Phones => view
            .phones
            .iter()
            .filter(|(_, written)| !written.trim().is_empty())
            .map(|(slot, written)| (*slot, Content::phone(written, region)))
            .collect(),
        Field::Emails => view
            .emails
            .iter()
            .filter_map(|(slot, email)| {
                let content = match (email.address.trim(), email.name.trim()) {
                    ("", "") => return None,
                    // Still an entry: of somebody in the own organisation.
                    ("", name) => Content::Opaque(name.to_owned()),
                    (address, _) => Content::email(address),
                };
                Some((*slot, content))
            })
            .collect(),
        Field::Addresses => view
            .addresses
            .iter()
            .filter(|(_, address)| address::canonical(address).is_some())
            .map(|(slot, address)| (*slot, Content::Address(address.clone())))
            .collect(),
        _ => Vec::new(),
    }
}

/// The one value of a field that has only one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Single {
    /// There is none.
    Empty,
    /// What it is when it is compared, and how it was written.
    Readable { key: String, written: String },
    /// Something that is no value of this kind.
    Opaque(String),
}

impl Single {
    /// The first of the CRM's values: the one that takes part.
    pub(crate) fn of_crm(field: Field, fields: &CrmFields) -> Self {
        let Some(value) = crm_values(field, fields).first() else {
            return Self::Empty;
        };
        if is_blank(value) {
            return Self::Empty;
        }
        match (field, value) {
            (Field::Birthday, _) => match birthday::Birthday::from_crm(value) {
                Some(day) => Self::day(day),
                None => Self::Opaque(value.to_string()),
            },
            (_, Value::String(written)) => Self::text(field, written),
            _ => Self::Opaque(value.to_string()),
        }
    }

    /// What the mailbox holds. Whether a given name stands in for a company's, `names` knows.
    pub(crate) fn of_mailbox(field: Field, view: &View) -> Self {
        let written = match field {
            Field::Birthday => view.birthday.as_ref(),
            _ => view.texts.get(&field),
        };
        match written {
            None => Self::Empty,
            Some(written) if written.trim().is_empty() => Self::Empty,
            Some(written) if field == Field::Birthday => birthday::Birthday::from_mailbox(written)
                .map_or_else(|| Self::Opaque(written.clone()), Self::day),
            Some(written) => Self::text(field, written),
        }
    }

    /// Equal canonically, or both empty, or both the same unreadable thing.
    pub(crate) fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Readable { key, .. }, Self::Readable { key: other, .. })
            | (Self::Opaque(key), Self::Opaque(other)) => key == other,
            (Self::Empty, Self::Empty) => true,
            _ => false,
        }
    }

    /// As it was written, if it can be read.
    pub(crate) fn written(&self) -> Option<&str> {
        match self {
            Self::Readable { written, .. } => Some(written),
            Self::Empty | Self::Opaque(_) => None,
        }
    }

    pub(crate) fn is_opaque(&self) -> bool {
        matches!(self, Self::Opaque(_))
    }

    fn text(field: Field, written: &str) -> Self {
        let written = text::canonical(written);
        let key = match field {
            Field::Website => text::website_canonical(&written),
            _ => written.clone(),
        };
        Self::Readable { key, written }
    }

    fn day(day: birthday::Birthday) -> Self {
        let written = day.to_string();
        Self::Readable {
            key: written.clone(),
            written,
        }
    }
}

/// All values of a field of which the first takes part.
pub(crate) fn crm_values(field: Field, fields: &CrmFields) -> &[Value] {
    match field {
        Field::Birthday => &fields.birthday,
        _ => fields.texts.get(&field).map_or(&[], Vec::as_slice),
    }
}

/// `null` and blank text are how a CRM writes "nothing".
pub(crate) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.trim().is_empty(),
        _ => false,
    }
}
