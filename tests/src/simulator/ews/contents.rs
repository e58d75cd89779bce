//! What a written `t:Contact` says: slots and values, in the order of its elements.

use serde_json::{Value, json};

use super::fields::{ADDRESSES, LISTS, Path, SINGLES, Slot, address, instant, numbered, phone};
use super::refusal::Refusal;
use super::xml::Node;

/// Texts that are longer are refused by the store (exchangelib, `test_basics.py`).
const TEXT_CHARACTERS_MAX: usize = 255;
const LIMITED: [&str; 4] = ["givenName", "middleName", "surname", "subject"];

/// The properties that an element sets. Entries without anything in them set nothing.
pub(super) fn read(contact: &Node) -> Result<Vec<(Slot, Value)>, Refusal> {
    let mut set = Vec::new();
    for node in &contact.children {
        read_child(node, &mut set)?;
    }
    Ok(set)
}

fn read_child(node: &Node, set: &mut Vec<(Slot, Value)>) -> Result<(), Refusal> {
    let name = node.name.as_str();
    if let Some((.., property)) = SINGLES.iter().find(|(_, element, _)| *element == name) {
        set.push((Slot::Text(property), single(property, &node.text)?));
        return Ok(());
    }
    if let Some((.., property)) = LISTS.iter().find(|(_, element, _)| *element == name) {
        let texts: Vec<&str> = node
            .children
            .iter()
            .map(|text| text.text.as_str())
            .collect();
        set.push((Slot::List(property), json!(texts)));
        return Ok(());
    }
    match name {
        "EmailAddresses" => read_emails(node, set),
        "PhoneNumbers" => read_entries(node, set, phone),
        "ImAddresses" => read_entries(node, set, |key| {
            numbered("ImAddress", key).map(|place| Slot::Listed("imAddresses", place))
        }),
        "PhysicalAddresses" => read_addresses(node, set),
        "ExtendedProperty" => return read_extended(node, set),
        "ItemClass" => {
            if !node.text.trim().starts_with("IPM.Contact") {
                let why = "The item class does not fit the item.";
                return Err(Refusal::new("ErrorInvalidItemForOperationCreateItem", why));
            }
        }
        // The global address list's (exchangelib, `items/contact.py`).
        "Notes" | "Photo" => {
            let why = "The property is not valid for this object type.";
            return Err(Refusal::new("ErrorInvalidPropertyRequest", why));
        }
        "Sensitivity"
        | "Importance"
        | "Culture"
        | "ReminderDueBy"
        | "ReminderIsSet"
        | "ReminderMinutesBeforeStart"
        | "Flag"
        | "ContactSource" => {
            set.push((Slot::Nowhere, Value::Null));
        }
        _ => {
            let why = "Set action is invalid for property.";
            return Err(Refusal::new("ErrorInvalidPropertySet", why));
        }
    }
    Ok(())
}

fn single(property: &str, text: &str) -> Result<Value, Refusal> {
    // Exchange strips blanks at the end (exchangelib, `tests/common.py`).
    let text = text.trim_end_matches(' ');
    if text.is_empty() {
        return Ok(Value::Null);
    }
    if LIMITED.contains(&property) && text.chars().count() > TEXT_CHARACTERS_MAX {
        let why = "An update operation failed. See inner exception for details.";
        return Err(Refusal::new("ErrorPropertyUpdate", why));
    }
    if matches!(property, "birthday" | "weddingAnniversary") {
        let instant = instant(text.trim());
        return instant.map(Value::String).ok_or_else(|| {
            Refusal::new(
                "ErrorInvalidValueForProperty",
                "The specified value is invalid.",
            )
        });
    }
    Ok(Value::String(text.to_owned()))
}

fn read_emails(node: &Node, set: &mut Vec<(Slot, Value)>) {
    for entry in &node.children {
        let key = entry.attribute("Key").unwrap_or_default();
        let text = entry.text.trim();
        if let (Some(place), false) = (numbered("EmailAddress", key), text.is_empty()) {
            let mut email = json!({"address": text});
            if let (Some(email), Some(name)) = (email.as_object_mut(), entry.attribute("Name")) {
                email.insert("name".to_owned(), name.into());
            }
            set.push((Slot::Email(place), email));
        }
    }
}

fn read_entries(node: &Node, set: &mut Vec<(Slot, Value)>, slot: impl Fn(&str) -> Option<Slot>) {
    for entry in &node.children {
        let text = entry.text.trim_end_matches(' ');
        let slot = slot(entry.attribute("Key").unwrap_or_default()).unwrap_or(Slot::Nowhere);
        if !text.is_empty() {
            set.push((slot, Value::String(text.to_owned())));
        }
    }
}

fn read_addresses(node: &Node, set: &mut Vec<(Slot, Value)>) {
    for entry in &node.children {
        let key = entry.attribute("Key").unwrap_or_default();
        debug_assert!(
            ADDRESSES.iter().any(|(known, _)| *known == key),
            "by schema"
        );
        for part in &entry.children {
            let text = part.text.trim_end_matches(' ');
            if let (Some(slot), false) = (address(key, &part.name), text.is_empty()) {
                set.push((slot, Value::String(text.to_owned())));
            }
        }
    }
}

fn read_extended(node: &Node, set: &mut Vec<(Slot, Value)>) -> Result<(), Refusal> {
    let (Some(uri), Some(value)) = (node.children.first(), node.child("Value")) else {
        let why = "The extended property has no single value.";
        return Err(Refusal::new("ErrorInvalidExtendedPropertyValue", why));
    };
    let slot = match Path::read(uri)?.slot() {
        Some(Slot::SearchKey) | None => {
            let why = "Set action is invalid for property.";
            return Err(Refusal::new("ErrorInvalidPropertySet", why));
        }
        Some(slot) => slot,
    };
    let value = match &slot {
        Slot::Text(property) => single(property, &value.text)?,
        _ => Value::String(value.text.clone()),
    };
    set.push((slot, value));
    Ok(())
}
