//! How a person's edit changes a contact on an Exchange Server, where each value has a slot of its
//! own: there is one phone more than Graph knows, a freed slot stays free, and what is added need
//! not take the first one.

use serde_json::{Map, Value, json};

use super::super::history::Edit;
use super::super::values::PhoneKind;
use super::{again, is_number, list, put};

/// Slots for phones: kind, property, place in its list.
const PHONES: [(PhoneKind, &str, Option<usize>); 6] = [
    (PhoneKind::Office, "businessPhones", Some(0)),
    (PhoneKind::Office, "businessPhones", Some(1)),
    (PhoneKind::Private, "homePhones", Some(0)),
    (PhoneKind::Private, "homePhones", Some(1)),
    (PhoneKind::Mobile, "mobilePhone", None),
    (PhoneKind::Other, "otherTelephone", None),
];

/// What each slot holds.
type Slots<const COUNT: usize> = [Option<String>; COUNT];

/// The properties that an edit of a phone changes; `None` where it changes nothing.
pub(super) fn phones(properties: &Map<String, Value>, edit: &Edit) -> Option<Map<String, Value>> {
    let mut slots = PHONES.map(|(_, name, place)| match place {
        Some(place) => text(list(properties, name).get(place)),
        None => text(properties.get(name)),
    });
    match edit {
        Edit::AddPhone(kind, token) => {
            let at = free_for(&slots, *kind, token.number)?;
            *slots.get_mut(at)? = Some(token.phone());
        }
        Edit::AddOpaquePhone(kind, token) => {
            let at = free_for(&slots, *kind, token.number)?;
            *slots.get_mut(at)? = Some(token.opaque_phone());
        }
        Edit::ChangePhone(index, token) => {
            let at = taken(&slots, *index)?;
            *slots.get_mut(at)? = Some(token.phone());
        }
        Edit::RewritePhone(index, writing) => {
            let at = taken(&slots, *index)?;
            let slot = slots.get_mut(at)?;
            let token = again(slot.as_deref().filter(|held| is_number(held))?, *writing)?;
            *slot = Some(token.phone());
        }
        Edit::RetypePhone(index, kind) => {
            // Within its own room it goes to the other slot.
            let (from, to) = (taken(&slots, *index)?, free_for(&slots, *kind, 1)?);
            slots.swap(from, to);
        }
        Edit::RemovePhone(index) => {
            let at = taken(&slots, *index)?;
            *slots.get_mut(at)? = None;
        }
        Edit::SwapPhones if slots.iter().flatten().count() > 1 => {
            slots.swap(0, 1);
            slots.swap(2, 3);
        }
        _ => return None,
    }
    let mut changed = Map::new();
    let [business, business_2, home, home_2, mobile, other] = slots;
    put(
        &mut changed,
        "businessPhones",
        listed([business, business_2]),
    );
    put(&mut changed, "homePhones", listed([home, home_2]));
    put(&mut changed, "mobilePhone", json!(mobile));
    put(&mut changed, "otherTelephone", json!(other));
    Some(changed)
}

/// The e-mail addresses after an edit; `None` where it changes nothing.
pub(super) fn emails(properties: &Map<String, Value>, edit: &Edit) -> Option<Value> {
    let held = list(properties, "emailAddresses");
    let address = |place: usize| text(held.get(place).and_then(|email| email.get("address")));
    let mut slots: Slots<3> = [address(0), address(1), address(2)];
    match edit {
        Edit::AddEmail(token) => {
            let free = slots.iter().enumerate().filter(|(_, slot)| slot.is_none());
            let free: Vec<usize> = free.map(|(at, _)| at).collect();
            let at = either(&free, token.number)?;
            *slots.get_mut(at)? = Some(token.email());
        }
        Edit::ChangeEmail(index, token) => {
            let at = taken(&slots, *index)?;
            *slots.get_mut(at)? = Some(token.email());
        }
        Edit::RewriteEmail(index, writing) => {
            let at = taken(&slots, *index)?;
            let slot = slots.get_mut(at)?;
            *slot = Some(again(slot.as_deref()?, *writing)?.email());
        }
        Edit::RemoveEmail(index) => {
            let at = taken(&slots, *index)?;
            *slots.get_mut(at)? = None;
        }
        Edit::SwapEmails if slots.iter().flatten().count() > 1 => slots.reverse(),
        _ => return None,
    }
    let emails = slots.map(|slot| slot.map(|email| json!({"address": email, "name": email})));
    Some(without_end(emails.map(Option::unwrap_or_default).to_vec()))
}

/// A text with a character that XML forbids, as Outlook leaves them behind where it was pasted
/// (ews-managed-api#136): to the eye it is a blank.
pub(super) fn pasted(value: Value) -> Value {
    match value {
        Value::String(text) => json!(text.replace("  ", "\u{b} ")),
        value => value,
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value.and_then(Value::as_str).map(str::to_owned)
}

/// A free slot for a phone of this kind.
fn free_for(slots: &Slots<6>, kind: PhoneKind, number: u32) -> Option<usize> {
    let slots = slots.iter().zip(PHONES).enumerate();
    let free = slots.filter(|(_, (slot, (held, ..)))| *held == kind && slot.is_none());
    let free: Vec<usize> = free.map(|(at, _)| at).collect();
    either(&free, number)
}

/// The first for odd numbers, the last for even ones.
fn either(free: &[usize], number: u32) -> Option<usize> {
    let free = if number.is_multiple_of(2) {
        free.last()
    } else {
        free.first()
    };
    free.copied()
}

/// The slot of the value of this number.
fn taken<const COUNT: usize>(slots: &Slots<COUNT>, index: usize) -> Option<usize> {
    let index = index.checked_rem(slots.iter().flatten().count())?;
    let taken = slots.iter().enumerate().filter(|(_, slot)| slot.is_some());
    taken.map(|(at, _)| at).nth(index)
}

fn listed(slots: [Option<String>; 2]) -> Value {
    without_end(slots.map(|slot| json!(slot)).to_vec())
}

fn without_end(mut values: Vec<Value>) -> Value {
    while values.last().is_some_and(Value::is_null) {
        values.pop();
    }
    Value::Array(values)
}
