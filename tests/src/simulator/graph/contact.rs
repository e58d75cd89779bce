//! One contact: its properties, what a write may say of them, and what a read answers.

use contact_sync_guest::outside::Timestamp;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

use super::super::wire::utc;
use super::Problem;
use super::quirks::{AddressUpdate, DisplayNameRule, GraphQuirks, InternalAddresses};

/// A contact in a mailbox.
#[derive(Clone, Debug)]
pub(in crate::simulator) struct Contact {
    pub(in crate::simulator) item: u64,
    pub(in crate::simulator) folder: u32,
    /// How often it was moved.
    pub(in crate::simulator) placement: u32,
    pub(in crate::simulator) version: u64,
    pub(in crate::simulator) created: Timestamp,
    pub(in crate::simulator) modified: Timestamp,
    /// Properties that are not empty.
    pub(in crate::simulator) properties: Map<String, Value>,
    /// Single-value extended properties.
    pub(in crate::simulator) extended: BTreeMap<PropertyId, String>,
    /// What stays with the contact when it is moved, and goes into its copies.
    pub(in crate::simulator) search_key: u64,
    /// A distribution list: no contact, but counted as one (docs-contrib#8153).
    pub(in crate::simulator) group: bool,
}

/// The id of an extended property, so that different spellings of one are equal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::simulator) struct PropertyId(String);

impl PropertyId {
    /// `String {guid} Name name`, `Integer {guid} Id 0x8012`, `String 0x3A1C`. The name is compared
    /// with case, the rest without.
    pub(in crate::simulator) fn parse(text: &str) -> Option<Self> {
        let (kind, rest) = text.trim().split_once(' ')?;
        let canonical = match rest.split_once("} ") {
            None => format!("{kind} {}", rest.to_ascii_lowercase()),
            Some((guid, name)) => {
                let (form, name) = name.split_once(' ')?;
                let guid = guid.strip_prefix('{')?.to_ascii_lowercase();
                let name = match form {
                    "Id" => name.to_ascii_lowercase(),
                    "Name" => name.to_owned(),
                    _ => return None,
                };
                format!("{kind} {{{guid}}} {form} {name}")
            }
        };
        Some(Self(canonical))
    }

    pub(in crate::simulator) fn as_str(&self) -> &str {
        &self.0
    }
}

/// What kind of value a property holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    ServerOnly,
    Text,
    Texts,
    Date,
    Address,
    Emails,
    EmailSlot(usize),
}

/// All properties, in the order in which Graph answers them.
pub(super) const PROPERTIES: [(&str, Kind); 41] = [
    ("createdDateTime", Kind::ServerOnly),
    ("lastModifiedDateTime", Kind::ServerOnly),
    ("changeKey", Kind::ServerOnly),
    ("categories", Kind::Texts),
    ("parentFolderId", Kind::ServerOnly),
    ("birthday", Kind::Date),
    ("fileAs", Kind::Text),
    ("displayName", Kind::Text),
    ("givenName", Kind::Text),
    ("initials", Kind::Text),
    ("middleName", Kind::Text),
    ("nickName", Kind::Text),
    ("surname", Kind::Text),
    ("title", Kind::Text),
    ("yomiGivenName", Kind::Text),
    ("yomiSurname", Kind::Text),
    ("yomiCompanyName", Kind::Text),
    ("generation", Kind::Text),
    ("imAddresses", Kind::Texts),
    ("jobTitle", Kind::Text),
    ("companyName", Kind::Text),
    ("department", Kind::Text),
    ("officeLocation", Kind::Text),
    ("profession", Kind::Text),
    ("businessHomePage", Kind::Text),
    ("assistantName", Kind::Text),
    ("manager", Kind::Text),
    ("homePhones", Kind::Texts),
    ("mobilePhone", Kind::Text),
    ("businessPhones", Kind::Texts),
    ("spouseName", Kind::Text),
    ("personalNotes", Kind::Text),
    ("children", Kind::Texts),
    ("emailAddresses", Kind::Emails),
    ("homeAddress", Kind::Address),
    ("businessAddress", Kind::Address),
    ("otherAddress", Kind::Address),
    ("primaryEmailAddress", Kind::EmailSlot(0)),
    ("secondaryEmailAddress", Kind::EmailSlot(1)),
    ("tertiaryEmailAddress", Kind::EmailSlot(2)),
    ("id", Kind::ServerOnly),
];

pub(super) fn kind_of(name: &str) -> Option<Kind> {
    let mut properties = PROPERTIES.iter();
    properties
        .find(|(found, _)| *found == name)
        .map(|(_, kind)| *kind)
}

/// What an empty property is answered as.
pub(super) fn empty(kind: Kind) -> Value {
    match kind {
        Kind::Texts | Kind::Emails => json!([]),
        Kind::Address => json!({}),
        _ => Value::Null,
    }
}

/// What a write says.
#[derive(Clone, Debug, Default)]
pub(in crate::simulator) struct Draft {
    /// Property and new value, in order; empty values clear.
    pub(in crate::simulator) properties: Vec<(String, Value)>,
    pub(in crate::simulator) extended: Vec<(PropertyId, Option<String>)>,
    /// The id of the folder that the contact is to be in.
    pub(in crate::simulator) parent_folder: Option<String>,
}

impl Draft {
    /// Reads the body of a create (`creates`) or an update, or says why it is refused.
    pub(super) fn read(
        body: &Map<String, Value>,
        creates: bool,
        quirks: &GraphQuirks,
    ) -> Result<Self, Problem> {
        let mut draft = Self::default();
        for (name, value) in body {
            draft.read_member(name, value, creates, quirks)?;
        }
        if creates && quirks.given_name_required {
            let given = body
                .get("givenName")
                .and_then(Value::as_str)
                .unwrap_or_default();
            if given.trim().is_empty() {
                let why = "The property 'GivenName' is required when creating the entity.";
                return Err(Problem::new(400, "ErrorInvalidProperty", why));
            }
        }
        Ok(draft)
    }

    fn read_member(
        &mut self,
        name: &str,
        value: &Value,
        creates: bool,
        quirks: &GraphQuirks,
    ) -> Result<(), Problem> {
        if name == "@odata.type" || name.ends_with("@odata.type") {
            return Ok(());
        }
        if name == "singleValueExtendedProperties" {
            return self.read_extended(value);
        }
        if name == "parentFolderId" {
            self.parent_folder = value.as_str().map(str::to_owned);
            return Ok(());
        }
        let is_annotation = name.starts_with("@odata.");
        let kind = match kind_of(name) {
            Some(Kind::ServerOnly) => None,
            Some(Kind::EmailSlot(_)) if !quirks.email_slots => None,
            Some(kind) => Some(kind),
            None if is_annotation => None,
            None => return Err(no_such_property(name, "contact")),
        };
        let Some(kind) = kind else {
            if quirks.read_only_refused {
                let why = format!("The property '{name}' is read-only and cannot be set.");
                return Err(Problem::new(400, "ErrorInvalidPropertySet", &why));
            }
            return Ok(());
        };
        if kind == Kind::Address
            && let Some(treatment) = address_treatment(value, creates, quirks)
        {
            match treatment {
                AddressUpdate::Clears => {}
                AddressUpdate::Ignored => return Ok(()),
                AddressUpdate::Fails => return Err(Problem::internal()),
            }
        }
        let value = check(name, kind, value, quirks)?;
        self.properties.push((name.to_owned(), value));
        Ok(())
    }

    fn read_extended(&mut self, value: &Value) -> Result<(), Problem> {
        for property in value.as_array().into_iter().flatten() {
            let id = property
                .get("id")
                .and_then(Value::as_str)
                .and_then(PropertyId::parse);
            let Some(id) = id else {
                return Err(Problem::new(
                    400,
                    "ErrorInvalidProperty",
                    "The extended property's id is not valid.",
                ));
            };
            let value = property.get("value").and_then(Value::as_str);
            self.extended.push((id, value.map(str::to_owned)));
        }
        Ok(())
    }

    fn names(&self, wanted: &[&str]) -> bool {
        self.properties
            .iter()
            .any(|(name, _)| wanted.contains(&name.as_str()))
    }
}

/// What becomes of an address that holds nothing.
fn address_treatment(value: &Value, creates: bool, quirks: &GraphQuirks) -> Option<AddressUpdate> {
    if value.is_null() && creates {
        return Some(if quirks.null_address_in_create_fails {
            AddressUpdate::Fails
        } else {
            AddressUpdate::Clears
        });
    }
    if value.is_null() {
        return Some(quirks.null_address_in_update);
    }
    let is_empty = value
        .as_object()
        .is_some_and(|address| address.values().all(Value::is_null));
    (is_empty && !creates).then_some(quirks.empty_address_in_update)
}

/// The value as it is stored, or why it is refused.
fn check(name: &str, kind: Kind, value: &Value, quirks: &GraphQuirks) -> Result<Value, Problem> {
    let wrong = || {
        let why = format!("Cannot convert the value of property '{name}' to the expected type.");
        Err(Problem::new(400, "RequestBodyRead", &why))
    };
    match (kind, value) {
        (Kind::Text | Kind::Date | Kind::Address | Kind::EmailSlot(_), Value::Null) => {
            Ok(Value::Null)
        }
        (Kind::Text, Value::String(text)) => Ok(if text.is_empty() {
            Value::Null
        } else {
            value.clone()
        }),
        (Kind::Date, Value::String(text)) => match instant(text) {
            Some(instant) => Ok(Value::String(instant)),
            None => wrong(),
        },
        (Kind::Texts, Value::Array(entries)) => {
            if !entries.iter().all(Value::is_string) {
                return wrong();
            }
            within_limit(name, entries.len(), quirks)?;
            Ok(value.clone())
        }
        (Kind::Emails, Value::Array(entries)) => {
            within_limit(name, entries.len(), quirks)?;
            let emails: Result<Vec<Value>, Problem> = entries
                .iter()
                .map(|entry| object(name, entry, "emailAddress", &EMAIL))
                .collect();
            emails.map(Value::Array)
        }
        (Kind::EmailSlot(_), _) => object(name, value, "emailAddress", &EMAIL),
        (Kind::Address, _) => object(name, value, "physicalAddress", &ADDRESS),
        _ => wrong(),
    }
}

const EMAIL: [&str; 2] = ["name", "address"];
const ADDRESS: [&str; 5] = ["street", "city", "state", "countryOrRegion", "postalCode"];

/// An object of text members, without those that are empty.
fn object(name: &str, value: &Value, type_name: &str, members: &[&str]) -> Result<Value, Problem> {
    let Some(object) = value.as_object() else {
        let why = format!("Cannot convert the value of property '{name}' to the expected type.");
        return Err(Problem::new(400, "RequestBodyRead", &why));
    };
    let mut kept = Map::new();
    for (member, value) in object {
        if member == "@odata.type" {
            continue;
        }
        if !members.contains(&member.as_str()) {
            return Err(no_such_property(member, type_name));
        }
        match value {
            Value::Null => {}
            Value::String(text) if text.is_empty() => {}
            Value::String(_) => {
                kept.insert(member.clone(), value.clone());
            }
            _ => return Err(no_such_property(member, type_name)),
        }
    }
    Ok(Value::Object(kept))
}

fn within_limit(name: &str, count: usize, quirks: &GraphQuirks) -> Result<(), Problem> {
    let (title, max) = match name {
        "businessPhones" => ("BusinessPhones", quirks.business_phones_max),
        "homePhones" => ("HomePhones", quirks.home_phones_max),
        "emailAddresses" => ("EmailAddresses", quirks.email_addresses_max),
        "imAddresses" => ("ImAddresses", quirks.im_addresses_max),
        _ => return Ok(()),
    };
    if count <= max {
        return Ok(());
    }
    // The text is Microsoft's (docs#15276); its code was never quoted.
    let why = format!(
        "The multi value property {title} has {count} entries, that exceeds the max allowed value \
         of {max}"
    );
    Err(Problem::new(400, "ErrorInvalidRequest", &why))
}

fn no_such_property(name: &str, type_name: &str) -> Problem {
    let why = format!(
        "The property '{name}' does not exist on type 'microsoft.graph.{type_name}'. Make sure to \
         only use property names that are defined by the type."
    );
    Problem::new(400, "RequestBodyRead", &why)
}

/// A date or a time with offset, as a time in UTC with whole seconds.
fn instant(text: &str) -> Option<String> {
    if let Ok(time) = text.parse::<jiff::Timestamp>() {
        return Some(utc(Timestamp(time.as_millisecond())));
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    (text.len() == 10).then(|| format!("{date}T00:00:00Z"))
}

impl Contact {
    /// Applies a draft as the server does, derived names included.
    pub(in crate::simulator) fn apply(&mut self, draft: Draft, quirks: &GraphQuirks) {
        let derived_before = derived_names(&self.properties);
        let file_as_before = self.property("fileAs");
        let renames = draft.names(&NAME_PARTS);
        let sets_display_name = draft.names(&["displayName"]);
        let sets_file_as = draft.names(&["fileAs"]);
        for (name, value) in draft.properties {
            self.set(&name, value, quirks);
        }
        for (id, value) in draft.extended {
            match value {
                Some(value) => self.extended.insert(id, value),
                None => self.extended.remove(&id),
            };
        }
        let (display_name, file_as) = derived_names(&self.properties);
        let missing = self.property("displayName").is_null();
        let regenerates = match quirks.display_name {
            DisplayNameRule::Kept => missing,
            DisplayNameRule::FollowsNames => missing || renames,
            DisplayNameRule::FollowsAll => true,
        };
        if regenerates && !sets_display_name {
            self.set_text("displayName", display_name);
        }
        let was_derived = file_as_before.as_str().unwrap_or_default() == derived_before.1;
        if !sets_file_as && (file_as_before.is_null() || (regenerates && was_derived)) {
            self.set_text("fileAs", file_as);
        }
    }

    fn set(&mut self, name: &str, value: Value, quirks: &GraphQuirks) {
        match kind_of(name) {
            Some(Kind::Emails) => self.set_emails(value, quirks),
            Some(Kind::EmailSlot(index)) => {
                let mut emails = self.emails();
                match value {
                    Value::Null if index < emails.len() => {
                        emails.remove(index);
                    }
                    Value::Null => {}
                    value => match emails.get_mut(index) {
                        Some(email) => *email = value,
                        None => emails.push(value),
                    },
                }
                self.set_emails(Value::Array(emails), quirks);
            }
            Some(kind) if value == empty(kind) || value.is_null() => {
                self.properties.shift_remove(name);
            }
            _ if is_vacant(&value) => {
                self.properties.shift_remove(name);
            }
            _ => {
                self.properties.insert(name.to_owned(), value);
            }
        }
    }

    /// The server keeps the name that it knows an address by.
    fn set_emails(&mut self, mut emails: Value, quirks: &GraphQuirks) {
        let held = self.emails();
        for email in emails.as_array_mut().into_iter().flatten() {
            let address = email.get("address").cloned();
            let mut known = held.iter();
            let known = known.find(|known| known.get("address") == address.as_ref());
            let known = known.and_then(|known| known.get("name").cloned());
            let name = match known {
                Some(known) if quirks.email_name_kept => Some(known),
                _ => email.get("name").cloned().or(address),
            };
            if let (Some(email), Some(name)) = (email.as_object_mut(), name) {
                email.insert("name".to_owned(), name);
            }
        }
        if emails.as_array().is_none_or(Vec::is_empty) || is_vacant(&emails) {
            self.properties.shift_remove("emailAddresses")
        } else {
            self.properties.insert("emailAddresses".to_owned(), emails)
        };
    }

    fn emails(&self) -> Vec<Value> {
        let emails = self
            .properties
            .get("emailAddresses")
            .and_then(Value::as_array);
        emails.cloned().unwrap_or_default()
    }

    fn set_text(&mut self, name: &str, text: String) {
        if text.is_empty() {
            self.properties.shift_remove(name)
        } else {
            self.properties.insert(name.to_owned(), Value::String(text))
        };
    }

    /// A property as it is stored.
    pub(in crate::simulator) fn property(&self, name: &str) -> Value {
        self.properties.get(name).cloned().unwrap_or_default()
    }

    /// A property that a client may write, as it is answered.
    pub(super) fn shown(&self, name: &str, kind: Kind, quirks: &GraphQuirks) -> Value {
        match kind {
            Kind::Emails => {
                let emails = self.emails().into_iter().filter(|email| !email.is_null());
                emails.map(|email| show_email(email, quirks)).collect()
            }
            Kind::EmailSlot(index) => match self.emails().into_iter().nth(index) {
                Some(email) => show_email(email, quirks),
                None => Value::Null,
            },
            // Graph shows lists without gaps; a slot that is free is Exchange's alone.
            Kind::Texts => {
                let held = self.properties.get(name).and_then(Value::as_array);
                let texts = held.into_iter().flatten().filter(|text| !text.is_null());
                texts.cloned().collect()
            }
            _ => match self.properties.get(name) {
                Some(value) => value.clone(),
                None => empty(kind),
            },
        }
    }
}

/// Whether a value is nothing, or a list of free slots.
fn is_vacant(value: &Value) -> bool {
    let is_free = |entries: &Vec<Value>| entries.iter().all(Value::is_null);
    value.is_null() || value.as_array().is_some_and(is_free)
}

fn show_email(email: Value, quirks: &GraphQuirks) -> Value {
    let address = email
        .get("address")
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_owned();
    let is_internal = |domain: &str| {
        let found = address.rsplit_once('@').map(|(_, found)| found);
        found.is_some_and(|found| found.eq_ignore_ascii_case(domain))
    };
    let mut email = email;
    let Some(object) = email.as_object_mut() else {
        return email;
    };
    match &quirks.internal_addresses {
        InternalAddresses::AsX500(domain) if is_internal(domain) => {
            let name = address.split('@').next().unwrap_or_default().to_uppercase();
            let name = format!(
                "/O=EXCHANGELABS/OU=EXCHANGE ADMINISTRATIVE GROUP (FYDIBOHF23SPDLT)/CN=RECIPIENTS\
                 /CN={name}"
            );
            object.insert("address".to_owned(), Value::String(name));
        }
        InternalAddresses::NameOnly(domain) if is_internal(domain) => {
            object.shift_remove("address");
        }
        _ => {}
    }
    email
}

const NAME_PARTS: [&str; 5] = [
    "givenName",
    "middleName",
    "surname",
    "generation",
    "companyName",
];

/// Display name and file-as, as the server derives them.
fn derived_names(properties: &Map<String, Value>) -> (String, String) {
    let text = |name: &str| {
        let value = properties.get(name).and_then(Value::as_str);
        value.unwrap_or_default().trim().to_owned()
    };
    let joined = |parts: &[String], sign: &str| {
        let parts: Vec<&str> = parts
            .iter()
            .map(String::as_str)
            .filter(|part| !part.is_empty())
            .collect();
        parts.join(sign)
    };
    let given = joined(&[text("givenName"), text("middleName")], " ");
    let display_name = joined(&[given.clone(), text("surname"), text("generation")], " ");
    let file_as = joined(&[text("surname"), given], ", ");
    if display_name.is_empty() {
        return (text("companyName"), text("companyName"));
    }
    (display_name, file_as)
}
