//! What is known of one contact that has no link: enough to recognise it, and no more.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

use super::index::Known;
use crate::contact::{CrmFields, Field, View};
use crate::mapping::names;
use crate::mapping::rooms::Room;
use crate::mapping::values::{self, Key, Single};

/// A digest of one contact without link. Kept for all of a tenant, so the names in it are short.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Candidate<I> {
    /// Whose.
    #[serde(rename = "i")]
    pub id: I,
    /// E-mail addresses, canonical, in their order and each once.
    #[serde(rename = "e", default, skip_serializing_if = "<[String]>::is_empty")]
    pub emails: Box<[String]>,
    /// Phone numbers, canonical, in their order and each once.
    #[serde(rename = "p", default, skip_serializing_if = "<[String]>::is_empty")]
    pub phones: Box<[String]>,
    /// First name, canonical and without case; empty where there is none.
    #[serde(rename = "f", default, skip_serializing_if = "String::is_empty")]
    pub first_name: String,
    /// Last name, canonical and without case; empty where there is none.
    #[serde(rename = "l", default, skip_serializing_if = "String::is_empty")]
    pub last_name: String,
    /// Company, canonical and without case; empty where there is none.
    #[serde(rename = "c", default, skip_serializing_if = "String::is_empty")]
    pub company: String,
    /// Digests of the other values, to see whether two contacts disagree in one.
    #[serde(rename = "o", default, skip_serializing_if = "BTreeMap::is_empty")]
    details: BTreeMap<Detail, u32>,
}

/// Whether a contact is a person or a company.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// It has a first or last name.
    Person,
    /// It has a company's name alone.
    Company,
    /// It has no name at all, and may be either.
    Nameless,
}

/// What a contact holds besides names, addresses and numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
enum Detail {
    #[serde(rename = "t")]
    Title,
    #[serde(rename = "d")]
    Department,
    #[serde(rename = "p")]
    Position,
    #[serde(rename = "w")]
    Website,
    #[serde(rename = "b")]
    Birthday,
    #[serde(rename = "ab")]
    BusinessAddress,
    #[serde(rename = "ah")]
    HomeAddress,
    #[serde(rename = "ao")]
    OtherAddress,
}

const SINGLES: [(Field, Detail); 5] = [
    (Field::AcademicTitle, Detail::Title),
    (Field::Department, Detail::Department),
    (Field::Position, Detail::Position),
    (Field::Website, Detail::Website),
    (Field::Birthday, Detail::Birthday),
];

impl<I> Candidate<I> {
    /// The digest of a CRM contact. A number without country code is read as in `region`.
    pub fn of_crm(id: I, fields: &CrmFields, region: &str) -> Self {
        let keys = |field| {
            let values = values::of_crm(field, fields, region);
            values
                .into_iter()
                .map(|value| (value.room, value.key))
                .collect::<Vec<_>>()
        };
        Self::of(id, &keys, &|field| Single::of_crm(field, fields))
    }

    /// The digest of a mailbox contact. A number without country code is read as in `region`.
    pub fn of_mailbox(id: I, view: &View, region: &str) -> Self {
        let stands_in = names::is_stand_in(view, None, None);
        let keys = |field| {
            let values = values::of_mailbox(field, view, region);
            values
                .into_iter()
                .map(|value| (Some(value.room), value.key))
                .collect::<Vec<_>>()
        };
        Self::of(id, &keys, &|field| {
            names::single_of_mailbox(field, view, stands_in)
        })
    }

    /// Whether it is a person or a company.
    pub fn kind(&self) -> Kind {
        if !self.first_name.is_empty() || !self.last_name.is_empty() {
            Kind::Person
        } else if !self.company.is_empty() {
            Kind::Company
        } else {
            Kind::Nameless
        }
    }

    /// What people call it. The digest knows no case: each word is written as names usually are.
    pub fn label(&self) -> String {
        let name = spoken(&format!("{} {}", self.first_name, self.last_name));
        let company = spoken(&self.company);
        let address = self.emails.first().or(self.phones.first());
        match (name.is_empty(), company.is_empty()) {
            (true, true) => address.cloned().unwrap_or_default(),
            (true, false) => company,
            (false, true) => name,
            (false, false) => format!("{name}, {company}"),
        }
    }

    /// Whether this may be about the same person: a shared address or number, or the same name.
    pub fn resembles<J>(&self, other: &Candidate<J>) -> bool {
        let has_name = self.kind() != Kind::Nameless;
        self.shares_address(other) || (has_name && self.has_names_of(other))
    }

    /// Whether both have the same first and last name, whatever their company.
    pub fn has_name_of<J>(&self, other: &Candidate<J>) -> bool {
        self.first_name == other.first_name && self.last_name == other.last_name
    }

    /// Whether the other was made from this: equal in content, or in names and an address or number
    /// (contract, section 7.3).
    pub fn is_copy<J>(&self, other: &Candidate<J>) -> bool {
        self.is_same(other) || (self.has_names_of(other) && self.shares_address(other))
    }

    /// Whether both hold the same.
    pub fn is_same<J>(&self, other: &Candidate<J>) -> bool {
        self.has_names_of(other)
            && self.emails == other.emails
            && self.phones == other.phones
            && self.details == other.details
    }

    fn shares_address<J>(&self, other: &Candidate<J>) -> bool {
        let shares = |one: &[String], other: &[String]| one.iter().any(|text| other.contains(text));
        shares(&self.emails, &other.emails) || shares(&self.phones, &other.phones)
    }

    fn has_names_of<J>(&self, other: &Candidate<J>) -> bool {
        self.first_name == other.first_name
            && self.last_name == other.last_name
            && self.company == other.company
    }

    pub(super) fn known(&self) -> Known<'_> {
        Known {
            emails: &self.emails,
            phones: &self.phones,
            first_name: &self.first_name,
            last_name: &self.last_name,
            company: &self.company,
            kind: self.kind(),
            details: Details(&self.details),
        }
    }

    fn of(
        id: I,
        keys: &dyn Fn(Field) -> Vec<(Option<Room>, Key)>,
        single: &dyn Fn(Field) -> Single,
    ) -> Self {
        let readable = |field| {
            let keys = keys(field);
            let mut readable: Vec<String> = Vec::with_capacity(keys.len());
            readable.extend(keys.into_iter().filter_map(|(_, key)| match key {
                Key::Readable(canonical) => Some(canonical),
                Key::Opaque(_) => None,
            }));
            readable.sort_unstable();
            readable.dedup();
            readable.into_boxed_slice()
        };
        let name = |field| single(field).written().unwrap_or_default().to_lowercase();
        let mut details = BTreeMap::new();
        for (field, detail) in SINGLES {
            if let Single::Readable { key, .. } = single(field) {
                details.insert(detail, digest(&key));
            }
        }
        for (room, key) in keys(Field::Addresses) {
            let detail = match room {
                Some(Room::Business) => Detail::BusinessAddress,
                Some(Room::Home) => Detail::HomeAddress,
                _ => Detail::OtherAddress,
            };
            if let Key::Readable(canonical) = key {
                // The first of each type is the one that has a slot.
                details.entry(detail).or_insert_with(|| digest(&canonical));
            }
        }
        Self {
            id,
            emails: readable(Field::Emails),
            phones: readable(Field::Phones),
            first_name: name(Field::FirstName),
            last_name: name(Field::LastName),
            company: name(Field::Company),
            details,
        }
    }
}

/// Digests of a contact's other values.
#[derive(Clone, Copy, Debug)]
pub(super) struct Details<'a>(&'a BTreeMap<Detail, u32>);

impl Details<'_> {
    /// Whether both have a value somewhere, and not the same.
    pub(super) fn disagree(self, others: Self) -> bool {
        let differs = |(detail, digest)| others.0.get(detail).is_some_and(|other| other != digest);
        self.0.iter().any(differs)
    }
}

/// Folded to 32 bits: a digest more is a row more in the store.
fn digest(text: &str) -> u32 {
    let hash = crate::contact::digest(text.as_bytes());
    let [low, high] = [hash & 0xffff_ffff, hash >> 32];
    u32::try_from(low ^ high).unwrap_or(u32::MAX)
}

/// A name as people write it, as far as that can be told from one without case.
fn spoken(name: &str) -> String {
    let mut begins = true;
    let letters = name.trim().chars().flat_map(|letter| {
        let is_first = std::mem::replace(&mut begins, !letter.is_alphanumeric());
        let upper = is_first.then(|| letter.to_uppercase().to_string());
        let written = upper.unwrap_or_else(|| letter.to_string());
        written.chars().collect::<Vec<_>>()
    });
    letters.collect()
}
