//! How a person's edit changes a record, in FLOWFACT and in Outlook.
//!
//! An edit that a record has no place for, or nothing to apply to, does nothing: so a history can
//! be shortened anywhere.

mod slots;

use serde_json::{Map, Value, json};

use super::history::Edit;
use super::values::{Line, PhoneKind, Token, Writing, number_in};
use crate::simulator::Dialect;

/// What Exchange has room for.
const PHONES_MAX: usize = 2;
const EMAILS_MAX: usize = 3;

/// The fields that an edit changes, each with its whole list of values.
pub(super) fn in_crm(fields: &Map<String, Value>, edit: &Edit) -> Map<String, Value> {
    let mut changed = Map::new();
    match edit {
        Edit::Set(line, token) => put(&mut changed, line.crm(), json!([token.crm_line(*line)])),
        Edit::Clear(line) if fields.contains_key(line.crm()) => {
            put(&mut changed, line.crm(), json!([]));
        }
        Edit::Rewrite(line, writing) => {
            let held = list(fields, line.crm());
            let held = held.first().and_then(Value::as_str);
            if let Some(token) = held.and_then(|held| again(held, *writing))
                && *line != Line::Birthday
            {
                put(&mut changed, line.crm(), json!([token.crm_line(*line)]));
            }
        }
        Edit::Clear(_) => {}
        Edit::SetAddress(..) | Edit::ChangeCity(..) | Edit::RemoveAddress(_) => {
            if let Some(addresses) = crm_addresses(list(fields, "addresses"), edit) {
                put(&mut changed, "addresses", Value::Array(addresses));
            }
        }
        Edit::AddEmail(_)
        | Edit::ChangeEmail(..)
        | Edit::RewriteEmail(..)
        | Edit::RemoveEmail(_)
        | Edit::SwapEmails => {
            let held = list(fields, "emails");
            let texts = held.iter().filter_map(Value::as_str).map(str::to_owned);
            if let Some(emails) = emails(texts.collect(), edit, usize::MAX) {
                put(&mut changed, "emails", json!(emails));
            }
        }
        _ => {
            if let Some(phones) = crm_phones(list(fields, "phones"), edit) {
                put(&mut changed, "phones", Value::Array(phones));
            }
        }
    }
    changed
}

/// The properties that an edit changes.
pub(super) fn in_mailbox(
    properties: &Map<String, Value>,
    edit: &Edit,
    dialect: Dialect,
) -> Map<String, Value> {
    match dialect {
        Dialect::Graph => in_office_365(properties, edit),
        Dialect::Ews => on_exchange_server(properties, edit),
    }
}

fn on_exchange_server(properties: &Map<String, Value>, edit: &Edit) -> Map<String, Value> {
    match edit {
        Edit::AddPhone(..)
        | Edit::ChangePhone(..)
        | Edit::RewritePhone(..)
        | Edit::RetypePhone(..)
        | Edit::RemovePhone(_)
        | Edit::SwapPhones
        | Edit::AddOpaquePhone(..) => slots::phones(properties, edit).unwrap_or_default(),
        Edit::AddEmail(_)
        | Edit::ChangeEmail(..)
        | Edit::RewriteEmail(..)
        | Edit::RemoveEmail(_)
        | Edit::SwapEmails => {
            let emails = slots::emails(properties, edit);
            let changed = emails.map(|emails| ("emailAddresses".to_owned(), emails));
            changed.into_iter().collect()
        }
        _ => {
            let changed = in_office_365(properties, edit).into_iter();
            changed
                .map(|(name, value)| (name, slots::pasted(value)))
                .collect()
        }
    }
}

fn in_office_365(properties: &Map<String, Value>, edit: &Edit) -> Map<String, Value> {
    let mut changed = Map::new();
    match edit {
        Edit::Set(line, token) => {
            put(&mut changed, line.mailbox(), token.mailbox_line(*line));
        }
        Edit::Clear(line) if properties.contains_key(line.mailbox()) => {
            put(&mut changed, line.mailbox(), Value::Null);
        }
        Edit::Rewrite(line, writing) => {
            let held = properties.get(line.mailbox()).and_then(Value::as_str);
            if let Some(token) = held.and_then(|held| again(held, *writing))
                && *line != Line::Birthday
            {
                put(&mut changed, line.mailbox(), token.mailbox_line(*line));
            }
        }
        Edit::Clear(_) => {}
        Edit::SetAddress(kind, token) => {
            if let Some(name) = kind.address() {
                put(&mut changed, name, mailbox_address(&token.address()));
            }
        }
        Edit::ChangeCity(index, token) => {
            if let Some((name, mut address)) = held_address(properties, *index) {
                if let Some(parts) = address.as_object_mut() {
                    parts.insert("city".to_owned(), json!(token.city()));
                }
                put(&mut changed, name, address);
            }
        }
        Edit::RemoveAddress(index) => {
            if let Some((name, _)) = held_address(properties, *index) {
                put(&mut changed, name, Value::Null);
            }
        }
        Edit::AddEmail(_)
        | Edit::ChangeEmail(..)
        | Edit::RewriteEmail(..)
        | Edit::RemoveEmail(_)
        | Edit::SwapEmails => {
            let held = list(properties, "emailAddresses");
            let texts = held
                .iter()
                .filter_map(|email| email.get("address")?.as_str());
            let texts = texts.map(str::to_owned).collect();
            if let Some(emails) = emails(texts, edit, EMAILS_MAX) {
                let emails = emails
                    .iter()
                    .map(|email| json!({"address": email, "name": email}));
                put(&mut changed, "emailAddresses", emails.collect());
            }
        }
        _ => {
            if let Some(phones) = mailbox_phones(mailbox_numbers(properties), edit) {
                set_mailbox_numbers(&mut changed, &phones);
            }
        }
    }
    changed
}

fn put(changed: &mut Map<String, Value>, name: &str, value: Value) {
    changed.insert(name.to_owned(), value);
}

fn list(fields: &Map<String, Value>, name: &str) -> Vec<Value> {
    let values = fields.get(name).and_then(Value::as_array);
    values.cloned().unwrap_or_default()
}

/// The value of this text in another writing.
fn again(text: &str, writing: Writing) -> Option<Token> {
    let number = number_in(text)?;
    Some(Token { number, writing })
}

fn crm_phones(mut phones: Vec<Value>, edit: &Edit) -> Option<Vec<Value>> {
    let new = |kind: PhoneKind, number: String| json!({"type": kind.crm(), "number": number});
    let number_of = |phone: &Value| phone.get("number")?.as_str().map(str::to_owned);
    let at = |index: usize, phones: &Vec<Value>| index.checked_rem(phones.len());
    let set = |phone: &mut Value, member: &str, text: String| {
        if let Some(members) = phone.as_object_mut() {
            members.insert(member.to_owned(), json!(text));
        }
    };
    match edit {
        Edit::AddPhone(kind, token) => phones.push(new(*kind, token.phone())),
        Edit::AddOpaquePhone(kind, token) => phones.push(new(*kind, token.opaque_phone())),
        Edit::ChangePhone(index, token) => {
            let index = at(*index, &phones)?;
            set(phones.get_mut(index)?, "number", token.phone());
        }
        Edit::RewritePhone(index, writing) => {
            let index = at(*index, &phones)?;
            let phone = phones.get_mut(index)?;
            let number = number_of(phone).filter(|held| is_number(held))?;
            set(phone, "number", again(&number, *writing)?.phone());
        }
        Edit::RetypePhone(index, kind) => {
            let index = at(*index, &phones)?;
            set(phones.get_mut(index)?, "type", kind.crm().to_owned());
        }
        Edit::RemovePhone(index) => {
            let index = at(*index, &phones)?;
            phones.remove(index);
        }
        Edit::SwapPhones if phones.len() > 1 => phones.reverse(),
        _ => return None,
    }
    Some(phones)
}

fn is_number(text: &str) -> bool {
    !text.chars().any(char::is_alphabetic)
}

fn mailbox_numbers(properties: &Map<String, Value>) -> Vec<(PhoneKind, String)> {
    let mut numbers = Vec::new();
    let rooms = [
        ("businessPhones", PhoneKind::Office),
        ("homePhones", PhoneKind::Private),
    ];
    for (name, kind) in rooms {
        let held = list(properties, name);
        let held = held.iter().filter_map(Value::as_str);
        numbers.extend(held.map(|number| (kind, number.to_owned())));
    }
    let mobile = properties.get("mobilePhone").and_then(Value::as_str);
    numbers.extend(mobile.map(|number| (PhoneKind::Mobile, number.to_owned())));
    numbers
}

fn set_mailbox_numbers(changed: &mut Map<String, Value>, numbers: &[(PhoneKind, String)]) {
    let of = |wanted: PhoneKind| -> Vec<&String> {
        let found = numbers.iter().filter(|(kind, _)| *kind == wanted);
        found.map(|(_, number)| number).collect()
    };
    put(changed, "businessPhones", json!(of(PhoneKind::Office)));
    put(changed, "homePhones", json!(of(PhoneKind::Private)));
    put(changed, "mobilePhone", json!(of(PhoneKind::Mobile).first()));
}

fn mailbox_phones(
    mut phones: Vec<(PhoneKind, String)>,
    edit: &Edit,
) -> Option<Vec<(PhoneKind, String)>> {
    let room = |kind: PhoneKind| match kind {
        PhoneKind::Other => PhoneKind::Private,
        kind => kind,
    };
    let at = |index: usize, phones: &Vec<(PhoneKind, String)>| index.checked_rem(phones.len());
    let has_room = |phones: &Vec<(PhoneKind, String)>, kind: PhoneKind| {
        let most = if kind == PhoneKind::Mobile {
            1
        } else {
            PHONES_MAX
        };
        phones.iter().filter(|(held, _)| *held == kind).count() < most
    };
    match edit {
        Edit::AddPhone(kind, token) if has_room(&phones, room(*kind)) => {
            phones.push((room(*kind), token.phone()));
        }
        Edit::AddOpaquePhone(kind, token) if has_room(&phones, room(*kind)) => {
            phones.push((room(*kind), token.opaque_phone()));
        }
        Edit::ChangePhone(index, token) => {
            let index = at(*index, &phones)?;
            phones.get_mut(index)?.1 = token.phone();
        }
        Edit::RewritePhone(index, writing) => {
            let index = at(*index, &phones)?;
            let phone = phones.get_mut(index).filter(|(_, held)| is_number(held))?;
            phone.1 = again(&phone.1, *writing)?.phone();
        }
        Edit::RetypePhone(index, kind) => {
            let index = at(*index, &phones)?;
            if !has_room(&phones, room(*kind)) {
                return None;
            }
            phones.get_mut(index)?.0 = room(*kind);
        }
        Edit::RemovePhone(index) => {
            let index = at(*index, &phones)?;
            phones.remove(index);
        }
        Edit::SwapPhones if phones.len() > 1 => phones.reverse(),
        _ => return None,
    }
    Some(phones)
}

fn emails(mut emails: Vec<String>, edit: &Edit, most: usize) -> Option<Vec<String>> {
    let at = |index: usize, emails: &Vec<String>| index.checked_rem(emails.len());
    match edit {
        Edit::AddEmail(token) if emails.len() < most => emails.push(token.email()),
        Edit::ChangeEmail(index, token) => {
            let index = at(*index, &emails)?;
            *emails.get_mut(index)? = token.email();
        }
        Edit::RewriteEmail(index, writing) => {
            let index = at(*index, &emails)?;
            let email = emails.get_mut(index)?;
            *email = again(email, *writing)?.email();
        }
        Edit::RemoveEmail(index) => {
            let index = at(*index, &emails)?;
            emails.remove(index);
        }
        Edit::SwapEmails if emails.len() > 1 => emails.reverse(),
        _ => return None,
    }
    Some(emails)
}

fn crm_addresses(mut addresses: Vec<Value>, edit: &Edit) -> Option<Vec<Value>> {
    match edit {
        Edit::SetAddress(kind, token) => {
            kind.address()?;
            let [street, code, city, country] = token.address();
            let new = json!({
                "type": kind.crm(), "street": street, "zipcode": code, "city": city,
                "country": country,
            });
            let is_kind = |address: &&mut Value| address.get("type") == Some(&json!(kind.crm()));
            match addresses.iter_mut().find(is_kind) {
                Some(address) => *address = new,
                None => addresses.push(new),
            }
        }
        Edit::ChangeCity(index, token) => {
            let index = index.checked_rem(addresses.len())?;
            let parts = addresses.get_mut(index)?.as_object_mut()?;
            parts.insert("city".to_owned(), json!(token.city()));
        }
        Edit::RemoveAddress(index) => {
            let index = index.checked_rem(addresses.len())?;
            addresses.remove(index);
        }
        _ => return None,
    }
    Some(addresses)
}

fn mailbox_address([street, code, city, country]: &[String; 4]) -> Value {
    json!({"street": street, "postalCode": code, "city": city, "countryOrRegion": country})
}

fn held_address(properties: &Map<String, Value>, index: usize) -> Option<(&'static str, Value)> {
    let names = PhoneKind::ALL.into_iter().filter_map(PhoneKind::address);
    let held: Vec<(&'static str, Value)> = names
        .filter_map(|name| Some((name, properties.get(name)?.clone())))
        .collect();
    let index = index.checked_rem(held.len())?;
    held.into_iter().nth(index)
}
