//! One field of a record, whatever its kind.

use serde_json::Value;

use super::{CrmFields, Field, View};

impl CrmFields {
    /// Whether a field holds something else; without values is without values, however that is
    /// said.
    pub(crate) fn differs(&self, other: &Self, field: Field) -> bool {
        match field {
            Field::Phones => self.phones != other.phones,
            Field::Emails => self.emails != other.emails,
            Field::Addresses => self.addresses != other.addresses,
            Field::Birthday => self.birthday != other.birthday,
            _ => self.texts(field) != other.texts(field),
        }
    }

    /// What a field that holds texts holds; nothing where it has none.
    pub(crate) fn texts(&self, field: Field) -> &[Value] {
        self.texts.get(&field).map_or(&[], Vec::as_slice)
    }

    /// Takes a field over.
    pub(crate) fn take(&mut self, field: Field, from: &Self) {
        match field {
            Field::Phones => self.phones.clone_from(&from.phones),
            Field::Emails => self.emails.clone_from(&from.emails),
            Field::Addresses => self.addresses.clone_from(&from.addresses),
            Field::Birthday => self.birthday.clone_from(&from.birthday),
            _ => match from.texts.get(&field) {
                Some(values) => drop(self.texts.insert(field, values.clone())),
                None => drop(self.texts.remove(&field)),
            },
        }
    }
}

impl View {
    /// Whether a field holds something else.
    pub(crate) fn differs(&self, other: &Self, field: Field) -> bool {
        match field {
            Field::Phones => self.phones != other.phones,
            Field::Emails => self.emails != other.emails,
            Field::Addresses => self.addresses != other.addresses,
            Field::Birthday => self.birthday != other.birthday,
            _ => self.texts.get(&field) != other.texts.get(&field),
        }
    }

    /// Takes a field over.
    pub(crate) fn take(&mut self, field: Field, from: &Self) {
        match field {
            Field::Phones => self.phones.clone_from(&from.phones),
            Field::Emails => self.emails.clone_from(&from.emails),
            Field::Addresses => self.addresses.clone_from(&from.addresses),
            Field::Birthday => self.birthday.clone_from(&from.birthday),
            _ => match from.texts.get(&field) {
                Some(text) => drop(self.texts.insert(field, text.clone())),
                None => drop(self.texts.remove(&field)),
            },
        }
    }

    /// Takes over what is derived from names.
    pub(crate) fn take_derived(&mut self, from: &Self) {
        self.display_name.clone_from(&from.display_name);
        self.file_as.clone_from(&from.file_as);
    }
}
