//! The values that are synced, and the two shapes of a contact that hold them.
//!
//! A [`CrmContact`] keeps what the CRM said to the last byte: the sync reads a part of it and
//! writes it back with everything else unharmed. A [`MailboxContact`] holds a [`View`]: slots with
//! names, as Exchange has them. What a value *means*, so that two writings of it can be compared,
//! is its canonical form, one module per kind.
//!
//! Stored names are short where values have them: of the bytes that a pass keeps and a store holds,
//! they would be the most.
//!
//! Not here: which CRM value belongs in which slot (`mapping`), and who wins (`plan::merge`).

pub mod address;
pub mod birthday;
pub mod country;
pub mod email;
mod field;
pub mod phone;
pub mod text;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use contact_sync_job::Field;

use crate::outside::Timestamp;

/// Does the work that is the same for all contacts, so that the first one need not wait for it:
/// loads what is known about phone numbers and countries.
pub fn prepare() {
    phone::prepare();
    country::prepare();
}

/// Fields that take part in something.
pub type FieldSet = BTreeSet<Field>;

/// A text that means nothing here. Its copies share it: ids are long, and many rooms keep them.
macro_rules! opaque_text {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(Arc<str>);

        impl $name {
            /// Takes the text as it is.
            pub fn new(text: impl Into<Arc<str>>) -> Self {
                Self(text.into())
            }

            /// The text as the service wrote it.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }
    };
}

opaque_text!(
    /// The CRM's id of a contact.
    CrmId
);
opaque_text!(
    /// The mailbox's id of a contact. Stable within one mailbox where the service can do that.
    MailboxId
);
opaque_text!(
    /// The version of a mailbox contact: another one after every change (Graph's and EWS' change
    /// key).
    ChangeKey
);
opaque_text!(
    /// The random key that a contact is created with, so that it can be found if the answer is
    /// lost.
    SearchKey
);
opaque_text!(
    /// What a mailbox contact keeps when it is moved to another folder, where its id does not
    /// survive that. Copies share it, so it proves something only while the contact itself is gone.
    StableId
);

// ---- the CRM's shape ----------------------------------------------------------------------------

/// A contact as the CRM answered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrmContact {
    /// Its id.
    pub id: CrmId,
    /// When anything about it was last changed, as the CRM says it.
    pub modified: Option<Timestamp>,
    /// When it was created.
    pub created: Option<Timestamp>,
    /// Who created it: a CRM user's id.
    pub creator: Option<String>,
    /// Whether it carries this mailbox's marker; `None` where this answer cannot say.
    pub marked: Option<bool>,
    /// Fields that its users have locked: read, never written.
    #[serde(default, skip_serializing_if = "FieldSet::is_empty")]
    pub locked: FieldSet,
    /// Its values.
    pub fields: CrmFields,
}

/// The values of a CRM contact, whole and in order, values without a slot and unreadable ones
/// included.
///
/// A field that is absent from the CRM's answer is empty here. Whether it takes part at all is
/// known by [`crate::crm::Crm::fields`], not by its absence.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CrmFields {
    /// Fields with one text: all values of each, of which the first takes part. Never an empty
    /// list.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<Field, Vec<Value>>,
    /// Phone numbers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phones: Vec<CrmPhone>,
    /// E-mail addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub emails: Vec<CrmEmail>,
    /// Postal addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<CrmAddress>,
    /// The birthday: all values, of which the first takes part.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub birthday: Vec<Value>,
}

/// Members of a JSON object that the sync carries along without reading them.
pub type Members = serde_json::Map<String, Value>;

/// A phone number of a CRM contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CrmPhone {
    /// An object with a number.
    #[serde(rename = "r")]
    Readable {
        /// Its type.
        #[serde(rename = "k")]
        kind: CrmKind,
        /// The number as somebody wrote it.
        #[serde(rename = "n")]
        number: String,
        /// Everything else the object holds, for example `note`.
        #[serde(rename = "x", default, skip_serializing_if = "Members::is_empty")]
        rest: Members,
    },
    /// Anything else.
    #[serde(rename = "o")]
    Opaque(Value),
}

/// The type of a CRM phone number or address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CrmKind {
    /// `office`
    #[serde(rename = "o")]
    Office,
    /// `private`
    #[serde(rename = "p")]
    Private,
    /// `mobile`
    #[serde(rename = "m")]
    Mobile,
    /// `other`
    #[serde(rename = "t")]
    Other,
    /// `""`, or none given.
    #[serde(rename = "u")]
    Untyped,
    /// A type that this version does not know: such a value takes no part.
    #[serde(rename = "x")]
    Unknown(String),
}

/// An e-mail address of a CRM contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CrmEmail {
    /// A bare text.
    #[serde(rename = "p")]
    Plain(String),
    /// An object: the name of the member that holds the address, the address, everything else.
    #[serde(rename = "t")]
    Typed {
        /// `email`, `value` or `address`.
        #[serde(rename = "m")]
        member: String,
        /// The address.
        #[serde(rename = "a")]
        address: String,
        /// Everything else the object holds, for example `type`.
        #[serde(rename = "x", default, skip_serializing_if = "Members::is_empty")]
        rest: Members,
    },
    /// Anything else.
    #[serde(rename = "o")]
    Opaque(Value),
}

/// A postal address of a CRM contact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CrmAddress {
    /// An object with address parts.
    #[serde(rename = "r")]
    Readable {
        /// Its type.
        #[serde(rename = "k")]
        kind: CrmKind,
        /// The parts that take part.
        #[serde(rename = "a")]
        address: PostalAddress,
        /// Everything else the object holds, for example `district` and `geolocation`.
        #[serde(rename = "x", default, skip_serializing_if = "Members::is_empty")]
        rest: Members,
    },
    /// Anything else.
    #[serde(rename = "o")]
    Opaque(Value),
}

/// The parts of a postal address that both sides know; empty where there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostalAddress {
    /// Street with house number; may hold several lines.
    #[serde(rename = "s", default, skip_serializing_if = "String::is_empty")]
    pub street: String,
    /// Postal code.
    #[serde(rename = "p", default, skip_serializing_if = "String::is_empty")]
    pub postal_code: String,
    /// City.
    #[serde(rename = "c", default, skip_serializing_if = "String::is_empty")]
    pub city: String,
    /// State or province.
    #[serde(rename = "t", default, skip_serializing_if = "String::is_empty")]
    pub state: String,
    /// Country, as its side writes it.
    #[serde(rename = "l", default, skip_serializing_if = "String::is_empty")]
    pub country: String,
}

// ---- the mailbox's shape ------------------------------------------------------------------------

/// A contact as the mailbox answered it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxContact {
    /// Its id.
    pub id: MailboxId,
    /// Its version.
    pub change_key: ChangeKey,
    /// What outlives its id; `None` where the id outlives moves, or the server does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stable_id: Option<StableId>,
    /// When it was last changed.
    pub modified: Option<Timestamp>,
    /// Its values.
    pub view: View,
}

/// The values of a mailbox contact, by slot. Empty values are absent.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// Fields with one text.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub texts: BTreeMap<Field, String>,
    /// Phone numbers, as somebody wrote them.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub phones: BTreeMap<Slot, String>,
    /// E-mail addresses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub emails: BTreeMap<Slot, MailboxEmail>,
    /// Postal addresses.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub addresses: BTreeMap<Slot, PostalAddress>,
    /// The birthday, as the service wrote the instant or date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub birthday: Option<String>,
    /// How the address book shows the contact. Derived; see `mapping`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// What the address book sorts the contact by. Derived; see `mapping`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file_as: Option<String>,
}

/// An e-mail address of a mailbox contact. Without an address that is one, it is opaque: it takes
/// its slot and is never copied.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxEmail {
    /// The address; empty, or an X.500 name, for some entries of the own organisation.
    #[serde(rename = "a", default, skip_serializing_if = "String::is_empty")]
    pub address: String,
    /// The display name. Not compared: the server keeps its own.
    #[serde(rename = "n", default, skip_serializing_if = "String::is_empty")]
    pub name: String,
}

/// One place in a mailbox contact that holds one value of a kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are Exchange's own")]
pub enum Slot {
    #[serde(rename = "bp1")]
    BusinessPhone1,
    #[serde(rename = "bp2")]
    BusinessPhone2,
    #[serde(rename = "hp1")]
    HomePhone1,
    #[serde(rename = "hp2")]
    HomePhone2,
    #[serde(rename = "mp")]
    MobilePhone,
    #[serde(rename = "op")]
    OtherPhone,
    #[serde(rename = "e1")]
    Email1,
    #[serde(rename = "e2")]
    Email2,
    #[serde(rename = "e3")]
    Email3,
    #[serde(rename = "ba")]
    BusinessAddress,
    #[serde(rename = "ha")]
    HomeAddress,
    #[serde(rename = "oa")]
    OtherAddress,
}

/// What a kind of mailbox can hold. The mapping knows mailboxes only by this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Whether a phone number of type `other` has a slot of its own.
    pub other_phone: bool,
    /// Whether slots keep their places when one of them is cleared. `false`: phones and e-mails are
    /// sets with a size, and gaps close.
    pub keeps_gaps: bool,
}

impl CrmFields {
    /// No values at all.
    pub const EMPTY: Self = Self {
        texts: BTreeMap::new(),
        phones: Vec::new(),
        emails: Vec::new(),
        addresses: Vec::new(),
        birthday: Vec::new(),
    };
}

impl View {
    /// No values at all.
    pub const EMPTY: Self = Self {
        texts: BTreeMap::new(),
        phones: BTreeMap::new(),
        emails: BTreeMap::new(),
        addresses: BTreeMap::new(),
        birthday: None,
        display_name: None,
        file_as: None,
    };
}

/// Bytes that a record may hold in the fields that take part: far more than anybody enters, and so
/// little that a link, which remembers both sides' records, fits into one value of the store
/// (1 MiB, `wit/store.wit`) however it is escaped.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// What a value holds, in bytes, its names and texts alone.
pub(crate) fn value_bytes(value: &Value) -> usize {
    match value {
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(value_bytes).sum(),
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| name.len().saturating_add(value_bytes(value)))
            .sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 8,
    }
}

/// A digest that is the same on every machine and in every version: FNV-1a, 64 bits. Tells texts
/// apart; not for secrets.
pub fn digest(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

// ---- what people call a contact -----------------------------------------------------------------

/// Bytes of a label (`types.wit`, `contact-name`).
pub const LABEL_BYTES_MAX: usize = 200;

impl CrmFields {
    /// `Erika Mustermann, Muster GmbH`; where there is no name, an address or a number. At most
    /// [`LABEL_BYTES_MAX`] bytes; empty for an empty contact.
    pub fn label(&self) -> String {
        let text = |field| {
            let first = self.texts.get(&field).and_then(|values| values.first());
            first.and_then(Value::as_str).unwrap_or_default()
        };
        let email = self.emails.iter().find_map(|email| match email {
            CrmEmail::Plain(address) | CrmEmail::Typed { address, .. } => Some(address.as_str()),
            CrmEmail::Opaque(_) => None,
        });
        let phone = self.phones.iter().find_map(|phone| match phone {
            CrmPhone::Readable { number, .. } => Some(number.as_str()),
            CrmPhone::Opaque(_) => None,
        });
        let names = [
            text(Field::FirstName),
            text(Field::LastName),
            text(Field::Company),
        ];
        label(names, email.or(phone))
    }
}

impl View {
    /// `Erika Mustermann, Muster GmbH`; where there is no name, an address or a number. At most
    /// [`LABEL_BYTES_MAX`] bytes; empty for an empty contact.
    pub fn label(&self) -> String {
        let text = |field| self.texts.get(&field).map_or("", String::as_str);
        let email = self.emails.values().map(|email| email.address.as_str());
        let reachable_at = email.chain(self.phones.values().map(String::as_str));
        let shown = self
            .display_name
            .as_deref()
            .into_iter()
            .chain(reachable_at)
            .next();
        let (last, company) = (text(Field::LastName), text(Field::Company));
        // The given name of a company is the company's, for want of another.
        let first = match text(Field::FirstName) {
            first if last.is_empty() && first == company => "",
            first => first,
        };
        label([first, last, company], shown)
    }
}

fn label([first, last, company]: [&str; 3], instead: Option<&str>) -> String {
    let name = text::canonical(&format!("{first} {last}"));
    let company = text::canonical(company);
    let label = match (name.as_str(), company.as_str()) {
        ("", "") => text::canonical(instead.unwrap_or_default()),
        ("", company) => company.to_owned(),
        (name, "") => name.to_owned(),
        (name, company) => format!("{name}, {company}"),
    };
    text::shortened(&label, LABEL_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_called_by_name_and_company() {
        use Field::{Company, FirstName, LastName};
        for (names, label) in [
            (&[][..], "x@example.com"),
            (
                &[(FirstName, "Erika"), (LastName, "Muster")],
                "Erika Muster",
            ),
            (
                &[(LastName, " Muster\n"), (Company, "Muster GmbH")],
                "Muster, Muster GmbH",
            ),
            (&[(Company, "Muster GmbH")], "Muster GmbH"),
        ] {
            let mut crm = CrmFields::default();
            let mut view = View::default();
            for (field, text) in names {
                crm.texts.insert(*field, vec![Value::from(*text)]);
                view.texts.insert(*field, (*text).to_owned());
            }
            crm.emails.push(CrmEmail::Plain("x@example.com".to_owned()));
            let email = MailboxEmail {
                address: "x@example.com".to_owned(),
                name: String::new(),
            };
            view.emails.insert(Slot::Email1, email);
            assert_eq!(crm.label(), label);
            assert_eq!(view.label(), label);
        }
        assert_eq!(CrmFields::default().label(), "");
        assert_eq!(View::default().label(), "");
    }

    #[test]
    fn a_company_is_not_called_twice() {
        let name = || "Muster GmbH".to_owned();
        let texts = BTreeMap::from([(Field::FirstName, name()), (Field::Company, name())]);
        assert_eq!(
            View {
                texts,
                ..View::default()
            }
            .label(),
            "Muster GmbH"
        );
    }

    #[test]
    fn a_label_is_short() {
        let texts = BTreeMap::from([(Field::LastName, "ö".repeat(500))]);
        let label = View {
            texts,
            ..View::default()
        }
        .label();
        assert!(
            label.len() <= LABEL_BYTES_MAX && label.ends_with("ö…"),
            "{label}"
        );
    }
}
