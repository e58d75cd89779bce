//! The properties of a contact that take part: how each is named, asked for and written.
//!
//! Everything is asked for by name. Whole-property URIs (`contacts:PhoneNumbers`) are ignored by
//! some servers and left out of `AllProperties` by others, so phones, e-mail addresses and the
//! parts of postal addresses are named one by one, as updates must name them anyway
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/indexedfielduri>).

use crate::contact::{Field, PostalAddress, Slot, View};
use crate::xml::Writer;

/// Name and set of the MAPI named property that holds our key; the same as over Graph, so that a
/// contact keeps it when its mailbox moves to Office 365. Name and set never vary, because a
/// mailbox has room for a limited number of names.
pub(super) const KEY: Extended = Extended::Named {
    set: "6d2f5b34-0c1e-4a76-9b0d-3e58c7a1f942",
    name: "ContactSyncKey",
};

/// `PR_DISPLAY_NAME_PREFIX`: no element can write a title
/// (MS-OXOCNTC, 2.2.1.1.3 `PidTagDisplayNamePrefix`).
pub(super) const TITLE: Extended = Extended::Tag {
    tag: 0x3A45,
    kind: "String",
};

/// `PR_SEARCH_KEY`: survives a move within the mailbox and is shared by copies
/// (<https://learn.microsoft.com/office/client-developer/outlook/mapi/pidtagsearchkey-canonical-property>).
pub(super) const SEARCH_KEY: Extended = Extended::Tag {
    tag: 0x300B,
    kind: "Binary",
};

/// A MAPI property without a name of its own in the schema
/// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/extendedfielduri>).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extended {
    /// By its tag.
    Tag { tag: u16, kind: &'static str },
    /// By a name in a set of our own: a text.
    Named {
        set: &'static str,
        name: &'static str,
    },
    /// By its number in the set of Outlook's contacts (`PSETID_Address`): a text.
    Address { number: u32 },
}

/// One property that an update can set or delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Property {
    /// `contacts:GivenName`, written as `GivenName`.
    Text(&'static str, &'static str),
    Title,
    Phone(Slot),
    Email(Slot),
    AddressPart(Slot, &'static str),
}

/// Single texts, in the order in which the schema wants their elements, and what they hold. Those
/// up to the addresses and phones come before them.
pub(super) const TEXTS_BEFORE: [(&str, &str, Text); 4] = [
    ("contacts:FileAs", "FileAs", Text::FileAs),
    ("contacts:DisplayName", "DisplayName", Text::DisplayName),
    (
        "contacts:GivenName",
        "GivenName",
        Text::Of(Field::FirstName),
    ),
    (
        "contacts:CompanyName",
        "CompanyName",
        Text::Of(Field::Company),
    ),
];

/// Those after them.
pub(super) const TEXTS_AFTER: [(&str, &str, Text); 5] = [
    ("contacts:Birthday", "Birthday", Text::Birthday),
    (
        "contacts:BusinessHomePage",
        "BusinessHomePage",
        Text::Of(Field::Website),
    ),
    (
        "contacts:Department",
        "Department",
        Text::Of(Field::Department),
    ),
    ("contacts:JobTitle", "JobTitle", Text::Of(Field::Position)),
    ("contacts:Surname", "Surname", Text::Of(Field::LastName)),
];

/// What a single text holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Text {
    Of(Field),
    FileAs,
    DisplayName,
    Birthday,
}

/// Of the nineteen keys those that the contract maps; the others are left untouched
/// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/entry-phonenumber>).
pub(super) const PHONES: [(Slot, &str); 6] = [
    (Slot::BusinessPhone1, "BusinessPhone"),
    (Slot::BusinessPhone2, "BusinessPhone2"),
    (Slot::HomePhone1, "HomePhone"),
    (Slot::HomePhone2, "HomePhone2"),
    (Slot::MobilePhone, "MobilePhone"),
    (Slot::OtherPhone, "OtherTelephone"),
];

/// A fourth key is refused with the whole request.
pub(super) const EMAILS: [(Slot, &str); 3] = [
    (Slot::Email1, "EmailAddress1"),
    (Slot::Email2, "EmailAddress2"),
    (Slot::Email3, "EmailAddress3"),
];

pub(super) const ADDRESSES: [(Slot, &str); 3] = [
    (Slot::BusinessAddress, "Business"),
    (Slot::HomeAddress, "Home"),
    (Slot::OtherAddress, "Other"),
];

/// Parts of an address, in the order of the schema.
pub(super) const ADDRESS_PARTS: [&str; 5] =
    ["Street", "City", "State", "CountryOrRegion", "PostalCode"];

/// What Outlook shows in place of an address, and what it showed at first: these stay behind when
/// an address is deleted or replaced, and Outlook goes on showing them
/// (<https://github.com/jamesiarmes/php-ews/issues/157>; MS-OXOCNTC, 2.2.1.2.1 and 2.2.1.2.4).
pub(super) fn shown_with(email: Slot) -> [Extended; 2] {
    // The three addresses' numbers lie sixteen apart.
    let base = match email {
        Slot::Email2 => 0x8090,
        Slot::Email3 => 0x80A0,
        _ => 0x8080,
    };
    [
        Extended::Address { number: base },
        Extended::Address { number: base + 4 },
    ]
}

/// All properties that an update may concern.
pub(super) fn all() -> impl Iterator<Item = Property> {
    let texts = TEXTS_BEFORE.into_iter().chain(TEXTS_AFTER);
    let texts = texts.map(|(uri, element, _)| Property::Text(uri, element));
    let phones = PHONES.into_iter().map(|(slot, _)| Property::Phone(slot));
    let emails = EMAILS.into_iter().map(|(slot, _)| Property::Email(slot));
    let parts = ADDRESSES.into_iter().flat_map(|(slot, _)| {
        let parts = ADDRESS_PARTS.into_iter();
        parts.map(move |part| Property::AddressPart(slot, part))
    });
    texts
        .chain([Property::Title])
        .chain(phones)
        .chain(emails)
        .chain(parts)
}

impl Property {
    /// What a view holds of it; `None` for nothing.
    pub(super) fn value(self, view: &View) -> Option<&str> {
        let text = match self {
            Self::Text(uri, _) => {
                let mut texts = TEXTS_BEFORE.iter().chain(&TEXTS_AFTER);
                texts.find(|(known, _, _)| *known == uri)?.2.value(view)
            }
            Self::Title => view.texts.get(&Field::AcademicTitle).map(String::as_str),
            Self::Phone(slot) => view.phones.get(&slot).map(String::as_str),
            Self::Email(slot) => view.emails.get(&slot).map(|email| email.address.as_str()),
            Self::AddressPart(slot, part) => Some(self::part(view.addresses.get(&slot)?, part)),
        };
        text.filter(|text| !text.is_empty())
    }

    /// Writes its path: `FieldURI`, `IndexedFieldURI` or `ExtendedFieldURI`.
    pub(super) fn write_path(self, writer: &mut Writer) {
        match self {
            Self::Text(uri, _) => writer.empty("t:FieldURI", &[("FieldURI", uri)]),
            Self::Title => TITLE.write_path(writer),
            Self::Phone(slot) => write_indexed(writer, "contacts:PhoneNumber", key(&PHONES, slot)),
            Self::Email(slot) => write_indexed(writer, "contacts:EmailAddress", key(&EMAILS, slot)),
            Self::AddressPart(slot, part) => {
                let uri = format!("contacts:PhysicalAddress:{part}");
                write_indexed(writer, &uri, key(&ADDRESSES, slot));
            }
        }
    }

    /// Writes a contact's element that holds this property alone.
    pub(super) fn write_value(self, writer: &mut Writer, value: &str) {
        let entry = |writer: &mut Writer, list: &str, key: &str| {
            writer.element(list, &[], |writer| {
                writer.text_element("t:Entry", &[("Key", key)], value);
            });
        };
        match self {
            Self::Text(_, element) => writer.text_element(&format!("t:{element}"), &[], value),
            Self::Title => TITLE.write_value(writer, value),
            Self::Phone(slot) => entry(writer, "t:PhoneNumbers", key(&PHONES, slot)),
            Self::Email(slot) => entry(writer, "t:EmailAddresses", key(&EMAILS, slot)),
            Self::AddressPart(slot, part) => {
                writer.element("t:PhysicalAddresses", &[], |writer| {
                    writer.element("t:Entry", &[("Key", key(&ADDRESSES, slot))], |writer| {
                        writer.text_element(&format!("t:{part}"), &[], value);
                    });
                });
            }
        }
    }
}

impl Text {
    pub(super) fn value(self, view: &View) -> Option<&str> {
        match self {
            Self::Of(field) => view.texts.get(&field).map(String::as_str),
            Self::FileAs => view.file_as.as_deref(),
            Self::DisplayName => view.display_name.as_deref(),
            Self::Birthday => view.birthday.as_deref(),
        }
    }

    pub(super) fn set(self, view: &mut View, value: String) {
        match self {
            Self::Of(field) => {
                view.texts.insert(field, value);
            }
            Self::FileAs => view.file_as = Some(value),
            Self::DisplayName => view.display_name = Some(value),
            Self::Birthday => view.birthday = Some(value),
        }
    }
}

impl Extended {
    /// Writes its path.
    pub(super) fn write_path(self, writer: &mut Writer) {
        let name = "t:ExtendedFieldURI";
        match self {
            Self::Tag { tag, kind } => {
                let tag = format!("0x{tag:04X}");
                writer.empty(name, &[("PropertyTag", &tag), ("PropertyType", kind)]);
            }
            Self::Named {
                set,
                name: property,
            } => writer.empty(
                name,
                &[
                    ("PropertySetId", set),
                    ("PropertyName", property),
                    ("PropertyType", "String"),
                ],
            ),
            Self::Address { number } => writer.empty(
                name,
                &[
                    ("DistinguishedPropertySetId", "Address"),
                    ("PropertyId", &number.to_string()),
                    ("PropertyType", "String"),
                ],
            ),
        }
    }

    /// Writes it with a value.
    pub(super) fn write_value(self, writer: &mut Writer, value: &str) {
        writer.element("t:ExtendedProperty", &[], |writer| {
            self.write_path(writer);
            writer.text_element("t:Value", &[], value);
        });
    }
}

/// A part of an address.
pub(super) fn part<'a>(address: &'a PostalAddress, name: &str) -> &'a str {
    match name {
        "Street" => &address.street,
        "City" => &address.city,
        "State" => &address.state,
        "CountryOrRegion" => &address.country,
        _ => &address.postal_code,
    }
}

/// How the schema calls a slot.
fn key(keys: &[(Slot, &'static str)], slot: Slot) -> &'static str {
    let known = keys.iter().find(|(known, _)| *known == slot);
    known.map_or("", |(_, key)| *key)
}

fn write_indexed(writer: &mut Writer, uri: &str, index: &str) {
    let attributes = [("FieldURI", uri), ("FieldIndex", index)];
    writer.empty("t:IndexedFieldURI", &attributes);
}
