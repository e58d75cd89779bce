//! Which element, field URI and MAPI property is which part of a stored contact.
//!
//! The mailbox keeps what Graph calls a contact's properties; a phone of Exchange's that Graph does
//! not know stands among them under its key's own name, and a list has `null` where a slot is free.

use contact_sync_guest::outside::Timestamp;
use serde_json::{Map, Value, json};

use super::super::graph::contact::{Contact, Draft, PropertyId};
use super::super::wire::utc;
use super::quirks::EwsQuirks;
use super::refusal::Refusal;
use super::xml::Node;

/// A place in a stored contact.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Slot {
    /// A text, or a time, by its property's name.
    Text(&'static str),
    /// One place of a list of texts.
    Listed(&'static str, usize),
    /// A list as a whole.
    List(&'static str),
    /// One of the three e-mail addresses.
    Email(usize),
    /// The display name that stands beside an e-mail address.
    EmailName(usize),
    /// A part of an address.
    Address(&'static str, &'static str),
    /// A property that only MAPI knows.
    Extended(PropertyId),
    /// What only the server writes, by element.
    ReadOnly(&'static str),
    /// `PR_SEARCH_KEY`.
    SearchKey,
    /// Known to Exchange, and not kept here.
    Nowhere,
}

/// How a request names a property.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Path {
    Field(String),
    Indexed(String, String),
    /// The element itself, to be answered as it was asked for, and what it means.
    Extended(Node, Slot),
}

/// Field URI, element, property.
pub(super) const SINGLES: [(&str, &str, &str); 24] = [
    ("item:Subject", "Subject", "subject"),
    ("contacts:FileAs", "FileAs", "fileAs"),
    ("contacts:FileAsMapping", "FileAsMapping", "fileAsMapping"),
    ("contacts:DisplayName", "DisplayName", "displayName"),
    ("contacts:GivenName", "GivenName", "givenName"),
    ("contacts:Initials", "Initials", "initials"),
    ("contacts:MiddleName", "MiddleName", "middleName"),
    ("contacts:NickName", "Nickname", "nickName"),
    ("contacts:CompanyName", "CompanyName", "companyName"),
    ("contacts:AssistantName", "AssistantName", "assistantName"),
    ("contacts:Birthday", "Birthday", "birthday"),
    (
        "contacts:BusinessHomePage",
        "BusinessHomePage",
        "businessHomePage",
    ),
    ("contacts:Department", "Department", "department"),
    ("contacts:Generation", "Generation", "generation"),
    ("contacts:JobTitle", "JobTitle", "jobTitle"),
    ("contacts:Manager", "Manager", "manager"),
    ("contacts:Mileage", "Mileage", "mileage"),
    (
        "contacts:OfficeLocation",
        "OfficeLocation",
        "officeLocation",
    ),
    (
        "contacts:PostalAddressIndex",
        "PostalAddressIndex",
        "postalAddressIndex",
    ),
    ("contacts:Profession", "Profession", "profession"),
    ("contacts:SpouseName", "SpouseName", "spouseName"),
    ("contacts:Surname", "Surname", "surname"),
    (
        "contacts:WeddingAnniversary",
        "WeddingAnniversary",
        "weddingAnniversary",
    ),
    ("item:Body", "Body", "personalNotes"),
];

/// Lists: field URI, element, property.
pub(super) const LISTS: [(&str, &str, &str); 3] = [
    ("item:Categories", "Categories", "categories"),
    ("contacts:Children", "Children", "children"),
    ("contacts:Companies", "Companies", "companies"),
];

/// What only the server writes: field URI and element.
pub(super) const READ_ONLY: [(&str, &str); 8] = [
    ("item:ItemId", "ItemId"),
    ("item:ParentFolderId", "ParentFolderId"),
    ("item:DateTimeReceived", "DateTimeReceived"),
    ("item:DateTimeCreated", "DateTimeCreated"),
    ("item:LastModifiedTime", "LastModifiedTime"),
    ("item:HasAttachments", "HasAttachments"),
    ("contacts:CompleteName", "CompleteName"),
    ("contacts:HasPicture", "HasPicture"),
];

/// Whole dictionaries: field URI, element.
pub(super) const DICTIONARIES: [(&str, &str); 4] = [
    ("contacts:EmailAddresses", "EmailAddresses"),
    ("contacts:PhysicalAddresses", "PhysicalAddresses"),
    ("contacts:PhoneNumbers", "PhoneNumbers"),
    ("contacts:ImAddresses", "ImAddresses"),
];

/// What is known to Exchange and of no interest here.
const OTHERS: [&str; 31] = [
    "folder:FolderId",
    "folder:ParentFolderId",
    "folder:DisplayName",
    "folder:UnreadCount",
    "folder:TotalCount",
    "folder:ChildFolderCount",
    "folder:FolderClass",
    "folder:EffectiveRights",
    "folder:PermissionSet",
    "folder:DistinguishedFolderId",
    "folder:ManagedFolderInformation",
    "folder:SearchParameters",
    "folder:SharingEffectiveRights",
    "item:ItemClass",
    "item:MimeContent",
    "item:Attachments",
    "item:Sensitivity",
    "item:Size",
    "item:Importance",
    "item:LastModifiedName",
    "item:EffectiveRights",
    "item:ReminderIsSet",
    "item:ReminderDueBy",
    "item:ReminderMinutesBeforeStart",
    "item:Culture",
    "item:ConversationId",
    "item:UniqueBody",
    "item:TextBody",
    "contacts:ContactSource",
    "contacts:Notes",
    "contacts:Photo",
];

/// Phones: key, property, place in a list.
pub(super) const PHONES: [(&str, &str, Option<usize>); 19] = [
    ("AssistantPhone", "assistantPhone", None),
    ("BusinessFax", "businessFax", None),
    ("BusinessPhone", "businessPhones", Some(0)),
    ("BusinessPhone2", "businessPhones", Some(1)),
    ("Callback", "callback", None),
    ("CarPhone", "carPhone", None),
    ("CompanyMainPhone", "companyMainPhone", None),
    ("HomeFax", "homeFax", None),
    ("HomePhone", "homePhones", Some(0)),
    ("HomePhone2", "homePhones", Some(1)),
    ("Isdn", "isdn", None),
    ("MobilePhone", "mobilePhone", None),
    ("OtherFax", "otherFax", None),
    ("OtherTelephone", "otherTelephone", None),
    ("Pager", "pager", None),
    ("PrimaryPhone", "primaryPhone", None),
    ("RadioPhone", "radioPhone", None),
    ("Telex", "telex", None),
    ("TtyTddPhone", "ttyTddPhone", None),
];

/// Addresses: key, property.
pub(super) const ADDRESSES: [(&str, &str); 3] = [
    ("Business", "businessAddress"),
    ("Home", "homeAddress"),
    ("Other", "otherAddress"),
];

/// Parts of addresses in Exchange's order: element, member.
pub(super) const ADDRESS_PARTS: [(&str, &str); 5] = [
    ("Street", "street"),
    ("City", "city"),
    ("State", "state"),
    ("CountryOrRegion", "countryOrRegion"),
    ("PostalCode", "postalCode"),
];

/// MAPI properties that are also something else: tag, slot (MS-OXPROPS).
const TAGS: [(u16, Slot); 24] = [
    (0x0037, Slot::Text("subject")),
    (0x1000, Slot::Text("personalNotes")),
    (0x3001, Slot::Text("displayName")),
    (0x300B, Slot::SearchKey),
    (0x3A05, Slot::Text("generation")),
    (0x3A06, Slot::Text("givenName")),
    (0x3A08, Slot::Listed("businessPhones", 0)),
    (0x3A09, Slot::Listed("homePhones", 0)),
    (0x3A0A, Slot::Text("initials")),
    (0x3A11, Slot::Text("surname")),
    (0x3A16, Slot::Text("companyName")),
    (0x3A17, Slot::Text("jobTitle")),
    (0x3A18, Slot::Text("department")),
    (0x3A19, Slot::Text("officeLocation")),
    (0x3A1B, Slot::Listed("businessPhones", 1)),
    (0x3A1C, Slot::Text("mobilePhone")),
    (0x3A1F, Slot::Text("otherTelephone")),
    (0x3A2F, Slot::Listed("homePhones", 1)),
    (0x3A42, Slot::Text("birthday")),
    (0x3A44, Slot::Text("middleName")),
    (0x3A45, Slot::Text("title")),
    (0x3A46, Slot::Text("profession")),
    (0x3A4F, Slot::Text("nickName")),
    (0x3A51, Slot::Text("businessHomePage")),
];

/// `PSETID_Address`, where e-mail addresses and their display names live.
const ADDRESS_SET: &str = "00062004-0000-0000-c000-000000000046";
const PUBLIC_STRINGS: &str = "00020329-0000-0000-c000-000000000046";

/// Whether this is a field URI of Exchange's.
pub(super) fn is_field(uri: &str) -> bool {
    SINGLES.iter().any(|(found, ..)| *found == uri)
        || LISTS.iter().any(|(found, ..)| *found == uri)
        || READ_ONLY.iter().any(|(found, _)| *found == uri)
        || DICTIONARIES.iter().any(|(found, _)| *found == uri)
        || OTHERS.contains(&uri)
}

/// A time as it is stored: in UTC, with whole seconds. One without a zone counts as UTC.
pub(super) fn instant(text: &str) -> Option<String> {
    let time = text.parse::<jiff::Timestamp>().ok().or_else(|| {
        let local: jiff::civil::DateTime = text.parse().ok()?;
        local
            .to_zoned(jiff::tz::TimeZone::UTC)
            .ok()
            .map(|zoned| zoned.timestamp())
    })?;
    Some(utc(Timestamp(time.as_millisecond())))
}

impl Path {
    /// Reads a `FieldURI`, `IndexedFieldURI` or `ExtendedFieldURI`.
    pub(super) fn read(node: &Node) -> Result<Self, Refusal> {
        let uri = node.attribute("FieldURI").unwrap_or_default().to_owned();
        match node.name.as_str() {
            "FieldURI" => Ok(Self::Field(uri)),
            "IndexedFieldURI" => {
                let index = node.attribute("FieldIndex").unwrap_or_default();
                Ok(Self::Indexed(uri, index.to_owned()))
            }
            _ => {
                let slot = extended(node).ok_or_else(|| {
                    let why = "The extended property attribute combination is invalid.";
                    Refusal::new("ErrorInvalidExtendedProperty", why)
                })?;
                Ok(Self::Extended(node.clone(), slot))
            }
        }
    }

    /// Where the property is kept.
    pub(super) fn slot(&self) -> Option<Slot> {
        match self {
            Self::Field(uri) => field_slot(uri),
            Self::Indexed(uri, index) => indexed_slot(uri, index),
            Self::Extended(_, slot) => Some(slot.clone()),
        }
    }
}

fn field_slot(uri: &str) -> Option<Slot> {
    if let Some((.., property)) = SINGLES.iter().find(|(found, ..)| *found == uri) {
        return Some(Slot::Text(property));
    }
    if let Some((.., property)) = LISTS.iter().find(|(found, ..)| *found == uri) {
        return Some(Slot::List(property));
    }
    if let Some((_, element)) = READ_ONLY.iter().find(|(found, _)| *found == uri) {
        return Some(Slot::ReadOnly(element));
    }
    match uri {
        "contacts:Notes" | "contacts:Photo" => None,
        uri => OTHERS.contains(&uri).then_some(Slot::Nowhere),
    }
}

fn indexed_slot(uri: &str, index: &str) -> Option<Slot> {
    match uri {
        "contacts:PhoneNumber" => phone(index),
        "contacts:EmailAddress" => Some(Slot::Email(numbered("EmailAddress", index)?)),
        "contacts:ImAddress" => Some(Slot::Listed("imAddresses", numbered("ImAddress", index)?)),
        _ => {
            let part = uri.strip_prefix("contacts:PhysicalAddress:")?;
            address(index, part)
        }
    }
}

/// The slot of a phone by its key.
pub(super) fn phone(key: &str) -> Option<Slot> {
    let (_, property, place) = PHONES.iter().find(|(found, ..)| *found == key)?;
    Some(match place {
        Some(place) => Slot::Listed(property, *place),
        None => Slot::Text(property),
    })
}

/// The slot of a part of an address.
pub(super) fn address(key: &str, part: &str) -> Option<Slot> {
    let (_, property) = ADDRESSES.iter().find(|(found, _)| *found == key)?;
    let (_, member) = ADDRESS_PARTS.iter().find(|(found, _)| *found == part)?;
    Some(Slot::Address(property, member))
}

/// `EmailAddress2` is place 1.
pub(super) fn numbered(stem: &str, key: &str) -> Option<usize> {
    let number: usize = key.strip_prefix(stem)?.parse().ok()?;
    (1..=3).contains(&number).then(|| number - 1)
}

fn extended(node: &Node) -> Option<Slot> {
    let kind = node.attribute("PropertyType")?;
    let set = match (
        node.attribute("DistinguishedPropertySetId"),
        node.attribute("PropertySetId"),
        node.attribute("PropertyTag"),
    ) {
        (None, None, Some(tag)) => return tagged(kind, tag),
        (Some("Address"), None, None) => ADDRESS_SET.to_owned(),
        (Some("PublicStrings"), None, None) => PUBLIC_STRINGS.to_owned(),
        (Some(other), None, None) => other.to_ascii_lowercase(),
        (None, Some(guid), None) => guid.to_ascii_lowercase(),
        _ => return None,
    };
    match (node.attribute("PropertyName"), node.attribute("PropertyId")) {
        (Some(name), None) => {
            PropertyId::parse(&format!("{kind} {{{set}}} Name {name}")).map(Slot::Extended)
        }
        (None, Some(id)) => {
            let id: u32 = id.parse().ok()?;
            // 0x8080, 0x8090 and 0x80A0: the display names of the three e-mail addresses.
            let place = id
                .checked_sub(0x8080)
                .filter(|past| past % 0x10 == 0 && *past < 0x30);
            match place {
                Some(past) if set == ADDRESS_SET => {
                    Some(Slot::EmailName(usize::try_from(past / 0x10).ok()?))
                }
                _ => {
                    PropertyId::parse(&format!("{kind} {{{set}}} Id 0x{id:x}")).map(Slot::Extended)
                }
            }
        }
        _ => None,
    }
}

fn tagged(kind: &str, tag: &str) -> Option<Slot> {
    let number = match tag.to_ascii_lowercase().strip_prefix("0x") {
        Some(digits) => u16::from_str_radix(digits, 16).ok()?,
        None => tag.parse().ok()?,
    };
    // Tags from 0x8000 on are given to named properties by the mailbox.
    if number >= 0x8000 {
        return None;
    }
    if let Some((_, slot)) = TAGS.iter().find(|(found, _)| *found == number) {
        return Some(slot.clone());
    }
    PropertyId::parse(&format!("{kind} 0x{number:x}")).map(Slot::Extended)
}

/// The text that stands in a slot.
pub(super) fn text(contact: &Contact, slot: &Slot) -> Option<String> {
    let value = match slot {
        Slot::Text(name) => contact.properties.get(*name).cloned(),
        Slot::Listed(name, place) => place_of(&contact.properties, name, *place),
        Slot::Email(place) => {
            let email = place_of(&contact.properties, "emailAddresses", *place)?;
            email.get("address").cloned()
        }
        Slot::EmailName(place) => {
            let email = place_of(&contact.properties, "emailAddresses", *place)?;
            email.get("name").cloned()
        }
        Slot::Address(name, member) => contact.properties.get(*name)?.get(*member).cloned(),
        Slot::Extended(id) => return contact.extended.get(id).cloned(),
        Slot::List(_) | Slot::ReadOnly(_) | Slot::SearchKey | Slot::Nowhere => None,
    };
    match value? {
        Value::String(text) if !text.is_empty() => Some(text),
        _ => None,
    }
}

fn place_of(properties: &Map<String, Value>, name: &str, place: usize) -> Option<Value> {
    properties.get(name)?.as_array()?.get(place).cloned()
}

/// A contact's properties while a request changes them.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    properties: Map<String, Value>,
    touched: Vec<String>,
    extended: Vec<(PropertyId, Option<String>)>,
}

impl Scratch {
    /// Begins with what a contact holds.
    pub(super) fn of(contact: &Contact) -> Self {
        Self {
            properties: contact.properties.clone(),
            ..Self::default()
        }
    }

    /// Sets a slot; `Value::Null` clears it.
    pub(super) fn set(&mut self, slot: &Slot, value: Value, quirks: &EwsQuirks) {
        match slot {
            Slot::Text(name) | Slot::List(name) => self.put(name, value),
            Slot::Listed(name, place) => self.put_listed(name, *place, value),
            Slot::Email(place) => {
                let value = self.email(*place, value, quirks);
                self.put_listed("emailAddresses", *place, value);
            }
            Slot::EmailName(place) => {
                let held = place_of(&self.properties, "emailAddresses", *place);
                let mut email = held.unwrap_or_else(|| json!({}));
                if let Some(email) = email.as_object_mut() {
                    email.insert("name".to_owned(), value);
                    email.retain(|_, value| !value.is_null());
                }
                let is_empty = email.as_object().is_none_or(Map::is_empty);
                let email = if is_empty { Value::Null } else { email };
                self.put_listed("emailAddresses", *place, email);
            }
            Slot::Address(name, member) => {
                let held = self.properties.get(*name).cloned();
                let mut address = held.unwrap_or_else(|| json!({}));
                if let Some(address) = address.as_object_mut() {
                    address.insert((*member).to_owned(), value);
                    address.retain(|_, value| !value.is_null());
                }
                let is_empty = address.as_object().is_none_or(Map::is_empty);
                self.put(name, if is_empty { Value::Null } else { address });
            }
            Slot::Extended(id) => {
                let text = value.as_str().map(str::to_owned);
                self.extended.push((id.clone(), text));
            }
            Slot::ReadOnly(_) | Slot::SearchKey | Slot::Nowhere => {}
        }
    }

    /// What stands in an e-mail slot once this is written to it. The display name stays what it
    /// was, as long as nobody names another ("Display as" in Outlook, php-ews#157).
    fn email(&self, place: usize, value: Value, quirks: &EwsQuirks) -> Value {
        let held = place_of(&self.properties, "emailAddresses", place);
        let name = held.and_then(|held| held.get("name").cloned());
        match value {
            Value::Null => match name {
                Some(name) if quirks.email_name_left_behind => json!({"name": name}),
                _ => Value::Null,
            },
            Value::Object(mut email) => {
                if let (false, Some(name)) = (email.contains_key("name"), name) {
                    email.insert("name".to_owned(), name);
                }
                Value::Object(email)
            }
            other => other,
        }
    }

    fn put(&mut self, name: &str, value: Value) {
        if !self.touched.iter().any(|touched| touched == name) {
            self.touched.push(name.to_owned());
        }
        self.properties.insert(name.to_owned(), value);
    }

    fn put_listed(&mut self, name: &str, place: usize, value: Value) {
        let held = self.properties.get(name).and_then(Value::as_array);
        let mut list = held.cloned().unwrap_or_default();
        while list.len() <= place {
            list.push(Value::Null);
        }
        if let Some(held) = list.get_mut(place) {
            *held = value;
        }
        while list.last().is_some_and(Value::is_null) {
            list.pop();
        }
        self.put(name, Value::Array(list));
    }

    /// What was changed, as the mailbox takes it.
    pub(super) fn into_draft(mut self) -> Draft {
        let properties = self.touched.into_iter().map(|name| {
            let value = self.properties.shift_remove(&name).unwrap_or_default();
            (name, value)
        });
        Draft {
            properties: properties.collect(),
            extended: self.extended,
            parent_folder: None,
        }
    }
}
