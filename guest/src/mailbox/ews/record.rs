//! How a contact looks on the wire
//! (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/contact>).
//!
//! Absent and empty are the same: no value. The order of elements is the schema's, which refuses
//! any other with the whole request; in answers no order is relied on, and what is not known is
//! passed over.

use crate::contact::{
    ChangeKey, Field, MailboxContact, MailboxEmail, MailboxId, PostalAddress, RECORD_BYTES_MAX,
    SearchKey, StableId, View,
};
use crate::links::ID_BYTES_MAX;
use crate::mailbox::MailboxEdit;
use crate::mailbox::ews::Client;
use crate::mailbox::ews::properties::{
    self, ADDRESS_PARTS, ADDRESSES, EMAILS, Extended, KEY, PHONES, Property, SEARCH_KEY,
    TEXTS_AFTER, TEXTS_BEFORE, TITLE, Text, resolved_to, shown_with,
};
use crate::mailbox::ews::soap::TYPES;
use crate::mailbox::folders::Found;
use crate::mutation::{self, Mutant};
use crate::outside::Timestamp;
use crate::report::Problem;
use crate::xml::{Element, Writer};

/// Outlook's "none", where a birthday was cleared (MS-OXOCNTC, 2.2.1.5.1).
const NO_BIRTHDAY: &str = "4501-01-01";

/// Asks for what takes part, and for what identifies a version. Never for the notes.
pub(super) fn write_shape(writer: &mut Writer, client: &Client) {
    writer.element("m:ItemShape", &[], |writer| {
        writer.text_element("t:BaseShape", &[], "IdOnly");
        writer.element("t:AdditionalProperties", &[], |writer| {
            for uri in [
                "item:ItemClass",
                "item:ParentFolderId",
                "item:LastModifiedTime",
            ] {
                writer.empty("t:FieldURI", &[("FieldURI", uri)]);
            }
            for property in properties::all() {
                property.write_path(writer);
            }
            if client.ask_search_key {
                SEARCH_KEY.write_path(writer);
            }
        });
    });
}

/// Asks for what identifies a version, and where it is.
pub(super) fn write_version_shape(writer: &mut Writer) {
    writer.element("m:ItemShape", &[], |writer| {
        writer.text_element("t:BaseShape", &[], "IdOnly");
        writer.element("t:AdditionalProperties", &[], |writer| {
            writer.empty("t:FieldURI", &[("FieldURI", "item:ParentFolderId")]);
        });
    });
}

/// A new contact. Outlook itself calls a contact by its subject, which is the name that it shows
/// (MS-OXOCNTC, 3.1.5.1).
pub(super) fn write_draft(writer: &mut Writer, view: &View, key: &SearchKey) {
    let texts = |writer: &mut Writer, texts: &[(&str, &str, Text)]| {
        for (_, element, text) in texts {
            if let Some(value) = text.value(view).filter(|value| !value.is_empty()) {
                writer.text_element(&format!("t:{element}"), &[], value);
            }
        }
    };
    writer.element("t:Contact", &[], |writer| {
        if let Some(shown) = Text::DisplayName
            .value(view)
            .filter(|shown| !shown.is_empty())
        {
            writer.text_element("t:Subject", &[], shown);
        }
        KEY.write_value(writer, key.as_str());
        if let Some(title) = Property::Title.value(view) {
            TITLE.write_value(writer, title);
        }
        texts(writer, &TEXTS_BEFORE);
        write_entries(writer, "t:EmailAddresses", &EMAILS, |slot| {
            Property::Email(slot).value(view)
        });
        write_addresses(writer, view);
        write_entries(writer, "t:PhoneNumbers", &PHONES, |slot| {
            Property::Phone(slot).value(view)
        });
        texts(writer, &TEXTS_AFTER);
    });
}

/// What an edit changes, one property at a time; nothing where it changes nothing. An emptied
/// property is deleted: an empty entry is refused with the whole request
/// (<https://github.com/ecederstrand/exchangelib/issues/958>).
pub(super) fn write_updates(writer: &mut Writer, edit: &MailboxEdit) {
    for property in properties::all() {
        let (old, new) = (property.value(&edit.before), property.value(&edit.after));
        if old == new {
            continue;
        }
        write_update(
            writer,
            new,
            |writer| property.write_path(writer),
            |writer, value| {
                property.write_value(writer, value);
            },
        );
        match property {
            Property::Email(slot) if old.is_some() => {
                for shown in shown_with(slot) {
                    write_extended(writer, shown, new);
                }
                for resolved in resolved_to(slot).into_iter().filter(|_| new.is_none()) {
                    write_extended(writer, resolved, None);
                }
            }
            // Whoever renames a contact in Outlook changes both.
            Property::Text("contacts:DisplayName", _) => {
                let path = |writer: &mut Writer| {
                    writer.empty("t:FieldURI", &[("FieldURI", "item:Subject")]);
                };
                write_update(writer, new, path, |writer, value| {
                    writer.text_element("t:Subject", &[], value);
                });
            }
            _ => {}
        }
    }
}

/// Whether a contact holds what an edit was to change.
pub(super) fn holds(view: &View, edit: &MailboxEdit) -> bool {
    let mut changed = properties::all()
        .filter(|property| property.value(&edit.before) != property.value(&edit.after));
    changed.all(|property| property.value(view) == property.value(&edit.after))
}

/// Whether an edit changes anything.
pub(super) fn is_change(edit: &MailboxEdit) -> bool {
    properties::all().any(|property| property.value(&edit.before) != property.value(&edit.after))
}

/// The contacts of an answer's `m:Items`; groups, which share the folder, are none.
pub(super) fn is_contact(item: &Element) -> bool {
    let class = item
        .child(TYPES, "ItemClass")
        .map(|class| class.text().trim());
    let is_of_class = class.is_none_or(|class| {
        let class = class.to_ascii_lowercase();
        class == "ipm.contact" || class.starts_with("ipm.contact.")
    });
    item.is(TYPES, "Contact") && is_of_class
}

/// An item's id, whatever else can be read of it; none that could not be remembered.
pub(super) fn id(item: &Element) -> Option<MailboxId> {
    let id = item.child(TYPES, "ItemId")?.attribute("Id")?;
    let is_usable = (1..=ID_BYTES_MAX).contains(&id.len());
    is_usable.then(|| MailboxId::new(id))
}

/// An item's version.
pub(super) fn change_key(item: &Element) -> Option<ChangeKey> {
    let key = item.child(TYPES, "ItemId")?.attribute("ChangeKey")?;
    (!key.is_empty()).then(|| ChangeKey::new(key))
}

/// The folder that an item is in.
pub(super) fn folder(item: &Element) -> Option<&str> {
    item.child(TYPES, "ParentFolderId")?.attribute("Id")
}

/// A MAPI property of an item.
pub(super) fn extended(item: &Element, wanted: Extended) -> Option<&str> {
    let mut properties = item.children_named(TYPES, "ExtendedProperty");
    let property = properties.find(|property| {
        let path = property.child(TYPES, "ExtendedFieldURI");
        path.is_some_and(|path| is_path_of(path, wanted))
    })?;
    let value = property.child(TYPES, "Value")?.text();
    (!value.is_empty()).then_some(value)
}

/// Reads a contact that was asked for by [`write_shape`].
pub(super) fn parse(item: &Element) -> Result<Found, Problem> {
    let id = id(item).ok_or_else(|| unreadable(None, "ItemId"))?;
    let change_key = change_key(item).ok_or_else(|| unreadable(Some(&id), "ChangeKey"))?;
    let modified = text(item, "LastModifiedTime");
    let modified = modified.and_then(|text| text.trim().parse::<jiff::Timestamp>().ok());
    let view = view(item);
    if bytes(&view) > RECORD_BYTES_MAX {
        return Err(too_large(&id));
    }
    let contact = MailboxContact {
        id,
        change_key,
        stable_id: extended(item, SEARCH_KEY).map(StableId::new),
        modified: modified.map(|instant| Timestamp(instant.as_millisecond())),
        view,
    };
    Ok(Found {
        contact,
        folder: folder(item).map(str::to_owned),
    })
}

fn write_entries<'a, S: Copy>(
    writer: &mut Writer,
    list: &str,
    keys: &[(S, &str)],
    value: impl Fn(S) -> Option<&'a str>,
) {
    let entries: Vec<(&str, &str)> = keys
        .iter()
        .filter_map(|(slot, key)| Some((*key, value(*slot)?)))
        .collect();
    // An empty list is refused as well.
    if entries.is_empty() {
        return;
    }
    writer.element(list, &[], |writer| {
        for (key, value) in entries {
            writer.text_element("t:Entry", &[("Key", key)], value);
        }
    });
}

fn write_addresses(writer: &mut Writer, view: &View) {
    let addresses: Vec<(&str, &PostalAddress)> = ADDRESSES
        .iter()
        .filter_map(|(slot, key)| Some((*key, view.addresses.get(slot)?)))
        .filter(|(_, address)| **address != PostalAddress::default())
        .collect();
    if addresses.is_empty() {
        return;
    }
    writer.element("t:PhysicalAddresses", &[], |writer| {
        for (key, address) in addresses {
            writer.element("t:Entry", &[("Key", key)], |writer| {
                for name in ADDRESS_PARTS {
                    let value = properties::part(address, name);
                    if !value.is_empty() {
                        writer.text_element(&format!("t:{name}"), &[], value);
                    }
                }
            });
        }
    });
}

/// `SetItemField` with a contact that holds nothing else, or `DeleteItemField`
/// (<https://learn.microsoft.com/exchange/client-developer/web-service-reference/setitemfield>).
fn write_update(
    writer: &mut Writer,
    value: Option<&str>,
    path: impl FnOnce(&mut Writer),
    property: impl FnOnce(&mut Writer, &str),
) {
    match value {
        None if mutation::is_on(Mutant::EmptiedPropertyLeft) => {}
        None => writer.element("t:DeleteItemField", &[], path),
        Some(value) => writer.element("t:SetItemField", &[], |writer| {
            path(writer);
            writer.element("t:Contact", &[], |writer| property(writer, value));
        }),
    }
}

fn write_extended(writer: &mut Writer, extended: Extended, value: Option<&str>) {
    write_update(
        writer,
        value,
        |writer| extended.write_path(writer),
        |writer, value| {
            extended.write_value(writer, value);
        },
    );
}

/// Tags come back in any notation, ids of sets in either case.
fn is_path_of(path: &Element, wanted: Extended) -> bool {
    match wanted {
        Extended::Tag { tag, .. } => path.attribute("PropertyTag").is_some_and(|found| {
            let hexadecimal = found
                .strip_prefix("0x")
                .or_else(|| found.strip_prefix("0X"));
            let number = match hexadecimal {
                Some(digits) => u16::from_str_radix(digits, 16),
                None => found.parse(),
            };
            number == Ok(tag)
        }),
        Extended::Named { set, name } => {
            let in_set = path.attribute("PropertySetId");
            in_set.is_some_and(|found| found.eq_ignore_ascii_case(set))
                && path.attribute("PropertyName") == Some(name)
        }
        Extended::Address { number, .. } => {
            path.attribute("PropertyId")
                .and_then(|found| found.parse().ok())
                == Some(number)
        }
    }
}

fn view(item: &Element) -> View {
    let mut view = View::default();
    for (_, element, kind) in TEXTS_BEFORE.iter().chain(&TEXTS_AFTER) {
        let text = text(item, element);
        let text = text.filter(|text| *kind != Text::Birthday || !text.starts_with(NO_BIRTHDAY));
        if let Some(text) = text {
            kind.set(&mut view, text.to_owned());
        }
    }
    if let Some(title) = extended(item, TITLE) {
        view.texts.insert(Field::AcademicTitle, title.to_owned());
    }
    for (slot, entry) in entries(item, "PhoneNumbers", &PHONES) {
        view.phones.insert(slot, entry.text().to_owned());
    }
    for (slot, entry) in entries(item, "EmailAddresses", &EMAILS) {
        let email = MailboxEmail {
            address: entry.text().to_owned(),
            name: entry.attribute("Name").unwrap_or_default().to_owned(),
        };
        view.emails.insert(slot, email);
    }
    for (slot, entry) in entries(item, "PhysicalAddresses", &ADDRESSES) {
        let part = |name| text(entry, name).unwrap_or_default().to_owned();
        let address = PostalAddress {
            street: part("Street"),
            city: part("City"),
            state: part("State"),
            country: part("CountryOrRegion"),
            postal_code: part("PostalCode"),
        };
        if address != PostalAddress::default() {
            view.addresses.insert(slot, address);
        }
    }
    view
}

/// Entries of a list that hold anything, each with its slot; keys beyond ours are left alone.
fn entries<'a, S: Copy>(
    item: &'a Element,
    list: &str,
    keys: &'a [(S, &str)],
) -> impl Iterator<Item = (S, &'a Element)> {
    let entries = item.child(TYPES, list).into_iter();
    let entries = entries.flat_map(|list| list.children_named(TYPES, "Entry"));
    let entries = entries.filter(|entry| {
        !entry.text().is_empty()
            || entry.attribute("Name").is_some_and(|name| !name.is_empty())
            || entry.children().next().is_some()
    });
    entries.filter_map(|entry| {
        let key = entry.attribute("Key")?;
        let known = keys.iter().find(|(_, known)| *known == key);
        known.map(|(slot, _)| (*slot, entry))
    })
}

fn text<'a>(item: &'a Element, name: &str) -> Option<&'a str> {
    let text = item.child(TYPES, name)?.text();
    (!text.is_empty()).then_some(text)
}

/// What a view holds, in bytes.
fn bytes(view: &View) -> usize {
    let properties = properties::all().filter_map(|property| property.value(view));
    let names = view.emails.values().map(|email| email.name.len());
    properties.map(str::len).chain(names).sum()
}

fn too_large(id: &MailboxId) -> Problem {
    Problem {
        message: format!(
            "Exchange's contact {id} holds more than {} KiB",
            RECORD_BYTES_MAX / 1024
        ),
        remedy: Some(
            "shorten what it holds in Outlook and save it; the other contacts go on".into(),
        ),
    }
}

pub(super) fn unreadable(id: Option<&MailboxId>, name: &str) -> Problem {
    let which = id.map_or("a contact".to_owned(), |id| format!("contact {id}"));
    Problem {
        message: format!("Exchange answered {which} without a `{name}`"),
        remedy: Some(
            "open the contact in Outlook, correct what looks wrong, save it; the next pass reads \
             it again"
                .into(),
        ),
    }
}
