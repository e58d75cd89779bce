//! How a contact looks on the wire
//! (<https://learn.microsoft.com/graph/api/resources/contact?view=graph-rest-1.0>).
//!
//! Null, an empty text, an empty list and `{}` are all the same: no value. Phones and e-mails are
//! lists without gaps, so the n-th entry stands in the n-th slot.

use serde_json::{Map, Value, json};

use crate::contact::{
    ChangeKey, Field, MailboxContact, MailboxEmail, MailboxId, PostalAddress, RECORD_BYTES_MAX,
    SearchKey, Slot, View, value_bytes,
};
use crate::mailbox::folders::Found;
use crate::outside::Timestamp;
use crate::report::Problem;

/// Properties that every read asks for: those that are mapped, and what identifies a version. Never
/// the notes.
pub(super) const SELECT: &str = "id,changeKey,lastModifiedDateTime,parentFolderId,displayName,\
    fileAs,givenName,surname,title,companyName,department,jobTitle,businessHomePage,\
    businessPhones,homePhones,mobilePhone,emailAddresses,businessAddress,homeAddress,otherAddress,\
    birthday";

/// The MAPI named property that holds our key: name and GUID are ours and never vary, because a
/// mailbox has room for a limited number of names
/// (<https://learn.microsoft.com/graph/api/resources/extended-properties-overview>).
pub(super) const KEY_PROPERTY: &str =
    "String {6d2f5b34-0c1e-4a76-9b0d-3e58c7a1f942} Name ContactSyncKey";

const TEXTS: [(Field, &str); 7] = [
    (Field::FirstName, "givenName"),
    (Field::LastName, "surname"),
    (Field::AcademicTitle, "title"),
    (Field::Company, "companyName"),
    (Field::Department, "department"),
    (Field::Position, "jobTitle"),
    (Field::Website, "businessHomePage"),
];

/// Two of each at most: a third is refused with the whole contact
/// (<https://github.com/microsoftgraph/microsoft-graph-docs/issues/15276>).
const PHONES: [(&str, [Slot; 2]); 2] = [
    (
        "businessPhones",
        [Slot::BusinessPhone1, Slot::BusinessPhone2],
    ),
    ("homePhones", [Slot::HomePhone1, Slot::HomePhone2]),
];

/// Three at most (the same issue).
const EMAILS: [Slot; 3] = [Slot::Email1, Slot::Email2, Slot::Email3];

const ADDRESSES: [(Slot, &str); 3] = [
    (Slot::BusinessAddress, "businessAddress"),
    (Slot::HomeAddress, "homeAddress"),
    (Slot::OtherAddress, "otherAddress"),
];

/// The entry's id, whatever else can be read of it.
pub(super) fn id(json: &Value) -> Option<MailboxId> {
    json.get("id")
        .and_then(Value::as_str)
        .filter(|id| !id.is_empty())
        .map(MailboxId::new)
}

/// Contact groups share the folder; they say another type than `#microsoft.graph.contact`.
pub(super) fn is_contact(json: &Value) -> bool {
    match json.get("@odata.type").and_then(Value::as_str) {
        Some(found) => found.to_ascii_lowercase().ends_with(".contact"),
        None => true,
    }
}

/// Whether an entry names every mapped property, be it with null. Delta promises no more than what
/// has changed (<https://learn.microsoft.com/graph/delta-query-overview>), and a property that was
/// left out must not be read as empty.
pub(super) fn is_whole(json: &Value) -> bool {
    let mapped = SELECT.split(',').filter(|name| {
        !matches!(
            *name,
            "id" | "changeKey" | "lastModifiedDateTime" | "parentFolderId"
        )
    });
    mapped.into_iter().all(|name| json.get(name).is_some())
}

/// Reads a contact. A property that is no value of its kind makes the whole contact unreadable:
/// it would be written back wrongly.
pub(super) fn parse(json: &Value) -> Result<Found, Problem> {
    let id = id(json).ok_or_else(|| unreadable(None, "id"))?;
    if value_bytes(json) > RECORD_BYTES_MAX {
        return Err(too_large(&id));
    }
    let etag = json.get("@odata.etag").and_then(Value::as_str);
    let change_key = match text(json, "changeKey", &id)? {
        Some(change_key) => change_key,
        None => etag
            .and_then(|etag| etag.strip_prefix("W/\"")?.strip_suffix('"'))
            .ok_or_else(|| unreadable(Some(&id), "changeKey"))?
            .to_owned(),
    };
    let modified = text(json, "lastModifiedDateTime", &id)?.and_then(|text| instant(&text));
    let folder = text(json, "parentFolderId", &id)?;
    let view = view(json, &id)?;
    let contact = MailboxContact {
        id,
        change_key: ChangeKey::new(change_key),
        stable_id: None,
        modified,
        view,
    };
    Ok(Found { contact, folder })
}

/// The body of a create: no nulls and nothing empty, because a null address is answered with 500
/// (<https://github.com/microsoftgraph/msgraph-sdk-dotnet/issues/2368>).
pub(super) fn draft(view: &View, key: &SearchKey) -> Value {
    let mut body = Map::new();
    let all = properties(view);
    body.extend(
        all.into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?))),
    );
    body.insert(
        "singleValueExtendedProperties".into(),
        json!([{ "id": KEY_PROPERTY, "value": key.as_str() }]),
    );
    Value::Object(body)
}

/// The body of an update: only what differs; `None` where nothing does.
///
/// The displayed names go along with every update: "later updates to other properties may cause an
/// automatically generated value to overwrite the displayName; to preserve a pre-existing value,
/// always include it"
/// (<https://learn.microsoft.com/graph/api/resources/contact?view=graph-rest-1.0#properties>).
pub(super) fn patch(before: &View, after: &View) -> Option<Value> {
    let mut body = Map::new();
    for ((name, old), (_, new)) in properties(before).into_iter().zip(properties(after)) {
        // The server keeps an e-mail's display name as it likes: that alone is no difference
        // (<https://github.com/microsoftgraph/microsoft-graph-docs/issues/19265>).
        let same = match name {
            "emailAddresses" => email_texts(before) == email_texts(after),
            _ => old == new,
        };
        if !same {
            body.insert(
                name.to_owned(),
                new.map_or_else(|| cleared(name), |new| filled(name, new)),
            );
        }
    }
    if body.is_empty() {
        return None;
    }
    for (name, value) in [
        ("displayName", &after.display_name),
        ("fileAs", &after.file_as),
    ] {
        if let Some(value) = value {
            body.insert(name.to_owned(), json!(value));
        }
    }
    Some(Value::Object(body))
}

/// Whether an update clears an address: whether Graph then does so is not documented, so its answer
/// is not believed and the contact is read again.
pub(super) fn clears_address(before: &View, after: &View) -> bool {
    before
        .addresses
        .keys()
        .any(|slot| !after.addresses.contains_key(slot))
}

/// How `If-Match` names a version
/// (<https://github.com/microsoftgraph/microsoft-graph-docs/issues/2186>).
pub(super) fn etag(change_key: &ChangeKey) -> String {
    format!("W/\"{}\"", change_key.as_str())
}

/// Members of an address (<https://learn.microsoft.com/graph/api/resources/physicaladdress>).
const ADDRESS_MEMBERS: [&str; 5] = ["street", "city", "state", "postalCode", "countryOrRegion"];

/// An address without any part, as an update sends it: an object whose members are all null. It
/// means the same whether Graph replaces the object or merges its members, while a null in place of
/// the object is known to break creates.
fn cleared_address() -> Value {
    Value::Object(
        ADDRESS_MEMBERS
            .iter()
            .map(|name| ((*name).to_owned(), Value::Null))
            .collect(),
    )
}

/// What clears a property: null for one value, an empty list for a list.
fn cleared(name: &str) -> Value {
    match name {
        "businessPhones" | "homePhones" | "emailAddresses" => json!([]),
        "businessAddress" | "homeAddress" | "otherAddress" => cleared_address(),
        _ => Value::Null,
    }
}

/// A property of an update. An address names its empty parts, for the reason that
/// [`cleared_address`] gives.
fn filled(name: &str, value: Value) -> Value {
    match (name, value) {
        ("businessAddress" | "homeAddress" | "otherAddress", Value::Object(parts)) => {
            let mut whole = cleared_address();
            if let Value::Object(members) = &mut whole {
                members.extend(parts);
            }
            whole
        }
        (_, value) => value,
    }
}

/// All properties of a view in a fixed order, `None` where there is no value.
fn properties(view: &View) -> Vec<(&'static str, Option<Value>)> {
    let mut properties: Vec<(&'static str, Option<Value>)> = Vec::with_capacity(20);
    let some_text = |text: &String| (!text.is_empty()).then(|| json!(text));
    properties.push((
        "displayName",
        view.display_name.as_ref().and_then(some_text),
    ));
    properties.push(("fileAs", view.file_as.as_ref().and_then(some_text)));
    for (field, name) in TEXTS {
        properties.push((name, view.texts.get(&field).and_then(some_text)));
    }
    for (name, slots) in PHONES {
        let numbers: Vec<&String> = slots
            .iter()
            .filter_map(|slot| view.phones.get(slot))
            .collect();
        properties.push((name, (!numbers.is_empty()).then(|| json!(numbers))));
    }
    properties.push((
        "mobilePhone",
        view.phones.get(&Slot::MobilePhone).and_then(some_text),
    ));
    let emails: Vec<Value> = EMAILS
        .iter()
        .filter_map(|slot| view.emails.get(slot))
        .map(email_json)
        .collect();
    properties.push((
        "emailAddresses",
        (!emails.is_empty()).then(|| json!(emails)),
    ));
    for (slot, name) in ADDRESSES {
        properties.push((name, view.addresses.get(&slot).and_then(address_json)));
    }
    properties.push(("birthday", view.birthday.as_ref().and_then(some_text)));
    properties
}

fn email_json(email: &MailboxEmail) -> Value {
    let members = [("address", &email.address), ("name", &email.name)];
    let present = members.into_iter().filter(|(_, text)| !text.is_empty());
    Value::Object(
        present
            .map(|(name, text)| (name.to_owned(), json!(text)))
            .collect(),
    )
}

fn email_texts(view: &View) -> Vec<&str> {
    let emails = EMAILS.iter().filter_map(|slot| view.emails.get(slot));
    emails
        .map(|email| {
            if email.address.is_empty() {
                &*email.name
            } else {
                &*email.address
            }
        })
        .collect()
}

fn address_json(address: &PostalAddress) -> Option<Value> {
    let PostalAddress {
        street,
        postal_code,
        city,
        state,
        country,
    } = address;
    let parts = [street, city, state, postal_code, country];
    let members: Map<String, Value> = ADDRESS_MEMBERS
        .iter()
        .zip(parts)
        .filter(|(_, text)| !text.is_empty())
        .map(|(name, text)| ((*name).to_owned(), json!(text)))
        .collect();
    (!members.is_empty()).then_some(Value::Object(members))
}

fn view(json: &Value, id: &MailboxId) -> Result<View, Problem> {
    let mut view = View {
        display_name: text(json, "displayName", id)?,
        file_as: text(json, "fileAs", id)?,
        birthday: text(json, "birthday", id)?,
        ..View::default()
    };
    for (field, name) in TEXTS {
        if let Some(text) = text(json, name, id)? {
            view.texts.insert(field, text);
        }
    }
    for (name, slots) in PHONES {
        let mut numbers = Vec::new();
        for entry in entries(json, name, id)? {
            match entry {
                Value::String(number) if number.is_empty() => {}
                Value::String(number) => numbers.push(number.clone()),
                _ => return Err(unreadable(Some(id), name)),
            }
        }
        view.phones
            .extend(into_slots(&slots, numbers).ok_or_else(|| unreadable(Some(id), name))?);
    }
    if let Some(number) = text(json, "mobilePhone", id)? {
        view.phones.insert(Slot::MobilePhone, number);
    }
    let mut emails = Vec::new();
    for entry in entries(json, "emailAddresses", id)? {
        let address = text(entry, "address", id)?.unwrap_or_default();
        let name = text(entry, "name", id)?.unwrap_or_default();
        if !(address.is_empty() && name.is_empty()) {
            emails.push(MailboxEmail { address, name });
        }
    }
    let emails = into_slots(&EMAILS, emails);
    view.emails
        .extend(emails.ok_or_else(|| unreadable(Some(id), "emailAddresses"))?);
    for (slot, name) in ADDRESSES {
        if let Some(address) = address(json, name, id)? {
            view.addresses.insert(slot, address);
        }
    }
    Ok(view)
}

fn address(json: &Value, name: &str, id: &MailboxId) -> Result<Option<PostalAddress>, Problem> {
    let object = match json.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(object @ Value::Object(_)) => object,
        Some(_) => return Err(unreadable(Some(id), name)),
    };
    let part = |member| text(object, member, id).map(Option::unwrap_or_default);
    let address = PostalAddress {
        street: part("street")?,
        city: part("city")?,
        state: part("state")?,
        postal_code: part("postalCode")?,
        country: part("countryOrRegion")?,
    };
    Ok((address != PostalAddress::default()).then_some(address))
}

/// Each value with its slot; `None` if there are more values than slots: written back, the list
/// would lose the rest.
fn into_slots<T>(slots: &[Slot], values: Vec<T>) -> Option<Vec<(Slot, T)>> {
    (values.len() <= slots.len()).then(|| slots.iter().copied().zip(values).collect())
}

fn entries<'a>(json: &'a Value, name: &str, id: &MailboxId) -> Result<Vec<&'a Value>, Problem> {
    match json.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(entries)) => {
            Ok(entries.iter().filter(|entry| !entry.is_null()).collect())
        }
        Some(_) => Err(unreadable(Some(id), name)),
    }
}

fn text(json: &Value, name: &str, id: &MailboxId) -> Result<Option<String>, Problem> {
    match json.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.is_empty() => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(unreadable(Some(id), name)),
    }
}

fn instant(text: &str) -> Option<Timestamp> {
    text.parse::<jiff::Timestamp>()
        .ok()
        .map(|instant| Timestamp(instant.as_millisecond()))
}

fn too_large(id: &MailboxId) -> Problem {
    Problem {
        message: format!(
            "Microsoft Graph's contact {id} holds more than {} KiB",
            RECORD_BYTES_MAX / 1024
        ),
        remedy: Some(
            "shorten what it holds in Outlook and save it; the other contacts go on".into(),
        ),
    }
}

fn unreadable(id: Option<&MailboxId>, name: &str) -> Problem {
    let which = id.map_or_else(|| "without an id".to_owned(), ToString::to_string);
    Problem {
        message: format!("Microsoft Graph's contact {which} cannot be read: `{name}`"),
        remedy: Some(
            "open the contact in Outlook, correct this value and save it; the other contacts go on"
                .into(),
        ),
    }
}
